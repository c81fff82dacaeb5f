"""The streaming SVD: against the plain algorithm, in any order of arrival, at any scale; what it refuses by name."""

import contextlib
import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from lina.linalg import StreamingSVD
from lina.linalg._streaming_svd.arguments import choose_sizes
from tests.backends import BACKENDS, selected
from tests.linalg.matrices import SPECTRA, hilbert, kahan, with_spectrum
from tests.linalg.streams import optimum, spectrum, streamed, true_error

DECAYING = ["polynomial", "exponential", "step", "stairs"]


def three_sketches(A, k, upsilon, omega, phi, psi):
    """Return the approximation of rank k by Tropp, Yurtsever, Udell and Cevher, with pseudo-inverses."""
    X, Y, Z = upsilon @ A, A @ omega.conj().T, phi @ A @ psi.conj().T
    Q, P = np.linalg.qr(Y)[0], np.linalg.qr(X.conj().T)[0]
    C = np.linalg.pinv(phi @ Q) @ Z @ np.linalg.pinv(psi @ P).conj().T
    U, s, Vt = np.linalg.svd(C)
    return (Q @ U[:, :k] * s[:k]) @ (Vt[:k] @ P.conj().T)


def reference_error(A, k, rng):
    """Return the error of that approximation with fresh Gaussian matrices of the default sizes."""
    (m, n), r = A.shape, 4 * k + 3
    draw = rng.standard_normal
    G = three_sketches(A, k, draw((r, m)), draw((r, n)), draw((2 * r + 1, m)), draw((2 * r + 1, n)))
    return np.linalg.norm(A - G)


