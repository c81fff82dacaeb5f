"""A memory read back as a function of time, with its error where the signal is known."""

import math
from typing import Any

import numpy as np

from lina._core.array import (
    check_finite,
    dtype_name,
    epsilon,
    in_full_precision,
    is_lazy,
    open_door,
    scalar,
    widened_array,
)
from lina._core.certificates import Certificate, CertificateKind
from lina.hippo._arrays import check_overflow, constant, matrix, open_finite
from lina.hippo._basis import TimeMap, basis
from lina.hippo._legendre import gauss
from lina.hippo._measures import LEGENDRE, check_order

# Nodes at which the table of the basis is in memory at once.
_BLOCK = 16384


@in_full_precision
def reconstruct(
    x: Any,
    t: Any,
    measure: str,
    T: float = 1.0,
    *,
    theta: float = 1.0,
    scaling: str = "paper",
    time_map: TimeMap | None = None,
    alpha: float = 0.0,
    beta: float = 0.01,
    u: Any = None,
) -> Any:
    """Return the signal that a memory stands for: sum_n x_n g_n(t) with the functions of `basis`.

    Parameters
    ----------
    x : array, shape (..., N)
        Coefficients, for example from `legs_scan`, real or complex.
    t : array, shape (m,), or float
        Remembered times, in the library of ``x`` or of numpy, or a list.
    measure : str
        As in `transition`.
    T, theta, scaling, time_map, alpha, beta
        As in `basis`.
    u : array, shape (..., L), optional
        The signal that was remembered, constant on L cells of equal length over [0, T] ("legs", "fourier_legs") or
        [T - theta, T] ("legt", "fout"), for a certificate.

    Returns
    -------
    values : array, shape (..., m), or (...) for a single time
    error : Certificate
        Only with ``u``: the root of the mean square of the difference over the remembered time, one for each memory.
        It is the error of the memory as it is, that of an inexact scan included, an upper bound with its rounding
        ("rigorous"), and has its digits however small it is.

    Raises
    ------
    TypeError
        If arrays are of different libraries, or a number is none.
    ValueError
        If an option is unknown or out of range, an entry not finite, a time not remembered, or ``u`` is given where
        the remembered time is not bounded or mapped otherwise.
    OverflowError
        If the values do not fit the dtype.

    Notes
    -----
    2 N flops a value and 4 N a time. The certificate takes 12 + 4 N / sqrt(L) nodes of a Gauss rule in each cell, or
    N if less, at which the difference is squared: not the difference of two squares, as by Parseval.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.hippo import legs_project, reconstruct
    >>> u = np.sin(np.arange(1000) / 200)
    >>> values, error = reconstruct(legs_project(u, 8), np.array([0.25, 0.5]), "legs", u=u)
    >>> bool(np.abs(values - u[[249, 499]]).max() < 0.01), error.value < 0.002
    (True, True)
    """
    xp, x = open_finite(x=x)
    N = check_order(x.shape[-1], name="x.shape[-1]")
    times = _times(xp, t, x)
    options: dict[str, Any] = {"theta": theta, "scaling": scaling, "time_map": time_map, "alpha": alpha, "beta": beta}
    if times.ndim > 1:
        raise ValueError(f"t must be one time or have one axis, got shape {tuple(times.shape)}")
    table = xp.astype(basis(measure, N, xp.reshape(times, (-1,)), T, **options), x.dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        values = check_overflow(xp, x @ xp.matrix_transpose(table), "x")
        values = values[..., 0] if times.ndim == 0 else values
        return values if u is None else (values, _error(xp, x, u, measure, scaling, time_map))


def _times(xp: Any, t: Any, x: Any) -> Any:
    """Return the times as a real array of the library of ``x``; numbers, lists and numpy arrays go there."""
    foreign = isinstance(t, (int, float, list, tuple, np.ndarray, np.generic))
    times = open_door(t=t)[1] if foreign else open_door(x=x, t=t)[2]
    if "complex" in dtype_name(times):
        raise TypeError(f"t must be real, got dtype {dtype_name(times)}")
    check_finite(np if foreign else xp, times, "t")
    return constant(xp, times, widened_array(xp, x)) if foreign else times


def _error(xp: Any, x: Any, u: Any, measure: str, scaling: str, time_map: Any) -> Certificate:
    """Return the root mean square difference from a piecewise constant signal, on the time that is remembered."""
    if measure not in ("legs", "fourier_legs", "legt", "fout") or time_map is not None:
        raise ValueError("u must be left out for this measure or time map: its remembered time has no equal cells")
    xp, u = open_finite(u=u)
    L, N = u.shape[-1], x.shape[-1]
    if L == 0:
        raise ValueError(f"u must have at least one sample, got shape {tuple(u.shape)}")
    if u.shape[:-1] != x.shape[:-1]:
        raise ValueError(f"u must have the batch {tuple(x.shape[:-1])} of x, got shape {tuple(u.shape)}")
    points = 12 + math.ceil(4 * N / math.sqrt(L))
    points = min(N, points) if measure in LEGENDRE else points  # polynomials need no more
    nodes, weights = gauss(points)
    (x, u), total = (widened_array(xp, v) for v in (x, u)), 0.0
    unit = _unit(xp, x, u)
    x, u = x / unit, u / unit
    cells = max(1, _BLOCK // points)
    for first in range(0, L, cells):
        part = u[..., first : min(first + cells, L)]
        at = (np.arange(first, first + part.shape[-1])[:, None] + (nodes + 1) / 2) / L
        table = matrix(xp, basis(measure, N, np.reshape(at, (-1,)), scaling=scaling), x)
        there = xp.reshape(x @ xp.matrix_transpose(table), (*part.shape, points))
        total = total + xp.sum(xp.abs(there - part[..., None]) ** 2 * constant(xp, weights, x), axis=(-2, -1))
    size = xp.sqrt(xp.sum(xp.abs(x) ** 2, axis=-1))
    value = (xp.sqrt(total / L) + 4 * (N + 2) * epsilon(x) * size) * unit
    return Certificate(value if value.ndim or is_lazy(value) else scalar(value), CertificateKind.RIGOROUS)


def _unit(xp: Any, x: Any, u: Any) -> float:
    """Return a power of two near the largest entries, over which their squares neither overflow nor vanish."""
    if is_lazy(x) or 0 in x.shape:
        return 1.0
    largest = max(scalar(xp.max(xp.abs(v))) for v in (x, u))
    return 2.0 ** min(max(math.frexp(largest)[1], -1000), 1000) if largest > 0 else 1.0
