"""Mappings of rows, scans and convolution kernels: each block is what numpy makes of it."""

import dask
import dask.array as da
import numpy as np
import pytest

from lina.hippo import legs_scan
from lina.simplex import (
    entmax,
    log_softmax,
    logsumexp,
    project_capped_simplex,
    project_simplex,
    soft_topk,
    softmax,
    sparsemax,
)
from lina.ssm import kernel_diag, kernel_dplr, kernel_dplr_truncated, kernel_rational, kernel_rational_truncated

RNG = np.random.default_rng(0)
X = RNG.standard_normal((900, 30))
PER_ROW = 1 + RNG.random(900)
MAPPINGS = {
    "project_simplex": project_simplex,
    "project_simplex, a radius each": lambda x: project_simplex(x, PER_ROW),
    "project_simplex along columns": lambda x: project_simplex(x, axis=0),
    "project_capped_simplex": lambda x: project_capped_simplex(x, upper=0.2),
    "softmax": softmax,
    "softmax, a temperature each": lambda x: softmax(x, temperature=PER_ROW),
    "softmax of some": lambda x: softmax(x, where=X > 0),
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "sparsemax": sparsemax,
    "entmax": lambda x: entmax(x, 1.3),
    "soft_topk": lambda x: soft_topk(x, 4, regularizer="entropic"),
}


@pytest.mark.parametrize("chunks", [(200, -1), (-1, 7), (130, 11)])
@pytest.mark.parametrize("name", MAPPINGS)
def test_a_mapping_of_rows_is_that_of_numpy(name, chunks):
    mapping = MAPPINGS[name]
    p = mapping(da.from_array(X, chunks=chunks))
    assert isinstance(p, da.Array)
    np.testing.assert_allclose(p.compute(), mapping(X), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["project_simplex", "softmax", "log_softmax", "entmax", "sparsemax"])
def test_a_block_of_whole_rows_takes_few_tasks(name):
    p = MAPPINGS[name](da.from_array(X, chunks=(90, -1)))
    assert len(dict(dask.optimize(p)[0].dask)) <= 60  # ten blocks


def test_thresholds_come_along():
    p, tau, support = dask.compute(*project_simplex(da.from_array(X, chunks=(200, -1)), return_threshold=True))
    for found, wanted in zip((p, tau, support), project_simplex(X, return_threshold=True), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-15)


@pytest.mark.parametrize(
    "options", [{}, {"return_all": True}, {"method": "exact"}, {"k0": 10}, {"scaling": "orthonormal"}]
)
def test_memories_are_those_of_numpy(options):
    u, x0 = RNG.standard_normal((40, 300)), RNG.standard_normal((40, 12))
    signal, start = da.from_array(u, chunks=(11, 70)), da.from_array(x0, chunks=(7, 5))
    if "k0" in options:
        found, wanted = legs_scan(signal, 12, x0=start, **options), legs_scan(u, 12, x0=x0, **options)
    else:
        found, wanted = legs_scan(signal, 12, **options), legs_scan(u, 12, **options)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found.compute(), wanted, atol=1e-12)


H, N, L = 20, 6, 80
LAMBDA = -0.5 + 1j * np.arange(1, N + 1) * np.ones((H, 1))
P, B, C = (RNG.standard_normal((H, N)) * (0.3 + 0.1j) for _ in range(3))
STEPS = 0.01 + 0.1 * RNG.random(H)
POLES, NUMERATORS = 0.1 * RNG.standard_normal((H, N)), RNG.standard_normal((H, N))
KERNELS = {
    "diag": (lambda w, _, b, c, dt: kernel_diag(w, b, c, dt, L), (LAMBDA, P, B, C, STEPS)),
    "diag, one step": (lambda w, _, b, c, __: kernel_diag(w, b, c, 0.1, L), (LAMBDA, P, B, C, STEPS)),
    "diag, shared": (lambda w, _, b, c, dt: kernel_diag(w[0], b, c, dt, L), (LAMBDA, P, B, C, STEPS)),
    "dplr": (lambda w, p, b, c, dt: kernel_dplr(w, p, b, c, dt, L), (LAMBDA, P, B, C, STEPS)),
    "dplr, two terms": (
        lambda w, p, b, c, dt: kernel_dplr(w, p, b, c, dt, L),
        (LAMBDA, np.stack([P, 0.1j * B], axis=1), B, C, STEPS),
    ),
    "dplr, truncated": (lambda w, p, b, c, dt: kernel_dplr_truncated(w, p, b, c, dt, L), (LAMBDA, P, B, C, STEPS)),
    "rational": (lambda a, b: kernel_rational(a, b, L), (POLES, NUMERATORS)),
    "rational, truncated": (lambda a, b: kernel_rational_truncated(a, b, L), (POLES, NUMERATORS)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_convolution_kernels_are_those_of_numpy(name):
    call, arrays = KERNELS[name]
    K = call(*(da.from_array(each, chunks=(6, *(4,) * (each.ndim - 1))) for each in arrays))
    wanted = call(*arrays)
    assert (K.shape, K.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(K.compute(), wanted, atol=1e-14)


def test_an_unstable_system_is_refused_when_it_is_met():
    w = da.from_array(-LAMBDA, chunks=(6, -1))
    K = kernel_diag(w, B, C, 0.1, L, unstable="raise")
    with pytest.raises(ValueError, match="unstable"):
        K.compute()


@pytest.mark.parametrize("mapping", [project_simplex, softmax, log_softmax, sparsemax, entmax])
def test_few_rows_are_one_task_a_block_too_and_none_are_none(mapping):
    few = mapping(da.from_array(X[:3, :4], chunks=(2, 4)))
    assert len(few.dask) <= 16
    np.testing.assert_allclose(few.compute(), mapping(X[:3, :4]), atol=1e-15)
    assert mapping(da.from_array(X[:0, :4], chunks=(2, 4))).compute().shape == (0, 4)


@pytest.mark.parametrize("function", [project_simplex, softmax, entmax, lambda x: legs_scan(x, 4), kernel_rational])
def test_unknown_sizes_are_named_with_what_finds_them(function):
    x = da.from_array(X, chunks=(200, -1))
    x = x[x[:, 0] > 0]
    arguments = (x, x, 5) if function is kernel_rational else (x,)
    with pytest.raises(ValueError, match=r"must have blocks of known sizes.*\.compute_chunk_sizes\(\)"):
        function(*arguments)
