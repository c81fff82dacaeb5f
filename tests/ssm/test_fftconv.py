"""Causal convolutions against double loops, in parts against whole, and their adjoints."""

import numpy as np
import pytest

from lina.ssm import DenseSystem, fftconv, fftconv_vjp, kernel_dense, linear_scan
from tests.reference.ssm_convolution import convolution, gradient
from tests.ssm.systems import dense

SIZES = [(1, 1), (1, 4), (5, 1), (5, 3), (5, 9), (33, 33), (40, 7), (7, 40)]


def draw(L, M, kind="f", seed=0):
    rng = np.random.default_rng(seed)
    u, k = rng.standard_normal(L), rng.standard_normal(M)
    return (u + 1j * rng.standard_normal(L), k - 1j * rng.standard_normal(M)) if kind == "c" else (u, k)


@pytest.mark.parametrize(("L", "M"), SIZES)
@pytest.mark.parametrize("kind", ["f", "c"])
def test_the_outputs_and_the_state_are_the_product(L, M, kind):
    u, k = draw(L, M, kind)
    exact = convolution(u, k, L + M - 1)
    y, x = fftconv(u, k, return_state=True)
    np.testing.assert_allclose(np.r_[y, x], exact, atol=1e-13)
    np.testing.assert_allclose(fftconv(u, k), exact[:L], atol=1e-13)


@pytest.mark.parametrize("M", [1, 2, 8, 50])
@pytest.mark.parametrize("cuts", [(10,), (1, 2, 3), (0, 20, 37), (12, 12)])
def test_parts_that_carry_the_state_are_the_whole(M, cuts):
    u, k = draw(37, M)
    whole, last = fftconv(u, k, return_state=True)
    x, outputs = None, []
    for part in np.split(u, cuts):
        y, x = fftconv(part, k, x, return_state=True)
        outputs.append(y)
    np.testing.assert_allclose(np.concatenate(outputs), whole, atol=1e-13)
    np.testing.assert_allclose(x, last, atol=1e-13)


def test_a_state_is_added_where_none_is_returned_and_no_samples_leave_it():
    _, k = draw(1, 9)
    x0 = np.arange(1.0, 9.0)
    np.testing.assert_allclose(fftconv(np.zeros(3), k, x0), x0[:3])
    np.testing.assert_allclose(fftconv(np.zeros(20), k, x0), np.r_[x0, np.zeros(12)])
    y, x = fftconv(np.zeros(0), k, x0, return_state=True)
    assert y.shape == (0,)
    np.testing.assert_array_equal(x, x0)


