"""The array door."""

import numpy as np
import pytest

from lina._core.array import balance, from_numpy, is_lazy, open_door, to_numpy
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
