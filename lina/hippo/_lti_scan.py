"""The memory of a time-invariant measure, such as a sliding window, by matrix products over chunks of time."""

from functools import lru_cache
from typing import Any

import numpy as np

from lina._core.array import in_full_precision, where_is, widened_array
from lina._core.checks import check_option
from lina._core.kernels import kernel
from lina.hippo._arrays import check_overflow, matrix, open_memory, rows_of, scaled, unscaled
from lina.hippo._measures import check_measure, check_order, check_positive, check_scaling
from lina.hippo._transition import transition

# Steps of a chunk: the states inside are that many products with one matrix, over all chunks at once.
_CHUNK = 32
_METHODS = ("zoh", "bilinear", "euler", "backward")


@in_full_precision
def lti_scan(
    u: Any,
    N: int,
    measure: str = "legt",
    *,
    theta: float = 1.0,
    dt: float = 1.0,
    method: str = "zoh",
    return_all: bool = False,
    x0: Any = None,
    scaling: str = "paper",
    alpha: float = 0.0,
    beta: float = 0.01,
) -> Any:
    """Return the memory x' = A x + B u of a measure, driven by samples: of the last ``theta`` for "legt" and "fout".

    Parameters
    ----------
    u : array, shape (..., L)
        Samples at the distance ``dt``, real or complex; L may be 0.
    N : int
        Number of coefficients.
    measure : str
        As in `transition`; "legs" and "fourier_legs" remember an exponentially warped past, as in S4, which
        `reconstruct` reads with ``time_map="exponential"``.
    theta : float
        Length of the window, or unit of time of the decay, as a time, not as a number of steps: a window holds
        theta / dt samples, with both defaults a single one.
    dt : float
        Distance of the samples, in the same unit of time.
    method : {"zoh", "bilinear", "euler", "backward"}
        As in `lina.ssm.discretize`. "zoh" is exact for a signal that is constant over each step, and the window then
        ends with the last step; "bilinear" is cheaper to set up.
    return_all : bool
        Return the memory after every sample instead of after the last one.
    x0 : array, shape (..., N), optional
        Memory before ``u``, zeros unless given; it broadcasts with the batch of ``u``. Nothing else is needed to go on.
    scaling, alpha, beta
        As in `transition`, of the result and of ``x0``.

    Returns
    -------
    array, shape (..., N), or (..., L, N) with ``return_all``

    Raises
    ------
    TypeError
        If a number is none, or ``u`` and ``x0`` are of different libraries.
    ValueError
        If an option is unknown or out of range, an entry not finite, or a shape does not fit.
    OverflowError
        If the states do not fit the dtype.

    Notes
    -----
    With Ad, Bd of the step and chunks of T = 32: the ends of all chunks from zero by one product with the T columns
    Ad^j Bd, then the true ends one after the other by Ad^T, then, with ``return_all``, all states of all chunks by T
    products of N x N with N x (L / T). These are the flops of the loop over steps, 2 L N^2, at the speed of matrix
    products; for the end alone T is about N, and 4 L N flops are enough. The matrices of the last few systems are
    kept, N^2 log2(T) numbers each. All is done in the paper's scaling, where the measures are contractive; the error
    is about sqrt(N) eps, plus that of the discretisation: from chunk to chunk states are in double precision, inside a
    chunk they are sums of increments. No certificate: `reconstruct` has one.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.hippo import lti_scan, reconstruct
    >>> u = np.sin(np.arange(1000) / 30)
    >>> x = lti_scan(u, 16, "legt", theta=200)
    >>> bool(np.abs(reconstruct(x, [800.5, 900.5, 999.5], "legt", T=1000, theta=200) - u[[800, 900, 999]]).max() < 0.01)
    True
    """
    N, theta, dt = check_order(N), check_positive(theta, "theta"), check_positive(dt, "dt")
    check_scaling(scaling, check_measure(measure))
    check_option(method, _METHODS, "method")  # not "gbt": alpha is that of the measure
    xp, u, x = open_memory(u, x0, N)
    system = (measure, N, theta, dt, method, alpha, beta)
    batch, L = u.shape[:-1], u.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        rows = xp.reshape(u, (rows_of(u), L))
        start = xp.reshape(unscaled(xp, x, measure, scaling), (rows_of(u), N))
        states = _all_states(xp, rows, start, system) if return_all else _end(xp, rows, start, system)
        states = xp.reshape(states, (*batch, *states.shape[1:]))
        return check_overflow(xp, scaled(xp, states, measure, scaling), "u")


