"""What all adjoints of kernels share: a checked cotangent, and gradients in the shapes of what was given."""

from typing import Any

from lina._core.array import check_finite, dtype_name, open_door
from lina.ssm._systems_arrays import is_complex, open_parts


def open_cotangent(xp: Any, cotangent: Any, like: Any, batch: tuple[int, ...]) -> Any:
    """Return the cotangent as a real array (*batch, L) in the precision of ``like``."""
    found, cotangent = open_door(min_ndim=1, cotangent=cotangent)
    if found is not xp:
        raise TypeError(f"cotangent must be an array of the library of the others, got {type(cotangent).__name__}")
    if is_complex(cotangent):
        raise TypeError(f"cotangent must be real, as the taps are, got dtype {dtype_name(cotangent)}")
    check_finite(xp, cotangent, "cotangent")
    check_cotangent(cotangent, batch)
    if cotangent.shape[-1] == 0:
        raise ValueError(f"cotangent must have at least one tap, got shape {tuple(cotangent.shape)}")
    return xp.astype(cotangent, xp.real(like).dtype, copy=False)


def check_cotangent(cotangent: Any, batch: tuple[int, ...]) -> None:
    """Raise ValueError where the leading axes are not those of the taps."""
    if tuple(cotangent.shape[:-1]) != batch:
        wanted = "(" + "".join(f"{length}, " for length in batch) + "L)"
        raise ValueError(f"cotangent must have shape {wanted}, got {tuple(cotangent.shape)}")


def summed_to(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """Return the sum over the axes that broadcasting ``shape`` to that of ``x`` made."""
    extra = x.ndim - len(shape)
    x = xp.sum(x, axis=tuple(range(extra))) if extra > 0 else x
    axes = tuple(i for i, length in enumerate(shape) if length == 1 and x.shape[i] != 1)
    return xp.sum(x, axis=axes, keepdims=True) if axes else x


def open_real(u: Any, x: Any, name: str = "u", other: str = "x") -> tuple[Any, Any, Any]:
    """Return (xp, u, x): a real array and a complex one of one precision, finite and not empty."""
    _, opened = open_parts(**{name: u})
    refuse_complex(opened, name)
    found, both, x = open_parts(as_complex=True, **{name: u, other: x})
    return found, found.real(both), x


def refuse_complex(u: Any, name: str) -> None:
    """Raise TypeError for an array of complex dtype."""
    if is_complex(u):
        raise TypeError(f"{name} must be real, got dtype {dtype_name(u)}")
