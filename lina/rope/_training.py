"""Helpers for training a model that extrapolates: random positions, inverse leaky maps, hybrids, normalised keys."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.array import host_array, open_door, real_dtype
from lina._core.checks import check_option
from lina._core.random import generator
from lina.rope._checks import check_above, check_count, quiet
from lina.rope._scaling import RotaryScaling

_MOST_LAYERS = 2**20
_MOST_NUMBERS = 2**36  # half a terabyte


def random_positions(
    length: int, max_length: int, *, batch: int | tuple[int, ...] = (), method: str = "subset", rng: Any = None
) -> np.ndarray:
    """Return sorted random positions, by which a model trained on short texts meets those of long ones.

    Parameters
    ----------
    length : int
        Number N of positions.
    max_length : int
        Length L of the texts to be met, at least N.
    batch : int or tuple of int
        Leading axes: independent draws.
    method : {"subset", "stretched"}
        N of 0, ..., L - 1 without replacement, sorted; or equally spaced reals from 0 to a random end, which is
        exponential with the mean N - 1, so that training is as dense as it was on average, cut at L - 1.
    rng : int, numpy.random.Generator or None
        Seed or source of the draws.

    Returns
    -------
    positions : numpy array, shape (..., N)
        int64 for "subset", float64 for "stretched".

    Raises
    ------
    TypeError
        If a number is no int.
    ValueError
        If ``length`` is not positive or above ``max_length``, or the method is unknown.

    Notes
    -----
    O(L) a row for "subset". Sources: A. Ruoss et al., 2023; J. Su, scientific spaces 9444.

    Examples
    --------
    >>> from lina.rope import random_positions
    >>> positions = random_positions(4, 64, batch=(2,), rng=0)
    >>> positions.shape, bool((positions[:, 1:] > positions[:, :-1]).all())
    ((2, 4), True)
    """
    n, longest = check_count(length, "length"), check_count(max_length, "max_length")
    check_option(method, ("subset", "stretched"), "method")
    if n > longest:
        raise ValueError(f"length must be at most max_length = {longest}, got {n}")
    shape = tuple(check_count(size, "batch", 0) for size in np.atleast_1d(host_array(batch, "batch")))
    check_count(n * math.prod(shape), "length times batch", 0, _MOST_NUMBERS)
    draws = generator(rng)
    if method == "stretched":
        ends = np.minimum(draws.exponential(max(n - 1, 0), size=shape), longest - 1)
        return ends[..., None] * np.linspace(0, 1, n)
    rows = [np.sort(draws.choice(longest, n, replace=False)) for _ in range(int(np.prod(shape)))]
    return np.reshape(np.asarray(rows, dtype=np.int64), (*shape, n))


def inverse_leaky_rerope(
    train_length: int, test_length: int, *, head_dim: int, base: float = 1e4, scale_base: bool = False, **options: Any
) -> tuple[RotaryScaling, RotaryScaling]:
    """Return the scalings of inverse leaky ReRoPE: to train with, and to read with.

    In training distances beyond w = N / 4 are stretched, by 2 L / N, so that plain rotary positions meet nothing new at
    the length L, and decoding costs what it always did.

    Parameters
    ----------
    train_length, test_length : int
        Lengths N and L of the texts in training, and of those to be read, L at least N.
    head_dim : int
        Coordinates of a head.
    base : float
        Base of the frequencies in training.
    scale_base : bool
        Whether the base of both is larger by L / N.
    **options
        ``rotary_dim``, ``layout`` and ``logit_scale`` of both, as in `RotaryScaling`.

    Returns
    -------
    training, reading : RotaryScaling
        Of the kinds "leaky_rerope" with the factor N / (2 L), and "none".

    Raises
    ------
    TypeError, ValueError
        As `RotaryScaling`; if ``train_length`` is below 4 or ``test_length`` below it.

    Notes
    -----
    Source: J. Su, scientific spaces 9728.

    Examples
    --------
    >>> from lina.rope import inverse_leaky_rerope
    >>> training, reading = inverse_leaky_rerope(512, 4096, head_dim=64)
    >>> training.window, training.factor, reading.kind
    (128, 0.0625, 'none')
    """
    n = check_count(train_length, "train_length", 4)
    length = check_count(test_length, "test_length", n)
    base = check_above(base, "base", 1) * (length / n if scale_base else 1)
    common = {"head_dim": head_dim, "base": base, **options}
    training = RotaryScaling("leaky_rerope", original_length=n, window=n // 4, factor=n / (2 * length), **common)
    return training, RotaryScaling("none", original_length=length, **common)


@dataclass(frozen=True)
class AttentionPlan:
    """What the attention of one layer does, in training and when it reads longer texts.

    Attributes
    ----------
    attention : {"window", "full"}
        Which keys are seen.
    window : int or None
        Number of keys that a query sees, its own included; None for "full".
    rotary : bool
        Whether queries and keys are rotated.
    logit_scale : None or "log_n"
        As in `RotaryScaling`.
    reads_with : {"window", "none", "rerope"}
        Kind of `RotaryScaling` for longer texts; "none" without rotation changes nothing.
    """

    attention: str
    window: int | None
    rotary: bool
    logit_scale: str | None
    reads_with: str


def hybrid_layers(
    num_layers: int, train_length: int, *, method: str = "hwfa2", full_layers: int = 2, window: int | None = None
) -> tuple[AttentionPlan, ...]:
    """Return the plan of each layer of a model of window attention with few layers that see everything.

    Parameters
    ----------
    num_layers : int
        Number of layers D, at least 2.
    train_length : int
        Trained length N.
    method : {"hwfa2", "hwfa"}
        "hwfa": the last layer sees everything, without positions and with the logit scale log n; the others are rotary
        windows. "hwfa2": all layers are rotary, those of index floor(D t / (f + 1)), t = 1, ..., f, see everything, and
        read longer texts with ReRoPE.
    full_layers : int
        Number f of layers that see everything in "hwfa2", below D; "hwfa" has one.
    window : int, optional
        Keys w that a window sees. By default the largest with (w - 1) (D - 1) + 1 <= 3/4 N for "hwfa", so that the
        windows together reach no farther than was trained, and 3 N / D for "hwfa2", between the limits 2 and 4 N / D.

    Returns
    -------
    plans : tuple of AttentionPlan, one for each layer

    Raises
    ------
    TypeError
        If a number is no int.
    ValueError
        If the method is unknown, a number out of range, or the windows of "hwfa" together reach beyond 3/4 N.

    Notes
    -----
    Sources: J. Su, scientific spaces 9603 ("hwfa") and 9731 ("hwfa2").

    Examples
    --------
    >>> from lina.rope import hybrid_layers
    >>> plans = hybrid_layers(24, 512)
    >>> [k for k, plan in enumerate(plans) if plan.attention == "full"], plans[0].window
    ([8, 16], 64)
    """
    depth, n = check_count(num_layers, "num_layers", 2, _MOST_LAYERS), check_count(train_length, "train_length")
    check_option(method, ("hwfa2", "hwfa"), "method")
    if method == "hwfa":
        largest = max((3 * n // 4 - 1) // (depth - 1) + 1, 1)
        seen = largest if window is None else check_count(window, "window")
        if seen > largest:
            raise ValueError(f"window must be at most {largest} for {depth} layers and train_length {n}, got {seen}")
        last = AttentionPlan("full", None, False, "log_n", "none")
        return (*[AttentionPlan("window", seen, True, None, "window")] * (depth - 1), last)
    f = check_count(full_layers, "full_layers")
    if f >= depth:
        raise ValueError(f"full_layers must be below num_layers = {depth}, got {f}")
    seen = max(1, min(3 * n // depth, n)) if window is None else check_count(window, "window")
    if seen > n:
        raise ValueError(f"window must be at most train_length = {n}, got {seen}")
    full = {depth * t // (f + 1) for t in range(1, f + 1)}
    local = AttentionPlan("window", seen, True, None, "window")
    whole = AttentionPlan("full", None, True, None, "rerope")
    return tuple(whole if k in full else local for k in range(depth))


def normalise_keys(k: Any) -> Any:
    """Return keys of length 1, with which logits q . k / norm(k) need no 1 / sqrt(d) and extrapolate better.

    Parameters
    ----------
    k : array, shape (..., d)
        Keys, real or complex.

    Returns
    -------
    normalised : array, shape (..., d)
        A key of zeros stays zero, and its gradient is zero.

    Raises
    ------
    TypeError
        If ``k`` is no array of numbers.
    ValueError
        If it has no axis, or an empty last one.

    Notes
    -----
    The model has to be trained so. Before or after a rotation is the same: it keeps lengths. A row with NaN or an
    infinity is NaN. 3 d flops a key; neither over- nor underflows. Source: J. Su, scientific spaces 9859.

    Examples
    --------
    >>> from lina.rope import normalise_keys
    >>> normalise_keys([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    xp, k = open_door(min_ndim=1, k=k)
    if k.shape[-1] == 0:
        raise ValueError(f"k must have entries on its last axis, got shape {tuple(k.shape)}")
    with quiet(k):
        largest = xp.max(xp.abs(k), axis=-1, keepdims=True)
        empty = largest == 0
        scaled = k / xp.astype(xp.where(empty, xp.ones_like(largest), largest), k.dtype, copy=False)
        squares = xp.sum(xp.real(scaled * xp.conj(scaled)) if k.dtype != real_dtype(xp, k) else scaled**2, axis=-1)
        norms = xp.sqrt(xp.where(empty, xp.ones_like(largest), squares[..., None]))
        normalised = scaled / xp.astype(norms, k.dtype, copy=False)
        return xp.where(empty, xp.zeros_like(k), normalised)  # so that nothing reaches the gradient of zeros
