"""A library that has no float64, as jax in its default setting: computed on the host, certified there."""

from types import SimpleNamespace

import numpy as np
import pytest

from lina.simplex import (
    kernel_herding,
    min_enclosing_ball,
    mixture_proportions,
    mmd_quantization,
    optimal_design,
    portfolio_frontier,
    simplex_lsq,
    simplex_qp,
)
from lina.simplex._data import computing

A = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)

PROBLEMS = {
    "optimal_design D": lambda A: optimal_design(A),
    "optimal_design A": lambda A: optimal_design(A, "A"),
    "min_enclosing_ball": lambda A: min_enclosing_ball(A),
    "simplex_lsq": lambda A: simplex_lsq(A.T, A[0] * 0 + 1),
    "mixture_proportions": lambda A: mixture_proportions(abs(A), weights=abs(A[:, 0])),
    "mixture_proportions of logarithms": lambda A: mixture_proportions(log_likelihood=A),
    "mmd_quantization": lambda A: mmd_quantization(A, 10),
    "mmd_quantization of a matrix": lambda A: mmd_quantization(A @ A.T, 3, kernel="precomputed"),
    "kernel_herding": lambda A: kernel_herding(A, 10),
    "simplex_qp": lambda A: simplex_qp(factor=A),
    "portfolio_frontier": lambda A: portfolio_frontier(mean=A[:, 0], factor=A, diagonal=abs(A[:, 1]) + 0.1),
}


def test_arrays_of_a_library_without_float64_are_computed_with_in_numpy():
    dtypes = {"float32": np.float32}
    poor = SimpleNamespace(__array_namespace_info__=lambda: SimpleNamespace(dtypes=lambda kind: dtypes))
    xp, x = computing(poor, A)
    assert x.dtype == np.float64
    assert xp.__array_namespace_info__().dtypes(kind="real floating").keys() >= {"float64"}
    dtypes["float64"] = np.float64
    assert computing(poor, A)[1] is A


@pytest.mark.parametrize("name", PROBLEMS)
def test_jax_in_single_precision_gets_the_answer_and_the_certificate_of_numpy(name):
    jax = pytest.importorskip("jax", reason="NOT TESTED: jax without float64, because there is no jax")
    wanted = PROBLEMS[name](A)
    with jax.enable_x64(False):
        found = PROBLEMS[name](jax.numpy.asarray(A))
        assert isinstance(found.x, jax.Array)
        assert isinstance(found.support, jax.Array)
    assert found.certified
    assert found.certified_in == "float64"
    assert found.status == wanted.status
    np.testing.assert_allclose(found.value, wanted.value, rtol=2e-5, atol=1e-9)
    np.testing.assert_array_less(found.gap, 2 * np.asarray(wanted.gap) + 1e-5 * np.abs(wanted.value) + 1e-9)
