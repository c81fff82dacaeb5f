"""Called from other libraries: no copy on the way in and out, the device of the input, and nothing mixed."""

import doctest
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from lina import simplex
from lina._core import kernels
from lina._core.array import from_numpy, open_door, to_numpy
from tests.mixed_calls import CALLS, Call

PAGE = Path(__file__).parents[1] / "docs" / "call_from.rst"
SECTIONS = dict(re.findall(r"^([a-z-]+)\n-+\n\n(.*?)(?=^[a-z-]+\n-+\n|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
MARKS = {"cupy": [pytest.mark.gpu], **{name: [pytest.mark.torch] for name in ("torch", "diffusers", "transformers")}}
each_call = pytest.mark.parametrize("call", CALLS, ids=lambda c: c.name)


def address(x) -> int:
    """Return where the entries of an array or a tensor lie."""
    return x.data_ptr() if hasattr(x, "data_ptr") else x.__array_interface__["data"][0]


def tensors(call: Call) -> list:
    import torch

    return [torch.from_numpy(np.ascontiguousarray(x)) for x in call.arrays(np.random.default_rng(0))]


@pytest.fixture
def watched(monkeypatch):
    """Return a function that lets a numba kernel note where its input lies and where its output."""
    seen = []

    def watch(target: str):
        module, name = target.split(":")
        kernel = getattr(__import__(module, fromlist=[name]), name)

        def noting(x, *options):
            out = kernel(x, *options)
            seen.append((address(x), address(out)))
            return out

        monkeypatch.setitem(kernels._loaded, target, noting)
        return seen

    return watch


MAPPINGS = {"project_simplex": simplex.project_simplex, "entmax": simplex.entmax, "softmax": simplex.softmax}


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_kernel_reads_the_array_of_numpy_itself_and_its_output_is_returned(name, watched):
    seen = watched(f"lina._numba.{name}:{name}")
    x = np.random.default_rng(0).standard_normal((200, 100))
    out = MAPPINGS[name](x)
    assert seen == [(address(x), address(out))]


@pytest.mark.torch
@pytest.mark.parametrize("name", ["project_simplex", "entmax"])
def test_a_kernel_reads_the_tensor_itself_and_its_output_is_returned(name, watched):
    torch = pytest.importorskip("torch", reason="NOT TESTED: tensors, because there is no torch")
    seen = watched(f"lina._numba.{name}:{name}")
    x = torch.randn(200, 100, dtype=torch.float64)
    out = MAPPINGS[name](x)
    assert seen == [(address(x), address(out))]


@pytest.mark.torch
def test_a_tensor_and_its_numpy_array_are_one_memory():
    torch = pytest.importorskip("torch", reason="NOT TESTED: tensors, because there is no torch")
    x = torch.randn(30, 40, dtype=torch.float64, requires_grad=True)
    assert open_door(x=x)[1] is x
    assert address(to_numpy(x)) == address(x)
    values = np.ones((3, 4))
    assert address(from_numpy(values, x)) != address(values)  # a copy: what torch returns may be written to


def test_an_array_of_jax_passes_the_door_as_it_is_and_numpy_looks_at_its_memory():
    jax = pytest.importorskip("jax", reason="NOT TESTED: arrays of jax, because there is no jax")
    x = jax.numpy.ones((300, 400), dtype="float32")
    assert open_door(x=x)[1] is x
    seen = to_numpy(x)
    assert address(seen) == x.unsafe_buffer_pointer()
    assert not seen.flags.writeable


@each_call
def test_arrays_of_two_libraries_are_refused_by_name(call):
    strict = pytest.importorskip("array_api_strict")
    plain = call.arrays(np.random.default_rng(0))
    call.function(*plain)
    for i in set(range(1, len(plain))) - set(call.host):
        mixed = [strict.asarray(x) if j == i else x for j, x in enumerate(plain)]
        with pytest.raises(TypeError, match=r"must be (arrays|an array) of (one library|the library of)"):
            call.function(*mixed)


@pytest.mark.torch
@each_call
def test_numpy_arrays_among_tensors_are_refused_by_name_or_move_to_them(call):
    torch = pytest.importorskip("torch", reason="NOT TESTED: tensors, because there is no torch")
    plain = call.arrays(np.random.default_rng(0))
    for i in range(1, len(plain)):
        mixed = [plain[i] if j == i else x for j, x in enumerate(tensors(call))]
        if i in call.host:
            out = call.function(*mixed)
            assert isinstance(out[0] if isinstance(out, tuple) else out, torch.Tensor)
            continue
        with pytest.raises(TypeError, match=r"must be (arrays|an array) of (one library|the library of)"):
            call.function(*mixed)


@pytest.mark.torch
@each_call
def test_tensors_on_two_devices_are_refused_by_name(call):
    pytest.importorskip("torch", reason="NOT TESTED: tensors, because there is no torch")
    for i in range(1, len(tensors(call))):
        mixed = [x.to("meta") if j == i else x for j, x in enumerate(tensors(call))]
        with pytest.raises(ValueError, match=r"must be on one device, got .* on cpu, .* on meta"):
            call.function(*mixed)


@pytest.mark.parametrize(
    "mapping",
    [
        simplex.entmax,
        simplex.sparsemax,
        lambda x: simplex.soft_topk(x, 2),
        lambda x: simplex.soft_topk(x, 2, regularizer="entropic"),
        lambda x: simplex.topp_softmax(x, 0.9),
        lambda x: simplex.project_capped_simplex(x, upper=0.6),
        lambda x: simplex.kl_project(abs(x)),
        lambda x: simplex.project_simplex(x, return_threshold=True)[0],
        lambda x: simplex.entmax_loss(x, (x[:, 0] * 0).astype("int32")),
    ],
)
def test_mappings_run_in_the_default_precision_of_jax_without_a_warning(mapping):
    jax = pytest.importorskip("jax", reason="NOT TESTED: jax without float64, because there is no jax")
    x = np.random.default_rng(0).standard_normal((3, 5)).astype("float32")
    with jax.enable_x64(False):
        found = mapping(jax.numpy.asarray(x))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, mapping(x), atol=1e-5)


TWO_DEVICES = """
import dataclasses
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)
from tests.mixed_calls import CALLS

first, second = jax.devices("cpu")

def arrays(x):
    if isinstance(x, jax.Array):
        yield x
    elif isinstance(x, (tuple, list)):
        for each in x:
            yield from arrays(each)
    elif dataclasses.is_dataclass(x):
        yield from arrays([getattr(x, each.name) for each in dataclasses.fields(x)])

for call in CALLS:
    plain = call.arrays(np.random.default_rng(0))
    out = list(arrays(call.function(*(jax.device_put(x, second) for x in plain))))
    if not all(x.device == second for x in out):
        print(call.name, "left its device")
    for i in range(1, len(plain)):
        try:
            call.function(*(jax.device_put(x, second if j == i else first) for j, x in enumerate(plain)))
            print(call.name, "took two devices")
        except ValueError as error:
            if "must be on one device, got" not in str(error):
                print(call.name, error)
print("done")
"""


def test_arrays_of_jax_stay_on_their_device_and_two_devices_are_refused():
    pytest.importorskip("jax", reason="NOT TESTED: devices of jax, because there is no jax")
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout == "done\n", done.stdout + done.stderr[-2000:]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers
@pytest.mark.parametrize("library", [pytest.param(name, marks=MARKS.get(name, [])) for name in SECTIONS])
def test_the_page_prints_what_it_shows(library):
    module = {"scikit-learn": "sklearn"}.get(library, library)
    found = pytest.importorskip(module, reason=f"NOT TESTED: the page of calls from {library}, because not installed")
    lesson = doctest.DocTestParser().get_doctest(SECTIONS[library], {}, library, str(PAGE), 0)
    assert len(lesson.examples) > 3
    with found.enable_x64(False) if library == "jax" else nullcontext():  # as jax starts, whatever other tests set
        assert doctest.DocTestRunner().run(lesson).failed == 0


def test_the_page_has_a_section_for_each_library():
    wanted = ["numpy", "torch", "jax", "cupy", "dask", "scikit-learn", "diffusers", "transformers"]
    assert list(SECTIONS) == wanted
