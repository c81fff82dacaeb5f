"""A kernel that compiles in no time, for tests of what compiles all others."""

from lina._numba.jit import njit


@njit
def half(x):
    """Return x / 2."""
    return x / 2
