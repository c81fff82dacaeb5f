"""idempotence_report: whether a network is idempotent, and whether that means anything."""

from __future__ import annotations  # as text: the documentation is built without torch

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lina._core.checks import check_count
from lina.torch.generative.checks import check_finite, check_samples, check_weight, same_shape

# Below this share of the diversity of data a network counts as collapsed.
COLLAPSED = 0.5
# From this share of the noise on data on, a network that leaves it is no projector onto anything.
_KEPT = 0.99


@dataclass(frozen=True)
class IdempotenceReport:
    """What `idempotence_report` has found; its text is a table with a verdict.

    Attributes
    ----------
    idempotence : float
        norm(G(y) - y) / norm(y) over all samples y = G(z): 0 for a projector, and for a constant map.
    drift : float
        norm(G^k(z) - y) / norm(y) after ``applications`` k.
    reconstruction : float
        norm(G(x) - x) / norm(x): 0 where data are fixed points.
    projection : float
        norm(G(x + e) - x) / norm(x) for Gaussian noise e.
    noise : float
        norm(e) / norm(x), which the projection should be well below.
    diversity : float
        Mean distance of pairs of samples y, over that of pairs of data.
    applications : int
    """

    idempotence: float
    drift: float
    reconstruction: float
    projection: float
    noise: float
    diversity: float
    applications: int

    @property
    def collapsed(self) -> bool:
        """Whether samples differ by less than half as much as data do: idempotence then means nothing."""
        return self.diversity < COLLAPSED

    def __str__(self) -> str:
        rows = {
            "idempotence error": self.idempotence,
            f"drift after {self.applications} applications": self.drift,
            "reconstruction error": self.reconstruction,
            f"projection error ({self.noise:.3g} before)": self.projection,
            "diversity (data: 1)": self.diversity,
        }
        lines = [f"{name:34}{value:>10.3g}" for name, value in rows.items()]
        if self.collapsed:
            lines.append("COLLAPSED: samples differ too little from each other for the idempotence to mean anything")
        elif self.reconstruction > self.projection or self.reconstruction > 1:
            lines.append("data are no fixed points: what is idempotent is another set")
        elif self.projection >= _KEPT * self.noise > 0:
            lines.append("noise stays on data: it does not project onto them, as the identity does not")
        return "\n".join(lines)


def idempotence_report(
    model: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    z: torch.Tensor,
    *,
    applications: int = 10,
    noise: float = 0.5,
    generator: torch.Generator | None = None,
) -> IdempotenceReport:
    """Return idempotence, reconstruction and diversity together, as none of them means much without the others.

    Parameters
    ----------
    model : callable
        G, which returns samples of the shape that it is given; a module is put into evaluation mode meanwhile.
    x : tensor, shape (n, ...)
        Data that took no part in training, at least two samples.
    z : tensor, shape (m, ...)
        Noise, at least two samples of the same shape.
    applications : int
        k of the drift, at least 2.
    noise : float
        Standard deviation of the noise that is added to data, in units of that of the entries of ``x``.
    generator : torch.Generator, optional
        Source of this noise.

    Returns
    -------
    report : IdempotenceReport
        A map to one point, or to a few, is perfectly idempotent: ``report.collapsed`` says so, and so does its text.
        The identity is too, and its text says that it leaves the noise on data.

    Raises
    ------
    TypeError
        If samples are no tensors of real floats.
    ValueError
        If the model returns another shape or values that are not finite, there are fewer than two samples, all data are
        equal, or a number is out of range.

    Notes
    -----
    ``applications`` + 3 passes, and n (n - 1) / 2 distances. Samples that are few modes far from each other have a high
    diversity: see `lina.diffusion.metrics.precision_recall` for what is missed. Zero over zero counts as 0.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import idempotence_report
    >>> x = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    >>> report = idempotence_report(torch.zeros_like, x, x)
    >>> report.idempotence, report.collapsed
    (0.0, True)
    """
    count, scale = check_count(applications, "applications", 2), check_weight(noise, "noise")
    _check(x, z)
    with torch.no_grad():
        spread = _mean_distance(x)
        if spread == 0:
            raise ValueError("x must have samples that differ, found equal ones: diversity is relative to theirs")
        where = x.device if generator is None else generator.device
        draws = torch.randn(x.shape, dtype=x.dtype, generator=generator, device=where).to(x.device)
        added = (scale * x.double().std() * draws).to(x.dtype)
        with _evaluation(model):
            once = same_shape(model, z)
            twice = again = same_shape(model, once)
            for _ in range(count - 2):
                again = same_shape(model, again)
            kept, cleaned = same_shape(model, x), same_shape(model, x + added)
        for each in (again, kept, cleaned):
            check_finite(each, "model must return finite samples, found NaN or infinities")
        return IdempotenceReport(
            idempotence=_ratio(twice - once, once),
            drift=_ratio(again - once, once),
            reconstruction=_ratio(kept - x, x),
            projection=_ratio(cleaned - x, x),
            noise=_ratio(added, x),
            diversity=_mean_distance(once) / spread,
            applications=count,
        )


def _check(x: Any, z: Any) -> None:
    for name, each in (("x", x), ("z", z)):
        check_samples(each, name)
        if len(each) < 2:
            raise ValueError(f"{name} must have at least two samples, got shape {tuple(each.shape)}")
    if z.shape[1:] != x.shape[1:]:
        raise ValueError(f"z must have samples of the shape {tuple(x.shape[1:])} of those in x, got {tuple(z.shape)}")


def _ratio(difference: torch.Tensor, reference: torch.Tensor) -> float:
    top, bottom = (float(torch.linalg.vector_norm(each.double())) for each in (difference, reference))
    if top == 0:
        return 0.0
    return top / bottom if bottom else float("inf")


def _mean_distance(x: torch.Tensor) -> float:
    # distances are not there for half precision
    return float(torch.pdist(x.flatten(1).to(torch.promote_types(x.dtype, torch.float32))).mean())


@contextmanager
def _evaluation(model: Any) -> Iterator[None]:
    """Put the parts of a module into evaluation mode, and each back into its own."""
    parts = [each for each in model.modules() if each.training] if isinstance(model, nn.Module) else []
    try:
        for each in parts:
            each.training = False
        yield
    finally:
        for each in parts:
            each.training = True
