"""Column-row products: exact where they should be, the variance of the article, brute force on small sums."""

import tracemalloc
import warnings
from itertools import combinations

import numpy as np
import pytest

from lina._core.errors import AccuracyWarning
from lina.linalg import cr_matmul
from lina.linalg._cr_matmul import inner
from lina.linalg._cr_matmul.terms import Terms

EPS = np.finfo(float).eps
RULES = [
    {"select": "topnorm"},
    {"select": "topnorm", "weights": "optimal"},
    {"select": "topnorm", "weights": "full"},
    {"select": "sample"},
    {"select": "sample", "replace": False},
    {"select": "sample", "weights": "optimal"},
    {"select": "sample", "weights": "full"},
    {"select": "greedy"},
    {"select": "greedy", "tuple_size": 2},
    {"select": "omp"},
    {"select": "omp", "weights": "none"},
]
DATA = ["gaussian", "heavy", "relu", "square", "wide"]


def factors(kind, seed=0, dtype="float64"):
    """Return X (m, l) and Y (l, n)."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        x = rng.standard_normal(shape)
        return x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x

    m, terms, n = (30, 90, 25) if kind == "wide" else (150, 40, 120)
    X, Y = draw(m, terms), draw(terms, n)
    if kind == "heavy":
        X = X * (rng.pareto(1.5, terms) + 0.1)
    elif kind == "relu":
        X = np.maximum(X.real, 0)
    elif kind == "square":
        X = draw(m, 8) @ draw(8, terms) + 0.1 * draw(m, terms)
        Y = X.conj().T.copy()
    return X.astype(dtype), Y.astype(dtype)


def quiet(*arguments, **options):
    """Return the approximation without the warning that sampling may give."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return cr_matmul(*arguments, **options)


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("options", RULES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_certificates_are_true_and_sharp_for_every_rule(kind, options, dtype):
    for seed in range(2):
        X, Y = factors(kind, seed, dtype)
        exact = X.astype(np.complex128) @ Y.astype(np.complex128)
        for r in (2, 13, X.shape[1]):
            F = quiet(X, Y, r, rng=seed, **options)
            true = np.linalg.norm(exact - F.left.astype(np.complex128) @ F.right)
            sizes = np.linalg.norm(X, axis=0) * np.linalg.norm(Y, axis=1)
            floor = 10 * np.finfo(dtype).eps * sizes.sum()
            assert true <= F.error <= 1.01 * true + floor
            assert F.norm_A == pytest.approx(np.linalg.norm(exact), rel=1e-2 if dtype == "complex64" else 1e-9)
            loose = quiet(X, Y, r, rng=seed, measure=False, **options)
            np.testing.assert_array_equal(loose.indices, F.indices)
            assert loose.error >= true
            assert loose.norm_A is None


@pytest.mark.parametrize("options", RULES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_factors_are_columns_and_rows_with_the_weights_between(options, dtype):
    X, Y = factors("relu" if dtype == "float64" else "heavy", 1, dtype)
    F = quiet(X, Y, 12, rng=0, **options)
    C, R = X[:, F.indices], Y[F.indices]
    middle = F.weights if F.weights.ndim == 2 else np.diag(F.weights)
    np.testing.assert_allclose(F.matmul(), C @ middle @ R, atol=1e-10 * np.linalg.norm(X) * np.linalg.norm(Y))
    np.testing.assert_allclose(F.left @ F.right, F.matmul())
    if F.weights.ndim == 1:
        np.testing.assert_allclose(np.linalg.norm(F.left, axis=0), np.linalg.norm(C, axis=0) * np.abs(F.weights) ** 0.5)
        np.testing.assert_allclose(
            np.linalg.norm(F.right, axis=1), np.linalg.norm(R, axis=1) * np.abs(F.weights) ** 0.5
        )


def test_orthogonal_terms_are_done_exactly():
    rng = np.random.default_rng(2)
    size = np.array([3.0, 0.5, 7.0, 1.0, 2.0])
    X, Y = np.linalg.qr(rng.standard_normal((20, 5)))[0] * size, rng.standard_normal((5, 15))
    Y = Y / np.linalg.norm(Y, axis=1)[:, None]
    for select in ("topnorm", "greedy", "omp"):
        F = cr_matmul(X, Y, 3, select=select)
        assert F.indices.tolist() == [2, 0, 4]
        np.testing.assert_allclose(F.weights, np.ones(3))
        assert F.error == pytest.approx(np.sqrt(0.5**2 + 1))
    best = min(np.linalg.norm(X @ Y - X[:, list(S)] @ Y[list(S)]) for S in combinations(range(5), 3))
    assert cr_matmul(X, Y, 3).error == pytest.approx(best)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_takes_what_enumeration_would_take(seed):
    X, Y = factors("relu", seed)
    X, Y = X[:, :9], Y[:9]
    M = X @ Y

    def error(S):
        return np.linalg.norm(M - X[:, S] @ Y[S])

    for size, r in ((1, 4), (2, 4), (2, 5), (3, 7)):
        expected = []
        while len(expected) < r:
            free = [i for i in range(9) if i not in expected]
            step = min(size, r - len(expected))
            expected += min(combinations(free, step), key=lambda T: error([*expected, *T]))
        assert cr_matmul(X, Y, r, select="greedy", tuple_size=size).indices.tolist() == expected


@pytest.mark.parametrize("select", ["greedy", "omp"])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_of_very_many_terms_only_the_inner_products_of_likely_ones_are_computed(select, dtype, monkeypatch):
    rng = np.random.default_rng(17)
    X, Y = factors("relu", 17, dtype)
    X = np.concatenate([X[:20], 0.3 * rng.standard_normal((20, 2960))], axis=1)
    Y = np.concatenate([Y[:, :15], 0.3 * rng.standard_normal((2960, 15))], axis=0)
    asked = []

    def counted(terms, indices):
        asked.append(len(indices))
        return gram_rows(terms, indices)

    gram_rows = Terms.gram_rows
    monkeypatch.setattr(Terms, "gram_rows", counted)
    monkeypatch.setattr(Terms, "gram", property(lambda terms: pytest.fail("all inner products were asked for")))
    F = cr_matmul(X, Y, 12, select=select, weights="none")
    assert max(asked) <= 65
    assert len(asked) <= 12
    monkeypatch.undo()
    monkeypatch.setattr(inner, "_SMALL", 3000)
    monkeypatch.setattr(inner, "_SLOWER", 3000)
    np.testing.assert_array_equal(cr_matmul(X, Y, 12, select=select, weights="none").indices, F.indices)


def test_memory_grows_with_the_number_of_terms_and_not_with_its_square():
    rng = np.random.default_rng(18)
    X, Y = rng.standard_normal((20, 6000)), rng.standard_normal((6000, 25))
    for select in ("greedy", "omp"):
        tracemalloc.start()
        cr_matmul(X, Y, 10, select=select)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * 64 * 6000 * 8 + 4 * (X.nbytes + Y.nbytes)  # all inner products are 288 MB


def test_pairs_find_terms_that_help_only_together():
    V = np.zeros((8, 6))
    V[0, :2] = 10, -10
    V[1, :2] = 1
    V[range(2, 6), range(2, 6)] = 0.5
    X, Y = V, np.eye(6)[:, :1] * 0 + 1  # the terms are the columns of V
    single, pair = (cr_matmul(X, Y, 2, select="greedy", tuple_size=size) for size in (1, 2))
    assert sorted(pair.indices) == [0, 1]
    assert pair.error == pytest.approx(1.0)
    assert single.error > 1.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_matching_pursuit_takes_what_the_textbook_takes(seed, dtype):
    X, Y = factors("square", seed, dtype)
    M = (X @ Y).ravel()
    V = np.stack([np.outer(X[:, i], Y[i]).ravel() for i in range(40)], axis=1)
    chosen, rest = [], M
    for _ in range(6):
        score = np.abs(V.conj().T @ rest) / np.linalg.norm(V, axis=0)
        score[chosen] = -1
        chosen.append(int(np.argmax(score)))
        weights = np.linalg.lstsq(V[:, chosen], M, rcond=None)[0]
        rest = M - V[:, chosen] @ weights
    F = cr_matmul(X, Y, 6, select="omp")
    assert F.indices.tolist() == chosen
    np.testing.assert_allclose(F.weights, weights, rtol=1e-7)
    assert F.error == pytest.approx(np.linalg.norm(rest))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_optimal_weights_and_full_cores_are_those_of_the_textbook(dtype):
    X, Y = factors("heavy", 3, dtype)
    F, G = (cr_matmul(X, Y, 10, weights=weights) for weights in ("optimal", "full"))
    C, R = X[:, F.indices], Y[F.indices]
    V = np.stack([np.outer(C[:, i], R[i]).ravel() for i in range(10)], axis=1)
    np.testing.assert_allclose(F.weights, np.linalg.lstsq(V, (X @ Y).ravel(), rcond=None)[0], rtol=1e-8)
    np.testing.assert_allclose(G.weights, np.linalg.pinv(C) @ X @ Y @ np.linalg.pinv(R), atol=1e-11)
    assert G.error < F.error < cr_matmul(X, Y, 10).error


def test_large_columns_may_meet_small_rows():
    X, Y = factors("square", 4)
    size = np.geomspace(1e-12, 1e12, 40)
    for options in RULES:
        F, G = quiet(X, Y, 12, rng=0, **options), quiet(X * size, Y / size[:, None], 12, rng=0, **options)
        np.testing.assert_array_equal(G.indices, F.indices)
        np.testing.assert_allclose(G.matmul(), F.matmul(), atol=1e-8 * F.norm_A)
        assert G.error == pytest.approx(F.error, rel=1e-7)


@pytest.mark.parametrize("weights", ["optimal", "full"])
def test_repeated_and_dependent_terms_share_their_weight(weights):
    rng = np.random.default_rng(5)
    X, Y = np.repeat(rng.standard_normal((20, 4)), 3, axis=1), np.repeat(rng.standard_normal((4, 15)), 3, axis=0)
    F = cr_matmul(X, Y, 12, weights=weights)
    assert F.error < 1e-12 * F.norm_A
    F = cr_matmul(X, Y, 8, select="omp", weights=weights)
    assert F.error < 1e-12 * F.norm_A
    assert len(set(F.indices.tolist())) == 8
    assert len(set((F.indices[:4] // 3).tolist())) == 4


@pytest.mark.parametrize("kind", ["heavy", "square"])
@pytest.mark.parametrize(("replace", "tolerance"), [(True, 0.04), (False, 0.04)])
def test_the_predicted_error_is_that_of_many_draws(kind, replace, tolerance):
    X, Y = factors(kind, 6)
    found = [quiet(X, Y, 9, select="sample", replace=replace, rng=seed) for seed in range(1500)]
    mean_square = np.mean([F.error**2 for F in found])
    assert found[0].predicted_error == pytest.approx(np.sqrt(mean_square), rel=tolerance)
    if replace:
        sizes = np.linalg.norm(X, axis=0) * np.linalg.norm(Y, axis=1)
        variance = (sizes.sum() ** 2 - np.linalg.norm(X @ Y) ** 2) / 9
        assert found[0].predicted_error == pytest.approx(np.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize("replace", [True, False])
def test_sampling_is_unbiased(replace):
    X, Y = factors("heavy", 7)
    draws = [quiet(X, Y, 9, select="sample", replace=replace, measure=False, rng=seed) for seed in range(2000)]
    totals = np.zeros(40)
    for F in draws:
        np.add.at(totals, F.indices, F.weights)
    average = X @ ((totals / len(draws))[:, None] * Y)
    expected = quiet(X, Y, 9, select="sample", replace=replace).predicted_error / np.sqrt(len(draws))
    assert np.linalg.norm(average - X @ Y) < 2 * expected


def test_without_replacement_no_term_comes_twice_and_the_largest_are_certain():
    X, Y = factors("gaussian", 8)
    X = X * np.r_[np.full(3, 1e3), np.ones(37)]
    for seed in range(200):
        F = cr_matmul(X, Y, 10, select="sample", replace=False, rng=seed)
        assert len(set(F.indices.tolist())) == 10
        assert F.indices[:3].tolist() == [0, 1, 2]
        np.testing.assert_array_equal(F.weights[:3], 1.0)
        assert F.predicted_error < 0.1 * quiet(X, Y, 10, select="sample", rng=seed).predicted_error
    F = cr_matmul(X, Y, 40, select="sample", replace=False, rng=0)
    assert F.predicted_error == 0.0
    assert F.error < 1e-12 * F.norm_A


def test_a_sampling_worse_than_zero_is_warned_of():
    X, Y = factors("gaussian", 9)
    with pytest.warns(AccuracyWarning, match=r"predicted error of 4 sampled terms is \d\.\d+ times the norm") as record:
        F = cr_matmul(X, Y, 4, select="sample", rng=0)
    assert record[0].filename == __file__
    assert F.predicted_error > F.norm_A
    with pytest.warns(AccuracyWarning):
        cr_matmul(X, Y, 4, select="sample", measure=False, rng=0)
    sizes = np.linalg.norm(X, axis=0) * np.linalg.norm(Y, axis=1)
    enough = int(np.ceil((sizes.sum() / F.norm_A) ** 2 - 1))
    assert 4 < enough <= 40
    cr_matmul(X, Y, enough, select="sample", rng=0)
    with pytest.warns(AccuracyWarning):
        cr_matmul(X, Y, enough - 1, select="sample", rng=0)
    assert cr_matmul(X, Y, 4, select="sample", weights="optimal", rng=0).predicted_error is None


def test_choosing_commutes_with_elementwise_functions():
    rng = np.random.default_rng(10)
    X, W, Y = rng.standard_normal((60, 20)), rng.standard_normal((20, 80)), rng.standard_normal((80, 50))
    for phi in (lambda x: np.maximum(x, 0), np.tanh, np.exp):
        F = cr_matmul(phi(X @ W), Y, 30, select="omp")
        S = F.indices
        np.testing.assert_array_equal(phi((X @ W)[:, S]), phi(X @ W)[:, S])
        np.testing.assert_allclose(phi(X @ W[:, S]), phi(X @ W)[:, S], rtol=1e-12)
        np.testing.assert_allclose(phi(X @ W[:, S]) * F.weights @ Y[S], F.matmul(), atol=1e-11 * F.norm_A)


def test_a_small_error_keeps_its_digits():
    X, Y = factors("gaussian", 11)
    X = X * np.r_[np.ones(30), np.full(10, 1e-11)]
    F = cr_matmul(X, Y, 30)
    true = np.linalg.norm(X[:, 30:] @ Y[30:])
    assert F.error == pytest.approx(true, rel=1e-3)
    assert cr_matmul(X, Y, 30, weights="full").error <= 1.001 * true


@pytest.mark.parametrize("options", RULES, ids=str)
def test_zero_matrices_and_zero_terms_are_no_trouble(options):
    F = cr_matmul(np.zeros((6, 5)), np.zeros((5, 4)), 3, rng=0, **options)
    assert (F.error, F.norm_A) == (0.0, 0.0)
    assert not F.matmul().any()
    X, Y = factors("square", 12)
    X = X * (np.arange(40) < 10)
    F = quiet(X, Y, 20, rng=0, **options)
    assert np.linalg.norm(X @ Y - F.matmul()) <= F.error
    if options["select"] != "sample":
        assert set(range(10)) <= set(F.indices.tolist())
        assert len(set(F.indices.tolist())) == 20


def test_terms_that_cancel_leave_a_product_of_zero():
    X, Y = np.array([[1.0, -1.0], [2.0, -2.0]]), np.ones((2, 3))
    with pytest.warns(AccuracyWarning, match="inf times the norm|e\\+"):
        F = cr_matmul(X, Y, 1, select="sample", rng=0)
    assert F.error == pytest.approx(2 * np.sqrt(15))
    assert cr_matmul(X, Y, 2, select="greedy", tuple_size=2).error < 1e-14


@pytest.mark.parametrize("shape", [(1, 5, 1), (1, 5, 7), (6, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize("options", [o for o in RULES if "tuple_size" not in o], ids=str)
def test_thin_shapes_work(shape, options):
    m, terms, n = shape
    X, Y = np.abs(factors("gaussian", 13)[0][:m, :terms]), np.abs(factors("gaussian", 13)[1][:terms, :n])
    for r in {1, terms}:
        F = quiet(X, Y, r, rng=0, **options)
        assert F.shape == (m, n)
        assert np.linalg.norm(X @ Y - F.matmul()) <= F.error


@pytest.mark.parametrize("scales", [(1e-150, 1.0), (1e150, 1e-150), (1e-100, 1e-120)])
def test_scales_of_both_factors_cost_no_digits(scales):
    X, Y = factors("relu", 14)
    for options in RULES:
        F = quiet(X, Y, 12, rng=0, **options)
        G = quiet(X * scales[0], Y * scales[1], 12, rng=0, **options)
        np.testing.assert_array_equal(G.indices, F.indices)
        assert G.error / scales[0] / scales[1] == pytest.approx(F.error, rel=1e-9, abs=1e-13 * F.norm_A)


def test_a_product_beyond_the_range_is_an_error():
    X, Y = factors("gaussian", 15)
    with pytest.raises(OverflowError, match="X and Y must not be so large that X @ Y overflows float64"):
        cr_matmul(X * 1e200, Y * 1e150, 5)


def test_factors_of_two_precisions_give_the_wider():
    X, Y = factors("gaussian", 16)
    F = cr_matmul(X.astype("float32"), Y, 5)
    assert F.matmul().dtype == np.float64
    assert np.linalg.norm(X.astype("float32") @ Y - F.matmul()) <= F.error


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"Y": np.ones((3, 2))}, ValueError, r"X must have as many columns as Y has rows, got shapes \(5, 4\) and"),
        ({"Y": np.full((4, 2), np.nan)}, ValueError, "Y must be finite"),
        ({"r": 5}, ValueError, r"r must be in 1\.\.l = 1\.\.4"),
        ({"r": 0}, ValueError, "r must be in 1"),
        ({"r": 2.0}, TypeError, "r must be an int, got float"),
        ({"select": "best"}, ValueError, "select must be one of"),
        ({"weights": "best"}, ValueError, "weights must be one of"),
        ({"weights": "importance"}, ValueError, "weights must not be 'importance' with select='topnorm'"),
        ({"tuple_size": 2}, ValueError, "tuple_size must be 1 with select='topnorm', got 2"),
        ({"select": "greedy", "tuple_size": 3}, ValueError, r"tuple_size must be in 1\.\.r = 1\.\.2"),
        ({"replace": False}, ValueError, "replace must be True with select='topnorm'"),
        ({"rng": "dice"}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    arguments = {"X": np.ones((5, 4)), "Y": np.ones((4, 2)), "r": 2} | arguments
    with pytest.raises(error, match=message):
        cr_matmul(**arguments)


def test_too_many_tuples_are_refused():
    X, Y = np.ones((2, 300)), np.ones((300, 2))
    with pytest.raises(ValueError, match="tuple_size must leave at most 2000000 tuples to look at, 3 of l = 300"):
        cr_matmul(X, Y, 10, select="greedy", tuple_size=3)
