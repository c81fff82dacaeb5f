"""The pseudo-inverse as a torch operation, with the derivative at constant rank."""

from typing import Any

import numpy as np
import torch
from array_api_compat import numpy as numpy_namespace
from array_api_compat import torch as torch_namespace

from lina._core.array import to_numpy
from lina.linalg._pinv.compute import compute_pinv
from lina.linalg._pinv.outcome import PATHS, Cutoff, Outcome
from lina.torch._op import register_op


def _forward(
    A: torch.Tensor, rtol: float, atol: float, hermitian: bool, method: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    # on the CPU through numpy, whose column of the kernel table is the fuller one
    on_cpu = A.device.type == "cpu"
    xp, values = (numpy_namespace, to_numpy(A)) if on_cpu else (torch_namespace, A.detach())
    found = compute_pinv(xp, values, Cutoff(rtol, atol), hermitian, method)
    X = torch.as_tensor(np.ascontiguousarray(found.X) if on_cpu else found.X).contiguous()
    if X.data_ptr() == A.data_ptr():
        X = X.clone()
    codes = np.asarray(np.vectorize(PATHS.index, otypes=[np.int64])(found.method))
    facts = [(found.rank, torch.int64), (found.condition, A.dtype.to_real()), (found.gap, A.dtype.to_real())]
    tensors = [torch.as_tensor(np.asarray(v) if on_cpu else v, dtype=t, device=A.device) for v, t in facts]
    return X, tensors[0], tensors[1], tensors[2], torch.as_tensor(codes, device=A.device)


def _fake(A: torch.Tensor, rtol: float, atol: float, hermitian: bool, method: str) -> tuple[torch.Tensor, ...]:
    batch = A.shape[:-2]
    X = A.new_empty((*batch, A.shape[-1], A.shape[-2]))
    whole = A.new_empty(batch, dtype=torch.int64)
    real = A.new_empty(batch, dtype=A.dtype.to_real())
    return X, whole, real, torch.empty_like(real), torch.empty_like(whole)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    ctx.hermitian = inputs[3]
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(inputs[0], output[0])


def _backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
    """Golub and Pereyra 1973, eq. 4.12, transposed; O(m n min(m, n)), never forming an m x m projector."""
    A, X = ctx.saved_tensors
    XH, GH = X.mH, grad.mH
    first = -XH @ (grad @ XH)
    inner = (GH @ X) @ XH
    second = inner - A @ (X @ inner)
    outer = GH - (GH @ X) @ A
    total = first + second + XH @ (X @ outer)
    if ctx.hermitian:
        total = (total + total.mH) / 2
    return total, None, None, None, None


def _jvp(ctx: Any, dA: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
    """Golub and Pereyra 1973, eq. 4.12: dX = -X dA X + X X^H dA^H (I - A X) + (I - X A) dA^H X^H X."""
    A, X = ctx.saved_tensors
    if ctx.hermitian:
        dA = (dA + dA.mH) / 2
    B = dA.mH
    inner = X @ (X.mH @ B)
    outer = (B @ X.mH) @ X
    return inner - (inner @ A) @ X + outer - X @ (A @ outer) - X @ (dA @ X), None, None, None, None


_pinv = register_op(
    "pinv",
    "(Tensor A, float rtol, float atol, bool hermitian, str method) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    forward=_forward,
    fake=_fake,
    save=_save,
    backward=_backward,
    jvp=_jvp,
)


def pinv_with_facts(xp: Any, A: torch.Tensor, cutoff: Cutoff, hermitian: bool, method: str) -> Outcome:
    """Return the pseudo-inverse of ``A`` (..., m, n) with its facts as tensors; the paths as indices into PATHS."""
    return Outcome(*_pinv(A, cutoff.rtol, cutoff.atol, hermitian, method))
