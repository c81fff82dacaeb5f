"""How fast is a certified minimiser of a quadratic over the simplex?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.runner import Case, Question, Target
from lina.simplex import frank_wolfe_gap, project_capped_simplex, simplex_qp

Problem = tuple[np.ndarray, np.ndarray]


def cases(quick: bool) -> Iterator[Case]:
    """Yield portfolios of minimum variance, quantisations in a kernel's distance, and batches of small problems."""
    for n in (100,) if quick else (500, 1000, 2000):
        Q = covariance(n)
        targets = [Target("lina", "cvxpy + Clarabel", 50), Target("lina", "Clarabel alone", 30)]
        peers = ("cvxpy + Clarabel", "Clarabel alone") + (("SLSQP",) if n <= 500 else ())
        yield case(f"minimum variance, n = {n}", (Q, np.zeros(n)), peers, targets)
    for n in (100,) if quick else (500, 2000, 5000):
        targets = [Target("lina", "cvxpy + Clarabel", 8)] if n <= 500 else []
        peers = {2000: ("Clarabel alone",), 5000: ()}.get(n, ("cvxpy + Clarabel", "Clarabel alone", "SLSQP"))
        yield case(f"kernel quantisation, n = {n}", quantisation(n), peers, targets)
    for n in (100,) if quick else (500, 1000):
        yield capped_case(n, 2 / n)
    yield batch_case(50 if quick else 1000, 20)


def covariance(n: int, factors: int = 20, days: float = 1.2) -> np.ndarray:
    """Return the sample covariance of daily returns with a few common factors, the first common to all assets."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(0, 1, (n, factors))
    loadings[:, 0] += 1.5
    T = int(days * n)
    own = rng.uniform(0.5, 2, n)
    return np.cov(0.01 * (rng.standard_normal((T, factors)) @ loadings.T + rng.standard_normal((T, n)) * own).T)


def quantisation(n: int) -> Problem:
    """Return Q and c of the weights on n points that imitate 4 n others best in a Gaussian kernel's distance."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, 2)), rng.standard_normal((4 * n, 2))

    def kernel(A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return np.exp(-(np.sum(A**2, 1)[:, None] + np.sum(B**2, 1) - 2 * A @ B.T) / 2)

    return kernel(X, X), -np.mean(kernel(X, Y), axis=1)


def case(name: str, problem: Problem, peers: tuple[str, ...], targets: list[Target]) -> Case:
    """Return one problem with lina's answers and its peers'."""
    Q, c = problem
    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: simplex_qp(Q, c, convex=True).x,
        "lina, convexity tested": lambda: simplex_qp(Q, c).x,
    }
    found |= {peer: call for peer, call in contenders(Q, c).items() if peer in peers}
    return Case(name, found, lambda x: relative_gap(Q, c, x), targets)


def capped_case(n: int, upper: float) -> Case:
    """Return a portfolio of minimum variance, no weight of which exceeds ``upper``."""
    Q, c = covariance(n), np.zeros(n)
    found: dict[str, Callable[[], Any]] = {"lina": lambda: simplex_qp(Q, upper=upper, convex=True).x}
    scale = 1 / found["lina"]().dot(Q @ found["lina"]())
    try:
        import clarabel
    except ImportError:
        pass
    else:
        found["Clarabel alone"] = clarabel_alone(clarabel, Q * scale, c, upper)

    def error(x: np.ndarray) -> float:
        x = project_capped_simplex(x, upper=upper)
        return float(frank_wolfe_gap(x, Q @ x, upper=upper) / (0.5 * x @ Q @ x))

    targets = [Target("lina", "Clarabel alone", 2)] if n >= 500 else []
    return Case(f"minimum variance, n = {n}, weights up to {upper:g}", found, error, targets)


def relative_gap(Q: np.ndarray, c: np.ndarray, x: np.ndarray) -> float:
    """Return the gap over the value, of the point made feasible."""
    x = np.maximum(x, 0)
    x = x / np.sum(x)
    g = Q @ x + c
    return float(x @ (g - np.min(g)) / abs(0.5 * x @ (g + c)))


def contenders(Q: np.ndarray, c: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Return the peers that are installed; the objective is scaled to size 1, without which Clarabel misses the gap."""
    scale = 1 / abs(simplex_qp(Q, c, convex=True).value)
    found = {"SLSQP": lambda: slsqp(Q * scale, c * scale)}
    try:
        import clarabel
        import cvxpy
    except ImportError:
        return found
    return {
        "cvxpy + Clarabel": lambda: through_cvxpy(cvxpy, Q, c, scale),
        "Clarabel alone": clarabel_alone(clarabel, Q * scale, c * scale),
        **found,
    }


def through_cvxpy(cvxpy: Any, Q: np.ndarray, c: np.ndarray, scale: float) -> np.ndarray:
    x = cvxpy.Variable(Q.shape[0], nonneg=True)
    objective = cvxpy.quad_form(x, cvxpy.psd_wrap(Q * (scale / 2))) + (scale * c) @ x
    cvxpy.Problem(cvxpy.Minimize(objective), [cvxpy.sum(x) == 1]).solve(solver="CLARABEL")
    return x.value


def clarabel_alone(clarabel: Any, Q: np.ndarray, c: np.ndarray, upper: float | None = None) -> Callable[[], np.ndarray]:
    """Return the solver alone, its sparse matrices made before."""
    n = c.size
    P = sparse.triu(sparse.csc_array(Q), format="csc")
    caps = [] if upper is None else [sparse.eye_array(n)]
    A = sparse.vstack([np.ones((1, n)), -sparse.eye_array(n), *caps], format="csc")
    b = np.concatenate([[1.0], np.zeros(n), np.full(n * len(caps), upper or 0.0)])
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(n * (1 + len(caps)))]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    return lambda: np.array(clarabel.DefaultSolver(P, c, A, b, cones, settings).solve().x)


def slsqp(Q: np.ndarray, c: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize

    n = c.size
    return minimize(
        lambda x: (0.5 * x @ Q @ x + c @ x, Q @ x + c),
        np.full(n, 1 / n),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda x: np.sum(x) - 1, "jac": lambda _: np.ones(n)},
        options={"maxiter": 20, "ftol": 1e-12},
    ).x


def batch_case(count: int, n: int) -> Case:
    """Return many small problems, solved in one call and one by one."""
    rng = np.random.default_rng(0)
    F = rng.standard_normal((count, n, n + 5))
    Q, c = F @ np.swapaxes(F, 1, 2), rng.standard_normal((count, n))
    peers = [contenders(Q[i], c[i]) for i in range(count)]

    def each(name: str) -> Callable[[], np.ndarray]:
        return lambda: np.stack([peer[name]() for peer in peers])

    def worst(x: np.ndarray) -> float:
        return max(relative_gap(*problem) for problem in zip(Q, c, x, strict=True))

    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: simplex_qp(Q, c, convex=True).x,
        "lina, one by one": lambda: np.stack([simplex_qp(Q[i], c[i], convex=True).x for i in range(count)]),
    }
    found |= {name: each(name) for name in ("Clarabel alone",) if name in peers[0]}
    return Case(f"{count} problems, n = {n}", found, worst, [Target("lina", "Clarabel alone", 10)])


QUESTION = Question(
    "How fast is a certified minimiser of a quadratic over the simplex?",
    cases,
    "gap / value",
    note="All to a relative gap of 1e-6; SLSQP is stopped after 20 iterations. 'lina' is told that Q is convex, as "
    "cvxpy is; the row below it finds out.",
)
