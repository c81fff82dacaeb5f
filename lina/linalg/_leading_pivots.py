"""QR with column pivoting that ends after k steps, where LAPACK's only goes on to the end: for numpy."""

from typing import Any, NamedTuple

import numpy as np

_PANEL = 32
_BLOCK_ENTRIES = 1 << 18  # the product that a panel subtracts is never stored whole


class _Columns(NamedTuple):
    """The columns of A as ``rows`` (n, m), worked on in place, their ``order``, and the norms of what is left of them.

    ``exact`` are the norms as they were last computed from the entries, ``norms`` the same updated since.
    """

    rows: np.ndarray
    order: np.ndarray
    norms: np.ndarray
    exact: np.ndarray

    def downdate(self, i: int) -> np.ndarray:
        """Take entry i out of the norms of the columns behind it; return those columns whose digits that has cost."""
        norms, exact = self.norms[i + 1 :], self.exact[i + 1 :]
        left = norms > 0
        share = np.abs(self.rows[i + 1 :, i]) / np.where(left, norms, 1.0)
        square = np.where(left, np.maximum((1 + share) * (1 - share), 0.0), 0.0)
        # Drmac, Bujanovic, ACM Trans. Math. Softw. 35 (2008) 12: as LAPACK decides
        sure = square * (norms / np.where(left, exact, 1.0)) ** 2 > np.finfo(norms.dtype).eps ** 0.5
        self.norms[i + 1 :] *= np.sqrt(square)
        return i + 1 + np.flatnonzero(left & ~sure)


def leading_pivots(A: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first k rows R (k, n) and all pivots (n,) of QR with column pivoting of ``A`` (m, n).

    The steps of LAPACK's geqp3 (Quintana-Orti, Sun, Bischof, SIAM J. Sci. Comput. 19 (1998) 1486): half of the
    4 m n k flops are products of the matrix with a vector, the others products with a panel of reflectors.
    """
    rows = np.array(A.T, order="C")
    norms = np.linalg.norm(rows, axis=1)
    columns = _Columns(rows, np.arange(len(rows)), norms, norms.copy())
    done = 0
    while done < k:
        done = _panel(columns, done, min(k, done + _PANEL))
    return np.triu(rows[:, :k].T), columns.order


def _panel(columns: _Columns, start: int, stop: int) -> int:
    """Do the steps from ``start`` to ``stop``, fewer where a norm must be computed anew; return the one that is next.

    What is left is ``rows - G @ V.T`` with the reflectors in ``V`` (m, b), subtracted for one row and one column a
    step, and for the others at the end.
    """
    rows = columns.rows
    n, m = rows.shape
    V, G = (np.zeros((size, stop - start), dtype=rows.dtype) for size in (m, n))
    for i in range(start, stop):
        j, p = i - start, i + int(np.argmax(columns.norms[i:]))
        for each in (*columns, G):
            each[[i, p]] = each[[p, i]]
        rows[i, i:] -= V[i:, :j] @ G[i, :j]
        V[i:, j], rows[i, i], weight = _reflector(rows[i, i:])
        v = V[i:, j].conj()
        G[i + 1 :, j] = weight * (rows[i + 1 :, i:] @ v - G[i + 1 :, :j] @ (V[i:, :j].T @ v))
        rows[i + 1 :, i] -= G[i + 1 :, : j + 1] @ V[i, : j + 1]
        lost = columns.downdate(i)
        if lost.size:
            break
    done = i + 1
    step = max(1, _BLOCK_ENTRIES // m)
    for first in range(done, n, step):
        rows[first : first + step, done:] -= G[first : first + step, : j + 1] @ V[done:, : j + 1].T
    columns.norms[lost] = columns.exact[lost] = np.linalg.norm(rows[lost, done:], axis=1)
    return done


def _reflector(x: np.ndarray) -> tuple[np.ndarray, Any, Any]:
    """Return (v, beta, w) with x - w v (v^H x) = beta times the first unit vector, and v[0] = 1."""
    size = np.linalg.norm(x)
    if size == 0:
        return np.zeros_like(x), 0.0, 0.0
    beta = -np.copysign(size, x[0].real)
    v = x / (x[0] - beta)
    v[0] = 1.0
    return v, beta, np.conj((beta - x[0]) / beta)
