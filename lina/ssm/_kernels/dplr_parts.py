"""What the kernels of diagonal plus low rank systems share: their arrays in rows, their stability, their circles."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lina._core.array import conjugate, epsilon, is_lazy, scalar, to_numpy, where_is
from lina._core.checks import check_option, check_rank
from lina.ssm._kernels.circle import Circle, inner_circle
from lina.ssm._stability.margin import ACTIONS, flag_unstable, stability_margin, system_at
from lina.ssm._systems import DPLRSystem
from lina.ssm._systems_arrays import (
    batch_shape,
    check_last,
    check_overflow,
    check_step,
    low_rank_rows,
    open_parts,
    widened_array,
)


@dataclass(frozen=True)
class Rows:
    """Systems in rows (rows, n), in double precision where the library has it, and how they were given.

    ``w`` is dt Lambda, ``left`` (rows, 1 + r, n) is C and the conjugates of dt^(1/2) P, ``right`` dt B and dt^(1/2) P.
    """

    xp: Any
    w: Any
    left: Any
    right: Any
    given: dict[str, Any]
    shapes: list[tuple[int, ...]]
    batch: tuple[int, ...]

    @property
    def single(self) -> bool:
        """Whether the arrays were given in single precision."""
        return epsilon(self.given["Lambda"]) != 2.0**-52

    def row(self, i: int) -> "Rows":
        """Return one system."""
        these = slice(i, i + 1)
        return replace(self, w=self.w[these, :], left=self.left[these, ...], right=self.right[these, ...])

    def take(self, these: list[int]) -> "Rows":
        """Return some of the systems."""
        if these == list(range(self.w.shape[0])):
            return self
        at = self.xp.asarray(these, device=where_is(self.w))
        w, left, right = (self.xp.take(x, at, axis=0) for x in (self.w, self.left, self.right))
        return replace(self, w=w, left=left, right=right)


def open_rows(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, name: str = "C") -> Rows:
    """Return checked arrays (..., n), or (..., r, n) for P where it has one axis more than Lambda, as `Rows`."""
    xp, Lambda, P, B, C = open_parts(as_complex=True, **{"Lambda": Lambda, "P": P, "B": B, name: C})
    shape_of_P = P.shape
    P = low_rank_rows(P, Lambda)
    n = Lambda.shape[-1]
    for each, x in (("P", P), ("B", B), (name, C)):
        check_last(x, n, each)
    given_step, dt = dt, check_step(xp, dt, Lambda)
    shapes = {"Lambda": Lambda.shape[:-1], "P": P.shape[:-2], "B": B.shape[:-1], name: C.shape[:-1], "dt": dt.shape}
    batch = batch_shape(**shapes)
    shapes_given = [Lambda.shape, shape_of_P, B.shape, C.shape, dt.shape]
    given = {"Lambda": Lambda, "P": P, "B": B, name: C, "dt": dt}
    wide = {key: widened_array(xp, x) for key, x in given.items()}
    wide["dt"] = check_step(xp, given_step, wide["Lambda"])  # not rounded to the precision of the others
    step = xp.astype(wide["dt"], wide["B"].dtype)[..., None]
    root = xp.sqrt(step)[..., None] * wide["P"]
    with np.errstate(over="ignore", invalid="ignore"):
        w = check_overflow(xp, step * wide["Lambda"], "Lambda")
        driven = check_overflow(xp, step * wide["B"], "B")
    rank = P.shape[-2]
    in_rows = lambda x: xp.reshape(xp.broadcast_to(x, (*batch, n)), (math.prod(batch), n))  # noqa: E731
    lows = [in_rows(root[..., k, :]) for k in range(rank)]
    left = xp.stack([in_rows(wide[name]), *[conjugate(xp, x) for x in lows]], axis=1)
    right = xp.stack([in_rows(driven), *lows], axis=1)
    return Rows(xp, in_rows(w), left, right, given, shapes_given, batch)


def check_length(L: Any) -> int:
    """Return the number of taps as an int."""
    return check_rank(L, 2**62, "L", "2^62")


def pole_moduli(rows: Rows, unstable: str) -> np.ndarray | None:
    """Return the largest moduli of discrete poles where one may exceed 1, None where none does; flag it as told.

    A + A^* = 2 Re(Lambda) - 2 P P^* is negative semidefinite where no real part of Lambda is positive: then the
    bilinear transform has norm 1 at most. Other systems have their eigenvalues computed, on the host.
    """
    check_option(unstable, ACTIONS, "unstable")
    xp = rows.xp
    rising = xp.max(xp.real(rows.w), axis=-1)
    if is_lazy(rising) or rising.shape[0] == 0 or scalar(xp.max(rising)) <= 0:
        return None
    moduli = np.ones(rising.shape[0])
    for i in np.flatnonzero(to_numpy(rising) > 0):
        w, left, right = (to_numpy(x[int(i), ...]) for x in (rows.w, rows.left, rows.right))
        system = DPLRSystem(w, right[1:], right[0], left[0]).discretize(1.0)
        moduli[i] = max(1.0, 1 - float(stability_margin(system)))
    worst = int(np.argmax(moduli))
    largest, place = float(moduli[worst]), system_at(worst, rows.batch)
    if largest == 1:
        return None
    if unstable == "raise":
        raise ValueError(f"Lambda and P must make no unstable system, found a pole of modulus {largest:.6g} in {place}")
    flag_unstable(1 - largest, unstable, system=place)
    return moduli


def over_circles(
    rows: Rows, L: int, moduli: np.ndarray | None, run: Callable[[Rows, Circle], tuple[Any, ...]]
) -> tuple[Any, ...]:
    """Return what ``run`` returns for all rows on one circle, or one by one where systems need circles of their own."""
    eps = epsilon(rows.w)
    times = 1 if rows.single and eps == 2.0**-52 else 3  # single precision from samples in double needs no more points
    if moduli is None:
        return run(rows, inner_circle(L, times, eps))
    parts = [run(rows.row(i), inner_circle(L, times, eps, modulus)) for i, modulus in enumerate(moduli)]
    return tuple(rows.xp.concat(each, axis=0) for each in zip(*parts, strict=True))
