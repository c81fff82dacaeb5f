"""Upsample guidance on Gaussian fields, whose denoisers are known: exactness, and how far whole samplings are off.

The samplings run on a 16 x 16 torus with the spectrum (k^2 + 1/4)^(-p/2), k the number of periods, and variance 1.
The model has learned its 2 x 2 block means on 8 x 8, and its spectrum continues between those frequencies. DDIM takes
200 steps, equally spaced in the logarithm of the signal-to-noise ratio from -10 to 10, with unit images in place of
noise: so the covariance of what it samples is known without drawing any.
"""

import itertools

import numpy as np
import pytest
import scipy.fft

from lina.diffusion import avg_pool, convert, cosine, nearest_upsample, sample, upsample_guidance
from lina.diffusion.metrics import gaussian_frechet_distance

N, STEPS = 16, 200


def coefficients(t):
    """Return alpha and sigma of the cosine schedule."""
    return np.cos(np.pi / 2 * t), np.sin(np.pi / 2 * t)


def times(logsnr):
    return 2 / np.pi * np.arctan(np.exp(-np.asarray(logsnr) / 2))


def spectrum(p, fx, fy):
    """Return the power at frequencies in periods per sample."""
    return ((fx**2 + fy**2) * N**2 + 0.25) ** (-p / 2)


def pooled_spectrum(p, fx, fy):
    """Return the power of 2 x 2 block means at frequencies in periods per block, with what folds onto them."""
    total = 0.0
    for i, j in np.ndindex(2, 2):
        gx, gy = (((f + k) / 2 + 0.5) % 1 - 0.5 for f, k in ((fx, i), (fy, j)))
        total = total + spectrum(p, gx, gy) * (np.cos(np.pi * gx) * np.cos(np.pi * gy)) ** 2
    return total / 4


def grid(n):
    return np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n), indexing="ij")


