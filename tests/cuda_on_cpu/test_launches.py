"""The launches that compute-sanitizer watches on a device run, and answer with numbers."""

import numpy as np
import pytest

from benchmarks.gpu.launches import launch_all
from tests.cuda_on_cpu.compile import GXX, NO_GXX
from tests.cuda_on_cpu.fake_cupy import installed

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]


def test_every_text_is_launched_and_answers_with_numbers():
    with installed() as cupy:
        answers = launch_all(cupy)
    assert len(answers) >= 10
    for name, answer in answers.items():
        for each in answer if isinstance(answer, tuple) else (answer,):
            assert np.isfinite(np.asarray(each)).all(), name
