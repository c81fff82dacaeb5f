"""Randomly pivoted Cholesky: beside elimination by definition, the law of its pivots, entries read, certificates."""

import itertools

import numpy as np
import pytest

from lina.linalg import LowRankEigh, nystrom, rpcholesky
from tests.linalg.matrices import SPECTRA, hilbert, kahan
from tests.linalg.psd import difference, nuclear, psd, rbf


def entries_of(A):
    """Return A as a callable."""
    return lambda rows, columns: A[np.ix_(rows, columns)]


def left_after(A, pivots):
    """Return the Schur complement after the elimination of ``pivots``."""
    rest = A.copy()
    for p in pivots:
        rest = rest - np.outer(rest[:, p], rest[p, :]) / rest[p, p]
        rest[p, :] = rest[:, p] = 0
    return rest


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("block_size", [1, 4, 50])
def test_the_factor_is_that_of_elimination_with_these_pivots(dtype, block_size):
    A = psd(np.random.default_rng(0), 50, 1 / np.arange(1, 51), dtype)
    F = rpcholesky(A, 12, block_size=block_size, rng=0)
    assert len(set(F.pivots.tolist())) == F.rank == 12
    np.testing.assert_allclose(difference(A, F), left_after(A, F.pivots), atol=1e-13)
    np.testing.assert_allclose(np.triu(F.F[F.pivots], 1), 0, atol=1e-14)
    assert np.all(np.diagonal(F.F[F.pivots]).real > 0)
    np.testing.assert_allclose(F.error, np.trace(left_after(A, F.pivots)).real, rtol=1e-10)


@pytest.mark.parametrize("block_size", [1, 2, 7])
def test_pivots_have_the_law_of_one_at_a_time_for_every_block_size(block_size):
    A = psd(np.random.default_rng(1), 4, [1.0, 0.6, 0.2, 0.05]) * np.outer([1, 2, 0.5, 1], [1, 2, 0.5, 1])
    draws, rng = 3000, np.random.default_rng(2)
    counts = dict.fromkeys(itertools.permutations(range(4), 2), 0)
    for _ in range(draws):
        counts[tuple(rpcholesky(A, 2, block_size=block_size, rng=rng).pivots.tolist())] += 1
    statistic = 0.0
    for (i, j), seen in counts.items():
        after = np.diagonal(left_after(A, [i]))
        chance = A[i, i] / np.trace(A) * after[j] / after.sum()
        statistic += (seen - draws * chance) ** 2 / (draws * chance)
    assert statistic < 31.3  # chi squared, 11 degrees of freedom: exceeded with probability 0.001


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_the_certificate_is_true_and_near_the_error(spectrum, dtype):
    for seed in range(2):
        A = psd(np.random.default_rng(seed), 80, SPECTRA[spectrum](80), dtype)
        for stopping in ({"k": 12}, {"rtol": 1e-3}, {"rtol": 1e-9}, {"rtol": 0.0}):
            F = rpcholesky(A, rng=seed, **stopping)
            true = nuclear(difference(A, F))
            floor = 80 * np.finfo(dtype).eps * np.trace(A).real
            assert true <= F.error <= 30 * true + floor, (stopping, seed)
            assert F.rank == len(F.pivots) == F.F.shape[1]
            if F.status == "converged" and "rtol" in stopping:
                assert F.error <= stopping["rtol"] * F.norm_A


def test_the_expected_error_is_within_its_theorem():
    values = 1 / np.arange(1, 101) ** 2
    r, best = 3, values[3:].sum()
    eta = best / values.sum()
    k = int(np.ceil(r + r * np.log(1 / eta)))  # theorem 5.1 with epsilon = 1
    errors = [rpcholesky(psd(np.random.default_rng(s), 100, values), k, rng=s).error for s in range(20)]
    assert np.mean(errors) <= 2 * best


def test_a_small_cluster_is_found_where_uniform_columns_miss_it():
    rng = np.random.default_rng(3)
    x = np.concatenate([0.01 * rng.standard_normal(990), [5.0] * 5, [9.0] * 5])
    A = np.exp(-((x[:, None] - x) ** 2))
    for seed in range(10):
        F = rpcholesky(A, rtol=2e-3, rng=seed)
        assert {0 if p < 990 else 1 if p < 995 else 2 for p in F.pivots.tolist()} == {0, 1, 2}


@pytest.mark.parametrize("rtol", [0.3, 1e-2, 1e-6, 1e-10])
def test_a_tolerance_is_met_and_the_pivot_before_did_not_meet_it(rtol):
    A = rbf(np.random.default_rng(4), 200, 1.5)
    F = rpcholesky(A, rtol=rtol, rng=0)
    assert nuclear(difference(A, F)) <= F.error <= rtol * np.trace(A)
    if F.rank > 1:
        assert F.truncate(F.rank - 1).error > rtol * np.trace(A)


def test_a_callable_gives_the_bits_of_the_array_and_is_asked_for_little():
    A = rbf(np.random.default_rng(5), 300, 2.0)
    asked = []

    def entries(rows, columns):
        asked.append(len(rows) * len(columns))
        return A[np.ix_(rows, columns)]

    F = rpcholesky(A, 20, rng=7)
    G = rpcholesky(entries, 20, diag=np.ones(300), rng=7)
    np.testing.assert_array_equal(F.F, G.F)
    np.testing.assert_array_equal(F.pivots, G.pivots)
    assert (F.error, F.entries) == (G.error, G.entries)
    assert sum(asked) + 300 == G.entries < 300 * 25


