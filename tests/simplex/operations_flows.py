"""Rows of the table of operations: flows of densities, those whose answer scales with what they are given."""

from typing import Any

import numpy as np

from lina._core.array import array_namespace, dtype_name, is_lazy, open_door
from lina.simplex.flow import Entropy, Potential, bounded_density_step, grid_flow, particle_flow
from tests.operation import Operation, eps
from tests.reference.flows import generator_matrix, lowest_fill, two_stage_steps

BOX = ((-2.0, 2.0), (-1.5, 1.5))


def _real(x: Any, name: str) -> Any:
    """Return the absolute value of complex numbers: flows are real, the table also has complex inputs."""
    xp, found = open_door(**{name: x})
    return xp.abs(found) if "complex" in dtype_name(found) else x


def _densities(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
    return (rng.uniform(0.5, 1.5, (20, 8)).astype(dtype),)


def _harmonic(x: Any) -> Any:
    return array_namespace(x).sum(x**2, axis=-1) / 2


def _grid(density: Any) -> Any:
    p = _real(density, "density")
    domain = BOX[: open_door(density=p)[1].ndim]
    return grid_flow(Entropy() + Potential(_harmonic_of_any), p, [0.0, 0.1, 0.2], domain=domain, step=0.1)


def _harmonic_of_any(x: Any) -> Any:
    return _harmonic(x) if x.ndim == 3 else x**2 / 2


def _grid_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    p = np.abs(inputs[0])
    matrix = np.zeros((p.size, p.size))
    for axis, ((lower, upper), n) in enumerate(zip(BOX, p.shape, strict=True)):
        h = (upper - lower) / n
        one = generator_matrix((lower + h * (np.arange(n) + 0.5)) ** 2 / 2, h)
        matrix += np.kron(one, np.eye(p.shape[1])) if axis == 0 else np.kron(np.eye(p.shape[0]), one)
    exact = two_stage_steps(matrix, p.astype("float64").ravel(), 0.1, 2).reshape(p.shape)
    return float(np.max(np.abs(outputs["X"] - exact)) / (np.max(exact) * 100 * eps(p)))


def _bounded(density: Any) -> Any:
    p = _real(density, "density")
    xp, found = open_door(density=p)
    domain = BOX[: found.ndim]
    most = 1.0 if is_lazy(found) or 0 in found.shape else 2 * float(xp.max(xp.abs(found)))
    return bounded_density_step(Potential(_harmonic_of_any), p, max(most, 1e-300), domain=domain)


def _bounded_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    p = np.abs(inputs[0]).astype("float64")
    centres = [
        lower + (upper - lower) / n * (np.arange(n) + 0.5) for (lower, upper), n in zip(BOX, p.shape, strict=True)
    ]
    V = (centres[0][:, None] ** 2 + centres[1] ** 2) / 2
    # cells of equal height are filled in any order: what counts is the integral
    best = np.sum(lowest_fill(V, 2 * p.max(), p.sum()) * V)
    found = np.sum(outputs["X"] * V)
    return float(abs(found - best) / (best * 100 * eps(inputs[0])))


def _points(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
    return (rng.standard_normal((20, 8)).astype(dtype),)


def _particles(points: Any) -> Any:
    x = _real(points, "points")
    shape = open_door(points=x)[1].ndim
    value = _harmonic if shape == 2 else lambda x: x**2 / 2
    return particle_flow(Potential(value, gradient=lambda x: x), x, [0.0, 0.5, 1.0], rtol=1e-6)


def _particles_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    exact = np.abs(inputs[0]) if np.iscomplexobj(inputs[0]) else inputs[0]
    return float(np.max(np.abs(outputs["X"] - exact * np.exp(-1))) / (1e-5 * np.max(np.abs(exact))))


NO_MASS = {"zeros": ("ValueError",), "huge": ("ValueError",), "subnormal": ("ValueError",), "1-d": ()}

ROWS = [
    Operation(
        "simplex.flow.grid_flow",
        call=_grid,
        arrays=_densities,
        outputs=lambda flow: {"X": flow.density[-1, ...]},
        error=_grid_error,
        real=("X",),
        argument="density",
        hostile=NO_MASS,
    ),
    Operation(
        "simplex.flow.bounded_density_step",
        call=_bounded,
        arrays=_densities,
        outputs=lambda step: {"X": step.density},
        error=_bounded_error,
        real=("X",),
        argument="density",
        hostile=NO_MASS,
    ),
    Operation(
        "simplex.flow.particle_flow",
        call=_particles,
        arrays=_points,
        outputs=lambda flow: {"X": flow.points[-1, ...]},
        error=_particles_error,
        real=("X",),
        argument="points",
        hostile={"1-d": ()},
    ),
]
