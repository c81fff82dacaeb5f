"""Blocks and cosine series: exact pairs, white noise, any number of axes."""

import numpy as np
import pytest

from lina.diffusion import avg_pool, dct_downsample, dct_upsample, nearest_upsample
from tests.reference.diffusion_images import block_means, cosine_resampled


def field(*shape, dtype="float64", seed=0):
    x = np.random.default_rng(seed).standard_normal(shape)
    return (x + 1j * x[..., ::-1]).astype(dtype) if "complex" in dtype else x.astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("shape", "scale"), [((2, 3, 12), 4), ((2, 3, 6, 8), 2), ((1, 2, 4, 6, 9), (2, 1, 3))])
def test_a_pooled_entry_is_the_mean_of_its_block(shape, scale, dtype):
    x = field(*shape, dtype=dtype)
    scales = scale if isinstance(scale, tuple) else (scale,) * (len(shape) - 2)
    np.testing.assert_allclose(avg_pool(x, scale), block_means(x, scales), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("scales", [(66, 10), (11, 1), (33, 5), (6, 2), (22, 10)])
def test_blocks_of_any_size_are_pooled_factor_by_factor(scales, dtype):
    x = field(2, 3, 66, 10, dtype=dtype)
    np.testing.assert_allclose(avg_pool(x, scales), block_means(x, scales), rtol=1e-13, atol=1e-15)


@pytest.mark.torch
def test_the_gradient_of_a_large_block_is_one_over_its_size():
    import torch

    for n in (64, 11, 26):
        x = torch.ones((2, 3, 2 * n), dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(avg_pool(x, n).sum(), x)
        np.testing.assert_allclose(found.numpy(), 1 / n, rtol=1e-14)


def test_repeated_samples_are_what_numpy_repeats():
    x = field(2, 3, 4, 5)
    np.testing.assert_array_equal(nearest_upsample(x, (2, 3)), x.repeat(2, axis=2).repeat(3, axis=3))


@pytest.mark.parametrize(("old", "new"), [(12, 8), (13, 8), (8, 13), (5, 1), (1, 5), (64, 40), (7, 7)])
def test_a_cosine_series_is_cropped_or_evaluated_on_a_finer_grid(old, new):
    x = field(3, 2, old)
    expected = np.array([[cosine_resampled(row, new) for row in rows] for rows in x])
    found = dct_downsample(x, new) if new <= old else dct_upsample(x, new)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("old", "new"), [(600, 331), (601, 300), (333, 1000), (514, 1025)])
def test_long_axes_by_fourier_transforms_are_short_ones_by_matrices(old, new):
    pytest.importorskip("torch")
    import torch

    from lina.diffusion._dct import _matrix

    resample = dct_downsample if new < old else dct_upsample
    for dtype in ("float64", "complex128"):
        x = field(2, 3, old, dtype=dtype)
        expected = x @ _matrix(old, new).T
        np.testing.assert_allclose(resample(x, new), expected, rtol=1e-11, atol=1e-12)  # scipy
        np.testing.assert_allclose(resample(torch.from_numpy(x), new).numpy(), expected, rtol=1e-11, atol=1e-12)


PAIRS = {
    "blocks": (lambda x: avg_pool(x, 2), lambda y: nearest_upsample(y, 2), (8, 12), (4, 6)),
    "cosines": (lambda x: dct_downsample(x, (8, 5)), lambda y: dct_upsample(y, (12, 12)), (12, 12), (8, 5)),
    "long cosines": (lambda x: dct_downsample(x, (3, 400)), lambda y: dct_upsample(y, (4, 600)), (4, 600), (3, 400)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_down_after_up_changes_nothing_and_up_is_the_scaled_transpose_of_down(pair):
    down, up, large, small = PAIRS[pair]
    x, y = field(2, 3, *large), field(2, 3, *small, seed=1)
    gain = np.prod(large) / np.prod(small)
    np.testing.assert_allclose(down(up(y)), y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.sum(up(y) * x), gain * np.sum(y * down(x)), rtol=1e-12)


@pytest.mark.parametrize("pair", ["blocks", "cosines"])
def test_white_noise_stays_white_with_its_variance_over_the_gain(pair):
    down, _, large, small = PAIRS[pair]
    n, m = np.prod(large), np.prod(small)
    matrix = down(np.eye(n).reshape(n, 1, *large)).reshape(n, m).T
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(m) * m / n, rtol=0, atol=1e-14)


@pytest.mark.parametrize("s", [2, 3, 4])
def test_pooling_multiplies_the_ratio_of_signal_to_noise_by_the_size_of_a_block(s):
    signal = nearest_upsample(field(1, 1, 240 // s, 240 // s), s)  # which pooling keeps
    noise = field(40, 1, 240, 240, seed=1)
    before = np.mean(signal**2) / np.mean(noise**2)
    after = np.mean(avg_pool(signal, s) ** 2) / np.mean(avg_pool(noise, s) ** 2)
    assert abs(after / before / s**2 - 1) < 0.015  # 4 standard deviations of 1.4e5 squares


def test_the_mean_of_an_image_stays():
    x = field(2, 1, 12, 18)
    for y in (avg_pool(x, 3), nearest_upsample(x, 2), dct_downsample(x, (7, 11)), dct_upsample(x, 40)):
        np.testing.assert_allclose(y.mean(axis=(2, 3)), x.mean(axis=(2, 3)), rtol=0, atol=1e-14)


@pytest.mark.torch
def test_gradients_of_tensors_are_those_of_the_transposed_maps():
    import torch

    x = torch.from_numpy(field(1, 2, 6, 4)).requires_grad_()
    y = torch.from_numpy(field(1, 1, 520, seed=2)).requires_grad_()
    for function in (lambda x: avg_pool(x, 2), lambda x: nearest_upsample(x, 2), lambda x: dct_downsample(x, (4, 3))):
        assert torch.autograd.gradcheck(function, (x,))
    (gradient,) = torch.autograd.grad(dct_downsample(y, 300).sum() * 2, y)
    np.testing.assert_allclose(gradient, np.full((1, 1, 520), 2 * 300 / 520), rtol=1e-11)


@pytest.mark.torch
def test_autocast_does_not_round_cosine_series():
    import torch

    x = torch.from_numpy(field(1, 2, 12, 12, dtype="float32"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = dct_downsample(x, 8)
    assert torch.equal(y, dct_downsample(x, 8))


@pytest.mark.torch
def test_torch_compiles_each_of_them_into_one_graph():
    import torch

    def all_of_them(x):
        return nearest_upsample(avg_pool(x, 2), 2) + dct_upsample(dct_downsample(x, (3, 3)), x.shape[2:])

    x = torch.from_numpy(field(1, 2, 6, 4))
    compiled = torch.compile(all_of_them, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), all_of_them(x))


def test_jax_traces_each_of_them():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(field(1, 2, 6, 4, dtype="float32"))
    for f in (
        lambda x: nearest_upsample(avg_pool(x, 2), 2),
        lambda x: dct_upsample(dct_downsample(x, (3, 3)), (6, 4)),
        lambda x: dct_upsample(x, (6, 530)),
    ):
        np.testing.assert_allclose(jax.jit(f)(x), f(x), rtol=1e-5, atol=1e-6)
        assert jax.grad(lambda x, f=f: f(x).sum())(x).shape == x.shape


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda x: avg_pool(x, 4), r"x must have trailing axes that \(4, 4\) divide, got shape \(1, 2, 6, 4\)"),
        (lambda x: avg_pool(x, 0), "scale must be at least 1, got 0"),
        (lambda x: avg_pool(x, 1.5), "scale must be an int, got float"),
        (lambda x: avg_pool(x, ()), "scale must have at least one"),
        (lambda x: avg_pool(x[0, 0], 2), r"x must have the shape \(batch, channels, ...\)"),
        (lambda x: nearest_upsample(x, (1, 1, 1, 1, 1)), "scale must have at least one and at most as many entries"),
        (lambda x: dct_downsample(x, 5), r"x must have trailing axes of at least \(5, 5\), the size, got shape"),
        (lambda x: dct_upsample(x, (5, 5)), r"x must have trailing axes of 1 to \(5, 5\), the size, got shape"),
        (lambda x: dct_upsample(x[..., :0], (6, 5)), "x must have trailing axes of 1 to"),
        (lambda x: dct_downsample("x", 2), "x must be an array, got str"),
    ],
)
def test_bad_input_is_refused_by_name(call, found):
    with pytest.raises((TypeError, ValueError), match=found):
        call(field(1, 2, 6, 4))
