"""Nystrom approximation: beside its definition and the optimum, certificates, what is not positive semidefinite."""

import numpy as np
import pytest
import scipy.sparse

from lina.linalg import LowRankEigh, nystrom
from lina.linalg._nystrom.blocks import Basis
from lina.linalg._nystrom.matrix import PsdMatrix
from tests.linalg.matrices import SPECTRA, hilbert, kahan, with_spectrum
from tests.linalg.psd import difference, nuclear, psd, rbf


def by_definition(A, V, k):
    """Return the best rank-k part of (A V)(V^H A V)^+ (A V)^H."""
    Y = A @ V
    full = Y @ np.linalg.pinv(V.conj().T @ Y, rcond=1e-14, hermitian=True) @ Y.conj().T
    values, U = np.linalg.eigh(full)
    return (U[:, -k:] * values[-k:]) @ U[:, -k:].conj().T


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("blocks", [[14], [6, 5, 3]])
def test_blocks_one_by_one_give_what_the_definition_gives_for_all_together(dtype, blocks):
    A = psd(np.random.default_rng(0), 40, 1 / np.arange(1, 41) ** 2, dtype)
    V = with_spectrum(np.random.default_rng(1), 40, 14, np.ones(14), dtype)
    basis = Basis(PsdMatrix(A))
    start = 0
    for width in blocks:
        basis.add(V[:, start : start + width].conj().T)
        start += width
    U, lam = basis.terms(5)
    np.testing.assert_allclose((U * lam) @ U.conj().T, by_definition(A, V, 5), atol=1e-12)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("method", ["sketch", "krylov"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_the_certificate_is_true_and_near_the_error(spectrum, method, dtype):
    for seed in range(2):
        A = psd(np.random.default_rng(seed), 80, SPECTRA[spectrum](80), dtype)
        for stopping in ({"k": 12}, {"rtol": 1e-3}, {"rtol": 1e-9}, {"rtol": 0.0}):
            F = nystrom(A, method=method, rng=seed, **stopping)
            true = nuclear(difference(A, F))
            floor = 30 * 80 * np.finfo(dtype).eps * np.trace(A).real
            assert true <= F.error <= 30 * true + floor, (stopping, seed)
            np.testing.assert_allclose(F.U.conj().T @ F.U, np.eye(F.rank), atol=20 * np.finfo(dtype).eps)
            assert np.all(np.diff(F.lam) <= 0)
            assert F.lam[-1] >= 0
            np.testing.assert_allclose(F.norm_A, np.trace(A).real, rtol=80 * np.finfo(dtype).eps)


@pytest.mark.parametrize("spectrum", ["polynomial", "slow", "exponential", "step", "stairs"])
def test_krylov_reaches_the_optimum_and_a_sketch_its_expected_error(spectrum):
    values = SPECTRA[spectrum](150)
    best = values[10:].sum()
    sketch, krylov = [], []
    for seed in range(10):
        A = psd(np.random.default_rng(seed), 150, values)
        sketch.append(nystrom(A, 10, method="sketch", rng=seed).error / best)
        krylov.append(nystrom(A, 10, method="krylov", rng=seed).error / best)
    assert max(krylov) < 1.01
    # Tropp, Yurtsever, Udell, Cevher (2017), theorem 4.1, with 20 columns for 10 terms
    assert np.mean(sketch) <= 1 + 10 / 9


def test_nothing_is_above_the_matrix():
    A = rbf(np.random.default_rng(0), 120, 1.0)
    for method in ("sketch", "krylov"):
        F = nystrom(A, 15, method=method, rng=0)
        assert np.linalg.eigvalsh(difference(A, F))[0] > -1e-12


@pytest.mark.parametrize("method", ["sketch", "krylov"])
@pytest.mark.parametrize("rtol", [0.3, 1e-3, 1e-8, 1e-11])
def test_a_tolerance_is_met_by_few_terms(method, rtol):
    values = np.exp(-np.arange(150) / 4.0)
    A = psd(np.random.default_rng(1), 150, values)
    F = nystrom(A, rtol=rtol, method=method, rng=1)
    assert F.status == "converged"
    assert nuclear(difference(A, F)) <= F.error <= rtol * np.trace(A)
    tails = np.cumsum(values[::-1])[::-1]
    least = int(np.argmax(tails <= rtol * values.sum()))
    assert least <= F.rank <= least + 4
    G = nystrom(A, atol=rtol * np.trace(A), method=method, rng=1)
    assert G.rank == F.rank


def test_the_rank_limits_a_tolerance_and_a_tolerance_the_rank():
    A = psd(np.random.default_rng(2), 100, 1 / np.arange(1, 101))
    F = nystrom(A, 5, rtol=1e-6, rng=0)
    assert (F.rank, str(F.status)) == (5, "max_rank")
    F = nystrom(A, 60, rtol=0.5, rng=0)
    assert F.rank <= 12
    assert F.status == "converged"


def test_passes_are_counted_and_limited():
    A = psd(np.random.default_rng(3), 100, 1 / np.sqrt(np.arange(1, 101)))
    assert nystrom(A, 5, method="sketch", rng=0).passes == 1
    F = nystrom(A, 5, max_passes=1, rng=0)
    assert (F.passes, F.method, str(F.status)) == (1, "sketch", "converged")
    F = nystrom(A, 5, max_passes=2, method="krylov", rng=0)
    assert F.passes == 2
    F = nystrom(A, rtol=1e-4, max_passes=2, rng=0)
    assert (F.passes, str(F.status)) == (2, "max_passes")
    assert nuclear(difference(A, F)) <= F.error


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("norm", ["trace", "fro", "2"])
def test_a_tolerance_that_needs_a_large_part_of_all_terms_takes_eigenvectors_after_a_fifth(norm, dtype):
    A = psd(np.random.default_rng(12), 320, np.linspace(1, 0.1, 320), dtype)
    F = nystrom(A, rtol=1e-2, norm=norm, rng=0)
    assert F.method == "eigh"
    assert F.passes <= 2 + 4 * 3 + 1  # two blocks of 32, and what three looks at random probes take
    assert F.status == "converged"
    true = {"trace": nuclear, "fro": np.linalg.norm, "2": lambda E: np.linalg.norm(E, 2)}[norm](difference(A, F))
    assert true <= F.error <= 1e-2 * F.norm_A * (1 + 1e-6)
    np.testing.assert_allclose(F.lam, np.linspace(1, 0.1, 320)[: F.rank], atol=3200 * np.finfo(dtype).eps)
    G = nystrom(A, rtol=1e-2, norm=norm, max_passes=100, rng=0)  # then passes are meant
    assert G.method == "krylov"
    assert F.rank <= G.rank


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_many_terms_are_those_of_all_eigenvectors_and_few_are_not(spectrum):
    values = SPECTRA[spectrum](180)
    A = psd(np.random.default_rng(13), 180, values)
    for k in (21, 40, 180):
        F = nystrom(A, k, rng=0)
        assert (F.method, F.passes) == ("eigh", 0)
        assert F.status == "converged"
        np.testing.assert_allclose(F.lam, values[:k], atol=1e-13 * values[0])
        assert nuclear(difference(A, F)) <= F.error <= values[k:].sum() + 1e-10 * values.sum()
    assert nystrom(A, 19, rng=0).method == "krylov"
    assert nystrom(scipy.sparse.csr_array(A), 40, rng=0).method == "krylov"


def test_more_terms_than_the_numerical_rank_and_all_terms_are_no_trouble():
    A = psd(np.random.default_rng(4), 60, np.ones(7))
    F = nystrom(A, 30, rng=0)
    assert F.rank == 30
    assert nuclear(difference(A, F)) <= F.error < 1e-11
    np.testing.assert_allclose(F.lam[:7], 1.0)
    assert np.all(F.lam[7:] < 1e-12)
    assert nystrom(A, rtol=1e-9, rng=0).rank == 7
    F = nystrom(A, 60, rng=0)
    assert nuclear(difference(A, F)) <= F.error < 1e-11
    F = nystrom([[4.0]], 1, rng=0)
    assert (F.rank, round(float(F.lam[0]), 12)) == (1, 4.0)


def test_a_zero_matrix_and_zero_columns_are_no_trouble():
    F = nystrom(np.zeros((6, 6)), 3, rng=0)
    assert (F.rank, F.error, F.lam.tolist()) == (3, 0.0, [0.0] * 3)
    assert nystrom(np.zeros((6, 6)), rtol=0.1, rng=0).rank == 1
    A = np.zeros((40, 40))
    A[::2, ::2] = psd(np.random.default_rng(5), 20, 1 / np.arange(1, 21))
    F = nystrom(A, rtol=1e-10, rng=0)
    assert nuclear(difference(A, F)) <= F.error <= 1e-10 * np.trace(A)


@pytest.mark.parametrize("method", ["sketch", "krylov"])
def test_matrices_that_are_singular_to_rounding_are_taken_as_semidefinite(method):
    K = kahan(60)
    for A in (hilbert(80), K.T @ K, rbf(np.random.default_rng(6), 100, 5.0)):
        F = nystrom(A, rtol=0.0, method=method, rng=0)
        assert nuclear(difference(A, F)) <= F.error < 1e-11 * F.norm_A


def shifted(A, i, j, by):
    B = A.copy()
    B[i, j] += by
    return B


PSD = psd(np.random.default_rng(7), 40, np.linspace(1, 0.1, 40))
INDEFINITE = "A must be positive semidefinite, found"
NOT_PSD = {
    "negative": (-PSD, f"{INDEFINITE} a negative entry on the diagonal"),
    "indefinite": (PSD - 0.3 * np.eye(40), f"{INDEFINITE} an eigenvalue of at most"),
    "one negative eigenvalue": (psd(np.random.default_rng(8), 40, [1.0] * 20 + [-0.5]), INDEFINITE),
    "not symmetric": (shifted(PSD, 3, 9, 1e-6), "A must be Hermitian, found an asymmetry"),
    "negative diagonal": (shifted(PSD, 3, 3, -2.0), f"{INDEFINITE} a negative entry on the diagonal"),
    "zero trace": (np.array([[0.0, 1.0], [1.0, 0.0]]), INDEFINITE),
    "complex diagonal": (PSD + 0.1j * np.eye(40), "A must be Hermitian, found a diagonal that is not real"),
    "symmetric, not Hermitian": (PSD + 0.1j * (np.ones((40, 40)) - np.eye(40)), "A must be Hermitian, found an asym"),
}


@pytest.mark.parametrize("name", NOT_PSD)
@pytest.mark.parametrize("method", ["sketch", "krylov", "auto"])
def test_what_is_not_positive_semidefinite_is_named(name, method):
    A, message = NOT_PSD[name]
    with pytest.raises(ValueError, match=message):
        nystrom(A, min(30, len(A)), method=method, rng=0)


def test_truncating_adds_the_eigenvalues_left_out():
    A = psd(np.random.default_rng(9), 70, 1 / np.arange(1, 71))
    F = nystrom(A, 20, rng=0)
    G = F.truncate(8)
    assert isinstance(G, LowRankEigh)
    assert nuclear(difference(A, G)) <= G.error <= 1.001 * nuclear(difference(A, G))
    assert F.truncate(20).error == F.error
    np.testing.assert_allclose(G.error_of(A), np.linalg.norm(difference(A, G)), rtol=1e-10)
    with pytest.raises(ValueError, match=r"k must be in .*20, got 21"):
        F.truncate(21)


@pytest.mark.parametrize("shift", [1e-12, 1e-3, 10.0])
@pytest.mark.parametrize("columns", [None, 3])
def test_shifted_systems_are_solved(shift, columns):
    rng = np.random.default_rng(10)
    A = psd(rng, 60, np.exp(-np.arange(60) / 2.0), "complex128")
    F = nystrom(A, 20, rng=0)
    B = rng.standard_normal((60,) if columns is None else (60, columns))
    X = F.solve(B, shift)
    assert X.shape == B.shape
    residual = F @ X + shift * X - B
    assert np.linalg.norm(residual) <= 1e-13 * (1 + shift) * np.linalg.norm(X)


def test_bad_systems_are_named():
    F = nystrom(np.eye(5), 2, rng=0)
    for shift in (0.0, -1.0):
        with pytest.raises(ValueError, match="shift must be"):
            F.solve(np.ones(5), shift)
    with pytest.raises(ValueError, match=r"B must have 5 rows, got shape \(4,\)"):
        F.solve(np.ones(4), 1.0)
    with pytest.raises(ValueError, match="B must be finite"):
        F.solve(np.full(5, np.nan), 1.0)
    with pytest.raises(OverflowError, match="shift so small"):
        F.solve(np.ones(5), 5e-324)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "one of k, rtol and atol"),
        ({"k": 6}, ValueError, "k must be in"),
        ({"k": 2, "method": "eigh"}, ValueError, "method must be one of"),
        ({"atol": np.inf}, ValueError, "atol must be finite"),
        ({"k": 2, "rng": 1.5}, TypeError, "rng must be"),
        ({"k": 2, "max_passes": 0}, ValueError, "max_passes must be"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        nystrom(np.eye(5), **arguments)


def test_only_square_matrices_are_taken():
    with pytest.raises(ValueError, match=r"A must be a nonempty square matrix \(n, n\), got shape \(4, 5\)"):
        nystrom(np.ones((4, 5)), 2)
    with pytest.raises(OverflowError, match="A must have a norm within its dtype"):
        nystrom(np.eye(100) * 8e306, 2)


class Products:
    """A matrix of which only products are known."""

    def __init__(self, A):
        self.A, self.shape, self.dtype = A, A.shape, A.dtype

    def __matmul__(self, X):
        return self.A @ X


NORMS = {"trace": nuclear, "fro": np.linalg.norm, "2": lambda E: np.linalg.norm(E, 2)}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["dense", "sparse", "products"])
def test_the_certificate_is_true_in_every_norm_for_every_kind_of_matrix(spectrum, norm, kind):
    A = psd(np.random.default_rng(11), 80, SPECTRA[spectrum](80))
    given = {"dense": A, "sparse": scipy.sparse.csr_array(A), "products": Products(A)}[kind]
    trace = float(np.trace(A)) if kind == "products" else None
    for stopping in ({"k": 12}, {"rtol": 1e-3}, {"rtol": 1e-9}):
        F = nystrom(given, norm=norm, trace=trace, rng=0, **stopping)
        true = NORMS[norm](difference(A, F))
        assert true <= F.error <= 30 * true + 1e-11 * F.norm_A
        assert F.norm == norm
        assert (F.failure_probability == 0) == (F.error_kind == "rigorous")


def test_a_matrix_known_by_products_needs_its_trace_for_the_trace_norm():
    with pytest.raises(ValueError, match="trace must be given"):
        nystrom(Products(PSD), 3, norm="trace")
