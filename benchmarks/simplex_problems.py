"""How fast are the named problems over the simplex, each with its certificate?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.runner import Case, Question, Target
from lina.simplex import (
    min_enclosing_ball,
    mixture_proportions,
    optimal_design,
    portfolio_frontier,
    simplex_lsq,
)

Contenders = dict[str, Callable[[], Any]]


def cases(quick: bool) -> Iterator[Case]:
    """Yield mixtures, designs, balls, least squares, a frontier and a quantisation."""
    yield mixture(200 if quick else 2000, 20 if quick else 200, em_steps=10 if quick else 3000)
    for n, d, first in ((300, 4, True),) if quick else ((2000, 20, False), (10_000, 20, True)):
        yield design(n, d, limit=50 if quick else 10_000, judged=first)
    for n, d, ratio in ((500, 3, 1),) if quick else ((5000, 10, 100), (5000, 30, 100), (5000, 100, 300)):
        yield ball(n, d, ratio)
    yield least_squares(*(50, 20) if quick else (2000, 500))
    yield frontier(20 if quick else 300, points=5 if quick else 30)


def mixture(n: int, m: int, em_steps: int) -> Case:
    """Return normal components of known means, a sample of three broad groups."""
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(mean, spread, n // 3 + 1) for mean, spread in ((-3, 1.0), (0, 0.3), (2, 2))])[:n]
    L = np.exp(-0.5 * (z[:, None] - np.linspace(-7, 8, m)) ** 2)

    def gap(x: np.ndarray) -> float:
        x = np.maximum(x, 0) / np.sum(np.maximum(x, 0))
        return float(np.mean(L / (L @ x)[:, None], axis=0).max() - 1)

    found: Contenders = {"lina": lambda: mixture_proportions(L).x, "SLSQP, with its gradient": lambda: slsqp_mixture(L)}
    cvxpy = imported("cvxpy")
    if cvxpy is not None and imported("clarabel") is not None:
        found["cvxpy + Clarabel"] = lambda: clarabel_mixture(cvxpy, L)
    found |= {f"EM, {steps} steps": em(L, steps) for steps in (em_steps // 10, em_steps)}
    targets = [Target("lina", "cvxpy + Clarabel", 40), Target("lina", "SLSQP, with its gradient", 25)]
    return Case(f"mixture proportions, {n} x {m}", found, gap, targets, at_least_rounds=1)


def slsqp_mixture(L: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize

    n, m = L.shape

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        z = np.maximum(L @ x, 1e-300)
        return -float(np.mean(np.log(z))), -(1 / z) @ L / n

    return minimize(
        value_and_gradient,
        np.full(m, 1 / m),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda x: np.sum(x) - 1, "jac": lambda _: np.ones(m)},
        options={"maxiter": 1000, "ftol": 1e-12},
    ).x


def clarabel_mixture(cvxpy: Any, L: np.ndarray) -> np.ndarray:
    x = cvxpy.Variable(L.shape[1], nonneg=True)
    objective = cvxpy.Maximize(cvxpy.sum(cvxpy.log(L @ x)) / L.shape[0])
    cvxpy.Problem(objective, [cvxpy.sum(x) == 1]).solve(solver="CLARABEL")
    return x.value


def em(L: np.ndarray, steps: int) -> Callable[[], np.ndarray]:
    def run() -> np.ndarray:
        x = np.full(L.shape[1], 1 / L.shape[1])
        for _ in range(steps):
            x = x * ((1 / (L @ x)) @ L) / L.shape[0]
        return x

    return run


def design(n: int, d: int, limit: int, judged: bool) -> Case:
    """Return normal candidates; the peers stop where the largest standardised variance is within 1e-6 of d."""
    A = np.random.default_rng(0).standard_normal((n, d))

    def excess(x: np.ndarray) -> float:
        return float(variances(A, x).max() / d - 1)

    found: Contenders = {
        "lina": lambda: optimal_design(A).x,
        "Wolfe-Atwood, numpy": lambda: wolfe_atwood(A, limit),
        "lina, A-optimal": lambda: optimal_design(A, "A").x,
        "multiplicative, numpy": lambda: multiplicative(A, limit),
    }
    targets = [Target("lina", "multiplicative, numpy", 50), Target("lina", "Wolfe-Atwood, numpy", 1)]
    return Case(f"D-optimal design, {n} x {d}", found, excess, targets if judged else [], at_least_rounds=1)


def variances(A: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.sum(np.linalg.solve(np.linalg.cholesky((A.T * x) @ A), A.T) ** 2, axis=0)


def multiplicative(A: np.ndarray, limit: int) -> np.ndarray:
    n, d = A.shape
    x = np.full(n, 1 / n)
    for _ in range(limit):
        scores = variances(A, x) / d
        if scores.max() <= 1 + 1e-6:
            break
        x = x * scores
    return x


def wolfe_atwood(A: np.ndarray, limit: int) -> np.ndarray:
    """Return the design after steps towards the best candidate or away from the worst, all variances updated by one."""
    n, d = A.shape
    x = np.zeros(n)
    x[scipy.linalg.qr(A.T, mode="r", pivoting=True)[1][:d]] = 1 / d
    for step in range(limit):
        if step % 500 == 0:
            P = np.linalg.inv((A.T * x) @ A)
            scores = np.einsum("ij,jk,ik->i", A, P, A)
        i = int(np.argmax(scores))
        worst = int(np.argmin(np.where(x > 0, scores, np.inf)))
        if scores[i] <= d * (1 + 1e-6):
            break
        j = i if scores[i] - d >= d - scores[worst] else worst
        length = (scores[j] / d - 1) / (scores[j] - 1) if scores[j] > 1 else -np.inf
        length = max(length, -x[j] / (1 - x[j]))
        u = P @ A[j]
        change = length / (1 - length + length * scores[j])
        P = (P - change * np.outer(u, u)) / (1 - length)
        scores = (scores - change * (A @ u) ** 2) / (1 - length)
        x *= 1 - length
        x[j] = max(x[j] + length, 0.0) if length > -x[j] else 0.0
    return x


def ball(n: int, d: int, ratio: float) -> Case:
    """Return normal points; the error is how far the radius lies above lina's lower bound."""
    X = np.random.default_rng(0).standard_normal((n, d))
    least = min_enclosing_ball(X, rtol=1e-14).radius_bound

    def excess(center: np.ndarray) -> float:
        return float(np.linalg.norm(X - center, axis=1).max() / least - 1)

    found: Contenders = {"lina": lambda: min_enclosing_ball(X).center}
    found |= dedicated(X)
    cvxpy = imported("cvxpy")
    if cvxpy is not None and imported("clarabel") is not None:
        found["cvxpy + Clarabel"] = lambda: clarabel_ball(cvxpy, X)
    targets = [Target("lina", "cvxpy + Clarabel", ratio)]
    return Case(f"enclosing ball, {n} x {d}", found, excess, targets, at_least_rounds=1)


