"""lina.linalg.truncated_svd: the choice of the algorithm, and the certificate."""

import math
from typing import Any

import numpy as np

from lina._core.array import epsilon, on_cluster, scalar
from lina._core.certificates import Certificate, CertificateKind, Status
from lina._core.checks import check_option, check_rank
from lina._core.random import gaussian, generator
from lina.linalg._stopping import check_stopping
from lina.linalg._truncated_svd.door import Entrance, enter
from lina.linalg._truncated_svd.full import full_svd
from lina.linalg._truncated_svd.gram import gram_serves, gram_svd
from lina.linalg._truncated_svd.krylov import krylov_svd, try_krylov_svd
from lina.linalg._truncated_svd.problem import Factors, Matrix, Request
from lina.linalg._truncated_svd.result import TruncatedSVD
from lina.linalg._truncated_svd.single_pass import single_pass_svd

METHODS = ("auto", "gram", "krylov", "single_pass", "svd")

# Probes of the bound of the 2-norm, each of which errs with probability 1/10.
_PROBES = 10
# Up to so many columns, two blocks of a basis are more than is worth an attempt; the Gram matrix is as fast.
_FEW_COLUMNS = 640


def truncated_svd(
    A: Any,
    k: int | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str = "fro",
    method: str = "auto",
    center: bool = False,
    max_passes: int | None = None,
    rng: int | np.random.Generator | None = None,
) -> TruncatedSVD:
    """Compute the leading singular triplets, as many as asked for or as a tolerance needs, with the error left over.

    Parameters
    ----------
    A : array_like, sparse array, operator, RowBlocks or iterator, shape (m, n)
        What can be read, from everything to little:

        - an array of any library;
        - a sparse array or matrix of scipy, in any format; it is never filled;
        - an operator: an object with ``shape``, ``dtype``, ``matmat`` or ``matvec``, and ``rmatmat`` or ``rmatvec``,
          such as ``scipy.sparse.linalg.LinearOperator``; with a side of at most 64 its entries are formed;
        - `RowBlocks`, read block by block as often as needed: memory-mapped arrays, files;
        - an iterator (generator) over blocks of rows (b, n), read once by the single pass.

        Integers and booleans are promoted to float64, half precisions to float32.
    k : int, optional
        Number of triplets, in 1..min(m, n). With a tolerance: at most so many.
    rtol, atol : float, optional
        Stop at the least rank whose error is at most ``max(rtol * norm(A), atol)``, both in the norm ``norm``.
        "krylov" comes within ten per cent of the least rank. At least one of ``k``, ``rtol``, ``atol`` is needed.
    norm : {"fro", "2"}
        The norm of the tolerance and of ``error``.
    method : {"auto", "gram", "krylov", "single_pass", "svd"}
        Eigenvectors of the smaller Gram matrix; randomised block Krylov; one reading; the whole SVD, cut off.
        "gram" hands over to "svd" where the triplets wanted lie below 1e-5 (float64) of the largest. "single_pass"
        needs ``k``; no operator can take it. "gram" and "svd" form the entries of an operator.
    center : bool
        Subtract the mean of each column first (principal component analysis). Of an array a copy is made, of blocks
        one at a time; sparse matrices and operators are corrected by a term of rank one.
    max_passes : int, optional
        1 means "single_pass". From 2 on "krylov" is used and reads ``A`` at most so often; the certificate, the mean
        and the norm of ``A`` (``rtol`` with ``norm="2"``) are not included. By default it stops when a further pass
        would not lower the error by as much as 1 %, after 7 passes or more: the error is then near the least, while
        single triplets whose values lie close together may be off by that per cent. Where passes are allotted they
        are used until the triplets settle to rounding: 100 make them as accurate as a converged Lanczos method does.
    rng : int, numpy.random.Generator or None
        Start of the Krylov blocks, sketch of the single pass, and probes of the certificates.

    Returns
    -------
    TruncatedSVD
        ``U`` (m, k), ``s`` (k,), ``Vt`` (k, n), ``error``, ``error_kind``, ``failure_probability``, ``passes``,
        ``status``, in the library of the array or of the blocks, otherwise of numpy. It acts as a matrix: ``F @ x``,
        ``F.T @ y``, ``F.toarray()``, ``F.truncate(k)``.

    Raises
    ------
    TypeError
        If ``A`` is none of the above (what an operator lacks is named), ``k`` no int, or ``rng`` none of the above.
    ValueError
        If ``A`` is not a finite nonempty matrix, ``k`` is out of range, a tolerance is negative, nothing says where
        to stop, ``method`` or ``max_passes`` asks for what ``A`` cannot do, or blocks do not fit together. Values of
        arrays that jax traces are not looked at: these need ``k``, and the whole SVD is used. Those of dask are
        looked at when they are computed.
    OverflowError
        If the Frobenius norm of ``A`` exceeds half the range of the dtype.

    Notes
    -----
    The error in the Frobenius norm is rigorous: norm(A)^2 - norm(s)^2 while that difference keeps its digits, the
    residual itself below, formed block by block of its rows. In the 2-norm it is the next singular value where the
    algorithm knows it ("svd", "gram"), otherwise a bound that fails with probability 1e-10: for a Gaussian x,
    norm(E^H E x) is at least norm(E, 2)^2 abs(g) with g normal, and ten independent g are all below 0.1257 in size
    with that probability. It exceeds the error by a factor of 3 to 10 as a rule. Two kinds of input know less:

    - The Frobenius norm of an operator can only be probed. Its ``error`` is 5 times the root mean square of
      norm(E g) over 24 Gaussian g ("probabilistic"): a chi-square bound (see [4]) that
      fails with probability 1e-12 for each of the ``1e12 * failure_probability`` factors that could have been
      chosen. ``norm_A`` is an estimate, good to a few per cent; with ``rtol`` the part of it that is certain counts.
    - After a single pass nothing can be measured. norm(A)^2 - norm(s)^2 is rigorous while it keeps its digits; below
      about 1e-6 of norm(A) (float64) ``error`` is an "estimate", 0.5 to 3 times the error: the leave-one-out formula
      of [5], to which the terms dropped are added. The Frobenius error is given for the 2-norm too. Rounding keeps
      the error of a single pass above about sqrt(eps) norm(A).

    Cost for m >= n: "gram" m n^2 + 9 n^3; "krylov" 14 m n (k + 10) flops as a rule, and 8 (k + 10) (m + n)
    numbers of memory; "svd" 14 m n^2 + 8 n^3; "single_pass" 8 m n (k + 5). For sparse matrices and operators a
    product costs what its columns cost, so that "krylov" takes more and narrower blocks (16 rows): about 6 k columns
    through A and A^H, 4 nonzeros flops each. Sparse products run on the thread pool, with the same bits for any
    number of threads; with several threads A^H is stored beside A. Blocks are read once for both products, half as
    often as an array: ``passes`` counts the readings.

    Arrays of dask, in blocks of whole rows (or columns), are read by the workers that have them, once for both products
    too. With ``k`` the result is lazy, ``error`` and ``norm_A`` included (0-d arrays): ``dask.compute(F)`` returns it
    with numpy arrays. Four Krylov blocks are read for, or ``max_passes``; the last reading measures the error. With a
    tolerance all but ``U`` is computed, and ``U`` kept on the cluster. ``method`` is "auto", "krylov" or "svd".

    References
    ----------
    [1] Halko, Martinsson, Tropp, SIAM Rev. 53 (2011) 217; [2] Musco, Musco, NeurIPS 2015 (block Krylov);
    [3] Tropp, Webber, arXiv:2306.12418; [4] Roosta-Khorasani, Ascher, Found. Comput. Math. 15 (2015) 1187;
    [5] Epperly, Tropp, arXiv:2207.06342 (leave-one-out error).

    Examples
    --------
    >>> import numpy as np
    >>> from lina.linalg import truncated_svd
    >>> A = np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 1.0, 0.0])
    >>> F = truncated_svd(A, rtol=1e-10)
    >>> F.rank, str(F.error_kind)
    (1, 'rigorous')
    >>> np.allclose(F.toarray(), A)
    True
    >>> rows = (A[i : i + 1] for i in range(3))
    >>> truncated_svd(rows, 1, rng=0).method
    'single_pass'
    """
    check_option(method, METHODS, "method")
    check_option(norm, ("fro", "2"), "norm")
    request = Request(k, rtol, atol, norm, max_passes)
    draws = generator(rng)
    in_blocks = on_cluster("truncated_svd", A)
    if in_blocks is not None:
        return in_blocks(A, request, method, center, draws)
    method = _checked_method(request, method)
    entrance = enter(A, center, method, draws)
    matrix = entrance.matrix
    method = _check_stop(request, entrance, method)
    request = _with_norm2(matrix, request, method, draws)
    factors, method = _run(entrance, request, method, draws)
    found = factors.certificate or _certify(matrix, factors, norm, draws)
    status = factors.status if entrance.lazy else _final_status(matrix, request, factors, found, method)
    U, Vt = factors.U, factors.Vt
    if entrance.flipped:
        U, Vt = matrix.xp.matrix_transpose(Vt), matrix.xp.matrix_transpose(U)
    return TruncatedSVD(
        U,
        factors.s * matrix.scale,
        Vt,
        found.value * matrix.scale,
        found.kind,
        found.failure_probability,
        matrix.norm * matrix.scale,
        matrix.passes + matrix.overhead,
        status,
        method,
        matrix.mean,
    )


