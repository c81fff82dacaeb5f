"""Streams of matrices of known spectra, and what their errors are measured by."""

import numpy as np

from lina.linalg import StreamingSVD
from tests.linalg.matrices import SPECTRA, with_spectrum

EPS = np.finfo(float).eps


def spectrum(name, m=150, n=120, seed=0, dtype="float64"):
    return with_spectrum(np.random.default_rng(seed), m, n, SPECTRA[name](min(m, n)), dtype)


def streamed(A, k, block=37, **options):
    stream = StreamingSVD(A.shape, k, dtype=A.dtype, **{"rng": 0, **options})
    for start in range(0, A.shape[0], block):
        stream.append(A[start : start + block])
    return stream


def optimum(name, k, n=120):
    return np.linalg.norm(SPECTRA[name](n)[k:])


def true_error(A, F):
    return np.linalg.norm(A - F.toarray())
