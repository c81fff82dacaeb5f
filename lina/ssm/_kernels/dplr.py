"""Convolution kernels of diagonal plus low rank systems in bilinear steps."""

from typing import Any

import numpy as np

from lina._core.array import kernel_of_tensors, on_cluster, real_dtype, where_is
from lina._core.kernels import kernel
from lina._core.threads import get_threads
from lina.ssm._kernels.circle import Circle, blocks_of_points, constant, taps_from, unit_circle
from lina.ssm._kernels.dplr_met import met_roots
from lina.ssm._kernels.dplr_parts import Rows, check_length, open_rows, over_circles, pole_moduli
from lina.ssm._resolvent import check_no_pole, resolvent
from lina.ssm._response import response
from lina.ssm._systems import DPLRSystem
from lina.ssm._systems_arrays import check_overflow

# A kernel takes seconds to compile on its first call: below this many pairs times points the body is done earlier.
WORTH_COMPILING = 2**17
# Complex numbers of the samples that are in memory at once, beside inputs and outputs.
SAMPLES = 2**18
# A mode of the diagonal that is so near to a root of unity takes more digits of the sum than the rest of it leaves.
_NEXT = 1e-7


def kernel_dplr(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, L: int, *, unstable: str = "warn") -> Any:
    """Return the first L taps of the impulse response of diagonal plus low rank systems in bilinear steps.

    Parameters
    ----------
    Lambda, B, C : array_like, shape (..., n)
        One of each conjugate pair of A = diag(Lambda) - P P^*; made complex. B is not scaled by the step, C not
        conjugated. An unpaired real mode enters with half weight: 1 / sqrt2 of its P, B and C, as `lina.hippo.nplr`
        gives it.
    P : array_like, shape (..., n) or (..., r, n)
        The low rank, a row for each of its r terms; one term where it has as many axes as Lambda: rows (r, n) that a
        batch of Lambda (H, n) shares are P[None], also where r = H.
    dt : float or array_like, shape (...)
        Step, positive. It broadcasts with the leading axes of the others, which are a batch. A Python float keeps its
        double precision beside systems in single precision.
    L : int
        Number of taps, at least 1, odd or even, above or below n.
    unstable : {"warn", "raise", "ignore"}
        What to do about a system whose taps grow without bound; they are right all the same.

    Returns
    -------
    K : array, shape (..., L)
        K_l = 2 Re(C Ad^l Bd), real, in the precision of the systems; the taps of a smaller L are its first ones.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or L is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``dt`` is not positive, L is below 1, or a system is unstable and
        ``unstable`` is "raise".
    OverflowError
        If taps exceed the range of the dtype.

    Warns
    -----
    UnstableSystemWarning
        If a system is unstable.

    Notes
    -----
    The response is sampled on a circle of a radius below 1, at L points for single precision and 3 L for double, and an
    inverse FFT gives the taps, to 2e-8 and 2e-12 of the largest of them beside the rounding to the dtype. That takes
    neither C (I - A^L), whose powers cost n^3 log L, nor does it mind poles on the unit circle, as those of
    `lina.hippo.nplr` of "fout" and "legt" are; but the taps of such poles err by more the more there are, in double
    precision by 3e-12 of the largest for L = 1e3, 1e-11 for 1e4, 5e-10 for 1e5 and 3e-9 for 1e6. Sums over pairs are in
    double precision: Woodbury's identity cancels next to the poles of the diagonal. Cost about 45 flops per pair and
    two points. With a kernel (numpy, cupy, and torch by these, its gradient too) memory of inputs and outputs, and of
    the circle, 170 bytes for each of L taps (the truncated kernel: 70); elsewhere blocks of points, whose gradients
    keep them.

    Where a library has single precision only, the taps are good to 1e-5.

    The identity also cancels where the low rank exceeds the diagonal by far: a factor of about dt abs(P)^2 over the
    larger of dt abs(Lambda) and 10 / L is lost for the slowest mode, as with the mode 0 of "fout" and steps of many
    windows.

    A low rank P Q^* with Q other than P has no kernel of its own: its first L taps are ``irfft(generating_function(
    DPLRSystem(Lambda, P, B, C, Q), L, L, dt=dt), n=L)``.

    A system is stable where no real part of Lambda is positive; otherwise its eigenvalues are computed. The taps of an
    unstable one are sampled within its poles.

    References
    ----------
    Gu, Goel, Re, Efficiently Modeling Long Sequences with Structured State Spaces (2022), appendix C.3; Bornemann,
    Found. Comput. Math. 11 (2011) 1, for the radius.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.hippo import nplr
    >>> from lina.ssm import kernel_dplr
    >>> F = nplr("legs", 4)
    >>> K = kernel_dplr(F.Lambda, F.P, F.B, F.B.conj(), 0.1, 50)
    >>> bool(np.allclose(kernel_dplr(F.Lambda, F.P, F.B, F.B.conj(), 0.1, 3), K[:3]))
    True
    """
    own = kernel_of_tensors("kernel_dplr", Lambda, P, B, C) or on_cluster("kernel_dplr", Lambda, P, B, C, dt)
    return (own or dplr_taps)(Lambda, P, B, C, dt, L, unstable)


