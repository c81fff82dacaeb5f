"""The truncated SVD of sparse matrices, operators and blocks of rows: the same answers, and certificates that hold."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from lina.linalg import RowBlocks, truncated_svd
from tests.linalg.matrices import SPECTRA, optimum, with_spectrum

EPS = np.finfo(float).eps

KINDS = {
    "sparse": sp.csr_array,
    "operator": aslinearoperator,
    "blocks": lambda A: RowBlocks([A[:37], A[37:90], A[90:]]),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_spectrum = pytest.mark.parametrize("spectrum", SPECTRA)


def norm_of(E, norm):
    return np.linalg.norm(E, norm if norm == "fro" else 2)


def scattered(m, n, share=0.1, dtype="float64", seed=0):
    """Return a sparse matrix with columns of very different weight, as an array."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) / np.arange(1, n + 1) ** 0.7
    if np.dtype(dtype).kind == "c":
        A = A + 1j * rng.standard_normal((m, n)) / np.arange(1, n + 1)
    return np.where(rng.random((m, n)) < share, A, 0).astype(dtype)


@every_kind
@every_spectrum
@pytest.mark.parametrize("norm", ["fro", "2"])
def test_the_certificate_is_an_upper_bound_and_not_a_wild_one(kind, spectrum, norm):
    for seed in range(3):
        A = with_spectrum(np.random.default_rng(seed), 120, 90, SPECTRA[spectrum](90))
        F = truncated_svd(KINDS[kind](A), 12, norm=norm, rng=seed)
        true = norm_of(A - F.toarray(), norm)
        floor = 90 * EPS * np.linalg.norm(A, 2)
        assert true <= F.error + floor
        assert F.error <= 30 * true + 3 * floor


@every_kind
@every_spectrum
def test_the_error_is_near_the_optimum(kind, spectrum):
    A = with_spectrum(np.random.default_rng(1), 150, 100, SPECTRA[spectrum](100))
    F = truncated_svd(KINDS[kind](A), 30, rng=1)
    assert np.linalg.norm(A - F.toarray()) <= optimum(A, 30, "fro") * (1 + 2e-3) + 1e-13 * np.linalg.norm(A, 2)
    np.testing.assert_allclose(F.U.T @ F.U, np.eye(30), atol=1e-12)
    np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(30), atol=1e-12)


@every_kind
@pytest.mark.parametrize("shape", [(130, 100), (100, 130)])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_every_shape_and_dtype_agrees_with_the_whole_svd(kind, shape, center, dtype):
    A = scattered(*shape, dtype=dtype) + (kind != "sparse") * np.ones(1, dtype=dtype)
    F = truncated_svd(KINDS[kind](A), 10, center=center, rng=0)
    C = A - A.mean(axis=0) if center else A
    expected = np.linalg.svd(C, compute_uv=False)[:10]
    eps = np.finfo(dtype).eps
    assert F.U.dtype == F.Vt.dtype == dtype
    assert F.s.dtype == expected.dtype
    np.testing.assert_allclose(F.s, expected, rtol=2e-3 if eps > 1e-10 else 1e-3)
    true = np.linalg.norm(C - (F.U * F.s) @ F.Vt)
    assert true <= F.error * (1 + 10 * eps)
    assert true <= optimum(C, 10, "fro") * (1 + 1e-3)
    if center:
        np.testing.assert_allclose(F.mean, A.mean(axis=0), atol=20 * eps * np.abs(A).max())


@every_kind
@pytest.mark.parametrize("norm", ["fro", "2"])
@pytest.mark.parametrize("rtol", [0.3, 1e-2, 1e-5])
def test_a_tolerance_is_met_with_about_the_least_rank(kind, norm, rtol):
    A = with_spectrum(np.random.default_rng(2), 200, 130, np.exp(-np.arange(130) / 9.0))
    F = truncated_svd(KINDS[kind](A), rtol=rtol, norm=norm, rng=2)
    target = rtol * norm_of(A, norm)
    assert norm_of(A - F.toarray(), norm) <= target
    least = next(k for k in range(131) if optimum(A, k, norm) <= target)
    assert least <= F.rank <= least + 3
    assert F.status == "converged"


@every_kind
def test_an_absolute_tolerance_and_a_rank_limit_are_kept(kind):
    A = with_spectrum(np.random.default_rng(3), 150, 100, 1 / np.arange(1, 101.0))
    F = truncated_svd(KINDS[kind](A), atol=0.3, rng=0)
    assert np.linalg.norm(A - F.toarray()) <= 0.3
    F = truncated_svd(KINDS[kind](A), 5, rtol=1e-3, rng=0)
    assert (F.rank, F.status) == (5, "max_rank")


