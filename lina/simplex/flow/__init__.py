"""Wasserstein gradient flows of densities: energies, and the methods that go down them."""

from lina.simplex.flow._result import Flow, GridFlow, ParticleFlow, QuantileFlow
from lina.simplex.flow.bounded_density import BoundedStep, bounded_density_step
from lina.simplex.flow.energies import Energy, Entropy, Interaction, Internal, Potential, kullback_leibler
from lina.simplex.flow.grid import grid_flow
from lina.simplex.flow.langevin import langevin_flow
from lina.simplex.flow.particles import particle_flow
from lina.simplex.flow.quantile import quantile_flow
from lina.simplex.flow.svgd import svgd_flow

__all__ = [
    "BoundedStep",
    "Energy",
    "Entropy",
    "Flow",
    "GridFlow",
    "Interaction",
    "Internal",
    "ParticleFlow",
    "Potential",
    "QuantileFlow",
    "bounded_density_step",
    "grid_flow",
    "kullback_leibler",
    "langevin_flow",
    "particle_flow",
    "quantile_flow",
    "svgd_flow",
]
