"""The matrices (A, B) of the measures, in closed form."""

import math
from typing import Any

import numpy as np
from scipy.special import binom, gammaln

from lina._core.checks import check_option
from lina.hippo._arrays import check_overflow
from lina.hippo._measures import (
    check_laguerre,
    check_measure,
    check_namespace,
    check_order,
    check_positive,
    check_scaling,
    edge_values,
    roots,
    scale_factors,
)

_DTYPES = ("float32", "float64", "complex64", "complex128")


def transition(
    measure: str,
    N: int,
    *,
    theta: float = 1.0,
    scaling: str = "paper",
    alpha: float = 0.0,
    beta: float = 0.01,
    dtype: Any = None,
    xp: Any = np,
) -> tuple[Any, Any]:
    """Return the matrices of a measure: its memory x(t) of a signal u follows x' = A x + B u.

    The memory of "legs" and "fourier_legs" is about the whole past [0, t] and follows x' = (A x + B u) / t with
    ``theta`` 1; read as time-invariant systems (S4), they remember an exponentially warped past.

    Parameters
    ----------
    measure : {"legs", "legt", "lagt", "glagt", "fout", "foud", "fourier_legs"}
        See the table. "fout" and "foud" have a window or a decay of length ``theta``, "legt" a window.
    N : int
        Number of coefficients, even or odd.
    theta : float
        Length of the window [t - theta, t], or the unit of time of a decay: A and B are divided by it.
    scaling : {"paper", "orthonormal", "lmu"}
        The functions that the coefficients multiply: orthonormal for the measure with total mass 1 (as in the HiPPO
        paper), orthonormal for ds on -1 <= s <= 1 (coefficients are sqrt2 times those), or the Legendre polynomials
        themselves (as in the LMU; for "legt" backwards in time, which gives them the sign (-1)^n).
    alpha, beta : float
        Of "glagt" only: the weight y^-alpha exp(-beta y) of the past at distance y, -1 < alpha < 1, beta > 0.
    dtype : dtype of xp, optional
        float64 unless given.
    xp : namespace
        Library of the result, for example ``torch`` through ``array_api_compat``; numpy unless given.

    Returns
    -------
    A : array, shape (N, N)
    B : array, shape (N,)

    Raises
    ------
    TypeError
        If a number is none, or ``xp`` no namespace.
    ValueError
        If ``measure``, ``scaling`` or ``dtype`` is unknown, ``N`` is below 1, or another number is out of range.
    OverflowError
        If ``theta`` is so small that A or B are not finite.
    GradientError
        If a number is a tensor that requires a gradient: there is none.

    Notes
    -----
    With r_n = sqrt(2n + 1), b = (1, sqrt2, 0, sqrt2, 0, ...) and D the rotations of the basis 1, sqrt2 cos(2 pi s),
    sqrt2 sin(2 pi s), sqrt2 cos(4 pi s), ..., for theta = 1:

    ============  ===========================================  ==================  ===============  =============
    measure       A                                            B, paper            B, orthonormal   B, lmu
    ============  ===========================================  ==================  ===============  =============
    legs          -r_n r_k (k < n), -(n + 1) (k = n), 0        r_n                 sqrt2 r_n        2n + 1
    legt          -r_n r_k (k <= n), -(-1)^(n-k) r_n r_k       r_n                 sqrt2 r_n        (-1)^n (2n+1)
    lagt          -1 (k < n), -1/2 (k = n), 0                  1                   1
    glagt         -l_k / l_n (k < n), -(1 + beta) / 2, 0       z binom(n+a, n)/l   the same
    fout          D - 2 b b^T                                  2 b                 sqrt2 2 b
    foud          D - I / 2                                    b                   sqrt2 b
    fourier_legs  D / 2 - (I + b b^T) / 2 + S                  b                   sqrt2 b
    ============  ===========================================  ==================  ===============  =============

    S of "fourier_legs" has -(n^2 + k^2) / (n^2 - k^2) between cosines of frequencies n and k, 1 / sqrt2 of that with
    the constant, and -2 n k / (n^2 - k^2) between sines; between exponentials A is -n / (n - k) and i pi n - 1.
    In "glagt", a = alpha, l_n = sqrt(Gamma(n + a + 1) / n!) and z = sqrt(beta^(1 - a) / Gamma(1 - a)). "lagt" holds
    the coefficients of the Laguerre functions exp(-y/2) L_n(y), orthonormal on y > 0; the HiPPO paper's LagT is
    "glagt" with alpha 0 and beta 1. The Fourier measures are real: with even N the last coefficient is a
    cosine without its sine, which nothing moves and which stays 0. "fout" is the window [t - theta, t] of
    state-spaces/s4, where u(t - theta) is found from the mean at the jump; A = D - b b^T, B = b instead remembers the
    windows before by a third each. Window and scale of "legt" and "fout" in state-spaces/s4 are theta = 2.

    In the scalings of paper and orthonormal all are contractive, norm(expm(t A), 2) <= 1, except "glagt" with
    alpha != 0; the LMU's is not. Cost N^2.

    Sources: Gu et al., HiPPO (2020), appendix D; Gu et al., How to train your HiPPO (2022); Voelker et al., Legendre
    Memory Units (2019); the articles 10114 and 10137 of the Scientific Spaces blog.

    Examples
    --------
    >>> from lina.hippo import transition
    >>> A, B = transition("legs", 3, scaling="lmu")
    >>> A
    array([[-1.,  0.,  0.],
           [-3., -2.,  0.],
           [-5., -5., -3.]])
    >>> B
    array([1., 3., 5.])
    """
    check_measure(measure)
    N, theta = check_order(N), check_positive(theta, "theta")
    check_scaling(scaling, measure)
    A, B = _CLOSED_FORMS[measure](N) if measure != "glagt" else _glagt(N, *check_laguerre(alpha, beta))
    factors = scale_factors(measure, N, scaling)
    if scaling == "lmu":  # a similarity by the roots would leave rounding in integers
        A = _lmu(measure, N)
    B = (2 * np.arange(N) + 1.0) * (factors / roots(N)) if scaling == "lmu" else B * factors
    check_namespace(xp)
    dtype = dtype if dtype is not None else xp.float64
    check_option(str(dtype).rpartition(".")[2].rstrip("'>"), _DTYPES, "dtype")
    with np.errstate(over="ignore"):
        found = [check_overflow(np, M / theta, "1 / theta") for M in (A, B)]
    return tuple(xp.asarray(M, dtype=dtype) for M in found)  # type: ignore


