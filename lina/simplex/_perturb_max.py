"""The probability that an entry is the largest once independent noise is added to all of them."""

from typing import Any

from lina._core.checks import check_option, check_rank
from lina._core.kernels import kernel
from lina.simplex._noise import NOISES, sweep
from lina.simplex._rows import (
    best_real,
    check_axis,
    check_mask,
    divided,
    from_rows,
    largest,
    masked,
    offset,
    open_real,
    over_rows,
    per_row,
    to_rows,
)
from lina.simplex._taylor_softmax import check_same_shape


def perturb_max(
    x: Any,
    noise: str = "gaussian",
    scale: Any = 1.0,
    *,
    nodes: int = 256,
    axis: int = -1,
    where: Any = None,
    return_error: bool = False,
) -> Any:
    r"""Compute the probabilities with which each entry is the largest once noise is added to all: monotone, as softmax.

    With F the distribution and f the density of the noise, and t the value of the entry that wins,

        p_i = E[prod_{j != i} F(x_i - x_j + noise)] = integral of f(t - x_i) / F(t - x_i) * prod_j F(t - x_j) dt.

    Gumbel noise gives softmax.

    Parameters
    ----------
    x : array_like
        Integers and booleans are promoted to float64, half precisions to float32 (also in the result).
    noise : {"gaussian", "logistic", "gumbel", "uniform"}
        In its standard form: variance 1, scale 1, scale 1, and on (-1/2, 1/2).
    scale : float or array
        Factor of the noise, positive; one for all or one per row (an array has the shape of ``x`` without
        ``axis`` or with 1 there).
    nodes : int
        Nodes of the quadrature, at least 16. For uniform noise nodes / 8 are taken in each of n pieces, which is exact
        for n up to nodes / 4.
    axis : int
        The axis of the distributions, default the last; n is its length.
    where : array of bool, optional
        Entries outside are left out: there p is exactly 0. Broadcasts to the shape of ``x``.
    return_error : bool
        Also return the error of the quadrature.

    Returns
    -------
    p : array, shape of ``x``
        Of sum 1 up to that error: it is not normalised, which would hide it.
    error : array, shape of ``x`` without ``axis``
        Only with ``return_error=True``. For smooth noise an estimate: the distance of sum p from 1, and the largest
        difference between the rules of all nodes and of every second one. The latter is the error of the half, the
        true one is about its square. For uniform noise rigorous: 1 - sum p, because Gauss' rule errs to one side on
        products of rising lines. Rounding adds n eps at most.

    Raises
    ------
    TypeError
        If ``x`` is no real array, or ``nodes`` or ``axis`` no int.
    ValueError
        If ``noise`` is unknown, ``nodes`` or ``axis`` out of range, ``scale`` not positive, or shapes do not fit.

    Notes
    -----
    The form with t needs O(n) a node, where the expectation needs O(n^2): the distribution of the maximum is shared. On
    smooth noise the rule of equal weights in t converges exponentially: O(n nodes). On uniform noise Gauss and
    Legendre's rule runs between the places where an entry reaches the end of its noise: O(n^2 nodes / 8), for rows of
    some hundred. Computed in float64 where the library has it; memory: about eleven arrays of the size of ``x`` in
    float64. The error is absolute: what is less probable than eps has no digits.

    An entry -inf counts as left out. Entries +inf share 1 evenly. A row with a NaN, or without an entry above -inf, is
    NaN; a row that ``where`` leaves out altogether is 0. Torch tensors have an explicit derivative (`perturb_max_vjp`).

    References
    ----------
    Scientific Spaces 10145, "perturb max"; Berthet et al., NeurIPS 2020, arXiv 2002.08676.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import perturb_max
    >>> perturb_max(np.array([1.0, 0.0, -1.0])).round(6)
    array([0.728751, 0.224098, 0.047151])
    >>> p, error = perturb_max(np.array([0.25, 0.0]), "uniform", return_error=True)
    >>> p
    array([0.71875, 0.28125])
    """
    xp, x = open_real(x=x)
    axis, mask, divisor = _check(xp, x, noise, scale, nodes, axis, where)
    rows = to_rows(xp, masked(xp, x, mask, axis), axis)
    run = kernel("perturb_max", xp) or probabilities
    p, error = run(xp, _relative(xp, rows, divisor), noise, nodes)
    p, error = from_rows(xp, xp.astype(p, x.dtype), tuple(x.shape), axis), xp.astype(error, x.dtype)
    if mask is not None:
        p = xp.where(mask, p, 0.0)
        error = xp.where(xp.any(to_rows(xp, mask, axis), axis=-1), error, 0.0)
    return (p, xp.reshape(error, (*x.shape[:axis], *x.shape[axis + 1 :]))) if return_error else p