def _checked_method(request: Request, method: str) -> str:
    """Return the method, as far as the limit of the passes decides it."""
    if request.max_passes is None:
        return method
    if isinstance(request.max_passes, int) and request.max_passes < 1:
        raise ValueError(f"max_passes must be at least 1, got {request.max_passes}")
    check_rank(request.max_passes, 2**31, "max_passes")
    if request.max_passes == 1 and method in ("auto", "single_pass"):
        return "single_pass"
    if method not in ("auto", "krylov", "single_pass"):
        raise ValueError(f"method must be 'auto' or 'krylov' with max_passes, got {method!r}")
    return "krylov" if method == "auto" else method


def _check_stop(request: Request, entrance: Entrance, method: str) -> str:
    """Check rank and tolerances against the matrix; return the method, as far as its kind decides it."""
    m, n = entrance.matrix.shape
    k = request.k
    check_stopping(min(m, n) if m > 0 else n, k, request.rtol, request.atol)  # m = 0: rows not counted yet
    if entrance.lazy:
        if k is None:
            raise ValueError("k must be given for a traced or lazy A, whose values cannot decide the rank")
        return "svd"
    if entrance.one_shot:
        if method not in ("auto", "single_pass"):
            raise ValueError(f"method must be 'single_pass' for an iterator, which is read once, got {method!r}")
        method = "single_pass"
    if method == "single_pass" and k is None:
        hint = " (blocks that can be read again, RowBlocks(function), take a tolerance alone)"
        raise ValueError("k must be given for a single pass, which cannot look again" + hint * entrance.one_shot)
    if request.max_passes == 1 and method == "krylov" and not entrance.matrix.fused:
        raise ValueError("max_passes must be at least 2 with method='krylov', got 1")
    return method


