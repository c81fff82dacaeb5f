"""Scalings of every kind and schedule, and queries, keys and values for them."""

from lina.rope import RotaryScaling

TRAINED, HEAD = 16, 16


def scaling(name, window=8, **options):
    """Return a scaling by the name of its kind, or of the kind and what is special about it."""
    kind, _, special = name.partition(" ")
    given = {"head_dim": HEAD, "original_length": TRAINED}
    if special == "whole":  # a window as long as the trained length
        window = options.get("original_length", TRAINED)
    if special in ("row_bucket", "local_static"):
        given["schedule"] = special
    elif kind in ("linear", "ntk", "ntk_fixed", "ntk_mixed", "dynamic", "yarn", "llama3", "leaky_rerope"):
        given["factor"] = 4.0
    if kind == "longrope":
        given |= {"factor": 4.0, "short_factor": (1.0,) * 8, "long_factor": tuple(1 + 0.5 * i for i in range(8))}
    if kind == "yarn":
        given |= {"ramp": "turns", "beta_fast": 2.0, "beta_slow": 0.1, "logit_scale": "yarn"}
    if kind in ("rerope", "leaky_rerope", "self_extend", "window", "sink", "lambda_mask"):
        given["window"] = window
    if kind == "self_extend":
        given["group"] = 3
    if kind in ("sink", "lambda_mask"):
        given["sinks"] = 4
    if special == "log_n":
        given["logit_scale"] = "log_n_clipped"
    return RotaryScaling(kind, **(given | options))


FREQUENCY = ["none", "linear", "ntk", "ntk_fixed", "ntk_mixed", "dynamic", "yarn", "llama3", "longrope", "none log_n"]
SCHEDULED = ["yarn row_bucket", "ntk row_bucket", "linear local_static", "yarn local_static", "longrope row_bucket"]
POSITION = [
    "rerope",
    "leaky_rerope",
    "self_extend",
    "window",
    "sink",
    "lambda_mask",
    "lambda_mask whole",
    "rerope log_n",
]
EVERY = FREQUENCY + SCHEDULED + POSITION


def tensors(torch, m, n, dtype=None, batch=2, heads=4, key_heads=2, channels=HEAD, seed=0):
    """Return queries of the last m of n positions, keys and values."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, heads, m, channels), (batch, key_heads, n, channels), (batch, key_heads, n, channels))
    return [torch.randn(*shape, generator=generator, dtype=dtype or torch.float32) for shape in shapes]


def tolerances(some, last, length=None):
    """Return those of float32: the factor on the logits multiplies what their rounding does."""
    return {"rtol": 1e-6, "atol": 1e-6 * max(1.0, float(some.query_scale([last], length)[0]))}
