"""Which systems are stable: reflection coefficients, the Schur-Cohn test, the margin."""

from lina.ssm._stability.margin import UnstableSystemWarning, stability_margin
from lina.ssm._stability.reflection import stable_polynomial, step_down, step_up

__all__ = ["UnstableSystemWarning", "stability_margin", "stable_polynomial", "step_down", "step_up"]
