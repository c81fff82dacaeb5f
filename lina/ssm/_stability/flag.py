"""The warning of unstable denominators, at the price of a few transforms where it can be."""

import numpy as np

from lina._core.array import check_option
from lina.ssm._stability.many_rows import reflect_below_one
from lina.ssm._stability.margin import ACTIONS, certified_margin, flag_unstable
from lina.ssm._stability.pole_discs import outside_by
from lina.ssm._stability.schur_cohn import schur_cohn_sign
from lina.ssm._stability.winding import roots_inside

# Reflection coefficients of so many rows for each degree take less time than a look around the circle of each.
_MANY = 1 / 16
# Up to this degree all poles are known so soon that the largest is named.
_LOW = 32


def flag_denominators(whole: np.ndarray, action: str) -> None:
    """Warn or raise at the first row 1 + a_1 z + ... of (..., d + 1) that is unstable, with proof."""
    check_option(action, ACTIONS, "unstable")
    rows = whole.reshape(-1, whole.shape[-1])
    if action == "ignore" or not len(rows):
        return
    if len(rows) >= _MANY * rows.shape[1]:
        rows = rows[~reflect_below_one(rows[:, 1:])]
    for row in rows:
        count, roots = roots_inside(row)
        if count == 0:
            continue
        a = np.trim_zeros(row[1:], "b")
        excesses = (outside_by(a, 1 / root) for root in roots if len(a) > _LOW)
        found = next((excess for excess in excesses if excess is not None), None)
        if found is not None:
            flag_unstable(-found, action, pole="a pole of it")
            break
        if schur_cohn_sign(a) <= 0:
            flag_unstable(certified_margin(a), action)
            break
