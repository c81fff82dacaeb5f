"""Whether the tests notice defects: ``python -m tests.robustness.mutants`` puts in one after the other.

Each is put into a copy of the tree, where its tests run until the first fails; the copy is then as it was. First all
these tests run without a defect: they must pass. Numbers after the command choose from the list.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.robustness.mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PARTS = ("lina", "tests", "docs", "benchmarks", "README.md", "CHANGELOG.md", "pyproject.toml", "noxfile.py")
SECONDS = 300
FAILED = 1  # pytest's code where tests ran and some did not pass
NO_END = -1  # tests that a defect keeps from ending: of a loop without end it is the only sign


@contextmanager
def copied_tree() -> Iterator[Path]:
    """Give a folder with a copy of the tree and its compiled kernels."""
    with tempfile.TemporaryDirectory(prefix="lina_mutants_") as folder:
        copy = Path(folder) / "tree"
        copy.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("_build", "gallery"))
            elif source.exists():
                shutil.copy2(source, copy / part)
        yield copy


@contextmanager
def planted(mutant: Mutant, tree: Path) -> Iterator[None]:
    """Put the defect into the tree for the duration of the block."""
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file} must hold {mutant.old!r} once, found it {text.count(mutant.old)} times")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    if "_numba" in mutant.file:
        forget_compiled(tree)
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")
        if "_numba" in mutant.file:
            forget_compiled(tree)


def forget_compiled(tree: Path) -> None:
    """Remove compiled kernels: numba does not see that a function which they call has changed."""
    for each in (*tree.rglob("*.nbi"), *tree.rglob("*.nbc")):
        each.unlink()


def run_tests(tests: tuple[str, ...], tree: Path) -> int:
    """Return pytest's code, or NO_END."""
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    env.pop("NUMBA_CACHE_DIR", None)  # the copy has its own, beside the kernels
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return NO_END
    if done.returncode not in (0, FAILED):
        raise RuntimeError(f"pytest {' '.join(tests)} must run, found code {done.returncode}: {done.stdout[-2000:]}")
    return done.returncode


def main(chosen: list[int]) -> int:
    """Run the mutants of these places in the list, or all, and return how many were not caught."""
    mutants = [MUTANTS[i] for i in chosen] or list(MUTANTS)
    survived, began = [], time.perf_counter()
    with copied_tree() as tree:
        for tests in dict.fromkeys(mutant.tests for mutant in mutants):
            if run_tests(tests, tree) != 0:
                raise RuntimeError(f"tests must pass without a defect, but some of {' '.join(tests)} do not")
        for mutant in mutants:
            start = time.perf_counter()
            with planted(mutant, tree):
                code = run_tests(mutant.tests, tree)
            verdict = {FAILED: "caught", NO_END: "no end"}.get(code, "SURVIVED")
            print(f"{verdict:8} {time.perf_counter() - start:5.1f} s  {mutant.name}", flush=True)
            survived += [] if code in (FAILED, NO_END) else [mutant]
    caught = len(mutants) - len(survived)
    print(f"caught {caught} / {len(mutants)} in {time.perf_counter() - began:.0f} s")
    return len(survived)


if __name__ == "__main__":
    sys.exit(int(main([int(text) for text in sys.argv[1:]]) > 0))
