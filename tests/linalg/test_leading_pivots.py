"""Pivoted QR that ends early: beside LAPACK's on all spectra, where norms lose digits, and when it is taken."""

import numpy as np
import pytest
import scipy.linalg

from lina.linalg import _lapack
from lina.linalg._leading_pivots import leading_pivots
from tests.linalg.matrices import SPECTRA, kahan, with_spectrum


def lapack(A):
    """Return (R, pivots) of LAPACK."""
    return scipy.linalg.qr(A, mode="r", pivoting=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(90, 70), (70, 90), (5, 60), (60, 5), (1, 4), (4, 1)])
def test_every_number_of_steps_gives_the_leading_rows_of_lapack(shape, dtype):
    least = min(shape)
    A = with_spectrum(np.random.default_rng(0), *shape, SPECTRA["polynomial"](least), dtype)
    full, pivots = lapack(A)
    for k in {1, min(3, least), min(32, least), min(45, least), least}:
        R, found = leading_pivots(A, k)
        np.testing.assert_array_equal(found[:k], pivots[:k])
        np.testing.assert_array_equal(np.sort(found), np.arange(shape[1]))
        back, expected = np.argsort(found), np.argsort(pivots)
        tolerance = 50 * np.finfo(dtype).eps
        # the phase of a row is free where it is the last of the matrix
        np.testing.assert_allclose(np.abs(R[:, back]), np.abs(full[:k, expected]), atol=tolerance)
        gram = A[:, found[:k]].conj().T @ A[:, found]
        np.testing.assert_allclose(R[:, :k].conj().T @ R, gram, atol=tolerance)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_the_diagonal_is_that_of_lapack_down_to_rounding(spectrum, dtype):
    A = with_spectrum(np.random.default_rng(1), 150, 120, SPECTRA[spectrum](120), dtype)
    full, _ = lapack(A)
    R, _ = leading_pivots(A, 120)
    floor = 200 * np.finfo(dtype).eps
    size = np.abs(np.diagonal(R))
    np.testing.assert_allclose(size, np.abs(np.diagonal(full)), rtol=0.3, atol=floor)
    assert np.all(size[1:] <= size[:-1] * (1 + 1e-2) + floor)  # the largest remaining column comes first


def test_norms_that_lose_their_digits_are_computed_anew():
    rng = np.random.default_rng(2)
    # all columns are nearly the first: what is left of each is 1e-12 of it, and in one direction larger than in others
    A = np.ones((200, 1)) + 1e-12 * rng.standard_normal((200, 80)) * np.geomspace(1, 1e-2, 80)
    _, found = leading_pivots(A, 20)
    rest = A
    for i, p in enumerate(found[:20]):
        size = np.linalg.norm(rest, axis=0)
        size[found[:i]] = 0
        assert size[p] >= size.max() * (1 - 2e-2)
        Q, _ = np.linalg.qr(A[:, found[: i + 1]])
        rest = A - Q @ (Q.T @ A)


def test_hard_matrices_are_no_trouble():
    for A in (np.zeros((12, 9)), kahan(60), np.eye(30)[:, ::-1].copy(), np.diag(np.geomspace(1, 1e-300, 20))):
        k = min(A.shape)
        R, found = leading_pivots(A, k)
        np.testing.assert_array_equal(np.sort(found), np.arange(A.shape[1]))
        np.testing.assert_allclose(R.T @ R, A[:, found].T @ A[:, found], atol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_few_steps_of_a_large_matrix_end_early_and_all_others_are_lapacks(dtype, monkeypatch):
    taken = []

    def counted(A, k):
        taken.append(k)
        return leading_pivots(A, k)

    monkeypatch.setattr(_lapack, "leading_pivots", counted)
    large = with_spectrum(np.random.default_rng(3), 640, 512, 1 / np.arange(1, 513), dtype)
    for A, k in ((large, 20), (large, 64), (large, 65), (large, 512), (large[:100, :100], 5)):
        R, pivots = _lapack.pivoted_qr(A, k)
        assert R.shape == (k, A.shape[1])
        np.testing.assert_array_equal(pivots[:k], lapack(A)[1][:k])
    assert taken == [20, 64]
    before = large.copy()
    _lapack.pivoted_qr(np.asfortranarray(large), 20)
    np.testing.assert_array_equal(large, before)
