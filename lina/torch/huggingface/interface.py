"""What transformers calls in an extended model: a rotary module that turns nothing, a mask function, an attention."""

import warnings
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.masking_utils import causal_mask_function, sdpa_mask

from lina._core.errors import LinaWarning
from lina.torch.attention.decode import decode_attention
from lina.torch.attention.extrapolated import extrapolated_attention
from lina.torch.huggingface import beside
from lina.torch.huggingface.tokens import Tokens

ATTENTION = "lina_extended"
STATE = "extended_layer"  # attribute of an attention module: copies of a model have it
KEYS = "lina_keys"  # argument from hook to attention function, by call: threads share the module
CACHE_NAMES = ("cache", "past_key_values", "layer_past")
# Arguments of an attention function that change what it computes; what they may be here.
PLAIN: dict[str, tuple[Any, ...]] = {
    "sliding_window": (None,),
    "softcap": (None,),
    "s_aux": (None,),
    "position_bias": (None,),
    "head_mask": (None,),
    "is_causal": (None, True),
    "output_attentions": (None, False),
    "cu_seq_lens_q": (None,),
}
WANTED_CACHE = "cache must be a DynamicCache of plain layers, the default of transformers, in an extended model"
TRAINING = (
    "model is in training mode: a scaling reads a trained model beyond its length, and training with it undoes that; "
    "call model.eval()"
)


@dataclass
class LayerState:
    """The scaling of an attention module; one of the modules ``warns`` of training, once."""

    scaling: Any
    length: int | None
    warns: bool = False


