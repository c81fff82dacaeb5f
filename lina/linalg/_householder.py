"""Householder QR whose Q is applied, and formed only where the library cannot do without."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg.lapack import get_lapack_funcs

from lina._core.array import adjoint
from lina._core.kernels import kernel


class Householder(NamedTuple):
    """A = Q R of (m, n), m >= n: R (n, n), and the products Q @ B of (n, p) and Q^H @ M of (m, p)."""

    R: Any
    apply: Callable[[Any], Any]
    apply_adjoint: Callable[[Any], Any]


def householder(xp: Any, A: Any) -> Householder:
    """Return the factors of ``A`` (m, n), m >= n. Cost 2 m n^2 flops with LAPACK, 4 m n^2 where Q is formed."""
    fast = kernel("householder", xp)
    if fast is not None:
        return fast(A)
    Q, R = xp.linalg.qr(A)
    return Householder(R, lambda B: Q @ B, lambda M: adjoint(xp, Q) @ M)


def lapack_householder(A: np.ndarray) -> Householder:
    """Return the factors as LAPACK's reflectors."""
    m, n = A.shape
    geqrf, size, multiply = get_lapack_funcs(
        ("geqrf", "geqrf_lwork", "ormqr" if A.dtype.kind == "f" else "unmqr"), (A,)
    )
    work, _ = size(m, n)
    reflectors, tau, _, _ = geqrf(A, lwork=int(work.real))

    def product(trans: str, C: np.ndarray) -> np.ndarray:
        _, work, _ = multiply("L", trans, reflectors, tau, C, -1)
        return multiply("L", trans, reflectors, tau, C, int(work[0].real))[0]

    def apply(B: np.ndarray) -> np.ndarray:
        return product("N", np.concatenate([B, np.zeros((m - n, B.shape[1]), dtype=B.dtype)]))

    def apply_adjoint(M: np.ndarray) -> np.ndarray:
        return product("T" if A.dtype.kind == "f" else "C", M)[:n]

    return Householder(np.triu(reflectors[:n]), apply, apply_adjoint)
