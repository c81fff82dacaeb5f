"""Truncated SVDs that follow a changing matrix: exact where nothing is left out, certified where something is."""

import numpy as np
import pytest

from lina.linalg import TruncatedSVD, svd_append, svd_delete, svd_update, truncated_svd
from tests.linalg.matrices import SPECTRA, kahan, with_spectrum

EPS = np.finfo(float).eps


def best(A, k):
    """Return the error of the best approximation of rank k."""
    return np.linalg.norm(np.linalg.svd(A, compute_uv=False)[k:])


def gap_to(A, F):
    wide = np.result_type(F.U.dtype, np.float64)
    return np.linalg.norm(A.astype(wide) - (F.U.astype(wide) * F.s) @ F.Vt)


def changes(rng, A, dtype="float64"):
    """Return every kind of change of A, as (the function of F, the changed matrix)."""
    (m, n), wide = A.shape, np.result_type(A.dtype, np.float64)

    def draw(*shape):
        x = rng.standard_normal(shape)
        return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)

    C, D, rows, columns = draw(m, 2), draw(n, 2), draw(3, n), draw(m, 2)
    both = draw(m + 3, 2)
    A = A.astype(wide)
    below = np.vstack([A, rows])
    return {
        "update": (lambda F, k: svd_update(F, C, D, k=k), A + C.astype(wide) @ D.astype(wide).conj().T),
        "rows": (lambda F, k: svd_append(F, rows, k=k), below),
        "columns": (lambda F, k: svd_append(F, columns=columns, k=k), np.hstack([A, columns])),
        "both": (lambda F, k: svd_append(F, rows, both, k=k), np.hstack([below, both])),
        "fewer rows": (lambda F, k: svd_delete(F, [0, -1], k=k), A[1:-1]),
        "fewer columns": (lambda F, k: svd_delete(F, columns=2, k=k), np.delete(A, 2, axis=1)),
        "fewer of both": (lambda F, k: svd_delete(F, [0], [1], k=k), np.delete(A[1:], 1, axis=1)),
    }


KINDS = list(changes(np.random.default_rng(0), np.zeros((6, 6))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("shape", [(70, 50), (50, 70)])
def test_the_certificate_is_true_and_near_the_truth(kind, spectrum, shape):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        A = with_spectrum(rng, *shape, 10 * SPECTRA[spectrum](50))
        F = truncated_svd(A, 12, rng=seed)
        change, changed = changes(rng, A)[kind]
        for k in (None, 14, 16):
            G = change(F, k)
            assert isinstance(G, TruncatedSVD)
            assert G.shape == changed.shape
            assert G.rank <= (k or 12)
            true = gap_to(changed, G)
            assert true <= G.error <= F.error + best(changed, G.rank) + F.error + 1e-11
            assert (G.error_kind, G.failure_probability, G.method) == ("rigorous", 0.0, "update")
            np.testing.assert_allclose(G.U.T @ G.U, np.eye(G.rank), atol=1e-13)
            np.testing.assert_allclose(G.Vt @ G.Vt.T, np.eye(G.rank), atol=1e-13)
            assert np.all(np.diff(G.s) <= 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_nothing_is_lost_where_the_rank_may_grow(kind, dtype):
    rng = np.random.default_rng(1)
    A = with_spectrum(rng, 40, 30, np.geomspace(1, 0.1, 6), dtype)
    change, changed = changes(rng, A, dtype)[kind]
    G = change(truncated_svd(A, 6), 20)
    eps = float(np.finfo(dtype).eps)
    assert G.U.dtype == dtype
    assert G.s.dtype == np.finfo(dtype).dtype
    assert G.rank == np.linalg.matrix_rank(changed, tol=100 * eps)
    assert gap_to(changed, G) <= G.error <= 1000 * eps * np.linalg.norm(changed)
    np.testing.assert_allclose(G.s, np.linalg.svd(changed, compute_uv=False)[: G.rank], atol=100 * eps * G.s[0])
    assert G.norm_A == pytest.approx(np.linalg.norm(changed), rel=100 * eps)


def test_the_rank_does_not_grow_by_what_is_not_new():
    A = with_spectrum(np.random.default_rng(0), 30, 20, np.ones(4))
    F = truncated_svd(A, 4)
    assert svd_append(F, A[:3], k=10).rank == 4
    assert svd_append(F, np.ones(20), k=10).rank == 5
    assert svd_update(F, A[:, :2], A[:2].T, k=10).rank == 4
    leading = svd_update(F, -F.U[:, :1] * F.s[0], F.Vt[:1].T)
    assert leading.rank == 3
    assert gap_to(A - F.s[0] * np.outer(F.U[:, 0], F.Vt[0]), leading) <= leading.error <= 1e-13


def test_a_matrix_built_row_by_row_and_taken_apart_again():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 60, 25, np.geomspace(1, 1e-3, 25))
    F = truncated_svd(A[:5], 5)
    for i in range(5, 60):
        F = svd_append(F, A[i], k=min(25, i + 1))
        assert gap_to(A[: i + 1], F) <= F.error
    assert F.rank == 25
    assert F.error <= 1e-12
    assert F.norm_A == pytest.approx(np.linalg.norm(A))
    for i in range(59, 4, -1):
        F = svd_delete(F, i)
        assert gap_to(A[:i], F) <= F.error
    assert F.rank == 5
    assert F.error <= 1e-11


def test_what_is_left_out_adds_up():
    A = np.diag([4.0, 3.0, 2.0, 1.0])
    F = truncated_svd(A, 3)
    G = svd_append(F, [0.0, 0.0, 0.0, 5.0])
    np.testing.assert_allclose(G.s, [5, 4, 3])
    assert G.error == pytest.approx(1.0 + 2.0)
    assert svd_append(F, [0.0, 0.0, 0.0, 5.0], k=4).error == pytest.approx(1.0)


def test_the_kind_of_the_certificate_is_inherited():
    A = with_spectrum(np.random.default_rng(0), 200, 150, 1.0 / np.arange(1, 151))
    F = truncated_svd(A, 5, norm="2", method="krylov", rng=0)
    G = svd_append(F, A[:2])
    assert (G.error_kind, G.failure_probability) == ("probabilistic", F.failure_probability)
    assert np.linalg.norm(np.vstack([A, A[:2]]) - G.toarray(), 2) <= G.error


def test_norm_a_is_exact_for_appended_parts_and_near_otherwise():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 60, 50, 1.0 / np.arange(1, 51))
    F = truncated_svd(A, 10)
    for kind, (change, changed) in changes(rng, A).items():
        near = 1e-12 if kind in ("rows", "columns", "both") else 2 * F.error / np.linalg.norm(changed)
        assert change(F, None).norm_A == pytest.approx(np.linalg.norm(changed), rel=near)


def test_a_hundred_updates_drift_less_than_their_certificate():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 50, 40, np.geomspace(1, 0.1, 40), "float32")
    F = truncated_svd(A, 40)
    A = A.astype(float)
    for _ in range(100):
        c, d = rng.standard_normal(50).astype(np.float32), rng.standard_normal(40).astype(np.float32)
        F, A = svd_update(F, c, d), A + np.outer(c.astype(float), d)
        F, A = svd_update(F, -c, d), A - np.outer(c.astype(float), d)
    assert gap_to(A, F) <= F.error <= 2 * 100 * 4 * (4 + 7) * np.finfo("float32").eps * 120
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(F.rank), atol=5e-4)