class Field:
    """A Gaussian field and the model that has learned it at half of the resolution."""

    def __init__(self, p):
        unit = 1 / np.mean(spectrum(p, *grid(N)))
        self.power = spectrum(p, *grid(N)) * unit
        self.learned = {n: pooled_spectrum(p, *grid(n)) * unit for n in (N, N // 2)}

    def denoise(self, x, t, power):
        """Return the best prediction of the noise for a spectrum."""
        alpha, sigma = coefficients(t)
        return np.fft.ifft2(np.fft.fft2(x) * (sigma / (alpha**2 * power + sigma**2))).real

    def model(self, x, t):
        return self.denoise(x, t, self.learned[x.shape[-1]])

    def exact(self, x, t):
        return self.denoise(x, t, self.power)

    def covariance(self, x):
        """Return the covariance (N^2, N^2) of a linear map of white noise, its values at unit vectors."""
        flat = x.reshape(len(x), -1)
        return flat.T @ flat

    def true_covariance(self):
        return self.covariance(np.fft.ifft2(np.fft.fft2(unit_images()) * np.sqrt(self.power)).real)

    def distance(self, covariance):
        """Return the squared Wasserstein distance over the variance."""
        zero, true = np.zeros(N * N), self.true_covariance()
        return gaussian_frechet_distance(zero, covariance, zero, true) / np.trace(true)


def unit_images():
    return np.eye(N * N).reshape(-1, 1, N, N)


def sampled(model):
    """Return what DDIM makes of each unit image."""
    x = unit_images()
    for now, after in itertools.pairwise(times(np.linspace(-10, 10, STEPS + 1))):
        (alpha, sigma), (alpha_after, sigma_after) = coefficients(now), coefficients(after)
        eps = model(x, float(now))
        x = alpha_after * (x - sigma * eps) / alpha + sigma_after * eps
    return x


def guided(model, w=0.0, **options):
    return upsample_guidance(model, cosine(clip=None), 2, w=w, **options)


def at_the_time_of_the_large_image(field):
    """Return the model which is not told that pooled images are less noisy."""
    return lambda x, t: field.model(x, times(-2 * np.log(np.tan(np.pi / 2 * t)) - (x.shape[-1] < N) * np.log(4)))


def without_the_factor(field):
    """Return the model whose noise at the low resolution is taken for that of the high one, without 1 / s."""
    return lambda x, t: field.model(x, t) * (2 if x.shape[-1] < N else 1)


METHODS = {
    "exact": lambda f: f.exact,
    "plain": lambda f: f.model,
    "w = 0": lambda f: guided(f.model),
    "w = 0.2": lambda f: guided(f.model, 0.2),
    "w = 0.5": lambda f: guided(f.model, 0.5),
    "without tau": lambda f: guided(at_the_time_of_the_large_image(f)),
    "without 1 / s": lambda f: guided(without_the_factor(f)),
    "eta = 0.5": lambda f: guided(f.model, eta=0.5),
}
TABLE = {
    1: (0.0002, 0.126, 0.069, 0.072, 0.094, 0.084, 0.497, 0.084),
    2: (0.0002, 0.0706, 0.0071, 0.0121, 0.0459, 0.0845, 0.693, 0.0070),
    3: (0.0002, 0.150, 0.0049, 0.0153, 0.0902, 0.165, 0.841, 0.0048),
}
NEAREST = {1: 0.567, 2: 0.292, 3: 0.088}


@pytest.mark.parametrize("p", TABLE)
def test_the_table_of_distances_of_whole_samplings_and_its_ablations(p):
    field = Field(p)
    found = {name: field.distance(field.covariance(sampled(method(field)))) for name, method in METHODS.items()}
    for (name, value), wanted in zip(found.items(), TABLE[p], strict=True):
        assert value == pytest.approx(wanted, rel=0.05, abs=5e-5), name
    assert found["w = 0"] < found["plain"] / 1.7
    if p > 1:
        assert found["without tau"] > 10 * found["w = 0"]
        assert found["without 1 / s"] > 50 * found["w = 0"]


@pytest.mark.parametrize("p", NEAREST)
def test_repeated_exact_small_images_are_farther_off_than_guided_ones(p):
    field = Field(p)
    true = np.fft.ifft2(np.fft.fft2(unit_images()) * np.sqrt(field.power)).real
    distance = field.distance(field.covariance(nearest_upsample(avg_pool(true, 2), 2)))
    assert distance == pytest.approx(NEAREST[p], rel=0.05)
    assert distance > 8 * TABLE[p][2]


@pytest.mark.parametrize("logsnr", [6.0, 0.0, -6.0])
def test_the_small_model_predicts_the_pooled_noise_as_well_as_one_can_from_the_pooled_image(logsnr):
    # Gaussian: the best prediction of D eps(x) from D x is its covariance with D x over that of D x
    field, t = Field(2), float(times(logsnr))
    alpha, sigma = coefficients(t)
    D = avg_pool(unit_images(), 2).reshape(N * N, -1).T
    C = field.true_covariance()
    S = alpha**2 * C + sigma**2 * np.eye(N * N)
    E = field.exact(unit_images(), t).reshape(N * N, -1).T
    best = D @ E @ S @ D.T @ np.linalg.inv(D @ S @ D.T)
    tau = times(logsnr + np.log(4))
    small = np.eye(N * N // 4).reshape(-1, 1, N // 2, N // 2)
    ratio = alpha / coefficients(tau)[0]
    found = field.model(small / ratio, tau).reshape(N * N // 4, -1).T / 2
    np.testing.assert_allclose(found, best, rtol=0, atol=1e-12)


def scale_free(x, t, p=2.0, wrong_below=0, schedule=None):
    """Return the best prediction of the noise for a field whose cosine spectrum falls like frequency^-p.

    A smaller field is the larger one with fewer terms; for p = 2 the power is one function of periods per sample. With
    ``wrong_below`` the prediction knows nothing of the terms below this index on both axes.
    """
    alpha, sigma = coefficients(t) if schedule is None else schedule.alpha_sigma(t)
    index = np.meshgrid(*[np.arange(n) for n in x.shape[2:]], indexing="ij")
    frequency = np.sqrt(sum((k / n) ** 2 for k, n in zip(index, x.shape[2:], strict=True)))
    frequency[0, 0] = 0.5 / x.shape[-1]
    power = 0.1 * frequency**-p * x.shape[-1] ** (2 - p)
    power[:wrong_below, :wrong_below] = 7.0
    series = scipy.fft.dctn(x, axes=(2, 3), norm="ortho") * (sigma / (alpha**2 * power + sigma**2))
    return scipy.fft.idctn(series, axes=(2, 3), norm="ortho")


@pytest.mark.parametrize("logsnr", [8.0, 2.0, -3.0, -8.0])
@pytest.mark.parametrize(("scale", "small"), [(1.5, 8), (2, 10), (2.5, 8)])
def test_guidance_by_cosines_is_exact_on_scale_free_fields(scale, small, logsnr):
    size, t = round(small * scale), float(times(logsnr))
    x = np.random.default_rng(0).standard_normal((4, 1, size, size))
    exact = scale_free(x, t)
    found = upsample_guidance(scale_free, cosine(clip=None), scale, w=0.3, resample="dct")(x, t)
    assert np.max(np.abs(found - exact)) < 1e-12 * np.max(np.abs(exact))
    if scale == 2 and logsnr < 5:  # blocks do not share its terms
        boxes = upsample_guidance(scale_free, cosine(clip=None), scale, w=0.3)(x, t)
        assert np.max(np.abs(boxes - exact)) > 1e-4 * np.max(np.abs(exact))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("scale", [1.5, 2, 2.5])
def test_guidance_mends_a_model_that_is_wrong_in_all_that_the_low_resolution_sees(scale, p):
    small, t = 8, float(times(-1.0))
    size = round(small * scale)
    x = np.random.default_rng(0).standard_normal((4, 1, size, size))

    def field(x, t):
        return scale_free(x, t, p, wrong_below=small if x.shape[-1] == size else 0)

    exact = scale_free(x, t, p)
    found = upsample_guidance(field, cosine(clip=None), scale, w=0.0, resample="dct")(x, t)
    assert np.max(np.abs(field(x, t) - exact)) > 0.03 * np.max(np.abs(exact))
    assert np.max(np.abs(found - exact)) < 1e-12 * np.max(np.abs(exact))


@pytest.mark.parametrize("kind", ["eps", "x0", "v", "flow"])
@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpmpp_1s", "dpmpp_2m", "heun", "euler"])
def test_a_guided_model_goes_into_every_sampler(method, kind):
    schedule = cosine(clip=(-10, 12))
    noise = np.random.default_rng(0).standard_normal((2, 1, 12, 12))

    def exact(x, t):
        return convert(scale_free(x, t, schedule=schedule), x, *schedule.alpha_sigma(t), "eps", kind)

    def half_wrong(x, t):
        eps = scale_free(x, t, wrong_below=8 if x.shape[-1] == 12 else 0, schedule=schedule)
        return convert(eps, x, *schedule.alpha_sigma(t), "eps", kind)

    mended = upsample_guidance(half_wrong, schedule, 1.5, w=0.0, prediction=kind, resample="dct")
    options = {"method": method, "prediction": kind, "rng": 0}
    times = list(schedule.time_of(np.linspace(-10, 8, 13)))  # beyond them the small field has no tau
    found, wanted, wrong = (sample(f, noise, schedule, times, **options) for f in (mended, exact, half_wrong))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * np.max(np.abs(wanted)))
    assert np.max(np.abs(wrong - wanted)) > 1e-2 * np.max(np.abs(wanted))
