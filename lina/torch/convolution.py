"""Rational kernels and convolution as torch operations: nothing but their inputs is kept for the gradient."""

from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from lina._core.checks import check_option
from lina.ssm._fftconv import check_shapes, convolution, fftconv_vjp
from lina.ssm._fourier import first, product_length, sum_is_finite
from lina.ssm._kernels.cotangents import summed_to
from lina.ssm._kernels.dplr_parts import check_length
from lina.ssm._kernels.rational import kernel_rational_vjp, rational_taps
from lina.ssm._kernels.rational_truncated import kernel_rational_truncated_vjp, truncated_rational_taps
from lina.ssm._series import filled
from lina.ssm._stability.margin import ACTIONS
from lina.ssm._systems_arrays import check_last
from lina.torch.adjoints import aligned, open_tensors, register_with_adjoint
from lina.torch.blocks import Padded, blocks, followed, in_blocks


def _fake_taps(a: Any, b: Any, L: int, *_: Any) -> torch.Tensor:
    return a.new_empty((*torch.broadcast_shapes(a.shape[:-1], b.shape[:-1]), L))


_rational = register_with_adjoint(
    "kernel_rational",
    "Tensor a, Tensor b, int L",
    values=rational_taps,
    adjoint=lambda g, a, b, *_: kernel_rational_vjp(g, a, b),
    fake=_fake_taps,
)

# by the transforms of torch, which take less time than those that numpy's arrays have
_truncated_rational = register_with_adjoint(
    "kernel_rational_truncated",
    "Tensor a, Tensor b_tilde, int L, str unstable",
    values=truncated_rational_taps,
    adjoint=lambda g, a, b, *_: kernel_rational_truncated_vjp(g, a, b),
    fake=_fake_taps,
    in_torch=True,
)


def _outputs(u: Any, k: Any) -> torch.Tensor:
    """Return what `convolution` does: signals of channels by blocks, in the layout of u."""
    if not _by_blocks(u, k) or followed(u, k):
        return convolution(u, k, None, False)
    y, L = torch.empty_like(u), u.shape[-1]
    padded = Padded(product_length(L, k.shape[-1], L, real=True))
    for channels, parts in blocks(u):
        K = padded.transform(k[0, channels])
        for part in parts:
            Y = padded.transform(u[part, channels]).mul_(K)
            y[part, channels] = torch.fft.irfft(Y, n=padded.n)[..., :L]
    return y if sum_is_finite(torch_namespace, y) else convolution(u, k, None, False)


def _by_blocks(u: Any, k: Any) -> bool:
    return in_blocks(u, k) and k.shape[-1] <= u.shape[-1]


def _fake_outputs(u: Any, k: Any, return_state: bool) -> torch.Tensor:
    if not return_state and _by_blocks(u, k):
        return torch.empty_like(u)
    batch = torch.broadcast_shapes(u.shape[:-1], k.shape[:-1])
    L, M = u.shape[-1], k.shape[-1]
    count = L + M - 1 if return_state else L
    # the beginning of what the last transform returns: to copy it takes a tenth of the time
    n = product_length(L, M, count, real=not u.is_complex()) if L > 0 else count
    return u.new_empty((*batch, n))[..., :count]


def _fake_outputs_from(u: Any, k: Any, x0: Any, return_state: bool) -> torch.Tensor:
    batch = torch.broadcast_shapes(*(x.shape[:-1] for x in (u, k, x0)))
    return u.new_empty((*batch, u.shape[-1] + (k.shape[-1] - 1 if return_state else 0)))


