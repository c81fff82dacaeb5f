"""Strong rank-revealing QR: against the volumes themselves, the bounds of Gu and Eisenstat, and matrices that hide."""

import array_api_compat.numpy as xp
import numpy as np
import pytest
import scipy.linalg

from lina.linalg._column_basis import column_basis
from lina.linalg._strong_rrqr import _best_exchange, _rest_norms, _row_norms, _State, strong_rrqr
from tests.linalg.matrices import SPECTRA, hilbert, kahan, with_spectrum


def volume(A, columns):
    """Return det(C^H C)^(1/2) of some columns."""
    return np.prod(np.linalg.svd(A[:, columns], compute_uv=False))


def gains(A, columns):
    """Return the factors (k, n) by which the volume grows with column j in the place of the i-th; 0 for j chosen."""
    found = np.zeros((len(columns), A.shape[1]))
    for i in range(len(columns)):
        for j in set(range(A.shape[1])) - set(columns.tolist()):
            other = columns.copy()
            other[i] = j
            found[i, j] = volume(A, other) / volume(A, columns)
    return found


def fresh_state(A, columns):
    """Return the state of some columns, from a factorisation of its own."""
    basis = column_basis(xp, A, columns)
    return _State.of(xp, A, basis, _rest_norms(xp, A, basis))


def gks(n):
    """Return the upper triangle of Golub, Klema and Stewart, on which column pivoting does nothing."""
    return np.triu(2 * np.eye(n) - np.ones((n, n))) / np.sqrt(np.arange(1, n + 1))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(9, 7), (6, 10), (3, 8)])
def test_the_best_exchange_is_that_of_the_largest_volume(shape, dtype):
    A = with_spectrum(np.random.default_rng(0), *shape, np.linspace(1, 0.1, min(shape)), dtype)
    columns = np.array([4, 0, 2])
    state = fresh_state(A, columns)
    expected = gains(A, columns)
    i, j, gain = _best_exchange(xp, state.Z, _row_norms(xp, state.W), state.rest, columns)
    assert gain == pytest.approx(expected.max())
    assert expected[i, j] == pytest.approx(expected.max())


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_an_update_gives_what_a_new_factorisation_gives(dtype):
    A = with_spectrum(np.random.default_rng(1), 20, 15, np.geomspace(1, 1e-3, 15), dtype)
    state = fresh_state(A, np.arange(6))
    E = state.E
    for i, j in [(2, 9), (0, 12), (2, 0), (5, 14)]:  # column 0 leaves and returns
        state = state.exchanged(xp, i, j)
    assert state.E is E  # nothing of the size of A is written
    assert state.indices.tolist() == [12, 1, 0, 3, 4, 14]
    fresh = fresh_state(A, state.indices)
    found = {"Z": state.Z, "W": state.W, "E": state.E + state.left.T @ state.right, "rest": state.rest}
    for name, value in found.items():
        expected = getattr(fresh, name)
        np.testing.assert_allclose(value, expected, atol=1e-9 * np.abs(expected).max())


def test_norms_that_an_exchange_makes_tiny_keep_their_digits():
    rng = np.random.default_rng(8)
    A = rng.standard_normal((30, 12))
    A[:, 6:] = A[:, 5:6] * rng.standard_normal(6) + 1e-11 * A[:, 6:]  # nearly the column that comes
    state = fresh_state(A, np.arange(5)).exchanged(xp, 2, 5)
    expected = fresh_state(A, state.indices).rest
    np.testing.assert_allclose(state.rest[6:], expected[6:], rtol=1e-3)
    assert expected[6:].max() < 1e-9


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("bound", [1.0, 1.1, 2.0])
def test_no_exchange_is_left_from_any_start(spectrum, bound):
    rng = np.random.default_rng(2)
    A = with_spectrum(rng, 40, 30, SPECTRA[spectrum](30))
    for _ in range(3):
        start = column_basis(xp, A, rng.permutation(30)[:7])
        basis, bounded = strong_rrqr(xp, A, start, bound)
        assert bounded
        assert gains(A, basis.indices).max() <= bound * (1 + 1e-9)
        assert volume(A, basis.indices) >= volume(A, start.indices) * (1 - 1e-9)
        np.testing.assert_array_equal(basis.C, A[:, basis.indices])


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("bound", [1.0, 2.0])
def test_the_singular_values_keep_the_bounds_of_theorem_3_2(spectrum, bound):
    for seed in range(3):
        m, n, k = 60, 50, 9
        A = with_spectrum(np.random.default_rng(seed), m, n, SPECTRA[spectrum](n))
        basis, _ = strong_rrqr(xp, A, column_basis(xp, A, np.arange(k)), bound)
        k = len(basis.indices)  # "rank 7" has no more
        s = np.linalg.svd(A, compute_uv=False)
        q = np.sqrt(1 + bound**2 * k * (n - k))
        rounding = n * np.finfo(float).eps * s[0]
        assert np.all(np.linalg.svd(basis.C, compute_uv=False) >= s[:k] / q - rounding)
        rest = np.linalg.svd(A - basis.Q @ basis.B, compute_uv=False)
        assert np.all(rest[: n - k] <= s[k:] * q + rounding)


