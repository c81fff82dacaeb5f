"""The interpolative decomposition: its own columns, quality beside pivoted QR and the optimum, certificates."""

import numpy as np
import pytest
import scipy.linalg

from lina.linalg import interpolative
from tests.linalg.matrices import SPECTRA, kahan, with_spectrum

EPS = np.finfo(float).eps


def pivoted_qr_error(A, k):
    """Return the error of the first k columns of LAPACK's pivoted QR."""
    pivots = scipy.linalg.qr(A, mode="r", pivoting=True)[1]
    Q = np.linalg.qr(A[:, pivots[:k]])[0]
    return np.linalg.norm(A - Q @ (Q.T @ A))


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("method", ["sketch", "cpqr"])
def test_the_certificate_is_true_and_the_columns_are_those_of_the_matrix(spectrum, axis, method):
    A = with_spectrum(np.random.default_rng(0), 100, 80, SPECTRA[spectrum](80))
    F = interpolative(A, 12, axis=axis, method=method, rng=0)
    np.testing.assert_array_equal(F.C, np.take(A, F.indices, axis=axis))
    assert len(set(F.indices.tolist())) == F.rank
    rebuilt = F.C @ F.Z if axis == 1 else F.Z @ F.C
    np.testing.assert_allclose(F.toarray(), rebuilt)
    true = np.linalg.norm(A - rebuilt)
    floor = 80 * np.finfo(float).eps * np.linalg.norm(A)
    assert true <= F.error + floor
    assert F.error <= 30 * true + floor
    chosen = np.take(F.Z, F.indices, axis=axis)
    np.testing.assert_allclose(chosen, np.eye(F.rank), atol=1e-10)
    assert F.max_abs_coef == np.abs(F.Z).max()


@pytest.mark.parametrize("spectrum", ["polynomial", "exponential", "step", "stairs"])
def test_a_sketch_costs_little_of_the_quality_of_pivoted_qr(spectrum):
    ratios = []
    for seed in range(8):
        A = with_spectrum(np.random.default_rng(seed), 150, 120, SPECTRA[spectrum](120))
        ratios.append(interpolative(A, 20, rng=seed).error / pivoted_qr_error(A, 20))
    assert np.median(ratios) < 1.15


