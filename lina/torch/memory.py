"""The scan of LegS as torch operations: it is linear, so that its gradient is a scan backwards that needs no states."""

from typing import Any

import torch

from lina.hippo._arrays import check_last_axis
from lina.hippo._legs_scan.public import legs_scan_vjp, scan_states
from lina.ssm._kernels.cotangents import summed_to
from lina.ssm._systems_arrays import namespace
from lina.torch.adjoints import aligned, open_tensors, register_with_adjoint

_OPTIONS = "int N, str method, bool return_all, int k0, str scaling"


def _gradients(
    g: Any, u: Any, x0: Any, N: int, method: str, return_all: bool, k0: int, scaling: str
) -> tuple[Any, ...]:
    """Return the gradients by u and, unless that is None, x0, of the shapes of these."""
    xp, L = namespace(g), u.shape[-1]
    if L == 0:
        du, dx = xp.zeros_like(u), xp.zeros_like(x0) if return_all else g
    else:
        du, dx = legs_scan_vjp(g, L, method=method, return_all=return_all, k0=k0, scaling=scaling)
    du = summed_to(xp, du, u.shape)
    return (du,) if x0 is None else (du, summed_to(xp, dx, x0.shape))


def _fake(u: Any, x0: Any, N: int, method: str, return_all: bool, *_: Any) -> torch.Tensor:
    batch = u.shape[:-1] if x0 is None else torch.broadcast_shapes(u.shape[:-1], x0.shape[:-1])
    return u.new_empty((*batch, u.shape[-1], N) if return_all else (*batch, N))


_scan = register_with_adjoint(
    "legs_scan",
    f"Tensor u, {_OPTIONS}",
    values=lambda u, *options: scan_states(u, None, *options),
    adjoint=lambda g, u, *options: _gradients(g, u, None, *options),
    fake=lambda u, *options: _fake(u, None, *options),
)

_scan_from = register_with_adjoint(
    "legs_scan_from", f"Tensor u, Tensor x0, {_OPTIONS}", values=scan_states, adjoint=_gradients, fake=_fake
)


def legs_scan(u: Any, x0: Any, N: int, method: str, return_all: bool, k0: int, scaling: str) -> torch.Tensor:
    """Return what `lina.hippo.legs_scan` does, of tensors; the exact memory, a product with a table, by array code."""
    options = N, method, bool(return_all), k0, scaling
    if method == "exact":
        return scan_states(u, x0, *options)
    if x0 is None:
        return _scan(*open_tensors(as_complex=False, u=u), *options)
    u, x0 = open_tensors(as_complex=False, u=u, x0=x0)
    check_last_axis(x0, N, "x0")
    return _scan_from(*aligned({"u": 1, "x0": 1}, u, x0), *options)
