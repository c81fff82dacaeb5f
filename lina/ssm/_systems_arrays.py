"""What every system checks of its arrays: one library, one precision, finite entries, shapes, a positive step."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_dask_array

from lina._core.array import (
    check_finite,
    conjugate,
    dtype_name,
    epsilon,
    is_lazy,
    open_door,
    real_dtype,
    refuse_gradient,
    scalar,
    to_numpy,
    where_is,
)
from lina._core.array import widened_array as widened_array  # the other files of the room take it from here
from lina._core.errors import GradientError


def open_parts(*, as_complex: bool = False, **arrays: Any) -> tuple[Any, ...]:
    """Return (xp, array, ...): finite, of at least one dimension and one common dtype, complex where asked for."""
    xp, *opened = open_door(min_ndim=1, **arrays)
    common = xp.result_type(*opened)
    if as_complex:
        common = complex_dtype(xp, xp.zeros(0, dtype=common))
    for name, x in zip(arrays, opened, strict=True):
        check_finite(xp, x, name)
        if x.shape[-1] == 0:
            raise ValueError(f"{name} must have at least one entry on its last axis, got shape {tuple(x.shape)}")
    return (xp, *[xp.astype(x, common, copy=False) for x in opened])


def complex_dtype(xp: Any, x: Any) -> Any:
    """Return the complex dtype of the precision of ``x``."""
    return xp.complex128 if epsilon(x) == 2.0**-52 else xp.complex64


def is_complex(x: Any) -> bool:
    """Return whether the dtype of an array is complex."""
    return "complex" in dtype_name(x)


def check_square(A: Any, name: str = "A") -> int:
    """Return n of an array (..., n, n)."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"{name} must have shape (..., n, n), got {tuple(A.shape)}")
    return int(A.shape[-1])


def check_last(x: Any, n: int, name: str) -> None:
    """Raise ValueError unless the last axis has n entries."""
    if x.shape[-1] != n:
        raise ValueError(f"{name} must have n = {n} entries on its last axis, got shape {tuple(x.shape)}")


def low_rank_rows(P: Any, Lambda: Any, name: str = "P") -> Any:
    """Return P as (..., r, n): with one term where it has as many axes as Lambda."""
    beside = f"got {tuple(P.shape)} beside Lambda {tuple(Lambda.shape)}"
    if P.ndim == Lambda.ndim:
        if any(mine not in (1, its) and its != 1 for mine, its in zip(P.shape[:-1], Lambda.shape[:-1], strict=True)):
            wanted = "one row for each system where it has as many axes as Lambda, or leading axes that broadcast"
            shared = f"{name}[None] is a low rank that all systems share"
            raise ValueError(f"{name} must have {wanted}, {beside}: {shared}")
        return P[..., None, :]
    if P.ndim < 2:
        shared = f"{name}[None] is a row that all systems share"
        raise ValueError(f"{name} must have shape (..., n) or (..., r, n), {beside}: {shared}")
    return P


