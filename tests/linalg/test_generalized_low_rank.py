"""min ||A - B C D|| over C of low rank: beside explicit projections, the natural mistake, and any other C."""

import numpy as np
import pytest

from lina.linalg import _generalized_low_rank, generalized_low_rank
from lina.linalg._thin_svd import certain_svd
from tests.linalg.matrices import with_spectrum


def by_projections(A, B, D, rank, rcond=1e-10):
    """Return C by the formula of Friedland and Torokhti, with the projections formed."""
    B_plus, D_plus = np.linalg.pinv(B, rcond=rcond), np.linalg.pinv(D, rcond=rcond)
    U, s, Vt = np.linalg.svd(B @ B_plus @ A @ D_plus @ D, full_matrices=False)
    return B_plus @ (U[:, :rank] * s[:rank]) @ Vt[:rank] @ D_plus


def natural_mistake(A, B, D, rank):
    """Return the truncation of B^+ A D^+."""
    U, s, Vt = np.linalg.svd(np.linalg.pinv(B) @ A @ np.linalg.pinv(D), full_matrices=False)
    return (U[:, :rank] * s[:rank]) @ Vt[:rank]


def problem(rng, m, n, p, q, dtype="float64", ranks=None):
    """Return (A, B, D), B and D of full rank or of ``ranks``."""

    def draw(*shape):
        x = rng.standard_normal(shape)
        return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)

    if ranks is None:
        return draw(m, n), draw(m, p), draw(q, n)
    return draw(m, n), draw(m, ranks[0]) @ draw(ranks[0], p), draw(q, ranks[1]) @ draw(ranks[1], n)


