"""Systems the slow and obvious way: full complex matrices, one step after the other, mpmath where digits matter."""

from typing import Any

import mpmath
import numpy as np


def full_matrices(Lambda: Any, P: Any, B: Any, C: Any, Q: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (A, B, C) with both halves of all conjugate pairs; P and Q (r, n) or None for a diagonal system."""
    both = [np.concatenate([x, np.conj(x)], axis=-1) for x in (Lambda, B, C)]
    A = np.diag(both[0])
    if P is not None:
        Q = P if Q is None else Q
        left, right = (np.concatenate([np.atleast_2d(x), np.conj(np.atleast_2d(x))], axis=-1) for x in (P, Q))
        A = A - left.T @ right.conj()
    return A, both[1], both[2]


def taps(A: np.ndarray, B: np.ndarray, C: np.ndarray, L: int) -> np.ndarray:
    """Return C A^l B for l < L."""
    out, x = [], B
    for _ in range(L):
        out.append(C @ x)
        x = A @ x
    return np.array(out)


def rational_taps(a: np.ndarray, b: np.ndarray, L: int) -> np.ndarray:
    """Return the first taps of b(z) / a(z) by long division, exactly enough through mpmath."""
    with mpmath.workdps(60):
        out: list[Any] = []
        for j in range(L):
            value = mpmath.mpf(float(b[j])) if j < len(b) else mpmath.mpf(0)
            for k in range(1, min(j, len(a)) + 1):
                value -= mpmath.mpf(float(a[k - 1])) * out[j - k]
            out.append(value)
        return np.array([float(x) for x in out])


def sum_of_taps(values: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the sum over l of K_l z^l."""
    return np.array([np.sum(values * point ** np.arange(len(values))) for point in np.ravel(z)]).reshape(np.shape(z))


def transform(A: np.ndarray, B: np.ndarray, dt: float, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the generalised bilinear transform, by an explicit inverse."""
    inverse = np.linalg.inv(np.eye(len(A)) - alpha * dt * A)
    return inverse @ (np.eye(len(A)) + (1 - alpha) * dt * A), dt * inverse @ B


def hold(A: np.ndarray, B: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return exp(A dt) and the integral of exp(A t) B over a step, from their power series in 60 digits."""
    with mpmath.workdps(60):
        X = mpmath.matrix(A.tolist()) * mpmath.mpf(dt)
        n = len(A)
        term, power, integral = mpmath.eye(n), mpmath.eye(n), mpmath.eye(n)
        for k in range(1, 400):
            term = term * X / k
            power += term
            integral += term / (k + 1)
        driven = integral * mpmath.matrix(B.tolist()) * mpmath.mpf(dt)
        return _numbers(power, n, n), _numbers(driven, n, 1)[:, 0]


def _numbers(M: Any, rows: int, columns: int) -> np.ndarray:
    return np.array([[complex(M[i, j]) for j in range(columns)] for i in range(rows)])


def _roots(coefficients):
    """Return the roots of a polynomial, leading coefficient first: from mpmath 1.4 on it wants them the other way."""
    options = {"maxsteps": 500, "extraprec": 400}
    try:
        return mpmath.polyroots(coefficients[::-1], asc=True, **options)
    except TypeError:
        return mpmath.polyroots(coefficients, **options)


def largest_root(a: np.ndarray) -> float:
    """Return the largest modulus of a root of w^d + a_1 w^(d-1) + ... + a_d, in 60 digits."""
    with mpmath.workdps(60):
        return float(max(abs(r) for r in _roots([1, *[mpmath.mpmathify(complex(x)) for x in a]])))


def polynomial(roots: np.ndarray) -> np.ndarray:
    """Return the coefficients below the leading 1 of the product of w - root, in 200 digits."""
    with mpmath.workdps(200):
        out = [mpmath.mpf(1)]
        for root in roots:
            value = mpmath.mpmathify(complex(root))
            out = [x - value * y for x, y in zip([*out, 0], [0, *out], strict=True)]
        return np.array([complex(x) for x in out[1:]])
