"""The matrices of the measures as diagonal plus low rank in a unitary basis."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lina._core.certificates import CertificateKind
from lina._core.checks import check_option
from lina.hippo._measures import check_measure, check_namespace, check_order, check_positive, edge_values, roots
from lina.hippo._measures import scale_factors as factors_of
from lina.hippo._transition import fourier_legs_skew, rotations, transition

_MEASURES = ("legs", "legt", "lagt", "fout", "fourier_legs")


@dataclass(frozen=True, repr=False)
class NPLR:
    """A = V (diag(Lambda) - P^T conj(P)) V^H, normal plus low rank, and B = V B', as `nplr` returns it.

    Attributes
    ----------
    Lambda : array, shape (n,)
        Eigenvalues of the normal part, of ascending, not negative imaginary part with ``half``.
    P : array, shape (r, n)
        Rows are the vectors of the low rank part.
    B : array, shape (n,)
    V : array, shape (N, n)
        Basis: unitary where n = N; with ``half`` a memory is x = 2 Re(V z).
    half : bool
        Whether one of each conjugate pair is left out: then n is the number of pairs and of real modes.
    error : float
        Frobenius norm of the difference of A and what the parts multiply to, measured, with the rounding of that
        ("rigorous").
    """

    Lambda: Any
    P: Any
    B: Any
    V: Any
    half: bool
    error: float
    error_kind: CertificateKind = CertificateKind.RIGOROUS

    @property
    def rank(self) -> int:
        """The rank of the low rank part."""
        return self.P.shape[0]

    def toarray(self) -> Any:
        """Return the matrix A, real."""
        from array_api_compat import array_namespace

        xp = array_namespace(self.V)
        return _whole(xp, self.Lambda, self.P, self.V, 2 if self.half else 1)

    def __repr__(self) -> str:
        shape = f"N={self.V.shape[0]}, n={self.V.shape[1]}, rank={self.rank}"
        return f"NPLR({shape}, half={self.half}, error={self.error:.1e} ({self.error_kind}))"


def nplr(
    measure: str,
    N: int,
    *,
    theta: float = 1.0,
    scaling: str = "paper",
    half: bool = True,
    dtype: Any = None,
    xp: Any = np,
) -> NPLR:
    """Return the matrices of a measure as diagonal plus low rank: A = V (diag(Lambda) - sum_i P_i P_i^H) V^H.

    Parameters
    ----------
    measure : {"legs", "legt", "lagt", "fout", "fourier_legs"}
        The low rank part has rank 2 for "legt" and 1 for the others. ("foud" is normal itself, and "glagt" with
        alpha = 0 is "lagt" shifted; with another alpha it has no such form.)
    N : int
        Number of coefficients, even or odd.
    theta : float
        As in `transition`: Lambda and B are divided by it, P by its root.
    scaling : {"paper", "orthonormal"}
        As in `transition`, for B. In the LMU's scaling no basis is unitary.
    half : bool
        Keep one of each pair of conjugate modes, that with the positive imaginary part, as the kernels of `lina.ssm`
        take them: an input-output map is 2 Re sum_n C_n z_n. A mode that is real enters with the factor 1 / sqrt2 in
        P, B and V, half weight in every product.
    dtype : complex dtype of xp, optional
        complex128 unless given.
    xp : namespace
        Library of the result; numpy unless given.

    Returns
    -------
    NPLR
        With ``Lambda``, ``P``, ``B``, ``V``, ``error``. For row vectors C of x, C' = C V belongs to z.

    Raises
    ------
    TypeError
        If a number is none, or ``xp`` no namespace.
    ValueError
        If an option is unknown or out of range.

    Notes
    -----
    A + sum p p^T, p real and in closed form, is a multiple of I plus a skew matrix S, whose spectral decomposition
    is that of the Hermitian matrix -i S: the real parts of Lambda are -1/2 ("legs", "fourier_legs") or 0 ("legt",
    "lagt", "fout") to the last bit, and V is unitary to N eps. In double precision whatever ``dtype`` is; cost about
    25 N^3 flops. B is not clipped. Sources: Gu et al., Efficiently modeling long sequences with structured state
    spaces (2022), theorem 1 and appendix C.1; for "fourier_legs": A + I/2 + b b^T/2 is skew.

    Examples
    --------
    >>> from lina.hippo import nplr, transition
    >>> F = nplr("legs", 5)
    >>> F
    NPLR(N=5, n=3, rank=1, half=True, error=... (rigorous))
    >>> F.Lambda.real.tolist()
    [-0.5, -0.5, -0.5]
    >>> bool(abs(F.toarray() - transition("legs", 5)[0]).max() < 1e-13)
    True
    """
    check_measure(measure, _MEASURES)
    N, theta = check_order(N), check_positive(theta, "theta")
    check_option(scaling, ("paper", "orthonormal"), "scaling")
    real_part, S, p = _PARTS[measure](N)
    A, b = transition(measure, N)
    frequencies, V = _skew_eigh(S, half)
    check_namespace(xp)
    target = dtype if dtype is not None else xp.complex128
    name = check_option(str(target).rpartition(".")[2].rstrip("'>"), ("complex64", "complex128"), "dtype")
    low_rank, b = p @ V.conj() / math.sqrt(theta), (b * factors_of(measure, N, scaling)) @ V.conj() / theta
    parts = [M.astype(name) for M in ((real_part + 1j * frequencies) / theta, low_rank, b, V)]
    error = _error_of(parts, A / theta, 2 if half else 1)
    Lambda, P, B, V = (xp.asarray(M) for M in parts)
    return NPLR(Lambda, P, B, V, half=half, error=error)


def _error_of(parts: list[np.ndarray], A: np.ndarray, weight: int) -> float:
    """Return the measured distance from A, with a bound of the rounding of the measurement."""
    Lambda, P, _, V = (M.astype(np.complex128) for M in parts)
    rounding = 4 * np.finfo(float).eps * math.sqrt(A.shape[0]) * float(np.linalg.norm(A))
    return float(np.linalg.norm(_whole(np, Lambda, P, V, weight) - A)) + rounding


def _whole(xp: Any, Lambda: Any, P: Any, V: Any, weight: int) -> Any:
    """Return the matrix; P takes the weight twice, because it meets V on both sides."""
    adjoint = xp.matrix_transpose(xp.conj(V))
    p = weight * xp.real(V @ xp.matrix_transpose(P))
    return weight * xp.real((V * Lambda) @ adjoint) - p @ xp.matrix_transpose(p)


def _skew_eigh(S: np.ndarray, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the imaginary parts of the eigenvalues of a real skew matrix, and its eigenvectors.

    The eigenvectors of the positive ones are taken from the decomposition, those of the negative are their conjugates,
    and what is left, of dimension at most 2, is real: so the pairs are pairs to the last bit.
    """
    N = S.shape[0]
    values, vectors = np.linalg.eigh(-1j * S)
    threshold = N * np.finfo(float).eps * max(1.0, float(np.abs(values).max()))
    pairs = int(np.sum(values > threshold))
    positive, W = values[N - pairs :], vectors[:, N - pairs :]
    still = _real_basis(vectors[:, pairs : N - pairs])
    if half:
        return np.concatenate([np.zeros(still.shape[1]), positive]), np.hstack([still / math.sqrt(2), W])
    frequencies = np.concatenate([-positive[::-1], np.zeros(still.shape[1]), positive])
    return frequencies, np.hstack([W.conj()[:, ::-1], still, W])


