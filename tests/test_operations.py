"""Every public function, through the table of operations: libraries, dtypes, scales, inputs, threads, memory."""

import contextlib
import csv
import hashlib
import importlib
import inspect
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lina._core.array import dtype_name
from tests.backends import BACKENDS, selected
from tests.operation import Operation
from tests.operations import OPERATIONS

DTYPES = ["float32", "float64", "complex64", "complex128"]
REAL = {"float32": "float32", "float64": "float64", "complex64": "float32", "complex128": "float64"}
CASES = [(op, name) for op in OPERATIONS for name in selected() if name in op.backends]
TYPED = [(op, name, t) for op, name in CASES for t in DTYPES if BACKENDS[name].complex or "float" in t]
# what follows from numpy inputs alone is tested once, where numpy is among the backends
ON_NUMPY = OPERATIONS if "numpy" in selected() else []
ROOMS = ("diffusion", "diffusion.metrics", "hippo", "linalg", "rope", "simplex", "simplex.flow", "ssm")
# Functions of numbers, names, files and other functions, which have no arrays to be moved and scaled.
WITHOUT_A_ROW = {
    *(f"diffusion.{name}" for name in ("align_snr", "cosine", "discrete", "edm", "flow", "interpolate_shift")),
    *(f"diffusion.{name}" for name in ("match_time", "nichol_cosine", "rho", "vp_linear", "metrics.compare")),
    *("hippo.nplr", "hippo.transition", "linalg.load", "linalg.save"),
    *(f"rope.{name}" for name in ("bucket_of", "complementary_bases", "grid_positions", "hybrid_layers", "turns")),
    *(f"rope.{name}" for name in ("inverse_leaky_rerope", "log_n_scale", "random_positions", "suggest")),
    *(f"simplex.flow.{name}" for name in ("kullback_leibler", "langevin_flow", "quantile_flow", "svgd_flow")),
}
each_operation = pytest.mark.parametrize("op", ON_NUMPY, ids=lambda op: op.name)


def named(operations: list[Operation]) -> set[str]:
    return {op.name.partition(" (")[0] for op in operations}


def test_every_public_function_has_a_row_or_is_one_without():
    modules = {room: importlib.import_module(f"lina.{room}") for room in ROOMS}
    public = {
        f"{room}.{name}"
        for room, module in modules.items()
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
    }
    assert public - named(OPERATIONS) == WITHOUT_A_ROW


def test_the_figures_of_the_promises_are_those_of_these_functions():
    page = Path(__file__).parents[1] / "docs" / "promises" / "functions.csv"
    with page.open(encoding="utf-8") as file:
        assert {row["function"].strip("`") for row in csv.DictReader(file)} == named(OPERATIONS)


def active(op: Operation, name: str) -> Any:
    return BACKENDS[name].active(op.extensions) if name == "strictest" else contextlib.nullcontext()


def as_numpy(outputs: dict[str, Any]) -> dict[str, Any]:
    numpy = BACKENDS["numpy"]
    return {key: value if isinstance(value, float) else numpy.back(value) for key, value in outputs.items()}


@pytest.mark.parametrize(("op", "name", "dtype"), TYPED, ids=lambda c: getattr(c, "name", c))
def test_the_answer_is_right_and_stays_in_its_library(op, name, dtype):
    inputs = op.arrays(np.random.default_rng(1), dtype)
    with active(op, name):
        moved = [BACKENDS[name].move(x) for x in inputs]
        outputs = op.outputs(op.call(*moved))
        for key, value in outputs.items():
            if not isinstance(value, float):
                assert type(value).__module__ == type(moved[0]).__module__, key
                wanted = REAL[dtype] if key in op.real else dtype
                assert dtype_name(value) == wanted or key == "error", key
        assert op.error(inputs, as_numpy(outputs)) < 1


@pytest.mark.parametrize(("op", "name"), CASES, ids=lambda c: getattr(c, "name", c))
def test_the_generic_body_agrees_with_the_kernels_of_numpy(op, name):
    inputs = op.arrays(np.random.default_rng(2), "float64")
    with active(op, name):
        outputs = as_numpy(op.outputs(op.call(*[BACKENDS[name].move(x) for x in inputs])))
    expected = as_numpy(op.outputs(op.call(*inputs)))
    if "X" in expected:
        np.testing.assert_allclose(outputs["X"], expected["X"], rtol=1e-9, atol=1e-11)
    else:
        np.testing.assert_allclose(outputs["error"], expected["error"], rtol=1e-6)


