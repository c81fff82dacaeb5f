"""What all results have in common: they act as matrices, on either side, and print as their facts."""

import numpy as np
import pytest
import scipy.sparse

from lina.linalg import RowBlocks, cur, cur_completion, interpolative, nystrom, pinv_factor, qr_pivoted, truncated_svd

A = np.random.default_rng(0).standard_normal((9, 7)) + 1j * np.random.default_rng(1).standard_normal((9, 7))
RESULTS = {
    "TruncatedSVD": truncated_svd(A, 3),
    "centred": truncated_svd(A, 3, center=True),
    "Interpolative": interpolative(A, 3, rng=0),
    "PivotedQR": qr_pivoted(A, 3),
    "CUR": cur(A, 3, rng=0),
    "LowRankEigh": nystrom(A @ A.conj().T, 3, rng=0),
    "PinvFactor": pinv_factor(A),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_acts_as_its_matrix_on_either_side(name):
    F = RESULTS[name]
    dense = F.toarray()
    m, n = dense.shape
    assert (F.shape, F.ndim, F.dtype) == ((m, n), 2, dense.dtype)
    rng = np.random.default_rng(2)
    x, X, y, Y = (rng.standard_normal(shape) for shape in (n, (n, 2), m, (2, m)))
    for ours, theirs in ((F @ x, dense @ x), (F @ X, dense @ X), (y @ F, y @ dense), (Y @ F, Y @ dense)):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(F.T @ y, dense.T @ y, atol=1e-12)
    np.testing.assert_array_equal(np.asarray(F), dense)


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_prints_its_facts_and_not_its_arrays(name):
    text = repr(RESULTS[name])
    assert len(text) < 600
    assert "<complex128 " in text
    assert "error_kind='rigorous'" in text


def test_what_is_not_a_product_is_refused():
    F = RESULTS["TruncatedSVD"]
    with pytest.raises(ValueError, match=r"x must have shape \(7,\) or \(7, p\) for TruncatedSVD @ x, got \(6,\)"):
        F @ np.ones(6)
    with pytest.raises(TypeError, match="unsupported operand"):
        A - F
    with pytest.raises(ValueError, match="copy must not be False"):
        np.asarray(F, copy=False)


def test_a_svd_unpacks_and_knows_its_relative_error():
    F = RESULTS["TruncatedSVD"]
    U, s, Vt = F
    np.testing.assert_array_equal((U * s) @ Vt, F.toarray())
    assert F.relative_error == F.error / F.norm_A
    assert truncated_svd(np.zeros((3, 2)), 1).relative_error == 0
    with pytest.raises(ValueError, match=r"k must be in 1..the rank = 1..3, got 5"):
        F.truncate(5)


@pytest.mark.parametrize("name", RESULTS)
def test_the_error_of_a_sparse_matrix_and_of_blocks_is_that_of_the_array(name):
    F = RESULTS[name]
    B = np.random.default_rng(3).standard_normal(F.shape)
    B[np.abs(B) < 1] = 0
    expected = np.linalg.norm(B - F.toarray())
    same = {
        "array": B,
        "csc": scipy.sparse.csc_array(B),
        "coo": scipy.sparse.coo_matrix(B),
        "blocks": RowBlocks(B, rows=2),
        "iterator": RowBlocks(B[i : i + 3] for i in range(0, F.shape[0], 3)),
    }
    for kind, each in same.items():
        assert F.error_of(each) == pytest.approx(expected, rel=1e-12), kind


@pytest.mark.parametrize("rows", [8, 10])
def test_blocks_of_another_matrix_are_refused(rows):
    F = RESULTS["TruncatedSVD"]
    B = np.ones((rows, 7))
    for other in (B, scipy.sparse.csr_array(B), RowBlocks(B, rows=3), RowBlocks(np.ones((9, 6)), rows=3)):
        with pytest.raises(ValueError, match=r"A must have the shape \(9, 7\) of the factorisation"):
            F.error_of(other)


def test_products_take_lists_and_other_precisions():
    F = RESULTS["TruncatedSVD"]
    expected = F.toarray().sum(axis=1)
    for ones in ([1] * 7, np.ones(7, np.float32), np.ones(7, np.int8)):
        np.testing.assert_allclose(F @ ones, expected)


def test_a_completion_does_not_know_its_error():
    B = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 8.0])
    assert cur_completion(B[:, :2], B[:2], [0, 1], [0, 1]).relative_error is None