def test_real_and_complex_mix_and_single_precision_stays():
    u, k = draw(20, 5)
    np.testing.assert_allclose(fftconv(u, 1j * k), 1j * fftconv(u, k), atol=1e-14)
    single = fftconv(u.astype("float32"), k.astype("float32"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, fftconv(u, k), atol=1e-5)
    assert fftconv([1, 2], [1, 1]).dtype == np.float64


def test_batches_broadcast():
    rng = np.random.default_rng(0)
    u, k, x0 = rng.standard_normal((3, 1, 11)), rng.standard_normal((2, 4)), rng.standard_normal((5, 1, 1, 3))
    y, x = fftconv(u, k, x0, return_state=True)
    assert (y.shape, x.shape) == ((5, 3, 2, 11), (5, 3, 2, 3))
    one = fftconv(u[2, 0], k[1], x0[4, 0, 0], return_state=True)
    np.testing.assert_allclose(y[4, 2, 1], one[0], atol=1e-14)
    np.testing.assert_allclose(x[4, 2, 1], one[1], atol=1e-14)


def test_a_kernel_does_what_the_recurrence_does():
    s = dense(6).discretize(0.1)
    u = np.random.default_rng(0).standard_normal((2, 500))
    K = kernel_dense(s.A, s.B, s.C, None, 500)
    np.testing.assert_allclose(fftconv(u, K), linear_scan(DenseSystem(s.A, s.B, s.C, dt=1.0), u)[0], atol=1e-13)


def test_what_leaves_the_range_is_an_error():
    with pytest.raises(OverflowError, match="u or k must be small enough"):
        fftconv([1e200], [1e200])


@pytest.mark.parametrize(("L", "M"), SIZES)
@pytest.mark.parametrize("kind", ["f", "c"])
@pytest.mark.parametrize("with_state", [True, False])
def test_adjoints_are_differences(L, M, kind, with_state):
    u, k = draw(L, M, kind)
    x0, _ = draw(M - 1, 1, kind, 5)
    g, _ = draw(L, 1, kind, 6)
    more = draw(M - 1, 1, kind, 7)[0] if with_state else None
    du, dk, dx0 = fftconv_vjp(g, u, k, cotangent_state=more)

    def both(u, k, x0):
        y, x = fftconv(u, k, x0, return_state=True)
        return np.r_[y, x] if with_state else y

    whole = np.r_[g, more] if with_state else g
    np.testing.assert_allclose(du, gradient(lambda u: both(u, k, x0), u, whole), atol=1e-7)
    np.testing.assert_allclose(dk, gradient(lambda k: both(u, k, x0), k, whole), atol=1e-7)
    np.testing.assert_allclose(dx0, gradient(lambda x0: both(u, k, x0), x0, whole), atol=1e-7)


def test_adjoints_sum_over_what_was_broadcast():
    rng = np.random.default_rng(0)
    u, k, g = rng.standard_normal((3, 1, 6)), rng.standard_normal((2, 4)), rng.standard_normal((3, 2, 6))
    du, dk, dx0 = fftconv_vjp(g, u, k)
    assert (du.shape, dk.shape, dx0.shape) == ((3, 1, 6), (2, 4), (3, 2, 3))
    each = [[fftconv_vjp(g[i, j], u[i, 0], k[j]) for j in range(2)] for i in range(3)]
    np.testing.assert_allclose(du[1, 0], each[1][0][0] + each[1][1][0], atol=1e-13)
    np.testing.assert_allclose(dk[1], sum(each[i][1][1] for i in range(3)), atol=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fftconv(1.0, [1.0]), ValueError, "u must have at least 1 dim"),
        (lambda: fftconv([1.0], []), ValueError, "k must have at least one entry"),
        (lambda: fftconv([np.nan], [1.0]), ValueError, "u must be finite"),
        (lambda: fftconv([1.0], [np.inf]), ValueError, "k must be finite"),
        (lambda: fftconv([1.0], [1.0, 2.0], [1.0, 2.0]), ValueError, "x0 must have M - 1 = 1 entries"),
        (lambda: fftconv(np.ones((2, 3)), np.ones((3, 3))), ValueError, "leading axes that broadcast"),
        (lambda: fftconv("u", [1.0]), TypeError, "u must be an array"),
        (lambda: fftconv_vjp([1.0, 2.0], [1.0], [1.0]), ValueError, "cotangent must have n = 1"),
        (lambda: fftconv_vjp([1.0], [1.0], [1.0], cotangent_state=[1.0]), ValueError, "cotangent_state must have"),
        (
            lambda: fftconv_vjp([1.0], [1.0], [1.0, 2.0], cotangent_state=np.ones((3, 1))),
            ValueError,
            "cotangent_state must have no more axes than cotangent",
        ),
        (lambda: fftconv_vjp([], [], [1.0]), ValueError, "u must have at least one sample"),
    ],
)
def test_an_error_names_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.torch
def test_torch_gives_the_same_and_gradients_pass():
    torch = pytest.importorskip("torch")
    u, k = (torch.tensor(x, requires_grad=True) for x in draw(7, 4))
    x0 = torch.ones(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, k, x0: fftconv(u, k, x0, return_state=True), (u, k, x0))
    np.testing.assert_allclose(fftconv(u, k).detach().numpy(), fftconv(*draw(7, 4)), atol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "complex128", "float32"])
def test_sums_that_overflow_on_the_way_to_a_result_in_range_do_no_harm(dtype):
    largest = np.finfo(dtype).max / 100
    u, k = np.full((2, 1000), largest, dtype=dtype), np.array([1.0, 0.0], dtype=dtype)
    u[1] = largest**-0.5
    np.testing.assert_allclose(fftconv(u, k), u, rtol=1e-5 if dtype == "float32" else 1e-13)
    np.testing.assert_allclose(fftconv(k * u[1, 0], u[0]), u[1, :2] * u[0, :2], rtol=1e-5)
    y, _ = fftconv(u[:1], k, np.array([-largest], dtype=dtype), return_state=True)
    np.testing.assert_allclose(y[0, :2], [0, largest], atol=largest * 1e-5)
    with pytest.raises(OverflowError, match="u or k must be small enough"):
        fftconv(u[0], u[0])
