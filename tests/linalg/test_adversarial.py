"""Cases that once were wrong: each sentence is a defect that does not come back."""

import contextlib
import io

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

from lina.linalg import (
    RowBlocks,
    interpolative,
    load,
    pinv,
    pinv_factor,
    qr_pivoted,
    ridge_pinv,
    rpcholesky,
    save,
    truncated_svd,
    two_sided_projection,
)
from tests.linalg.matrices import hilbert, with_spectrum

EPS = np.finfo(float).eps


@pytest.mark.parametrize("noise", [1e-7, 1e-8, 1e-10, 1e-12, 1e-14])
@pytest.mark.parametrize("tolerance", [{"rtol": 1e-3}, {"atol": 1e-3}])
def test_what_lies_below_a_wide_cutoff_costs_no_digits(noise, tolerance):
    s = np.r_[np.geomspace(1, 0.1, 30), np.full(270, noise / 17)]
    A = with_spectrum(np.random.default_rng(0), 400, 300, s)
    expected = np.linalg.pinv(A, rcond=1e-3)
    assert np.linalg.norm(pinv(A, **tolerance) - expected, 2) < 50 * EPS * 10 * np.linalg.norm(expected, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 2), (3, 2, 2), (80, 80)])
@pytest.mark.parametrize("hermitian", [False, True])
def test_a_norm_beyond_the_range_is_an_error_and_not_a_zero(dtype, shape, hermitian):
    A = np.full(shape, 0.9 * np.finfo(dtype).max, dtype=dtype)
    found, message = None, "A must not be so large"
    with contextlib.suppress(OverflowError):
        found = pinv(A, hermitian=hermitian)
    if found is None:
        with pytest.raises(OverflowError, match=message):
            pinv(A, hermitian=hermitian)
    else:
        assert np.all(np.isfinite(found))
        assert np.any(found != 0)


@pytest.mark.parametrize("rtol", [1e-7, 1e-9, 1e-10])
@pytest.mark.parametrize("spectrum", ["plateau", "graded"])
def test_krylov_says_converged_only_where_the_tolerance_is_met(rtol, spectrum):
    s = np.r_[np.ones(10), np.full(90, 5e-9)] if spectrum == "plateau" else np.geomspace(1, 1e-12, 100)
    A = with_spectrum(np.random.default_rng(0), 150, 100, s)
    F = truncated_svd(A, rtol=rtol, method="krylov", rng=1)
    expected = truncated_svd(A, rtol=rtol, method="svd")
    assert F.status == "converged"
    assert np.linalg.norm(A - F.toarray()) <= rtol * np.linalg.norm(A)
    assert expected.rank <= F.rank <= expected.rank + 2


@pytest.mark.parametrize("method", ["svd", "krylov"])
def test_a_tolerance_below_rounding_is_called_that(method):
    A = with_spectrum(np.random.default_rng(0), 150, 100, np.geomspace(1, 1e-12, 100), "float32")
    F = truncated_svd(A, rtol=1e-9, method=method, rng=1)
    assert F.status == "rounding"
    assert interpolative(A, rtol=1e-9, rng=1).status == "rounding"


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
def test_no_needless_columns_at_tight_tolerances(rtol):
    A = with_spectrum(np.random.default_rng(0), 200, 150, np.geomspace(1, 1e-14, 150))
    F = interpolative(A, rtol=rtol, rng=0)
    assert F.error <= rtol * np.linalg.norm(A)
    fewer = np.linalg.qr(A[:, F.indices[: F.rank - 3]])[0]
    assert np.linalg.norm(A - fewer @ (fewer.T @ A)) > rtol * np.linalg.norm(A)
    np.testing.assert_array_equal(F.Z[:, F.indices], np.eye(F.rank))


def test_max_passes_is_never_ignored():
    A = np.random.default_rng(0).standard_normal((90, 80))
    for method in ("gram", "svd"):
        with pytest.raises(ValueError, match="method must be 'auto' or 'krylov' with max_passes"):
            truncated_svd(A, 5, method=method, max_passes=2)


