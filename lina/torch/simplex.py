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
from lina.simplex._project_simplex import centred, project_rows, project_rows_body
from lina.simplex._rows import divided_body, largest, offset, worth_calling
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
        return centred(torch_namespace, p > 0, g, -1).contiguous()
    rows = (-1, p.shape[-1])
    return torch.from_numpy(fast(to_numpy(p.reshape(rows)), to_numpy(g.reshape(rows)))).reshape(p.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(output, inputs[1])


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _centre_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """The map is linear in g and its own adjoint; it changes with p only where the support does."""
    return None, _centre(ctx.saved_tensors[0], grad)


def _project_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    p, _ = ctx.saved_tensors
    by_radius = None
    if ctx.needs_input_grad[1]:
        support = p > 0
        by_radius = torch.where(support, grad, 0.0).sum(-1) / support.sum(-1).clamp(min=1)
    return _centre(p, grad), by_radius


def _entmax_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    p, alpha = ctx.saved_tensors
    excess = alpha[..., None] - 1
    weights = support_weights(torch_namespace, p, excess)
    counted = torch.where(p > 0, grad, 0.0)
    by_alpha = None
    if ctx.needs_input_grad[1]:
        by_alpha = (counted * alpha_direction(torch_namespace, p, excess, weights, -1)).sum(-1)
    return weighted_centred(torch_namespace, weights, counted, -1), by_alpha


_centre = register_op(
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

entmax = register_op(
    "entmax",
    "(Tensor x, Tensor alpha) -> Tensor",
    forward=_entmax_forward,
    fake=_like_first,
    save=_save,
    backward=_entmax_backward,
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
    return x / divisor if _known(x, _all_finite) else divided_body(torch_namespace, x, divisor)


def _known_numbers(p: torch.Tensor) -> bool:
    """Whether no row is known to be NaN, as torch makes those with +inf."""
    return _known(p, lambda values: not bool(torch.isnan(values[:, :1]).any()))


def _all_finite(values: torch.Tensor) -> bool:
    least, most = torch.aminmax(values) if values.numel() else (values.sum(), values.sum())
    return bool(torch.isfinite(least) & torch.isfinite(most))


def _known(x: torch.Tensor, holds: Callable[[torch.Tensor], bool]) -> bool:
    """Whether something holds for the values; False where they cannot be looked at, or only slowly."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    try:
        return holds(x.detach())
    except RuntimeError:  # within vmap
        return False