def _end(xp: Any, u: Any, x: Any, system: tuple) -> Any:
    """Return the state (c, N) after u (c, L)."""
    L, N = u.shape[-1], x.shape[-1]
    chunk = max(_CHUNK, _power_of_two(N))
    columns, powers, _, _ = _matrices(xp, system, chunk, u)
    x = widened_array(xp, x)
    for first in range(0, L, chunk):
        part = u[:, first : min(first + chunk, L)]
        count = part.shape[-1]
        for bit, power in enumerate(powers):
            if count >> bit & 1:
                x = x @ power
        x = x + xp.astype(part @ columns[chunk - count :, :], x.dtype, copy=False)
    return xp.astype(x, u.dtype, copy=False)


def _all_states(xp: Any, u: Any, x: Any, system: tuple) -> Any:
    """Return the states (c, L, N) after all samples of u (c, L)."""
    (c, L), N = u.shape, x.shape[-1]
    count = -(-L // _CHUNK)
    columns, powers, D, B = _matrices(xp, system, _CHUNK, u)
    rest = xp.zeros((c, count * _CHUNK - L), dtype=u.dtype, device=where_is(u))
    chunks = xp.reshape(xp.concat([u, rest], axis=-1), (c, count, _CHUNK))
    starts = [widened_array(xp, x)]
    inflow = xp.astype(chunks @ columns, starts[0].dtype, copy=False)
    for i in range(count - 1):
        starts.append(starts[i] @ powers[-1] + inflow[:, i, :])
    state = xp.reshape(xp.stack(starts, axis=1), (c * len(starts), N))[: c * count, :]
    state = xp.astype(state, u.dtype, copy=False)
    samples = xp.reshape(chunks, (c * count, _CHUNK))
    fill = kernel("fill_states", xp) or _fill
    # in two moves: dask cuts an axis or joins two, not both at once
    states = xp.reshape(fill(xp, state, samples, D, B), (c, count, _CHUNK, N))
    return xp.reshape(states, (c, count * _CHUNK, N))[:, :L, :]


def _fill(xp: Any, state: Any, samples: Any, D: Any, B: Any) -> Any:
    """Return the states (rows, T, N) after the samples (rows, T), all rows at once, for D = Ad - I transposed.

    A state moves little in a step: as a sum of it and an increment it keeps the digits that a product with Ad rounds.
    """
    states = []
    for j in range(samples.shape[-1]):
        state = state + (state @ D + samples[:, j : j + 1] * B)
        states.append(state)
    return xp.stack(states, axis=1)


def numpy_fill(_: Any, state: Any, samples: Any, D: Any, B: Any) -> Any:
    """Return the same without a copy of the states: products go where they belong."""
    states = np.empty((*samples.shape, B.shape[0]), dtype=state.dtype)
    inflow = np.empty_like(states[:, 0])
    for j in range(samples.shape[1]):
        increment = np.matmul(state, D, out=states[:, j])
        increment += np.multiply(samples[:, j : j + 1], B, out=inflow)
        increment += state
        state = increment
    return states


def _power_of_two(value: int) -> int:
    """Return the smallest power of two that is at least ``value`` >= 1."""
    return 1 << (value - 1).bit_length()


def _matrices(xp: Any, system: tuple, count: int, like: Any) -> tuple[Any, list[Any], Any, Any]:
    """Return Ad^j Bd for j = count - 1 ... 0, the transposes of Ad, Ad^2, Ad^4, ... Ad^count, and of Ad - I, and Bd.

    The powers are in double precision where there is one: the states go through a chain of them, whose rounding would
    grow with the number of chunks in a window.
    """
    rows, powers = _doubled(system, count)
    chain = [matrix(xp, power, widened_array(xp, like)) for power in powers]
    return (
        matrix(xp, rows, like),
        chain,
        matrix(xp, powers[0] - np.eye(len(powers[0])), like),
        matrix(xp, rows[-1], like),
    )


@lru_cache(maxsize=4)
def _doubled(system: tuple, count: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the same in numpy and double precision, kept for the next call: they may take longer than a scan."""
    from lina.ssm import discretize

    measure, N, theta, dt, method, alpha, beta = system
    try:
        Ad, Bd = discretize(*transition(measure, N, theta=theta, alpha=alpha, beta=beta), dt, method)
    except OverflowError:
        found = f"measure = {measure!r}, N = {N}, theta = {theta}, dt = {dt}"
        raise OverflowError(f"measure, N, theta and dt must give finite matrices of a step, got {found}") from None
    rows, powers = Bd[None], [np.ascontiguousarray(Ad.T)]
    while rows.shape[0] < count:
        rows = np.concatenate([rows, rows @ powers[-1]])
        powers.append(powers[-1] @ powers[-1])
    return np.ascontiguousarray(rows[::-1]), powers