@pytest.mark.parametrize(
    "A",
    [kahan(90), kahan(90, 0.9), kahan(60) + np.diag(25 * 2.2e-16 * np.arange(60, 0, -1)), gks(60), hilbert(12)],
    ids=["Kahan", "Kahan 0.9", "Kahan with a diagonal of eps", "GKS", "Hilbert"],
)
@pytest.mark.parametrize("bound", [1.0, 2.0])
def test_the_rank_is_revealed_where_pivoting_does_not_see_it(A, bound):
    n = A.shape[1]
    k = n - 1
    basis, bounded = strong_rrqr(xp, A, column_basis(xp, A, np.arange(k)), bound)
    s = np.linalg.svd(A, compute_uv=False)
    assert bounded
    assert basis.indices.shape == (k,)
    assert np.abs(basis.coefficients(xp)).max() <= bound * (1 + 1e-12)
    rest = np.linalg.norm(A - basis.Q @ basis.B, 2)
    assert rest <= np.sqrt(1 + bound**2 * k) * s[k] + 4 * n * np.finfo(float).eps * s[0]


def test_the_number_of_exchanges_keeps_the_bound_of_the_volume(monkeypatch):
    steps = []
    original = _State.exchanged
    monkeypatch.setattr(_State, "exchanged", lambda self, *a: steps.append(a) or original(self, *a))
    A = np.random.default_rng(3).standard_normal((30, 200)) * np.geomspace(1, 1e6, 200)
    start = np.arange(12)  # the smallest columns
    basis, _ = strong_rrqr(xp, A, column_basis(xp, A, start), 2.0)
    assert 12 <= len(steps) <= np.log2(volume(A, basis.indices) / volume(A, start))


def test_many_exchanges_do_not_gather_rounding():
    A = np.random.default_rng(4).standard_normal((150, 400)) * np.geomspace(1, 1e10, 400)
    basis, bounded = strong_rrqr(xp, A, column_basis(xp, A, np.arange(100)), 1.0)
    assert bounded
    exact = scipy.linalg.lstsq(A[:, basis.indices], A)[0]
    assert np.abs(exact).max() <= 1 + 1e-9
    np.testing.assert_allclose(basis.coefficients(xp), exact, atol=1e-10)


def test_equal_volumes_end():
    for A in (np.eye(20)[:, ::-1], np.ones((10, 30)), np.repeat(np.eye(8), 4, axis=1), scipy.linalg.hadamard(32) * 1.0):
        k = np.linalg.matrix_rank(A)
        chosen = scipy.linalg.qr(A, mode="r", pivoting=True)[1][: max(1, k // 2)]
        basis, bounded = strong_rrqr(xp, A, column_basis(xp, A, chosen.astype(np.int64)), 1.0)
        assert bounded
        np.testing.assert_array_equal(basis.indices, chosen)


def test_dependent_columns_are_replaced_or_left_out():
    rng = np.random.default_rng(5)
    A = rng.standard_normal((20, 12))
    A[:, 3] = A[:, 1] + 1e-13 * A[:, 2]
    basis, bounded = strong_rrqr(xp, A, column_basis(xp, A, np.array([0, 1, 3])), 2.0)
    assert bounded
    assert len(basis.indices) == 3
    assert np.linalg.cond(A[:, basis.indices]) < 10
    low = rng.standard_normal((20, 2)) @ rng.standard_normal((2, 12)) + 1e-17 * A
    basis, bounded = strong_rrqr(xp, low, column_basis(xp, low, np.arange(4)), 2.0)
    assert bounded
    assert len(basis.indices) == 2


def test_columns_dependent_beyond_the_range_of_the_dtype_are_an_answer_too():
    A = kahan(200).astype("float32")  # the inverse of the first columns has entries of 1e25
    basis, bounded = strong_rrqr(xp, A, column_basis(xp, A, np.arange(150)), 2.0)
    assert bounded
    assert np.abs(basis.coefficients(xp)).max() <= 2
    assert np.linalg.norm(A - basis.Q @ basis.B) <= 1e-4 * np.linalg.norm(A)
