"""What is installed and what it runs on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import lina

_PACKAGES = ("numpy", "scipy", "numba", "array-api-compat", "torch", "jax", "dask", "cupy-cuda12x", "cupy-cuda13x")


def info() -> str:
    """Return versions, libraries, devices, threads and the cache folder as lines of text."""
    lines = [
        ("lina", lina.__version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, _version(name)) for name in _PACKAGES),
        ("BLAS", _blas()),
        ("GPU", _gpu()),
        ("threads", f"{lina.get_threads()} of lina's pool, {os.cpu_count()} CPUs"),
        ("kernel cache", _cache_folder()),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _blas() -> str:
    import numpy  # noqa: F401  # loads the BLAS that is asked about
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return ", ".join(f"{b['internal_api']} {b['version']} ({b['num_threads']} threads)" for b in found) or "unknown"


def _gpu() -> str:
    if find_spec("cupy") is None:
        return "none: cupy is not installed"
    import cupy

    if not cupy.is_available():
        return "none: cupy finds no CUDA device"
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return f"{name} (cupy {cupy.__version__})"


def _cache_folder() -> str:
    from lina._numba.pinv_small import _pinv_rows

    folder = getattr(_pinv_rows.stats, "cache_path", None)
    return "none: no folder is writable, kernels are compiled in every process" if folder is None else str(Path(folder))
