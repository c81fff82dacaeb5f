"""Conversion from and to the configurations of transformers, with its recipes in float32 step by step."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple

from lina._core.checks import check_option
from lina.rope._checks import check_above, check_count
from lina.rope._frequencies import ntk_base, ramp_ends, rotary_frequencies
from lina.rope._parameters import KINDS, POSITION_KINDS
from lina.rope._scaling import SHAPE, RotaryScaling

_SAME_NAME = ("linear", "dynamic", "yarn", "llama3", "longrope")
_KIND_OF_TYPE = {"default": "none", "su": "longrope", **{name: name for name in _SAME_NAME}}
_OWN_LENGTH = ("yarn", "llama3", "longrope")  # types that name the trained length themselves


class HFRotary(NamedTuple):
    """What transformers needs: parameters for the configuration, frequencies in float32, factor on cos and sin."""

    rope_parameters: dict[str, Any]
    inv_freq: Any
    attention_factor: float


def from_hf(config: Any, layer_type: str | None, layout: str) -> RotaryScaling:
    """Return the scaling of a configuration."""
    rope = _rope_parameters(config, layer_type)
    name = rope.get("rope_type", rope.get("type", "default"))
    if name not in _KIND_OF_TYPE:
        raise ValueError(f"config must have a rope_type of {', '.join(_KIND_OF_TYPE)}, got {name!r}")
    kind = _KIND_OF_TYPE[name]
    head_dim = _read(config, "head_dim")
    if head_dim is None:
        head_dim = _count(config, "hidden_size") // _count(config, "num_attention_heads")
    head_dim = check_count(head_dim, "head_dim")
    share = rope.get("partial_rotary_factor", _read(config, "partial_rotary_factor", 1.0))
    share = check_above(share, "partial_rotary_factor", 0)
    longest = _count(config, "max_position_embeddings")
    original = longest
    if kind in _OWN_LENGTH:
        name = "original_max_position_embeddings"
        own = _read(config, name)
        original = check_count(rope.get(name, longest) if own is None else own, name, 2)
    factor = rope.get("factor", longest / original if kind in ("yarn", "longrope") else None)
    factor = None if factor is None else check_above(factor, "factor", 0)
    return RotaryScaling(
        kind,
        head_dim=head_dim,
        original_length=original,
        base=rope.get("rope_theta", _read(config, "rope_theta", 10000.0)),
        rotary_dim=int(head_dim * share),
        layout=layout,
        factor=None if kind == "none" else factor,
        logit_scale=_logit_scale(kind, rope, factor, original),
        **_options(kind, rope),
    )


def with_options(scaling: RotaryScaling, options: dict[str, Any], config: Any) -> RotaryScaling:
    """Return a scaling with other parameters; one of another kind keeps those of the model only.

    What a model was trained with stays under a kind of positions.
    """
    unknown = sorted(set(options) - {each.name for each in fields(RotaryScaling)})
    if unknown:
        raise TypeError(f"options must be parameters of RotaryScaling, got {', '.join(unknown)}")
    if "kind" not in options:
        return replace(scaling, **options)
    own = {name: getattr(scaling, name) for name in ("original_length", *SHAPE)}
    if check_option(options["kind"], tuple(KINDS), "kind") in POSITION_KINDS and scaling.kind not in (
        "none",
        "dynamic",
    ):
        own |= {"original_length": _count(config, "max_position_embeddings"), "trained": scaling}
    return RotaryScaling(**(own | options))


def _read(config: Any, name: str, default: Any = None) -> Any:
    value = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
    return default if value is None else value


def _count(config: Any, name: str) -> int:
    value = _read(config, name)
    if value is None:
        raise ValueError(f"config must have {name}, got a {type(config).__name__} without it")
    return check_count(value, name)


def _rope_parameters(config: Any, layer_type: str | None) -> dict[str, Any]:
    """Return the parameters of one type of layer, without entries that are None."""
    rope = _read(config, "rope_parameters", _read(config, "rope_scaling", {}))
    if not isinstance(rope, dict):
        raise TypeError(f"config must have a dict of rope parameters, got {type(rope).__name__}")
    nested = [name for name, value in rope.items() if isinstance(value, dict)]
    if nested:
        if layer_type not in nested:
            raise ValueError(f"layer_type must be one of {', '.join(map(repr, nested))}, got {layer_type!r}")
        rope = rope[layer_type]
    elif layer_type is not None:
        raise ValueError(f"layer_type must be None where all layers have the same parameters, got {layer_type!r}")
    return {name: value for name, value in rope.items() if value is not None}


def _options(kind: str, rope: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the kind that have the same name on both sides; transformers takes 0 for none."""
    if kind == "yarn":
        ends = {name: rope[name] for name in ("beta_fast", "beta_slow") if rope.get(name)}
        return {**ends, "ramp": "dims", "truncate": rope.get("truncate", True)}
    names = {"llama3": ("low_freq_factor", "high_freq_factor"), "longrope": ("short_factor", "long_factor")}
    return {name: rope[name] for name in names.get(kind, ()) if name in rope}


