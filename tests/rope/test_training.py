"""Helpers for training: random positions, inverse leaky maps, hybrids of windows, normalised keys, several bases."""

import numpy as np
import pytest

from lina.rope import (
    average_bases,
    complementary_bases,
    hybrid_layers,
    inverse_leaky_rerope,
    normalise_keys,
    random_positions,
)


def test_random_positions_are_a_sorted_subset_and_every_position_is_as_likely():
    positions = random_positions(8, 32, batch=(50, 40), rng=0)
    assert positions.dtype == np.int64
    assert positions.shape == (50, 40, 8)
    assert np.all(np.diff(positions, axis=-1) > 0)
    assert (positions.min(), positions.max()) == (0, 31)
    counts = np.bincount(positions.ravel(), minlength=32)
    assert np.max(np.abs(counts - 500)) < 5 * np.sqrt(500 * 0.75)


def test_stretched_positions_are_evenly_spaced_with_the_trained_mean():
    positions = random_positions(16, 10_000, batch=(20_000,), method="stretched", rng=1)
    gaps = np.diff(positions, axis=-1)
    np.testing.assert_allclose(gaps, gaps[:, :1] + np.zeros(15), rtol=1e-9)
    assert np.all(positions[:, 0] == 0)
    assert positions[:, -1].mean() == pytest.approx(15, abs=5 * 15 / np.sqrt(20_000))
    assert random_positions(16, 20, batch=(500,), method="stretched", rng=1).max() == 19


def test_all_positions_and_single_ones_are_results():
    np.testing.assert_array_equal(random_positions(5, 5, rng=0), np.arange(5))
    assert random_positions(1, 9, method="stretched", rng=0).tolist() == [0.0]
    assert random_positions(3, 9, batch=(0, 2)).shape == (0, 2, 3)
    assert random_positions(3, 9, batch=2).shape == (2, 3)


def test_random_positions_repeat_with_their_seed_and_refuse_nonsense():
    np.testing.assert_array_equal(random_positions(9, 99, rng=3), random_positions(9, 99, rng=3))
    with pytest.raises(ValueError, match="length must be at most max_length = 4, got 5"):
        random_positions(5, 4)
    with pytest.raises(ValueError, match="method must be one of 'subset', 'stretched', got 'beta'"):
        random_positions(4, 5, method="beta")


def test_inverse_leaky_training_meets_every_position_of_reading():
    training, reading = inverse_leaky_rerope(64, 512, head_dim=16, layout="interleaved")
    assert (training.window, training.factor) == (16, 1 / 16)
    P = training.position_matrix(64)
    assert np.nanmax(P) >= 511  # w + 2 (L / N) (N - 1 - w) covers L - 1
    assert np.nanmax(reading.position_matrix(512)) == 511
    np.testing.assert_array_equal(training.inv_freq(), reading.inv_freq())
    assert training.layout == reading.layout == "interleaved"
    larger, _ = inverse_leaky_rerope(64, 512, head_dim=16, scale_base=True)
    assert larger.base == 80000.0
    with pytest.raises(ValueError, match="test_length must be at least 64, got 63"):
        inverse_leaky_rerope(64, 63, head_dim=16)


@pytest.mark.parametrize(("depth", "n"), [(24, 512), (2, 64), (12, 4096), (32, 20)])
def test_windows_below_a_last_full_layer_reach_three_quarters_of_the_trained_length(depth, n):
    plans = hybrid_layers(depth, n, method="hwfa")
    assert len(plans) == depth
    last, windows = plans[-1], plans[:-1]
    assert (last.attention, last.rotary, last.logit_scale, last.window) == ("full", False, "log_n", None)
    assert {(p.attention, p.rotary, p.reads_with) for p in windows} == {("window", True, "window")}
    w = windows[0].window
    assert w == 1 or (w - 1) * (depth - 1) + 1 <= 0.75 * n < w * (depth - 1) + 1 + 0.75
    with pytest.raises(ValueError, match=f"window must be at most {w} for {depth} layers"):
        hybrid_layers(depth, n, method="hwfa", window=w + 1)


def test_full_layers_among_windows_are_evenly_spread_and_read_with_rerope():
    plans = hybrid_layers(24, 512, full_layers=3, window=64)
    full = [k for k, plan in enumerate(plans) if plan.attention == "full"]
    assert full == [6, 12, 18]
    assert {(plans[k].reads_with, plans[k].rotary, plans[k].window) for k in full} == {("rerope", True, None)}
    assert {plan.window for k, plan in enumerate(plans) if k not in full} == {64}
    assert hybrid_layers(24, 512)[0].window == 64  # the best one that was published
    with pytest.raises(ValueError, match="full_layers must be below num_layers = 4, got 4"):
        hybrid_layers(4, 512, full_layers=4)
    with pytest.raises(ValueError, match="window must be at most train_length = 512, got 513"):
        hybrid_layers(4, 512, window=513)


