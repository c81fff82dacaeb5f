"""What a model predicts, in other terms: noise, data, velocity, score."""

from typing import Any

import numpy as np

from lina._core.array import open_door
from lina._core.checks import check_option
from lina.diffusion._per_sample import per_sample, spread

PREDICTIONS = ("eps", "x0", "v", "flow", "score")


def convert(prediction: Any, x: Any, alpha: Any, sigma: Any, source: str, target: str) -> Any:
    """Return a prediction of the kind ``target``, from one of the kind ``source`` for x = alpha x0 + sigma eps.

    The kinds are the noise "eps", the data "x0", "v" = alpha eps - sigma x0, "flow" = eps - x0 and "score" =
    -eps / sigma.

    Parameters
    ----------
    prediction, x : array, shape (batch, ...)
        What the model returned, and what it was given.
    alpha, sigma : float or array, shape (batch,)
        As of `Schedule.alpha_sigma`, for all samples or for each one.
    source, target : {"eps", "x0", "v", "flow", "score"}
        Kinds of prediction.

    Returns
    -------
    converted : array of the shape of ``x``

    Raises
    ------
    TypeError
        If the arrays are of different libraries, or alpha and sigma are no known real numbers.
    ValueError
        If the shapes differ, a kind is unknown, alpha or sigma negative, or ``prediction`` does not determine
        ``target``: noise says nothing of the data at alpha = 0, nor data of the noise at sigma = 0.

    Notes
    -----
    One sum of two terms. Its coefficients are computed in double precision, without differences that cancel, for each
    pair of kinds from what it needs only: "x0" from "eps" has no division by sigma. Differentiable in ``prediction``
    and ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> from lina.diffusion import convert
    >>> x0, eps = np.array([[1.0, -2.0]]), np.array([[0.5, 1.0]])
    >>> convert(eps, 0.8 * x0 + 0.6 * eps, 0.8, 0.6, "eps", "x0").round(12)
    array([[ 1., -2.]])
    """
    _, prediction, x = open_door(prediction=prediction, x=x)
    if tuple(prediction.shape) != tuple(x.shape):
        raise ValueError(f"prediction must have the shape {tuple(x.shape)} of x, got {tuple(prediction.shape)}")
    signal, noise = (_amount(value, name, x) for value, name in ((alpha, "alpha"), (sigma, "sigma")))
    of_x, of_prediction = factors(signal, noise, source, target)
    if source == target:
        return prediction
    return spread(of_x, x) * x + spread(of_prediction, x) * prediction


def prediction_of(model: Any, given: str | None) -> str:
    """Return what a model predicts: what is given, else its attribute ``prediction``, else "eps"."""
    own = getattr(model, "prediction", None)
    known = isinstance(own, str) and own in PREDICTIONS
    if given is None:
        return str(own) if known else "eps"
    check_option(given, PREDICTIONS, "prediction")
    if known and own != given:
        raise ValueError(f'prediction must be that of the model, whose attribute says "{own}", got "{given}"')
    return given


def factors(alpha: Any, sigma: Any, source: str, target: str) -> tuple[Any, Any]:
    """Return the factors of x and of the prediction in the conversion, float64 in the shape of alpha and sigma.

    With kinds c x0 + e eps, the determinants of (x, prediction) in (x0, eps) give them, and with those of Cramer's rule
    only what is truly singular divides by zero.
    """
    check_option(source, PREDICTIONS, "source")
    check_option(target, PREDICTIONS, "target")
    alpha, sigma = np.asarray(alpha, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    zero = np.zeros_like(alpha + sigma)
    if source == target:
        return zero, zero + 1
    (c, e, whole), (to_c, to_e, to_whole) = _rows(alpha, sigma, source), _rows(alpha, sigma, target)
    _refuse_zero(whole, "sigma" if source == "x0" else "alpha", source, target)
    of_x, of_prediction = (to_c * e - to_e * c) / whole, to_whole / whole
    if source == "score":
        of_prediction = of_prediction * -sigma
    if target == "score":
        _refuse_zero(sigma, "sigma", source, target)
        of_x, of_prediction = -of_x / sigma, -of_prediction / sigma
    return of_x + zero, of_prediction + zero


def _rows(alpha: np.ndarray, sigma: np.ndarray, kind: str) -> tuple[Any, Any, Any]:
    """Return the factors of x0 and eps in a kind, and the determinant alpha e - sigma c; a score counts as its eps."""
    if kind == "x0":
        return 1.0, 0.0, -sigma
    if kind == "v":
        return -sigma, alpha, alpha**2 + sigma**2
    return (-1.0, 1.0, alpha + sigma) if kind == "flow" else (0.0, 1.0, alpha)


def _refuse_zero(value: Any, name: str, source: str, target: str) -> None:
    if np.any(value == 0):
        wanted = f'must be above 0 where "{source}" becomes "{target}", got 0'
        raise ValueError(f'{name} {wanted} (a model of "v" or "flow" has no such end)')


def _amount(value: Any, name: str, x: Any) -> np.ndarray:
    """Return alpha or sigma, which are not negative."""
    numbers = per_sample(value, name, x, "A conversion")
    if np.any(numbers < 0):
        raise ValueError(f"{name} must not be negative, got {numbers.min():g}")
    return numbers
