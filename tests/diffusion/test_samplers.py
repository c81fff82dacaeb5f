"""Samplers: exact solutions for Gaussian data, orders, identities, another library, spacings, bad input."""

import math

import numpy as np
import pytest

from lina.diffusion import align_snr, convert, cosine, discrete, edm, flow, nichol_cosine, sample, vp_linear
from tests.reference import diffusion as reference

VARIANCE = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 5.0])
TABLE = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
METHODS = ("ddpm", "ddim", "dpmpp_1s", "dpmpp_2m", "heun", "euler")
X = np.random.default_rng(3).standard_normal((4, 6))


def gaussian(schedule, kind="eps", variance=VARIANCE, mean=0.0):
    """Return the best model of Gaussian data."""

    def model(x, t):
        alpha, sigma = schedule.alpha_sigma(t)
        x0 = reference.gaussian_x0(x, alpha, sigma, variance, mean)
        return convert(x0, x, alpha, sigma, "x0", kind)

    return model


def exact(schedule, x, times=(1.0, 0.0), mean=0.0):
    """Return the solution of the flow of probability for Gaussian data."""
    (a, s), (b, r) = (schedule.alpha_sigma(t) for t in times)
    return b * mean + (x - a * mean) * np.sqrt((b**2 * VARIANCE + r**2) / (a**2 * VARIANCE + s**2))


def pairs_of(schedule, n):
    """Return alpha and sigma on n even steps of lambda."""
    alpha, sigma = schedule.alpha_sigma(schedule.time_of(np.linspace(*schedule.range, n + 1)))
    return list(zip(alpha.tolist(), sigma.tolist(), strict=True))


@pytest.mark.parametrize("mean", [0.0, 1.5])
@pytest.mark.parametrize(
    ("method", "order", "at_64"),
    [("ddim", 1, 3.1e-2), ("euler", 1, 3.1e-2), ("dpmpp_1s", 1, 3.1e-2), ("dpmpp_2m", 2, 9.7e-4), ("heun", 2, 2.1e-3)],
)
def test_the_order_of_a_sampler_is_its_textbook_one(method, order, at_64, mean):
    schedule, x = cosine(clip=(-8, 8)), np.ones((1, 6))
    model, true = gaussian(schedule, mean=mean), exact(schedule, x, mean=mean)
    counts = [64, 128, 256, 512, 1024]
    errors = [np.abs(sample(model, x, schedule, n, method=method) / true - 1).max() for n in counts]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)
    if mean == 0:
        assert errors[0] == pytest.approx(at_64, rel=0.05)


