"""Schedules: digits at both ends, inverses, kinds, tables, bad input."""

import warnings

import numpy as np
import pytest

from lina.diffusion import Schedule, cosine, discrete, edm, flow, nichol_cosine, vp_linear
from lina.diffusion._align import align_snr, interpolate_shift
from tests.reference.diffusion import mp_logsnr

TABLE = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
OPEN = {"cosine": cosine(clip=None), "nichol_cosine": nichol_cosine(), "vp_linear": vp_linear(), "flow": flow()}
FINITE = {"cosine, clipped": cosine(), "edm": edm(), "discrete": discrete(TABLE)}
SHIFTED = {
    "shifted": align_snr(cosine(), 64, 256),
    "flow, shifted and clipped": align_snr(flow(), 64, 256, clip=(-12, 12)),
    "vp_linear, clipped": align_snr(vp_linear(), 64, 64, clip=(-12, 9)),
    "interpolated": interpolate_shift(cosine(), 256, 32, 256),
}
ALL = {**OPEN, **FINITE, **SHIFTED}
each = pytest.mark.parametrize("schedule", ALL.values(), ids=ALL.keys())
TIMES = np.linspace(1e-3, 0.999, 999)


@pytest.mark.parametrize("name", [*OPEN, "edm"])
def test_lambda_has_its_digits_also_near_both_ends(name):
    schedule = {**OPEN, "edm": edm()}[name]
    times = [1e-12, 1e-6, 1e-3, 0.1, 0.37, 0.5, 0.51, 0.9, 0.999, 1 - 2.0**-30]
    expected = np.array([mp_logsnr(name, t) for t in times])
    np.testing.assert_allclose(schedule.logsnr(np.array(times)), expected, rtol=4e-15, atol=4e-15)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (cosine(), "<Schedule cosine, clipped: vp, lambda from 15 (t = 0) to -15 (t = 1)>"),
        (flow(), "<Schedule flow: flow, lambda from inf (t = 0) to -inf (t = 1)>"),
        (edm(), "<Schedule edm(0.002, 80, 7): ve, lambda from 12.43 (t = 0) to -8.764 (t = 1)>"),
        (discrete([0.9, 0.5]), "<Schedule discrete with 2 timesteps: vp, lambda from 2.197 (t = 0) to 0 (t = 1)>"),
        (
            align_snr(vp_linear(), 64, 128),
            "<Schedule vp_linear(0.1, 20), shifted by -1.386: vp, lambda from inf (t = 0) to -11.44 (t = 1)>",
        ),
        (
            interpolate_shift(nichol_cosine(0.01), 64, 32, 64),
            "<Schedule nichol_cosine(0.01), shifted by 0 at the data and -1.386 at the noise: "
            "vp, lambda from inf (t = 0) to -inf (t = 1)>",
        ),
    ],
)
def test_a_schedule_prints_on_one_line_how_it_was_made_and_where_it_ends(schedule, text):
    assert repr(schedule) == text


def test_lambda_of_a_sigma_that_was_rounded_to_single_precision_is_that_of_the_end():
    schedule = edm(0.01, 80)
    for sigma, t in (
        (np.float32(0.01), 0.0),
        (np.float32(0.01) * np.float32(1 - 2.0**-23), 0.0),
        (np.float32(80), 1.0),
    ):
        ratio = -2 * np.log(float(sigma))
        assert schedule.time_of(ratio) == pytest.approx(t, abs=1e-7)
        assert schedule.time_of(np.float32(ratio)) == pytest.approx(t, abs=1e-6)
    with pytest.raises(
        ValueError, match=r"must be in \[-8.76405327, 9.21034037\], the range of the schedule, got 9.21036"
    ):
        schedule.time_of(9.21036)


@each
def test_time_of_is_the_inverse_of_logsnr(schedule):
    np.testing.assert_allclose(schedule.time_of(schedule.logsnr(TIMES)), TIMES, rtol=0, atol=1e-14)
    least, largest = schedule.range
    assert schedule.time_of(least) == pytest.approx(1.0, abs=1e-14)
    assert schedule.time_of(largest) == pytest.approx(0.0, abs=1e-14)


