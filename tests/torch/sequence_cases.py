"""Models of sequences that the tests of layers share: parameters as after some training, and tensors."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch.layers.block import ResidualBlock  # noqa: E402

SIZES = {"width": 6, "depth": 2, "state": 8}


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def made(kind, inputs=3, outputs=5, *, dtype=torch.float64, **options):
    """Return a model whose parameters are none of them zero, as after some training."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = kind(inputs, outputs, **{**SIZES, **options}).to(dtype)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def block_of(layer, **options):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return ResidualBlock(layer, **options).double()
