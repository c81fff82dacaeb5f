"""One row of the table of operations: how the generic tests call a public function and judge its answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Operation:
    """How the generic tests call one public function, and how they judge the answer.

    Attributes
    ----------
    name : str
        As in ``lina.ROOM.NAME``.
    call : callable
        ``call(*arrays)`` runs the function with fixed options and seeds.
    arrays : callable
        ``arrays(generator, dtype)`` returns the numpy inputs, well posed in every dtype.
    outputs : callable
        Takes what ``call`` returned; returns ``{"X": array}``, or ``{"left", "right", "error"}`` for a factorisation
        with its certificate. These keep library, dtype and device.
    error : callable
        ``error(inputs, outputs)`` in numpy: the error over its textbook bound, below 1.
    backends : tuple of str
        Test backends of tests/backends.py on which the call runs.
    extensions : tuple of str
        Extensions of the array API that the generic body needs.
    degree : int
        The outputs "X", "left" and "error" are multiplied by the power ``degree`` of what the first input is
        multiplied by; inputs are multiplied by 1e-150 and 1e150 (1e-18, 1e18 in single precision).
    real : tuple of str
        Outputs that are real for complex inputs.
    memory : float
        Peak of memory allocated during a call over the bytes of the inputs and outputs.
    argument : str
        Name of the first input, as an error calls it.
    hostile : dict
        Exceptions allowed for an input of test_hostile.py where they differ from those named there, for example
        ``{"zeros": ("ValueError",)}``.
    """

    name: str
    call: Callable[..., Any]
    arrays: Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]
    outputs: Callable[[Any], dict[str, Any]]
    error: Callable[[tuple[np.ndarray, ...], dict[str, np.ndarray]], float]
    backends: tuple[str, ...] = ("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax")
    extensions: tuple[str, ...] = ("linalg",)
    degree: int = 1
    real: tuple[str, ...] = ()
    memory: float = 6.0
    argument: str = "A"
    hostile: dict[str, tuple[str, ...]] = field(default_factory=dict)


def eps(x: np.ndarray) -> float:
    """Return the machine epsilon of an array."""
    return float(np.finfo(x.dtype).eps)


def matrix(m: int, n: int, condition: float = 50.0) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of one matrix (m, n) with singular values graded down to 1 / condition."""

    def make(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
        def orthonormal(rows: int, columns: int) -> np.ndarray:
            draw = rng.standard_normal((rows, columns))
            if np.dtype(dtype).kind == "c":
                draw = draw + 1j * rng.standard_normal((rows, columns))
            return np.linalg.qr(draw)[0]

        k = min(m, n)
        spectrum = np.geomspace(1, 1 / condition, k)
        return (((orthonormal(m, k) * spectrum) @ orthonormal(n, k).conj().T).astype(dtype),)

    return make


def stack(batch: int, m: int, n: int) -> Callable[[np.random.Generator, Any], tuple[np.ndarray, ...]]:
    """Return a maker of a stack (batch, m, n) of such matrices."""
    make = matrix(m, n)
    return lambda rng, dtype: (np.stack([make(rng, dtype)[0] for _ in range(batch)]),)


def penrose_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the distance from numpy's pseudo-inverse over condition * sqrt(m n) * eps."""
    (A,), X = inputs, outputs["X"]
    exact = np.linalg.pinv(A.astype(np.result_type(A.dtype, np.float64)), rcond=max(A.shape[-2:]) * eps(A))
    distance = np.linalg.norm(X - exact, axis=(-2, -1)) / np.linalg.norm(exact, axis=(-2, -1))
    return float(np.max(distance) / (50 * np.sqrt(A.shape[-1] * A.shape[-2]) * eps(A)))


def low_rank_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the true error over the certificate (at least 1 - rounding of this very quotient apart)."""
    (A,) = inputs
    true = np.linalg.norm(A - outputs["left"] @ outputs["right"])
    return float(true / (outputs["error"] + 4 * eps(A) * np.linalg.norm(A)))
