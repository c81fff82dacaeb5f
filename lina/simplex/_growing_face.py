"""A quadratic on a face of the simplex that grows by one entry at a time, its factor kept from one to the next."""

from collections.abc import Callable

import numpy as np

EPS = 2.0**-52

# An entry whose row depends on those before it to this accuracy is not added: the solution would be rounding.
_DEPENDENT = 1e-10

_REFINEMENTS = 3


class GrowingFace:
    """The inverse T of the Cholesky factor of G = K + shift on the ``members``, in the order in which they came.

    Along the face the sum of the weights does not change, nor does the shift change anything: with it a K that is
    singular along the sum alone will do. ``column(i)`` returns K[:, i].
    """

    def __init__(self, column: Callable[[int], np.ndarray]) -> None:
        self.column = column
        self.members = np.empty(0, dtype=np.int64)
        self.shift = 0.0
        self.G, self.T = np.zeros((16, 16)), np.zeros((16, 16))

    def minimise(self, chosen: np.ndarray, x: np.ndarray, gradient: np.ndarray, tolerance: float) -> np.ndarray | None:
        """Return the best weights of the ``chosen`` entries, where all of them are positive; None where not.

        ``x`` and ``gradient`` are those of a point of the same sum, and the entries of the gradient agree in the answer
        to ``tolerance`` or rounding. Cost 14 k^2 flops where ``chosen`` is the last face and one entry after it.
        """
        if not self._follow(chosen):
            return None
        k = chosen.size
        order = np.empty(k, dtype=np.int64)
        order[np.argsort(self.members)] = np.argsort(chosen)
        G, T, y, g = self.G[:k, :k], self.T[:k, :k], x[order], gradient[order]
        enough = max(0.5 * tolerance, 4 * EPS * float(np.max(np.abs(g)) + np.max(np.diagonal(G))))
        for _ in range(_REFINEMENTS):
            down, ones = (T.T @ (T @ np.stack([g, np.ones(k)], axis=1))).T
            step = ones * (down.sum() / ones.sum()) - down
            y, g = y + step, g + G @ step
            if y.min() <= 0:
                return None
            if g.max() - g.min() <= enough:
                found = np.empty(k)
                found[order] = y
                return found
        return None

    def _follow(self, chosen: np.ndarray) -> bool:
        """Take the ``chosen`` entries for the members, and their factor; False where they depend on each other."""
        before = np.sort(self.members)
        if np.array_equal(np.sort(chosen), before):
            return True
        if self.members.size and np.array_equal(np.sort(chosen[:-1]), before):
            return self._append(int(chosen[-1]))
        return self._factorise(chosen)

    def _append(self, i: int) -> bool:
        k, column = self.members.size, self.column(i)
        row, whole = column[self.members] + self.shift, float(column[i]) + self.shift
        T = self.T[:k, :k]
        across = T @ row
        rest = whole - float(across @ across)
        if not rest > _DEPENDENT * whole:
            return False
        self._reserve(k + 1)
        self.G[k, :k], self.G[:k, k], self.G[k, k] = row, row, whole
        self.T[k, :k], self.T[k, k] = -(across @ T) / np.sqrt(rest), 1 / np.sqrt(rest)
        self.members = np.append(self.members, i)
        return True

    def _factorise(self, chosen: np.ndarray) -> bool:
        k = chosen.size
        K = np.stack([self.column(i)[chosen] for i in chosen.tolist()])
        shift = float(np.max(np.diagonal(K)))
        G = (K + K.T) / 2 + shift
        try:
            L = np.linalg.cholesky(G)
        except np.linalg.LinAlgError:
            return False
        if not np.all(np.diagonal(L) ** 2 > _DEPENDENT * np.diagonal(G)):
            return False
        self._reserve(k)
        self.shift, self.members = shift, chosen.copy()
        self.G[:k, :k], self.T[:k, :k] = G, np.tril(np.linalg.inv(L))
        return True

    def _reserve(self, k: int) -> None:
        size = self.G.shape[0]
        if k > size:
            more = (0, max(k - size, size))
            self.G, self.T = np.pad(self.G, (more, more)), np.pad(self.T, (more, more))
