"""Stein variational gradient descent: a flow that is not the Wasserstein one, for comparison."""

import math
import warnings
from functools import partial
from typing import Any

from lina._core.array import scalar
from lina._core.checks import check_positive
from lina._core.errors import AccuracyWarning
from lina.simplex.flow._on_particles import Pairs, State, inner, weighted_sums
from lina.simplex.flow._points import Points, check_count, check_points, without
from lina.simplex.flow._result import ParticleFlow
from lina.simplex.flow._runge_kutta import integrate
from lina.simplex.flow._times import check_times
from lina.simplex.flow.energies import Energy, check_energy
from lina.simplex.flow.particles import collected


def svgd_flow(
    energy: Energy,
    points: Any,
    times: Any,
    *,
    bandwidth: float | None = None,
    rtol: float = 1e-4,
    max_steps: int = 100_000,
) -> ParticleFlow:
    """Move points to a target by Stein variational gradient descent, which loses variance in high dimensions.

    Parameters
    ----------
    energy : Energy
        A sum of `Entropy` and `Potential`: the target is exp(-V / temperature), normalised.
    points : array_like, shape (n,) or (n, d)
        At the first time.
    times : array_like, shape (k,)
        Increasing. Time is that of the kernelised flow, which is slower than the Wasserstein flow.
    bandwidth : float, optional
        Standard deviation of the Gaussian kernel. Default: at each moment the median distance over
        sqrt(2 log(n + 1)).
    rtol : float
        Error allowed in one step, relative to the spread of the initial points.
    max_steps : int
        After so many steps in all the flow ends with status "max_iterations" and what was reached.

    Returns
    -------
    ParticleFlow
        ``dissipation`` is the squared kernelised Stein discrepancy from the target, the rate at which the
        Kullback-Leibler divergence falls in the limit of many points; energy and defect are None. ``bandwidth`` is the
        one given, or None.

    Warns
    -----
    AccuracyWarning
        Always: with n points the variance of the answer collapses as the dimension grows. For 100 points and a standard
        normal target it is 0.96 in 1, 0.42 in 10, 0.09 in 50 and 0.045 in 100 dimensions, instead of 1.

    Raises
    ------
    TypeError
        If ``energy`` is no energy, or ``points`` no dense real array.
    ValueError
        If ``energy`` has no entropy, or an internal energy or interaction; ``points`` are not finite, traced or lazy;
        ``bandwidth`` or ``rtol`` not positive; ``times`` not increasing; or a potential or its gradient not finite or
        of a wrong shape.

    OverflowError
        If ``points`` are larger than 6e153, in single precision 9e18.

    Notes
    -----
    Take `particle_flow` or `langevin_flow` for the Wasserstein flow. Cost: n^2 pairs, three times a step.

    References
    ----------
    Liu, Wang, NeurIPS 2016; Ba, Erdogdu, Ghassemi, Sun, Suzuki, Wu, Zhang, ICLR 2022 (variance collapse).

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from lina.simplex.flow import Entropy, Potential, svgd_flow
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     target = Entropy() + Potential(lambda x: x**2 / 2, gradient=lambda x: x)
    ...     flow = svgd_flow(target, np.linspace(2, 3, 50), [0, 50])
    >>> bool(abs(flow.points[-1].mean()) < 0.01), bool(abs(flow.points[-1].var() - 1) < 0.1)
    (True, True)
    """
    check_energy(energy)
    without(energy, ("internals", "interactions"), "svgd_flow")
    if not energy.temperature > 0:
        raise ValueError("energy must have an Entropy for svgd_flow, got none")
    cloud = check_points(points)
    at, error = check_times(times), check_positive(rtol, "rtol")
    limit = check_count(max_steps, "max_steps")
    width = None if bandwidth is None else check_positive(bandwidth, "bandwidth")
    warnings.warn(
        f"the variance of Stein variational gradient descent collapses in high dimensions (here {cloud.x.shape[1]}, "
        f"with {cloud.x.shape[0]} points): particle_flow and langevin_flow follow the Wasserstein gradient flow",
        AccuracyWarning,
        stacklevel=2,
    )
    state_at = partial(_state, cloud, energy, width)
    run = integrate(cloud.xp, state_at, cloud.x, None, at, error, limit, scale=cloud.spread, falls=False)
    return collected(cloud, at, list(run), width, "Stein variational gradient descent")


def _state(cloud: Points, energy: Energy, bandwidth: float | None, x: Any) -> State:
    """Return the kernelised velocity, and the squared discrepancy as dissipation; the energy is not known."""
    xp, w, d = cloud.xp, cloud.weights, x.shape[1]
    score = xp.zeros_like(x)
    for term in energy.potentials:
        score = score - term.weight / energy.temperature * term.field.gradient_at(x, cloud.line)
    width = median_bandwidth(xp, x) if bandwidth is None else bandwidth
    rows, squared = [], 0.0
    for start, z, kernel in Pairs(xp, x, width):
        k = kernel * (2 * math.pi * width**2) ** (d / 2) * w[None, :]
        stop = start + z.shape[0]
        mine, mass, total = score[start:stop, :], w[start:stop], xp.sum(k, axis=1)
        pull, away = k @ score, weighted_sums(xp, k, z) / width**2
        # the sums over j of k (s_i . s_j + (s_i - s_j) . z / width^2 + d / width^2 - |z|^2 / width^4)
        theirs = xp.sum(k * inner(xp, score[None, :, :], z), axis=1)
        trace = d / width**2 * total - xp.sum(k * inner(xp, z, z), axis=1) / width**4
        own = xp.sum(mine * (pull + away), axis=1)
        squared += scalar(xp.sum(mass * (own - theirs / width**2 + trace)))
        rows.append(pull + away)
    return State(x, energy.temperature * xp.concat(rows, axis=0), None, math.nan, energy.temperature**2 * squared)


def median_bandwidth(xp: Any, x: Any) -> float:
    """Return the median distance over sqrt(2 log(n + 1)); 1 where it is zero."""
    n = x.shape[0]
    squares = xp.sort(xp.concat([xp.reshape(xp.sum(z**2, axis=-1), (-1,)) for _, z, _ in Pairs(xp, x, None)]))
    median = math.sqrt(scalar(squares[squares.shape[0] // 2]))
    return median / math.sqrt(2 * math.log(n + 1)) if median > 0 else 1.0
