"""Systems with a state matrix that is diagonal plus low rank, given by one of each conjugate pair."""

from dataclasses import dataclass
from typing import Any

from lina.ssm._discretize import discretize_dplr
from lina.ssm._systems.system import System, refuse_discrete
from lina.ssm._systems_arrays import batch_shape, check_last, check_sampling, low_rank_rows, open_parts, over_steps


@dataclass(frozen=True, eq=False, repr=False)
class DPLRSystem(System):
    """The real system of A = diag(Lambda) - P Q^*: x' = A x + B u, y = 2 Re(C x), or x_{k+1} = A x_k + B u_k.

    Attributes
    ----------
    Lambda, B, C : array, shape (..., n)
        One of each conjugate pair; made complex. C is not conjugated, B is not scaled by the step. An unpaired real
        mode enters with half weight: 1 / sqrt2 of its B, C, P and Q.
    P, Q : array, shape (..., n) or (..., r, n)
        The low rank, a row for each of its r terms; one term where P has as many axes as Lambda: rows (r, n) that a
        batch of Lambda (H, n) shares are P[None]. Q is P unless given.
        Since the other halves of the pairs belong to it, P Q^* x is P times 2 Re of (conj(Q) . x).
    dt : float or array, shape (...), optional
        The sampling step of a discrete system; None for a continuous one. An array, kept in float64 on the host, holds
        one for each system of the batch; a tensor whose gradient is recorded, or a traced array, stays as it is.

    Raises
    ------
    TypeError
        If the arrays are not numbers of one library.
    ValueError
        If shapes do not fit, entries are not finite, or ``dt`` is not positive or
        has no shape of the batch.

    Examples
    --------
    >>> from lina.ssm import DPLRSystem
    >>> system = DPLRSystem([-0.5 + 1j], [0.5], [1.0], [1.0])
    >>> system.rank, system.discretize(0.1).rank
    (1, 1)
    """

    Lambda: Any
    P: Any
    B: Any
    C: Any
    Q: Any = None
    dt: Any = None

    def __post_init__(self) -> None:
        Q = self.P if self.Q is None else self.Q
        opened = open_parts(as_complex=True, Lambda=self.Lambda, P=self.P, Q=Q, B=self.B, C=self.C)
        _, Lambda, P, Q, B, C = opened
        P, Q = low_rank_rows(P, Lambda), low_rank_rows(Q, Lambda, "Q")
        for name, x in (("P", P), ("Q", Q), ("B", B), ("C", C)):
            check_last(x, Lambda.shape[-1], name)
        if P.shape[-2] != Q.shape[-2]:
            raise ValueError(f"P and Q must have the same number of rows, got shapes {P.shape} and {Q.shape}")
        dt = check_sampling(self.dt)
        Lambda = over_steps(Lambda, dt, 1, "Lambda")
        parts = {"Lambda": Lambda, "P": P, "B": B, "C": C, "Q": Q, "dt": dt}
        for name, value in parts.items():
            object.__setattr__(self, name, value)
        self.batch  # noqa: B018  # raises where shapes do not broadcast

    @property
    def state_size(self) -> int:
        """Number of complex entries of the state."""
        return int(self.Lambda.shape[-1])

    @property
    def rank(self) -> int:
        """Number of terms of the low rank."""
        return int(self.P.shape[-2])

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch of systems."""
        vectors = {name: getattr(self, name).shape[:-1] for name in ("Lambda", "B", "C")}
        return batch_shape(**vectors, P=self.P.shape[:-2], Q=self.Q.shape[:-2])

    def discretize(self, dt: Any, method: str = "bilinear", alpha: float | None = None) -> "DPLRSystem":
        """Return the discrete system, diagonal plus low rank again; ``dt`` may hold one step per system.

        Every method but "zoh", whose exponential has no such form: take `to_dense` first. See `discretize`.
        """
        refuse_discrete(self)
        Lambda, P, Q, B = discretize_dplr(self.Lambda, self.P, self.Q, self.B, dt, method, alpha)
        return DPLRSystem(Lambda, P, B, self.C, Q, dt=dt)
