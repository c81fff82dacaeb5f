"""RTF: a state-space layer that is given by its transfer function."""

from __future__ import annotations

from typing import Any, Self

import torch
from array_api_compat import torch as torch_namespace
from torch import nn

from lina._core.array import check_option
from lina.ssm import RationalSystem, fftconv, kernel_rational
from lina.ssm._scan_rational import reaching
from lina.ssm._stability.reflection import inside_circle, stepped_up
from lina.torch.layers.checks import check_count
from lina.torch.layers.layer import StateSpaceLayer
from lina.torch.rational_filter import rational_filter


class RTF(StateSpaceLayer):
    """State-space layer of transfer functions (b_1 + ... + b_d z^(d-1)) / (1 + a_1 z + ... + a_d z^d).

    Parameters
    ----------
    channels : int
        Number of channels H.
    state : int
        Degree d, the number of real states.
    constraint : {"montel", "reflection"} or None
        How denominators are kept stable. "montel": a = w / (1 + sum abs(w)), so that the sum of abs(a) is below 1,
        which is enough, for 2 d flops. "reflection": w are free reflection coefficients (see
        `lina.ssm.stable_polynomial`), which reach every stable denominator, for d^2 flops and d steps. None: a = w, of
        which training may make an unstable one; then the taps grow with the length, and steps are refused.
    denominators, numerators : int, optional
        How many different ones there are, a divisor of ``channels``, each shared by neighbouring channels; one for each
        channel unless given.
    bidirectional : bool
        Add the same layer over the reversed sequence; then there are no steps.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    All begins at zero but D. Where the published layer keeps a numerator that belongs to one length and divides on the
    unit circle, where an unstable denominator looks harmless, these parameters are those of the true recurrence: a
    sequence may have any length, and the three modes agree. With a constraint a sequence is filtered on a circle inside
    the unit circle at the cost of a convolution, O(L log L) whatever d is; without one the taps come from a division of
    series. A step takes 4 d flops.

    Rounding may move poles of a constrained denominator of high degree that are nearly on the circle out of it:
    `check_stability` proves the sign, and `initial_state` asks it.

    References
    ----------
    Parnichkun et al., State-Free Inference of State-Space Models: The Transfer Function Approach (2024).

    Examples
    --------
    >>> import torch
    >>> from lina.torch import RTF
    >>> layer = RTF(channels=4, state=16)
    >>> x = torch.randn(2, 100, 4)
    >>> y, state = layer.prefill(x)
    >>> bool(torch.allclose(y, layer(x), atol=1e-5))
    True
    """

    slow = ("a",)
    complex_state = False

    def __init__(
        self,
        channels: int,
        state: int = 64,
        *,
        constraint: str | None = "montel",
        denominators: int | None = None,
        numerators: int | None = None,
        bidirectional: bool = False,
    ):
        options: dict[str, Any] = {"constraint": constraint, "denominators": denominators, "numerators": numerators}
        reverse: Self | None = type(self)(channels, state, **options) if bidirectional else None
        super().__init__(channels, state, reverse)
        self.constraint = (
            None if constraint is None else check_option(constraint, ("montel", "reflection"), "constraint")
        )
        self.a = nn.Parameter(torch.zeros(_shared(denominators, self.channels, "denominators"), self.state))
        self.b = nn.Parameter(torch.zeros(_shared(numerators, self.channels, "numerators"), self.state))

    def fraction(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the denominators and numerators a, b (channels, d)."""
        w, b = self.a.to(self.dtype), self.b.to(self.dtype)
        if self.constraint == "montel":
            w = w / (1 + w.abs().sum(-1, keepdim=True))
        elif self.constraint == "reflection":
            w = stepped_up(torch_namespace, inside_circle(torch_namespace, w))
        a, b = (x.repeat_interleave(self.channels // len(x), 0) for x in (w, b))
        return a, b

    def kernel(self, L: int) -> torch.Tensor:
        """Return the first L taps (channels, L), without D; those of a smaller L are the first of them."""
        return kernel_rational(*self.fraction(), L)

    def _response(self, u: torch.Tensor) -> torch.Tensor:
        if self.constraint is None:
            return fftconv(u, self.kernel(u.shape[-1]))
        return rational_filter(*self.fraction(), u)

    def _resume(self, u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Filter what the state leaves of the samples, for the outputs and for the entries of the next state."""
        if self.constraint is None:
            return super()._resume(u, x)
        (a, b), (d, L) = self.fraction(), (self.state, u.shape[-1])
        driven = u - _cut(reaching(torch_namespace, a, x), L)
        both = torch.stack([b, nn.functional.pad(torch.ones_like(b[:, :1]), (0, d - 1))])
        y, past = rational_filter(a, both, driven[:, None]).unbind(1)
        after = torch.cat([past.flip(-1), x], -1)[..., :d]
        return y + _cut(reaching(torch_namespace, b, x)[..., 1:], L), after

    def _discrete(self) -> tuple[torch.Tensor, ...]:
        return self.fraction()

    def _as_system(self, *parts: torch.Tensor) -> RationalSystem:
        return RationalSystem(*parts)

    def _check_recurrent(self) -> None:
        super()._check_recurrent()
        self.check_stability()

    def _advance(self, u: torch.Tensor, x: torch.Tensor, *parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = parts
        first = u - (a * x).sum(-1)
        x = torch.cat([first[..., None], x[..., :-1]], -1)
        return (b * x).sum(-1), x


def _cut(x: torch.Tensor, L: int) -> torch.Tensor:
    """Return the first L entries, with zeros behind where there are fewer."""
    return nn.functional.pad(x[..., :L], (0, max(L - x.shape[-1], 0)))


def _shared(count: int | None, channels: int, name: str) -> int:
    count = channels if count is None else check_count(count, name, 1)
    if channels % count:
        raise ValueError(f"{name} must divide channels = {channels}, got {count}")
    return count
