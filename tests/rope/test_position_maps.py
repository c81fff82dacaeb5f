"""Position matrices against their definition entry by entry, printed ones, and the limits between kinds."""

import numpy as np
import pytest

from lina.rope import RotaryScaling
from tests.reference.rotary import relative_position

NAN = np.nan


def matrix(kind, L, original_length=1000, **options):
    return RotaryScaling(kind, head_dim=8, original_length=original_length, **options).position_matrix(L)


CASES = [
    ("rerope", {"window": 5}, {"w": 5}),
    ("rerope", {"window": 1}, {"w": 1}),
    ("leaky_rerope", {"window": 5, "factor": 4}, {"w": 5, "k": 4}),
    ("leaky_rerope", {"window": 5, "factor": 0.25}, {"w": 5, "k": 0.25}),
    ("self_extend", {"window": 6, "group": 3}, {"w": 6, "G": 3}),
    ("self_extend", {"window": 7, "group": 3}, {"w": 7, "G": 3}),
    ("self_extend", {"window": 2, "group": 5}, {"w": 2, "G": 5}),
    ("window", {"window": 5}, {"w": 5}),
    ("sink", {"window": 5, "sinks": 2}, {"w": 5, "sinks": 2}),
    ("sink", {"window": 5, "sinks": 0}, {"w": 5, "sinks": 0}),
    ("lambda_mask", {"window": 5, "sinks": 2, "original_length": 9}, {"w": 5, "sinks": 2, "L": 9}),
]


@pytest.mark.parametrize(("kind", "options", "definition"), CASES)
@pytest.mark.parametrize("L", [1, 4, 5, 6, 23])
def test_each_entry_is_as_defined(kind, options, definition, L):
    expected = [[relative_position(kind, i, j, **definition) for j in range(L)] for i in range(L)]
    np.testing.assert_array_equal(matrix(kind, L, **options), expected)


def test_self_extend_has_the_printed_matrix():
    last = [6, 6, 5, 5, 4, 4, 3, 2, 1, 0]  # length 10, window 4, groups of 2: row 9 of the figure
    P = matrix("self_extend", 10, window=4, group=2)
    np.testing.assert_array_equal(P[9], last)
    np.testing.assert_array_equal(P[4], [4, 3, 2, 1, 0, *[NAN] * 5])


@pytest.mark.parametrize(("kind", "options"), [("rerope", {}), ("leaky_rerope", {"factor": 7})])
def test_far_begins_at_the_window_itself(kind, options):
    P = matrix(kind, 40, window=8, **options)
    distance = np.subtract.outer(np.arange(40), np.arange(40))
    assert set(P[distance == 7]) == {7}
    assert set(P[distance == 8]) == {8}


def test_a_group_that_does_not_divide_the_window_begins_at_it_or_one_farther():
    m = np.subtract.outer(np.arange(60), np.arange(60))
    assert set(matrix("self_extend", 60, window=7, group=3)[m == 7]) == {7, 8}
    assert set(matrix("self_extend", 60, window=6, group=3)[m == 6]) == {6}


def test_limits_are_the_plain_positions_or_rerope():
    plain, rerope = matrix("none", 30), matrix("rerope", 30, window=6)
    np.testing.assert_array_equal(matrix("leaky_rerope", 30, window=6, factor=1), plain)
    np.testing.assert_array_equal(matrix("self_extend", 30, window=6, group=1), plain)
    np.testing.assert_allclose(matrix("leaky_rerope", 30, window=6, factor=1e12), rerope, atol=1e-10)
    for kind, options in (
        ("rerope", {}),
        ("leaky_rerope", {"factor": 9}),
        ("self_extend", {"group": 4}),
        ("window", {}),
    ):
        np.testing.assert_array_equal(matrix(kind, 30, window=30, **options), plain)


def test_kinds_of_frequencies_have_plain_positions():
    P = matrix("yarn", 5, factor=4)
    np.testing.assert_array_equal(P[np.tril_indices(5)], np.concatenate([np.arange(i, -1, -1) for i in range(5)]))
    assert np.all(np.isnan(P[np.triu_indices(5, 1)]))


def test_no_position_of_a_cache_with_sinks_was_untrained():
    P = matrix("sink", 200, original_length=20)
    assert np.nanmax(P) == 19
    assert np.all(np.sum(~np.isnan(P[20:]), axis=1) == 20)


def test_the_number_of_positions_must_be_positive():
    with pytest.raises(ValueError, match="L must be at least 1, got 0"):
        matrix("none", 0)
