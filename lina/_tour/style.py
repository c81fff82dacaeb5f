"""The look of the tour's figures."""

import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas
from PIL import Image

# Okabe and Ito: distinct for every kind of colour vision
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#2b313b", "#767c86", "#e4e7eb"

_SETTINGS = {
    "figure.dpi": 100,
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 7,
}


def look() -> Any:
    """Return the context in which the figures are drawn."""
    return rc_context(_SETTINGS)


def figure(width: float, height: float, **grid: Any) -> tuple[Any, Any]:
    """Return (figure, axes) of a size in inches, drawn by Agg when it is saved."""
    canvas = Canvas(figsize=(width, height), layout="constrained")
    return canvas, canvas.subplots(**grid)


def picture(axis: Any, image: Any, title: str = "", **options: Any) -> None:
    """Show an image without axes."""
    axis.imshow(image, **options)
    axis.set_title(title)
    axis.set_axis_off()


def to_png(canvas: Any, dpi: int = 200, colours: int = 96) -> bytes:
    """Return the figure as PNG bytes, with a palette of so many colours, or all for 0."""
    full, small = io.BytesIO(), io.BytesIO()
    canvas.savefig(full, format="png", dpi=dpi)
    image = Image.open(full).convert("RGB")
    if colours:
        image = image.quantize(colours, kmeans=3, dither=Image.Dither.NONE)
        palette = np.array(image.getpalette()).reshape(-1, 3)
        palette[palette.min(axis=1) >= 248] = 255  # the paper: averaging has made it grey
        image.putpalette(palette.ravel().tolist())
    image.save(small, format="png", optimize=True)
    return small.getvalue()