def _logit_scale(kind: str, rope: dict[str, Any], factor: float | None, original: int) -> Any:
    """Return the square of the attention factor, which is on cos and on sin, as a logit scale."""
    if kind not in ("yarn", "longrope") or factor is None:
        return None
    root, every = rope.get("mscale"), rope.get("mscale_all_dim")
    attention = rope.get("attention_factor", _one_mscale(rope) if kind == "longrope" else None)
    if attention is not None:
        attention = check_above(attention, "attention_factor", 0)
    if attention is None and kind == "longrope":
        attention = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    if attention is None and root and every:
        attention = _mscale(factor, root) / _mscale(factor, every)
    return "yarn" if attention is None else attention * attention


def _one_mscale(rope: dict[str, Any]) -> Any:
    """Return the factor that PhiMoE has for short and for long texts, which must be the same."""
    short, far = rope.get("short_mscale"), rope.get("long_mscale")
    if short != far:
        wanted = "the same short_mscale and long_mscale: a logit scale does not follow the length"
        raise ValueError(f"config must have {wanted}, got {short!r} and {far!r}")
    return short


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


def to_hf(scaling: RotaryScaling, length: int | None, xp: Any) -> HFRotary:
    """Return parameters, frequencies and attention factor of a scaling."""
    if scaling.changes_positions:
        raise ValueError(f"kind must be one of frequencies for transformers, got {scaling.kind!r} of positions")
    nominal = scaling.at(scaling.original_length if length is None else length)
    attention = _attention_factor(nominal)
    rope = _parameters(nominal, attention)
    seen = nominal.original_length if length is None else length
    inv_freq = _RECIPES[rope["rope_type"]](xp, nominal, rope, seen)
    return HFRotary(rope, inv_freq, attention)


def _attention_factor(scaling: RotaryScaling) -> float:
    scale = scaling.logit_scale
    if scale is None:
        return 1.0
    if scale == "yarn":
        return _mscale(scaling.factor or 1.0, 1.0)
    if isinstance(scale, float):
        return math.sqrt(scale)
    raise ValueError(f"logit_scale must be None, 'yarn' or a number for transformers, got {scale!r}")


