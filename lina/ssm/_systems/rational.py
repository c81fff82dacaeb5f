"""Systems given by their transfer function."""

from dataclasses import dataclass
from typing import Any

from lina.ssm._systems.system import Described
from lina.ssm._systems_arrays import batch_shape, check_last, check_sampling, open_parts, over_steps


@dataclass(frozen=True, eq=False, repr=False)
class RationalSystem(Described):
    """The discrete system of generating function (b_1 + ... + b_d z^(d-1)) / (1 + a_1 z + ... + a_d z^d).

    Attributes
    ----------
    a : array, shape (..., d)
        The denominator without its leading 1, in rising powers of z; the poles are the roots of
        w^d + a_1 w^(d-1) + ... + a_d.
    b : array, shape (..., d)
        The numerator: the true one, not the one that belongs to a length (see `recover_b`).
    dt : float or array, shape (...)
        The sampling step; an array, kept in float64 on the host, holds one for each system of the batch; a tensor whose
        gradient is recorded, or a traced array, stays as it is.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library.
    ValueError
        If shapes do not fit, entries are not finite, or ``dt`` is not positive or
        has no shape of the batch.

    Examples
    --------
    >>> from lina.ssm import RationalSystem, linear_scan
    >>> fibonacci = RationalSystem([-1.0, -1.0], [1.0, 0.0])
    >>> linear_scan(fibonacci, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])[0]
    array([1., 1., 2., 3., 5., 8.])
    """

    a: Any
    b: Any
    dt: Any = 1.0

    def __post_init__(self) -> None:
        _, a, b = open_parts(a=self.a, b=self.b)
        check_last(b, a.shape[-1], "b")
        batch_shape(a=a.shape[:-1], b=b.shape[:-1])
        dt = check_sampling(self.dt)
        if dt is None:
            raise ValueError("dt must be a positive number, got None: a rational system is discrete")
        a = over_steps(a, dt, 1, "a")
        for name, value in (("a", a), ("b", b), ("dt", dt)):
            object.__setattr__(self, name, value)

    @property
    def state_size(self) -> int:
        """Number of entries of the state."""
        return int(self.a.shape[-1])

    @property
    def is_discrete(self) -> bool:
        """Whether the system moves in steps: yes."""
        return True

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch of systems."""
        return batch_shape(a=self.a.shape[:-1], b=self.b.shape[:-1])
