"""Herding and quantisation by the mean discrepancy: values, certificates, all subsets, kernels of every kind."""

from itertools import combinations

import array_api_compat.numpy as np_namespace
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lina._core.certificates import Status
from lina.simplex import frank_wolfe_gap, kernel_herding, mmd_quantization
from lina.simplex._growing_face import GrowingFace
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


def test_herding_follows_the_recursion_of_chen_welling_and_smola():
    order, counts = [], np.zeros(300)
    mean = K @ UNIFORM
    w = mean  # w_0, then w_t = w_(t-1) + E phi - phi(x_t), x_(t+1) the argmax of w_t
    for _ in range(12):
        order.append(int(np.argmax(w)))
        counts[order[-1]] += 1
        w = w + mean - K[order[-1]]
    found = kernel_herding(X, 12)
    assert found.order.tolist() == order
    np.testing.assert_array_equal(found.x, counts / 12)
    assert kernel_herding(X, 5).order.tolist() == order[:5]


def test_each_herded_point_is_the_best_addition_to_those_before_also_for_kernels_of_any_diagonal():
    rng = np.random.default_rng(5)
    points = rng.standard_normal((60, 2))
    gram = (1 + points @ points.T) ** 2
    order = kernel_herding(gram, 8, kernel="precomputed").order
    for t in range(8):
        discrepancies = []
        for i in range(60):
            x = np.bincount([*order[:t], i], minlength=60) / (t + 1)
            discrepancies.append(mmd_squared(gram, x, np.full(60, 1 / 60)))
        assert discrepancies[order[t]] == pytest.approx(min(discrepancies), rel=1e-9)


def test_five_herded_points_of_a_normal_cloud_are_as_near_as_the_published_rule_makes_them():
    cloud = np.random.default_rng(0).standard_normal((1000, 2))
    assert kernel_herding(cloud, 5).mmd < 0.1  # with the weights of Frank-Wolfe steps, 1 / t, it is 0.19


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


def test_points_far_apart_for_their_bandwidth_are_certified_as_what_they_are():
    uniform = np.full(300, 1 / 300)
    for offset in (0.0, 1e7):
        found = mmd_quantization(X + offset, 10, bandwidth=1e-8)  # the kernel matrix is that of the identity
        assert found.value == pytest.approx(0.5 * np.sum((found.x - uniform) ** 2), rel=1e-9)
        assert found.gap == pytest.approx(frank_wolfe_gap(found.x, found.x - uniform), rel=1e-9)
    assert kernel_herding(X, 10, bandwidth=1e-8).mmd ** 2 == pytest.approx(0.1 - 1 / 300, rel=1e-9)


@pytest.mark.parametrize("features", [3, 40])
def test_clusters_far_apart_keep_the_distances_within_them(features):
    cloud = np.random.default_rng(7).standard_normal((60, features))
    far = np.zeros(features)
    far[0] = 2.0**24
    cloud = np.round(cloud * 2**20) / 2**20  # the sums are exact
    pair = np.concatenate([cloud, cloud + far])
    width = float(np.sqrt(features))
    within, uniform = gaussian(cloud, width), np.full(120, 1 / 120)
    exact = np.kron(np.eye(2), within)
    found = mmd_quantization(pair, 20, bandwidth=width)
    assert found.value == pytest.approx(mmd_squared(exact, found.x, uniform) / 2, rel=1e-9)
    assert found.gap == pytest.approx(frank_wolfe_gap(found.x, exact @ (found.x - uniform)), rel=1e-9)


def test_distances_by_products_and_by_differences_agree_to_the_rounding_that_is_certified(monkeypatch):
    import lina.simplex._kernel_herding as module

    points = np.random.default_rng(8).standard_normal((80, 30))
    by_products = module._Gaussian(np_namespace, points, None)
    monkeypatch.setattr(module, "_FEW_FEATURES", 30)
    by_differences = module._Gaussian(np_namespace, points, None)
    assert by_products.by_products
    assert not by_differences.by_products
    every = np.arange(80)
    off = np.abs(by_products(every) - by_differences(every)).max()
    assert 0 < off < by_products.noise + by_differences.noise
    exact = gaussian(points)
    assert np.abs(by_differences(every) - exact).max() < 4 * by_differences.noise


def test_as_many_points_as_there_are_take_one_factor_and_are_all_exact(monkeypatch):
    factorise, sizes = GrowingFace._factorise, []
    monkeypatch.setattr(
        GrowingFace, "_factorise", lambda self, chosen: sizes.append(chosen.size) or factorise(self, chosen)
    )
    found = mmd_quantization(X, 300, bandwidth=0.3, rtol=1e-12)
    assert sizes == [2]
    assert found.status is Status.CONVERGED
    np.testing.assert_allclose(found.x, 1 / 300, rtol=1e-9)  # of a definite kernel no other weights are as good


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