def batch_shape(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return what the leading axes broadcast to."""
    ndim = max(len(shape) for shape in shapes.values())
    out = [1] * ndim
    for shape in shapes.values():
        for axis, length in enumerate(shape, start=ndim - len(shape)):
            if length != 1 and out[axis] not in (1, length):
                found = ", ".join(f"{name} {tuple(each)}" for name, each in shapes.items())
                raise ValueError(f"{' and '.join(shapes)} must have leading axes that broadcast, got {found}")
            out[axis] = length if length != 1 else out[axis]
    return tuple(out)


def check_step(xp: Any, dt: Any, like: Any) -> Any:
    """Return the step as a real array in the precision of ``like``, of the shape of leading axes; it is positive."""
    if dt is None:
        taps = "the taps of a discrete system are linear_scan(system, impulse), or kernel_dense(A, B, C, None, L)"
        raise TypeError(f"dt must be a positive number or an array of them, got None ({taps} of its to_dense)")
    if isinstance(dt, (bool, str, bytes)):
        raise TypeError(f"dt must be a positive number or an array of them, got {type(dt).__name__}")
    listed = isinstance(dt, (list, tuple))  # which the door names where it is ragged
    if not listed and not hasattr(dt, "requires_grad") and not is_lazy(dt) and getattr(dt, "shape", ()) == ():
        dt = np.asarray(dt)
    found, dt = open_door(dt=dt)
    if is_complex(dt):
        raise TypeError(f"dt must be real, got dtype {dtype_name(dt)}")
    check_finite(found, dt, "dt")
    if not is_lazy(dt) and not bool(found.all(dt > 0)):
        raise ValueError(f"dt must be positive, got {scalar(found.min(dt))}")
    if found is not xp and isinstance(dt, np.ndarray):
        return xp.asarray(dt, dtype=real_dtype(xp, like), device=where_is(like))
    return xp.astype(dt, real_dtype(xp, like), copy=False)


def check_sampling(dt: Any) -> Any:
    """Return the step of a discrete system as a float, those of a batch as a float64 array on the host.

    None stays for a continuous system; a step that is traced, or whose gradient is recorded, stays an array.
    """
    if dt is None or is_lazy(dt):
        return dt
    if is_followed(dt):
        return check_step(namespace(dt), dt, dt)
    wanted = "dt must be None (continuous) or"
    try:
        steps = np.array(to_numpy(dt))
    except (TypeError, ValueError):
        steps = np.array(None)
    if steps.dtype.kind not in "iufb":
        raise TypeError(f"{wanted} a number, or an array of one for each system, got {type(dt).__name__}")
    bad = ~(np.isfinite(steps) & (steps > 0)) | (steps.dtype.kind == "b")
    if np.any(bad):
        raise ValueError(f"{wanted} finite and positive, got {steps[bad].flat[0]}")
    return steps.astype("float64") if steps.ndim else float(steps)


def is_followed(x: Any) -> bool:
    """Return whether jax traces an array or torch records a derivative by it: then it cannot go to the host."""
    try:
        refuse_gradient("", x=x)
    except GradientError:
        return True
    return _is_traced(x)


def refuse_followed(function: str, **arrays: Any) -> None:
    """Raise where a function that computes on the host would lose a gradient (torch), or sees no values (jax)."""
    refuse_gradient(function, **arrays)
    refuse_traced(function, **arrays)


def refuse_traced(function: str, **arrays: Any) -> None:
    """Raise ValueError for arrays that jax is tracing, where a function computes on the host."""
    for name, x in arrays.items():
        if _is_traced(x):
            found = f"got one that jax is tracing ({function} is computed on the host)"
            raise ValueError(f"{name} must be an array whose values can be looked at, {found}")


def _is_traced(x: Any) -> bool:
    return is_lazy(x) and not is_dask_array(x)


def over_steps(x: Any, dt: Any, axes: int, name: str) -> Any:
    """Return an array whose last ``axes`` are of one system, with leading axes that hold those of the steps."""
    if getattr(dt, "shape", ()) == ():
        return x
    batch = batch_shape(**{name: tuple(x.shape[: x.ndim - axes]), "dt": tuple(dt.shape)})
    return namespace(x).broadcast_to(x, (*batch, *x.shape[x.ndim - axes :]))


def solve(xp: Any, A: Any, B: Any, wanted: str) -> Any:
    """Return A^-1 B, or raise ValueError with what is ``wanted`` where a matrix is singular."""
    try:
        return xp.linalg.solve(A, B)
    except Exception as reason:  # each library has its own error for a singular matrix
        if "singular" not in str(reason).lower():
            raise
        raise ValueError(wanted) from None


def check_overflow(xp: Any, x: Any, name: str) -> Any:
    """Return a result that is finite for finite input, or raise OverflowError that names the input."""
    if not is_lazy(x) and not bool(xp.all(xp.isfinite(x))):
        raise OverflowError(f"{name} must be small enough for the result to be finite, found entries that overflow")
    return x


def seen(x: Any) -> np.ndarray:
    """Return the values of an array on the host, entry by entry where torch.func keeps them out of numpy's reach."""
    try:
        return to_numpy(x)
    except RuntimeError:
        flat = namespace(x).reshape(x, (-1,))
        return np.reshape([flat[i].item() for i in range(flat.shape[0])], tuple(x.shape))


def namespace(x: Any) -> Any:
    """Return the array namespace of an array that was opened before."""
    return array_namespace(x)


def coupling(xp: Any, X: Any, Y: Any) -> Any:
    """Return X^* Y over conjugate pairs, real: (..., r, n) and (..., k, n) to (..., r, k)."""
    return 2 * xp.real(xp.matmul(conjugate(xp, X), xp.matrix_transpose(Y)))


def widened(system: Any) -> Any:
    """Return a system with its arrays in double precision where their library has it."""
    arrays = {f.name: getattr(system, f.name) for f in fields(system) if f.name != "dt"}
    return replace(system, **{name: widened_array(namespace(x), x) for name, x in arrays.items()})
