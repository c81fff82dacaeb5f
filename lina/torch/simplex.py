"""Projections onto the simplex and entmax as torch operations, differentiable any number of times."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from array_api_compat import numpy as numpy_namespace
from array_api_compat import torch as torch_namespace

from lina._core.array import to_numpy
from lina.simplex._entmax.body import entmax_body
from lina.simplex._entmax.gradient import alpha_direction, support_weights
from lina.simplex._entmax.public import entmax_rows
from lina.simplex._project_simplex import project_rows, project_rows_body, support_centred
from lina.simplex._rows import divided_body, largest, offset, worth_calling
from lina.simplex._softmax import masked_softmax as masked_softmax_body
from lina.simplex._softmax import weighted_centred
from lina.torch._op import register_op

_ROWS = {"project_simplex": (project_rows, project_rows_body), "entmax": (entmax_rows, entmax_body)}


def _run(name: str, x: torch.Tensor, option: torch.Tensor) -> torch.Tensor:
    """Return the mapping of ``x`` (..., n) with one ``option`` per row: through numpy, cupy, or torch itself."""
    rows, options = x.detach().reshape(-1, x.shape[-1]), option.detach().reshape(-1)
    function, body = _ROWS[name]
    if x.device.type == "cpu":
        out = torch.from_numpy(np.ascontiguousarray(function(numpy_namespace, to_numpy(rows), to_numpy(options))))
    elif x.device.type == "cuda" and find_spec("cupy"):
        out = _run_on_cupy(name, rows, options)
    else:
        out = body(torch_namespace, rows, options)
    return out.reshape(x.shape)


def _run_on_cupy(name: str, rows: torch.Tensor, options: torch.Tensor) -> torch.Tensor:
    """Return the same by the CUDA kernel, on the stream that torch works on."""
    import cupy
    from array_api_compat import cupy as cupy_namespace

    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream(rows.device).cuda_stream)
    with cupy.cuda.Device(rows.device.index), stream:
        arrays = [cupy.from_dlpack(each.contiguous()) for each in (rows, options)]
        found: torch.Tensor = torch.from_dlpack(_ROWS[name][0](cupy_namespace, *arrays))
    return found


def _project_forward(x: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return _run("project_simplex", x, radius)


def _entmax_forward(x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    return _run("entmax", x, alpha)


def _like_first(x: torch.Tensor, *_: Any) -> torch.Tensor:
    return x.new_empty(x.shape)


def _centre_forward(p: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    fast = worth_calling("project_simplex_backward", numpy_namespace, to_numpy(p)) if p.device.type == "cpu" else None
    if fast is None:
        return support_centred(torch_namespace, p, g, -1).contiguous()
    rows = (-1, p.shape[-1])
    return torch.from_numpy(fast(to_numpy(p.reshape(rows)), to_numpy(g.reshape(rows)))).reshape(p.shape)


def _entmax_centre_forward(p: torch.Tensor, g: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    fast = worth_calling("entmax_backward", numpy_namespace, to_numpy(p)) if p.device.type == "cpu" else None
    if fast is None:
        weights = support_weights(torch_namespace, p, alpha[..., None] - 1)
        return weighted_centred(torch_namespace, weights, torch.where(p > 0, g, 0.0), -1).contiguous()
    p_rows, g_rows = (to_numpy(each.reshape(-1, p.shape[-1])) for each in (p, g))
    return torch.from_numpy(fast(p_rows, g_rows, to_numpy(alpha.reshape(-1)))).reshape(p.shape)


def _masked_forward(x: torch.Tensor, mask: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    n = x.shape[-1]
    rows, masks, heats = x.detach().reshape(-1, n), mask.reshape(-1, n), heat.detach().reshape(-1)
    if x.device.type != "cpu":
        return masked_softmax_body(torch_namespace, rows, masks, heats, axis=1).reshape(x.shape)
    arrays = to_numpy(rows), to_numpy(masks), to_numpy(heats)
    fast = worth_calling("masked_softmax", numpy_namespace, arrays[0])
    p = masked_softmax_body(numpy_namespace, *arrays, axis=1) if fast is None else fast(*arrays)
    return torch.from_numpy(np.ascontiguousarray(p)).reshape(x.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(output, inputs[1])


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _centre_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """The map is linear in g and its own adjoint; it changes with p only where the support does."""
    return None, centre(ctx.saved_tensors[0], grad)


def _project_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    p, _ = ctx.saved_tensors
    by_radius = None
    if ctx.needs_input_grad[1]:
        support = p > 0
        by_radius = torch.where(support, grad, 0.0).sum(-1) / support.sum(-1).clamp(min=1)
    return centre(p, grad), by_radius


def _entmax_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    p, alpha = ctx.saved_tensors
    by_alpha = None
    if ctx.needs_input_grad[1]:
        excess = alpha[..., None] - 1
        weights = support_weights(torch_namespace, p, excess)
        direction = alpha_direction(torch_namespace, p, excess, weights, -1)
        by_alpha = (torch.where(p > 0, grad, 0.0) * direction).sum(-1)
    return _entmax_centre(p, grad, alpha), by_alpha


def _entmax_centre_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """With s the weights and m, m' the means of g and ``grad`` by them, the change by s is (g - m) (grad - m')."""
    p, g, alpha = ctx.saved_tensors
    by_p = by_alpha = None
    if ctx.needs_input_grad[0] or ctx.needs_input_grad[2]:
        excess, support = alpha[..., None] - 1, p > 0
        weights, inside = support_weights(torch_namespace, p, excess), torch.where(support, p, 1.0)
        by_weights = _less_mean(weights, g, support) * _less_mean(weights, grad, support)
        by_p = (1 - excess) * weights / inside * by_weights
        by_alpha = -(weights * torch.log(inside) * by_weights).sum(-1)
    return by_p, _entmax_centre(p, grad, alpha), by_alpha


def _less_mean(weights: torch.Tensor, g: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Return ``g`` less its mean by the weights, 0 out of the support."""
    counted, total = torch.where(support, g, 0.0), weights.sum(-1, keepdim=True)
    mean = (weights * counted).sum(-1, keepdim=True) / torch.where(total == 0, 1.0, total)
    return torch.where(support, counted - mean, 0.0)


