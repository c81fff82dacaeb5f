"""The response of stable rational systems to signals as a torch operation: neither taps nor states are formed."""

import math

import torch
from array_api_compat import torch as torch_namespace

from lina._core.array import check_finite
from lina.ssm._fourier import fast_length, forward, inverse, sum_is_finite
from lina.ssm._kernels.cotangents import summed_to
from lina.ssm._systems_arrays import check_last, check_overflow
from lina.torch.adjoints import aligned, open_tensors, register_with_adjoint
from lina.torch.blocks import blocks, followed, in_blocks


class _Circle:
    """Where the generating functions are sampled: n points of modulus r < 1, so that what wraps around is damped.

    What wraps enters by r^n and the rounding of double precision is magnified by r^(-L): for single precision both are
    1e-8 with n = L, for double 1e-12 with n = 3 L.
    """

    def __init__(self, a: torch.Tensor, b: torch.Tensor, L: int):
        d, single = a.shape[-1], a.dtype == torch.float32
        self.L, self.n = L, fast_length(max(L if single else 3 * L, d + 1), real=True)
        decay = math.log(1e-8 if single else 1e-12) / self.n
        self.weights = torch.exp(decay * torch.arange(max(L, d + 1), dtype=torch.float64, device=a.device))
        self.A = self.sampled(torch.nn.functional.pad(a, (1, 0), value=1.0))
        self.response = self.sampled(b) / self.A

    def sampled(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values of a series on the half of the circle that determines them."""
        return self._transform(x * self.weights[: x.shape[-1]])

    def outputs(self, u: torch.Tensor) -> torch.Tensor:
        """Return the first L coefficients of the response times u: W^-1 F^-1 diag(response) F W u."""
        y = inverse(torch_namespace, self.response * self.sampled(u), self.n, real=True)
        return (y[..., : self.L] / self.weights[: self.L]).to(u.dtype)

    def pull_signals(self, g: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradient of `outputs` by u, W F^-1 conj(diag(response)) F W^-1 g, and what those of a, b need."""
        cotangent = self._transform(g / self.weights[: self.L])
        shared = cotangent * self.sampled(u).conj()
        return self._weighted(self.response.conj() * cotangent, u), shared

    def pull_parameters(self, shared: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the gradients by a and b, with all axes of the circle."""
        together = shared / self.A.conj()
        one_later = torch.nn.functional.pad(a, (1, 0))
        da = -self._weighted(self.response.conj() * together, one_later)[..., 1:]
        return da, self._weighted(together, b)

    def _transform(self, x: torch.Tensor) -> torch.Tensor:
        return forward(torch_namespace, x.contiguous(), self.n)

    def _weighted(self, values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        count = like.shape[-1]
        return (inverse(torch_namespace, values, self.n, real=True)[..., :count] * self.weights[:count]).to(like.dtype)


def _outputs(a: torch.Tensor, b: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    if followed(a, b, u):
        return _Circle(a, b, u.shape[-1]).outputs(u)
    y = _by_blocks(a, b, u) if in_blocks(u, a, b) else _Circle(a, b, u.shape[-1]).outputs(u)
    if not sum_is_finite(torch_namespace, y):
        for name, x in (("a", a), ("b", b), ("u", u)):
            check_finite(torch_namespace, x, name)
        check_overflow(torch_namespace, y, "u or b")
    return y


def _by_blocks(a: torch.Tensor, b: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(u)
    for channels, parts in blocks(u):
        circle = _Circle(a[0, channels], b[0, channels], u.shape[-1])
        for part in parts:
            y[part, channels] = circle.outputs(u[part, channels])
    return y


def _pull_outputs(g: torch.Tensor, a: torch.Tensor, b: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the gradients by a, b and u, of the shapes of these."""
    if not in_blocks(u, a, b) or followed(g, a, b, u):
        circle = _Circle(a, b, u.shape[-1])
        du, shared = circle.pull_signals(g, u)
        da, db = circle.pull_parameters(summed_to(torch_namespace, shared, circle.response.shape), a, b)
        found = (da, a), (db, b), (du, u)
        return tuple(summed_to(torch_namespace, x, like.shape) for x, like in found)
    da, db, du = (torch.empty_like(x) for x in (a, b, u))
    for channels, parts in blocks(u):
        mine = a[0, channels], b[0, channels]
        circle, shared = _Circle(*mine, u.shape[-1]), 0
        for part in parts:
            du[part, channels], pair = circle.pull_signals(g[part, channels], u[part, channels])
            shared = shared + pair.sum(0)
        da[0, channels], db[0, channels] = circle.pull_parameters(shared, *mine)
    return da, db, du


def _fake(a: torch.Tensor, b: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    shape = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1], u.shape[:-1])
    return torch.empty_like(u) if in_blocks(u, a, b) else u.new_empty((*shape, u.shape[-1]))


# by the transforms of torch
_filter = register_with_adjoint(
    "rational_filter",
    "Tensor a, Tensor b, Tensor u",
    values=_outputs,
    adjoint=_pull_outputs,
    fake=_fake,
    in_torch=True,
)


def rational_filter(a: torch.Tensor, b: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Return the causal response of (b_1 + ... + b_d z^(d-1)) / (1 + a_1 z + ... + a_d z^d) to signals.

    Parameters
    ----------
    a, b : Tensor, shape (..., H, d)
        Real, of H channels. All poles are inside the unit circle or next to it: those outside by more than 18 / L are
        wrapped around.
    u : Tensor, shape (..., H, L)
        Leading axes are broadcast with those of a and b.

    Returns
    -------
    y : Tensor, shape (..., H, L)
        In the precision of the tensors, computed in double: where the sum of abs(a) is below 1, to 1e-8 of the largest
        output in single precision, and to 1e-12 in double; otherwise to that times the sum of abs(a) over the smallest
        modulus of the denominator on the circle, by which rounding of a magnifies.

    Raises
    ------
    ValueError
        If entries are not finite.
    OverflowError
        If the result exceeds the range of the dtype.

    Notes
    -----
    Transforms of L points in double precision, of 3 L for double results, one forth and one back for each signal: what
    those of 2 L points in single precision cost that a convolution with the taps takes, without those for the taps. By
    blocks of channels, so that nothing but inputs and outputs takes memory. Gradients of any order; the inputs are all
    that is kept for them.
    """
    a, b, u = open_tensors(as_complex=False, a=a, b=b, u=u)
    check_last(b, a.shape[-1], "b")
    channels = max(a.shape[-2], b.shape[-2], u.shape[-2])
    a, b, u = (x.expand(*x.shape[:-2], channels, x.shape[-1]) for x in (a, b, u))
    return _filter(*aligned({"a": 1, "b": 1, "u": 1}, a, b, u))
