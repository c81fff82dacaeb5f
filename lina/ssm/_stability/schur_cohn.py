"""The Schur-Cohn test with bounds on its own rounding: in floating point, then in fixed point of growing precision."""

import numpy as np

_BITS = (128, 512, 2048)
# of the arithmetic with which the bounds themselves are computed
_SAFETY = 1 + 1e-9


def schur_cohn_sign(a: np.ndarray) -> int:
    """Return 1 if all poles of 1 + a_1 z + ... + a_d z^d are inside the unit circle, -1 if not, 0 on the edge.

    1 and -1 are proven: every reflection coefficient is known with a bound of its error that keeps it on its side of 1.
    0 says that 2048 bits cannot tell a reflection coefficient from modulus 1.
    """
    sign = _in_floating_point(a)
    for bits in _BITS:
        if sign is not None:
            return sign
        sign = _in_fixed_point(a, bits)
    return 0 if sign is None else sign


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
    one = 1 << bits
    re, im = ([_scaled(x, bits) for x in part.tolist()] for part in (a.real, a.imag))
    e = [
        0 if _is_whole(x, bits) and _is_whole(y, bits) else 2
        for x, y in zip(a.real.tolist(), a.imag.tolist(), strict=True)
    ]
    whole = one * one
    for m in range(len(re), 0, -1):
        kr, ki, off = re[m - 1], im[m - 1], e[m - 1]
        size = abs(kr) + abs(ki)  # at least the modulus
        square = kr * kr + ki * ki
        slack = 2 * size * off + off * off
        if square - slack > whole:
            return -1
        if square == whole and off == 0:
            return 0
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
