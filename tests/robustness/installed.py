"""Whether an installed lina works without torch, and how long its first call takes: cold, then warm.

Run by an interpreter into which the wheel and nothing else was installed, outside of the repository, with a folder of
its own for compiled kernels in NUMBA_CACHE_DIR.
"""

import os
import shutil
import subprocess
import sys

CHILD = """
import sys, time
start = time.perf_counter()
import lina
light = time.perf_counter() - start
import numpy as np
for room in (lina.diffusion, lina.hippo, lina.linalg, lina.rope, lina.simplex, lina.ssm):
    dir(room)
rooms = time.perf_counter() - start
x = np.random.default_rng(0).standard_normal((4000, 100))
first, second = [], []
for times in (first, second):
    start = time.perf_counter()
    p = lina.simplex.project_simplex(x)
    times.append(time.perf_counter() - start)
assert np.allclose(p.sum(axis=1), 1.0) and np.all(p >= 0)
A = x[:60, :40]
assert np.allclose(A @ lina.linalg.pinv(A) @ A, A)
assert "torch" not in sys.modules and "site-packages" in lina.__file__
print(f"import {light:.3f} s, all rooms {rooms:.2f} s, first call {first[0]:.2f} s, second {second[0]:.4f} s")
"""


def main() -> None:
    """Print the times with a cold and with a warm cache."""
    shutil.rmtree(os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)
    for cache in ("cold", "warm"):
        done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        print(f"Python {sys.version.split()[0]}, {cache}: {done.stdout.strip()}")


if __name__ == "__main__":
    main()