def same(a, b):
    """Whether two streams have the same sketches to rounding."""
    np.testing.assert_allclose(a._XW, b._XW, atol=1e-12 * np.abs(b._XW).max())
    np.testing.assert_allclose(a._Z, b._Z, atol=1e-12 * np.abs(b._Z).max())
    np.testing.assert_allclose(a._all_rows(), b._all_rows(), atol=1e-12 * np.abs(b._all_rows()).max())


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("m", "n"), [(700, 90), (90, 700)])
def test_the_result_is_that_of_the_formulas_with_the_same_test_matrices(m, n, dtype):
    A = with_spectrum(np.random.default_rng(1), m, n, 1.0 / np.arange(1, 91), dtype)
    stream = streamed(A, 8, block=100)
    r, q, like = stream.range_size, stream.probes, np.zeros(0, dtype)
    left, right = (
        np.concatenate([each.tile(i, like) for i in range(-(-each.size // 512))]).conj().T
        for each in (stream._left, stream._right)
    )
    G = three_sketches(A, 8, left[:r], right[:r], left[r + q :], right[r:])
    np.testing.assert_allclose(stream.finalize().toarray(), G, atol=1e-12)
    seen = np.linalg.norm(left[r : r + q] @ (A - G), axis=1) ** 2
    np.testing.assert_allclose(stream.scree().error[8], np.sqrt(np.mean(seen)), rtol=1e-9)


@pytest.mark.parametrize("name", SPECTRA)
def test_the_error_is_near_the_optimum_and_no_larger_than_that_of_the_plain_algorithm(name):
    errors, plain = [], []
    for seed in range(9):
        A = spectrum(name, seed=seed)
        errors.append(true_error(A, streamed(A, 10, rng=seed).finalize()))
        plain.append(reference_error(A, 10, np.random.default_rng(seed)))
    floor = 1e-13
    assert np.median(errors) <= 1.05 * np.median(plain) + floor
    assert np.median(errors) <= (1.35 if name in DECAYING else 1.5) * optimum(name, 10) + floor


def test_test_matrices_are_standard_normal_and_columns_independent_of_each_other():
    for dtype, width in (("float64", 1.0), ("complex128", 0.5)):
        stream = StreamingSVD((2048, 1024), 12, dtype=dtype, rng=3)
        T = np.concatenate([stream._left.tile(i, stream._Z) for i in range(4)])
        assert abs(np.mean(T)) < 5 / np.sqrt(T.size)
        assert abs(np.var(T.real) - width) < 5 * width * np.sqrt(2 / T.size)
        assert np.abs(T.conj().T @ T / 2048 - np.eye(T.shape[1])).max() < 6 / np.sqrt(2048)
        R = np.concatenate([stream._right.tile(i, stream._Z) for i in range(2)])
        assert np.abs(T[:1024].conj().T @ R / 1024).max() < 6.5 / np.sqrt(1024)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_order_and_the_size_of_the_pieces_do_not_matter(dtype):
    A = with_spectrum(np.random.default_rng(2), 1100, 60, 1.0 / np.arange(1, 61), dtype)

    def empty():
        return StreamingSVD(A.shape, 5, dtype=dtype, rng=4)

    whole = empty().update(A)
    for block in (1, 37, 512, 600):
        if block > 1:
            same(streamed(A, 5, block=block, rng=4), whole)
    backwards = empty()
    for start in (900, 513, 512, 100, 0):
        stop = {900: 1100, 513: 900, 512: 513, 100: 512, 0: 100}[start]
        backwards.update_rows(start, A[start:stop])
    same(backwards, whole)
    B = np.random.default_rng(5).standard_normal((60, 9))
    same(empty().update_low_rank(A, np.eye(60)), whole)
    same(empty().update(A - (A @ B) @ B.T).update_low_rank(A @ B, B), whole)
    same(empty().update(A / 2).update_rows(100, A[100:]).scale(2).update_rows(100, -A[100:] * 2), whole)


def test_two_workers_give_the_result_of_one():
    A = spectrum("polynomial", 1200, 80)
    one, two = (StreamingSVD(A.shape, 5, rng=7) for _ in range(2))
    one.append(A[:700])
    two.update_rows(700, A[700:])
    before = two._XW.copy()
    both = one + two
    same(both, StreamingSVD(A.shape, 5, rng=7).update(A))
    np.testing.assert_array_equal(two._XW, before)
    assert both.finalize().error >= true_error(A, both.finalize())
    rest = both.append(A[:500] * 0)
    assert rest.position == 1200


def test_forgetting_is_a_geometric_sum():
    rng = np.random.default_rng(0)
    pieces = [rng.standard_normal((80, 50)) for _ in range(4)]
    stream, A = StreamingSVD((80, 50), 3, rng=1), np.zeros((80, 50))
    for piece in pieces:
        stream.scale(0.5).update(piece)
        A = A / 2 + piece
    same(stream, StreamingSVD((80, 50), 3, rng=1).update(A))
    z = StreamingSVD((80, 50), 3, rng=1, dtype="complex128").update(A).scale(1j)
    np.testing.assert_allclose(z.finalize(12).toarray(), 1j * z.scale(-1j).finalize(12).toarray(), atol=1e-10)


def test_a_zero_matrix_a_stream_without_data_and_one_that_is_scaled_to_zero():
    empty = StreamingSVD((9, 7), 2, rng=0)
    gone = StreamingSVD((9, 7), 2, rng=0).update(np.ones((9, 7))).scale(0)
    for stream in (empty, StreamingSVD((9, 7), 2, rng=0).update(np.zeros((9, 7))), gone):
        F = stream.finalize()
        assert F.error == 0
        assert not np.any(F.toarray())
        np.testing.assert_allclose(F.U.T @ F.U, np.eye(2), atol=1e-14)
    assert empty.finalize(rtol=0.1).rank == 1
    assert not np.any(empty.scree().upper)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 9), (9, 1), (2, 30), (30, 2), (12, 12), (40, 9), (9, 40)])
def test_all_triplets_of_a_small_matrix_are_its_svd(m, n):
    A = np.random.default_rng(0).standard_normal((m, n))
    F = StreamingSVD(A.shape, min(m, n), rng=0).update(A).finalize()
    np.testing.assert_allclose(F.toarray(), A, atol=1e-12)
    np.testing.assert_allclose(F.s, np.linalg.svd(A)[1], atol=1e-12)
    assert true_error(A, F) <= F.error < 1e-11


@pytest.mark.parametrize("A", [hilbert(60), kahan(60), np.eye(60), np.repeat(np.eye(60)[:, :20], 3, axis=1)])
def test_hard_cases_keep_their_bounds_and_their_orthogonality(A):
    for k in (1, 5, 30):
        F = StreamingSVD(A.shape, k, rng=0).update(A).finalize()
        assert true_error(A, F) <= F.error
        for Q in (F.U, F.Vt.T):
            np.testing.assert_allclose(Q.T @ Q, np.eye(k), atol=1e-12)
        best = np.linalg.norm(np.linalg.svd(A)[1][k:])
        assert true_error(A, F) <= 2 * best + 1e-12 * np.linalg.norm(A)


def test_columns_and_rows_that_are_zero_stay_zero():
    A = np.random.default_rng(0).standard_normal((60, 40))
    A[:, ::2], A[::3] = 0, 0
    F = StreamingSVD(A.shape, 3, rng=0).update(A).finalize()
    assert np.abs(F.toarray()[:, ::2]).max() < 1e-14
    assert np.abs(F.toarray()[::3]).max() < 1e-14


@pytest.mark.parametrize("factor", [1e-150, 1e150, 1e-290, 1e280])
def test_extreme_scales_lose_no_digits_whichever_way_they_arrive(factor):
    A = spectrum("exponential")
    plain = StreamingSVD(A.shape, 10, rng=0).update(A).finalize()
    C, D = A[:, :50] * factor, np.eye(120)[:, :50] * 1.0
    streams = [
        StreamingSVD(A.shape, 10, rng=0).update(A * factor),
        StreamingSVD(A.shape, 10, rng=0).update(A).scale(factor),
        StreamingSVD(A.shape, 10, rng=0).update_low_rank(A * factor * 1e20, np.eye(120) * 1e-20),
        StreamingSVD(A.shape, 10, rng=0).update_low_rank(C, D).update_rows(0, (A - A * (np.arange(120) < 50)) * factor),
    ]
    for stream in streams:
        F = stream.finalize()
        np.testing.assert_allclose(F.s / factor, plain.s, rtol=1e-12)
        np.testing.assert_allclose(F.error / factor, plain.error, rtol=1e-3)
        np.testing.assert_allclose(
            stream.scree().upper / factor, StreamingSVD(A.shape, 10, rng=0).update(A).scree().upper, rtol=1e-2
        )


def test_a_norm_that_the_sketches_cannot_hold_is_an_overflow_and_changes_nothing():
    stream = StreamingSVD((20, 10), 2, rng=0, dtype="float32")
    stream.update(np.ones((20, 10)))
    before = pickle.dumps(stream)
    with pytest.raises(OverflowError, match="delta must leave the norm of the matrix below"):
        stream.update(np.full((20, 10), 1e38))
    with pytest.raises(OverflowError, match="theta must leave"):
        stream.scale(1e38)
    with pytest.raises(OverflowError, match="C @ D"):
        stream.update_low_rank(np.full((20, 1), 1e30), np.full((10, 1), 1e30))
    with pytest.raises(ValueError, match="rows must be finite, got 1 NaN"):
        stream.append(np.r_[np.nan, np.ones(9)][None, :])
    assert pickle.dumps(stream) == before


def test_an_interruption_leaves_the_stream_as_it_was(monkeypatch):
    stream = StreamingSVD((2000, 10), 2, rng=0).update(np.ones((2000, 10)))
    before = stream.finalize().toarray()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(StreamingSVD, "_placed", interrupt)
    for change in (
        lambda: stream.update(np.eye(2000, 10)),
        lambda: stream.update_low_rank(np.ones(2000)[:, None], np.ones((10, 1))),
    ):
        with pytest.raises(KeyboardInterrupt):
            change()
    np.testing.assert_array_equal(stream.finalize().toarray(), before)


def test_principal_components_come_from_the_means_subtracted_at_the_end():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 300, 40, [3.0, 2.0, 1.0, 1e-9]) + rng.standard_normal(40)
    stream = streamed(A, 3)
    stream.update_low_rank(-np.ones((300, 1)), A.mean(axis=0)[:, None])
    expected = np.linalg.svd(A - A.mean(axis=0), compute_uv=False)[:3]
    np.testing.assert_allclose(stream.finalize().s, expected, rtol=1e-8)


