"""Sums of exponentials and their adjoints: against 40 digits, at every length, kernel against body and text."""

import tracemalloc

import mpmath
import numpy as np
import pytest

from lina.ssm import vandermonde, vandermonde_transpose, vandermonde_vjp
from lina.ssm._kernels import vandermonde as module
from tests.reference.ssm_kernels import derivative, exponential_sums
from tests.ssm.systems import draws

EPS = 2.0**-52


def poles(n, seed=0):
    rng = np.random.default_rng(seed)
    return -rng.uniform(0, 0.1, n) + 1j * rng.uniform(-np.pi, np.pi, n)


def full(x, L):
    return np.exp(x[..., None] * np.arange(L))


@pytest.fixture(params=["body", "compiled"])
def path(request, monkeypatch):
    monkeypatch.setattr(module, "WORTH_COMPILING", 0 if request.param == "compiled" else 2**62)
    return request.param


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("L", [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000])
def test_sums_are_those_in_40_digits(L):
    c, x = draws(3, L), poles(3, L)
    exact = np.array(exponential_sums(c, x, L), dtype=float)
    bound = EPS * (L * np.max(np.abs(x)) + 30) * np.sum(np.abs(c))
    np.testing.assert_allclose(vandermonde(c, x, L), exact, atol=bound)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("L", [1, 2, 3, 7, 16, 17, 1000])
def test_the_transpose_is_the_transpose(L):
    u, x = np.random.default_rng(0).standard_normal((4, L)), np.stack([poles(3, s) for s in range(4)])
    exact = np.sum(u[:, None] * full(x, L), axis=-1)
    np.testing.assert_allclose(vandermonde_transpose(u, x), exact, atol=1e-13 * np.max(np.abs(exact)) + 1e-13)


def test_a_million_powers_keep_their_phases():
    x = np.array([-1e-6 + 3.1j, -1e-7 + 1e-3j])
    K = vandermonde([1.0, 0.5], x, 10**6)
    l = np.array([0, 1, 999, 123_456, 999_999])  # noqa: E741
    phase = np.longdouble(3.1) * l
    exact = 2 * np.exp(-1e-6 * l) * np.cos(phase.astype(float)) + np.exp(-1e-7 * l) * np.cos(1e-3 * l)
    np.testing.assert_allclose(K[l], exact, atol=2e-9)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("x", [-1e-9, -1e-6 + 1j])
