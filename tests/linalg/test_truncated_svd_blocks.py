"""The truncated SVD of blocks of rows: every form of them, their library and scale, how often they are read."""

import numpy as np
import pytest
import scipy.sparse as sp

from lina.linalg import RowBlocks, truncated_svd
from tests.linalg.matrices import optimum, with_spectrum


def test_blocks_come_in_every_form_and_give_one_answer():
    A = np.random.default_rng(8).standard_normal((200, 90))
    parts = [A[:50], A[50:51], A[51:51], A[51:]]
    forms = [
        RowBlocks(parts),
        RowBlocks(tuple(parts), shape=(200, 90)),
        RowBlocks(lambda: iter(parts)),
        RowBlocks(A, rows=64),
        RowBlocks(A),
    ]
    for blocks in forms:
        for _ in range(2):
            F = truncated_svd(blocks, 7, rng=0)
            np.testing.assert_allclose(F.s, np.linalg.svd(A, compute_uv=False)[:7])
            assert F.error == pytest.approx(optimum(A, 7, "fro"))


def test_a_memory_mapped_matrix_is_read_in_slices(tmp_path):
    A = np.random.default_rng(9).standard_normal((300, 90))
    np.save(tmp_path / "A.npy", A)
    mapped = np.load(tmp_path / "A.npy", mmap_mode="r")
    F = truncated_svd(RowBlocks(mapped, rows=100), 5, center=True, rng=0)
    assert type(F.U) is np.ndarray
    assert F.error == pytest.approx(optimum(A - A.mean(axis=0), 5, "fro"))


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_the_result_stays_in_the_library_of_the_blocks(library):
    xp = pytest.importorskip(library)
    A = np.random.default_rng(10).standard_normal((200, 150))
    for dtype in ("float32", "complex128"):
        X = xp.asarray(A.astype(dtype))
        for method in ("auto", "gram", "krylov", "svd", "single_pass"):
            F = truncated_svd(RowBlocks([X[:80, :], X[80:, :]]), 4, center=dtype == "float32", method=method, rng=0)
            assert type(F.U) is type(X)
            assert F.U.dtype == X.dtype


def test_one_reading_of_the_blocks_serves_both_products():
    readings = []

    def source():
        readings.append(1)
        return iter([A[:100], A[100:]])

    A = with_spectrum(np.random.default_rng(11), 200, 150, 1 / np.sqrt(np.arange(1, 151)))
    F = truncated_svd(RowBlocks(source), 10, method="krylov", rng=0)
    dense = truncated_svd(A, 10, method="krylov", rng=0)
    assert F.passes == len(readings) == (dense.passes + 1) // 2
    assert F.error == pytest.approx(dense.error, rel=1e-3)
    readings.clear()
    F = truncated_svd(RowBlocks(source), 20, method="gram", rng=0)
    assert F.passes == len(readings) == 2
    readings.clear()
    F = truncated_svd(RowBlocks(source), 20, method="krylov", norm="2", rng=0)
    assert F.passes == len(readings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["krylov", "gram", "svd"])
def test_the_scale_follows_the_largest_block(dtype, method):
    A = np.random.default_rng(12).standard_normal((200, 100)).astype(dtype)
    A[:50] *= 1e-30
    A[50:100] = 0
    for center in (False, True):
        F = truncated_svd(RowBlocks(A, rows=50), 10, method=method, center=center, rng=0)
        C = A - center * A.mean(axis=0)
        np.testing.assert_allclose(F.s, np.linalg.svd(C, compute_uv=False)[:10], rtol=1e-3)
        assert np.linalg.norm(C - (F.U * F.s) @ F.Vt) <= F.error


def test_sorted_rows_with_a_far_mean_are_centred_without_loss():
    A = np.random.default_rng(13).standard_normal((400, 80)) + 1e5 * np.sign(np.arange(400) - 199.5)[:, None] + 1e9
    F = truncated_svd(RowBlocks(A, rows=40), 5, center=True, method="krylov", rng=0)
    C = A - A.mean(axis=0)
    assert F.norm_A == pytest.approx(np.linalg.norm(C), rel=1e-9)
    assert np.linalg.norm(C - (F.U * F.s) @ F.Vt) <= F.error <= 1.2 * optimum(C, 5, "fro")


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        (lambda: RowBlocks(3), TypeError, "blocks must be an iterable"),
        (lambda: RowBlocks("rows"), TypeError, "blocks must be an iterable"),
        (lambda: RowBlocks([], shape=(0, 3)), ValueError, "shape must be a positive integer"),
        (lambda: RowBlocks([], shape=3), ValueError, "shape must be a pair"),
        (lambda: RowBlocks(np.ones((4, 4)), rows=0), ValueError, "rows must be a positive integer"),
        (lambda: RowBlocks([]), ValueError, "A must have at least one row"),
        (lambda: RowBlocks([np.ones((0, 3))]), ValueError, "A must have at least one row"),
        (lambda: RowBlocks([np.ones(3)]), ValueError, r"A must have blocks of shape \(b, n\), got \(3,\)"),
        (lambda: RowBlocks([np.ones((3, 3)), np.ones((3, 4))]), ValueError, r"blocks of shape \(b, 3\), got \(3, 4\)"),
        (lambda: RowBlocks([np.ones((3, 3)), np.ones((3, 3), "f4")]), ValueError, "one library and dtype"),
        (lambda: RowBlocks([np.ones((3, 3))], shape=(4, 3)), ValueError, "A must have 4 rows at every reading, got 3"),
        (lambda: RowBlocks([np.ones((3, 3))], shape=(3, 4)), ValueError, r"blocks of shape \(b, 4\), got \(3, 3\)"),
        (lambda: RowBlocks([sp.csr_array(np.ones((3, 3)))]), TypeError, "A must be a dense array"),
        (lambda: RowBlocks([None]), TypeError, "A must be an array"),
        (lambda: [np.ones((3, 3)), np.ones((3, 3))], ValueError, r"say RowBlocks\(A\)"),
        (lambda: RowBlocks([np.ones((2, 3))]), ValueError, r"k must be in 1..min\(m, n\) = 1..2, got 3"),
    ],
)
def test_blocks_of_no_use_are_named(blocks, error, message):
    with pytest.raises(error, match=message):
        truncated_svd(blocks(), 3, rng=0)


def test_rows_that_change_between_readings_are_noticed():
    sizes = iter([100, 100, 99])
    with pytest.raises(ValueError, match="A must have 100 rows at every reading, got 99"):
        truncated_svd(
            RowBlocks(lambda: [np.ones((next(sizes), 70)) + np.eye(100, 70)[:99].sum()]), 3, norm="2", rtol=0.1
        )
