"""Matrices that the tests of dask arrays are made of."""

import numpy as np


def graded(m, n, ratio, dtype="float64", seed=0):
    """Return a matrix (m, n) with the singular values ratio^i, and these."""
    rng = np.random.default_rng(seed)

    def orthonormal(rows, columns):
        draw = rng.standard_normal((rows, columns))
        if np.dtype(dtype).kind == "c":
            draw = draw + 1j * rng.standard_normal((rows, columns))
        return np.linalg.qr(draw)[0]

    k = min(m, n)
    s = ratio ** np.arange(k)
    return ((orthonormal(m, k) * s) @ orthonormal(n, k).conj().T).astype(dtype), s