def test_clusters_of_very_different_size_are_all_represented():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((200, 20)) * np.geomspace(1000, 1, 20)
    A = np.repeat(centres, 15, axis=1) + 1e-6 * rng.standard_normal((200, 300))
    F = interpolative(A, 20, rng=0)
    assert sorted(F.indices // 15) == list(range(20))


@pytest.mark.parametrize("rtol", [0.3, 1e-2, 1e-6, 1e-10])
def test_a_tolerance_is_met(rtol):
    A = with_spectrum(np.random.default_rng(1), 200, 150, np.exp(-np.arange(150) / 5.0))
    F = interpolative(A, rtol=rtol, rng=1)
    assert np.linalg.norm(A - F.toarray()) <= rtol * np.linalg.norm(A)
    assert F.status == "converged"
    fewer = interpolative(A, max(1, F.rank - 6), rng=1)
    assert fewer.error > rtol * np.linalg.norm(A)


def test_the_numerical_rank_limits_the_number_of_columns():
    A = with_spectrum(np.random.default_rng(2), 90, 70, np.ones(5))
    F = interpolative(A, 30, rng=2)
    assert F.rank == 5
    assert F.error < 1e-12


def test_a_zero_matrix_and_a_zero_column_are_no_trouble():
    F = interpolative(np.zeros((6, 5)), 3, rng=0)
    assert (F.rank, F.error) == (1, 0.0)
    A = np.random.default_rng(3).standard_normal((40, 30))
    A[:, ::2] = 0
    F = interpolative(A, 30, rng=3)
    assert sorted(F.indices.tolist()) == list(range(1, 30, 2))


def test_large_coefficients_are_reported():
    assert interpolative(kahan(90), 89, method="cpqr").max_abs_coef > 1e6


@pytest.mark.parametrize("method", ["auto", "sketch", "cpqr"])
@pytest.mark.parametrize("k", [30, 60, 89])
@pytest.mark.parametrize("theta", [0.9, 1.2, 1.4])
@pytest.mark.parametrize("diagonal", [0.0, 25 * EPS])
def test_bounded_coefficients_and_a_small_error_on_kahans_matrix(method, k, theta, diagonal):
    A = kahan(90, theta) + np.diag(diagonal * np.arange(90, 0, -1))
    s = np.linalg.svd(A, compute_uv=False)
    F = interpolative(A, k, method=method, max_coef=2.0, rng=0)
    assert (F.rank, F.status) == (k, "converged")
    assert np.abs(F.Z).max() == F.max_abs_coef <= 2 * (1 + 1e-12)
    true = np.linalg.norm(A - F.C @ F.Z)
    assert true <= F.error <= 1.01 * true + 100 * EPS * F.norm_A
    rounding = 90 * EPS * s[0]
    assert np.linalg.norm(A - F.C @ F.Z, 2) <= np.sqrt(1 + 4 * k * (90 - k)) * s[k] + rounding


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("max_coef", [1.0, 1.2, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_no_coefficient_exceeds_the_bound(spectrum, max_coef, dtype):
    for seed, (m, n) in enumerate([(80, 60), (50, 90), (60, 60)]):
        A = with_spectrum(np.random.default_rng(seed), m, n, SPECTRA[spectrum](min(m, n)), dtype)
        for axis in (0, 1):
            F = interpolative(A, 12, axis=axis, max_coef=max_coef, rng=seed)
            assert np.abs(F.Z).max() == F.max_abs_coef <= max_coef * (1 + 2e3 * np.finfo(dtype).eps)
            assert F.status == "converged"
            np.testing.assert_array_equal(F.C, np.take(A, F.indices, axis=axis))
            wide = A.astype("complex128") - F.toarray()
            assert np.linalg.norm(wide) <= F.error * (1 + 1e-6)


@pytest.mark.parametrize("rtol", [0.3, 1e-2, 1e-6])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("method", ["auto", "cpqr"])
def test_a_tolerance_is_met_with_bounded_coefficients(rtol, axis, method):
    smooth = with_spectrum(np.random.default_rng(4), 120, 90, np.geomspace(1, 1e-12, 90))
    for A in (smooth, kahan(90)):
        F = interpolative(A, rtol=rtol, axis=axis, method=method, max_coef=1.5, rng=0)
        assert F.status == "converged"
        assert F.max_abs_coef <= 1.5 * (1 + 1e-12)
        assert np.linalg.norm(A - F.toarray()) <= F.error <= rtol * np.linalg.norm(A)
    free = interpolative(smooth, rtol=rtol, axis=axis, method=method, rng=0)
    assert interpolative(smooth, rtol=rtol, axis=axis, method=method, max_coef=2.0, rng=0).rank <= 1.2 * free.rank + 1


def test_a_bound_below_rounding_is_called_that(monkeypatch):
    def unreached(xp, A, basis, bound):
        return basis, False

    A = with_spectrum(np.random.default_rng(5), 40, 30, np.geomspace(1, 1e-3, 30))
    monkeypatch.setattr("lina.linalg._spanning_columns.strong_rrqr", unreached)
    assert interpolative(A, 5, max_coef=1.0, rng=0).status == "rounding"
    assert interpolative(A, 5, rtol=1e-9, max_coef=1.0, rng=0).status == "max_rank"


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (8, 1), (5, 40), (40, 5), (33, 33)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("max_coef", [None, 1.0])
@pytest.mark.parametrize("method", ["auto", "sketch", "cpqr"])
def test_all_columns_reproduce_matrices_of_any_shape(shape, axis, max_coef, method):
    rng = np.random.default_rng(6)
    A = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    k = min(shape)
    F = interpolative(A, k, axis=axis, max_coef=max_coef, method=method, rng=0)
    assert F.rank == k
    assert F.error <= 1e-12
    np.testing.assert_allclose(F.toarray(), A, atol=1e-12)


@pytest.mark.parametrize("max_coef", [None, 1.0, 2.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_ties_and_twins_are_no_trouble(max_coef, axis):
    rng = np.random.default_rng(7)
    twins = np.repeat(rng.standard_normal((12, 10)), 5, axis=axis)
    for A in (twins, np.sign(rng.standard_normal((40, 30))), np.eye(30), np.ones((30, 20)), np.tril(np.ones((25, 25)))):
        F = interpolative(A, 8, axis=axis, max_coef=max_coef, rng=0)
        assert len(set(F.indices.tolist())) == F.rank == min(8, np.linalg.matrix_rank(A))
        assert np.linalg.norm(A - F.toarray()) <= F.error
        assert max_coef is None or F.max_abs_coef <= max_coef * (1 + 1e-12)


def test_a_sketch_is_as_good_where_few_rows_hold_everything():
    rng = np.random.default_rng(8)
    few = np.zeros((400, 200))
    few[::9] = rng.standard_normal((45, 200)) * np.exp(-np.arange(45) / 8)[:, None]
    diagonal = np.vstack([np.diag(np.exp(-np.arange(200) / 10.0)), np.zeros((200, 200))])
    outlier = with_spectrum(rng, 400, 200, np.exp(-np.arange(200) / 10.0))
    outlier[7] *= 1e6
    for A in (few, diagonal, outlier):
        ratios = [interpolative(A, 30, rng=seed).error / pivoted_qr_error(A, 30) for seed in range(10)]
        assert np.median(ratios) < 1.15
        assert max(ratios) < 1.35


def test_columns_of_every_size_are_seen():
    A = np.random.default_rng(9).standard_normal((300, 200)) * np.geomspace(1e8, 1e-8, 200)
    for seed in range(5):
        assert interpolative(A, 40, rng=seed).error <= 1.25 * pivoted_qr_error(A, 40)


@pytest.mark.parametrize("n", [90, 100, 110])
def test_rounding_that_large_coefficients_magnify_is_in_the_error(n):
    A = kahan(n)
    F = interpolative(A, n - 1, method="cpqr")
    wide = [each.astype("longdouble") for each in (A, F.C, F.Z)]
    assert np.linalg.norm((wide[0] - wide[1] @ wide[2]).astype(float)) <= F.error


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "one of k, rtol and atol"),
        ({"k": 9}, ValueError, "k must be in"),
        ({"k": 2, "axis": 2}, ValueError, "axis must be 0 or 1"),
        ({"k": 2, "method": "svd"}, ValueError, "method must be one of"),
        ({"atol": np.inf}, ValueError, "atol must be finite"),
        ({"k": 2, "max_coef": 0.5}, ValueError, "max_coef must be at least 1, got 0.5"),
        ({"k": 2, "max_coef": []}, TypeError, "max_coef must be a number"),
        ({"k": 2, "rng": 1.5}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        interpolative(np.ones((5, 4)), **arguments)
