"""portfolio_frontier: the least variance for every return, each point certified."""

from typing import Any

import numpy as np

from lina._core.array import dtype_name, epsilon, open_door, refuse_gradient, scalar, to_numpy
from lina.simplex._data import check_data, host
from lina.simplex._portfolio_frontier.market import Market
from lina.simplex._portfolio_frontier.result import Frontier
from lina.simplex._result import SimplexResult
from lina.simplex._working_set import Callback, Stopping, check_start, check_stopping


def portfolio_frontier(
    covariance: Any = None,
    mean: Any = None,
    *,
    factor: Any = None,
    diagonal: Any = None,
    returns: Any = None,
    risk_aversion: Any = None,
    x0: Any = None,
    rtol: float = 1e-6,
    callback: Callback | None = None,
    history: bool = False,
) -> Frontier:
    """Find long-only portfolios of least variance, for a grid of returns or of risk aversions, each one certified.

    Parameters
    ----------
    covariance : array_like, shape (n, n), optional
        C, symmetric positive semidefinite; or give ``factor``.
    mean : array_like, shape (n,)
        Expected returns of the assets.
    factor, diagonal : array_like, shapes (n, k) and (n,), optional
        C = F F^T + diag(d) in place of ``covariance``; without ``diagonal`` d is 0.
    returns : array_like, shape (p,), optional
        Returns that the portfolios must have at least. By default 30 from that of the least variance to the largest
        mean.
    risk_aversion : array_like, shape (p,), optional
        In place of ``returns``: each portfolio minimises gamma x.C x / 2 - mean.x; positive, may be infinite.
    x0 : array_like, shape (n,) or (k, n), or Frontier, optional
        Portfolios of which the best one is where each quadratic program starts: those of yesterday's frontier.
    rtol : float
        The gap allowed, relative to the variance, or to a millionth of that of the least risky asset, if larger.
    callback : callable, optional
        Is given a `Step` after each program, its value a variance; a true answer leaves the others unsolved.
    history : bool
        Keep the steps.

    Returns
    -------
    Frontier
        A `SimplexResult` whose fields have a leading axis of portfolios, with ``returns``, ``risk``,
        ``risk_aversion``. ``iterations`` counts the quadratic programs solved for each.

    Raises
    ------
    TypeError
        If an argument is no dense array of real numbers, their libraries differ, not exactly one of ``covariance`` and
        ``factor`` is given, or both grids are.
    OverflowError
        If a variance exceeds the range of float64.
    ValueError
        If an array is empty, not finite or of a wrong shape, C is not symmetric or not positive semidefinite, a return
        exceeds every mean, or a risk aversion is not positive.
    GradientError
        If a torch tensor of the data requires a gradient: there is none.

    Notes
    -----
    The frontier is a curve x(t) over t = 1 / gamma, linear between finitely many points, on which the return grows
    with t. Where the solved points around a wanted return lie on one line, the portfolio between them is optimal, and
    its certificate at the price t between theirs proves it; else one more quadratic program is solved there, from the
    portfolio in between. So far-apart returns cost a few programs each and a dense grid little more than products.
    The gap holds for every portfolio with at least the same return, by weak duality.

    Cost as in `simplex_qp` for each program and n k flops for each certificate, k the number of assets held.

    References
    ----------
    Markowitz, J. Finance 7 (1952) 77; Markowitz, Naval Res. Logist. Q. 3 (1956) 111 (the critical line).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.simplex import portfolio_frontier
    >>> f = portfolio_frontier(np.diag([1.0, 4.0]), np.array([0.0, 1.0]), returns=np.array([0.0, 0.5, 1.0]))
    >>> f.x.round(6), f.value.round(6)
    (array([[0.8, 0.2],
           [0.5, 0.5],
           [0. , 1. ]]), array([0.8 , 1.25, 4.  ]))
    >>> f.certified, bool(np.all(f.relative_gap <= 1e-6))
    (True, True)
    """
    given = {"covariance": covariance, "factor": factor, "mean": mean, "diagonal": diagonal}
    stopping = check_stopping(rtol, 0, callback, history)
    market, xp, like = _open(given, stopping, x0)
    if returns is not None and risk_aversion is not None:
        raise TypeError("returns or risk_aversion must be None, got both")
    if risk_aversion is not None:
        gammas = _grid(risk_aversion, "risk_aversion")
        if not np.all(gammas > 0):
            raise ValueError(f"risk_aversion must be positive, got {gammas.min()}")
        points = market.at_prices(market.price_of(gammas))
    else:
        points = market.at_returns(None if returns is None else _grid(returns, "returns") / market.return_unit)
    return market.frontier(points, xp, like)


