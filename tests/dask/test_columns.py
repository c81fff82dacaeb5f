import warnings

import dask.array as da
import numpy as np
import pytest

from lina.linalg import cr_matmul, interpolative, select_columns
from tests.dask.matrices import graded

M, _ = graded(1200, 90, 0.85)
A = da.from_array(M, chunks=(150, -1))
SKETCHED = ("sketch", "lupp", "kmeans")  # of the triangle: another draw than that of the matrix
RULES = ("greedy", "cpqr", "sampled_cpqr", "qdeim", "rbrp", "leverage", "norm", "uniform", *SKETCHED)


@pytest.mark.parametrize("options", [{"k": 15}, {"rtol": 1e-2}, {"k": 15, "max_coef": 2.0}, {"atol": 1e-9}])
@pytest.mark.parametrize("axis", [0, 1])
def test_an_interpolation_is_of_the_columns_of_the_matrix_itself(options, axis):
    given, B = (A, M) if axis == 1 else (A.T, M.T)
    F = interpolative(given, axis=axis, method="cpqr", rng=0, **options)
    memory = interpolative(B, axis=axis, method="cpqr", rng=0, **options)
    assert isinstance(F.C, da.Array)
    assert isinstance(F.Z, da.Array)
    np.testing.assert_array_equal(F.C.compute(), np.take(B, F.indices, axis=axis))
    assert F.rank == memory.rank
    true = np.linalg.norm(B - F.toarray().compute())
    assert true <= F.error <= 1.01 * memory.error + 1e-13
    assert (F.axis, F.status) == (axis, memory.status)


@pytest.mark.parametrize("method", RULES)
def test_every_rule_chooses_what_it_chooses_in_memory(method):
    F = select_columns(A, 12, method=method, rng=0)
    C = F.C.compute()
    np.testing.assert_array_equal(C, M[:, F.indices])
    true = np.linalg.norm(M - C @ np.linalg.pinv(C) @ M)
    assert true <= F.error <= true * (1 + 1e-6)
    if method not in SKETCHED:
        np.testing.assert_array_equal(F.indices, select_columns(M, 12, method=method, rng=0).indices)


@pytest.mark.parametrize("replace", [False, True])
def test_draws_have_their_weights(replace):
    F = select_columns(A, 12, method="leverage", sampling=True, replace=replace, rng=0)
    memory = select_columns(M, 12, method="leverage", sampling=True, replace=replace, rng=0)
    np.testing.assert_array_equal(F.indices, memory.indices)
    np.testing.assert_allclose(F.weights.compute(), memory.weights, rtol=1e-10)


def test_one_reading_decides(counted):
    make, reads = counted
    F = interpolative(make(M, (150, -1)), 10)
    assert set(reads.values()) == {1}
    assert F.C.chunks[0] == (150,) * 8


OPTIONS = [
    {},
    {"select": "omp"},
    {"select": "greedy"},
    {"weights": "full"},
    {"select": "sample", "replace": True},
    {"select": "sample", "replace": False, "weights": "full"},
    {"measure": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_product_of_a_few_terms_has_the_error_that_it_says(options, dtype):
    X = graded(800, 60, 0.97, dtype, seed=1)[0]
    Y = graded(60, 700, 0.97, dtype, seed=2)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that zero would be better than some of these
        F = cr_matmul(da.from_array(X, chunks=(100, -1)), da.from_array(Y, chunks=(-1, 90)), 25, rng=0, **options)
        memory = cr_matmul(X, Y, 25, rng=0, **options)
    np.testing.assert_array_equal(F.indices, memory.indices)
    product = F.matmul()
    assert isinstance(product, da.Array)
    true = np.linalg.norm(X @ Y - product.compute())
    assert true <= F.error
    np.testing.assert_allclose(F.error, memory.error, rtol=1e-9)
    np.testing.assert_allclose(F.weights.compute(), memory.weights, rtol=1e-6, atol=1e-9)


def test_blocks_that_cut_what_is_chosen_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"A must have blocks of whole rows .* along axis 1.*A\.rechunk\(\{1: -1\}\)"):
        interpolative(A.rechunk((1200, 10)), 5)
    with pytest.raises(ValueError, match=r"A must have blocks of whole columns .*A\.rechunk\(\{0: -1\}\)"):
        select_columns(A, 5, axis=0)
    with pytest.raises(ValueError, match=r"Y must have blocks of whole columns .*Y\.rechunk\(\{0: -1\}\)"):
        cr_matmul(A, A.T[:, :90].rechunk((10, -1)), 5)
    with pytest.raises(ValueError, match="k must be in"):
        interpolative(A, 91)


def test_rows_of_which_dask_does_not_know_the_number_are_refused_with_the_remedy():
    some = A[A[:, 0] > 0]
    for choose in (interpolative, select_columns):
        with pytest.raises(ValueError, match=r"A must have blocks of known sizes.*A\.compute_chunk_sizes\(\)"):
            choose(some, 5)
    with pytest.raises(ValueError, match=r"Y must have blocks of known sizes.*Y\.compute_chunk_sizes\(\)"):
        cr_matmul(A.T, some, 5)


def test_nan_is_named():
    B = M.copy()
    B[3, 3] = np.nan
    with pytest.raises(ValueError, match="A must be finite, got 1 NaN"):
        interpolative(da.from_array(B, chunks=(150, -1)), 5)
