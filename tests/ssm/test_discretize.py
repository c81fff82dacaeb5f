"""Discretisation: against series in 60 digits, the explicit transform and scipy, for every structure."""

import numpy as np
import pytest
from scipy.signal import cont2discrete

import lina.ssm._discretize_expm
from lina.ssm import DenseSystem, DiagonalSystem, DPLRSystem, discretize, to_dense
from tests.reference.ssm_systems import hold, transform
from tests.ssm.systems import dense, diagonal, dplr

METHODS = {
    "bilinear": ("bilinear", None),
    "euler": ("euler", None),
    "backward": ("backward_diff", None),
    "zoh": ("zoh", None),
    "gbt": ("gbt", 0.3),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 9])
def test_every_method_agrees_with_scipy(method, n):
    s = dense(n)
    name, alpha = METHODS[method]
    A, B = discretize(s.A, s.B, 0.3, method, alpha)
    expected = cont2discrete((s.A, s.B[:, None], s.C[None], 0), 0.3, name, alpha)
    np.testing.assert_allclose(A, expected[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(B, expected[1][:, 0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dt", [1e-8, 0.1, 2.0])
def test_the_hold_agrees_with_its_series(dt):
    s = dense(5)
    for found, exact in zip(discretize(s.A, s.B, dt), hold(s.A, s.B, dt), strict=True):
        np.testing.assert_allclose(found, exact.real, rtol=1e-13, atol=1e-15 * np.max(np.abs(exact)))


@pytest.mark.parametrize("size", [1e-200, 1e-8, 1e200])
def test_the_size_of_b_costs_no_digits(size):
    s = dense(5)
    np.testing.assert_allclose(discretize(s.A, s.B * size, 0.1)[1], discretize(s.A, s.B, 0.1)[1] * size, rtol=1e-13)


def test_a_singular_matrix_has_a_hold():
    A, B = discretize(np.zeros((3, 3)), np.ones(3), 0.25)
    np.testing.assert_array_equal(A, np.eye(3))
    np.testing.assert_array_equal(B, np.full(3, 0.25))
    system = DiagonalSystem([0.0, 1e-12j], [1.0, 1.0], [1.0, 1.0]).discretize(0.25)
    np.testing.assert_allclose(system.B, [0.25, 0.25 + 1e-12j * 0.25**2 / 2], rtol=1e-15)


@pytest.mark.parametrize("method", ["bilinear", "euler", "backward", "gbt"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dt", [1e-4, 0.03, 1.0])
def test_diagonal_plus_low_rank_stays_so(method, rank, dt):
    alpha = 0.7 if method == "gbt" else None
    weight = {"bilinear": 0.5, "euler": 0.0, "backward": 1.0, "gbt": 0.7}[method]
    system = dplr(5, rank)
    found = system.discretize(dt, method, alpha)
    assert isinstance(found, DPLRSystem)
    assert found.rank == rank
    full = to_dense(system).system
    A, B = transform(full.A, full.B, dt, weight)
    made = to_dense(found).system
    np.testing.assert_allclose(made.A, A, atol=1e-13 * np.max(np.abs(A)))
    np.testing.assert_allclose(made.B, B, atol=1e-13 * np.max(np.abs(B)))


@pytest.mark.parametrize("method", ["zoh", "bilinear", "euler", "backward"])
def test_diagonal_stays_diagonal(method):
    system = diagonal(5)
    found = system.discretize(0.2, method)
    A, B = discretize(np.diag(system.Lambda), system.B, 0.2, method)
    np.testing.assert_allclose(found.Lambda, np.diag(A), rtol=1e-13)
    np.testing.assert_allclose(found.B, B, rtol=1e-12)
    assert found.dt == 0.2


def test_a_batch_may_have_a_step_for_each_system():
    steps = np.array([0.1, 0.5, 1.0])
    stack = np.stack([dense(4, seed=i).A for i in range(3)])
    A, _ = discretize(stack, np.ones((3, 4)), steps)
    for i in range(3):
        np.testing.assert_allclose(A[i], discretize(stack[i], np.ones(4), steps[i])[0], rtol=1e-13)
    system = diagonal(4)
    many = DiagonalSystem(np.stack([system.Lambda] * 3), system.B, system.C).discretize(steps)
    np.testing.assert_allclose(many.Lambda[1], system.discretize(0.5).Lambda)


def test_matrices_of_inputs_and_complex_systems_work():
    s = dense(4)
    B = np.random.default_rng(0).standard_normal((4, 3))
    for method in ("zoh", "bilinear"):
        columns = discretize(s.A, B, 0.1, method)[1]
        for j in range(3):
            np.testing.assert_allclose(columns[:, j], discretize(s.A, B[:, j], 0.1, method)[1], rtol=1e-12)
    A, _ = discretize(1j * s.A, s.B, 0.1)
    np.testing.assert_allclose(A, hold(1j * s.A, s.B.astype(complex), 0.1)[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("norm", [0.0, 1e-3, 1.0, 300.0])
def test_our_own_exponential_agrees_with_scipy(monkeypatch, dtype, norm):
    A = (dense(6).A * norm).astype(dtype)
    fast = lina.ssm._discretize_expm.expm(np, A)
    monkeypatch.setattr(lina.ssm._discretize_expm, "kernel", lambda name, xp: None)
    np.testing.assert_allclose(
        lina.ssm._discretize_expm.expm(np, A), fast, atol=1000 * np.finfo(dtype).eps * np.max(np.abs(fast))
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda A, B: discretize(A, B, 0.0), "dt must be positive, got 0.0"),
        (lambda A, B: discretize(A, B, -1), "dt must be positive, got -1"),
        (lambda A, B: discretize(A, B, np.nan), "dt must be finite"),
        (lambda A, B: discretize(A, B, [0.1, -0.1]), "dt must be positive"),
        (lambda A, B: discretize(A, B, 0.1, "tustin"), "method must be one of"),
        (lambda A, B: discretize(A, B, 0.1, "gbt"), "alpha must be given"),
        (lambda A, B: discretize(A, B, 0.1, "gbt", 1.5), r"alpha must be in 0..1, got 1.5"),
        (lambda A, B: discretize(A, B, 0.1, "zoh", 0.5), "alpha must be None"),
        (lambda A, B: discretize(A[:2], B, 0.1), r"A must have shape \(..., n, n\)"),
        (lambda A, B: discretize(A, B[:2], 0.1), "B must have shape"),
        (lambda A, B: discretize(A * np.nan, B, 0.1), "A must be finite"),
        (lambda A, B: discretize(np.eye(4) * 20, B, 0.1, "bilinear"), "A must not have the eigenvalue"),
        (lambda A, B: dplr(4).discretize(0.1, "zoh"), r"method must be one of .* to_dense\(system\).system.discretize"),
        (lambda A, B: DenseSystem(A, B, B).discretize(0.1).discretize(0.1), "must be continuous"),
    ],
)
def test_an_error_names_the_argument(call, words):
    s = dense(4)
    with pytest.raises(ValueError, match=words):
        call(s.A, s.B)


def test_what_overflows_says_so():
    with pytest.raises(OverflowError, match="A must be small enough"):
        discretize(np.eye(2), np.ones(2), 1e4)


@pytest.mark.torch
def test_gradients_pass():
    torch = pytest.importorskip("torch")
    s = dense(3)
    A, B = (torch.tensor(x, requires_grad=True) for x in (s.A, s.B))
    dt = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    for method in ("zoh", "bilinear", "euler"):
        assert torch.autograd.gradcheck(lambda A, B, dt, m=method: discretize(A, B, dt, m), (A, B, dt))
    p = dplr(3)
    parts = [torch.tensor(x, requires_grad=True) for x in (p.Lambda, p.P, p.B, p.C)]

    def made(Lambda, P, B, C, dt):
        found = DPLRSystem(Lambda, P, B, C).discretize(dt)
        return found.Lambda, found.P, found.Q, found.B

    assert torch.autograd.gradcheck(made, (*parts, dt))


@pytest.mark.parametrize("method", ["zoh", "bilinear"])
@pytest.mark.parametrize("dt", [0.1, np.array([0.1, 0.2, 0.3]), np.array([[0.1], [0.2]])])
def test_inputs_of_a_system_are_a_batch_also_where_they_are_as_many_as_states(method, dt):
    s, B = dense(3), np.random.default_rng(0).standard_normal((3, 3))
    found = DenseSystem(s.A, B, s.C).discretize(dt, method)
    steps = np.broadcast_to(dt, found.batch)
    assert found.batch == np.broadcast_shapes(np.shape(dt), (3,))
    for index in np.ndindex(*found.batch):
        one = DenseSystem(s.A, B[index[-1]], s.C).discretize(steps[index], method)
        A, Bd = np.broadcast_to(found.A, (*found.batch, 3, 3)), np.broadcast_to(found.B, (*found.batch, 3))
        np.testing.assert_allclose(A[index], one.A, atol=1e-15)
        np.testing.assert_allclose(Bd[index], one.B, atol=1e-15)


def test_each_column_of_inputs_keeps_its_own_digits():
    s, sizes = dense(5), np.array([1.0, 1e-200, 1e200])
    found = discretize(s.A, s.B[:, None] * sizes, 0.1)[1]
    one = discretize(s.A, s.B, 0.1)[1]
    np.testing.assert_allclose(found / sizes, np.stack([one] * 3, axis=-1), rtol=1e-13)
