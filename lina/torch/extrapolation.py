"""The loss of one and the same segment, with ever more text before it."""

from __future__ import annotations  # as text: the documentation is built without torch

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from lina._core.checks import check_count


@dataclass(frozen=True, eq=False)
class ExtrapolationTable:
    """Losses of one segment of each text under contexts of growing length, as `evaluate_extrapolation` returns them.

    Attributes
    ----------
    contexts : tuple of int
        Numbers of tokens that the model was given, the segment included; ascending.
    segment : int
        Number of tokens that were scored, the last ones.
    repeated : bool
        Whether the context was the last tokens over and over.
    losses : Tensor, shape (texts, contexts), float64
        Mean over the segment of -ln p(token), in nats.
    accuracies : Tensor, shape (texts, contexts), float64
        Share of tokens of the segment that were the likeliest ones.

    Notes
    -----
    Printed, it is a table with a row for each context.
    """

    contexts: tuple[int, ...]
    segment: int
    repeated: bool
    losses: torch.Tensor
    accuracies: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """Mean loss (contexts,) over the texts."""
        return self.losses.mean(0)

    @property
    def standard_error(self) -> torch.Tensor:
        """Standard error (contexts,) of the mean loss: how much other texts of the kind would change it."""
        return _standard_error(self.losses)

    @property
    def accuracy(self) -> torch.Tensor:
        """Mean accuracy (contexts,) over the texts."""
        return self.accuracies.mean(0)

    def rise(self, other: ExtrapolationTable | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return by how much the loss exceeds another one, and its standard error, both (contexts,), paired by texts.

        Parameters
        ----------
        other : ExtrapolationTable, optional
            Of the same texts, segment and contexts, repeated or not as this one; unless given, the loss in the smallest
            context.

        Raises
        ------
        TypeError, ValueError
            If ``other`` is no table, or not one of as many texts with the same segment, contexts and ``repeated``.

        Notes
        -----
        Texts differ by more than methods do: the difference within each text has the smaller error.
        """
        if other is None:
            excess = self.losses - self.losses[:, :1]
        else:
            self._check_paired(other)
            excess = self.losses - other.losses
        return excess.mean(0), _standard_error(excess)

    def _check_paired(self, other: Any) -> None:
        if not isinstance(other, ExtrapolationTable):
            raise TypeError(f"other must be an ExtrapolationTable, got {type(other).__name__}")
        for name in ("contexts", "segment", "repeated"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"other must have the {name} {getattr(self, name)}, got {getattr(other, name)}")
        if self.losses.shape != other.losses.shape:
            raise ValueError(f"other must be of the same {len(self.losses)} texts, got {len(other.losses)}")

    def __str__(self) -> str:
        """Return the table."""
        means, errors = self.rise()
        columns = (self.contexts, self.mean, self.standard_error, means, errors, self.accuracy)
        kind = "repeated " if self.repeated else ""
        lines = [f"last {self.segment} tokens of {len(self.losses)} {kind}texts, nats"]
        lines.append(f"{'context':>8} {'loss':>8} {'s.e.':>7} {'rise':>8} {'s.e.':>7} {'accuracy':>9}")
        for c, *numbers in zip(*columns, strict=True):
            loss, error, mean, mean_error, accuracy = map(float, numbers)
            lines.append(f"{c:8d} {loss:8.4f} {error:7.4f} {mean:+8.4f} {mean_error:7.4f} {accuracy:9.2%}")
        return "\n".join(lines)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Return axes of matplotlib with the mean loss over the context, and bars of the standard error.

        Parameters
        ----------
        ax : Axes, optional
            New ones unless given.
        **options
            Of ``matplotlib.axes.Axes.errorbar``, for example ``label``.

        Raises
        ------
        ModuleNotFoundError
            If no axes are given and matplotlib is not installed.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots()
        ax.errorbar(self.contexts, self.mean.tolist(), self.standard_error.tolist(), **({"marker": "o"} | options))
        ax.set_xscale("log", base=2)
        ax.set_xlabel("context, tokens")
        ax.set_ylabel(f"loss of the last {self.segment} tokens, nats")
        return ax


def _standard_error(values: torch.Tensor) -> torch.Tensor:
    """Return that of the mean over the first axis; of one text nothing is known."""
    if len(values) == 1:
        return torch.full_like(values[0], math.nan)
    return values.std(0) / math.sqrt(len(values))


def evaluate_extrapolation(
    model: Callable[[torch.Tensor], torch.Tensor],
    texts: Any,
    contexts: Sequence[int],
    segment: int,
    *,
    repeated: bool = False,
    batch: int = 4,
) -> ExtrapolationTable:
    """Return the loss of the last tokens of texts, the same ones under every length of the context before them.

    A mean over whole sequences hides what a model does beyond its trained length; segments that differ cannot be
    compared. So a text is cut at its beginning, never at its end, and methods are compared text by text.

    Parameters
    ----------
    model : callable
        From tokens (b, n), int64, to logits (b, n, vocabulary) of the token after each of them, or those of the last
        segment + 1 alone, (b, segment + 1, vocabulary): a model of transformers is
        ``lambda t: model(t, logits_to_keep=segment + 1).logits``, whose logits of all tokens would seldom fit. A module
        should be in evaluation mode, and tokens go to the device that ``texts`` are on.
    texts : Tensor of integers, shape (texts, length), or sequence of such 1-d tensors
        Each at least as long as the largest context: its last tokens are used.
    contexts : sequence of int
        Numbers of tokens that the model is given, ascending; the first should be the trained length.
    segment : int
        How many of the last tokens are scored: fewer than the smallest context, whose first token is not predicted.
    repeated : bool
        Whether a context is the last ``contexts[0]`` tokens of the text over and over, cut at its beginning: then all
        contexts beyond the first hold the answer, and a model that can look back that far gets better.
    batch : int
        How many texts the model is given at once.

    Returns
    -------
    ExtrapolationTable
        Whose losses are in float64, computed from the logits in float32 or better.

    Raises
    ------
    TypeError
        If a number is no int, ``texts`` are no integers, or the model returns no tensor of real numbers.
    ValueError
        If a text is shorter than the largest context, contexts do not ascend, the segment is not smaller than the
        first, a token is none of the vocabulary, or the model returns another shape, or logits of the segment that are
        NaN or infinite; -inf may be what is no token of it.

    Notes
    -----
    One call of the model for each batch and context: sum(contexts) tokens a text. The gradient is not recorded.
    A flat loss says that positions beyond the trained length do no harm; only a falling one says that they are used.
    Source: J. Su, scientific spaces 9948 (the segment, the repeated text).

    Examples
    --------
    >>> import torch
    >>> from functools import partial
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import RotaryDecoder, evaluate_extrapolation
    >>> model = RotaryDecoder(RotaryScaling("none", head_dim=16, original_length=32), width=32, depth=1)
    >>> texts = torch.randint(256, (5, 128))
    >>> pi = partial(model, scaling=RotaryScaling("linear", head_dim=16, original_length=32, factor=4))
    >>> table = evaluate_extrapolation(pi, texts, contexts=(32, 64, 128), segment=16)
    >>> table.losses.shape, table.mean.shape
    (torch.Size([5, 3]), torch.Size([3]))
    """
    lengths, segment = _check_contexts(contexts, segment)
    batch = check_count(batch, "batch", 1)
    if not callable(model):
        raise TypeError(f"model must be callable as model(tokens), got {type(model).__name__}")
    tokens = _check_texts(texts, lengths[-1])
    batch = min(batch, len(tokens))
    losses, accuracies = [], []
    for length in lengths:
        seen = _tiled(tokens, lengths[0], length) if repeated else tokens[:, -length:]
        with torch.no_grad():
            scores = [_score(model, part, segment) for part in seen.split(batch)]
        losses.append(torch.cat([loss for loss, _ in scores]))
        accuracies.append(torch.cat([accuracy for _, accuracy in scores]))
    return ExtrapolationTable(lengths, segment, bool(repeated), torch.stack(losses, 1), torch.stack(accuracies, 1))


def _tiled(tokens: torch.Tensor, period: int, length: int) -> torch.Tensor:
    """Return the last ``period`` tokens over and over, ``length`` of them that end where they end."""
    return tokens[:, -period:].repeat(1, -(-length // period))[:, -length:]


def _score(model: Callable[..., Any], tokens: torch.Tensor, segment: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return loss and accuracy (b,) of the last tokens."""
    logits = _check_logits(model(tokens), tokens, segment)[:, -segment - 1 : -1]
    wanted = tokens[:, -segment:]
    largest = int(tokens.max())
    if int(tokens.min()) < 0 or largest >= logits.shape[-1]:
        found = f"{int(tokens.min())} to {largest}"
        raise ValueError(f"texts must hold tokens from 0 to {logits.shape[-1] - 1}, as the logits have, got {found}")
    if not bool((logits < math.inf).all()) or bool(torch.isneginf(logits.gather(-1, wanted[..., None])).any()):
        raise ValueError(
            "model must return finite logits for the segment, -inf only for what is none of its tokens, found NaN, inf "
            "or -inf for one"
        )
    # rounded to no less than float32, and summed in float64
    sure = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    loss = -sure.gather(-1, wanted[..., None])[..., 0].double().mean(-1)
    return loss.cpu(), (logits.argmax(-1) == wanted).double().mean(-1).cpu()


def _check_logits(logits: Any, tokens: torch.Tensor, segment: int) -> torch.Tensor:
    b, n = tokens.shape
    wanted = f"({b}, {n}, vocabulary) or ({b}, {segment + 1}, vocabulary)"
    if not isinstance(logits, torch.Tensor) or not logits.is_floating_point():
        found = logits.dtype if isinstance(logits, torch.Tensor) else type(logits).__name__
        hint = ", whose attribute logits is wanted: lambda t: model(t).logits" if hasattr(logits, "logits") else ""
        raise TypeError(f"model must return a real floating-point tensor of logits {wanted}, got {found}{hint}")
    if logits.ndim != 3 or logits.shape[0] != b or logits.shape[1] not in (n, segment + 1):
        raise ValueError(
            f"model must return logits {wanted} for tokens {tuple(tokens.shape)}, got shape {tuple(logits.shape)}"
        )
    return logits


def _check_contexts(contexts: Any, segment: Any) -> tuple[tuple[int, ...], int]:
    if not hasattr(contexts, "__len__") or isinstance(contexts, str) or len(contexts) == 0:
        raise ValueError(f"contexts must be a sequence of at least one int, got {contexts!r}")
    lengths = tuple(check_count(each, f"contexts[{i}]", 2) for i, each in enumerate(contexts))
    if any(a >= b for a, b in pairwise(lengths)):
        raise ValueError(f"contexts must ascend, got {lengths}")
    if check_count(segment, "segment", 1) >= lengths[0]:
        raise ValueError(f"segment must be smaller than the smallest context, {lengths[0]}, got {segment}")
    return lengths, segment


def _check_texts(texts: Any, longest: int) -> torch.Tensor:
    """Return the last tokens of all texts (texts, longest), int64."""
    if not hasattr(texts, "__len__") or isinstance(texts, (str, bytes)) or len(texts) == 0:
        raise ValueError("texts must be a tensor (texts, length) or a sequence of 1-d tensors, at least one of them")
    for i, text in enumerate(texts):
        if not isinstance(text, torch.Tensor) or text.is_floating_point() or text.is_complex():
            found = text.dtype if isinstance(text, torch.Tensor) else type(text).__name__
            raise TypeError(f"texts[{i}] must be a tensor of integers, got {found}")
        if text.ndim != 1 or text.shape[0] < longest:
            raise ValueError(
                f"texts[{i}] must be 1-d with at least {longest} tokens, the largest context, got {tuple(text.shape)}"
            )
    return torch.stack([text[-longest:] for text in texts]).long()
