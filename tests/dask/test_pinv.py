import dask
import dask.array as da
import numpy as np
import pytest

from lina.linalg import pinv
from tests.dask.matrices import graded


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("shape", "chunks"), [((800, 60), (90, -1)), ((60, 800), (-1, 90)), ((40, 90), (7, -1))])
@pytest.mark.parametrize("condition", [10.0, 1e3])
def test_the_pseudo_inverse_and_its_facts_are_those_of_numpy(dtype, shape, chunks, condition):
    A, _ = graded(*shape, condition ** (-1 / (min(shape) - 1)), dtype)
    X, info = pinv(da.from_array(A, chunks=chunks), return_info=True)
    X, rank, found, gap = dask.compute(X, info.rank, info.condition, info.gap)
    eps = np.finfo(dtype).eps
    exact = np.linalg.pinv(A.astype(np.result_type(dtype, "float64")))
    assert X.dtype == A.dtype
    assert np.linalg.norm(X - exact) <= 30 * condition * eps * np.linalg.norm(exact)
    assert rank == min(shape)
    np.testing.assert_allclose(found, condition, rtol=1e3 * condition * eps)
    assert gap > 1
    assert info.method == "qr"


def test_a_rank_below_the_sides_is_that_of_the_cutoff():
    A, s = graded(900, 50, 0.5)
    X, info = pinv(da.from_array(A, chunks=(100, -1)), rtol=1e-3, return_info=True)
    U, values, Vt = np.linalg.svd(A, full_matrices=False)
    k = int(np.sum(s > 1e-3))
    np.testing.assert_allclose(X.compute(), (Vt[:k].T / values[:k]) @ U[:, :k].T, atol=1e-10 / s[k - 1])
    assert info.rank.compute() == k
    assert info.gap.compute() == pytest.approx(pinv(A, rtol=1e-3, return_info=True)[1].gap)


def test_rows_are_read_once_for_the_facts_and_twice_for_the_inverse(counted):
    make, reads = counted
    A, _ = graded(900, 50, 0.9)
    X, info = pinv(make(A, (100, -1)), return_info=True)
    assert not reads
    info.rank.compute()
    assert set(reads.values()) == {1}
    assert X.chunks == ((50,), (100,) * 9)
    X.compute()
    assert set(reads.values()) == {3}


@pytest.mark.parametrize("scale", [1e-250, 1e250])
def test_extreme_entries_lose_no_digits(scale):
    A, _ = graded(500, 30, 0.8)
    X = pinv(da.from_array(A * scale, chunks=(100, -1))).compute()
    np.testing.assert_allclose(X * scale, np.linalg.pinv(A), atol=1e-10)


def test_stacks_and_hermitian_matrices_are_done_whole():
    rng = np.random.default_rng(0)
    B = rng.standard_normal((30, 8, 5))
    X, info = pinv(da.from_array(B, chunks=(7, 8, 2)), return_info=True)
    np.testing.assert_allclose(X.compute(), np.linalg.pinv(B), atol=1e-12)
    assert np.array_equal(info.rank.compute(), np.full(30, 5))
    H = B[0] @ B[0].T
    np.testing.assert_allclose(
        pinv(da.from_array(H, chunks=3), hermitian=True).compute(), pinv(H, hermitian=True), atol=1e-12
    )


def test_a_matrix_without_entries_is_its_own_shape():
    assert pinv(da.zeros((0, 4))).shape == (4, 0)


def test_blocks_across_rows_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"A must have blocks of whole rows.*A\.rechunk"):
        pinv(da.ones((100, 40), chunks=(10, 10)))


def test_nan_is_named_when_it_is_met():
    A = np.ones((100, 4))
    A[7, 1] = np.nan
    X = pinv(da.from_array(A, chunks=(10, -1)))
    with pytest.raises(ValueError, match="A must be finite, got 1 NaN"):
        X.compute()
