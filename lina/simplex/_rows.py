"""The shape that kernels like: any axis as the last of (rows, n), entries left out as -inf, options one per row."""

import math
import operator
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_dask_array, is_jax_array, is_numpy_array

from lina._core.array import check_one_device, dtype_name, is_lazy, open_door, widest_real
from lina._core.checks import real_number
from lina._core.kernels import kernel, library

# A kernel takes seconds to compile on its first call: below this many entries the body is done earlier.
WORTH_COMPILING = 4096
# Root finding without a kernel takes milliseconds for the smallest rows, and a projection without one sorts.
_LEAST = {"entmax": 256, "project_simplex": 2048}
# A call of a registered torch operation costs as much as the body on so many entries, its gradient included.
_WORTH_REGISTERING = 1 << 14
# Rows up to this length are shorter than what numpy spends on the start of each.
_SHORT = 32


def open_real(**arrays: Any) -> tuple[Any, ...]:
    """Return (xp, array, ...) as `open_door` does, of at least one dimension; complex numbers have no order."""
    xp, *opened = open_door(min_ndim=1, **arrays)
    if is_torch(opened[0]):  # the same namespace by a name that torch.compile can guard when it traces its functions
        xp = sys.modules["array_api_compat.torch"]
    for name, x in zip(arrays, opened, strict=True):
        if "complex" in dtype_name(x):
            raise TypeError(f"{name} must be real, got dtype {dtype_name(x)}")
    return (xp, *opened)


def check_axis(x: Any, axis: Any, name: str = "x") -> int:
    """Return ``axis`` in 0..ndim - 1, an axis along which there is something to distribute over."""
    try:
        if isinstance(axis, (bool, np.bool_)):
            raise TypeError
        value = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be an int, got {type(axis).__name__}") from None
    if not -x.ndim <= value < x.ndim:
        raise ValueError(f"axis must be in {-x.ndim}..{x.ndim - 1} for shape {tuple(x.shape)}, got {value}")
    value %= x.ndim
    if x.shape[value] == 0:
        raise ValueError(f"{name} must have entries along axis {value}, got shape {tuple(x.shape)}")
    return value


def check_mask(xp: Any, where: Any, x: Any) -> Any:
    """Return ``where`` as a boolean array of the shape of ``x``, or None if there is none."""
    if where is None:
        return None
    try:
        mask = xp.asarray(where) if isinstance(where, (bool, list, tuple, np.bool_)) else where
    except ValueError:  # a ragged list
        mask = None
    if not hasattr(mask, "dtype") or dtype_name(mask) != "bool":
        raise TypeError(
            "where must be an array of booleans, got "
            f"{dtype_name(mask) if hasattr(mask, 'dtype') else type(mask).__name__}"
        )
    check_library(x, mask, "where")
    try:
        return xp.broadcast_to(mask, x.shape)
    except (ValueError, RuntimeError):
        raise ValueError(f"where must broadcast to {tuple(x.shape)}, got shape {tuple(mask.shape)}") from None


def check_library(x: Any, value: Any, name: str) -> None:
    """Raise TypeError unless the array ``value`` is of the library of ``x``, or one which that takes itself.

    On another device it raises ValueError.
    """
    if is_torch(x) and is_torch(value):
        check_one_device(**{"x": x, name: value})
        return
    if is_numpy_array(value) and (is_jax_array(x) or is_dask_array(x)):
        return
    try:
        array_namespace(x, value)
    except TypeError:
        kinds = ", ".join(f"{type(each).__module__}.{type(each).__qualname__}" for each in (x, value))
        raise TypeError(f"{name} must be an array of the library of x, got arrays of types {kinds}") from None
    check_one_device(**{"x": x, name: value})


