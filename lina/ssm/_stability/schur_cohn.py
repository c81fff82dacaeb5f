"""The Schur-Cohn test with bounds on its own rounding: in floating point, then in fixed point of growing precision.

In between the poles are asked, because fixed point takes the longer the higher the degree.
"""

import numpy as np

from lina.ssm._stability.pole_discs import sign_from_poles

_BITS = (128, 512, 2048)
# of the arithmetic with which the bounds themselves are computed
_SAFETY = 1 + 1e-9


def schur_cohn_sign(a: np.ndarray, poles: np.ndarray | None = None) -> int:
    """Return 1 if all poles of 1 + a_1 z + ... + a_d z^d are inside the unit circle, -1 if not, 0 on the edge.

    1 and -1 are proven: every reflection coefficient is known with a bound of its error that keeps it on its side of 1,
    or the poles lie in discs that are. 0 says that neither they nor 2048 bits tell a reflection coefficient from
    modulus 1. ``poles`` are approximate, and computed where they are needed and not given.
    """
    a = np.trim_zeros(a, "b")
    sign = _in_floating_point(a)
    if sign is None:
        sign = sign_from_poles(a, eigenvalues(a) if poles is None else poles)
    for bits in _BITS:
        if sign is not None:
            return sign
        sign = _in_fixed_point(a, bits)
    return 0 if sign is None else sign


def eigenvalues(a: np.ndarray) -> np.ndarray:
    """Return the roots of w^d + a_1 w^(d-1) + ... + a_d, a_d != 0; infinite where the eigenvalues fail."""
    a = a.astype(np.result_type(a, np.float64))
    if not len(a):
        return a
    companion = np.diag(np.ones(len(a) - 1, dtype=a.dtype), -1)
    companion[0] = -a
    try:
        return np.asarray(np.linalg.eigvals(companion))
    except np.linalg.LinAlgError:  # coefficients near the end of the range
        return np.full(len(a), np.inf)


def _in_floating_point(a: np.ndarray) -> int | None:
    a = a.astype(np.result_type(a, np.float64))
    u = 8 * 2.0**-53  # of a complex product and sum
    e = np.zeros(len(a))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for m in range(len(a), 0, -1):
            k, size, off = a[m - 1], abs(a[m - 1]) * (1 + u), e[m - 1]
            if size * (1 - 3 * u) - off > 1:
                return -1
            spare = 1 - abs(k) ** 2
            spare_off = (2 * size * off + off * off + u) * _SAFETY
            if not spare - spare_off > 0:
                return None
            rest, error = a[: m - 1], e[: m - 1]
            mirror, mirror_error = rest[::-1].conj(), error[::-1]
            new = (rest - k * mirror) / spare
            sizes = np.abs(mirror)
            moved = error + size * mirror_error + off * (sizes + mirror_error) + u * (np.abs(rest) + size * sizes)
            e = ((moved + np.abs(new) * spare_off) / (spare - spare_off) + u * np.abs(new)) * _SAFETY
            a = new
            if not np.all(np.isfinite(e)):
                return None
    return 1


def _in_fixed_point(a: np.ndarray, bits: int) -> int | None:
    """Return the sign from integers that stand for multiples of 2^-bits; errors are counted in these units."""
    re, im = ([_scaled(x, bits) for x in part.tolist()] for part in (a.real, a.imag))
    e = [
        0 if _is_whole(x, bits) and _is_whole(y, bits) else 2
        for x, y in zip(a.real.tolist(), a.imag.tolist(), strict=True)
    ]
    if len(a) and abs(a[-1]) == 1 and (a[-1].real == 0 or a[-1].imag == 0):
        return _with_product_one(a, re, im, bits)
    return _reflected(re, im, e, bits)


def _with_product_one(a: np.ndarray, re: list[int], im: list[int], bits: int) -> int | None:
    """Return the sign where the product of all poles has modulus 1: some are outside, or all on the circle.

    These are roots of a polynomial that its mirror image repeats, and whose derivative has no root outside (Cohn).
    """
    last, d = a[-1], len(a)
    if not np.array_equal(a[:-1], last * a[-2::-1].conj()):
        return -1
    re, im = ([(d - k) * x // d for k, x in enumerate(part[:-1], start=1)] for part in (re, im))
    sign = _reflected(re, im, [4] * (d - 1), bits)
    return 0 if sign == 1 else sign


def _reflected(re: list[int], im: list[int], e: list[int], bits: int) -> int | None:
    """Return the sign from the coefficients and bounds of their errors, in units of 2^-bits."""
    one = 1 << bits
    whole = one * one
    for m in range(len(re), 0, -1):
        kr, ki, off = re[m - 1], im[m - 1], e[m - 1]
        size = abs(kr) + abs(ki)  # at least the modulus
        square = kr * kr + ki * ki
        slack = 2 * size * off + off * off
        if square - slack > whole:
            return -1
        spare = whole - square
        if spare - slack <= 0:
            return None
        new_re, new_im, new_e = [], [], []
        for i in range(m - 1):
            j = m - 2 - i
            top_re = re[i] * one - (kr * re[j] + ki * im[j])
            top_im = im[i] * one - (ki * re[j] - kr * im[j])
            x, y = (top_re << bits) // spare, (top_im << bits) // spare
            sizes = abs(re[j]) + abs(im[j])
            moved = e[i] * one + size * e[j] + off * (sizes + e[j])
            new_re.append(x)
            new_im.append(y)
            new_e.append(((moved << bits) + (abs(x) + abs(y)) * slack) // (spare - slack) + 3)
        re, im, e = new_re, new_im, new_e
    return 1


def _scaled(x: float, bits: int) -> int:
    """Return floor(x 2^bits)."""
    numerator, denominator = x.as_integer_ratio()
    return (numerator << bits) // denominator


def _is_whole(x: float, bits: int) -> bool:
    return (1 << bits) % x.as_integer_ratio()[1] == 0
