"""Short solvers that are right by exhaustion, or by an iteration that is known to converge, however slowly."""

from itertools import combinations, product

import mpmath
import numpy as np


def faces(n):
    """Yield every nonempty set of indices below n."""
    for k in range(1, n + 1):
        yield from (list(face) for face in combinations(range(n), k))


def exhaustive_qp(Q, c):
    """Return (x, value): the least value of x.Q x / 2 + c.x over the simplex, the best of the minima of all faces."""
    best = (None, np.inf)
    for face in faces(len(c)):
        k = len(face)
        K = np.block([[Q[np.ix_(face, face)], np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
        y = np.linalg.lstsq(K, np.append(-c[face], 1.0), rcond=1e-13)[0][:k]
        if y.min() < -1e-9 or abs(y.sum() - 1) > 1e-9:
            continue
        x = np.zeros(len(c))
        x[face] = np.maximum(y, 0) / np.maximum(y, 0).sum()
        value = 0.5 * x @ Q @ x + c @ x
        if value < best[1]:
            best = (x, value)
    return best


def exhaustive_capped_qp(Q, c, upper):
    """Return (x, value): the least x.Q x / 2 + c.x of sum 1 and 0 <= x <= upper, each entry at a bound or free."""
    best = (None, np.inf)
    for pattern in product("0fu", repeat=len(c)):
        free = [i for i, p in enumerate(pattern) if p == "f"]
        x = np.where(np.array(pattern) == "u", upper, 0.0)
        k, rest = len(free), 1 - x.sum()
        K = np.block([[Q[np.ix_(free, free)], np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
        x[free] = np.linalg.lstsq(K, np.append(-(Q @ x + c)[free], rest), rcond=1e-13)[0][:k]
        value = 0.5 * x @ Q @ x + c @ x
        if abs(x.sum() - 1) < 1e-9 and np.all(x > -1e-9) and np.all(x < upper + 1e-9) and value < best[1]:
            best = (np.clip(x, 0, upper), value)
    return best


def exhaustive_ball(X):
    """Return (center, radius): the smallest of the circumscribed balls of all subsets that contains every point."""
    best = (None, np.inf)
    n, d = X.shape
    for k in range(1, min(n, d + 1) + 1):
        for subset in combinations(range(n), k):
            P = X[list(subset)]
            edges = P[1:] - P[0]
            center = P[0] + np.linalg.lstsq(edges, 0.5 * np.sum(edges**2, axis=1), rcond=None)[0]
            radius = np.linalg.norm(P[0] - center)
            if radius < best[1] and np.all(np.linalg.norm(X - center, axis=1) <= radius * (1 + 1e-9) + 1e-12):
                best = (center, radius)
    return best


def em_mixture(L, weights=None, iterations=1000):
    """Return the proportions after steps of expectation maximisation."""
    w = np.full(len(L), 1 / len(L)) if weights is None else weights / weights.sum()
    x = np.full(L.shape[1], 1 / L.shape[1])
    for _ in range(iterations):
        x = x * (L.T @ (w / (L @ x)))
    return x


def exact_mixture(L, x, weights, digits=50):
    """Return (negative log-likelihood per observation, gap) of proportions over their sum, in that many digits."""
    with mpmath.workdps(digits):
        L, x, w = (mpmath.matrix(v.astype(float).tolist()) for v in (L, x, weights))
        x, w = x / sum(x), w / sum(w)
        z = L * x
        scores = L.T * mpmath.matrix([w[i] / z[i] for i in range(L.rows)])
        return -sum(w[i] * mpmath.log(z[i]) for i in range(L.rows)), max(scores) - 1


def multiplicative_design(A, iterations=1000, criterion="D"):
    """Return the design after multiplicative steps (Silvey, Titterington, Torsney; Yu for the square root at "A")."""
    n = len(A)
    x = np.full(n, 1 / n)
    for _ in range(iterations):
        P = np.linalg.inv((A.T * x) @ A)
        if criterion == "D":
            x = x * np.einsum("ij,jk,ik->i", A, P, A) / A.shape[1]
        else:
            x = x * np.sqrt(np.einsum("ij,jk,ik->i", A, P @ P, A))
            x = x / x.sum()
    return x


def design_value(A, x, criterion="D"):
    """Return -log det M, or trace M^-1."""
    M = (A.T * x) @ A
    return -np.linalg.slogdet(M)[1] if criterion == "D" else np.trace(np.linalg.inv(M))


def exact_design(A, x, criterion="D", digits=60):
    """Return (value, gap) of a design, its weights divided by their sum, in that many digits."""
    with mpmath.workdps(digits):
        A, w = mpmath.matrix(A.astype(float).tolist()), mpmath.matrix(x.astype(float).tolist())
        M = A.T * mpmath.diag(list(w / sum(w))) * A
        P = M**-1
        squares = P if criterion == "D" else P * P
        most = max((A[i, :] * squares * A[i, :].T)[0] for i in range(A.rows))
        if criterion == "D":
            return -mpmath.log(mpmath.det(M)), most - A.cols
        trace = sum(P[k, k] for k in range(A.cols))
        return trace, most - trace


def mmd_squared(K, x, w):
    """Return the squared maximum mean discrepancy of two weightings of the same points."""
    return (x - w) @ K @ (x - w)
