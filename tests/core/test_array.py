"""The array door."""

import numpy as np
import pytest

from lina import hippo, linalg, simplex, ssm
from lina._core.array import balance, frobenius, from_numpy, is_lazy, open_door, to_numpy
from tests.backends import BACKENDS, selected


def test_lists_become_numpy_arrays_and_integers_become_float64():
    xp, A = open_door(A=[[1, 2], [3, 4]])
    assert isinstance(A, np.ndarray)
    assert A.dtype == np.float64
    assert xp.__name__ == "array_api_compat.numpy"


def test_mixed_libraries_are_refused_by_name():
    import array_api_strict

    with pytest.raises(TypeError, match=r"A and B must be arrays of one library, got A: numpy.*B: array_api_strict"):
        open_door(A=np.ones(2), B=array_api_strict.ones(2))


@pytest.mark.parametrize("name", selected())
def test_values_move_to_each_library_and_back(name):
    x = np.arange(6.0).reshape(2, 3)
    like = BACKENDS[name].move(np.ones((1, 1), dtype="float32"))
    moved = from_numpy(x, like)
    assert type(moved) is type(like)
    back = to_numpy(moved)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e307])
def test_balancing_is_exact(scale):
    xp, A = open_door(A=np.array([[3.0, -1.0], [0.5, 2.0]]) * scale)
    scaled, norm, factor = balance(xp, A, "A")
    np.testing.assert_array_equal(scaled * factor, A)
    assert norm == np.linalg.norm(scaled)
    assert 1e-80 < norm < 1e80
    assert factor == 2.0 ** round(np.log2(factor))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("end", ["largest", "least"])
