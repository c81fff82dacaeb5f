"""The array door: namespace, dtype and value checks, and the moves between libraries.

Every public function passes its arguments through here once; behind the door an array is of one library, on one
device, of dtype float32, float64, complex64 or complex128, and checked.
"""

import math
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from array_api_compat import array_namespace, device, is_dask_array, is_jax_array, is_numpy_array

from lina._core.errors import GradientError
from lina._core.kernels import kernel

_EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52, "complex64": 2.0**-23, "complex128": 2.0**-52}
# numpy takes microseconds to spell the name of a dtype
_NUMPY_NAMES = {np.dtype(name): name for name in (*_EPSILON, "bool", "int64")}
_RUN = 1024  # entries added at a stretch
_Function = TypeVar("_Function", bound=Callable[..., Any])
_HALF = {"float16": "float32", "bfloat16": "float32", "complex32": "complex64"}


def open_door(*, min_ndim: int = 0, **arrays: Any) -> tuple[Any, ...]:
    """Return (xp, array, ...): the namespace common to the named arguments, and each as a checked array of it."""
    converted = {name: _as_array(value, name) for name, value in arrays.items()}
    xp = _common_namespace(converted)
    check_one_device(**converted)
    out = []
    for name, value in converted.items():
        check_known_sizes(value, name)
        if value.ndim < min_ndim:
            raise ValueError(f"{name} must have at least {min_ndim} dimensions, got shape {tuple(value.shape)}")
        out.append(_as_working_dtype(xp, value, name))
    return (xp, *out)


def check_known_sizes(x: Any, name: str) -> None:
    """Raise ValueError where dask does not know the shape of ``x``, as after a choice of rows by their values."""
    if _library_of(x) == "dask" and any(math.isnan(size) for sizes in x.chunks for size in sizes):
        raise ValueError(f"{name} must have blocks of known sizes, got unknown ones ({name}.compute_chunk_sizes())")


def check_one_device(**arrays: Any) -> None:
    """Raise ValueError unless the named arrays are on one device; those of traced and lazy arrays are not known."""
    places = {name: str(value.device) for name, value in arrays.items() if not is_lazy(value)}
    if len(set(places.values())) > 1:
        found = ", ".join(f"{name} on {place}" for name, place in places.items())
        raise ValueError(f"{' and '.join(arrays)} must be on one device, got {found}")


def _common_namespace(arrays: dict[str, Any]) -> Any:
    if all(_library_of(value) == "torch" for value in arrays.values()):
        return _torch_namespace()
    try:
        return array_namespace(*arrays.values())
    except TypeError:
        kinds = ", ".join(f"{name}: {_type_name(value)}" for name, value in arrays.items())
        raise TypeError(f"{' and '.join(arrays)} must be arrays of one library, got {kinds}") from None


def _library_of(value: Any) -> str:
    # by name, without the caches of array_api_compat: torch.compile warns when it traces through them
    return type(value).__module__.partition(".")[0]


def _torch_namespace() -> Any:
    from array_api_compat import torch

    return torch


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def kernel_of_tensors(operation: str, *arrays: Any) -> Any:
    """Return the torch operation of this name where all arrays are tensors and there is one, otherwise None.

    Such an operation takes what the public function was given: its values are looked at inside.
    """
    if not all(_library_of(x) == "torch" for x in arrays):
        return None
    return kernel(operation, _torch_namespace())


def on_cluster(operation: str, *arrays: Any) -> Any:
    """Return the block algorithm of this name where one of the arrays is dask's, otherwise None."""
    if not any(_library_of(x) == "dask" for x in arrays):
        return None
    return kernel(operation, array_namespace(next(x for x in arrays if _library_of(x) == "dask")))


def _as_array(value: Any, name: str) -> Any:
    """Turn lists and data frames into numpy arrays, leave arrays as they are, refuse what would lose meaning."""
    if _library_of(value) == "torch":
        if str(value.layout) != "torch.strided":
            raise TypeError(f"{name} must be a dense tensor, got one of layout {value.layout} (try {name}.to_dense())")
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array without a mask, got numpy.ma.MaskedArray (fill it first)")
    if type(value).__module__.startswith("scipy.sparse"):
        raise TypeError(f"{name} must be a dense array, got {_type_name(value)} (try {name}.toarray())")
    if isinstance(value, np.ndarray):
        return np.asarray(value, dtype=value.dtype.newbyteorder("="))
    if is_jax_array(value) or is_dask_array(value) or hasattr(value, "__array_namespace__"):
        return value
    if "cupy" in sys.modules and type(value).__module__.startswith("cupy"):
        return value
    if isinstance(value, (str, bytes, dict, set, frozenset)) or value is None:
        raise TypeError(f"{name} must be an array, got {type(value).__name__}")
    try:
        return np.asarray(value)
    except ValueError as reason:
        raise ValueError(f"{name} must be a rectangular array of numbers: {reason}") from None


