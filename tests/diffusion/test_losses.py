"""Errors at several resolutions."""

import numpy as np
import pytest

from lina._core.errors import GradientError
from lina.diffusion import multiscale_mse
from tests.reference.diffusion_images import block_means


def images(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def by_hand(prediction, target, scales, weights):
    parts = [
        w * np.mean(np.abs(block_means(prediction - target, (s, s))) ** 2) for s, w in zip(scales, weights, strict=True)
    ]
    return sum(parts)


@pytest.mark.parametrize("scales", [(1,), (2,), (1, 2, 4), (4, 1), (2, 3, 6, 12)])
def test_the_loss_is_the_mean_over_scales_of_mean_squares_of_block_means(scales):
    x, y = images(2, 3, 12, 24), images(2, 3, 12, 24, seed=1)
    equal = [1 / len(scales)] * len(scales)
    assert multiscale_mse(x, y, scales) == pytest.approx(by_hand(x, y, scales, equal), rel=1e-13)
    weights = list(range(1, len(scales) + 1))
    assert multiscale_mse(x, y, scales, weights) == pytest.approx(by_hand(x, y, scales, weights), rel=1e-13)


def test_complex_errors_count_by_their_moduli():
    x = images(2, 1, 8, 8) + 1j * images(2, 1, 8, 8, seed=1)
    loss = multiscale_mse(x, 0 * x)
    assert loss.dtype == np.float64
    assert loss == pytest.approx(by_hand(x, 0 * x, (1, 2, 4), [1 / 3] * 3), rel=1e-13)


@pytest.mark.parametrize(("shape", "axes"), [((400, 2, 64), 1), ((60, 2, 16, 24), 2), ((20, 2, 8, 8, 8), 3)])
@pytest.mark.parametrize("s", [1, 2, 4])
def test_white_noise_has_one_over_the_size_of_its_blocks_and_one_when_normalised(shape, axes, s):
    noise = images(*shape)
    deviation = 4 * np.sqrt(2 * s**axes / noise.size)  # of a mean of squares of as many normal numbers
    assert multiscale_mse(noise, 0 * noise, (s,)) * s**axes == pytest.approx(1, abs=deviation)
    assert multiscale_mse(noise, 0 * noise, (s,), normalize=True) == pytest.approx(1, abs=deviation)


def test_scales_by_axis_and_losses_by_sample():
    x, y = images(3, 2, 4, 12), images(3, 2, 4, 12, seed=1)
    expected = [np.mean(block_means(a - b, (1, 3)) ** 2) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(multiscale_mse(x, y, [(1, 3)], reduction="none"), expected, rtol=1e-13)
    assert multiscale_mse(x, y) == pytest.approx(multiscale_mse(x, y, reduction="none").mean())


@pytest.mark.torch
def test_tensors_have_its_gradient_and_torch_compiles_it_into_one_graph():
    import torch

    x, y = (torch.from_numpy(images(2, 1, 4, 4, seed=s)) for s in (0, 1))
    assert torch.autograd.gradcheck(lambda x: multiscale_mse(x, y, normalize=True), (x.requires_grad_(),))
    compiled = torch.compile(multiscale_mse, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, y), multiscale_mse(x, y))


@pytest.mark.torch
def test_no_gradient_by_weights_is_dropped_silently():
    import torch

    x = torch.from_numpy(images(2, 1, 4, 4))
    weights = torch.tensor([0.5, 0.5], requires_grad=True)
    for given in (weights, list(weights)):
        with pytest.raises(GradientError, match="multiscale_mse has no gradient with respect to weights"):
            multiscale_mse(x, 0 * x, (1, 2), given)
    torch.testing.assert_close(multiscale_mse(x, 0 * x, (1, 2), weights.detach()), multiscale_mse(x, 0 * x, (1, 2)))


def test_jax_traces_the_loss_and_its_gradient():
    jax = pytest.importorskip("jax")
    x, y = (jax.numpy.asarray(images(2, 1, 4, 4, seed=s).astype("float32")) for s in (0, 1))
    loss, gradient = jax.jit(jax.value_and_grad(multiscale_mse))(x, y)
    assert float(loss) == pytest.approx(float(multiscale_mse(x, y)), rel=1e-5)
    h = 1e-2 * gradient
    rise = float(multiscale_mse(x + h, y) - multiscale_mse(x - h, y)) / 2
    assert rise == pytest.approx(1e-2 * float((gradient**2).sum()), rel=1e-2)


X = images(2, 1, 4, 6)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: multiscale_mse(X[0, 0], X[0, 0]), "prediction must have at least 3 dimensions, got shape"),
        (lambda: multiscale_mse(X, X[:1]), r"prediction and target must have one shape, got \(2, 1, 4, 6\) and"),
        (lambda: multiscale_mse(X, X), r"prediction must have trailing axes that \(4, 4\) divide"),
        (lambda: multiscale_mse(X, X, ()), "scales must be a sequence of at least one scale"),
        (lambda: multiscale_mse(X, X, 2), "scales must be a sequence of at least one scale, got 2"),
        (lambda: multiscale_mse(X, X, (0,)), "scales must be at least 1, got 0"),
        (lambda: multiscale_mse(X, X, [(2,)]), r"scales must have entries for 2 trailing axes, got \(2,\)"),
        (lambda: multiscale_mse(X, X, (1, 2), (1,)), "weights must have one entry for each of the 2 scales, got 1"),
        (lambda: multiscale_mse(X, X, (1, 2), (1, np.nan)), "weights must be finite and not negative, got nan"),
        (lambda: multiscale_mse(X, X, (1, 2), (1, -1)), "weights must be finite and not negative, got -1"),
        (lambda: multiscale_mse(X, X, (1,), reduction="sum"), "reduction must be one of 'mean', 'none', got 'sum'"),
        (lambda: multiscale_mse(X, [[[1.0]]], (1,)), "prediction and target must have one shape"),
    ],
)
def test_bad_input_is_refused_by_name(call, found):
    with pytest.raises((TypeError, ValueError), match=found):
        call()
