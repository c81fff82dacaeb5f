"""lina.linalg.cr_matmul: a matrix product from a few of its column-row terms."""

import math
import operator
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import balance, check_norm, dtype_name, open_door, refuse_gradient
from lina._core.certificates import CertificateKind
from lina._core.checks import check_option
from lina._core.errors import AccuracyWarning
from lina._core.kernels import kernel
from lina._core.random import generator
from lina.linalg._cr_matmul.greedy import check_tuples, greedy
from lina.linalg._cr_matmul.omp import omp
from lina.linalg._cr_matmul.result import CR
from lina.linalg._cr_matmul.sample import error_with_replacement, error_without_replacement, sample
from lina.linalg._cr_matmul.terms import Terms
from lina.linalg._cr_matmul.topnorm import topnorm
from lina.linalg._cr_matmul.weights import Middle, diagonal, full, optimal_weights
from lina.linalg._stopping import check_matrix

RULES = ("topnorm", "sample", "greedy", "omp")
WEIGHTS = ("auto", "none", "importance", "optimal", "full")


def cr_matmul(
    X: Any,
    Y: Any,
    r: int,
    *,
    select: str = "topnorm",
    weights: str = "auto",
    tuple_size: int = 1,
    replace: bool = True,
    measure: bool = True,
    rng: int | np.random.Generator | None = None,
) -> CR:
    """Approximate a matrix product by a few of its terms, ``X @ Y ~ X[:, S] @ weights @ Y[S, :]``, with the error.

    The terms are the outer products of a column of ``X`` and the row of ``Y`` of the same index. Choosing indices
    commutes with elementwise functions, ``f(X @ W)[:, S] == f(X @ W[:, S])``, which no other low-rank approximation
    does: a layer f(X W) Y is cut down before f.

    Parameters
    ----------
    X : array_like, shape (m, l)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    Y : array_like, shape (l, n)
        Likewise.
    r : int
        Number of terms, in 1..l.
    select : {"topnorm", "sample", "greedy", "omp"}
        The terms of largest norm, best where terms are orthogonal; random terms with chances proportional to their
        norms, unbiased; step by step the terms that lower the error of the plain sum most; orthogonal matching
        pursuit, which refits all weights at each step. Terms come in the order in which they were chosen.
    weights : {"auto", "none", "importance", "optimal", "full"}
        Ones; 1 / (r p_i) for a term drawn with chance p_i (with ``select="sample"`` only); the diagonal of least
        error; the matrix of least error, ``pinv(C) @ X @ Y @ pinv(R)``. "auto" is "importance" for "sample",
        "optimal" for "omp", and otherwise "none".
    tuple_size : int
        Terms that "greedy" takes at once: a pair may cancel in part where neither term helps alone. All
        binomial(l, tuple_size) tuples are looked at in every step, so at most 2 000 000 are allowed.
    replace : bool
        Draw with replacement, where the error is known beforehand. Without it (systematic sampling in random order,
        still unbiased) no term comes twice, the largest may be certain, and the error is smaller as a rule.
    measure : bool
        Measure the error and the norm of the product. Otherwise ``error`` is the sum of the norms of what is left
        out: rigorous for O(l) flops, and often several times the norm of the product.
    rng : int, numpy.random.Generator or None
        Source of the draws.

    Returns
    -------
    CR
        ``indices`` (r,), ``weights`` (r,) or (r, r), ``error``, ``predicted_error``, ``norm_A``. It acts as a matrix:
        ``F @ x``, ``F.T @ y``, ``F.matmul()``.

    Raises
    ------
    TypeError
        If ``X`` or ``Y`` is no dense array of numbers, ``r`` or ``tuple_size`` no int, or ``rng`` none of the above.
    ValueError
        If ``X`` or ``Y`` is not a finite nonempty matrix, the shapes do not match, ``r`` is out of range, an option
        does not go with ``select``, or an array is traced.
    GradientError
        If torch records a gradient and the weights are "importance" or "optimal": they are fitted on the host.
    OverflowError
        If a norm exceeds half the range of the dtype, or that of the product does.

    Warns
    -----
    AccuracyWarning
        If sampled terms with importance weights have a predicted error above the norm of the product: returning zero
        would be better on average. That is so unless r exceeds (sum norm(x_i) norm(y_i))^2 / norm(X Y)^2 - 1.

    Notes
    -----
    Cost beside the exact product's 2 l m n flops: selection by "topnorm" and "sample" 2 l (m + n), by "greedy" and
    "omp" 2 l^2 (m + n) for the inner products of all terms, the Hadamard product of X^H X and the transpose of Y Y^H.
    Where l is beyond 16 r or so these are computed 64 terms at a time, those that are likely to be chosen next:
    4 l m n + 2 l r (m + n) flops if all of them are, and at most 64 times the second part; memory 64 l numbers instead
    of l^2. Tuples always take all of them. Weights "optimal" 2 l r (m + n), "full" twice that. ``F.matmul()`` takes
    2 r m n.

    The measured error costs 2 l^2 (m + n) flops through the same inner products where that is less than forming what
    is left out, 2 (l - r) m n; the inner products are trusted only while the square keeps its digits. As a rule that
    is less than the exact product costs, which is never stored; ``measure=False`` where even that is too much.

    Sampling with replacement has the mean square error ((sum norm(x_i) norm(y_i))^2 - norm(X Y)^2) / r over all
    draws. Without replacement ``predicted_error`` is Hajek's approximation for samples of fixed size, right to about
    one per cent.
    With ``measure=False`` the norm in it is estimated from ten random vectors.

    Arrays of dask, ``X`` in blocks of whole rows and ``Y`` in blocks of whole columns, are read once each, for the
    triangles of X and Y^T: terms are chosen and the error is measured with these, in memory; the factors are lazy.

    References
    ----------
    Drineas, Kannan, Mahoney, SIAM J. Comput. 36 (2006) 132, Lemma 4 (variance and best chances); Hajek, Ann. Math.
    Statist. 35 (1964) 1491 (without replacement); Pati, Rezaiifar, Krishnaprasad, Asilomar 1993 (matching pursuit).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import cr_matmul
    >>> X, Y = np.array([[3.0, 0.1, 0.0], [0.0, 0.0, 2.0]]), np.eye(3)
    >>> F = cr_matmul(X, Y, 2)
    >>> F.indices, F.error
    (array([0, 2]), 0.1...)
    """
    xp, X, Y = open_door(min_ndim=2, X=X, Y=Y)
    in_blocks = kernel("cr_matmul", xp)
    check_matrix(X, "X", lazy=in_blocks is not None)
    check_matrix(Y, "Y", lazy=in_blocks is not None)
    if X.shape[1] != Y.shape[0]:
        raise ValueError(f"X must have as many columns as Y has rows, got shapes {tuple(X.shape)} and {tuple(Y.shape)}")
    weights = _checked(X.shape[1], r, select, weights, tuple_size, replace)
    if in_blocks is not None:
        options: Any = {"select": select, "weights": weights, "tuple_size": tuple_size, "replace": replace}
        return in_blocks(X, Y, lambda R, S: cr_matmul(R, S, r, **options, measure=measure, rng=rng))
    if weights in ("importance", "optimal"):
        refuse_gradient(f"cr_matmul with weights={weights!r}", X=X, Y=Y)
    draws = generator(rng)
    dtype = xp.result_type(X, Y)
    X, x_scale = _balanced(xp, xp.astype(X, dtype, copy=False), "X")
    Y, y_scale = _balanced(xp, xp.astype(Y, dtype, copy=False), "Y")
    terms = Terms(xp, X, Y)
    indices, expected = _select(terms, r, select, tuple_size, replace, draws)
    norm = terms.norm if measure else partial(terms.estimated_norm, rng=draws)
    product = norm(np.ones(terms.l)) if measure or weights == "importance" else 0.0
    predicted = None
    if weights == "importance":
        predicted = _predict(terms, r, replace or r == 1, expected, product, norm)
    found = _weighted(terms, indices, expected, weights, product if measure else None)
    return _result(terms, indices, found, predicted, product if measure else None, x_scale, y_scale)


