"""Randomly pivoted partial Cholesky: a positive semidefinite matrix from a few of its columns, chosen as they come."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lina._core.array import adjoint, dtype_name, epsilon, frobenius, from_numpy, open_door, scalar, to_numpy
from lina._core.certificates import CertificateKind, Status
from lina._core.checks import check_rank
from lina._core.random import generator
from lina.linalg._low_rank_eigh import LowRankEigh
from lina.linalg._lowrank import LowRank
from lina.linalg._orthonormal import orthonormal_columns, triangular_inverse
from lina.linalg._psd_entries import ArrayEntries, CalledEntries, not_psd, on_device
from lina.linalg._stopping import check_stopping

# Proposals a round, where none are asked for: as many as there are pivots, within limits; most are accepted then.
_LEAST_BLOCK, _LARGEST_BLOCK = 16, 128
# Pivots of so many times the rounding are not trusted where a negative diagonal follows from them.
_DOUBTFUL = 1e4


@dataclass(frozen=True, eq=False, repr=False)
class RPCholesky(LowRank):
    """The matrix F @ F^H, and how far it is from the positive semidefinite one whose entries were read.

    Attributes
    ----------
    F : array, shape (n, k)
        Lower trapezoidal in the order of the pivots: ``F[pivots, :]`` is lower triangular.
    pivots : array of int, shape (k,)
        Columns of the matrix that were read whole, in the order in which they were drawn; ``F @ F^H`` agrees with
        the matrix there.
    error : float
        Nuclear norm of the difference to the matrix, which is its trace, absolute: an upper bound, rounding included.
        No Frobenius norm or 2-norm of the difference is larger.
    error_kind : CertificateKind
        "rigorous", given that the matrix is positive semidefinite.
    norm : str
        "trace": the nuclear norm, as in `LowRankEigh`.
    norm_A : float
        The same norm of the matrix, its trace.
    entries : int
        Entries of the matrix that were read, those of the diagonal included.
    status : Status
        "converged", "max_rank" (``k`` was reached before the tolerance) or "rounding" (the tolerance lies below what
        can be certified in this dtype).
    """

    F: Any
    pivots: Any
    error: float
    error_kind: CertificateKind
    norm: str
    norm_A: float
    entries: int
    status: Status

    def _factors(self) -> tuple[Any, Any, Any]:
        xp, F = open_door(F=self.F)
        return F, adjoint(xp, F), None

    def truncate(self, k: int) -> "RPCholesky":
        """Return what the first ``k`` pivots give; the error grows by the trace of the rest."""
        xp, F = open_door(F=self.F)
        k = check_rank(k, F.shape[1], what="the rank")
        left_out = scalar(xp.sum(xp.abs(F[:, k:]) ** 2)) if k < F.shape[1] else 0.0
        return replace(self, F=F[:, :k], pivots=self.pivots[:k], error=self.error + left_out)

    def eigh(self) -> LowRankEigh:
        """Return the same matrix by its eigenvectors and eigenvalues; 6 n k^2 flops."""
        xp, F = open_door(F=self.F)
        Q = orthonormal_columns(xp, F)
        left, s, _ = xp.linalg.svd(adjoint(xp, Q) @ F, full_matrices=False)
        rounding = 4 * math.sqrt(F.shape[1]) * epsilon(F) * scalar(xp.sum(s**2))
        facts = (self.error_kind, 0.0, self.norm, self.norm_A, 0, self.status, "rpcholesky")
        return LowRankEigh(Q @ left, s**2, self.error + rounding, *facts)

    def solve(self, B: Any, shift: float) -> Any:
        """Solve (F F^H + shift I) X = B: ``eigh().solve(B, shift)``, which keeps the eigenvectors for further B."""
        return self.eigh().solve(B, shift)


def rpcholesky(
    A: Any | Callable[[np.ndarray, np.ndarray], Any],
    k: int | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    block_size: int | None = None,
    diag: Any = None,
    rng: int | np.random.Generator | None = None,
) -> RPCholesky:
    """Approximate a positive semidefinite matrix from a few of its columns, ``A ~ F @ F^H``, without reading the rest.

    Partial Cholesky where each pivot is drawn with probability proportional to what the earlier ones leave on the
    diagonal.

    Parameters
    ----------
    A : array_like, shape (n, n), or callable
        Hermitian positive semidefinite. A callable ``A(rows, columns)`` is given two numpy arrays of int, (p,) and
        (q,), and returns the entries (p, q) there; it needs ``diag``.
    k : int, optional
        Number of pivots, in 1..n. With a tolerance: at most so many. Fewer are returned where the diagonal that is
        left is rounding.
    rtol, atol : float, optional
        Stop when the error is at most ``max(rtol * trace(A), atol)``, in the nuclear norm. At least one of ``k``,
        ``rtol``, ``atol`` is needed.
    block_size : int, optional
        Pivots proposed a round. Those accepted have the distribution of one at a time whatever it is; larger blocks
        make larger matrix products and more rejections. 1 is the simple algorithm. By default as many as there are
        pivots, within 16..128.
    diag : array_like, shape (n,), optional
        The diagonal, with a callable ``A`` only.
    rng : int, numpy.random.Generator or None
        Source of the proposals and of the decisions.

    Returns
    -------
    RPCholesky
        ``F`` (n, k), ``pivots`` (k,), ``error``, ``norm_A``, ``entries``, ``status``. It acts as a matrix: ``F @ x``,
        ``F.toarray()``, ``F.truncate(k)``, ``F.eigh()``, ``F.solve(B, shift)``.

    Raises
    ------
    TypeError
        If ``A`` is neither a callable nor a dense array of numbers, ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty square matrix, or what is read of it cannot belong to a Hermitian positive
        semidefinite one; if ``diag`` is missing, superfluous, no vector or not the diagonal, an answer of a callable
        has another shape than asked for, ``k`` or ``block_size`` is out of range, a tolerance is negative, nothing
        says where to stop, or an array is traced or lazy.
    GradientError
        If torch records a gradient of ``A``: pivots are accepted on the host.
    OverflowError
        If the trace of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    A round draws ``block_size`` columns by the diagonal as it is, reads the square of entries between them, and
    accepts each with the probability (diagonal left by those accepted before it) / (diagonal as it was): rejection
    sampling, after which the accepted ones have exactly the distribution of the one-by-one algorithm. Then all
    accepted columns are read and eliminated at once.

    What is left over is positive semidefinite, so that its nuclear norm is the sum of the diagonal that is left.
    Expected error at most (1 + e) times the optimum of rank r after r / e + r log(1 / (e eta)) pivots, eta the
    relative error of the optimum.

    Cost n k + n entries and b^2 a round of b = ``block_size``; 2 n k^2 flops; n k numbers, twice while it grows.

    References
    ----------
    Chen, Epperly, Tropp, Webber, Comm. Pure Appl. Math. 78 (2025) 995, arXiv:2207.06503, theorem 5.1; Epperly, Tropp,
    Webber, arXiv:2410.03969, algorithm 2 (rejection).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import rpcholesky
    >>> x = np.linspace(0.0, 1.0, 1000)
    >>> def kernel(rows, columns):
    ...     return np.exp(-((x[rows, None] - x[columns]) ** 2))
    >>> F = rpcholesky(kernel, rtol=1e-6, diag=np.ones(1000), rng=0)
    >>> F.error <= 1e-6 * F.norm_A, F.entries < 50_000
    (True, True)
    """
    source = CalledEntries(A, diag) if callable(A) else ArrayEntries(A, diag)
    limit, tolerant = check_stopping(source.n, k, rtol, atol)
    if block_size is not None:
        block_size = check_rank(block_size, 2**31, "block_size")
    target = max(source.trace * float(rtol or 0.0), float(atol or 0.0) / source.scale) if tolerant else None
    return _eliminate(source, limit, target, block_size, generator(rng))


def _eliminate(
    source: ArrayEntries, limit: int, target: float | None, block_size: int | None, rng: np.random.Generator
) -> RPCholesky:
    """Draw, accept and eliminate until the rank or the tolerance is reached, or rounding is all that is left."""
    left = source.diagonal.copy()
    P: Any = None  # F^H: rows are cheaper to add and to multiply by
    pivots: list[int] = []
    eps = 0.0
    while True:
        weights = _weights(left, source, eps)
        total = float(weights.sum())
        if P is not None:
            exhausted = total == 0.0 or len(pivots) == limit
            hopeful = target is not None and math.fsum(np.maximum(left, 0.0)) <= target
            error = _certified(source, P, pivots, left) if exhausted or hopeful else math.inf
            if exhausted or (target is not None and error <= target):
                break
        if total == 0.0:  # a zero matrix: its first column stands for all
            chosen, L = np.zeros(1, dtype=np.int64), np.ones((1, 1))
        else:
            proposed = rng.choice(source.n, size=_proposals(block_size, len(pivots), limit), p=weights / total)
            chosen, L = _accept(source, P, proposed, left, limit - len(pivots), rng)
            if not chosen.size:
                continue
        rows = source.read(chosen)
        xp, eps = source.xp, epsilon(rows)
        if P is not None:
            head = xp.take(P, on_device(xp, chosen, rows), axis=1)
            rows = rows - adjoint(xp, head) @ P
        new = substitute(xp, from_numpy(L, rows), rows)
        after = left - to_numpy(xp.sum(xp.abs(new) ** 2, axis=0))
        rounding = _rounding_pivots(source, np.abs(np.diagonal(L)) ** 2, eps, float(after.min()))
        if rounding.any():
            left[chosen[rounding]] = 0.0
            continue
        left = after
        P = new if P is None else xp.concat([P, new], axis=0)
        pivots.extend(chosen.tolist())
        left[chosen] = 0.0
    if target is not None and error <= target:
        P, pivots, error = _without_surplus(xp, P, pivots, new, error, target)
    return _result(source, P, pivots, error, limit, target)


def _without_surplus(
    xp: Any, P: Any, pivots: list[int], last: Any, error: float, target: float
) -> tuple[Any, list[int], float]:
    """Return rows, pivots and error without those of the ``last`` round that the tolerance does not need."""
    more = np.cumsum(to_numpy(xp.sum(xp.abs(last) ** 2, axis=1)).astype(np.float64)[::-1])
    drop = min(int(np.sum(error + more <= target)), len(pivots) - 1)
    if drop == 0:
        return P, pivots, error
    return P[:-drop, :], pivots[:-drop], error + float(more[drop - 1])


def _rounding_pivots(source: ArrayEntries, pivots: np.ndarray, eps: float, worst: float) -> np.ndarray:
    """Return which ``pivots`` are rounding, as the ``worst`` diagonal entry after them shows; raise if it is too bad.

    What a small pivot divides has been magnified by the root of its share of the largest one.
    """
    doubtful = pivots <= _DOUBTFUL * float(source.noise(eps).max())
    if worst >= -2 * source.tolerance:
        return np.zeros_like(doubtful)
    if not doubtful.any() and worst < -2 * source.tolerance * math.sqrt(source.largest / float(pivots.min())):
        raise not_psd(f"{worst * source.scale:.4g} on the diagonal of a Schur complement")
    return doubtful


def _proposals(block_size: int | None, found: int, limit: int) -> int:
    size = min(max(found, _LEAST_BLOCK), _LARGEST_BLOCK) if block_size is None else block_size
    return min(size, 2 * (limit - found))


def substitute(xp: Any, L: Any, rows: Any) -> Any:
    """Return L^-1 @ rows; the step of refinement makes products as stable as substitution, at their own speed."""
    inverse = triangular_inverse(xp, L)
    first = inverse @ rows
    return first + inverse @ (rows - L @ first)


def _weights(left: np.ndarray, source: ArrayEntries, eps: float) -> np.ndarray:
    """Return the diagonal that is left, without what is rounding of the diagonal that was."""
    return np.where(left > source.noise(max(eps, 2.0**-52)), left, 0.0)


def _certified(source: ArrayEntries, P: Any, pivots: list[int], left: np.ndarray) -> float:
    """Return the nuclear norm of what is left, rounding included.

    Rounding is sqrt(n) times its Frobenius norm as in residual_norm, and that of the columns read, magnified by the
    coefficients W (k, n) of all columns in those: n k^2 flops, spared where it would have to be magnified 1000 times
    to matter.
    """
    xp, eps = source.xp, epsilon(P)
    rest = math.fsum(np.maximum(left, 0.0))
    floor = 2 * math.sqrt(source.n) * eps * source.trace
    if rest > 1000 * floor or source.trace == 0.0:
        return rest + 100 * floor
    W = xp.linalg.solve(xp.take(P, on_device(xp, np.asarray(pivots), P), axis=1), P)
    read = math.sqrt(source.trace * math.fsum(source.diagonal[pivots]))
    return rest + floor + 2 * eps * read * scalar(frobenius(xp, W))


def _accept(
    source: ArrayEntries, P: Any, proposed: np.ndarray, left: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the proposals accepted, at most ``most``, and the Cholesky factor of what is left between them."""
    different, place = np.unique(proposed, return_inverse=True)
    rest = source.read(different, different)
    xp = source.xp
    diagonal = to_numpy(xp.linalg.diagonal(rest))
    if np.max(np.abs(diagonal - source.diagonal[different])) > source.n * epsilon(rest) * source.largest:
        raise ValueError("diag must be the diagonal of A, but the entries differ from it")
    if P is not None:
        head = xp.take(P, on_device(xp, different, rest), axis=1)
        rest = rest - adjoint(xp, head) @ head
    H = to_numpy(rest).astype(np.complex128 if "complex" in dtype_name(rest) else np.float64)
    if np.max(np.abs(H - H.conj().T)) > 2 * source.tolerance:
        raise not_psd("entries that differ from their mirror images")
    chances = rng.random(len(place)) * left[different[place]]
    now = np.real(np.diagonal(H)).copy()
    # the same number, computed afresh: what it shows to be rounding is not proposed again
    left[different] = np.minimum(left[different], np.maximum(now, 0.0))
    chosen, L = _reject(H, now, place, chances, source.noise(epsilon(rest))[different], most)
    return different[chosen], L


