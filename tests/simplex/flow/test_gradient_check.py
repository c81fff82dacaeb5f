"""Gradients that are not those of their functions are refused, right ones never."""

import numpy as np
import pytest

from lina.simplex.flow import (
    Entropy,
    Interaction,
    Potential,
    kullback_leibler,
    langevin_flow,
    particle_flow,
    quantile_flow,
)

POINTS = np.random.default_rng(0).normal(0.5, 1, 40)
PLANE = np.random.default_rng(1).normal(0.5, 1, (40, 2))
TIMES = [0.0, 0.01]


def flows(energy, points):
    def once(flow, *arguments, **options):
        return lambda: flow(energy, *arguments, TIMES, **options)

    found = [once(particle_flow, points), once(langevin_flow, points, step=0.01, rng=0)]
    return found + [once(quantile_flow, np.sort(points))] * (points.ndim == 1)


def square(x):
    return x**2 / 2


def square_norm(x):
    return (x**2).sum(-1) / 2


@pytest.mark.parametrize(
    ("function", "wrong", "points"),
    [
        (square, lambda x: -x, POINTS),
        (square, lambda x: 2 * x, POINTS),
        (square, lambda x: 0.7 * x, POINTS.astype("f")),
        (square, lambda x: -x, np.zeros(50)),
        (square_norm, lambda x: -x, PLANE),
        (square_norm, lambda x: x[:, ::-1], PLANE),
    ],
)
def test_a_gradient_that_is_not_that_of_the_potential_is_refused(function, wrong, points):
    for run in flows(Entropy() + Potential(function, gradient=wrong), points)[:2]:
        with pytest.raises(ValueError, match="the gradient of V must be that of V, but along a short step it says"):
            run()


def test_every_flow_of_points_refuses_it():
    for energy, name in (
        (Potential(square, gradient=lambda x: -x), "V"),
        (Interaction(square, gradient=lambda z: 3 * z), "W"),
        (kullback_leibler(lambda x: -square(x), score=lambda x: x), "V"),
    ):
        for run in flows(energy + Entropy(), POINTS):
            with pytest.raises(ValueError, match=f"the gradient of {name} must be that of {name}"):
                run()


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize(
    ("function", "gradient"),
    [
        (np.abs, np.sign),  # a kink
        (lambda x: 1e6 + x, np.ones_like),  # a constant that hides changes
        (lambda x: np.cos(40 * x) / 40, lambda x: -np.sin(40 * x)),
        (lambda x: x**4 / 4, lambda x: x**3),
        (lambda x: 0 * x, lambda x: 0 * x),
        (lambda x: np.where(np.abs(x) < 50, x, np.inf), np.ones_like),
        (lambda x: np.logaddexp(30 * x, -30 * x) / 30, lambda x: np.tanh(30 * x)),
    ],
)
def test_right_gradients_pass(function, gradient, dtype):
    for run in flows(Potential(function, gradient=gradient), POINTS.astype(dtype))[:2]:
        run()


def test_a_step_that_leaves_the_domain_says_nothing():
    x = 1e-7 * np.arange(1, 41)

    def logarithm(x):
        return np.where(x < 3.5e-6, -np.log(np.where(x > 0, x, np.nan)), np.nan)

    with pytest.raises(ValueError, match="V must be finite"):  # of the points themselves, not of the steps
        particle_flow(Potential(logarithm, gradient=lambda x: -1 / x), x, TIMES)


def test_repelling_logarithms_and_points_that_all_coincide_pass():
    repulsion = Interaction(lambda z: -np.log(np.abs(z)), gradient=lambda z: -1 / z)
    for run in flows(repulsion, POINTS):
        run()
    langevin_flow(Entropy() + Interaction(square, gradient=lambda z: z), np.zeros(20), TIMES, rng=0)


def test_tensors_are_checked_as_well():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(PLANE)
    particle_flow(Potential(square_norm, gradient=lambda x: x), x, TIMES)
    with pytest.raises(ValueError, match="the gradient of V"):
        particle_flow(Potential(square_norm, gradient=lambda x: -x), x, TIMES)
