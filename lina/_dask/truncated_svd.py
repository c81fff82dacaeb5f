"""The truncated SVD of a dask array: block Krylov with one reading for each block, lazy where the rank is given.

The last reading multiplies by the whole basis, and while the rows are at hand also measures what the basis leaves over:
the certificate costs no reading of its own.
"""

from typing import Any

import dask
import numpy as np

from lina._core.array import epsilon, open_door
from lina._core.certificates import Status
from lina._core.checks import check_count, check_option
from lina._core.random import gaussian
from lina._dask.adaptive import Basis, krylov_basis, whole_basis
from lina._dask.factors import kind_of_error, last_reading
from lina._dask.graph import gathered
from lina._dask.passes import aligned, grown, products, start, together
from lina._dask.rows import Rows, rows_of
from lina.linalg._stopping import check_matrix, check_stopping
from lina.linalg._truncated_svd.krylov import block_width
from lina.linalg._truncated_svd.problem import Request
from lina.linalg._truncated_svd.result import TruncatedSVD

_METHODS = ("auto", "krylov", "svd")
_OVERSAMPLE = 10
# Each block is a reading; four are what the iteration in memory begins with.
_BLOCKS = 4
# Up to so many columns a tolerance takes the triangle of all: it shows every rank, nobody knows how many blocks would.
_WHOLE_COLUMNS = 512


def truncated_svd(A: Any, request: Request, method: str, center: bool, rng: np.random.Generator) -> TruncatedSVD:
    """Return lazy factors of ``A`` (m, n) and their error; with a tolerance they are computed on the cluster."""
    _, A = open_door(min_ndim=2, A=A)
    check_matrix(A, lazy=True)
    rows = rows_of(A, center)
    k, tolerant = check_stopping(min(A.shape), request.k, request.rtol, request.atol)
    width = min(block_width(request, False, k) if tolerant else k + _OVERSAMPLE, rows.shape[1])
    method = _checked(request, method, tolerant, rows.shape[1], width)
    found = None
    if tolerant:
        found = whole_basis(rows, request) if method == "svd" else krylov_basis(rows, request, width, rng)
        V, k, readings = found.V, found.V.shape[0], found.readings + 1
    elif method == "svd":
        V, readings = None, 1
    else:
        readings = request.max_passes or _BLOCKS
        V = _krylov_rows(rows, width, readings, rng)
    exact = request.norm == "fro" or method == "svd"
    end = last_reading(rows, V, k, "fro" if found and exact else request.norm, rng)
    status = Status.CONVERGED
    if found is not None:
        end = end._replace(**dict(zip(end._fields, dask.persist(*end), strict=True)))
        end = end._replace(error=float(end.error.compute()), norm_A=float(end.norm_A.compute()))
        if request.norm == "2" and found.following is not None:
            end = end._replace(error=found.following)
        # other bounds of the 2-norm may exceed what was met by a factor: of them only the rounding counts
        status = _final_status(found, end.error if exact else 4 * epsilon(rows.like) * end.norm_A)
    kind, failure = kind_of_error(exact)
    U, Vt = (end.Vt.T, end.U.T) if rows.turned else (end.U, end.Vt)
    passes = readings + int(center)
    return TruncatedSVD(U, end.s, Vt, end.error, kind, failure, end.norm_A, passes, status, method, rows.mean)


def _checked(request: Request, method: str, tolerant: bool, n: int, width: int) -> str:
    """Return the method to use."""
    check_option(method, _METHODS, "method")
    blocks = _BLOCKS
    if request.max_passes is not None:
        blocks = check_count(request.max_passes, "max_passes")
        if method == "svd":
            raise ValueError("method must be 'auto' or 'krylov' with max_passes, got 'svd'")
        if blocks == 1:
            raise ValueError("max_passes must be at least 2 for a dask array, got 1")
    if method != "auto":
        return method
    if tolerant:
        return "svd" if n <= _WHOLE_COLUMNS and request.max_passes is None else "krylov"
    return "svd" if blocks * width >= n else "krylov"


def _krylov_rows(rows: Rows, width: int, blocks: int, rng: np.random.Generator) -> Any:
    """Return the lazy basis (blocks * width, n)."""
    shape, like = (width, rows.shape[1]), rows.like
    draws = [dask.delayed(gaussian(rng, shape, like)) for _ in range(blocks)]
    X = V = dask.delayed(start)(draws[0])
    for draw in draws[1:]:
        X = dask.delayed(aligned)(gathered(together, rows.visit(products, X)))
        V = dask.delayed(grown)(V, X, draw)
    return V


def _final_status(found: Basis, error: float) -> Status:
    """Return the status of the search, or ROUNDING where the certificate shows the tolerance to lie below that."""
    if error <= found.target * (1 + 2e-6):
        return Status.CONVERGED
    return Status.ROUNDING if found.status is Status.CONVERGED else found.status
