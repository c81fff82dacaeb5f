"""Rows of the table of operations: the memory of LegS, its products, projection and reconstruction."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.polynomial.legendre import legvander

from lina.hippo import (
    basis,
    legs_matvec,
    legs_project,
    legs_rmatvec,
    legs_rsolve,
    legs_scan,
    legs_scan_vjp,
    legs_solve,
    lti_scan,
    reconstruct,
    transition,
)
from lina.ssm import discretize
from tests.operation import Operation, eps
from tests.reference.hippo import legs_matrices, legs_projection, legs_states

LIBRARIES = ("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax")
# The scans of LegS run on dask arrays too, as graphs of a task for each doubling of each coefficient: too slow to use.
WITH_DASK = (*LIBRARIES, "dask")
# One axis is enough; a batch of one and a signal of one sample are results, which the largest numbers may leave.
ANY_BATCH: dict[str, tuple[str, ...]] = {"1-d": (), "subnormal": (), "huge": ("OverflowError",)}


def signals(*shape: int) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of noise, complex where the dtype is."""

    def make(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
        u = rng.standard_normal(shape)
        if np.dtype(dtype).kind == "c":
            u = u + 1j * rng.standard_normal(shape)
        return (u.astype(dtype),)

    return make


def against(reference: Callable[[np.ndarray], np.ndarray], factor: float) -> Callable[..., float]:
    """Return the judge of the norm-wise relative error over ``factor`` eps."""

    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
        expected = reference(inputs[0].astype(np.result_type(inputs[0].dtype, np.float64)))
        distance = np.linalg.norm(outputs["X"] - expected) / np.linalg.norm(expected)
        return float(distance / (factor * eps(inputs[0])))

    return error


def stepped(N: int, method: str, every: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """Return the scan of all rows by dense solves."""

    def scan(u: np.ndarray) -> np.ndarray:
        states = np.stack([legs_states(row, N, method) for row in u.reshape(-1, u.shape[-1])])
        return (states if every else states[:, -1]).reshape(*u.shape[:-1], *((u.shape[-1],) if every else ()), N)

    return scan


def gradient(u: np.ndarray) -> np.ndarray:
    """Return the gradient by 30 samples of the scan, from the states that unit samples end in."""
    N = u.shape[-1]
    return u @ np.stack([legs_states(e, N)[-1] for e in np.eye(30)]).T


def dense(side: str, h: float | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Return a product or a solve with the dense matrix of LegS, or its transpose for ``side`` "r"."""

    def act(x: np.ndarray) -> np.ndarray:
        A = legs_matrices(x.shape[-1])[0]
        A = A.T if side == "r" else A
        if h is None:
            return x @ A.T
        flat = x.reshape(-1, x.shape[-1]).T
        return np.linalg.solve(np.eye(A.shape[0]) - h * A, flat).T.reshape(x.shape)

    return act


def looped(N: int, theta: float, every: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return the window of "legt" one step at a time."""

    def scan(u: np.ndarray) -> np.ndarray:
        Ad, Bd = discretize(*transition("legt", N, theta=theta), 1.0, "zoh")
        x, states = np.zeros((*u.shape[:-1], N)), []
        for k in range(u.shape[-1]):
            x = x @ Ad.T + u[..., k : k + 1] * Bd
            states.append(x)
        return np.stack(states, axis=-2) if every else states[-1]

    return scan


def shares(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
    """Return times, real also where a complex dtype is asked for."""
    return (
        rng.uniform(-1, 1, (4, 5)).astype({"complex64": "float32", "complex128": "float64"}.get(str(dtype), dtype)),
    )


def over_the_largest(t: Any) -> Any:
    """Return t over its largest modulus: a time map that any times fit."""
    xp = array_namespace(t)
    largest = xp.max(xp.abs(t))
    return t / xp.where(largest == 0, xp.ones_like(largest), largest)


def legendre_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance from numpy's Legendre polynomials over eps."""
    s = inputs[0].astype(float) / np.abs(inputs[0].astype(float)).max()
    expected = legvander(s, 5) * np.sqrt(2 * np.arange(6) + 1)
    return float(np.abs(outputs["X"] - expected).max() / (100 * eps(inputs[0])))


def row(name: str, call: Callable[..., Any], shape: tuple[int, ...], reference: Any, factor: float, **more: Any) -> Any:
    """Return a row with the settings that the room shares."""
    options: dict[str, Any] = {
        "backends": LIBRARIES,
        "extensions": (),
        "argument": "u",
        "hostile": ANY_BATCH,
        **more,
    }
    error = against(reference, factor)
    return Operation(f"hippo.{name}", call, signals(*shape), lambda X: {"X": X}, error, **options)


ROWS = [
    Operation(
        "hippo.basis",
        lambda t: basis("legs", 6, t, time_map=over_the_largest),
        shares,
        lambda X: {"X": X},
        legendre_error,
        backends=LIBRARIES,
        extensions=(),
        degree=0,
        real=("X",),
        memory=30.0,
        argument="t",
        hostile={
            "complex NaN": ("TypeError",),
            "1-d": (),
            "0-d": (),
            "a number": (),
            "huge": (),
            "subnormal": (),
        },
    ),
    row("legs_scan", lambda u: legs_scan(u, 12), (3, 40), stepped(12, "logbilinear"), 60, memory=400.0),
    row(
        "legs_scan (bilinear)",
        lambda u: legs_scan(u, 6, method="bilinear"),
        (2, 30),
        stepped(6, "bilinear"),
        60,
        memory=400.0,
    ),
    row(
        "legs_scan (all states)",
        lambda u: legs_scan(u, 6, method="backward", return_all=True),
        (2, 30),
        stepped(6, "backward", every=True),
        60,
        memory=60.0,
    ),
    row(
        "legs_scan (exact)",
        lambda u: legs_scan(u, 9, method="exact"),
        (3, 40),
        lambda u: legs_projection(u, 9),
        200,
        memory=60.0,
    ),
    row("legs_scan (batch)", lambda u: legs_scan(u, 24), (40, 200), stepped(24, "logbilinear"), 100),
    row(
        "legs_scan (long)",
        lambda u: legs_scan(u, 48, method="bilinear", return_all=True),
        (2, 1500),
        stepped(48, "bilinear", every=True),
        300,
    ),
    # the jumps of noise round like sqrt(L) eps of it, and its projection is smaller by sqrt(L)
    row(
        "legs_project",
        lambda u: legs_project(u, 9),
        (3, 500),
        lambda u: legs_projection(u, 9),
        1000,
        memory=60.0,
        backends=WITH_DASK,
    ),
    row(
        "legs_scan_vjp",
        lambda g: legs_scan_vjp(g, 30)[0],
        (3, 12),
        gradient,
        60,
        memory=400.0,
        argument="cotangent",
    ),
    row("legs_matvec", legs_matvec, (3, 40), dense("l"), 20, argument="x", memory=12.0, backends=WITH_DASK),
    row("legs_rmatvec", legs_rmatvec, (3, 40), dense("r"), 20, argument="x", memory=12.0, backends=WITH_DASK),
    row(
        "legs_solve",
        lambda b: legs_solve(b, 0.3),
        (3, 40),
        dense("l", 0.3),
        60,
        argument="b",
        memory=40.0,
        backends=WITH_DASK,
    ),
    row(
        "legs_rsolve",
        lambda b: legs_rsolve(b, 0.3),
        (3, 40),
        dense("r", 0.3),
        60,
        argument="b",
        memory=40.0,
        backends=WITH_DASK,
    ),
    row("legs_solve (batch)", lambda b: legs_solve(b, 0.3), (500, 40), dense("l", 0.3), 60, argument="b"),
    row(
        "lti_scan",
        lambda u: lti_scan(u, 9, theta=30.0),
        (3, 100),
        looped(9, 30.0, False),
        200,
        memory=40.0,
        backends=WITH_DASK,
    ),
    row(
        "lti_scan (all states)",
        lambda u: lti_scan(u, 9, theta=30.0, return_all=True),
        (3, 100),
        looped(9, 30.0, True),
        200,
        memory=12.0,
        backends=WITH_DASK,
    ),
    row(
        "reconstruct",
        lambda x: reconstruct(x, [0.0, 0.3, 1.0], "legs"),
        (3, 20),
        lambda x: x @ basis("legs", x.shape[-1], np.array([0.0, 0.3, 1.0])).T,
        20,
        argument="x",
        memory=60.0,
        backends=WITH_DASK,
    ),
]
