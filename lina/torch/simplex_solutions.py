"""Minimisers of quadratics over the simplex as functions of their data, by the system of the active face."""

from __future__ import annotations  # as text: the documentation is built without torch

import math
from dataclasses import dataclass
from typing import Any

import torch

from lina._core.errors import GradientError
from lina.torch._op import register_op

# A reduced cost or a weight below this part of the scale of the gradient or of the sum passes for zero.
_WEAK = 1e-9

# The spread of the gradient over the face above which x is not a minimiser, in the same units.
_UNSOLVED = 1e-5

# A curvature along the face below this part of the largest passes for zero.
_FLAT = 1e-12


class DegenerateSolutionError(GradientError):
    """The solution has no derivative by its data: it has one on either side, is not unique, or is not solved for."""


@dataclass(frozen=True)
class Degeneracy:
    """What stands between a minimiser x of x.Q x / 2 + c.x over the simplex and its derivative.

    Attributes
    ----------
    weakly_active : tensor of int
        Entries whose weight and reduced cost are both zero, to rounding: there the face changes with the data, and x
        has a derivative on either side only.
    is_singular : bool
        Whether Q has no curvature along some direction of the face: x is not unique.
    is_solved : bool
        Whether x is a minimiser, as far as a derivative needs it: the gradient is level on the face.
    """

    weakly_active: torch.Tensor
    is_singular: bool
    is_solved: bool

    def message(self) -> str:
        """Return what is wrong in words, empty if nothing is."""
        if not self.is_solved:
            return (
                "x must solve the problem for a derivative, got a gradient that is not level (solve to a smaller rtol)"
            )
        if self.is_singular:
            return "x must be unique for a derivative, got a singular Hessian on its face"
        if self.weakly_active.numel():
            some = self.weakly_active[:5].tolist()
            return f"x must be strictly complementary for a derivative, got weight and reduced cost zero at {some}"
        return ""


def solution_degeneracy(x: torch.Tensor, Q: torch.Tensor, c: torch.Tensor | None = None) -> Degeneracy:
    """Find out whether a minimiser over the simplex has a derivative by its data.

    Parameters
    ----------
    x : tensor, shape (n,)
        The minimiser of x.Q x / 2 + c.x.
    Q : tensor, shape (n, n)
        Symmetric.
    c : tensor, shape (n,), optional
        By default zero.

    Returns
    -------
    Degeneracy

    Examples
    --------
    >>> import torch
    >>> from lina.torch.simplex_solutions import solution_degeneracy
    >>> x = torch.tensor([1.0, 0.0], dtype=torch.float64)
    >>> found = solution_degeneracy(x, torch.eye(2, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64))
    >>> found.weakly_active, found.is_singular, found.is_solved
    (tensor([1]), False, True)
    """
    x, Q = x.detach().double(), Q.detach().double()
    c = torch.zeros_like(x) if c is None else c.detach().double()
    total = float(x.sum())
    g = Q @ x + c
    scale = total * float(Q.diagonal().abs().max()) + float(c.abs().max())
    level = float(g @ x) / total
    inside = x > 0
    spread = float((g[inside] - level).abs().max())
    edge = (torch.where(inside, x / total, (g - level).abs() / max(scale, 1e-300)) <= _WEAK).nonzero()[:, 0]
    face = inside.nonzero()[:, 0]
    values = _face_spectrum(Q[face][:, face])[0]
    flat = bool(values[0] <= _FLAT * values[-1]) if face.numel() > 1 else False
    return Degeneracy(edge, flat, spread <= _UNSOLVED * scale or spread == 0.0)