def _as_working_dtype(xp: Any, value: Any, name: str) -> Any:
    """Promote integers and booleans to float64 (where the library has it) and halves to single precision."""
    text = dtype_name(value)
    if text in _EPSILON:
        return value
    if text in _HALF:
        return xp.astype(value, getattr(xp, _HALF[text]))
    try:
        whole = xp.isdtype(value.dtype, ("bool", "integral"))
    except (TypeError, ValueError):
        whole = False
    if whole:
        return xp.astype(value, widest_real(xp))
    wanted = "entries that are booleans, integers, floats of at most 64 bits or complex numbers of two of these"
    raise TypeError(f"{name} must have {wanted}, got dtype {text}")


def widest_real(xp: Any) -> Any:
    """Return float64 where the library has it now: jax has it only when it is told to."""
    known = xp.__array_namespace_info__().dtypes(kind="real floating")
    return known.get("float64", xp.float32)


def is_lazy(x: Any) -> bool:
    """Whether the values cannot be looked at now: a dask array, or an array that jax is tracing."""
    if _library_of(x) == "dask":
        return True
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.core.Tracer)


def where_is(x: Any) -> Any:
    """Return the device of an array, None for one that is traced or lazy."""
    return None if is_lazy(x) else device(x)


def scalar(x: Any) -> float:
    """Return a 0-d array as a float, outside of any gradient."""
    return float(x.detach() if hasattr(x, "detach") else x)


def check_finite(xp: Any, x: Any, name: str) -> None:
    """Raise ValueError if ``x`` holds NaN or an infinity; lazy arrays pass unseen."""
    finite = xp.isfinite(x)
    if is_lazy(finite):  # that of a known array too, inside a trace of jax
        return
    if not bool(xp.all(finite)):
        count = int(xp.sum(xp.astype(~finite, xp.int64)))
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite of {math.prod(x.shape)} entries")


def refuse_gradient(function: str, **arrays: Any) -> None:
    """Raise GradientError where torch records a gradient of ``function``, which decides or weighs on the host."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    recorded = torch.is_grad_enabled()
    for name, x in arrays.items():
        if (recorded and getattr(x, "requires_grad", False)) or _has_tangent(torch, x):
            wanted = f"call it under torch.no_grad() or on {name}.detach()"
            raise GradientError(f"{function} has no gradient with respect to {name}: {wanted}")


def in_full_precision(function: _Function) -> _Function:
    """Return a function whose products of tensors torch.autocast does not round to half precision."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        torch = sys.modules.get("torch")
        given = (*args, *options.values())
        devices = [] if torch is None else [x.device.type for x in given if isinstance(x, torch.Tensor)]
        if torch is None or not devices or not torch.is_autocast_enabled(devices[0]):
            return function(*args, **options)
        with torch.autocast(devices[0], enabled=False):
            return function(*args, **options)

    return cast("_Function", run)


def _has_tangent(torch: Any, x: Any) -> bool:
    """Whether ``x`` is a tensor that carries a derivative in forward mode."""
    try:
        return isinstance(x, torch.Tensor) and torch.autograd.forward_ad.unpack_dual(x).tangent is not None
    except RuntimeError:  # within vmap
        return False


def frobenius(xp: Any, x: Any) -> Any:
    """Return the square root of the sum of squares of all entries, as a 0-d array; it errs by a few eps.

    Libraries add the squares one by one: in float32 torch loses 0.1 % of the norm of 4e7 entries, numpy 2000 eps. Runs
    of a fixed length are added first, and then their norms.
    """
    fast = kernel("frobenius", xp)
    with np.errstate(over="ignore", invalid="ignore"):  # the callers look whether it is finite
        if fast is not None:
            return fast(x)
        while not is_lazy(x) and math.prod(x.shape) > _RUN:
            x = xp.reshape(x, (-1,))
            whole = x.shape[0] // _RUN * _RUN
            runs = xp.linalg.vector_norm(xp.reshape(x[:whole], (-1, _RUN)), axis=-1)
            x = xp.concat((runs, xp.linalg.vector_norm(x[whole:], keepdims=True)))
        return xp.linalg.vector_norm(x)


def numpy_frobenius(x: np.ndarray) -> Any:
    """Do the same by dot products, which take a fifth of the time of numpy's vector_norm."""
    x = np.ravel(x, order="K")
    if x.size <= _RUN:
        return np.linalg.norm(x)
    whole = x.size // _RUN * _RUN
    runs, rest = x[:whole].reshape(-1, _RUN), x[whole:]
    return np.sqrt(np.sum(np.linalg.vecdot(runs, runs).real) + np.linalg.vecdot(rest, rest).real)


