"""What do state-space layers and their gradients take, beside published formulas with automatic differentiation?"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.signal import fftconvolve, lfilter

from benchmarks.runner import Case, Question, Target
from benchmarks.ssm_kernels import diagonal_of, low_rank_of
from benchmarks.ssm_torch import peak
from lina.ssm import fftconv, stable_polynomial, to_dense, truncated_b, truncated_c
from lina.torch import RTF, S4, S4D
from lina.torch.rational_filter import rational_filter

JUDGED = 4  # channels of which the errors are measured
_STATES = 64
_TAKES = {"S4": 5.0, "S4D": 10.0, "RTF": 1.0}  # wanted ratios of time
LENGTHS = (1024, 4096, 16384)
# The share of the channels that formulas are given at each length: of all of them those of S4 and S4D take gigabytes.
_SHARES = {"S4": (4, 8, 32), "S4D": (2, 4, 8), "RTF": (1, 1, 1)}


def cases(quick: bool) -> Iterator[Case]:
    """Yield whole layers, then their kernels and the convolution apart, then what a filter errs."""
    channels, shrink = (16, 8) if quick else (256, 1)
    for name, shares in _SHARES.items():
        for L, share in zip(LENGTHS, shares, strict=True):
            for batch in (1, 16):
                # the signals alone of a long batch fill gigabytes
                most = max(share, 4) if batch * L > 2**17 else share
                yield whole(name, channels, L // shrink, batch, min(most, 4) if quick else most)
    for name, shares in _SHARES.items():
        for L, share in zip(LENGTHS, shares, strict=True):
            yield kernel(name, channels, L // shrink, min(share, 4) if quick else share)
    for L in LENGTHS:
        for batch in (1, 16):
            yield convolution(channels, L // shrink, batch, 4 if batch * L > 2**17 else 1)
    for modulus in (0.9, 0.999, 0.99999):
        yield filtered(channels // 4, modulus, 4096 // shrink)


def layer_of(name: str, channels: int) -> Any:
    """Return a layer in single precision as it begins, but fractions that are not zero."""
    torch.manual_seed(0)
    layer = {"S4": S4, "S4D": S4D, "RTF": RTF}[name](channels, _STATES)
    if name == "RTF":
        with torch.no_grad():
            layer.w.normal_()
            layer.b.normal_()
    return layer


def of_one_length(layer: Any, count: int, L: int) -> Any:
    """Return the first channels of a layer, with the C or b of one length that the published formulas are made of."""
    part = copy.deepcopy(layer)
    part.channels = count
    with torch.no_grad():
        for p in part.parameters():
            p.data = p.data[:count].clone()
        wide = copy.deepcopy(part).double()
        if isinstance(layer, RTF):
            part.b.copy_(truncated_b(*wide.fraction(), L))
        elif isinstance(layer, S4):
            C = truncated_c(wide.system(), L)
            part.C.copy_(torch.view_as_real(torch.as_tensor(C)))
    return part


def rounded(layer: Any, *tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return tensors in the precision of a layer, in which others compute."""
    return [x.to(layer.state_dtype if x.is_complex() else layer.dtype) for x in tensors]