@pytest.mark.parametrize("schedule", [cosine((-6, 6)), align_snr(flow(), 1, 1, clip=(-6, 6)), edm(0.05, 20)])
@pytest.mark.parametrize("method", ["ddim", "dpmpp_2m", "heun"])
def test_each_step_is_that_of_the_paper(method, schedule):
    pairs = pairs_of(schedule, 9)
    expected = getattr(reference, method)(lambda x, k: reference.gaussian_x0(x, *pairs[k], VARIANCE), X, pairs)
    found = sample(gaussian(schedule, "x0"), X, schedule, 9, method=method, prediction="x0")
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("kind", ["eps", "x0", "v", "flow", "score"])
@pytest.mark.parametrize("method", METHODS)
def test_the_kind_of_prediction_does_not_matter(method, kind):
    schedule = cosine((-8, 8))
    options = {"method": method, "rng": 5}
    expected = sample(gaussian(schedule, "x0"), X, schedule, 12, prediction="x0", **options)
    found = sample(gaussian(schedule, kind), X, schedule, 12, prediction=kind, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_ancestral_steps_follow_the_posterior():
    from lina._core.random import generator

    schedule, n = cosine((-8, 8)), 7
    pairs, draws = pairs_of(schedule, n), generator(11)
    x = X
    for k in range(n):
        of_x, of_x0, variance = reference.posterior(*pairs[k], *pairs[k + 1])
        noise = draws.standard_normal(x.shape)
        x = of_x * x + of_x0 * reference.gaussian_x0(x, *pairs[k], VARIANCE) + math.sqrt(variance) * noise
    np.testing.assert_allclose(sample(gaussian(schedule), X, schedule, n, method="ddpm", rng=11), x, rtol=1e-11)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_eta_replaces_a_share_of_the_noise(eta):
    from lina._core.random import generator

    schedule = cosine((-8, 8))
    pairs, draws = pairs_of(schedule, 7), generator(2)
    noise = [draws.standard_normal(X.shape) for _ in range(7)]
    expected = reference.ddim(lambda x, k: reference.gaussian_x0(x, *pairs[k], VARIANCE), X, pairs, eta, noise)
    np.testing.assert_allclose(sample(gaussian(schedule), X, schedule, 7, eta=eta, rng=2), expected, rtol=1e-10)


def test_ddpm_is_ddim_with_all_its_noise():
    schedule = vp_linear()
    one = sample(gaussian(schedule), X, schedule, 9, method="ddpm", rng=0)
    np.testing.assert_array_equal(one, sample(gaussian(schedule), X, schedule, 9, method="ddim", eta=1.0, rng=0))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_variance_of_ancestral_samples_is_right_to_first_order(variance):
    schedule, errors = cosine((-8, 8)), []
    for n in (128, 256, 512):
        moved = sample_variance(schedule, n, variance)
        alpha, sigma = schedule.alpha_sigma(0.0)
        errors.append(np.abs(moved / (alpha**2 * VARIANCE + sigma**2) - 1).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.1)


def sample_variance(schedule, n, variance):
    """Return the exact variance after n steps, from what the steps do to x and which noise they add."""
    from lina.diffusion._spacings import sampling_times
    from lina.diffusion._steps import step_table

    table = step_table(schedule, sampling_times(schedule, n, None, False), "ddpm", 0.0, variance, False)
    alpha, sigma = table.alpha, table.sigma
    found = alpha[0] ** 2 * VARIANCE + sigma[0] ** 2
    for k in range(n):
        gain = table.x[k] + table.x0[k] * reference.gaussian_x0(1.0, alpha[k], sigma[k], VARIANCE)
        found = gain**2 * found + table.noise[k] ** 2
    return found


def test_samples_of_a_mixture_land_on_its_two_points():
    schedule = cosine((-10, 10))

    def model(x, t):  # the best x0 of the points -1 and 1
        alpha, sigma = schedule.alpha_sigma(t)
        return np.tanh(alpha * x / sigma**2)

    x = np.random.default_rng(0).standard_normal((500, 1))
    found = sample(model, x, schedule, 40, method="dpmpp_2m", prediction="x0", to_data=True)
    np.testing.assert_allclose(np.abs(found), 1.0, atol=1e-3)
    np.testing.assert_array_equal(np.sign(found), np.sign(x))


@pytest.mark.parametrize("method", METHODS)
def test_straight_flows_run_between_their_infinite_ends(method):
    found = sample(gaussian(flow(), "flow"), X, flow(), 400, method=method, prediction="flow", rng=0)
    assert np.all(np.isfinite(found))
    if method != "ddpm":
        np.testing.assert_allclose(found, exact(flow(), X), rtol=0.02)


@pytest.mark.parametrize("schedule", [flow(), cosine(None), nichol_cosine(), vp_linear()])
@pytest.mark.parametrize("method", METHODS)
def test_no_step_is_made_from_a_time_without_noise(method, schedule):
    model = gaussian(schedule, "v")
    for steps in (1, 2, 10, [1.0, 0.5, 0.0]):
        options = {"method": method, "prediction": "v", "rng": 0}
        found = sample(model, X, schedule, steps, to_data=True, **options)
        assert np.all(np.isfinite(found))
        np.testing.assert_array_equal(found, sample(model, X, schedule, steps, **options))
    np.testing.assert_array_equal(sample(model, X, schedule, [0.0], to_data=True, **options), X)


COSINE = cosine()
SPACED = [
    (schedule, spacing)
    for schedule, spacings in [
        (COSINE, ("logsnr", "t", "angle", "karras")),
        (edm(), ("logsnr", "t", "karras")),
        (vp_linear(), ("t", "angle")),
        (flow(), ("t",)),
        (discrete(TABLE), ("logsnr", "t")),
    ]
    for spacing in spacings
]


@pytest.mark.parametrize(("schedule", "spacing"), SPACED)
@pytest.mark.parametrize("steps", [5, 10, 18, 50])
def test_trapezoidal_steps_are_nowhere_worse_than_first_order_ones(schedule, spacing, steps):
    variance = np.logspace(-4, 2, 25)
    kind = "v" if np.isinf(schedule.range[0]) else "x0"
    (a, s), (b, r) = (schedule.alpha_sigma(t) for t in (1.0, 0.0))
    true = np.sqrt((b**2 * variance + r**2) / (a**2 * variance + s**2))
    model, x = gaussian(schedule, kind, variance), np.ones((1, 25))
    first, second = (
        np.abs(sample(model, x, schedule, steps, method=method, prediction=kind, spacing=spacing) / true - 1).max()
        for method in ("ddim", "heun")
    )
    assert second <= first * (1 + 1e-12)
    assert steps < 50 or second < first


@pytest.mark.parametrize(("schedule", "spacing"), SPACED)
@pytest.mark.parametrize("to_data", [False, True])
@pytest.mark.parametrize("steps", [5, 10, 18, 50])
def test_extrapolated_steps_are_nowhere_worse_than_first_order_ones(schedule, spacing, to_data, steps):
    variance = np.logspace(
        -1.5, 0.7, 25
    )  # where the last steps of some spacings are ten times longer than those before
    kind = "v" if np.isinf(schedule.range[0]) else "x0"
    (a, s), (b, r) = schedule.alpha_sigma(1.0), (1.0, 0.0) if to_data else schedule.alpha_sigma(0.0)
    true = np.sqrt((b**2 * variance + r**2) / (a**2 * variance + s**2))
    model, x = gaussian(schedule, kind, variance), np.ones((1, 25))
    options = {"prediction": kind, "spacing": spacing, "to_data": to_data}
    first, second = (
        np.abs(sample(model, x, schedule, steps, method=method, **options) / true - 1).max()
        for method in ("ddim", "dpmpp_2m")
    )
    assert second <= first * (1 + 1e-12)
    if steps == 50 and spacing == "t" and schedule is COSINE:
        assert second < 0.15 * first


@pytest.mark.parametrize(("steps", "least", "largest"), [(5, 0.39, 0.45), (10, 0.47, 0.53), (20, 0.49, 0.51)])
@pytest.mark.parametrize("spacing", ["t", "angle"])
def test_a_long_last_step_does_not_overshoot(spacing, steps, least, largest):
    x = np.linspace(-2, 2, 41)[:, None]
    found = sample(gaussian(COSINE, "v", 0.25), x, COSINE, steps, method="dpmpp_2m", prediction="v", spacing=spacing)
    assert least < found.std() / x.std() < largest  # that of the data is 0.5


@pytest.mark.parametrize("schedule", [vp_linear(), nichol_cosine()])
@pytest.mark.parametrize(("method", "order"), [("ddim", 0.95), ("dpmpp_2m", 1.6), ("heun", 1.95)])
def test_even_angles_keep_the_order_where_lambda_is_infinite_at_the_data(method, order, schedule):
    x, counts = np.ones((1, 6)), [1024, 2048, 4096] if method == "dpmpp_2m" else [128, 256, 512]
    model, true = gaussian(schedule, "v"), exact(schedule, x)
    errors = [np.abs(sample(model, x, schedule, n, method=method, prediction="v") / true - 1).max() for n in counts]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] > order
    even = sample(model, x, schedule, counts[-1], method=method, prediction="v", spacing="t")
    assert order < 1 or np.abs(even / true - 1).max() > 2 * errors[-1]


