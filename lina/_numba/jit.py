"""The one way in which lina compiles a CPU kernel."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from lina._numba.cache import ForgivingCache


def njit(function: Callable[..., Any]) -> Any:
    """Compile ``function`` on first call, without the GIL, into the cache folder where one is writable.

    No fastmath (it makes isnan(nan) False) and no parallel=True (see ``lina._core.threads``). Division by zero
    gives an infinity as in numpy.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder to cache in
        return numba.njit(**options)(function)
    if hasattr(compiled, "_cache"):  # not where NUMBA_DISABLE_JIT leaves functions as they are
        compiled._cache = ForgivingCache(function)
    return compiled


def read_only(x: np.ndarray) -> np.ndarray:
    """Return ``x`` as kernels are compiled for, once per dtype: C-contiguous and read-only."""
    x = np.ascontiguousarray(x).view()
    x.flags.writeable = False
    return x
