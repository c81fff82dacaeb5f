"""Leverage scores: the diagonal of the hat matrix, its ridge form, and how near a sketch comes."""

import numpy as np
import pytest

from lina.linalg import leverage_scores
from tests.linalg.matrices import SPECTRA, with_spectrum


def hat_diagonal(A, ridge=0.0):
    """Return diag(A (A^H A + ridge I)^+ A^H)."""
    G = A.conj().T @ A + ridge * np.eye(A.shape[1])
    return np.real(np.diag(A @ np.linalg.pinv(G, rcond=1e-13) @ A.conj().T))


@pytest.mark.parametrize("shape", [(80, 12), (300, 40), (30, 30), (12, 40)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("ridge", [None, 0.3])
def test_rows_get_the_diagonal_of_the_hat_matrix(shape, dtype, ridge):
    A = with_spectrum(np.random.default_rng(0), *shape, np.geomspace(1, 0.05, min(shape)), dtype)
    scores = leverage_scores(A, ridge=ridge)
    np.testing.assert_allclose(scores, hat_diagonal(A, ridge or 0.0), atol=1e-10)
    np.testing.assert_allclose(leverage_scores(A.T, ridge=ridge, axis=1), scores, atol=1e-12)


def test_scores_add_up_to_the_rank_or_to_the_effective_dimension():
    s = np.geomspace(1, 1e-2, 7)
    A = with_spectrum(np.random.default_rng(1), 90, 60, s)
    assert leverage_scores(A).sum() == pytest.approx(7)
    assert leverage_scores(A, 3).sum() == pytest.approx(3)
    assert leverage_scores(A, rtol=0.05).sum() == pytest.approx(np.sum(s > 0.05))
    assert leverage_scores(A, ridge=0.1).sum() == pytest.approx(np.sum(s**2 / (s**2 + 0.1)))


@pytest.mark.parametrize("spectrum", [name for name in SPECTRA if name != "flat"])
def test_the_dominant_part_uses_the_leading_singular_vectors(spectrum):
    A = with_spectrum(np.random.default_rng(2), 100, 60, SPECTRA[spectrum](60))
    k = {"one large": 1, "rank 7": 7}.get(spectrum, 10)
    U = np.linalg.svd(A)[0][:, :k]
    np.testing.assert_allclose(leverage_scores(A, k), np.sum(U**2, axis=1), atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("shape", [(30, 30), (12, 40), (60, 20)])
def test_no_exact_score_leaves_the_unit_interval_by_rounding(shape, dtype):
    for seed in range(20):
        A = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
        A[0] *= 1e3  # a row of leverage 1 up to rounding
        for ridge in (None, 1e-300):
            scores = leverage_scores(A, ridge=ridge)
            assert scores.min() >= 0
            assert scores.max() <= 1


def test_scales_do_not_matter_but_to_the_ridge():
    A = np.random.default_rng(3).standard_normal((50, 8))
    np.testing.assert_allclose(leverage_scores(A * 1e200), leverage_scores(A), rtol=1e-10)
    np.testing.assert_allclose(leverage_scores(A * 1e100, ridge=1e200), leverage_scores(A, ridge=1.0), rtol=1e-10)
    for dtype in ("float32", "float64"):
        assert np.all(leverage_scores(A.astype(dtype), ridge=1e300) < 1e-30)
        assert np.all(leverage_scores(A.astype(dtype) * 1e-18, ridge=1e300) < 1e-30)


def test_a_zero_matrix_and_zero_rows_have_no_leverage():
    assert np.all(leverage_scores(np.zeros((5, 3))) == 0)
    A = np.random.default_rng(4).standard_normal((30, 4))
    A[::3] = 0
    assert np.all(leverage_scores(A)[::3] < 1e-30)


@pytest.mark.parametrize("columns", [6, 60, 150])
@pytest.mark.parametrize("ridge", [None, 50.0])
def test_a_sketch_finds_every_score_within_its_factor(columns, ridge):
    rng = np.random.default_rng(5)
    A = rng.standard_normal((3000, columns))
    A[:5] *= 30  # rows that matter far more than the others
    exact = leverage_scores(A, ridge=ridge)
    found = leverage_scores(A, ridge=ridge, method="sketch", rng=0)
    ratio = found / exact
    d = 8**-0.5  # what the sketch makes of lengths, and a projection of up to 64 columns adds 18 %
    assert (1 + d) ** -2 / 1.2 < np.median(ratio) < (1 - d) ** -2
    assert np.std(ratio) < 0.3
    assert np.quantile(ratio, 0.005) > 0.5
    assert np.quantile(ratio, 0.995) < 2.0
    assert set(np.argsort(-found)[:5]) == set(range(5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 9}, ValueError, "k must be in"),
        ({"ridge": -1.0}, ValueError, "ridge must be finite and not negative"),
        ({"rtol": np.nan}, ValueError, "rtol must be finite"),
        ({"axis": 2}, ValueError, "axis must be 0 or 1"),
        ({"method": "guess"}, ValueError, "method must be one of"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        leverage_scores(np.ones((5, 4)), **arguments)
