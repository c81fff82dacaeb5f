"""Diffusion models for torch: networks, their training and the way to those of other packages."""
