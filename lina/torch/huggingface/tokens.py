"""Which positions of a batch are tokens and not padding, and attention among those only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

import torch

# (query, key, value, name of the group or None) of the tokens of some sequences -> output
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, "tuple[int, int, int] | None"], torch.Tensor]


@dataclass(frozen=True)
class Group:
    """Sequences first to last - 1, whose tokens are the same of the keys and of the queries.

    Tokens that follow each other are a slice, so that all of a group are views.
    """

    first: int
    last: int
    keys: slice | torch.Tensor
    queries: slice | torch.Tensor

    @property
    def name(self) -> tuple[int, int, int] | None:
        """What stays the same while tokens are appended; None where they have gaps."""
        return (self.first, self.last, self.keys.start) if isinstance(self.keys, slice) else None


@dataclass
class Tokens:
    """What a two-dimensional mask says about one call of a model.

    ``mask`` (batch, keys) is on the CPU, True for tokens, and None where all are; the queries are those of the last
    ``queries`` positions.
    """

    batch: int
    queries: int
    keys: int
    mask: torch.Tensor | None = None
    groups: list[Group] = field(init=False)
    _checked: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Find the groups, once for all layers."""
        if self.mask is not None and bool(self.mask.all()):
            self.mask = None
        self.groups = [self._whole()] if self.mask is None else list(_groups(self.mask, self.queries))

    def _whole(self) -> Group:
        return Group(0, self.batch, slice(0, self.keys), slice(0, self.queries))

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Return attention among tokens, zero where the query is padding."""
        if self.mask is None:
            return attend(q, k, v, self.groups[0].name)
        out = torch.zeros_like(q)
        for group in self.groups:
            rows = slice(group.first, group.last)
            keys, values = (x[rows, :, group.keys] for x in (k, v))
            out[rows, :, group.queries] = attend(q[rows, :, group.queries], keys, values, group.name)
        return out

    def check_positions(self, position_ids: torch.Tensor | None) -> None:
        """Raise ValueError unless positions count the tokens of each sequence, from its first token or its first key.

        Only the first layer of a call looks: they all have the same.
        """
        if self._checked:
            return
        self._checked = True
        if position_ids is None:
            return
        first = self.keys - self.queries
        if self.mask is None:
            wrong = position_ids != torch.arange(first, self.keys, device=position_ids.device)
        else:
            count = self.mask.long().cumsum(-1) - 1
            begin = self.mask.int().argmax(-1, keepdim=True)
            from_token = position_ids.cpu() - count[:, first:]
            real = self.mask[:, first:]
            wrong = ((from_token != 0) & real).any(-1) & ((from_token != begin) & real).any(-1)
        if bool(wrong.any()):
            raise ValueError(
                "position_ids must count the tokens of each sequence, those in the cache before, from 0 at its first "
                f"token or its first place, got {position_ids.tolist() if position_ids.numel() <= 32 else 'others'}: "
                "packed sequences and chosen positions have no place in an extended model; where padding lies between "
                "tokens of a sequence, pass position_ids = attention_mask.cumsum(-1) - 1 of those that are new"
            )


def _groups(mask: torch.Tensor, queries: int) -> list[Group]:
    """Return the groups of a mask (batch, keys); neighbours with the same tokens share one."""
    before = mask.shape[1] - queries
    count, begin = mask.sum(-1).tolist(), mask.int().argmax(-1).tolist()
    end = (mask.shape[1] - mask.flip(-1).int().argmax(-1)).tolist()
    found = []
    for key, members in groupby(range(len(mask)), key=lambda b: _span(b, count[b], begin[b], end[b])):
        rows = list(members)
        if len(key) == 2:
            start, stop = key
            keys: slice | torch.Tensor = slice(start, stop)
            asked: slice | torch.Tensor = slice(max(start - before, 0), max(stop - before, 0))
        else:
            keys = mask[rows[0]].nonzero()[:, 0]
            asked = keys[keys >= before] - before
        if (asked.stop > asked.start) if isinstance(asked, slice) else len(asked) > 0:
            found.append(Group(rows[0], rows[-1] + 1, keys, asked))
    return found


def _span(b: int, count: int, begin: int, end: int) -> tuple[int, ...]:
    """Return the first and last token, or what no other sequence has where there are gaps between."""
    if count == 0:
        return (0, 0)
    return (begin, end) if end - begin == count else (begin, end, b)
