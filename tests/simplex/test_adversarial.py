"""Cases that once were wrong: each sentence is a defect that does not come back."""

from fractions import Fraction

import numpy as np
import pytest

from lina.simplex import (
    entmax,
    mmd_quantization,
    optimal_design,
    project_capped_simplex,
    project_l1_ball,
    simplex_lsq,
    simplex_qp,
    sparsemax,
)
from lina.simplex.flow import Internal, grid_flow

LEAST = np.finfo(float).min


def test_masks_by_the_least_number_do_not_overflow_the_sums_of_a_projection():
    np.testing.assert_allclose(sparsemax(np.array([0, 0.5, LEAST, LEAST, LEAST])), [0.25, 0.75, 0, 0, 0], rtol=1e-15)
    np.testing.assert_allclose(project_l1_ball(np.array([3.0, 0, 0]), 1.0), [1, 0, 0])


@pytest.mark.parametrize(
    ("x", "options", "expected"),
    [
        ([1e17, 1e17, 0], {}, [0.5, 0.5, 0]),
        ([1, 1], {"upper": 1e-20, "total": 1e-20}, [5e-21, 5e-21]),
        ([2e20], {"total": 0.5}, [0.5]),
        ([-np.inf, 0, 0], {}, [0, 0.5, 0.5]),
    ],
)
def test_caps_far_smaller_than_the_entries_keep_the_sum(x, options, expected):
    np.testing.assert_allclose(project_capped_simplex(np.array(x, dtype=float), **options), expected, rtol=1e-12)


@pytest.mark.parametrize("alpha", [3.0, 5.0, 8.0])
def test_the_sum_of_entmax_beyond_two_is_as_good_as_its_edge(alpha):
    X = np.random.default_rng(0).standard_normal((300, 8))
    bound = np.finfo(float).eps ** (1 / (alpha - 1))
    assert np.abs(entmax(X, alpha).sum(axis=1) - 1).max() <= bound
    assert max(abs(entmax(row, alpha).sum() - 1) for row in X) <= bound


def test_a_kernel_that_is_not_semidefinite_is_found_out():
    K = np.array([[1.0, 3, 0], [3, 1, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="kernel must be positive semidefinite, found a squared distance of -"):
        mmd_quantization(K, 3, kernel="precomputed")


def test_a_singular_newton_step_halves_the_time_step():
    flow = grid_flow(Internal(5), np.random.default_rng(3).random(40), [0, 1], domain=(-1, 1), order=1, step=0.1)
    assert flow.status == "converged"


def test_least_squares_that_cancel_are_not_certified_beyond_their_rounding():
    found = simplex_lsq(np.array([[23.0, -8.0]]), np.zeros(1), rtol=0)
    a, b = (Fraction(float(w)) for w in found.x)
    excess = float((23 * a - 8 * b) ** 2 / (a + b) ** 2 / 2)
    assert found.gap >= excess


def test_a_design_that_loses_its_rank_to_rounding_says_so():
    ends = []
    for seed in range(12):
        A = np.random.default_rng(seed).standard_normal((6, 3)) * np.logspace(0, 22, 6)[:, None]
        try:
            ends.append(str(optimal_design(A, "A").status))
        except ValueError as error:
            ends.append(str(error))
    lost = [end for end in ends if end.startswith("A must keep its rank on the support of a design")]
    assert lost
    assert set(ends) - set(lost) <= {"converged", "rounding"}


def test_a_column_that_outweighs_the_other_by_far_is_no_obstacle():
    A = np.random.default_rng(0).standard_normal((6, 2))
    designs = [optimal_design(A * [1, scale], "A") for scale in (1e20, 1e80, 1e140)]
    assert all(each.certified for each in designs)
    for each in designs[1:]:
        np.testing.assert_allclose(each.x, designs[0].x, atol=1e-9)


def test_negative_curvature_among_small_entries_is_not_hidden_by_a_large_one():
    Q = np.array([[1e32, 1.75, -1.0], [1.75, -1.0, 0.75], [-1.0, 0.75, 0.0]])
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        found = simplex_qp(Q[np.ix_(order, order)], max_iterations=25)
        assert not found.certified
    assert simplex_qp(np.diag([1e32, 1.0, 1e-3])).certified


def test_a_curvature_that_overflows_what_is_divided_by_it_leaves_a_point_of_the_simplex():
    for least in (5e-324, 1e-310):
        found = simplex_qp(np.diag([least, 1.0]), np.array([-3.5625, 1e-300]))
        np.testing.assert_array_equal(found.x, [1.0, 0.0])
        assert found.gap <= 16 * np.finfo(float).eps * 3.5625


def test_a_face_whose_minimiser_leaves_the_simplex_is_no_answer():
    Q = np.array([[5.0, 1.4928778255443051e-36], [1.4928778255443051e-36, 2.2286842020018928e-72]])
    for method in ("auto", "active", "pairwise", "ipm"):
        found = simplex_qp(Q, np.array([-7.375, 0.0]), method=method)
        np.testing.assert_allclose(found.x.sum(), 1.0, rtol=1e-14)
        assert found.value >= -4.875 - 1e-12
        np.testing.assert_allclose(found.x, [1.0, 0.0], atol=1e-6)