def _checked(count: int, r: Any, select: Any, weights: Any, tuple_size: Any, replace: Any) -> str:
    """Return the weights that are meant."""
    check_option(select, RULES, "select")
    check_option(weights, WEIGHTS, "weights")
    _check_count(r, count, "r", "1..l")
    _check_count(tuple_size, r, "tuple_size", "1..r")
    if select == "greedy":
        check_tuples(count, tuple_size)
    elif tuple_size != 1:
        raise ValueError(f"tuple_size must be 1 with select={select!r}, got {tuple_size}")
    if select != "sample" and not replace:
        raise ValueError(f"replace must be True with select={select!r}, got {replace}")
    if select != "sample" and weights == "importance":
        raise ValueError(f"weights must not be 'importance' with select={select!r}: nothing is drawn")
    if weights == "auto":
        return {"sample": "importance", "omp": "optimal"}.get(select, "none")
    return str(weights)


def _check_count(value: Any, limit: int, name: str, interval: str) -> None:
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if not 1 <= operator.index(value) <= limit:
        raise ValueError(f"{name} must be in {interval} = 1..{limit} for X (m, l) and Y (l, n), got {value}")


def _balanced(xp: Any, x: Any, name: str) -> tuple[Any, float]:
    scaled, norm, scale = balance(xp, x, name)
    check_norm(x, norm, scale, name)
    return scaled, scale


