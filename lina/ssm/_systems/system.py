"""What dense, diagonal and DPLR systems have in common: they are continuous, or move in steps."""

from typing import Any

from lina._core.array import is_lazy, scalar


class System:
    """A system whose ``dt`` is None where it is continuous."""

    dt: float | None

    @property
    def is_discrete(self) -> bool:
        """Whether the system moves in steps."""
        return self.dt is not None


def refuse_discrete(system: System) -> None:
    """Raise ValueError for a system that is discrete already."""
    if system.is_discrete:
        raise ValueError(f"the system must be continuous (dt None), got one of dt = {system.dt}")


def nominal_step(dt: Any) -> float:
    """Return the step that a discrete system remembers; 1 where each of a batch has its own, or it is being traced."""
    many = getattr(dt, "shape", ()) != () or isinstance(dt, (list, tuple))
    return 1.0 if many or is_lazy(dt) else scalar(dt)
