"""lina.linalg.nystrom: checks, the choice of the method, and the certificate."""

import math
from typing import Any

import numpy as np

from lina._core.array import to_numpy
from lina._core.certificates import Status
from lina._core.checks import check_option, check_rank, check_tolerance
from lina._core.random import generator
from lina.linalg._low_rank_eigh import NORMS, LowRankEigh
from lina.linalg._nystrom.blocks import Goal, approximate
from lina.linalg._nystrom.certify import Certifier
from lina.linalg._nystrom.matrix import PsdMatrix
from lina.linalg._nystrom.whole import Whole
from lina.linalg._stopping import check_stopping

METHODS = ("auto", "sketch", "krylov")


def nystrom(
    A: Any,
    k: int | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str | None = None,
    method: str = "auto",
    max_passes: int | None = None,
    trace: float | None = None,
    rng: int | np.random.Generator | None = None,
) -> LowRankEigh:
    """Approximate a Hermitian positive semidefinite matrix from below, ``A ~ U diag(lam) U^H``, with the error left.

    Parameters
    ----------
    A : array_like, shape (n, n), or scipy.sparse, or an object with ``shape`` and ``A @ X``
        Hermitian positive semidefinite. Integers and booleans are promoted to float64, half precisions to float32. An
        object is given numpy blocks X (n, b); its ``dtype`` is float64 unless it says otherwise.
    k : int, optional
        Number of terms, in 1..n. With a tolerance: at most so many. Fewer are returned where nothing but rounding is
        left.
    rtol, atol : float, optional
        Take terms until the error is at most ``max(rtol * norm(A), atol)``, both in the norm ``norm``.
        At least one of ``k``, ``rtol``, ``atol`` is needed.
    norm : {"trace", "fro", "2"}, optional
        The norm of the tolerance and of ``error``. Default "trace" (the sum of the singular values), or "2" where the
        trace is not known.
    method : {"auto", "sketch", "krylov"}
        "sketch" multiplies ``A`` once by 1.5 k + 10 random columns, for a tolerance by more of them each time: near
        the optimum where eigenvalues decay fast. "krylov" multiplies again what the last product left: within about
        1 % of the optimum, as a rule after 3 passes of k + 10 columns. "auto" takes "sketch" where ``max_passes`` is
        1, otherwise "krylov"; without ``max_passes`` all eigenvectors of an array where that is about as little work,
        from a sixth of n for ``k`` and a fifth of n for a tolerance: ``method`` of the result is then "eigh".
    max_passes : int, optional
        The largest number of products of ``A`` with a block before those of the certificate. With a tolerance blocks
        have 32 columns.
    trace : float, optional
        The trace of ``A``, if that is known of an object of which only products are.
    rng : int, numpy.random.Generator or None
        Source of the sketch and of the probes of the certificate.

    Returns
    -------
    LowRankEigh
        ``U`` (n, k), ``lam`` (k,), ``error``, ``error_kind``, ``norm``, ``status``. It acts as a matrix: ``F @ x``,
        ``F.toarray()``, ``F.truncate(k)``; ``F.solve(B, shift)`` solves with ``shift`` on the diagonal.

    Raises
    ------
    TypeError
        If ``A`` is none of the above, ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty square matrix, is traced; if it shows itself not to be Hermitian or
        positive semidefinite; ``k`` is out of range, a tolerance is negative, nothing says where to stop, or the trace
        is needed and not known.
    GradientError
        If torch records a gradient of ``A``: ranks are decided on the host.
    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype, or the norm asked for its whole range.

    Notes
    -----
    ``A - U diag(lam) U^H`` is positive semidefinite: its trace is the sum of its singular values, and bounds its
    other norms. In the norm "trace" the error is trace(A) - sum(lam), rigorous and free; where rounding is most of that
    difference, sqrt(n) times the residual of an array, if less. In "fro" it is the residual of an array, 2 n^2 k
    flops. For "2", and "fro" without an array, random probes bound it with a failure probability of 1e-10 a look, by a
    factor of 3 to 6 above the error as a rule; the trace instead where that is less.

    All this takes ``A`` as positive semidefinite up to the rounding of its entries. Negative eigenvalues and asymmetry
    are detected where the random products see them, which is certain only for large ones. The residual does not depend
    on it.

    An array of dask is read by the workers that have its blocks of whole rows, once for the diagonal and the norm and
    once for each product; the rest is done here, and ``U`` and ``lam`` are returned as arrays of dask.

    Cost 2 n^2 (k + 10) flops a pass, and 10 n m^2 for a basis of m columns; memory 2 n m numbers. With "auto" never
    much above that of all eigenvectors of an array, about 9 n^3 and 2 n^2 numbers.

    References
    ----------
    Tropp, Yurtsever, Udell, Cevher, NeurIPS 2017 (the shift); Tropp, Webber, arXiv:2306.12418 (block Krylov, there
    algorithm NysBKI); Gittens, Mahoney, J. Mach. Learn. Res. 17 (2016) 117 (errors in the three norms).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import nystrom
    >>> x = np.linspace(0.0, 1.0, 200)
    >>> A = np.exp(-((x[:, None] - x) ** 2))
    >>> F = nystrom(A, rtol=1e-6, rng=0)
    >>> F.rank, str(F.error_kind), bool(np.linalg.norm(A - F.toarray(), "nuc") <= F.error)
    (5, 'rigorous', True)
    """
    matrix = PsdMatrix(A, _checked_trace(trace))
    norm = _checked_norm(norm, matrix, trace)
    rank, tolerant = check_stopping(matrix.n, k, rtol, atol)
    check_option(method, METHODS, "method")
    if max_passes is not None:
        check_rank(max_passes, 2**31, "max_passes")
    draws = generator(rng)
    free = method == "auto" and max_passes is None
    goal = Goal(rank, tolerant, float(rtol or 0.0), float(atol or 0.0), max_passes, free)
    if method == "auto":
        method = "sketch" if max_passes == 1 else "krylov"
    certifier = Certifier(matrix, norm, draws)
    basis, terms, status, bound = approximate(matrix, goal, method, certifier, draws)
    U, lam = basis.terms(terms)
    values = to_numpy(lam).tolist()
    found = certifier.certify(U, lam, values, basis)
    if bound is not None and bound.value < found.value:
        found = bound
    scale, norm_A = matrix.scale, certifier.norm_A(values)
    if not math.isfinite(norm_A * scale) or not math.isfinite(found.value * scale):
        raise OverflowError(f"A must have a norm within its dtype, but the {norm} norm overflows")
    if tolerant:
        met = found.value <= goal.target(norm_A, scale) * (1 + 1e-6)
        status = Status.CONVERGED if met else Status.ROUNDING if status is Status.CONVERGED else status
    method = "eigh" if isinstance(basis, Whole) else method
    facts = (found.kind, found.failure_probability, norm, norm_A * scale, matrix.passes, status, method)
    if matrix.blocks is not None:
        U, lam = matrix.blocks.as_input(U), matrix.blocks.whole(lam)
    return LowRankEigh(U, lam * scale, found.value * scale, *facts)


def _checked_trace(trace: Any) -> float | None:
    return None if trace is None else check_tolerance(trace, "trace")


def _checked_norm(norm: Any, matrix: PsdMatrix, trace: Any) -> str:
    """Return the norm to use; ValueError where it needs a trace that is not known."""
    if trace is not None and matrix.diagonal is not None:
        raise ValueError("trace must be None for a matrix whose diagonal can be read")
    if norm is None:
        return "2" if matrix.trace is None else "trace"
    check_option(norm, NORMS, "norm")
    if norm == "trace" and matrix.trace is None:
        raise ValueError("trace must be given for norm='trace' and a matrix known by its products only, got None")
    return str(norm)
