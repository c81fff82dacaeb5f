"""Inner products of the terms: all of them where that is the least work, otherwise those that a choice asks for."""

import numpy as np

from lina._core.array import adjoint, conjugate, to_numpy
from lina.linalg._cr_matmul.terms import Terms

# A product with a vector is so many times slower, flop by flop, than one of matrices.
_SLOWER = 16
# Most entries of the Gram matrix for every one of X and Y, and the size up to which it is small anyway.
_MOST_MEMORY = 4
_SMALL = 2048
# Terms whose inner products are computed together: those that the choice would take next if nothing changed.
_AHEAD = 64


class InnerProducts:
    """Inner products of ``terms`` with their sum and with each other, for ``r`` steps, on the host in float64."""

    def __init__(self, terms: Terms, r: int) -> None:
        self.terms = terms
        m, n, count = terms.m, terms.n, terms.l
        cheap = count * (m + n) <= _SLOWER * r * (m + n) + 2 * m * n
        self._rows: dict[int, np.ndarray] = {}
        self._gram: np.ndarray | None = None
        if cheap and count <= max(_SMALL, _MOST_MEMORY * (m + n)):
            self._gram = _wide(to_numpy(terms.gram))
            self.with_sum: np.ndarray = self._gram.sum(axis=1)
        else:
            self.with_sum = _with_product(terms)

    def column(self, p: int, score: np.ndarray) -> np.ndarray:
        """Return those of all terms with term ``p``, ``score`` (l,) being what the choice prefers terms by."""
        if self._gram is not None:
            return self._gram[:, p]
        if p not in self._rows:
            count = min(_AHEAD, len(score))
            next_ones = np.argpartition(-score, count - 1)[:count]
            batch = np.concatenate([[p], next_ones[next_ones != p]])
            self._rows = dict(zip(batch.tolist(), _wide(to_numpy(self.terms.gram_rows(batch))), strict=True))
        return self._rows[p].conj()


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.result_type(x.dtype, np.float64), copy=False)


def _with_product(terms: Terms) -> np.ndarray:
    """Return the inner products (l,) of the terms with X Y, block by block of its rows; 4 l m n flops."""
    xp, X, Y = terms.xp, terms.X, terms.Y
    parts = [xp.sum(conjugate(xp, X[rows, :]) * ((X[rows, :] @ Y) @ adjoint(xp, Y)), axis=0) for rows in terms.blocks()]
    return _wide(to_numpy(sum(parts[1:], parts[0])))