def test_a_model_in_half_precision_gets_what_it_computes_in():
    torch = pytest.importorskip("torch")
    for dtype in (torch.bfloat16, torch.float16):
        net = torch.nn.Linear(6, 6).to(dtype)
        found = sample(lambda x, t, net=net: net(x), torch.ones(4, 6, dtype=dtype), cosine((-8, 8)), 4)
        assert found.dtype == torch.float32  # that of the steps
        assert bool(torch.isfinite(found).all())
    seen = []
    sample(lambda x, t: seen.append(x.dtype) or x, X.astype(np.float16), cosine(), 3)
    assert set(seen) == {np.dtype(np.float32)}  # numpy arrays are widened, as everywhere


def test_euler_of_a_straight_flow_adds_the_velocity():
    n, x, model = 10, X, gaussian(flow(), "flow")
    for k in range(n):
        x = x - model(x, 1 - k / n) / n
    np.testing.assert_allclose(sample(model, X, flow(), n, method="euler", prediction="flow"), x, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_data_of_the_last_step_are_the_last_x0(method):
    calls, schedule = [], cosine((-3, 3))

    def model(x, t):
        calls.append((t, gaussian(schedule, "x0")(x, t)))
        return calls[-1][1]

    found = sample(model, X, schedule, 6, method=method, prediction="x0", to_data=True, rng=0)
    np.testing.assert_allclose(found, calls[-1][1], rtol=1e-14)
    assert calls[-1][0] == 0.0
    assert len(calls) == (11 if method == "heun" else 6)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_clipped_is_the_x0_of_every_call(method):
    schedule, limit = cosine((-5, 5)), 0.5
    wild = gaussian(schedule, "v", variance=25.0)

    def tame(x, t):
        x0 = convert(wild(x, t), x, *schedule.alpha_sigma(t), "v", "x0")
        return np.clip(x0, -limit, limit)

    expected = sample(tame, X, schedule, 9, method=method, prediction="x0", rng=1, to_data=True)
    found = sample(wild, X, schedule, 9, method=method, prediction="v", clip=limit, rng=1, to_data=True)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert np.abs(found).max() <= limit
    one_side = sample(wild, X, schedule, 9, method=method, prediction="v", clip=(0, 1), rng=1, to_data=True)
    assert one_side.min() >= 0


def test_spacings_are_even_in_what_they_are_named_after():
    def times(schedule, n, **options):
        seen = []
        sample(lambda x, t: seen.append(t) or x, X, schedule, n, **options)
        return np.array(seen)

    schedule = discrete(TABLE)
    np.testing.assert_allclose(times(schedule, 5, spacing="t"), [1, 0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(np.diff(schedule.logsnr(times(schedule, 6)), n=2), 0, atol=1e-12)
    alpha, sigma = schedule.alpha_sigma(times(schedule, 6, spacing="karras", to_data=True))
    np.testing.assert_allclose(np.diff((sigma / alpha) ** (1 / 7), n=2), 0, atol=1e-14)
    trailing = times(schedule, 4, spacing="trailing", to_data=True)
    np.testing.assert_allclose(trailing * 999, [999, 749, 499, 249])
    np.testing.assert_allclose(times(schedule, [0.9, 0.5, 0.1]), [0.9, 0.5])
    np.testing.assert_allclose(times(schedule, [0.9, 0.5, 0.1], to_data=True), [0.9, 0.5, 0.1])
    np.testing.assert_allclose(times(flow(), 4, prediction="flow"), [1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(
        times(flow(), 4, prediction="flow", spacing="trailing", to_data=True), [1, 0.75, 0.5, 0.25]
    )


def test_the_callback_sees_every_step():
    seen = []
    result = sample(gaussian(cosine()), X, cosine(), 3, callback=lambda k, t, x: seen.append((k, t, x)))
    assert [k for k, _, _ in seen] == [0, 1, 2]
    assert seen[-1][1] == 0.0
    assert seen[0][1] > seen[1][1] > 0
    np.testing.assert_array_equal(seen[-1][2], result)
    assert not np.array_equal(seen[0][2], seen[1][2])  # no buffer that is used again


@pytest.mark.parametrize("method", ["ddim", "dpmpp_2m", "heun"])
def test_a_callback_may_change_the_sample_that_the_next_step_begins_with(method):
    seen = []

    def model(x, t):
        seen.append(x.copy())
        return gaussian(cosine())(x, t)

    def half(k, t, x):
        x[: len(x) // 2] = 7.0
        return np.zeros_like(x)  # which is not looked at

    found = sample(model, X, cosine(), 5, method=method, spacing="t", callback=half)
    plain = sample(gaussian(cosine()), X, cosine(), 5, method=method, spacing="t")
    starts = seen[1:] if method != "heun" else []  # heun also calls it within a step
    assert all(np.all(x[:2] == 7.0) for x in starts)
    np.testing.assert_array_equal(found[:2], 7.0)
    np.testing.assert_array_equal(found[2:], plain[2:])


def test_times_that_start_below_one_stay_near_the_data_that_were_noised():
    schedule, model = cosine(), gaussian(cosine(), variance=0.5)
    data = np.random.default_rng(0).standard_normal((400, 1)) * np.sqrt(0.5)
    noise = np.random.default_rng(1).standard_normal(data.shape)
    for start in (0.9, 0.6, 0.3):
        alpha, sigma = schedule.alpha_sigma(start)
        x = alpha * data + sigma * noise
        found = sample(model, x, schedule, np.linspace(start, 0, 80), method="dpmpp_2m")
        np.testing.assert_allclose(found.std(), data.std(), rtol=0.1)
        expected = alpha * np.sqrt(0.5) / np.hypot(alpha * np.sqrt(0.5), sigma)  # 0.11, 0.46 and 0.81
        np.testing.assert_allclose(np.corrcoef(found[:, 0], data[:, 0])[0, 1], expected, atol=0.1)


class Predicts:
    """A model that says what it predicts."""

    def __init__(self, kind, schedule):
        self.prediction, self.model = kind, gaussian(schedule, kind)

    def __call__(self, x, t):
        return self.model(x, t)


@pytest.mark.parametrize("kind", ["eps", "x0", "v", "flow", "score"])
def test_the_prediction_is_that_which_the_model_says(kind):
    schedule = cosine((-8, 8))
    expected = sample(gaussian(schedule, kind), X, schedule, 6, prediction=kind)
    np.testing.assert_array_equal(sample(Predicts(kind, schedule), X, schedule, 6), expected)
    np.testing.assert_array_equal(sample(Predicts(kind, schedule), X, schedule, 6, prediction=kind), expected)
    other = "v" if kind == "eps" else "eps"
    with pytest.raises(ValueError, match=f'must be that of the model, whose attribute says "{kind}", got "{other}"'):
        sample(Predicts(kind, schedule), X, schedule, 6, prediction=other)


def test_an_attribute_of_another_meaning_says_nothing_of_the_prediction():
    model = Predicts("eps", cosine())
    expected = sample(model, X, cosine(), 3)
    model.prediction = X  # as a layer of that name may be
    np.testing.assert_array_equal(sample(model, X, cosine(), 3), expected)


def test_noise_without_the_factor_of_its_schedule_is_warned_of():
    schedule, x = edm(), np.random.default_rng(0).standard_normal((4, 30))
    model = gaussian(schedule, "x0", variance=1.0)
    with pytest.warns(
        UserWarning, match=r"x should have at least the standard deviation of its noise, 80 at t = 1, got"
    ):
        sample(model, x, schedule, 5, prediction="x0")
    sample(model, 80 * x, schedule, 5, prediction="x0")  # warnings are errors
    alpha, sigma = schedule.alpha_sigma(0.4)
    sample(model, alpha * x + sigma * x[::-1], schedule, np.linspace(0.4, 0, 5), prediction="x0")


def test_seeds_repeat_and_the_global_generator_rests():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [sample(gaussian(cosine()), X, cosine(), 4, method="ddpm", rng=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("method", METHODS)
def test_tensors_run_through_the_same_steps_with_gradients(method):
    torch = pytest.importorskip("torch")
    schedule = cosine((-5, 5))

    def model(x, t):
        alpha, sigma = schedule.alpha_sigma(t)
        return sigma / (2 * alpha**2 + sigma**2) * x

    x = torch.tensor(X, requires_grad=True)
    found = sample(model, x, schedule, 8, method=method, clip=4.0, rng=0)
    expected = sample(model, X, schedule, 8, method=method, clip=4.0, rng=0)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    step = 1e-6
    up, down = (sample(model, X + s * step, schedule, 8, method=method, clip=4.0, rng=0) for s in (1, -1))
    np.testing.assert_allclose(gradient.numpy(), (up - down) / (2 * step), rtol=1e-5, atol=1e-6)


def test_a_model_of_higher_precision_does_not_change_that_of_the_sample():
    x = X.astype(np.float32)
    found = sample(lambda x, t: 0.5 * x.astype(np.float64), x, cosine(), 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(x, X.astype(np.float32))


def test_trajectories_are_those_of_diffusers():
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    theirs = diffusers.DDIMScheduler(
        clip_sample=False, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    theirs.set_timesteps(50)
    schedule = discrete(theirs.alphas_cumprod.double())

    def model(x, t):
        return torch.tanh(x * (0.3 + t))

    start = torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    x, path = start, []
    for step in theirs.timesteps:
        x = theirs.step(model(x, float(step) / 999), step, x).prev_sample
        path.append(x)
    ours = []
    times = (theirs.timesteps.double() / 999).tolist()
    sample(model, start, schedule, times, to_data=True, callback=lambda k, t, x: ours.append(x))
    assert len(ours) == len(path) == 50
    for mine, other in zip(ours, path, strict=True):
        assert float((mine - other).abs().max() / other.abs().max()) < 1e-5


ZERO = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: sample(None, ZERO, cosine(), 3), r"model must be callable as model\(x, t\), got NoneType"),
        (lambda: sample(lambda x, t: x, ZERO, "cosine", 3), "schedule must be a Schedule, got str"),
        (
            lambda: sample(lambda x, t: x[:1], ZERO, cosine(), 3),
            r"model must return the shape \(2, 3\) of x, got \(1, 3\)",
        ),
        (
            lambda: sample(lambda x, t: 1j * x, ZERO, cosine(), 3),
            "model must return real numbers for a real x, got dtype",
        ),
        (
            lambda: sample(lambda x, t: None, ZERO, cosine(), 3),
            "model must return an array of the shape of x, got NoneType",
        ),
        (lambda: sample(lambda x, t: x, ZERO + np.nan, cosine(), 3), "x must be finite, got 6 NaN"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 0), "steps must be at least 1, got 0"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 2.5), "steps must be an int, got float"),
        (
            lambda: sample(lambda x, t: x, ZERO, cosine(), [0.2, 0.5]),
            "steps must be falling times, but 0.5 follows 0.2",
        ),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), [0.9, np.nan]), "steps must be finite"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), [1.5, 0.5]), r"steps must be in \[0, 1\], got 1.5"),
        (
            lambda: sample(lambda x, t: x, ZERO, cosine(), [0.5]),
            "steps must be a number of steps, or at least 2 real times",
        ),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), [0.5, 0], spacing="t"), "spacing must be left out where steps"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, spacing="even"), "spacing must be one of 'logsnr'"),
        (
            lambda: sample(lambda x, t: x, ZERO, flow(), 3, prediction="v", spacing="logsnr"),
            'spacing "logsnr" needs a fin',
        ),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, spacing="trailing"), "it needs to_data=True, got False"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, prediction="noise"), "prediction must be one of 'eps'"),
        (lambda: sample(lambda x, t: x, ZERO, flow(), 3), r"schedule must have a finite lambda at t = 1 .* \"eps\""),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, method="plms"), "method must be one of 'ddpm'"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, eta=2), r"eta must be in \[0, 1\], got 2"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, eta=1, method="heun"), 'eta belongs to the method "ddim"'),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, variance="large"), 'variance "large" belongs to the method'),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, clip=(1, 0)), "clip must have finite limits in ascending"),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, clip="1"), "clip must be a number or a pair of numbers"),
        (
            lambda: sample(lambda x, t: x, ZERO + 0j, cosine(), 3, method="ddpm"),
            "x must be real for noise and clipping",
        ),
        (lambda: sample(lambda x, t: x, ZERO, cosine(), 3, rng="0"), "rng must be an int"),
    ],
)
def test_bad_input_is_named(call, found):
    with pytest.raises((TypeError, ValueError), match=found):
        call()
