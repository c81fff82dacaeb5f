"""lina.simplex.simplex_qp: checks, and the choice between one problem and a batch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import array_api_compat.numpy as numpy_namespace
import numpy as np
from array_api_compat import array_namespace

from lina._core.array import check_finite, dtype_name, from_numpy, is_lazy, open_door, refuse_gradient, to_numpy
from lina._core.checks import check_option, check_positive, check_rank, check_tolerance
from lina._core.kernels import kernel
from lina.simplex._gap import START_SLACK, check_point, check_real, check_upper
from lina.simplex._minimize.progress import Progress, Region, Tolerances
from lina.simplex._minimize.sets import fitted
from lina.simplex._result import SimplexResult, Step
from lina.simplex._rows import WORTH_COMPILING, open_real
from lina.simplex._simplex_qp.batch import solve_batch
from lina.simplex._simplex_qp.capped import solve_capped
from lina.simplex._simplex_qp.convexity import is_convex
from lina.simplex._simplex_qp.finish import finish
from lina.simplex._simplex_qp.hybrid import METHODS, Problem, solve
from lina.simplex._simplex_qp.quadratic import Dense, Factored


def simplex_qp(
    Q: Any = None,
    c: Any = None,
    *,
    factor: Any = None,
    diagonal: Any = None,
    radius: float = 1.0,
    upper: Any = None,
    x0: Any = None,
    method: str = "auto",
    convex: bool | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    scale: float = 0.0,
    max_iterations: int | None = None,
    callback: Callable[[Step], Any] | None = None,
    history: bool = False,
) -> SimplexResult:
    """Minimise x . Q x / 2 + c . x over the simplex, with the gap that proves it.

    Parameters
    ----------
    Q : array_like, shape (..., n, n), optional
        Symmetric matrices, or give ``factor``. Leading axes are a batch of independent problems.
    c : array_like, shape (..., n), optional
        Linear terms, default 0.
    factor : array_like, shape (n, k), optional
        F of Q = F F' + diag(diagonal), which is not formed where k is below n.
    diagonal : array_like, shape (n,), optional
        Non-negative entries, default 0; only with ``factor``.
    radius : float
        Sum of the entries of x.
    upper : float or array_like, shape (n,), optional
        Largest entries, of a sum of at least ``radius``: caps on weights. For one problem, with ``method="auto"``.
    x0 : array_like, shape (..., n), or SimplexResult, optional
        A start in the simplex, its sum within 0.1 % of ``radius``, by which it is divided; default the vertex of the
        lowest value, or the centre.
    method : {"auto", "pairwise", "active", "ipm"}
        "pairwise": exchanges of mass between two coordinates with the exact step; "active": exchanges, then faces
        (dropping all coordinates that turn negative, adding all that are cheap); "ipm": interior point, on a low-rank
        model where the matrix has one; "auto": "active", and "ipm" where its faces are singular or do not settle.
    convex : bool, optional
        Whether Q is positive semidefinite along the simplex. The default is to find out, by a Cholesky factor in
        n^3 / 3 flops, which can take longer than all the rest. True where you know it (a covariance or kernel
        matrix); a direction of negative curvature that is met revokes it. Known with ``factor``.
    rtol, atol, scale : float
        The iteration ends at a gap of at most rtol * max(abs(value), scale) + atol. The default scale 0 makes the
        answer independent of the units of Q.
    max_iterations : int, optional
        Most steps (exchanges, faces and interior points together), default 1000 + 200 n.
    callback : callable, optional
        Called with a `Step` after each stage; the iteration ends when it returns True.
    history : bool
        Whether to keep these steps.

    Returns
    -------
    result : SimplexResult
        ``x`` in the library and dtype of the input, with exact zeros; the best point met. For a batch ``value``,
        ``gap``, ``relative_gap``, ``lower_bound``, ``multiplier`` and ``iterations`` have the shape of the batch,
        ``certified`` holds for all problems, and ``status`` is that of the worst.

    Raises
    ------
    TypeError
        If an argument is no array of real numbers, or lazy (dask, traced by jax).
    ValueError
        If neither or both of ``Q`` and ``factor`` are given, shapes do not fit, Q is not symmetric, a value is not
        finite, ``diagonal`` is negative, ``radius`` is not positive, ``upper`` leaves no room for it or comes with a
        batch or a method, or ``x0`` lies outside of the set.
    OverflowError
        If products of the entries exceed the range of float64.
    GradientError
        If ``upper`` is given and a torch tensor of the data requires a gradient: there is none.

    Notes
    -----
    The gap is evaluated in float64 from scratch, at the point that is returned, in its dtype, and includes the
    rounding of the gradient; so ``value - gap`` is a lower bound of the minimum whatever the method did. Single
    precision is computed in float64. Where Q is not convex, the gap measures stationarity and nothing is certified.

    For torch tensors x is a differentiable function of Q, c, factor and diagonal: the derivative on the face of the
    positive entries, 9 s^3 flops. Where it does not exist the backward pass raises
    (`lina.torch.simplex_solutions.qp_solution`); ask for an ``rtol`` near rounding.

    With ``upper`` and more than 300 entries projected gradients lead to the face, and Newton steps along it, of one
    product for every entry that is neither zero nor at its bound, to the answer. An interior point method follows where
    these have not after 60 steps, and comes first up to 300 entries; then faces, on which all other entries are exactly
    zero or at their bounds. Where a start meets the tolerance as it is, ``method`` is "start".

    Cost: an exchange 4 n flops (4 n k with a factor), a face of s coordinates s^3 / 3 + n s, an interior point
    n^3 / 3 (n k^2 with a factor). Arrays of other libraries are solved on the CPU. Memory: two copies of Q at most.

    References
    ----------
    Lacoste-Julien and Jaggi, NIPS (2015) (pairwise steps); Kim and Park, SIAM J. Sci. Comput. 33 (2011) 3261 (block
    pivoting); Mehrotra, SIAM J. Optim. 2 (1992) 575.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import simplex_qp
    >>> result = simplex_qp(np.diag([1.0, 2.0, 4.0]))  # weights proportional to 1, 1/2, 1/4
    >>> np.round(result.x, 6)
    array([0.571429, 0.285714, 0.142857])
    >>> result.certified, bool(result.gap < 1e-14)
    (True, True)
    """
    method = check_option(method, tuple(METHODS), "method")
    radius = check_positive(radius, "radius")
    tolerances = Tolerances(*(check_tolerance(v, k) for v, k in ((rtol, "rtol"), (atol, "atol"), (scale, "scale"))))
    limit = None if max_iterations is None else check_rank(max_iterations, 2**62, "max_iterations", "2^62")
    q, like = _quadratic(Q, c, factor, diagonal)
    bound = _upper(upper, q, radius, method)
    start = _start(x0, q.c.shape, radius, bound)
    limit = 1000 + 200 * q.c.shape[-1] if limit is None else limit
    if isinstance(q, _Batch):
        if callback is not None or history:
            raise ValueError("callback and history must be left out for a batch of problems")
        shared = {"method": method, "convex": convex, "max_iterations": limit, "like": like}
        return _differentiable(solve_batch(q.Q, q.c, start, radius, tolerances, **shared), like, Q, c, factor, diagonal)
    known = is_convex(q, convex)
    progress = Progress(
        numpy_namespace,
        Region(radius, bound),
        tolerances,
        max_iterations=limit,
        convex=known,
        callback=callback,
        history=history,
    )
    if bound is not None:
        data = {"Q": Q, "c": c, "factor": factor, "diagonal": diagonal}
        refuse_gradient("simplex_qp with upper", **{name: value for name, value in data.items() if value is not None})
        return solve_capped(q, start, progress, like)
    problem = Problem(q, start, radius, progress)
    kinds = solve(problem, method if known else "pairwise")
    return _differentiable(finish(problem, kinds, like), like, Q, c, factor, diagonal)


def _differentiable(result: SimplexResult, like: Any, Q: Any, c: Any, factor: Any, diagonal: Any) -> SimplexResult:
    """Return the result with its x as a function of the data, where torch records gradients."""
    attach = kernel("simplex_qp_solution", array_namespace(like))
    if attach is None:
        return result
    return replace(result, x=attach(result.x, Q=Q, c=c, factor=factor, diagonal=diagonal))


class _Batch(NamedTuple):
    """Matrices (..., n, n) and linear terms (..., n) of one batch."""

    Q: np.ndarray
    c: np.ndarray


def _quadratic(Q: Any, c: Any, factor: Any, diagonal: Any) -> tuple[Dense | Factored | _Batch, Any]:
    """Return the checked quadratic in float64, and the array whose library and dtype the answer takes."""
    if (Q is None) == (factor is None):
        raise ValueError(f"one of Q and factor must be given, got {'neither' if Q is None else 'both'}")
    if Q is not None and diagonal is not None:
        raise ValueError("diagonal must be None where Q is given (add it to Q)")
    named = {"Q": Q, "factor": factor, "c": c, "diagonal": diagonal}
    given = {name: value for name, value in named.items() if value is not None}
    xp, *opened = open_real(**given)
    arrays = {}
    for name, value in zip(given, opened, strict=True):
        if is_lazy(value):
            raise TypeError(f"{name} must hold its values, got a lazy array")
        if name != "Q":  # whose entries are read once, with the test of symmetry
            check_finite(xp, value, name)
        values = np.asarray(to_numpy(value), dtype=np.float64)
        arrays[name] = values if name == "Q" else np.ascontiguousarray(values)
    if factor is not None:
        return _factored(**arrays), opened[0]
    slack = 1e-5 if dtype_name(opened[0]) == "float32" else 1e-10
    return _dense(**arrays, slack=slack), opened[0]


def _dense(Q: np.ndarray, *, slack: float, c: np.ndarray | None = None) -> Dense | _Batch:
    if Q.ndim < 2 or Q.shape[-1] != Q.shape[-2] or Q.shape[-1] == 0:
        raise ValueError(f"Q must have shape (..., n, n) with n >= 1, got {Q.shape}")
    n = Q.shape[-1]
    c = np.zeros(n) if c is None else c
    if c.shape[-1] != n:
        raise ValueError(f"c must have shape (..., n) with n = {n}, got {c.shape}")
    for value, name in ((Q, "Q"), (c, "c")):
        if value.size == 0:
            raise ValueError(f"{name} must hold at least one problem, got shape {value.shape}")
    Q = _symmetric(Q, slack)
    top = float(np.max(np.abs(np.diagonal(Q, axis1=-2, axis2=-1))))
    if 0 < top < 1e-290:
        raise OverflowError(f"Q must have entries above 1e-290 on its diagonal, or zeros, found at most {top:.3g}")
    if Q.ndim == 2 and c.ndim == 1:
        return Dense(Q, c)
    try:
        batch = np.broadcast_shapes(Q.shape[:-2], c.shape[:-1])
    except ValueError:
        raise ValueError(f"c must have the batch of Q, {Q.shape[:-2]}, got shape {c.shape}") from None
    return _Batch(np.broadcast_to(Q, (*batch, n, n)), np.broadcast_to(c, (*batch, n)))


def _symmetric(Q: np.ndarray, slack: float) -> np.ndarray:
    """Return Q in C order, as it is where it is symmetric, its symmetric part where that is a matter of rounding."""
    Q = np.ascontiguousarray(Q.T if Q.flags.f_contiguous else Q) if Q.ndim == 2 else Q
    limit = 1e300 / Q.shape[-1]
    run = kernel("qp_asymmetry", numpy_namespace) if Q.ndim == 2 and Q.size >= WORTH_COMPILING else None
    if run is not None and run(Q, limit) == (0, 0):
        return Q
    check_finite(numpy_namespace, Q, "Q")
    transposed = np.swapaxes(Q, -1, -2)
    largest = float(np.max(np.abs(Q)))
    if largest > limit:
        raise OverflowError(f"Q must have entries below 1e300 / n, found {largest:.3g}")
    difference = float(np.max(np.abs(Q - transposed)))
    if difference > slack * largest:
        raise ValueError(f"Q must be symmetric, got entries that differ by {difference:.3g} from the transposed ones")
    return Q if difference == 0 else 0.5 * (Q + transposed)


def _factored(factor: np.ndarray, c: np.ndarray | None = None, diagonal: np.ndarray | None = None) -> Factored:
    if factor.ndim != 2 or factor.size == 0:
        raise ValueError(f"factor must have shape (n, k) with n, k >= 1, got {factor.shape}")
    n = factor.shape[0]
    c = np.zeros(n) if c is None else c
    d = np.zeros(n) if diagonal is None else diagonal
    for value, name in ((c, "c"), (d, "diagonal")):
        if value.shape != (n,):
            raise ValueError(f"{name} must have shape ({n},), got {value.shape}")
    if np.any(d < 0):
        raise ValueError(f"diagonal must be non-negative, got an entry of {float(np.min(d)):.3g}")
    if float(np.max(np.abs(factor))) > 1e150 / factor.shape[1]:
        raise OverflowError(f"factor must have squares below 1e300, found an entry of {np.max(np.abs(factor)):.3g}")
    return Factored(factor, d, c)


def _upper(upper: Any, q: Dense | Factored | _Batch, radius: float, method: str) -> np.ndarray | None:
    """Return the bounds (n,) in float64, each at most the radius, or None."""
    if upper is None:
        return None
    if isinstance(q, _Batch) or method != "auto":
        found = "a batch of problems" if isinstance(q, _Batch) else f"method={method!r}"
        raise ValueError(f"upper must be None for {found}")
    xp, bound = open_door(upper=upper)
    check_real(xp, bound, "upper")
    if is_lazy(bound):
        raise TypeError("upper must hold its values, got a lazy array")
    return np.asarray(check_upper(numpy_namespace, np.asarray(to_numpy(bound), dtype=np.float64), q.c, radius))


def _start(x0: Any, shape: tuple[int, ...], radius: float, upper: np.ndarray | None) -> np.ndarray | None:
    """Return the start in float64, summing to the radius without the rounding of its own dtype."""
    if x0 is None:
        return None
    xp, x = open_real(x0=x0.x if isinstance(x0, SimplexResult) else x0)
    if tuple(x.shape) != tuple(shape):
        raise ValueError(f"x0 must have shape {tuple(shape)}, got {tuple(x.shape)}")
    check_finite(xp, x, "x0")
    bound = None if upper is None else from_numpy(upper, x)
    check_point(xp, x, radius, "simplex", bound, "x0", START_SLACK)
    start = np.asarray(to_numpy(x), dtype=np.float64)
    return np.asarray(fitted(numpy_namespace, start, Region(radius, upper)))
