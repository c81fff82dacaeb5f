"""What does attention beyond the trained length cost on a device, beside stock attention and beside FlexAttention?"""

import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.gpu.place import Place
from benchmarks.gpu.table import DeviceCase
from benchmarks.rope_attention import JUDGED, definition, tables, turned, under
from benchmarks.runner import Question, Target
from lina.rope import RotaryScaling
from lina.torch import RotaryCache, decode_attention

HEADS, CHANNELS, TRAINED, WINDOW = 16, 128, 8192, 4096
LENGTHS = (16384, 32768, 65536, 131072)
OURS, STOCK, FLEX = "lina, rerope", "stock, rotated", "FlexAttention, two calls"
Attend = Callable[..., torch.Tensor]


def cases(where: tuple[Place, bool]) -> Iterator[DeviceCase]:
    """Yield whole sequences, their gradients, and single queries."""
    place, quick = where
    shrink = 256 if quick else 1
    scaling = RotaryScaling("rerope", head_dim=CHANNELS, original_length=TRAINED // shrink, window=WINDOW // shrink)
    for length in LENGTHS:
        yield whole(place, scaling, length // shrink)
    for length in LENGTHS[::2]:
        yield gradients(place, scaling, length // shrink)
    for length in LENGTHS[::3]:
        yield one_query(place, scaling, length // shrink)


def inputs(place: Place, length: int) -> list[torch.Tensor]:
    """Return queries, keys and values in bfloat16."""
    generator = torch.Generator(place.torch_device).manual_seed(0)
    shape, options = (1, HEADS, length, CHANNELS), {"generator": generator, "device": place.torch_device}
    return [torch.randn(shape, **options).bfloat16() for _ in range(3)]


def turned_half(x: torch.Tensor, at: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return what is rotated in single precision, in the precision of x."""
    return turned(x.float(), *at).to(x.dtype)


def at_positions(place: Place, scaling: RotaryScaling, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines at the place."""
    cos, sin = tables(scaling, positions)
    return cos.to(place.torch_device), sin.to(place.torch_device)


@cache
def compiled(device: str) -> Callable[..., Any]:
    """Return a function, compiled for a device; on the CPU, where compilers lack its logsumexp, as it is."""
    return partial(torch.compile, dynamic=False) if device == "cuda" else lambda function: function


def by_stock(place: Place, scaling: RotaryScaling, length: int) -> Attend:
    """Return causal attention of rotated queries and keys, its tables made before and its rotations fused."""
    at = at_positions(place, scaling, torch.arange(length))
    turn = compiled(place.torch_device)(turned_half)
    return lambda q, k, v: scaled_dot_product_attention(turn(q, at), turn(k, at), v, is_causal=True)


def by_flex(place: Place, scaling: RotaryScaling, length: int) -> Attend:
    """Return ReRoPE by two masked calls of FlexAttention, near and far, merged by their logsumexp."""
    from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

    window, device = scaling.window or 0, place.torch_device
    at = at_positions(place, scaling, torch.arange(length))
    constant = at_positions(place, scaling, torch.full((length,), window))
    wrap = compiled(device)
    mask = wrap(create_block_mask)  # uncompiled it forms all pairs of positions, 10 bytes each
    near = mask(lambda _b, _h, i, j: (j <= i) & (i - j < window), None, None, length, length, device)
    far = mask(lambda _b, _h, i, j: i - j >= window, None, None, length, length, device)
    call, turn = wrap(flex_attention), wrap(turned_half)

    def merged(first: torch.Tensor, a: torch.Tensor, second: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        share = torch.sigmoid(b - a)[..., None]
        return (first + share * (second - first).float()).to(first.dtype)

    merge, lse = wrap(merged), AuxRequest(lse=True)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        first, a = call(turn(q, at), turn(k, at), v, block_mask=near, return_aux=lse)
        second, b = call(turn(q, constant), k, v, block_mask=far, return_aux=lse)
        return merge(first, a.lse, second, b.lse)

    return attend


def errors(place: Place, scaling: RotaryScaling, *qkv: torch.Tensor) -> Callable[[str, Any], float]:
    """Return the judge: the largest error of the last rows of the first head, in double precision on the CPU."""
    some = [x[:, :1].cpu() for x in qkv]
    exact = {kind: definition(kind, scaling, *some) for kind in ("rerope", "plain")}

    def error(name: str, out: torch.Tensor) -> float:
        found = place.host(out[:, :1, -JUDGED:].double())
        return float(np.abs(found - exact["plain" if name == STOCK else "rerope"]).max())

    return error


def calls_of(place: Place, scaling: RotaryScaling, length: int) -> dict[str, Attend]:
    """Return all contenders of a length; what was compiled for others counts against a limit, and is forgotten."""
    torch.compiler.reset()
    return {
        OURS: under(scaling),
        STOCK: by_stock(place, scaling, length),
        FLEX: by_flex(place, scaling, length),
    }


def whole(place: Place, scaling: RotaryScaling, length: int) -> DeviceCase:
    """Return attention of a whole sequence, without gradients."""
    qkv = inputs(place, length)

    def run(call: Attend) -> Callable[[], torch.Tensor]:
        return lambda: torch.no_grad()(call)(*qkv)

    contenders = {name: run(call) for name, call in calls_of(place, scaling, length).items()}
    targets = [Target(OURS, STOCK, 1 / 1.25), Target(OURS, FLEX, 1.0, error_factor=2)]
    return DeviceCase(f"a whole sequence of {length}", contenders, errors(place, scaling, *qkv), [*targets])


def gradients(place: Place, scaling: RotaryScaling, length: int) -> DeviceCase:
    """Return attention of a whole sequence and its gradients by all inputs; FlexAttention has them on CUDA only."""
    leaves = [x.requires_grad_() for x in inputs(place, length)]
    calls = calls_of(place, scaling, length)
    if place.torch_device == "cpu":
        del calls[FLEX]

    def run(call: Attend) -> Callable[[], torch.Tensor]:
        def contender() -> torch.Tensor:
            out = call(*leaves)
            torch.autograd.grad(out, leaves, torch.ones_like(out))
            return out.detach()

        return contender

    contenders = {name: run(call) for name, call in calls.items()}
    targets = [Target(OURS, STOCK, 1 / 1.25), Target(OURS, FLEX, 1.0)]
    judge = errors(place, scaling, *(x.detach() for x in leaves))
    return DeviceCase(f"a whole sequence of {length} and its gradients", contenders, judge, [*targets])


def one_query(place: Place, scaling: RotaryScaling, length: int) -> DeviceCase:
    """Return the last query beside a cache that is filled; the stock function meets keys that were rotated before."""
    q, k, v = inputs(place, length)
    q, cache_of_keys = q[:, :, -1:], RotaryCache(scaling)
    cache_of_keys.append(k, v)
    keys = turned_half(k, at_positions(place, scaling, torch.arange(length)))
    ahead = at_positions(place, scaling, torch.tensor([length - 1]))
    turn = compiled(place.torch_device)(turned_half)
    contenders = {
        OURS: lambda: decode_attention(q, cache_of_keys),
        STOCK: lambda: scaled_dot_product_attention(turn(q, ahead), keys, v),
    }
    judge = errors(place, scaling, q, k, v)
    target = Target(OURS, STOCK, 1 / 1.25)
    work = {"copy": 2.0 * k.numel() * k.element_size()}
    return DeviceCase(f"one query after {length} positions", contenders, judge, [target], work)


warnings.filterwarnings("ignore", "flex_attention called without torch.compile", UserWarning)

QUESTION = Question(
    "What does attention beyond the trained length cost on a device, beside stock attention and beside FlexAttention?",
    cases,
    "largest error of the last 16 rows of one head, each beside its own definition in double precision",
    note="16 heads of 128 channels, bfloat16, window 4096, trained at 8192. Wanted is 1.25 of the time of the stock "
    "function and its rotations, which answers another question beyond the trained length, and no more than that of "
    "FlexAttention, which cannot choose between two products in one call. Rotations and merges of the peers are "
    "compiled. The limit of one query is to read keys and values once.",
)