SHAPES = [(60, 50, 12, 9), (40, 30, 40, 30), (20, 25, 30, 35), (9, 40, 12, 5), (50, 1, 6, 3), (1, 30, 3, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_it_is_the_formula_with_explicit_projections(shape, dtype):
    A, B, D = problem(np.random.default_rng(0), *shape, dtype)
    for rank in {1, 3, min(shape[2:])}:
        F = generalized_low_rank(A, B, D, min(rank, *shape[2:]))
        expected = by_projections(A, B, D, rank)
        np.testing.assert_allclose(F.toarray(), expected, atol=1e-11 * np.linalg.norm(expected))
        true = np.linalg.norm(A - B @ expected @ D)
        assert true <= F.error * (1 + 1e-14) + 1e-12
        assert F.error <= true + 1e-10 * np.linalg.norm(A)
        assert F.rank <= rank


@pytest.mark.parametrize("ranks", [(5, 4), (1, 6), (6, 1)])
def test_deficient_factors_get_the_minimiser_of_least_norm(ranks):
    A, B, D = problem(np.random.default_rng(1), 40, 30, 12, 9, ranks=ranks)
    F = generalized_low_rank(A, B, D, 3)
    assert (F.rank_B, F.rank_D) == ranks
    C = F.toarray()
    np.testing.assert_allclose(C, by_projections(A, B, D, 3), atol=1e-10 * np.linalg.norm(C))
    # nothing of C lies where B or D do not see it
    np.testing.assert_allclose(np.linalg.pinv(B, rcond=1e-10) @ B @ C, C, atol=1e-11 * np.linalg.norm(C))
    np.testing.assert_allclose(C @ D @ np.linalg.pinv(D, rcond=1e-10), C, atol=1e-11 * np.linalg.norm(C))


def test_truncating_the_pseudo_inverse_solution_is_measurably_worse():
    excess = []
    for seed in range(10):
        A, B, D = problem(np.random.default_rng(seed), 60, 50, 20, 15)
        B = B * np.geomspace(1, 100, 20)
        best = generalized_low_rank(A, B, D, 5)
        mistake = natural_mistake(A, B, D, 5)
        excess.append(np.linalg.norm(A - B @ mistake @ D) / best.error - 1)
    assert min(excess) > 1e-3


def test_no_other_matrix_of_the_rank_does_better():
    rng = np.random.default_rng(2)
    A, B, D = problem(rng, 30, 25, 8, 6)
    F = generalized_low_rank(A, B, D, 2)
    for start in range(10):
        # alternating least squares, from near and from far
        right = rng.standard_normal((2, 6)) if start else F.right
        for _ in range(60):
            left = np.linalg.pinv(B) @ A @ np.linalg.pinv(right @ D)
            right = np.linalg.pinv(B @ left) @ A @ np.linalg.pinv(D)
            assert np.linalg.norm(A - B @ left @ right @ D) >= F.error * (1 - 1e-12)


def test_between_identities_it_is_the_truncated_svd():
    A = with_spectrum(np.random.default_rng(3), 30, 20, 1 / np.arange(1, 21))
    F = generalized_low_rank(A, np.eye(30), np.eye(20), 6)
    np.testing.assert_allclose(F.error, np.linalg.norm(1 / np.arange(7, 21)), rtol=1e-12)
    np.testing.assert_allclose(F.error_of(A), F.error, rtol=1e-12)


@pytest.mark.parametrize("condition", [1e3, 1e7, 1e11])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_error_is_that_of_the_factors_returned_whatever_the_condition(condition, dtype):
    rng = np.random.default_rng(4)
    B = with_spectrum(rng, 50, 12, np.geomspace(1, 1 / condition, 12), dtype)
    D = with_spectrum(rng, 10, 40, np.geomspace(1, 1 / condition, 10), dtype)
    exact = with_spectrum(rng, 12, 10, [1.0, 0.5])
    A = (B.astype("float64") @ exact @ D.astype("float64")).astype(dtype)
    F = generalized_low_rank(A, B, D, 2)
    wide = [np.asarray(x, dtype=np.longdouble) for x in (A, B, F.left, F.right, D)]
    true = float(np.linalg.norm((wide[0] - wide[1] @ wide[2] @ wide[3] @ wide[4]).astype("float64")))
    assert true <= F.error
    # the part of C that is inverted is magnified by at most 1 / cutoff
    assert F.error <= 100 * np.linalg.norm(A)


def test_rank_decisions_follow_rtol_as_in_pinv():
    rng = np.random.default_rng(5)
    A = rng.standard_normal((30, 20))
    B = with_spectrum(rng, 30, 6, [1, 1, 1, 1e-3, 1e-6, 1e-9])
    for rtol, rank in ((1e-2, 3), (1e-4, 4), (1e-8, 5), (None, 6)):
        assert generalized_low_rank(A, B, np.eye(20), 6, rtol=rtol).rank_B == rank


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_factors_whose_full_rank_is_certain_need_no_svd_of_their_own(dtype, monkeypatch):
    asked = []

    def counted(xp, M, cutoff):
        asked.append(M.shape)
        return certain_svd(xp, M, cutoff)

    monkeypatch.setattr(_generalized_low_rank, "certain_svd", counted)
    for m, n, p, q in [*SHAPES, (40, 40, 40, 40)]:
        A, B, D = problem(np.random.default_rng(8), m, n, p, q, dtype)
        if min(p, q) > 4:
            generalized_low_rank(A, B, D, 2)
    assert asked == []
    A, B, D = problem(np.random.default_rng(9), 40, 30, 40, 30, dtype)
    F = generalized_low_rank(A, B, D, 3)
    B[:, -1] = B[:, 0]
    G = generalized_low_rank(A, B, D, 3)
    assert asked == [(40, 40)]
    assert (F.rank_B, G.rank_B, G.rank_D) == (40, 39, 30)


def test_zero_matrices_give_zero():
    A, B, D = problem(np.random.default_rng(6), 12, 10, 5, 4)
    for arguments in ((A, 0 * B, D), (A, B, 0 * D), (0 * A, B, D)):
        F = generalized_low_rank(*arguments, 2)
        assert np.all(F.toarray() == 0)
        assert abs(F.error - np.linalg.norm(arguments[0])) <= 1e-12
    assert generalized_low_rank(A, 0 * B, D, 2).rank_B == 0


@pytest.mark.parametrize("scales", [(1e150, 1e-90, 1e80), (1e-150, 1e120, 1e-140), (1e-300, 1e-150, 1e-120)])
def test_extreme_scales_of_each_factor_lose_no_digits(scales):
    A, B, D = problem(np.random.default_rng(7), 20, 15, 6, 5)
    a, b, d = scales
    F, G = generalized_low_rank(A, B, D, 2), generalized_low_rank(A * a, B * b, D * d, 2)
    np.testing.assert_allclose(G.error / a, F.error, rtol=1e-12)
    np.testing.assert_allclose(G.toarray() / (a / b / d), F.toarray(), rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rank": 5}, ValueError, "rank must be in .*4, got 5"),
        ({"rank": 0}, ValueError, "rank must be in"),
        ({"rank": 1.5}, TypeError, "rank must be an int"),
        ({"rtol": -1.0}, ValueError, "rtol must be finite and not negative"),
        ({"B": np.ones((7, 5))}, ValueError, r"A \(8, 6\) must have the rows of B and the columns of D"),
        ({"D": np.ones((4, 7))}, ValueError, "the columns of D"),
        ({"B": np.full((8, 5), np.nan)}, ValueError, "B must be finite"),
        ({"D": np.ones(6)}, ValueError, "D must have at least 2 dimensions"),
        ({"A": np.ones((8, 6)) * 1e200, "B": np.ones((8, 5)) * 1e-200}, OverflowError, "C overflows"),
        ({"A": np.ones((8, 6)) * 1e308}, OverflowError, "A must have a Frobenius norm below"),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    arguments = {"A": np.ones((8, 6)), "B": np.ones((8, 5)), "D": np.ones((4, 6)), "rank": 2, **change}
    with pytest.raises(error, match=message):
        generalized_low_rank(**arguments)
