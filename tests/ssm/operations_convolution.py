"""Rows of the table of operations: rational and dense kernels, convolutions, their adjoints, Leja order."""

from typing import Any

import numpy as np

from lina._core.array import array_namespace, from_numpy, open_door
from lina.ssm import (
    DenseSystem,
    RationalSystem,
    fftconv,
    fftconv_vjp,
    kernel_dense,
    kernel_rational,
    kernel_rational_truncated,
    kernel_rational_truncated_vjp,
    kernel_rational_vjp,
    leja_order,
    linear_scan,
    poly_from_roots,
    stable_polynomial,
    to_dense,
)
from tests.reference.ssm_convolution import convolution, division_at_roots_of_unity, long_division
from tests.ssm.operations_systems import (
    _matrix_row,
    _real_like,
    _row,
    _rows,
    _unit,
    _unit_numpy,
    _with_denominator,
)

WITH_DASK = ("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask")
L = 19
DENOMINATOR = np.full(8, 0.05)
UNIT = np.eye(1, 8)[0]
KERNEL = np.array([1.0, -0.5, 0.25, 2.0, -1.0])


def _with(values: np.ndarray, name: str, call: Any) -> Any:
    """Return ``call`` of a fixed array in the library and real dtype of the argument, and of the argument."""

    def run(x: Any) -> Any:
        _, opened = open_door(**{name: x})
        return call(from_numpy(values, like=_real_like(opened)), x)

    return run


def _stable(a: Any) -> Any:
    """Return coefficients that are together below 1: stable, whatever their scale was."""
    return _unit(a, "a") / 8


def _each(function: Any) -> Any:
    """Return a reference that acts on rows."""
    return lambda rows: np.stack([function(row) for row in rows])


def _spread(values: np.ndarray, like: Any) -> Any:
    """Return a fixed array for each row of ``like``, so that gradients by it are not summed."""
    xp = array_namespace(like)
    return xp.broadcast_to(from_numpy(values, like=_real_like(like)), (*like.shape[:-1], len(values)))


def _adjoint(vjp: Any, *arguments: Any) -> Any:
    """Return all that an adjoint of fixed arguments returns, in one array."""

    def run(cotangent: Any) -> Any:
        xp, g = open_door(cotangent=cotangent)
        fixed = [np.ones(g.shape[-1] if g.ndim else 1) if x is None else x for x in arguments]
        return xp.concat(vjp(cotangent, *(_spread(x, g) for x in fixed)), axis=-1)

    return run


def _dense(A: Any) -> Any:
    ones = from_numpy(np.ones(A.shape[-1] if A.ndim else 1), like=A)
    return kernel_dense(A, ones, ones, None, L)


def _by_denominator(function: Any) -> Any:
    """Return a call by the denominator, scaled to be stable, with the numerator 1 + z + ...."""

    def run(a: Any) -> Any:
        a = _stable(a)
        return function(a, from_numpy(np.ones(a.shape[-1] if a.ndim else 1), like=a), L)

    return run


def _scaled_reference(function: Any) -> Any:
    return lambda rows: np.stack([function(row, np.ones(8), L) for row in _unit_numpy(rows) / 8])


def _rational_adjoint(g: np.ndarray) -> np.ndarray:
    """Return (da, db) by the unit vectors: the quotient changes by e_k / a and by -z^k K / a."""
    K = long_division(UNIT, DENOMINATOR, len(g))
    by_b = [g @ long_division(e, DENOMINATOR, len(g)) for e in np.eye(8)]
    by_a = [-g @ long_division(np.r_[np.zeros(k), K][: len(g)], DENOMINATOR, len(g)) for k in range(1, 9)]
    return np.array([*by_a, *by_b])


def _circular(numerator: np.ndarray, a: np.ndarray, length: int) -> np.ndarray:
    """Return the division at roots of unity of a numerator of any length up to ``length``."""
    values = np.fft.fft(numerator, length) / np.fft.fft(np.r_[1, a], length)
    K = np.fft.ifft(values)
    return K if np.iscomplexobj(numerator) else K.real


def _circular_adjoint(g: np.ndarray) -> np.ndarray:
    K = _circular(UNIT, DENOMINATOR, len(g))
    by_b = [g @ _circular(e, DENOMINATOR, len(g)) for e in np.eye(8)]
    by_a = [-g @ _circular(np.roll(K, k), DENOMINATOR, len(g)) for k in range(1, 9)]
    return np.array([*by_a, *by_b])


def _convolution_adjoint(g: np.ndarray) -> np.ndarray:
    n, m = len(g), len(KERNEL)
    by_u = [g @ convolution(e, KERNEL, n) for e in np.eye(n)]
    by_k = [g @ convolution(np.ones(n), e, n) for e in np.eye(m)]
    return np.array([*by_u, *by_k, *g[: m - 1]])


def _vjp_row(name: str, call: Any, reference: Any) -> Any:
    return _row(name, call, "cotangent", _each(reference), arrays=_rows(0.5, 9))


