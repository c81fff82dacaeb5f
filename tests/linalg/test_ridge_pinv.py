"""The regularised pseudo-inverse: against its definition in 60 digits, its limit, its path, and its products."""

import mpmath
import numpy as np
import pytest

from lina.linalg import pinv, ridge_pinv
from lina.linalg._ridge_pinv import _by_gram
from tests.linalg.matrices import SPECTRA, hilbert, with_spectrum

EPS = np.finfo(float).eps


def exact(A, eps):
    """Return (A^H A + eps I)^-1 A^H in 60 digits, rounded to double precision."""
    with mpmath.workdps(60):
        M = mpmath.matrix(A.tolist())
        G = M.H * M + eps * mpmath.eye(A.shape[1])
        X = G**-1 * M.H
        dtype = complex if np.iscomplexobj(A) else float
        return np.array([[dtype(X[i, j]) for j in range(X.cols)] for i in range(X.rows)])


@pytest.mark.parametrize("dtype", ["float64", "complex128", "float32"])
@pytest.mark.parametrize("shape", [(9, 5), (5, 9), (6, 6), (1, 4), (4, 1)])
@pytest.mark.parametrize("smallest", [0.5, 1e-2, 1e-6])
def test_the_definition_is_met_as_well_as_the_perturbation_of_the_matrix_allows(shape, smallest, dtype):
    s = np.geomspace(1, smallest, min(shape))
    A = with_spectrum(np.random.default_rng(0), *shape, s, dtype)
    eps = float(np.finfo(dtype).eps)
    path = [1e2, 1.0, 1e-3, 1e-7, 1e-12]
    for e, X in zip(path, ridge_pinv(A, path), strict=True):
        # d X = G (dA^H (I - A X) - A^H dA X) with G = (A^H A + eps I)^-1
        sensitivity = 1 / (s[-1] ** 2 + e) + 0.25 / e**0.5 / max(s[-1], e**0.5)
        assert X.dtype == dtype
        dropped = max(shape) * eps
        below = dropped / (dropped**2 + e) if s[-1] <= dropped * 2 else 0.0
        assert np.linalg.norm(X - exact(A.astype(np.result_type(dtype, float)), e), 2) < 30 * eps * sensitivity + below


@pytest.mark.parametrize("shape", [(150, 60), (60, 150), (80, 80)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_both_factorisations_agree_and_the_gram_matrix_is_used_where_it_is_good(shape, dtype):
    A = with_spectrum(np.random.default_rng(0), *shape, np.geomspace(1, 0.2, min(shape)), dtype)
    path = np.array([0.0, 1e-3, 1.0])
    fast = _by_gram(np, A, None, path)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    for e, X, Y in zip(path, fast, ridge_pinv(A, path), strict=True):
        expected = (Vt.conj().T * (s / (s**2 + e))) @ U.conj().T
        assert np.linalg.norm(X - expected) < 1e-13 * np.linalg.norm(expected)
        np.testing.assert_array_equal(X, Y)
    harder = with_spectrum(np.random.default_rng(0), *shape, np.geomspace(1, 0.05, min(shape)), dtype)
    assert _by_gram(np, harder, None, path) is None
    assert _by_gram(np, harder, None, np.array([0.02])) is not None


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("shape", [(90, 40), (40, 90)])
def test_the_limit_is_the_pseudo_inverse_without_noise_on_the_way(spectrum, shape):
    A = with_spectrum(np.random.default_rng(0), *shape, SPECTRA[spectrum](40))
    X, info = pinv(A, method="svd", return_info=True)
    smallest = np.linalg.svd(A, compute_uv=False)[info.rank - 1]
    path = [smallest**2 * 10.0**-j for j in range(2, 40, 2)]
    norm = np.linalg.norm(X, 2)
    for e, Y in zip(path, ridge_pinv(A, path), strict=True):
        assert np.linalg.norm(Y - X, 2) <= (e / smallest**2 + 200 * EPS * info.condition) * norm


def test_without_eps_it_is_the_pseudo_inverse_with_its_default_cutoff():
    for A in (hilbert(40), np.diag([1.0, 1e-20]), np.zeros((3, 2)), hilbert(30)[:, :7], hilbert(99).astype("float32")):
        X, expected = ridge_pinv(A, 0.0), pinv(A, method="svd")
        assert np.linalg.norm(X - expected) <= 100 * np.finfo(X.dtype).eps * np.linalg.norm(expected)


@pytest.mark.parametrize("smallest", [0.5, 1e-4])
@pytest.mark.parametrize("shape", [(120, 50), (50, 120), (7, 5)])
def test_products_with_b_are_the_products(smallest, shape):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, *shape, np.geomspace(1, smallest, min(shape)), "complex128")
    B, b = rng.standard_normal((shape[0], 3)), rng.standard_normal(shape[0])
    path = [0.0, 1e-2, 1.0]
    X = ridge_pinv(A, path)
    assert X.shape == (3, shape[1], shape[0])
    np.testing.assert_allclose(ridge_pinv(A, path, B=B), X @ B, atol=1e-11 / smallest)
    np.testing.assert_allclose(ridge_pinv(A, path, B=b), X @ b, atol=1e-11 / smallest)
    np.testing.assert_allclose(ridge_pinv(A, 1e-2, B=b), X[1] @ b, atol=1e-11 / smallest)
    assert ridge_pinv(A, 1e-2, B=b).shape == (shape[1],)


def test_the_answer_minimises_the_regularised_residual():
    rng = np.random.default_rng(0)
    A, b, e = rng.standard_normal((80, 60)), rng.standard_normal(80), 0.3
    x = ridge_pinv(A, e, B=b)

    def objective(x):
        return np.sum((A @ x - b) ** 2) + e * np.sum(x**2)

    gradient = 2 * A.T @ (A @ x - b) + 2 * e * x
    assert np.linalg.norm(gradient) < 1e-12 * np.linalg.norm(A.T @ b)
    assert all(objective(x) < objective(x + 1e-3 * rng.standard_normal(60)) for _ in range(20))


def test_a_batch_is_done_one_by_one_and_broadcast_against_b():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, 3, 7, 4)), rng.standard_normal((3, 7, 5))
    X = ridge_pinv(A, [0.0, 0.1])
    assert X.shape == (2, 2, 3, 4, 7)
    np.testing.assert_allclose(X[1, 1, 2], ridge_pinv(A[1, 2], 0.1), atol=1e-13)
    np.testing.assert_allclose(ridge_pinv(A, [0.0, 0.1], B=B), X @ B, atol=1e-12)
    np.testing.assert_allclose(ridge_pinv(A, 0.1, B=np.ones(7)), X[1] @ np.ones(7), atol=1e-12)


