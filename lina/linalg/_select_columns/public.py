"""lina.linalg.select_columns: checks, and the certificate of a choice."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import adjoint, balance, check_norm, epsilon, frobenius, open_door, real_dtype, scalar, to_numpy
from lina._core.certificates import CertificateKind
from lina._core.checks import check_int, check_option, check_rank
from lina._core.kernels import kernel
from lina._core.random import generator
from lina.linalg._lowrank import Concise
from lina.linalg._pinv.outcome import cutoff_for
from lina.linalg._residual import projection_error
from lina.linalg._select_columns.choose import RULES, choose_columns
from lina.linalg._select_columns.probabilities import SAMPLED, draw, probabilities
from lina.linalg._sketch import check_positive
from lina.linalg._stopping import check_matrix
from lina.linalg._thin_svd import certain_svd

METHODS = tuple(RULES)


@dataclass(frozen=True, eq=False, repr=False)
class ColumnSelection(Concise):
    """Some columns (rows) of a matrix, and how much of it is outside the space that they span.

    Attributes
    ----------
    indices : array of int, shape (k,)
        The columns (rows) chosen, the most important first; drawn with replacement, one may come twice.
    C : array, shape (m, k) or (k, n)
        The chosen columns (rows) themselves.
    error : float
        norm(A - C C^+ A, "fro"), with ``axis=0`` norm(A - A C^+ C, "fro"): an upper bound, rounding included.
    error_kind : CertificateKind
        "rigorous".
    norm_A : float
        Frobenius norm of the matrix.
    weights : array, shape (k,), or None
        With ``sampling``: (C * weights) (C * weights)^H has the expectation A A^H.
    method : str
        The rule.
    axis : int
        1 for columns, 0 for rows.
    """

    indices: Any
    C: Any
    error: float
    error_kind: CertificateKind
    norm_A: float
    weights: Any
    method: str
    axis: int


def select_columns(
    A: Any,
    k: int,
    *,
    method: str = "cpqr",
    sampling: bool = False,
    replace: bool = False,
    axis: int = 1,
    rng: int | np.random.Generator | None = None,
) -> ColumnSelection:
    """Choose ``k`` columns that span as much of the matrix as a rule finds, with what they leave over.

    Parameters
    ----------
    A : array_like, shape (m, n)
        Dense. Integers and booleans are promoted to float64, half precisions to float32.
    k : int
        Number of columns, in 1..min(m, n); any number with ``replace``. So many are returned also where the numerical
        rank is smaller: first those that the rule finds, then the largest of the others, columns of zeros last.
    method : str
        The rule, the better ones first:

        - "greedy": the column that lowers the error of all most, step by step;
        - "cpqr": pivoted QR; "sketch": pivoted QR of a random sketch of the rows, nearly as good at the speed of
          matrix products; "sampled_cpqr": pivoted QR of a random sample of columns;
        - "qdeim", "deim": pivoted QR and LU on the leading right singular vectors;
        - "rbrp": robust blockwise random pivoting; "lupp": LU with partial pivoting of a sketch, the fastest;
        - "kmeans": the columns nearest to the centres of clusters;
        - "leverage", "norm", "uniform": column by column, blind to what was chosen before; of many alike they
          take all. Use them with ``sampling``.
    sampling : bool
        Draw columns with probabilities p_i like their squared norms ("norm"), their leverages of rank k ("leverage")
        or all the same ("uniform") instead of taking the largest; ``weights`` make the draw unbiased.
    replace : bool
        Draw them independently of each other, with weights 1 / sqrt(k p_i). Without replacement column i is drawn
        with the probability min(1, c p_i), these adding up to k, and has one over the root of that as its weight
        (0 for columns of probability 0, drawn only where there are too few others).
    axis : {1, 0}
        Choose columns (1) or rows (0).
    rng : int, numpy.random.Generator or None
        Source of sketches and draws.

    Returns
    -------
    ColumnSelection
        ``indices`` (k,), ``C`` (m, k) or (k, n), ``error``, ``norm_A``, ``weights``.

    Raises
    ------
    TypeError
        If ``A`` is no dense array of numbers, ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty matrix, is traced, ``k`` is out of range, ``method`` is unknown, or
        ``sampling`` is asked of a rule without probabilities.

    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    The best choice is NP-hard to find. On clusters of very different size "norm", "leverage" and "uniform" are worse
    than the others by the ratio of these sizes, as a rule a thousand times: ``error`` tells. It is rigorous, and the
    pseudo-inverse of dependent columns counts only what is more than rounding in them, which can only enlarge it.

    "lupp" does not reveal the rank: near the numerical rank it may take columns of which only rounding is left.

    Of an array of dask columns are chosen as `interpolative` does it: in memory, from the triangle of its QR, which one
    reading finds. ``C`` and ``weights`` are lazy arrays.

    Cost in flops: "cpqr" 4 m n k for a large matrix and k up to an eighth of its sides, otherwise 4 m n min(m, n);
    "sketch" 2 m n (k + 10), "lupp", "kmeans" about the same; "sampled_cpqr" 16 m k^2; "rbrp" 4 m n k;
    "greedy" 2 m n min(m, n) + 2 n min(n, 4 m) k; "deim", "qdeim" those of `truncated_svd`; "leverage"
    6 m n^2 + 22 n^3 for m >= n; the error 2 m n k + 6 m k^2 + 22 k^3 beside them. Memory: "rbrp" two arrays of the
    size of ``A``, "greedy" n min(m, n) numbers, "leverage" the factors of the SVD.

    References
    ----------
    Farahat, Ghodsi, Kamel, Knowl. Inf. Syst. 45 (2015) 1 (greedy); Dong, Martinsson, Adv. Comput. Math. 49 (2023) 66
    (lupp); Dong, Chen, Martinsson, Pearce, arXiv:2309.16002 (rbrp); Sorensen, Embree, SIAM J. Sci. Comput. 38
    (2016) A1454 (deim); Drineas, Mahoney, Muthukrishnan, SIAM J. Matrix Anal. Appl. 30 (2008) 844 (leverage).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import select_columns
    >>> A = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.1], [0.0, 0.0, 3.0]])
    >>> F = select_columns(A, 2)
    >>> F.indices, bool(F.error < 1e-12)
    (array([2, 1]), True)
    """
    xp, A = open_door(min_ndim=2, A=A)
    in_blocks = kernel("choose_columns", xp)
    check_matrix(A, lazy=in_blocks is not None)
    check_option(method, METHODS, "method")
    if sampling and method not in SAMPLED:
        raise ValueError(f"method must be one of {', '.join(map(repr, SAMPLED))} with sampling, got {method!r}")
    if replace and not sampling:
        raise ValueError("replace must be False without sampling, got True")
    if check_int(axis, "axis") not in (0, 1):
        raise ValueError(f"axis must be 0 or 1, got {axis!r}")
    k = check_positive(k, "k") if replace else check_rank(k, min(A.shape))
    draws = generator(rng)
    if in_blocks is not None:
        options: Any = {"method": method, "sampling": sampling, "replace": replace, "rng": draws}
        return in_blocks(A, axis, lambda R: select_columns(R, k, **options))
    scaled, norm_A, scale = balance(xp, A, "A")
    check_norm(A, norm_A, scale, "A")
    M = scaled if axis == 1 else xp.matrix_transpose(scaled)
    weights = None
    if sampling:
        drawn, factors = draw(draws, probabilities(xp, M, k, method), k, replace)
        indices = xp.asarray(drawn, device=device(A))
        weights = xp.asarray(factors, dtype=real_dtype(xp, A), device=device(A))
    else:
        indices = choose_columns(xp, M, k, method, draws)
    error = _left_over(xp, M, xp.take(M, indices, axis=1), norm_A)
    C, kind = xp.take(A, indices, axis=axis), CertificateKind.RIGOROUS
    return ColumnSelection(indices, C, error * scale, kind, norm_A * scale, weights, method, axis)


def _left_over(xp: Any, A: Any, C: Any, norm_A: float) -> float:
    """Return norm(A - C C^+ A, "fro"), rounding included, also where ``C`` is rank deficient.

    Directions of ``C`` that are rounding are not counted as spanned: that can only enlarge the value.
    """
    size = xp.linalg.vector_norm(C, axis=0)
    C = C / xp.astype(xp.where(size > 0, size, xp.ones_like(size)), C.dtype)[None, :]  # small columns span as much
    cutoff = cutoff_for(C.shape, epsilon(C), None, None)
    U, s, _ = certain_svd(xp, C, cutoff)
    values = to_numpy(s)
    rank = int(np.sum(values > cutoff.at(values[0])))
    if rank == 0:
        return norm_A
    Q, s = U[:, :rank], xp.astype(s[:rank], C.dtype)
    B = adjoint(xp, Q) @ A
    # the computed Q lies in the span of C to eps s[0] / s[i] in direction i, no better
    doubt = 2 * epsilon(C) * float(values[0]) * scalar(frobenius(xp, B / s[:, None]))
    return float(projection_error(xp, A, norm_A, frobenius(xp, B), Q, B)) + doubt
