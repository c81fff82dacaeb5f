"""Convolution kernels of state-space systems as torch operations: nothing but their inputs is kept for the gradient."""

from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from lina._core.array import real_dtype
from lina._core.checks import check_option
from lina.ssm._kernels.cauchy import cauchy_sums, cauchy_vjp
from lina.ssm._kernels.cotangents import refuse_complex
from lina.ssm._kernels.diag import METHODS, diag_taps, kernel_diag_vjp
from lina.ssm._kernels.dplr import dplr_taps, truncated_dplr_taps
from lina.ssm._kernels.dplr_parts import check_length
from lina.ssm._kernels.dplr_vjp import kernel_dplr_truncated_vjp, kernel_dplr_vjp
from lina.ssm._kernels.vandermonde import products, transposed_products, vandermonde_transpose_vjp, vandermonde_vjp
from lina.ssm._stability.margin import ACTIONS
from lina.ssm._systems_arrays import check_last, low_rank_rows
from lina.torch.adjoints import aligned, open_step, open_tensors, register_with_adjoint

_OF_LOW_RANK = "Tensor Lambda, Tensor P, Tensor B, Tensor C, Tensor dt, int L"


def _fake_taps(L: int, like: torch.Tensor, *shapes: Any) -> torch.Tensor:
    return like.new_empty((*torch.broadcast_shapes(*shapes), L), dtype=like.dtype.to_real())


def _fake_diag(Lambda: Any, B: Any, C: Any, dt: Any, L: int, method: str, unstable: str) -> torch.Tensor:
    return _fake_taps(L, Lambda, *(x.shape[:-1] for x in (Lambda, B, C)), dt.shape)


def _fake_dplr(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, L: int, *_: Any) -> torch.Tensor:
    return _fake_taps(L, Lambda, *(x.shape[:-1] for x in (Lambda, P[..., 0, :], B, C)), dt.shape)


def _fake_products(c: Any, x: Any, L: int) -> torch.Tensor:
    return _fake_taps(L, c, c.shape[:-1], x.shape[:-1])


def _fake_transposed(u: Any, x: Any) -> torch.Tensor:
    return x.new_empty((*torch.broadcast_shapes(u.shape[:-1], x.shape[:-1]), x.shape[-1]))


def _fake_sums(v: Any, z: Any, w: Any, pairs: bool) -> torch.Tensor:
    return z.new_empty((*torch.broadcast_shapes(*(x.shape[:-1] for x in (v, z, w))), z.shape[-1]))


_diag = register_with_adjoint(
    "kernel_diag",
    "Tensor Lambda, Tensor B, Tensor C, Tensor dt, int L, str method, str unstable",
    values=diag_taps,
    adjoint=lambda g, Lambda, B, C, dt, _, method, __: kernel_diag_vjp(g, Lambda, B, C, dt, method),
    fake=_fake_diag,
)

_dplr = register_with_adjoint(
    "kernel_dplr",
    f"{_OF_LOW_RANK}, str unstable",
    values=dplr_taps,
    adjoint=lambda g, Lambda, P, B, C, dt, *_: kernel_dplr_vjp(g, Lambda, P, B, C, dt),
    fake=_fake_dplr,
)

_truncated_dplr = register_with_adjoint(
    "kernel_dplr_truncated",
    _OF_LOW_RANK,
    values=truncated_dplr_taps,
    adjoint=lambda g, Lambda, P, B, C, dt, *_: kernel_dplr_truncated_vjp(g, Lambda, P, B, C, dt),
    fake=_fake_dplr,
)

_vandermonde = register_with_adjoint(
    "vandermonde",
    "Tensor c, Tensor x, int L",
    values=products,
    adjoint=lambda g, c, x, *_: vandermonde_vjp(g, c, x),
    fake=_fake_products,
)

_vandermonde_transpose = register_with_adjoint(
    "vandermonde_transpose",
    "Tensor u, Tensor x",
    values=transposed_products,
    adjoint=vandermonde_transpose_vjp,
    fake=_fake_transposed,
)

_cauchy = register_with_adjoint(
    "cauchy",
    "Tensor v, Tensor z, Tensor w, bool pairs",
    values=cauchy_sums,
    adjoint=lambda g, v, z, w, pairs: cauchy_vjp(g, v, z, w, pairs=pairs),
    fake=_fake_sums,
)


def kernel_diag(Lambda: Any, B: Any, C: Any, dt: Any, L: int, method: str, unstable: str) -> torch.Tensor:
    """Return what `lina.ssm.kernel_diag` does, of tensors."""
    Lambda, B, C = open_tensors(as_complex=True, Lambda=Lambda, B=B, C=C)
    for name, x in (("B", B), ("C", C)):
        check_last(x, Lambda.shape[-1], name)
    tensors = aligned({"Lambda": 1, "B": 1, "C": 1, "dt": 0}, Lambda, B, C, open_step(dt, Lambda))
    L = check_length(L)
    return _diag(*tensors, L, check_option(method, METHODS, "method"), check_option(unstable, ACTIONS, "unstable"))


def kernel_dplr(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, L: int, unstable: str) -> torch.Tensor:
    """Return what `lina.ssm.kernel_dplr` does, of tensors."""
    tensors = _low_rank_tensors("C", Lambda, P, B, C, dt)
    return _dplr(*tensors, check_length(L), check_option(unstable, ACTIONS, "unstable"))


def kernel_dplr_truncated(Lambda: Any, P: Any, B: Any, C_tilde: Any, dt: Any, L: int) -> torch.Tensor:
    """Return what `lina.ssm.kernel_dplr_truncated` does, of tensors."""
    return _truncated_dplr(*_low_rank_tensors("C_tilde", Lambda, P, B, C_tilde, dt), check_length(L))


def _low_rank_tensors(name: str, Lambda: Any, P: Any, B: Any, C: Any, dt: Any) -> list[torch.Tensor]:
    Lambda, P, B, C = open_tensors(as_complex=True, **{"Lambda": Lambda, "P": P, "B": B, name: C})
    P = low_rank_rows(P, Lambda)
    for each, x in (("P", P), ("B", B), (name, C)):
        check_last(x, Lambda.shape[-1], each)
    tails = {"Lambda": 1, "P": 2, "B": 1, name: 1, "dt": 0}
    return aligned(tails, Lambda, P, B, C, open_step(dt, Lambda))


def vandermonde(c: Any, x: Any, L: int) -> torch.Tensor:
    """Return what `lina.ssm.vandermonde` does, of tensors."""
    c, x = open_tensors(as_complex=True, c=c, x=x)
    check_last(x, c.shape[-1], "x")
    return _vandermonde(*aligned({"c": 1, "x": 1}, c, x), check_length(L))


def vandermonde_transpose(u: Any, x: Any) -> torch.Tensor:
    """Return what `lina.ssm.vandermonde_transpose` does, of tensors."""
    (u,) = open_tensors(as_complex=False, u=u)
    refuse_complex(u, "u")
    _, x = open_tensors(as_complex=True, u=u[..., :1], x=x)
    u = u.to(real_dtype(torch_namespace, x))
    return _vandermonde_transpose(*aligned({"u": 1, "x": 1}, u, x))


def cauchy(v: Any, z: Any, w: Any, pairs: bool) -> torch.Tensor:
    """Return what `lina.ssm.cauchy` does, of tensors."""
    v, z, w = open_tensors(as_complex=True, v=v, z=z, w=w)
    check_last(w, v.shape[-1], "w")
    return _cauchy(*aligned({"v": 1, "z": 1, "w": 1}, v, z, w), bool(pairs))
