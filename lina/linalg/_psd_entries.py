"""The entries of a positive semidefinite matrix, read on demand: from an array, or from a callable."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import (
    adjoint,
    check_finite,
    divide,
    epsilon,
    open_door,
    refuse_gradient,
    safe_range,
    scalar,
    to_numpy,
)
from lina.linalg._stopping import check_matrix


class ArrayEntries:
    """The entries of an array, scaled by a power of two."""

    def __init__(self, A: Any, diag: Any) -> None:
        if diag is not None:
            raise ValueError("diag must be left out where A is an array, which has its own")
        self.xp, self.A = open_door(min_ndim=2, A=A)
        refuse_gradient("rpcholesky", A=self.A)
        check_square(self.A)
        diagonal = self.xp.linalg.diagonal(self.A)
        check_finite(self.xp, diagonal, "A")
        self._set_diagonal(diagonal)

    def _set_diagonal(self, diagonal: Any) -> None:
        self.n = int(diagonal.shape[0])
        values = to_numpy(diagonal)
        largest = float(np.max(np.abs(values)))
        low, high = safe_range(diagonal)
        within = largest == 0.0 or low < largest < high
        # an even power of two, so that its root is one too
        self.scale = 1.0 if within else 4.0 ** min(-(-math.frexp(largest)[1] // 2), 511)
        values = divide(values.astype(np.result_type(values.dtype, np.float64)), self.scale)
        self.largest = largest / self.scale
        self.tolerance = self.n * epsilon(diagonal) * self.largest
        self.diagonal = checked_diagonal(values, self.tolerance, self.scale)
        self.trace = math.fsum(self.diagonal)
        check_trace(diagonal, self.trace, self.scale)
        self.entries = self.n

    def noise(self, eps: float) -> np.ndarray:
        """Return what of the diagonal may be rounding: dividing by less would magnify that of the entries."""
        return 8 * math.sqrt(self.n) * eps * np.maximum(self.diagonal, 0.0)

    def read(self, rows: np.ndarray, columns: np.ndarray | None = None) -> Any:
        """Return the entries (p, q) there, of all columns by default."""
        xp, A = self.xp, self.A
        part = xp.take(A, on_device(xp, rows, A), axis=0)
        if columns is not None:
            part = xp.take(part, on_device(xp, columns, A), axis=1)
        else:
            self._check_hermitian(part, adjoint(xp, xp.take(A, on_device(xp, rows, A), axis=1)))
        return self._taken(part, len(rows), self.n if columns is None else len(columns))

    def _check_hermitian(self, part: Any, mirrored: Any) -> None:
        worst = scalar(self.xp.max(self.xp.abs(part - mirrored))) / self.scale
        if worst > self.tolerance:
            raise not_psd(f"entries that differ from their mirror images by {worst * self.scale:.4g}")

    def _taken(self, part: Any, p: int, q: int) -> Any:
        check_finite(self.xp, part, "A")
        self.entries += p * q
        return part if self.scale == 1.0 else divide(part, self.scale)


class CalledEntries(ArrayEntries):
    """The entries that a callable returns."""

    def __init__(self, entries: Callable[[np.ndarray, np.ndarray], Any], diag: Any) -> None:
        if diag is None:
            raise ValueError("diag must be given where A is a callable, got None")
        xp, diagonal = open_door(min_ndim=1, diag=diag)
        if diagonal.ndim != 1 or diagonal.shape[0] == 0:
            raise ValueError(f"diag must be a nonempty vector (n,), got shape {tuple(diagonal.shape)}")
        check_finite(xp, diagonal, "diag")
        self.function = entries
        self._set_diagonal(diagonal)

    def read(self, rows: np.ndarray, columns: np.ndarray | None = None) -> Any:
        """Return the entries (p, q) there, of all columns by default."""
        wanted = np.arange(self.n) if columns is None else columns
        self.xp, part = open_door(A=self.function(rows, wanted))
        if tuple(part.shape) != (len(rows), len(wanted)):
            shape = (len(rows), len(wanted))
            raise ValueError(f"A must return entries of the shape {shape} asked for, got {tuple(part.shape)}")
        return self._taken(part, len(rows), len(wanted))


def check_square(A: Any, name: str = "A") -> None:
    """Raise ValueError unless ``A`` is a nonempty square matrix with values that can be looked at."""
    check_matrix(A, name)
    if A.shape[0] != A.shape[1]:
        raise ValueError(f"{name} must be a square matrix (n, n), got shape {tuple(A.shape)}")


def not_psd(what: str) -> ValueError:
    """Return the error that says how a matrix was seen not to be positive semidefinite."""
    return ValueError(f"A must be Hermitian positive semidefinite to rounding, found {what}")


def checked_diagonal(diagonal: np.ndarray, bound: float, scale: float) -> np.ndarray:
    """Return the diagonal as real float64 numbers; raise ValueError where ``bound`` is exceeded by what must be 0."""
    values = np.real(diagonal).astype(np.float64)
    worst = int(np.argmin(values))
    if values[worst] < -bound:
        raise not_psd(f"{values[worst] * scale:.4g} on its diagonal")
    if np.iscomplexobj(diagonal) and np.max(np.abs(np.imag(diagonal))) > bound:
        raise not_psd("a diagonal that is not real")
    return values


def check_trace(A: Any, trace: float, scale: float) -> None:
    """Raise OverflowError if the trace, ``trace * scale``, exceeds half the range of the dtype of ``A``."""
    largest = 2.0**1023 if epsilon(A) == 2.0**-52 else 2.0**127
    if trace > largest / scale:
        raise OverflowError(f"A must have a trace below {largest:.4g}, found a larger one")


def on_device(xp: Any, indices: np.ndarray, like: Any) -> Any:
    """Return indices on the host as those of the library and device of ``like``."""
    return xp.asarray(indices, dtype=xp.int64, device=device(like))
