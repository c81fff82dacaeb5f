"""Upsample guidance: a projection in the clean image, one rule for all predictions, no call in vain."""

import numpy as np
import pytest

from lina._core.errors import GradientError
from lina.diffusion import (
    avg_pool,
    convert,
    cosine,
    dct_downsample,
    dct_upsample,
    discrete,
    edm,
    flow,
    match_time,
    nearest_upsample,
    rho,
    sample,
    upsample_guidance,
)
from tests.reference.diffusion_images import guided_x0

SCHEDULES = {"cosine": cosine, "flow": flow, "edm": edm}
KINDS = ["eps", "x0", "v", "flow", "score"]


def images(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def clean(x, t):
    """Return some x0, not linear in x and not of one scale."""
    t = np.reshape(t, np.shape(t) + (1,) * (x.ndim - np.ndim(t)))
    return np.tanh(x) * (1 - t) + np.roll(x, 1, axis=-1) * t / 2


def predictor(schedule, kind):
    """Return the model that predicts `clean` as another kind."""

    def model(x, t):
        alpha, sigma = (np.asarray(v) for v in schedule.alpha_sigma(t))
        return convert(clean(x, t), x, alpha, sigma, "x0", kind)

    return model


def to_x0(prediction, x, t, schedule, kind):
    alpha, sigma = (np.asarray(v) for v in schedule.alpha_sigma(t))
    return convert(prediction, x, alpha, sigma, kind, "x0")


class Counted:
    """A model that notes with which shapes and times it is called."""

    def __init__(self, model):
        self.model, self.calls = model, []

    def __call__(self, x, t, *args, **options):
        self.calls.append((x.shape, t))
        return self.model(x, t, *args, **options)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [0.2, 0.5, 0.9, np.array([0.3, 0.8])])
def test_every_prediction_is_corrected_as_the_clean_image_is(kind, name, t):
    schedule, x = SCHEDULES[name](), images(2, 3, 8, 8)
    found = upsample_guidance(predictor(schedule, kind), schedule, 2, w=0.3, prediction=kind)(x, t)
    ratio = np.reshape(rho(schedule, t, 4), np.shape(t) + (1,) * (4 * (np.ndim(t) > 0) - np.ndim(t)))
    low = clean(avg_pool(x, 2) / ratio, match_time(schedule, t, 4))
    expected = guided_x0(x, clean(x, t), low, 0.3, lambda y: avg_pool(y, 2), lambda y: nearest_upsample(y, 2))
    alpha, sigma = (np.asarray(v) for v in schedule.alpha_sigma(t))
    expected = convert(expected, x, alpha, sigma, "x0", kind)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


OPERATORS = {
    "box": (2, (8, 12), lambda y: avg_pool(y, 2), lambda y: nearest_upsample(y, 2)),
    "dct": (1.5, (12, 9), lambda y: dct_downsample(y, (8, 6)), lambda y: dct_upsample(y, (12, 9))),
}


