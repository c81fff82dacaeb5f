"""Distances of samples: closed forms, double sums, singular covariances, floors."""

import numpy as np
import pytest
import scipy.linalg

from lina._core.errors import GradientError
from lina.diffusion.metrics import (
    compare,
    frechet_distance,
    gaussian_frechet_distance,
    kid,
    precision_recall,
    radial_spectrum,
    sliced_wasserstein,
)
from tests.reference.diffusion_images import covered, radial_power, unbiased_mmd, wasserstein_1d


def features(n, d, seed=0, scale=1.0, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) * scale + shift


def covariance(d, rank, seed=0):
    factor = np.random.default_rng(seed).standard_normal((rank, d))
    return factor.T @ factor


def test_the_frechet_distance_of_commuting_covariances_has_a_closed_form():
    basis = np.linalg.qr(features(9, 9))[0]
    a, b, shift = np.linspace(0, 2, 9), np.linspace(3, 0, 9), np.arange(9.0)
    C, D = (basis * a) @ basis.T, (basis * b) @ basis.T
    expected = np.sum(shift**2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert gaussian_frechet_distance(shift, C, np.zeros(9), D) == pytest.approx(expected, rel=1e-12)


def test_the_frechet_distance_is_that_of_a_square_root_of_the_product():
    C, D, mean = covariance(6, 20), covariance(6, 20, seed=1), np.ones(6)
    expected = 6 + np.trace(C + D) - 2 * np.trace(scipy.linalg.sqrtm(C @ D)).real
    assert gaussian_frechet_distance(mean, C, 0 * mean, D) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_equal_singular_covariances_are_at_distance_zero_to_rounding(rank):
    C, mean = covariance(8, rank), np.zeros(8)
    assert gaussian_frechet_distance(mean, C, mean, C) < 1e-13 * np.trace(C)


@pytest.mark.parametrize(("n", "m"), [(50, 30), (5, 30), (5, 4), (2, 2)])
def test_the_distance_of_samples_is_that_of_their_means_and_covariances(n, m):
    x, y = features(n, 8), features(m, 8, seed=1, scale=2, shift=1)
    expected = gaussian_frechet_distance(x.mean(axis=0), np.cov(x.T), y.mean(axis=0), np.cov(y.T))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(x, x) < 1e-13


def test_a_tiny_distance_of_singular_samples_keeps_its_digits():
    x = features(4, 50)
    for size in (1e-3, 1e-6):
        # (1 + size) x has the distance size^2 tr C; the eigenvalues of C^(1/2) D C^(1/2) would give 1e-8 of noise
        expected = size**2 * np.sum(x.var(axis=0, ddof=1)) + size**2 * np.sum(x.mean(axis=0) ** 2)
        assert frechet_distance(x, (1 + size) * x) == pytest.approx(expected, rel=1e-2 if size < 1e-5 else 1e-8)


@pytest.mark.parametrize(("n", "m"), [(12, 9), (2, 5)])
def test_kid_is_three_double_sums(n, m):
    x, y = features(n, 5), features(m, 5, seed=1, shift=0.3)
    assert kid(x, y) == pytest.approx(unbiased_mmd(x, y), rel=1e-12)


def test_kid_in_blocks_is_that_of_one_block(monkeypatch):
    x, y = features(40, 5), features(30, 5, seed=1)
    whole = kid(x, y)
    monkeypatch.setattr("lina.diffusion.metrics._features.BLOCK", 64)
    assert kid(x, y) == pytest.approx(whole, rel=1e-11)


def test_kid_has_no_bias_at_small_samples_where_the_frechet_distance_has():
    pairs = [(features(20, 8, seed=s), features(20, 8, seed=1000 + s)) for s in range(200)]
    values = np.array([kid(x, y) for x, y in pairs])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200)
    assert np.mean([frechet_distance(x, y) for x, y in pairs]) > 0.5


def test_subsets_scatter_around_the_value_of_all_samples():
    x, y = features(300, 6), features(300, 6, seed=1, shift=0.5)
    values = kid(x, y, subsets=40, subset_size=100, return_all=True, rng=0)
    assert values.shape == (40,)
    assert abs(values.mean() - kid(x, y)) < 4 * values.std() / np.sqrt(40)
    assert kid(x, y, subsets=40, subset_size=100, rng=0) == pytest.approx(values.mean())
    assert kid(x, y, subsets=2, subset_size=10**6, rng=0) == pytest.approx(kid(x, y))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize(("n", "m"), [(8, 8), (8, 5), (1, 7), (6, 4)])
