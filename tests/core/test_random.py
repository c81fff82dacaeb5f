"""The source of random numbers."""

import numpy as np
import pytest

from lina._core.random import generator


@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_draws_of_a_seed_repeat_and_are_not_those_of_numpy(seed):
    first, again, numpy = (make(seed).standard_normal(100) for make in (generator, generator, np.random.default_rng))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, numpy)[0, 1]) < 0.5
    assert not np.intersect1d(first, numpy).size


def test_a_generator_is_used_as_it_is():
    rng = np.random.default_rng(0)
    assert generator(rng) is rng
    assert generator(None) is not generator(None)
