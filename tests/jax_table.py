"""Which rows of the table of operations jax transforms: each is run, and its answer judged as the row says.

``python -m tests.jax_table`` prints the tables of docs/jax.rst anew.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from lina._core.array import is_lazy
from lina._core.errors import GradientError
from tests.operation import Operation
from tests.operations import OPERATIONS
from tests.simplex import operations_mappings

TRANSFORMS = ("jit", "grad", "vmap")
# Rows that repeat another one above the size from which numpy has a kernel: jax has none.
ROWS = [op for op in OPERATIONS if "jax" in op.backends and not op.name.endswith(("(batch)", "(long)"))]
_STEP = 1e-6
_size = operations_mappings.size
_REFUSALS = (ValueError, TypeError, OverflowError, GradientError)


def verdict(op: Operation, transform: str) -> str:
    """Return "yes" or how the transformed call ends otherwise.

    "refused" is an error of lina, which says what is wrong, "no" one of jax, and "wrong" an answer that is not right.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # most of the time goes into compiling
    try:
        with _known_size(_size(_inputs(op, 1)[0])):
            return "yes" if {"jit": _jit, "grad": _grad, "vmap": _vmap}[transform](jax, op) else "wrong"
    except _REFUSALS as error:
        return "no" if type(error).__module__.startswith("jax") else "refused"


@contextmanager
def _known_size(value: float) -> Iterator[None]:
    """Tell rows that measure their input, whose values a trace does not have, how large it is."""
    known = [m for name, m in sys.modules.items() if name.startswith("tests.") and getattr(m, "size", None) is _size]
    with ExitStack() as stack:
        for module in known:
            stack.enter_context(mock.patch.object(module, "size", lambda x: value if is_lazy(x) else _size(x)))
        yield


def _inputs(op: Operation, seed: int) -> tuple[np.ndarray, ...]:
    return op.arrays(np.random.default_rng(seed), "float64")


def _answer(op: Operation) -> Callable[..., dict[str, Any]]:
    return lambda *arrays: dict(op.outputs(op.call(*arrays)))


def _right(op: Operation, inputs: tuple[np.ndarray, ...], outputs: dict[str, Any]) -> bool:
    plain = {key: np.asarray(x) if np.ndim(x) else float(x) for key, x in outputs.items()}
    return bool(op.error(inputs, plain) < 1)


def _jit(jax: Any, op: Operation) -> bool:
    arrays = _inputs(op, 1)
    return _right(op, arrays, jax.jit(_answer(op))(*map(jax.numpy.asarray, arrays)))


def _vmap(jax: Any, op: Operation) -> bool:
    samples = [_inputs(op, 1), _inputs(op, 2)]
    first, *others = samples[1]
    samples[1] = (first * (_size(samples[0][0]) / _size(first)), *others)  # of one size
    stacked = [jax.numpy.stack(pair) for pair in zip(*samples, strict=True)]
    found = _jitted_or_not(jax, jax.vmap(_answer(op)))(*stacked)
    return all(_right(op, samples[i], {key: x[i] for key, x in found.items()}) for i in (0, 1))


def _grad(jax: Any, op: Operation) -> bool:
    """Whether the derivative of a weighted sum of the outputs, in one direction, is that of central differences."""
    first, *others = map(jax.numpy.asarray, _inputs(op, 1))
    rng = np.random.default_rng(3)
    direction = jax.numpy.asarray(rng.standard_normal(first.shape))
    direction = direction * jax.numpy.linalg.norm(first) / jax.numpy.linalg.norm(direction)

    def value(x: Any) -> Any:
        found = _answer(op)(x, *others)
        if {"left", "right"} <= set(found):  # apart they may be changed by any basis
            found["product"] = found.pop("left") @ found.pop("right")
        weights = np.random.default_rng(4)
        return sum(jax.numpy.sum(weights.standard_normal(np.shape(x)) * jax.numpy.real(x)) for x in found.values())

    both = _jitted_or_not(jax, jax.value_and_grad(value))
    slope = float(jax.numpy.sum(jax.numpy.real(both(first)[1] * direction)))
    above, middle, below = (float(both(first + step * direction)[0]) for step in (_STEP, 0.0, -_STEP))
    difference = (above - below) / (2 * _STEP)
    return abs(slope - difference) <= 1e-4 * abs(difference) + 1e-6 * abs(middle) + 1e-9


def _jitted_or_not(jax: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled as a whole, which is faster, where that is possible."""
    compiled = jax.jit(function)

    def call(*arrays: Any) -> Any:
        try:
            return compiled(*arrays)
        except _REFUSALS:
            return function(*arrays)

    return call


def tables() -> Iterator[str]:
    """Yield the lines of the page, a table for each room."""
    rooms: dict[str, list[Operation]] = {}
    for op in ROWS:
        rooms.setdefault(op.name.partition(" ")[0].rpartition(".")[0], []).append(op)
    for room, rows in rooms.items():
        title = f"lina.{room}"
        yield from (
            "",
            title,
            "-" * len(title),
            "",
            ".. list-table::",
            "   :header-rows: 1",
            "   :widths: 55 15 15 15",
            "",
        )
        for name, cells in ((None, TRANSFORMS), *((op.name, [verdict(op, t) for t in TRANSFORMS]) for op in rows)):
            yield "   * -" if name is None else f"   * - ``{name}``"
            yield from (f"     - {cell}" for cell in cells)


if __name__ == "__main__":
    print(*tables(), sep="\n")
