"""Strong rank-revealing QR: columns are exchanged while that makes the volume of those chosen grow by a factor."""

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, conjugate, epsilon, scalar, to_numpy
from lina.linalg._column_basis import ColumnBasis, column_basis, take_columns
from lina.linalg._pivoted_qr import numerical_rank, pivoted_qr

# An exchange counts where it gains more than rounding.
_MARGIN = 1e3
# Rounding grows with every update, and with the volume.
_MOST_UPDATES = 100

_BLOCK_ENTRIES = 1 << 18  # a block stays in cache


def strong_rrqr(xp: Any, A: Any, basis: ColumnBasis, bound: float) -> tuple[ColumnBasis, bool]:
    """Exchange columns of ``basis`` until no exchange makes their volume grow by more than ``bound`` >= 1.

    Returns the new basis, and whether its coefficients are at most ``bound`` in size. With the QR factors
    R11 = R (k, k), R12, R22 of all columns these are the entries of R11^-1 R12; and every singular value of R11 is at
    least that of ``A`` divided by q, every one of R22 at most that of ``A``, k places later, times q, where
    q^2 = 1 + bound^2 k (n - k) (Gu, Eisenstat, SIAM J. Sci. Comput. 17 (1996) 848, theorem 3.2).

    The volume, det(C^H C)^(1/2), limits the number of exchanges to log(largest possible / first) / log(bound). To
    look for one costs 2 m n k flops at first, each one 2 m n + 4 k (m + n), by updates; after some of them the columns
    are factored anew, and so at the end. Where their volume then has not grown as it should have, rounding decides.
    """
    limit = bound * (1 + _MARGIN * epsilon(A))
    expected = -math.inf
    while True:
        rest, Z = _rest_norms(xp, A, basis), basis.coefficients(xp)
        # what rounding makes of a column that lies in the span
        noise = 10 * math.sqrt(basis.B.shape[0]) * epsilon(A) * (rest + _column_norms(xp, basis.B))
        i, j, gain = _best_exchange(xp, Z, _row_norms(xp, basis.inverse), _above(xp, rest, noise), basis.indices)
        volume = _log_volume(xp, basis)
        if not gain > limit or volume < expected:  # no number where the columns are dependent beyond all range
            return basis, scalar(xp.max(xp.abs(Z))) <= limit
        state, growth, count = _State.of(xp, A, basis, rest), 1.0, 0
        while gain > limit and growth < epsilon(A) ** -0.25 and count < _MOST_UPDATES:
            state, growth, count = state.exchanged(xp, i, j), growth * gain, count + 1
            i, j, gain = state.best_exchange(xp, noise)
        indices = _sorted(xp, A, state.indices)
        expected = volume + math.log(growth) / 2 if indices.shape[0] == state.indices.shape[0] else -math.inf
        basis = column_basis(xp, A, indices)


def _log_volume(xp: Any, basis: ColumnBasis) -> float:
    """Return the logarithm of det(C^H C)^(1/2)."""
    return -math.fsum(math.log(each) for each in to_numpy(xp.abs(xp.linalg.diagonal(basis.inverse))).tolist())


def _sorted(xp: Any, A: Any, indices: Any) -> Any:
    """Return ``indices`` with the most important first, without those whose columns are rounding beside the others."""
    R, order = pivoted_qr(xp, xp.linalg.qr(take_columns(xp, A, indices))[1], indices.shape[0])
    return xp.take(indices, order[: numerical_rank(xp, R, max(A.shape))])


def _column_norms(xp: Any, M: Any) -> Any:
    return xp.sqrt(xp.sum(xp.abs(M) ** 2, axis=0))


def _row_norms(xp: Any, W: Any) -> Any:
    """Return the norms of the rows of ``W``, which is large where the columns chosen are nearly dependent."""
    scale = xp.max(xp.abs(W))
    return scale * xp.sqrt(xp.sum(xp.abs(W / xp.astype(scale, W.dtype)) ** 2, axis=1))


