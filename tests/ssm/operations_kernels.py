"""Rows of the table of operations: kernels of diagonal plus low rank and diagonal systems, and their adjoints."""

from typing import Any

import numpy as np

from lina._core.array import array_namespace, dtype_name, from_numpy, open_door, where_is
from lina.ssm import (
    cauchy,
    cauchy_vjp,
    kernel_diag,
    kernel_diag_vjp,
    kernel_dplr,
    kernel_dplr_truncated,
    kernel_dplr_truncated_vjp,
    kernel_dplr_vjp,
    vandermonde,
    vandermonde_transpose,
    vandermonde_vjp,
)
from tests.operation import Operation, eps
from tests.reference.ssm_systems import full_matrices, taps, transform

DT, L, POINTS = 0.125, 12, np.array([1.0 + 1j, 2.0 - 1j, 0.5j])


def _poles(n: int) -> np.ndarray:
    return -0.5 + 1j * np.arange(n)


def _ones(n: int) -> np.ndarray:
    return np.full(n, 0.5 + 0.25j)


def _last(x: Any, name: str) -> tuple[Any, int]:
    """Return an opened array and the length of its last axis."""
    _, x = open_door(**{name: x})
    return x, x.shape[-1] if x.ndim else 1


def _complex_like(values: np.ndarray, x: Any) -> Any:
    xp = array_namespace(x)
    single = dtype_name(x) in ("float32", "complex64")
    like = xp.zeros(1, dtype=xp.complex64 if single else xp.complex128, device=where_is(x))
    return from_numpy(values, like=like)


def _kept(X: Any, x: Any) -> Any:
    """Return a complex result in the kind of the input: real and imaginary parts side by side where that was real."""
    xp = array_namespace(X)
    return X if "complex" in dtype_name(x) else xp.concat([xp.real(X), xp.imag(X)], axis=-1)


def _of_row(run: Any, name: str) -> Any:
    """Return a call of one complex row of weights, beside fixed poles and low rank."""

    def call(C: Any) -> Any:
        C, n = _last(C, name)
        return run(*(_complex_like(make(n), C) for make in (_poles, _ones, _ones)), C)

    return call


def _of_cotangent(run: Any) -> Any:
    """Return a call of a real cotangent: the real part where the input is complex."""

    def call(g: Any) -> Any:
        _, g = open_door(cotangent=g)
        xp = array_namespace(g)
        g = xp.real(g) if "complex" in dtype_name(g) else g
        batch = tuple(g.shape[:-1])
        weights = _complex_like(np.ones((*batch, 3)) * _ones(3), g)
        return run(g, *(_complex_like(make(3), g) for make in (_poles, _ones, _ones)), weights)

    return call


