"""The last reading of a truncated SVD: the rows times the whole basis, and what it leaves over of them."""

import math
from typing import Any, NamedTuple

import dask
import numpy as np

from lina._core.array import conjugate, epsilon
from lina._core.certificates import CertificateKind
from lina._core.random import gaussian
from lina._dask.graph import array, as_task, gathered, parts
from lina._dask.passes import Reading, checked, factors, together
from lina._dask.rows import Rows
from lina._dask.triangles import Tree, Triangle

# Probes of the bound of the 2-norm, each of which errs with probability 1/10: |g| < 0.1257 for a normal number g.
_PROBES = 10
_NORMAL = 0.1257


class Factors(NamedTuple):
    """Lazy U (m, k), s (k,), Vt (k, n), bound of the error, and norm of the matrix."""

    U: Any
    s: Any
    Vt: Any
    error: Any
    norm_A: Any


class _End(NamedTuple):
    """``C`` makes U of the Q of the tree."""

    C: Any
    s: Any
    Vt: Any
    error: Any
    norm_A: Any


def last_reading(rows: Rows, V: Any, k: int, norm: str, rng: np.random.Generator) -> Factors:
    """Return the leading ``k`` terms of the rows, restricted to the rows ``V`` of a basis (None: all of the space)."""
    n, like = rows.shape[1], rows.like
    probes = dask.delayed(gaussian(rng, (_PROBES, n), like)) if norm == "2" and V is not None else None
    visited = rows.visit(factors, V, probes)
    tree = Tree(parts(visited, 1))
    reading = dask.delayed(checked)(gathered(together, parts(visited, 2)), like)
    end = dask.delayed(_conclude)(tree.root, reading, V, k, norm, rows.lost)
    real = like.real.dtype
    U = tree.columns(parts(visited, 0), end.C, k, like.dtype)
    s, Vt = array(end, "s", (k,), real), array(end, "Vt", (k, n), like.dtype)
    return Factors(U, s, Vt, array(end, "error", (), np.float64), array(end, "norm_A", (), np.float64))


def kind_of_error(exact: bool) -> tuple[CertificateKind, float]:
    """Return what the bound is, one from probes unless ``exact``, and the probability that it fails."""
    if exact:
        return CertificateKind.RIGOROUS, 0.0
    return CertificateKind.PROBABILISTIC, 0.1**_PROBES


@as_task
def _conclude(triangle: Triangle, reading: Reading, V: Any, k: int, norm: str, lost: float) -> _End:
    """Return the SVD of the triangle in terms of the columns of the matrix, cut off, and the error of that."""
    scale = reading.scale or 1.0
    C, s, Vt = np.linalg.svd(triangle.R, full_matrices=False)
    values = s.astype(np.float64).tolist()
    bound = _largest_left_over if norm == "2" else _left_over
    error = bound(values, k, reading, triangle.R) * scale + lost
    Vt = Vt[:k, :] if V is None else Vt[:k, :] @ conjugate(np, V)
    return _End(C[:, :k], s[:k] * scale, Vt, np.float64(error), np.float64(reading.norm * scale))


def _left_over(values: list[float], k: int, reading: Reading, R: Any) -> float:
    """Return the Frobenius norm of the rows without their leading ``k`` terms, rounding included."""
    # the values dropped err together by no more than the images do (Mirsky)
    return math.hypot(reading.rest, *values[k:]) + 2 * epsilon(R) * math.sqrt(R.shape[1]) * reading.norm


def _largest_left_over(values: list[float], k: int, reading: Reading, R: Any) -> float:
    """Return a bound of the 2-norm: what the basis leaves over and what is dropped of it have orthogonal rows."""
    following = values[k] if k < len(values) else 0.0
    if np.ndim(reading.images) == 0:
        return following + 4 * math.sqrt(R.shape[1]) * epsilon(R) * values[0]
    largest = math.sqrt(float(np.max(np.linalg.norm(reading.images, axis=1))) / _NORMAL)
    return math.hypot(largest, following) + 4 * epsilon(R) * reading.norm
