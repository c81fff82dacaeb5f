"""lina.linalg.StreamingSVD: the sketches of a matrix that arrives in pieces, and their updates."""

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from lina._core.array import adjoint, balance, divide, dtype_name, epsilon, from_numpy, open_door, safe_range, to_numpy
from lina._core.certificates import CertificateKind, Status
from lina._core.checks import check_tolerance
from lina.linalg._stopping import check_matrix
from lina.linalg._streaming_svd.arguments import (
    check_dtype,
    check_factor,
    check_probability,
    check_shape,
    check_size,
    choose_sizes,
    largest_norm,
    seed_of,
)
from lina.linalg._streaming_svd.certify import Scree, Seen
from lina.linalg._streaming_svd.draws import TILE, GaussianRows, pieces
from lina.linalg._streaming_svd.reconstruct import Reconstruction, Sketches, reconstruct
from lina.linalg._truncated_svd.result import TruncatedSVD

# Rows for which the test matrix of the columns is drawn once.
_PANEL = 4 * TILE

# What a stream is made of, beside the tiles of Y.
_OUTER = ("shape", "k", "range_size", "core_size", "probes", "dtype", "keep_tests", "seed", "position")
_INNER = ("XW", "Z", "touched", "size", "rounding")


class StreamingSVD:
    """Take the truncated SVD of a matrix that arrives in pieces and is never stored, with the error left over.

    The matrix starts as zero. Every change that is linear is followed exactly: rows that arrive one block after the
    other, matrices and low-rank products that are added, a factor that forgets the past, the sum of two streams.
    A result can be had at any time.

    Parameters
    ----------
    shape : tuple of int
        (m, n), both at least 1. `finalize` returns factors of all m rows, arrived or not.
    k : int
        Number of singular triplets wanted, in 1..min(m, n).
    range_size : int, optional
        Columns r of the sketches of the range and the co-range. Default ``4 k + 3``, at most min(m, n).
    core_size : int, optional
        Rows and columns s of the sketch of the core, at least r + 2. Default ``2 r + 1``.
    probes : int
        Rows q of the sketch that measures the error: 20 bound it within a factor of about 3, 200 within 1.3.
    memory : int, optional
        Instead of ``range_size`` and ``core_size``: take the largest sketches with s = 2 r + 1 that hold no more
        than so many numbers.
    dtype : {"float32", "float64", "complex64", "complex128"}, optional
        Of the sketches and of the results. Default: that of ``like``, or float64. What arrives in another precision
        is converted.
    like : array, optional
        An array of the library and on the device on which the stream lives. Default numpy.
    keep_tests : bool
        Keep the test matrix of the columns, n (r + s) numbers, instead of drawing it anew for each update; this
        takes as long as the products with some 100 rows, so it pays where fewer arrive at a time.
    rng : int, numpy.random.Generator or None
        Seed of the test matrices.

    Attributes
    ----------
    shape, k, range_size, core_size, probes, dtype, keep_tests
        As above.
    seed : int
        What all draws depend on. Streams of one seed can be added.
    position : int
        Rows that were appended so far.

    Raises
    ------
    TypeError
        If ``k`` or a size is no int, ``like`` no array, or ``rng`` none of the above.
    ValueError
        If ``k`` or a size is out of range, ``memory`` too small or given together with a size.

    Notes
    -----
    Memory: r (m + n) + s^2 + q n numbers, and rows that have not arrived take none. Test matrices are not stored: each
    of their rows is drawn from the seed and its index when it is needed, so that pieces can arrive in any order and
    on several machines. Cost: 2 n (2 r + s + q) + 2 s^2 flops a row, and drawing once for 2048 rows; `finalize` takes
    2 (m + n) r (s + 3 r) flops.

    The error is certified by q Gaussian probes that nothing else has seen: their mean square over A - F is an
    unbiased estimate of its squared norm, and falls below a share t of it with a probability of at most
    (t exp(1 - t))^(q / 2), or ^q for complex matrices. ``error`` is the estimate divided by sqrt(t): with the defaults
    3.1 times the estimate, 2.1 times for complex matrices, 1.8 times with 50 probes. Rounding in the updates is
    followed and included. The bound holds for every matrix that was chosen without knowledge of the seed.

    As a rule the error is 1.0 to 1.4 times the optimum of rank k where singular values decay like 1 / i or faster,
    and 1.5 times where they decay more slowly; its expectation is at most 1 + 2 c times the optimum with
    c^2 = 2 (5 k + 2) / (3 k + 2), at the default sizes (section 5 of the reference).

    Which one to take: `truncated_svd` where the matrix can be read more than once, for an error at the optimum; its
    ``method="single_pass"`` where the whole matrix is read once, row after row; `StreamingSVD` where it changes by
    more than new rows, where pieces arrive in any order or on several machines, or for results in between.

    For principal components subtract the means at the end, ``stream.update_low_rank(-ones, mean)`` with vectors of
    lengths m and n.

    References
    ----------
    Tropp, Yurtsever, Udell, Cevher, SIAM J. Sci. Comput. 41 (2019) A2430.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import StreamingSVD
    >>> A = np.outer(np.arange(1.0, 201.0), np.ones(50))
    >>> stream = StreamingSVD(A.shape, 1, rng=0)
    >>> for start in range(0, 200, 40):
    ...     _ = stream.append(A[start : start + 40])
    >>> F = stream.finalize()
    >>> F.rank, str(F.error_kind), bool(F.error < 1e-11 * F.norm_A), np.allclose(F.toarray(), A)
    (1, 'probabilistic', True, True)
    """

    _fields = (*_OUTER, *_INNER, "tiles", "Y")

    def __init__(
        self,
        shape: tuple[int, int],
        k: int,
        *,
        range_size: int | None = None,
        core_size: int | None = None,
        probes: int = 20,
        memory: int | None = None,
        dtype: Any = None,
        like: Any = None,
        keep_tests: bool = False,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        m, n = self.shape = check_shape(shape)
        self.k = check_size(k, 1, min(m, n), "k", "1..min(m, n)")
        r, s, q = choose_sizes(self.shape, self.k, range_size, core_size, probes, memory)
        self.range_size, self.core_size, self.probes = r, s, q
        xp, like = open_door(like=np.empty(0) if like is None else like)
        self.dtype = dtype_name(like) if dtype is None else check_dtype(dtype)
        self.seed = seed_of(rng)
        self.position, self.keep_tests = 0, keep_tests
        self._left = GaussianRows(self.seed, 0, m, r + q + s)  # Upsilon, Theta, Phi
        self._right = GaussianRows(self.seed, 1, n, r + s, keep=keep_tests)  # Omega, Psi
        options = {"dtype": getattr(xp, self.dtype), "device": device(like)}
        self._XW = xp.zeros((r + q, n), **options)
        self._Z = xp.zeros((s, s), **options)
        self._Y: dict[int, Any] = {}  # tiles of rows, once there is something in them
        self._touched = 0  # rows from here on are certainly zero
        self._size = 0.0  # bound of the norm of the matrix
        self._rounding = 0.0  # what the roundings of all updates may add up to, as an error of the matrix

    def update(self, delta: Any) -> "StreamingSVD":
        """Add a matrix (m, n): A += delta."""
        self._add(0, delta, "delta", whole=True)
        return self

    def update_rows(self, start: int, rows: Any) -> "StreamingSVD":
        """Add ``rows`` (b, n) to the rows from ``start`` on: A[start : start + b] += rows."""
        self._add(check_size(start, 0, self.shape[0] - 1, "start", "0..m - 1"), rows, "rows")
        return self

    def append(self, rows: Any) -> "StreamingSVD":
        """Take the next ``rows`` (b, n), which follow those appended before."""
        self.position += self._add(self.position, rows, "rows")
        return self

    def update_low_rank(self, C: Any, D: Any) -> "StreamingSVD":
        """Add C @ D^H for ``C`` (m, p) and ``D`` (n, p), or vectors (m,) and (n,), without forming it."""
        xp, C, D, _ = open_door(C=C, D=D, sketches=self._Z)
        C, D = (M[:, None] if M.ndim == 1 else M for M in (C, D))
        for M, name in ((C, "C"), (D, "D")):
            check_matrix(M, name)
            self._check_kind(M, name)
        if (*C.shape, *D.shape) != (self.shape[0], C.shape[1], self.shape[1], C.shape[1]):
            wanted = f"(m, p) = ({self.shape[0]}, p) and (n, p) = ({self.shape[1]}, p)"
            raise ValueError(f"C and D must have shapes {wanted}, got {tuple(C.shape)} and {tuple(D.shape)}")
        C, norm_C, scale = balance(xp, C, "C")
        _, norm_D, scale_D = balance(xp, D, "D")
        self._grow(norm_C * norm_D * (scale * scale_D), 0, self.shape[0], "C @ D^H")
        # C may be beyond the range of the sketches where the product is not: its scale moves to D
        D = D if scale == 1.0 else divide(D, 1 / scale)
        C, D = self._cast(C), self._cast(D)
        r, q = self.range_size, self.probes
        left, right = self._left.adjoint_times(C), adjoint(xp, self._right.adjoint_times(D))  # T^H C and D^H R
        XW = self._XW + left[: r + q, :] @ adjoint(xp, D)
        Z = self._Z + left[r + q :, :] @ right[:, r:]
        Y = {}
        for tile, low, high in pieces(0, self.shape[0]):
            rows = C[tile * TILE : tile * TILE + high, :] @ right[:, :r]
            Y[tile] = self._placed(self._Y.get(tile), rows, tile, low, high)
        self._XW, self._Z, self._Y = XW, Z, Y
        return self

    def scale(self, theta: complex) -> "StreamingSVD":
        """Multiply the matrix by the number theta: below 1 it forgets the past exponentially."""
        theta = check_factor(theta, real=not self.dtype.startswith("complex"))
        size = self._check_size(abs(theta) * self._size, "theta")
        self._rounding = math.hypot(abs(theta) * self._rounding, epsilon(self._Z) * size)
        self._XW, self._Z, self._size = self._XW * theta, self._Z * theta, size
        self._Y = {tile: rows * theta for tile, rows in self._Y.items()}
        return self

    def __add__(self, other: Any) -> "StreamingSVD":
        """Return the stream of the sum of both matrices, if seed and sizes agree; ``position`` is the larger one."""
        if not isinstance(other, StreamingSVD):
            return NotImplemented
        for name in ("shape", "k", "range_size", "core_size", "probes", "dtype", "seed"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"streams must have the same {name} to be added, got {mine} and {theirs}")
        open_door(self=self._Z, other=other._Z)
        both = StreamingSVD._restored(self._state())
        both._grow(other._size, 0, other._touched, "the sum")
        both._rounding = math.hypot(both._rounding, other._rounding)
        both._XW, both._Z = self._XW + other._XW, self._Z + other._Z
        for tile, rows in other._Y.items():
            both._Y[tile] = self._Y[tile] + rows if tile in self._Y else rows
        both.position = max(self.position, other.position)
        return both

    def finalize(
        self,
        k: int | None = None,
        *,
        rtol: float | None = None,
        atol: float | None = None,
        failure_probability: float = 1e-6,
    ) -> TruncatedSVD:
        """Return the truncated SVD of the matrix as it is now; the stream can go on.

        Parameters
        ----------
        k : int, optional
            Number of triplets, in 1..r. Default: that of the stream. With a tolerance: at most so many, default r.
        rtol, atol : float, optional
            Take the least rank whose bound ``error`` is at most ``max(rtol * norm(A, "fro"), atol)``.
        failure_probability : float
            Probability, between 0 and 1, that ``error`` is no upper bound. With a tolerance it covers the choice of
            the rank.

        Returns
        -------
        TruncatedSVD
            ``error`` in the Frobenius norm, ``error_kind`` "probabilistic", ``passes`` 1. ``norm_A`` is an estimate,
            with the relative accuracy of the approximation. ``status`` is "max_rank" where ``k`` triplets do not meet
            the tolerance, "rounding" where the rounding of the updates alone exceeds it.
        """
        tolerant = rtol is not None or atol is not None
        default = self.range_size if tolerant else self.k
        limit = default if k is None else check_size(k, 1, self.range_size, "k", "1..range_size")
        relative, absolute = check_tolerance(rtol or 0.0, "rtol"), check_tolerance(atol or 0.0, "atol")
        probability = check_probability(failure_probability)
        scale, found, seen = self._reconstructed()
        if tolerant:
            rank, error, status = seen.needed(limit, relative, absolute / scale, probability)
        else:
            rank, error, status = limit, float(seen.bounds(probability)[limit]), Status.CONVERGED
        xp = array_namespace(found.s)
        return TruncatedSVD(
            U=found.Q @ found.U[:, :rank],
            s=found.s[:rank] * scale,
            Vt=adjoint(xp, found.V[:, :rank]),
            error=error * scale,
            error_kind=CertificateKind.PROBABILISTIC,
            failure_probability=probability,
            norm_A=found.norm_A * scale,
            passes=1,
            status=status,
            method="streaming",
        )

    def scree(self, *, failure_probability: float = 1e-6) -> Scree:
        """Return estimates and bounds of the error of every rank 0..r, from which to choose one."""
        probability = check_probability(failure_probability)
        scale, found, seen = self._reconstructed()
        error, deviation, lower, upper = (from_numpy(each * scale, found.s) for each in seen.scree(probability))
        return Scree(error, deviation, lower, upper, probability)

    def __repr__(self) -> str:
        return f"StreamingSVD({', '.join(f'{name}={getattr(self, name)!r}' for name in _OUTER)})"

    def _add(self, start: int, rows: Any, name: str, *, whole: bool = False) -> int:
        """Add checked ``rows`` from ``start`` on, and return their number."""
        xp, rows, _ = open_door(**{name: rows, "sketches": self._Z})
        check_matrix(rows, name)
        (m, n), count = self.shape, int(rows.shape[0])
        if whole and tuple(rows.shape) != self.shape:
            raise ValueError(f"{name} must have the shape {self.shape} of the matrix, got {tuple(rows.shape)}")
        if rows.shape[1] != n or count > m - start:
            wanted = f"n = {n} columns and at most {m - start} rows, those from {start} on"
            raise ValueError(f"{name} must have {wanted}, got shape {tuple(rows.shape)}")
        self._check_kind(rows, name)
        _, norm, scale = balance(xp, rows, name)
        self._grow(norm * scale, start, start + count, name)
        self._add_rows(xp, start, self._cast(rows))
        return count

    def _add_rows(self, xp: Any, start: int, rows: Any) -> None:
        r, q = self.range_size, self.probes
        XW, Z = self._XW, self._Z
        changed: dict[int, Any] = {}
        for first in range(0, rows.shape[0], _PANEL):
            panel = rows[first : min(first + _PANEL, rows.shape[0]), :]
            right, place = self._right.times(panel), 0
            for tile, low, high in pieces(start + first, panel.shape[0]):
                piece = slice(place, place + high - low)
                test = adjoint(xp, self._left.tile(tile, Z)[low:high, :])
                XW = XW + test[: r + q, :] @ panel[piece, :]
                Z = Z + test[r + q :, :] @ right[piece, r:]
                old = changed.get(tile, self._Y.get(tile))
                changed[tile] = self._placed(old, right[piece, :r], tile, low, high)
                place = piece.stop
        self._XW, self._Z = XW, Z  # all at once: an interruption leaves the stream as it was
        self._Y.update(changed)

    def _placed(self, old: Any, rows: Any, tile: int, low: int, high: int) -> Any:
        """Return the tile ``old`` of Y with ``rows`` added to its rows low..high - 1."""
        xp = array_namespace(rows)
        height = min(TILE, self.shape[0] - tile * TILE)
        if old is None:
            old = xp.zeros((height, self.range_size), dtype=rows.dtype, device=device(rows))
        return xp.concat([old[:low, :], old[low:high, :] + rows, old[high:, :]], axis=0)

    def _check_kind(self, M: Any, name: str) -> None:
        if dtype_name(M).startswith("complex") and not self.dtype.startswith("complex"):
            raise TypeError(f"{name} must be real in a stream of dtype {self.dtype}, got {dtype_name(M)}")

    def _cast(self, M: Any) -> Any:
        return array_namespace(M).astype(M, self._Z.dtype, copy=False)

    def _grow(self, norm: float, start: int, stop: int, name: str) -> None:
        """Account for a change of rows start..stop - 1 by ``norm``, or raise OverflowError."""
        untouched = start >= self._touched
        size = math.hypot(self._size, norm) if untouched else self._size + norm
        self._size = self._check_size(size, name)
        self._touched = max(self._touched, stop)
        # products of b terms err like sqrt(b) eps, and so does adding them to the sketches
        eps = epsilon(self._Z)
        self._rounding = math.hypot(self._rounding, 2 * eps * math.sqrt(stop - start) * norm, eps * size)

    def _check_size(self, size: float, name: str) -> float:
        limit = largest_norm(self.dtype, self.shape)
        if not size <= limit:
            raise OverflowError(f"{name} must leave the norm of the matrix below {limit:.4g}, found up to {size:.4g}")
        return size

    def _reconstructed(self) -> tuple[float, Reconstruction, Seen]:
        """Return a power of two, the factors of the matrix divided by it, and what the probes see of them."""
        low, high = safe_range(self._Z)
        scale = 1.0 if low < self._size < high or self._size == 0.0 else 2.0 ** math.frexp(self._size)[1]
        xp, r = array_namespace(self._Z), self.range_size
        X, W, Y, Z = (divide(x, scale) for x in (self._XW[:r, :], self._XW[r:, :], self._all_rows(), self._Z))
        found = reconstruct(xp, Sketches(X, W, Y, Z), self._left, self._right)
        terms = math.sqrt(self.shape[0]) + math.sqrt(self.shape[1]) + math.sqrt(r)
        rounding = self._rounding / scale + 2 * epsilon(Z) * terms * found.norm_A
        degrees = self.probes * (2 if self.dtype.startswith("complex") else 1)
        return scale, found, Seen(to_numpy(found.s).astype(np.float64), found.left_over, rounding, degrees)

    def _all_rows(self) -> Any:
        """Return Y (m, r), zero where nothing has arrived."""
        xp, m = array_namespace(self._Z), self.shape[0]
        nothing = xp.zeros((TILE, self.range_size), dtype=self._Z.dtype, device=device(self._Z))
        return xp.concat([self._Y.get(tile, nothing) for tile in range(-(-m // TILE))], axis=0)[:m, :]

    def _state(self) -> dict[str, Any]:
        """Return all there is, as numbers, strings, arrays and tuples of these: what ``save`` writes."""
        tiles = tuple(sorted(self._Y))
        outer = {name: getattr(self, name) for name in _OUTER}
        inner = {name: getattr(self, f"_{name}") for name in _INNER}
        return outer | inner | {"tiles": tiles, "Y": tuple(self._Y[tile] for tile in tiles)}

    @classmethod
    def _restored(cls, state: dict[str, Any]) -> "StreamingSVD":
        given = {name: state[name] for name in _OUTER if name not in ("seed", "position")}
        stream = cls(**given, like=state["Z"], rng=state["seed"])
        stream.position = state["position"]
        for name in _INNER:
            setattr(stream, f"_{name}", state[name])
        stream._Y = dict(zip(state["tiles"], state["Y"], strict=True))
        return stream