def _parameters(scaling: RotaryScaling, attention: float) -> dict[str, Any]:
    """Return the entries that transformers reads for the type of the scaling."""
    kind, s = scaling.kind, scaling.factor
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": scaling.base}
    if scaling.rotary_dim != scaling.head_dim:
        rope["partial_rotary_factor"] = _share(scaling)
    own = {"factor": s, "original_max_position_embeddings": scaling.original_length}
    if kind == "yarn" and scaling.ramp == "dims":
        names = ("beta_fast", "beta_slow", "truncate")
        return {**rope, "rope_type": kind, **own, "attention_factor": attention} | _same(scaling, names)
    if kind == "longrope":
        lists = {name: list(value) for name, value in _same(scaling, ("short_factor", "long_factor")).items()}
        return {**rope, "rope_type": kind, **own, "attention_factor": attention, **lists}
    if kind in ("ntk_fixed", "ntk_mixed", "yarn"):
        divisors = (rotary_frequencies(scaling._rotary_dim, scaling.base) / scaling.inv_freq()).tolist()
        lists = {"short_factor": divisors, "long_factor": divisors}
        return {**rope, "rope_type": "longrope", **own, "attention_factor": attention, **lists}
    if attention != 1:
        raise ValueError(f"logit_scale must be None for kind {kind!r} in transformers, got {scaling.logit_scale!r}")
    if kind == "llama3":
        return {**rope, "rope_type": kind, **own, **_same(scaling, ("low_freq_factor", "high_freq_factor"))}
    if kind == "ntk" and s is not None:
        dim = scaling._rotary_dim
        return {**rope, "rope_theta": ntk_base(dim, scaling.base, s)}
    return rope if kind == "none" else {**rope, "rope_type": kind, "factor": s}


def _same(scaling: RotaryScaling, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(scaling, name) for name in names}


def _share(scaling: RotaryScaling) -> float:
    """Return the part of the head that rotates, which transformers multiplies and rounds down."""
    share = scaling._rotary_dim / scaling.head_dim
    return share if int(scaling.head_dim * share) == scaling._rotary_dim else math.nextafter(share, 2)


def _powers(xp: Any, scaling: RotaryScaling, base: float) -> Any:
    dim = scaling._rotary_dim
    return base ** (xp.arange(0, dim, 2, dtype=xp.float32) / dim)


def _default(xp: Any, scaling: RotaryScaling, rope: dict[str, Any], _seen: int) -> Any:
    return 1.0 / _powers(xp, scaling, rope["rope_theta"])


def _linear(xp: Any, scaling: RotaryScaling, rope: dict[str, Any], seen: int) -> Any:
    return _default(xp, scaling, rope, seen) / rope["factor"]


def _dynamic(xp: Any, scaling: RotaryScaling, rope: dict[str, Any], seen: int) -> Any:
    dim, s, length = scaling._rotary_dim, rope["factor"], scaling.original_length
    base = ntk_base(dim, rope["rope_theta"], (s * max(seen, length) / length) - (s - 1))
    return 1.0 / _powers(xp, scaling, base)


def _yarn(xp: Any, scaling: RotaryScaling, rope: dict[str, Any], _seen: int) -> Any:
    powers = _powers(xp, scaling, rope["rope_theta"])
    ends = (rope["original_max_position_embeddings"], rope["beta_slow"], rope["beta_fast"], rope["truncate"])
    low, high = ramp_ends(scaling._rotary_dim, rope["rope_theta"], *ends)
    index = xp.arange(scaling._rotary_dim // 2, dtype=xp.float32)
    kept = 1 - xp.clip((index - low) / (high - low), 0, 1)
    return 1.0 / (rope["factor"] * powers) * (1 - kept) + 1.0 / powers * kept


def _longrope(xp: Any, scaling: RotaryScaling, rope: dict[str, Any], seen: int) -> Any:
    far = seen > rope["original_max_position_embeddings"]
    divisors = xp.asarray(rope["long_factor" if far else "short_factor"], dtype=xp.float32)
    return 1.0 / (divisors * _powers(xp, scaling, rope["rope_theta"]))


def _llama3(xp: Any, scaling: RotaryScaling, rope: dict[str, Any], seen: int) -> Any:
    plain = _default(xp, scaling, rope, seen)
    length, low, high = (rope[k] for k in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
    wave = 2 * math.pi / plain
    slow, fast = wave > length / low, wave < length / high
    smooth = (length / wave - low) / (high - low)
    between = (1 - smooth) * plain / rope["factor"] + smooth * plain
    return xp.where(slow, plain / rope["factor"], xp.where(fast, plain, between))


_RECIPES: dict[str, Callable[..., Any]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}
