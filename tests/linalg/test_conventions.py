"""One test per line of the section on linear algebra in docs/conventions.rst, under the label of the line."""

import json

import numpy as np
import pytest

from lina.linalg import (
    StreamingSVD,
    cr_matmul,
    cur,
    cur_completion,
    interpolative,
    leverage_scores,
    load,
    nystrom,
    pinv,
    pinv_factor,
    qr_pivoted,
    ridge_pinv,
    save,
    select_columns,
    sketch,
    solve_left,
    solve_right,
    svd_update,
    truncated_svd,
)
from tests.linalg.matrices import with_spectrum

RNG = np.random.default_rng(0)
A = RNG.standard_normal((30, 12)) + 1j * RNG.standard_normal((30, 12))


def test_c36_the_side_of_a_solution_is_in_its_name():
    M = RNG.standard_normal((30, 4)) + 0j
    np.testing.assert_allclose(solve_left(A, M), pinv(A) @ M, atol=1e-12)
    np.testing.assert_allclose(solve_right(A, M[:12].T), M[:12].T @ pinv(A), atol=1e-12)


def test_c37_a_factor_acts_as_the_pseudo_inverse_and_an_update_adds_an_adjoint():
    F = pinv_factor(A)
    assert F.shape == (12, 30)
    np.testing.assert_allclose(F @ A, np.eye(12), atol=1e-12)
    C, D = A[:, :2], 1j * np.ones((12, 2))
    np.testing.assert_allclose(F.update(C, D).toarray(), pinv(A + C @ D.conj().T), atol=1e-12)


def test_c38_the_ridge_is_added_to_squares():
    A = np.diag([2.0, 1.0])
    np.testing.assert_allclose(ridge_pinv(A, 0.5), np.diag([2 / 4.5, 1 / 1.5]))
    assert ridge_pinv(A, [0.1, 0.2, 0.3]).shape == (3, 2, 2)


@pytest.mark.parametrize("kind", ["gaussian", "sparse_sign", "count", "srft"])
def test_c39_a_sketch_keeps_squares_in_expectation(kind):
    mean = np.mean([np.sum((sketch(4, 8, kind=kind, rng=seed) @ np.ones(8)) ** 2) for seed in range(3000)])
    assert mean == pytest.approx(8, rel=0.06)


def test_c40_columns_by_default_but_leverage_of_rows():
    for function in (interpolative, select_columns):
        assert function(A, 3).C.shape == (30, 3)
        assert function(A, 3, axis=0).C.shape == (3, 12)
    assert leverage_scores(A).shape == (30,)
    assert leverage_scores(A, axis=1).shape == (12,)


def test_c41_weights_of_a_draw():
    F = select_columns(np.ones((3, 8)), 2, method="uniform", sampling=True, replace=True, rng=0)
    np.testing.assert_allclose(F.weights, 1 / np.sqrt(2 / 8))


def test_c42_both_sides_of_a_product_have_the_roots_of_the_weights():
    X, Y = RNG.standard_normal((9, 20)), RNG.standard_normal((20, 7))
    F = cr_matmul(X, Y, 16, select="sample", weights="importance", rng=0, replace=False)
    np.testing.assert_allclose((X[:, F.indices] * F.weights) @ Y[F.indices], F.left @ F.right)
    np.testing.assert_allclose(F.left, X[:, F.indices] * np.sqrt(F.weights))


def test_c43_cur_is_columns_core_rows():
    F = cur(A, 4, rng=0)
    np.testing.assert_array_equal(F.C, A[:, F.cols])
    np.testing.assert_array_equal(F.R, A[F.rows])
    np.testing.assert_allclose(F.C @ F.core @ F.R, F.toarray(), atol=1e-12)


def test_c44_a_pivoted_qr_is_of_the_permuted_matrix():
    F = qr_pivoted(A)
    assert sorted(F.pivots.tolist()) == list(range(12))
    np.testing.assert_allclose(F.Q @ F.R, A[:, F.pivots], atol=1e-12)


def test_c45_the_error_of_a_semidefinite_approximation_is_a_trace():
    G = A @ A.conj().T
    F = nystrom(G, 5, rng=0)
    rest = G - F.toarray()
    assert F.error == pytest.approx(np.trace(rest).real)
    assert F.error >= np.linalg.norm(rest)
    assert F.norm_A == pytest.approx(np.trace(G).real)
    dropped = F.truncate(3)
    assert dropped.error == pytest.approx(F.error + np.sum(F.lam[3:]))


def test_c46_the_error_of_a_stream_fails_with_the_probability_asked_for():
    stream = StreamingSVD((30, 12), 2, rng=0).append(A.real)
    assert stream.finalize().failure_probability == 1e-6
    F = stream.finalize(failure_probability=1e-3)
    assert (str(F.error_kind), F.failure_probability) == ("probabilistic", 1e-3)
    assert np.linalg.norm(A.real - F.toarray()) <= F.error


def test_c47_what_was_not_seen_is_not_certified():
    table = with_spectrum(np.random.default_rng(1), 20, 15, [1.0, 0.5])
    F = cur_completion(table[:, :4], table[:4], np.arange(4), np.arange(4))
    assert F.error is None
    assert F.error_kind is None
    assert F.seen_error < 1e-13


def test_c48_updates_keep_the_precision_and_add_to_the_error():
    A = with_spectrum(np.random.default_rng(2), 40, 30, 1.0 / np.arange(1, 31), "float32")
    F = truncated_svd(A, 8)
    G = svd_update(F, np.ones(40), np.ones(30))
    assert G.U.dtype == np.float32
    assert G.error > F.error
    assert np.linalg.norm(A + 1 - G.toarray()) <= G.error


def test_c49_saved_results_have_a_version_and_no_pickle(tmp_path):
    file = tmp_path / "F.npz"
    save(file, truncated_svd(A, 2))
    with np.load(file, allow_pickle=False) as stored:
        header = json.loads(bytes(stored["lina"]).decode())
        assert "format" in header
        assert all(stored[name].dtype != object for name in stored)
    np.testing.assert_array_equal(load(file).U, truncated_svd(A, 2).U)