@each_operation
@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_scales_lose_no_digits(op, scale, dtype):
    single = np.finfo(dtype).eps > 1e-10
    factor = np.asarray(scale ** (0.12 if single else 1.0), dtype=np.finfo(dtype).dtype)[()]
    (A, *others) = op.arrays(np.random.default_rng(3), dtype)
    outputs = as_numpy(op.outputs(op.call(A * factor, *others)))
    for key in {"X", "left", "error"} & set(outputs):
        outputs[key] = outputs[key] / factor**op.degree
    assert op.error((A, *others), outputs) < 1


@each_operation
@pytest.mark.parametrize("view", ["transposed", "strided", "reversed", "broadcast", "readonly", "byteswapped"])
def test_the_layout_of_the_input_does_not_matter(op, view):
    (A, *others) = op.arrays(np.random.default_rng(4), "float64")
    if view == "broadcast" and A.ndim == 2:
        A = np.broadcast_to(A[:1], A.shape)
    same = {
        "transposed": lambda: np.asfortranarray(A),
        "strided": lambda: np.repeat(A, 2, axis=-1)[..., ::2],
        "reversed": lambda: np.ascontiguousarray(A[..., ::-1])[..., ::-1],
        "broadcast": lambda: A,
        "readonly": lambda: BACKENDS["numpy:readonly"].move(A),
        "byteswapped": lambda: A.astype(A.dtype.newbyteorder()),
    }[view]()
    first = as_numpy(op.outputs(op.call(np.ascontiguousarray(A), *others)))
    second = as_numpy(op.outputs(op.call(same, *others)))
    key = "X" if "X" in first else "error"
    np.testing.assert_allclose(second[key], first[key], rtol=1e-8, atol=1e-12)


@each_operation
def test_inputs_are_never_modified(op):
    inputs = op.arrays(np.random.default_rng(5), "float64")
    before = [hashlib.sha256(x.tobytes()).hexdigest() for x in inputs]
    op.call(*inputs)
    assert [hashlib.sha256(x.tobytes()).hexdigest() for x in inputs] == before


@each_operation
def test_the_same_call_gives_the_same_bits(op):
    inputs = op.arrays(np.random.default_rng(6), "float64")
    first, second = (as_numpy(op.outputs(op.call(*inputs))) for _ in range(2))
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


@each_operation
def test_the_number_of_threads_does_not_change_the_bits(op, threads):
    inputs = op.arrays(np.random.default_rng(7), "float64")
    answers = []
    for count in (1, 2, 3, 8):
        threads(count)
        answers.append(as_numpy(op.outputs(op.call(*inputs))))
    for other in answers[1:]:
        for key, value in answers[0].items():
            np.testing.assert_array_equal(other[key], value)


@each_operation
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16"])
def test_integers_become_float64_and_halves_float32(op, dtype):
    (A, *others) = op.arrays(np.random.default_rng(8), "float64")
    whole = (A > 0) if dtype == "bool" else np.round(A * 100 / np.abs(A).max()).astype(dtype)
    wanted = "float32" if dtype == "float16" else "float64"
    outputs = op.outputs(op.call(whole, *others))
    expected = op.outputs(op.call(whole.astype(wanted), *others))
    for key, value in outputs.items():
        np.testing.assert_array_equal(value, expected[key])
        assert isinstance(value, float) or value.dtype == wanted


@each_operation
def test_a_call_takes_no_more_memory_than_its_row_says(op):
    inputs = op.arrays(np.random.default_rng(9), "float64")
    outputs = op.outputs(op.call(*inputs))  # once before, so that compiling and caches do not count
    size = sum(x.nbytes for x in inputs) + sum(x.nbytes for x in outputs.values() if not isinstance(x, float))
    tracemalloc.start()
    try:
        op.call(*inputs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < op.memory * size + 200_000
