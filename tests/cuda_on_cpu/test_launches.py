"""The launches that compute-sanitizer watches on a device run, and answer with numbers."""

from pathlib import Path

import numpy as np
import pytest

import lina._cuda
from benchmarks.gpu.launches import launch_all
from tests.cuda_on_cpu.compile import GXX, NO_GXX
from tests.cuda_on_cpu.fake_cupy import installed

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]


def test_every_text_is_launched_and_answers_with_numbers():
    with installed() as cupy:
        answers = launch_all(cupy)
    texts = {path.stem for path in Path(lina._cuda.__file__).parent.glob("*.cu")}
    assert {name.partition(" ")[0] for name in answers} == texts
    for name, answer in answers.items():
        for each in answer if isinstance(answer, tuple) else (answer,):
            assert np.isfinite(np.asarray(each)).all(), name
