"""What a stream says of its error: the bound and how often it fails, the estimate, the scree, the tolerance."""

import numpy as np
import pytest
from scipy.stats import chi2

from lina.linalg import StreamingSVD
from lina.linalg._streaming_svd.reconstruct import lower_tail
from tests.linalg.matrices import SPECTRA, with_spectrum
from tests.linalg.streams import EPS, optimum, spectrum, streamed, true_error


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_bound_holds_and_is_within_a_small_factor_of_the_error(name, dtype):
    eps = np.finfo(dtype).eps
    for seed in range(3):
        A = spectrum(name, seed=seed, dtype=dtype)
        F = streamed(A, 10, rng=seed).finalize()
        wide = A.astype(np.result_type(A.dtype, np.float64))
        true = np.linalg.norm(wide - (F.U.astype(wide.dtype) * F.s) @ F.Vt)
        assert (F.error_kind, F.failure_probability, F.passes) == ("probabilistic", 1e-6, 1)
        assert true <= F.error <= 4.5 * true + 1000 * eps * np.linalg.norm(wide)
        assert abs(F.norm_A - np.linalg.norm(wide)) <= F.error
        assert F.s.dtype == F.U.real.dtype == A.real.dtype


@pytest.mark.parametrize("name", [name for name in SPECTRA if name != "rank 7"])
def test_the_bound_fails_no_more_often_than_it_says(name):
    A = spectrum(name, 60, 50)
    failures = 0
    for seed in range(40):
        F = StreamingSVD(A.shape, 4, probes=4, rng=seed).update(A).finalize(failure_probability=0.1)
        failures += true_error(A, F) > F.error
    assert failures <= 4 + 3 * np.sqrt(4)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_bound_is_not_far_from_failing_where_the_remainder_has_rank_1(dtype):
    A = with_spectrum(np.random.default_rng(0), 30, 20, [1.0, 1e-3], dtype)
    failures = 0
    for seed in range(300):
        stream = StreamingSVD(A.shape, 1, range_size=3, core_size=7, probes=2, rng=seed, dtype=dtype)
        F = stream.update(A).finalize(failure_probability=0.3)
        failures += true_error(A, F) > F.error
    assert 0.05 * 300 <= failures <= 0.3 * 300


def test_the_factor_of_the_bound_is_that_of_the_chi_square_tail():
    for degrees in (2, 4, 20, 100):
        for probability in (0.3, 1e-2, 1e-6):
            t = lower_tail(degrees, probability)
            assert probability / 20 <= chi2.cdf(t * degrees, degrees) <= probability
    rng = np.random.default_rng(0)
    weights = np.array([0.5, 0.3, 0.2])
    seen = rng.standard_normal((20000, 6, 3)) ** 2 @ weights
    assert np.mean(seen.mean(axis=1) < lower_tail(6, 0.05)) <= 0.05


def test_the_estimate_is_unbiased_and_as_uncertain_as_it_says():
    A = spectrum("slow", 60, 50)
    squares, standardised = [], []
    for seed in range(150):
        stream = StreamingSVD(A.shape, 4, rng=seed).update(A)
        found, true = stream.scree(), true_error(A, stream.finalize())
        squares.append(found.error[4] ** 2 / true**2)
        standardised.append((found.error[4] - true) / found.deviation[4])
    assert abs(np.mean(squares) - 1) < 4 * np.std(squares) / np.sqrt(150)
    assert np.mean(np.abs(standardised) < 2) > 0.85
    assert 0.8 < np.std(standardised) < 1.4


@pytest.mark.parametrize("name", SPECTRA)
def test_the_scree_encloses_the_optimum_of_every_rank(name):
    A = spectrum(name)
    found = streamed(A, 10).scree()
    best = np.array([optimum(name, j) for j in range(44)])
    assert found.error.shape == (44,)
    assert np.all(found.lower <= best + 1e-12)
    assert np.all(best <= found.upper + 1e-12)
    if name in ("exponential", "rank 7"):
        assert np.all(found.upper[:6] <= 1.05 * best[:6])
        assert np.all(found.lower[:6] >= 0.95 * best[:6])


@pytest.mark.parametrize("rtol", [0.3, 1e-2, 1e-6])
def test_a_tolerance_is_met_by_the_least_rank_that_is_certified(rtol):
    A = with_spectrum(np.random.default_rng(1), 200, 150, np.exp(-np.arange(150) / 2.0))
    stream = streamed(A, 12)
    F = stream.finalize(rtol=rtol)
    assert F.status == "converged"
    assert true_error(A, F) <= F.error <= rtol * np.linalg.norm(A)
    needed = next(j for j in range(150) if np.exp(-j / 2.0) <= rtol)
    assert needed <= F.rank <= needed + 4
    assert stream.finalize(F.rank - 1, failure_probability=1e-6 / 51).error > 0.9 * rtol * np.linalg.norm(A)
    G = stream.finalize(atol=rtol * np.linalg.norm(A))
    assert abs(G.rank - F.rank) <= 1
    assert stream.finalize(max(1, F.rank - 1), rtol=rtol).status == "max_rank"


def test_a_tolerance_below_rounding_is_called_that():
    A = with_spectrum(np.random.default_rng(1), 200, 150, np.ones(5))
    assert streamed(A, 12).finalize(rtol=1e-16).status == "rounding"
    assert streamed(A, 12).finalize(rtol=1e-11).rank == 5


def test_cancelled_updates_leave_an_error_that_counts_their_rounding():
    rng = np.random.default_rng(0)
    A, D = with_spectrum(rng, 200, 100, np.ones(3)), 1e8 * rng.standard_normal((200, 100))
    stream = StreamingSVD(A.shape, 3, rng=0).update(D).update(A).update(-D)
    F = stream.finalize()
    assert true_error(A, F) <= F.error <= 1e-2
    assert F.error >= EPS * np.linalg.norm(D)
