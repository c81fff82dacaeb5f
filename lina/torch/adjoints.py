"""Torch operations whose values and gradients are functions of lina, of arrays of numpy or cupy where there are any."""

from collections.abc import Callable
from functools import reduce
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from array_api_compat import torch as torch_namespace

from lina._core.array import open_door, real_dtype, to_numpy
from lina.ssm._systems_arrays import batch_shape, check_step
from lina.torch._op import _transpose, register_op


def register_with_adjoint(
    name: str,
    signature: str,
    *,
    values: Callable[..., Any],
    adjoint: Callable[..., Any],
    fake: Callable[..., torch.Tensor],
    in_torch: bool = False,
) -> Callable[..., Any]:
    """Register ``lina::NAME`` and ``lina::NAME_vjp``, and return a function that calls the first.

    The gradient is the second operation, whose own gradient is that of ``adjoint`` of tensors: derivatives of second
    order, and of forward mode, cost what automatic differentiation of array code costs. Inputs are all that is kept.

    Parameters
    ----------
    name, signature : str
        For example ``"scale"``, ``"Tensor x, Tensor y, int k"``: tensors, with one number of leading axes that
        broadcast as a batch, then options.
    values : callable
        ``values(*arrays, *options)`` of arrays of numpy, cupy or torch, checked there, to one array.
    adjoint : callable
        ``adjoint(cotangent, *arrays, *options)`` to gradients in the shapes and dtypes of the arrays. Cotangents that
        are not finite and gradients that overflow make all of them NaN, as a scaler of losses expects, and raise
        nothing.
    fake : callable
        Returns an empty tensor of the shape of ``values``, and of its strides where ``in_torch``.
    in_torch : bool
        Give both functions the tensors themselves, for those that are made of transforms of torch.
    """
    count, options = _counts(signature)
    pull = _register_adjoint(name, signature, adjoint, in_torch)

    def forward(*args: Any) -> torch.Tensor:
        (found,) = _computed(lambda *a: (values(*a),), args, in_torch)
        return _laid_out(found, fake(*args)) if in_torch else found

    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        found = pull(grad, *ctx.saved_tensors, *ctx.options)
        return *((found,) if count == 1 else found), *[None] * options

    return register_op(
        name,
        f"({signature}) -> Tensor",
        forward=forward,
        fake=fake,
        save=_save,
        backward=backward,
        jvp=_along(values, backward),
    )


def _register_adjoint(name: str, signature: str, adjoint: Callable[..., Any], in_torch: bool) -> Callable[..., Any]:
    """Register ``lina::NAME_vjp`` and return a function that calls it: one tensor for one, otherwise a tuple."""
    count, options = _counts(signature)

    def packed(found: Any) -> Any:
        return found[0] if count == 1 else tuple(found)

    def forward(*args: Any) -> Any:
        if bool(torch.isfinite(args[0].sum())) or bool(torch.isfinite(args[0]).all()):
            try:
                found = _computed(adjoint, args, in_torch)
                tensors = args[1 : 1 + count]
                return packed([_laid_out(x, torch.empty_like(like)) for x, like in zip(found, tensors, strict=True)])
            except OverflowError:
                pass
        return packed([torch.full_like(x, torch.nan) for x in args[1 : 1 + count]])

    def fake(_: torch.Tensor, *args: Any) -> Any:
        return packed([torch.empty_like(x) for x in args[:count]])

    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        _, back = torch.func.vjp(lambda *tensors: packed(adjoint(*tensors, *ctx.options)), *ctx.saved_tensors)
        return *back(packed(grads)), *[None] * options

    return register_op(
        f"{name}_vjp",
        f"(Tensor cotangent, {signature}) -> " + ("Tensor" if count == 1 else f"({', '.join(['Tensor'] * count)})"),
        forward=forward,
        fake=fake,
        save=_save,
        backward=backward,
        jvp=_along(lambda *args: packed(adjoint(*args)), backward),
    )


def _counts(signature: str) -> tuple[int, int]:
    """Return the numbers of tensors and of options."""
    count = signature.count("Tensor ")
    return count, signature.count(",") + 1 - count


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*(x for x in inputs if isinstance(x, torch.Tensor)))
    ctx.options = [x for x in inputs if not isinstance(x, torch.Tensor)]


