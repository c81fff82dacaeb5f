"""The four dataclasses: what they hold, what they refuse."""

import numpy as np
import pytest

from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    RationalSystem,
    freqresp,
    generating_function,
    kernel_dplr,
    linear_scan,
    recover_c,
    to_dense,
    to_diagonal,
    to_rational,
)
from tests.ssm.systems import draws


def test_arrays_are_converted_together():
    s = DenseSystem([[1, 2], [3, 4]], [1, 0], np.float32([1, 0]))
    assert all(x.dtype == np.float64 for x in (s.A, s.B, s.C))
    d = DiagonalSystem(np.float32([-1, -2]), np.float32([1, 1]), np.float32([1, 1]))
    assert d.Lambda.dtype == np.complex64
    assert RationalSystem([1], [2]).a.dtype == np.float64


def test_one_row_of_low_rank_is_rank_one_and_q_is_p_unless_given():
    s = DPLRSystem(draws(4), draws(4), draws(4), draws(4))
    assert s.P.shape == (1, 4)
    assert s.rank == 1
    np.testing.assert_array_equal(s.Q, s.P)
    two = DPLRSystem(draws(4), np.stack([draws(4), draws(4, 1)]), draws(4), draws(4), Q=np.ones((2, 4)))
    assert two.rank == 2
    assert two.batch == ()
    many = DPLRSystem(np.stack([draws(4)] * 3), np.stack([draws(4)] * 3), draws(4), draws(4))
    assert (many.rank, many.batch) == (1, (3,))


def test_systems_are_frozen_and_do_not_share_what_they_convert():
    A = np.eye(2)
    s = DenseSystem(A, [1, 1], [1, 1])
    with pytest.raises(AttributeError):
        s.A = A
    assert (s.state_size, s.is_discrete, s.batch) == (2, False, ())
    assert DenseSystem(A, [1, 1], [1, 1], dt=0.5).is_discrete


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: DenseSystem(np.ones((2, 3)), [1, 1], [1, 1]),
            ValueError,
            r"A must have shape \(..., n, n\), got \(2, 3\)",
        ),
        (lambda: DenseSystem(np.eye(2), [1, 1, 1], [1, 1]), ValueError, "B must have n = 2 entries"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1]), ValueError, "C must have n = 2 entries"),
        (lambda: DenseSystem(np.eye(2), [1, np.inf], [1, 1]), ValueError, "B must be finite"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1, 1], dt=0), ValueError, "dt must be None"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1, 1], dt="1s"), TypeError, "dt must be None"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1, 1], dt=[0.1, -3.0]), ValueError, r"positive, got -3\.0"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1, 1], dt=True), ValueError, "dt must be None"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1, 1], dt=1j), TypeError, "dt must be None"),
        (lambda: DenseSystem("A", [1, 1], [1, 1]), TypeError, "A must be an array"),
        (lambda: DenseSystem(np.ones((0, 0)), [], []), ValueError, "A must have at least one entry"),
        (lambda: DiagonalSystem([1, 2], [1], [1, 2]), ValueError, "B must have n = 2 entries"),
        (
            lambda: DiagonalSystem(np.ones((2, 3)), np.ones((4, 3)), np.ones(3)),
            ValueError,
            "leading axes that broadcast",
        ),
        (lambda: DPLRSystem([1, 2], [1], [1, 2], [1, 2]), ValueError, "P must have n = 2 entries"),
        (lambda: DPLRSystem([1, 2], np.ones((2, 2)), [1, 2], [1, 2], Q=[1, 2]), ValueError, "same number of rows"),
        (lambda: RationalSystem([1, 2], [1]), ValueError, "b must have n = 2 entries"),
        (lambda: RationalSystem([1.0], [1.0], dt=None), ValueError, "dt must be a positive number"),
        (lambda: RationalSystem([np.nan], [1.0]), ValueError, "a must be finite"),
    ],
)
def test_an_error_names_the_argument(make, error, words):
    with pytest.raises(error, match=words):
        make()


STEPS = np.array([0.01, 0.1])
FORMS_OF_TWO = {
    "dense": lambda: DenseSystem([[0.0, 1.0], [-25.0, -0.5]], [0.0, 1.0], [1.0, 0.0]),
    "diagonal": lambda: DiagonalSystem([[-1 + 5j]] * 2, np.ones((2, 1)), np.ones((2, 1))),
    "low rank": lambda: DPLRSystem([-1 + 5j], [0.5], [1.0], [1.0]),
}


