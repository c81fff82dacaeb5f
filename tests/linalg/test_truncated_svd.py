"""The truncated SVD: optimality, certificates over many spectra, stopping rules."""

import numpy as np
import pytest

from lina.linalg import truncated_svd
from tests.linalg.matrices import SPECTRA, with_spectrum

METHODS = ["svd", "gram", "krylov"]
every_spectrum = pytest.mark.parametrize("spectrum", SPECTRA)


@every_spectrum
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("norm", ["fro", "2"])
def test_the_certificate_is_an_upper_bound_and_not_a_wild_one(spectrum, method, norm):
    failures = 0
    for seed in range(10):
        A = with_spectrum(np.random.default_rng(seed), 120, 90, SPECTRA[spectrum](90))
        F = truncated_svd(A, 12, method=method, norm=norm, rng=seed)
        true = np.linalg.norm(A - F.toarray(), norm if norm == "fro" else 2)
        floor = 90 * np.finfo(float).eps * np.linalg.norm(A, 2)
        failures += true > F.error + floor
        assert F.error <= 30 * true + floor
    assert failures == 0


@every_spectrum
@pytest.mark.parametrize("method", METHODS)
def test_the_error_is_near_the_optimum_of_eckart_and_young(spectrum, method):
    s = SPECTRA[spectrum](200)
    A = with_spectrum(np.random.default_rng(1), 300, 200, s)
    F = truncated_svd(A, 20, method=method, rng=1)
    best = np.sqrt(np.sum(s[20:] ** 2))
    assert np.linalg.norm(A - F.toarray()) <= best * (1 + 2e-3) + 1e-13 * s[0]
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(20), atol=1e-12)
    np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(20), atol=1e-12)
    assert np.all(np.diff(F.s) <= 1e-14 * s[0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rtol", [0.3, 1e-2, 1e-5])
def test_a_tolerance_is_met_with_about_the_least_rank(method, rtol):
    s = np.exp(-np.arange(200) / 9.0)
    A = with_spectrum(np.random.default_rng(2), 300, 200, s)
    F = truncated_svd(A, rtol=rtol, method=method, rng=2)
    assert np.linalg.norm(A - F.toarray()) <= rtol * np.linalg.norm(A)
    tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
    least = int(np.nonzero(np.r_[tails, 0.0] <= rtol * tails[0])[0][0])
    assert least <= F.rank <= least + 2
    assert F.status == "converged"


@pytest.mark.parametrize(
    ("dtype", "power", "method"),
    [("float64", 1.0, "krylov"), ("float64", 0.5, "gram"), ("float32", 1.0, "krylov"), ("float32", 0.5, "svd")],
)
def test_few_terms_for_a_tolerance_are_tried_first_and_the_attempt_is_given_up_for_many(dtype, power, method):
    s = np.arange(1, 701) ** -power
    A = with_spectrum(np.random.default_rng(2), 800, 700, s).astype(dtype)
    F = truncated_svd(A, rtol=0.3, rng=2)
    assert F.method == method
    assert np.linalg.norm(A - F.toarray().astype(float)) <= F.error <= 0.3 * np.linalg.norm(s)
    tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
    assert F.rank == int(np.argmax(tails <= 0.3 * tails[0]))


def test_a_tolerance_at_the_edge_of_a_step_takes_one_term_more_where_rounding_needs_it():
    s = np.repeat([1.0, 0.5, 0.25], [70, 70, 160])
    A = with_spectrum(np.random.default_rng(2), 320, 300, s).astype("float32")
    edge = float(np.linalg.norm(s[70:]) / np.linalg.norm(s))
    F = truncated_svd(A, rtol=edge, rng=2)
    assert (F.status, F.rank) == ("converged", 71)
    assert F.error <= edge * F.norm_A


def test_the_frobenius_certificate_holds_below_the_square_root_of_eps():
    A = with_spectrum(np.random.default_rng(3), 200, 150, np.geomspace(1, 1e-14, 150))
    for k in (60, 90, 110, 130):
        F = truncated_svd(A, k, rng=3)
        true = np.linalg.norm(A - F.toarray())
        assert true <= F.error <= 30 * true


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (60, 60)])
@pytest.mark.parametrize("method", METHODS)
def test_every_shape_takes_all_terms(shape, method):
    A = np.random.default_rng(4).standard_normal(shape)
    k = min(shape)
    F = truncated_svd(A, k, method=method, rng=4)
    np.testing.assert_allclose(F.toarray(), A, atol=1e-12)
    np.testing.assert_allclose(F.s, np.linalg.svd(A, compute_uv=False), rtol=1e-9)
    assert F.error < 1e-11


@pytest.mark.parametrize("method", METHODS)
def test_more_terms_than_the_rank_are_still_orthonormal(method):
    A = with_spectrum(np.random.default_rng(5), 120, 100, np.ones(3))
    F = truncated_svd(A, 10, method=method, rng=5)
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(10), atol=1e-10)
    np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(10), atol=1e-10)
    np.testing.assert_allclose(F.s[:3], 1)
    assert np.all(F.s[3:] < 1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_a_zero_matrix_has_a_zero_error(method):
    F = truncated_svd(np.zeros((70, 80)), 5, method=method, rng=0)
    assert F.error == 0
    assert np.all(F.s == 0)


def test_centering_gives_principal_components():
    rng = np.random.default_rng(6)
    A = rng.standard_normal((100, 30)) + 50 * np.arange(30)
    F = truncated_svd(A, 5, center=True, rng=6)
    expected = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)[:5]
    np.testing.assert_allclose(F.s, expected)
    np.testing.assert_allclose(F.mean, A.mean(axis=0))
    assert np.linalg.norm(A - F.toarray()) == pytest.approx(F.error)