def _real_basis(vectors: np.ndarray) -> np.ndarray:
    """Return orthonormal real columns that span what complex ones span, where that is a real space."""
    left = np.linalg.svd(np.hstack([vectors.real, vectors.imag]))[0]
    return left[:, : vectors.shape[1]]


def _legs(N: int) -> tuple[float, np.ndarray, np.ndarray]:
    r = roots(N)
    upper = np.triu(np.outer(r, r), 1) / 2
    return -0.5, upper - upper.T, r[None] / math.sqrt(2)


def _legt(N: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the skew part, which couples even with odd degrees, and the roots of the even and of the odd ones."""
    r, n = roots(N), np.arange(N)
    odd = (n[:, None] - n) % 2 == 1
    upper = np.triu(np.where(odd, np.outer(r, r), 0.0), 1)
    return 0.0, upper - upper.T, np.stack([np.where(n % 2 == 0, r, 0.0), np.where(n % 2 == 1, r, 0.0)])


def _lagt(N: int) -> tuple[float, np.ndarray, np.ndarray]:
    upper = np.triu(np.full((N, N), 0.5), 1)
    return 0.0, upper - upper.T, np.full((1, N), math.sqrt(0.5))


def _fout(N: int) -> tuple[float, np.ndarray, np.ndarray]:
    return 0.0, rotations(N), math.sqrt(2) * edge_values(N)[None]


def _fourier_legs(N: int) -> tuple[float, np.ndarray, np.ndarray]:
    return -0.5, fourier_legs_skew(N), edge_values(N)[None] / math.sqrt(2)


_PARTS = {"legs": _legs, "legt": _legt, "lagt": _lagt, "fout": _fout, "fourier_legs": _fourier_legs}
