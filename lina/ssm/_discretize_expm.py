"""The matrix exponential, for libraries that have none."""

import math
from typing import Any

from lina._core.array import is_lazy, scalar, where_is
from lina._core.kernels import kernel

# Coefficients of the [13/13] Pade approximant (Higham, SIAM J. Matrix Anal. Appl. 26 (2005) 1179, table 2.3).
_PADE = (
    64764752532480000.0,
    32382376266240000.0,
    7771770303897600.0,
    1187353796428800.0,
    129060195264000.0,
    10559470521600.0,
    670442572800.0,
    33522128640.0,
    1323241920.0,
    40840800.0,
    960960.0,
    16380.0,
    182.0,
    1.0,
)
_THETA = 5.371920351148152


def expm(xp: Any, A: Any) -> Any:
    """Return the exponential of matrices (..., n, n) by scaling and squaring; about 30 n^3 flops."""
    fast = kernel("expm", xp)
    if fast is not None:
        return fast(A)
    norm = xp.max(xp.sum(xp.abs(A), axis=-2), axis=-1)
    # a lazy norm cannot choose the number of squarings: then there are as many as a norm of 1e4 needs
    largest = 1e4 if is_lazy(A) else scalar(xp.max(norm)) if norm.size else 0.0
    squarings = max(0, math.ceil(math.log2(largest / _THETA))) if largest > 0 else 0
    E = _pade(xp, A / 2.0**squarings)
    for _ in range(squarings):
        E = xp.matmul(E, E)
    return E


def _pade(xp: Any, A: Any) -> Any:
    c = _PADE
    one = xp.eye(A.shape[-1], dtype=A.dtype, device=where_is(A))
    A2 = xp.matmul(A, A)
    A4 = xp.matmul(A2, A2)
    A6 = xp.matmul(A4, A2)
    high = xp.matmul(A6, c[13] * A6 + c[11] * A4 + c[9] * A2)
    U = xp.matmul(A, high + c[7] * A6 + c[5] * A4 + c[3] * A2 + c[1] * one)
    V = xp.matmul(A6, c[12] * A6 + c[10] * A4 + c[8] * A2) + c[6] * A6 + c[4] * A4 + c[2] * A2 + c[0] * one
    return xp.linalg.solve(V - U, V + U)
