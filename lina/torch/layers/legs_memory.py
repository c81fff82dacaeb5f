"""The memory of LegS as a module: the past of every channel as Legendre coefficients."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any, NamedTuple

import torch
from torch import nn

from lina._core.checks import check_option
from lina.hippo import legs_scan
from lina.hippo._legs_scan.public import METHODS
from lina.hippo._measures import check_scaling
from lina.torch.layers.checks import check_count, check_samples, check_state


class LegSState(NamedTuple):
    """What a `LegSMemory` goes on from.

    Attributes
    ----------
    memory : tensor, shape (batch, channels, order)
        Coefficients of what was seen; in float32 for samples of half precision.
    seen : int
        Number of samples that they remember.
    """

    memory: torch.Tensor
    seen: int


class LegSMemory(nn.Module):
    """Remember the whole past of every channel by its first Legendre coefficients; there is nothing to train.

    Parameters
    ----------
    order : int
        Number of coefficients of a channel.
    method : {"logbilinear", "exact", "bilinear", "backward"}
        Rule of a step, as in `lina.hippo.legs_scan`.
    scaling : {"paper", "orthonormal", "lmu"}
        Scaling of the coefficients, as in `lina.hippo.transition`.
    return_all : bool
        Return the memory after every sample instead of after the last one.

    Raises
    ------
    TypeError
        If ``order`` is no int; in a call, if ``x`` is no tensor of real floats, or a state is not one of this module.
    ValueError
        If an option is unknown; in a call, if a shape does not fit, ``x`` is empty or not finite.

    Notes
    -----
    Called with x (batch, length, channels) it returns the memories (batch, length, channels, order), or (batch,
    channels, order) without ``return_all``, in the dtype of x. `forward`, `prefill` in parts and `step` return the same
    numbers up to rounding. A step takes 10 order flops a channel, and a gradient keeps no states; "exact" takes 10
    order^2, keeps its tables, and is for eager calls only, neither compiled nor under vmap.
    There is no unit of time: a sequence with every sample repeated is remembered the same (C65).

    Source: Gu, Dao, Ermon, Rudra, Re, "HiPPO: Recurrent memory with optimal polynomial projections", 2020, theorem 2.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import LegSMemory
    >>> memory = LegSMemory(8)
    >>> x = torch.linspace(0, 1, 200, dtype=torch.float64).sin().reshape(1, 200, 1)
    >>> memory(x).shape
    torch.Size([1, 200, 1, 8])
    >>> _, state = memory.prefill(x[:, :-1])
    >>> latest, state = memory.step(x[:, -1], state)
    >>> state.seen, torch.allclose(latest, memory(x)[:, -1])
    (200, True)
    """

    def __init__(
        self, order: int = 64, *, method: str = "logbilinear", scaling: str = "paper", return_all: bool = True
    ):
        super().__init__()
        self.order = check_count(order, "order", 1)
        self.method = check_option(method, METHODS, "method")
        check_scaling(scaling, "legs")
        self.scaling, self.return_all = scaling, bool(return_all)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the memories of x (batch, length, channels), from its first sample on."""
        check_samples(x, _channels(x), "x", "(batch, length, channels)")
        return self._scan(x, None, self.return_all).to(x.dtype)

    def initial_state(
        self, batch: int, channels: int, *, dtype: torch.dtype | None = None, device: Any = None
    ) -> LegSState:
        """Return the state before any sample, for samples of ``dtype``, the default one of torch unless given."""
        shape = check_count(batch, "batch", 0), check_count(channels, "channels", 1), self.order
        dtype = working_dtype(dtype or torch.get_default_dtype())
        return LegSState(torch.zeros(shape, dtype=dtype, device=device), 0)

    def step(self, x_t: torch.Tensor, state: LegSState) -> tuple[torch.Tensor, LegSState]:
        """Return the memory (batch, channels, order) that includes the sample x_t (batch, channels), and the state."""
        check_samples(x_t, _channels(x_t), "x_t", "(batch, channels)")
        self._check_state(state, x_t)
        memory = self._scan(x_t[:, None], state, return_all=False)
        return memory.to(x_t.dtype), LegSState(memory, state.seen + 1)

    def prefill(self, x: torch.Tensor, state: LegSState | None = None) -> tuple[torch.Tensor, LegSState]:
        """Return what `forward` does of x (batch, length, channels) after what ``state`` has seen, and the state."""
        check_samples(x, _channels(x), "x", "(batch, length, channels)")
        if state is not None:
            self._check_state(state, x)
        memories = self._scan(x, state, self.return_all)
        # a copy: a view of the last memory would keep all of them
        latest = memories[:, -1].clone() if self.return_all else memories
        return memories.to(x.dtype), LegSState(latest, x.shape[1] + (0 if state is None else state.seen))

    def _scan(self, x: torch.Tensor, state: LegSState | None, return_all: bool) -> torch.Tensor:
        """Return the memories in the working dtype: they are rounded to half precision for the caller only."""
        start = {} if state is None or state.seen == 0 else {"x0": state.memory, "k0": state.seen}
        memories = legs_scan(
            x.transpose(1, 2),
            self.order,
            method=self.method,
            return_all=return_all,
            scaling=self.scaling,
            **start,
        )
        return memories.transpose(1, 2) if return_all else memories

    def _check_state(self, state: Any, x: torch.Tensor) -> None:
        if not isinstance(state, LegSState):
            raise TypeError(f"state must be a LegSState, got {type(state).__name__}")
        check_count(state.seen, "state.seen", 0)
        check_state(state.memory, (x.shape[0], x.shape[-1], self.order), working_dtype(x.dtype), "LegSMemory")

    def extra_repr(self) -> str:
        """Return the options, for printing."""
        return f"order={self.order}, method={self.method!r}, scaling={self.scaling!r}, return_all={self.return_all}"


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which numbers of ``dtype`` are computed with: float32 for half precisions."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _channels(x: Any) -> int:
    """Return the size of the last axis: a memory takes any number of channels."""
    return int(x.shape[-1]) if isinstance(x, torch.Tensor) and x.ndim else 0
