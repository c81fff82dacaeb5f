"""Positive semidefinite matrices with a known spectrum, and the norm in which their approximations are judged."""

import numpy as np

from tests.linalg.matrices import with_spectrum


def psd(rng, n, values, dtype="float64"):
    """Return Q diag(values) Q^H (n, n) with random orthonormal Q, Hermitian to the last bit."""
    wide = np.result_type(dtype, np.float64)
    Q = with_spectrum(rng, n, len(values), np.ones(len(values)), wide)
    A = ((Q * np.asarray(values)) @ Q.conj().T).astype(dtype)
    return (A + A.conj().T) / 2


def nuclear(E):
    """Return the sum of the singular values of a Hermitian matrix, in double precision."""
    E = E.astype(np.result_type(E.dtype, np.float64))
    return float(np.sum(np.abs(np.linalg.eigvalsh((E + E.conj().T) / 2))))


def difference(A, F):
    """Return A less the matrix that ``F`` stands for, in double precision."""
    left, right, _ = F._factors()
    wide = np.result_type(A.dtype, np.float64)
    return A.astype(wide) - left.astype(wide) @ right.astype(wide)


def rbf(rng, n, width):
    """Return the Gaussian kernel matrix of n points in the plane."""
    x = rng.standard_normal((n, 2))
    return np.exp(-((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2) / width**2)
