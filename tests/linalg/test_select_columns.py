"""Column selection: certificates, brute force on small matrices, and the cases on which simple rules fail."""

from itertools import combinations

import array_api_compat.numpy as xp
import mpmath
import numpy as np
import pytest

from lina.linalg import select_columns
from lina.linalg._select_columns import greedy as greedy_module
from lina.linalg._select_columns.choose import RULES
from lina.linalg._select_columns.lupp import _eliminate, lapack_lu_pivots
from lina.linalg._select_columns.probabilities import SAMPLED
from lina.linalg._select_columns.public import _left_over
from tests.linalg.matrices import SPECTRA, kahan, with_spectrum

SENSIBLE = ("cpqr", "sketch", "lupp", "rbrp", "greedy", "deim", "qdeim")


def left_over(A, indices):
    """Return norm(A - C C^+ A, "fro")."""
    C = A[:, indices]
    return np.linalg.norm(A - C @ (np.linalg.pinv(C, rcond=1e-12) @ A))


def greedy_by_enumeration(A, k):
    """Return what trying every remaining column at every step chooses."""
    chosen = []
    for _ in range(k):
        errors = [np.inf if j in chosen else left_over(A, [*chosen, j]) for j in range(A.shape[1])]
        chosen.append(int(np.argmin(errors)))
    return chosen


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("axis", [0, 1])
def test_the_certificate_is_the_true_error(method, spectrum, axis):
    A = with_spectrum(np.random.default_rng(0), 60, 50, SPECTRA[spectrum](50))
    F = select_columns(A, 9, method=method, axis=axis, rng=0)
    assert len(set(F.indices.tolist())) == 9
    np.testing.assert_array_equal(F.C, np.take(A, F.indices, axis=axis))
    M = A if axis == 1 else A.T
    U, s, _ = np.linalg.svd(M[:, F.indices], full_matrices=False)
    U = U[:, s > 60 * np.finfo(float).eps * s[0]]
    true = np.linalg.norm(M - U @ (U.T @ M))
    floor = 50 * np.finfo(float).eps * F.norm_A
    assert true <= F.error + floor
    assert F.error <= 30 * true + floor
    assert F.norm_A == pytest.approx(np.linalg.norm(A))


@pytest.mark.parametrize("shape", [(30, 22), (14, 40)])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_greedy_is_what_enumeration_finds_pick_for_pick(shape, seed, dtype):
    A = with_spectrum(np.random.default_rng(seed), *shape, np.geomspace(1, 0.01, min(shape)), dtype)
    assert select_columns(A, 8, method="greedy").indices.tolist() == greedy_by_enumeration(A, 8)


def test_greedy_goes_on_where_its_gram_matrix_has_no_digits_left(monkeypatch):
    A = with_spectrum(np.random.default_rng(0), 40, 30, np.geomspace(1, 1e-12, 30))
    calls = []
    inner = greedy_module._until_stale
    monkeypatch.setattr(greedy_module, "_until_stale", lambda *a: calls.append(1) or inner(*a))
    F = select_columns(A, 20, method="greedy")
    assert len(calls) > 1
    assert F.indices.tolist() == greedy_by_enumeration(A, 20)


def test_greedy_finds_what_a_common_offset_hides():
    # after one column all others have 1e-10 of their energy left, which a Gram matrix hardly shows
    A = 1e5 + with_spectrum(np.random.default_rng(0), 40, 30, np.geomspace(1, 0.1, 30))
    assert select_columns(A, 8, method="greedy").indices.tolist() == greedy_by_enumeration(A, 8)


@pytest.mark.parametrize("small", [1e-5, 1e-7, 1e-9])
def test_greedy_sees_small_columns_beside_large_ones(small):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((30, 17)) * np.concatenate([np.ones(3), small * np.linspace(1, 1.5, 14)])
        assert select_columns(A, 9, method="greedy").indices.tolist() == greedy_by_enumeration(A, 9)


def test_greedy_in_single_precision_is_as_good():
    for spectrum in ("polynomial", "exponential", "stairs"):
        A = with_spectrum(np.random.default_rng(0), 60, 50, SPECTRA[spectrum](50))
        single = select_columns(A.astype("float32"), 15, method="greedy").indices
        assert left_over(A, single) <= 1.02 * select_columns(A, 15, method="greedy").error


@pytest.mark.parametrize("seed", range(3))
def test_no_rule_beats_enumeration_and_the_good_ones_come_near(seed):
    A = with_spectrum(np.random.default_rng(seed), 15, 11, 1.0 / np.arange(1, 12))
    best = min(left_over(A, list(subset)) for subset in combinations(range(11), 4))
    for method in RULES:
        error = select_columns(A, 4, method=method, rng=seed).error
        assert error >= best * (1 - 1e-12)
        if method in ("cpqr", "greedy", "qdeim"):
            assert error <= 1.4 * best


