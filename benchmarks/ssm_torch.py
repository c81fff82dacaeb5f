"""What do values and gradients of kernels take in torch, beside automatic differentiation of their formulas?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.fft

from benchmarks.runner import Case, Question, Target, peak_of_arrays
from benchmarks.ssm_kernels import diagonal_of, gradient_error, low_rank_of, narrow, parameters
from lina.ssm import (
    fftconv,
    fftconv_vjp,
    kernel_diag,
    kernel_diag_vjp,
    kernel_dplr_truncated,
    kernel_dplr_truncated_vjp,
    kernel_rational_truncated,
    kernel_rational_truncated_vjp,
    stable_polynomial,
    truncated_b,
)

CHANNELS = 256
Run = Callable[..., Any]


def cases(quick: bool) -> Iterator[Case]:
    """Yield the kernels at three lengths; the longer the formula, the fewer channels it is given."""
    shrink = 16 if quick else 1
    for L, share in ((1024, 2), (4096, 8), (16384, 32)):
        yield low_rank(CHANNELS // shrink, 64 // shrink, L // shrink, min(share, 8) if quick else share)
    for L, share in ((1024, 2), (4096, 8), (16384, 32)):
        yield diagonal(CHANNELS // shrink, 64 // shrink, L // shrink, min(share, 8) if quick else share)
    for d, L in ((64, 1024), (64, 1023), (1024, 4096), (1024, 16384)):
        yield rational(d // shrink, L // shrink)
    for L in (1024, 4096, 16384):
        yield convolution(L // shrink)


def low_rank(channels: int, N: int, L: int, share: int) -> Case:
    """Return kernels of diagonal plus low rank systems and their gradients; the formula takes 1 / share of them."""
    wide = parameters(channels, N)
    return _case(
        f"diagonal plus low rank, {channels} channels of {N} states, L = {L}",
        wide,
        lambda *parts: kernel_dplr_truncated(*parts, L),
        lambda torch, *parts: low_rank_of(torch, list(parts), L)(),
        kernel_dplr_truncated_vjp,
        (channels, L),
        share,
    )


def diagonal(channels: int, N: int, L: int, share: int) -> Case:
    """Return kernels of diagonal systems by zero-order hold and their gradients."""
    Lambda, _, B, C, dt = parameters(channels, N)
    return _case(
        f"diagonal, {channels} channels of {N} states, L = {L}",
        (Lambda, B, C, dt),
        lambda *parts: kernel_diag(*parts, L),
        lambda torch, *parts: diagonal_of(torch, list(parts), L)(),
        kernel_diag_vjp,
        (channels, L),
        share,
    )


def rational(d: int, L: int) -> Case:
    """Return kernels of rational systems from parameters of one length and their gradients."""
    rng = np.random.default_rng(0)
    a = stable_polynomial(rng.uniform(-0.02, 0.02, (CHANNELS, d)))
    tilde = truncated_b(a, rng.standard_normal((CHANNELS, d)), L)

    def formula(torch: Any, a: Any, b: Any) -> Any:
        denominator = torch.fft.rfft(torch.cat([torch.ones_like(a[:, :1]), a], -1), n=L)
        return torch.fft.irfft(torch.fft.rfft(b, n=L) / denominator, n=L)

    return _case(
        f"rational, {CHANNELS} kernels of degree {d}, L = {L}",
        (a, tilde),
        lambda a, b: kernel_rational_truncated(a, b, L),
        formula,
        kernel_rational_truncated_vjp,
        (CHANNELS, L),
    )


def convolution(L: int) -> Case:
    """Return causal convolutions and their gradients."""
    rng = np.random.default_rng(0)
    u, k = rng.standard_normal((CHANNELS, L)), rng.standard_normal((CHANNELS, L)) / np.arange(1, L + 1)
    n = scipy.fft.next_fast_len(2 * L - 1, real=True)
    return _case(
        f"convolution, {CHANNELS} channels, L = {L}",
        (u, k),
        fftconv,
        lambda torch, u, k: torch.fft.irfft(torch.fft.rfft(u, n=n) * torch.fft.rfft(k, n=n), n=n)[..., :L],
        lambda *arrays: fftconv_vjp(*arrays)[:2],
        (CHANNELS, L),
    )


def _case(
    name: str, wide: tuple[np.ndarray, ...], run: Run, formula: Run, vjp: Run, shape: tuple[int, int], share: int = 1
) -> Case:
    """Return values and gradients of ``run`` beside those of ``formula`` of one of ``share`` channels."""
    import torch

    some = slice(0, max(1, shape[0] // share))
    g = np.random.default_rng(1).standard_normal(shape).astype("float32")
    single = narrow(wide)
    part = [x[some] if x.shape[0] == shape[0] else x for x in single]
    exact = [vjp(h.astype(float), *_doubled(each)) for h, each in ((g, single), (g[some], part))]
    tensors, fewer = ([torch.tensor(x).requires_grad_() for x in each] for each in (single, part))
    along = torch.tensor(g)
    peer = "autograd of the formula" + ("" if share == 1 else f", 1/{share}")
    contenders = {
        "lina": lambda: torch.autograd.grad(run(*tensors), tensors, along),
        peer: lambda: torch.autograd.grad(formula(torch, *fewer), fewer, along[some]),
    }

    def error(found: Any) -> float:
        shapes = [tuple(x.shape) for x in found]
        reference = next(each for each in exact if [x.shape for x in each] == shapes)
        return gradient_error([x.numpy() for x in found], reference)

    fused = share > 1
    targets = [Target("lina", peer, 15 / share if fused else 1.0, memory_ratio=50 / share if fused else None)]
    return Case(name, contenders, error, targets, peak=peak)


def _doubled(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [x.astype(complex if np.iscomplexobj(x) else float) for x in arrays]


def peak(call: Callable[[], Any]) -> float:
    """Return the peak of numpy's arrays and that of torch's tensors together, in MB."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        of_arrays = peak_of_arrays(call)
    moves = [each for each in seen.profiler.kineto_results.events() if each.name() == "[memory]"]
    sizes = [each.nbytes() for each in sorted(moves, key=lambda each: each.start_ns())]
    return of_arrays + max(0, *np.cumsum([0, 0, *sizes])) / 1e6


QUESTION = Question(
    "What do values and gradients of kernels take in torch, beside automatic differentiation of their formulas?",
    cases,
    note="Gradients by all parameters, single precision; errors are those of the gradients over their norms, against "
    "double precision. The formulas are the broadcast Cauchy sum and the naive Vandermonde product of "
    "`ssm_kernels.py`, and three transforms; of the first two a share of the channels is timed, and counts as it is. "
    "Memory is the peak of numpy's arrays and torch's tensors beside inputs.",
)
