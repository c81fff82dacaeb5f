"""Compile the kernels ahead of their first call."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

_DTYPES = ("float32", "float64", "complex64", "complex128")


def _pinv_small(dtype: str) -> None:
    from lina._numba.pinv_small import pinv_small

    pinv_small(np.ones((1, 1, 1), dtype=dtype))


def _active_set_qp(dtype: str) -> None:
    from lina._numba.active_set_qp import active_set_qp

    active_set_qp(np.eye(2, dtype=dtype), np.zeros(2), np.array([1.0, 0.0]), 0.0)


def _exchange_design(dtype: str) -> None:
    from lina._numba.optimal_design import exchange

    A = np.eye(2, dtype=dtype)
    for K in (None, A):
        exchange(A, np.array([0.5, 0.5]), K, 0.0, 1)


def _simplex_qp(dtype: str) -> None:
    from lina._numba import simplex_qp as kernels
    from lina._numba.qp_asymmetry import asymmetry

    Q, c, tolerances = np.eye(2, dtype=dtype), np.zeros(2), (1e-6, 0.0, 0.0)
    asymmetry(Q, 1.0)
    kernels.pairwise_qp(Q, c, np.array([1.0, 0.0]), np.array([1.0, 0.0]), 5, tolerances)
    kernels.pairwise_factor_qp(Q, c, c, np.array([1.0, 0.0]), np.array([1.0, 0.0]), 5, tolerances)
    kernels.simplex_qp_rows(Q[None], c[None], np.array([[1.0, 0.0]]), 5, tolerances)


def _entmax(dtype: str) -> None:
    from lina._numba.entmax import SHORT, entmax
    from lina._numba.entmax_backward import entmax_backward

    for n in (1, SHORT + 1):
        x = np.ones((1, n), dtype=dtype)
        entmax(x, np.ones(1))
        entmax_backward(x, x, np.ones(1))


def _project_capped_simplex(dtype: str) -> None:
    from lina._numba.project_capped_simplex import project_capped_simplex

    project_capped_simplex(np.ones((1, 1), dtype=dtype), 0.0, 1.0, np.ones(1))


def _project_simplex(dtype: str) -> None:
    from lina._numba.project_simplex import LONG, SHORT, project_simplex
    from lina._numba.project_simplex_backward import project_simplex_backward

    for x in (np.zeros((1, 1)), np.zeros((1, SHORT + 1)), np.zeros((1, LONG)), np.arange(LONG)[None, :]):
        project_simplex(x.astype(dtype), np.ones(1))
    project_simplex_backward(np.ones((1, 1), dtype=dtype), np.ones((1, 1), dtype=dtype))


def _softmax(dtype: str) -> None:
    from lina._numba import softmax as kernels

    for n in (1, kernels.SHORT + 1):
        x = np.ones((1, n), dtype=dtype)
        for kernel in (kernels.softmax, kernels.log_softmax, kernels.log_normaliser):
            kernel(x)
        kernels.masked_softmax(x, x > 0, x[:, 0])
        kernels.soft_cross_entropy(x, x)


def _legs_scan(dtype: str) -> None:
    from lina._numba.legs_scan import legs_scan, legs_scan_vjp, legs_solve

    u, x, one = np.ones((16, 1), dtype=dtype), np.ones((16, 1), dtype=dtype), np.ones(1, dtype=dtype)
    for return_all in (False, True):
        legs_scan(u, x, 1, "logbilinear", return_all)
    legs_scan_vjp(x, 1, 1, "logbilinear")
    legs_solve(x, one, one, False)


def _linear_scan(dtype: str) -> None:
    from lina._numba.linear_scan import linear_scan

    one = np.ones((1, 1), dtype=dtype)
    u = np.ones((1, 1), dtype=one.real.dtype)
    linear_scan((one, one, one, one[None], one[None]), np.zeros(1, dtype=np.int64), u, one, one[None])


def _circle_divide(dtype: str) -> None:
    from lina._numba.circle_divide import circle_divide

    one = np.ones((1, 1), dtype=dtype)
    circle_divide(one, one.copy(), np.ones(1))


def _series_divide(dtype: str) -> None:
    from lina._numba.series_divide import series_divide

    series_divide(np.ones((1, 2), dtype=dtype), np.ones((1, 1), dtype=dtype))


def _rational_scan(dtype: str) -> None:
    from lina._numba.rational_scan import rational_scan

    one = np.ones((1, 1), dtype=dtype)
    rational_scan(one, one, np.zeros(1, dtype=np.int64), np.ones((1, 2), dtype=dtype))


def _dplr_response(dtype: str) -> None:
    from lina._numba.dplr_response import dplr_response, dplr_response_vjp

    w, low, points = (np.ones(shape, dtype=dtype) for shape in ((1, 1), (1, 1, 1), 1))
    dplr_response(-w, low, low, points, points)
    dplr_response_vjp(-w, low, low, points, points, w)


def _vandermonde(dtype: str) -> None:
    from lina._numba.vandermonde import vandermonde, vandermonde_transpose

    x = np.zeros((1, 1), dtype=dtype)
    vandermonde(x, x, 1)
    vandermonde_transpose(np.ones((1, 1, 1), dtype=x.real.dtype), x)


def _step_down(dtype: str) -> None:
    from lina._numba.step_down import step_down

    step_down(np.zeros((1, 1), dtype=dtype))


# A new kernel is a new row.
KERNELS: dict[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {
    "active_set_qp": (_active_set_qp, ("float64",)),
    "dplr_response": (_dplr_response, ("complex128",)),
    "circle_divide": (_circle_divide, ("complex64", "complex128")),
    "entmax": (_entmax, ("float32", "float64")),
    "exchange_design": (_exchange_design, ("float64",)),
    "legs_scan": (_legs_scan, ("float32", "float64")),
    "linear_scan": (_linear_scan, ("complex64", "complex128")),
    "pinv_small": (_pinv_small, _DTYPES),
    "project_capped_simplex": (_project_capped_simplex, ("float32", "float64")),
    "project_simplex": (_project_simplex, ("float32", "float64")),
    "rational_scan": (_rational_scan, ("float64", "complex128")),
    "series_divide": (_series_divide, ("float64", "complex128")),
    "simplex_qp": (_simplex_qp, ("float64",)),
    "step_down": (_step_down, ("float64",)),
    "softmax": (_softmax, ("float32", "float64")),
    "vandermonde": (_vandermonde, ("complex64", "complex128")),
}


def warmup() -> list[tuple[str, str, float]]:
    """Call every kernel once per dtype; print and return (kernel, dtype, seconds)."""
    rows = []
    for name, (call, dtypes) in KERNELS.items():
        for dtype in dtypes:
            start = time.perf_counter()
            call(dtype)
            rows.append((name, dtype, time.perf_counter() - start))
            print(f"{name:<12} {dtype:<11} {rows[-1][2]:6.2f} s", flush=True)
    return rows