@pytest.mark.parametrize("method", SENSIBLE)
def test_clusters_of_very_different_size_are_all_represented(method):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, 20)) * np.geomspace(1000, 1, 20)
    A = np.repeat(centres, 15, axis=1) + 1e-6 * rng.standard_normal((200, 300))
    F = select_columns(A, 20, method=method, rng=0)
    assert sorted(F.indices // 15) == list(range(20))


def test_rules_that_look_at_columns_one_by_one_are_caught_by_their_error():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, 20)) * np.geomspace(1000, 1, 20)
    A = np.repeat(centres, 15, axis=1) + 1e-6 * rng.standard_normal((200, 300))
    good = select_columns(A, 20).error
    for method in ("norm", "leverage", "uniform"):
        F = select_columns(A, 20, method=method, rng=0)
        assert F.error > 100 * good
        assert F.error == pytest.approx(left_over(A, F.indices))


@pytest.mark.parametrize("spectrum", ["polynomial", "exponential", "slow"])
def test_blocks_and_sketches_lose_little_to_pivoted_qr(spectrum):
    ratios = {method: [] for method in ("sketch", "rbrp", "lupp", "greedy", "qdeim")}
    for seed in range(20):
        A = with_spectrum(np.random.default_rng(seed), 150, 120, SPECTRA[spectrum](120))
        reference = select_columns(A, 30).error
        for method, found in ratios.items():
            found.append(select_columns(A, 30, method=method, rng=seed).error / reference)
    allowed = {"sketch": 1.1, "rbrp": 1.12, "lupp": 1.35, "greedy": 1.2, "qdeim": 1.1}
    for method, found in ratios.items():
        assert np.median(found) < allowed[method], method


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("sampling", [False, True])
def test_columns_of_zeros_come_last(method, sampling):
    if sampling and method not in SAMPLED:
        return
    rng = np.random.default_rng(0)
    A = np.zeros((12, 20))
    A[:, ::4] = rng.standard_normal((12, 5)) * np.geomspace(1, 1e-6 if sampling else 1e-200, 5)
    A[:, 1::4] = A[:, ::4]
    F = select_columns(A, 12, method=method, sampling=sampling, rng=0)
    assert len(set(F.indices.tolist())) == 12
    assert all(F.indices[:10] % 4 < 2)
    assert F.error <= 1e-12


@pytest.mark.parametrize("method", SENSIBLE)
def test_twins_are_not_chosen_before_what_is_new(method):
    rng = np.random.default_rng(1)
    A = np.repeat(rng.standard_normal((12, 6)), 3, axis=1)
    F = select_columns(A, 9, method=method, rng=0)
    assert sorted(F.indices[:6] // 3) == list(range(6))
    assert F.error <= 1e-12
    np.testing.assert_array_equal(F.indices, select_columns(A, 9, method=method, rng=0).indices)


@pytest.mark.parametrize("method", [name for name in SENSIBLE if name != "lupp"])  # LU does not reveal the rank
@pytest.mark.parametrize("seed", range(3))
def test_beyond_the_numerical_rank_the_largest_of_the_others_follow(method, seed):
    rng = np.random.default_rng(seed)
    A = with_spectrum(rng, 40, 30, [1.0, 0.5, 0.3]) * rng.permutation(np.geomspace(1, 3, 30))
    indices = select_columns(A, 12, method=method, rng=seed).indices
    by_size = np.argsort(-np.max(np.abs(A), axis=0), kind="stable")
    np.testing.assert_array_equal(indices[3:], by_size[~np.isin(by_size, indices[:3])][:9])


@pytest.mark.parametrize("method", ["cpqr", "greedy", "norm"])
def test_the_first_of_equal_columns_is_taken(method):
    A = np.tile(np.eye(6), (1, 2))
    assert select_columns(A, 4, method=method).indices.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("method", RULES)
def test_a_zero_matrix_and_all_columns_are_no_trouble(method):
    F = select_columns(np.zeros((6, 5)), 3, method=method, rng=0)
    assert F.error == 0
    assert len(set(F.indices.tolist())) == 3
    A = np.random.default_rng(1).standard_normal((7, 5))
    F = select_columns(A, 5, method=method, rng=0)
    assert sorted(F.indices.tolist()) == list(range(5))
    assert F.error <= 1e-13 * F.norm_A


def test_one_huge_outlier_is_chosen_first_and_not_only_it():
    A = np.random.default_rng(2).standard_normal((50, 40))
    A[7] *= 1e6
    for method in ("cpqr", "greedy", "rbrp"):
        F = select_columns(A, 6, method=method, axis=0, rng=0)
        assert 7 in F.indices[:1] or method == "rbrp"
        assert F.error < np.linalg.norm(np.delete(A, 7, axis=0))


def test_kahans_matrix_is_taken_in_its_own_order():
    assert select_columns(kahan(40), 39).error <= 1.0


@pytest.mark.parametrize("method", ["norm", "leverage", "uniform"])
def test_weights_make_a_draw_with_replacement_unbiased(method):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4, 9)) * np.geomspace(1, 3, 9)
    total = np.zeros((4, 4))
    for _ in range(3000):
        F = select_columns(A, 4, method=method, sampling=True, replace=True, rng=rng)
        total += (F.C * F.weights) @ (F.C * F.weights).T
    assert np.linalg.norm(total / 3000 - A @ A.T) < 0.05 * np.linalg.norm(A @ A.T)


