"""Scans of tensors go through the kernels of the CPU where no gradient is recorded."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.ssm import _step as module  # noqa: E402
from lina.ssm import linear_scan  # noqa: E402
from tests.ssm.systems import FORMS, discrete  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]


def as_tensors(system):
    arrays = {
        k: torch.from_numpy(np.array(v)) for k, v in vars(system).items() if isinstance(v, np.ndarray) and k != "dt"
    }
    return type(system)(**arrays, dt=system.dt)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("return_states", [False, True])
def test_values_are_those_of_numpy_to_the_last_bit(form, return_states):
    system = discrete(form)
    u = np.random.default_rng(1).standard_normal((2, 50))
    found = linear_scan(as_tensors(system), torch.from_numpy(u), return_states=return_states)
    for x, y in zip(found, linear_scan(system, u, return_states=return_states), strict=True):
        assert isinstance(x, torch.Tensor)
        np.testing.assert_array_equal(x.numpy(), y)


def test_a_recorded_gradient_goes_the_way_that_has_one(monkeypatch):
    system = as_tensors(discrete("diagonal"))
    u = torch.randn(30, dtype=torch.float64, requires_grad=True)
    chunks = []
    scan = module._scan_chunks
    monkeypatch.setattr(module, "_scan_chunks", lambda xp, *rest: chunks.append(xp.__name__) or scan(xp, *rest))
    y, _ = linear_scan(system, u)
    (gradient,) = torch.autograd.grad(y.sum(), u)
    assert torch.isfinite(gradient).all()
    _, moved = torch.func.jvp(lambda v: linear_scan(system, v)[0], (u.detach(),), (torch.ones_like(u),))
    torch.testing.assert_close(moved, linear_scan(system, torch.ones_like(u).detach())[0])
    assert [name.rpartition(".")[2] for name in chunks[:2]] == ["torch", "torch"]