def test_on_a_line_the_sliced_distance_is_that_of_the_quantiles(n, m, p):
    x, y = features(n, 1), features(m, 1, seed=1, shift=1)
    expected = wasserstein_1d(x[:, 0], y[:, 0], p) ** (1 / p)
    assert sliced_wasserstein(x, y, p=p, projections=3, rng=0) == pytest.approx(expected, rel=1e-13)


def test_a_shift_has_the_sliced_distance_of_its_projections():
    x, shift = features(50, 16), features(1, 16, seed=1)
    found = sliced_wasserstein(x, x + shift, projections=20_000, rng=0)
    assert found == pytest.approx(np.linalg.norm(shift) / 4, rel=0.02)


@pytest.mark.parametrize("p", [100, 1000, 1e5])
def test_a_large_order_approaches_the_largest_difference_without_vanishing(p):
    x, y = features(200, 1), features(200, 1, seed=1)
    largest = np.max(np.abs(np.sort(x[:, 0]) - np.sort(y[:, 0])))
    found = sliced_wasserstein(1e-3 * x, 1e-3 * y, p=p, rng=0)
    assert 1e-3 * largest * 200 ** (-1 / p) * (1 - 1e-9) <= found <= 1e-3 * largest * (1 + 1e-9)
    blocks = sliced_wasserstein(features(5000, 3), features(5000, 3, seed=1), p=p, projections=1000, rng=0)
    assert 0 < blocks < 2


def test_sliced_distances_are_those_of_the_same_seed_and_of_copies():
    x, y = features(20, 4), features(10, 4, seed=1)
    assert sliced_wasserstein(x, y, rng=3) == sliced_wasserstein(x, y, rng=3)
    assert sliced_wasserstein(x, np.concatenate([x, x]), rng=0) == 0


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_count_the_points_in_balls(k):
    real, fake = features(40, 3), features(30, 3, seed=1, scale=0.5, shift=0.5)
    assert precision_recall(real, fake, k=k) == (covered(fake, real, k), covered(real, fake, k))


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_copies_have_precision_and_recall_one_also_far_from_zero_and_where_samples_repeat(shift):
    x = features(30, 5, shift=shift)
    assert precision_recall(x, x[::-1].copy()) == (1, 1)
    repeated = np.repeat(x[:6], 5, axis=0)  # the radii to the third neighbour are zero
    assert precision_recall(repeated, repeated) == (1, 1)
    many = np.repeat(np.random.default_rng(0).standard_normal((301, 37)) + shift, 5, axis=0)
    assert precision_recall(many, np.concatenate([many[1:4], many])) == (1, 1)  # whose products round otherwise


@pytest.mark.parametrize("far", [1e3, 1e7, 1e9])
def test_a_few_far_samples_do_not_decide_who_is_near_whom(far):
    real = features(60, 5)
    real[50:] = real[:10] + far
    for shift in (0.3, 6.0):
        fake = real + shift
        assert precision_recall(real, fake) == (covered(fake, real, 3), covered(real, fake, 3))
    assert precision_recall(real, real[::-1].copy()) == (1, 1)


def test_a_dropped_mode_lowers_the_recall_and_noise_the_precision():
    modes = np.concatenate([features(100, 2), features(100, 2, seed=1, shift=20)])
    precision, recall = precision_recall(modes, features(200, 2, seed=2))
    assert precision > 0.85
    assert 0.4 < recall < 0.51
    assert precision_recall(modes, features(200, 2, seed=3, scale=100))[0] < 0.1


def test_the_spectrum_is_the_mean_over_rings():
    images = features(6, 64).reshape(2, 3, 8, 8)
    frequencies, power = radial_spectrum(images)
    np.testing.assert_allclose(frequencies, np.arange(5) / 8)
    expected = np.mean([radial_power(image) for image in images.reshape(-1, 8, 8)], axis=0)
    np.testing.assert_allclose(power, expected, rtol=1e-12)