def test_draws_without_replacement_are_different_and_weighted_by_their_chance():
    A = np.ones((3, 6)) * np.sqrt([100.0, 4, 3, 2, 1, 0])
    chance = np.array([1, 0.8, 0.6, 0.4, 0.2, 0])  # 100 of 110 is more than one in three: it is certain
    counts = np.zeros(6)
    for seed in range(2000):
        F = select_columns(A, 3, method="norm", sampling=True, rng=seed)
        assert len(set(F.indices.tolist())) == 3
        assert F.indices[0] == 0
        counts[F.indices] += 1
        np.testing.assert_allclose(F.weights, 1 / np.sqrt(chance[F.indices]))
    np.testing.assert_allclose(counts / 2000, chance, atol=4 * 0.5 / np.sqrt(2000))


def test_what_cannot_be_drawn_has_no_weight():
    F = select_columns(np.diag([3.0, 2.0, 0.0, 0.0]), 4, method="norm", sampling=True, rng=0)
    assert sorted(F.indices[:2].tolist()) == [0, 1]
    np.testing.assert_array_equal(F.weights, [1, 1, 0, 0])


def test_more_columns_than_there_are_can_be_drawn_with_replacement():
    A = np.random.default_rng(0).standard_normal((5, 4))
    F = select_columns(A, 40, method="uniform", sampling=True, replace=True, rng=0)
    assert F.C.shape == (5, 40)
    assert F.error <= 1e-13 * F.norm_A


def true_error(A, indices):
    """Return norm(A - C C^+ A, "fro") in 60 digits, for independent columns."""
    with mpmath.workdps(60):
        M = mpmath.matrix(A.tolist())
        C = mpmath.matrix(A[:, indices].tolist())
        return float(mpmath.mnorm(M - C * ((C.T * C) ** -1 * (C.T * M)), "f"))


@pytest.mark.parametrize("closeness", [1e-6, 1e-10, 1e-13, 1e-15])
@pytest.mark.parametrize("size", [1.0, 1e-30])
def test_the_certificate_holds_for_columns_that_are_nearly_dependent(closeness, size):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        C = rng.standard_normal((8, 3)) @ rng.standard_normal((3, 5)) + closeness * rng.standard_normal((8, 5))
        A = np.concatenate([size * C, 0.5 * rng.standard_normal((8, 3))], axis=1)
        error = _left_over(xp, A, A[:, :5], np.linalg.norm(A))
        true = true_error(A, list(range(5)))
        assert true <= error
        if closeness > 1e-12:  # otherwise the two small directions may count or not
            assert error <= true * (1 + 1e-2)


def test_small_columns_span_as_much_as_large_ones():
    rng = np.random.default_rng(0)
    C = rng.standard_normal((8, 5)) * np.geomspace(1, 1e-20, 5)
    A = np.concatenate([C, rng.standard_normal((8, 3))], axis=1)
    true = true_error(A, list(range(5)))
    assert true <= _left_over(xp, A, C, np.linalg.norm(A)) <= true * (1 + 1e-10)


def test_elimination_without_moving_rows_finds_lapacks_pivots():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        W = rng.standard_normal((30, 8)) + (1j * rng.standard_normal((30, 8)) if seed % 2 else 0)
        (rows, sizes), (expected, expected_sizes) = _eliminate(xp, W), lapack_lu_pivots(W)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(sizes, expected_sizes)
        for pivots in (_eliminate, lambda _, M: lapack_lu_pivots(M)):
            rows, sizes = pivots(xp, np.concatenate([W[:, :3], 0 * W[:, :2], W[:, 3:]], axis=1))
            assert len(set(rows.tolist())) == 10
            np.testing.assert_array_equal(np.flatnonzero(sizes == 0), [3, 4])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be in"),
        ({"k": 2.0}, TypeError, "k must be an int"),
        ({"method": "magic"}, ValueError, "method must be one of"),
        ({"sampling": True}, ValueError, "method must be one of 'leverage', 'norm', 'uniform' with sampling"),
        ({"k": 5}, ValueError, r"k must be in 1..min\(m, n\) = 1..4, got 5"),
        ({"k": 0, "method": "norm", "sampling": True, "replace": True}, ValueError, "k must be at least 1"),
        ({"method": "norm", "replace": True}, ValueError, "replace must be False without sampling"),
        ({"axis": -1}, ValueError, "axis must be 0 or 1"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        select_columns(np.ones((5, 4)), **{"k": 2, **arguments})
