"""Rational kernels and convolution as torch operations: nothing but their inputs is kept for the gradient."""

from typing import Any

import torch
from array_api_compat import torch as torch_namespace

from lina._core.array import check_option
from lina.ssm._fftconv import check_shapes, convolution, fftconv_vjp
from lina.ssm._fourier import first, product_length
from lina.ssm._kernels.cotangents import summed_to
from lina.ssm._kernels.dplr_parts import check_length
from lina.ssm._kernels.rational import kernel_rational_vjp, rational_taps
from lina.ssm._kernels.rational_truncated import kernel_rational_truncated_vjp, truncated_rational_taps
from lina.ssm._series import filled
from lina.ssm._stability.margin import ACTIONS
from lina.ssm._systems_arrays import check_last
from lina.torch.adjoints import aligned, open_tensors, register_with_adjoint
from lina.torch.blocks import by_channels, is_split, share_channels


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


def _outputs(u: Any, k: Any, x0: Any, return_state: bool) -> torch.Tensor:
    """Return what `convolution` does, by blocks of channels where there are any."""
    tensors = (u, k) if x0 is None else (u, k, x0)
    if not share_channels(*tensors):
        return convolution(u, k, x0, return_state)
    run = lambda u, k, x0=None: (convolution(u, k, x0, return_state),)  # noqa: E731
    return by_channels(run, *tensors)[0]


def _fake_outputs(u: Any, k: Any, x0: Any, return_state: bool) -> torch.Tensor:
    batch = torch.broadcast_shapes(*(x.shape[:-1] for x in (u, k, x0)))
    L, M = u.shape[-1], k.shape[-1]
    count = L + M - 1 if return_state else L
    # the beginning of what the last transform returns: to copy it takes a tenth of the time
    whole = x0 is k and L > 0 and not is_split(u, k)
    n = product_length(L, M, count, real=not u.is_complex()) if whole else count
    return u.new_empty((*batch, n))[..., :count]


def _pull_outputs(g: Any, u: Any, k: Any, x0: Any, return_state: bool) -> tuple[torch.Tensor, ...]:
    """Return the gradients of `convolution` by u, k and x0, of the shapes of these."""
    M = k.shape[-1]
    if 0 in u.shape or 0 in k.shape:
        du, dk, dx0 = u.new_zeros(u.shape), k.new_zeros(k.shape), filled(torch_namespace, first(g, M - 1), M - 1)
    else:
        du, dk, dx0 = _correlations(g, u, k, return_state)
    return du, dk, summed_to(torch_namespace, dx0, x0.shape)


def _correlations(g: Any, u: Any, k: Any, return_state: bool) -> tuple[torch.Tensor, ...]:
    L = u.shape[-1]

    def run(g: Any, u: Any, k: Any) -> tuple[torch.Tensor, ...]:
        return fftconv_vjp(g[..., :L], u, k, cotangent_state=g[..., L:] if return_state else None)

    return by_channels(run, g, u, k) if share_channels(g, u, k) else run(g, u, k)


# by the transforms of torch
_fftconv = register_with_adjoint(
    "fftconv",
    "Tensor u, Tensor k, bool return_state",
    values=lambda u, k, return_state: _outputs(u, k, None, return_state),
    adjoint=lambda g, u, k, return_state: _pull_outputs(g, u, k, k[..., 1:], return_state)[:2],
    fake=lambda u, k, return_state: _fake_outputs(u, k, k, return_state),
    in_torch=True,
)

_fftconv_from = register_with_adjoint(
    "fftconv_from",
    "Tensor u, Tensor k, Tensor x0, bool return_state",
    values=_outputs,
    adjoint=_pull_outputs,
    fake=_fake_outputs,
    in_torch=True,
)


def fftconv(u: Any, k: Any, x0: Any, return_state: bool) -> Any:
    """Return what `lina.ssm.fftconv` does, of tensors."""
    arrays = {"u": u, "k": k} if x0 is None else {"u": u, "k": k, "x0": x0}
    opened = open_tensors(as_complex=False, **arrays)
    check_shapes(dict(zip(arrays, opened, strict=True)))
    tensors = aligned(dict.fromkeys(arrays, 1), *opened)
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
