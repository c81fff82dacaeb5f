"""The least-squares solution A+ M as a torch operation, with the derivative at constant rank."""

from typing import Any

import numpy as np
import torch
from array_api_compat import numpy as numpy_namespace
from array_api_compat import torch as torch_namespace

from lina._core.array import to_numpy
from lina.linalg._pinv.outcome import PATHS, Cutoff, Outcome
from lina.linalg._pinv.solve import compute_solution
from lina.torch._op import register_op


def _forward(
    A: torch.Tensor, M: torch.Tensor, rtol: float, atol: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    # on the CPU through numpy, whose column of the kernel table is the fuller one
    on_cpu = A.device.type == "cpu"
    xp = numpy_namespace if on_cpu else torch_namespace
    values, right = (to_numpy(A), to_numpy(M)) if on_cpu else (A.detach(), M.detach())
    found = compute_solution(xp, values, right, Cutoff(rtol, atol))
    X = torch.as_tensor(np.ascontiguousarray(found.X) if on_cpu else found.X).contiguous()
    codes = np.asarray(np.vectorize(PATHS.index, otypes=[np.int64])(found.method))
    facts = [(found.rank, torch.int64), (found.condition, A.dtype.to_real()), (found.gap, A.dtype.to_real())]
    tensors = [torch.as_tensor(np.asarray(v) if on_cpu else v, dtype=t, device=A.device) for v, t in facts]
    return X, tensors[0], tensors[1], tensors[2], torch.as_tensor(codes, device=A.device)


def _fake(A: torch.Tensor, M: torch.Tensor, rtol: float, atol: float) -> tuple[torch.Tensor, ...]:
    batch = A.shape[:-2]
    X = A.new_empty((*batch, A.shape[-1], M.shape[-1]))
    whole = A.new_empty(batch, dtype=torch.int64)
    real = A.new_empty(batch, dtype=A.dtype.to_real())
    return X, whole, real, torch.empty_like(real), torch.empty_like(whole)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    ctx.tolerances = inputs[2:]
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(inputs[0], inputs[1], output[0])


def _backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
    """Golub and Pereyra 1973, eq. 4.12, times M and transposed, in terms of solutions with A and with A^H.

    dX = A+ dM - A+ dA X + (A^H A)+ dA^H (M - A X) + (I - A+ A) dA^H (A+)^H X.
    """
    A, M, X = ctx.saved_tensors
    p = M.shape[-1]
    both = _solve(A.mH, torch.cat([grad, X], dim=-1), *ctx.tolerances)[0]
    W, Y = both[..., :p], both[..., p:]
    both = _solve(A, torch.cat([W, A @ grad], dim=-1), *ctx.tolerances)[0]
    Z, seen = both[..., :p], both[..., p:]
    grad_A = (M - A @ X) @ Z.mH + Y @ (grad - seen).mH - W @ X.mH
    return grad_A, W, None, None


def _jvp(ctx: Any, dA: torch.Tensor, dM: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
    """The derivative in the words of `_backward`, one solution with A^H and one with A."""
    A, M, X = ctx.saved_tensors
    p = M.shape[-1]
    both = _solve(A.mH, torch.cat([X, dA.mH @ (M - A @ X)], dim=-1), *ctx.tolerances)[0]
    Y, W = both[..., :p], both[..., p:]
    V = dA.mH @ Y
    return V + _solve(A, dM - dA @ X + W - A @ V, *ctx.tolerances)[0], None, None, None, None


_solve = register_op(
    "solve_left",
    "(Tensor A, Tensor M, float rtol, float atol) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    forward=_forward,
    fake=_fake,
    save=_save,
    backward=_backward,
    jvp=_jvp,
)


def solve_with_facts(xp: Any, A: torch.Tensor, M: torch.Tensor, cutoff: Cutoff) -> Outcome:
    """Return A+ M of ``A`` (..., m, n) and ``M`` (..., m, p) with the facts as tensors; the paths as in PATHS."""
    return Outcome(*_solve(A, M, cutoff.rtol, cutoff.atol))
