"""What does attention beyond the trained length cost, beside stock attention and beside two matrices of logits?"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.runner import Case, Question, Target
from benchmarks.ssm_torch import peak
from lina.rope import RotaryScaling
from lina.torch import RotaryCache, decode_attention, extrapolated_attention

HEADS, CHANNELS, TRAINED, WINDOW = 8, 64, 2048, 1024
KINDS: dict[str, dict[str, Any]] = {
    "rerope": {"window": WINDOW},
    "leaky_rerope": {"window": WINDOW, "factor": 16.0},
    "self_extend": {"window": WINDOW, "group": 16},
}
STOCK, MATRICES, ROTATED = "stock, rotated", "two matrices", "all keys rotated again"
JUDGED = 16  # last rows of which the errors are measured


def cases(quick: bool) -> Iterator[Case]:
    """Yield whole sequences, their gradients, and single queries."""
    shrink = 32 if quick else 1
    for length, ratio in ((4096, 1 / 1.7), (8192, 1 / 1.4), (16384, 1 / 1.4)):
        yield whole(length // shrink, shrink, ratio, matrices=length == 8192)
    yield gradients(8192 // shrink, shrink)
    yield growing(16384 // shrink, shrink)
    for length in (16384, 65536):
        yield one_query(length // shrink, shrink)


def scalings(shrink: int) -> dict[str, RotaryScaling]:
    """Return the kinds that are compared."""
    shared = {"head_dim": CHANNELS, "original_length": TRAINED // shrink}
    return {kind: RotaryScaling(kind, **shared, **{**o, "window": WINDOW // shrink}) for kind, o in KINDS.items()}


def inputs(length: int) -> list[torch.Tensor]:
    """Return queries, keys and values."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, HEADS, length, CHANNELS, generator=generator) for _ in range(3)]


