"""The machine and the software of a run: without them a time means nothing."""

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg  # its BLAS is listed
from threadpoolctl import threadpool_info

import lina
from lina._core.threads import available_cpus

PACKAGES = ("numpy", "scipy", "numba", "torch", "scikit-learn", "fbpca")


def describe() -> dict[str, Any]:
    """Return what identifies the machine, the software and the day."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "cores": available_cpus(),
        "memory_GB": _memory(),
        "load_at_start": round(load, 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "lina": lina.__version__,
        "versions": {name: _version(name) for name in PACKAGES},
        "blas": {"numpy": _blas(np), "scipy": _blas(scipy)},
    }


def _field(path: str, key: str) -> str | None:
    """Return the first value of ``key`` in a file of ``key : value`` lines, as Linux describes itself."""
    file = Path(path)
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _cpu() -> str:
    return _field("/proc/cpuinfo", "model name") or platform.processor() or "unknown"


def _memory() -> float | None:
    text = _field("/proc/meminfo", "MemTotal")
    return round(int(text.split()[0]) / 1e6, 1) if text else None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _blas(package: Any) -> str:
    """Return the BLAS shipped beside ``package``, or whatever BLAS is loaded."""
    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    own = [each for each in found if f"{package.__name__}.libs" in each["filepath"]] or found
    parts = (own[0]["internal_api"], own[0].get("version"), own[0].get("architecture")) if own else ("unknown",)
    return " ".join(str(part) for part in parts if part)