@pytest.mark.parametrize("resample", OPERATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_without_extra_weight_the_pooled_clean_image_is_that_of_the_low_resolution_and_the_details_stay(kind, resample):
    scale, shape, down, up = OPERATORS[resample]
    schedule, x, t, gain = cosine(), images(2, 3, *shape), 0.6, scale**2
    model = predictor(schedule, kind)
    guided = upsample_guidance(model, schedule, scale, w=0.0, prediction=kind, resample=resample)
    found = to_x0(guided(x, t), x, t, schedule, kind)
    low = clean(down(x) / float(rho(schedule, t, gain)), float(match_time(schedule, t, gain)))
    np.testing.assert_allclose(down(found), low, rtol=0, atol=1e-12)
    plain = clean(x, t)
    np.testing.assert_allclose(found - up(down(found)), plain - up(down(plain)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("spatial", "scales"), [((12,), (4,)), ((8, 6), (2, 3)), ((4, 6, 8), (1, 2, 4))])
def test_the_gain_is_the_product_of_the_scales_in_any_dimension(spatial, scales):
    schedule, x, t = flow(), images(2, 1, *spatial), 0.4
    model = Counted(predictor(schedule, "flow"))
    found = upsample_guidance(model, schedule, scales, w=0.0, prediction="flow")(x, t)
    gain = np.prod(scales)
    assert model.calls[1][1] == pytest.approx(t / (t + np.sqrt(gain) * (1 - t)))
    low = clean(avg_pool(x, scales) / float(rho(schedule, t, gain)), float(match_time(schedule, t, gain)))
    pooled = avg_pool(to_x0(found, x, t, schedule, "flow"), scales)
    np.testing.assert_allclose(pooled, low, rtol=0, atol=1e-12)


@pytest.mark.parametrize("w", [-1.0, 0.0, 0.7])
def test_scale_one_is_the_plain_model_to_the_bit_without_a_second_call(w):
    model, x = Counted(predictor(cosine(), "v")), images(2, 3, 8, 8)
    for scale in (1, 1.0, (1, 1)):
        found = upsample_guidance(model, cosine(), scale, w=w, prediction="v")(x, 0.5)
        np.testing.assert_array_equal(found, predictor(cosine(), "v")(x, 0.5))
    assert len(model.calls) == 3


def test_the_weight_minus_one_is_the_plain_model_without_a_second_call():
    model, x = Counted(predictor(cosine(), "eps")), images(2, 3, 8, 8)
    np.testing.assert_array_equal(upsample_guidance(model, cosine(), 2, w=-1)(x, 0.5), model.model(x, 0.5))
    assert [shape for shape, _ in model.calls] == [(2, 3, 8, 8)]


def test_eta_limits_the_second_calls_to_the_noisy_times():
    x, ten = images(1, 1, 4, 4), np.arange(10) / 10 + 0.05
    for eta, second in ((1, 10), (0.6, 6), (0.25, 3), (0, 0)):
        model = Counted(predictor(cosine(), "eps"))
        guided = upsample_guidance(model, cosine(), 2, eta=eta)
        for t in ten:
            guided(x, float(t))
        small = [shape for shape, _ in model.calls if shape == (1, 1, 2, 2)]
        assert len(small) == second


@pytest.mark.parametrize(("eta", "t"), [(0.5, 0.5), (0.3, 0.7), (0.8, 0.2), (1, 0.0)])
def test_the_time_at_which_guidance_ends_is_still_guided(eta, t):
    model = Counted(predictor(cosine(), "v"))
    upsample_guidance(model, cosine(), 2, eta=eta, prediction="v")(images(1, 1, 4, 4), t)
    assert len(model.calls) == 2
    model = Counted(predictor(cosine(), "v"))
    upsample_guidance(model, cosine(), 2, eta=0, prediction="v")(images(1, 1, 4, 4), 1.0)
    assert len(model.calls) == 1


@pytest.mark.torch
def test_no_gradient_by_times_and_weights_is_dropped_silently():
    import torch

    x, t, w = torch.ones(2, 1, 4, 4), torch.tensor([0.5, 0.3]), torch.tensor(0.2, requires_grad=True)
    with pytest.raises(GradientError, match="Upsample guidance has no gradient with respect to t"):
        upsample_guidance(clean_tensor, cosine(), 2)(x, t.clone().requires_grad_())
    with pytest.raises(GradientError, match="Upsample guidance has no gradient with respect to w"):
        upsample_guidance(clean_tensor, cosine(), 2, w=w)
    with pytest.raises(GradientError, match="Upsample guidance has no gradient with respect to w"):
        upsample_guidance(clean_tensor, cosine(), 2, w=lambda t: w)(x, 0.5)
    strength = torch.ones((), requires_grad=True)  # of the model
    found = upsample_guidance(lambda x, t: clean_tensor(x, 0.5) * strength, cosine(), 2)(x.requires_grad_(), t)
    assert all(float(each.abs().sum()) > 0 for each in torch.autograd.grad(found.sum(), (x, strength)))


def clean_tensor(x, t):
    return x.tanh() * t


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_in_half_precision_gets_both_times_in_it(dtype):
    import torch

    half = getattr(torch, dtype)
    net = torch.nn.Linear(1, 1).to(half)
    model = Counted(lambda x, t: x * net(t.reshape(-1, 1))[..., None, None])
    found = upsample_guidance(model, cosine(), 2)(
        torch.ones(2, 1, 4, 4, dtype=half), torch.tensor([0.5, 0.7], dtype=half)
    )
    assert found.dtype == half
    assert [t.dtype for _, t in model.calls] == [half, half]


def test_times_of_each_sample_may_be_a_list_and_a_batch_empty():
    guided = upsample_guidance(clean, cosine(), 2)
    x = images(2, 1, 4, 4)
    np.testing.assert_array_equal(guided(x, [0.5, 0.4]), guided(x, np.array([0.5, 0.4])))
    assert guided(x[:0], np.zeros(0)).shape == (0, 1, 4, 4)


def test_weights_and_times_may_differ_by_sample():
    model, x, t = predictor(cosine(), "v"), images(4, 2, 6, 6), np.array([0.2, 0.5, 0.7, 0.9])
    weights = np.array([-1.0, 0.0, 0.3, 0.5])
    options = {"eta": 0.6, "prediction": "v"}
    found = upsample_guidance(model, cosine(), 3, w=lambda t: weights, **options)(x, t)
    for k in range(4):
        alone = upsample_guidance(model, cosine(), 3, w=float(weights[k]), **options)(x[k : k + 1], float(t[k]))
        np.testing.assert_allclose(found[k : k + 1], alone, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found[:1], model(x[:1], t[0]), rtol=1e-13, atol=1e-13)


def test_a_weight_that_depends_on_the_time_is_asked_at_each_call():
    model, x, asked = clean, images(1, 1, 4, 4), []

    def w(t):
        asked.append(t)
        return t - 1

    guided = upsample_guidance(model, cosine(), 2, w=w, prediction="x0")
    constant = upsample_guidance(model, cosine(), 2, w=-0.25, prediction="x0")
    np.testing.assert_allclose(guided(x, 0.75), constant(x, 0.75), rtol=1e-14)
    np.testing.assert_array_equal(guided(x, 0.0), model(x, 0.0))
    assert asked == [0.75, 0.0]


def test_a_guided_model_predicts_what_its_model_says_and_says_it():
    def model(x, t):
        return np.tanh(x) + t

    x = images(2, 1, 4, 4)
    model.prediction = "v"
    guided = upsample_guidance(model, cosine(), 2)
    assert guided.prediction == "v"
    expected = upsample_guidance(lambda x, t: model(x, t), cosine(), 2, prediction="v")(x, 0.4)
    np.testing.assert_array_equal(guided(x, 0.4), expected)
    np.testing.assert_array_equal(
        sample(guided, x, cosine(), 3), sample(lambda x, t: guided(x, t), x, cosine(), 3, prediction="v")
    )
    assert upsample_guidance(lambda x, t: x, cosine(), 2).prediction == "eps"
    with pytest.raises(ValueError, match='prediction must be that of the model, whose attribute says "v", got "eps"'):
        upsample_guidance(model, cosine(), 2, prediction="eps")


def test_conditions_reach_both_calls():
    seen = []

    def model(x, t, label, *, strength):
        seen.append((label, strength))
        return x * t

    upsample_guidance(model, cosine(), 2)(images(1, 1, 4, 4), 0.5, "cat", strength=3)
    assert seen == [("cat", 3)] * 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [1e-5, 1 - 1e-5])
def test_no_digits_are_lost_at_the_ends_of_the_schedule(kind, t):
    # single precision against double: x0 from the prediction would divide by a signal or noise of 1e-5
    schedule, x = flow(), images(2, 1, 8, 8)

    def model(x, t):
        return np.tanh(x) * x.dtype.type(0.5 + t / 2)

    guided = upsample_guidance(model, schedule, 2, w=0.2, prediction=kind)
    single = guided(x.astype("float32"), t)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, guided(x.astype("float32").astype("float64"), t), rtol=0, atol=2e-6)


