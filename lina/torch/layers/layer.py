"""What the state-space layers have in common: a convolution over a whole sequence, or steps that carry a state."""

from __future__ import annotations

import warnings
from typing import Any, Self

import torch
from torch import nn

from lina._core.checks import check_option
from lina.ssm import UnstableSystemWarning, fftconv, linear_scan, stability_margin
from lina.ssm._stability.margin import ACTIONS
from lina.torch.layers.checks import check_count, check_samples, check_state, is_traced
from lina.torch.layers.parameter_groups import parameter_groups

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class StateSpaceLayer(nn.Module):
    """One real system of one input and one output for each channel: y = K * x + D x.

    `S4`, `S4D` and `RTF` are such layers.

    A layer says how its parameters make taps (`kernel`), a discrete system, and one step of it; the state is one tensor
    of shape (batch, channels, n).

    Attributes
    ----------
    channels : int
    state : int
        Number of real states of each channel.
    bidirectional : bool
        Whether a second system, ``reverse``, runs over the reversed sequence; then there are no steps.
    """

    # Names of the parameters that move the poles, for `parameter_groups`.
    pole_parameters: tuple[str, ...] = ()
    complex_state = True

    def __init__(self, channels: int, state: int, reverse: Self | None):
        super().__init__()
        self.channels = check_count(channels, "channels", 1)
        self.state = check_count(state, "state", 1)
        self.reverse = reverse
        self.D = nn.Parameter(torch.randn(self.channels))
        self._kept: Any = None

    @property
    def _names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return (*self.pole_parameters, "D")

    @property
    def _remedy(self) -> str:
        """What to do about an unstable layer, for the end of an error."""
        return ""

    @property
    def bidirectional(self) -> bool:
        """Whether the layer sees the whole sequence at every position."""
        return self.reverse is not None

    @property
    def state_size(self) -> int:
        """Number of entries of the state of a channel."""
        return self.state

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which the layer computes: that of its parameters, but float32 for lower ones."""
        return torch.float64 if self.D.dtype == torch.float64 else torch.float32

    @property
    def state_dtype(self) -> torch.dtype:
        """The dtype of the state."""
        return _COMPLEX[self.dtype] if self.complex_state else self.dtype

    def kernel(self, L: int) -> torch.Tensor:
        """Return the first L taps (channels, L), without D; those of a smaller L are the first of them."""
        raise NotImplementedError

    def system(self) -> Any:
        """Return the discrete system of `lina.ssm` that the layer is, without D and without gradients.

        In double precision, where steps and taps begin; that of `RTF` as `fraction`.
        """
        with torch.no_grad():
            return self._as_system(*self._discrete())

    def _margins(self) -> torch.Tensor:
        return stability_margin(self.system())

    def _discrete(self) -> tuple[torch.Tensor, ...]:
        """Return the arrays of the discrete system."""
        raise NotImplementedError

    def _factors(self) -> tuple[Any, ...]:
        """Return what a step multiplies by."""
        return self._discrete()

    def _as_system(self, *parts: torch.Tensor) -> Any:
        raise NotImplementedError

    def _advance(self, u: torch.Tensor, x: torch.Tensor, *factors: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (y, next state) for inputs (batch, channels) and states (batch, channels, n)."""
        raise NotImplementedError

    def _response(self, u: torch.Tensor) -> torch.Tensor:
        """Return K * u + D u for u (batch, channels, length): D belongs to tap 0."""
        K = self.kernel(u.shape[-1])
        return fftconv(u, torch.cat([K[:, :1] + self._through(), K[:, 1:]], -1))

    def _resume(self, u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (outputs with D u, state after them) of u (batch, channels, length) from a state."""
        y, after = linear_scan(self._as_system(*self._discrete()), u, x)
        return y + self._through() * u, after.to(x.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs (batch, length, channels) of a whole sequence from the state zero.

        Parameters
        ----------
        x : Tensor, shape (batch, length, channels)
            Floating point, of any length from 1 on; in the precision of the layer, which is that of the computation, or
            a lower one.

        Returns
        -------
        Tensor, shape (batch, length, channels)
            In the dtype of ``x``.

        Raises
        ------
        TypeError, ValueError
            If ``x`` is no such tensor, or has more precision than the layer, or it or a parameter is not finite.
        OverflowError
            If the outputs of an unstable layer leave the range of the dtype.

        Notes
        -----
        By transforms, whose rounding is relative to the largest sample of the sequence: outputs before a sample that is
        1e6 times as large have six digits less than those of `step`.
        """
        u = self._opened(x, 3).transpose(1, 2)
        try:
            y = self._response(u)
            if self.reverse is not None:
                y = y + self.reverse._response(u.flip(-1)).flip(-1)
        except (ValueError, OverflowError):
            self._check_parameters()  # which names the one that is not finite
            raise
        return y.transpose(1, 2).to(x.dtype)

    def initial_state(self, batch: int) -> torch.Tensor:
        """Return the state (batch, channels, n) before the first sample: zeros, on the device of the parameters.

        A state is a plain tensor: `step` and `prefill` cannot tell that of another layer of the same shape.

        Raises
        ------
        ValueError
            If the layer is bidirectional, or its recurrence would explode (see `check_stability`).
        """
        batch = check_count(batch, "batch", 0)
        self._check_recurrent()
        return torch.zeros(batch, self.channels, self.state_size, dtype=self.state_dtype, device=self.D.device)

    def step(self, x_t: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (y_t, next state) for one sample x_t (batch, channels).

        Under ``torch.no_grad()`` the discrete system is kept from one step to the next, while the parameters have the
        same values; where they have changed, it is checked as `initial_state` does. ``torch.compile`` does not take
        this method and `prefill`, which look at values.

        Raises
        ------
        TypeError, ValueError
            If ``x_t`` or ``state`` is no tensor of the layer, ``x_t`` has more precision than the layer, or as
            `initial_state`.
        """
        u = self._opened(x_t, 2)
        self._check_state(state, u.shape[0])
        with torch.autocast(u.device.type, enabled=False):
            y, state = self._advance(u, state, *self._kept_factors())
            return (y + self.D.to(self.dtype) * u).to(x_t.dtype), state

    def prefill(self, x: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (outputs, state after the last sample) of samples x (batch, length, channels) that follow a state.

        Parameters
        ----------
        x : Tensor, shape (batch, length, channels)
        state : Tensor, shape (batch, channels, n), optional
            As `initial_state`, `step` and this method return it; zeros unless given.

        Raises
        ------
        TypeError, ValueError
            As `step` and `initial_state`.
        """
        u = self._opened(x, 3).transpose(1, 2)
        if state is None:
            state = self.initial_state(x.shape[0])
        else:
            self._check_state(state, u.shape[0])
            self._check_changed()
        with torch.autocast(u.device.type, enabled=False):
            y, state = self._resume(u, state)
        return y.transpose(1, 2).to(x.dtype), state

    def check_stability(self, action: str = "raise") -> torch.Tensor:
        """Return the stability margins, 1 - the largest modulus of a pole of a channel, whose signs are proven.

        Parameters
        ----------
        action : {"raise", "warn", "ignore"}
            What to do where one is not positive: the states would grow without bound.

        Returns
        -------
        Tensor, shape (channels,)
            In double precision; of a bidirectional layer the smaller one of both directions. They are those of the
            parameters: what rounding to single precision adds to a step, 1e-7 of it, is not in them.

        Raises
        ------
        ValueError
            If a channel is unstable and ``action`` is "raise", or a parameter is not finite.
        """
        check_option(action, ACTIONS, "action")
        self._check_parameters()
        with torch.no_grad():
            margins = self._margins().to(torch.float64)
        if self.reverse is not None:
            margins = torch.minimum(margins, self.reverse.check_stability("ignore"))
        if action != "ignore" and not bool((margins > 0).all()):
            worst = int(margins.argmin())
            modulus, count = 1 - float(margins[worst]), int((margins <= 0).sum())
            text = (
                f"the {type(self).__name__} layer is unstable: the largest pole of channel {worst} has modulus "
                f"{modulus:.6g}, and those of {count} of {self.channels} channels are not below 1: their states grow "
                f"without bound{self._remedy}"
            )
            if action == "raise":
                raise ValueError(text)
            warnings.warn(text, UnstableSystemWarning, stacklevel=2)
        return margins

    def parameter_groups(
        self, lr: float, *, state_lr: float | None = None, weight_decay: float = 0.0
    ) -> list[dict[str, Any]]:
        """Return what `parameter_groups` of this layer does."""
        return parameter_groups(self, lr, state_lr=state_lr, weight_decay=weight_decay)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"channels={self.channels}, state={self.state}, bidirectional={self.bidirectional}"

    def _through(self) -> torch.Tensor:
        return self.D.to(self.dtype)[:, None]

    def _kept_factors(self) -> tuple[Any, ...]:
        """Return `_factors`, kept while the values of the parameters are the same; anew where torch follows it."""
        self._check_changed()
        kept = self._kept
        if is_traced() or torch.is_grad_enabled():
            return self._factors()
        if kept[1] is None:
            kept[1] = self._factors()
        return kept[1]

    def _check_changed(self) -> None:
        """Check that there are steps, where the parameters have not the values that were checked last."""
        if is_traced():
            return
        now = [getattr(self, name).detach() for name in self._names]
        if self._kept is None or not all(map(_equal, now, self._kept[0])):
            self._check_recurrent()
            self._kept = [[p.clone() for p in now], None]

    def _check_parameters(self) -> None:
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return
        for name in self._names:
            if not bool(torch.isfinite(getattr(self, name)).all()):
                raise ValueError(f"{name} of the {type(self).__name__} layer must be finite, found NaN or infinities")
        if self.reverse is not None:
            self.reverse._check_parameters()

    def _check_recurrent(self) -> None:
        """Raise where there are no steps."""
        self._check_parameters()
        if self.bidirectional:
            raise ValueError(
                f"{type(self).__name__} must not be bidirectional to go step by step, got bidirectional=True"
            )

    def _opened(self, x: torch.Tensor, ndim: int) -> torch.Tensor:
        """Return samples in the precision of the layer, or raise for what are none."""
        name, shape = ("x_t", "(batch, channels)") if ndim == 2 else ("x", "(batch, length, channels)")
        check_samples(x, self.channels, name, shape)
        if x.device != self.D.device:
            raise ValueError(f"{name} must be on the device of the layer, {self.D.device}, got {x.device}")
        if torch.promote_types(x.dtype, self.dtype) != self.dtype:
            raise TypeError(f"{name} must have no more precision than the layer, {self.dtype}, got {x.dtype}")
        return x.to(self.dtype)

    def _check_state(self, state: torch.Tensor, batch: int) -> None:
        if self.bidirectional:
            self._check_recurrent()
        check_state(state, (batch, self.channels, self.state_size), self.state_dtype, type(self).__name__)

    @property
    def _meaning(self) -> dict[str, Any]:
        """What says how parameters are read, beside their names and shapes; it is saved with them."""
        return {"state": self.state}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]].update(self._meaning)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *more: Any) -> None:
        other = {key: local_metadata.get(key, value) for key, value in self._meaning.items()}
        if other == self._meaning:
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *more)
        else:
            *_, errors = more
            wanted = f"be of a layer with {self._meaning}, got one of a layer with {other}"
            errors.append(f"state dict of {prefix[:-1] or type(self).__name__} must {wanted}")

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: without what is kept for steps."""
        return {**self.__dict__, "_kept": None}


def _equal(x: torch.Tensor, y: torch.Tensor) -> bool:
    return x.dtype == y.dtype and x.device == y.device and torch.equal(x, y)