def test_the_result_acts_as_its_matrix():
    rng = np.random.default_rng(7)
    A = rng.standard_normal((50, 40)) + 3
    x, y, block = rng.standard_normal(40), rng.standard_normal(50), rng.standard_normal((40, 3))
    for center in (False, True):
        F = truncated_svd(A, 6, center=center, rng=7)
        dense = F.toarray()
        assert F.shape == (50, 40)
        np.testing.assert_allclose(F @ x, dense @ x)
        np.testing.assert_allclose(F @ block, dense @ block)
        np.testing.assert_allclose(F.T @ y, dense.T @ y)


def test_truncating_a_result_keeps_its_certificate_true():
    A = with_spectrum(np.random.default_rng(8), 80, 70, 1.0 / np.arange(1, 71))
    F = truncated_svd(A, 20, rng=8).truncate(7)
    assert F.rank == 7
    true = np.linalg.norm(A - F.toarray())
    assert true <= F.error * (1 + 1e-12)
    assert F.error == pytest.approx(true)


@pytest.mark.parametrize("passes", [2, 3, 4, 5, 8])
def test_the_matrix_is_read_no_more_often_than_allowed(passes):
    A = with_spectrum(np.random.default_rng(9), 400, 300, 1 / np.sqrt(np.arange(1, 301)))
    F = truncated_svd(A, 10, max_passes=passes, rng=9)
    assert F.passes <= passes
    assert F.method == "krylov"
    assert np.linalg.norm(A - F.toarray()) <= F.error


def test_more_passes_lower_the_error():
    A = with_spectrum(np.random.default_rng(9), 400, 300, 1 / np.sqrt(np.arange(1, 301)))
    errors = [truncated_svd(A, 10, max_passes=p, rng=9).error for p in (2, 4, 6)]
    assert errors[0] > errors[1] > errors[2]


def test_a_rank_limit_before_the_tolerance_is_reported():
    A = with_spectrum(np.random.default_rng(10), 200, 150, 1 / np.sqrt(np.arange(1, 151)))
    for method in METHODS:
        F = truncated_svd(A, 4, rtol=1e-3, method=method, rng=10)
        assert (F.status, F.rank) == ("max_rank", 4)


def test_gram_hands_over_where_its_digits_end():
    A = with_spectrum(np.random.default_rng(11), 100, 80, np.geomspace(1, 1e-12, 80))
    assert truncated_svd(A, 70, method="gram").method == "svd"
    assert truncated_svd(A, 20, method="gram").method == "gram"


def test_seeds_give_the_same_answer_and_none_does_not_touch_the_global_generator():
    A = np.random.default_rng(12).standard_normal((90, 80))
    one, two = (truncated_svd(A, 5, method="krylov", rng=3) for _ in range(2))
    np.testing.assert_array_equal(one.U, two.U)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    truncated_svd(A, 5, method="krylov")
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "one of k, rtol and atol"),
        ({"k": 0}, ValueError, r"k must be in 1..min\(m, n\) = 1..4, got 0"),
        ({"k": 5}, ValueError, "got 5"),
        ({"k": 2.0}, TypeError, "k must be an int"),
        ({"k": True}, TypeError, "k must be an int"),
        ({"rtol": -1}, ValueError, "rtol must be finite and not negative"),
        ({"k": 1, "norm": "nuclear"}, ValueError, "norm must be one of"),
        ({"k": 1, "method": "magic"}, ValueError, "method must be one of"),
        ({"k": 1, "max_passes": 0}, ValueError, "max_passes must be at least 1, got 0"),
        ({"k": 1, "max_passes": 1, "method": "krylov"}, ValueError, "max_passes must be at least 2"),
        ({"max_passes": 1, "rtol": 0.1}, ValueError, "k must be given for a single pass"),
        ({"k": 1, "rng": "seed"}, TypeError, "rng must be"),
        ({"k": 1, "rng": -1}, ValueError, "rng must be a non-negative seed"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        truncated_svd(np.ones((5, 4)), **arguments)


def test_a_result_measures_its_distance_from_any_matrix():
    rng = np.random.default_rng(13)
    A, B = rng.standard_normal((2, 60, 50))
    for F in (truncated_svd(A, 6, rng=0), truncated_svd(A, 6, center=True, rng=0)):
        assert F.error_of(A) == pytest.approx(F.error)
        assert F.error_of(B) == pytest.approx(np.linalg.norm(B - F.toarray()))
        assert F.error_of(B * 1e200) == pytest.approx(np.linalg.norm(B) * 1e200)
    with pytest.raises(ValueError, match=r"A must have the shape \(60, 50\)"):
        F.error_of(A.T)
