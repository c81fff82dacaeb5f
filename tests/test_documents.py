"""What the documents show runs, and says what they say."""

import doctest
import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python_blocks(path, fence):
    return re.findall(fence, (ROOT / path).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_example_of_the_readme_runs_and_its_bound_holds(capsys):
    block, *_ = python_blocks("README.md", r"^```python\n(.*?)^```")
    exec(compile(block, "README.md", "exec"), {})
    rank, bound, *_ = capsys.readouterr().out.splitlines()
    assert rank.startswith("60 ")
    assert "rigorous" in bound


@pytest.mark.torch
def test_the_network_of_the_readme_says_the_same_step_by_step_and_is_stable(capsys):
    _, block, _ = python_blocks("README.md", r"^```python\n(.*?)^```")
    exec(compile(block, "README.md", "exec"), {})
    difference, margins = (re.findall(r"tensor\(([\d.e-]+)", line) for line in capsys.readouterr().out.splitlines())
    assert float(difference[0]) < 1e-5
    assert len(margins) == 2
    assert all(float(margin) > 0 for margin in margins)


@pytest.mark.torch
def test_the_denoiser_of_the_readme_draws_at_twice_its_size():
    *_, block = python_blocks("README.md", r"^```python\n(.*?)^```")
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["images"].shape == (4, 1, 32, 32)
    assert bool(names["images"].isfinite().all())


def test_the_quickstart_prints_what_it_shows():
    failed, tried = doctest.testfile(str(ROOT / "docs" / "quickstart.rst"), module_relative=False)
    assert tried > 5
    assert failed == 0


@pytest.mark.torch
@pytest.mark.parametrize("page", ["index", "quickstart"])
def test_the_blocks_of_code_of_the_first_pages_run(page):
    blocks = python_blocks(f"docs/{page}.rst", r"^\.\. code-block:: python\n\n((?:   [^\n]*\n|\n)+)")
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(re.sub(r"^   ", "", block, flags=re.MULTILINE), f"{page}.rst", "exec"), {})


ROOMS = ["diffusion", "diffusion.metrics", "hippo", "linalg", "rope", "simplex", "simplex.flow", "ssm"]


@pytest.mark.parametrize("room", [*ROOMS, pytest.param("torch", marks=pytest.mark.torch)])
def test_every_public_name_is_on_the_pages_of_the_api(room):
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.rst"))
    shown = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", pages, re.MULTILINE))
    shown = {name.rpartition(".")[2] for name in shown}
    # other names of the derivatives of softmax, which the page says in a sentence
    aliases = {f"{name}_softmax_{way}" for name in ("topk", "topp", "threshold", "gumbel") for way in ("vjp", "jvp")}
    public = set(importlib.import_module(f"lina.{room}").__all__) - {"flow", "metrics"}
    assert public - aliases <= shown


def test_the_citation_has_the_version_and_the_licence_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {project['version']}" in lines
    assert f"license: {project['license']}" in lines
