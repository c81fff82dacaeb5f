"""Products and solves with the matrix of LegS in O(N), against the dense matrix."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina._core.array import epsilon
from lina.hippo import legs_matvec, legs_rmatvec, legs_rsolve, legs_solve
from lina.hippo._legs_products import solve_body
from tests.reference.hippo import legs_matrices

STEPS = [0.0, 1e-6, 0.005, 0.3, 40.0, math.inf]


def draw(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("N", [1, 2, 7, 64, 501])
def test_products_are_those_of_the_dense_matrix(N, dtype):
    A, _ = legs_matrices(N)
    x = draw(3, N, dtype=dtype)
    for ours, dense in ((legs_matvec(x), x @ A.T), (legs_rmatvec(x), x @ A)):
        assert ours.dtype == dtype
        assert np.linalg.norm(ours - dense) <= 4 * math.sqrt(N) * epsilon(x) * np.linalg.norm(dense)


@pytest.mark.parametrize("h", STEPS)
@pytest.mark.parametrize("batch", [(), (3,), (2, 1500)])
@pytest.mark.parametrize("N", [1, 2, 7, 64])
def test_solves_are_those_of_the_dense_matrix(N, batch, h):
    A, _ = legs_matrices(N)
    M = -A if math.isinf(h) else np.eye(N) - h * A
    b = draw(*batch, N)
    for ours, dense in ((legs_solve(b, h), M), (legs_rsolve(b, h), M.T)):
        expected = np.linalg.solve(dense, b.reshape(-1, N).T).T.reshape(b.shape)
        assert np.linalg.norm(ours - expected) <= 1e-14 * math.sqrt(N) * np.linalg.norm(expected) * (1 + N / 10)


def test_a_factor_that_is_exactly_zero_does_no_harm():
    N, h = 401, 0.005  # 1 - h m = 0 at m = 200, where a quotient of cumulative products is 0 / 0
    A, B = legs_matrices(N)
    np.testing.assert_allclose(legs_solve(B, h), np.linalg.solve(np.eye(N) - h * A, B), rtol=1e-9, atol=1e-13)


def test_every_row_may_have_its_own_step():
    b, h = draw(4, 3, 9), np.array([[0.1], [math.inf], [0.0], [7.0]])
    each = np.stack([[legs_solve(b[i, j], h[i, 0]) for j in range(3)] for i in range(4)])
    np.testing.assert_allclose(legs_solve(b, h), each, rtol=1e-14)
    np.testing.assert_allclose(legs_solve(b[0, 0], h[:, 0]), [legs_solve(b[0, 0], s) for s in h[:, 0]], rtol=1e-14)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_the_kernel_agrees_with_doubling(dtype, backwards):
    from lina._numba.legs_scan import legs_solve as compiled

    b = draw(300, 37, dtype=dtype)
    real = b.real.dtype
    weights = (
        np.where(np.arange(300) % 5 == 0, 0, 1).astype(real)[:, None],
        np.geomspace(1e-4, 10, 300, dtype=real)[:, None],
    )
    body = solve_body(np, b, *weights, backwards)
    assert np.linalg.norm(compiled(b, *weights, backwards) - body) <= 100 * epsilon(b) * np.linalg.norm(body)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_does_what_its_uncompiled_function_does(dtype):
    from lina._numba.legs_scan import _solve_rows

    rng = np.random.default_rng(0)
    for _ in range(500):
        rows, N = int(rng.integers(1, 5)), int(rng.integers(1, 9))
        b, n = rng.standard_normal((rows, N)).astype(dtype), np.arange(N)
        r, d = np.sqrt(2 * n + 1.0).astype(dtype), (n + 1).astype(dtype)
        identity, step = rng.integers(0, 2, rows).astype(dtype), rng.uniform(0.1, 5, rows).astype(dtype)
        one, other = np.empty_like(b), np.empty_like(b)
        _solve_rows(b, one, r, d, identity, step, 0, rows)
        _solve_rows.py_func(b, other, r, d, identity, step, 0, rows)
        np.testing.assert_allclose(one, other, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-6)


@given(st.integers(1, 40), st.floats(0, 1e3), st.integers(0, 10**6))
def test_a_solve_undoes_a_product(N, h, seed):
    x = draw(2, N, seed=seed)
    np.testing.assert_allclose(legs_solve(x - h * legs_matvec(x), h), x, atol=1e-10 * np.abs(x).max())
    np.testing.assert_allclose(legs_rsolve(x - h * legs_rmatvec(x), h), x, atol=1e-10 * np.abs(x).max())


@given(st.integers(1, 40), st.integers(0, 10**6))
def test_the_transposes_are_transposes(N, seed):
    x, y = draw(N, seed=seed), draw(N, seed=seed + 1)
    assert y @ legs_matvec(x) == pytest.approx(x @ legs_rmatvec(y), rel=1e-10, abs=1e-10)
    assert y @ legs_solve(x, 0.3) == pytest.approx(x @ legs_rsolve(y, 0.3), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(
    ("h", "error", "message"),
    [
        (-0.1, ValueError, "h must not be negative, got -0.1"),
        (math.nan, ValueError, "h must not be negative, got nan"),
        (np.array([0.1, -1.0]), ValueError, "h must not be negative"),
        ("step", TypeError, "h must be a number or an array, got str"),
        (np.array([1j, 0]), TypeError, "h must be a number or a real array, got dtype complex128"),
    ],
)
def test_bad_steps_are_named(h, error, message):
    with pytest.raises(error, match=message):
        legs_solve(np.ones((2, 4)), h)


def test_overflow_is_named_and_nothing_silent():
    with pytest.raises(OverflowError, match="x must be small enough"):
        legs_matvec(np.full(50, 1e308))