def published_kernels(part: Any, L: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Return the formulas of the taps (channels, L) by name."""
    if isinstance(part, RTF):
        return {"official": lambda: divided(*part.fraction(), L)}
    if isinstance(part, S4D):
        return {"state-spaces/s4": lambda: diagonal_of(torch, rounded(part, *part.continuous()), L)()}

    def parts() -> tuple[torch.Tensor, ...]:
        Lambda, B, C, dt, P = rounded(part, *part.continuous(), part.low_rank()[:, 0])
        return Lambda, P, B, C, dt

    return {
        "state-spaces/s4": lambda: _broadcast(*parts(), L),
        "annotated-s4": lambda: four_sums(*parts(), L),
    }


def _broadcast(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, L: int) -> torch.Tensor:
    return low_rank_of(torch, [Lambda, P, B, C, dt], L)()


def four_sums(
    Lambda: torch.Tensor, P: torch.Tensor, B: torch.Tensor, C: torch.Tensor, dt: torch.Tensor, L: int
) -> torch.Tensor:
    """Return the taps by one Cauchy sum after the other, of all states and at all roots of unity."""
    Lambda, P, B, C = (torch.cat([x, x.conj()], -1) for x in (Lambda, P, B, C))
    z = torch.exp(-2j * np.pi * torch.arange(L) / L).to(torch.complex64)
    at = 2 / dt[:, None] * (1 - z) / (1 + z)

    def total(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ((x * y)[..., None] / (at[:, None] - Lambda[..., None])).sum(-2)

    within = total(C, B) - total(C, P) * total(P.conj(), B) / (1 + total(P.conj(), P))
    return torch.fft.ifft(2 / (1 + z) * within, n=L).real


def divided(a: torch.Tensor, b: torch.Tensor, L: int) -> torch.Tensor:
    """Return the taps of fractions by transforms of one length, single precision throughout."""
    d = a.shape[-1]
    both = torch.cat([torch.nn.functional.pad(a, (1, L - d - 1)), torch.nn.functional.pad(b, (0, L - d))])
    both[: len(a), 0] = 1.0
    A, B = torch.fft.rfft(both).chunk(2)
    return torch.fft.irfft(B / A, n=L)


def convolved(u: torch.Tensor, k: torch.Tensor, D: torch.Tensor) -> torch.Tensor:
    """Return outputs (batch, length, channels) by real transforms of twice the length, as the peers have them."""
    L = u.shape[1]
    u = u.transpose(1, 2)
    y = torch.fft.irfft(torch.fft.rfft(u, n=2 * L) * torch.fft.rfft(k, n=2 * L), n=2 * L)[..., :L]
    return (y + u * D[:, None]).transpose(1, 2)


def convolved_in_place(u: torch.Tensor, k: torch.Tensor, D: torch.Tensor) -> torch.Tensor:
    """Return the same as the official path of RTF: along the axis of time where it is, D within the kernel."""
    batch, L, channels = u.shape
    k = torch.cat([k[:, :1] + D[:, None], k[:, 1:]], -1)
    together = torch.cat([k.T, u.permute(1, 0, 2).reshape(L, batch * channels)], 1)
    K, U = torch.fft.rfft(together, n=2 * L, dim=0).split([channels, batch * channels], 1)
    return torch.fft.irfft(K * U.unflatten(1, (batch, channels)).transpose(0, 1), n=2 * L, dim=1)[:, :L]


def taps_of(layer: Any, L: int) -> np.ndarray:
    """Return the taps of the first channels in double precision, by the recurrence of the true system."""
    wide = copy.deepcopy(layer).double()
    with torch.no_grad():
        if isinstance(layer, RTF):
            a, b = (x[:JUDGED].numpy() for x in wide.fraction())
            pulse = np.eye(1, L)[0]
            return np.stack([lfilter(q, np.append(1.0, p), pulse) for p, q in zip(a, b, strict=True)])
        dense = to_dense(wide.system()).system
    A, x, C = (np.asarray(v)[:JUDGED] for v in (dense.A, dense.B, dense.C))
    taps, x = np.empty((len(A), L)), x[..., None]
    for t in range(L):
        taps[:, t] = (C[:, None] @ x)[:, 0, 0]
        x = A @ x
    return taps


def exact_answers(layer: Any, x: torch.Tensor, g: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and gradients by the input (batch, length, channels) of the first channels."""
    K, D = taps_of(layer, x.shape[1]), layer.D.detach().double().numpy()[:JUDGED]
    wide = [v.detach().double().numpy()[..., :JUDGED].transpose(0, 2, 1) for v in (x, g)]
    y, back = (fftconvolve(v, K[None], axes=-1)[..., : x.shape[1]] for v in (wide[0], wide[1][..., ::-1]))
    found = (y + D[:, None] * wide[0], back[..., ::-1] + D[:, None] * wide[1])
    return found[0].transpose(0, 2, 1), found[1].transpose(0, 2, 1)


def largest_error(found: Any, exact: Any, axes: int | tuple[int, ...]) -> float:
    """Return the largest error over the largest value, of the worst channel."""
    return max(
        float(np.max(np.abs(np.asarray(f) - e).max(axis=axes) / np.abs(e).max(axis=axes)))
        for f, e in zip(found, exact, strict=True)
    )


def whole(name: str, channels: int, L: int, batch: int, share: int) -> Case:
    """Return a layer, from the samples to the gradients by these and all parameters."""
    layer = layer_of(name, channels)
    x, g = torch.randn(2, batch, L, channels)
    part = of_one_length(layer, channels // share, L)
    convolve = convolved_in_place if name == "RTF" else convolved

    def gradients(module: Any, run: Callable[[torch.Tensor], torch.Tensor], count: int) -> Any:
        leaf = x[..., :count].contiguous().requires_grad_()
        along = g[..., :count].contiguous()

        def call() -> list[np.ndarray]:
            y = run(leaf)
            found = torch.autograd.grad(y, [leaf, *module.parameters()], along)
            return [v[..., :JUDGED].detach().numpy() for v in (y, found[0])]

        return call

    contenders = {"lina": gradients(layer, layer, channels)}
    for peer, taps in published_kernels(part, L).items():
        run = lambda u, taps=taps: convolve(u, taps(), part.D)  # noqa: E731
        contenders[_named(peer, share)] = gradients(part, run, channels // share)
    exact = exact_answers(layer, x, g)
    title = f"{name}, {channels} channels of {_STATES} states, L = {L}, batch {batch}"
    return Case(
        title,
        contenders,
        lambda found: largest_error(found, exact, (0, 1)),
        _targets(name, contenders, share),
        peak=peak,
    )


def _named(peer: str, share: int) -> str:
    return peer if share == 1 else f"{peer}, 1/{share} of the channels"


def _targets(name: str, contenders: dict[str, Any], share: int) -> list[Target]:
    peers = list(contenders)[1:]
    return [Target("lina", peer, _TAKES[name] / share, error_factor=1, memory_ratio=1 / share) for peer in peers]


def kernel(name: str, channels: int, L: int, share: int) -> Case:
    """Return the taps of a layer and their gradients by the parameters."""
    layer = layer_of(name, channels)
    g = torch.randn(channels, L)
    part = of_one_length(layer, channels // share, L)

    def gradients(module: Any, taps: Callable[[], torch.Tensor], count: int) -> Any:
        leaves = [p for p in module.parameters() if p is not module.D]

        def call() -> list[np.ndarray]:
            K = taps()
            torch.autograd.grad(K, leaves, g[:count])
            return [K[:JUDGED].detach().numpy()]

        return call

    contenders = {"lina": gradients(layer, lambda: layer.kernel(L), channels)}
    for peer, taps in published_kernels(part, L).items():
        contenders[_named(peer, share)] = gradients(part, taps, channels // share)
    exact = [taps_of(layer, L)]
    title = f"taps of {name} alone, {channels} channels of {_STATES} states, L = {L}"
    return Case(
        title, contenders, lambda found: largest_error(found, exact, 1), _targets(name, contenders, share), peak=peak
    )


def convolution(channels: int, L: int, batch: int, share: int) -> Case:
    """Return the convolution of signals with taps in the layout (batch, channels, length), and its gradients."""
    u, g = torch.randn(2, batch, channels, L)
    k = torch.randn(channels, L) / torch.arange(1, L + 1)

    def gradients(run: Any, count: int) -> Any:
        leaves = [u[:, :count].contiguous().requires_grad_(), k[:count].clone().requires_grad_()]
        along = g[:, :count].contiguous()

        def call() -> list[np.ndarray]:
            y = run(*leaves)
            found = torch.autograd.grad(y, leaves, along)
            return [v[:, :JUDGED].detach().numpy() for v in (y, found[0])]

        return call

    def formula(u: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft(torch.fft.rfft(u, n=2 * L) * torch.fft.rfft(k, n=2 * L), n=2 * L)[..., :L]

    peer = _named("transforms of 2 L", share)
    contenders = {"lina": gradients(fftconv, channels), peer: gradients(formula, channels // share)}
    wide = [v[:, :JUDGED].double().numpy() for v in (u, g)]
    K = k[:JUDGED].double().numpy()[None]
    y, back = (fftconvolve(v, K, axes=-1)[..., :L] for v in (wide[0], wide[1][..., ::-1]))
    exact = (y, back[..., ::-1])
    targets = [Target("lina", peer, 1 / share, memory_ratio=1 / share)]
    title = f"convolution alone, {channels} channels, L = {L}, batch {batch}"
    return Case(title, contenders, lambda found: largest_error(found, exact, (0, 2)), targets, peak=peak)


def filtered(channels: int, modulus: float, L: int) -> Case:
    """Return outputs of stable fractions whose largest pole has a modulus, in single precision."""
    rng = np.random.default_rng(0)
    a = stable_polynomial(rng.uniform(-0.1, 0.1, (channels, _STATES)))
    largest = [np.abs(np.roots(np.append(1.0, row))).max() for row in a]
    a = a * (modulus / np.array(largest)[:, None]) ** np.arange(1, _STATES + 1)
    a, b, u = (x.astype("float32") for x in (a, rng.standard_normal(a.shape), rng.standard_normal((channels, L))))
    exact = np.stack(
        [
            lfilter(q.astype(float), np.append(1.0, p.astype(float)), v.astype(float))
            for p, q, v in zip(a, b, u, strict=True)
        ]
    )
    tilde = truncated_b(a.astype(float), b.astype(float), L).astype("float32")
    a, b, u, tilde = (torch.from_numpy(x) for x in (a, b, u, tilde))
    contenders = {
        "lina": lambda: rational_filter(a, b, u),
        "official": lambda: convolved_in_place(u.T[None], divided(a, tilde, L), torch.zeros(channels))[0].T,
    }
    return Case(
        f"outputs of {channels} fractions of degree {_STATES}, largest pole {modulus}, L = {L}, without gradients",
        contenders,
        lambda found: largest_error([found.numpy()], [exact], 1),
        [Target("lina", "official", 0.5, error_factor=1, memory_ratio=1)],
        peak=peak,
    )


QUESTION = Question(
    "What do state-space layers and their gradients take, beside published formulas with automatic differentiation?",
    cases,
    note="Forward and backward by the input and all parameters, single precision. The peers are formulas written for "
    "this table: those of state-spaces/s4 where its extensions are not built (one broadcast of all modes and "
    "frequencies, complex64, then transforms of 2 L); that of annotated-s4 (four sums, of all states at all roots of "
    "unity); and the official path of RTF (division of transforms of L, then transforms of 2 L along the axis of "
    "time). Where a share of the channels is timed, its time and memory count as they are, and the wanted ratios are "
    "divided by it; that is in favour of the formulas, because fewer channels fit into the cache. Errors are the "
    "largest ones of outputs and gradients by the input over the largest value of a channel, of four channels, against "
    "the recurrence of the true system in double precision. Memory is the peak of numpy's arrays and torch's tensors "
    "beside inputs.",
)