@pytest.mark.parametrize("form", FORMS_OF_TWO)
def test_one_step_for_each_system_is_kept_and_is_the_unit_of_frequencies(form):
    continuous = FORMS_OF_TWO[form]()
    together = continuous.discretize(STEPS, "bilinear")
    np.testing.assert_array_equal(together.dt, STEPS)
    assert together.batch == (2,)
    found = freqresp(together, [0.0, 3.0, 5.0])
    assert found.shape == (2, 3)
    for i, dt in enumerate(STEPS):
        one = continuous.discretize(float(dt), "bilinear")
        row = freqresp(one, [0.0, 3.0, 5.0])
        np.testing.assert_allclose(found[i], row[i] if row.ndim == 2 else row, rtol=1e-12)
    for convert in (to_dense, to_rational, to_diagonal):
        new = convert(together).system
        np.testing.assert_array_equal(new.dt, STEPS)
        np.testing.assert_allclose(freqresp(new, [0.0, 3.0, 5.0]), found, rtol=1e-8)
    listed = continuous.discretize([0.1], "bilinear")
    np.testing.assert_array_equal(listed.dt, [0.1])
    np.testing.assert_array_equal(recover_c(together, 50).system.dt, STEPS)


def test_steps_spread_a_system_over_a_batch():
    s = RationalSystem([-0.5], [1.0], dt=STEPS)
    assert (s.batch, s.dt.dtype) == ((2,), np.float64)
    np.testing.assert_allclose(freqresp(s, [3.0]), 1 / (1 - 0.5 * np.exp(-3j * STEPS[:, None])))
    assert generating_function(s, 8).shape == (2, 5)
    assert linear_scan(s, [1.0, 0.0])[0].shape == (2, 2)
    assert to_dense(s).system.batch == (2,)
    two = DenseSystem(np.eye(2) / 2, [1.0, 1.0], [1.0, 1.0], dt=STEPS[:, None] * np.ones(3))
    assert two.batch == (2, 3)
    with pytest.raises(ValueError, match="A and dt must have leading axes that broadcast"):
        DenseSystem(np.zeros((3, 2, 2)), [1.0, 1.0], [1.0, 1.0], dt=STEPS)
    mine = STEPS.copy()
    kept = RationalSystem([-0.5], [1.0], dt=mine)
    mine[0] = 7
    np.testing.assert_array_equal(kept.dt, STEPS)


def test_steps_of_another_library_are_kept_on_the_host():
    torch = pytest.importorskip("torch", reason="NOT TESTED: steps of torch, because there is no torch")
    Lambda = torch.tensor([[-1 + 5j]] * 2)
    steps = torch.tensor(STEPS, requires_grad=True)
    s = DiagonalSystem(Lambda, torch.ones(2, 1), torch.ones(2, 1)).discretize(steps)
    assert s.dt is steps  # frequencies are in its unit: a response has a gradient by it
    assert s.Lambda.requires_grad
    assert repr(s) == "DiagonalSystem(Lambda (2, 1), B (2, 1), C (2, 1), dt (2,) in 0.01..0.1)"
    with torch.no_grad():
        s = DiagonalSystem(Lambda, torch.ones(2, 1), torch.ones(2, 1)).discretize(steps)
    assert isinstance(s.dt, np.ndarray)
    np.testing.assert_array_equal(s.dt, STEPS)
    assert DiagonalSystem(Lambda, torch.ones(1), torch.ones(1)).discretize(torch.tensor(0.5)).dt == 0.5


def test_systems_print_their_shapes_and_steps():
    one = DPLRSystem(draws(64), draws(64), draws(64), draws(64))
    assert repr(one) == "DPLRSystem(Lambda (64,), P (1, 64), B (64,), C (64,), Q (1, 64), dt None)"
    assert repr(RationalSystem([-0.5], [1.0], dt=STEPS)) == "RationalSystem(a (2, 1), b (1,), dt (2,) in 0.01..0.1)"
    with pytest.raises(ValueError, match=r"got one of dt = \(2,\) in 0.01..0.1"):
        one.discretize(STEPS).discretize(0.1)


def test_a_low_rank_that_all_systems_share_is_told_how_to_be_given():
    Lambda, P = np.stack([draws(4)] * 5), np.stack([draws(4), draws(4, 1)])
    for rows in (P, P[0]):
        for make in (lambda P: DPLRSystem(Lambda, P, draws(4), draws(4)), taps_of(Lambda)):
            with pytest.raises(ValueError, match=r"P must have .* beside Lambda \(5, 4\): P\[None\]"):
                make(rows)
            make(rows[None])
    shared = DPLRSystem(Lambda, P[None], draws(4), draws(4))
    assert (shared.rank, shared.batch) == (2, (5,))
    with pytest.raises(ValueError, match=r"Q must have .* Q\[None\]"):
        DPLRSystem(Lambda, P[None], draws(4), draws(4), Q=P)


def taps_of(Lambda):
    return lambda P: kernel_dplr(Lambda, P, draws(4), draws(4), 0.1, 3, unstable="ignore")