@pytest.mark.parametrize("spatial", [(64,), (32, 48), (15, 16), (8, 10, 12)])
def test_white_noise_has_its_variance_at_every_frequency(spatial):
    images = np.random.default_rng(0).standard_normal((400, 2, *spatial)) * 3
    power = radial_spectrum(images)[1]
    assert power.shape == (min(spatial) // 2 + 1,)
    assert np.max(np.abs(power / 9 - 1)) < 0.25  # at the frequency 0 a mean of 800 squares: 5 standard deviations


def test_a_comparison_prints_each_metric_beside_its_floor():
    real, fake = features(300, 4), features(100, 4, seed=1, scale=3)
    images = np.random.default_rng(0).standard_normal((400, 1, 8, 8))
    report = compare(real, fake, images_real=images[:300], images_fake=images[300:] * 2, rng=0)
    assert (report.reference, report.held_out, report.splits) == (200, 100, 3)
    for name in ("Frechet distance", "KID", "sliced Wasserstein", "spectrum, low half", "spectrum, high half"):
        found = report.metrics[name]
        assert found.value > 3 * abs(found.floor), name
        assert name in str(report)
    assert report.metrics["spectrum, high half"].value == pytest.approx(np.log10(4), abs=0.05)
    assert len({len(line) for line in str(report).splitlines()[1:]}) == 1


def test_constant_images_have_finite_spectral_errors():
    x, zero = features(50, 4), np.zeros((50, 1, 4, 4))
    for real, fake in ((zero, zero + 1), (zero, features(50, 16).reshape(50, 1, 4, 4)), (zero + 1, zero)):
        for dtype in ("float32", "float64"):
            report = compare(x, x, images_real=real.astype(dtype), images_fake=fake.astype(dtype), rng=0)
            each = [report.metrics[f"spectrum, {half} half"] for half in ("low", "high")]
            assert all(np.isfinite([m.value, m.floor]).all() for m in each)
            assert (each[0].value > 0) == bool(fake.std() > 0)


def test_real_samples_reach_their_own_floor():
    draws = features(3000, 8)
    report = compare(draws[:2000], draws[2000:], splits=5, rng=0)
    for name, m in report.metrics.items():
        assert abs(m.value - m.floor) < 5 * (m.spread + m.floor_spread), name


@pytest.mark.parametrize(("count", "held_out"), [(100, None), (100, 70), (100, 40), (600, None)])
def test_the_spread_is_that_of_generated_samples_of_this_number(count, held_out):
    real = features(500, 6)
    sets = [features(count, 6, seed=1 + s, scale=0.8) for s in range(16)]
    reports = [compare(real, fake, held_out=held_out, splits=6, rng=s) for s, fake in enumerate(sets)]
    for name in ("Frechet distance", "sliced Wasserstein", "precision", "recall", "KID"):
        # one split of each: a mean over splits of a large set scatters less than one set of that size
        values = [
            compare(real, fake, held_out=held_out, splits=1, rng=s).metrics[name].value for s, fake in enumerate(sets)
        ]
        stated = np.sqrt(np.mean([report.metrics[name].spread ** 2 for report in reports]))
        assert 0.6 < stated / np.std(values, ddof=1) < 2.2, name


def test_no_deviation_is_printed_where_none_was_measured_nor_rounding_in_its_place():
    real, fake = features(300, 4), features(7, 4, seed=1, scale=3)
    assert str(compare(real, fake, rng=0)).count("+-") == 1 + 5  # the heading, and the floors
    assert np.isnan(compare(real, fake, rng=0).metrics["KID"].spread)
    assert "+-" not in str(compare(real, features(100, 4, seed=1), splits=1, rng=0))
    copies = compare(real, np.tile(features(1, 4, seed=2), (160, 1)), rng=0)
    for m in copies.metrics.values():
        assert m.spread == 0 or m.spread > 1e-12


def test_the_floor_has_the_size_of_the_generated_sample():
    real, fake = features(2000, 16), features(40, 16, seed=1)
    report = compare(real, fake, rng=0, splits=4)
    floor = report.metrics["Frechet distance"]
    assert report.held_out == 40
    assert floor.value == pytest.approx(floor.floor, rel=0.35)
    assert floor.floor > 10 * frechet_distance(real[:1000], real[1000:])


def test_a_large_generated_sample_is_cut_to_the_size_of_the_held_out_one():
    real, fake = features(80, 16), features(2000, 16, seed=1)
    report = compare(real, fake, rng=0, splits=8)
    assert (report.reference, report.held_out) == (40, 40)
    found = report.metrics["Frechet distance"]
    assert found.value == pytest.approx(found.floor, rel=0.25)  # that of all 2000 is a half smaller
    assert frechet_distance(real[:40], fake) < 0.75 * found.value


def test_the_reference_holds_none_of_the_held_out_samples():
    real = features(40, 200)  # far from each other: only a copy is near
    assert compare(real, real, rng=0, k=1).metrics["precision"].floor < 0.5


def test_comparisons_of_one_seed_are_equal():
    real, fake = features(60, 3), features(30, 3, seed=1)
    assert str(compare(real, fake, rng=5)) == str(compare(real, fake, rng=5))
    assert str(compare(real, fake, rng=5)) != str(compare(real, fake, rng=6))


def test_single_precision_features_are_measured_in_double_precision():
    x, y = features(200, 6).astype("float32"), features(100, 6, seed=1).astype("float32")
    for metric in (frechet_distance, kid, lambda x, y: sliced_wasserstein(x, y, rng=0)):
        assert metric(x, y) == metric(x.astype("float64"), y.astype("float64"))


@pytest.mark.torch
def test_tensors_are_measured_and_refuse_a_gradient():
    import torch

    x, y = (torch.from_numpy(features(30, 4, seed=s)) for s in (0, 1))
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(x.numpy(), y.numpy()), rel=1e-12)
    assert str(compare(x, y, rng=0)) == str(compare(x.numpy(), y.numpy(), rng=0))
    with pytest.raises(GradientError, match="kid has no gradient with respect to x"):
        kid(x.requires_grad_(), y)


