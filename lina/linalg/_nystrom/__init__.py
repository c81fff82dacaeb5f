"""Nystrom approximation: ``public`` checks and certifies, ``blocks`` and ``whole`` compute, ``matrix`` is read."""
