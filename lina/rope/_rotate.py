"""Rotation of queries and keys by their positions."""

from typing import Any

import numpy as np

from lina._core.array import check_finite, dtype_name, is_lazy, open_door, real_dtype, to_numpy, where_is, widened_array
from lina._core.checks import check_option
from lina.rope._checks import quiet
from lina.rope._scaling import LAYOUTS


def rotate(x: Any, positions: Any, inv_freq: Any, *, layout: str = "half") -> Any:
    """Return each row of ``x``, rotated by its position.

    Pair i of the coordinates turns by the angle ``positions * inv_freq[i]``, so that the product of two rotated rows
    depends on the difference of their positions.

    Parameters
    ----------
    x : array, shape (..., L, d)
        Queries or keys, real or complex.
    positions : array of int or float, shape (L,) or any that broadcasts to (..., L)
        In the library of ``x`` or of numpy, a list or a number. Fractions and negative positions turn too.
    inv_freq : array, shape (r,)
        Frequencies in radians per position, r at most d / 2; the coordinates from 2 r on stay. In the library of ``x``
        or of numpy.
    layout : {"half", "interleaved"}
        Whether pair i is (i, i + r) or (2 i, 2 i + 1).

    Returns
    -------
    rotated : array, shape (..., L, d)

    Raises
    ------
    TypeError
        If arrays are of different libraries, or positions or frequencies are not real.
    ValueError
        If shapes do not fit, ``layout`` is unknown, or a position or frequency on the host is not finite. Those
        in other libraries are not looked at, so that a trace can run through.

    Notes
    -----
    Angles are float64, also for x in single precision: float32 angles are wrong by 4 % of a radian at a million
    positions. Only positions that jax traces without its x64 mode have float32 angles. An entry that is NaN or
    infinite spoils its own pair. L r sines and cosines and 6 flops a pair; memory of two of its outputs. Differentiable
    by ``x``, and by positions and frequencies that are arrays of a library with gradients.

    Source: J. Su et al., RoFormer, 2021, section 3.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.rope import rotate
    >>> rotate(np.array([[1.0, 0.0], [1.0, 0.0]]), [0, 1], [np.pi / 2]).round(12)
    array([[1., 0.],
           [0., 1.]])
    """
    xp, x = open_door(min_ndim=1, x=x)
    check_option(layout, LAYOUTS, "layout")
    cos, sin = _table(xp, x, positions, inv_freq)
    with quiet(x):
        return _turned(xp, x, cos, sin, layout)


def _turned(xp: Any, x: Any, cos: Any, sin: Any, layout: str) -> Any:
    """Turn the first 2 r coordinates of ``x`` by tables (..., r)."""
    r = cos.shape[-1]
    if layout == "half":
        first, second = x[..., :r], x[..., r : 2 * r]
        parts = [first * cos - second * sin, second * cos + first * sin]
    else:
        first, second = x[..., 0 : 2 * r : 2], x[..., 1 : 2 * r : 2]
        pairs = xp.stack([first * cos - second * sin, second * cos + first * sin], axis=-1)
        parts = [xp.reshape(pairs, (*x.shape[:-1], 2 * r))]
    rest = [x[..., 2 * r :]] if 2 * r < x.shape[-1] else []
    return xp.concat(parts + rest, axis=-1) if len(parts) + len(rest) > 1 else parts[0]


def _table(xp: Any, x: Any, positions: Any, inv_freq: Any) -> tuple[Any, Any]:
    """Return cos and sin of the angles, in the real dtype of ``x``; the angles are float64 where there is such."""
    where, place = _native(xp, x, positions, "positions")
    rates, place_of_rates = _native(xp, x, inv_freq, "inv_freq")
    if rates.ndim != 1 or 2 * rates.shape[0] > x.shape[-1]:
        found = f"{tuple(rates.shape)} for x of shape {tuple(x.shape)}"
        raise ValueError(f"inv_freq must have one axis of at most d / 2 entries, got shape {found}")
    _check_broadcast(where, x)
    if place is np and place_of_rates is np:
        values = _on_host(where[..., None] * rates, single=real_dtype(xp, x) == xp.float32)
        cos, sin = (xp.asarray(v, device=where_is(x)) for v in values)
        return cos, sin
    where, rates = (_moved(xp, x, v) for v in (where, rates))
    angles = where[..., None] * rates
    cos, sin = (xp.astype(f(angles), real_dtype(xp, x), copy=False) for f in (xp.cos, xp.sin))
    return cos, sin


def _on_host(angles: np.ndarray, *, single: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return cos and sin of float64 angles, in single precision where that is enough."""
    if not single:
        return np.cos(angles), np.sin(angles)
    # Those of float64 take numpy 7 times as long: reduce to one turn in float64, and correct for what float32 leaves.
    angles = angles - np.round(angles / (2 * np.pi)) * (2 * np.pi)
    near = angles.astype(np.float32)
    rest = (angles - near).astype(np.float32)
    cos, sin = np.cos(near), np.sin(near)
    return cos - rest * sin, sin + rest * cos


def _native(xp: Any, x: Any, values: Any, name: str) -> tuple[Any, Any]:
    """Return real values in double precision, and where they are computed: numpy, or the library of ``x``."""
    foreign = isinstance(values, (int, float, list, tuple, range, np.ndarray, np.generic))
    named: dict[str, Any] = {name: np.asarray(values) if isinstance(values, range) else values}
    found = open_door(**named)[1] if foreign else open_door(x=x, **named)[2]
    if "complex" in dtype_name(found):
        raise TypeError(f"{name} must be real, got dtype {dtype_name(found)}")
    if foreign:
        check_finite(np, found, name)
    wide = found.astype(np.float64) if foreign else widened_array(xp, found)
    if foreign or (dtype_name(wide) != "float64" and not is_lazy(wide)):
        return to_numpy(wide).astype(np.float64), np
    return wide, xp


def _moved(xp: Any, x: Any, values: Any) -> Any:
    """Return values of the host in double precision where the library of ``x`` has it, others as they are."""
    if not isinstance(values, np.ndarray) or xp.__name__.endswith("numpy"):
        return values
    return xp.asarray(values, device=where_is(x))


def _check_broadcast(positions: Any, x: Any) -> None:
    wanted, found = tuple(x.shape[:-1]), tuple(positions.shape)
    fits = len(found) <= len(wanted) and all(
        a in (1, b) for a, b in zip(reversed(found), reversed(wanted), strict=False)
    )
    if not fits:
        raise ValueError(
            f"positions must broadcast to the shape {wanted} of x without its last axis, got shape {found}"
        )
