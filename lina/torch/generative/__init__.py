"""Generative networks for torch that are trained by one loss, or idempotent by construction, and what to watch."""
