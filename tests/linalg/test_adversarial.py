"""Cases that once were wrong: each sentence is a defect that does not come back."""

import contextlib
import io

import numpy as np
import pytest

from lina.linalg import (
    interpolative,
    load,
    pinv,
    pinv_factor,
    qr_pivoted,
    ridge_pinv,
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