def test_a_table_that_ends_before_tau_is_met_at_its_end_or_is_an_error():
    schedule, x = discrete([0.99, 0.9, 0.5, 0.1]), images(1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"t and gain must stay within lambda .* \(try beyond=\"end\"\)"):
        upsample_guidance(plain, schedule, 2, beyond="error")(x, 0.1)
    model = Counted(plain)
    assert np.all(np.isfinite(upsample_guidance(model, schedule, 2)(x, 0.1)))
    assert [t for _, t in model.calls] == [0.1, 0.0]
    upsample_guidance(plain, schedule, 2, eta=0.5, beyond="error")(x, 0.1)  # not guided there
    both, t = np.concatenate([x, x]), np.array([0.1, 0.9])
    found = upsample_guidance(clean, schedule, 2, eta=0.5)(both, t)
    np.testing.assert_array_equal(found[0], clean(both, t)[0])
    np.testing.assert_allclose(found[1:], upsample_guidance(clean, schedule, 2, eta=0.5)(x, 0.9), rtol=1e-14)


def test_a_model_that_returns_whole_numbers_is_not_rounded():
    found = upsample_guidance(lambda x, t: np.ones(x.shape, dtype=int), flow(), 2)(images(1, 1, 4, 4), 0.5)
    np.testing.assert_allclose(found, 1 + 1.2 * (0.5 - 1), rtol=1e-15)  # eps: half of the low noise less the pooled one


@pytest.mark.torch
@pytest.mark.parametrize("time", ["number", "tensor", "whole"])
def test_tensors_keep_their_dtype_and_gradient_and_times_their_kind(time):
    import torch

    x = torch.from_numpy(images(2, 1, 4, 4, dtype="float32"))
    t = {"number": 0.5, "tensor": torch.tensor([0.5, 0.25]), "whole": torch.tensor([1, 1])}[time]
    times = []

    def model(x, t):
        times.append(t)
        return x * 0.5

    guided = upsample_guidance(model, flow(), 2, prediction="flow")
    y = guided(x.requires_grad_(), t)
    expected = upsample_guidance(lambda x, t: x * 0.5, flow(), 2, prediction="flow")(x.detach().numpy(), np.asarray(t))
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert y.dtype == torch.float32
    assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape
    assert type(times[1]) is type(t)
    assert time == "number" or torch.is_floating_point(times[1])
    half = guided(x.detach().half(), t)
    assert half.dtype == torch.float16