@pytest.mark.parametrize("kind", ["sparse", "blocks"])
def test_the_frobenius_certificate_has_its_digits_below_the_square_root_of_eps(kind):
    A = with_spectrum(np.random.default_rng(4), 150, 100, np.geomspace(1, 1e-14, 100))
    F = truncated_svd(KINDS[kind](A), 65, rng=4)
    true = np.linalg.norm(A - F.toarray())
    assert true < 1e-8
    assert true <= F.error <= 3 * true
    assert F.error_kind == "rigorous"


@every_kind
@pytest.mark.parametrize("copies", [30, 60])
def test_more_equal_values_than_a_block_has_rows_are_all_found(kind, copies):
    s = np.r_[np.ones(copies), np.full(100 - copies, 1e-3)]
    A = with_spectrum(np.random.default_rng(5), 150, 100, s)
    F = truncated_svd(KINDS[kind](A), copies, rng=0, method="krylov")
    np.testing.assert_allclose(F.s, 1, rtol=1e-9)
    assert np.linalg.norm(A - F.toarray()) <= 1.01 * optimum(A, copies, "fro")


@every_kind
def test_a_zero_matrix_and_more_terms_than_the_rank(kind):
    F = truncated_svd(KINDS[kind](np.zeros((120, 100))), 5, rng=0)
    assert F.error == 0
    assert np.all(F.s == 0)
    np.testing.assert_array_equal(F.U.T @ F.U, np.eye(5))
    A = with_spectrum(np.random.default_rng(6), 120, 100, np.ones(3))
    for method in ("auto", "krylov"):
        F = truncated_svd(KINDS[kind](A), 25, method=method, rng=0)
        np.testing.assert_allclose(F.U.T @ F.U, np.eye(25), atol=1e-10)
        np.testing.assert_allclose(F.Vt @ F.Vt.T, np.eye(25), atol=1e-10)
        assert np.all(F.s[3:] < 1e-13)


@every_kind
@pytest.mark.parametrize("shape", [(1, 130), (130, 1), (3, 100), (70, 70)])
def test_thin_matrices_take_all_terms(kind, shape):
    A = np.random.default_rng(7).standard_normal(shape)
    make = (lambda A: RowBlocks([A[i : i + 1] for i in range(len(A))])) if kind == "blocks" else KINDS[kind]
    F = truncated_svd(make(A), min(shape), rng=0)
    np.testing.assert_allclose(F.toarray(), A, atol=1e-12)
    assert F.error < 1e-11


@every_kind
@pytest.mark.parametrize("method", ["gram", "svd"])
def test_every_method_takes_every_kind(kind, method):
    A = scattered(130, 100) + (kind == "blocks")
    for center in (False, True):
        F = truncated_svd(KINDS[kind](A), 6, center=center, method=method, rng=0)
        true = np.linalg.norm(A - F.toarray())
        assert F.method == method
        assert true == pytest.approx(optimum(A - center * A.mean(axis=0), 6, "fro"))
        assert F.error == pytest.approx(true)
        assert F.error_kind == "rigorous"


@every_kind
@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("center", [False, True])
def test_extreme_scales_lose_no_digits(kind, scale, center):
    A = scattered(120, 100)
    for dtype in ("float64", "float32"):
        factor = scale if dtype == "float64" else scale**0.12
        one, two = (truncated_svd(KINDS[kind]((A * f).astype(dtype)), 8, center=center, rng=0) for f in (1, factor))
        np.testing.assert_allclose(two.s / factor, one.s, rtol=1e-10 if dtype == "float64" else 1e-4)
        assert two.error / factor == pytest.approx(one.error, rel=1e-8 if dtype == "float64" else 1e-2)
        assert two.norm_A / factor == pytest.approx(one.norm_A, rel=1e-6)


@every_kind
def test_norms_beyond_the_range_are_named(kind):
    A = np.full((100, 100), 1e308)
    with pytest.raises((OverflowError, ValueError), match="A must"), np.errstate(over="ignore", invalid="ignore"):
        truncated_svd(KINDS[kind](A), 3, rng=0)