def masked(xp: Any, x: Any, mask: Any, axis: int) -> Any:
    """Return ``x`` with -inf out of the mask.

    Rows left out altogether are 0: what is computed of them is not used, and has a derivative without NaN.
    """
    if mask is None:
        return x
    some = xp.any(mask, axis=axis, keepdims=True)
    return xp.where(mask, x, xp.where(some, -math.inf, xp.zeros(some.shape, dtype=x.dtype, device=_device(x))))


def to_rows(xp: Any, x: Any, axis: int) -> Any:
    """Return ``x`` as (rows, n), its entries along ``axis`` last."""
    return xp.reshape(_moved(xp, x, axis, x.ndim - 1), (-1, x.shape[axis]))


def from_rows(xp: Any, rows: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Return (rows, n) in ``shape``: the way back of `to_rows`."""
    moved = (*shape[:axis], *shape[axis + 1 :], shape[axis])
    return _moved(xp, xp.reshape(rows, moved), len(shape) - 1, axis)


def _moved(xp: Any, x: Any, source: int, target: int) -> Any:
    """Return ``x`` with one axis moved: xp.moveaxis, which torch.vmap has no rule for."""
    if source == target:
        return x
    order = [i for i in range(x.ndim) if i != source]
    order.insert(target, source)
    return xp.permute_dims(x, tuple(order))


def over_rows(
    xp: Any, x: Any, function: Callable[[Any], Any], *, axis: int, mask: Any = None, masked_value: float = 0.0
) -> Any:
    """Return ``function`` of the rows of ``x`` along ``axis``; entries out of the mask do not count."""
    x = masked(xp, x, mask, axis)
    out = from_rows(xp, function(to_rows(xp, x, axis)), tuple(x.shape), axis)
    return out if mask is None else xp.where(mask, out, masked_value)


def per_row(xp: Any, value: Any, x: Any, axis: int, name: str, allowed: Callable[[Any], Any], wanted: str) -> Any:
    """Return an option of ``x``, one number or an array over all axes but ``axis``, as one number per row.

    An array has the shape of ``x`` without ``axis``, or broadcasts to that with 1 there; no shape is both in two ways.
    ``allowed(value)`` is what it must be, in words ``wanted``. The entries of traced, lazy and torch arrays are not
    looked at: where they are not allowed they become NaN, and so do their rows.
    """
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    if not _is_array(value):
        number = _within_single(check_number(value, name, allowed, wanted), x)
        return xp.full((math.prod(shape),), number, dtype=x.dtype, device=_device(x))
    if "float" not in dtype_name(value):
        raise TypeError(f"{name} must be a number or an array of floats, got dtype {dtype_name(value)}")
    check_library(x, value, name)
    if not is_torch(x) and is_dask_array(x):
        value = xp.asarray(value)  # of numpy, which its functions do not all take
    without = (*x.shape[:axis], *x.shape[axis + 1 :])
    try:
        option = xp.reshape(value, shape) if tuple(value.shape) == without else value
        spread = xp.reshape(xp.broadcast_to(xp.astype(option, x.dtype), shape), (-1,))
    except (ValueError, RuntimeError):
        found = tuple(value.shape)
        raise ValueError(f"{name} must broadcast to {shape} or have the shape {without}, got shape {found}") from None
    right = allowed(spread) & xp.isfinite(spread)
    if not is_lazy(spread) and not is_torch(spread) and not bool(xp.all(right)):
        raise ValueError(f"{name} must be {wanted}, got {int(xp.sum(xp.astype(~right, xp.int64)))} other entries")
    return xp.where(right, spread, math.nan)


def _within_single(number: float, x: Any) -> float:
    """Return a number that stays finite, and above 0 if it is, in the dtype of ``x``."""
    if dtype_name(x) != "float32" or number == 0:
        return number
    return math.copysign(min(max(abs(number), 2.0**-149), (2 - 2.0**-23) * 2.0**127), number)


def per_entry(xp: Any, value: Any, x: Any, axis: int, name: str) -> Any:
    """Return a bound of the entries of ``x``, a number or an array, in the shape of its rows (rows, n)."""
    if _is_array(value):
        if "float" not in dtype_name(value):
            raise TypeError(f"{name} must be a number or an array of floats, got dtype {dtype_name(value)}")
        check_library(x, value, name)
        try:
            return to_rows(xp, xp.broadcast_to(xp.astype(value, x.dtype), x.shape), axis)
        except (ValueError, RuntimeError):
            raise ValueError(f"{name} must broadcast to {tuple(x.shape)}, got shape {tuple(value.shape)}") from None
    number = real_number(value, name, "a number or an array of floats")
    rows = (math.prod(x.shape) // x.shape[axis], x.shape[axis])
    return xp.broadcast_to(xp.asarray(number, dtype=x.dtype, device=_device(x)), rows)


def _is_array(value: Any) -> bool:
    # numbers first: torch.compile cannot ask those that it traces for attributes
    return not isinstance(value, (int, float, np.generic)) and hasattr(value, "shape")


def check_number(value: Any, name: str, allowed: Callable[[Any], Any], wanted: str) -> float:
    """Return ``value`` as a finite float that is ``allowed``."""
    number = real_number(value, name)
    if not (-math.inf < number < math.inf and allowed(number)):
        raise ValueError(f"{name} must be {wanted}, got {number}")
    return number


def is_torch(x: Any) -> bool:
    """Whether ``x`` is a tensor, whose values vmap and torch.compile cannot look at."""
    return type(x).__module__.partition(".")[0] == "torch"


def _device(x: Any) -> Any:
    if is_torch(x):  # without the caches of array_api_compat: torch.compile warns when it traces through them
        return x.device
    return None if is_lazy(x) else device(x)


def worth_calling(operation: str, xp: Any, x: Any) -> Callable[..., Any] | None:
    """Return the kernel of ``operation`` where there is one and ``x`` is large enough for its compilation to pay.

    Lazy arrays take theirs at any size: it is one task for a block, where array code is a task for every operation.
    """
    if is_lazy(x):
        least = 0
    elif is_torch(x):
        least = _WORTH_REGISTERING if operation == "masked_softmax" else 0
    else:
        least = _LEAST.get(operation, WORTH_COMPILING)
    return kernel(operation, xp) if math.prod(x.shape) >= least else None


def detach(x: Any) -> Any:
    """Return ``x`` outside of any torch gradient."""
    return x.detach() if hasattr(x, "detach") else x


def held(x: Any) -> Any:
    """Return ``x`` outside of any gradient of torch or jax, where the result has another derivative without that."""
    if hasattr(x, "detach"):
        return x.detach()
    return sys.modules["jax"].lax.stop_gradient(x) if is_jax_array(x) else x


def iterate(
    xp: Any,
    step: Callable[[Any, Any], tuple[Any, ...]],
    state: tuple[Any, ...],
    most: int,
    settled: Callable[[Any, Any], Any],
) -> Any:
    """Return the last entry of ``state`` after steps ``state = step(count, state)``.

    They end where all entries of ``settled(old, new)`` are true of it, or after ``most``; where values cannot be looked
    at all are made, in a loop that jax traces once.
    """
    loop = kernel("loop", xp) if is_lazy(state[-1]) else None
    if loop is not None:
        return loop(0, most, step, state)[-1]
    for count in range(most):
        before, state = state, step(count, state)
        if not is_lazy(state[-1]) and bool(xp.all(settled(before[-1], state[-1]))):
            break
    return state[-1]


def offset(xp: Any, x: Any, top: Any) -> Any:
    """Return x - top for the largest entries ``top`` of the rows: NaN in rows that are NaN or all -inf.

    Entries +inf are at 0 and all beside them at -inf: a mapping is uniform over them.
    """
    with quiet(x):
        return xp.where((x == top) & (top == math.inf), 0.0, x - top)


def quiet(x: Any = None) -> Any:
    """Hold back numpy's warnings: of rows that are NaN, and of entries out of reach, whose differences overflow."""
    if is_torch(x):  # torch.compile cannot trace errstate
        return nullcontext()
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def largest(xp: Any, x: Any) -> Any:
    """Return the largest entry of each row, (rows, 1), NaN where there is one."""
    own = kernel("largest", xp)
    return xp.max(detach(x), axis=-1, keepdims=True) if own is None else own(x)


def numpy_largest(x: np.ndarray) -> np.ndarray:
    """Return the same entry by entry where rows are short: numpy's own maximum starts anew for each of them."""
    n = x.shape[-1]
    if n > _SHORT or x.size < 16 * n * n:
        return np.max(x, axis=-1, keepdims=True)
    top = x[..., 0].copy()
    for j in range(1, n):
        np.maximum(top, x[..., j], out=top)
    return top[..., None]


def places(xp: Any, rows: Any) -> Any:
    """Return 0..n - 1 for rows (rows, n)."""
    return xp.arange(rows.shape[-1], dtype=best_int(xp), device=None if is_lazy(rows) else rows.device)


def take_at(xp: Any, x: Any, place: Any) -> Any:
    """Return the entries of rows ``x`` (rows, n) at ``place`` (rows, 1)."""
    if hasattr(xp, "take_along_axis"):
        return xp.take_along_axis(x, place, axis=-1)
    return xp.sum(xp.where(places(xp, x) == place, x, 0), axis=-1, keepdims=True)  # dask


def tempered(xp: Any, x: Any, temperature: Any) -> Any:
    """Return the rows (x - largest) / temperature, which a shift of x does not change; ``x`` itself for a number 1."""
    if temperature is None:
        return x
    return divided(xp, offset(xp, x, largest(xp, x)), temperature[:, None])


def divided(xp: Any, x: Any, divisor: Any) -> Any:
    """Return ``x`` over a positive ``divisor``, by which infinite entries have the derivative 0.

    That of a plain quotient is -x / divisor^2, which makes NaN of them where the entry itself has no weight.
    """
    own = kernel("divided", xp)
    if own is not None:
        return own(x, divisor)
    with quiet(x):  # of a quotient out of range
        return divided_body(xp, x, divisor) if is_lazy(x) or is_lazy(divisor) else x / divisor


def divided_body(xp: Any, x: Any, divisor: Any) -> Any:
    """Return the same in array code that has this derivative."""
    infinite = xp.isinf(x)
    return xp.where(infinite & (divisor > 0), x, xp.where(infinite, 0.0, x) / divisor)


def check_temperature(xp: Any, temperature: Any, x: Any, axis: int) -> Any:
    """Return the temperature of each row, or None for the number 1."""
    if isinstance(temperature, (int, float)) and not isinstance(temperature, bool) and temperature == 1:
        return None
    return per_row(xp, temperature, x, axis, "temperature", lambda t: t > 0, "positive and finite")


def over_temperature(xp: Any, x: Any, temperature: Any, axis: int) -> Any:
    """Return x / temperature, ``x`` itself for a number 1; infinite entries stay, as in `divided`."""
    heat = check_temperature(xp, temperature, x, axis)
    if heat is None:
        return x
    return divided(xp, x, from_rows(xp, heat[:, None], (*x.shape[:axis], 1, *x.shape[axis + 1 :]), axis))


def best_int(xp: Any) -> Any:
    """Return int64, or int32 where jax has not been told to have it."""
    if library(xp) != "jax":
        return xp.int64
    return xp.__array_namespace_info__().dtypes(kind="signed integer").get("int64", xp.int32)


def best_real(xp: Any) -> Any:
    """Return float64 where the library has it, to sum up in."""
    if library(xp) == "jax":
        return widest_real(xp)
    return getattr(xp, "float64", xp.float32)