def _along(function: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the forward mode of a function of tensors, through its array code, or ``backward`` transposed."""

    def jvp(ctx: Any, *tangents: Any) -> Any:
        if torch._C._functorch.peek_interpreter_stack() is None:  # a dual level, which cannot be nested
            return _transpose(backward, ctx, tangents)
        # one number in many places, as the cotangent of a sum, can be neither half of a dual number
        saved, moves = (
            tuple(x.contiguous() for x in each if isinstance(x, torch.Tensor)) for each in (ctx.saved_tensors, tangents)
        )
        return torch.func.jvp(lambda *tensors: function(*tensors, *ctx.options), saved, moves)[1]

    return jvp


def _laid_out(x: torch.Tensor, empty: torch.Tensor) -> torch.Tensor:
    """Return a tensor in the strides that were promised: of itself, as a rule, but no view, which has no tangent."""
    x = x if x.stride() == empty.stride() else empty.copy_(x)
    return x.new_empty(0).set_(x.untyped_storage(), x.storage_offset(), x.shape, x.stride()) if x._is_view() else x


def _computed(function: Callable[..., Any], args: tuple[Any, ...], in_torch: bool) -> tuple[torch.Tensor, ...]:
    """Return what a function of arrays returns for tensors: through numpy or cupy on the same memory, or torch."""
    tensors = [x for x in args if isinstance(x, torch.Tensor)]
    device = tensors[0].device
    if in_torch or not (device.type == "cpu" or (device.type == "cuda" and find_spec("cupy"))):
        found = function(*(x.detach() if isinstance(x, torch.Tensor) else x for x in args))
    elif device.type == "cpu":
        arrays = function(*(to_numpy(x.resolve_neg()) if isinstance(x, torch.Tensor) else x for x in args))
        found = [torch.from_numpy(np.require(x, requirements=["C", "W"])) for x in arrays]
    else:
        found = _on_cupy(function, args, device)
    taken = {x.untyped_storage().data_ptr() for x in tensors}  # an operation must not return what it was given
    return tuple(x.clone() if x.untyped_storage().data_ptr() in taken else x for x in found)


def _on_cupy(function: Callable[..., Any], args: tuple[Any, ...], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Return the same by the CUDA kernels, on the stream that torch works on."""
    import cupy

    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream(device).cuda_stream)
    with cupy.cuda.Device(device.index), stream:
        arrays = [
            cupy.from_dlpack(x.detach().resolve_conj().resolve_neg()) if isinstance(x, torch.Tensor) else x
            for x in args
        ]
        return tuple(torch.from_dlpack(cupy.ascontiguousarray(x)).reshape(x.shape) for x in function(*arrays))


def open_tensors(*, as_complex: bool, **tensors: Any) -> list[torch.Tensor]:
    """Return tensors of at least one axis in one dtype, complex where asked for; nothing looks at their values."""
    _, *opened = open_door(min_ndim=1, **tensors)
    common = reduce(torch.promote_types, (x.dtype for x in opened))
    if as_complex:
        common = torch.complex64 if common in (torch.float32, torch.complex64) else torch.complex128
    return [x.to(common) for x in opened]


def open_step(dt: Any, like: torch.Tensor) -> torch.Tensor:
    """Return a step as a real tensor in the precision of ``like``; whether it is positive is seen later."""
    real = real_dtype(torch_namespace, like)
    if isinstance(dt, torch.Tensor):
        _, dt, _ = open_door(dt=dt if dt.ndim else dt.to(like.device), other=like)
        if dt.is_complex():
            raise TypeError(f"dt must be real, got dtype {str(dt.dtype).removeprefix('torch.')}")
        return dt.to(real)
    if isinstance(dt, (int, float)) and not isinstance(dt, bool):
        real = real if like.device.type == "mps" else torch.float64
        return torch.full((), float(dt), dtype=real, device=like.device)
    return check_step(torch_namespace, dt, like)


def aligned(tails: dict[str, int], *tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return tensors with as many leading axes as the longest batch; all axes but the last ``tails`` are a batch."""
    leading = {name: x.ndim - tail for (name, tail), x in zip(tails.items(), tensors, strict=True)}
    batch_shape(**{name: x.shape[: leading[name]] for name, x in zip(tails, tensors, strict=True)})
    most = max(leading.values())
    return [x[(None,) * (most - leading[name])] for name, x in zip(tails, tensors, strict=True)]
