"""One test per line of docs/conventions.rst on diffusion, under the label of the line."""

import numpy as np
import pytest

from lina.diffusion import (
    align_snr,
    avg_pool,
    convert,
    cosine,
    dct_downsample,
    dct_upsample,
    discrete,
    flow,
    match_time,
    nearest_upsample,
    sample,
    upsample_guidance,
    vp_linear,
)
from lina.diffusion.metrics import frechet_distance, kid


def test_c100_times_run_from_data_to_noise_for_each_sample():
    alpha, sigma = cosine(clip=None).alpha_sigma(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(alpha, [1, np.sqrt(0.5), 0], atol=1e-15)
    np.testing.assert_allclose(sigma, [0, np.sqrt(0.5), 1], atol=1e-15)
    x0, eps = np.random.default_rng(0).standard_normal((2, 3, 1, 4))
    x = alpha[:, None, None] * x0 + sigma[:, None, None] * eps
    np.testing.assert_allclose(convert(x0[:2], x[:2], alpha[:2], sigma[:2], "x0", "x0"), x0[:2])
    np.testing.assert_allclose(convert(x0[1:], x[1:], alpha[1:], sigma[1:], "x0", "eps"), eps[1:], rtol=1e-14)


@pytest.mark.parametrize("schedule", [cosine(), vp_linear(), flow()])
def test_c101_lambda_is_the_whole_logarithm_and_falls(schedule):
    alpha, sigma = schedule.alpha_sigma(0.3)
    np.testing.assert_allclose(schedule.logsnr(0.3), np.log(alpha**2 / sigma**2), rtol=1e-13)
    assert schedule.logsnr(0.3) > schedule.logsnr(0.31)


def test_c102_tables_are_squares_at_even_times():
    alpha, sigma = discrete([0.81, 0.49, 0.25]).alpha_sigma(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(alpha, [0.9, 0.7, 0.5], rtol=1e-14)
    np.testing.assert_allclose(sigma**2, [0.19, 0.51, 0.75], rtol=1e-14)


def test_c103_velocities_point_to_the_noise():
    x0, eps = np.random.default_rng(0).standard_normal((2, 1, 5))
    x = 0.8 * x0 + 0.6 * eps
    for kind, expected in [("v", 0.8 * eps - 0.6 * x0), ("flow", eps - x0), ("score", -eps / 0.6)]:
        np.testing.assert_allclose(convert(eps, x, 0.8, 0.6, "eps", kind), expected, rtol=1e-13)


def test_c104_a_gain_is_of_the_ratio_of_squares_and_multiplies_over_axes():
    noise = avg_pool(np.random.default_rng(0).standard_normal((1, 1, 600, 900)), (2, 3))
    np.testing.assert_allclose(1 / noise.var(), 6, rtol=0.02)
    schedule = cosine()
    np.testing.assert_allclose(schedule.logsnr(match_time(schedule, 0.6, 6)), schedule.logsnr(0.6) + np.log(6))
    aligned = align_snr(schedule, (8, 8), (16, 24))
    np.testing.assert_allclose(aligned.logsnr(0.6), schedule.logsnr(0.6) - np.log(6))


def test_c105_down_after_up_is_the_identity_and_means_stay():
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 8))
    np.testing.assert_allclose(avg_pool(nearest_upsample(x, 2), 2), x, rtol=1e-14)
    np.testing.assert_allclose(dct_downsample(dct_upsample(x, (9, 12)), (6, 8)), x, rtol=1e-12, atol=1e-14)
    for smaller in (avg_pool(x, 2), dct_downsample(x, (3, 4))):
        np.testing.assert_allclose(smaller.mean((2, 3)), x.mean((2, 3)), rtol=1e-12)


def test_c106_weights_of_guidance_count_from_the_plain_model():
    schedule, x = flow(), np.random.default_rng(0).standard_normal((1, 1, 4, 4))

    def model(x, t):
        return np.tanh(x) + t

    plain = upsample_guidance(model, schedule, 2, -1, prediction="x0")
    np.testing.assert_array_equal(plain(x, 0.5), model(x, 0.5))
    projected = upsample_guidance(model, schedule, 2, 0, prediction="x0")(x, 0.5)
    tau = match_time(schedule, 0.5, 4)
    small = avg_pool(x, 2) / (0.5 + 0.5 / 2)  # alpha + sigma / s, so that alpha and sigma / s belong to tau
    np.testing.assert_allclose(avg_pool(projected, 2), model(small, tau), rtol=1e-13)


def test_c107_the_model_is_called_from_one_on_and_the_end_is_at_zero():
    called, reached = [], []

    def model(x, t):
        called.append(t)
        return np.zeros_like(x)

    schedule = vp_linear()
    x = sample(model, np.ones((1, 2)), schedule, 4, spacing="t", callback=lambda k, t, x: reached.append(t))
    np.testing.assert_allclose(called, [1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(reached, [0.75, 0.5, 0.25, 0], atol=1e-15)
    alpha, _ = schedule.alpha_sigma(np.array([0.0, 1.0]))
    np.testing.assert_allclose(x, alpha[0] / alpha[1], rtol=1e-12)


def test_c108_samples_are_rows_and_distances_squared():
    x, y = np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]])
    np.testing.assert_allclose(frechet_distance(x, y), 9)
    np.testing.assert_allclose(frechet_distance(x, 2 * x), 1 + 2.0 * (2 - 1) ** 2)  # variances over n - 1
    rng = np.random.default_rng(0)
    values = [kid(*rng.standard_normal((2, 20, 3))) for _ in range(200)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)