def dedicated(X: np.ndarray) -> Contenders:
    """Return Gaertner's C++ code (package MiniballCpp), or Welzl's algorithm in Python (package miniball)."""
    miniball = imported("miniball")
    if miniball is None or X.shape[1] > 30:  # they take minutes and more in a hundred dimensions
        return {}
    if hasattr(miniball, "Miniball"):
        return {"MiniballCpp": lambda: np.array(miniball.Miniball(X).center())}
    return {"miniball": lambda: miniball.get_bounding_ball(X, rng=np.random.default_rng(0))[0]}


def clarabel_ball(cvxpy: Any, X: np.ndarray) -> np.ndarray:
    center, radius = cvxpy.Variable(X.shape[1]), cvxpy.Variable()
    inside = cvxpy.norm(X - cvxpy.reshape(center, (1, X.shape[1]), order="C"), axis=1) <= radius
    cvxpy.Problem(cvxpy.Minimize(radius), [inside]).solve(solver="CLARABEL")
    return center.value


def least_squares(m: int, n: int) -> Case:
    """Return normal columns and a noisy mixture of a few of them."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, n)) + 1
    b = A @ rng.dirichlet(np.full(n, 0.1)) + 0.3 * rng.standard_normal(m)

    def gap(x: np.ndarray) -> float:
        x = np.maximum(x, 0) / np.sum(np.maximum(x, 0))
        r = A @ x - b
        g = r @ A
        return float(x @ (g - g.min()) / (0.5 * r @ r))

    def nnls() -> np.ndarray:
        from scipy.optimize import nnls

        weight = 1e3 * np.linalg.norm(A, 2)
        return nnls(np.vstack([A, np.full(n, weight)]), np.append(b, weight))[0]

    found: Contenders = {"lina": lambda: simplex_lsq(A, b).x, "scipy nnls, sum by a weight": nnls}
    cvxpy = imported("cvxpy")
    if cvxpy is not None and imported("clarabel") is not None:
        found["cvxpy + Clarabel"] = lambda: clarabel_lsq(cvxpy, A, b)
    return Case(f"least squares, {m} x {n}", found, gap, at_least_rounds=1)


def clarabel_lsq(cvxpy: Any, A: np.ndarray, b: np.ndarray) -> np.ndarray:
    x = cvxpy.Variable(A.shape[1], nonneg=True)
    cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(A @ x - b)), [cvxpy.sum(x) == 1]).solve(solver="CLARABEL")
    return x.value


def frontier(n: int, points: int) -> Case:
    """Return returns with common factors; the error is the largest excess of a variance over lina's lower bounds."""
    rng = np.random.default_rng(0)
    T = 2 * n
    R = rng.standard_normal((T, 10)) @ rng.standard_normal((10, n)) * 0.01 + 0.02 * rng.standard_normal((T, n))
    C, mean = np.cov(R.T), 1e-3 * rng.standard_normal(n) + 5e-4
    least = portfolio_frontier(C, mean, rtol=1e-12, returns=np.array([-1.0])).returns[0]
    wanted = np.linspace(least, mean.max(), points)
    bounds = portfolio_frontier(C, mean, returns=wanted, rtol=1e-9).lower_bound

    def excess(X: np.ndarray) -> float:
        return float(np.max(np.einsum("ij,jk,ik->i", X, C, X) / bounds - 1))

    found: Contenders = {"lina": lambda: portfolio_frontier(C, mean, returns=wanted).x}
    cvxpy = imported("cvxpy")
    if cvxpy is not None and imported("clarabel") is not None:
        found["cvxpy + Clarabel, point by point"] = lambda: clarabel_frontier(cvxpy, C, mean, wanted)
    return Case(f"frontier, {n} assets, {points} points", found, excess, at_least_rounds=1)


def clarabel_frontier(cvxpy: Any, C: np.ndarray, mean: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    unit = np.trace(C) / len(mean)
    x, gain = cvxpy.Variable(len(mean), nonneg=True), cvxpy.Parameter()
    objective = cvxpy.Minimize(cvxpy.quad_form(x, cvxpy.psd_wrap(C / unit)))
    problem = cvxpy.Problem(objective, [cvxpy.sum(x) == 1, (mean / np.abs(mean).max()) @ x >= gain])
    found = []
    for each in wanted:
        gain.value = each / np.abs(mean).max()
        problem.solve(solver="CLARABEL")
        found.append(np.maximum(x.value, 0) / np.maximum(x.value, 0).sum())
    return np.stack(found)


def imported(name: str) -> Any:
    """Return a module, or None where it is not installed."""
    try:
        return __import__(name)
    except ImportError:
        return None


QUESTION = Question(
    "How fast are the named problems over the simplex, each with its certificate?",
    cases,
    error_name="relative gap (excess for balls and frontiers)",
    note="The certificate of lina is included in its times. EM and the multiplicative algorithm have none; they end "
    "by their number of steps or by the same gap, and the tail of EM shows in its error. The error beside the "
    "A-optimal design is that of the other criterion.",
)
