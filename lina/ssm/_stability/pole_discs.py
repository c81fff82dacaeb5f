"""The sign of the stability margin from approximate poles: discs about them that are proven to hold the true ones.

With P(w) = w^d + a_1 w^(d-1) + ... + a_d a root lies within d abs(P(w) / P'(w)) of any w (Laguerre): one disc outside
of the circle proves the system unstable. All roots lie in the discs of radius d abs(P(w_i)) / prod_j abs(w_i - w_j)
about any distinct w_1 ... w_d (Smith): all inside prove it stable. Centers whose disc crosses the circle are moved by
Newton's steps in fixed point, where the coefficients are exact.

Smith, J. ACM 17 (1970) 137.
"""

import numpy as np

_UNIT = 2.0**-53
# Bits behind the point, and Newton's steps: each doubles the correct ones, of which eigenvalues have 20 or more.
_BITS, _STEPS = 128, 3
_ONE = 1 << _BITS
# More discs than this on the circle belong to clusters, or to roots on it, and no step parts them.
_MOST = 64
# of the floating-point arithmetic with which bounds are computed
_SAFETY = 1 + 1e-6
_Fixed = tuple[int, int]


def sign_from_poles(a: np.ndarray, poles: np.ndarray) -> int | None:
    """Return 1 or -1, proven, for the roots of P from approximate ones (d,); None in doubt. 20 d^2 flops.

    The poles of real coefficients have to come in pairs.
    """
    if not np.all(np.isfinite(poles)):
        return None
    polynomial, real = [_fixed(c) for c in (1, *a.tolist())], not np.iscomplexobj(a)
    far = complex(poles[np.argmax(np.abs(poles))])
    if _is_far(far, len(a)):
        return -1 if _has_far_root(polynomial, far) else None
    values, moved = _value_bounds(np.concatenate([np.ones(1), a]), poles), np.zeros(len(a))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        crossing = ~(np.abs(poles) + values * _scales(poles, moved) < 1 - 4 * _UNIT)
        doubtful = np.flatnonzero(crossing & (poles.imag >= 0) if real else crossing)
        centers = {}
        for i in doubtful[np.argsort(-np.abs(poles[doubtful]))][:_MOST]:
            start = _fixed(poles[i])
            centers[i], radius = _laguerre_disc(polynomial, start)
            if _clears(centers[i], radius, 1):
                return -1
            shift = 2 * (abs(centers[i][0] - start[0]) + abs(centers[i][1] - start[1])) / _ONE
            moved[(poles == poles[i]) | (real & (poles == poles[i].conj()))] = shift
        scales = _scales(poles, moved)
        inside = crossing | (np.abs(poles) + values * scales < 1 - 4 * _UNIT)
    fine = len(centers) == len(doubtful) and bool(np.all(inside))
    radii = (_smith_radius(polynomial, center, float(scales[i])) for i, center in centers.items())
    return 1 if fine and all(_clears(*both, -1) for both in zip(centers.values(), radii, strict=True)) else None


def outside_by(a: np.ndarray, pole: complex) -> float | None:
    """Return by how much a pole near an approximate one exceeds modulus 1, if that is proven."""
    if not np.isfinite(pole):
        return None
    polynomial = [_fixed(c) for c in (1, *a.tolist())]
    if _is_far(pole, len(a)):
        return abs(pole) - 1 if _has_far_root(polynomial, pole) else None
    center, radius = _laguerre_disc(polynomial, _fixed(pole))
    if not _clears(center, radius, 1):
        return None
    excess = center[0] ** 2 + center[1] ** 2 - _ONE**2  # of the square
    return float(excess / _ONE**2) / (1 + abs(pole))


def _is_far(pole: complex, d: int) -> bool:
    """Return whether a pole is so far outside that sums of its powers grow."""
    return abs(pole) > 1 + 1 / (8 * d)


