"""The list of defects fits the library as it is, so that the session that plants them can."""

import pytest

from tests.robustness.mutant_list import MUTANTS
from tests.robustness.mutants import ROOT, forget_compiled, main, planted

ROOMS = ("_core", "_cuda", "_numba", "diffusion", "hippo", "linalg", "rope", "simplex", "ssm", "torch")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_defect_can_be_planted_and_is_python_still(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    changed = text.replace(mutant.old, mutant.new)
    assert changed != text
    if mutant.file.endswith(".py"):
        compile(changed, mutant.file, "exec")
    assert (ROOT / mutant.tests[0]).exists()


def test_every_room_has_a_defect_and_there_are_at_least_twenty():
    assert {mutant.file.split("/")[1] for mutant in MUTANTS} == set(ROOMS)
    assert len(MUTANTS) >= 20


def test_a_planted_defect_is_gone_afterwards_and_compiled_kernels_with_it(tmp_path):
    mutant = next(each for each in MUTANTS if "_numba" in each.file)
    path = tmp_path / mutant.file
    path.parent.mkdir(parents=True)
    path.write_text(f"before\n{mutant.old}\nafter\n")
    compiled = path.parent / "kernel.nbi"
    with planted(mutant, tmp_path):
        assert mutant.new in path.read_text()
        compiled.touch()
    assert mutant.old in path.read_text()
    assert not compiled.exists()
    path.write_text("other code")
    with pytest.raises(ValueError, match=r"must hold .* once, found it 0 times"), planted(mutant, tmp_path):
        pass
    forget_compiled(tmp_path)


def test_a_defect_is_caught_by_its_tests_and_counted(capsys):
    place = next(i for i, mutant in enumerate(MUTANTS) if mutant.file.endswith("threads.py"))
    assert main([place]) == 0
    assert "caught 1 / 1" in capsys.readouterr().out
