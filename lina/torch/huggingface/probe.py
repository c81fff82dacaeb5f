"""What a model does to queries and keys, looked at and not assumed: it runs a few tokens, with its rotary and not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface

from lina.rope import RotaryScaling
from lina.torch.attention.plans import frequencies
from lina.torch.attention.rotation import rotate, table
from lina.torch.huggingface.interface import IdentityRotary, check_options, mask_of_tokens

PROBE = "lina_probe"
_TOKENS = 8
_LONGEST = 2048  # at positions beyond, a model's own angles, in float32, have no digits to compare
_OWN_ATTENTION = "model must call its attention through AttentionInterface, got {} with one of its own"

_SEEN = "lina_seen"  # argument of a model that reaches its attention functions: other threads have their own

# Attention module, and the queries and keys that reach its attention function.
Seen = list[tuple[nn.Module, torch.Tensor, torch.Tensor]]


def probe_attention(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, *_: Any, dropout: float = 0.0, **options: Any
) -> tuple[torch.Tensor, None]:
    """Note queries and keys, and return zeros: then what the next layer sees depends on no rotation."""
    check_options(module, dropout, options)
    for name, found in (
        ("position_ids", options.get("position_ids")),
        ("its further arguments", options.get(_SEEN)),
        ("layer_idx", getattr(module, "layer_idx", None)),
    ):
        if found is None:
            raise ValueError(f"model must give {name} to its attention, got {type(module).__name__} without")
    options[_SEEN].append((module, query, key))
    return torch.zeros_like(query).transpose(1, 2).contiguous(), None


AttentionInterface.register(PROBE, probe_attention)
AttentionMaskInterface.register(PROBE, mask_of_tokens)


def rotary_width(rotary: nn.Module, owner: nn.Module) -> int:
    """Return the width of the tables of cos and sin that a rotary module returns."""
    weight = next(owner.parameters())
    with torch.no_grad():
        found = rotary(
            weight.new_zeros(1, 1, 1), position_ids=torch.zeros(1, 1, dtype=torch.long, device=weight.device)
        )
    if not isinstance(found, tuple) or len(found) != 2 or found[0].is_complex():
        raise ValueError(f"rotary_emb of model must return cos and sin, got {type(found).__name__}")
    return int(found[0].shape[-1])


def attention_modules(owner: nn.Module, config: Any, identity: IdentityRotary, layout: str) -> list[nn.Module]:
    """Return the attention modules of a model, after a look whether each turns as its configuration says.

    Raises
    ------
    ValueError
        If one does not, or does anything else that an extended model would not.
    """
    scaling = RotaryScaling.from_hf(config, layout=layout)
    # "longrope" has other frequencies beyond its length; first, so that the model is left with those below
    beyond = [scaling.original_length + 1] if scaling.kind == "longrope" else []
    turned: Seen = []
    for length in (*beyond, min(scaling.original_length, _LONGEST)):
        positions = torch.linspace(0, length - 1, _TOKENS).long()
        turned, plain = _with_and_without(owner, config, identity, positions)
        for (module, q, k), (_, *unturned) in zip(turned, plain, strict=True):
            for name, x, y in zip(("queries", "keys"), (q, k), unturned, strict=True):
                _check_turn(f"layer {module.layer_idx}: {name}", x, y, positions, scaling)
    return [module for module, *_ in turned]


def _with_and_without(
    owner: nn.Module, config: Any, identity: IdentityRotary, positions: torch.Tensor
) -> tuple[Seen, Seen]:
    """Return what the attention of a model sees with its rotary module, and with none."""
    rotary, implementation = owner.rotary_emb, config._attn_implementation
    try:
        config._attn_implementation = PROBE
        turned = _run(owner, positions)
        owner.rotary_emb = identity
        plain = _run(owner, positions)
    finally:
        owner.rotary_emb, config._attn_implementation = rotary, implementation
    if not turned:
        raise ValueError(_OWN_ATTENTION.format(type(owner).__name__))
    return turned, plain


def _run(owner: nn.Module, positions: torch.Tensor) -> Seen:
    """Run the model on a few different tokens at the given positions and return what its attention sees."""
    weight = owner.get_input_embeddings().weight
    ids = torch.arange(1, _TOKENS + 1, device=weight.device)[None] % len(weight)
    at = positions.to(weight.device)[None]
    seen: Seen = []
    given = {"input_ids": ids, "position_ids": at, "attention_mask": torch.ones_like(ids), _SEEN: seen}
    try:
        with torch.no_grad(), _evaluating(owner):
            owner(**given, use_cache=False)
    except (AttributeError, RuntimeError, TypeError) as error:
        if seen:
            raise
        raise ValueError(_OWN_ATTENTION.format(type(owner).__name__)) from error  # which takes a tensor as its mask
    return seen


@contextmanager
def _evaluating(owner: nn.Module) -> Iterator[None]:
    """Be in evaluation mode, without dropout, for a while."""
    training = [module for module in owner.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _check_turn(what: str, turned: torch.Tensor, plain: torch.Tensor, positions: torch.Tensor, scaling: Any) -> None:
    """Raise ValueError unless turned is plain at the positions, in the layout of the scaling.

    Half of the logit scale, as transformers has it, is on each.
    """
    if turned.shape[-1] != scaling.head_dim:
        raise ValueError(f"head_dim of scaling must be that of model, {turned.shape[-1]}, got {scaling.head_dim}")
    root = torch.from_numpy(scaling.query_scale(positions.numpy())).sqrt()
    last = int(positions[-1])
    turn = table(positions.double(), frequencies(scaling, last + 1), root[None], plain)
    # The model's angles in float32, its rounding of cos and sin, and those of the products
    tolerance = (1e-3 + 2.0**-24 * last + 4 * torch.finfo(turned.dtype).eps) * float(plain.double().norm())
    layouts = ("half", "interleaved")
    errors = {each: float((turned.double() - rotate(plain, turn, each).double()).norm()) for each in layouts}
    if errors[scaling.layout] <= tolerance:
        return
    other = layouts[scaling.layout == "half"]
    if errors[other] <= tolerance:
        raise ValueError(f"layout of scaling must be that of model, {other!r}, got {scaling.layout!r}")
    raise ValueError(
        f"model must rotate by the base, rotary_dim and layout of scaling in all layers, got {what} that differ"
    )