class IdentityRotary(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The place of a rotary module: cosines of 1 and sines of 0, so that queries, keys and cache stay unrotated."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one row that serves all positions, in the dtype of x."""
        shape = (1, 1, self.width)
        return torch.ones(shape, dtype=x.dtype, device=x.device), torch.zeros(shape, dtype=x.dtype, device=x.device)


def mask_of_tokens(
    batch_size: int,
    q_length: int,
    kv_length: int,
    mask_function: Any = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    q_offset: Any = 0,
    **_: Any,
) -> Tokens:
    """Return what the layers need to know instead of a mask of all pairs."""
    if isinstance(q_offset, torch.Tensor) or kv_length != q_offset + q_length:  # a static one has room for more
        raise TypeError(f"{WANTED_CACHE}, got {kv_length} places for {int(q_offset) + q_length} positions")
    if mask_function is not causal_mask_function:
        raise ValueError(
            "attention must be plainly causal in an extended model, got a mask of packed sequences, of a sliding "
            "window or of the caller's own"
        )
    if attention_mask is None:
        return Tokens(batch_size, q_length, kv_length)
    if attention_mask.shape[0] != batch_size or attention_mask.shape[1] < kv_length:
        raise ValueError(
            f"attention_mask must have shape (batch, positions so far) = ({batch_size}, {kv_length}), those in the "
            f"cache included, got {tuple(attention_mask.shape)}"
        )
    return Tokens(batch_size, q_length, kv_length, attention_mask[:, :kv_length].to("cpu", torch.bool))


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_ids: torch.Tensor | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return the output (batch, m, heads, head_dim) of unrotated queries (batch, heads, m, head_dim) and keys."""
    state = getattr(module, STATE, None)
    if state is None:
        raise RuntimeError(f"attn_implementation {ATTENTION!r} is set by lina.torch.extend(model, scaling) alone")
    check_options(module, dropout, options)
    check_mask(attention_mask, key.shape[-2])
    # A compiler would compile anew at every length. The name is looked up here: it takes a second to import.
    attend = torch.compiler.disable(_attend) if torch.compiler.is_compiling() else _attend
    q, k = (x if x.dtype == value.dtype else x.to(value.dtype) for x in (query, key))  # autocast widens these two
    attention_mask.check_positions(position_ids)
    beside_cache: beside.LayerKeys | None = options.get(KEYS)
    out = attend(state, beside_cache, attention_mask, q, k, value, scaling)
    if beside_cache is not None:
        beside_cache.remember(key)
    return out.transpose(1, 2).contiguous(), None


def _attend(
    state: LayerState,
    beside_cache: beside.LayerKeys | None,
    tokens: Tokens,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float | None,
) -> torch.Tensor:
    """Return attention among tokens; that of one query without a gradient meets keys that were rotated before."""
    records = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    kept = beside_cache if q.shape[-2] == 1 and not records else None

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, group: Any) -> torch.Tensor:
        if kept is None or group is None:
            return extrapolated_attention(q, k, v, state.scaling, scale=scale, length=state.length)
        cache = kept.group(group, state.scaling, state.length)
        cache.borrow(k, v)
        return decode_attention(q, cache, scale=scale)

    return tokens.attend(q, k, v, attend)


def check_mask(mask: Any, keys: int | None = None) -> None:
    """Raise ValueError unless the mask is one of `mask_of_tokens`, for that many keys where they are known."""
    if not isinstance(mask, Tokens) or keys not in (None, mask.keys):
        found = tuple(mask.shape) if isinstance(mask, torch.Tensor) else mask
        raise ValueError(f"attention_mask must be None or of shape (batch, positions so far), got {found}")


def check_options(module: nn.Module, dropout: float, options: dict[str, Any]) -> None:
    """Raise ValueError where a module or a call asks its attention function for what changes its result."""
    if not getattr(module, "is_causal", True):
        raise ValueError(f"attention must be causal in an extended model, got {type(module).__name__} that is not")
    if dropout:
        raise ValueError(f"attention_dropout must be 0 in an extended model, got {dropout}")
    for name, allowed in PLAIN.items():
        found = options.get(name)
        if not any(found is each for each in allowed):
            shown = type(found).__name__ if isinstance(found, torch.Tensor) else repr(found)
            raise ValueError(f"{name} must be {allowed[-1]} in an extended model, got {shown}")


def before_attention(
    module: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Look at a call before its attention module appends to the cache, and add what is beside that cache."""
    state: LayerState = getattr(module, STATE)
    if module.config._attn_implementation != ATTENTION:
        raise RuntimeError(
            f"attn_implementation must stay {ATTENTION!r} until undo(), got {module.config._attn_implementation!r}: no "
            "other attention knows the positions of this model"
        )
    if module.training and state.warns:
        state.warns = False
        warnings.warn(TRAINING, LinaWarning, stacklevel=2)
    check_options(module, 0.0, given)
    if "attention_mask" in given:
        check_mask(given["attention_mask"])
        given["attention_mask"].check_positions(given.get("position_ids"))
    cache = next((given[name] for name in CACHE_NAMES if given.get(name) is not None), None)
    return arguments, given if cache is None else {**given, KEYS: _keys_beside(cache, int(module.layer_idx))}


def _keys_beside(cache: Any, layer: int) -> beside.LayerKeys:
    """Return what is beside a layer of a cache, which must hold unrotated keys only."""
    if not isinstance(cache, DynamicCache) or any(type(each) is not DynamicLayer for each in cache.layers):
        found = {type(each).__name__ for each in getattr(cache, "layers", [])} or "no layers"
        raise TypeError(f"{WANTED_CACHE}, got {type(cache).__name__} of {found}")
    keys = cache.layers[layer].keys if layer < len(cache.layers) else None
    empty = not any(each.keys is not None and each.keys.numel() for each in cache.layers)
    if empty:
        setattr(cache, beside.NAME, beside.Beside())
    its_own: beside.LayerKeys = getattr(cache, beside.NAME, beside.Beside())[layer]
    if not empty and not its_own.knows(keys):
        raise ValueError(
            "cache must be empty or filled by an extended model, got one that others filled: their keys may be "
            "rotated; one that was built anew from keys and values looks the same, copy.deepcopy(cache) does not"
        )
    return its_own


if "q_length" not in signature(sdpa_mask).parameters:
    raise ImportError("the mask functions of this transformers are older than version 5.24")
AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, mask_of_tokens)