def test_extreme_scales_lose_no_digits():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 40, 30, np.geomspace(1, 1e-3, 30))
    C, D = rng.standard_normal((40, 2)), rng.standard_normal((30, 2))
    for scale in (1e-290, 1e-150, 1e150, 1e290):
        F = truncated_svd(A * scale, 30)
        G = svd_delete(svd_append(svd_update(F, C * scale**0.5, D * scale**0.5), A[:2] * scale), [0])
        expected = np.vstack([A + C @ D.T, A[:2]])[1:]
        assert np.linalg.norm(expected - (G.U * (G.s / scale)) @ G.Vt) <= G.error / scale <= 1e-11


NAMED = [np.zeros((5, 4)), kahan(30), np.ones((1, 1)), np.eye(3), np.ones((4, 1)), np.ones((1, 4))]


@pytest.mark.parametrize("A", NAMED)
def test_named_matrices(A):
    F = truncated_svd(A, min(A.shape))
    m, n = A.shape
    for G, changed in (
        (svd_append(F, A), np.vstack([A, A])),
        (svd_append(F, columns=A, k=min(m, 2 * n)), np.hstack([A, A])),
        (svd_update(F, np.ones(m), np.ones(n)), A + 1),
        (svd_update(F, -A, np.eye(n)), 0 * A),
        (svd_delete(svd_append(F, A), range(m)), A),
    ):
        assert 1 <= G.rank <= min(changed.shape)
        assert gap_to(changed, G) <= G.error
        assert G.error <= 1e-12 * (1 + np.linalg.norm(A)) or G.rank < np.linalg.matrix_rank(changed)


def test_nothing_to_do_changes_nothing():
    F = truncated_svd(np.diag([3.0, 2.0, 1.0]), 2)
    for G in (svd_update(F, np.zeros((3, 0)), np.zeros((3, 0))), svd_append(F, np.zeros((0, 3))), svd_delete(F, [])):
        np.testing.assert_array_equal(G.toarray(), F.toarray())
        assert G.error == F.error
    assert svd_delete(F, [], k=1).rank == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda F: svd_update(np.eye(3), [1, 0, 0], [1, 0, 0]), TypeError, "F must be a TruncatedSVD, got ndarray"),
        (lambda F: svd_update(F, np.ones((3, 2)), np.ones((4, 1))), ValueError, "C and D must have as many columns"),
        (lambda F: svd_update(F, np.ones(4), np.ones(4)), ValueError, r"C must have shape \(3, any\)"),
        (lambda F: svd_update(F, np.ones(3), [np.inf] * 4), ValueError, "D must be finite"),
        (lambda F: svd_update(F, np.ones(3), np.ones(4), k=4), ValueError, r"k must be in 1..min\(m, n\) = 1..3"),
        (lambda F: svd_update(F, np.ones(3), np.ones(4), k=1.5), TypeError, "k must be an int"),
        (lambda F: svd_append(F), ValueError, "one of rows and columns must be given"),
        (lambda F: svd_append(F, np.ones(3)), ValueError, r"rows must have shape \(any, 4\)"),
        (lambda F: svd_append(F, np.ones(4), np.ones(3)), ValueError, r"columns must have shape \(4, any\)"),
        (lambda F: svd_delete(F), ValueError, "one of rows and columns must be given"),
        (lambda F: svd_delete(F, [3]), ValueError, "rows must be in -3..2"),
        (lambda F: svd_delete(F, columns=[0, 1, 2, 3]), ValueError, "columns must leave something"),
        (lambda F: svd_delete(F, [0, 1], k=2), ValueError, r"k must be in 1..min\(m, n\) = 1..1"),
        (lambda F: svd_append(truncated_svd(np.eye(4), 2, center=True), np.ones(4)), ValueError, "without center=True"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(truncated_svd(np.eye(3, 4), 2))