X = features(10, 3)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: frechet_distance(X[0], X), "x must have at least 2 dimensions"),
        (lambda: frechet_distance(X[:1], X), r"x must be a matrix of at least 2 rows, one for each sample, got shape"),
        (lambda: kid(X, X[:, :2]), r"x and y must have as many columns, got shapes \(10, 3\) and \(10, 2\)"),
        (lambda: kid(X, X * np.nan), "y must be finite, got 30 NaN"),
        (lambda: kid(X * 1j, X), "x must be real, got dtype complex128"),
        (lambda: kid(X * 1e100, X), "x and y must have entries whose distance is a finite number"),
        (lambda: kid(X, X, subsets=0), "subsets must be at least 1, got 0"),
        (lambda: kid(X, X, subsets=1, subset_size=1), "subset_size must be at least 2, got 1"),
        (lambda: sliced_wasserstein(X, X, p=0.5), "p must be at least 1, got 0.5"),
        (lambda: sliced_wasserstein(X, X, projections=0), "projections must be at least 1"),
        (lambda: precision_recall(X, X[:3]), "fake must have more than k = 3 rows, got 3"),
        (lambda: radial_spectrum(X), "images must have at least 3 dimensions"),
        (lambda: radial_spectrum(X[None] * 1e200), "images must have entries whose squares are finite"),
        (lambda: compare(X, X, images_real=X), "images_fake must be given as well"),
        (
            lambda: compare(X, X, images_real=X[:, None], images_fake=X[:4, None]),
            r"images_fake must have the shape \(10, 1, 3\), got \(4, 1, 3\)",
        ),
        (lambda: compare(X, X, held_out=9), "held_out must be at most 8 for 10 real and 10 generated samples, got 9"),
        (lambda: compare(X, X, splits=0), "splits must be at least 1"),
        (
            lambda: compare(X, X[:2]),
            "k must be below the number of samples in each part, got k = 3 for 2 generated and 2",
        ),
        (
            lambda: compare(X * 1e120, X * 1e120, k=1),
            "features_real and features_fake must have entries whose distance",
        ),
        (
            lambda: gaussian_frechet_distance(X[0], np.diag([1.0, -1, 1]), X[0], np.eye(3)),
            "covariance_x must be positive semidefinite, found an eigenvalue -1 of its entries",
        ),
        (
            lambda: gaussian_frechet_distance(X[0], np.eye(3), X[0], np.triu(np.ones((3, 3)))),
            "covariance_y must be symmetric",
        ),
        (
            lambda: gaussian_frechet_distance(X[0], np.eye(3), X[0, :2], np.eye(3)),
            r"mean_y must have the shape \(3,\) of d features, got \(2,\)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, found):
    with pytest.raises((TypeError, ValueError, OverflowError), match=found):
        call()
