"""A cache of unrotated keys and values, with the rotated keys that single queries ask for."""

from typing import Any

import torch

from lina.torch.attention.checks import check_new, check_scaling, check_start
from lina.torch.attention.plans import Positions
from lina.torch.attention.rotation import rotate, table
from lina.torch.layers.checks import check_count


class Run:
    """Consecutive positions of a sequence in a buffer that grows at the end and may lose its beginning."""

    def __init__(self) -> None:
        self.first = 0
        self.stop = 0
        self._data: torch.Tensor | None = None

    def append(self, x: torch.Tensor, keep_from: int = 0) -> None:
        """Add positions (b, h, n, d); those before ``keep_from`` may go. Each is moved a bounded number of times."""
        with torch.inference_mode(False), torch.no_grad():  # or the buffer could not be filled outside of that mode
            self._reserve(x, keep_from)
            assert self._data is not None
            begin = self.stop - self.first
            self._data[..., begin : begin + x.shape[-2], :] = x
            self.stop += x.shape[-2]

    def _reserve(self, x: torch.Tensor, keep_from: int) -> None:
        """Make room for more positions, as many again as there are then."""
        end = self.stop + x.shape[-2]
        if self._data is not None and end - self.first <= self._data.shape[-2]:
            return
        first = min(max(self.first, keep_from), self.stop)
        data = x.new_empty((*x.shape[:2], max(2 * (end - first), 64), x.shape[-1]))
        if self._data is not None:
            data[..., : self.stop - first, :] = self.of(first, self.stop)
        self._data, self.first = data, first

    def crop(self, stop: int) -> None:
        """Forget the positions from ``stop`` on; the next ones overwrite them."""
        self.stop = min(self.stop, stop)
        self.first = min(self.first, self.stop)

    def restart(self, at: int) -> None:
        """Forget all positions and go on at another one."""
        self.first = self.stop = at

    def of(self, first: int, stop: int) -> torch.Tensor:
        """Return a view of the positions first to stop - 1."""
        assert self._data is not None
        return self._data[..., first - self.first : stop - self.first, :]


class RotatedRun:
    """Keys rotated once each, when they are first asked for."""

    def __init__(self, inv_freq: torch.Tensor, positions: Positions, layout: str):
        self.inv_freq = inv_freq
        self._positions = positions
        self._layout = layout
        self._run = Run()

    def of(self, keys: Run, first: int, stop: int) -> torch.Tensor:
        """Return the keys first to stop - 1, rotated; what lies before ``first`` is not asked for again."""
        run = self._run
        if not run.first <= first < run.stop:  # behind what there is, or before it, as after a crop
            run.restart(first)
        if run.stop < stop:
            new = keys.of(run.stop, stop)
            at = self._positions(torch.arange(run.stop, stop, dtype=torch.float64, device="cpu"))
            run.append(rotate(new, table(at, self.inv_freq, None, new), self._layout), first)
        return run.of(first, stop)

    def crop(self, stop: int) -> None:
        """Forget the positions from ``stop`` on."""
        self._run.crop(stop)


