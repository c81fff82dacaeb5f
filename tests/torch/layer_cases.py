"""Layers of every kind and parametrisation, moved away from where they begin; a signal, and their steps over it."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch import RTF, S4, S4D  # noqa: E402

MAKERS = {
    "S4D lin": lambda H, N: S4D(H, N),
    "S4D inv bilinear": lambda H, N: S4D(H, N, init="inv", method="bilinear"),
    "S4D legs": lambda H, N: S4D(H, N, init="legs"),
    "S4 legs": lambda H, N: S4(H, N),
    "S4 legt": lambda H, N: S4(H, N, init="legt"),
    "S4 fout": lambda H, N: S4(H, N, init="fout"),
    "S4 fourier_legs": lambda H, N: S4(H, N, init="fourier_legs"),
    "RTF montel": lambda H, N: RTF(H, N),
    "RTF reflection": lambda H, N: RTF(H, N, constraint="reflection"),
    "RTF free": lambda H, N: RTF(H, N, constraint=None),
    "RTF shared": lambda H, N: RTF(H, N, denominators=1, numerators=H),
}
every = pytest.mark.parametrize("name", MAKERS)
some = pytest.mark.parametrize("name", ["S4D lin", "S4 legs", "RTF montel", "RTF reflection", "RTF free"])


def trained(name, channels=4, state=8, dtype=torch.float64, seed=0):
    """Return a layer whose parameters have moved away from where they begin."""
    torch.manual_seed(seed)
    layer = MAKERS[name](channels, state).to(dtype)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return layer


def signal(*shape, dtype=torch.float64, seed=1):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def step_by_step(layer, x, state):
    outputs = []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, 1), state