def perturb_max_vjp(
    x: Any,
    cotangent: Any,
    noise: str = "gaussian",
    scale: Any = 1.0,
    *,
    nodes: int = 256,
    axis: int = -1,
    where: Any = None,
) -> Any:
    """Return the product of a cotangent with the Jacobian of `perturb_max` by ``x``.

    It is the Laplacian of a graph: the Jacobian is symmetric, its rows sum to 0, and beside the diagonal it is minus
    the integral of f_i f_j prod F, over the other factors.

    Parameters
    ----------
    x, cotangent : array_like, of one shape
        The entries, and the gradient by the probabilities.
    noise, scale, nodes, axis, where
        As in `perturb_max`.

    Returns
    -------
    gradient : array, shape of ``x``
        0 where entries are left out.

    Raises
    ------
    TypeError, ValueError
        As `perturb_max`, and if the shapes differ.

    Notes
    -----
    Cost and memory as `perturb_max`: no matrix of n^2 entries is formed.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import perturb_max_vjp
    >>> perturb_max_vjp(np.zeros(2), np.array([1.0, 0.0])).round(6)  # 1 / sqrt(4 pi)
    array([ 0.282095, -0.282095])
    """
    xp, x, cotangent = open_real(x=x, cotangent=cotangent)
    check_same_shape(x, cotangent, "cotangent")
    axis, mask, divisor = _check(xp, x, noise, scale, nodes, axis, where)
    g = xp.astype(to_rows(xp, cotangent, axis), best_real(xp))

    def rows(values: Any) -> Any:
        product = laplacian_product(xp, _relative(xp, values, divisor), g, noise, nodes)
        return xp.astype(product, x.dtype) / divisor[:, None]

    return over_rows(xp, x, rows, axis=axis, mask=mask)


def perturb_max_jvp(
    x: Any,
    tangent: Any,
    noise: str = "gaussian",
    scale: Any = 1.0,
    *,
    nodes: int = 256,
    axis: int = -1,
    where: Any = None,
) -> Any:
    """Return the derivative of `perturb_max` along ``tangent``; the Jacobian is symmetric.

    Parameters and result are those of `perturb_max_vjp`.
    """
    _, found, direction = open_real(x=x, tangent=tangent)
    check_same_shape(found, direction, "tangent")  # errors by its own name
    return perturb_max_vjp(x, tangent, noise, scale, nodes=nodes, axis=axis, where=where)


def _check(xp: Any, x: Any, noise: str, scale: Any, nodes: int, axis: int, where: Any) -> tuple[int, Any, Any]:
    """Return the axis, the mask, and the scale of each row."""
    check_option(noise, NOISES, "noise")
    if check_rank(nodes, 100_000, "nodes", "100000") < 16:
        raise ValueError(f"nodes must be at least 16, got {nodes}")
    axis = check_axis(x, axis)
    divisor = per_row(xp, scale, x, axis, "scale", lambda s: s > 0, "positive and finite")
    return axis, check_mask(xp, where, x), divisor


def _relative(xp: Any, x: Any, divisor: Any) -> Any:
    """Return the rows relative to their largest entries, in units of the noise and the widest type."""
    x = xp.astype(x, best_real(xp))
    return divided(xp, offset(xp, x, largest(xp, x)), xp.astype(divisor, x.dtype)[:, None])


def probabilities(xp: Any, z: Any, noise: str, nodes: int) -> tuple[Any, Any]:
    """Return p (rows, n) and its error (rows,) of rows ``z`` whose largest entry is 0, for noise of scale 1."""
    p = odd = xp.zeros_like(z)
    for weight, h, sign in sweep(xp, z, noise, nodes):
        p = p + xp.sum(weight * h, axis=-1)
        odd = odd + xp.sum(sign * weight * h, axis=-1)
    missing = xp.abs(1 - xp.sum(p, axis=-1))
    return p, missing if noise == "uniform" else missing + xp.max(xp.abs(odd), axis=-1)


def laplacian_product(xp: Any, z: Any, g: Any, noise: str, nodes: int) -> Any:
    """Return the product of the rows ``g`` with the Jacobians at the rows ``z`` of largest entry 0, for scale 1."""
    product = xp.zeros_like(z)
    g = g[..., None]
    for weight, h, _ in sweep(xp, z, noise, nodes):
        total, mean = xp.sum(h, axis=-2, keepdims=True), xp.sum(h * g, axis=-2, keepdims=True)
        product = product + xp.sum(weight * h * (g * total - mean), axis=-1)
    return product
