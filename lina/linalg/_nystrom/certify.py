"""How far the matrix is from its approximation: the trace of what is left, its residual, or random probes of it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lina._core.array import adjoint, epsilon, frobenius, scalar, to_numpy
from lina._core.certificates import Certificate, CertificateKind
from lina._core.random import gaussian
from lina.linalg._low_rank_eigh import norm_of
from lina.linalg._nystrom.matrix import PsdMatrix

_PROBES = {"fro": 30, "2": 10}
_FAILURE = 1e-10
# Chi-square with 30 degrees of freedom is below this with probability 1e-10; so is, in the worst case, the sum of
# norm(E x)^2 over 30 Gaussian x in units of norm(E, "fro")^2.
_CHI_SQUARE = 3.043
# One standard normal number is below this in size with probability 1/10, ten of them with probability 1e-10.
_NORMAL = 0.1257
# The bound exceeds the norm by up to the root of this order of 10 sqrt(n): 2 to 4.
_POWER = 4


class Certifier:
    """Bounds of norm(A - left @ right) for one matrix and one norm; every number is of the scaled matrix."""

    def __init__(self, matrix: PsdMatrix, norm: str, rng: np.random.Generator) -> None:
        self.matrix, self.norm, self.xp, self.rng = matrix, norm, matrix.xp, rng
        self.probes: Any = None
        self.images: Any = None
        self.looks = 0

    def norm_A(self, lam: list[float]) -> float:
        """Return the norm of the matrix, or a lower bound: that of its approximation with the eigenvalues ``lam``."""
        known = {"trace": self.matrix.trace, "fro": self.matrix.frobenius}.get(self.norm)
        return norm_of(lam, self.norm) if known is None else known

    def rounding(self, basis: Any) -> float:
        """Return what rounding may add to the sum of singular values: of the basis, and of the entries of A."""
        size = self.matrix.frobenius
        if size is None:
            size = self.matrix.trace or math.fsum(basis.values)
        return 4 * basis.size * basis.rounding + math.sqrt(self.matrix.n) * epsilon(self.matrix.like) * size

    def needed(self, basis: Any, target: float, limit: int) -> tuple[int, Certificate]:
        """Return the least number of terms, at most ``limit``, that meets the target, and the bound of their error.

        What the basis leaves and the terms dropped are both positive semidefinite: their norms add up at most.
        """
        rest = self._rest(basis, target)
        k = limit
        while k > 1 and rest.value + norm_of(basis.values[k - 1 :], self.norm) <= target:
            k -= 1
        return k, replace(rest, value=rest.value + norm_of(basis.values[k:], self.norm))

    def _rest(self, basis: Any, target: float) -> Certificate:
        """Return a bound of what the whole basis leaves, measured only where it may be below the target."""
        by_trace = self.by_trace(basis.values, basis)
        if self.norm == "trace" or by_trace.value <= target:
            return by_trace
        left, right = adjoint(self.xp, self.xp.concat(basis.B, axis=0)), self.xp.concat(basis.B, axis=0)
        shift = basis.shift * math.sqrt(basis.size) + 2 * basis.rounding
        if self.norm == "fro" and self.matrix.measurable:
            looked = scalar(frobenius(self.xp, self._left_over(left, right))) / math.sqrt(_PROBES["fro"])
            if looked > 1.3 * target:
                return by_trace
            value = self.matrix.residual(left, right) + shift
            return Certificate(value, CertificateKind.RIGOROUS)
        found = self._by_probes(left, right, basis)
        return min(by_trace, replace(found, value=found.value + shift), key=lambda each: each.value)

    def certify(self, U: Any, lam: Any, values: list[float], basis: Any) -> Certificate:
        """Return the error of U diag(lam) U^H."""
        left, right = U * self.xp.astype(lam, U.dtype)[None, :], adjoint(self.xp, U)
        by_trace = self.by_trace(values, basis)
        if self.norm == "2" or not self.matrix.measurable:
            if self.norm == "trace":
                return by_trace
            return min(by_trace, self._by_probes(left, right, basis), key=lambda each: each.value)
        if self.norm == "trace" and by_trace.value > 10 * self.rounding(basis):
            return by_trace
        residual = self.matrix.residual(left, right)
        if self.norm == "trace":
            residual = min(by_trace.value, math.sqrt(self.matrix.n) * residual)
        return Certificate(residual, CertificateKind.RIGOROUS)

    def by_trace(self, values: list[float], basis: Any) -> Certificate:
        """Return trace(A) - sum(lam), the sum of the eigenvalues of what is left; it bounds every norm."""
        if self.matrix.trace is None:
            return Certificate(math.inf, CertificateKind.RIGOROUS)
        difference, rounding = self.matrix.trace - math.fsum(values), self.rounding(basis)
        if difference < -rounding:
            raise ValueError("A must be positive semidefinite, found eigenvalues whose sum exceeds its trace")
        return Certificate(max(difference, 0.0) + rounding, CertificateKind.RIGOROUS)

    def _left_over(self, left: Any, right: Any) -> Any:
        """Return X (A - left @ right) for the Gaussian rows X, drawn once."""
        if self.probes is None:
            shape = (_PROBES[self.norm], self.matrix.n)
            self.probes = gaussian(self.rng, shape, self.matrix.like)
            self.images = self.matrix.product(self.probes)
        return self.images - (self.probes @ left) @ right

    def _by_probes(self, left: Any, right: Any, basis: Any) -> Certificate:
        xp = self.xp
        self.looks += 1
        Y = self._left_over(left, right)
        noise = 4 * basis.rounding
        if self.norm == "fro":
            value = scalar(frobenius(xp, Y)) / math.sqrt(_CHI_SQUARE)
            noise *= math.sqrt(self.matrix.n)
        else:
            value = self._by_powers(left, right, Y)
        return Certificate(value + noise, CertificateKind.PROBABILISTIC, _FAILURE * self.looks)

    def _by_powers(self, left: Any, right: Any, Y: Any) -> float:
        """Return a bound of norm(E, 2) from Y = X E: norm(x E^p) is at least norm(E, 2)^p abs(g) with g normal."""
        xp = self.xp
        log = np.zeros(Y.shape[0])
        for step in range(_POWER):
            if step > 0:
                Y = self.matrix.product(Y) - (Y @ left) @ right
            length = xp.sqrt(xp.sum(xp.abs(Y) ** 2, axis=1))
            with np.errstate(divide="ignore"):
                log += np.log(to_numpy(length).astype(np.float64))
            Y = Y / xp.where(length > 0, length, xp.ones_like(length))[:, None]
        return float(np.exp((np.max(log) - math.log(_NORMAL)) / _POWER))
