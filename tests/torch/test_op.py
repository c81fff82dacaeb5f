"""The helper that makes a kernel a torch operation: without a backward it refuses gradients."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina._core.errors import GradientError  # noqa: E402
from lina.torch import register_op  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def twice():
    return register_op(
        "test_twice",
        "(Tensor x, float factor) -> Tensor",
        forward=lambda x, factor: x.detach() * (2 * factor),
        fake=lambda x, factor: torch.empty_like(x),
    )


def test_a_kernel_without_a_backward_refuses_a_gradient(twice):
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(GradientError, match="lina::test_twice has no gradient"):
        twice(x, 1.0)


def test_it_runs_where_no_gradient_is_wanted(twice):
    x = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        assert twice(x, 3.0).tolist() == [6.0] * 3
    assert twice(x.detach(), 1.0).tolist() == [2.0] * 3


def test_vmap_folds_the_batch(twice):
    x = torch.arange(6.0).reshape(2, 3)
    torch.testing.assert_close(torch.vmap(lambda r: twice(r, 1.0), in_dims=1, out_dims=1)(x), 2 * x)
