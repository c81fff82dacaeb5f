"""What is installed and what it runs on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import lina
from lina._core.threads import available_cpus

_NEEDED = ("numpy", "scipy", "numba", "array-api-compat")
_OPTIONAL = ("torch", "jax", "dask", "cupy", "cupy-cuda12x", "cupy-cuda13x")


def info() -> str:
    """Return versions, libraries, devices, threads and the cache folder as lines of text."""
    versions = {name: _version(name) for name in (*_NEEDED, *_OPTIONAL)}
    lines = [
        ("lina", lina.__version__),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, found or "not installed") for name, found in versions.items() if found or name in _NEEDED),
        ("not installed", ", ".join(name for name in _OPTIONAL if not versions[name])),
        ("BLAS", _blas()),
        ("GPU", _gpu()),
        ("CPUs", f"{available_cpus()} of {os.cpu_count()} available, {lina.get_threads()} threads for lina's kernels"),
        ("kernel cache", _cache_folder()),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _blas() -> str:
    import numpy  # noqa: F401  # loads the BLAS that is asked about
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return ", ".join(f"{b['internal_api']} {b['version']} (threads: {b['num_threads']})" for b in found) or "unknown"


def _gpu() -> str:
    if find_spec("cupy") is None:
        return "not used: cupy is not installed"
    try:
        import cupy

        runtime = cupy.cuda.runtime
        names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]
    except Exception as error:  # a missing driver or a broken installation is what is asked about
        return f"not used: cupy says: {error}".splitlines()[0]
    return ", ".join(names) or "not used: cupy finds no device"


def _cache_folder() -> str:
    from lina._numba.pinv_small import _pinv_rows

    # numba's own record of where it reads and writes, whatever the environment asked for
    folder = getattr(_pinv_rows.stats, "cache_path", None)
    return folder or "none: no folder is writable, kernels are compiled in every process"
