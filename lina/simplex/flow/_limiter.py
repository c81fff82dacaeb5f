"""Corrections of fluxes, limited so that no cell gives away more than it has."""

import numpy as np


def limited(p: np.ndarray, fluxes: list[np.ndarray], spacing: tuple[float, ...]) -> list[np.ndarray]:
    """Return ``fluxes`` through the inner faces along each axis, scaled down where they would empty a cell of ``p``.

    Each flux is scaled by the share that the cell it leaves can afford, so what one cell loses another one gains.
    """
    loss = np.zeros(p.shape)
    for axis, (flux, h) in enumerate(zip(fluxes, spacing, strict=True)):
        before, behind = _sides(axis)
        loss[before] += np.maximum(flux, 0) / h
        loss[behind] += np.maximum(-flux, 0) / h
    # a little less than all, so that rounding leaves nothing negative
    most = p * (1 - 1e-12)
    short = loss > most
    share = np.where(short, most / np.where(short, loss, 1.0), 1.0)
    scaled = []
    for axis, flux in enumerate(fluxes):
        before, behind = _sides(axis)
        scaled.append(flux * np.where(flux > 0, share[before], share[behind]))
    return scaled


def _sides(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    return (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
