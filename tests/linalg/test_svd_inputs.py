"""The truncated SVD of sparse matrices, operators, row blocks and streams: the same answers, certified as honestly."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from lina.linalg import RowBlocks, truncated_svd
from tests.linalg.matrices import SPECTRA, with_spectrum


class Products:
    """An operator that knows products with blocks, and nothing else."""

    def __init__(self, A):
        self.A, self.shape, self.dtype = A, A.shape, A.dtype

    def matmat(self, X):
        return self.A @ X

    def rmatmat(self, X):
        return self.A.conj().T @ X


KINDS = {
    "csr_array": sp.csr_array,
    "csc_matrix": sp.csc_matrix,
    "coo_array": sp.coo_array,
    "LinearOperator": lambda A: aslinearoperator(A),
    "products": Products,
    "blocks": lambda A: RowBlocks([A[i : i + 37] for i in range(0, len(A), 37)]),
    "function": lambda A: RowBlocks(lambda: (A[i : i + 50] for i in range(0, len(A), 50))),
    "sliced": lambda A: RowBlocks(A, rows=64),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def thinned(rng, m, n, dtype="float64"):
    """Return a matrix with few nonzeros and a falling spectrum."""
    A = np.where(rng.random((m, n)) < 0.2, rng.standard_normal((m, n)), 0.0) * np.geomspace(1, 1e-3, n)
    return (A * (1 + 1j) if np.dtype(dtype).kind == "c" else A).astype(dtype)


@every_kind
@pytest.mark.parametrize("shape", [(300, 120), (120, 300)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_answer_is_that_of_the_dense_matrix(kind, shape, dtype):
    A = thinned(np.random.default_rng(0), *shape, dtype)
    F = truncated_svd(KINDS[kind](A), 10, rng=0)
    expected = np.linalg.svd(A, compute_uv=False)
    assert F.U.dtype == F.Vt.dtype == dtype
    true = np.linalg.norm(A - F.toarray())
    assert true <= F.error * (1 + 1e-12)
    assert true <= np.linalg.norm(expected[10:]) * 1.01
    np.testing.assert_allclose(F.s, expected[:10], rtol=2e-2)
    np.testing.assert_allclose(F.U.conj().T @ F.U, np.eye(10), atol=1e-12)
    np.testing.assert_allclose(F.Vt @ F.Vt.conj().T, np.eye(10), atol=1e-12)


@every_kind
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("norm", ["fro", "2"])
def test_every_certificate_holds(kind, spectrum, norm):
    A = with_spectrum(np.random.default_rng(1), 110, 90, SPECTRA[spectrum](90))
    F = truncated_svd(KINDS[kind](A), 12, norm=norm, rng=1)
    true = np.linalg.norm(A - F.toarray(), norm if norm == "fro" else 2)
    floor = 100 * np.finfo(float).eps * np.linalg.norm(A)
    assert true <= F.error + floor
    assert F.error <= 30 * true + 10 * floor
    if norm == "fro" and kind in ("LinearOperator", "products"):
        assert F.error_kind == "probabilistic"  # the norm of an operator is not known
        assert 0 < F.failure_probability <= 1e-6
    elif norm == "fro":
        assert (str(F.error_kind), F.failure_probability) == ("rigorous", 0.0)


@every_kind
def test_a_tolerance_is_met(kind):
    A = with_spectrum(np.random.default_rng(2), 200, 150, np.exp(-np.arange(150) / 6.0))
    F = truncated_svd(KINDS[kind](A), rtol=1e-3, rng=2)
    assert F.status == "converged"
    assert np.linalg.norm(A - F.toarray()) <= 1e-3 * np.linalg.norm(A)
    # an operator is certified by a looser bound, and takes some terms more
    assert F.rank <= (55 if kind in ("LinearOperator", "products") else 44)


@every_kind
def test_centring_is_that_of_the_dense_matrix_and_forms_no_copy(kind):
    A = thinned(np.random.default_rng(3), 160, 70) + np.where(np.arange(70) % 9 == 0, 3.0, 0.0)
    F = truncated_svd(KINDS[kind](A), 5, center=True, rng=3)
    np.testing.assert_allclose(F.mean, A.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(F.s, np.linalg.svd(A - A.mean(axis=0), compute_uv=False)[:5], rtol=1e-3)
    assert np.linalg.norm(A - F.toarray()) <= F.error * (1 + 1e-12)


@every_kind
@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_scales_lose_no_digits(kind, scale):
    A = thinned(np.random.default_rng(4), 90, 70)
    F, G = (truncated_svd(KINDS[kind](A * c), 6, rng=4) for c in (1.0, scale))
    np.testing.assert_allclose(G.s / scale, F.s, rtol=1e-8)
    assert G.error / scale == pytest.approx(F.error, rel=1e-6)


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix"])
def test_threads_do_not_change_the_bits_and_inputs_stay_as_they_are(kind, threads):
    X = KINDS[kind](thinned(np.random.default_rng(5), 900, 700))
    before = X.copy()
    answers = []
    for count in (1, 2, 3):
        threads(count)
        answers.append(truncated_svd(X, 5, rng=5).Vt)
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])
    assert (before != X).nnz == 0


def test_integers_and_halves_are_promoted():
    X = sp.csr_array(np.arange(60).reshape(10, 6) % 7)
    assert truncated_svd(X, 3, rng=0).U.dtype == np.float64
    assert truncated_svd(X.astype("float32"), 3, rng=0).U.dtype == np.float32


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_a_single_pass_reads_once_and_knows_its_error(spectrum):
    A = with_spectrum(np.random.default_rng(6), 150, 100, SPECTRA[spectrum](100))
    reads = []

    def blocks():
        reads.append(1)
        return (A[i : i + 40] for i in range(0, 150, 40))

    F = truncated_svd(RowBlocks(blocks), 12, method="single_pass", rng=6)
    assert (len(reads), F.passes, F.method) == (1, 1, "single_pass")
    G = truncated_svd((A[i : i + 40] for i in range(0, 150, 40)), 12, rng=6)
    np.testing.assert_array_equal(G.s, F.s)
    true, floor = np.linalg.norm(A - F.toarray()), 1e-13 * np.linalg.norm(A)
    if F.error_kind == "rigorous":
        assert true <= F.error + floor
        assert F.error <= 1.5 * true + floor
    best = np.linalg.norm(SPECTRA[spectrum](100)[12:])
    assert true <= 2 * best + floor


def test_where_the_difference_has_no_digits_a_single_pass_estimates():
    A = with_spectrum(np.random.default_rng(7), 300, 200, np.geomspace(1, 1e-14, 200))
    ratios = []
    for seed in range(40):
        F = truncated_svd(A, 110, method="single_pass", rng=seed)
        assert F.error_kind == "estimate"
        ratios.append(F.error / np.linalg.norm(A - F.toarray()))
    assert 0.5 < np.median(ratios) < 3
    assert 0.3 < min(ratios) < max(ratios) < 10


def test_an_iterator_can_be_read_once_only():
    A = np.random.default_rng(8).standard_normal((40, 30))
    with pytest.raises(ValueError, match="k must be given for a single pass"):
        truncated_svd(iter([A]), rtol=0.1)
    with pytest.raises(ValueError, match="method must be 'single_pass' for an iterator"):
        truncated_svd(iter([A]), 3, method="krylov")
    blocks = RowBlocks(iter([A]))
    truncated_svd(blocks, 3)
    with pytest.raises(ValueError, match="readable again"):
        truncated_svd(blocks, 3)


class Half:
    shape, dtype = (4, 3), np.dtype("float64")

    def matmat(self, X):
        return np.ones((4, X.shape[1]))


@pytest.mark.parametrize(
    ("A", "error", "message"),
    [
        (sp.csr_array(np.diag([1.0, np.nan, 2.0])), ValueError, "A must be finite, got 1 NaN"),
        (sp.csr_array((4, 0)), ValueError, "A must be a nonempty matrix"),
        (RowBlocks([np.ones((3, 4)), np.ones((3, 5))]), ValueError, r"A must have blocks of shape \(b, 4\)"),
        (RowBlocks([np.full((3, 4), np.inf)]), ValueError, "A must be finite"),
        (RowBlocks([]), ValueError, "A must"),
        (Half(), TypeError, "A must"),
        (LinearOperator((400, 300), matvec=lambda x: np.ones(400), dtype=float), TypeError, "A must have products"),
        (sp.csr_array(np.eye(3)).astype("longdouble"), TypeError, "A must have"),
    ],
)
def test_bad_input_is_named(A, error, message):
    with pytest.raises(error, match=message):
        truncated_svd(A, 2, rng=0)
