"""``import lina`` is light: the heavy libraries wait for their first use."""

import subprocess
import sys

HEAVY = ("numba", "torch", "cupy", "jax", "dask", "scipy", "matplotlib")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_lina_loads_no_heavy_library():
    loaded = run(f"import sys, lina; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_importing_lina_takes_less_than_three_tenths_of_a_second():
    code = "import time; t = time.perf_counter(); import lina; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(3)) < 0.3


def test_the_linalg_room_needs_neither_numba_nor_torch():
    loaded = run(
        "import sys, lina; lina.linalg.pinv([[1.0]]); print([m for m in ('numba', 'torch') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_the_rooms_are_listed():
    assert {"linalg", "torch", "set_threads"} <= set(run("import lina; print(*dir(lina))").split())


def test_the_version_is_that_of_the_distribution():
    code = "import importlib.metadata, lina; print(lina.__version__ == importlib.metadata.version('lina-array'))"
    assert run(code).strip() == "True"
