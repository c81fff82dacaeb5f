"""Models of S4D blocks as their definition says: one sequence, one sample after the other, from the saved numbers."""

import math

import numpy as np
from scipy.special import erf


def linear(p, name, h):
    """Return what the linear map of this name makes of a vector."""
    return p[f"{name}.weight"] @ h + p[f"{name}.bias"]


def layer_norm(p, name, h):
    """Return h without its mean, over its standard deviation, in the units of the parameters of this name."""
    centred = h - h.mean()
    return centred / math.sqrt(np.mean(centred**2) + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def s4d_step(p, name, u, z):
    """Return the output and the state (channels, pairs) after the sample u (channels,), in steps of "zoh"."""
    modes = -np.exp(p[f"{name}.log_decay"]) + 1j * p[f"{name}.frequency"]
    B, C = (p[f"{name}.{which}"] @ np.array([1, 1j]) for which in "BC")
    A = np.exp(modes * np.exp(p[f"{name}.log_dt"])[:, None])
    z = A * z + (A - 1) / modes * B * u[:, None]
    return 2 * np.sum(C * z, axis=1).real + p[f"{name}.D"] * u, z


def block_step(p, name, h, z):
    """Return the output and the state of a residual block."""
    y, z = s4d_step(p, f"{name}.layer", layer_norm(p, f"{name}.norm", h), z)
    first, gate = np.split(linear(p, f"{name}.mix", y * (1 + erf(y / math.sqrt(2))) / 2), 2)
    return h + first / (1 + np.exp(-gate)), z


def features(p, x, depth):
    """Return what the decoder reads (length, width) for x (length, entries)."""
    out, states = [], [0.0] * depth
    for sample in x:
        h = linear(p, "encoder", sample)
        for i in range(depth):
            h, states[i] = block_step(p, f"blocks.{i}", h, states[i])
        out.append(layer_norm(p, "norm", h))
    return np.array(out)
