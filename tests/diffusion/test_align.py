"""Aligned schedules and matched times: closed forms, semigroups, the shifts of others."""

import numpy as np
import pytest

from lina.diffusion import align_snr, avg_pool, cosine, discrete, edm, flow, interpolate_shift, match_time, rho
from tests.diffusion.test_schedules import TABLE, TIMES, each

CLOSED = {
    "cosine": (cosine(clip=None), lambda t, s: 2 / np.pi * np.arctan(np.tan(np.pi * t / 2) / s)),
    "flow": (flow(), lambda t, s: t / (t + s * (1 - t))),
}


def inside(schedule, gain):
    """Return the times whose ratio times the gain the schedule has."""
    return TIMES[schedule.logsnr(TIMES) + np.log(gain) < schedule.range[1]]


@each
@pytest.mark.parametrize("gain", [1.5, 4.0, 16.0])
def test_the_matched_time_has_gain_times_the_ratio(schedule, gain):
    t = inside(schedule, gain)
    assert t.size > 900
    tau = match_time(schedule, t, gain)
    np.testing.assert_allclose(schedule.logsnr(tau), schedule.logsnr(t) + np.log(gain), rtol=0, atol=1e-10)


@each
def test_matching_twice_is_matching_by_the_product(schedule):
    t = inside(schedule, 9.0)
    twice = match_time(schedule, match_time(schedule, t, 2.25), 4.0)
    np.testing.assert_allclose(twice, match_time(schedule, t, 9.0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(match_time(schedule, match_time(schedule, t, 9.0), 1 / 9), t, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(match_time(schedule, TIMES, 1), TIMES)


@each
def test_alpha_and_sigma_at_tau_are_those_of_the_mean_over_blocks(schedule):
    t = inside(schedule, 4.0)
    ratio = rho(schedule, t, 4.0)
    (alpha, sigma), (alpha_tau, sigma_tau) = schedule.alpha_sigma(t), schedule.alpha_sigma(match_time(schedule, t, 4.0))
    np.testing.assert_allclose(alpha_tau, alpha / ratio, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(sigma_tau, sigma / 2 / ratio, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0])
def test_closed_forms_of_tau(name, scale):
    schedule, closed = CLOSED[name]
    np.testing.assert_allclose(match_time(schedule, TIMES, scale**2), closed(TIMES, scale), rtol=1e-12)
    assert match_time(schedule, 0.0, 4) == 0.0
    assert match_time(schedule, 1.0, 4) == 1.0


def test_known_values_of_tau():
    assert match_time(cosine(clip=None), 0.5, 4) == pytest.approx(0.295, abs=5e-4)
    assert match_time(cosine(clip=None), 0.5, 16) == pytest.approx(0.156, abs=5e-4)
    steps = [match_time(discrete(TABLE), 1.0, gain) * 999 for gain in (4, 16)]
    np.testing.assert_allclose(steps, [874.3, 722.5], atol=0.05)


def test_noise_of_edm_is_divided_by_the_scale():
    sigma = edm().alpha_sigma(0.7)[1]
    assert edm().alpha_sigma(match_time(edm(), 0.7, 9))[1] == pytest.approx(sigma / 3, rel=1e-13)
    assert rho(edm(), 0.7, 9) == 1.0


def test_the_shift_of_flow_matching_is_undone_by_tau():
    shifted = 3 * TIMES / (1 + 2 * TIMES)
    np.testing.assert_allclose(align_snr(flow(), 32, 96).alpha_sigma(TIMES)[1], shifted, rtol=1e-13)
    np.testing.assert_allclose(match_time(flow(), shifted, 9.0), TIMES, rtol=0, atol=1e-14)


def test_a_shift_of_tables_is_the_division_of_their_ratio():
    c = 4.0
    shifted = TABLE / (c + (1 - c) * TABLE)
    alpha, _ = align_snr(discrete(TABLE), 32, 64).alpha_sigma(np.arange(1000) / 999)
    np.testing.assert_allclose(alpha**2, shifted, rtol=1e-12)


def test_alignment_takes_the_product_over_the_axes():
    base, t = cosine(), np.linspace(0, 1, 7)
    video = align_snr(base, (8, 32, 32), (16, 64, 96))
    np.testing.assert_allclose(base.logsnr(t) - video.logsnr(t), np.log(2 * 2 * 3), rtol=1e-12)
    audio = align_snr(base, (1000,), (4000,))
    np.testing.assert_allclose(base.logsnr(t) - audio.logsnr(t), np.log(4), rtol=1e-12)
    square = align_snr(base, 64, 256)
    np.testing.assert_allclose(base.logsnr(t) - square.logsnr(t), 2 * np.log(4), rtol=1e-12)


def test_an_aligned_schedule_may_be_clipped_to_a_range():
    schedule = align_snr(cosine(clip=None), 64, 256, clip=(-10, 12))
    np.testing.assert_allclose(schedule.range, (-10, 12), rtol=1e-13)
    assert np.all(np.diff(schedule.logsnr(np.linspace(0, 1, 2000))) < 0)


def test_sizes_may_be_an_array():
    found = align_snr(flow(), np.array([32, 32]), np.array([64, 96]))
    assert found.logsnr(0.3) == align_snr(flow(), (32, 32), (64, 96)).logsnr(0.3)


def test_the_interpolated_shift_passes_from_one_alignment_to_the_other():
    base, t = cosine(), np.linspace(0, 1, 11)
    low, high = align_snr(base, 32, 256), align_snr(base, 128, 256)
    found = interpolate_shift(base, 256, low=32, high=128).logsnr(t)
    np.testing.assert_allclose(found, t * low.logsnr(t) + (1 - t) * high.logsnr(t), rtol=1e-12, atol=1e-12)


def test_the_mean_over_blocks_has_the_ratio_that_the_gain_says():
    rng, (alpha, sigma) = np.random.default_rng(0), flow().alpha_sigma(0.6)
    x0 = np.repeat(np.repeat(rng.standard_normal((64, 1, 16, 16)), 2, -1), 2, -2)
    noise = avg_pool(alpha * x0 + sigma * rng.standard_normal(x0.shape), 2) / rho(flow(), 0.6, 4)
    alpha_tau, sigma_tau = flow().alpha_sigma(match_time(flow(), 0.6, 4))
    assert np.std(noise - alpha_tau * x0[..., ::2, ::2]) == pytest.approx(sigma_tau, rel=0.02)


def test_a_ratio_beyond_the_schedule_is_an_error_or_the_end():
    with pytest.raises(ValueError, match=r"no time has 4 times the ratio of t = 0 .*try beyond=\"end\""):
        match_time(discrete(TABLE), [0.0, 0.5], 4)
    np.testing.assert_array_equal(match_time(discrete(TABLE), [0.0, 0.001], 16, beyond="end"), 0.0)
    assert match_time(cosine(), 1.0, 1 / 4, beyond="end") == 1.0
    assert rho(discrete(TABLE), 0.0, 4) < 1


def test_times_of_each_sample_keep_library_and_shape():
    torch = pytest.importorskip("torch")
    t = torch.tensor([[0.2], [0.9]], dtype=torch.float64)
    tau = match_time(cosine(), t, 4)
    assert tau.dtype == torch.float64
    assert tau.shape == (2, 1)
    np.testing.assert_array_equal(tau.numpy(), match_time(cosine(), t.numpy(), 4))
    assert isinstance(match_time(cosine(), 0.5, 4), float)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: match_time(cosine(), 0.5, 0), "gain must be finite and positive, got 0.0"),
        (lambda: match_time(cosine(), np.nan, 4), "t must be finite"),
        (lambda: match_time(cosine(), 0.5, 4, beyond="clamp"), "beyond must be one of 'error', 'end', got 'clamp'"),
        (lambda: rho(cosine(), 1.5, 4), r"t must be in \[0, 1\], got 1.5"),
        (lambda: align_snr(cosine(), 64, (128, 128, 8)), "high and low must have as many axes"),
        (lambda: align_snr(None, 32, 64), "schedule must be a Schedule, got NoneType"),
        (lambda: interpolate_shift("cosine", 32, 32, 64), "schedule must be a Schedule, got str"),
        (lambda: match_time(None, 0.5, 4), "schedule must be a Schedule, got NoneType"),
        (lambda: rho(None, 0.5, 4), "schedule must be a Schedule, got NoneType"),
        (lambda: align_snr(cosine(), 64, -1), "high must be finite and positive, got -1.0"),
        (lambda: align_snr(cosine(), (), ()), "high must have at least one axis, got none"),
        (lambda: align_snr(cosine(), "64", 64), "low must be a number, got str"),
        (lambda: interpolate_shift(cosine(), 256, 64, 32), "low must have at most as many entries as high"),
    ],
)
def test_bad_input_is_named(call, found):
    with pytest.raises((TypeError, ValueError), match=found):
        call()
