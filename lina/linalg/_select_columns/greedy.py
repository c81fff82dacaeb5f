"""Greedy selection: each step takes the column that lowers the error of all columns most."""

from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, dtype_name, epsilon, scalar
from lina.linalg._orthonormal import orthonormal_columns

# Relative error of a gain at which the Gram matrix of what is left is formed anew.
_ACCURACY = 1e-4


def greedy(xp: Any, A: Any, k: int, _rng: np.random.Generator) -> np.ndarray:
    """Return at most ``k`` columns of ``A`` (m, n): 2 m n min(m, n) + 2 n min(n, 4 m) k + 4 n k^2 flops.

    Each one is what trying all candidates would take: with the Gram matrix K of the residual E, column i lowers
    norm(E)^2 by norm(K[:, i])^2 / K[i, i], and both are updated by matrix-vector products
    (Farahat, Ghodsi, Kamel, Knowl. Inf. Syst. 45 (2015) 1).
    """
    chosen: list[int] = []
    rest = A
    while len(chosen) < k:
        fresh = _until_stale(xp, rest, k - len(chosen))
        if not fresh:
            break
        chosen += fresh
        if len(chosen) < k:
            rest = _residual(xp, A, chosen)
    return np.asarray(chosen, dtype=np.int64)


def _residual(xp: Any, A: Any, chosen: list[int]) -> Any:
    """Return what the chosen columns leave of ``A``, with zeros in columns of which only rounding is left.

    Rounding is ten times what it is for pivots: the coefficients in the chosen columns magnify it.
    """
    indices = np.asarray(chosen)
    Q = orthonormal_columns(xp, xp.take(A, xp.asarray(indices, device=device(A)), axis=1))
    rest = A - Q @ (adjoint(xp, Q) @ A)
    size, left = (xp.linalg.vector_norm(each, axis=0) for each in (A, rest))
    free = xp.asarray(~np.isin(np.arange(A.shape[1]), indices), device=device(A))
    keep = free & (left > 10 * max(A.shape) * epsilon(A) * xp.max(size))
    return xp.where(keep[None, :], rest, xp.zeros_like(rest))


def _until_stale(xp: Any, E: Any, k: int) -> list[int]:
    """Return at most ``k`` further columns, fewer when the updated quantities have lost their digits.

    ``gain`` of a column errs by eps times its energy times the whole energy. So its quotient with ``left`` has a
    relative error of _ACCURACY where a share s of the whole energy is left, and of the column at least as much.
    """
    conj, real = (xp.conj, xp.real) if dtype_name(E).startswith("complex") else (_same, _same)
    EH = conj(xp.matrix_transpose(E))
    if E.shape[0] >= E.shape[1]:
        G = EH @ E
        left, gain = real(xp.linalg.diagonal(G)), xp.sum(xp.abs(G) ** 2, axis=0)
    else:  # the Gram matrix would be the larger one, and is never formed
        G = None
        left, gain = xp.sum(xp.abs(E) ** 2, axis=0), real(xp.sum(conj(E) * ((E @ EH) @ E), axis=0))
    s = (epsilon(E) / _ACCURACY) ** 0.5
    unsure = s * left
    # below this a column cannot be told from a dependent one; chosen ones and zeros never come back
    floor = xp.where(left > 0, E.shape[1] * epsilon(E) * left, xp.ones_like(left) * np.inf)
    whole = energy = scalar(xp.sum(left))
    places, nothing = xp.arange(E.shape[1], device=device(E)), xp.zeros_like(left)
    W = xp.zeros((0, E.shape[1]), dtype=E.dtype, device=device(E))
    chosen: list[int] = []
    while len(chosen) < k and energy > s * whole:
        score = xp.where(left > floor, gain, nothing) / xp.maximum(left, floor)
        p = int(xp.argmax(score))
        best, pivot = scalar(score[p]), scalar(left[p])
        if best <= 0 or pivot <= scalar(unsure[p]):
            break
        chosen.append(p)
        energy -= best
        column = G[:, p] if G is not None else EH @ E[:, p]
        w = (column - conj(W[:, p]) @ W) / pivot**0.5
        image = G @ w if G is not None else EH @ (E @ w)
        image = image - (conj(W) @ w) @ W
        size = xp.abs(w) ** 2
        gain = gain + (xp.sum(size) * size - 2 * real(conj(w) * image))
        left = left - size
        floor = xp.where(places == p, np.inf, floor)
        W = xp.concat([W, w[None, :]], axis=0)
    return chosen


def _same(x: Any) -> Any:
    return x
