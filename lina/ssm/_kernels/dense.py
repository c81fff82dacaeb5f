"""The impulse response of a dense system, by products of matrices."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lina._core.array import is_lazy
from lina._core.checks import check_rank
from lina.ssm._discretize import discretize_vector
from lina.ssm._fourier import check_result
from lina.ssm._systems_arrays import batch_shape, check_last, check_square, check_step, open_parts, widened_array

# How much longer a flop takes in a product of a matrix with one vector than in one of two matrices.
_SLOWER_ALONE = 3
# Norm of a power of A beside sqrt(n), that of a unitary matrix, or beside that of A, up to which it replaces steps.
_GROWTH = 2.0


def kernel_dense(A: Any, B: Any, C: Any, dt: Any, L: int, method: str = "zoh") -> Any:
    """Return the first L taps C Ad^l Bd of the impulse response of a dense system.

    Parameters
    ----------
    A : array_like, shape (..., n, n)
    B, C : array_like, shape (..., n)
        C is not conjugated, B not scaled by the step. Leading axes broadcast.
    dt : float, array_like of shape (...), or None
        The step by which the continuous system x' = A x + B u is made discrete, or one for each system; it broadcasts
        with the leading axes of the others. None where A and B are of a discrete system.
    L : int
        Number of taps, at least 1; below n too.
    method : str
        As in `discretize`; nothing but the default where ``dt`` is None.

    Returns
    -------
    K : array, shape (..., L)
        In the library and dtype of the arrays. ``kernel_dense(..., l)`` is the beginning of it, up to rounding.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or ``L`` is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``L`` is below 1, ``dt`` or ``method`` is none, or a method is
        chosen for a system that is discrete already.
    OverflowError
        If an unstable system has a tap beyond the range of the dtype. One that grows less shows its growth.

    Notes
    -----
    The rows C A^i for i < T are doubled with the squares of A, the states A^(jT) B stepped by A^T, and their products
    are the taps: log2(T) squarings, L / T products with a vector, and one of (L / T, n) with (n, T). T is a power of
    two of at most about sqrt(L), less where squarings would cost more than they save or lose digits: a power whose norm
    exceeds twice sqrt(n) and twice the norm of A is not multiplied by, as in `linear_scan`. Memory of 2 n^2 +
    (T + L / T) n numbers. In double precision where the library has it. The error is that of the products A (A (A B))
    one by one, about l eps for a contractive A. Gradients pass.

    References
    ----------
    Gu, Goel, Ré, Efficiently modeling long sequences with structured state spaces, ICLR 2022, equation 5.

    Examples
    --------
    >>> from lina.ssm import kernel_dense
    >>> kernel_dense([[0.5]], [1.0], [2.0], None, 4)
    array([2.  , 1.  , 0.5 , 0.25])
    """
    xp, A, B, C = open_parts(A=A, B=B, C=C)
    n = check_square(A)
    check_last(B, n, "B")
    check_last(C, n, "C")
    given = {"A": A.shape[:-2], "B": B.shape[:-1], "C": C.shape[:-1]}
    step = None if dt is None else check_step(xp, dt, widened_array(xp, A))
    batch = batch_shape(**given) if step is None else batch_shape(**given, dt=step.shape)
    L = check_rank(L, 2**62, "L", "2^62")
    kept = A.dtype
    A, B, C = (widened_array(xp, x) for x in (A, B, C))
    with np.errstate(over="ignore", invalid="ignore"):
        if step is not None:
            A, B = discretize_vector(A, B, step, method)
        elif method != "zoh":
            raise ValueError(f"method must be left out where dt is None (the system is discrete), got {method!r}")
        B, C = (xp.broadcast_to(x, (*batch, n)) for x in (B, C))
        K = _taps(xp, A, B, C, L)
        return check_result(xp, xp.astype(K, kept, copy=False), "A, B or C")


def _taps(xp: Any, A: Any, B: Any, C: Any, L: int) -> Any:
    rows, _, power = krylov(xp, A, None, C, block_length(A.shape[-1], L))
    states = [B]
    while len(states) * rows.shape[-2] < L:
        states.append(xp.matmul(power, states[-1][..., None])[..., 0])
    taps = xp.matmul(xp.stack(states, axis=-2), xp.matrix_transpose(rows))
    return xp.reshape(taps, (*B.shape[:-1], len(states) * rows.shape[-2]))[..., :L]


def block_length(n: int, L: int) -> int:
    """Return the power of two T for which log2(T) squarings and L / T products with a vector cost least."""
    T = 1
    while T * T < L and n * T < _SLOWER_ALONE * L:
        T *= 2
    return T


def krylov(xp: Any, A: Any, B: Any, C: Any, longest: int) -> tuple[Any, Any, Any]:
    """Return C A^i and A^i B for i < T as rows (..., T, n), and A^T; B may be None.

    T is a power of two of at most ``longest``, and less where the powers of A grow, as `tame_squares` says.
    """
    rows, columns = C[..., None, :], None if B is None else B[..., None, :]
    for square in tame_squares(xp, A, longest):
        rows = xp.concat([rows, xp.matmul(rows, A)], axis=-2)
        if columns is not None:
            columns = xp.concat([columns, xp.matmul(columns, xp.matrix_transpose(A))], axis=-2)
        A = square
    return rows, columns, A


def tame_squares(xp: Any, A: Any, longest: int) -> Iterator[Any]:
    """Yield A^2, A^4, ... up to A^longest at most, as long as their norms are like those of A or of a contraction.

    A product with A^T rounds like eps norm(A^T): where the powers of a matrix that is far from normal grow before they
    decay, steps with A itself keep the digits that a jump of T steps would lose. Lazy arrays are squared unseen.
    """
    bound = None if is_lazy(A) else _GROWTH * xp.clip(_norms(xp, A), min=math.sqrt(A.shape[-1]))
    T = 1
    while longest // 2 >= T:
        A, T = xp.matmul(A, A), 2 * T
        if bound is not None and not bool(xp.all(_norms(xp, A) <= bound)):
            return
        yield A


def _norms(xp: Any, A: Any) -> Any:
    """Return the Frobenius norms of matrices, outside of any gradient."""
    return xp.linalg.matrix_norm(A.detach() if hasattr(A, "detach") else A)
