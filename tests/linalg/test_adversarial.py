"""Cases that once were wrong: each sentence is a defect that does not come back."""

import contextlib

import numpy as np
import pytest

from lina.linalg import interpolative, pinv, truncated_svd
from tests.linalg.matrices import with_spectrum

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