def test_jax_traces_the_guided_model_at_known_times():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(images(2, 1, 4, 4, dtype="float32"))
    guided = upsample_guidance(lambda x, t: jax.numpy.tanh(x) * t, flow(), 2, prediction="flow")
    traced = jax.jit(lambda x: guided(x, 0.5))(x)
    np.testing.assert_allclose(traced, guided(x, 0.5), rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="t must have values that are known"):
        jax.jit(guided)(x, 0.5)


def plain(x, t):
    return x * t


X = images(2, 1, 6, 6)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: upsample_guidance(None, cosine(), 2), r"model must be callable as model\(x, t\), got NoneType"),
        (lambda: upsample_guidance(plain, 0.5, 2), "schedule must be a Schedule, got float"),
        (
            lambda: upsample_guidance(plain, cosine(), 2, beyond="clip"),
            "beyond must be one of 'error', 'end', got 'clip'",
        ),
        (lambda: upsample_guidance(plain, cosine(), "2"), "scale must be a number, got str"),
        (
            lambda: upsample_guidance(lambda x, t: 1j * x, cosine(), 2)(X, 0.5),
            "model must return real numbers for a real x, got dtype complex128",
        ),
        (lambda: upsample_guidance(plain, cosine(), 2)(X, 1.5), r"t must be in \[0, 1\], got 1.5"),
        (lambda: upsample_guidance(plain, cosine(), 0.5), "scale must be at least 1, got 0.5"),
        (lambda: upsample_guidance(plain, cosine(), (2, np.nan)), "scale must be finite, got nan"),
        (lambda: upsample_guidance(plain, cosine(), ()), "scale must have at least one entry"),
        (lambda: upsample_guidance(plain, cosine(), "2x"), "scale must be a number, got str"),
        (lambda: upsample_guidance(plain, cosine(), 1.5), 'scale must be a whole number for resample "box", got 1.5'),
        (lambda: upsample_guidance(plain, cosine(), 2, w=np.nan), "w must be finite, got nan"),
        (lambda: upsample_guidance(plain, cosine(), 2, w="0.2x"), "w must be a number, got str"),
        (lambda: upsample_guidance(plain, cosine(), 2, eta=1.5), r"eta must be in \[0, 1\], got 1.5"),
        (lambda: upsample_guidance(plain, cosine(), 2, prediction="noise"), "prediction must be one of 'eps', 'x0'"),
        (lambda: upsample_guidance(plain, cosine(), 2, resample="cubic"), "resample must be one of 'box', 'dct'"),
        (lambda: upsample_guidance(plain, cosine(), 4)(X, 0.5), r"x must have trailing axes that \(4, 4\) divide, got"),
        (
            lambda: upsample_guidance(plain, cosine(), 1.25, resample="dct")(X, 0.5),
            r"x must have trailing axes with whole numbers as quotients by \(1.25, 1.25\), got shape \(2, 1, 6, 6\)",
        ),
        (lambda: upsample_guidance(plain, cosine(), 2)(X[0, 0], 0.5), "x must have at least 3 dimensions"),
        (lambda: upsample_guidance(plain, cosine(), (2,) * 5)(X, 0.5), "x must have at least 5 dimensions"),
        (lambda: upsample_guidance(plain, cosine(), 2)(X, np.nan), "t must be finite, got 1 NaN"),
        (
            lambda: upsample_guidance(plain, cosine(), 2)(X, np.ones(3)),
            "t must be a number or one for each sample of x",
        ),
        (lambda: upsample_guidance(plain, cosine(), 2, w=lambda t: np.nan)(X, 0.5), "w must be finite, got 1 NaN"),
        (
            lambda: upsample_guidance(plain, cosine(), 2, w=lambda t: [1, 2, 3])(X, 0.5),
            "w must be a number or one",
        ),
        (
            lambda: upsample_guidance(lambda x, t: x[:1], cosine(), 2)(X, 0.5),
            r"model must return the shape \(2, 1, 6, 6\)",
        ),
        (
            lambda: upsample_guidance(lambda x, t: x if x.shape[-1] == 6 else x[:1], cosine(), 2)(X, 0.5),
            r"model must return the shape \(2, 1, 3, 3\) of x, got \(1, 1, 3, 3\)",
        ),
        (
            lambda: upsample_guidance(lambda x, t: (x,), cosine(), 2)(X, 0.5),
            "model must return an array of the shape of x",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, found):
    with pytest.raises((TypeError, ValueError), match=found):
        call()