def _face_spectrum(H: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eigenvalues and vectors of H on the vectors of sum 0, and as the largest the direction of the sum."""
    k = H.shape[0]
    H = H - H.mean(0)
    H = H - H.mean(1, keepdim=True)
    top = max(float(H.diagonal().sum()), 1e-300)
    values, vectors = torch.linalg.eigh((H + H.mT) / 2 + top / k)
    return values, vectors


def _face_solve(Q: torch.Tensor, c: torch.Tensor, x: torch.Tensor, g: torch.Tensor, strict: bool) -> torch.Tensor:
    out = torch.zeros_like(g, memory_format=torch.contiguous_format)
    n = x.shape[-1]
    rows = [t.reshape(-1, n) for t in (c, x, g)]
    for i, H in enumerate(Q.reshape(-1, n, n)):
        ci, xi, gi = (t[i] for t in rows)
        if strict:
            wrong = solution_degeneracy(xi, H, ci).message()
            if wrong:
                raise DegenerateSolutionError(wrong)
        face = (xi > 0).nonzero()[:, 0]
        values, vectors = _face_spectrum(H[face][:, face])
        right = gi[face] - gi[face].mean()
        parts = torch.where(values > _FLAT * values[-1], (vectors.mT @ right) / values, 0.0)
        out.view(-1, n)[i, face] = vectors @ parts
    return out


def _face_solve_fake(Q: torch.Tensor, c: torch.Tensor, x: torch.Tensor, g: torch.Tensor, strict: bool) -> torch.Tensor:
    return torch.empty_like(g, memory_format=torch.contiguous_format)


def _face_solve_save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    Q, c, x, _, _ = inputs
    ctx.save_for_backward(Q, c, x, output)


def _face_solve_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """The map N of g is symmetric, and dN = -N dQ N at a constant face."""
    Q, c, x, u = ctx.saved_tensors
    v = _solve(Q, c, x, grad, False)
    return -_symmetric(v, u), None, None, v, None


def _symmetric(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    product = u[..., :, None] * v[..., None, :]
    return (product + product.mT) / 2


_solve = register_op(
    "simplex_face_solve",
    "(Tensor Q, Tensor c, Tensor x, Tensor g, bool strict) -> Tensor",
    forward=_face_solve,
    fake=_face_solve_fake,
    save=_face_solve_save,
    backward=_face_solve_backward,
)


def _copy(x: torch.Tensor, Q: torch.Tensor, c: torch.Tensor, strict: bool) -> torch.Tensor:
    return x.clone(memory_format=torch.contiguous_format)


def _solution_save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.strict = inputs[3]
    ctx.save_for_backward(inputs[1], inputs[2], output)


def _solution_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """On the face Q dx = level - dQ x - dc with sum dx = 0, transposed."""
    Q, c, x = ctx.saved_tensors
    u = _solve(Q, c, x, grad, ctx.strict)
    return None, -_symmetric(u, x), -u, None


_solution = register_op(
    "simplex_solution",
    "(Tensor x, Tensor Q, Tensor c, bool strict) -> Tensor",
    forward=_copy,
    fake=_copy,
    save=_solution_save,
    backward=_solution_backward,
)


def qp_solution(
    x: torch.Tensor,
    Q: torch.Tensor | None = None,
    c: torch.Tensor | None = None,
    *,
    factor: torch.Tensor | None = None,
    diagonal: torch.Tensor | None = None,
    strict: bool = True,
) -> torch.Tensor:
    """Return the minimiser ``x`` of x.Q x / 2 + c.x over the simplex as a differentiable function of its data.

    Parameters
    ----------
    x : tensor, shape (..., n)
        The solution, of any sum; its own gradient is not followed.
    Q, c, factor, diagonal : tensor
        As in `lina.simplex.simplex_qp`. Q is read as symmetric, and so is its gradient.
    strict : bool
        Whether the backward pass raises where there is no derivative. If False it is that of the face on which x
        lies: one-sided where entries are weakly active, that of least norm where x is not unique.

    Returns
    -------
    tensor, shape (..., n)
        Equal to ``x``; differentiable any number of times.

    Raises
    ------
    DegenerateSolutionError
        In the backward pass, with ``strict``: see `solution_degeneracy`.

    Notes
    -----
    On the face S of the positive entries Q_SS dx + dQ x + dc is level and sum dx = 0: one symmetric eigenvalue problem
    of the size of the face, 9 k^3 flops, for each backward pass. A factor is multiplied out, n^2 numbers.

    Examples
    --------
    >>> import torch
    >>> from lina.simplex import simplex_qp
    >>> from lina.torch.simplex_solutions import qp_solution
    >>> Q = torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64)).requires_grad_()
    >>> x = qp_solution(simplex_qp(Q.detach()).x, Q)
    >>> x[0].backward()
    >>> Q.grad.diagonal()
    tensor([-0.2222,  0.1111], dtype=torch.float64)
    """
    if Q is None:
        assert factor is not None
        F = factor.double()
        Q = F @ F.mT
        Q = Q if diagonal is None else Q + torch.diag_embed(diagonal.double())
    Q = Q.double()
    c = torch.zeros_like(Q[..., 0]) if c is None else c.double()
    batch = torch.broadcast_shapes(Q.shape[:-2], c.shape[:-1], x.shape[:-1])
    n = x.shape[-1]
    parts = x.detach().double().expand(*batch, n), Q.expand(*batch, n, n), c.expand(*batch, n)
    return _solution(*parts, strict).to(x.dtype)


def lsq_solution(x: torch.Tensor, A: torch.Tensor, b: torch.Tensor, *, strict: bool = True) -> torch.Tensor:
    """Return the minimiser ``x`` of norm(A x - b)^2 over the simplex as a differentiable function of ``A`` and ``b``.

    Parameters
    ----------
    x : tensor, shape (n,)
        The solution; its own gradient is not followed.
    A, b : tensor, shapes (m, n) and (m,)
        As in `lina.simplex.simplex_lsq`, which does this by itself.
    strict : bool
        As in `qp_solution`.

    Returns
    -------
    tensor, shape (n,)

    Raises
    ------
    DegenerateSolutionError
        In the backward pass, as `qp_solution`.
    """
    largest = max(float(A.detach().abs().max()), float(b.detach().abs().max()))
    unit = 2.0 ** min(math.frexp(largest)[1], 1023) if largest > 0 else 1.0
    half = 2.0 ** (math.frexp(unit)[1] // 2)  # in two steps, as the reciprocal may be beyond the range
    A, b = (t.double() / half / (unit / half) for t in (A, b))
    return qp_solution(x, A.mT @ A, -(A.mT @ b), strict=strict)


def attach_lsq(x: torch.Tensor, A: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return `lsq_solution` where a gradient is wanted, otherwise ``x``."""
    wanted = torch.is_grad_enabled() and (A.requires_grad or b.requires_grad)
    return lsq_solution(x, A, b) if wanted else x


def attach_qp(x: torch.Tensor, **data: Any) -> torch.Tensor:
    """Return `qp_solution` where a gradient is wanted, otherwise ``x``."""
    given = [t for t in data.values() if t is not None]
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    return qp_solution(x, **data) if wanted else x
