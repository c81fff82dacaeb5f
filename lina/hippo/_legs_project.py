"""The exact memory of LegS: the projection of a piecewise constant signal, and of an older memory, without steps."""

import math
from typing import Any

import numpy as np

from lina._core.array import where_is, widened_array
from lina.hippo._arrays import check_overflow, constant, matrix, open_finite, scaled
from lina.hippo._legendre import legendre_integrals
from lina.hippo._measures import check_order, check_scaling, roots

# Cells of which the table of integrals is in memory at once.
_BLOCK = 4096
# Entries of the table of step matrices that is in memory at once.
_TABLE = 2**20


def legs_project(u: Any, N: int, *, scaling: str = "paper") -> Any:
    """Return the first N coefficients of a whole signal, as `legs_scan` with method "exact" ends in.

    The signal is constant on L cells of equal length, whatever that is: the coefficients are the integrals of it with
    the shifted Legendre polynomials over its duration, so that ``u`` repeated has the same coefficients.

    Parameters
    ----------
    u : array, shape (..., L)
        Samples, L at least 1, real or complex.
    N : int
        Number of coefficients.
    scaling : {"paper", "orthonormal", "lmu"}
        As in `transition`.

    Returns
    -------
    array, shape (..., N)

    Raises
    ------
    TypeError
        If ``N`` is no int.
    ValueError
        If ``u`` has no samples or some that are not finite, or ``N`` is below 1.
    OverflowError
        If the differences of the samples do not fit the dtype.

    Notes
    -----
    A product with an L x N table in closed form, 2 L N flops for each signal and 4 L N for the table, of which 4096
    rows are in memory. The table multiplies the differences of ``u``, so that constants come out to the last bit. The
    error is about sqrt(L) eps, the table being made in double precision. No certificate: `reconstruct` has one.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.hippo import legs_project
    >>> legs_project(np.ones(1000), 3).tolist()
    [1.0, 0.0, 0.0]
    """
    N = check_order(N)
    check_scaling(scaling, "legs")
    xp, u = open_finite(u=u)
    if u.shape[-1] == 0:
        raise ValueError(f"u must have at least one sample, got shape {tuple(u.shape)}")
    with np.errstate(over="ignore", invalid="ignore"):
        return check_overflow(xp, scaled(xp, project(xp, u, N, None, 0), "legs", scaling), "u")


def project(xp: Any, u: Any, N: int, x0: Any, k0: int) -> Any:
    """Return the memory after ``u`` of the memory x0 of k0 samples before it, in the paper's scaling."""
    L, total = u.shape[-1], 0.0
    for first in range(0, L, _BLOCK):
        count = min(_BLOCK, L - first)
        # sum_k u_k (Q(edge k) - Q(edge k+1)), by parts: each jump of u counts from its edge on
        known = widened_array(xp, u[..., max(first - 1, 0) : first + count])
        if first == 0:
            known = xp.concat([xp.zeros_like(known[..., :1]), known], axis=-1)
        edges = constant(xp, np.arange(k0 + first, k0 + first + count) * (2.0 / (k0 + L)) - 1, known)
        table = xp.astype(legendre_integrals(xp, edges, N), known.dtype, copy=False)
        total = total + (known[..., 1:] - known[..., :-1]) @ table
    if x0 is not None and k0 > 0:
        total = total + rescaled(xp, widened_array(xp, x0), k0 / (k0 + L))
    return xp.astype(total, u.dtype, copy=False)


def rescaled(xp: Any, x: Any, ratio: float) -> Any:
    """Return expm(-ln(ratio) A) x: the memory of a past that becomes the first part, ``ratio``, of a longer one."""
    return x @ xp.matrix_transpose(matrix(xp, rescalings(x.shape[-1], np.array([ratio]))[:, 0], x))


def rescalings(N: int, ratios: np.ndarray) -> np.ndarray:
    """Return expm(-ln(ratio) A) of LegS for each ratio (T,) in [0, 1], as (N, T, N), in the paper's scaling.

    Row n holds the coefficients of p_n(ratio s) in the shifted Legendre polynomials p_k(s), which have the three-term
    recurrence of the polynomials with the multiplication by s as a tridiagonal matrix: N^2 flops, and rounding as in
    the recurrence for numbers; no matrix exponential.
    """
    r, k = roots(N + 1), np.arange(1, N)
    off = k / (r[: N - 1] * r[1:N])
    E = np.zeros((N, ratios.size, N))
    E[0, :, 0] = ratios
    stretched, shifted = ratios[:, None] * off, (ratios - 1)[:, None]
    for n in range(N - 1):
        row, links = E[n, :, : n + 2], stretched[:, : n + 1]
        moved = shifted * row
        moved[:, 1:] += links * row[:, :-1]
        moved[:, :-1] += links * row[:, 1:]
        moved *= r[n] * r[n + 1] / (n + 1)
        if n:
            moved -= (n / r[n - 1] * r[n + 1] / (n + 1)) * E[n - 1, :, : n + 2]
        E[n + 1, :, : n + 2] = moved
    return E


def exact_states(xp: Any, u: Any, N: int, x0: Any, k0: int) -> Any:
    """Return the exact memory after every sample, (..., L, N), in the paper's scaling: 10 N^2 flops a step.

    Within a block every state is made from the one before the block, so that rounding adds up over blocks only.
    """
    L, batch = u.shape[-1], u.shape[:-1]
    x = xp.zeros((*batch, N), dtype=u.dtype, device=where_is(u)) if x0 is None else x0
    x, states = widened_array(xp, x), []
    block = max(1, min(_TABLE // N**2, math.isqrt(_TABLE // N)))
    for first in range(0, L, block):
        part = widened_array(xp, u[..., first : min(first + block, L)])
        T = part.shape[-1]
        ends = k0 + first + np.arange(1, T + 1)
        old = matrix(xp, rescalings(N, (k0 + first) / ends).reshape(N * T, N), x)
        # a jump at an edge beyond the end of a state has the integral 0
        edges = np.minimum(2 * (k0 + first + np.arange(T))[:, None] / ends - 1, 1)
        new = matrix(xp, legendre_integrals(np, edges, N).reshape(T, T * N), x)
        jumps = part - xp.concat([xp.zeros_like(part[..., :1]), part[..., : T - 1]], axis=-1)
        kept = xp.matrix_transpose(xp.reshape(x @ xp.matrix_transpose(old), (*batch, N, T)))
        out = kept + xp.reshape(jumps @ new, (*batch, T, N))
        x = out[..., T - 1, :]
        states.append(xp.astype(out, u.dtype, copy=False))
    return xp.concat(states, axis=-2)
