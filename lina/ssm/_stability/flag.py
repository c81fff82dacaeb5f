"""The warning of unstable denominators, at the price of a few transforms where it can be, and never of much more.

What it tells is proven: by a disc that holds a pole, by the product of all poles, or up to some degree by all of them.
Of a high degree that these leave in doubt, as with a pole on the circle itself, it says nothing.
"""

from collections.abc import Iterator

import numpy as np

from lina._core.checks import check_option
from lina.ssm._stability.many_rows import reflect_below_one
from lina.ssm._stability.margin import ACTIONS, certified_margin, flag_unstable, system_at
from lina.ssm._stability.pole_discs import outside_by, sign_from_poles
from lina.ssm._stability.schur_cohn import eigenvalues, schur_cohn_sign
from lina.ssm._stability.winding import roots_inside, roots_of_power_sums

# Reflection coefficients of so many rows for each degree take less time than a look around the circle of each.
_MANY = 1 / 16
# Up to this degree all poles are known so soon that the largest is named; up to the next ones a proof by integers takes
# 20 ms at most, and one by all poles 100 ms (a look around the circle takes a millisecond).
_LOW, _PROVEN, _POLES = 32, 64, 256


def flag_denominators(whole: np.ndarray, action: str, doubtful: np.ndarray | None = None) -> None:
    """Warn or raise at the first row 1 + a_1 z + ... of (..., d + 1) that is unstable, with proof.

    Only rows that are ``doubtful`` (...) are looked at, where these are given.
    """
    check_option(action, ACTIONS, "unstable")
    batch, rows = whole.shape[:-1], whole.reshape(-1, whole.shape[-1])
    places = np.arange(len(rows)) if doubtful is None else np.flatnonzero(doubtful)
    rows = rows if doubtful is None else rows[places]
    if action == "ignore" or not len(rows):
        return
    for i, count, roots in unsettled(rows):
        row, system = rows[i], system_at(places[i], batch)
        a = np.trim_zeros(row[1:], "b")
        told = _excess(a, roots or roots_of_power_sums(row, count)) if len(a) > _LOW else None
        if told is not None:
            flag_unstable(-told[0], action, pole=told[1], system=system)
            break
        margin = _margin(a)
        if margin is not None and margin <= 0:
            flag_unstable(margin, action, system=system)
            break


def unsettled(rows: np.ndarray) -> Iterator[tuple[int, int | None, list[complex]]]:
    """Yield the rows 1 + a_1 z + ... that are not seen to be stable, with what `roots_inside` says of them."""
    left = np.arange(len(rows))
    if len(rows) >= _MANY * rows.shape[1]:
        left = np.flatnonzero(~reflect_below_one(rows[:, 1:]))
    for i in left.tolist():
        count, roots = roots_inside(rows[i])
        if count != 0:
            yield i, count, roots


def _excess(a: np.ndarray, roots: list[complex]) -> tuple[float, str] | None:
    """Return by how much poles exceed modulus 1, and which, where that is proven soon."""
    last = complex(a[-1])
    size = abs(last) if 0 in (last.real, last.imag) else abs(last) * (1 - 2.0**-52)
    for root in roots:
        excess = outside_by(a, 1 / root)
        if excess is not None:
            return excess, "a pole of it"
    # not all can be inside: a palindrome, as of poles on the circle only, is told by this
    return (size ** (1 / len(a)) - 1, "the geometric mean of its poles") if size >= 1 else None


def _margin(a: np.ndarray) -> float | None:
    """Return a margin whose sign is proven, or None if that takes long."""
    if len(a) <= _PROVEN:
        return certified_margin(a) if schur_cohn_sign(a) <= 0 else None
    if len(a) > _POLES:
        return None
    poles = eigenvalues(a)
    return min(1 - float(np.max(np.abs(poles))), -(2.0**-53)) if sign_from_poles(a, poles) == -1 else None
