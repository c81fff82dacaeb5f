"""Small random models of transformers, scalings for them, and tokens."""

import torch
import transformers

from lina.rope import RotaryScaling
from lina.torch import extend

TRAINED, VOCABULARY = 32, 61
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": TRAINED,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
FAMILIES = {
    "Llama": {},
    "Mistral": {"sliding_window": None},
    "Qwen2": {},
    "Qwen3": {"head_dim": 32},
    "Phi": {"layout": "half"},  # rotates half of each head
    "GPTNeoX": {"layout": "half"},  # rotates a quarter, and has one head of keys for each of queries
    "Cohere": {"layout": "interleaved"},
    "Glm": {"layout": "interleaved", "head_dim": 16},  # rotates half of each head
}
KINDS = {
    "rerope": {"kind": "rerope", "window": 12},
    "leaky_rerope": {"kind": "leaky_rerope", "window": 12, "factor": 4.0},
    "self_extend": {"kind": "self_extend", "window": 12, "group": 3},
    "window": {"kind": "window", "window": 12},
    "sink": {"kind": "sink", "window": 12, "sinks": 3},
    "lambda_mask": {"kind": "lambda_mask", "window": 12, "sinks": 3},
    "rerope and log n": {"kind": "rerope", "window": 12, "logit_scale": "log_n_clipped"},
    "yarn": {"kind": "yarn", "ramp": "turns", "factor": 4.0, "logit_scale": "yarn"},
    "yarn by rows": {"kind": "yarn", "ramp": "turns", "schedule": "row_bucket", "logit_scale": "yarn"},
    "dynamic": {"kind": "dynamic", "factor": 2.0},
}
# What some models are trained with: half and a quarter of the trained length without it.
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": TRAINED // 2,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": TRAINED // 4}
_DIVISORS = [1.0, 1.1, 1.5, 2.0, 2.5, 3.0, 4.0, 4.0]
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": TRAINED // 4,
    "short_factor": [1.0] * 8,
    "long_factor": _DIVISORS,
}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
TRAINED_WITH = {"llama3": LLAMA3, "yarn": YARN, "longrope": LONGROPE, "linear": LINEAR}


def model_of(family="Llama", dtype=torch.float64, **options):
    """Return a random model in evaluation mode."""
    given = {name: value for name, value in (SHAPE | FAMILIES.get(family, {}) | options).items() if name != "layout"}
    config = getattr(transformers, f"{family}Config")(**given)
    torch.manual_seed(0)
    return getattr(transformers, f"{family}ForCausalLM")(config).to(dtype).eval()


def scaling_of(model, kind="rerope", **options):
    return RotaryScaling.from_hf(model.config, **(KINDS[kind] | options))


def extended(model, kind="rerope", **options):
    length = 200 if kind == "dynamic" else None
    return extend(model, scaling_of(model, kind, **options), length=length)


def tokens(batch, length, seed=0):
    return torch.randint(1, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


def in_parts(model, ids, sizes, **options):
    """Return the logits of parts of these sizes that follow each other, then of single tokens."""
    cache, done, logits = transformers.DynamicCache(config=model.config), 0, []
    for size in [*sizes, *[1] * (ids.shape[1] - sum(sizes))]:
        part = slice(done, done + size)
        done += size
        now = {name: value[:, :done] for name, value in options.items()}
        logits.append(model(ids[:, part], cache=cache, **now).logits)
    return torch.cat(logits, 1)
