"""RTF: a state-space layer that is given by its transfer function."""

from __future__ import annotations

from typing import Any, Self

import torch
from array_api_compat import torch as torch_namespace
from torch import nn

from lina._core.array import to_numpy
from lina._core.checks import check_option
from lina.ssm import RationalSystem, kernel_rational
from lina.ssm._scan_rational import reaching
from lina.ssm._stability.many_rows import reflect_below_one
from lina.ssm._stability.reflection import inside_circle, stepped_up
from lina.torch.layers.checks import check_count
from lina.torch.layers.layer import StateSpaceLayer
from lina.torch.rational_filter import rational_filter

# What the parameter of the denominators is called: a state dict does not load where it would mean something else.
_NAMES = {None: "a", "montel": "w", "reflection": "rho"}
# What to do about unstable denominators; those of "montel" are not.
_REMEDIES = {
    None: "; train it with constraint='montel' or 'reflection', or multiply a_m by r^m with an r below 1",
    "montel": "",
    "reflection": ": rounding moves poles that are nearly on the circle; multiply rho by a number below 1, or take "
    "constraint='montel'",
}
# The sum of abs(a) stays below 1 with "montel" where coefficients are rounded to single precision.
_BELOW_ONE = 1 - 2.0**-23


class RTF(StateSpaceLayer):
    """State-space layer of transfer functions (b_1 + ... + b_d z^(d-1)) / (1 + a_1 z + ... + a_d z^d).

    Parameters
    ----------
    channels : int
        Number of channels H.
    state : int
        Degree d, the number of real states.
    constraint : {"montel", "reflection"} or None
        How denominators are kept stable. "montel": a = (1 - 2^-23) w / (1 + sum abs(w)), so that the sum of abs(a) is
        below 1, rounded to single precision too, which is enough, for 2 d flops. "reflection": w are free reflection
        coefficients (see `lina.ssm.stable_polynomial`), which reach every stable denominator, for d^2 flops and d
        steps. None: a = w, of which training may make an unstable one; then the taps grow with the length, and steps
        are refused.
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
    sequence may have any length, and the three modes agree. With "montel" a sequence is filtered on a circle inside
    the unit circle at the cost of a convolution, O(L log L) whatever d is; otherwise the taps come from a division of
    series. A step takes 4 d flops.

    The parameter of the denominators is called ``w`` with "montel", ``rho`` with "reflection" and ``a`` without a
    constraint, so that a state dict of one does not load into another; `fraction` returns a itself.

    With "reflection" denominators are formed, and states kept, in double precision: coefficients of a high degree do
    not determine poles that are nearly on the circle. Reflection coefficients near 1 get there (those trained from zero
    did not), and rounding may move such poles out of it even so; `initial_state` refuses an unstable layer, and
    `check_stability` proves the sign.

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
        self.pole_parameters = (_NAMES[self.constraint],)
        free = torch.zeros(_shared(denominators, self.channels, "denominators"), self.state)
        self.register_parameter(_NAMES[self.constraint], nn.Parameter(free))
        self.b = nn.Parameter(torch.zeros(_shared(numerators, self.channels, "numerators"), self.state))

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.pole_parameters, "b", "D")

    @property
    def state_dtype(self) -> torch.dtype:
        """The dtype of the state, and of `fraction`: double precision with "reflection"."""
        return torch.float64 if self.constraint == "reflection" else self.dtype

    @property
    def _remedy(self) -> str:
        return _REMEDIES[self.constraint]

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"{super().extra_repr()}, constraint={self.constraint!r}"

    def fraction(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the denominators and numerators a, b (channels, d)."""
        w, b = (x.to(self.state_dtype) for x in (getattr(self, *self.pole_parameters), self.b))
        if self.constraint == "montel":
            wide = w if w.device.type == "mps" else w.double()
            w = (_BELOW_ONE * wide / (1 + wide.abs().sum(-1, keepdim=True))).to(w.dtype)
        elif self.constraint == "reflection":
            w = stepped_up(torch_namespace, inside_circle(torch_namespace, w))
        a, b = (x.repeat_interleave(self.channels // len(x), 0) for x in (w, b))
        return a, b

    def kernel(self, L: int) -> torch.Tensor:
        """Return the first L taps (channels, L), without D; those of a smaller L are the first of them."""
        return kernel_rational(*self.fraction(), L).to(self.dtype)

    def _response(self, u: torch.Tensor) -> torch.Tensor:
        if self.constraint != "montel":
            return super()._response(u)
        a, b = self.fraction()
        through = self._through() * nn.functional.pad(a, (1, 0), value=1.0)  # D is D a / a, one degree higher
        return rational_filter(nn.functional.pad(a, (0, 1)), nn.functional.pad(b, (0, 1)) + through, u)

    def _resume(self, u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Filter what the state leaves of the samples, for the outputs and for the entries of the next state."""
        if self.constraint != "montel":
            return super()._resume(u, x)
        (a, b), (d, L) = self.fraction(), (self.state, u.shape[-1])
        driven = u - _cut(reaching(torch_namespace, a, x), L)
        both = torch.stack([b, nn.functional.pad(torch.ones_like(b[:, :1]), (0, d - 1))])
        y, past = rational_filter(a, both, driven[:, None]).unbind(1)
        after = torch.cat([past.flip(-1), x], -1)[..., :d]
        return y + _cut(reaching(torch_namespace, b, x)[..., 1:], L) + self._through() * u, after

    def _discrete(self) -> tuple[torch.Tensor, ...]:
        return self.fraction()

    def _as_system(self, *parts: torch.Tensor) -> RationalSystem:
        return RationalSystem(*parts)

    def _check_recurrent(self) -> None:
        super()._check_recurrent()
        if self.constraint == "montel" or torch._C._functorch.peek_interpreter_stack() is not None:
            return
        a = to_numpy(self.fraction()[0])
        if not bool(reflect_below_one(a).all()):  # quick; what it does not see is proven
            self.check_stability()

    def _advance(self, u: torch.Tensor, x: torch.Tensor, *parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = parts
        u = u.to(a.dtype)
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
