"""A matrix that is read block by block of its rows."""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_BLOCK_ENTRIES = 1 << 22  # 32 MB of float64


class RowBlocks:
    """A matrix (m, n) given as blocks of its rows, which need not be in memory together.

    Parameters
    ----------
    blocks : iterable, callable or array_like of shape (m, n)
        An iterable of arrays (b_i, n), in order; a function without arguments that returns a fresh one for every
        reading (of files, of a database); or anything of shape (m, n) whose slices ``blocks[i:j, :]`` are arrays: a
        memory-mapped array, a data set of HDF5 or zarr. All blocks are of one library and dtype. An iterator
        (generator) can be read only once.
    shape : (int, int), optional
        Rows and columns. Without it the rows are counted during the first reading, which costs nothing.
    rows : int, optional
        Rows of a slice; by default about 32 MB of float64.

    Attributes
    ----------
    shape : (int, int) or None
        As given, or as the sliced array has it.
    one_shot : bool
        Whether the blocks can be read only once.

    Raises
    ------
    TypeError
        If ``blocks`` is none of the above.
    ValueError
        If ``shape`` is no pair of positive integers or ``rows`` no positive one, or an iterator is read twice.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import RowBlocks, truncated_svd
    >>> blocks = RowBlocks([np.eye(3), 2 * np.ones((2, 3))])
    >>> truncated_svd(blocks, 3).s
    array([5., 1., 1.])
    """

    def __init__(
        self,
        blocks: Any,
        shape: tuple[int, int] | None = None,
        *,
        rows: int | None = None,
    ) -> None:
        if callable(blocks):
            self._open: Callable[[], Iterable[Any]] = blocks
        elif len(getattr(blocks, "shape", None) or ()) == 2:
            shape = shape or tuple(blocks.shape)
            step = _positive(rows, "rows") if rows is not None else max(1, _BLOCK_ENTRIES // max(1, blocks.shape[1]))
            self._open = lambda: (blocks[i : i + step, :] for i in range(0, blocks.shape[0], step))
        elif hasattr(blocks, "__iter__") and not isinstance(blocks, (str, bytes, dict, set, frozenset)):
            self._open = lambda: blocks
        else:
            wanted = "an iterable of arrays (b, n), a function that returns one, or a matrix that can be sliced"
            raise TypeError(f"blocks must be {wanted}, got {type(blocks).__name__}")
        self.shape = None if shape is None else _checked_shape(shape)
        self.one_shot = not callable(blocks) and hasattr(blocks, "__next__")
        self._read = False

    def __iter__(self) -> Iterator[Any]:
        """Begin a reading."""
        if self.one_shot and self._read:
            raise ValueError("blocks must be readable again, got an iterator that has been read")
        self._read = True
        return iter(self._open())


def _positive(value: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a positive integer, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be a positive integer, got {number}")
    return number


def _checked_shape(shape: Any) -> tuple[int, int]:
    try:
        m, n = shape
    except (TypeError, ValueError):
        raise ValueError(f"shape must be a pair (m, n), got {shape!r}") from None
    return _positive(m, "shape"), _positive(n, "shape")