def dplr_taps(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, L: int, unstable: str) -> Any:
    """Do what `kernel_dplr` does, by array code for any library."""
    rows, L = open_rows(Lambda, P, B, C, dt), check_length(L)
    moduli = pole_moduli(rows, unstable)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        (K,) = over_circles(rows, L, moduli, lambda part, circle: (taps(part, circle, L),))
        return _shaped(rows, K, "C")


def kernel_dplr_truncated(Lambda: Any, P: Any, B: Any, C_tilde: Any, dt: Any, L: int) -> Any:
    """Return the taps of diagonal plus low rank systems whose output row C~ = C (I - A^L) belongs to the length L.

    Parameters
    ----------
    Lambda, P, B, dt
        As in `kernel_dplr`.
    C_tilde : array_like, shape (..., n)
        C (I - Ad^L), not conjugated: what training at one length learns. `truncated_c` makes it of C, `recover_c` C of
        it.
    L : int
        The length that C~ belongs to, at least 1.

    Returns
    -------
    K : array, shape (..., L)
        Real, in the precision of the systems. Other lengths need the true C.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library, or L is no int.
    ValueError
        If shapes do not fit, entries are not finite, ``dt`` is not positive, L is below 1, or a root of unity is a pole
        of the system, as z = 1 is where Lambda is 0 and no low rank moves it; the gradient also where it has a pole
        (see `kernel_dplr_truncated_vjp`).
    OverflowError
        If taps exceed the range of the dtype.

    Notes
    -----
    One sample of the response at each L-th root of unity, in double precision, and an inverse FFT: as many points as
    `kernel_dplr` in single precision, a third in double. The taps of LegS err by 2e-7 of the largest for complex64 and
    by 1e-12 for complex128; an imaginary Lambda next to a root of unity costs more. Where its bilinear image meets one
    to 1e-7, as Lambda = 0 of "fout" and "legt" of odd size meets z = 1, that is solved by the dense matrix, and the
    others without a kernel. An unstable system has a harmless looking C~ too, and is not told: see `recover_c`.

    References
    ----------
    Gu, Goel, Re, Efficiently Modeling Long Sequences with Structured State Spaces (2022), algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.ssm import DPLRSystem, kernel_dplr, kernel_dplr_truncated, truncated_c
    >>> parts = [-0.5 + 1j], [0.5], [1.0]
    >>> system = DPLRSystem(*parts, [1.0]).discretize(0.1)
    >>> K = kernel_dplr_truncated(*parts, truncated_c(system, 20), 0.1, 20)
    >>> bool(np.allclose(K, kernel_dplr(*parts, [1.0], 0.1, 20)))
    True
    """
    name, given = "kernel_dplr_truncated", (Lambda, P, B, C_tilde)
    own = kernel_of_tensors(name, *given) or on_cluster(name, *given, dt)
    return (own or truncated_dplr_taps)(Lambda, P, B, C_tilde, dt, L)


def truncated_dplr_taps(Lambda: Any, P: Any, B: Any, C_tilde: Any, dt: Any, L: int) -> Any:
    """Do what `kernel_dplr_truncated` does, by array code for any library."""
    rows, L = open_rows(Lambda, P, B, C_tilde, dt, "C_tilde"), check_length(L)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if list(met_roots(rows, L, _NEXT)) == [()]:
            return _shaped(rows, taps(rows, unit_circle(L), L), "C_tilde")
        G = check_no_pole(rows.xp, _response(rows, unit_circle(L), response), "the roots of unity for Lambda, P and dt")
        return _shaped(rows, taps_from(rows.xp, G, unit_circle(L), L), "C_tilde")


def _shaped(rows: Rows, K: Any, name: str) -> Any:
    xp = rows.xp
    K = xp.astype(K, real_dtype(xp, rows.given["Lambda"]), copy=False)
    return check_overflow(xp, xp.reshape(K, (*rows.batch, K.shape[-1])), name)


def taps(rows: Rows, circle: Circle, L: int) -> Any:
    """Return the taps (rows, L) of the samples on a circle, real; in the precision of the systems with a kernel."""
    xp = rows.xp
    fast, supports = kernel("dplr_response", xp), kernel("dplr_response_supports", xp)
    if supports is not None and not supports(rows.left.shape[1] - 1):
        fast = None
    if fast is None or rows.w.shape[0] * rows.w.shape[1] * circle.p.size < WORTH_COMPILING:
        return taps_from(xp, _response(rows, circle), circle, L)
    K = xp.empty((rows.w.shape[0], L), dtype=xp.float32 if rows.single else xp.float64)
    count = max(get_threads(), SAMPLES // circle.p.size)
    for start in range(0, K.shape[0], count):
        these = slice(start, start + count)
        some = rows.w[these], rows.left[these], rows.right[these]
        parts = [fast(*some, p, q) for p, q in blocks_of_points(circle.p, circle.q)]
        G = parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)
        if rows.single and circle.growth == 0:
            G = G.astype("complex64")
        K[these] = taps_from(xp, G, circle, L)
    return K


def _response(rows: Rows, circle: Circle, evaluate: Any = resolvent) -> Any:
    xp, like = rows.xp, rows.w
    if rows.w.shape[0] == 0:
        return xp.zeros((0, circle.p.size), dtype=like.dtype, device=where_is(like))
    system = DPLRSystem(rows.w, rows.right[:, 1:, :], rows.right[:, 0, :], rows.left[:, 0, :])
    return evaluate(system, constant(xp, circle.p, like), constant(xp, circle.q, like))