def _values(*shape: int) -> Any:
    def make(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
        values = rng.uniform(-1, 1, shape)
        if np.dtype(dtype).kind == "c":
            values = values + 1j * rng.uniform(-1, 1, shape)
        return (values.astype(dtype),)

    return make


def _against(reference: Any, factor: float) -> Any:
    """Return a judge: the distance from a reference in double precision over ``factor`` eps."""

    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
        exact = reference(inputs[0].astype(np.result_type(inputs[0], np.float64)))
        distance = np.max(np.abs(outputs["X"] - exact))
        return float(distance / ((factor * eps(inputs[0]) + 2e-11) * np.max(np.abs(exact))))

    return error


def _dplr_taps(C: np.ndarray, count: int = L, periods: int = 1) -> np.ndarray:
    """Return the taps of rows of C, summed over periods."""
    out = []
    for row in C:
        A, b, c = full_matrices(_poles(len(row)), _ones(len(row))[None], _ones(len(row)), row)
        whole = taps(*transform(A, b, DT, 0.5), c, count * periods).real
        out.append(np.sum(whole.reshape(periods, count), axis=0))
    return np.stack(out)


def _diag_taps(C: np.ndarray) -> np.ndarray:
    w = _poles(C.shape[-1]) * DT
    return _exponentials(C * (DT * _ones(len(w)) * np.expm1(w) / w))


def _powers(n: int, count: int = L) -> np.ndarray:
    return np.exp(_poles(n)[:, None] * DT * np.arange(count))


def _exponentials(c: np.ndarray) -> np.ndarray:
    return 2 * np.real(c @ _powers(c.shape[-1]))


def _cauchy_reference(v: np.ndarray) -> np.ndarray:
    r = v @ (1 / (POINTS - _poles(v.shape[-1])[:, None]))
    return r if np.iscomplexobj(v) else np.concatenate([r.real, r.imag], axis=-1)


def _by_C(function: Any) -> Any:
    """Return the gradient by C of sum(g * K) for a kernel that is linear in C, from its values on a basis."""

    def reference(g: np.ndarray) -> np.ndarray:
        g = g.real
        basis = [function(np.eye(3)[[n]] * unit, g.shape[-1])[0] for unit in (1, 1j) for n in range(3)]
        d = g @ np.array(basis).T
        return _halves_like(d[..., :3] + 1j * d[..., 3:])

    return reference


def _halves_like(d: np.ndarray) -> np.ndarray:
    return np.concatenate([d.real, d.imag], axis=-1)


def _parts(X: Any) -> Any:
    """Return real and imaginary parts side by side."""
    xp = array_namespace(X)
    return xp.concat([xp.real(X), xp.imag(X)], axis=-1)


def _row(name: str, call: Any, argument: str, reference: Any, factor: float = 100, **options: Any) -> Operation:
    settings: dict[str, Any] = {
        "arrays": _values(20, 4),
        "hostile": {"1-d": ()},
        "extensions": ("linalg", "fft"),
        "memory": 120.0,
        "real": ("X",),
    }
    settings.update(options)
    return Operation(
        f"ssm.{name}",
        call=call,
        outputs=lambda X: {"X": X},
        error=_against(reference, factor),
        argument=argument,
        **settings,
    )


def _vjp_row(name: str, run: Any, taps_of: Any, **options: Any) -> Operation:
    call = _of_cotangent(lambda g, *parts: _parts(run(g, *parts)))
    return _row(name, call, "cotangent", _by_C(taps_of), 300, **options)


def _cauchy_call(v: Any) -> Any:
    v, n = _last(v, "v")
    return _kept(cauchy(v, _complex_like(POINTS, v), _complex_like(_poles(n), v)), v)


def _cauchy_vjp_call(g: Any) -> Any:
    g, m = _last(g, "cotangent")
    points = np.resize(POINTS, m) + np.arange(m)
    batch = tuple(g.shape[:-1])
    weights = _complex_like(np.ones((*batch, 3), dtype=complex), g)
    return _kept(cauchy_vjp(g, weights, _complex_like(points, g), _complex_like(_poles(3), g))[0], g)


def _cauchy_vjp_reference(g: np.ndarray) -> np.ndarray:
    points = np.resize(POINTS, g.shape[-1]) + np.arange(g.shape[-1])
    d = g @ np.conj(1 / (points[:, None] - _poles(3)))
    return d if np.iscomplexobj(g) else _halves_like(d)


def _transpose_call(u: Any) -> Any:
    _, u = open_door(u=u)
    u = array_namespace(u).real(u) if "complex" in dtype_name(u) else u
    return _parts(vandermonde_transpose(u, _complex_like(_poles(3) * DT, u)))


ROWS = [
    _row("kernel_dplr", _of_row(lambda *parts: kernel_dplr(*parts, DT, L), "C"), "C", _dplr_taps),
    _row(
        "kernel_dplr (batch)",
        _of_row(lambda *parts: kernel_dplr(*parts, DT, 300), "C"),
        "C",
        lambda C: _dplr_taps(C, 300),
        arrays=_values(60, 16),
        memory=12.0,
    ),
    _row(
        "kernel_dplr_truncated",
        _of_row(lambda *parts: kernel_dplr_truncated(*parts, DT, L), "C_tilde"),
        "C_tilde",
        lambda C: _dplr_taps(C, L, 60),
    ),
    _row(
        "kernel_dplr_truncated (batch)",
        _of_row(lambda *parts: kernel_dplr_truncated(*parts, DT, 400), "C_tilde"),
        "C_tilde",
        lambda C: _dplr_taps(C, 400, 3),
        arrays=_values(60, 16),
        memory=12.0,
    ),
    _row("kernel_diag", _of_row(lambda w, _, B, C: kernel_diag(w, B, C, DT, L), "C"), "C", _diag_taps),
    _row(
        "vandermonde",
        _of_row(lambda w, _, __, c: vandermonde(c, w * DT, L), "c"),
        "c",
        _exponentials,
    ),
    _row(
        "vandermonde (batch)",
        _of_row(lambda w, _, __, c: vandermonde(c, w * DT, 1200), "c"),
        "c",
        lambda c: 2 * np.real(c @ _powers(16, 1200)),
        arrays=_values(60, 16),
        memory=6.0,
    ),
    _row("vandermonde_transpose", _transpose_call, "u", lambda u: _halves_like(u.real @ _powers(3, u.shape[-1]).T)),
    _row("cauchy", _cauchy_call, "v", _cauchy_reference, real=()),
    _row("cauchy_vjp", _cauchy_vjp_call, "cotangent", _cauchy_vjp_reference, real=()),
    _vjp_row("kernel_dplr_vjp", lambda g, *parts: kernel_dplr_vjp(g, *parts, DT)[3], _dplr_taps),
    _vjp_row(
        "kernel_dplr_vjp (batch)",
        lambda g, *parts: kernel_dplr_vjp(g, *parts, DT)[3],
        _dplr_taps,
        arrays=_values(40, 800),
        memory=40.0,
    ),
    _vjp_row(
        "kernel_dplr_truncated_vjp",
        lambda g, *parts: kernel_dplr_truncated_vjp(g, *parts, DT)[3],
        lambda C, count: _dplr_taps(C, count, 800 // count),
    ),
    _vjp_row(
        "kernel_diag_vjp",
        lambda g, w, _, B, C: kernel_diag_vjp(g, w, B, C, DT)[2],
        lambda C, count: (
            2 * np.real((C * DT * _ones(3) * np.expm1(_poles(3) * DT) / (_poles(3) * DT)) @ _powers(3, count))
        ),
    ),
    _vjp_row(
        "vandermonde_vjp",
        lambda g, w, _, __, c: vandermonde_vjp(g, c, w * DT)[0],
        lambda C, count: 2 * np.real(C @ _powers(3, count)),
    ),
]
