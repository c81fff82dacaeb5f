"""The gradient of every operation of linalg that takes tensors: right, or refused.

Rows of other rooms scale their options with the input; their gradients are tested beside their operations.
"""

import numpy as np
import pytest

from lina._core.errors import GradientError
from lina.linalg import cr_matmul, rpcholesky
from lina.simplex.flow import Entropy, grid_flow
from tests.operations import OPERATIONS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STEP = 1e-6
ON_TENSORS = [op for op in OPERATIONS if "torch" in op.backends and op.name.startswith("linalg.")]


def invariants(outputs):
    """Return what does not depend on the choice of a basis: X, the product of the factors, or their inner products."""
    if "X" in outputs:
        return outputs["X"]
    left = outputs["left" if "left" in outputs else "A"]
    return left @ outputs.get("right", left.mH)


@pytest.mark.parametrize("op", ON_TENSORS, ids=lambda op: op.name)
def test_a_gradient_is_that_of_the_difference_quotient_or_refused(op):
    inputs = [torch.from_numpy(x) for x in op.arrays(np.random.default_rng(0), "float64")]
    rng = np.random.default_rng(1)
    directions = [torch.from_numpy(rng.standard_normal(x.shape)) for x in inputs]

    def value(*moved):
        found = invariants(op.outputs(op.call(*moved)))
        weights = torch.from_numpy(np.random.default_rng(2).standard_normal(tuple(found.shape)))
        return torch.sum(weights * found)

    try:
        recorded = [x.clone().requires_grad_() for x in inputs]
        found = value(*recorded)
    except GradientError:
        return
    grads = torch.autograd.grad(found, recorded, allow_unused=True)
    slope = sum(float(torch.sum(g * d)) for g, d in zip(grads, directions, strict=True) if g is not None)
    ahead, behind = (
        float(value(*[x + sign * STEP * d for x, d in zip(inputs, directions, strict=True)])) for sign in (1, -1)
    )
    expected = (ahead - behind) / (2 * STEP)
    assert slope == pytest.approx(expected, rel=1e-5, abs=1e-4 * abs(float(found.detach())))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_refusal_holds_in_forward_mode_too():
    A = torch.eye(5, dtype=torch.float64)
    with torch.autograd.forward_ad.dual_level():
        moved = torch.autograd.forward_ad.make_dual(A, torch.ones_like(A))
        with pytest.raises(
            GradientError, match=r"rpcholesky has no gradient with respect to A: call it .* A.detach\(\)"
        ):
            rpcholesky(moved, 2)
        with pytest.raises(GradientError, match="cr_matmul with weights='optimal'"):
            cr_matmul(moved, A, 2, weights="optimal")


def test_a_flow_on_a_grid_has_no_gradient_and_says_so():
    start = torch.ones(20, dtype=torch.float64, requires_grad=True)
    with pytest.raises(GradientError, match="a flow on a grid has no gradient with respect to density"):
        grid_flow(Entropy(), start, [0, 1], domain=(0, 1))
