"""The look of the tour's figures."""

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from PIL import Image

# Okabe and Ito: distinct for every kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"

_SETTINGS = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
}


def figure(width: float, height: float, **grid: Any) -> tuple[Any, Any]:
    """Return (figure, axes) of a size in inches."""
    with plt.rc_context(_SETTINGS):
        return plt.subplots(figsize=(width, height), **grid)


def picture(axis: Any, image: Any, title: str) -> None:
    """Show an image without axes."""
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title)
    axis.set_axis_off()


def to_png(fig: Any, dpi: int = 110) -> bytes:
    """Return the figure as PNG bytes of 128 colours, and close it."""
    full, small = io.BytesIO(), io.BytesIO()
    with plt.rc_context(_SETTINGS):
        fig.savefig(full, format="png", dpi=dpi)
    plt.close(fig)
    Image.open(full).convert("RGB").quantize(128).save(small, format="png", optimize=True)
    return small.getvalue()