def _with_norm2(matrix: Matrix, request: Request, method: str, rng: np.random.Generator) -> Request:
    """Return the request with norm(A, 2), where the tolerance is a share of it."""
    if request.norm != "2" or request.rtol is None or method == "single_pass":
        return request
    largest = krylov_svd(matrix, Request(1, None, None, "2", None), rng).s[0]
    matrix.passes, matrix.overhead = 0, matrix.overhead + matrix.passes
    return request._replace(norm2=scalar(largest))


def _run(entrance: Entrance, request: Request, method: str, rng: np.random.Generator) -> tuple[Factors, str]:
    matrix = entrance.matrix
    chosen = _choose(matrix, request) if method == "auto" else method
    if chosen == "single_pass":
        return single_pass_svd(matrix, request, rng), chosen
    if chosen == "krylov":
        last = request.max_passes is not None or not matrix.whole
        share = math.inf if last or method == "krylov" else _worth_a_basis(matrix)
        factors = try_krylov_svd(matrix, request, rng, share)
        if factors is not None and (last or factors.status is not Status.ROUNDING):
            return factors, "krylov"
        chosen = "gram" if method == "auto" and gram_serves(matrix) else "svd"
    if chosen == "gram":
        found = gram_svd(matrix, request)
        if found is not None:
            return found, "gram"
        if method == "auto" and not request.tolerant:
            return krylov_svd(matrix, request, rng), "krylov"
    return full_svd(matrix, request), "svd"