def test_eps_may_be_of_any_kind_of_number():
    A = np.diag([1.0, 2.0])
    for e in (1, np.float32(1.0), np.int64(1), np.asarray(1.0), True):
        np.testing.assert_allclose(ridge_pinv(A, e), np.diag([0.5, 0.4]))
    assert ridge_pinv(A, (1, 2)).shape == ridge_pinv(A, np.array([1, 2])).shape == (2, 2, 2)
    assert ridge_pinv(A, []).shape == (0, 2, 2)


@pytest.mark.parametrize("scale", [1e-290, 1e-150, 1e150, 1e290])
def test_extreme_scales_lose_no_digits(scale):
    A = with_spectrum(np.random.default_rng(0), 90, 50, np.geomspace(1, 1e-3, 50))
    expected = ridge_pinv(A, 1e-3)
    if 1e-160 < scale < 1e160:
        X = ridge_pinv(A * scale, 1e-3 * scale**2) * scale
        np.testing.assert_allclose(X, expected, atol=1e-13 * np.abs(expected).max())
    plain = ridge_pinv(A, 0.0)
    np.testing.assert_allclose(ridge_pinv(A * scale, 0.0) * scale, plain, atol=1e-11 * np.abs(plain).max())
    heavy = ridge_pinv(A * scale, 1e10)
    if scale < 1:
        np.testing.assert_allclose(heavy / scale * 1e10, A.T, atol=1e-14)


def test_eps_that_needs_a_gradient_is_refused():
    class Traced(float):
        requires_grad = True

    with pytest.raises(RuntimeError, match=r"eps has no gradient: call ridge_pinv with eps.detach\(\)"):
        ridge_pinv(np.eye(2), Traced(1.0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.eye(2), -1.0), ValueError, "eps must be finite and not negative"),
        ((np.eye(2), [1.0, np.nan]), ValueError, "eps must be finite"),
        ((np.eye(2), [[1.0]]), ValueError, r"eps must be a number or a vector, got shape \(1, 1\)"),
        ((np.eye(2), "small"), TypeError, "eps must be a number or a vector of numbers, got str"),
        ((np.eye(2), 1j), TypeError, "eps must be a number"),
        ((np.eye(2), np.array([1j])), TypeError, "eps must be a number"),
        ((np.ones(2), 1.0), ValueError, "A must have at least 2 dimensions"),
        ((np.full((2, 2), np.inf), 1.0), ValueError, "A must be finite"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        ridge_pinv(*arguments)


@pytest.mark.parametrize(
    ("B", "error", "message"),
    [
        (np.ones(3), ValueError, r"B must have as many rows as A, 2, got shape \(3,\)"),
        (np.ones((3, 2)), ValueError, "B must have as many rows as A"),
        ([np.nan, 1.0], ValueError, "B must be finite"),
        ("b", TypeError, "B must be an array"),
        (np.full(2, 1e308), OverflowError, "B must not be so large"),
    ],
)
def test_a_bad_b_is_named(B, error, message):
    with pytest.raises(error, match=message):
        ridge_pinv(np.diag([1e-5, 1e-6]), 0.0, B=B)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3)])
def test_empty_matrices_have_empty_answers(shape):
    assert ridge_pinv(np.empty(shape), [0.0, 1.0]).shape == (2, *shape[:-2], shape[-1], shape[-2])
    assert ridge_pinv(np.empty(shape), 1.0, B=np.ones((shape[-2], 5))).shape == (*shape[:-2], shape[-1], 5)
