"""A sparse matrix in memory, its products split over the thread pool."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from scipy.sparse import csr_array

from lina._core.array import balance, check_finite, check_norm, conjugate, epsilon, open_door
from lina._core.threads import get_threads, run_rows
from lina.linalg._stopping import check_matrix
from lina.linalg._truncated_svd.sliced import Sliced
from lina.linalg._truncated_svd.visits import Triangle

_PIECES = 64  # of about as many entries each: rows of power-law data differ too much to be split evenly
_WORTH_THREADS = 1 << 22  # multiplications
_SLICE_ENTRIES = 1 << 21


class Sparse(Sliced):
    """A matrix in compressed rows; with ``center`` the mean of each column is subtracted without filling it.

    Each thread forms its own rows of a product, and each row is summed in the same order: the bits do not depend
    on the number of threads. With several, the rows of A^T are kept as well.
    """

    narrow = True

    def __init__(self, A: Any, center: bool, flip: bool) -> None:
        csr = _compressed(A)
        data, norm, scale = balance(xp, csr.data, "A")
        check_norm(data, norm, scale, "A")
        csr = _like(csr, data)
        super().__init__(xp, np.zeros((1, 1), dtype=data.dtype), csr.shape, norm, scale)
        self.size = self.norm = float(np.linalg.norm(data.astype(np.result_type(data.dtype, np.float64))))
        if center:
            mean, self.norm = _centred(csr)
            self.subtracted(mean * scale)
            self.shift = (np.ones(csr.shape[0], dtype=data.dtype), mean)
        if flip:
            csr = csr.T.tocsr()
            self.shape = csr.shape
            self.shift = self.shift and self.shift[::-1]
        self._rows, self._columns = csr, csr.T

    def _forward(self, X: Any) -> Any:
        return _product(self._rows, X.T).T

    def _backward(self, Y: Any) -> Any:
        if get_threads() > 1 and self._columns.format != "csr":
            self._columns = self._columns.tocsr()
        return conjugate(xp, _product(self._columns, conjugate(xp, Y).T).T)

    def together(self, X: Any) -> tuple[Any, Any]:
        """Return Y = X @ A.T and Y @ conj(A), each piece of rows used for both while it is at hand."""
        self.passes += 1
        inner = None if self.shift is None else X @ self.shift[1]
        parts, W = [], np.zeros((self.shape[1], X.shape[0]), dtype=X.dtype)
        tall = np.ascontiguousarray(X.T)
        for start, stop in _pieces(self._rows):
            piece = _rows_of(self._rows, start, stop)
            Y = piece @ tall
            if inner is not None and self.shift is not None:
                Y -= self.shift[0][start:stop, None] * inner
            W += conjugate(xp, piece.T @ conjugate(xp, Y))
            parts.append(Y.T)
        Y = np.concatenate(parts, axis=1)
        return Y, self._shift_back(W.T, Y)

    def slices(self) -> Iterator[tuple[int, Any]]:
        """Yield (first row, dense block, shift taken off) in order."""
        self.passes += 1
        step = max(1, _SLICE_ENTRIES // self.shape[1])
        for start in range(0, self.shape[0], step):
            block = _rows_of(self._rows, start, min(start + step, self.shape[0])).toarray()
            if self.shift is not None:
                p, q = self.shift
                block -= p[start : start + step, None] * q
            yield start, block

    def triangle(self) -> Any:
        """Return R with A = Q R."""
        found = Triangle(xp)
        for _, block in self.slices():
            found.add(block)
        return found.R

    def gram(self) -> Any:
        """Return A^H A, (n, n)."""
        if self.shift is None:
            self.passes += 1
            return (self._rows.conj().T @ self._rows).toarray()
        return sum(block.conj().T @ block for _, block in self.slices())

    def doubt(self) -> float:
        # the norm is summed in double precision, a projection over one side at a time
        return epsilon(self.like) * (8 + math.sqrt(sum(self.shape)))


def _compressed(A: Any) -> Any:
    """Return ``A`` as rows without duplicates, in a working dtype; arrays are shared with it where they can be."""
    check_matrix(A)
    csr = csr_array(A)
    if csr.dtype.byteorder not in "=|":
        csr = csr.astype(csr.dtype.newbyteorder("="))
    csr = _like(csr, open_door(A=csr.data)[1])
    check_finite(xp, csr.data, "A")
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _like(csr: Any, data: Any) -> Any:
    return csr_array((data, csr.indices, csr.indptr), shape=csr.shape)


def _centred(csr: Any) -> tuple[Any, float]:
    """Return the mean of each column, and the Frobenius norm without it, column by column: no difference."""
    m, n = csr.shape
    wide = csr.data.astype(np.result_type(csr.dtype, np.float64))
    sums = np.bincount(csr.indices, wide.real, n)
    if wide.dtype.kind == "c":
        sums = sums + 1j * np.bincount(csr.indices, wide.imag, n)
    mean = (sums / m).astype(csr.dtype)
    empty = m - np.bincount(csr.indices, minlength=n)
    squares = np.sum(np.abs(wide - mean[csr.indices]) ** 2) + np.sum(empty * np.abs(mean.astype(wide.dtype)) ** 2)
    return mean, math.sqrt(float(squares))


def _rows_of(csr: Any, start: int, stop: int) -> Any:
    """Return rows start..stop, sharing the entries."""
    low, high = csr.indptr[start], csr.indptr[stop]
    entries = (csr.data[low:high], csr.indices[low:high], csr.indptr[start : stop + 1] - low)
    return csr_array(entries, shape=(stop - start, csr.shape[1]))


def _pieces(csr: Any) -> list[tuple[int, int]]:
    """Return ranges of rows with about equally many entries."""
    ends = np.searchsorted(csr.indptr, np.linspace(0, csr.nnz, _PIECES + 1)[1:-1])
    bounds = np.unique([0, *ends.tolist(), csr.shape[0]]).tolist()
    return list(pairwise(bounds))


def _product(A: Any, X: Any) -> Any:
    """Return A @ X for compressed rows, or for compressed columns at one thread."""
    X = np.ascontiguousarray(X)
    if A.format != "csr" or get_threads() == 1 or A.nnz * X.shape[1] < _WORTH_THREADS:
        return A @ X
    out = np.empty((A.shape[0], X.shape[1]), dtype=X.dtype)
    pieces = _pieces(A)

    def task(first: int, last: int) -> None:
        start, stop = pieces[first][0], pieces[last - 1][1]
        out[start:stop] = _rows_of(A, start, stop) @ X

    run_rows(task, len(pieces))
    return out