def _legs(N: int) -> tuple[np.ndarray, np.ndarray]:
    r = roots(N)
    return -np.tril(np.outer(r, r), -1) - np.diag(np.arange(N) + 1.0), r


def _legt(N: int) -> tuple[np.ndarray, np.ndarray]:
    r, n = roots(N), np.arange(N)
    A = -np.outer(r, r) * np.where(n[:, None] < n, (-1.0) ** (n[:, None] - n), 1.0)
    np.fill_diagonal(A, -(2 * n + 1.0))
    return A, r


def _lmu(measure: str, N: int) -> np.ndarray:
    n = np.arange(N)
    above, degrees = n[:, None] < n, 2 * n[:, None] + 1.0
    if measure == "legs":
        return -degrees * ~above + np.diag(n)
    return degrees * np.where(above, -1.0, (-1.0) ** (n[:, None] - n + 1))


def _lagt(N: int) -> tuple[np.ndarray, np.ndarray]:
    return np.eye(N) / 2 - np.tril(np.ones((N, N))), np.ones(N)


def _glagt(N: int, alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray]:
    n = np.arange(N)
    log_norms = (gammaln(n + alpha + 1) - gammaln(n + 1)) / 2
    A = -np.tril(np.exp(log_norms - log_norms[:, None]), -1) - np.eye(N) * ((1 + beta) / 2)
    mass = np.exp(-gammaln(1 - alpha) / 2) * beta ** ((1 - alpha) / 2)
    return A, mass * binom(alpha + n, n) * np.exp(-log_norms)


def rotations(N: int) -> np.ndarray:
    """Return D of the table: the time derivative of the Fourier coefficients of a rigidly moving signal."""
    D = np.zeros((N, N))
    for k in range(1, (N + 1) // 2):
        D[2 * k - 1, 2 * k], D[2 * k, 2 * k - 1] = 2 * np.pi * k, -2 * np.pi * k
    return D


def _fout(N: int) -> tuple[np.ndarray, np.ndarray]:
    b = edge_values(N)
    return rotations(N) - 2 * np.outer(b, b), 2 * b


def _foud(N: int) -> tuple[np.ndarray, np.ndarray]:
    return rotations(N) - np.eye(N) / 2, edge_values(N)


def _fourier_legs(N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix of the article, -n/(n - k) off the diagonal, in cosines and sines.

    Its skew part couples the exponentials n and k by -(n + k) / (2 (n - k)): two cosines by -(n^2 + k^2) / (n^2 - k^2),
    two sines by -2 n k / (n^2 - k^2), and a cosine to the sine of its own frequency alone.
    """
    b = edge_values(N)
    return fourier_legs_skew(N) - (np.eye(N) + np.outer(b, b)) / 2, b


def fourier_legs_skew(N: int) -> np.ndarray:
    """Return A + I/2 + b b^T/2 of the scaled Fourier measure."""
    frequency = np.array([(i + 1) // 2 for i in range(N)], dtype=float)
    n, k = frequency[:, None], frequency[None, :]
    apart = n**2 - k**2
    apart[apart == 0] = np.inf
    cosine = edge_values(N) > 0  # the constant is the cosine of frequency 0, whose norm lacks the sqrt2
    sine = (np.arange(N) % 2 == 0) & (frequency > 0)
    S = -(n**2 + k**2) / apart * np.outer(cosine, cosine) - 2 * n * k / apart * np.outer(sine, sine)
    S[0], S[:, 0] = S[0] / math.sqrt(2), S[:, 0] / math.sqrt(2)
    return S + rotations(N) / 2


_CLOSED_FORMS = {
    "legs": _legs,
    "legt": _legt,
    "lagt": _lagt,
    "fout": _fout,
    "foud": _foud,
    "fourier_legs": _fourier_legs,
}