def test_the_seed_decides_every_bit_and_keeping_the_test_matrices_none():
    A = spectrum("polynomial")
    first = streamed(A, 5, rng=np.random.default_rng(3))
    again = streamed(A, 5, rng=first.seed, keep_tests=True)
    np.testing.assert_array_equal(first.finalize().U, again.finalize().U)
    assert StreamingSVD((3, 3), 1).seed != StreamingSVD((3, 3), 1).seed
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    streamed(A, 5)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    moved = pickle.loads(pickle.dumps(first))
    copied = copy.deepcopy(first)
    for other in (moved, copied):
        np.testing.assert_array_equal(other.finalize().U, first.finalize().U)


def test_a_result_does_not_end_the_stream():
    A = spectrum("polynomial")
    stream = streamed(A[:100], 5)
    other = StreamingSVD((150, 120), 5, rng=0).append(A[:100])
    other.finalize()
    other.scree()
    other.append(A[100:])
    np.testing.assert_array_equal(
        other.finalize().U, StreamingSVD((150, 120), 5, rng=0).append(A[:100]).append(A[100:]).finalize().U
    )
    assert stream.position == 100


@pytest.mark.parametrize(("m", "n", "k"), [(1000, 300, 5), (300, 1000, 20), (5000, 40, 10)])
def test_a_memory_is_used_and_not_exceeded(m, n, k):
    for memory in (60_000, 200_000):
        sizes = choose_sizes((m, n), k, None, None, 20, memory)
        assert sizes.memory(m, n) <= memory
        assert sizes.core >= sizes.range + 2
        assert sizes.range >= k
        larger = sizes._replace(range=sizes.range + 1, core=2 * sizes.range + 3)
        assert sizes.range == min(m, n) or larger.memory(m, n) > memory
    stream = StreamingSVD((m, n), k, memory=200_000)
    assert (stream.range_size, stream.core_size) == (sizes.range, sizes.core)
    with pytest.raises(ValueError, match="memory must be at least"):
        StreamingSVD((m, n), k, memory=k * (m + n))


