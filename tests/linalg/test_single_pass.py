"""The truncated SVD that reads its matrix once: quality, certificates, and the leave-one-out estimate."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from lina._core.random import generator
from lina.linalg import RowBlocks, truncated_svd
from lina.linalg._truncated_svd.single_pass import _leading_inverse
from tests.linalg.matrices import SPECTRA, with_spectrum

EPS = np.finfo(float).eps
KINDS = {
    "dense": lambda A: A,
    "sparse": sp.csr_array,
    "blocks": lambda A: RowBlocks([A[:37], A[37:90], A[90:]]),
    "iterator": lambda A: (A[i : i + 25] for i in range(0, len(A), 25)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_spectrum = pytest.mark.parametrize("spectrum", SPECTRA)


def tail(A, k):
    return np.linalg.norm(np.linalg.svd(A, compute_uv=False)[k:])


@every_kind
@every_spectrum
def test_the_certificate_holds_and_the_error_is_near_the_optimum(kind, spectrum):
    for seed in range(5):
        A = with_spectrum(np.random.default_rng(seed), 150, 120, SPECTRA[spectrum](120))
        F = truncated_svd(KINDS[kind](A), 15, method="single_pass", rng=seed)
        true = np.linalg.norm(A - F.toarray())
        assert (F.passes, F.method) == (1, "single_pass")
        if F.error_kind == "rigorous":
            assert true <= F.error <= 1.1 * true
        assert true <= 1.5 * tail(A, 15) + 1e2 * np.sqrt(EPS) * np.linalg.norm(A) * (spectrum == "exponential") + 1e-12
        np.testing.assert_allclose(F.U.T @ F.U, np.eye(15), atol=1e-12)
        np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(15), atol=1e-12)


@every_kind
@pytest.mark.parametrize("shape", [(130, 100), (100, 130)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("center", [False, True])
def test_every_shape_dtype_and_mean(kind, shape, dtype, center):
    rng = np.random.default_rng(1)
    A = with_spectrum(rng, *shape, 1 / np.arange(1, 101.0), dtype) + np.linspace(0, 3, shape[1]).astype(dtype)
    F = truncated_svd(KINDS[kind](A), 10, method="single_pass", center=center, rng=0)
    C = A - A.mean(axis=0) if center else A
    true = np.linalg.norm(C - (F.U * F.s) @ F.Vt)
    assert F.U.dtype == F.Vt.dtype == dtype
    single = np.finfo(dtype).eps > 1e-10
    if not single:
        assert F.error_kind == "rigorous"
    if F.error_kind == "rigorous":
        assert true <= F.error <= (1.2 if single else 1.01) * true
    else:
        assert 0.3 * true <= F.error <= 4 * true
    # with l = 2 k + 10 columns the mean is at most (1 + k / (l - k - 1))^0.5 = 1.24 times the least
    assert true <= 1.5 * tail(C, 10)
    assert F.norm_A == pytest.approx(np.linalg.norm(C), rel=1e-5)


def test_the_answer_is_that_of_the_randomised_svd():
    A = with_spectrum(np.random.default_rng(2), 150, 120, 1 / np.arange(1, 121.0))
    F = truncated_svd(A, 10, method="single_pass", rng=7)
    Q = np.linalg.qr(A @ generator(7).standard_normal((32, 120)).T)[0]
    U, s, Vt = np.linalg.svd(Q.T @ A, full_matrices=False)
    np.testing.assert_allclose(F.toarray(), (Q @ U[:, :10] * s[:10]) @ Vt[:10], atol=1e-10)


@every_kind
def test_all_kinds_give_one_answer(kind):
    A = with_spectrum(np.random.default_rng(3), 150, 120, 1 / np.arange(1, 121.0))
    for center in (False, True):
        F = truncated_svd(KINDS[kind](A), 10, method="single_pass", center=center, rng=0)
        G = truncated_svd(A, 10, method="single_pass", center=center, rng=0)
        np.testing.assert_allclose(F.toarray(), G.toarray(), atol=1e-9)
        assert F.error == pytest.approx(G.error)


def test_leaving_one_column_out_is_what_the_formula_does():
    rng = np.random.default_rng(4)
    Y = rng.standard_normal((40, 9)) * np.geomspace(1, 1e-3, 9)
    R = np.linalg.qr(Y)[1]
    squares = []
    for i in range(9):
        others = np.linalg.qr(np.delete(Y, i, axis=1))[0]
        squares.append(np.linalg.norm(Y[:, i] - others @ (others.T @ Y[:, i])) ** 2)
    inverse, left_over = _leading_inverse(np_namespace(), R, 0.0, 40)
    assert inverse.shape == (9, 9)
    assert left_over == pytest.approx(np.sqrt(np.mean(squares)))


def np_namespace():
    import array_api_compat.numpy as xp

    return xp


@every_spectrum
def test_the_leave_one_out_estimate_is_within_half_and_three_times_the_truth_on_average(spectrum):
    ratios = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        A = with_spectrum(rng, 120, 100, SPECTRA[spectrum](100))
        Y = A @ rng.standard_normal((100, 24))
        Q, R = np.linalg.qr(Y)
        inverse, left_over = _leading_inverse(np_namespace(), R, EPS * np.linalg.norm(A) * np.linalg.norm(Y), 100)
        Q = Q[:, : inverse.shape[0]]
        floor = EPS * np.linalg.norm(A)
        truth = np.linalg.norm(A - Q @ (Q.T @ A))
        ratios.append((left_over + floor) / (truth + floor))
    assert 0.5 <= np.mean(ratios) <= 3


@pytest.mark.parametrize("kind", ["dense", "iterator"])
def test_where_the_digits_end_the_estimate_takes_over_and_is_near_the_truth(kind):
    ratios = []
    for seed in range(20):
        A = with_spectrum(np.random.default_rng(seed), 150, 120, 10 ** (-np.arange(120) / 4.0))
        F = truncated_svd(KINDS[kind](A), 27, method="single_pass", rng=seed)
        assert F.error_kind == "estimate"
        ratios.append(F.error / np.linalg.norm(A - F.toarray()))
    assert 0.5 <= np.mean(ratios) <= 3


@every_kind
def test_what_is_below_the_square_root_of_eps_is_out_of_reach_and_stays_small(kind):
    A = with_spectrum(np.random.default_rng(5), 150, 120, 10 ** (-np.arange(120) / 2.0))
    F = truncated_svd(KINDS[kind](A), 60, method="single_pass", rng=0)
    assert np.linalg.norm(A - F.toarray()) <= 30 * np.sqrt(EPS)
    assert F.error_kind == "estimate"
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(60), atol=1e-12)


@every_kind
def test_hard_ranks(kind):
    A = with_spectrum(np.random.default_rng(6), 130, 110, np.ones(5))
    F = truncated_svd(KINDS[kind](A), 12, method="single_pass", rng=0)
    assert np.linalg.norm(A - F.toarray()) < 1e-12
    assert F.error < 1e-11
    assert np.all(F.s[5:] < 1e-12)
    np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(12), atol=1e-12)
    G = truncated_svd(KINDS[kind](np.zeros((130, 110))), 4, method="single_pass", rng=0)
    assert G.error == 0
    assert np.all(G.s == 0)
    ones = np.ones((120, 30))
    H = truncated_svd(KINDS[kind](ones), 1, method="single_pass", rng=0)
    np.testing.assert_allclose(H.toarray(), ones, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (8, 30), (30, 8), (12, 12)])
def test_all_terms_of_small_matrices(shape):
    A = np.random.default_rng(7).standard_normal(shape)
    k = min(shape)
    for X in (A, sp.csr_array(A), iter([A[:1], A[1:]])):
        F = truncated_svd(X, k, method="single_pass", rng=0)
        np.testing.assert_allclose(F.toarray(), A, atol=1e-6)
        assert np.linalg.norm(A - F.toarray()) <= 10 * F.error + 1e-13


@every_kind
@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_scales_lose_no_digits(kind, scale):
    A = with_spectrum(np.random.default_rng(8), 130, 110, 1 / np.arange(1, 111.0))
    one, two = (truncated_svd(KINDS[kind](A * f), 8, method="single_pass", rng=0) for f in (1.0, scale))
    np.testing.assert_allclose(two.s / scale, one.s, rtol=1e-12)
    assert two.error / scale == pytest.approx(one.error, rel=1e-12)


def test_one_allowed_pass_means_the_single_pass():
    A = with_spectrum(np.random.default_rng(9), 130, 110, 1 / np.arange(1, 111.0))
    F = truncated_svd(A, 8, max_passes=1, rng=0)
    assert (F.method, F.passes, F.status) == ("single_pass", 1, "converged")


def test_a_tolerance_drops_terms_that_it_does_not_need():
    A = with_spectrum(np.random.default_rng(10), 130, 110, np.exp(-np.arange(110) / 4.0))
    for norm in ("fro", "2"):
        F = truncated_svd(A, 40, rtol=1e-2, norm=norm, method="single_pass", rng=0)
        assert F.status == "converged"
        assert F.rank < 25
        assert np.linalg.norm(A - F.toarray(), norm if norm == "fro" else 2) <= 1e-2 * np.linalg.norm(
            A, norm if norm == "fro" else 2
        )
    assert truncated_svd(A, 5, rtol=1e-2, method="single_pass", rng=0).status == "max_rank"


def test_the_2_norm_is_bounded_by_the_frobenius_error():
    A = with_spectrum(np.random.default_rng(11), 130, 110, 1 / np.arange(1, 111.0))
    two = truncated_svd(A, 8, norm="2", method="single_pass", rng=0)
    fro = truncated_svd(A, 8, method="single_pass", rng=0)
    assert two.error == fro.error >= np.linalg.norm(A - two.toarray(), 2)


def test_an_iterator_is_read_once_and_never_again():
    A = np.random.default_rng(12).standard_normal((60, 70))
    served = []

    def rows():
        for i in range(0, 60, 20):
            served.append(i)
            yield A[i : i + 20]

    blocks = RowBlocks(rows())
    assert blocks.one_shot
    F = truncated_svd(blocks, 5, rng=0)
    assert served == [0, 20, 40]
    assert (F.method, F.shape) == ("single_pass", (60, 70))
    with pytest.raises(ValueError, match="got an iterator that has been read"):
        truncated_svd(blocks, 5)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda A: iter([A]), {"k": 2, "method": "krylov"}, "method must be 'single_pass' for an iterator"),
        (lambda A: iter([A]), {"rtol": 0.1}, r"k must be given for a single pass, .*blocks that can be read again"),
        (lambda A: iter([A]), {"k": 91}, r"k must be in 1..min\(m, n\) = 1..80, got 91"),
        (lambda A: iter([A[:3]]), {"k": 4}, r"k must be in 1..min\(m, n\) = 1..3, got 4"),
        (lambda A: iter([]), {"k": 2}, "A must have at least one row"),
        (lambda A: iter([A * np.nan]), {"k": 2}, "A must be finite"),
        (aslinearoperator, {"k": 2, "method": "single_pass"}, "method must not be 'single_pass' for an operator"),
        (aslinearoperator, {"k": 2, "max_passes": 1}, "method must not be 'single_pass' for an operator"),
        (lambda A: A, {"rtol": 0.1, "method": "single_pass"}, "k must be given for a single pass"),
    ],
)
def test_bad_arguments_are_named(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        truncated_svd(make(np.ones((90, 80))), **arguments)


def test_a_rigorous_error_stays_exact_when_terms_are_dropped():
    rng = np.random.default_rng(0)
    A = np.linalg.qr(rng.standard_normal((200, 60)))[0] * 0.8 ** np.arange(60)
    F = truncated_svd(iter([A[:90], A[90:]]), 20, rng=0)
    G = F.truncate(10)
    assert G.error == pytest.approx(G.error_of(A), rel=1e-6)
    assert G.error >= np.linalg.norm(A - G.toarray()) * (1 - 1e-12)