def balance(xp: Any, x: Any, name: str) -> tuple[Any, Any, float]:
    """Return (x / scale, norm of that, scale) such that squares neither overflow nor vanish; checks finiteness.

    ``scale`` is a power of two, so that the division is exact, and 1 unless the norm is extreme. Lazy arrays are
    returned as they are, with their norm as a lazy scalar.
    """
    norm = frobenius(xp, x)
    if is_lazy(x):
        return x, norm, 1.0
    low, high = safe_range(x)
    value = scalar(norm)
    if low < value < high or x.size == 0:
        return x, value, 1.0
    check_finite(xp, x, name)
    largest = scalar(xp.max(xp.abs(x)))
    if largest == 0.0:
        return x, 0.0, 1.0
    scale = 2.0 ** math.frexp(largest)[1] if math.frexp(largest)[1] < 1024 else 2.0**1023
    x = divide(x, scale)
    return x, scalar(frobenius(xp, x)), scale


def divide(x: Any, scale: float) -> Any:
    """Return x / scale for a power of two, in two steps: it or its reciprocal may be beyond the dtype of ``x``."""
    half = 2.0 ** (math.frexp(scale)[1] // 2)
    return x / half / (scale / half)


def check_norm(x: Any, norm: Any, scale: float, name: str) -> None:
    """Raise OverflowError if the norm of ``x``, ``norm * scale`` as balance returns them, exceeds its dtype."""
    largest = 2.0**1023 if epsilon(x) == 2.0**-52 else 2.0**127
    if scale != 1.0 and norm > largest / scale:
        raise OverflowError(f"{name} must have a Frobenius norm below {largest:.4g}, found a larger one")


def safe_range(dtype: Any) -> tuple[float, float]:
    """Return the norms between which products of three entries keep their digits in ``dtype``."""
    quarter = 2.0**256 if _EPSILON[dtype_name(dtype)] == 2.0**-52 else 2.0**32
    return 1 / quarter, quarter


def dtype_name(x: Any) -> str:
    """Return "float64" and so on for an array or a dtype of any library."""
    dtype = getattr(x, "dtype", x)
    known = _NUMPY_NAMES.get(dtype) if isinstance(dtype, np.dtype) else None
    return str(dtype).rpartition(".")[2] if known is None else known


def epsilon(x: Any) -> float:
    """Return the distance from 1 to the next number of the (real part of the) dtype of an array."""
    return _EPSILON[dtype_name(x)]


def real_dtype(xp: Any, x: Any) -> Any:
    """Return the dtype of the real part of an array."""
    return xp.float64 if epsilon(x) == 2.0**-52 else xp.float32


def widened_array(xp: Any, x: Any) -> Any:
    """Return ``x`` in double precision where the library has it; jax has it only when it is told to."""
    if not hasattr(xp, "float64"):
        return x
    return xp.astype(x, xp.result_type(x, xp.float64), copy=False)


def conjugate(xp: Any, x: Any) -> Any:
    """Return the complex conjugate; a real array is returned as it is, where ``xp.conj`` would copy it."""
    return xp.conj(x) if dtype_name(x) in ("complex64", "complex128") else x


def adjoint(xp: Any, x: Any) -> Any:
    """Return the conjugate transpose of the last two axes."""
    return conjugate(xp, xp.matrix_transpose(x))


def to_numpy(x: Any) -> np.ndarray:
    """Return the values as a numpy array, copied from the device where need be, outside of any gradient."""
    if is_numpy_array(x):
        return x
    if _library_of(x) == "torch":
        return x.detach().cpu().resolve_conj().numpy()
    if hasattr(x, "get") and hasattr(x, "dtype"):  # an array of cupy, no dict
        return x.get()
    if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def host_array(values: Any, name: str) -> np.ndarray:
    """Return an array of any library, or a list, as a numpy array; a ragged list is named."""
    try:
        return np.asarray(to_numpy(values))
    except ValueError as reason:
        raise ValueError(f"{name} must be a rectangular array of numbers: {reason}") from None


def from_numpy(values: np.ndarray, like: Any) -> Any:
    """Return a numpy array in the library, dtype and device of ``like``."""
    xp = array_namespace(like)
    if is_dask_array(like):
        return xp.asarray(values, dtype=like.dtype)
    where = None if is_jax_array(like) and is_lazy(like) else device(like)
    return xp.asarray(values.astype(dtype_name(like)), device=where)