def tables(scaling: RotaryScaling, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines (positions, channels) in single precision."""
    angles = positions.double()[:, None] * torch.from_numpy(scaling.inv_freq())
    angles = torch.cat([angles, angles], -1)
    return angles.cos().float(), angles.sin().float()


def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return rotated queries or keys as models have it."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def by_stock(scaling: RotaryScaling, length: int) -> Callable[..., torch.Tensor]:
    """Return causal attention of rotated queries and keys, with its tables made before."""
    at = tables(scaling, torch.arange(length))
    return lambda q, k, v: scaled_dot_product_attention(turned(q, *at), turned(k, *at), v, is_causal=True)


def by_matrices(scaling: RotaryScaling, length: int) -> Callable[..., torch.Tensor]:
    """Return ReRoPE as published: both matrices of logits, of which each entry is taken from one."""
    window = scaling.window or 0
    near, far = tables(scaling, torch.arange(length)), tables(scaling, torch.full((length,), window))

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        i = torch.arange(length)
        distance = i[:, None] - i
        rectified = turned(q, *far) @ k.mT
        logits = torch.where(distance < window, turned(q, *near) @ turned(k, *near).mT, rectified) / CHANNELS**0.5
        return torch.softmax(logits.masked_fill(distance < 0, -torch.inf), -1) @ v

    return attend


def distances(kind: str, scaling: RotaryScaling, i: int) -> torch.Tensor:
    """Return the relative positions of row i by their formulas, float64 (i + 1,); those of no kind are plain."""
    j = torch.arange(i + 1, dtype=torch.float64)
    near, w = i - j, scaling.window or 0
    if kind == "leaky_rerope":
        return torch.where(near < w, near, w + (near - w) / scaling.factor)
    if kind == "self_extend":
        group = scaling.group or 1
        return torch.where(near < w, near, i // group - j // group + w - w // group)
    return near.clamp(max=w) if kind in ("rerope", MATRICES, ROTATED) else near


def definition(kind: str, scaling: RotaryScaling, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> np.ndarray:
    """Return the last rows of attention in double precision, position by position."""
    n, rows = k.shape[2], []
    theta = torch.from_numpy(scaling.inv_freq())
    keys = torch.complex(*k.double().chunk(2, -1))
    for i in range(n - min(JUDGED, q.shape[2]), n):
        query = torch.complex(*q[:, :, i - n, None].double().chunk(2, -1))
        phases = torch.polar(torch.ones(1, dtype=torch.float64), distances(kind, scaling, i)[:, None] * theta)
        logits = (query * phases * keys[:, :, : i + 1].conj()).real.sum(-1) / q.shape[-1] ** 0.5
        rows.append((torch.softmax(logits, -1)[..., None] * v[:, :, : i + 1].double()).sum(2))
    return torch.stack(rows, 2).numpy()


def judge(names: Any, some: dict[str, RotaryScaling], *qkv: torch.Tensor) -> Callable[[Any], float]:
    """Return the largest error of (name, last rows), each name by its own definition."""
    exact = {name: definition(name, some.get(name, some["rerope"]), *qkv) for name in names}
    return lambda named: float(np.abs(named[1] - exact[named[0]]).max())


def whole(length: int, shrink: int, ratio: float, matrices: bool) -> Case:
    """Return attention of a whole sequence, without gradients."""
    some, qkv = scalings(shrink), inputs(length)
    calls: dict[str, Callable[..., torch.Tensor]] = {kind: under(s) for kind, s in some.items()}
    calls[STOCK] = by_stock(some["rerope"], length)
    targets = [Target(kind, STOCK, ratio) for kind in some]
    if matrices:
        calls[MATRICES] = by_matrices(some["rerope"], length)
        targets.append(Target("rerope", MATRICES, 15, error_factor=2, memory_ratio=20))

    def run(name: str) -> Callable[[], tuple[str, np.ndarray]]:
        def contender() -> tuple[str, np.ndarray]:
            with torch.no_grad():
                return name, calls[name](*qkv)[:, :, -JUDGED:].double().numpy()

        return contender

    title = f"a whole sequence of {length}, window {WINDOW // shrink}"
    return Case(title, {name: run(name) for name in calls}, judge(calls, some, *qkv), targets, peak=peak)


def under(scaling: RotaryScaling) -> Callable[..., torch.Tensor]:
    """Return attention under a scaling."""
    return lambda q, k, v: extrapolated_attention(q, k, v, scaling)


def gradients(length: int, shrink: int) -> Case:
    """Return attention of a whole sequence and its gradients by all inputs."""
    some, qkv = scalings(shrink), inputs(length)
    calls = {**{kind: under(s) for kind, s in some.items()}, STOCK: by_stock(some["rerope"], length)}

    def run(name: str) -> Callable[[], tuple[str, np.ndarray]]:
        def contender() -> tuple[str, np.ndarray]:
            leaves = [x.detach().requires_grad_() for x in qkv]
            out = calls[name](*leaves)
            torch.autograd.grad(out, leaves, torch.ones_like(out))
            return name, out.detach()[:, :, -JUDGED:].double().numpy()

        return contender

    targets = [Target(kind, STOCK, 1 / 1.5) for kind in some]
    title = f"a whole sequence of {length} and its gradients"
    return Case(title, {name: run(name) for name in calls}, judge(calls, some, *qkv), targets, peak=peak)


def growing(length: int, shrink: int) -> Case:
    """Return YaRN whose scale follows the row, beside that of one scale, whose last rows have the same frequencies."""
    trained, qkv = TRAINED // shrink, inputs(length)
    shared = {"head_dim": CHANNELS, "original_length": trained, "logit_scale": "yarn"}
    one = RotaryScaling("yarn", **shared, factor=length / trained)
    by_row = RotaryScaling("yarn", **shared, schedule="row_bucket")

    def run(scaling: RotaryScaling) -> Callable[[], np.ndarray]:
        def contender() -> np.ndarray:
            with torch.no_grad():
                return extrapolated_attention(*qkv, scaling)[:, :, -JUDGED:].double().numpy()

        return contender

    exact = extrapolated_attention(*(x.double() for x in qkv), one)[:, :, -JUDGED:].numpy()
    contenders = {"scale by row": run(by_row), "one scale": run(one)}
    title = f"YaRN of a whole sequence of {length}, trained at {trained}"
    targets = [Target("scale by row", "one scale", 1 / 1.3, error_factor=2)]
    return Case(title, contenders, lambda y: float(np.abs(y - exact).max()), targets, peak=peak)


def one_query(length: int, shrink: int) -> Case:
    """Return the last query of a sequence beside a cache that is filled."""
    some, (q, k, v) = scalings(shrink), inputs(length)
    q = q[:, :, -1:]
    caches = {kind: RotaryCache(scaling) for kind, scaling in some.items()}
    backwards = tables(some["rerope"], -torch.arange(length - 1, -1, -1).clamp(max=WINDOW // shrink))
    for cache in caches.values():
        cache.append(k, v)
    calls: dict[str, Callable[[], torch.Tensor]] = {kind: partial(decode_attention, q, caches[kind]) for kind in some}
    ahead = tables(some["rerope"], torch.tensor([length - 1]))
    turned_keys = turned(k, *tables(some["rerope"], torch.arange(length)))
    calls[STOCK] = lambda: scaled_dot_product_attention(turned(q, *ahead), turned_keys, v)
    calls[ROTATED] = lambda: scaled_dot_product_attention(q, turned(k, *backwards), v)

    def run(name: str) -> Callable[[], tuple[str, np.ndarray]]:
        return lambda: (name, calls[name]().double().numpy())

    contenders = {name: run(name) for name in calls}
    targets = [Target(kind, STOCK, 1 / 1.5) for kind in some] + [Target("rerope", ROTATED, 6, error_factor=2)]
    return Case(f"one query after {length} positions", contenders, judge(calls, some, q, k, v), targets, peak=peak)


QUESTION = Question(
    "What does attention beyond the trained length cost, beside stock attention and beside two matrices of logits?",
    cases,
    error_name="largest error",
    note="8 heads of 64 channels, single precision, window 1024. Errors are those of the last 16 rows, each kind "
    "beside its own definition in double precision. The one query of the stock function meets keys that were rotated "
    "before. Memory is the peak of torch's tensors and numpy's arrays beside inputs.",
)