class RotaryCache:
    """Keys and values of the positions so far, the keys not rotated, for `decode_attention`.

    What a scaling does to a key may change with the length: only unrotated keys serve every row. Those that a query
    needs rotated are kept beside them: the last ``window`` of "rerope", all keys of most kinds.

    Parameters
    ----------
    scaling : RotaryScaling
        Of `lina.rope`.
    start : int
        Position of the first key.
    length : int, optional
        The length that the frequencies are for, of the kinds "dynamic" and "longrope" and in the schedule
        "local_static". Without it that is the present length, and whenever that changes frequencies, all keys are
        rotated again.

    Attributes
    ----------
    scaling, start, length
        As given.
    keys, values : Tensor, shape (batch, key_heads, len(cache), head_dim)
        Views of what was appended, for `extrapolated_attention`: clone what is to outlast `crop`, after which the next
        positions take the places of those that were rejected.

    Raises
    ------
    TypeError, ValueError
        If ``scaling`` is none, or ``start`` or ``length`` is no such int.

    Notes
    -----
    Nothing is recorded for gradients. The buffers hold up to twice the greatest length since the cache was last empty.

    Examples
    --------
    >>> import torch
    >>> from lina.rope import RotaryScaling
    >>> from lina.torch import RotaryCache, decode_attention
    >>> cache = RotaryCache(RotaryScaling("rerope", head_dim=16, original_length=64, window=32))
    >>> cache.append(torch.randn(1, 2, 100, 16), torch.randn(1, 2, 100, 16))
    >>> decode_attention(torch.randn(1, 4, 1, 16), cache).shape
    torch.Size([1, 4, 1, 16])
    """

    def __init__(self, scaling: Any, *, start: int = 0, length: int | None = None):
        check_scaling(scaling)
        self.scaling = scaling
        self.start, self.length = check_start(start, length)
        self._clear()

    def __len__(self) -> int:
        """Return the number of positions."""
        return self._keys.stop

    @property
    def keys(self) -> torch.Tensor:
        """The keys as they were given."""
        return self._filled(self._keys)

    @property
    def values(self) -> torch.Tensor:
        """The values."""
        return self._filled(self._values)

    def _filled(self, run: Run) -> torch.Tensor:
        if run.stop == 0:
            raise ValueError("cache must hold at least one position: append keys and values before asking for them")
        return run.of(0, run.stop)

    def append(self, k: torch.Tensor, v: torch.Tensor) -> None:
        """Add the next keys, not rotated, and values (batch, key_heads, n, head_dim), any number n of them.

        Raises
        ------
        TypeError, ValueError
            If they are no tensors of one shape, or other than those before in batch, heads, dtype or device.
        """
        check_new(k, v, self.scaling.head_dim, self.keys if len(self) else None)
        if k.shape[-2]:
            self._keys.append(k.detach())
            self._values.append(v.detach())

    def reorder(self, index: torch.Tensor) -> None:
        """Take the sequences at an index (new batch,), as a search among beams does.

        Raises
        ------
        TypeError, IndexError
            If ``index`` is no tensor of integers with one axis, or one of them is no sequence.
        """
        if not isinstance(index, torch.Tensor) or index.dtype not in (torch.int32, torch.int64) or index.ndim != 1:
            found = f"{index.dtype} of shape {tuple(index.shape)}" if isinstance(index, torch.Tensor) else type(index)
            raise TypeError(f"index must be a tensor of integers of shape (new batch,), got {found}")
        parts = [x.index_select(0, index.to(x.device)) for x in (self.keys, self.values)]
        self._clear()
        self.append(*parts)

    def crop(self, length: int) -> None:
        """Keep the first positions only, as after tokens that were rejected. Nothing is copied.

        Raises
        ------
        TypeError, ValueError
            If ``length`` is no int between 0 and the length of the cache.
        """
        length = check_count(length, "length", 0)
        if length > len(self):
            raise ValueError(f"length must be at most that of the cache, {len(self)}, got {length}")
        if length == 0:
            self._clear()
        self._keys.crop(length)
        self._values.crop(length)
        for rotated in self._rotated.values():
            rotated.crop(length)

    def _clear(self) -> None:
        """Begin anew, where the next sequences may be others in batch, heads, dtype and device."""
        self._keys, self._values = Run(), Run()
        self._rotated: dict[str, RotatedRun] = {}

    def rotated(self, name: str, inv_freq: torch.Tensor, positions: Positions, first: int, stop: int) -> torch.Tensor:
        """Return keys rotated to positions; ``name`` says which, and other frequencies begin again."""
        kept = self._rotated.get(name)
        if kept is None or not torch.equal(kept.inv_freq, inv_freq):
            kept = self._rotated[name] = RotatedRun(inv_freq, positions, self.scaling.layout)
        return kept.of(self._keys, first, stop)
