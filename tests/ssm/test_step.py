"""Recurrent modes: steps and scans against taps, chunks against wholes, across forms."""

import numpy as np
import pytest

from lina.ssm import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem, linear_scan, step, to_dense
from tests.reference.ssm_systems import rational_taps, taps
from tests.ssm.systems import FORMS, dense, diagonal, discrete, dplr, rational


def by_taps(system, u):
    s = to_dense(system).system
    return np.convolve(u, taps(s.A, s.B, s.C, len(u)))[: len(u)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("L", [1, 2, 7, 100])
def test_a_scan_is_the_convolution_with_the_taps(form, L):
    system = discrete(form)
    u = np.random.default_rng(L).standard_normal(L)
    y, x, states = linear_scan(system, u, return_states=True)
    exact = by_taps(system, u)
    np.testing.assert_allclose(y, exact, atol=1e-13 * np.max(np.abs(exact)))
    assert states.shape == (L, system.state_size)
    np.testing.assert_allclose(states[-1], x, atol=1e-13 * np.max(np.abs(x)))


@pytest.mark.parametrize("form", FORMS)
def test_a_scan_is_its_steps_and_goes_on_where_it_ended(form):
    system = discrete(form)
    u = np.random.default_rng(0).standard_normal(23)
    whole, last = linear_scan(system, u)
    x, outputs = np.zeros(system.state_size), []
    for each in u:
        y, x = step(system, each, x)
        outputs.append(y)
    np.testing.assert_allclose(whole, outputs, atol=1e-13 * np.max(np.abs(whole)))
    np.testing.assert_allclose(last, x, atol=1e-13 * np.max(np.abs(x)))
    first, middle = linear_scan(system, u[:10])
    second, end = linear_scan(system, u[10:], middle)
    np.testing.assert_allclose(np.r_[first, second], whole, atol=1e-13 * np.max(np.abs(whole)))
    np.testing.assert_allclose(end, last, atol=1e-13 * np.max(np.abs(x)))


def test_no_samples_leave_the_state_as_it_is():
    for form in FORMS:
        system = discrete(form)
        x0 = np.arange(1.0, system.state_size + 1)
        y, x, states = linear_scan(system, np.zeros(0), x0, return_states=True)
        assert y.shape == (0,)
        assert states.shape == (0, system.state_size)
        np.testing.assert_array_equal(x, x0)


@pytest.mark.parametrize("form", FORMS)
def test_real_input_gives_real_output_and_single_precision_stays(form):
    system = discrete(form)
    assert linear_scan(system, np.ones(5))[0].dtype == np.float64
    names = {"rational": ("a", "b"), "dense": ("A", "B", "C"), "diagonal": ("Lambda", "B", "C")}.get(
        form, ("Lambda", "P", "B", "C", "Q")
    )
    narrow = {"float64": "float32", "complex128": "complex64"}
    arrays = {name: getattr(system, name).astype(narrow[str(getattr(system, name).dtype)]) for name in names}
    single = type(system)(**arrays, dt=system.dt)
    y, x = linear_scan(single, np.ones(5, dtype="float32"))
    assert y.dtype == np.float32
    assert x.dtype in (np.float32, np.complex64)
    np.testing.assert_allclose(y, linear_scan(system, np.ones(5))[0], rtol=1e-4, atol=1e-4)


def test_a_long_scan_of_diagonal_plus_low_rank_agrees_with_the_dense_recurrence():
    system = dplr(16).discretize(0.05)
    u = np.random.default_rng(0).standard_normal(3000)
    s = to_dense(system).system
    x, exact = np.zeros(32), []
    for each in u:
        x = s.A @ x + s.B * each
        exact.append(s.C @ x)
    np.testing.assert_allclose(linear_scan(system, u)[0], exact, atol=1e-12 * np.max(np.abs(exact)))


def test_one_product_is_the_step_of_two():
    system, h = dplr(8), 0.05
    s = to_dense(system).system
    found = to_dense(system.discretize(2 * h)).system
    x = np.random.default_rng(0).standard_normal(16)
    two = np.linalg.solve(np.eye(16) - h * s.A, x + h * (s.A @ x) + 2 * h * s.B)
    np.testing.assert_allclose(found.A @ x + found.B, two, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_a_step_without_a_state_begins_at_zero(form):
    system = discrete(form)
    for found, exact in zip(step(system, 1.5), step(system, 1.5, np.zeros(system.state_size)), strict=True):
        np.testing.assert_array_equal(found, exact)


def test_batches_broadcast():
    system = diagonal(5).discretize(0.1)
    many = DiagonalSystem(np.stack([system.Lambda, system.Lambda / 2]), system.B, system.C, dt=0.1)
    u = np.random.default_rng(0).standard_normal((3, 1, 12))
    y, x = linear_scan(many, u)
    assert y.shape == (3, 2, 12)
    assert x.shape == (3, 2, 5)
    np.testing.assert_allclose(y[1, 0], linear_scan(system, u[1, 0])[0], rtol=1e-12)
    assert step(many, np.ones((3, 1)), np.zeros(5))[1].shape == (3, 2, 5)


def test_complex_input_is_for_dense_and_rational_systems():
    u = np.exp(1j * np.arange(9.0))
    for form in ("dense", "rational"):
        system = discrete(form)
        both = linear_scan(system, u.real)[0] + 1j * linear_scan(system, u.imag)[0]
        np.testing.assert_allclose(linear_scan(system, u)[0], both, rtol=1e-12, atol=1e-12)
    with pytest.raises(TypeError, match="u must be real"):
        linear_scan(discrete("dplr"), u)


def test_a_rational_scan_is_a_long_division():
    system = rational(5)
    np.testing.assert_allclose(
        linear_scan(system, np.eye(1, 30)[0])[0], rational_taps(system.a, system.b, 30), atol=1e-13
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: step(dense(3), 1.0, np.zeros(3)), ValueError, "system must be discrete"),
        (lambda: step(discrete("dense"), 1.0, np.zeros(3)), ValueError, "x must have n = 6"),
        (lambda: step(discrete("dense"), np.nan, np.zeros(6)), ValueError, "u must be finite"),
        (lambda: linear_scan(discrete("dense"), 1.0), ValueError, "u must have at least 1 dimension"),
        (lambda: linear_scan(discrete("dense"), [1.0], np.zeros(3)), ValueError, "x0 must have n = 6"),
        (lambda: linear_scan(discrete("dense"), [1.0], 0.0), ValueError, "x0 must have at least 1 dimension"),
        (lambda: linear_scan(discrete("dense"), [1.0], np.full(6, np.nan)), ValueError, "x0 must be finite"),
        (
            lambda: linear_scan(discrete("dense"), np.ones((2, 5)), np.zeros((3, 6))),
            ValueError,
            "x0 must have leading",
        ),
        (lambda: step(discrete("dense"), np.ones(2), np.zeros((3, 6))), ValueError, "and x must have leading"),
        (lambda: linear_scan(3.0, [1.0]), TypeError, "system must be a DenseSystem"),
        (lambda: linear_scan(RationalSystem([-2.0], [1.0]), np.ones(2000)), OverflowError, "u must be small enough"),
    ],
)
def test_an_error_names_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.torch
def test_gradients_pass():
    torch = pytest.importorskip("torch")
    system = dplr(2).discretize(0.1)
    parts = [torch.tensor(getattr(system, name), requires_grad=True) for name in ("Lambda", "P", "B", "C", "Q")]
    u = torch.tensor(np.random.default_rng(0).standard_normal(5), requires_grad=True)

    def call(Lambda, P, B, C, Q, u):
        return linear_scan(DPLRSystem(Lambda, P, B, C, Q, dt=0.1), u)

    assert torch.autograd.gradcheck(call, (*parts, u))
    A = torch.tensor(discrete("dense", 3).A, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda A, u: linear_scan(DenseSystem(A, torch.ones(3, dtype=torch.float64), A[0, :], dt=1.0), u), (A, u)
    )


@pytest.mark.parametrize("form", FORMS)
def test_one_loop_and_chunks_agree(form, monkeypatch):
    system = discrete(form)
    u = np.random.default_rng(0).standard_normal(50)
    answers = []
    for pays in (True, False):
        monkeypatch.setattr("lina.ssm._step._chunks_pay", lambda system, L, pays=pays: pays)
        answers.append(linear_scan(system, u, return_states=True))
    for chunked, looped in zip(*answers, strict=True):
        np.testing.assert_allclose(chunked, looped, atol=1e-13 * np.max(np.abs(looped)))