def _open(given: dict[str, Any], stopping: Stopping, x0: Any) -> tuple[Market, Any, Any]:
    """Return the market, the namespace and the array whose library and dtype the answer takes."""
    if (given["covariance"] is None) == (given["factor"] is None):
        raise TypeError(f"covariance or factor must be given, got {'neither' if given['factor'] is None else 'both'}")
    if given["diagonal"] is not None and given["factor"] is None:
        raise TypeError("diagonal must be None where covariance is given")
    present = {name: value for name, value in given.items() if value is not None or name == "mean"}
    xp, *opened = open_door(**present)
    arrays = dict(zip(present, opened, strict=True))
    for name, value in arrays.items():
        check_data(xp, value, name, ndim=2 if name in ("covariance", "factor") else 1)
    refuse_gradient("portfolio_frontier", **arrays)
    n = opened[0].shape[0]
    if "covariance" in arrays and opened[0].shape[1] != n:
        raise ValueError(f"covariance must be square, got shape {tuple(opened[0].shape)}")
    for name in ("mean", "diagonal"):
        if name in arrays and arrays[name].shape[0] != n:
            raise ValueError(
                f"{name} must have one entry per row of covariance or factor, {n}, got {arrays[name].shape[0]}"
            )
    if "covariance" in arrays:
        off = scalar(xp.max(xp.abs(opened[0] - xp.matrix_transpose(opened[0]))))
        if off > n * epsilon(opened[0]) * scalar(xp.max(xp.abs(opened[0]))):
            raise ValueError(
                f"covariance must be symmetric, got entries that differ by {off:.3g} from the transposed ones"
            )
        _check_semidefinite(host(opened[0]), epsilon(opened[0]))
    data = {name: host(value) for name, value in arrays.items()}
    if "diagonal" in data and np.any(data["diagonal"] < 0):
        raise ValueError(f"diagonal must be non-negative, got an entry of {float(np.min(data['diagonal'])):.3g}")
    return Market(data, stopping, _starts(x0, n)), xp, opened[0]


def _starts(x0: Any, n: int) -> list[np.ndarray]:
    """Return the portfolios to start from, each in float64 with the sum 1."""
    if x0 is None:
        return []
    _, rows = open_door(x0=x0.x if isinstance(x0, SimplexResult) else x0)
    starts = [check_start(row, n) for row in np.atleast_2d(to_numpy(rows))]
    return [x for x in starts if x is not None]


def _check_semidefinite(C: np.ndarray, eps: float) -> None:
    """Raise ValueError unless no portfolio, long or short, has a negative variance beyond rounding; n^3 / 3 flops."""
    largest = float(np.max(np.abs(C)))
    if largest == 0:
        return
    C, rounding = C / largest, 10 * C.shape[0] * eps
    try:
        np.linalg.cholesky(C + rounding * np.eye(C.shape[0]))
    except np.linalg.LinAlgError:
        least = float(np.linalg.eigvalsh(C)[0])
        if least < -rounding:
            found = f"found the eigenvalue {least * largest:.3g}"
            raise ValueError(f"covariance must be positive semidefinite to rounding, {found}") from None


def _grid(values: Any, name: str) -> np.ndarray:
    _, grid = open_door(**{name: values})
    if "complex" in dtype_name(grid):
        raise TypeError(f"{name} must be real, got dtype {dtype_name(grid)}")
    grid = host(grid)
    if grid.ndim != 1 or grid.size == 0:
        raise ValueError(f"{name} must be a nonempty vector, got shape {grid.shape}")
    if np.any(np.isnan(grid)) or (name == "returns" and not np.all(np.isfinite(grid))):
        raise ValueError(f"{name} must be {'finite' if name == 'returns' else 'numbers'}, got NaN or an infinity")
    return grid
