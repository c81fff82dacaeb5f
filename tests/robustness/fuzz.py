"""Coverage-guided fuzzing: ``python -m tests.robustness.fuzz TARGET SECONDS`` looks for calls that end as none should.

It needs atheris. Kernels are interpreted, and those of the simplex called for the smallest arrays too, so that an index
out of bounds is an error. A string that fails is printed in hexadecimal digits: it goes into FOUND of test_fuzz.py.
"""

import importlib
import os
import sys
import tempfile
import time

TARGETS = ("fuzz_arguments", "fuzz_simplex")


def main(target: str, seconds: int) -> None:
    """Run a target for so many seconds; ends the process with its code."""
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    import atheris

    with atheris.instrument_imports(include=["lina"]):
        run = importlib.import_module(f"tests.robustness.{target}").run
        if target == "fuzz_simplex":  # in Python a logarithm out of its domain is an error, in a kernel it is NaN
            call_kernels_for_small_arrays()
    counts: dict[str, int] = {}
    began = time.perf_counter()

    def one_input(data: bytes) -> None:
        try:
            ended = run(data)
        except BaseException:
            print(f"FAILED {target}: {data.hex()}", flush=True)
            raise
        counts[ended] = counts.get(ended, 0) + 1
        if time.perf_counter() - began > seconds:
            total = sum(counts.values())
            print(f"{target}: {total} executions in {seconds} s, no crash; {counts}", flush=True)
            os._exit(0)

    with tempfile.TemporaryDirectory() as corpus:
        limits = [f"-artifact_prefix={corpus}/", "-max_len=400", "-timeout=60", "-rss_limit_mb=8000", "-verbosity=0"]
        atheris.Setup([sys.argv[0], corpus, *limits], one_input)
        atheris.Fuzz()


def call_kernels_for_small_arrays() -> None:
    """Let the kernels of the simplex run for arrays of any size."""
    from lina.simplex import _rows
    from lina.simplex._simplex_qp import batch, hybrid, public

    for module in (_rows, batch, hybrid, public):
        module.WORTH_COMPILING = 0  # type: ignore[attr-defined]
    _rows._LEAST.clear()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