def _rest_norms(xp: Any, A: Any, basis: ColumnBasis) -> Any:
    """Return the norms of the columns of A - Q B, row block by row block: the difference is never stored whole."""
    m, n = A.shape
    step = max(1, _BLOCK_ENTRIES // n)
    parts = [slice(start, min(start + step, m)) for start in range(0, m, step)]
    squares = [xp.sum(xp.abs(A[part, :] - basis.Q[part, :] @ basis.B) ** 2, axis=0) for part in parts]
    return xp.sqrt(sum(squares[1:], squares[0]))


def _above(xp: Any, rest: Any, noise: Any) -> Any:
    return xp.where(rest > noise, rest, xp.zeros_like(rest))


def _best_exchange(xp: Any, Z: Any, dual: Any, rest: Any, indices: Any) -> tuple[int, int, float]:
    """Return (i, j, gain): column j in the place of the i-th chosen makes the volume grow most, by the factor ``gain``.

    ``dual`` (k,) are the norms of the rows of C^+, ``rest`` (n,) those of the columns of A - C Z.
    """
    free = xp.asarray(~np.isin(np.arange(Z.shape[1]), to_numpy(indices)), device=device(Z))
    size = xp.abs(Z)
    scale = 2.0 ** math.frexp(max(scalar(xp.max(size)), scalar(xp.max(dual)) * scalar(xp.max(rest))))[1]
    # lemma 3.1 of Gu and Eisenstat
    gains = (size / scale) ** 2 + ((dual / scale)[:, None] * rest[None, :]) ** 2
    gains = xp.where(free[None, :], gains, xp.zeros_like(gains))
    i, j = divmod(int(xp.argmax(xp.reshape(gains, (-1,)))), gains.shape[1])
    return i, j, scale * math.sqrt(scalar(gains[i, j]))


class _State(NamedTuple):
    """For the columns C = A[:, indices] (m, k): Z = C^+ A (k, n), W = C^+ (k, m), and the norms of those of A - C Z.

    These are ``rest`` (n,), updated since they were last computed from the entries; ``largest`` is what they have been.
    A - C Z itself is E (m, n) + left^T @ right, with two rows (t, m) and (t, n) for each exchange: to update it would
    be most of the work.
    """

    indices: Any
    Z: Any
    W: Any
    E: Any
    left: Any
    right: Any
    rest: Any
    largest: Any

    @staticmethod
    def of(xp: Any, A: Any, basis: ColumnBasis, rest: Any) -> "_State":
        W, E = basis.inverse @ adjoint(xp, basis.Q), A - basis.Q @ basis.B
        left, right = (xp.zeros((0, size), dtype=A.dtype, device=device(A)) for size in A.shape)
        return _State(basis.indices, basis.coefficients(xp), W, E, left, right, rest, rest)

    def best_exchange(self, xp: Any, noise: Any) -> tuple[int, int, float]:
        return _best_exchange(xp, self.Z, _row_norms(xp, self.W), _above(xp, self.rest, noise), self.indices)

    def exchanged(self, xp: Any, i: int, j: int) -> "_State":
        """Return the state with column j of A in the place of the i-th one chosen.

        First column i goes: u = W_i^H / |W_i| is the direction that only it had. Then column j comes, of which the
        others leave v = E_j + u Z_ij / |W_i|. All columns gain their part along u, and lose that along v.
        """
        w, z = self.W[i, :], self.Z[i, :]
        size = xp.astype(_row_norms(xp, w[None, :])[0], w.dtype)
        u, gained = conjugate(xp, w / size), z / size
        shared = (self.W @ u) / size
        v = self.E[:, j] + self.right[:, j] @ self.left + u * gained[j]
        length = xp.linalg.vector_norm(v)
        dual = conjugate(xp, v) / xp.astype(length, v.dtype) ** 2
        row = dual @ self.E + (self.left @ dual) @ self.right + (dual @ u) * gained
        here = xp.arange(self.Z.shape[0], device=device(v)) == i
        turned = xp.stack([shared, self.Z[:, j] - shared * z[j] - xp.astype(here, v.dtype)], axis=1)
        indices = xp.where(here, xp.full_like(self.indices, j), self.indices)
        Z = self.Z - turned @ xp.stack([z, row], axis=0)
        W = self.W - turned @ xp.stack([w, dual], axis=0)
        left = xp.concat([self.left, xp.stack([u, v], axis=0)], axis=0)
        right = xp.concat([self.right, xp.stack([gained, -row], axis=0)], axis=0)
        more = xp.sqrt(self.rest**2 + xp.abs(gained) ** 2)
        zero = xp.zeros_like(more)
        squares = xp.maximum(more**2 - (xp.abs(row) * length) ** 2, zero)
        squares = xp.where(xp.arange(more.shape[0], device=device(v)) == j, zero, squares)
        largest = xp.maximum(self.largest, more)
        return _State(indices, Z, W, self.E, left, right, xp.sqrt(squares), largest)._measured(xp)

    def _measured(self, xp: Any) -> "_State":
        """Compute those norms anew of which the updates have left less than half of the digits."""
        lost = np.flatnonzero(to_numpy(self.rest <= epsilon(self.E) ** 0.25 * self.largest))
        lost = np.setdiff1d(lost, to_numpy(self.indices))  # no column is exchanged for one of these
        some = xp.asarray(lost, device=device(self.E))
        columns = take_columns(xp, self.E, some) + xp.matrix_transpose(self.left) @ xp.take(self.right, some, axis=1)
        rest, largest = to_numpy(self.rest).copy(), to_numpy(self.largest).copy()
        rest[lost] = largest[lost] = to_numpy(_column_norms(xp, columns))
        rest, largest = (xp.asarray(each, device=device(self.E)) for each in (rest, largest))
        return self._replace(rest=rest, largest=largest)