@every_kind
def test_a_seed_repeats_and_inputs_are_not_modified(kind):
    A = scattered(120, 100)
    before, X = A.copy(), KINDS[kind](A)
    first, second = (truncated_svd(X, 6, center=True, rng=3) for _ in range(2))
    for name in ("U", "s", "Vt", "error"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(A, before)


@every_kind
def test_integers_become_float64(kind):
    A = (scattered(120, 100) > 0).astype(np.int8)
    F = truncated_svd(KINDS[kind](A), 5, rng=0)
    expected = truncated_svd(KINDS[kind](A.astype(float)), 5, rng=0)
    assert F.U.dtype == np.float64
    np.testing.assert_allclose(F.s, expected.s)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@every_kind
@pytest.mark.parametrize("center", [False, True])
def test_what_is_not_finite_is_refused_by_name(kind, bad, center):
    A = scattered(120, 100)
    A[95, 4] = bad
    with pytest.raises(ValueError, match="A must be finite"), np.errstate(invalid="ignore"):
        truncated_svd(KINDS[kind](A), 4, center=center, rng=0)


@every_kind
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "one of k, rtol and atol"),
        ({"k": 101}, ValueError, r"k must be in 1..min\(m, n\) = 1..100, got 101"),
        ({"k": 2.0}, TypeError, "k must be an int"),
        ({"k": 2, "rtol": -1}, ValueError, "rtol must be finite and not negative"),
        ({"k": 2, "method": "magic"}, ValueError, "method must be one of"),
        ({"k": 2, "rng": "seed"}, TypeError, "rng must be"),
        ({"k": 2, "max_passes": 2, "method": "gram"}, ValueError, "method must be 'auto' or 'krylov' with max_passes"),
    ],
)
def test_bad_arguments_are_named(kind, arguments, error, message):
    with pytest.raises(error, match=message):
        truncated_svd(KINDS[kind](np.ones((120, 100))), **arguments)


@every_kind
@pytest.mark.parametrize("limit", [2, 3, 5])
def test_the_matrix_is_read_no_more_often_than_allowed(kind, limit):
    A = with_spectrum(np.random.default_rng(9), 200, 150, 1 / np.sqrt(np.arange(1, 151)))
    F = truncated_svd(KINDS[kind](A), 10, max_passes=limit, rng=9)
    assert F.passes <= limit + (kind == "operator")  # its certificate is a product with probes
    assert np.linalg.norm(A - F.toarray()) <= F.error


# ---- sparse


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("family", ["array", "matrix"])
def test_every_sparse_format_is_taken(kind, family):
    A = scattered(90, 80)
    expected = truncated_svd(sp.csr_array(A), 5, rng=0)
    F = truncated_svd(getattr(sp, f"{kind}_{family}")(A), 5, rng=0)
    np.testing.assert_allclose(F.s, expected.s)
    assert isinstance(F.U, np.ndarray)


def test_duplicate_entries_are_summed_and_the_original_keeps_them():
    A = scattered(90, 80)
    rows, columns = np.nonzero(A)
    half = np.concatenate([A[rows, columns], A[rows, columns]]) / 2
    order = np.argsort(np.r_[rows, rows], kind="stable")
    indptr = np.r_[0, np.cumsum(np.bincount(np.r_[rows, rows], minlength=90))]
    B = sp.csr_array((half[order], np.r_[columns, columns][order], indptr), shape=A.shape)
    stored = B.nnz
    F = truncated_svd(B, 5, rng=0)
    assert F.norm_A == pytest.approx(np.linalg.norm(A))
    np.testing.assert_allclose(F.s, np.linalg.svd(A, compute_uv=False)[:5], rtol=1e-4)
    assert B.nnz == stored


def test_the_number_of_threads_does_not_change_the_bits(threads):
    A = sp.random_array((20_000, 3000), density=0.004, rng=np.random.default_rng(0))
    for matrix in (A, (A + 1j * A).tocsr(), A.T):
        answers = []
        for count in (1, 2, 5):
            threads(count)
            answers.append(truncated_svd(matrix, 20, center=True, max_passes=4, rng=0))
        for other in answers[1:]:
            for name in ("U", "s", "Vt", "error"):
                np.testing.assert_array_equal(getattr(answers[0], name), getattr(other, name))


