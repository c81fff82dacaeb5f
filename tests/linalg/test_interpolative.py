"""The interpolative decomposition: its own columns, quality beside pivoted QR and the optimum, certificates."""

import numpy as np
import pytest
import scipy.linalg

from lina.linalg import interpolative
from tests.linalg.matrices import SPECTRA, kahan, with_spectrum


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


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "one of k, rtol and atol"),
        ({"k": 9}, ValueError, "k must be in"),
        ({"k": 2, "axis": 2}, ValueError, "axis must be 0 or 1"),
        ({"k": 2, "method": "svd"}, ValueError, "method must be one of"),
        ({"atol": np.inf}, ValueError, "atol must be finite"),
        ({"k": 2, "rng": 1.5}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        interpolative(np.ones((5, 4)), **arguments)