@each
def test_lambda_falls_with_time(schedule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.all(np.diff(schedule.logsnr(np.linspace(0, 1, 5000))) < 0)


@each
def test_alpha_and_sigma_are_those_of_the_kind_and_of_lambda(schedule):
    alpha, sigma = schedule.alpha_sigma(TIMES)
    np.testing.assert_allclose(2 * np.log(alpha / sigma), schedule.logsnr(TIMES), atol=2e-13)
    whole = {"vp": alpha**2 + sigma**2, "flow": alpha + sigma, "ve": alpha}[schedule.kind]
    np.testing.assert_allclose(whole, 1.0, rtol=1e-15 * 4)


def test_a_clip_bounds_lambda_by_a_map_of_the_angle():
    schedule = cosine(clip=(-15, 10))
    first, last = np.arctan(np.exp(-5)), np.arctan(np.exp(7.5))
    expected = -2 * np.log(np.tan(first + TIMES * (last - first)))
    np.testing.assert_allclose(schedule.logsnr(TIMES), expected, atol=1e-11)
    np.testing.assert_allclose(schedule.range, (-15, 10), rtol=1e-14)


def test_the_grid_of_edm_is_that_of_karras():
    n, i = 18, np.arange(18)
    grid = (80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(edm().alpha_sigma(1 - i / (n - 1))[1], grid, rtol=1e-13)


def test_a_table_is_met_at_its_timesteps():
    schedule = discrete(TABLE)
    steps = np.arange(1000) / 999
    np.testing.assert_allclose(schedule.alpha_sigma(steps)[0] ** 2, TABLE, rtol=1e-13)
    np.testing.assert_allclose(schedule.timestep(steps), np.arange(1000), atol=1e-12)
    between = schedule.logsnr(np.array([10, 10.25, 11]) / 999)
    assert between[1] == pytest.approx(0.75 * between[0] + 0.25 * between[2], rel=1e-13)


def test_timesteps_of_lists_are_those_of_arrays_and_a_tiny_last_entry_keeps_them():
    schedule = discrete([0.9, 0.5, 1e-14])
    np.testing.assert_array_equal(schedule.timestep([0.5, 1.0]), [1, 2])
    assert isinstance(schedule.timestep(1), float)
    np.testing.assert_allclose(schedule.alpha_sigma([0.5, 1.0])[0] ** 2, [0.5, 1e-14], rtol=1e-12)


@each
def test_the_ends_are_inverted_in_single_precision_too(schedule):
    ends = schedule.time_of(schedule.logsnr(np.array([0, 1], dtype=np.float32)))
    np.testing.assert_allclose(ends, [0, 1], atol=1e-6)
    with pytest.raises(ValueError, match="logsnr must be in"):
        schedule.time_of(np.float32(np.nan))


@each
def test_a_number_gives_a_number_and_an_array_its_shape(schedule):
    assert isinstance(schedule.logsnr(0.3), float)
    assert isinstance(schedule.alpha_sigma(1)[1], float)
    times = np.array([[0.2, 0.4], [0.6, 0.7]])
    np.testing.assert_array_equal(schedule.logsnr(times)[1, 0], schedule.logsnr(0.6))
    assert schedule.logsnr(times.astype(np.float32)).dtype == np.float32


def test_times_of_other_libraries_come_back_in_theirs():
    torch = pytest.importorskip("torch")
    alpha, sigma = cosine().alpha_sigma(torch.tensor([0.25, 0.75]))
    assert alpha.dtype == sigma.dtype == torch.float32
    np.testing.assert_allclose(alpha.numpy(), cosine().alpha_sigma([0.25, 0.75])[0], rtol=1e-7)
    with pytest.raises(RuntimeError, match="A noise schedule has no gradient with respect to t"):
        cosine().logsnr(torch.tensor([0.25], requires_grad=True))


def test_what_is_traced_is_refused_by_name():
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match="t must have values that are known"):
        jax.jit(cosine().logsnr)(jax.numpy.array([0.5]))


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: cosine().logsnr(np.nan), "t must be finite, got 1 NaN"),
        (lambda: cosine().alpha_sigma([0.5, 1.5]), r"t must be in \[0, 1\], got 1.5"),
        (lambda: cosine().logsnr(-0.1), r"t must be in \[0, 1\], got -0.1"),
        (lambda: cosine().logsnr([0.5 + 1j]), "t must be real, got dtype complex128"),
        (lambda: cosine().logsnr("now"), "t must be an array, got str"),
        (lambda: cosine().time_of(15.5), r"logsnr must be in \[-15, 15\], the range of the schedule, got 15.5"),
        (lambda: flow().time_of(np.nan), r"logsnr must be in \[-inf, inf\], the range of the schedule, got nan"),
        (lambda: cosine(clip=(3, 3)), r"clip must have two finite numbers in ascending order, got \(3, 3\)"),
        (lambda: cosine(clip=15), "clip must be a pair of numbers, got 15"),
        (lambda: nichol_cosine(0), "offset must be finite and positive, got 0.0"),
        (lambda: vp_linear(3, 2), "beta_max must be at least beta_min = 3, got 2"),
        (lambda: edm(2, 2), "sigma_max must be above sigma_min = 2, got 2"),
        (lambda: edm(rho="7"), "rho must be a number, got str"),
        (lambda: discrete([0.5]), r"alphas_cumprod must have one axis with at least 2 entries, got shape \(1,\)"),
        (lambda: discrete([0.9, 0.9]), "alphas_cumprod must descend, but entry 1 is not below entry 0"),
        (lambda: discrete([0.9, 0.0]), r"in \(0, 1\), but ends at 0 \(put a tiny number such as 1e-14"),
        (lambda: discrete([0.0, 0.0]), r"alphas_cumprod must be in \(0, 1\), found 0 to 0"),
        (lambda: cosine((-2000, 2000)), r"clip must be within -1400 and 1400, got \(-2000, 2000\)"),
        (lambda: discrete(TABLE).timestep(7.0), r"t must be in \[0, 1\], got 7"),
        (lambda: discrete(TABLE).timestep(np.nan), "t must be finite, got 1 NaN"),
        (lambda: discrete([0.9, np.nan]), "alphas_cumprod must be finite"),
    ],
)
def test_bad_input_is_named(call, found):
    with pytest.raises((TypeError, ValueError), match=found):
        call()


def test_all_are_schedules():
    assert all(isinstance(schedule, Schedule) for schedule in ALL.values())