def _long(u: Any) -> Any:
    """Return what a rational system of 20 states makes of samples: the scan that divides."""
    _, opened = open_door(u=u)
    like = _real_like(opened)
    return linear_scan(RationalSystem(from_numpy(SLOW, like=like), from_numpy(np.ones(20), like=like)), u)[0]


SLOW = stable_polynomial(np.full(20, 0.05))
FEW = poly_from_roots(np.array([0.9, 0.8, -0.5, 0.6]))


def _few(u: Any) -> Any:
    """Return what a rational system of 4 states makes of samples."""
    _, opened = open_door(u=u)
    like = _real_like(opened)
    return linear_scan(RationalSystem(from_numpy(FEW, like=like), from_numpy(np.ones(4), like=like)), u)[0]


def _few_by_taps(rows: np.ndarray) -> np.ndarray:
    taps = long_division(np.ones(4), FEW, rows.shape[-1])
    return np.stack([np.convolve(row, taps)[: len(taps)] for row in rows])


def _of_matrix(u: Any) -> Any:
    """Return what the same system in dense form, with growing powers, makes of samples."""
    _, opened = open_door(u=u)
    like = _real_like(opened)
    dense = to_dense(RationalSystem(FEW, np.ones(4))).system
    return linear_scan(DenseSystem(*(from_numpy(x, like=like) for x in (dense.A, dense.B, dense.C)), dt=1.0), u)[0]


def _by_distances(points: np.ndarray) -> np.ndarray:
    """Return the Leja order by its definition."""
    order = [int(np.argmax(np.abs(points)))]
    while len(order) < len(points):
        rest = [i for i in range(len(points)) if i not in order]
        order.append(max(rest, key=lambda i: np.prod(np.abs(points[i] - points[order]))))
    return points[order]


def _in_order(points: Any) -> Any:
    """Return the points of each row in the order that was found."""
    xp, opened = open_door(points=points)
    if opened.ndim < 2:
        return xp.take(opened, xp.asarray(leja_order(points)), axis=0)
    return xp.stack([_in_order(opened[i, ...]) for i in range(opened.shape[0])])


ROWS = [
    _row(
        "kernel_rational",
        _with_denominator(lambda a, b: kernel_rational(a, b, L), "b"),
        "b",
        _each(lambda b: long_division(b, DENOMINATOR, L)),
    ),
    _row(
        "kernel_rational (denominator)",
        _by_denominator(kernel_rational),
        "a",
        _scaled_reference(lambda a, b, L: long_division(b, a, L)),
        degree=0,
    ),
    _row(
        "kernel_rational_truncated",
        _with_denominator(lambda a, b: kernel_rational_truncated(a, b, L), "b_tilde"),
        "b_tilde",
        _each(lambda b: division_at_roots_of_unity(DENOMINATOR, b, L)),
    ),
    _row(
        "kernel_rational_truncated (denominator)",
        _by_denominator(kernel_rational_truncated),
        "a",
        _scaled_reference(division_at_roots_of_unity),
        degree=0,
    ),
    _vjp_row("kernel_rational_vjp", _adjoint(kernel_rational_vjp, DENOMINATOR, UNIT), _rational_adjoint),
    _vjp_row(
        "kernel_rational_truncated_vjp", _adjoint(kernel_rational_truncated_vjp, DENOMINATOR, UNIT), _circular_adjoint
    ),
    _vjp_row("fftconv_vjp", _adjoint(fftconv_vjp, None, KERNEL), _convolution_adjoint),
    _matrix_row(
        "kernel_dense",
        lambda A: _dense(_unit(A, "A")),
        lambda A: np.array([np.sum(np.linalg.matrix_power(_unit_numpy(A), k)) for k in range(L)]),
    ),
    _row(
        "fftconv",
        _with(KERNEL, "u", lambda k, u: fftconv(u, k)),
        "u",
        lambda u: np.stack([convolution(row, KERNEL, u.shape[-1]) for row in u]),
    ),
    _row(
        "linear_scan (rational)",
        _long,
        "u",
        lambda u: np.stack([long_division(convolution(row, np.ones(20), u.shape[-1]), SLOW, u.shape[-1]) for row in u]),
        arrays=_rows(0.5, 30),
        memory=200.0,
    ),
    _row(
        "linear_scan (rational, few states)",
        _few,
        "u",
        _few_by_taps,
        arrays=_rows(0.5, 30),
        memory=200.0,
        backends=WITH_DASK,
    ),
    _row("linear_scan (batch)", _few, "u", _few_by_taps, arrays=_rows(0.5, 2000), memory=12.0, backends=WITH_DASK),
    _row("linear_scan (dense)", _of_matrix, "u", _few_by_taps, arrays=_rows(0.5, 30), memory=200.0, backends=WITH_DASK),
    _row("leja_order", _in_order, "points", _each(_by_distances)),
]
