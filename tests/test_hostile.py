"""Bad input: a documented result or an error that names the argument; never a crash, never a silent wrong answer.

The cells run together in one child process, so that a crash is a failed test and not the end of the test run.
"""

import json
import subprocess
import sys

import pytest

from tests.operations import OPERATIONS

# name of the input -> (expression for the first argument, the exceptions allowed; none: a result is required)
INPUTS = {
    "NaN": ("np.where(np.eye(*A.shape[-2:]) > 0, np.nan, A)", ("ValueError",)),
    "infinity": ("np.where(np.eye(*A.shape[-2:]) > 0, np.inf, A)", ("ValueError",)),
    "minus infinity": ("np.where(np.eye(*A.shape[-2:]) > 0, -np.inf, A)", ("ValueError",)),
    "complex NaN": ("A + 1j * np.where(np.eye(*A.shape[-2:]) > 0, np.nan, 0)", ("ValueError",)),
    "a number": ("3.0", ("ValueError",)),
    "0-d": ("np.float64(3.0)", ("ValueError",)),
    "1-d": ("A.ravel()", ("ValueError",)),
    "ragged list": ("[[1.0, 2.0], [3.0]]", ("ValueError",)),
    "string": ("'matrix'", ("TypeError",)),
    "None": ("None", ("TypeError",)),
    "dict": ("{'a': 1}", ("TypeError",)),
    "object": ("A.astype(object)", ("TypeError",)),
    "text array": ("A.astype(str)", ("TypeError",)),
    "dates": ("A.astype('int64').astype('datetime64[s]')", ("TypeError",)),
    "longdouble": ("A.astype(np.longdouble)", ("TypeError",)),
    "structured": ("np.zeros((20, 8), dtype=[('a', 'f8')])", ("TypeError",)),
    "masked": ("np.ma.masked_less(A, 0)", ("TypeError",)),
    "sparse": ("scipy.sparse.csr_array(A.reshape(-1, A.shape[-1]))", ("TypeError",)),
    "list": ("A.tolist()", ()),
    "tuple": ("tuple(map(tuple, A)) if A.ndim == 2 else A.tolist()", ()),
    "zeros": ("A * 0", ()),
    "ones": ("A * 0 + 1", ()),
    "subnormal": ("A * 1e-310", ("ValueError", "OverflowError")),
    "huge": ("A / np.abs(A).max() * 1e308", ("OverflowError",)),
    "one entry": ("np.ones((1, 1))", ()),
    "one row": ("A[..., :1, :]", ()),
    "one column": ("A[..., :, :1]", ()),
}

CHILD = """
import json, sys, warnings
import numpy as np, scipy.sparse
warnings.simplefilter("error")
from tests.operations import OPERATIONS
cells = json.loads(sys.argv[1])
for op in OPERATIONS:
    if op.name not in sys.argv[2:]:
        continue
    A, *others = op.arrays(np.random.default_rng(0), "float64")
    for name, text in cells.items():
        try:
            outputs = op.outputs(op.call(eval(text), *others))
            bad = [k for k, v in outputs.items() if not np.all(np.isfinite(np.asarray(v)))]
            found = f"not finite: {bad}" if bad else "result"
            message = ""
        except Exception as error:
            found, message = type(error).__name__, str(error)
        print(json.dumps([op.name, name, found, message]), flush=True)
"""


def outcomes_of(*names):
    """Return how the cells of these rows end, {row: {cell: (what was found, message)}}; they share a child process."""
    cells = json.dumps({name: text for name, (text, _) in INPUTS.items()})
    done = subprocess.run(
        [sys.executable, "-c", CHILD, cells, *names], capture_output=True, text=True, timeout=600, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"the process died after {lines[-1:]}: {done.stderr[-2000:]}"
    outcomes = {name: {} for name in names}
    for operation, cell, found, message in lines:
        outcomes[operation][cell] = found, message
    return outcomes


def wrong_cells(op, outcomes):
    """Return the cells of a row that end as none should."""
    wrong = {}
    for name, (_, usual) in INPUTS.items():
        found, message = outcomes[name]
        allowed = op.hostile.get(name, usual)
        if found in allowed:
            fine = f"{op.argument} " in message or "1..min(m, n)" in message
        else:
            fine = found == "result" and (not allowed or name in ("subnormal", "huge"))
        if not fine:
            wrong[name] = (found, message)
    return wrong


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_hostile_input_gets_a_result_or_an_error_that_names_the_argument(op):
    outcomes = outcomes_of(op.name)[op.name]
    assert set(outcomes) == set(INPUTS)
    assert not wrong_cells(op, outcomes)