def test_a_sparse_matrix_is_never_filled():
    import tracemalloc

    A = sp.random_array((30_000, 20_000), density=2e-4, rng=np.random.default_rng(0)).tocsr()  # 4.8 GB as an array
    tracemalloc.start()
    try:
        F = truncated_svd(A, 10, center=True, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert F.error_kind == "rigorous"
    assert peak < 3 * 8 * 200 * (30_000 + 20_000)


def test_a_dominant_mean_costs_the_norm_no_digits():
    A = sp.csr_array(1e6 + scattered(200, 90, share=1.0))
    F = truncated_svd(A, 5, center=True, rng=0)
    C = A.toarray() - A.toarray().mean(axis=0)
    assert F.norm_A == pytest.approx(np.linalg.norm(C), rel=1e-9)
    assert np.linalg.norm(A.toarray() - F.toarray()) <= F.error
    assert F.error == pytest.approx(optimum(C, 5, "fro"), rel=1e-3)


def test_sparse_input_of_no_use_is_named():
    for A, error in (
        (sp.csr_array((0, 4)), ValueError),
        (sp.coo_array(np.ones(4)), ValueError),
        (sp.csr_array(np.ones((4, 4), dtype=np.longdouble)), TypeError),
    ):
        with pytest.raises(error, match="A must"):
            truncated_svd(A, 1)


# ---- operators


class Duck:
    """The least that counts as an operator, in one of two forms."""

    def __init__(self, A, names=("matvec", "rmatvec"), **attributes):
        self.shape, self.dtype = A.shape, A.dtype
        for name in names:
            setattr(self, name, (A.conj().T if name.startswith("r") else A).__matmul__)
        self.__dict__.update(attributes)


@pytest.mark.parametrize("names", [("matvec", "rmatvec"), ("matmat", "rmatmat"), ("matmat", "rmatvec")])
@pytest.mark.parametrize("dtype", ["float64", "complex128", "float32"])
@pytest.mark.parametrize("shape", [(120, 100), (100, 120)])
def test_an_operator_needs_only_products(names, dtype, shape):
    A = scattered(*shape, dtype=dtype)
    F = truncated_svd(Duck(A, names), 8, rng=0)
    assert F.U.dtype == dtype
    np.testing.assert_allclose(F.s, np.linalg.svd(A, compute_uv=False)[:8], rtol=1e-3)
    assert np.linalg.norm(A - F.toarray()) <= F.error
    assert F.error_kind == "probabilistic"
    assert 0 < F.failure_probability < 1e-8


def test_a_short_operator_is_formed_and_its_certificate_is_rigorous():
    A = scattered(300, 60)
    F = truncated_svd(Duck(A), 8, rng=0)
    assert F.error_kind == "rigorous"
    assert F.error == pytest.approx(optimum(A, 8, "fro"))
    G = truncated_svd(Duck(A.T.copy()), 8, rng=0)
    assert G.error == pytest.approx(F.error)


def test_the_norm_of_an_operator_is_an_estimate_near_the_truth():
    ratios = []
    for seed in range(20):
        A = with_spectrum(np.random.default_rng(seed), 120, 100, 1 / np.sqrt(np.arange(1, 101)))
        ratios.append(truncated_svd(Duck(A), 8, rng=seed).norm_A / np.linalg.norm(A))
    assert 0.97 < np.mean(ratios) < 1.03
    assert np.std(ratios) < 0.1


@pytest.mark.parametrize(
    ("operator", "error", "message"),
    [
        (Duck(np.ones((90, 80)), ("matvec",)), TypeError, r"without \['rmatmat or rmatvec'\]"),
        (Duck(np.ones((90, 80)), ("rmatmat",), dtype=None), TypeError, r"without \['dtype', 'matmat or matvec'\]"),
        (LinearOperator((90, 80), matvec=lambda x: np.ones(90), dtype=float), TypeError, "rmatmat fails"),
        (Duck(np.ones((90, 80)), shape=(80, 90)), (ValueError, TypeError), "A must give|matmul"),
        (Duck(np.ones((90, 80)) * 1j, dtype=np.dtype(float)), TypeError, "products of its dtype float64"),
        (Duck(np.ones((90, 80)), dtype=object), TypeError, "A must have entries"),
        (Duck(np.ones((90, 80)), shape=(0, 80)), ValueError, "A must be a nonempty matrix"),
    ],
)
def test_an_operator_that_lacks_something_is_named(operator, error, message):
    with pytest.raises(error, match=message):
        truncated_svd(operator, 2, rng=0)


def test_passes_that_are_allotted_make_the_triplets_themselves_accurate():
    A = sp.random_array((900, 700), density=0.01, rng=0, format="csr")
    _, s, Vt = np.linalg.svd(A.toarray(), full_matrices=False)
    F = truncated_svd(A, 5, max_passes=200, rng=0)
    assert F.passes < 200
    np.testing.assert_allclose(F.s, s[:5], rtol=1e-13)
    assert np.linalg.svd(F.Vt @ Vt[:5].T)[1].min() > 1 - 1e-12
    assert np.abs(truncated_svd(A, 5, rng=0).s / s[:5] - 1).max() > 1e-6
