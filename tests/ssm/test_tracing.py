"""Systems whose arrays jax is tracing: everything that needs no look at values runs inside jax.jit."""

import numpy as np
import pytest

from lina.hippo import reconstruct
from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    RationalSystem,
    characteristic_polynomial,
    discretize,
    freqresp,
    generating_function,
    leja_order,
    linear_scan,
    poly_from_roots,
    recover_b,
    recover_c,
    stability_margin,
    stable_polynomial,
    to_dense,
    to_diagonal,
    to_rational,
    truncated_b,
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
    "response at traced frequencies": lambda B: freqresp(DPLRSystem(1j * B - 1, B, B, B), B),
    "response in traced steps": lambda B: freqresp(DiagonalSystem(1j * B - 1, B, B).discretize(B[0] / 10), B),
    "certificate of a memory": lambda B: reconstruct(B, np.array([0.5]), "legs", u=B)[1].value + 0 * B[0],
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


HOST = {
    "A to_rational": lambda B: to_rational(DenseSystem(np.eye(3) * B, B, B, dt=1.0)).system.a,
    "Lambda to_diagonal": lambda B: to_diagonal(DPLRSystem(1j * B, B, B, B)).condition,
    "A recover_c": lambda B: recover_c(DenseSystem(np.eye(3) * B, B, B, dt=1.0), 4).system.C,
    "a recover_b": lambda B: recover_b(B, B, 9).system.b,
    "a truncated_b": lambda B: truncated_b(B, B, 9),
    "a stability_margin": stability_margin,
    "Lambda stability_margin": lambda B: stability_margin(DPLRSystem(1j * B, B, B, B)),
    "roots poly_from_roots": poly_from_roots,
    "A characteristic_polynomial": lambda B: characteristic_polynomial(np.eye(3) * B),
    "points leja_order": leja_order,
    "a taps": lambda B: generating_function(RationalSystem(B * 0 + 0.05, B), 8, 5),
}


@pytest.mark.parametrize("name", HOST)
def test_what_is_computed_on_the_host_refuses_a_trace_and_names_the_argument(name, precision):
    jax = precision(double=True)
    with pytest.raises(ValueError, match=f"^{name.split()[0]} must be an array whose values can be looked at"):
        jax.jit(HOST[name])(jax.numpy.asarray([0.5, 0.25, -0.25]))


def test_a_gradient_by_the_step_of_a_response_is_that_of_a_difference(precision):
    jax = precision(double=True)
    system = DiagonalSystem(jax.numpy.asarray([-0.5 + 1j]), jax.numpy.asarray([1.0]), jax.numpy.asarray([1.0]))
    size = lambda dt: abs(freqresp(system.discretize(dt), [3.0])).sum()  # noqa: E731
    difference = (size(0.1 + 1e-6) - size(0.1 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(size)(0.1), difference, rtol=1e-6)


@pytest.mark.parametrize("name", CALLS)
def test_without_double_precision_nothing_asks_for_it(name, precision):
    B = precision(double=False).numpy.asarray(np.array([1.0, 0.5, -0.25], dtype="float32"))
    assert CALLS[name](B).dtype in ("float32", "complex64")  # a warning of jax would be an error