def _reject(
    H: np.ndarray, now: np.ndarray, place: np.ndarray, chances: np.ndarray, noise: np.ndarray, most: int
) -> tuple[list[int], np.ndarray]:
    """Return the proposals accepted one after the other, and the Cholesky factor of ``H`` between them."""
    rows: list[np.ndarray] = []
    chosen: list[int] = []
    for i, chance in zip(place.tolist(), chances.tolist(), strict=True):
        if len(chosen) == most:
            break
        if now[i] <= noise[i] or chance >= now[i]:
            continue
        row = H[i].copy()
        for old in rows:
            row -= old[i].conj() * old
        row /= math.sqrt(now[i])
        now -= np.abs(row) ** 2
        now[i] = 0.0
        rows.append(row)
        chosen.append(i)
    return chosen, np.tril(np.asarray(rows)[:, chosen].conj().T) if chosen else np.empty((0, 0))


def _result(
    source: ArrayEntries, P: Any, pivots: list[int], error: float, limit: int, target: float | None
) -> RPCholesky:
    xp, scale = source.xp, source.scale
    status = Status.CONVERGED
    if target is not None and error > target:
        status = Status.MAX_RANK if len(pivots) == limit and limit < source.n else Status.ROUNDING
    F = adjoint(xp, P) * math.sqrt(scale)
    kind = CertificateKind.RIGOROUS
    indices = on_device(xp, np.asarray(pivots), P)
    return RPCholesky(F, indices, error * scale, kind, "trace", source.trace * scale, source.entries, status)