def _choose(matrix: Matrix, request: Request) -> str:
    """Krylov moves the matrix 7 times, a block of k + 5 columns at half the speed of GEMM; Gram has n columns, once.

    As measured; a fifth more time is taken for triplets that are exact.
    """
    m, n = matrix.shape
    if n <= 64:
        return "svd"
    if not request.tolerant and int(request.k or n) > n // 3 and matrix.whole:
        return "svd"
    if matrix.narrow:
        return "krylov"
    if request.tolerant:
        # few terms are tried first where the attempt is cheap and can be given up
        tried = matrix.whole and not matrix.fused and request.max_passes is None
        most = (_FEW_COLUMNS if gram_serves(matrix) else 0) if tried else 3000
        return "gram" if n <= most else "krylov"
    eigenvectors = n * n / max(m, n)
    few = n + eigenvectors <= 24 * max(int(request.k or n) + 5, 24)
    return "gram" if few and gram_serves(matrix) else "krylov"


def _worth_a_basis(matrix: Matrix) -> float:
    """Share of all directions from which on the other algorithms cost less than a basis that goes on growing."""
    return 0.1 if gram_serves(matrix) and not matrix.narrow else 0.25


def _final_status(matrix: Matrix, request: Request, factors: Factors, found: Certificate, method: str) -> Status:
    """Return the status of the algorithm, or ROUNDING where the certificate shows the tolerance to lie below that."""
    status = factors.status
    if not request.tolerant or (request.norm == "2" and method == "single_pass"):
        return status
    if status is Status.MAX_RANK and request.k is None:
        return Status.ROUNDING  # all there is does not meet the tolerance
    # other bounds of the 2-norm may exceed what was met by a factor: of them only the rounding counts
    exact = request.norm == "fro" or factors.following is not None
    certain = found.value if exact else 4 * epsilon(matrix.like) * matrix.size + matrix.lost
    met = certain <= request.tolerance(matrix)
    return status if met or status is not Status.CONVERGED else Status.ROUNDING


def _certify(matrix: Matrix, factors: Factors, norm: str, rng: np.random.Generator) -> Certificate:
    """Return the error of the factors in the norm that was asked for."""
    if norm == "fro":
        return matrix.certify(factors)
    if factors.following is not None:
        return Certificate(factors.following + matrix.lost, CertificateKind.RIGOROUS)
    xp = matrix.xp
    x = gaussian(rng, (_PROBES, matrix.shape[1]), matrix.like)
    left = factors.U * xp.astype(factors.s, factors.U.dtype)
    spent, matrix.passes = matrix.passes, 0
    z = matrix.normal_residual(x, left, factors.Vt)
    matrix.passes, matrix.overhead = spent, matrix.overhead + matrix.passes
    largest = scalar(xp.max(xp.sqrt(xp.sum(xp.abs(z) ** 2, axis=1))))
    # P(|g| < 0.1257) = 0.1 for a standard normal number
    value = (largest / 0.1257) ** 0.5 + 4 * epsilon(matrix.like) * matrix.size + matrix.lost
    return Certificate(value, CertificateKind.PROBABILISTIC, 0.1**_PROBES)
