"""The threshold and the support size that projections and truncated mappings return on request."""

import numpy as np
import pytest

from lina.simplex import (
    cross_entropy,
    entmax,
    project_capped_simplex,
    project_l1_ball,
    project_simplex,
    project_sparse_simplex,
    softmax,
    sparsemax,
    threshold_softmax,
    topk_softmax,
    topp_softmax,
)

INF, NAN = np.inf, np.nan
TRUNCATED = {
    "topk": lambda x, **options: topk_softmax(x, 4, **options),
    "topp": lambda x, **options: topp_softmax(x, 0.6, **options),
    "threshold": lambda x, **options: threshold_softmax(x, 0.1, **options),
}
truncated = pytest.mark.parametrize("mapping", TRUNCATED.values(), ids=TRUNCATED)


def sample(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", [(6, 9), (60, 90)])
@pytest.mark.parametrize(("lower", "upper", "total"), [(0, 1, 3), (-0.2, 0.5, 1), (0.05, INF, 6), (0, 0.4, 2)])
def test_the_capped_projection_is_what_its_threshold_cuts(lower, upper, total, shape):
    x = sample(*shape)
    p, tau, free = project_capped_simplex(x, lower=lower, upper=upper, total=total, return_threshold=True)
    assert tau.shape == free.shape == shape[:1]
    np.testing.assert_allclose(np.clip(x - tau[:, None], lower, upper), p, atol=8e-15)
    np.testing.assert_array_equal(free, np.sum((p > lower) & (p < upper), axis=1))
    np.testing.assert_array_equal(p, project_capped_simplex(x, lower=lower, upper=upper, total=total))


def test_without_a_cap_it_is_the_threshold_of_the_simplex():
    x = sample(3, 8, 5)
    for found, expected in zip(
        project_capped_simplex(x, upper=INF, axis=1, return_threshold=True),
        project_simplex(x, axis=1, return_threshold=True),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=4e-16)


def test_without_free_entries_it_is_the_largest_threshold_that_gives_the_projection():
    x = np.array([[3.0, 2.0, -1.0, -1.5], [0.0, 0.5, 0.25, 0.125]])
    p, tau, free = project_capped_simplex(x[:1], total=2.0, return_threshold=True)
    assert (p.tolist(), tau.tolist(), free.tolist()) == ([[1.0, 1.0, 0.0, 0.0]], [1.0], [0])
    p, tau, free = project_capped_simplex(x, total=0.0, return_threshold=True)
    assert (tau.tolist(), free.tolist()) == ([3.0, 0.5], [0, 0])
    p, tau, free = project_capped_simplex(x, total=4.0, return_threshold=True)
    assert (tau.tolist(), free.tolist()) == ([-2.5, -1.0], [0, 0])


def test_what_is_left_out_does_not_count_in_the_threshold_of_the_capped_projection():
    x, mask = sample(6, 9), sample(6, 9, seed=1) < 0.5
    mask[:, 0], mask[2] = True, False
    x[~mask] = NAN
    _, tau, free = project_capped_simplex(x, lower=-0.1, upper=0.9, total=0.5, where=mask, return_threshold=True)
    assert (tau[2], free[2]) == (-INF, 0)
    for i in (0, 1, 3, 4, 5):
        alone = project_capped_simplex(x[i][mask[i]], lower=-0.1, upper=0.9, total=0.5, return_threshold=True)
        np.testing.assert_allclose(tau[i], alone[1], atol=1e-15)
        assert free[i] == alone[2]


def test_infinite_entries_are_at_their_bounds_and_a_nan_makes_the_threshold_nan():
    x = np.array([[INF, 2.0, 1.5, -INF], [NAN, 1.0, 2.0, 3.0]])
    _, tau, free = project_capped_simplex(x, total=2.0, return_threshold=True)
    np.testing.assert_array_equal(tau, [1.25, NAN])
    assert free[0] == 2


@pytest.mark.parametrize("radius", [0.1, 3.0, 30.0])
def test_the_ball_is_what_its_threshold_cuts(radius):
    x = sample(7, 5, 20) * np.linspace(0.01, 1, 7)[:, None, None]
    p, tau, support = project_l1_ball(x, radius, axis=2, return_threshold=True)
    np.testing.assert_allclose(np.sign(x) * np.maximum(np.abs(x) - tau[..., None], 0), p, atol=2e-15)
    np.testing.assert_array_equal(support, np.count_nonzero(p, axis=2))
    assert np.all(tau[np.abs(x).sum(axis=2) <= radius] == 0)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_the_sparse_projection_is_what_its_threshold_cuts_from_the_largest(k):
    x = sample(20, 5)
    p, tau, support = project_sparse_simplex(x, min(k, 20), 2.0, axis=0, return_threshold=True)
    largest = x >= -np.sort(-x, axis=0)[k - 1]
    np.testing.assert_allclose(np.where(largest, np.maximum(x - tau, 0), 0), p, atol=1e-15)
    np.testing.assert_array_equal(support, np.count_nonzero(p, axis=0))


@truncated
@pytest.mark.parametrize("heat", [1.0, 0.7, np.linspace(0.5, 2, 4)])
def test_a_truncated_softmax_is_that_of_the_entries_from_its_threshold_on(mapping, heat):
    x = sample(4, 12)
    p, tau, support = mapping(x, temperature=heat, return_threshold=True)
    np.testing.assert_array_equal(p, mapping(x, temperature=heat))
    z = x / np.reshape(heat, (-1, 1))
    np.testing.assert_array_equal(z >= tau[:, None], p > 0)
    np.testing.assert_array_equal(support, np.count_nonzero(p, axis=1))
    np.testing.assert_allclose(p, softmax(z, where=z >= tau[:, None]), rtol=1e-14)


def test_thresholds_of_truncated_mappings_on_masks_infinities_and_nan():
    x = np.array([[1.0, NAN, 2.0], [0.0, 1.0, 2.0], [INF, 0.0, 1.0], [NAN, 0.0, 1.0], [-INF] * 3])
    mask = np.array([[True, False, True], [False] * 3, [True] * 3, [True] * 3, [True] * 3])
    _, tau, support = topp_softmax(x, 0.6, where=mask, return_threshold=True)
    np.testing.assert_array_equal(tau, [2.0, -INF, INF, NAN, NAN])
    assert support[:3].tolist() == [1, 0, 1]


def test_a_row_without_an_entry_above_minus_infinity_has_no_threshold():
    x = np.array([[-INF] * 4, [1.0, 2.0, 3.0, 0.0]])
    for mapping in (*TRUNCATED.values(), sparsemax, project_simplex):
        _, tau, _ = mapping(x, return_threshold=True)
        assert np.isnan(tau).tolist() == [True, False]


def test_thresholds_out_of_range_warn_of_nothing():
    x = np.array([1e308, -1e308, 0.0])
    for mapping in (topk_softmax, project_sparse_simplex):
        mapping(x, 3, return_threshold=True)
    topk_softmax(x, 3, temperature=1e-300, return_threshold=True)
    for mapping in (sparsemax, entmax):
        mapping(x, temperature=1e-300, return_threshold=True)
    low = np.array([-1e308, -1e308])
    assert project_simplex(low, 1.7e308, return_threshold=True)[1] == -INF
    assert project_sparse_simplex(low, 2, 1.7e308, return_threshold=True)[1] == -INF
    project_l1_ball(x, 1.7e308, return_threshold=True)
    _, gradient = cross_entropy(x, 1, temperature=1e-320, return_gradient=True)
    assert not np.isnan(gradient).any()


@pytest.mark.torch
def test_thresholds_of_tensors_are_those_of_arrays_and_have_derivatives():
    torch = pytest.importorskip("torch", reason="NOT TESTED: thresholds of tensors, because there is no torch")
    calls = (
        lambda x: project_capped_simplex(x, upper=0.5, return_threshold=True),
        lambda x: project_l1_ball(x, return_threshold=True),
        lambda x: project_sparse_simplex(x, 3, return_threshold=True),
        *(lambda x, each=each: each(x, return_threshold=True) for each in TRUNCATED.values()),
    )
    x = torch.tensor(sample(3, 7), requires_grad=True)
    for call in calls:
        for found, expected in zip(call(x), call(x.detach().numpy()), strict=True):
            np.testing.assert_allclose(found.detach(), expected, atol=1e-15)
        assert torch.autograd.gradcheck(lambda x, call=call: call(x)[1], x)