def _select(
    terms: Terms, r: int, select: str, tuple_size: int, replace: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the terms (r,), and how often each of all (l,) is drawn on average (ones where nothing is drawn)."""
    if select == "sample":
        return sample(terms, r, replace, rng)
    if select == "topnorm":
        indices = topnorm(terms, r)
    else:
        indices = greedy(terms, r, tuple_size) if select == "greedy" else omp(terms, r)
    return indices, np.ones(terms.l)


def _predict(
    terms: Terms, r: int, replace: bool, expected: np.ndarray, product: float, norm: Callable[[np.ndarray], float]
) -> float:
    """Return the root mean square error of the sampling; warn where it exceeds the norm of the product."""
    if replace:
        predicted = error_with_replacement(terms, r, product)
    else:
        predicted = error_without_replacement(terms, expected, norm)
    if predicted > product:
        ratio = predicted / product if product > 0 else math.inf
        found = f"the predicted error of {r} sampled terms is {ratio:.3g} times the norm of X @ Y"
        warnings.warn(f"{found}: returning zero would be better on average", AccuracyWarning, stacklevel=3)
    return predicted


def _weighted(terms: Terms, indices: np.ndarray, expected: np.ndarray, weights: str, product: float | None) -> Middle:
    """Return the chosen terms with their weights; the error is measured where the norm of the product was."""
    if weights == "full":
        return full(terms, indices, product)
    values = None
    if weights == "importance":
        values = 1 / expected[indices]
    elif weights == "optimal":
        values = optimal_weights(terms, indices)
    return diagonal(terms, indices, values, product is not None)


def _result(
    terms: Terms,
    indices: np.ndarray,
    found: Middle,
    predicted: float | None,
    product: float | None,
    x_scale: float,
    y_scale: float,
) -> CR:
    """Return the approximation for the factors that were divided by their scales."""
    X = terms.X
    largest = float(terms.xp.finfo(X.dtype).max)
    if max(found.error, product or 0.0) * x_scale > largest / y_scale:
        raise OverflowError(f"X and Y must not be so large that X @ Y overflows {dtype_name(X)}")
    scale = x_scale * y_scale
    return CR(
        indices=terms.xp.asarray(indices, device=device(X)),
        weights=found.weights,
        left=found.left if x_scale == 1.0 else found.left * x_scale,
        right=found.right if y_scale == 1.0 else found.right * y_scale,
        error=found.error * scale,
        error_kind=CertificateKind.RIGOROUS,
        predicted_error=None if predicted is None else predicted * scale,
        norm_A=None if product is None else product * scale,
    )
