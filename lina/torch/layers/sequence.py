"""Models of sequences: an output for every sample, or one class for all of them."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from lina._core.checks import check_option
from lina.torch.layers.checks import check_count, check_state
from lina.torch.layers.stack import Stack, layer_maker

POOLINGS = ("mean", "last")


class SequenceModel(Stack):
    """Map sequences to sequences of the same length, by state-space layers between linear maps.

    Parameters
    ----------
    in_features, out_features : int
        Numbers of entries of a sample of the input and of the output.
    layer : {"s4d", "s4", "rtf"} or callable
        Which layer, or a function from the number of channels to a new one that `ResidualBlock` takes.
    width : int
        Channels of the layers.
    depth : int
        Number of blocks.
    state : int, optional
        Numbers in the state of a channel, of the layers that have names; 64 unless given.
    dropout : float
        As in `ResidualBlock`.
    **options
        Of the layers that have names, for example ``bidirectional=True``, or ``dt_min=1e-2`` of S4 and S4D.

    Raises
    ------
    TypeError
        If an argument has a wrong type, or a layer no such option; in a call, if ``x`` has not the dtype of the
        parameters (within autocast, is no real float), or ``state`` is not one of this model.
    ValueError
        If a number is out of range, or a name unknown; in a call, if a shape does not fit, ``x`` is empty or not
        finite, or a state is asked of a bidirectional layer.

    Notes
    -----
    An encoder ``Linear(in_features, width)``, ``depth`` residual blocks, a layer norm and a decoder ``Linear(width,
    out_features)``. `forward`, `prefill` in parts and `step` return the same numbers up to rounding, unless something
    is dropped: a model that is trained on whole sequences runs sample by sample, for about 2 width (2 state + width)
    depth multiplications a sample. Step under ``torch.no_grad``, where the layers keep what a step multiplies by.
    Values are looked at where they can be: in compiled code and under vmap, what is not finite is seen by the layers.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import SequenceModel
    >>> model = SequenceModel(3, 2, width=8, depth=2, state=16).double()
    >>> x = torch.randn(4, 100, 3, dtype=torch.float64)
    >>> y, state = model.prefill(x[:, :60])
    >>> for t in range(60, 100):
    ...     y_t, state = model.step(x[:, t], state)
    >>> torch.allclose(y_t, model(x)[:, -1])
    True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        layer: str | Callable[[int], nn.Module] = "s4d",
        width: int = 64,
        depth: int = 4,
        state: int | None = None,
        dropout: float = 0.0,
        **options: Any,
    ):
        inputs, outputs = check_count(in_features, "in_features", 1), check_count(out_features, "out_features", 1)
        super().__init__(inputs, outputs, layer_maker(layer, state, options), width, depth, dropout)
        self.in_features, self.out_features = inputs, outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs (batch, length, out_features) of x (batch, length, in_features)."""
        self.check_input(x, "x", "(batch, length, in_features)")
        return self.decoder(self.features(x))

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """Return the state before any sample: that of every block."""
        return self.initial_states(batch)

    def step(self, x_t: torch.Tensor, state: tuple[Any, ...]) -> tuple[torch.Tensor, tuple[Any, ...]]:
        """Return the output (batch, out_features) of the sample x_t (batch, in_features), and the state after it."""
        self.check_input(x_t, "x_t", "(batch, in_features)")
        self.check_states(state, "state")
        h, after = self.next_features("step", x_t, state)
        return self.decoder(h), after

    def prefill(self, x: torch.Tensor, state: tuple[Any, ...] | None = None) -> tuple[torch.Tensor, tuple[Any, ...]]:
        """Return what `forward` does of x (batch, length, in_features) after what ``state`` has seen, and the state.

        All sequences of a batch are as long as x, since a state has seen all of them: prefill those of one length
        together, or cut the batch where the shorter ones end.
        """
        self.check_input(x, "x", "(batch, length, in_features)")
        state = self.initial_states(x.shape[0]) if state is None else state
        self.check_states(state, "state")
        h, after = self.next_features("prefill", x, state)
        return self.decoder(h), after


class ClassifierState(NamedTuple):
    """What a `SequenceClassifier` goes on from.

    Attributes
    ----------
    blocks : tuple
        The states of the blocks.
    pooled : tensor, shape (batch, width), float64
        Mean of the features of all samples so far, or the latest features.
    seen : int
        Number of samples so far.
    """

    blocks: tuple[Any, ...]
    pooled: torch.Tensor
    seen: int


class SequenceClassifier(Stack):
    """Tell the class of a sequence, at its end or while it comes in, by state-space layers.

    Parameters
    ----------
    in_channels : int
        Number of entries of a sample.
    classes : int
        Number of classes.
    layer, width, depth, state, dropout, **options
        As in `SequenceModel`.
    pooling : {"mean", "last"}
        What the logits are a linear map of: the mean of the features of all samples, or those of the last sample.

    Raises
    ------
    TypeError, ValueError
        As `SequenceModel` does, and of ``lengths``: if they are no integers, not one for each sequence, not in
        1..length, or given where a layer is bidirectional, which would see the padding.

    Notes
    -----
    The features are those of `SequenceModel` before its decoder, and the logits a linear map of their mean: those of
    the samples so far cost no more than a step. ``step`` and ``prefill`` return them, equal to those of the whole
    sequence up to rounding, however long it is: the mean is kept in double precision.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import SequenceClassifier
    >>> model = SequenceClassifier(1, 10, width=8, depth=2, state=16).double()
    >>> x = torch.randn(4, 100, 1, dtype=torch.float64)
    >>> logits, state = model.prefill(x[:, :90])
    >>> for t in range(90, 100):
    ...     logits, state = model.step(x[:, t], state)
    >>> torch.allclose(logits, model(x))
    True
    >>> shorter = model(x, lengths=[100, 50, 50, 20])
    >>> torch.allclose(shorter[1:3], model(x[1:3, :50]))
    True
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        layer: str | Callable[[int], nn.Module] = "s4d",
        width: int = 64,
        depth: int = 4,
        state: int | None = None,
        dropout: float = 0.0,
        pooling: str = "mean",
        **options: Any,
    ):
        inputs, outputs = check_count(in_channels, "in_channels", 1), check_count(classes, "classes", 1)
        super().__init__(inputs, outputs, layer_maker(layer, state, options), width, depth, dropout)
        self.in_channels, self.classes = inputs, outputs
        self.pooling = check_option(pooling, POOLINGS, "pooling")

    def forward(self, x: torch.Tensor, lengths: Any = None) -> torch.Tensor:
        """Return the logits (batch, classes) of sequences x (batch, length, in_channels).

        ``lengths`` (batch,), a tensor or a list of integers, says how many samples of each sequence count; what is
        behind them must be finite, and changes nothing.
        """
        self.check_input(x, "x", "(batch, length, in_channels)")
        if lengths is None:
            h = self.features(x)
            return self.decoder(h.mean(1) if self.pooling == "mean" else h[:, -1])
        lengths = self._checked_lengths(lengths, x)
        counts = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        # a convolution by transforms spreads the rounding errors of large entries over all positions
        h = self.features(torch.where(counts[..., None], x, 0))
        return self.decoder(self._pooled(h, lengths, counts))

    def initial_state(self, batch: int) -> ClassifierState:
        """Return the state before any sample."""
        pooled = torch.zeros(batch, self.width, dtype=torch.float64, device=self.encoder.weight.device)
        return ClassifierState(self.initial_states(batch), pooled, 0)

    def step(self, x_t: torch.Tensor, state: ClassifierState) -> tuple[torch.Tensor, ClassifierState]:
        """Return the logits (batch, classes) of all samples up to x_t (batch, in_channels), and the state after it."""
        self.check_input(x_t, "x_t", "(batch, in_channels)")
        self._check_state(state, x_t.shape[0])
        h, blocks = self.next_features("step", x_t, state.blocks)
        return self._logits(h[:, None], blocks, state)

    def prefill(self, x: torch.Tensor, state: ClassifierState | None = None) -> tuple[torch.Tensor, ClassifierState]:
        """Return the logits of all samples up to the last one of x (batch, length, in_channels), and the state.

        All sequences of a batch are as long as x: ``lengths`` are for `forward`; prefill those of one length together.
        """
        self.check_input(x, "x", "(batch, length, in_channels)")
        state = self.initial_state(x.shape[0]) if state is None else state
        self._check_state(state, x.shape[0])
        h, blocks = self.next_features("prefill", x, state.blocks)
        return self._logits(h, blocks, state)

    def _logits(
        self, h: torch.Tensor, blocks: tuple[Any, ...], state: ClassifierState
    ) -> tuple[torch.Tensor, ClassifierState]:
        """Return the logits and the state after the features h (batch, samples, width)."""
        seen = state.seen + h.shape[1]
        if self.pooling == "mean":
            pooled = state.pooled + (h.sum(1, dtype=torch.float64) - h.shape[1] * state.pooled) / seen
        else:
            pooled = h[:, -1].double()
        return self.decoder(pooled.to(h.dtype)), ClassifierState(blocks, pooled, seen)

    def _pooled(self, h: torch.Tensor, lengths: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        if self.pooling == "last":
            return h[torch.arange(h.shape[0], device=h.device), lengths - 1]
        total = torch.where(counts[..., None], h, 0).sum(1, dtype=torch.float64)
        return (total / lengths[:, None]).to(h.dtype)

    def _checked_lengths(self, lengths: Any, x: torch.Tensor) -> torch.Tensor:
        if self.bidirectional:
            raise ValueError("lengths must be None where a layer is bidirectional: it would see the padding")
        try:
            lengths = torch.as_tensor(lengths, device=x.device)
        except (TypeError, ValueError):
            raise TypeError(f"lengths must be a tensor or a list of integers, got {lengths!r}") from None
        if lengths.numel() == 0:  # an empty list has no dtype
            lengths = lengths.long()
        if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
            raise TypeError(f"lengths must be integers, got dtype {lengths.dtype}")
        if tuple(lengths.shape) != (x.shape[0],):
            raise ValueError(f"lengths must have shape (batch,) = {(x.shape[0],)}, got {tuple(lengths.shape)}")
        if not torch.compiler.is_compiling():
            outside = lengths[(lengths < 1) | (lengths > x.shape[1])]
            if len(outside):
                raise ValueError(f"lengths must be in 1..length = 1..{x.shape[1]}, got {int(outside[0])}")
        return lengths.long()

    def _check_state(self, state: Any, batch: int) -> None:
        if not isinstance(state, ClassifierState):
            raise TypeError(f"state must be a ClassifierState, got {type(state).__name__}")
        self.check_states(state.blocks, "state.blocks")
        if not torch.compiler.is_compiling():  # a trace would hold for one number only
            check_count(state.seen, "state.seen", 0)
        check_state(state.pooled, (batch, self.width), torch.float64, "SequenceClassifier")
