"""Robust blockwise random pivoting: blocks drawn by what is left, each cleaned by a pivoted QR of its own."""

from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, epsilon, to_numpy
from lina.linalg._orthonormal import orthonormal_columns
from lina.linalg._pivoted_qr import pivoted_qr

_BLOCK = 16
# Candidates drawn for each column that a block may keep: 1, as published, loses up to 40 % to pivoted QR, 4 under 10 %.
_CANDIDATES = 4


def rbrp(xp: Any, A: Any, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most ``k`` columns of ``A`` (m, n) in about 4 m n k flops of matrix products.

    Candidates are drawn with probabilities like the squared norms of what is left of each column; of d of them
    pivoted QR keeps those before the remainder falls below 1 / d of their energy, so that twins drawn together count
    once (Dong, Chen, Martinsson, Pearce, arXiv:2309.16002, robust blockwise filtering), and 16 at most.
    """
    rest = A
    total = _energy(xp, A)
    chosen: list[int] = []
    while len(chosen) < k:
        energy = _energy(xp, rest)
        energy[energy <= (10 * epsilon(A)) ** 2 * A.shape[0] * total] = 0
        energy[chosen] = 0
        if not np.any(energy):
            break
        b = min(_BLOCK, k - len(chosen))
        drawn = rng.choice(
            energy.size,
            min(_CANDIDATES * b, int(np.count_nonzero(energy))),
            replace=False,
            p=energy / energy.sum(),
        )
        block = xp.take(rest, xp.asarray(drawn, device=device(A)), axis=1)
        R, pivots = pivoted_qr(xp, block, min(block.shape))
        kept = drawn[to_numpy(pivots)[: min(b, _robust(to_numpy(R)))]]
        chosen += kept.tolist()
        Q = orthonormal_columns(xp, xp.take(rest, xp.asarray(kept, device=device(A)), axis=1))
        rest = rest - Q @ (adjoint(xp, Q) @ rest)
    return np.asarray(chosen, dtype=np.int64)


def _energy(xp: Any, A: Any) -> np.ndarray:
    """Return the squared norms of the columns."""
    return to_numpy(xp.sum(xp.abs(A) ** 2, axis=0)).astype(np.float64)


def _robust(R: np.ndarray) -> int:
    """Return the least j >= 1 with norm(R[j:, j:])^2 < norm(R)^2 / d for ``R`` with d columns."""
    tails = np.cumsum(np.sum(np.abs(R.astype(np.complex128)) ** 2, axis=1)[::-1])[::-1]
    enough = np.flatnonzero(np.append(tails[1:], 0.0) < tails[0] / R.shape[1])
    return int(enough[0]) + 1