def test_errors_of_many_powers_are_within_their_documented_bound(x):
    L = 300_000
    K = vandermonde([1.0], [x], L)
    for l in (1000, L // 2, L - 1):  # noqa: E741
        exact = 2 * float((mpmath.exp(mpmath.mpc(x) * l)).real)
        assert abs(K[l] - exact) < 2 * EPS * (l * abs(x) + 2 * L**0.5 + 30)


def test_single_precision_has_the_phases_of_double():
    c, x = draws(32).astype("complex64"), poles(32).astype("complex64")
    K = vandermonde(c, x, 50_000)
    assert K.dtype == np.float32
    exact = vandermonde(c.astype(complex), x.astype(complex), 50_000)
    assert np.max(np.abs(K - exact)) <= 6.1e-8 * np.max(np.abs(exact))


def test_a_shorter_sum_is_the_beginning_of_a_longer_one():
    c, x = draws(5), poles(5)
    whole = vandermonde(c, x, 300)
    for L in (1, 2, 17, 299):
        np.testing.assert_allclose(vandermonde(c, x, L), whole[:L], atol=1e-12)


@pytest.mark.usefixtures("path")
def test_leading_axes_broadcast_and_may_be_empty():
    c, x = draws(12).reshape(2, 2, 3), poles(3)
    np.testing.assert_allclose(vandermonde(c, x, 9)[1, 0], vandermonde(c[1, 0], x, 9), atol=1e-14)
    assert vandermonde(c[:0], x, 9).shape == (0, 2, 9)
    assert vandermonde_transpose(np.ones((0, 9)), x).shape == (0, 3)
    d_c, d_x = vandermonde_vjp(np.ones((2, 2, 9)), c, x)
    assert (d_c.shape, d_x.shape) == ((2, 2, 3), (3,))
    each = [vandermonde_vjp(np.ones(9), row, x)[1] for row in c.reshape(4, 3)]
    np.testing.assert_allclose(d_x, np.sum(each, axis=0), rtol=1e-12)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("L", [1, 2, 9])
def test_the_adjoint_is_that_of_sums_in_40_digits(L):
    arguments, g = [draws(3), poles(3)], np.random.default_rng(1).standard_normal(L)
    for i, gradient in enumerate(vandermonde_vjp(g, *arguments)):
        direction = draws(3, 7 + i)
        change = g @ derivative(lambda *a: exponential_sums(*a, L), arguments, i, direction).real
        np.testing.assert_allclose(np.sum(gradient.conj() * direction).real, change, rtol=1e-11, atol=1e-13)


def test_the_compiled_kernel_does_what_its_text_says_on_1000_small_inputs(monkeypatch):
    from lina._numba import vandermonde as kernels

    rng = np.random.default_rng(0)
    cases = []
    for i in range(1000):
        n, k, L = rng.integers(1, 5), rng.integers(1, 3), int(rng.integers(1, 40))
        cases.append((draws(n, i)[None], poles(n, i)[None], L, rng.standard_normal((1, k, L))))

    def run():
        return [(kernels.vandermonde(c, x, L), kernels.vandermonde_transpose(u, x)) for c, x, L, u in cases]

    compiled = run()
    for name, function in list(vars(kernels).items()):
        if hasattr(function, "py_func"):
            monkeypatch.setattr(kernels, name, function.py_func)
    for first, second in zip(compiled, run(), strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-13 * (1 + np.max(np.abs(b))))


def test_the_number_of_threads_does_not_change_a_bit(threads):
    c, x = (np.stack([draw(32, s) for s in range(40)]) for draw in (draws, poles))
    u = np.random.default_rng(0).standard_normal((40, 4096))
    answers = []
    for count in (1, 2, 3):
        threads(count)
        answers.append((vandermonde(c, x, 4096), vandermonde_transpose(u, x)))
    for other in answers[1:]:
        for a, b in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_is_that_of_inputs_and_outputs():
    c, x = (np.stack([draw(32, s) for s in range(64)]).astype("complex64") for draw in (draws, poles))
    g = np.ones((64, 16384), dtype="float32")
    for call in (lambda: vandermonde(c, x, 16384), lambda: vandermonde_vjp(g, c, x)):
        call()
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 * g.nbytes  # the whole matrix takes 268 MB


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: vandermonde([1.0], [0.0], 0), ValueError, "L must be in 1"),
        (lambda: vandermonde([1.0], [0.0], 1.5), TypeError, "L must be an int"),
        (lambda: vandermonde([1.0], [0.0, 1.0], 2), ValueError, "x must have n = 1 entries"),
        (lambda: vandermonde([np.nan], [0.0], 2), ValueError, "c must be finite"),
        (lambda: vandermonde([1.0], [1.0], 2000), OverflowError, "c and x must be small enough"),
        (lambda: vandermonde([[1.0]] * 2, [[0.0]] * 3, 2), ValueError, "leading axes that broadcast"),
        (lambda: vandermonde_transpose([1.0j], [0.0]), TypeError, "u must be real"),
        (lambda: vandermonde_transpose([], [0.0]), ValueError, "u must have at least one entry"),
        (lambda: vandermonde_vjp([1.0, 1.0j], [1.0], [0.0]), TypeError, "cotangent must be real"),
        (lambda: vandermonde_vjp([[1.0]], [1.0], [0.0]), ValueError, "cotangent must have shape"),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
