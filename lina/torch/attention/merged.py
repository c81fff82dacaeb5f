"""Attention by a plan: its parts, merged by their logsumexp, with the exact gradient."""

from dataclasses import dataclass
from typing import Any

import torch

from lina._core.errors import GradientError
from lina.torch.attention import flash
from lina.torch.attention.checks import no_transform
from lina.torch.attention.plans import Plan, Turn
from lina.torch.attention.regions import Part, Span
from lina.torch.attention.rotation import Table, rotate, table, working_dtype

# What gradients by the logsumexp are brought below in float16, whose largest number is 65504: products follow.
_LARGEST = 4096.0


class MergedAttention(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
    """Outputs and logsumexp of q (b, h, m, d), k and v (b, g, n, d) by a plan.

    A plan is nothing that a schema of torch can name, so this is no registered operation. Only q, k, v and the results
    are kept: the backward rotates again. Among all keys the weights of a part are exp(logit - merged logsumexp), and
    the inner product of gradient and output is that with the merged output: so each part has the stock backward, of
    these two.
    """

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, plan: Plan, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output, in the dtype of q, and the logsumexp (b, h, m)."""
        out, lse = _merge_parts(q, k, v, plan, scale)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.plan, ctx.scale = plan, scale
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    def backward(ctx: Any, grad: Any, grad_lse: Any) -> tuple[Any, ...]:
        """Return the gradients by q, k and v."""
        q, k, v, out, lse = ctx.saved_tensors
        grad = torch.zeros_like(out) if grad is None else grad
        with torch.no_grad():
            unit = _unit(grad_lse, q.dtype)
            scaled = (grad, grad_lse) if unit is None else (grad / unit, grad_lse / unit)
            grads = _gradients((q, k, v), (scaled[0], out), (lse, scaled[1]), ctx.plan, ctx.scale, unit)
        if torch.is_grad_enabled():
            grads = FirstDerivative.apply(*grads, q, k, v, grad)
        return *grads, None, None

    @staticmethod
    def jvp(_: Any, *__: Any) -> Any:
        """Refuse."""
        raise no_transform("extrapolated_attention")


class FirstDerivative(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
    """Gradients that are known to depend on q, k, v and grad, and refuse to be differentiated."""

    @staticmethod
    def forward(_: Any, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the first three."""
        return tuple(x.clone() for x in tensors[:3])

    @staticmethod
    def backward(_: Any, *__: Any) -> Any:
        """Refuse."""
        raise GradientError("extrapolated_attention has first derivatives only: the operators of torch have no others")


@dataclass(frozen=True)
class Cut:
    """A span of positions, rotated, and flipped where the part runs backwards, as one tensor of an operator."""

    span: Span
    first: int = 0
    flipped: bool = False
    turn: Table | None = None
    layout: str = "half"

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return (b * count, h, length, d) of x (b, h, positions, d)."""
        y = self.span.of(x, self.first)
        if self.turn is not None:
            y = rotate(y, self.turn, self.layout)
        return (y.flip(-2) if self.flipped else y).flatten(0, 1)

    def put(self, x: torch.Tensor, batch: int) -> torch.Tensor:
        """Return what was flattened and flipped by `of` as (b, count, h, length, d)."""
        y = x.unflatten(0, (batch, self.span.count))
        return y.flip(-2) if self.flipped else y

    def add(self, total: torch.Tensor, x: torch.Tensor) -> None:
        """Add the adjoint of `of` to a total of the shape of its argument."""
        y = self.put(x, total.shape[0]).to(total.dtype)
        if self.turn is not None:
            y = rotate(y, self.turn, self.layout, back=True)
        self.span.of(total, self.first).add_(y)


def _cuts(part: Part, turn: Turn, plan: Plan, q: torch.Tensor) -> tuple[Cut, Cut, Cut]:
    """Return how a part takes its queries, keys and values."""
    scale = None
    if plan.row_scale is not None:
        scale = part.rows.of(plan.row_scale[None, None], plan.first)[0, :, 0]  # (count, length)
    query = table(turn.of_queries(part), turn.inv_freq, scale, q)
    at = turn.of_keys(part)
    key = None if at is None else table(at, turn.inv_freq, None, q)
    return (
        Cut(part.rows, plan.first, part.flipped, query, plan.layout),
        Cut(part.keys, 0, part.flipped, key, plan.layout),
        Cut(part.keys, 0, part.flipped),
    )


def _merge_parts(q: Any, k: Any, v: Any, plan: Plan, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output and logsumexp; every row has a part, since it sees its own key."""
    part, turn = plan.parts[0]
    if len(plan.parts) == 1 and part.rows.count == 1:
        cuts = _cuts(part, turn, plan, q)
        out, lse = flash.attend(cuts[0].of(q), cuts[1].of(k), cuts[2].of(v), part.causal, scale)
        return out.contiguous(), lse.contiguous()
    total = torch.zeros(q.shape, dtype=working_dtype(q), device=q.device)
    logsum = torch.full(q.shape[:-1], -torch.inf, dtype=total.dtype, device=q.device)[..., None]
    for part, turn in plan.parts:
        cuts = _cuts(part, turn, plan, q)
        found = flash.attend(cuts[0].of(q), cuts[1].of(k), cuts[2].of(v), part.causal, scale)
        out, lse = (cuts[0].put(x, q.shape[0]) for x in (found[0], found[1][..., None]))
        before, now = (cuts[0].span.of(x, plan.first) for x in (logsum, total))
        now.lerp_(out.to(now.dtype), torch.sigmoid(lse - before))
        before.copy_(torch.logaddexp(before, lse))
    return total.to(q.dtype), logsum[..., 0]


def _unit(grad_lse: Any, dtype: torch.dtype) -> torch.Tensor | None:
    """Return the power of two over which a gradient by the logsumexp, always wide, fits into float16; else None."""
    if grad_lse is None or dtype != torch.float16:
        return None
    return torch.exp2(torch.ceil(torch.log2(grad_lse.abs().amax() / _LARGEST))).clamp(min=1)


def _gradients(
    inputs: tuple[Any, ...],
    results: tuple[Any, ...],
    logsums: tuple[Any, ...],
    plan: Plan,
    scale: float,
    unit: torch.Tensor | None,
) -> tuple[torch.Tensor, ...]:
    """Return the gradients by q, k and v, added up in float32 for half precisions and times ``unit`` then."""
    sums = [torch.zeros(x.shape, dtype=working_dtype(x), device=x.device) for x in inputs]
    for part, turn in plan.parts:
        cuts = _cuts(part, turn, plan, inputs[0])
        rows = Cut(part.rows, plan.first, part.flipped)
        taken = [cut.of(x) for cut, x in zip(cuts, inputs, strict=True)]
        of_rows = [rows.of(x) for x in results]
        of_sums = [None if x is None else rows.of(x[..., None])[..., 0] for x in logsums]
        found = _part_backward(taken, of_rows, of_sums, part.causal, scale)
        for cut, total, x in zip(cuts, sums, found, strict=True):
            cut.add(total, x)
    return tuple((total if unit is None else total * unit).to(x.dtype) for total, x in zip(sums, inputs, strict=True))


def _part_backward(
    taken: list[torch.Tensor], results: list[torch.Tensor], logsums: list[Any], causal: bool, scale: float
) -> tuple[torch.Tensor, ...]:
    """Return the gradients of one part by its queries, keys and values.

    A gradient by the logsumexp is subtracted from the inner product of gradient and output, which the operator
    computes: one more channel does that, with a gradient of 1, where the values are zero and so do not see it.
    """
    (q, k, v), (grad, out), (lse, grad_lse) = taken, results, logsums
    lse = lse.contiguous()
    if grad_lse is None:
        return flash.attend_backward(grad, q, k, v, out, lse, causal, scale)
    d, more = q.shape[-1], 8  # rows of multiples of 8 channels are what the operators like best
    q, k, v, grad, out = (torch.nn.functional.pad(x, (0, more)) for x in (q, k, v, grad, out))
    grad[..., d] = 1
    out[..., d] = -grad_lse
    return tuple(x[..., :d] for x in flash.attend_backward(grad, q, k, v, out, lse, causal, scale))