def _pull_outputs(g: Any, u: Any, k: Any, return_state: bool) -> tuple[torch.Tensor, ...]:
    """Return the gradients of `convolution` by u and k, of the shapes of these."""
    if return_state or not _by_blocks(u, k) or g.shape != u.shape or followed(g, u, k):
        return _pull_outputs_from(g, u, k, k[..., 1:], return_state)[:2]
    du, dk, L, M = torch.empty_like(u), torch.empty_like(k), u.shape[-1], k.shape[-1]
    padded = Padded(product_length(L, L, L, real=True))
    for channels, parts in blocks(u):
        K, shared = padded.transform(k[0, channels]).conj(), 0
        for part in parts:
            G = padded.transform(g[part, channels])
            shared = shared + (G * padded.transform(u[part, channels]).conj()).sum(0)
            du[part, channels] = torch.fft.irfft(G.mul_(K), n=padded.n)[..., :L]
        dk[0, channels] = torch.fft.irfft(shared, n=padded.n)[..., :M]
    if all(sum_is_finite(torch_namespace, x) for x in (du, dk)):
        return du, dk
    return fftconv_vjp(g, u, k)[:2]


def _pull_outputs_from(g: Any, u: Any, k: Any, x0: Any, return_state: bool) -> tuple[torch.Tensor, ...]:
    """Return the gradients of `convolution` by u, k and x0, of the shapes of these."""
    L, M = u.shape[-1], k.shape[-1]
    if 0 in u.shape or 0 in k.shape:
        du, dk, dx0 = u.new_zeros(u.shape), k.new_zeros(k.shape), filled(torch_namespace, first(g, M - 1), M - 1)
    else:
        du, dk, dx0 = fftconv_vjp(g[..., :L], u, k, cotangent_state=g[..., L:] if return_state else None)
    return du, dk, summed_to(torch_namespace, dx0, x0.shape)


# by the transforms of torch
_fftconv = register_with_adjoint(
    "fftconv",
    "Tensor u, Tensor k, bool return_state",
    values=lambda u, k, return_state: convolution(u, k, None, True) if return_state else _outputs(u, k),
    adjoint=_pull_outputs,
    fake=_fake_outputs,
    in_torch=True,
)

_fftconv_from = register_with_adjoint(
    "fftconv_from",
    "Tensor u, Tensor k, Tensor x0, bool return_state",
    values=convolution,
    adjoint=_pull_outputs_from,
    fake=_fake_outputs_from,
    in_torch=True,
)


def fftconv(u: Any, k: Any, x0: Any, return_state: bool) -> Any:
    """Return what `lina.ssm.fftconv` does, of tensors."""
    arrays = {"u": u, "k": k} if x0 is None else {"u": u, "k": k, "x0": x0}
    opened = open_tensors(as_complex=False, **arrays)
    check_shapes(dict(zip(arrays, opened, strict=True)))
    tensors = aligned(dict.fromkeys(arrays, 1), *opened)
    if x0 is None and not return_state and u.ndim == k.ndim == 2:  # rows are channels of one batch
        u, k = tensors
        return _fftconv(u[None], k[None], False)[0]
    y = _fftconv(*tensors, bool(return_state)) if x0 is None else _fftconv_from(*tensors, bool(return_state))
    L = u.shape[-1]
    return (y[..., :L], y[..., L:]) if return_state else y


def kernel_rational(a: Any, b: Any, L: int) -> torch.Tensor:
    """Return what `lina.ssm.kernel_rational` does, of tensors."""
    return _rational(*_fraction(a=a, b=b), check_length(L))


def kernel_rational_truncated(a: Any, b_tilde: Any, L: int, unstable: str) -> torch.Tensor:
    """Return what `lina.ssm.kernel_rational_truncated` does, of tensors."""
    L, unstable = check_length(L), check_option(unstable, ACTIONS, "unstable")
    return _truncated_rational(*_fraction(a=a, b_tilde=b_tilde), L, unstable)


def _fraction(**tensors: Any) -> list[torch.Tensor]:
    a, b = open_tensors(as_complex=False, **tensors)
    check_last(b, a.shape[-1], list(tensors)[1])
    return aligned(dict.fromkeys(tensors, 1), a, b)
