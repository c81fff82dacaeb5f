"""The parameters of each kind of scaling: which it has, what they are by default, and what they may be."""

from typing import Any

import numpy as np

from lina._core.array import host_array
from lina._core.checks import check_option
from lina.rope._checks import check_above, check_count
from lina.rope._schedules import SCHEDULES

REQUIRED = object()
TRAINED, HALF = object(), object()  # windows that follow from the trained length
_RAMP = {"beta_fast": 32.0, "beta_slow": 1.0}

FREQUENCY_KINDS: dict[str, dict[str, Any]] = {
    "none": {},
    "linear": {"factor": REQUIRED},
    "ntk": {"factor": REQUIRED},
    "ntk_fixed": {"factor": REQUIRED},
    "ntk_mixed": {"factor": REQUIRED, "exponent": 0.625},
    "dynamic": {"factor": REQUIRED},
    "yarn": {"factor": REQUIRED, "ramp": "dims", **_RAMP, "truncate": True},
    "llama3": {"factor": REQUIRED, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "longrope": {"factor": REQUIRED, "short_factor": REQUIRED, "long_factor": REQUIRED},
}
POSITION_KINDS: dict[str, dict[str, Any]] = {
    "rerope": {"window": HALF},
    "leaky_rerope": {"window": HALF, "factor": REQUIRED},
    "self_extend": {"window": HALF, "group": REQUIRED},
    "window": {"window": TRAINED},
    "sink": {"window": TRAINED, "sinks": 4},
    "lambda_mask": {"window": TRAINED, "sinks": 10},
}
KINDS = {**FREQUENCY_KINDS, **POSITION_KINDS}
NAMES = tuple(dict.fromkeys(name for parameters in KINDS.values() for name in parameters))

# The factor of these is the scale s of the context, so that a schedule can set it and YaRN's logits follow it.
SCALED = ("linear", "ntk", "ntk_fixed", "ntk_mixed", "yarn", "llama3", "longrope")


def resolve(kind: str, given: dict[str, Any], schedule: str, original_length: int, pairs: int) -> dict[str, Any]:
    """Return the checked parameters of a kind; those that it does not have must not be given."""
    parameters = dict(KINDS[kind])
    check_option(schedule, SCHEDULES, "schedule")
    if schedule != "static":
        if kind not in SCALED:
            raise ValueError(f"schedule must be 'static' for kind {kind!r}, got {schedule!r}")
        if kind != "longrope":  # whose factor is the nominal one, beside its lists
            parameters.pop("factor")
    for name, value in given.items():
        if value is not None and name not in parameters:
            where = f"kind {kind!r}" if name not in KINDS[kind] else f"schedule {schedule!r}, which sets it"
            raise ValueError(f"{name} must be left out for {where}, got {value!r}")
    values = {name: default if given[name] is None else given[name] for name, default in parameters.items()}
    missing = [name for name, value in values.items() if value is REQUIRED]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be given for kind {kind!r}")
    checked = _checked(kind, values, original_length, pairs)
    return {**dict.fromkeys(NAMES), **checked, "sinks": checked.get("sinks", 0)}


def _checked(kind: str, values: dict[str, Any], original_length: int, pairs: int) -> dict[str, Any]:
    """Return the parameters as plain numbers, each in its range."""
    out = dict(values)
    if "factor" in values:
        least = 0.0 if kind == "leaky_rerope" else 1.0  # below 1 it stretches distances: for training
        out["factor"] = check_above(values["factor"], "factor", least, allow_equal=kind != "leaky_rerope")
    if "group" in values:
        out["group"] = check_count(values["group"], "group")
    if "exponent" in values:
        out["exponent"] = check_above(values["exponent"], "exponent", 0, allow_equal=True)
    if "ramp" in values:
        check_option(values["ramp"], ("dims", "turns"), "ramp")
    if "truncate" in values and not isinstance(values["truncate"], (bool, np.bool_)):
        raise TypeError(f"truncate must be a bool, got {type(values['truncate']).__name__}")
    for low, high in (("beta_slow", "beta_fast"), ("low_freq_factor", "high_freq_factor")):
        if low in values:
            out[low] = check_above(values[low], low, 0)
            out[high] = check_above(values[high], high, 0)
            if out[high] <= out[low]:
                raise ValueError(f"{high} must be above {low} = {out[low]:g}, got {out[high]:g}")
    for name in ("short_factor", "long_factor"):
        if name in values:
            out[name] = _divisors(values[name], name, pairs)
    if "window" in values:
        out.update(_window(kind, values, original_length))
    return out


def _window(kind: str, values: dict[str, Any], original_length: int) -> dict[str, int]:
    """Return window and sinks; what a query sees undisturbed must have been trained."""
    out = {"sinks": check_count(values["sinks"], "sinks", 0)} if "sinks" in values else {}
    inside = out["sinks"] if kind == "sink" else 0  # the first keys have places in the cache of "sink"
    limit, window = original_length - inside, values["window"]
    if limit < 1:
        raise ValueError(f"sinks must be below original_length = {original_length}, got {inside}")
    if window is TRAINED:
        window = limit
    if window is HALF:
        window = max(1, original_length // 2)
    window = check_count(window, "window")
    if window > limit:
        beside = f" - sinks = {limit}" if inside else f" = {limit}"
        raise ValueError(f"window must be at most original_length{beside}, got {window}")
    return {**out, "window": window}


def _divisors(values: Any, name: str, pairs: int) -> tuple[float, ...]:
    """Return one positive number for each frequency."""
    numbers = host_array(values, name)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a list of numbers, got {type(values).__name__}")
    numbers = numbers.astype(np.float64)
    if numbers.shape != (pairs,):
        raise ValueError(f"{name} must have rotary_dim / 2 = {pairs} entries, got shape {numbers.shape}")
    if not np.all(np.isfinite(numbers) & (numbers > 0)):
        raise ValueError(f"{name} must be finite and positive, got {numbers.tolist()}")
    return tuple(numbers.tolist())