def test_balancing_is_exact_at_both_ends_of_a_dtype(dtype, end):
    x = np.finfo(dtype).max if end == "largest" else np.finfo(dtype).smallest_subnormal
    xp, A = open_door(A=np.array([[x, 0.0], [0.0, x]], dtype=dtype))
    scaled, norm, factor = balance(xp, A, "A")
    assert scaled.dtype == dtype
    assert 0.5 <= scaled.max() < 2
    np.testing.assert_array_equal(scaled.astype(np.longdouble) * np.longdouble(factor), A.astype(np.longdouble))
    np.testing.assert_allclose(norm, np.sqrt(2) * scaled.max(), rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", [name for name in selected() if name != "dask"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("shape", [(0,), (3, 4), (1024,), (5, 1025), (2000, 4003)])
def test_the_norm_of_many_entries_errs_by_a_few_eps(name, dtype, shape):
    rng = np.random.default_rng(0)
    x = (rng.random(shape) + (1j * rng.random(shape) if dtype == "complex64" else 0)).astype(dtype)
    exact = np.sqrt(np.sum(np.abs(x.astype(complex)) ** 2, dtype=np.longdouble))
    xp, moved = open_door(x=BACKENDS[name].move(x))
    assert abs(float(frobenius(xp, moved)) - exact) <= 3 * np.finfo(dtype).eps * exact


def test_the_norm_of_zeros_has_a_gradient():
    torch = pytest.importorskip("torch", reason="NOT TESTED: gradients of norms, because there is no torch")
    xp, x = open_door(x=torch.zeros((3, 5000), requires_grad=True))
    frobenius(xp, x).backward()
    assert bool((x.grad == 0).all())


def test_concrete_arrays_are_not_lazy_and_traced_ones_are():
    jax = pytest.importorskip("jax", reason="NOT TESTED: traced arrays, because there is no jax")
    seen = []
    jax.jit(lambda x: seen.append(is_lazy(x)) or x)(jax.numpy.ones(2))
    assert seen == [True]
    assert not is_lazy(jax.numpy.ones(2))
    assert not is_lazy(np.ones(2))


def test_a_traced_call_works_with_a_rank_and_says_so_without():
    jax = pytest.importorskip("jax", reason="NOT TESTED: traced arrays, because there is no jax")
    import lina

    A = np.random.default_rng(0).standard_normal((8, 5)).astype("float32")
    X = jax.jit(lina.linalg.pinv)(A)
    np.testing.assert_allclose(X, np.linalg.pinv(A), atol=1e-5)
    error = jax.jit(lambda A: lina.linalg.truncated_svd(A, 2).error)(A)
    np.testing.assert_allclose(error, np.linalg.norm(np.linalg.svd(A)[1][2:]), rtol=1e-4)
    with pytest.raises(ValueError, match="k must be given for a traced or lazy A"):
        jax.jit(lambda A: lina.linalg.truncated_svd(A, rtol=0.1).U)(A)


RAGGED = [[1.0], [1.0, 2.0]]
SYSTEM = ssm.DenseSystem([[0.5]], [1.0], [2.0], 0.1)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("rows", lambda: linalg.cur(np.eye(4), 2, rows=RAGGED, cols=[0, 1])),
        ("rows", lambda: linalg.svd_delete(linalg.truncated_svd(np.eye(4), 2), rows=RAGGED)),
        ("x0", lambda: simplex.mixture_proportions(np.eye(2), x0=RAGGED)),
        ("dt", lambda: ssm.kernel_diag([-1.0], [1.0], [1.0], RAGGED, 3)),
        ("u", lambda: ssm.step(SYSTEM, RAGGED)),
        ("x", lambda: ssm.step(SYSTEM, 1.0, RAGGED)),
        ("cotangent", lambda: ssm.fftconv_vjp(RAGGED, [1.0], [1.0])),
    ],
)
def test_a_ragged_list_is_named_wherever_it_is_given(name, call):
    with pytest.raises(ValueError, match=f"^{name} must be a rectangular array of numbers"):
        call()


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x0 must be an array of real", lambda: simplex.mixture_proportions(np.eye(2), x0=[1, 1j])),
        (
            TypeError,
            "upper must be a number or",
            lambda: simplex.frank_wolfe_gap([1.0, 0], [1, 2.0], upper=[1j]),
        ),
        (ValueError, "cotangent must have all", lambda: ssm.fftconv_vjp([1.0], np.ones((2, 1)), [1.0])),
        (ValueError, "A must have at least one state", lambda: ssm.discretize(np.ones((0, 0)), np.ones(0), 1.0)),
        (
            ValueError,
            "A and B must have leading",
            lambda: ssm.discretize(np.ones((3, 1, 1)), np.ones((2, 1, 1)), 1),
        ),
        (ValueError, "method must be one of", lambda: hippo.legs_scan([1.0], 2, method=np.ones((2, 0)))),
        (TypeError, "axis must be an int", lambda: linalg.leverage_scores(np.eye(2), axis=np.array(["a", "b"]))),
        (
            ValueError,
            "logp must have entries along",
            lambda: simplex.log_softmax_vjp(np.ones((2, 0)), [[], []]),
        ),
        (
            ValueError,
            "diagonal must be non-negative",
            lambda: simplex.portfolio_frontier(None, [1.0], factor=[[1]], diagonal=[-1]),
        ),
        (TypeError, "t must be", lambda: hippo.basis("legs", 2, {})),
        (TypeError, "time_map must return an array", lambda: hippo.basis("legt", 2, [0.5], time_map=len)),
    ],
)
def test_what_once_ended_in_an_error_of_another_library_names_its_argument(error, message, call):
    with pytest.raises(error, match=f"^{message}"):
        call()


def test_an_empty_batch_and_a_tolerance_out_of_range_have_results():
    assert ssm.characteristic_polynomial(np.ones((0, 2, 2))).shape == (0, 2)
    assert linalg.solve_right(np.ones((1, 0)), np.ones((0, 3, 0))).shape[0] == 0
    assert linalg.qr_pivoted(np.eye(2), rtol=1e300).rank >= 1
