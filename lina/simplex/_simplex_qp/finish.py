"""The answer in the caller's library and dtype, certified as it is returned: after the rounding to that dtype."""

from dataclasses import replace
from typing import Any

import numpy as np

from lina._core.array import dtype_name, from_numpy
from lina.simplex._result import SimplexResult
from lina.simplex._result import support_of as support_of
from lina.simplex._simplex_qp.hybrid import Problem, evaluate


def finish(problem: Problem, kinds: str, like: Any) -> SimplexResult:
    """Return the best point as the caller's array, its gap evaluated there."""
    progress = problem.progress
    assert progress.best is not None
    x = in_dtype_of(like, progress.best.x, problem.radius)
    if x is not progress.best.x:
        g, value, noise = evaluate(problem, x)
        progress.replace(x, value, g, rounding=noise)
    result = progress.result(kinds, problem.q.products)
    x = moved(result.x, like)
    return replace(result, x=x, reduced_costs=moved(result.reduced_costs, like), support=support_of(x))


def in_dtype_of(like: Any, x: np.ndarray, radius: float) -> np.ndarray:
    """Return ``x`` with entries of the precision of ``like``, the largest making up for what the sum loses by it."""
    if dtype_name(like) != "float32":
        return x
    x = x.astype(np.float32).astype(np.float64)
    largest = np.argmax(x, axis=-1, keepdims=True)
    rest = radius - np.sum(x, axis=-1, keepdims=True) + np.take_along_axis(x, largest, axis=-1)
    np.put_along_axis(x, largest, rest.astype(np.float32).astype(np.float64), axis=-1)
    return x


def moved(values: np.ndarray, like: Any) -> Any:
    """Return a float64 numpy array in the library, dtype and device of ``like``."""
    return values if isinstance(like, np.ndarray) and like.dtype == values.dtype else from_numpy(values, like)