def test_complex_entries_may_come_with_a_real_diagonal():
    A = psd(np.random.default_rng(6), 40, 1 / np.arange(1, 41), "complex128")
    F = rpcholesky(entries_of(A), 10, diag=np.diagonal(A).real, rng=0)
    assert F.F.dtype == np.complex128
    assert nuclear(difference(A, F)) <= F.error


def test_the_numerical_rank_limits_the_number_of_pivots():
    A = psd(np.random.default_rng(7), 60, np.ones(7))
    F = rpcholesky(A, 30, rng=0)
    assert F.rank == 7
    assert nuclear(difference(A, F)) <= F.error < 1e-12 * F.norm_A * 7
    assert rpcholesky(np.ones((5, 5)), 5, rng=0).rank == 1


def test_zero_matrices_zero_columns_and_extreme_rows_are_no_trouble():
    F = rpcholesky(np.zeros((6, 6)), 3, rng=0)
    assert (F.rank, F.error) == (1, 0.0)
    A = np.zeros((40, 40))
    A[::2, ::2] = psd(np.random.default_rng(8), 20, 1 / np.arange(1, 21))
    F = rpcholesky(A, 40, rng=0)
    assert sorted(F.pivots.tolist()) == list(range(0, 40, 2))
    D = np.geomspace(1, 1e-6, 40)
    A = psd(np.random.default_rng(9), 40, np.linspace(1, 0.1, 40)) * np.outer(D, D)
    F = rpcholesky(A, 40, rng=0)
    assert F.rank == 40
    np.testing.assert_allclose(F.toarray() / np.outer(D, D), A / np.outer(D, D), atol=1e-12)
    assert rpcholesky([[4.0]], 1, rng=0).F.tolist() == [[2.0]]


def test_matrices_that_are_singular_to_rounding_are_taken_as_semidefinite():
    K = kahan(60)
    for A in (hilbert(80), K.T @ K, rbf(np.random.default_rng(10), 100, 5.0)):
        for seed in range(5):
            F = rpcholesky(A, rtol=0.0, rng=seed)
            assert nuclear(difference(A, F)) <= F.error < 1e-11 * F.norm_A


def test_the_eigenvectors_stand_for_the_same_matrix():
    A = rbf(np.random.default_rng(11), 80, 1.0)
    F = rpcholesky(A, 15, rng=0)
    G = F.eigh()
    assert isinstance(G, LowRankEigh)
    np.testing.assert_allclose(G.toarray(), F.toarray(), atol=1e-14)
    np.testing.assert_allclose(G.U.T @ G.U, np.eye(15), atol=1e-14)
    assert F.error <= G.error < F.error * (1 + 1e-10)
    assert nuclear(difference(A, F.truncate(6))) <= F.truncate(6).error * (1 + 1e-12)
    assert nystrom(A, 15, rng=0).error <= F.error
    np.testing.assert_allclose(F.error_of(A), np.linalg.norm(difference(A, F)), rtol=1e-10)


PSD = psd(np.random.default_rng(12), 40, np.linspace(1, 0.1, 40))


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (-PSD, "on its diagonal"),
        (PSD - 0.3 * np.eye(40), "Schur complement"),
        (PSD + 1e-6 * np.triu(np.ones((40, 40)), 1), "mirror images"),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), "Schur complement"),
        (PSD + 0.1j * np.eye(40), "not real"),
    ],
)
def test_what_is_not_positive_semidefinite_is_named(A, message):
    with pytest.raises(ValueError, match=f"A must be Hermitian positive semidefinite to rounding, found .*{message}"):
        rpcholesky(A, len(A), rng=0)


@pytest.mark.parametrize(
    ("A", "arguments", "error", "message"),
    [
        (np.eye(5), {}, ValueError, "one of k, rtol and atol"),
        (np.eye(5), {"k": 6}, ValueError, "k must be in"),
        (np.eye(5), {"k": 2, "block_size": 0}, ValueError, "block_size must be in"),
        (np.eye(5), {"k": 2, "rng": 1.5}, TypeError, "rng must be"),
        (np.eye(5), {"k": 2, "diag": np.ones(5)}, ValueError, "diag must be left out"),
        (np.ones((4, 5)), {"k": 2}, ValueError, "A must be a square matrix"),
        (entries_of(np.eye(5)), {"k": 2}, ValueError, "diag must be given"),
        (entries_of(np.eye(5)), {"k": 2, "diag": np.ones((5, 5))}, ValueError, "diag must be a nonempty vector"),
        (entries_of(np.eye(5)), {"k": 2, "diag": np.full(5, 2.0)}, ValueError, "diag must be the diagonal of A"),
        (entries_of(np.eye(5)), {"k": 2, "diag": np.full(5, np.nan)}, ValueError, "diag must be finite"),
        (entries_of(np.eye(5) * np.nan), {"k": 2, "diag": np.ones(5)}, ValueError, "A must be finite"),
        (lambda rows, columns: np.ones(3), {"k": 2, "diag": np.ones(5)}, ValueError, "A must return entries of"),
        (np.eye(100) * 1.5e306, {"k": 2}, OverflowError, "A must have a trace below"),
    ],
)
def test_bad_arguments_are_named(A, arguments, error, message):
    with pytest.raises(error, match=message):
        rpcholesky(A, **arguments)


@pytest.mark.parametrize("p", [None, 3])
def test_it_solves_shifted_systems(p):
    rng = np.random.default_rng(5)
    root = rng.standard_normal((30, 6)) + 1j * rng.standard_normal((30, 6))
    F = rpcholesky(root @ root.conj().T, 4, rng=0)
    B = rng.standard_normal(30 if p is None else (30, p))
    expected = np.linalg.solve(F.toarray() + 0.1 * np.eye(30), B)
    np.testing.assert_allclose(F.solve(B, 0.1), expected, rtol=1e-10, atol=1e-12)
