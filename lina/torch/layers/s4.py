"""S4: a state-space layer with a diagonal plus low rank matrix."""

from __future__ import annotations

from typing import Any, Self

import torch

from lina._core.checks import check_option
from lina.hippo import nplr
from lina.ssm import DPLRSystem, kernel_dplr, stability_margin
from lina.ssm._discretize import discretize_dplr
from lina.torch.layers.checks import check_count
from lina.torch.layers.modal import ModalLayer, moved, pairs_of, rows_of, twice_real

_MEASURES = ("legs", "legt", "fout", "fourier_legs")


class S4(ModalLayer):
    """State-space layer of A = diag(Lambda) - P P^* in bilinear steps, which begins as a matrix of HiPPO.

    Parameters
    ----------
    channels : int
        Number of channels H; each has a system of its own.
    state : int
        Number of real states N, odd or even.
    init : {"legs", "legt", "fout", "fourier_legs"}
        The measure whose matrix A and B the layer begins with, as `lina.hippo.nplr` gives them.
    dt_min, dt_max : float
        Steps are drawn between them, uniformly in their logarithms: the memory of a channel is about 1 / dt samples,
        between 10 and 1000 unless given. For short sequences take dt_min near 1 / length.
    bidirectional : bool
        Add the same layer over the reversed sequence; then there are no steps.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    C is that of the true system, not that of one length, so that a sequence may have any length. The real parts of
    Lambda are -exp(log_decay) and the low rank is subtracted: no training makes a mode grow. Those of "legt" and
    "fout", which are 0, begin as -1e-4. A whole sequence of length L takes about 45 flops a pair of modes and two
    samples for the taps and O(L log L) for each signal, a step 16 (r + 1) N flops with r = 2 for "legt" and 1
    otherwise (in single precision 4 N more, for what the rounding of modes left); for gradients the inputs are kept and
    nothing of size N L.

    References
    ----------
    Gu, Goel, Re, Efficiently Modeling Long Sequences with Structured State Spaces (2022).

    Examples
    --------
    >>> import torch
    >>> from lina.torch import S4
    >>> layer = S4(channels=4, state=16)
    >>> x = torch.randn(2, 100, 4)
    >>> y, state = layer.prefill(x)
    >>> bool(torch.allclose(y, layer(x), atol=1e-4))
    True
    """

    pole_parameters: tuple[str, ...] = (*ModalLayer.pole_parameters, "P")

    def __init__(
        self,
        channels: int,
        state: int = 64,
        *,
        init: str = "legs",
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        bidirectional: bool = False,
    ):
        F = nplr(check_option(init, _MEASURES, "init"), check_count(state, "state", 1))
        options: dict[str, Any] = {"init": init, "dt_min": dt_min, "dt_max": dt_max}
        reverse: Self | None = type(self)(channels, state, **options) if bidirectional else None
        super().__init__(channels, state, (F.Lambda, F.B), (dt_min, dt_max), reverse)
        self.P = self._parameter(pairs_of(F.P))

    def low_rank(self) -> torch.Tensor:
        """Return P (channels, r, n)."""
        return self._complex(self.P)

    def kernel(self, L: int) -> torch.Tensor:
        """Return the first L taps (channels, L), without D; those of a smaller L are the first of them."""
        *parts, dt = self.continuous()
        Lambda, B, C, P = (x.to(self.state_dtype) for x in (*parts, self.low_rank()))
        return kernel_dplr(Lambda, P, B, C, dt.to(self.dtype), L, unstable="ignore")

    def _exponential(self, logarithm: torch.Tensor) -> torch.Tensor:
        """Round to what the kernel takes, which in double precision needs three times as long: steps do the same."""
        return super()._exponential(logarithm).to(self.dtype).to(self._wide)

    def _discrete(self) -> tuple[torch.Tensor, ...]:
        Lambda, B, C, dt = self.continuous()
        P = self.low_rank()
        Lambda, P, Q, B = discretize_dplr(Lambda, P, P, B, dt, "bilinear", None)
        return Lambda, P, B, C, Q

    def _as_system(self, *parts: torch.Tensor) -> DPLRSystem:
        Lambda, P, B, C, Q = parts
        return DPLRSystem(Lambda, P, B, C, Q, dt=1.0)

    def _margins(self) -> torch.Tensor:
        Lambda, B, C, dt = self.continuous()
        margins = stability_margin(DPLRSystem(Lambda, self.low_rank(), B, C).discretize(dt))
        return margins.clamp_min(2.0**-53)  # Lambda - P P^* is dissipative: rounding may say 0 or less, but it is not

    def _factors(self) -> tuple[Any, ...]:
        Lambda, P, B, C, Q = self._discrete()
        rows = (rows_of(x, self.state_dtype) for x in (C.conj().resolve_conj(), Q))
        return *self._split(Lambda), P.to(self.state_dtype), B.to(self.state_dtype), *rows

    def _advance(self, u: torch.Tensor, x: torch.Tensor, *factors: Any) -> tuple[torch.Tensor, torch.Tensor]:
        near, rest, P, B, read, across = factors
        along = twice_real(across, x[..., None, :])
        x = moved(x, near, rest, B, u)
        for r in range(P.shape[-2]):
            x = torch.addcmul(x, P[:, r], along[..., r, None].to(x.dtype), value=-1)
        return twice_real(read, x), x
