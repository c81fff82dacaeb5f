"""The gradient of every operation that takes tensors: right, or refused."""

import numpy as np
import pytest

from lina._core.errors import GradientError
from tests.operations import OPERATIONS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STEP = 1e-6


def invariants(outputs):
    """Return what does not depend on the choice of a basis: X, the product of the factors, or their inner products."""
    if "X" in outputs:
        return outputs["X"]
    left = outputs["left" if "left" in outputs else "A"]
    return left @ outputs.get("right", left.mH)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if "torch" in op.backends], ids=lambda op: op.name)
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