def test_neither_the_matrix_nor_the_test_matrices_are_stored():
    n, k = 20_000, 5
    rows = np.random.default_rng(0).standard_normal((64, n))
    stream = StreamingSVD((64 * 100, n), k, rng=0)
    tests = 8 * n * (stream.range_size + stream.core_size)
    sketches = 8 * (n * (stream.range_size + stream.probes) + stream.core_size**2)
    tracemalloc.start()
    stream.append(rows)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1.1 * sketches
    assert peak < 3 * sketches + tests / 4


def test_conversions_keep_the_precision_of_the_stream():
    A = spectrum("exponential")
    single = StreamingSVD(A.shape, 5, dtype="float32", rng=0).update(A)
    assert single.finalize().U.dtype == np.float32
    assert true_error(A, single.finalize()) <= single.finalize().error
    double = StreamingSVD(A.shape, 5, dtype=np.float64, rng=0).update(A.astype(np.float32)).update(A.tolist())
    assert double.finalize().U.dtype == np.float64
    mixed = StreamingSVD(A.shape, 5, dtype=complex, rng=0).update(A)
    assert mixed.finalize().error >= true_error(A, mixed.finalize())
    assert StreamingSVD((5, 4), 1, like=np.zeros(0, "complex64")).dtype == "complex64"


