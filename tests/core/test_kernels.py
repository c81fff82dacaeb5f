"""The kernel table: every row leads to a function, and a missing cache folder does no harm."""

import importlib.util
import os
import subprocess
import sys

import array_api_strict
import numba
import numpy as np
import pytest
from array_api_compat import numpy as numpy_namespace

from lina._core.kernels import TABLE, kernel, library
from lina._numba.jit import njit


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_every_row_names_a_function_that_exists(row):
    module, function = TABLE[row].split(":")
    needed = "numpy" if row[1] == "cupy" else row[1]  # launches of CUDA kernels import cupy when they are called
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"NOT TESTED: {TABLE[row]}, because there is no {needed}")
    assert callable(getattr(importlib.import_module(module), function))


def test_a_library_without_a_row_has_no_kernel():
    assert library(array_api_strict) == "array_api_strict"
    assert kernel("pinv_small", array_api_strict) is None
    assert kernel("pinv_small", numpy_namespace) is not None


def test_kernels_compile_where_no_folder_can_hold_a_cache(monkeypatch):
    real = numba.njit

    def without_a_folder(*args, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*args, **options)

    monkeypatch.setattr(numba, "njit", without_a_folder)
    half = njit(lambda x: x / 2)
    assert half(3) == 1.5
    assert np.isinf(njit(lambda x, y: x / y)(1.0, 0.0))


def test_a_read_only_cache_does_not_change_the_answer(tmp_path):
    code = (
        "import numpy as np\n"
        "from lina._numba.pinv_small import pinv_small\n"
        "print(pinv_small(np.full((1, 1, 1), 4.0, dtype='float32'))[0].item())"
    )
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def run():
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        return done.stdout.strip(), done.stderr

    assert run() == ("0.25", "")
    files = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert files
    for f in files:
        f.chmod(0o444)
    out, err = run()
    assert out == "0.25", err
