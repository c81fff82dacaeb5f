"""Matrices for the kernel of small pseudo-inverses, and the bound that its results are held to."""

import numpy as np

SHAPES = [(1, 1), (5, 1), (4, 4), (8, 4), (9, 5), (17, 16), (32, 16), (32, 32), (40, 33), (64, 48), (700, 3)]


def matrices(batch: int, m: int, n: int, dtype: str, condition: float = 100.0, seed: int = 0) -> np.ndarray:
    """Return random matrices (batch, m, n) with singular values from 1 down to 1 / condition."""
    rng = np.random.default_rng([seed, m, n])
    U = np.linalg.qr(rng.standard_normal((batch, m, n)))[0]
    V = np.linalg.qr(rng.standard_normal((batch, n, n)))[0]
    return ((U * np.geomspace(1, 1 / condition, n)) @ V).astype(dtype)


def assert_pseudo_inverse(X: np.ndarray, condition: np.ndarray, A: np.ndarray) -> None:
    """Hold X and condition to numpy's pseudo-inverse, computed in double precision."""
    expected = np.linalg.pinv(A.astype("float64"), rcond=1e-15)
    size = np.linalg.norm(expected, axis=(1, 2))
    bound = 10 * np.finfo(A.dtype).eps * condition.astype("float64")
    assert X.dtype == condition.dtype == A.dtype
    assert X.shape == expected.shape
    assert np.all(np.linalg.norm(X - expected, axis=(1, 2)) <= bound * size)
    product = np.linalg.norm(A.astype("float64"), axis=(1, 2)) * size
    assert np.all(np.abs(condition - product) <= bound * product)
