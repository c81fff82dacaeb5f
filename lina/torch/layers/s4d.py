"""S4D: a diagonal state-space layer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch

from lina._core.checks import check_option
from lina.hippo import nplr
from lina.ssm import DiagonalSystem, kernel_diag, vandermonde, vandermonde_transpose
from lina.ssm._discretize import discretize_diagonal
from lina.ssm._kernels.diag import METHODS
from lina.torch.layers.checks import check_count
from lina.torch.layers.modal import ModalLayer, moved, rows_of, twice_real


class S4D(ModalLayer):
    """Diagonal state-space layer: K_l = 2 Re sum_n C_n Ad_n^l Bd_n for each channel.

    Parameters
    ----------
    channels : int
        Number of channels H; each has a system of its own.
    state : int
        Number of real states N, odd or even: N / 2 conjugate pairs of modes, and a real mode where N is odd. (The first
        pair of "lin" begins with frequency 0.)
    init : {"lin", "inv", "legs"}
        Modes at the beginning: -1/2 + i pi n ("lin"), -1/2 + i N/pi (N/(2n + 1) - 1) ("inv"), or those of the normal
        part of the LegS matrix with its B ("legs").
    method : {"zoh", "bilinear"}
        Discretisation.
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
    The parameters are those of the true continuous system, so that a sequence may have any length. The real parts are
    -exp(log_decay): no training makes a mode grow. A whole sequence of length L takes 4 N L flops a channel for the
    taps and O(L log L) for each signal, a step 8 N flops, in single precision 12 N; for gradients the inputs are kept
    and nothing of size N L.

    In single precision whole sequences, parts and steps agree to 1e-5 of the largest output: modes are formed in
    double, and a step multiplies also by what their rounding left.

    Parameters do not say which method they belong to, nor whether the first mode is real. The metadata of a state dict
    do, and another layer refuses it; one without them, as a plain dict or a file of tensors alone, is taken to fit.

    References
    ----------
    Gu, Gupta, Goel, Re, On the Parameterization and Initialization of Diagonal State Space Models (2022).

    Examples
    --------
    >>> import torch
    >>> from lina.torch import S4D
    >>> layer = S4D(channels=4, state=16)
    >>> x = torch.randn(2, 100, 4)
    >>> y = layer(x)
    >>> state = layer.initial_state(2)
    >>> first, state = layer.step(x[:, 0], state)
    >>> bool(torch.allclose(first, y[:, 0], atol=1e-5))
    True
    """

    def __init__(
        self,
        channels: int,
        state: int = 64,
        *,
        init: str = "lin",
        method: str = "zoh",
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        bidirectional: bool = False,
    ):
        modes = _MODES[check_option(init, tuple(_MODES), "init")](check_count(state, "state", 1))
        options: dict[str, Any] = {"init": init, "method": method, "dt_min": dt_min, "dt_max": dt_max}
        reverse: Self | None = type(self)(channels, state, **options) if bidirectional else None
        super().__init__(channels, state, modes, (dt_min, dt_max), reverse)
        self.method = check_option(method, METHODS, "method")

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"{super().extra_repr()}, method={self.method!r}"

    def kernel(self, L: int) -> torch.Tensor:
        """Return the first L taps (channels, L), without D; those of a smaller L are the first of them."""
        Lambda, B, C, dt = self.continuous()
        return kernel_diag(Lambda, B, C, dt, L, method=self.method, unstable="ignore").to(self.dtype)

    def _discrete(self) -> tuple[torch.Tensor, ...]:
        Lambda, B, C, dt = self.continuous()
        return *discretize_diagonal(Lambda, B, dt, self.method, None), C

    def _as_system(self, *parts: torch.Tensor) -> DiagonalSystem:
        Lambda, B, C = parts
        return DiagonalSystem(Lambda, B, C, dt=1.0)

    def _margins(self) -> torch.Tensor:
        Lambda, _, _, dt = self.continuous()
        w = Lambda * dt[:, None]
        if self.method == "zoh":
            return -torch.expm1(w.real).amax(-1)
        excess = 2 * w.real / abs(1 - w / 2) ** 2  # of the square of the modulus over 1
        return (-excess / (1 + torch.sqrt(1 + excess))).amin(-1)

    @property
    def _meaning(self) -> dict[str, Any]:
        return {**super()._meaning, "method": self.method}

    def _factors(self) -> tuple[Any, ...]:
        Lambda, B, C = self._discrete()
        return *self._split(Lambda), B.to(self.state_dtype), rows_of(C.conj().resolve_conj(), self.state_dtype)

    def _advance(self, u: torch.Tensor, x: torch.Tensor, *factors: Any) -> tuple[torch.Tensor, torch.Tensor]:
        near, rest, B, rows = factors
        x = moved(x, near, rest, B, u)
        return twice_real(rows, x), x

    def _resume(self, u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the taps of what the state becomes, and sum the inputs by how far they have moved at the end."""
        if self.method != "zoh":  # poles may be 0, which have no logarithms
            return super()._resume(u, x)
        Lambda, B, C = self._discrete()
        continuous, _, _, dt = self.continuous()
        log, L = continuous * dt[:, None], u.shape[-1]
        y = self._response(u) + vandermonde(C * Lambda * x, log, L).to(self.dtype)
        after = torch.exp(L * log) * x + B * vandermonde_transpose(u.flip(-1), log)
        return y, after.to(x.dtype)


def _linear(N: int) -> tuple[np.ndarray, np.ndarray]:
    n = np.arange((N + 1) // 2)
    return _from_frequencies(np.pi * n, N)


def _inverse(N: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = N // 2
    frequencies = N / np.pi * (N / (2 * np.arange(pairs) + 1) - 1)
    return _from_frequencies(np.concatenate([np.zeros(N % 2), frequencies]), N)


def _from_frequencies(frequencies: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    B = np.ones(len(frequencies), dtype=complex)
    B[: N % 2] = 0.5  # half weight
    return -0.5 + 1j * frequencies, B


def _of_legs(N: int) -> tuple[np.ndarray, np.ndarray]:
    F = nplr("legs", N)
    return F.Lambda, F.B


_MODES = {"lin": _linear, "inv": _inverse, "legs": _of_legs}
