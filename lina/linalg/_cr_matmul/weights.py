"""The middle of a column-row product: a diagonal of weights, or a full core."""

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, epsilon, frobenius, from_numpy, scalar, to_numpy
from lina.linalg._cr_matmul.terms import Terms, product_rounding
from lina.linalg._cur.cores import basis, joined
from lina.linalg._pinv.outcome import Cutoff
from lina.linalg._pinv.svd import eigh_pinv


class Middle(NamedTuple):
    """The weights (host, or an array where they are a matrix), the product as left @ right, and its error."""

    weights: Any
    left: Any
    right: Any
    error: float


def optimal_weights(terms: Terms, indices: np.ndarray) -> np.ndarray:
    """Return the weights (r,) of least error: the normal equations in the inner products, 2 l r (m + n) flops.

    Directions in which the chosen terms depend on each other, up to rounding, get no weight.
    """
    xp = terms.xp
    G = terms.gram_rows(indices)
    unit = from_numpy(1 / np.where(terms.sizes[indices] > 0, terms.sizes[indices], 1.0), G)
    G = unit[:, None] * G
    inner = xp.take(G, xp.asarray(indices, device=device(G)), axis=1) * unit
    inverse = eigh_pinv(xp, inner, Cutoff(terms.l * epsilon(G), 0.0)).X
    return to_numpy(unit * (inverse @ xp.sum(G, axis=1)))


def diagonal(terms: Terms, indices: np.ndarray, weights: np.ndarray | None, measure: bool) -> Middle:
    """Return the terms with their ``weights`` (None: ones), split evenly over both factors, the phase on the left."""
    xp = terms.xp
    left, right = terms.chosen(indices)
    if weights is None:
        weights = np.ones(len(indices))
    else:
        root = np.sqrt(np.abs(weights))
        phase = weights / np.where(root > 0, root, 1.0)
        left, right = left * from_numpy(phase, left), right * from_numpy(root[:, None], right)
    d = np.ones(terms.l, dtype=weights.dtype)
    np.subtract.at(d, indices, weights)
    error = terms.norm(d) if measure else float(np.sum(np.abs(d) * terms.sizes)) * (1 + 4 * epsilon(left))
    return Middle(from_numpy(weights, left), left, right, error + product_rounding(xp, left, right))


def full(terms: Terms, indices: np.ndarray, product: float | None) -> Middle:
    """Return C^+ X Y R^+ for the chosen columns C and rows R; 4 l r (m + n) flops, X Y is not formed.

    Columns and rows are brought to norm 1 first: large columns of X may meet small rows of Y. ``product`` is the norm
    of X Y; where it is None the error is bounded by what the plain terms leave out.
    """
    xp = terms.xp
    C, R = terms.chosen(indices)
    x_unit, y_unit = (
        from_numpy(1 / np.where(norms[indices] > 0, norms[indices], 1.0), C) for norms in (terms.x_norms, terms.y_norms)
    )
    cutoff = max(terms.m, terms.n) * epsilon(C)
    left, right = basis(xp, C * x_unit, cutoff), basis(xp, adjoint(xp, R * y_unit[:, None]), cutoff)
    B = (adjoint(xp, left.Q) @ terms.X) @ (terms.Y @ right.Q)
    core = x_unit[:, None] * joined(xp, left, B, right) * y_unit
    wide = B @ adjoint(xp, right.Q)
    error = _projection_error(terms, indices, product, scalar(frobenius(xp, B)), left.Q, wide)
    return Middle(core, left.Q, wide, error)


def _projection_error(
    terms: Terms, indices: np.ndarray, product: float | None, captured: float, left: Any, right: Any
) -> float:
    """Return the error of left @ right, the projection of X Y on both ranges, of norm ``captured``."""
    doubt = terms.doubt(np.ones(terms.l))
    if product is None:
        return float(np.sum(np.delete(terms.sizes, indices))) + math.sqrt(doubt * epsilon(left))
    difference = (product - captured) * (product + captured)
    return math.sqrt(difference + doubt) if difference > 100 * doubt else terms.residual_norm(left, right)
