"""The one way in which a kernel becomes a torch operation."""

from collections.abc import Callable
from types import new_class
from typing import Any, NoReturn

import torch
from torch.autograd import forward_ad

from lina._core.errors import GradientError


def register_op(
    name: str,
    schema: str,
    *,
    forward: Callable[..., Any],
    fake: Callable[..., Any],
    save: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
    jvp: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Register ``torch.ops.lina.NAME`` with its shapes, gradient and vmap, and return a function that calls it.

    Call the returned function: the registered name itself has neither forward mode nor ``torch.func.grad``.

    Parameters
    ----------
    name, schema : str
        For example ``"scale"``, ``"(Tensor x, float factor) -> Tensor"``.
    forward : callable
        Computes new tensors from the arguments; nothing it does is recorded, and no output may share memory with
        an input. It treats leading axes of every tensor as a batch: vmap is made from that.
    fake : callable
        Returns empty tensors of the shapes, dtypes and strides that ``forward`` returns.
    save, backward : callable, optional
        ``save(ctx, inputs, output)`` and ``backward(ctx, *grads)`` as in ``torch.library``; ``backward`` is written
        in differentiable torch operations, so that it has a gradient itself. Without them the operation refuses
        every derivative. An argument that must not be differentiated by is refused in ``backward``, by raising where
        ``ctx.needs_input_grad`` asks for it: that holds in both modes.
    jvp : callable, optional
        ``jvp(ctx, *tangents)`` for forward mode: one tangent per argument of the schema, None for what is no tensor
        (a tensor held constant has zeros), to one per output, None for those marked non-differentiable. ``ctx`` is
        what ``save`` made of it for ``backward``. Without ``jvp`` forward mode is ``backward`` transposed: as right,
        for about three times the cost of ``backward``; write ``jvp`` where that matters.

    Returns
    -------
    callable
        Differentiable in reverse and forward mode and under the transforms of ``torch.func``, in any order. Raises
        `lina._core.errors.GradientError` where a derivative is wanted and there is none: without ``backward``, and,
        while ``torch.compile`` traces, in forward mode and under ``torch.func.grad``. There torch falls back to running
        uncompiled, or, with ``fullgraph=True``, shows the refusal.
    """

    def only_without_tangents(*args: Any) -> Any:
        if forward_ad._current_level >= 0 and torch._C._is_fwd_grad_enabled():
            raise GradientError(f"torch.ops.lina.{name} has no forward-mode derivative: call the function of lina")
        return forward(*args)

    op = torch.library.custom_op(f"lina::{name}", only_without_tangents, mutates_args=(), schema=schema)
    op.register_fake(fake)
    op.register_vmap(_fold_batch(op))
    if backward is not None:
        op.register_autograd(backward, setup_context=save)

    def call(*args: Any) -> Any:
        if backward is None and torch.is_grad_enabled() and any(_requires_grad(a) for a in args):
            _refuse(name)
        if not torch.compiler.is_compiling():
            return rules.apply(*args)
        if forward_ad._current_level >= 0 or _traces_a_derivative():
            raise GradientError(f"lina::{name} has no forward mode and no torch.func.grad inside torch.compile")
        return op(*args)

    rules = _rules(name, op, call, save, backward, jvp)
    return call


def _refuse(name: str) -> NoReturn:
    raise GradientError(f"lina::{name} has no gradient: call it under torch.no_grad() or on tensor.detach()")


def _requires_grad(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.requires_grad


def _traces_a_derivative() -> bool:
    """Whether torch.compile is inside torch.func.grad or jvp, which would go through the registered name."""
    levels = torch._C._functorch.get_interpreter_stack() or ()
    kinds = torch._C._functorch.TransformType
    return any(level.key() in (kinds.Grad, kinds.Jvp) for level in levels)


# What torch's assume_constant_result sets: torch.compile calls the function while it traces, instead of tracing it.
_traces_a_derivative._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _rules(
    name: str,
    op: Callable[..., Any],
    call: Callable[..., Any],
    save: Callable[..., None] | None,
    backward: Callable[..., Any] | None,
    jvp: Callable[..., Any] | None,
) -> type[torch.autograd.Function]:
    """Return ``op`` as an autograd.Function, which has what a registered operation cannot: forward mode, torch.func."""

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        if save is not None:
            save(ctx, inputs, output)
        ctx.save_for_forward(*(ctx.to_save or ()))
        ctx.set_materialize_grads(False)  # zeros would hide which arguments have a tangent
        ctx.inputs = [_kind(x) for x in inputs]
        constant = {id(t) for t in ctx.non_differentiable or ()}
        outputs = output if isinstance(output, (tuple, list)) else (output,)
        ctx.outputs = [None if id(t) in constant else _kind(t) for t in outputs]

    def pull(ctx: Any, *grads: Any) -> Any:
        return _refuse(name) if backward is None else backward(ctx, *_filled(grads, ctx.outputs))

    def push(ctx: Any, *tangents: Any) -> Any:
        if backward is None:
            _refuse(name)
        # torch calls this with forward mode off, and leaves it off for the jvp around this one: that would be zero
        with forward_ad._set_fwd_grad_enabled(True):
            primals = _Primals(ctx, tangents)
            if jvp is None:
                return _transpose(backward, primals, tangents)
            return jvp(primals, *_filled(tangents, ctx.inputs))

    methods = {
        "forward": lambda *args: op(*args),
        "setup_context": setup_context,
        "backward": pull,
        "jvp": push,
        "vmap": _fold_batch(call),
    }
    fields = {key: staticmethod(value) for key, value in methods.items()}
    return new_class(name, (torch.autograd.Function,), exec_body=lambda namespace: namespace.update(fields))


class _Primals:
    """The context of a forward-mode derivative: its saved tensors have no tangents, or they would be followed again.

    The gradients that `_transpose` needs are those by the arguments that have a tangent.
    """

    def __init__(self, ctx: Any, tangents: tuple[Any, ...]):
        self._ctx = ctx
        self.saved_tensors = tuple(forward_ad.unpack_dual(t).primal for t in ctx.saved_tensors)
        self.needs_input_grad = tuple(t is not None for t in tangents)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


def _kind(x: Any) -> tuple[Any, ...] | None:
    return (x.shape, x.dtype, x.device) if isinstance(x, torch.Tensor) else None


def _filled(derivatives: Any, kinds: Any) -> list[Any]:
    """Return the gradients or tangents with zeros in the place of None, where there is a tensor to have one."""
    pairs = zip(derivatives, kinds, strict=True)
    return [torch.zeros(k[0], dtype=k[1], device=k[2]) if d is None and k is not None else d for d, k in pairs]


def _transpose(backward: Callable[..., Any], ctx: Any, tangents: tuple[Any, ...]) -> Any:
    """Return what jvp returns, from a ``backward`` that is linear in the gradients: by its transpose."""
    kept: list[Any] = []
    places = [i for i, kind in enumerate(ctx.outputs) if kind is not None]
    zeros = _filled([None] * len(places), [ctx.outputs[i] for i in places])

    def pull(*grads: Any) -> list[torch.Tensor]:
        spread: list[Any] = [None] * len(ctx.outputs)
        for i, grad in zip(places, grads, strict=True):
            spread[i] = grad
        found = backward(ctx, *spread)
        found = found if isinstance(found, tuple) else (found,)
        pairs = [(g, t) for g, t in zip(found, tangents, strict=True) if g is not None and t is not None]
        kept[:] = [t for _, t in pairs]
        return [*(g for g, _ in pairs), *grads]  # itself, against zeros: vjp wants some output

    _, push = torch.func.vjp(pull, *zeros)
    out: list[Any] = [None] * len(ctx.outputs)
    for i, moved in zip(places, push([*kept, *zeros]), strict=True):
        out[i] = moved
    return tuple(out) if len(out) > 1 else out[0]


def _fold_batch(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the vmap rule of an operation whose leading axes are a batch already: move the new axis to the front."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        moved = []
        for arg, dim in zip(args, in_dims, strict=True):
            if not isinstance(arg, torch.Tensor):
                moved.append(arg)
            elif dim is None:
                moved.append(arg.expand(info.batch_size, *arg.shape))
            else:
                moved.append(arg.movedim(dim, 0))
        out = call(*moved)
        return out, (0,) * len(out) if isinstance(out, (tuple, list)) else 0

    return rule