def test_an_enormous_atol_leaves_nothing_and_an_honest_gap():
    info = pinv(1e-300 * np.random.default_rng(0).standard_normal((100, 90)), atol=1e10, return_info=True)[1]
    assert info.rank == 0
    assert info.gap > 1


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e10])
@pytest.mark.parametrize("bound", [1.0, 1.1, 2.0])
def test_the_scale_of_a_matrix_does_not_break_its_pivoted_qr(scale, bound):
    for seed in range(5):
        A = scale * hilbert(12)
        F = qr_pivoted(A, method="sketch", max_coef=bound, rng=seed)
        assert np.linalg.norm(A - F.toarray()) <= F.error
        assert F.max_abs_coef <= bound * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_hundreds_of_updates_do_not_turn_rounding_into_rank(seed):
    rng = np.random.default_rng(seed)
    V = rng.standard_normal((3, 8))
    B = rng.standard_normal((10, 3)) @ V
    F = pinv_factor(B)
    for t in range(400):
        row = rng.standard_normal(3) @ V
        F = F.update(np.eye(10)[t % 10], row - B[t % 10])
        B[t % 10] = row
        assert F.rank == 3
    assert np.linalg.norm(F.toarray() - np.linalg.pinv(B, rcond=1e-12)) < 1e-10 * np.linalg.norm(F.toarray())


def test_a_factor_of_rank_zero_takes_updates_of_nothing():
    F = pinv_factor(np.zeros((3, 2)))
    assert F.update([0.0, 0, 0], [1.0, 2]).rank == 0
    assert F.update([0.0, 0, 1], [0.0, 0]).rank == 0


@pytest.mark.parametrize("scale", [1, 1e4, 1e8, 1e16, 1e20])
def test_the_certificate_of_a_two_sided_projection_scales_with_the_matrix(scale):
    assert two_sided_projection(np.diag([1.0, 1, 1e-12, 0, 0]) * scale, 1).error / scale < 1.1e-12


def test_a_ridge_beyond_single_precision_keeps_its_digits():
    one = np.eye(2, dtype=np.float32)
    for size, eps in ((1e25, 1e40), (1e-24, 1e-47), (1e-22, 9e-45)):
        expected = size / (size**2 + eps)
        assert ridge_pinv(one * np.float32(size), eps)[0, 0] == pytest.approx(expected, rel=1e-5)


def test_an_iterator_of_zeros_is_a_zero_matrix():
    F = truncated_svd(iter([np.zeros((2, 2))] * 2), 1, rng=0)
    assert (F.error, float(F.s[0])) == (0.0, 0.0)


def test_converged_means_that_the_certified_error_meets_the_tolerance_to_the_last_digit():
    for seed in range(20):
        A = np.random.default_rng(seed).standard_normal((30, 20)) * 0.6 ** np.arange(20)
        s = np.linalg.svd(A, compute_uv=False)
        rtol = np.linalg.norm(s[8:]) / np.linalg.norm(s) * (1 + 1e-12)
        for method in ("svd", "gram", "krylov"):
            F = truncated_svd(A, rtol=rtol, method=method, rng=seed)
            assert F.status == "converged"
            assert F.error <= rtol * F.norm_A


