"""How long does a state-space layer take for one sample, beside products with matrices and the formula in torch?"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.signal import fftconvolve

from benchmarks.runner import Case, Question, Target
from benchmarks.ssm_torch import peak
from benchmarks.torch_layers import JUDGED, largest_error, layer_of, rounded, taps_of
from lina.ssm import to_dense
from lina.torch import RTF, S4

STEPS = 16
Advance = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def cases(quick: bool) -> Iterator[Case]:
    """Yield steps of each layer, of one sequence and of sixteen."""
    for name in ("S4", "S4D", "RTF"):
        for batch in (1, 16):
            yield steps(name, 16 if quick else 256, batch)


def by_matrices(layer: Any) -> tuple[Advance, torch.Size]:
    """Return a step by dense matrices (channels, N, N), and the shape of a state."""
    dense = to_dense(copy.deepcopy(layer).double().system()).system
    A, C = dense.A.float(), dense.C.float()
    B = dense.B.float().expand_as(C)  # a fraction has one for all channels
    D = layer.D.detach()

    def advance(u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.baddbmm(B[:, :, None] * u.T[:, None], A, x)  # states are (channels, N, batch), which a product takes
        return (C[:, None] @ x)[:, 0].T + D * u, x

    return advance, A.shape[:2]


def by_formula(layer: Any) -> tuple[Advance, torch.Size]:
    """Return a step as one writes it of the equations, with discrete parameters, and the shape of a state."""
    parts, D = [x.detach() for x in rounded(layer, *layer._discrete())], layer.D.detach()
    if isinstance(layer, RTF):
        a, b = parts

        def shifted(u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = torch.cat([(u - torch.einsum("hn,bhn->bh", a, x))[..., None], x[..., :-1]], -1)
            return torch.einsum("hn,bhn->bh", b, x) + D * u, x

        return shifted, a.shape

    def modal(u: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(layer, S4):
            Lambda, P, B, C, Q = parts
            along = 2 * torch.einsum("hrn,bhn->bhr", Q.conj(), x).real
            x = Lambda * x - torch.einsum("hrn,bhr->bhn", P, along.to(P.dtype)) + B * u[..., None]
        else:
            Lambda, B, C = parts
            x = Lambda * x + B * u[..., None]
        return 2 * torch.einsum("hn,bhn->bh", C, x).real + D * u, x

    return modal, parts[0].shape


def steps(name: str, channels: int, batch: int) -> Case:
    """Return some steps one after the other, without gradients."""
    layer = layer_of(name, channels)
    samples = torch.randn(STEPS, batch, channels)
    by_matrix, (_, states) = by_matrices(layer)
    written, shape = by_formula(layer)
    complex_states = torch.float32 if name == "RTF" else torch.complex64
    begin = layer.initial_state(batch)

    def run(advance: Advance, state: torch.Tensor) -> Callable[[], np.ndarray]:
        def call() -> np.ndarray:
            x, outputs = state, []
            with torch.no_grad():
                for u in samples:
                    y, x = advance(u, x)
                    outputs.append(y)
                return torch.stack(outputs)[..., :JUDGED].numpy()

        return call

    contenders = {
        "lina": run(layer.step, begin),
        "product with matrices": run(by_matrix, torch.zeros(channels, states, batch)),
        "the formula": run(written, torch.zeros(batch, *shape, dtype=complex_states)),
    }
    wide = samples[..., :JUDGED].double().numpy()
    K, D = taps_of(layer, STEPS), layer.D.detach().double().numpy()[:JUDGED]
    exact = fftconvolve(wide, K.T[:, None], axes=0)[:STEPS] + D * wide
    return Case(
        f"{STEPS} steps of {name}, {channels} channels, batch {batch}",
        contenders,
        lambda found: largest_error([found], [exact], (0, 1)),
        [Target("lina", "product with matrices", 1), Target("lina", "the formula", 1)],
        peak=peak,
    )


QUESTION = Question(
    "How long does a state-space layer take for one sample, beside products with matrices and the formula in torch?",
    cases,
    note="Layers of 64 states in single precision, without gradients. Products are those of dense real matrices "
    "(channels, 64, 64) with states (channels, 64, batch); the formula is the equation of the step with discrete "
    "parameters, written of complex numbers and sums over modes in torch, and checks nothing. Errors are those of the "
    "outputs over the largest one of a channel, of four channels, against the true system in double precision.",
)
