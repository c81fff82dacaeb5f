"""Rows of the table of operations: discretisation, conversions, responses, stability, recurrences."""

from dataclasses import replace
from typing import Any

import numpy as np

from lina._core.array import array_namespace, dtype_name, from_numpy, is_lazy, open_door, to_numpy, where_is
from lina.ssm import (
    DenseSystem,
    RationalSystem,
    characteristic_polynomial,
    discretize,
    freqresp,
    generating_function,
    linear_scan,
    poly_from_roots,
    recover_b,
    recover_c,
    stability_margin,
    stable_polynomial,
    step,
    step_down,
    step_up,
    to_dense,
    to_diagonal,
    to_rational,
    truncated_b,
    truncated_c,
)
from tests.operation import Operation, eps, matrix

L = 9


def _scaled(A: Any, name: str = "A") -> tuple[Any, Any]:
    """Return an opened array and a step that brings it to size 1, so that scales cancel."""
    xp, A = open_door(**{name: A})
    if is_lazy(A):
        return A, 0.5 / xp.max(xp.abs(A))
    largest = float(np.max(np.abs(to_numpy(A)), initial=0.0))
    return A, 0.5 / largest if np.isfinite(largest) and largest * 2 > 2e-308 else 1.0


def _rows(scale: float, d: int = 8) -> Any:
    """Return a maker of 20 rows of coefficients of this size."""

    def make(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
        values = rng.uniform(-scale, scale, (20, d))
        if np.dtype(dtype).kind == "c":
            values = values + 1j * rng.uniform(-scale, scale, (20, d))
        return (values.astype(dtype),)

    return make


def _against(reference: Any, factor: float) -> Any:
    """Return a judge: the distance from a reference in double precision over ``factor`` eps."""

    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
        wide = inputs[0].astype(np.result_type(inputs[0], np.float64))
        exact = reference(wide)
        return float(np.max(np.abs(outputs["X"] - exact)) / (factor * eps(inputs[0]) * np.max(np.abs(exact))))

    return error


def _hold(A: Any, method: str) -> Any:
    A, dt = _scaled(A)
    xp = array_namespace(A)
    B = xp.ones((*A.shape[:-1], 1), dtype=A.dtype, device=where_is(A))
    return discretize(A, B, dt, method)[0]


def _hold_reference(method: str) -> Any:
    def reference(A: np.ndarray) -> np.ndarray:
        X = _unit_numpy(A)
        if method == "bilinear":
            return np.linalg.solve(np.eye(len(A)) - X / 2, np.eye(len(A)) + X / 2)
        poles, V = np.linalg.eig(X)
        exact = (V * np.exp(poles)) @ np.linalg.inv(V)
        return exact if np.iscomplexobj(A) else exact.real

    return reference


def _unit(x: Any, name: str) -> Any:
    """Return an array divided by about twice its largest entry."""
    x, factor = _scaled(x, name)
    return x * factor


def _unit_numpy(x: np.ndarray) -> np.ndarray:
    return x * (0.5 / np.max(np.abs(x)))


def _real_like(x: Any) -> Any:
    return array_namespace(x).real(x) if "complex" in dtype_name(x) else x


def _halves(G: Any, like: Any) -> Any:
    """Return real and imaginary parts side by side where the input was real: outputs keep its dtype."""
    xp = array_namespace(G)
    return G if "complex" in dtype_name(like) else xp.concat([xp.real(G), xp.imag(G)], axis=-1)


def _with_denominator(call: Any, name: str) -> Any:
    """Return ``call`` of one denominator, and of the numerators that come first in the table."""

    def run(b: Any) -> Any:
        _, opened = open_door(**{name: b})
        d = opened.shape[-1] if opened.ndim else 1
        return call(from_numpy(np.full(d, 0.05), like=_real_like(opened)), b)

    return run


def _taps(b: np.ndarray, count: int = L) -> np.ndarray:
    """Return the taps of each row over 1 + 0.05 (z + ... + z^d)."""
    out, d = np.zeros((*b.shape[:-1], count), dtype=b.dtype), b.shape[-1]
    for k in range(count):
        out[..., k] = b[..., k] if k < d else 0
        for j in range(1, min(k, d) + 1):
            out[..., k] -= 0.05 * out[..., k - j]
    return out


def _transfer_reference(b: np.ndarray) -> np.ndarray:
    G = np.fft.fft(_taps(b), 12)[..., :7]
    return G if np.iscomplexobj(b) else np.concatenate([G.real, G.imag], axis=-1)


def _truncated_reference(b: np.ndarray) -> np.ndarray:
    K = _taps(b, L + 8)
    return np.stack([np.convolve(np.r_[1, np.full(8, 0.05)], row)[:8] for row in K[:, :8] - K[:, L:]])


def _recurrent(u: Any, run: Any) -> Any:
    """Return what a discrete system of three states makes of the input."""
    _, opened = open_door(u=u)
    like = _real_like(opened)
    arrays = (SYSTEM, np.ones(3), np.arange(1.0, 4.0))
    return run(DenseSystem(*(from_numpy(x, like=like) for x in arrays), dt=1.0), u)


SYSTEM = np.array([[0.5, 0.2, 0.0], [-0.2, 0.5, 0.1], [0.0, 0.0, -0.4]])


def _scan_reference(u: np.ndarray) -> np.ndarray:
    K = np.array([np.arange(1.0, 4.0) @ np.linalg.matrix_power(SYSTEM, k) @ np.ones(3) for k in range(u.shape[-1])])
    return np.stack([np.convolve(row, K)[: u.shape[-1]] for row in u])


def _state_space(A: Any, run: Any, *, real: bool = False, dt: float | None = 1.0) -> Any:
    A = _unit(A, "A")
    A = _real_like(A) if real else A
    if A.ndim < 2:
        raise ValueError(f"A must have shape (..., n, n), got {tuple(A.shape)}")
    ones = from_numpy(np.ones(A.shape[-1]), like=A)
    return run(DenseSystem(A, ones, ones, dt=dt))


def _impulse(system: Any) -> Any:
    return linear_scan(system, np.eye(1, L)[0])[0]


def _impulse_reference(A: np.ndarray) -> np.ndarray:
    X = _unit_numpy(A).real
    return np.array([np.sum(np.linalg.matrix_power(X, k)) for k in range(L)])


def _polynomial_reference(A: np.ndarray) -> np.ndarray:
    return np.poly(_unit_numpy(A))[1:]


def _response_reference(A: np.ndarray) -> np.ndarray:
    X, ones = _unit_numpy(A), np.ones(len(A))
    G = np.array([ones @ np.linalg.solve(1j * w * np.eye(len(A)) - X, ones) for w in (1.0, 2.0, 3.0)])
    return G if np.iscomplexobj(A) else np.concatenate([G.real, G.imag])


def _roots(rows: np.ndarray) -> np.ndarray:
    return np.array([1 - np.max(np.abs(np.roots(np.r_[1, row]))) for row in _unit_numpy(rows)])


def _step_up_reference(rows: np.ndarray) -> np.ndarray:
    return _recursion(_unit_numpy(rows))


def _recursion(rows: np.ndarray) -> np.ndarray:
    out = []
    for k in rows:
        a = np.zeros(0, dtype=k.dtype)
        for last in k:
            a = np.r_[a + last * a[::-1].conj(), last]
        out.append(a)
    return np.stack(out)


def _tanh_reference(rho: np.ndarray) -> np.ndarray:
    size = np.abs(_unit_numpy(rho))
    return _recursion(np.tanh(size) * _unit_numpy(rho) / size)


def _product_reference(roots: np.ndarray) -> np.ndarray:
    return np.stack([np.poly(row)[1:] for row in _unit_numpy(roots)])


SQUARE: dict[str, tuple[str, ...]] = {"one row": ("ValueError",), "one column": ("ValueError",)}
VECTOR: dict[str, tuple[str, ...]] = {"1-d": ()}


def _row(name: str, call: Any, argument: str, reference: Any, factor: float = 1e3, **options: Any) -> Operation:
    settings: dict[str, Any] = {
        "arrays": _rows(0.5),
        "hostile": VECTOR,
        "extensions": ("linalg", "fft"),
        "memory": 60.0,
    }
    settings.update(options)
    error = _against(reference, factor)
    return Operation(f"ssm.{name}", call=call, outputs=lambda X: {"X": X}, error=error, argument=argument, **settings)


def _matrix_row(name: str, call: Any, reference: Any, factor: float = 1e4, **options: Any) -> Operation:
    options = {"arrays": matrix(8, 8), "hostile": SQUARE, "degree": 0, **options}
    return _row(name, call, "A", reference, factor, **options)


ROWS = [
    _matrix_row("discretize", lambda A: _hold(A, "zoh"), _hold_reference("zoh")),
    _matrix_row("discretize (bilinear)", lambda A: _hold(A, "bilinear"), _hold_reference("bilinear")),
    _matrix_row("characteristic_polynomial", lambda A: characteristic_polynomial(_unit(A, "A")), _polynomial_reference),
    _matrix_row("to_rational", lambda A: _state_space(A, lambda s: to_rational(s).system.a), _polynomial_reference),
    _matrix_row(
        "to_diagonal",
        lambda A: _state_space(A, lambda s: _impulse(to_diagonal(s).system), real=True),
        _impulse_reference,
        real=("X",),
    ),
    _matrix_row(
        "to_dense",
        lambda A: _state_space(A, lambda s: _impulse(to_dense(s).system), real=True),
        _impulse_reference,
        real=("X",),
    ),
    _matrix_row(
        "recover_c",
        lambda A: _state_space(A, lambda s: recover_c(replace(s, C=truncated_c(s, L)), L, unstable="ignore").system.C),
        lambda A: np.ones(len(A)),
    ),
    _matrix_row(
        "truncated_c",
        lambda A: _state_space(A, lambda s: truncated_c(s, L)),
        lambda A: np.ones(len(A)) @ (np.eye(len(A)) - np.linalg.matrix_power(_unit_numpy(A), L)),
    ),
    _matrix_row(
        "freqresp",
        lambda A: _state_space(A, lambda s: _halves(freqresp(s, [1.0, 2.0, 3.0]), s.A), dt=None),
        _response_reference,
    ),
    _row(
        "generating_function",
        _with_denominator(
            lambda a, b: _halves(generating_function(RationalSystem(a, b), 12, L), open_door(b=b)[1]), "b"
        ),
        "b",
        _transfer_reference,
    ),
    _row("truncated_b", _with_denominator(lambda a, b: truncated_b(a, b, L), "b"), "b", _truncated_reference),
    _row(
        "recover_b",
        _with_denominator(lambda a, b: recover_b(a, b, L).system.b, "b_tilde"),
        "b_tilde",
        lambda b: np.linalg.solve(_truncated_reference(np.eye(8)).T, b.T).T,
    ),
    _row("linear_scan", lambda u: _recurrent(u, lambda s, u: linear_scan(s, u)[0]), "u", _scan_reference),
    _row(
        "step",
        lambda u: _recurrent(u, lambda s, u: step(s, u, [0.0, 0.0, 0.0])[0]),
        "u",
        lambda u: 6 * u,
        hostile={**VECTOR, "a number": (), "0-d": ()},
    ),
    _row("step_up", lambda k: step_up(_unit(k, "k")), "k", _step_up_reference, degree=0),
    _row(
        "step_down",
        lambda k: step_down(step_up(_unit(k, "k"))),
        "k",
        _unit_numpy,
        1e4,
        degree=0,
        hostile=VECTOR,
    ),
    _row("stable_polynomial", lambda rho: stable_polynomial(_unit(rho, "rho")), "rho", _tanh_reference, degree=0),
    _row("stability_margin", lambda a: stability_margin(_unit(a, "a")), "a", _roots, 1e4, degree=0, real=("X",)),
    _row("poly_from_roots", lambda r: poly_from_roots(_unit(r, "roots")), "roots", _product_reference, degree=0),
]
