"""The figures of docs/promises.rst, counted from the table of operations: ``python -m tests.robustness.promises``.

Every row runs in every dtype and every library that is installed here, and on every hostile input; what is written
is the number of cells and, for each function, the largest error over its bound.
"""

import contextlib
import csv
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from tests.backends import BACKENDS, selected
from tests.operation import Operation
from tests.operations import OPERATIONS
from tests.test_hostile import INPUTS, outcomes_of, wrong_cells

FOLDER = Path(__file__).parents[2] / "docs" / "promises"
DTYPES = ("float32", "float64", "complex64", "complex128")


def function_of(op: Operation) -> str:
    """Return the name of the function of a row, which may have several."""
    return op.name.partition(" (")[0]


def error_of(op: Operation, backend: str, dtype: str, seed: int = 1) -> float:
    """Return the error over its bound in one library and dtype."""
    inputs = op.arrays(np.random.default_rng(seed), dtype)
    library = BACKENDS[backend]
    active = library.active(op.extensions) if backend == "strictest" else contextlib.nullcontext()
    with active:
        outputs = op.outputs(op.call(*[library.move(x) for x in inputs]))
        back = {key: x if isinstance(x, float) else library.back(x) for key, x in outputs.items()}
    return float(op.error(inputs, back))


def errors() -> tuple[dict[str, float], int, int]:
    """Return the largest error over bound by function, the cells that ran, and those that conform."""
    largest: dict[str, float] = defaultdict(float)
    ran = conform = 0
    for op in OPERATIONS:
        for backend in selected():
            if backend not in op.backends:
                continue
            dtypes = [t for t in DTYPES if BACKENDS[backend].complex or "complex" not in t]
            found = [error_of(op, backend, dtype) for dtype in dtypes]
            ran, conform = ran + len(found), conform + sum(error < 1 for error in found)
            largest[function_of(op)] = max(largest[function_of(op)], *found)
    return dict(largest), ran, conform


def hostile() -> tuple[int, int]:
    """Return the number of hostile cells, and how many of them end as none should; a crash is an error."""
    rows = {op.name: op for op in OPERATIONS}
    names = sorted(rows)
    count = wrong = 0
    for start in range(0, len(names), 40):
        for name, outcomes in outcomes_of(*names[start : start + 40]).items():
            assert set(outcomes) == set(INPUTS)
            count, wrong = count + len(outcomes), wrong + len(wrong_cells(rows[name], outcomes))
    return count, wrong


def cut(error: float) -> str:
    """Return a quotient in three digits, cut and not rounded: a sharp bound is no broken one."""
    return f"{int(error * 1000) / 1000:.3f}" if error >= 0.001 else f"{error:.0e}"


def write(name: str, head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Write a table of the page."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


def main() -> int:
    """Write both tables; return 1 where a cell breaks a promise, and 0 otherwise."""
    warnings.simplefilter("ignore")
    largest, ran, conform = errors()
    cells, wrong = hostile()
    libraries: dict[str, set[str]] = defaultdict(set)
    for op in OPERATIONS:
        libraries[function_of(op)] |= set(op.backends)
    table = [(f"``{name}``", len(libraries[name]), cut(largest[name])) for name in sorted(largest)]
    write("functions.csv", ("function", "libraries", "error / bound"), table)
    figures = [
        ("functions in the table of operations", len(largest)),
        ("functions x libraries that it declares", sum(map(len, libraries.values()))),
        ("libraries installed in this run", " ".join(selected())),
        ("cells of row x library x dtype run, conforming", f"{ran}, {conform}"),
        ("largest error over its bound", cut(max(largest.values()))),
        ("hostile cells tried, with an outcome that is not defined", f"{cells}, {wrong}"),
        ("crashes", 0),  # one would have ended this run
    ]
    write("figures.csv", ("figure", "value"), figures)
    for name, value in figures:
        print(f"{name}: {value}")
    return int(ran > conform or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
