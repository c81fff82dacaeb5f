"""Gradient flows by diffusing particles: the stochastic reference for the deterministic methods."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from lina._core.certificates import Status
from lina._core.random import gaussian, generator
from lina.simplex.flow._gradient_check import check_gradients
from lina.simplex.flow._on_particles import ParticleEnergy
from lina.simplex.flow._points import check_points, without
from lina.simplex.flow._result import ParticleFlow
from lina.simplex.flow._times import check_step, check_times, equal_steps
from lina.simplex.flow.energies import Energy, Sum, check_energy


def langevin_flow(
    energy: Energy,
    points: Any,
    times: Any,
    *,
    weights: Any = None,
    step: float | None = None,
    rng: int | np.random.Generator | None = None,
) -> ParticleFlow:
    """Sample the Wasserstein gradient flow of an entropy with potential and interaction by Langevin dynamics.

    Parameters
    ----------
    energy : Energy
        A sum of `Entropy`, whose weight is the temperature, `Potential` and `Interaction`.
    points : array_like, shape (n,) or (n, d)
        Samples of the initial density.
    times : array_like, shape (k,)
        Increasing.
    weights : array_like, shape (n,), optional
        Positive masses. Default: 1 / n each.
    step : float, optional
        The longest step in time. Default: a hundredth of the time from the first of ``times`` to the one that comes
        next, so that steps are longer towards later ones. Steps are explicit: keep them below the reciprocal of the
        largest curvature of the potential.
    rng : int, numpy.random.Generator or None
        Source of the noise.

    Returns
    -------
    ParticleFlow
        Without energy, dissipation and defect: samples do not determine an entropy. There is no certificate.

    Raises
    ------
    TypeError
        If ``energy`` is no energy, ``points`` or ``weights`` no dense real arrays of one library, or ``rng`` none of
        the above.
    ValueError
        If ``energy`` has an internal energy; ``points`` are not finite, traced or lazy; ``weights`` or ``step`` not
        positive; ``times`` not increasing; a potential or its gradient not finite or of a wrong shape; or a gradient
        not that of its function.

    OverflowError
        If ``points`` are larger than 6e153, in single precision 9e18.

    Notes
    -----
    The error of averages over n samples is O(n^(-1/2)), whatever the step. Each step adds the mean of two normal draws,
    of which the next step uses the second one again (Leimkuhler and Matthews): the stationary distribution then errs by
    the square of the step, and not at all for a quadratic potential; before that the law errs by its first power.

    Cost: one gradient a step, with an interaction n^2 pairs.

    References
    ----------
    Leimkuhler, Matthews, Appl. Math. Res. eXpress 2013, 34.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex.flow import Entropy, Potential, langevin_flow
    >>> energy = Entropy() + Potential(lambda x: x**2 / 2, gradient=lambda x: x)
    >>> flow = langevin_flow(energy, np.zeros(20_000), [0, 5], step=0.2, rng=0)
    >>> bool(abs(flow.points[-1].var() - 1) < 0.03)
    True
    """
    check_energy(energy)
    without(energy, ("internals",), "langevin_flow")
    cloud = check_points(points, weights)
    at, longest, draws = check_times(times), check_step(step), generator(rng)
    check_gradients(energy, cloud.x, cloud.line)
    drift = ParticleEnergy(cloud.xp, _without_entropy(energy), cloud.weights, cloud.line, None)
    x, steps, kept = cloud.x, 0, [cloud.x]
    noise = gaussian(draws, tuple(x.shape), x)
    for start, stop in pairwise(at.tolist()):
        for dt in equal_steps(float(at[0]), start, stop, longest):
            fresh = gaussian(draws, tuple(x.shape), x)
            x = x + dt * drift.at(x).velocity + math.sqrt(energy.temperature * dt / 2) * (noise + fresh)
            noise, steps = fresh, steps + 1
        kept.append(x)
    return ParticleFlow(
        times=at,
        energy=None,
        dissipation=None,
        defect=None,
        mass=np.full(at.size, float(cloud.xp.sum(cloud.weights))),
        steps=steps,
        status=Status.CONVERGED,
        method="Langevin",
        points=cloud.as_given(cloud.xp.stack(kept)),
        weights=cloud.weights,
        bandwidth=None,
    )


def _without_entropy(energy: Energy) -> Energy:
    return Sum((*energy.potentials, *energy.interactions))
