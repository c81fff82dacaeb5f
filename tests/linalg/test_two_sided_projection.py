"""min ||A A^H M + M B^H B - M||: beside the bound of Eckart and Young, and minimisation from random starts."""

import numpy as np
import pytest
import scipy.optimize

from lina.linalg import two_sided_projection
from tests.linalg.matrices import SPECTRA, with_spectrum


def distance(M, A, B):
    """Return the Frobenius norm that is minimised."""
    return np.linalg.norm(A @ (A.conj().T @ M) + (M @ B.conj().T) @ B - M)


def descend(M, r, rng):
    """Return the least squared distance that a quasi-Newton method finds from a random start."""
    m, n = M.shape

    def objective(x):
        A, B = x[: m * r].reshape(m, r), x[m * r :].reshape(r, n)
        E = A @ (A.T @ M) + (M @ B.T) @ B - M
        gradient_A = 2 * (E @ (M.T @ A) + M @ (E.T @ A))
        gradient_B = 2 * ((B @ M.T) @ E + (B @ E.T) @ M)
        return np.sum(E**2), np.concatenate([gradient_A.ravel(), gradient_B.ravel()])

    start = rng.standard_normal(r * (m + n))
    error = scipy.optimize.check_grad(lambda x: objective(x)[0], lambda x: objective(x)[1], start)
    assert error < 1e-3 * np.linalg.norm(objective(start)[1])
    return scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B").fun


@pytest.mark.parametrize(("shape", "r"), [((6, 5), 1), ((6, 5), 2), ((4, 9), 1), ((7, 7), 2)])
def test_no_descent_from_random_starts_does_better_and_the_best_comes_near(shape, r):
    rng = np.random.default_rng(0)
    M = rng.standard_normal(shape)
    F = two_sided_projection(M, r)
    found = [descend(M, r, rng) ** 0.5 for _ in range(8)]
    assert min(found) >= F.error - 1e-12
    assert min(found) <= F.error * (1 + 1e-3)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(50, 40), (40, 50), (45, 45)])
def test_the_error_is_that_of_the_truncated_svd_with_twice_the_terms(spectrum, dtype, shape):
    values = SPECTRA[spectrum](min(shape))
    M = with_spectrum(np.random.default_rng(1), *shape, values, dtype)
    eps = np.finfo(dtype).eps
    for r in (1, 5, 19, 20, 30, 40):
        F = two_sided_projection(M, r)
        assert F.A.shape == (shape[0], r)
        assert F.B.shape == (r, shape[1])
        assert F.A.dtype == F.B.dtype == M.dtype
        wide = M.astype(np.result_type(dtype, np.float64))
        true = distance(wide, F.A.astype(wide.dtype), F.B.astype(wide.dtype))
        floor = 100 * eps * np.linalg.norm(M)
        assert true <= F.error <= true + floor
        assert abs(true - np.linalg.norm(values[2 * r :])) <= floor


def test_what_is_beyond_the_rank_is_zero_and_not_counted_twice():
    M = with_spectrum(np.random.default_rng(2), 20, 15, [3.0, 2.0, 1.0])
    F = two_sided_projection(M, 2)
    np.testing.assert_allclose(np.linalg.norm(F.B, axis=1), [1.0, 0.0], atol=1e-12)
    assert distance(M, F.A, F.B) <= F.error < 1e-13
    F = two_sided_projection(M, 8)
    np.testing.assert_allclose(np.linalg.norm(F.A, axis=0), [1.0] * 3 + [0.0] * 5, atol=1e-12)
    assert np.all(F.B == 0)
    assert distance(M, F.A, F.B) <= F.error < 1e-13
    F = two_sided_projection(np.zeros((4, 3)), 2)
    assert (F.error, float(np.abs(F.A).max()), float(np.abs(F.B).max())) == (0.0, 0.0, 0.0)


def test_every_split_of_the_leading_terms_is_as_good_and_an_overlap_is_not():
    M = with_spectrum(np.random.default_rng(3), 20, 15, np.geomspace(1, 0.1, 15))
    U, _, Vt = np.linalg.svd(M)
    best = two_sided_projection(M, 2).error
    for first in ([0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]):
        second = [i for i in range(4) if i not in first]
        np.testing.assert_allclose(distance(M, U[:, first], Vt[second]), best, rtol=1e-10)
    assert distance(M, U[:, [0, 1]], Vt[[1, 2]]) > 1.1 * best


def test_the_projections_apply_to_other_matrices():
    rng = np.random.default_rng(4)
    M, other = rng.standard_normal((12, 9)), rng.standard_normal((12, 9))
    F = two_sided_projection(M, 3)
    np.testing.assert_allclose(F.apply(other), F.A @ F.A.T @ other + other @ F.B.T @ F.B, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(F.apply(M) - M), F.error, rtol=1e-12)
    with pytest.raises(ValueError, match=r"M must have shape \(12, 9\), got \(9, 12\)"):
        F.apply(other.T)


@pytest.mark.parametrize(
    ("M", "r", "error", "message"),
    [
        (np.ones((5, 4)), 5, ValueError, "r must be in .*4, got 5"),
        (np.ones((5, 4)), 0, ValueError, "r must be in"),
        (np.ones((5, 4)), 1.0, TypeError, "r must be an int"),
        (np.full((5, 4), np.nan), 1, ValueError, "M must be finite"),
        (np.ones(5), 1, ValueError, "M must have at least 2 dimensions"),
        (np.ones((0, 4)), 1, ValueError, "M must be a nonempty matrix"),
    ],
)
def test_bad_arguments_are_named(M, r, error, message):
    with pytest.raises(error, match=message):
        two_sided_projection(M, r)