ONES = np.ones((5, 4))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 5}, ValueError, r"k must be in 1..min\(m, n\) = 1..4, got 5"),
        ({"k": 1.0}, TypeError, "k must be an int, got float"),
        ({"shape": (0, 4)}, ValueError, r"shape\[0\] must be 1 or more, got 0"),
        ({"shape": 7}, TypeError, "shape must be a pair of ints"),
        ({"range_size": 1}, ValueError, r"range_size must be in k..min\(m, n\) = 2..4, got 1"),
        ({"range_size": 3, "core_size": 4}, ValueError, r"core_size must be in range_size \+ 2.. = 5 or more, got 4"),
        ({"probes": 1}, ValueError, "probes must be 2 or more, got 1"),
        ({"memory": 100, "core_size": 9}, ValueError, "memory must not be given together"),
        ({"dtype": "int32"}, ValueError, "dtype must be one of"),
        ({"like": "numpy"}, TypeError, "like must be an array"),
        ({"rng": 1.5}, TypeError, "rng must be"),
        ({"rng": -1}, ValueError, "rng must be a non-negative seed"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        StreamingSVD(**{"shape": (5, 4), "k": 2, **arguments})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.update(ONES[:4]), ValueError, r"delta must have the shape \(5, 4\) of the matrix, got \(4, 4\)"),
        (lambda s: s.update(ONES[0]), ValueError, "delta must be a nonempty matrix"),
        (lambda s: s.update("A"), TypeError, "delta must be an array"),
        (lambda s: s.update(ONES * 1j), TypeError, "delta must be real in a stream of dtype float64, got complex128"),
        (lambda s: s.update_rows(3, ONES), ValueError, "rows must have n = 4 columns and at most 2 rows, those from 3"),
        (lambda s: s.update_rows(5, ONES), ValueError, r"start must be in 0..m - 1 = 0..4, got 5"),
        (lambda s: s.append(ONES).append(ONES), ValueError, "at most 0 rows, those from 5 on"),
        (lambda s: s.append(ONES[:, :3]), ValueError, "rows must have n = 4 columns"),
        (lambda s: s.update_low_rank(ONES, ONES), ValueError, r"C and D must have shapes \(m, p\) = \(5, p\)"),
        (lambda s: s.update_low_rank(ONES * np.nan, ONES[:4]), ValueError, "C must be finite"),
        (lambda s: s.update_low_rank(ONES, ONES[:4] * 1j), TypeError, "D must be real"),
        (lambda s: s.scale("x"), TypeError, "theta must be a number"),
        (lambda s: s.scale(np.inf), ValueError, "theta must be finite"),
        (lambda s: s.scale(1j), TypeError, "theta must be real"),
        (lambda s: s + 1, TypeError, "unsupported operand"),
        (lambda s: s + StreamingSVD((5, 4), 2, rng=1), ValueError, "the same seed to be added, got 0 and 1"),
        (lambda s: s + StreamingSVD((5, 4), 1, rng=0), ValueError, "the same k to be added"),
        (lambda s: s.finalize(5), ValueError, "k must be in 1..range_size = 1..4, got 5"),
        (lambda s: s.finalize(rtol=-1), ValueError, "rtol must be finite and not negative"),
        (lambda s: s.finalize(failure_probability=1), ValueError, "failure_probability must be above 0 and below 1"),
    ],
)
def test_bad_pieces_are_named(change, error, message):
    with pytest.raises(error, match=message):
        change(StreamingSVD((5, 4), 2, rng=0))


@pytest.mark.parametrize("library", [name for name in selected() if name in ("strictest", "torch", "jax")])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_every_change_runs_in_every_library_with_the_same_result(library, dtype):
    A = with_spectrum(np.random.default_rng(0), 600, 30, 1.0 / np.arange(1, 31), dtype)
    C, D = np.ascontiguousarray(A[:, :2]), np.ascontiguousarray(A[:30, 2:4])

    def changed(move):
        stream = StreamingSVD((600, 30), 3, like=move(A), rng=0)
        stream.append(move(A[:520])).scale(0.5).update_low_rank(move(C), move(D)).update_rows(500, move(A[:70]))
        both = stream + stream
        return both.finalize(rtol=0.3), both.scree()

    backend = BACKENDS[library]
    with backend.active(("linalg",)) if library == "strictest" else contextlib.nullcontext():
        F, scree = changed(backend.move)
        back = [backend.back(each) for each in (F.U * F.s, F.Vt, scree.error, scree.upper)]
    G, expected = changed(lambda x: x)
    assert F.rank == G.rank
    np.testing.assert_allclose(back[0] @ back[1], G.toarray(), atol=1e-12)
    np.testing.assert_allclose(back[2], expected.error, rtol=1e-9)
    np.testing.assert_allclose(back[3], expected.upper, rtol=1e-9)


def test_a_stream_of_another_library_says_so():
    torch = pytest.importorskip("torch")
    stream = StreamingSVD((5, 4), 2, rng=0, like=torch.zeros(1, dtype=torch.float32))
    assert stream.update(torch.ones((5, 4))).finalize().U.dtype == torch.float32
    with pytest.raises(TypeError, match="delta and sketches must be arrays of one library"):
        stream.update(ONES)


def test_a_product_of_vectors_is_that_of_columns():
    u, v = np.arange(1.0, 31.0), np.arange(1.0, 11.0)
    one, other = (
        StreamingSVD((30, 10), 2, rng=0).update_low_rank(*each) for each in ((u, v), (u[:, None], v[:, None]))
    )
    np.testing.assert_array_equal(one.finalize().s, other.finalize().s)