def _masked_save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, _, heat = inputs
    ctx.save_for_backward(output, x, heat)


def _masked_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    p, x, heat = ctx.saved_tensors
    gradient = _entmax_centre(p, grad, torch.ones_like(heat)) / heat[..., None]
    by_heat = None
    if ctx.needs_input_grad[2]:
        z = torch.where((p > 0) & torch.isfinite(x), x, -torch.inf)
        top = z.detach().amax(-1, keepdim=True)
        z = torch.where(z > -torch.inf, z - top, 0.0)
        by_heat = -(gradient * z).sum(-1) / heat
    return gradient, None, by_heat


centre = register_op(
    "project_simplex_backward",
    "(Tensor p, Tensor g) -> Tensor",
    forward=_centre_forward,
    fake=_like_first,
    save=_save_inputs,
    backward=_centre_backward,
)

project_simplex = register_op(
    "project_simplex",
    "(Tensor x, Tensor radius) -> Tensor",
    forward=_project_forward,
    fake=_like_first,
    save=_save,
    backward=_project_backward,
)

_entmax_centre = register_op(
    "entmax_backward",
    "(Tensor p, Tensor g, Tensor alpha) -> Tensor",
    forward=_entmax_centre_forward,
    fake=_like_first,
    save=_save_inputs,
    backward=_entmax_centre_backward,
)

entmax = register_op(
    "entmax",
    "(Tensor x, Tensor alpha) -> Tensor",
    forward=_entmax_forward,
    fake=_like_first,
    save=_save,
    backward=_entmax_backward,
)

# of the rows (rows, n) over the entries of a mask, at a temperature for each row (rows,)
masked_softmax = register_op(
    "masked_softmax",
    "(Tensor x, Tensor mask, Tensor heat) -> Tensor",
    forward=_masked_forward,
    fake=_like_first,
    save=_masked_save,
    backward=_masked_backward,
)


def softmax(x: torch.Tensor) -> torch.Tensor:
    """Return the softmax of the rows of ``x`` (rows, n) by torch's own, with entries +inf taken care of."""
    p = torch.softmax(x, dim=-1)
    return p if _known_numbers(p) else torch.softmax(offset(torch_namespace, x, largest(torch_namespace, x)), dim=-1)


def log_softmax(x: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the same."""
    log_p = torch.log_softmax(x, dim=-1)
    if _known_numbers(log_p):
        return log_p
    return torch.log_softmax(offset(torch_namespace, x, largest(torch_namespace, x)), dim=-1)


def logsumexp(x: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the sum of the exponentials of each row of ``x`` (rows, n), (rows, 1).

    By torch's own, whose gradient is NaN where the sum is infinite; there it is 0.
    """
    value = torch.logsumexp(x, dim=-1, keepdim=True)
    if _known_numbers(value - value):
        return value
    top = largest(torch_namespace, x)
    finite = torch.isfinite(top)
    above = torch.logsumexp(torch.where(finite, x - top, 0.0), dim=-1, keepdim=True)
    return torch.where(finite, torch.where(finite, top, 0.0) + above, top)


def divided(x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
    """Return ``x`` over a positive ``divisor``, by which infinite entries have the derivative 0."""
    return x / divisor if known(x, _all_finite) else divided_body(torch_namespace, x, divisor)


def _known_numbers(p: torch.Tensor) -> bool:
    """Whether no row is known to be NaN, as torch makes those with +inf."""
    return known(p, lambda values: not bool(torch.isnan(values[:, :1]).any()))


def _all_finite(values: torch.Tensor) -> bool:
    least, most = torch.aminmax(values) if values.numel() else (values.sum(), values.sum())
    return bool(torch.isfinite(least) & torch.isfinite(most))


def known(x: torch.Tensor, holds: Callable[[torch.Tensor], bool]) -> bool:
    """Whether something holds for the values; False where they cannot be looked at, or only slowly."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    try:
        return holds(x.detach())
    except RuntimeError:  # within vmap
        return False
