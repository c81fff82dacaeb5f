"""Conversions: every pair, both ends, both precisions, gradients, bad input."""

import itertools

import numpy as np
import pytest

from lina.diffusion import convert, cosine, edm, flow
from tests.reference.diffusion import predicted

KINDS = ("eps", "x0", "v", "flow", "score")
PAIRS = list(itertools.product(KINDS, KINDS))
pairs = pytest.mark.parametrize(("source", "target"), PAIRS)


def data(dtype=np.float64):
    """Return x0 and eps."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((3, 4, 5)).astype(dtype), rng.standard_normal((3, 4, 5)).astype(dtype)


@pairs
@pytest.mark.parametrize("schedule", [cosine(), flow(), edm()], ids=["vp", "flow", "ve"])
def test_every_pair_of_kinds_agrees_with_their_definitions(source, target, schedule):
    x0, eps = data()
    alpha, sigma = schedule.alpha_sigma(0.4)
    found = convert(predicted(source, x0, eps, alpha, sigma), alpha * x0 + sigma * eps, alpha, sigma, source, target)
    np.testing.assert_allclose(found, predicted(target, x0, eps, alpha, sigma), rtol=1e-12, atol=1e-12)


@pairs
@pytest.mark.parametrize("logsnr", [-15.0, 15.0])
def test_a_way_and_back_loses_what_the_pair_must_lose(source, target, logsnr):
    x0, eps = data()
    alpha, sigma = cosine().alpha_sigma(cosine().time_of(logsnr))
    x, given = alpha * x0 + sigma * eps, predicted(source, x0, eps, alpha, sigma)
    back = convert(convert(given, x, alpha, sigma, source, target), x, alpha, sigma, target, source)
    condition = np.exp(7.5) ** 2
    np.testing.assert_allclose(back, given, rtol=0, atol=1e-16 * 4 * condition * np.abs(given).max())


@pytest.mark.parametrize("logsnr", [-15.0, 15.0])
@pytest.mark.parametrize(("source", "target"), [("v", "x0"), ("v", "eps"), ("flow", "x0"), ("flow", "eps")])
def test_single_precision_keeps_its_digits_at_both_ends(source, target, logsnr):
    x0, eps = data()
    alpha, sigma = cosine().alpha_sigma(cosine().time_of(logsnr))
    given = predicted(source, x0, eps, alpha, sigma).astype(np.float32)
    x = (alpha * x0 + sigma * eps).astype(np.float32)
    found = convert(given, x, alpha, sigma, source, target)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, predicted(target, x0, eps, alpha, sigma), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("alpha", "sigma"), [(0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("source", ["v", "flow"])
@pytest.mark.parametrize("target", ["eps", "x0", "v", "flow"])
def test_velocities_are_converted_at_both_ends(source, target, alpha, sigma):
    x0, eps = data()
    given = predicted(source, x0, eps, alpha, sigma)
    found = convert(given, alpha * x0 + sigma * eps, alpha, sigma, source, target)
    np.testing.assert_allclose(found, predicted(target, x0, eps, alpha, sigma), rtol=1e-15, atol=1e-15)


def test_without_noise_the_data_are_x_itself():
    x0, eps = data()
    np.testing.assert_array_equal(convert(eps, x0, 1.0, 0.0, "eps", "x0"), x0)
    np.testing.assert_array_equal(convert(eps, x0, 1.0, 0.0, "score", "x0"), x0)


def test_coefficients_of_each_sample_meet_their_own():
    x0, eps = data()
    alpha, sigma = cosine().alpha_sigma(np.array([0.1, 0.5, 0.9]))
    a, s = alpha[:, None, None], sigma[:, None, None]
    found = convert(a * eps - s * x0, a * x0 + s * eps, alpha, sigma, "v", "x0")
    np.testing.assert_allclose(found, x0, rtol=1e-13, atol=1e-13)


def test_gradients_of_tensors_pass():
    torch = pytest.importorskip("torch")
    x0, eps = (torch.tensor(each, requires_grad=True) for each in data())
    found = convert(eps, x0, 0.8, 0.6, "eps", "x0")
    found.sum().backward()
    np.testing.assert_allclose(eps.grad.numpy(), -0.6 / 0.8, rtol=1e-14)
    np.testing.assert_allclose(x0.grad.numpy(), 1 / 0.8, rtol=1e-14)


def test_jax_traces_a_conversion():
    jax = pytest.importorskip("jax")
    x0, eps = (jax.numpy.asarray(each) for each in data(np.float32))
    found = jax.jit(lambda p, x: convert(p, x, 0.8, 0.6, "v", "eps"))(x0, eps)
    np.testing.assert_allclose(np.asarray(found), 0.8 * np.asarray(x0) + 0.6 * np.asarray(eps), rtol=1e-5, atol=1e-6)


ONE = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: convert(ONE, ONE, 0.0, 1.0, "eps", "x0"), 'alpha must be above 0 where "eps" becomes "x0", got 0'),
        (lambda: convert(ONE, ONE, 1.0, 0.0, "x0", "v"), 'sigma must be above 0 where "x0" becomes "v", got 0'),
        (lambda: convert(ONE, ONE, 1.0, 0.0, "v", "score"), 'sigma must be above 0 where "v" becomes "score", got 0'),
        (lambda: convert(ONE, ONE, 0.8, 0.6, "noise", "x0"), "source must be one of 'eps', 'x0', 'v', 'flow', 'score'"),
        (lambda: convert(ONE, ONE, 0.8, 0.6, "v", "u"), "target must be one of"),
        (lambda: convert(ONE[:1], ONE, 0.8, 0.6, "v", "x0"), r"prediction must have the shape \(2, 3\) of x, got"),
        (lambda: convert(ONE, ONE, [0.8] * 3, 0.6, "v", "x0"), "alpha must be a number or one for each sample of x"),
        (lambda: convert(ONE, ONE, 0.8, np.nan, "v", "x0"), "sigma must be finite"),
        (lambda: convert(ONE, ONE, -0.8, 0.6, "v", "x0"), "alpha must not be negative, got -0.8"),
        (lambda: convert(ONE, ONE, 0.8j, 0.6, "v", "x0"), "alpha must be real, got dtype complex128"),
    ],
)
def test_bad_input_is_named(call, found):
    with pytest.raises((TypeError, ValueError), match=found):
        call()
