"""The four dataclasses: what they hold, what they refuse."""

import numpy as np
import pytest

from lina.ssm import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem
from tests.ssm.systems import draws


def test_arrays_are_converted_together():
    s = DenseSystem([[1, 2], [3, 4]], [1, 0], np.float32([1, 0]))
    assert all(x.dtype == np.float64 for x in (s.A, s.B, s.C))
    d = DiagonalSystem(np.float32([-1, -2]), np.float32([1, 1]), np.float32([1, 1]))
    assert d.Lambda.dtype == np.complex64
    assert RationalSystem([1], [2]).a.dtype == np.float64


def test_one_row_of_low_rank_is_rank_one_and_q_is_p_unless_given():
    s = DPLRSystem(draws(4), draws(4), draws(4), draws(4))
    assert s.P.shape == (1, 4)
    assert s.rank == 1
    np.testing.assert_array_equal(s.Q, s.P)
    two = DPLRSystem(draws(4), np.stack([draws(4), draws(4, 1)]), draws(4), draws(4), Q=np.ones((2, 4)))
    assert two.rank == 2
    assert two.batch == ()
    many = DPLRSystem(np.stack([draws(4)] * 3), np.stack([draws(4)] * 3), draws(4), draws(4))
    assert (many.rank, many.batch) == (1, (3,))


def test_systems_are_frozen_and_do_not_share_what_they_convert():
    A = np.eye(2)
    s = DenseSystem(A, [1, 1], [1, 1])
    with pytest.raises(AttributeError):
        s.A = A
    assert (s.state_size, s.is_discrete, s.batch) == (2, False, ())
    assert DenseSystem(A, [1, 1], [1, 1], dt=0.5).is_discrete


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: DenseSystem(np.ones((2, 3)), [1, 1], [1, 1]),
            ValueError,
            r"A must have shape \(..., n, n\), got \(2, 3\)",
        ),
        (lambda: DenseSystem(np.eye(2), [1, 1, 1], [1, 1]), ValueError, "B must have n = 2 entries"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1]), ValueError, "C must have n = 2 entries"),
        (lambda: DenseSystem(np.eye(2), [1, np.inf], [1, 1]), ValueError, "B must be finite"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1, 1], dt=0), ValueError, "dt must be None"),
        (lambda: DenseSystem(np.eye(2), [1, 1], [1, 1], dt="1s"), TypeError, "dt must be None"),
        (lambda: DenseSystem("A", [1, 1], [1, 1]), TypeError, "A must be an array"),
        (lambda: DenseSystem(np.ones((0, 0)), [], []), ValueError, "A must have at least one entry"),
        (lambda: DiagonalSystem([1, 2], [1], [1, 2]), ValueError, "B must have n = 2 entries"),
        (
            lambda: DiagonalSystem(np.ones((2, 3)), np.ones((4, 3)), np.ones(3)),
            ValueError,
            "leading axes that broadcast",
        ),
        (lambda: DPLRSystem([1, 2], [1], [1, 2], [1, 2]), ValueError, "P must have n = 2 entries"),
        (lambda: DPLRSystem([1, 2], np.ones((2, 2)), [1, 2], [1, 2], Q=[1, 2]), ValueError, "same number of rows"),
        (lambda: RationalSystem([1, 2], [1]), ValueError, "b must have n = 2 entries"),
        (lambda: RationalSystem([1.0], [1.0], dt=None), ValueError, "dt must be a positive number"),
        (lambda: RationalSystem([np.nan], [1.0]), ValueError, "a must be finite"),
    ],
)
def test_an_error_names_the_argument(make, error, words):
    with pytest.raises(error, match=words):
        make()
