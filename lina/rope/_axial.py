"""Rotary positions with several axes, as image transformers have them: a share of each head for each axis."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lina._core.array import host_array, open_door
from lina.rope._checks import check_count
from lina.rope._rotate import rotate
from lina.rope._scaling import RotaryScaling


def grid_positions(*shape: int) -> np.ndarray:
    """Return the positions of the cells of a grid in row-major order.

    Parameters
    ----------
    *shape : int
        Lengths of the axes, for example height and width.

    Returns
    -------
    positions : numpy array, shape (product of the lengths, number of axes), int64

    Raises
    ------
    TypeError, ValueError
        If a length is no positive int, or there is none.

    Examples
    --------
    >>> from lina.rope import grid_positions
    >>> grid_positions(2, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    lengths = [check_count(n, "shape") for n in shape]
    if not lengths:
        raise ValueError("shape must have at least one length, got none")
    check_count(len(lengths) * math.prod(lengths), "product of shape", most=2**36)
    axes = np.meshgrid(*[np.arange(n, dtype=np.int64) for n in lengths], indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=-1)


def rotate_axial(
    x: Any, positions: Any, scalings: Sequence[RotaryScaling], *, lengths: Sequence[int | None] | None = None
) -> Any:
    """Return each row of ``x``, of which each axis turns its share of the coordinates.

    A model that was trained on grids of 32 x 32 reads one of 64 x 32 with the factor 2 on its first axis: each axis
    has its own scaling.

    Parameters
    ----------
    x : array, shape (..., L, d)
        Queries or keys.
    positions : array of int or float, shape (L, axes) or any that broadcasts to (..., L, axes)
        As in `rotate`, one for each axis, for example `grid_positions`.
    scalings : sequence of RotaryScaling
        One of a kind of frequencies for each axis, in the order in which their shares ``head_dim`` follow in a row.
    lengths : sequence of int or None, optional
        Number of positions along each axis, for kinds and schedules that ask for it; only for the whole grid, not for
        each row.

    Returns
    -------
    rotated : array, shape (..., L, d)

    Raises
    ------
    TypeError
        If arrays are of different libraries, positions are not real, or ``scalings`` or ``lengths`` no sequences.
    ValueError
        If the shares do not add up to d, the number of axes differs, or a scaling changes positions or goes by rows.

    Notes
    -----
    The cost is that of `rotate`. Logit scales are not applied. The product of two rotated rows depends on the
    differences of their positions along each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.rope import RotaryScaling, grid_positions, rotate_axial
    >>> rows = RotaryScaling("linear", head_dim=4, original_length=32, factor=2)
    >>> columns = RotaryScaling("none", head_dim=4, original_length=32)
    >>> rotate_axial(np.ones((64 * 32, 8)), grid_positions(64, 32), [rows, columns]).shape
    (2048, 8)
    """
    _, x = open_door(min_ndim=1, x=x)
    axes = _check_scalings(scalings, x)
    seen = [None] * len(axes) if lengths is None else _as_list(lengths, "lengths")
    seen = [None if length is None else check_count(length, "lengths") for length in seen]
    if len(seen) != len(axes):
        raise ValueError(f"lengths must have one entry for each of {len(axes)} axes, got {len(seen)}")
    where = positions if hasattr(positions, "shape") else host_array(positions, "positions")
    if where.ndim == 0 or where.shape[-1] != len(axes):
        raise ValueError(f"positions must have {len(axes)} entries on the last axis, got shape {tuple(where.shape)}")
    parts, first = [], 0
    for k, (scaling, length) in enumerate(zip(axes, seen, strict=True)):
        share = x[..., first : first + scaling.head_dim]
        parts.append(rotate(share, where[..., k], scaling.inv_freq(length), layout=scaling.layout))
        first += scaling.head_dim
    return open_door(x=parts[0])[0].concat(parts, axis=-1)


def _as_list(values: Any, name: str) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise TypeError(f"{name} must be a sequence, one for each axis, got {type(values).__name__}") from None


def _check_scalings(scalings: Any, x: Any) -> list[RotaryScaling]:
    axes = _as_list(scalings, "scalings")
    for scaling in axes:
        if not isinstance(scaling, RotaryScaling):
            raise TypeError(f"scalings must be of RotaryScaling, got {type(scaling).__name__}")
        if scaling.changes_positions or scaling.schedule == "row_bucket":
            found = f"kind {scaling.kind!r} with schedule {scaling.schedule!r}"
            raise ValueError(f"scalings must be of frequencies that all rows share, got {found}")
    if not axes or sum(s.head_dim for s in axes) != x.shape[-1]:
        found = f"head_dim {[s.head_dim for s in axes]} for x of shape {tuple(x.shape)}"
        raise ValueError(f"scalings must have shares head_dim that add up to d, got {found}")
    return axes
