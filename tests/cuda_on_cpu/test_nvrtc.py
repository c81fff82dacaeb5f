"""Every CUDA text of lina compiles for real architectures without a remark and without spilling."""

from pathlib import Path

import pytest

import lina._cuda
from lina._cuda.load import REAL_NAMES
from tests.cuda_on_cpu.nvrtc import NO_NVRTC, CompileError, compile_for, find_library

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(find_library() is None, reason=NO_NVRTC)]

FOLDERS = Path(lina._cuda.__file__).parent, Path(__file__).parents[2] / "benchmarks" / "gpu"
TEXTS = sorted(path for folder in FOLDERS for path in folder.glob("*.cu"))


def test_there_are_texts_to_compile():
    assert "pinv_small.cu" in {path.name for path in TEXTS}


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("real", REAL_NAMES.values())
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_a_text_compiles_without_a_remark_or_a_spill(path, real, architecture):
    text = path.read_text(encoding="utf-8")
    assert "#include" not in text.replace("(no #include)", "")
    compiled = compile_for(text, architecture, (f"-DREAL={real}", "--std=c++17"))
    assert compiled.cubin.startswith(b"\x7fELF")
    assert compiled.log == ""
    assert len(compiled.registers) == text.count("__global__")
    assert max(compiled.spilled_bytes) == 0
    assert max(compiled.registers) <= 64  # beyond that a multiprocessor holds less than half of its threads


def test_a_kernel_that_needs_local_memory_is_noticed():
    text = """extern "C" __global__ void k(float* x, int n) {
        float copy[100];
        for (int i = 0; i < 100; ++i) copy[i] = x[i];
        x[0] = copy[n];
    }"""
    assert compile_for(text, "sm_90").spilled_bytes == [400]


def test_a_warning_is_noticed():
    assert "never referenced" in compile_for('extern "C" __global__ void k() { int unused; }', "sm_90").log


def test_an_error_is_raised_with_its_line():
    with pytest.raises(CompileError, match=r'kernel\.cu\(2\): error: identifier "y" is undefined'):
        compile_for('extern "C" __global__ void k(float* x) {\n x[0] = y; }', "sm_90")
