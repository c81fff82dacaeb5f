"""Systems with a diagonal state matrix, given by one of each conjugate pair."""

from dataclasses import dataclass
from typing import Any

from lina.ssm._discretize import discretize_diagonal
from lina.ssm._systems.system import System, refuse_discrete
from lina.ssm._systems_arrays import batch_shape, check_last, check_sampling, open_parts, over_steps


@dataclass(frozen=True, eq=False, repr=False)
class DiagonalSystem(System):
    """The real system x' = Lambda x + B u, y = 2 Re(C x), or in steps of ``dt`` x_{k+1} = Lambda x_k + B u_k.

    Attributes
    ----------
    Lambda, B, C : array, shape (..., n)
        One of each conjugate pair; made complex. C is not conjugated. An unpaired real mode enters with half weight:
        half of its product C B. Leading axes are a batch of systems and broadcast.
    dt : float or array, shape (...), optional
        The sampling step of a discrete system, of which Lambda are the poles; None for a continuous one. An array, kept
        in float64 on the host, holds one for each system of the batch; a tensor whose gradient is recorded, or a traced
        array, stays as it is.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library.
    ValueError
        If shapes do not fit, entries are not finite, or ``dt`` is not positive or
        has no shape of the batch.

    Examples
    --------
    >>> from lina.ssm import DiagonalSystem, step
    >>> system = DiagonalSystem([0.5j], [1.0], [0.5], dt=1.0)
    >>> step(system, 1.0, [0.0])[0]
    array(1.)
    """

    Lambda: Any
    B: Any
    C: Any
    dt: Any = None

    def __post_init__(self) -> None:
        _, Lambda, B, C = open_parts(as_complex=True, Lambda=self.Lambda, B=self.B, C=self.C)
        dt = check_sampling(self.dt)
        Lambda = over_steps(Lambda, dt, 1, "Lambda")
        check_last(B, Lambda.shape[-1], "B")
        check_last(C, Lambda.shape[-1], "C")
        batch_shape(Lambda=Lambda.shape[:-1], B=B.shape[:-1], C=C.shape[:-1])
        for name, value in (("Lambda", Lambda), ("B", B), ("C", C), ("dt", dt)):
            object.__setattr__(self, name, value)

    @property
    def state_size(self) -> int:
        """Number of complex entries of the state."""
        return int(self.Lambda.shape[-1])

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch of systems."""
        return batch_shape(Lambda=self.Lambda.shape[:-1], B=self.B.shape[:-1], C=self.C.shape[:-1])

    def discretize(self, dt: Any, method: str = "zoh", alpha: float | None = None) -> "DiagonalSystem":
        """Return the discrete system, diagonal again; ``dt`` may hold one step per system. See `discretize`."""
        refuse_discrete(self)
        Lambda, B = discretize_diagonal(self.Lambda, self.B, dt, method, alpha)
        return DiagonalSystem(Lambda, B, self.C, dt=dt)
