"""The response of rational systems as one torch operation."""

import numpy as np
import pytest
from scipy.signal import lfilter

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.ssm import stable_polynomial  # noqa: E402
from lina.torch import blocks  # noqa: E402
from lina.torch.rational_filter import rational_filter  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]


def draws(batch, H, d, L, dtype=torch.float64, size=0.3):
    g = torch.Generator().manual_seed(d + L)
    a = stable_polynomial(size * torch.randn(H, d, generator=g, dtype=torch.float64))
    b, u = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((H, d), (*batch, H, L)))
    return [x.to(dtype) for x in (a, b, u)]


def filtered(a, b, u):
    rows = [lfilter(b[h], np.append(1, a[h]), u[..., h, :]) for h in range(len(a))]
    return np.stack(rows, axis=-2)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-11), (torch.float32, 2e-7)])
@pytest.mark.parametrize(("d", "L"), [(1, 1), (4, 1), (60, 17), (16, 784), (3, 1023), (64, 16384)])
def test_outputs_are_those_of_the_recurrence(dtype, within, d, L):
    a, b, u = draws((2,), 3, d, L, dtype, size=0.3 if d < 64 else 0.05)
    expected = filtered(*(x.double().numpy() for x in (a, b, u)))
    error = np.abs(rational_filter(a, b, u).double().numpy() - expected).max()
    assert error <= within * np.abs(expected).max()


@pytest.mark.parametrize("radius", [0.99, 0.9999, 1.0])
def test_poles_next_to_the_circle_cost_no_digits(radius):
    a = torch.tensor([[-radius]], dtype=torch.float64)
    u = torch.randn(1, 5000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = filtered(a.numpy(), np.ones((1, 1)), u.numpy())
    np.testing.assert_allclose(
        rational_filter(a, torch.ones_like(a), u).numpy(), expected, atol=1e-11 * np.abs(expected).max()
    )


def test_first_and_second_derivatives():
    for tensors in (draws((2,), 3, 4, 9), draws((), 2, 6, 3), [*draws((), 2, 3, 7)[:2], torch.randn(2, 1, 7).double()]):
        leaves = [x.requires_grad_() for x in tensors]
        assert torch.autograd.gradcheck(rational_filter, leaves)
        assert torch.autograd.gradgradcheck(rational_filter, leaves)


def test_blocks_of_channels_change_nothing(monkeypatch):
    a, b, u = (x.requires_grad_() for x in draws((2,), 5, 4, 40))

    def run():
        y = rational_filter(a, b, u)
        return y, *torch.autograd.grad(y.pow(2).sum(), (a, b, u))

    whole = run()
    monkeypatch.setattr(blocks, "AT_ONCE", 160)
    for found, expected in zip(run(), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-12 * float(expected.detach().abs().max()))


def test_several_numerators_share_the_transform_of_a_signal():
    a, b, u = draws((2,), 3, 4, 30)
    both = torch.stack([b, 2 * b])
    found = rational_filter(a, both, u[:, None])
    torch.testing.assert_close(found[:, 1], 2 * rational_filter(a, b, u))


def test_registration_vmap_and_empty_batches():
    a, b, u = draws((2,), 3, 4, 9)
    torch.library.opcheck(
        torch.ops.lina.rational_filter.default, (a[None].requires_grad_(), b[None].requires_grad_(), u.requires_grad_())
    )
    each = torch.func.vmap(lambda v: rational_filter(a, b, v))(u)
    torch.testing.assert_close(each, rational_filter(a, b, u))
    assert rational_filter(a, b, u[:0]).shape == (0, 3, 9)


def test_inputs_are_all_that_is_kept_for_the_gradient():
    a, b, u = (x.requires_grad_() for x in draws((4,), 3, 4, 50))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        rational_filter(a, b, u)
    assert sum(x.numel() for x in kept) <= a.numel() + b.numel() + u.numel()


def test_bad_input_is_named():
    a, b, u = draws((2,), 3, 4, 9)
    with pytest.raises(ValueError, match="b must have n = 4 entries"):
        rational_filter(a, b[:, :3], u)
    with pytest.raises(TypeError):
        rational_filter(a, b, u.numpy())


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 1, 3, 9)])
@pytest.mark.parametrize("name", ["a", "b", "u"])
def test_what_is_not_finite_is_named(shape, name):
    a, b, _ = draws((), 3, 4, 9)
    tensors = {"a": a, "b": torch.stack([b, b]) if len(shape) == 4 else b, "u": torch.ones(shape, dtype=torch.float64)}
    tensors[name][..., 0, 1] = torch.nan
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        rational_filter(**tensors)
