"""Random matrices with few rows that keep lengths: Gaussian, sparse sign, count, subsampled cosine transform."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse
from array_api_compat import device

from lina._core.array import check_finite, dtype_name, from_numpy, is_lazy, open_door, real_dtype
from lina._core.checks import check_option, check_rank
from lina._core.kernels import kernel, library
from lina._core.random import generator
from lina.linalg._lowrank import Concise

KINDS = ("gaussian", "sparse_sign", "count", "srft")

_NONZEROS = 8
# Columns of another order are copied so many entries at a time: a block stays in cache, and rows in it stay long.
_BLOCK_ENTRIES = 1 << 17
_LEAST_COLUMNS = 16


@dataclass(frozen=True, eq=False, repr=False)
class Sketch(Concise):
    """A random real matrix of shape (d, m) with E[S^T S] = I, applied as ``S @ A``.

    Attributes
    ----------
    kind : str
        "gaussian", "sparse_sign", "count" or "srft".
    shape : tuple of int
        (d, m).
    """

    kind: str
    shape: tuple[int, int]

    def __matmul__(self, A: Any) -> Any:
        """Apply to a vector (m,) or a matrix (m, n) of any library, in its precision."""
        xp, A = open_door(min_ndim=1, A=A)
        if A.ndim > 2 or A.shape[0] != self.shape[1]:
            wanted = f"({self.shape[1]},) or ({self.shape[1]}, n)"
            raise ValueError(f"A must have shape {wanted}, got {tuple(A.shape)}")
        check_finite(xp, A, "A")
        with np.errstate(over="ignore", invalid="ignore"):  # looked at in the next line
            out = self._apply(xp, A if A.ndim == 2 else A[:, None])
        if not is_lazy(out) and not bool(xp.all(xp.isfinite(out))):
            raise OverflowError(f"A must not be so large that its sketch overflows {dtype_name(out)}")
        return out if A.ndim == 2 else out[:, 0]

    def toarray(self) -> np.ndarray:
        """Return the matrix (d, m) itself, in float64."""
        raise NotImplementedError

    def _apply(self, xp: Any, A: Any) -> Any:
        like = A[:1, :1] if dtype_name(A).startswith("float") else xp.real(A[:1, :1])
        return xp.astype(from_numpy(self.toarray(), like), A.dtype) @ A


@dataclass(frozen=True, eq=False, repr=False)
class GaussianSketch(Sketch):
    """Independent normal entries of variance 1 / d: nothing embeds better, 2 d m n flops."""

    entries: np.ndarray

    def toarray(self) -> np.ndarray:
        """Return the matrix (d, m) itself, in float64."""
        return self.entries.copy()


@dataclass(frozen=True, eq=False, repr=False)
class SignSketch(Sketch):
    """A few entries +-1 / sqrt(z) in every column, at ``rows`` (z, m) with ``signs`` (z, m): 2 z m n flops."""

    rows: np.ndarray
    signs: np.ndarray

    def toarray(self) -> np.ndarray:
        """Return the matrix (d, m) itself, in float64."""
        return self._sparse(np.dtype("float64")).toarray()

    def _sparse(self, dtype: Any) -> Any:
        z, m = self.rows.shape
        starts = np.arange(0, z * m + 1, z)
        values = (self.signs.T.ravel() / np.sqrt(z)).astype(dtype)
        # by columns: every row of A is read once, in order, into a small result
        return scipy.sparse.csc_array((values, self.rows.T.ravel(), starts), shape=self.shape)

    def _apply(self, xp: Any, A: Any) -> Any:
        if library(xp) != "numpy":
            return super()._apply(xp, A)  # the array API has no scattered sum
        S = self._sparse(A.real.dtype)
        if A.flags.c_contiguous:
            return S @ A
        step = max(_LEAST_COLUMNS, _BLOCK_ENTRIES // A.shape[0])
        out = np.empty((self.shape[0], A.shape[1]), dtype=A.dtype)
        for start in range(0, A.shape[1], step):
            out[:, start : start + step] = S @ np.ascontiguousarray(A[:, start : start + step])
        return out


@dataclass(frozen=True, eq=False, repr=False)
class CosineSketch(Sketch):
    """sqrt(m / d) times ``rows`` (d,) of the orthonormal cosine transform after ``signs`` (m,): O(m n log m) flops.

    The real relative of the subsampled Fourier transform: real matrices stay real.
    """

    rows: np.ndarray
    signs: np.ndarray

    def toarray(self) -> np.ndarray:
        """Return the matrix (d, m) itself, in float64."""
        _, m = self.shape
        # cos(pi (2 i + 1) k / (2 m)), the angle reduced in integers
        angle = (2 * np.arange(m) + 1) * self.rows[:, None] % (4 * m) * (np.pi / (2 * m))
        weight = np.where(self.rows == 0, 1.0, 2.0) / self.shape[0]
        return np.sqrt(weight)[:, None] * np.cos(angle) * self.signs

    def _apply(self, xp: Any, A: Any) -> Any:
        d, m = self.shape
        complex_input = dtype_name(A).startswith("complex")
        signs = from_numpy(self.signs, xp.real(A[:1, :1]) if complex_input else A[:1, :1])[:, None]
        transformed = _cosine_transform(xp, xp.astype(signs, A.dtype) * A)
        return (m / d) ** 0.5 * xp.take(transformed, xp.asarray(self.rows, device=device(A)), axis=0)


def sketch(d: int, m: int, *, kind: str = "gaussian", nonzeros: int = _NONZEROS, rng: Any = None) -> Sketch:
    """Draw a random matrix of shape (d, m), d < m, that keeps the lengths of vectors in a small subspace.

    Parameters
    ----------
    d, m : int
        Rows and columns. A subspace of dimension k is embedded with a distortion of about sqrt(k / d) by "gaussian".
    kind : {"gaussian", "sparse_sign", "count", "srft"}
        Independent normal entries; ``nonzeros`` random signs in every column, each in its own band of rows; one
        random sign in every column (needs d of the order k^2); random signs, cosine transform, sampled rows (needs
        d <= m).
    nonzeros : int
        Entries in a column of "sparse_sign", at most d; 8 embeds about as well as "gaussian".
    rng : int, numpy.random.Generator or None
        Source of the draws, made in float64 on the CPU: every library and device sees the same matrix.

    Returns
    -------
    Sketch
        ``S @ A`` for ``A`` of shape (m, n) or (m,), real or complex, in the library, device and precision of ``A``;
        ``S.toarray()``, ``S.shape``, ``S.kind``.

    Raises
    ------
    TypeError
        If ``d``, ``m`` or ``nonzeros`` is no int, or ``rng`` none of the above.
    ValueError
        If one of them is out of range, or ``kind`` is unknown.

    Notes
    -----
    All kinds have E[S^T S] = I. Flops of a product: 2 d m n, 2 z m n with z ``nonzeros``, 2 m n, and
    O(m n log m); numpy has the fast forms, other libraries apply sparse kinds as dense matrices. There is no
    certificate: what is computed from a sketch carries its own.

    References
    ----------
    Martinsson, Tropp, Acta Numer. 29 (2020) 403, sections 8 and 9; Nelson, Nguyen, FOCS 2013 (signs in bands).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import sketch
    >>> x = np.ones(1000)
    >>> y = sketch(200, 1000, kind="sparse_sign", rng=0) @ x
    >>> y.shape, bool(abs(np.linalg.norm(y) / np.linalg.norm(x) - 1) < 0.2)
    ((200,), True)
    """
    d, m = check_positive(d, "d"), check_positive(m, "m")
    check_option(kind, KINDS, "kind")
    draws = generator(rng)
    if kind == "gaussian":
        return GaussianSketch(kind, (d, m), draws.standard_normal((d, m)) / np.sqrt(d))
    if kind == "srft":
        if d > m:
            raise ValueError(f"d must be at most m = {m} for kind='srft', got {d}")
        rows = np.sort(draws.choice(m, d, replace=False))
        return CosineSketch(kind, (d, m), rows, draws.choice((-1.0, 1.0), m))
    z = 1 if kind == "count" else min(d, check_positive(nonzeros, "nonzeros"))
    # one entry in each of z bands of rows: distinct rows without a search
    edges = np.arange(z + 1) * d // z
    rows = draws.integers(edges[:-1, None], edges[1:, None], (z, m))
    return SignSketch(kind, (d, m), rows, draws.choice((-1.0, 1.0), (z, m)))


def check_positive(value: Any, name: str) -> int:
    """Return ``value`` as an int of at least 1."""
    try:
        return check_rank(value, 2**62, name)
    except ValueError:
        raise ValueError(f"{name} must be at least 1, got {value}") from None


def _cosine_transform(xp: Any, A: Any) -> Any:
    """Return the orthonormal cosine transform (second kind) of the columns of ``A`` (m, n)."""
    fast = kernel("cosine_transform", xp)
    if fast is not None:
        return fast(A)
    if dtype_name(A).startswith("complex"):
        return _join(xp, _cosine_transform(xp, xp.real(A)), _cosine_transform(xp, xp.imag(A)), A)
    m = A.shape[0]
    # Makhoul 1980: even rows forward, then odd rows backward, and one Fourier transform of the same length
    order = np.concatenate([np.arange(0, m, 2), np.arange(1, m, 2)[::-1]])
    V = xp.fft.fft(xp.astype(xp.take(A, xp.asarray(order, device=device(A)), axis=0), _complex_dtype(xp, A)), axis=0)
    angle = np.pi * np.arange(m) / (2 * m)
    weight = np.sqrt(np.where(np.arange(m) == 0, 1.0, 2.0) / m)
    cosine, sine = (from_numpy((f(angle) * weight)[:, None], A) for f in (np.cos, np.sin))
    return cosine * xp.real(V) + sine * xp.imag(V)


def scipy_cosine_transform(A: np.ndarray) -> np.ndarray:
    """Return the orthonormal cosine transform (second kind) of the columns of ``A`` (m, n): the numpy kernel."""
    return scipy.fft.dct(A, axis=0, norm="ortho")


def _complex_dtype(xp: Any, A: Any) -> Any:
    return xp.complex128 if real_dtype(xp, A) == xp.float64 else xp.complex64


def _join(xp: Any, real: Any, imaginary: Any, like: Any) -> Any:
    return xp.astype(real, like.dtype) + 1j * xp.astype(imaginary, like.dtype)
