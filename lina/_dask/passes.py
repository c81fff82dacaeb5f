"""What a reading of all rows gathers for the basis of a truncated SVD, and how the basis grows by it."""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from lina._core.array import adjoint, balance, check_norm, conjugate, epsilon, frobenius, open_door, scalar
from lina._dask.graph import as_task
from lina._dask.triangles import Triangle
from lina.linalg._residual import pythagoras
from lina.linalg._truncated_svd.basis import Basis
from lina.linalg._truncated_svd.visits import Products

_SLICE_ENTRIES = 1 << 19  # 4 MB of float64: what is left over is formed in the cache


class Reading(NamedTuple):
    """Sums over rows, over the power of two ``scale`` (0 where all rows are) or its square.

    ``norm`` of the rows, ``caught`` of their products with a basis, ``rest`` of what the basis leaves over (NaN where
    it was not measured), and ``images``: rows times the adjoint of the matrix, of the basis or of what it leaves over.
    """

    scale: float
    norm: float
    caught: float
    rest: float
    images: Any


def prepared(block: Any) -> tuple[Any, Any, float, float]:
    """Return (xp, rows over their scale, norm of that, scale), checked; the scale of rows of zeros is 0."""
    xp, block = open_door(A=block)
    rows, norm, scale = balance(xp, block, "A")
    return xp, rows, float(norm), scale if norm > 0 else 0.0


@as_task
def products(block: Any, X: Any, basis: Any = None) -> Reading:
    """Multiply rows (b, n) by ``X`` (p, n), and the result by the rows again; measure what ``basis`` leaves over."""
    xp, rows, norm, scale = prepared(block)
    found = Products(xp, X)
    found.add(rows)
    Y, W = found.result()
    rest = math.nan if basis is None else _left_over(xp, rows, norm, basis @ xp.matrix_transpose(rows), basis)
    return Reading(scale, norm, float(frobenius(xp, Y)), rest, W)


@as_task
def factors(block: Any, V: Any, probes: Any = None) -> tuple[Any, Triangle, Reading]:
    """Return QR of rows (b, n) @ V.T, and what ``V`` leaves over of the rows; ``V`` None is the whole space."""
    xp, rows, norm, scale = prepared(block)
    if V is None:
        Q, R = xp.linalg.qr(rows)
        return Q, Triangle(R, scale), Reading(scale, norm, norm, 0.0, 0.0)
    Y = V @ xp.matrix_transpose(rows)
    left, caught, rest = xp.matrix_transpose(Y), float(frobenius(xp, Y)), _left_over(xp, rows, norm, Y, V)
    images: Any = 0.0
    if probes is not None:
        G = probes @ xp.matrix_transpose(rows) - (probes @ adjoint(xp, V)) @ Y
        images = conjugate(xp, conjugate(xp, G) @ rows) - (G @ conjugate(xp, left)) @ V
    Q, R = _qr_over(left)
    return Q, Triangle(R, scale), Reading(scale, norm, caught, rest, images)


def _qr_over(Y: Any) -> tuple[Any, Any]:
    """Return QR of ``Y`` (b, p) in its memory."""
    if Y.shape[0] == 0:  # scipy 1.13 refuses it
        return np.linalg.qr(Y)
    return scipy.linalg.qr(Y, mode="economic", overwrite_a=True, check_finite=False)


def _left_over(xp: Any, rows: Any, norm: float, Y: Any, V: Any) -> float:
    """Return the norm of rows (b, n) without their projection on ``V`` (p, n), of which Y = V @ rows.T; or a bit more.

    By Pythagoras, for nothing, while the difference of the squares keeps its digits.
    """
    cheap = pythagoras(rows, norm, scalar(frobenius(xp, Y)))
    if cheap is not None:
        return cheap
    left, right = xp.matrix_transpose(Y), conjugate(xp, V)
    step = max(1, _SLICE_ENTRIES // rows.shape[1])
    # one buffer: a worker of dask gives freed memory back to the system, and new pages take longer than the products
    buffer = np.empty((min(step, rows.shape[0]), rows.shape[1]), dtype=Y.dtype)
    rest = 0.0
    for i in range(0, rows.shape[0], step):
        some = rows[i : i + step, :]
        product = np.matmul(left[i : i + step, :], right, out=buffer[: some.shape[0], :])
        rest = math.hypot(rest, scalar(frobenius(xp, np.subtract(some, product, out=product))))
    # what rounding hides: residual_norm has the source
    return rest + epsilon(rows) * (4 * rest + 2 * scalar(frobenius(xp, Y)) * scalar(frobenius(xp, V)))


@as_task
def triangle_of_rows(block: Any) -> Triangle:
    """Return the triangle of rows (b, n)."""
    _, rows, _, scale = prepared(block)
    return Triangle(np.linalg.qr(rows, mode="r"), scale)


@as_task
def together(readings: list[Reading]) -> Reading:
    """Return the sums of the readings of several blocks."""
    scale = max(each.scale for each in readings)
    ratio = [each.scale / scale if scale else 0.0 for each in readings]
    norms = [[r * value for value in each[1:4]] for r, each in zip(ratio, readings, strict=True)]
    norm, caught, rest = (math.hypot(*column) for column in zip(*norms, strict=True))
    images: Any = 0.0
    for r, each in zip(ratio, readings, strict=True):
        images = images + each.images * r**2
    return Reading(scale, norm, caught, rest, images)


@as_task
def checked(reading: Reading, like: Any) -> Reading:
    """Return the reading of all rows; OverflowError where the norm leaves the range of the dtype."""
    check_norm(like, reading.norm, reading.scale or 1.0, "A")
    return reading


@as_task
def start(draw: Any) -> Any:
    """Return the first rows of a basis from a random block (p, n)."""
    V = Basis(np).new(draw)
    return draw[:0, :] if V is None else V


@as_task
def grown(V: Any, rows: Any, draw: Any) -> Any:
    """Return the basis ``V`` with what is new in ``rows``, or with random rows where that is nothing."""
    basis = Basis(np)
    basis.V = [V]
    new = basis.new(rows) if np.any(rows) else None
    if new is None:
        new = basis.new(draw)
    return V if new is None else np.concatenate([V, new], axis=0)


@as_task
def aligned(reading: Reading) -> Any:
    """Return orthonormal rows that span the images A^H A X, the first of them what it made largest.

    They are near to singular vectors. A^H A takes each to a row of its own size, where of a mixture of large and small
    it would lose the small ones to rounding: these have the squares of their singular values.
    """
    Q: Any = scipy.linalg.qr(reading.images.T, mode="economic", pivoting=True)[0]
    return Q.T