def _has_far_root(polynomial: list[_Fixed], pole: complex) -> bool:
    """Return whether a root near a pole that is far outside is proven, as one of the reversed polynomial inside."""
    return _clears(*_laguerre_disc(polynomial[::-1], _fixed(1 / pole)), -1)


def _clears(center: _Fixed, radius: int | None, side: int) -> bool:
    """Return whether a disc is outside (1) or inside (-1) of the unit circle."""
    if radius is None or (side < 0 and radius >= _ONE):
        return False
    reach = _ONE + side * radius
    return side * (center[0] ** 2 + center[1] ** 2 - reach * reach) > 0


def _laguerre_disc(descending: list[_Fixed], center: _Fixed) -> tuple[_Fixed, int | None]:
    """Return the center that Newton's steps reach, and the radius of a disc that has a root; None where it has none."""
    d = len(descending) - 1
    off = _rounding(d)
    for step in range(_STEPS + 1):
        if not _is_near(center, d):
            return center, None
        (vr, vi), (sr, si) = _horner(descending, center)
        square = sr * sr + si * si
        slope = max(abs(sr), abs(si)) - off * (d + 1)
        if slope <= 0:
            return center, None
        if step < _STEPS:
            center = (
                center[0] - ((vr * sr + vi * si) << _BITS) // square,
                center[1] - ((vi * sr - vr * si) << _BITS) // square,
            )
    return center, (d * (abs(vr) + abs(vi) + 2 * off) << _BITS) // slope + 1


def _smith_radius(descending: list[_Fixed], center: _Fixed, scale: float) -> int | None:
    d = len(descending) - 1
    if not (scale < 1e300 and _is_near(center, d)):
        return None
    (vr, vi), _ = _horner(descending, center)
    numerator, denominator = scale.as_integer_ratio()
    return (abs(vr) + abs(vi) + 2 * _rounding(d)) * numerator // denominator + 1


def _rounding(d: int) -> int:
    """Return the units by which a value errs: some for each coefficient, product and sum, which grow by less than e."""
    return 16 * (d + 1)


def _is_near(w: _Fixed, d: int) -> bool:
    """Return whether abs(w)^d is below e^(1/2)."""
    return 4 * d * d * (w[0] ** 2 + w[1] ** 2) < ((2 * d + 1) * _ONE) ** 2


def _horner(descending: list[_Fixed], w: _Fixed) -> tuple[_Fixed, _Fixed]:
    """Return the value and the derivative."""
    x, y = w
    vr = vi = sr = si = 0
    for cr, ci in descending:
        sr, si = ((sr * x - si * y) >> _BITS) + vr, ((sr * y + si * x) >> _BITS) + vi
        vr, vi = ((vr * x - vi * y) >> _BITS) + cr, ((vr * y + vi * x) >> _BITS) + ci
    return (vr, vi), (sr, si)


def _fixed(x: complex) -> _Fixed:
    (p, q), (r, s) = (part.as_integer_ratio() for part in (float(x.real), float(x.imag)))
    return (p << _BITS) // q, (r << _BITS) // s


def _value_bounds(descending: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return bounds of abs(P(w)) by Horner's rule, whose rounding is 4 units for each degree at most."""
    value, sizes = np.zeros(len(w), dtype=complex), np.zeros(len(w))
    moduli = np.abs(w)
    with np.errstate(over="ignore", invalid="ignore"):
        for c in descending:
            value = value * w + c
            sizes = sizes * moduli + np.abs(c)
        return (np.abs(value) + 4 * len(descending) * _UNIT * sizes + 1e-300) * _SAFETY


def _scales(w: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return upper bounds of d / prod_j abs(w_i - w_j) for centers that moved by as much at most."""
    logs = np.empty(len(w))
    for i, (x, shift) in enumerate(zip(w, moved, strict=True)):
        apart = np.abs(x - w) * (1 - 4 * _UNIT) - (shift + moved)
        apart[i] = 1
        logs[i] = np.sum(np.log(np.maximum(apart, 0)))
    return len(w) * np.exp(-logs) * _SAFETY
