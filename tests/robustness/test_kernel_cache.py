"""What becomes of the folder of compiled kernels changes the time of a call, and never its result."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import warnings
warnings.simplefilter("error")
from tests.robustness.small_kernel import half
print(half(1), half(1.0))
"""
RIGHT = "0.5 0.5\n"


def run(folder, code=CODE, **more):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder), **more}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    assert run(folder) == RIGHT
    return folder


def files(folder, ending):
    found = sorted(Path(folder).rglob(f"*.{ending}"))
    assert found
    return found


DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "garbage": lambda data: bytes(range(256)) * 4,
    "zeros": lambda data: bytes(len(data)),
    "a pickle of something else": lambda data: b"\x80\x04K\x01.",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_damaged_files_are_compiled_anew_and_replaced(filled, tmp_path, ending, damage):
    for source in filled.rglob("*.nb?"):
        target = tmp_path / source.relative_to(filled)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    damaged = {each: DAMAGES[damage](each.read_bytes()) for each in files(tmp_path, ending)}
    for each, data in damaged.items():
        each.write_bytes(data)
    assert run(tmp_path) == RIGHT
    assert all(each.read_bytes() != data for each, data in damaged.items())


def test_a_writer_that_was_killed_leaves_nothing_that_matters(filled):
    for each in files(filled, "nbc"):
        (each.parent / f"{each.name}.tmp.0123456789abcdef").write_bytes(each.read_bytes()[:100])
    assert run(filled) == RIGHT


def test_a_folder_that_is_absent_is_made(tmp_path):
    folder = tmp_path / "not" / "yet"
    assert run(folder) == RIGHT
    assert files(folder, "nbc")


def test_a_folder_that_vanishes_after_the_import_does_no_harm(tmp_path):
    code = CODE.replace("print", f"import shutil; shutil.rmtree({str(tmp_path)!r})\nprint", 1)
    tmp_path.mkdir(exist_ok=True)
    assert run(tmp_path, code) == RIGHT


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="NOT TESTED: there is no folder here that refuses root")
@pytest.mark.parametrize("folder", ["/proc/lina", "/dev/null/lina"])
def test_a_folder_that_cannot_be_written_does_no_harm(folder):
    assert run(folder) == RIGHT


FULL = """
import errno
from numba.core.caching import IndexDataCacheFile
def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")
IndexDataCacheFile._save_index = IndexDataCacheFile._save_data = full
"""


def test_a_full_disk_does_no_harm(tmp_path):
    assert run(tmp_path, FULL + CODE) == RIGHT
    assert not list(tmp_path.rglob("*.nb?"))


def test_two_processes_that_compile_at_once_agree(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    workers = [
        subprocess.Popen([sys.executable, "-c", CODE], env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [worker.communicate(timeout=300)[0] for worker in workers] == [RIGHT, RIGHT]
    assert run(tmp_path) == RIGHT
