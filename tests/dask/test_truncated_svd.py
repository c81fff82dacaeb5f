import dask
import dask.array as da
import numpy as np
import pytest

from lina.linalg import truncated_svd
from tests.dask.matrices import graded

M, S = graded(3000, 150, 0.5)
CHUNKS = (400, 150)


def computed(F):
    return dask.compute(F)[0]


@pytest.mark.parametrize("method", ["krylov", "svd"])
def test_the_least_singular_values_asked_for_keep_their_digits(method):
    F = computed(truncated_svd(da.from_array(M, chunks=CHUNKS), 20, method=method, rng=0))
    np.testing.assert_allclose(F.s, S[:20], rtol=1e-9)
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(20), atol=1e-13)
    np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(20), atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(900, 130), (130, 900)])
@pytest.mark.parametrize("method", ["krylov", "svd"])
def test_the_error_is_that_in_memory_and_bounds_the_true_one(dtype, shape, method):
    A, _ = graded(*shape, 0.8, dtype)
    chunks = (100, -1) if shape[0] > shape[1] else (-1, 100)
    F = computed(truncated_svd(da.from_array(A, chunks=chunks), 12, method=method, rng=0))
    assert F.U.dtype == F.Vt.dtype == A.dtype
    true, eps = np.linalg.norm(A - F.toarray()), np.finfo(dtype).eps
    assert true <= F.error <= 1.001 * truncated_svd(A, 12, rng=1).error + 100 * eps
    assert np.isclose(F.norm_A, np.linalg.norm(A), rtol=10 * eps)
    assert F.error_kind == "rigorous"


@pytest.mark.parametrize("k", [5, 30, 60])
@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_errors_down_to_rounding_are_measured_in_the_last_reading(k, blocks):
    F = computed(truncated_svd(da.from_array(M, chunks=CHUNKS), k, max_passes=blocks, method="krylov", rng=0))
    true = np.linalg.norm(M - F.toarray())
    assert true <= F.error <= 1.01 * true + 1e-14


def test_nothing_is_read_before_it_is_asked_for_and_then_once_a_pass(counted):
    make, reads = counted
    A = make(M, CHUNKS)
    F = truncated_svd(A, 8, rng=0)
    assert not reads
    assert isinstance(F.U, da.Array)
    assert F.U.chunks[0] == A.chunks[0]
    computed(F)
    assert set(reads.values()) == {F.passes} == {4}


@pytest.mark.parametrize(
    ("options", "passes"),
    [({"method": "svd"}, 1), ({"max_passes": 2}, 2), ({"method": "svd", "center": True}, 2), ({"norm": "2"}, 4)],
)
def test_certificates_and_factors_come_from_the_same_readings(counted, options, passes):
    make, reads = counted
    F = truncated_svd(make(M, CHUNKS), 8, rng=0, **options)
    computed(F)
    assert set(reads.values()) == {F.passes} == {passes}


@pytest.mark.parametrize("method", ["svd", "krylov"])
@pytest.mark.parametrize(
    "options",
    [{"rtol": 1e-3}, {"rtol": 1e-9}, {"atol": 1e-5}, {"rtol": 1e-3, "k": 5}, {"rtol": 1e-4, "norm": "2"}],
)
def test_a_tolerance_needs_the_rank_that_it_needs_in_memory(counted, method, options):
    make, reads = counted
    F = truncated_svd(make(M, CHUNKS), method=method, rng=0, **options)
    memory = truncated_svd(M, method=method, rng=0, **options)
    assert abs(F.rank - memory.rank) <= 1
    assert F.status == memory.status
    order = 2 if "norm" in options else "fro"
    before = sum(reads.values())
    assert np.linalg.norm(M - computed(F).toarray(), order) <= F.error
    assert sum(reads.values()) == before == F.passes * 8  # the factors are there


def test_a_tolerance_below_rounding_says_so():
    A = da.from_array(M[:, :40], chunks=(400, 40))
    F = truncated_svd(A, rtol=1e-18)
    assert (F.rank, str(F.status)) == (40, "rounding")


def test_passes_that_run_out_are_reported():
    A = np.random.default_rng(0).standard_normal((2000, 600))
    F = truncated_svd(da.from_array(A, chunks=(500, -1)), rtol=1e-3, max_passes=3, rng=0)
    assert str(F.status) == "max_passes"
    assert F.passes == 3
    assert np.linalg.norm(A - computed(F).toarray()) <= F.error


@pytest.mark.parametrize("method", ["svd", "krylov"])
def test_the_2_norm_is_bounded(method):
    F = computed(truncated_svd(da.from_array(M, chunks=CHUNKS), 10, norm="2", method=method, rng=0))
    true = np.linalg.norm(M - F.toarray(), 2)
    assert true <= F.error <= 1.5 * true
    assert F.error_kind == ("rigorous" if method == "svd" else "probabilistic")
    noise = np.random.default_rng(1).standard_normal((3000, 150))
    F = computed(truncated_svd(da.from_array(noise, chunks=CHUNKS), 10, norm="2", method="krylov", rng=0))
    assert np.linalg.norm(noise - F.toarray(), 2) <= F.error


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("method", ["svd", "krylov"])
def test_the_mean_of_columns_is_subtracted(turned, method):
    A = M + np.arange(150) - 40
    A = A.T if turned else A
    F = truncated_svd(da.from_array(A, chunks=CHUNKS[::-1] if turned else CHUNKS), 6, center=True, method=method, rng=0)
    F, memory = computed(F), truncated_svd(A, 6, center=True, rng=0)
    np.testing.assert_allclose(F.mean, A.mean(axis=0), rtol=1e-12)
    assert np.linalg.norm(A - F.toarray()) <= F.error
    np.testing.assert_allclose(F.error, memory.error, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e200])
