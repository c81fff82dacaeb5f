"""The command line: every verb, with and without the optional packages."""

import importlib.util
import inspect
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lina.__main__ import main
from lina._core.kernels import TABLE
from lina._tour import hippo as tour_of_memories
from lina._tour import info, run
from lina._tour import warmup as warmup_of_kernels
from lina._tour.chapter import Chapter, Part, Row, percent_up, rounded_up
from lina._tour.least_squares import normal_equations_bound, refined_solution
from lina._tour.warmup import KERNELS, warmup
from lina.hippo import basis

OPTIONAL = ("matplotlib", "rich", "sklearn", "PIL")

BLOCKED = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {OPTIONAL}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Block())
from lina.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

needs_the_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in OPTIONAL),
    reason='NOT TESTED: the full tour, because its extra is not installed: pip install ".[tour]"',
)


def without_optional_packages(*arguments):
    return subprocess.run([sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True)


def test_info_prints_versions_devices_threads_and_the_cache(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for word in (
        "lina",
        "Python",
        "numpy",
        "scipy",
        "numba",
        "array-api-compat",
        "BLAS",
        "GPU",
        "CPUs",
        "kernel cache",
    ):
        assert re.search(rf"^{word}\s+\S", printed, re.MULTILINE), word


def test_info_imports_none_of_the_libraries_that_it_only_names():
    code = "import sys; from lina._tour.info import info; info(); print({'torch', 'jax', 'dask'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_info_says_why_a_gpu_is_not_used(monkeypatch):
    def no_driver():
        raise RuntimeError("CUDA driver version is insufficient\nand more")

    runtime = SimpleNamespace(getDeviceCount=no_driver)
    monkeypatch.setattr(info, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    assert info._gpu() == "not used: cupy says: CUDA driver version is insufficient"
    runtime.getDeviceCount = lambda: 0
    assert info._gpu() == "not used: cupy finds no device"
    runtime.getDeviceCount = lambda: 2
    runtime.getDeviceProperties = lambda i: {"name": f"device {i}".encode()}
    assert info._gpu() == "device 0, device 1"


def test_info_names_the_cache_folder_that_numba_uses(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    code = "from lina._tour.info import _cache_folder as f; print(f())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).startswith(str(tmp_path))


def test_warmup_leaves_nothing_to_compile_for_any_dtype(capsys):
    from lina._numba.pinv_small import _pinv_rows, pinv_small

    assert [(name, dtype) for name, dtype, _ in warmup()] == [(n, d) for n, (_, ds) in KERNELS.items() for d in ds]
    assert len(re.findall(r"^pinv_small\s+\S+\s+\d+\.\d\d s$", capsys.readouterr().out, re.MULTILINE)) == 4
    before = list(_pinv_rows.signatures)
    for dtype in ("float32", "float64", "complex64", "complex128"):
        pinv_small(np.ones((130, 5, 3), dtype=dtype))
        pinv_small(np.asfortranarray(np.ones((3, 4, 4), dtype=dtype))[::-1])
    assert list(_pinv_rows.signatures) == before


def test_the_numeric_tour_needs_no_optional_package():
    done = without_optional_packages("tour", "--numeric")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"true error\s+(\S+), at most\s+(\S+) \((?:rigorous|probabilistic)\)", done.stdout)
    assert len(rows) == 21
    assert all(float(true) <= float(bound) for true, bound in rows)


def test_the_tour_says_in_one_sentence_what_it_needs(tmp_path):
    done = without_optional_packages("tour", "--out", str(tmp_path / "page"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert 'the tour needs matplotlib, rich, scikit-learn and pillow: pip install "lina-array[tour]"' in done.stderr
    assert not (tmp_path / "page").exists()


@needs_the_extra
def test_the_tour_says_in_one_sentence_where_it_cannot_write(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["tour", "--out", str(tmp_path / "file" / "page")]) == 1
    assert re.fullmatch(r"the tour cannot write to .*page: Not a directory\n", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [[], ["travel"], ["info", "--fast"]])
def test_an_unknown_verb_or_option_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: lina" in capsys.readouterr().err


def test_a_certificate_that_fails_ends_the_tour_with_status_1(monkeypatch, capsys):
    part = Part("a part", tuple, lambda: ([Row("too sure", "1", 2.0, 1.0, "rigorous", "", 0.0)], None))
    module = SimpleNamespace(chapter=lambda: Chapter("A chapter", "", [part]))
    monkeypatch.setattr(run, "CHAPTERS", ("a module",))
    monkeypatch.setattr(run, "import_module", lambda name: module)
    assert main(["tour", "--numeric"]) == 1
    assert capsys.readouterr().err == "too sure: the true error exceeds the certificate\n"


def test_a_printed_bound_is_never_below_the_bound():
    values = np.random.default_rng(0).lognormal(-5, 9, 500).tolist()
    assert all(x <= float(rounded_up(x)) <= 1.0011 * x for x in values)
    assert rounded_up(0.13814465) == "0.1382"
    assert percent_up(0.10001) == "10.1 %"


@pytest.mark.parametrize("ridge", [0.0, 0.25])
def test_the_bound_of_a_least_squares_solution_holds_and_the_reference_is_exact(ridge):
    A = np.array([[1.0, 0.0], [0.0, 0.5], [0.0, 0.0]])
    B = np.array([[1.0], [1.0], [7.0]])
    exact = np.array([[1.0], [0.5]]) / (np.array([[1.0], [0.25]]) + ridge)
    assert np.array_equal(refined_solution(A, B, np.asarray(ridge)).astype(float), exact)
    for wrong in (0.0, 1e-14, 1e-6, 1.0):
        error = np.array([[0.0], [wrong]])
        bound = normal_equations_bound(A, B, exact + error, np.asarray(ridge), 0.5)
        assert wrong <= bound <= (1 + 1e-9) * wrong + 1e-12


@pytest.mark.parametrize("measure", ["legs", "fout"])
def test_the_tour_knows_the_error_of_a_memory_by_other_means(measure):
    u, x = np.array([1.0, -2.0, 0.5, 0.25]), np.array([0.5, -1.0, 0.25, 0.0, 2.0])
    t = (np.arange(40_000) + 0.5) / 40_000
    fine = np.repeat(u, 10_000)
    table = basis(measure, 5, t)
    np.testing.assert_allclose(tour_of_memories.projection(u, 5, measure), fine @ table / 40_000, atol=1e-4)
    error, least = tour_of_memories.true_error(x, u, measure)
    assert error == pytest.approx(np.sqrt(np.mean((fine - table @ x) ** 2)), rel=1e-4)
    closest = table @ np.linalg.lstsq(table, fine)[0]
    assert least == pytest.approx(np.sqrt(np.mean((fine - closest) ** 2)), rel=1e-4)


@needs_the_extra
def test_the_page_is_whole_in_itself_and_every_certificate_holds(tmp_path, monkeypatch, capsys):
    seen = []
    verdict = run._verdict
    monkeypatch.setattr(run, "_verdict", lambda chapters: seen.extend(chapters) or verdict(chapters))
    assert main(["tour", "--out", str(tmp_path)]) == 0
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|@import|url\(|(src|href)=\"(?!data:)", html)
    figures = [figure for chapter in seen for figure in chapter.figures]
    assert html.count("<img ") == len(figures) == 17
    assert len(re.findall(r'<img class="\w+" alt="[^"]{40,}" src="data:image/png;base64,iVBOR', html)) == 17
    assert all(figure.asked and figure.seen and figure.certified for figure in figures)
    rows = [row for chapter in seen for row in chapter.rows]
    assert len(rows) == 20
    assert all(row.true_error <= row.certificate for row in rows)
    assert str(tmp_path / "index.html") in capsys.readouterr().out


@needs_the_extra
def test_the_picture_of_the_readme_is_small(tmp_path):
    from lina._tour.linalg_figures import readme_picture

    readme_picture(tmp_path / "tour.png")
    assert 30_000 < (tmp_path / "tour.png").stat().st_size < 150_000


def test_warmup_knows_the_file_of_every_kernel_of_the_table():
    text = inspect.getsource(warmup_of_kernels)
    files = {target.partition(":")[0] for target in TABLE.values() if target.startswith("lina._numba.")}
    for name in (each.rpartition(".")[2] for each in files):
        assert f"_numba.{name} import" in text or f"_numba import {name} as" in text, name
