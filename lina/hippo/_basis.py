"""The functions that the coefficients of a memory multiply, over time."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import gammaln

from lina._core.array import check_finite, is_lazy, open_door, widened_array
from lina.hippo._arrays import constant
from lina.hippo._legendre import legendre
from lina.hippo._measures import (
    LEGENDRE,
    check_laguerre,
    check_measure,
    check_number,
    check_order,
    check_positive,
    check_scaling,
    roots,
    scale_factors,
)

TimeMap = str | Callable[[Any], Any]

_DEFAULT_MAPS = {"legs": "scaled", "fourier_legs": "scaled", "legt": "window", "fout": "window", "foud": "window"}
_MAPS = ("scaled", "window", "exponential")
# How far a time may lie outside what is remembered by rounding, relative to the length of [-1, 1].
_SLACK = 1e-6


def basis(
    measure: str,
    N: int,
    t: Any,
    T: float = 1.0,
    *,
    theta: float = 1.0,
    scaling: str = "paper",
    time_map: TimeMap | None = None,
    alpha: float = 0.0,
    beta: float = 0.01,
) -> Any:
    """Return the functions of time by which a memory at time T is read: u(t) is about sum_n x_n g_n(t).

    Parameters
    ----------
    measure : str
        As in `transition`.
    N : int
        Number of functions.
    t : array, shape (...)
        Times that are remembered: in [0, T], in [T - theta, T], or up to T, see ``time_map``.
    T : float
        The time now. With the default 1, ``t`` is relative to the duration of what "legs" remembers.
    theta, scaling, alpha, beta
        As in `transition`.
    time_map : {"scaled", "window", "exponential"} or callable, optional
        How the remembered times become -1 <= s <= 1, where Legendre polynomials and Fourier functions live: "scaled"
        is s = 2 t / T - 1 (the default of "legs" and "fourier_legs"), "window" is s = 2 (t - T) / theta + 1 (that of
        "legt", "fout" and "foud"), "exponential" is s = 2 exp((t - T) / theta) - 1, what the time-invariant system
        x' = (A x + B u) / theta with the matrix of "legs" or "fourier_legs" remembers, as in S4. A callable maps an
        array of times to s. "lagt" and "glagt" have their own functions of T - t, "foud" only its window.

    Returns
    -------
    array, shape (..., N)

    Raises
    ------
    TypeError
        If a number is none, or ``t`` is complex.
    ValueError
        If an option is unknown or out of range, or a time not finite or not remembered (lazy arrays pass unseen).

    Notes
    -----
    Legendre: sqrt(2n + 1) P_n(s) over the factor of the scaling. "fout", "fourier_legs": 1, sqrt2 cos(2 pi k sigma),
    sqrt2 sin(2 pi k sigma) with sigma = (s + 1) / 2; with even N the last is 0. "lagt": exp(-y/2) L_n(y) with
    y = (T - t) / theta; "glagt": the weighted polynomials of the HiPPO paper, appendix D.2. "foud" is no projection:
    its functions return signals of period theta exactly (as N grows), from the decaying sum over all periods.
    Cost 4 N flops a time, in double precision. Source: the article 10114 of the Scientific Spaces blog.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.hippo import basis
    >>> basis("legs", 3, np.array([0.0, 0.5, 1.0]), scaling="lmu")
    array([[ 1. , -1. ,  1. ],
           [ 1. ,  0. , -0.5],
           [ 1. ,  1. ,  1. ]])
    """
    check_measure(measure)
    N, theta, T = check_order(N), check_positive(theta, "theta"), check_number(T, "T")
    check_scaling(scaling, measure)
    time_map = check_time_map(measure, time_map, T)
    xp, t = open_door(t=t)
    if xp.isdtype(t.dtype, "complex floating"):
        raise TypeError(f"t must be real, got dtype {t.dtype}")
    check_finite(xp, t, "t")
    wide = widened_array(xp, t)
    if measure in ("lagt", "glagt"):
        age = _remembered(xp, (T - wide) / theta, 0.0, math.inf, f"up to T = {T:g}")
        values = _laguerre(xp, age, N, measure, *check_laguerre(alpha, beta))
    else:
        s = _remembered(xp, _position(xp, wide, T, theta, time_map), -1.0, 1.0, _span(T, theta, time_map))
        values = _on_interval(xp, s, N, measure) / constant(xp, scale_factors(measure, N, scaling), s)
    return xp.astype(values, t.dtype, copy=False)


def check_time_map(measure: str, time_map: Any, T: float) -> TimeMap | None:
    """Return the map of a measure, its own where none is given."""
    if not (time_map is None or isinstance(time_map, str) or callable(time_map)):
        raise TypeError(f"time_map must be a text, a function or None, got {type(time_map).__name__}")
    own = _DEFAULT_MAPS.get(measure)
    if measure in ("lagt", "glagt", "foud") and time_map not in (None, own):
        raise ValueError(f"time_map must be None for the measure {measure!r}, got {time_map!r}")
    chosen = own if time_map is None else time_map
    if not callable(chosen) and chosen is not None and chosen not in _MAPS:
        raise ValueError(f"time_map must be one of {', '.join(map(repr, _MAPS))} or callable, got {time_map!r}")
    if chosen == "scaled" and T <= 0:
        raise ValueError(f"T must be positive for the time map 'scaled', got {T}")
    return chosen


def _position(xp: Any, t: Any, T: float, theta: float, time_map: TimeMap | None) -> Any:
    if callable(time_map):
        position = time_map(t)
        if not hasattr(position, "dtype"):
            raise TypeError(f"time_map must return an array of the shape of t, got {type(position).__name__}")
        return position
    if time_map == "scaled":
        return 2 * t / T - 1
    if time_map == "window":
        return 2 * (t - T) / theta + 1
    return 2 * xp.exp((t - T) / theta) - 1


def _span(T: float, theta: float, time_map: TimeMap | None) -> str:
    """Return which times are remembered, in words."""
    first = {"scaled": "in [0, T]", "window": f"in [T - theta, T] = [{T - theta:g}, T]", "exponential": "up to T"}
    return f"{first[time_map]} with T = {T:g}" if isinstance(time_map, str) else "where time_map is in [-1, 1]"


def _remembered(xp: Any, position: Any, low: float, high: float, span: str) -> Any:
    """Return the positions within [low, high], put back onto it where rounding left it."""
    if not is_lazy(position):
        inside = (position >= low - _SLACK) & (position <= high + _SLACK)
        if not bool(xp.all(inside)):
            count = int(xp.sum(xp.astype(~inside, xp.int64)))
            found = f"{count} others of {math.prod(inside.shape)}"
            raise ValueError(f"t must be times that are remembered, {span}, got {found}")
    return xp.clip(position, low, high)


def _on_interval(xp: Any, s: Any, N: int, measure: str) -> Any:
    if measure in LEGENDRE:
        return legendre(xp, s, N) * constant(xp, roots(N), s)
    sigma = (s + 1) / 2
    k = constant(xp, np.arange(1, (N + 1) // 2, dtype=float), s)
    angle = 2 * math.pi * sigma[..., None] * k
    waves = xp.stack([xp.cos(angle), xp.sin(angle)], axis=-1) * math.sqrt(2)
    waves = xp.reshape(waves, (*s.shape, 2 * k.shape[0]))
    idle = [xp.zeros_like(s[..., None])] if N % 2 == 0 else []
    values = xp.concat([xp.ones_like(s[..., None]), waves, *idle], axis=-1)
    if measure == "foud":  # the sum over all periods, each exp(-1/2) of the next, is undone
        values = values * ((1 - math.exp(-0.5)) * xp.exp((1 - sigma[..., None]) / 2))
    return values


def _laguerre(xp: Any, y: Any, N: int, measure: str, alpha: float, beta: float) -> Any:
    """Return the functions of "lagt" or "glagt"; their factor exp(-c y) is carried as a logarithm beside them."""
    n = np.arange(N)
    if measure == "lagt":
        alpha, rate, factors = 0.0, 0.5, np.ones(N)
    else:
        rate = (1 - beta) / 2
        mass = np.exp(-gammaln(1 - alpha) / 2) * beta ** ((1 - alpha) / 2)
        factors = np.exp((gammaln(n + 1) - gammaln(n + alpha + 1)) / 2) / mass
    log_size, before, now, values = -rate * y, xp.zeros_like(y), xp.ones_like(y), []
    for i in range(N):
        values.append(now * xp.exp(log_size))
        before, now = now, ((2 * i + 1 + alpha - y) * now - (i + alpha) * before) / (i + 1)
        large = xp.abs(now) > 1e100
        shrink = xp.where(large, 1e-100 * xp.ones_like(y), xp.ones_like(y))
        before, now, log_size = before * shrink, now * shrink, log_size - xp.log(shrink)
    weight = xp.ones_like(y) if alpha == 0 else y**alpha
    return xp.stack(values, axis=-1) * weight[..., None] * constant(xp, factors, y)
