"""Kernels in libraries that trace or differentiate: inside jax.jit, and torch's own gradient beside the adjoints."""

import numpy as np
import pytest

from lina.ssm import (
    cauchy,
    cauchy_vjp,
    kernel_diag,
    kernel_diag_vjp,
    kernel_dplr,
    kernel_dplr_truncated,
    kernel_dplr_truncated_vjp,
    kernel_dplr_vjp,
    vandermonde,
    vandermonde_transpose,
    vandermonde_vjp,
)
from lina.ssm._kernels.cauchy import cauchy_sums
from lina.ssm._kernels.diag import diag_taps
from lina.ssm._kernels.dplr import dplr_taps, truncated_dplr_taps
from lina.ssm._kernels.vandermonde import products, transposed_products, vandermonde_transpose_vjp
from tests.ssm.systems import draws

L = 12
CALLS = {
    "kernel_dplr": lambda B: kernel_dplr(1j * B - 1, B, B, B, 0.1, L),
    "kernel_dplr_truncated": lambda B: kernel_dplr_truncated(1j * B - 1, B, B, B, 0.1, L),
    "kernel_diag": lambda B: kernel_diag(1j * B - 1, B, B, 0.1, L),
    "kernel_diag (bilinear)": lambda B: kernel_diag(1j * B - 1, B, B, 0.1, L, "bilinear"),
    "vandermonde": lambda B: vandermonde(B, 1j * B - 1, L),
    "vandermonde_transpose": lambda B: vandermonde_transpose(B, 1j * B - 1),
    "cauchy": lambda B: cauchy(B, B + 2, B - 1, pairs=True),
    "kernel_dplr_vjp": lambda B: kernel_dplr_vjp(B, 1j * B - 1, B, B, B, 0.1)[0],
    "kernel_dplr_truncated_vjp": lambda B: kernel_dplr_truncated_vjp(B, 1j * B - 1, B, B, B, 0.1)[0],
    "kernel_diag_vjp": lambda B: kernel_diag_vjp(B, 1j * B - 1, B, B, 0.1)[0],
    "vandermonde_vjp": lambda B: vandermonde_vjp(B, B, 1j * B - 1)[1],
    "cauchy_vjp": lambda B: cauchy_vjp(B, B, B + 2, B - 1)[2],
}


@pytest.mark.parametrize("name", CALLS)
def test_a_traced_call_gives_what_the_call_gives(name):
    jax = pytest.importorskip("jax", reason="NOT TESTED: traced kernels, because there is no jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        B = jax.numpy.asarray([1.0, 0.5, -0.25])
        traced, plain = jax.jit(CALLS[name])(B), CALLS[name](np.asarray(B))
        assert traced.dtype == plain.dtype
        np.testing.assert_allclose(traced, plain, rtol=1e-9, atol=1e-10)
    finally:
        jax.config.update("jax_enable_x64", before)


def _stable(n=4):
    rng = np.random.default_rng(0)
    return -rng.uniform(0.1, 1, n) + 1j * rng.uniform(0, 9, n), draws(n, 5), draws(n, 6), draws(n, 7), 0.1


def _low_rank(function, *options):
    return lambda Lambda, P, B, C, dt: function(Lambda, P, B, C, dt, L, *options)


PAIRS = {
    "kernel_dplr": (_low_rank(dplr_taps, "warn"), kernel_dplr_vjp, _stable()),
    "kernel_dplr_truncated": (_low_rank(truncated_dplr_taps), kernel_dplr_truncated_vjp, _stable()),
    "kernel_diag": (
        lambda w, B, C, dt: diag_taps(w, B, C, dt, L, "zoh", "warn"),
        kernel_diag_vjp,
        (*_stable()[:3], 0.1),
    ),
    "vandermonde": (lambda c, x: products(c, x, L), vandermonde_vjp, (draws(4), _stable()[0])),
    "vandermonde_transpose": (transposed_products, vandermonde_transpose_vjp, (draws(7).real, _stable()[0] / 7)),
    "cauchy": (
        lambda v, z, w: cauchy_sums(v, z, w, True),
        lambda g, *arrays: cauchy_vjp(g, *arrays, pairs=True),
        (draws(4), draws(7, 1), draws(4, 2)),
    ),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", PAIRS)
def test_the_adjoint_is_the_gradient_that_torch_finds_through_the_array_body(name):
    torch = pytest.importorskip("torch", reason="NOT TESTED: gradients through the body, because there is no torch")
    function, vjp, arrays = PAIRS[name]
    tensors = [torch.tensor(np.asarray(x)).requires_grad_() for x in arrays]
    out = function(*tensors)
    g = np.random.default_rng(1).standard_normal(out.shape)
    g = g + 1j * g[::-1] if out.is_complex() else g
    expected = torch.autograd.grad(out, tensors, torch.tensor(g))
    for found, each in zip(vjp(g, *arrays), expected, strict=True):
        np.testing.assert_allclose(found, each.numpy(), atol=1e-9 * np.max(np.abs(each.numpy())))
    same = vjp(torch.tensor(g), *[t.detach() for t in tensors])
    for found, each in zip(same, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), each.numpy(), atol=1e-9 * np.max(np.abs(each.numpy())))
