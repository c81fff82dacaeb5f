"""From the sketches of a stream to factors, and what the error sketch says of every truncation of them."""

import math
from typing import Any, NamedTuple

import numpy as np

from lina._core.array import adjoint, to_numpy
from lina.linalg._orthonormal import orthonormal_columns
from lina.linalg._streaming_svd.draws import GaussianRows


class Sketches(NamedTuple):
    """X = Upsilon^H A (r, n), W = Theta^H A (q, n), Y = A Omega (m, r) and Z = Phi^H A Psi (s, s)."""

    X: Any
    W: Any
    Y: Any
    Z: Any


class Reconstruction(NamedTuple):
    """(Q @ U) diag(s) V^H with r terms; the squared norms (r + 1, q) that the probes see left over; norm(A, "fro")."""

    Q: Any
    U: Any
    s: Any
    V: Any
    left_over: np.ndarray
    norm_A: float


def reconstruct(xp: Any, sketches: Sketches, left: GaussianRows, right: GaussianRows) -> Reconstruction:
    """Return Q C P^H with C = (Phi^H Q)^+ Z ((Psi^H P)^+)^H, by the SVD of C.

    ``left`` has the columns (Upsilon, Theta, Phi), ``right`` has (Omega, Psi).
    """
    X, W, Y, Z = sketches
    r, q = X.shape[0], W.shape[0]
    Q, P = orthonormal_columns(xp, Y), orthonormal_columns(xp, adjoint(xp, X))
    seen = left.adjoint_times(Q, slice(r, None))
    half = _least_squares(xp, seen[q:, :], Z)
    C = adjoint(xp, _least_squares(xp, right.adjoint_times(P, slice(r, None)), adjoint(xp, half)))
    U, s, Vt = xp.linalg.svd(C, full_matrices=False)
    V = P @ adjoint(xp, Vt)
    images = (seen[:q, :] @ U) * xp.astype(s, U.dtype)
    return Reconstruction(Q, U, s, V, *_probe(xp, W, images, V, s))


def _least_squares(xp: Any, M: Any, B: Any) -> Any:
    """Return M^+ B for a Gaussian ``M`` of more rows than columns, which is well conditioned."""
    Q, R = xp.linalg.qr(M)
    return xp.linalg.solve(R, adjoint(xp, Q) @ B)


def _probe(xp: Any, W: Any, images: Any, V: Any, s: Any) -> tuple[np.ndarray, float]:
    """Return |theta^H (A - A_j)|^2 for the truncations A_j, j = 0..r, and every probe theta; and norm(A, "fro").

    What lies outside the span of V is left over by every A_j; in it, the first j components are left over as
    differences to ``images`` (q, r), the components theta^H A_r, and the others whole. All are sums of squares, so
    that a small error keeps its digits.
    """
    inside = W @ V
    outside = to_numpy(xp.sum(xp.abs(W - inside @ adjoint(xp, V)) ** 2, axis=1)).astype(np.float64)
    kept, whole = _squares(inside - images).T, _squares(inside).T
    none = np.zeros_like(whole[:1])
    head = np.concatenate([none, np.cumsum(kept, axis=0)])
    tail = np.concatenate([np.cumsum(whole[::-1], axis=0)[::-1], none])
    # the norm of A_r is known exactly: the probes need to say only how far that of A is from it
    square = np.sum(_squares(s)) + np.mean(outside + np.sum(whole - _squares(images).T, axis=0))
    return outside + head + tail, float(np.sqrt(max(square, 0.0)))


def _squares(x: Any) -> np.ndarray:
    return np.abs(to_numpy(x)).astype(np.float64) ** 2


def lower_tail(degrees: int, probability: float) -> float:
    """Return t < 1 such that probes with so many degrees of freedom see less than t of a squared norm so seldom.

    For weights w that sum to 1, E exp(-u sum w_i chi_i^2) = prod (1 + 2 u w_i)^(-d / 2) <= (1 + 2 u)^(-d / 2): no
    matrix is worse than one of rank 1, and for that Chernoff's bound is (t exp(1 - t))^(d / 2).
    """
    share = probability ** (2.0 / degrees)
    t = share / math.e
    for _ in range(60):  # Newton's method, which stays below the root of the concave t exp(1 - t) - share
        t += (share * math.exp(t - 1) - t) / (1 - t)
    return t