@pytest.mark.parametrize("options", [{"k": 9}, {"k": 9, "method": "svd"}, {"rtol": 1e-3}])
def test_entries_whose_squares_leave_the_range_lose_no_digits(scale, options):
    F = computed(truncated_svd(da.from_array(M * scale, chunks=CHUNKS), rng=0, **options))
    np.testing.assert_allclose(F.s[:8] / scale, S[:8], rtol=1e-9)
    assert np.linalg.norm(M - F.toarray() / scale) <= F.error / scale


def test_blocks_of_very_different_size_share_one_scale():
    A = M.copy()
    A[400:800] *= 1e-180
    A[800:1200] = 0.0
    F = computed(truncated_svd(da.from_array(A * 1e-170, chunks=CHUNKS), 20, rng=0))
    np.testing.assert_allclose(F.s / 1e-170, np.linalg.svd(A, compute_uv=False)[:20], rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 7, 100, 3000])
def test_any_number_of_rows_in_a_block_gives_the_same(rows):
    A = M[:700] if rows < 100 else M
    F = computed(truncated_svd(da.from_array(A, chunks=(rows, -1)), 10, method="krylov", rng=0))
    np.testing.assert_allclose(F.s, np.linalg.svd(A, compute_uv=False)[:10], rtol=1e-9)
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(10), atol=1e-13)


@pytest.mark.parametrize("sizes", [(0, 3000), (400, 0, 2600), (3000, 0)])
@pytest.mark.parametrize("options", [{"k": 10}, {"k": 10, "method": "svd"}, {"rtol": 1e-2, "method": "krylov"}])
def test_blocks_without_rows_change_nothing(sizes, options):
    F = computed(truncated_svd(da.from_array(M, chunks=(sizes, (150,))), rng=0, **options))
    np.testing.assert_allclose(F.s, S[: F.rank], rtol=1e-9)
    assert np.linalg.norm(M - F.toarray()) <= F.error


def test_matrices_of_low_rank_and_of_zeros_have_their_zeros():
    low = np.outer(np.arange(900.0), np.ones(120))
    F = computed(truncated_svd(da.from_array(low, chunks=(100, -1)), 5, method="krylov", rng=0))
    assert F.s[1] <= 1e-12 * F.s[0]
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(5), atol=1e-13)
    F = computed(truncated_svd(da.zeros((900, 120), chunks=(100, -1)), 5, method="krylov", rng=0))
    assert not np.any(F.s)
    assert F.error == 0


def test_integers_become_float64():
    A = np.random.default_rng(0).integers(-9, 9, (500, 80))
    F = computed(truncated_svd(da.from_array(A, chunks=(90, -1)), 80))
    np.testing.assert_allclose(F.toarray(), A, atol=1e-11)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_entries_that_are_not_finite_are_named_when_they_are_met(value):
    A = M.copy()
    A[1234, 5] = value
    F = truncated_svd(da.from_array(A, chunks=CHUNKS), 5)
    with pytest.raises(ValueError, match="A must be finite, got 1 NaN or infinite of 60000 entries"):
        computed(F)


def test_a_norm_beyond_the_dtype_is_an_overflow():
    F = truncated_svd(da.full((400, 80), 1e307, chunks=(100, -1)), 2)
    with pytest.raises(OverflowError, match="A must have a Frobenius norm below"):
        computed(F)


def test_what_cannot_be_done_in_blocks_is_refused_by_name():
    A = da.from_array(M, chunks=(400, 50))
    with pytest.raises(ValueError, match=r"A must have blocks of whole rows.*A\.rechunk\(\{1: -1\}\)"):
        truncated_svd(A, 5)
    rows = A.rechunk({1: -1})
    with pytest.raises(ValueError, match="blocks of known sizes"):
        truncated_svd(rows[rows[:, 0] > 0], 5)
    with pytest.raises(ValueError, match="method must be one of 'auto', 'krylov', 'svd'"):
        truncated_svd(rows, 5, method="single_pass")
    with pytest.raises(ValueError, match="max_passes must be at least 2"):
        truncated_svd(rows, 5, max_passes=1)
    with pytest.raises(ValueError, match="with max_passes"):
        truncated_svd(rows, 5, method="svd", max_passes=3)
    with pytest.raises(ValueError, match="one of k, rtol and atol must be given"):
        truncated_svd(rows)


def test_a_lazy_result_acts_as_a_matrix():
    F = truncated_svd(da.from_array(M, chunks=CHUNKS), 10, rng=0)
    x = np.ones(150)
    np.testing.assert_allclose((F @ da.from_array(x)).compute(), M @ x, atol=1e-2)
    np.testing.assert_allclose((F.T @ da.ones(3000)).compute(), M.sum(axis=0), atol=1e-1)
    assert F.truncate(3).U.shape == (3000, 3)


def test_what_is_not_computed_is_printed_so():
    A = da.ones((40, 30), chunks=(10, 30))
    assert "s=<float64 5>" in repr(truncated_svd(A, 5))
    assert "error=<float64 to be computed>" in repr(truncated_svd(A, 5))


def test_a_matrix_on_disk_whose_blocks_are_cut_across_rows_is_joined_as_it_is_read(tmp_path):
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    stored = zarr.create_array(str(tmp_path / "matrix.zarr"), shape=M.shape, chunks=(300, 40), dtype="float64")
    stored[:] = M
    A = da.from_array(stored, chunks=stored.chunks).rechunk({1: -1})
    F = computed(truncated_svd(A, 15, rng=0))
    np.testing.assert_allclose(F.s, S[:15], rtol=1e-9)
    assert np.linalg.norm(M - F.toarray()) <= F.error
