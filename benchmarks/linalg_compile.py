"""How long does the first call of each CPU kernel take, with an empty cache and with a full one?"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.runner import Case, Question

_LINE = re.compile(r"^(\S+)\s+(\S+)\s+([\d.]+) s$", re.MULTILINE)


def warmup(folder: str) -> dict[str, float]:
    """Return the seconds of the first call per kernel and dtype, in a fresh process with a cache folder."""
    env = {**os.environ, "NUMBA_CACHE_DIR": folder}
    done = subprocess.run([sys.executable, "-m", "lina", "warmup"], env=env, capture_output=True, text=True, check=True)
    return {f"{kernel} {dtype}": float(seconds) for kernel, dtype, seconds in _LINE.findall(done.stdout)}


def cases(_quick: bool) -> Iterator[Case]:
    """Nothing is raced here: the times are the table."""
    yield from ()


def first_calls() -> dict[str, tuple[float, float]]:
    """Return (cold, warm) seconds per kernel and dtype; the first row of each also pays for loading numba."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = warmup(folder), warmup(folder)
    return {name: (cold[name], warm[name]) for name in cold}


def note() -> str:
    """Return the table as Markdown."""
    rows = [f"| {name} | {cold:.2f} | {warm:.2f} |" for name, (cold, warm) in first_calls().items()]
    return "\n".join(["| kernel | empty cache, s | full cache, s |", "|---|---:|---:|", *rows])


QUESTION = Question("How long does the first call of each CPU kernel take?", cases, note=note)
