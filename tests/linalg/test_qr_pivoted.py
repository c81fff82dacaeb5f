"""Pivoted QR: beside LAPACK's, its certificate, its guarantees in strong mode, and the cases that end early."""

import numpy as np
import pytest
import scipy.linalg

from lina.linalg import qr_pivoted
from tests.linalg.matrices import SPECTRA, hilbert, kahan, with_spectrum

METHODS = ["auto", "geqp3", "sketch", "strong"]
SHAPES = [(50, 40), (40, 50), (40, 40), (1, 9), (9, 1), (1, 1), (200, 12)]


def check_factors(F, A, dtype="float64"):
    """Check what every pivoted QR promises: form, orthonormal columns, and the certificate."""
    eps, (m, n) = np.finfo(dtype).eps, A.shape
    k = F.rank
    assert (F.Q.shape, F.R.shape, F.pivots.shape) == ((m, k), (k, n), (n,))
    assert F.Q.dtype == F.R.dtype == dtype
    np.testing.assert_array_equal(np.sort(F.pivots), np.arange(n))
    np.testing.assert_array_equal(np.tril(F.R, -1), 0)
    diagonal = np.diagonal(F.R)
    assert np.all(diagonal.real > 0)
    assert np.all(diagonal.imag == 0)
    assert np.linalg.norm(F.Q.conj().T @ F.Q - np.eye(k)) <= 20 * k * eps
    wide = [each.astype("complex128") for each in (A, F.Q, F.R)]
    true = np.linalg.norm(wide[0][:, F.pivots] - wide[1] @ wide[2])
    assert true <= F.error <= 1.01 * true + 50 * np.sqrt(k) * eps * np.linalg.norm(A)
    assert F.norm_A == pytest.approx(np.linalg.norm(A), rel=1e-5)
    assert F.error_kind == "rigorous"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_the_factors_keep_their_promises(spectrum, method, dtype):
    for seed, (m, n) in enumerate(SHAPES):
        least = min(m, n)
        A = with_spectrum(np.random.default_rng(seed), m, n, SPECTRA[spectrum](least), dtype)
        for k in {1, min(7, least), least}:
            check_factors(qr_pivoted(A, k, method=method, rng=seed), A, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("shape", [(50, 40), (40, 50)])
def test_geqp3_finds_what_lapack_finds(shape, dtype):
    A = with_spectrum(np.random.default_rng(0), *shape, SPECTRA["polynomial"](40), dtype)
    _, R, pivots = scipy.linalg.qr(A, mode="economic", pivoting=True)
    eps = np.finfo(dtype).eps
    for k in (1, 13, 40):
        F = qr_pivoted(A, k, method="geqp3")
        np.testing.assert_array_equal(F.pivots[:k], pivots[:k])
        np.testing.assert_allclose(np.diagonal(F.R), np.abs(np.diagonal(R))[:k], rtol=1e4 * eps)
        back = np.argsort(pivots)
        np.testing.assert_allclose(F.toarray(), (F.Q @ F.Q.conj().T) @ A, atol=50 * eps)
        np.testing.assert_allclose(np.abs(F._factors()[1]), np.abs(R[:k, back]), atol=1e3 * eps)


def test_without_arguments_the_whole_matrix_is_factored():
    A = with_spectrum(np.random.default_rng(1), 30, 40, np.geomspace(1, 1e-12, 30))
    F = qr_pivoted(A)
    assert F.rank == 30
    assert F.error <= 1e-14
    size = np.diagonal(F.R)
    assert np.all(size[1:] <= size[:-1] * (1 + 1e-6))  # the largest remaining column comes first


@pytest.mark.parametrize("spectrum", ["polynomial", "exponential", "step", "stairs"])
def test_a_sketch_costs_little_of_the_quality(spectrum):
    ratios = []
    for seed in range(8):
        A = with_spectrum(np.random.default_rng(seed), 150, 120, SPECTRA[spectrum](120))
        errors = [qr_pivoted(A, 20, method=method, rng=seed).error for method in ("sketch", "geqp3")]
        ratios.append(errors[0] / errors[1])
    assert np.median(ratios) < 1.1


@pytest.mark.parametrize("condition", [1e3, 1e7, 1e9, 1e12])
def test_the_basis_is_orthonormal_and_exact_at_any_condition(condition):
    A = with_spectrum(np.random.default_rng(2), 300, 100, np.geomspace(1, 1 / condition, 40))
    for method in METHODS:
        F = qr_pivoted(A, 40, method=method, rng=0)
        check_factors(F, A)
        assert F.error <= 1e-13


def test_it_acts_as_the_matrix_and_not_as_the_permuted_one():
    rng = np.random.default_rng(3)
    A = with_spectrum(rng, 30, 20, np.geomspace(1, 1e-3, 20), "complex128")
    F = qr_pivoted(A, 8, rng=0)
    B = F.Q @ (F.Q.conj().T @ A)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(30)
    np.testing.assert_allclose(F.toarray(), B, atol=1e-13)
    np.testing.assert_allclose(F @ x, B @ x, atol=1e-13)
    np.testing.assert_allclose(F.T @ y, B.T @ y, atol=1e-13)
    assert F.shape == (30, 20)
    assert F.error_of(A) == pytest.approx(np.linalg.norm(A - B), rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_truncation_stops_earlier_in_the_same_factorisation(method):
    A = with_spectrum(np.random.default_rng(4), 60, 50, np.geomspace(1, 1e-15, 50))
    F = qr_pivoted(A, 30, method=method, rng=0)
    for k in (1, 12, 29):
        G = F.truncate(k)
        check_factors(G, A)
        np.testing.assert_array_equal(G.Q, F.Q[:, :k])
        np.testing.assert_array_equal(G.pivots, F.pivots)
        R11, R12 = G.R[:, :k], G.R[:, k:]
        assert G.max_abs_coef == pytest.approx(np.abs(np.linalg.solve(R11, R12)).max(), rel=1e-6)
    assert F.truncate(30) is F
    with pytest.raises(ValueError, match="k must be in"):
        F.truncate(31)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rtol", [0.3, 1e-2, 1e-6, 1e-11])
def test_a_tolerance_is_met_without_needless_columns(rtol, method):
    A = with_spectrum(np.random.default_rng(5), 120, 90, np.geomspace(1, 1e-14, 90))
    F = qr_pivoted(A, rtol=rtol, method=method, rng=0)
    check_factors(F, A)
    assert F.status == "converged"
    assert F.error <= rtol * np.linalg.norm(A)
    assert F.rank <= 2 or F.truncate(max(1, F.rank - 4)).error > rtol * np.linalg.norm(A)


def test_an_early_end_has_its_status():
    A = with_spectrum(np.random.default_rng(6), 60, 50, np.geomspace(1, 1e-4, 50))
    for method in METHODS:
        assert qr_pivoted(A, 3, rtol=1e-2, method=method, rng=0).status == "max_rank"
        assert qr_pivoted(A, rtol=1e-20, method=method, rng=0).status == "rounding"
        assert qr_pivoted(A, atol=10.0, method=method, rng=0).rank == 1


@pytest.mark.parametrize("method", METHODS)
def test_the_numerical_rank_limits_the_number_of_columns(method):
    rng = np.random.default_rng(7)
    A = with_spectrum(rng, 90, 70, np.ones(5))
    for k in (30, 70):
        F = qr_pivoted(A, k, method=method, rng=0)
        check_factors(F, A)
        assert F.rank == 5
    zero = qr_pivoted(np.zeros((6, 5)), 3, method=method, rng=0)
    assert (zero.rank, zero.error, zero.max_abs_coef) == (1, 0.0, 0.0)
    np.testing.assert_array_equal(zero.toarray(), 0)
    A = rng.standard_normal((40, 30))
    A[:, ::2] = 0
    F = qr_pivoted(A, 30, method=method, rng=0)
    assert sorted(F.pivots[:15]) == list(range(1, 30, 2))
    twins = np.repeat(rng.standard_normal((40, 6)), 3, axis=1)
    F = qr_pivoted(twins, 18, method=method, rng=0)
    assert sorted(F.pivots[: F.rank] // 3) == list(range(6))
    assert F.error <= 1e-13


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("max_coef", [1.0, 2.0])
@pytest.mark.parametrize("shape", [(70, 60), (50, 80)])
def test_strong_mode_keeps_its_guarantees(spectrum, max_coef, shape):
    n, least = shape[1], min(shape)
    for seed in range(3):
        A = with_spectrum(np.random.default_rng(seed), *shape, SPECTRA[spectrum](least))
        F = qr_pivoted(A, 10, method="strong", max_coef=max_coef, rng=seed)
        s, k = np.linalg.svd(A, compute_uv=False), F.rank
        rounding = n * np.finfo(float).eps * s[0]
        q = np.sqrt(1 + max_coef**2 * k * (n - k))
        assert F.max_abs_coef <= max_coef * (1 + 1e-11)
        assert np.all(np.linalg.svd(F.R[:, :k], compute_uv=False) >= s[:k] / q - rounding)
        following = s[k]
        assert np.linalg.norm(A - F.toarray(), 2) <= q * following + rounding
        assert F.error / (q * np.sqrt(least - k)) - 3 * rounding <= following <= F.error


@pytest.mark.parametrize("n", [60, 90])
def test_kahans_diagonal_is_no_singular_value_and_strong_mode_finds_the_rank(n):
    A, s = kahan(n), np.linalg.svd(kahan(n), compute_uv=False)
    weak = qr_pivoted(A, method="geqp3")
    assert weak.R[-1, -1] > 1e7 * s[-1]
    blind, strong = qr_pivoted(A, n - 1, method="geqp3"), qr_pivoted(A, n - 1, method="strong")
    assert blind.error > 1e7 * s[-1]
    assert strong.error <= 3 * s[-1] + 5 * np.sqrt(n) * np.finfo(float).eps * strong.norm_A
    assert blind.max_abs_coef > 1e6
    assert strong.max_abs_coef <= 2


@pytest.mark.parametrize("method", METHODS)
def test_hilberts_matrix_ends_where_rounding_begins(method):
    A = hilbert(100)
    F = qr_pivoted(A, method=method, rng=0)
    check_factors(F, A)
    assert F.rank < 25
    assert F.error <= 1e-11


def test_columns_of_very_different_size_are_all_represented():
    rng = np.random.default_rng(8)
    centres = rng.standard_normal((200, 20)) * np.geomspace(1e4, 1e-4, 20)
    A = np.repeat(centres, 15, axis=1) + 1e-9 * rng.standard_normal((200, 300))
    for method in METHODS:
        F = qr_pivoted(A, 20, method=method, rng=0)
        assert sorted(F.pivots[:20] // 15) == list(range(20))


def test_a_sketch_is_as_good_where_few_rows_hold_everything():
    rng = np.random.default_rng(9)
    A = np.zeros((400, 200))
    A[::9] = rng.standard_normal((45, 200)) * np.exp(-np.arange(45) / 8)[:, None]
    best = qr_pivoted(A, 30, method="geqp3").error
    errors = [qr_pivoted(A, 30, method="sketch", rng=seed).error for seed in range(10)]
    assert max(errors) <= 1.3 * best


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 9}, ValueError, "k must be in"),
        ({"k": 2.0}, TypeError, "k must be an int"),
        ({"k": 2, "method": "cpqr"}, ValueError, "method must be one of 'auto', 'geqp3', 'sketch', 'strong'"),
        ({"rtol": -1.0}, ValueError, "rtol must be finite and not negative"),
        ({"k": 2, "max_coef": 0.9}, ValueError, "max_coef must be at least 1, got 0.9"),
        ({"k": 2, "max_coef": "two"}, TypeError, "max_coef must be a number"),
        ({"k": 2, "max_coef": np.nan}, ValueError, "max_coef must be finite"),
        ({"k": 2, "rng": 1.5}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        qr_pivoted(np.ones((5, 4)), **arguments)
