"""What all systems have in common: a short description, and that they are continuous or move in steps."""

from dataclasses import fields
from typing import Any

import numpy as np

from lina.ssm._systems_arrays import seen


class Described:
    """A dataclass of arrays that is printed by their shapes."""

    def __repr__(self) -> str:
        """Return the shapes of the arrays and the step."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        step = steps_in_words(named.pop("dt"))
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in named.items())
        return f"{type(self).__name__}({shapes}, dt {step})"


class System(Described):
    """A system whose ``dt`` is None where it is continuous."""

    dt: Any

    @property
    def is_discrete(self) -> bool:
        """Whether the system moves in steps."""
        return self.dt is not None


def steps_in_words(dt: Any) -> str:
    """Return a step, or how many there are and between which bounds."""
    if hasattr(dt, "requires_grad"):
        dt = seen(dt) if dt.ndim else float(seen(dt))
    if not isinstance(dt, np.ndarray) or not dt.size:
        return str(dt)
    return f"{dt.shape} in {np.min(dt):.6g}..{np.max(dt):.6g}"


def refuse_discrete(system: System) -> None:
    """Raise ValueError for a system that is discrete already."""
    if system.is_discrete:
        found = steps_in_words(system.dt)
        raise ValueError(f"the system must be continuous (dt None), got one of dt = {found}")
