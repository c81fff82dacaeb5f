"""Herding and quantisation by the mean discrepancy: values, certificates, all subsets, kernels of every kind."""

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lina._core.certificates import Status
from lina.simplex import frank_wolfe_gap, kernel_herding, mmd_quantization
from tests.reference.simplex_problems import exhaustive_qp, mmd_squared

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 3))


def gaussian(X, bandwidth=None):
    h2 = X.var(axis=0).sum() if bandwidth is None else bandwidth**2
    return np.exp(-cdist(X, X, "sqeuclidean") / (2 * h2))


K, UNIFORM = gaussian(X), np.full(300, 1 / 300)


@pytest.mark.parametrize("k", [1, 5, 30])
def test_the_value_and_the_gap_are_those_of_their_definitions(k):
    for found in (mmd_quantization(X, k), kernel_herding(X, k)):
        true = mmd_squared(K, found.x, UNIFORM)
        assert found.mmd**2 == pytest.approx(true, rel=1e-9, abs=1e-14)
        assert found.value == pytest.approx(true / 2, rel=1e-9, abs=1e-14)
        gap = frank_wolfe_gap(found.x, K @ (found.x - UNIFORM))
        assert gap == pytest.approx(found.gap, rel=1e-8, abs=1e-13)
        assert found.value <= found.gap  # the weights of all points have the value 0
        assert found.x.sum() == pytest.approx(1)


def test_herding_is_greedy_point_by_point():
    order, counts = [], np.zeros(300)
    for t in range(12):
        g = K @ (counts / max(t, 1)) - K @ UNIFORM if t else 0.5 * np.diag(K) - K @ UNIFORM
        order.append(int(np.argmin(g)))
        counts[order[-1]] += 1
    found = kernel_herding(X, 12)
    assert found.order.tolist() == order
    np.testing.assert_array_equal(found.x, counts / 12)
    assert kernel_herding(X, 5).order.tolist() == order[:5]


def test_quantisation_beats_herding_and_herding_beats_a_random_sample():
    chance = [
        mmd_squared(K, np.bincount(RNG.choice(300, 20, replace=False), minlength=300) / 20, UNIFORM) for _ in range(20)
    ]
    optimal, herded = mmd_quantization(X, 20), kernel_herding(X, 20)
    assert optimal.mmd < herded.mmd < np.sqrt(np.median(chance)) / 2
    assert optimal.status is Status.MAX_RANK
    assert len(optimal.support) == 20
    assert set(optimal.order.tolist()) == set(optimal.support.tolist())


def test_the_weights_are_the_best_for_the_points_chosen_and_no_subset_is_much_better():
    points = RNG.standard_normal((9, 2))
    found = mmd_quantization(points, 3)
    G, w = gaussian(points), np.full(9, 1 / 9)
    some = found.support
    x, _ = exhaustive_qp(G[np.ix_(some, some)], -(G @ w)[some])
    np.testing.assert_allclose(found.x[some], x, atol=1e-6)
    values = []
    for subset in combinations(range(9), 3):
        some = list(subset)
        value = exhaustive_qp(G[np.ix_(some, some)], -(G @ w)[some])[1] + 0.5 * w @ G @ w
        values.append(value)
    assert min(values) - 1e-9 <= found.value <= 3 * min(values)


def test_a_kernel_may_be_a_matrix_or_a_function():
    base = mmd_quantization(X, 8)
    for found in (
        mmd_quantization(K, 8, kernel="precomputed"),
        mmd_quantization(X, 8, kernel=lambda a, b: np.exp(-cdist(a, b, "sqeuclidean") / (2 * X.var(axis=0).sum()))),
        mmd_quantization(X + 1e6, 8),
        mmd_quantization(X * 1e-150, 8),
        mmd_quantization(X, 8, bandwidth=float(np.sqrt(X.var(axis=0).sum()))),
    ):
        assert found.order.tolist() == base.order.tolist()
        assert found.mmd == pytest.approx(base.mmd, rel=1e-6)
    scaled = mmd_quantization(K * 1e200, 8, kernel="precomputed")
    assert scaled.mmd == pytest.approx(base.mmd * 1e100, rel=1e-9)


def test_a_polynomial_kernel_of_finite_rank_is_met_exactly_by_few_points():
    found = mmd_quantization(X, 100, kernel=lambda a, b: (a @ b.T + 1) ** 2, rtol=1e-10)
    assert found.status is Status.CONVERGED
    assert len(found.support) <= 15
    moments = X[found.support].T @ (found.x[found.support, None] * X[found.support])
    np.testing.assert_allclose(moments, X.T @ X / 300, atol=1e-3)


def test_weights_of_the_target_are_followed():
    w = np.zeros(300)
    w[[3, 70, 150]] = [2.0, 1.0, 1.0]
    target = w / w.sum()
    for found in (mmd_quantization(X, 10, weights=w), kernel_herding(X, 40, weights=w)):
        assert found.mmd**2 == pytest.approx(mmd_squared(K, found.x, target), rel=1e-6, abs=1e-14)
        assert found.mmd < 0.04 < np.sqrt(mmd_squared(K, UNIFORM, target)) / 3


def test_one_point_repeated_points_and_all_points():
    assert mmd_quantization(np.ones((1, 2)), 1).mmd == 0.0
    same = mmd_quantization(np.ones((6, 2)), 3)
    assert (same.mmd, same.status) == (0.0, Status.CONVERGED)
    assert mmd_quantization(X[:20], 20).mmd < 1e-3
    assert kernel_herding(X[:5], 50).mmd < 0.05


def test_single_precision_comes_back_in_it():
    found = mmd_quantization(X.astype("f"), 10)
    assert found.x.dtype == np.float32
    assert found.mmd == pytest.approx(mmd_quantization(X, 10).mmd, rel=1e-4)


def test_a_callback_ends_the_choice():
    found = mmd_quantization(X, 30, callback=lambda step: step.support >= 4, history=True)
    assert found.status is Status.STOPPED
    assert [s.support for s in found.history] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mmd_quantization(X, 0), ValueError, "k must be in 1..n = 1..300, got 0"),
        (lambda: mmd_quantization(X, 301), ValueError, "k must be in"),
        (lambda: kernel_herding(X, 2.5), TypeError, "k must be an int"),
        (
            lambda: kernel_herding(X, 2, kernel="rbf"),
            ValueError,
            "kernel must be 'gaussian', 'precomputed' or callable",
        ),
        (lambda: kernel_herding(X, 2, kernel="precomputed"), ValueError, "X must be square"),
        (lambda: kernel_herding(np.triu(np.ones((3, 3))), 2, kernel="precomputed"), ValueError, "X must be symmetric"),
        (
            lambda: kernel_herding(X, 2, kernel=lambda a, b: np.ones(3)),
            ValueError,
            "kernel must return a matrix of shape",
        ),
        (lambda: kernel_herding(X, 2, bandwidth=0.0), ValueError, "bandwidth must be positive"),
        (lambda: kernel_herding(X, 2, kernel="precomputed", bandwidth=1.0), ValueError, "bandwidth must be None"),
        (
            lambda: kernel_herding(X, 2, weights=np.ones(3)),
            ValueError,
            "weights must have one entry per point, 300, got 3",
        ),
        (lambda: kernel_herding(X, 2, weights=-np.ones(300)), ValueError, "weights must be non-negative"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
