"""Systems whose arrays jax is tracing: everything that needs no look at values runs inside jax.jit."""

import numpy as np
import pytest

from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    RationalSystem,
    discretize,
    freqresp,
    generating_function,
    linear_scan,
    stable_polynomial,
    to_dense,
)

U = np.cos(np.arange(30.0))
CALLS = {
    "discretize": lambda B: discretize(np.diag([-1.0, -2.0, -3.0]) + 0 * B, B, 0.1)[0],
    "dense response": lambda B: freqresp(DenseSystem(np.diag([0.1, 0.2, 0.3]) + 0 * B, B, B, dt=1.0), [0.1, 0.2]),
    "diagonal taps": lambda B: generating_function(DiagonalSystem(1j * B - 1, B, B), 12, 12, dt=0.1),
    "low rank taps": lambda B: generating_function(DPLRSystem(1j * B - 1, B, B, B), 12, 12, dt=0.1),
    "low rank, its step": lambda B: generating_function(DPLRSystem(1j * B - 1, B, B, B), 12, dt=B[0] / 10),
    "diagonal, its step": lambda B: DiagonalSystem(1j * B - 1, B, B).discretize(B[0] / 10).Lambda,
    "low rank, a real mode": lambda B: generating_function(DPLRSystem(-2 - B, B, B, B), 12, 12, dt=0.1),
    "rational": lambda B: generating_function(RationalSystem(B * 0 + 0.05, B), 12),
    "diagonal scan": lambda B: linear_scan(DiagonalSystem(0.5j * B, B, B, dt=1.0), U)[0],
    "rational scan": lambda B: linear_scan(RationalSystem(B * 0 + 0.05, B), U)[0],
    "dense scan": lambda B: linear_scan(DenseSystem(np.diag([0.1, 0.2, 0.3]) + 0 * B, B, B, dt=1.0), U)[0],
    "to_dense": lambda B: to_dense(DPLRSystem(1j * B - 1, B, B, B)).system.A,
    "stable_polynomial": stable_polynomial,
}


@pytest.fixture
def precision():
    """Return how to choose the precision of jax, which goes back to what it was."""
    jax = pytest.importorskip("jax", reason="NOT TESTED: traced systems, because there is no jax")
    before = jax.config.jax_enable_x64

    def choose(double):
        jax.config.update("jax_enable_x64", double)
        return jax

    yield choose
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("name", CALLS)
def test_a_traced_call_gives_what_the_call_gives(name, precision):
    jax = precision(double=True)
    B = jax.numpy.asarray([1.0, 0.5, -0.25])
    traced, plain = jax.jit(CALLS[name])(B), CALLS[name](B)
    assert traced.dtype == plain.dtype
    np.testing.assert_allclose(traced, plain, rtol=1e-10, atol=1e-12)


def test_known_arrays_inside_a_trace_are_accepted(precision):
    jax = precision(double=True)
    a = jax.numpy.asarray([-0.5])
    traced = jax.jit(lambda b: generating_function(RationalSystem(a, b), 8))(a + 1)
    np.testing.assert_allclose(traced, generating_function(RationalSystem(a, a + 1), 8), rtol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_without_double_precision_nothing_asks_for_it(name, precision):
    B = precision(double=False).numpy.asarray(np.array([1.0, 0.5, -0.25], dtype="float32"))
    assert CALLS[name](B).dtype in ("float32", "complex64")  # a warning of jax would be an error
