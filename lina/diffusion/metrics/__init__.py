"""Distances between sets of generated and of real samples, each beside what real samples have among themselves."""

from lina.diffusion.metrics._compare import Comparison, Measured, compare
from lina.diffusion.metrics._frechet import frechet_distance, gaussian_frechet_distance
from lina.diffusion.metrics._kid import kid
from lina.diffusion.metrics._precision_recall import precision_recall
from lina.diffusion.metrics._radial_spectrum import radial_spectrum
from lina.diffusion.metrics._sliced_wasserstein import sliced_wasserstein

__all__ = [
    "Comparison",
    "Measured",
    "compare",
    "frechet_distance",
    "gaussian_frechet_distance",
    "kid",
    "precision_recall",
    "radial_spectrum",
    "sliced_wasserstein",
]
