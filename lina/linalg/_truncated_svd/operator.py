"""A matrix known only by its products: an operator with matmat and rmatmat, or matvec and rmatvec."""

import math
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from lina._core.array import balance, conjugate, epsilon, open_door
from lina._core.certificates import Certificate, CertificateKind
from lina._core.random import gaussian
from lina.linalg._stopping import check_matrix
from lina.linalg._truncated_svd.problem import Factors, Matrix

# For Gaussian probes g, P(sum of |E g|^2 < share * PROBES * norm(E)^2) <= (share e^(1 - share))^(PROBES / 2) = 1e-12.
_PROBES = 24
_SHARE = 0.0382
_FAILURE = 1e-12


class Operator(Matrix):
    """Products only. The Frobenius norm and the error are known from probes of the operator, drawn once.

    Any basis and rank that could have been chosen by a look at the probes counts in the failure probability.
    """

    narrow = True
    whole = False

    def __init__(self, A: Any, center: bool, flip: bool, rng: np.random.Generator) -> None:
        self._apply, self._adjoint, shape, like = _functions(A)
        super().__init__(xp, like, shape[::-1] if flip else shape, 1.0)
        if center:
            ones = np.ones((shape[0], 1), dtype=like.dtype)
            self.mean = conjugate(xp, self._adjoint(ones)[:, 0]) / shape[0]
            self.overhead += 1
        if flip:
            self._apply, self._adjoint = _conjugated(self._adjoint), _conjugated(self._apply)
        self._candidates, self._captured = 0, 0.0
        self._set_shift(flip)
        self.G = gaussian(rng, (_PROBES, self.shape[1]), like)
        self.AG, norm, self.scale = balance(xp, self.forward(self.G), "A")
        self._set_shift(flip)
        if self.mean is not None:
            self.subtracted(self.mean)
        self.passes, self.overhead = 0, self.overhead + 1
        self.size = self.norm = norm / math.sqrt(_PROBES)

    def _set_shift(self, flip: bool) -> None:
        if self.mean is not None:
            ones = np.ones(self.shape[1 if flip else 0], dtype=self.mean.dtype)
            mean = self.mean / self.scale
            self.shift = (mean, ones) if flip else (ones, mean)

    def _forward(self, X: Any) -> Any:
        return self._apply(X.T).T / self.scale

    def _backward(self, Y: Any) -> Any:
        return self._adjoint(Y.T).T / self.scale

    def norm_at_least(self, captured: float) -> float:
        """Return what is certain of the Frobenius norm."""
        self._captured = max(self._captured, captured)
        return self._captured

    def _bound(self, E: Any) -> float:
        """Return a bound of norm(M, "fro") from the images E (p, m) of the probes under M."""
        rounding = (4 + 2 * math.sqrt(min(self.shape))) * epsilon(E) * self.size
        return float(np.linalg.norm(E)) / math.sqrt(_PROBES * _SHARE) + rounding + self.lost

    def beyond(self, basis: Any, values: list[float], limit: int) -> float:
        """Return a bound of what the leading ``limit`` Ritz values leave over."""
        E = self.AG
        for V, Y in zip(basis.V, basis.Y, strict=True):
            E = E - (self.G @ conjugate(xp, V).T) @ Y
        self._candidates += 1 + len(values)
        tail = math.fsum(v * v for v in values[limit:])
        blur = len(values) * epsilon(E) * values[0] ** 2 if limit < len(values) else 0.0
        return math.hypot(self._bound(E), math.sqrt(tail + blur))

    def residual(self, left: Any, right: Any) -> float:
        """Return a bound of norm(A - left @ right, "fro")."""
        self._candidates += 1
        return self._bound(self.AG - (self.G @ right.T) @ left.T)

    def certify(self, factors: Factors) -> Certificate:
        """Return the smaller of two bounds: of the factors, and of the basis with what was dropped of it."""
        value = self.residual(factors.U * factors.s, factors.Vt)
        near = value * math.sqrt(_SHARE)
        if factors.beyond is not None:
            value = min(value, factors.beyond)
        self.norm = max(math.hypot(float(np.linalg.norm(factors.s)), near), self._captured)
        return Certificate(value, CertificateKind.PROBABILISTIC, self._candidates * _FAILURE)


def is_operator(A: Any) -> bool:
    """Whether ``A`` offers products and no entries."""
    return any(hasattr(A, name) for name in ("matvec", "matmat", "rmatvec", "rmatmat"))


def to_dense(A: Any) -> Any:
    """Return the entries of an operator, from its products with the shorter identity."""
    apply, adjoint, (m, n), like = _functions(A)
    if n <= m:
        return apply(np.eye(n, dtype=like.dtype))
    return conjugate(xp, adjoint(np.eye(m, dtype=like.dtype)).T)


_Function = Callable[[Any], Any]


def _functions(A: Any) -> tuple[_Function, _Function, tuple[int, int], Any]:
    """Return A @ X and A^H @ Y for tall blocks, the shape, and an array of the dtype of their results."""
    missing = [name for name in ("shape", "dtype") if getattr(A, name, None) is None]
    for one, many in (("matvec", "matmat"), ("rmatvec", "rmatmat")):
        if not (hasattr(A, one) or hasattr(A, many)):
            missing.append(f"{many} or {one}")
    if missing:
        raise TypeError(f"A must have shape, dtype and products with itself and its adjoint, without {missing}")
    m, n = (int(side) for side in A.shape)
    check_matrix(np.broadcast_to(0.0, (m, n)))
    like = open_door(A=np.zeros((1, 1), dtype=A.dtype))[1]
    return _function(A, "mat", (m, n), like), _function(A, "rmat", (n, m), like), (m, n), like


def _function(A: Any, kind: str, shape: tuple[int, int], like: Any) -> _Function:
    name = f"{kind}mat" if hasattr(A, f"{kind}mat") else f"{kind}vec"
    product = getattr(A, name)

    def call(X: Any) -> Any:
        try:
            if name.endswith("vec"):
                found = np.stack([np.reshape(product(x), -1) for x in X.T], axis=1)
            else:
                found = np.asarray(product(X))
        except (NotImplementedError, TypeError) as reason:  # what scipy raises where a product was not given
            raise TypeError(f"A must have products with itself and its adjoint, {name} fails: {reason}") from reason
        if found.shape != (shape[0], X.shape[1]):
            raise ValueError(f"A must give {name} of shape {(shape[0], X.shape[1])}, got {found.shape}")
        if found.dtype.kind == "c" and like.dtype.kind != "c":
            raise TypeError(f"A must have products of its dtype {like.dtype}, got {found.dtype}")
        if not np.all(np.isfinite(found)):
            raise ValueError(f"A must be finite, got NaN or infinities from {name}")
        return found.astype(like.dtype, copy=False)

    return call


def _conjugated(function: _Function) -> _Function:
    return lambda X: conjugate(xp, function(conjugate(xp, X)))