@pytest.mark.parametrize(("offset", "value"), [(10, 77), (6, 109), (8, 1)])
def test_a_damaged_directory_of_a_file_is_an_error_that_names_it(offset, value):
    file = io.BytesIO()
    save(file, truncated_svd(np.eye(3), 2))
    damaged = bytearray(file.getvalue())
    damaged[damaged.rfind(b"PK\x01\x02") + offset] = value
    with pytest.raises(ValueError, match="file must be whole"):
        load(io.BytesIO(bytes(damaged)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_equal_singular_values_never_cost_a_term(dtype):
    for seed in range(30):
        draws = np.random.default_rng(seed).standard_normal((140, 90))
        A = np.linalg.qr(draws)[0].astype(dtype)
        assert truncated_svd(A, 2, rng=0).rank == 2
        assert truncated_svd(A, 2, method="gram").rank == 2


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_the_error_of_an_operator_includes_rounding(dtype):
    A = np.random.default_rng(1).standard_normal((90, 80)).astype(dtype)
    for options in ({"rtol": 1e-30}, {"k": 79}):
        F = truncated_svd(aslinearoperator(A), rng=0, **options)
        assert F.error >= np.linalg.norm(A.astype("complex128") - F.toarray())
    assert truncated_svd(aslinearoperator(A), rtol=1e-30, rng=0).status == "rounding"


def test_probes_do_not_come_from_the_draws_that_made_the_matrix():
    A = np.random.default_rng(0).standard_normal((100, 80))
    for k in (75, 78, 79):
        F = truncated_svd(aslinearoperator(A), k, rng=0)
        assert F.error >= np.linalg.norm(A - F.toarray())


def test_exact_low_rank_matrices_are_semidefinite_enough_for_pivots():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        Q = np.linalg.qr(rng.standard_normal((5, 2)))[0]
        B = rng.integers(-2, 3, (130, 26)).astype(float)
        for A in ((Q @ Q.T + (Q @ Q.T).T) / 2, B @ B.T):
            F = rpcholesky(A, rtol=1e-3, rng=0)
            assert F.error >= np.linalg.norm(A - F.toarray(), "nuc")


def test_zeros_can_be_centred_in_blocks():
    zeros = np.zeros((2, 5))
    for A in (RowBlocks([zeros, zeros]), iter([zeros, zeros])):
        F = truncated_svd(A, 1, center=True)
        assert (F.s.tolist(), F.error) == ([0.0], 0.0)
    assert truncated_svd(np.full((5, 1), 1e-300), 1, center=True).s[0] < 1e-310


@pytest.mark.parametrize("shape", [(5, 1), (1, 5), (1, 1)])
def test_a_single_column_has_a_pseudo_inverse_by_every_method(shape):
    for method in ("gram", "lu", "cod", "qr", "svd"):
        np.testing.assert_allclose(pinv(np.ones(shape), method=method), np.ones(shape).T / max(shape))


@pytest.mark.parametrize("norm", ["fro", "2"])
def test_a_tolerance_that_all_terms_meet_is_met_and_one_below_rounding_is_not(norm):
    A = np.random.default_rng(0).standard_normal((40, 500))
    assert truncated_svd(RowBlocks([A]), rtol=1e-9, norm=norm, rng=0).status == "converged"
    for method in ("auto", "krylov", "svd"):
        assert truncated_svd(A.T, rtol=1e-17, norm=norm, method=method, rng=0).status == "rounding"


def test_rigorous_bounds_hold_for_the_smallest_matrices():
    wide = np.longdouble
    for seed in range(200):
        rng = np.random.default_rng(seed)
        U, V = (np.linalg.qr(rng.standard_normal((2, 2)))[0] for _ in range(2))
        A = (U * [1, 1e-6]) @ V
        for method in ("krylov", "svd", "gram"):
            F = truncated_svd(A, 1, method=method, rng=0)
            found = (F.U.astype(wide) * F.s.astype(wide)) @ F.Vt.astype(wide)
            assert F.error >= np.sqrt(np.sum((A.astype(wide) - found) ** 2))
        B = np.linalg.qr(rng.standard_normal((40, 2)))[0]
        C, D = rng.standard_normal((40, 3)), rng.standard_normal((2, 3))
        G = pinv_factor(B).update(C, D)
        missed = B.astype(wide) + C.astype(wide) @ D.T.astype(wide) - (G.U.astype(wide) * G.s) @ G.Vt.astype(wide)
        assert G.error >= np.sqrt(np.sum(missed**2))


def test_a_sparse_matrix_without_decay_is_given_up_to_the_gram_matrix():
    A = scipy.sparse.random_array((500, 400), density=0.05, rng=0, format="csr")
    F = truncated_svd(A, rtol=0.2, rng=0)
    assert (F.method, str(F.status)) == ("gram", "converged")
    least = np.linalg.svd(A.toarray(), compute_uv=False)
    assert F.rank == np.sum(np.sqrt(np.cumsum(least[::-1] ** 2))[::-1] > 0.2 * np.linalg.norm(least))
