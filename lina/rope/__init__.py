"""Rotary positions beyond the trained length: frequencies, position maps, logit scales, schedules."""

from lina.rope._axial import grid_positions, rotate_axial
from lina.rope._bases import average_bases, complementary_bases
from lina.rope._frequencies import turns
from lina.rope._huggingface import HFRotary
from lina.rope._logit_scales import log_n_scale
from lina.rope._rotate import rotate
from lina.rope._scaling import RotaryScaling
from lina.rope._schedules import bucket_of
from lina.rope._suggest import suggest
from lina.rope._training import (
    AttentionPlan,
    hybrid_layers,
    inverse_leaky_rerope,
    normalise_keys,
    random_positions,
)

__all__ = [
    "AttentionPlan",
    "HFRotary",
    "RotaryScaling",
    "average_bases",
    "bucket_of",
    "complementary_bases",
    "grid_positions",
    "hybrid_layers",
    "inverse_leaky_rerope",
    "log_n_scale",
    "normalise_keys",
    "random_positions",
    "rotate",
    "rotate_axial",
    "suggest",
    "turns",
]
