"""Diffusion models: noise schedules, samplers, guidance above the trained resolution, losses, metrics of samples."""

from lina.diffusion import metrics
from lina.diffusion._align import align_snr, interpolate_shift, match_time, rho
from lina.diffusion._convert import convert
from lina.diffusion._guidance import upsample_guidance
from lina.diffusion._losses import multiscale_mse
from lina.diffusion._resample import avg_pool, dct_downsample, dct_upsample, nearest_upsample
from lina.diffusion._sample import sample
from lina.diffusion._schedule import Schedule
from lina.diffusion._schedules import cosine, discrete, edm, flow, nichol_cosine, vp_linear

__all__ = [
    "Schedule",
    "align_snr",
    "avg_pool",
    "convert",
    "cosine",
    "dct_downsample",
    "dct_upsample",
    "discrete",
    "edm",
    "flow",
    "interpolate_shift",
    "match_time",
    "metrics",
    "multiscale_mse",
    "nearest_upsample",
    "nichol_cosine",
    "rho",
    "sample",
    "upsample_guidance",
    "vp_linear",
]
