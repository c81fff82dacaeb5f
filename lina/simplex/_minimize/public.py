"""lina.simplex.minimize: checks, the start, and the loop that takes note of what a method yields."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import array_api_compat.numpy as numpy_namespace
import numpy as np

from lina._core.array import check_finite, is_lazy
from lina._core.certificates import Status
from lina._core.checks import check_option, check_positive, check_rank, check_tolerance
from lina.simplex._gap import SETS, START_SLACK, check_point, check_upper, widen
from lina.simplex._minimize.auto import METHODS
from lina.simplex._minimize.objective import ContradictionError, Lifted, NotFiniteError, Objective, Point
from lina.simplex._minimize.progress import Progress, Region, Tolerances
from lina.simplex._minimize.search import Search
from lina.simplex._minimize.sets import centre, fitted
from lina.simplex._result import SimplexResult, Step
from lina.simplex._rows import open_real

# Methods that know one simplex only, without upper bounds.
_ONE_SIMPLEX = ("newton", "ipm")


def minimize(
    objective: Any,
    x0: Any = None,
    *,
    n: int | None = None,
    method: str = "auto",
    radius: float = 1.0,
    upper: Any = None,
    set: str = "simplex",
    convex: bool | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    scale: float | None = None,
    max_iterations: int = 10_000,
    callback: Callable[[Step], Any] | None = None,
    history: bool = False,
) -> SimplexResult:
    """Minimise a smooth function over the simplex, with the gap that says how good the answer is.

    Parameters
    ----------
    objective : callable or object
        ``objective(x)`` returns (value, gradient); or an object has the methods ``value(x)``, ``gradient(x)`` and
        perhaps ``hessian_product(x, v)``. For torch tensors and jax arrays a callable may return the value alone.
        It is called with points of the set only. A value that is not finite marks the end of its domain.
    x0 : array_like, shape (..., n), or SimplexResult, optional
        The start; its library, device and dtype are those of the iteration. Leading axes make the set a product of
        simplices, one for each row. An earlier result is a warm start. It may miss the set by 0.1 % of ``radius``, as
        one that comes from a lower precision, and is then moved into it.
    n : int, optional
        The dimension, in place of ``x0``: the start is then the centre, in numpy's float64.
    method : str
        "auto"; "projected_gradient" (accelerated, restarted); "mirror" and "accelerated_mirror" (entropic);
        "frank_wolfe", "away", "pairwise"; "newton" (quadratic programs on the support) or "ipm" (on all coordinates,
        by an interior point method), both for one simplex without ``upper``. "away" takes no ``upper``.
    radius : float
        Sum of the entries of a row; largest 1-norm for the l1 ball.
    upper : float or array_like, shape (n,), optional
        Upper bounds of the entries.
    set : {"simplex", "l1_ball"}
        With "l1_ball" entries have any sign, and a sum of sizes of at most ``radius``.
    convex : bool, optional
        Whether F is convex: only if you say True is the gap a certificate. Two gradients that contradict it revoke it.
    rtol, atol : float
        The iteration ends at a gap of at most rtol * max(abs(value), scale) + atol.
    scale : float, optional
        The size below which values count as zero. Default: a thousandth of the gap at the start, so that neither
        the units of F matter, nor a minimum of 0.
    max_iterations : int
        Most steps of the method.
    callback : callable, optional
        Called with a `Step` at every point; the iteration ends when it returns True.
    history : bool
        Whether to keep these steps.

    Returns
    -------
    result : SimplexResult
        The best point met: that of the smallest gap with ``convex=True``, otherwise that of the lowest value.

    Raises
    ------
    TypeError
        If the objective is not callable, or returns what is no number and gradient.
    ValueError
        If neither or both of ``x0`` and ``n`` are given, ``x0`` lies outside of the set, a bound or an option does not
        fit, the gradient has the wrong shape or contradicts the value near the start, or the objective is not finite
        there. Where it is not finite however short a later step, the status of the result is "not_finite".

    Notes
    -----
    The gap is evaluated in float64 from the gradient as the objective returned it, and includes the rounding of that
    gradient, 4 eps times its largest entry: a gradient in single precision certifies no relative gap below about
    1e-6, which ``certified_in`` says. A status "rounding" means that the tolerance lies below what the numbers carry.
    What cancels inside of the objective it cannot see: a gradient formed as a small difference of large terms has
    fewer digits than this allows for, and the gap is a certificate no better than they are.

    Values and gradients are compared at the start and on the way. Where ten pairs of points in a row contradict each
    other, the status is "contradiction": the point is that of the lowest value, and nothing is certified.

    For the l1 ball, x = p - q with (p, q) in a simplex of twice the size.

    Cost: "auto" two evaluations a step, and once the support is small one product with the Hessian for every entry of
    it (a difference of two gradients where there is no ``hessian_product``). Line searches use slopes and take
    about two evaluations.

    References
    ----------
    Jaggi, ICML (2013); Lacoste-Julien and Jaggi, NIPS (2015); Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009) 183.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import minimize
    >>> target = np.array([0.7, 0.6, -0.5])
    >>> result = minimize(lambda x: (0.5 * np.sum((x - target) ** 2), x - target), n=3, convex=True)
    >>> np.round(result.x, 6)
    array([0.55, 0.45, 0.  ])
    >>> result.certified, str(result.status)
    (True, 'converged')
    """
    method = check_option(method, tuple(METHODS), "method")
    set = check_option(set, SETS, "set")
    radius = check_positive(radius, "radius")
    rtol, atol = check_tolerance(rtol, "rtol"), check_tolerance(atol, "atol")
    limit = check_rank(max_iterations, 2**62, "max_iterations", "2^62")
    xp, x, region = _start(x0, n, radius, upper, set)
    _check_method(method, x, region)
    is_ball = set == "l1_ball"
    function = (Lifted if is_ball else Objective)(xp, objective)
    inner = Region(radius) if is_ball else region
    point = function.start(_lift(xp, x, radius) if is_ball else x)
    progress = Progress(
        xp,
        inner,
        Tolerances(rtol, atol, 0.0),
        max_iterations=limit,
        convex=convex,
        callback=callback,
        history=history,
    )
    scale = 1e-3 * progress.measure(point.x, point.value, point.given).gap if scale is None else scale
    progress.tolerances = Tolerances(rtol, atol, check_tolerance(scale, "scale"))
    search = Search(xp, function, inner, progress)
    kinds = _run(search, method, point)
    if isinstance(function, Lifted):
        _lower(function, progress, region)
    return progress.result(" + ".join(kinds), function.evaluations)


def _run(search: Search, method: str, start: Point) -> list[str]:
    """Visit the start and what the method yields until the progress says stop; returns the kinds of steps taken."""
    progress, kinds = search.progress, []
    search.check_gradient(start)
    if search.visit(start, "start", steps=0):
        return [method]
    try:
        for point, kind in METHODS[method](search, start):
            if kind not in kinds:
                kinds.append(kind)
            if search.visit(point, kind):
                break
    except NotFiniteError:
        progress.status = Status.NOT_FINITE
    except ContradictionError:
        progress.contradict()
    progress.status = progress.status or Status.ROUNDING  # no method could move
    return kinds or [method]


def _start(x0: Any, n: int | None, radius: float, upper: Any, set: str) -> tuple[Any, Any, Region]:
    """Return (xp, the start, the set), checked."""
    if (x0 is None) == (n is None):
        raise ValueError(f"one of x0 and n must be given, got {'neither' if n is None else 'both'}")
    if n is not None:
        like = np.zeros(check_rank(n, 2**62, "n", "2^62"))
        bound = check_upper(numpy_namespace, upper, like, radius, set)
        region = Region(radius, bound, set)
        return numpy_namespace, like if set == "l1_ball" else centre(numpy_namespace, like, region), region
    xp, x = open_real(x0=x0.x if isinstance(x0, SimplexResult) else x0)
    if is_lazy(x):
        raise TypeError("x0 must hold its values, got a lazy array")
    if x.shape[-1] == 0:
        raise ValueError(f"x0 must have entries along its last axis, got shape {tuple(x.shape)}")
    if 0 in x.shape:
        raise ValueError(f"x0 must have at least one row, got shape {tuple(x.shape)}")
    x = x.detach() if hasattr(x, "detach") else x
    check_finite(xp, x, "x0")
    bound = check_upper(xp, upper, x, radius, set)
    check_point(xp, x, radius, set, bound, "x0", START_SLACK)
    x = xp.astype(x, x.dtype, copy=True)  # the objective never sees an array of the caller
    region = Region(radius, bound, set)
    return xp, xp.astype(fitted(xp, widen(xp, x), region), x.dtype), region


def _check_method(method: str, x: Any, region: Region) -> None:
    if region.upper is not None and method in (*_ONE_SIMPLEX, "away"):
        raise ValueError(f"upper must be None for method={method!r}")
    if x.ndim > 1 and method in _ONE_SIMPLEX:
        raise ValueError(f"x0 must have one dimension for method={method!r}, got shape {tuple(x.shape)}")


def _lift(xp: Any, x: Any, radius: float) -> Any:
    """Return (p, q) of sum ``radius`` with p - q = x; what the 1-norm leaves is spread evenly over both."""
    zero = xp.zeros_like(x)
    left = (radius - xp.sum(xp.abs(x), axis=-1, keepdims=True)) / (2 * x.shape[-1])
    left = xp.where(left > 0, left, 0.0)
    return xp.concat([xp.where(x > 0, x, zero) + left, xp.where(x < 0, -x, zero) + left], axis=-1)


def _lower(function: Lifted, progress: Progress, region: Region) -> None:
    """Put the point of the ball in the place of the one in the simplex of twice the size; the gap is the same."""
    assert progress.best is not None
    best = progress.best
    x = function.lower(best.x)
    progress.region = region
    progress.best = replace(
        progress.measure(x, best.value, best.gradient[..., : x.shape[-1]], best.rounding), gap=best.gap
    )
