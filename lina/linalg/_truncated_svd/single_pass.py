"""One reading: Y = A Omega and Z = A^H Y together give the randomised SVD without power iterations."""

import math
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, conjugate, epsilon, frobenius, scalar, to_numpy
from lina._core.certificates import Certificate, CertificateKind
from lina._core.random import gaussian
from lina.linalg._orthonormal import orthonormal_columns, triangular_inverse
from lina.linalg._truncated_svd.problem import Factors, Matrix, Request, final_rank, zero_factors

_OVERSAMPLE = 10


def single_pass_svd(matrix: Matrix, request: Request, rng: np.random.Generator) -> Factors:
    """Return the leading terms of Q Q^H A, Q an orthonormal basis of the columns of Y = A Omega.

    With Y = Q R, Q^H A = R^-H Z^H for Z = A^H Y. Rounding in Z is divided by R: columns of Y with which that would
    add more than they explain are left out of Q. Cost 4 m n l + 6 (m + n) l^2 flops, l = 2 k + 10.
    """
    xp, n = matrix.xp, matrix.shape[1]
    k = int(request.k or 1)
    X = gaussian(rng, (min(-(-(2 * k + _OVERSAMPLE) // 8) * 8, n), n), matrix.like)
    Y, W = matrix.together(X)
    goal = request.goal(matrix)
    if matrix.norm == 0:
        return zero_factors(matrix, goal)._replace(certificate=Certificate(0.0, CertificateKind.RIGOROUS))
    tall = xp.matrix_transpose(Y)
    Q = orthonormal_columns(xp, tall)
    R = xp.triu(adjoint(xp, Q) @ tall)
    rounding = epsilon(Y) * matrix.size * scalar(frobenius(xp, Y))
    inverse, rest = _leading_inverse(xp, R, rounding, min(matrix.shape))
    kept = inverse.shape[0]
    B = adjoint(xp, inverse) @ conjugate(xp, W[:kept, :])
    if kept < goal.rank:  # fewer directions than terms: the others are zero
        zeros = xp.zeros((goal.rank - kept, n), dtype=B.dtype, device=device(B))
        B = xp.concat([B, zeros], axis=0)
    P = orthonormal_columns(xp, adjoint(xp, B))
    U, s, Wt = xp.linalg.svd(B @ P, full_matrices=False)
    values = to_numpy(s).tolist()
    rest = math.hypot(rest, rounding * scalar(frobenius(xp, inverse)))
    if request.norm == "2":
        goal = request._replace(norm2=values[0]).goal(matrix)  # at most the 2-norm of the matrix
    rank, status = final_rank(values, rest, goal)
    U, s = U[:, :rank], s[:rank]
    drift = 2 * math.sqrt(matrix.shape[0]) * rounding * scalar(frobenius(xp, inverse @ (U * s)[:kept, :]))
    found = _certificate(matrix, scalar(frobenius(xp, s)), drift, math.hypot(rest, *values[rank:]))
    return Factors(Q[:, : U.shape[0]] @ U, s, (Wt @ adjoint(xp, P))[:rank, :], status, certificate=found)


def _leading_inverse(xp: Any, R: Any, rounding: float, full: int) -> tuple[Any, float]:
    """Return the inverse of the leading block of ``R`` that serves best, and what is left over with it.

    Every column more leaves less of the matrix over, and divides ``rounding`` by a smaller number: all are kept
    unless that adds more than is left.
    """
    square = R[:, : R.shape[0]]
    pivots = np.abs(to_numpy(xp.linalg.diagonal(square)))
    fine = pivots > epsilon(R) * np.max(pivots)
    size = len(fine) if np.all(fine) else int(np.argmin(fine))
    inverse = adjoint(xp, triangular_inverse(xp, adjoint(xp, square[:size, :size])))
    seen, blur = (np.abs(to_numpy(each)).astype(np.float64) ** 2 for each in (R, inverse))
    # the inverse of a leading block is the leading block of the inverse
    added = rounding**2 * np.cumsum(np.sum(blur, axis=0))
    left = [_left_over(seen, blur[:j, :j], full) for j in range(1, size + 1)]
    total = np.asarray(left) ** 2 + added
    kept = size if size == R.shape[1] and added[-1] <= left[-1] ** 2 else int(np.argmin(total)) + 1
    return inverse[:kept, :kept], left[kept - 1]


def _left_over(seen: np.ndarray, blur: np.ndarray, full: int) -> float:
    """Estimate norm(A - Q Q^H A, "fro") from the squares of R (r, l) and of the inverse of its leading block.

    Columns of Y left out of Q are independent probes: the mean square of what Q does not see of them. With none
    left out, each takes its turn: the i-th is at the distance 1 / norm(row i of R^-1) from the span of the others.
    """
    kept, columns = len(blur), seen.shape[1]
    if kept == full:
        return 0.0
    if kept < columns:
        return math.sqrt(float(np.sum(seen[kept:, kept:])) / (columns - kept))
    return math.sqrt(float(np.mean(1 / np.sum(blur, axis=1))))


def _certificate(matrix: Matrix, captured: float, drift: float, estimate: float) -> Certificate:
    """Return norm(A)^2 - norm(s)^2 while that difference keeps its digits, the estimate below."""
    doubt = matrix.doubt() * matrix.size**2 + drift
    difference = (matrix.norm - captured) * (matrix.norm + captured)
    if difference > 20 * doubt:
        return Certificate(math.sqrt(difference + doubt) + matrix.lost, CertificateKind.RIGOROUS)
    return Certificate(estimate, CertificateKind.ESTIMATE)
