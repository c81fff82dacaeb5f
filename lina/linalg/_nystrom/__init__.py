"""The Nystrom approximation: ``public`` checks and certifies, ``blocks`` computes, ``matrix`` is what they read."""
