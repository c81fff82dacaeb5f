"""Row of the table of operations: upsample guidance."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina.diffusion import flow, upsample_guidance
from tests.diffusion.operations_images import field_row
from tests.reference.diffusion_images import block_means, guided_x0


def mirrored(x: Any, t: Any) -> Any:
    """Return a prediction of the flow from x that is linear and no multiple of it."""
    return (x + array_namespace(x).flip(x, axis=-1) / 2) * t


def exact(x: np.ndarray) -> np.ndarray:
    """Return the prediction of the guided clean image, x0 = x - t u, by hand: tau and rho of t = 1/2 and s = 2."""
    t, tau, rho = 1 / 2, 1 / 3, 3 / 4
    low = block_means(x, (2, 2)) / rho
    clean, low_clean = x - t * mirrored(x, t), low - tau * mirrored(low, tau)

    def down(y: np.ndarray) -> np.ndarray:
        return block_means(y, (2, 2))

    def up(y: np.ndarray) -> np.ndarray:
        return y.repeat(2, axis=-1).repeat(2, axis=-2)

    return (x - guided_x0(x, clean, low_clean, 0.2, down, up)) / t


ROWS = [
    field_row(
        "upsample_guidance",
        lambda x: upsample_guidance(mirrored, flow(), 2, prediction="flow")(x, 0.5),
        exact,
        memory=12.0,
    )
]
