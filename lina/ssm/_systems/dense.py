"""Systems with a dense state matrix."""

from dataclasses import dataclass
from typing import Any

from lina.ssm._discretize import discretize_vector
from lina.ssm._systems.system import System, refuse_discrete
from lina.ssm._systems_arrays import batch_shape, check_last, check_sampling, check_square, open_parts, over_steps


@dataclass(frozen=True, eq=False, repr=False)
class DenseSystem(System):
    """x' = A x + B u, y = C x in continuous time, or x_{k+1} = A x_k + B u_k, y_k = C x_{k+1} in steps of ``dt``.

    Attributes
    ----------
    A : array, shape (..., n, n)
    B, C : array, shape (..., n)
        C is not conjugated. Leading axes are a batch of systems and broadcast.
    dt : float or array, shape (...), optional
        The sampling step of a discrete system; None for a continuous one. An array, kept in float64 on the host, holds
        one for each system of the batch; a tensor whose gradient is recorded, or a traced array, stays as it is.

    Notes
    -----
    The output of a discrete system sees the current input: tap 0 of its impulse response is C B, tap l is C A^l B. Add
    a direct term D u to the output where there is one.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library.
    ValueError
        If shapes do not fit, entries are not finite, or ``dt`` is not positive or
        has no shape of the batch.

    Examples
    --------
    >>> from lina.ssm import DenseSystem
    >>> system = DenseSystem([[0.0, 1.0], [-1.0, -0.1]], [0.0, 1.0], [1.0, 0.0])
    >>> system.state_size, system.is_discrete, system.discretize(0.1).is_discrete
    (2, False, True)
    """

    A: Any
    B: Any
    C: Any
    dt: Any = None

    def __post_init__(self) -> None:
        _, A, B, C = open_parts(A=self.A, B=self.B, C=self.C)
        n, dt = check_square(A), check_sampling(self.dt)
        A = over_steps(A, dt, 2, "A")
        check_last(B, n, "B")
        check_last(C, n, "C")
        batch_shape(A=A.shape[:-2], B=B.shape[:-1], C=C.shape[:-1])
        for name, value in (("A", A), ("B", B), ("C", C), ("dt", dt)):
            object.__setattr__(self, name, value)

    @property
    def state_size(self) -> int:
        """Number of entries of the state."""
        return int(self.A.shape[-1])

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch of systems."""
        return batch_shape(A=self.A.shape[:-2], B=self.B.shape[:-1], C=self.C.shape[:-1])

    def discretize(self, dt: Any, method: str = "zoh", alpha: float | None = None) -> "DenseSystem":
        """Return the discrete system; ``dt`` may hold one step per system. See `discretize`."""
        refuse_discrete(self)
        A, B = discretize_vector(self.A, self.B, dt, method, alpha)
        return DenseSystem(A, B, self.C, dt=dt)