def test_normalised_keys_have_length_one_at_any_scale():
    k = np.random.default_rng(0).standard_normal((5, 7)) * 10.0 ** np.array([-300, -150, 0, 150, 300])[:, None]
    y = normalise_keys(k)
    np.testing.assert_allclose(np.sqrt(np.sum(y**2, axis=-1)), 1, rtol=1e-15)
    np.testing.assert_allclose(y[2], k[2] / np.linalg.norm(k[2]), rtol=1e-15)
    z = normalise_keys(k[2] + 1j * k[2][::-1])
    assert np.sum(np.abs(z) ** 2) == pytest.approx(1, rel=1e-14)


def test_a_key_of_nan_spoils_no_other():
    y = normalise_keys([[np.nan, 1.0], [3.0, 4.0]])
    assert np.all(np.isnan(y[0]))
    np.testing.assert_allclose(y[1], [0.6, 0.8])
    with pytest.raises(ValueError, match=r"k must have entries on its last axis, got shape \(3, 0\)"):
        normalise_keys(np.zeros((3, 0)))


@pytest.mark.torch
def test_normalised_keys_have_gradients_and_zeros_have_zero_ones():
    torch = pytest.importorskip("torch")
    k = torch.tensor(np.random.default_rng(0).standard_normal((3, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(normalise_keys, (k,))
    zero = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(normalise_keys(zero).sum(), zero)
    assert torch.equal(gradient, torch.zeros(2, 4, dtype=torch.float64))
    tiny = torch.full((1, 4), 1e-30, requires_grad=True)  # the square of which is 0 in float32
    (gradient,) = torch.autograd.grad(normalise_keys(tiny)[0, 0], tiny)
    torch.testing.assert_close(gradient, torch.tensor([[3, -1, -1, -1]]) / 8e-30)


def test_the_gradient_of_a_key_of_zeros_is_zero_in_jax():
    jax = pytest.importorskip("jax")
    gradient = jax.grad(lambda k: normalise_keys(k).sum())(jax.numpy.zeros((2, 4)))
    np.testing.assert_array_equal(gradient, np.zeros((2, 4)))


def test_the_average_over_bases_leans_to_the_sure_ones():
    p = np.array([[[0.5, 0.5]], [[0.9, 0.1]]])
    np.testing.assert_allclose(average_bases(p), [[(0.5 * 0.5 + 0.9 * 0.9) / 1.4, (0.5 * 0.5 + 0.9 * 0.1) / 1.4]])
    same = np.random.default_rng(0).dirichlet(np.ones(5), size=3)
    np.testing.assert_allclose(average_bases(np.stack([same, same])), same, rtol=1e-14)
    np.testing.assert_allclose(average_bases(np.random.default_rng(0).dirichlet(np.ones(5), (4, 3))).sum(-1), 1)
    np.testing.assert_array_equal(average_bases(np.zeros((2, 3))), np.zeros(3))


def test_averages_refuse_what_is_no_probability():
    with pytest.raises(ValueError, match=r"probabilities must not be negative, got -0.5"):
        average_bases([[0.5, -0.5]])
    with pytest.raises(TypeError, match="probabilities must be real"):
        average_bases([[0.5, 0.5j]])


def test_each_next_base_raises_the_cover_most():
    candidates = [10000.0, 10050.0, 17500.0, 18000.0, 25000.0]
    chosen = complementary_bases(candidates, 3, head_dim=32, length=500)
    assert chosen[0] == 10000.0
    assert len(set(chosen)) == 3

    def cover(bases):
        m = np.arange(500)[:, None]
        waves = [np.cos(m * b ** (-np.arange(0, 32, 2) / 32)).mean(axis=-1) for b in bases]
        return np.max(waves, axis=0).mean()

    second = max(candidates[1:], key=lambda b: cover([10000.0, b]))
    assert chosen[1] == second
    third = max(set(candidates[1:]) - {second}, key=lambda b: cover([10000.0, second, b]))
    assert chosen[2] == third


def test_bases_that_cannot_be_chosen_are_refused():
    with pytest.raises(ValueError, match="count must be at most the 2 candidates, got 3"):
        complementary_bases([1e4, 2e4], 3, head_dim=8, length=10)
    with pytest.raises(ValueError, match="candidates must be different"):
        complementary_bases([1e4, 1e4], 1, head_dim=8, length=10)
