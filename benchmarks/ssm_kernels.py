"""What do kernels of diagonal plus low rank and diagonal systems cost, and err, beside a broadcast over all modes?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.runner import Case, Question, Target
from lina.hippo import nplr
from lina.ssm import (
    DPLRSystem,
    kernel_diag,
    kernel_diag_vjp,
    kernel_dplr,
    kernel_dplr_truncated,
    kernel_dplr_truncated_vjp,
    recover_c,
    to_dense,
    truncated_c,
)

_JUDGED = 8  # channels of which the error is measured, by a recurrence in double precision


def cases(quick: bool) -> Iterator[Case]:
    """Yield kernels of three lengths in both forms, and adjoints; the longest broadcast takes 1/8 of the channels."""
    channels, N = (16, 16) if quick else (256, 64)
    for L, share in ((1024, 1), (4096, 1), (16384, 8)):
        yield low_rank(channels, N, L // (8 if quick else 1), share)
    for L, share in ((1024, 1), (4096, 1), (16384, 8)):
        yield diagonal(channels, N, L // (8 if quick else 1), share)
    yield low_rank_adjoint(channels // 4, N, 4096 // (8 if quick else 1))
    yield diagonal_adjoint(channels // 4, N, 4096 // (8 if quick else 1))


def parameters(channels: int, N: int) -> tuple[np.ndarray, ...]:
    """Return Lambda, P, B, C and dt of LegS as they are in single precision, in double precision."""
    rng = np.random.default_rng(0)
    F = nplr("legs", N)
    C = rng.standard_normal((channels, F.Lambda.size)) + 1j * rng.standard_normal((channels, F.Lambda.size))
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), channels))
    parts = [x.astype("complex64").astype(complex) for x in (F.Lambda, F.P[0], F.B, C)]
    return (*parts, dt.astype("float32").astype(float))


def narrow(arrays: Any) -> list[np.ndarray]:
    """Return arrays in single precision."""
    return [x.astype("complex64" if np.iscomplexobj(x) else "float32") for x in arrays]


def low_rank(channels: int, N: int, L: int, share: int) -> Case:
    """Return kernels of length L; the peer takes one of ``share`` channels."""
    Lambda, P, B, C, dt = parameters(channels, N)
    tilde = truncated_c(DPLRSystem(Lambda, P, B, C).discretize(dt), L).astype("complex64").astype(complex)
    wide, true = (Lambda, P, B, tilde, dt), (Lambda, P, B, C, dt)
    single, single_true = narrow(wide), narrow(true)
    part = [x[: channels // share] if x.shape[0] == channels else x for x in single]
    contenders: dict[str, Callable[[], Any]] = {
        "lina, complex64": lambda: kernel_dplr_truncated(*single, L),
        "lina, complex128": lambda: kernel_dplr_truncated(*wide, L),
        "lina, true C, complex64": lambda: kernel_dplr(*single_true, L),
        "lina, true C, complex128": lambda: kernel_dplr(*true, L),
    }
    targets = []
    peer = broadcast_low_rank(part, L)
    if peer is not None:
        name = "torch broadcast, complex64" + (f", 1/{share} of the channels" if share > 1 else "")
        contenders[name] = lambda: peer().numpy()
        targets = [Target("lina, complex64", name, 20 / share, error_factor=1)]
    exact = recurrences(Lambda, P, B, tilde, C, dt, L)
    points = L // 2 + 1
    return Case(
        f"diagonal plus low rank, {channels} channels of {N} states, L = {L}",
        contenders,
        lambda K: relative(K, exact),
        targets,
        45.0 * channels * Lambda.size * points,
    )


def recurrences(
    Lambda: np.ndarray, P: np.ndarray, B: np.ndarray, tilde: np.ndarray, C: np.ndarray, dt: np.ndarray, L: int
) -> list[np.ndarray]:
    """Return what truncated and true parameters give step by step, for the first channels."""
    some = slice(0, min(_JUDGED, len(dt)))
    recovered = recover_c(DPLRSystem(Lambda, P, B, tilde[some]).discretize(dt[some]), L).system.C
    out = []
    for row in (recovered, C[some]):
        s = to_dense(DPLRSystem(Lambda, P, B, row).discretize(dt[some])).system
        x, taps = s.B[..., None], []
        for _ in range(L):
            taps.append((s.C[..., None, :] @ x)[..., 0, 0])
            x = s.A @ x
        out.append(np.stack(taps, axis=-1))
    return out


def relative(K: Any, exact: list[np.ndarray]) -> float:
    """Return the largest error over the largest tap of a channel, against the nearer of two exact answers."""
    K = np.asarray(K)
    errors = []
    for each in exact:
        count = min(len(each), len(K))
        error = np.max(np.abs(K[:count] - each[:count]), axis=-1) / np.max(np.abs(each[:count]), axis=-1)
        errors.append(float(np.max(error)))
    return min(errors)


def broadcast_low_rank(arrays: list[np.ndarray], L: int) -> Callable[[], Any] | None:
    """Return the path of state-spaces/s4 without its extensions: four sums by one array (4, channels, N, L / 2 + 1)."""
    try:
        import torch
    except ImportError:
        return None
    return low_rank_of(torch, [torch.from_numpy(x.copy()) for x in arrays], L)


def low_rank_of(torch: Any, tensors: list[Any], L: int) -> Callable[[], Any]:
    """Return the formula of low rank systems for tensors."""

    def run() -> Any:
        Lambda, P, B, C, dt = tensors
        omega = torch.exp(-2j * np.pi * torch.arange(L // 2 + 1) / L).to(torch.complex64)
        z = 2 * (1 - omega) / (1 + omega)
        right = torch.stack([x.expand_as(C) for x in (B, P)])
        left = torch.stack([C, P.conj().expand_as(C)])
        v = (left[:, None] * right[None] * dt[:, None]).flatten(0, 1)
        w = Lambda * dt[:, None]
        v, w = torch.cat([v, v.conj()], dim=-1), torch.cat([w, w.conj()], dim=-1)
        r = torch.sum(v[..., None] / (z - w[..., None]), dim=-2)
        G = (r[0] - r[1] * r[2] / (1 + r[3])) * 2 / (1 + omega)
        return torch.fft.irfft(G, n=L)

    return run


def diagonal(channels: int, N: int, L: int, share: int) -> Case:
    """Return kernels of diagonal systems by zero-order hold; the peer takes one of ``share`` channels."""
    Lambda, _, B, C, dt = parameters(channels, N)
    single = narrow((Lambda, B, C, dt))
    part = [x[: channels // share] if x.shape[0] == channels else x for x in single]
    w = Lambda * dt[:_JUDGED, None]
    weights = C[:_JUDGED] * B * np.expm1(w) / Lambda
    exact = 2 * np.sum(weights[..., None] * np.exp(w[..., None] * np.arange(L)), axis=1).real
    contenders: dict[str, Callable[[], Any]] = {
        "lina, complex64": lambda: kernel_diag(*single, L),
        "lina, complex128": lambda: kernel_diag(Lambda, B, C, dt, L),
    }
    targets = []
    peer = broadcast_diagonal(part, L)
    if peer is not None:
        name = "torch broadcast, complex64" + (f", 1/{share} of the channels" if share > 1 else "")
        contenders[name] = lambda: peer().numpy()
        targets = [Target("lina, complex64", name, 50 / share, error_factor=1)]
    return Case(
        f"diagonal, {channels} channels of {N} states, L = {L}",
        contenders,
        lambda K: relative(K, [exact]),
        targets,
        4.0 * channels * Lambda.size * L,
    )


def broadcast_diagonal(arrays: list[np.ndarray], L: int) -> Callable[[], Any] | None:
    """Return the path of state-spaces/s4 without its extensions: one array of exponentials (channels, N / 2, L)."""
    try:
        import torch
    except ImportError:
        return None
    return diagonal_of(torch, [torch.from_numpy(x.copy()) for x in arrays], L)


def diagonal_of(torch: Any, tensors: list[Any], L: int) -> Callable[[], Any]:
    """Return the formula of diagonal systems for tensors."""

    def run() -> Any:
        Lambda, B, C, dt = tensors
        w = Lambda * dt[:, None]
        weights = C * B * (torch.exp(w) - 1) / Lambda
        return 2 * torch.einsum("hn,hnl->hl", weights, torch.exp(w[..., None] * torch.arange(L))).real

    return run


def low_rank_adjoint(channels: int, N: int, L: int) -> Case:
    """Return gradients by all parameters of kernels of length L."""
    arrays = narrow(parameters(channels, N))
    wide = [x.astype(complex if np.iscomplexobj(x) else float) for x in arrays]
    g = np.random.default_rng(1).standard_normal((channels, L)).astype("float32")
    contenders: dict[str, Callable[[], Any]] = {"lina, complex64": lambda: kernel_dplr_truncated_vjp(g, *arrays)}
    targets = _autograd(contenders, arrays, g, low_rank_of, L)
    exact = kernel_dplr_truncated_vjp(g.astype(float), *wide)
    name = f"gradients, diagonal plus low rank, {channels} channels of {N} states, L = {L}"
    return Case(name, contenders, lambda d: gradient_error(d, exact), targets)


def diagonal_adjoint(channels: int, N: int, L: int) -> Case:
    """Return gradients by all parameters of diagonal kernels of length L."""
    Lambda, _, B, C, dt = parameters(channels, N)
    arrays, g = narrow((Lambda, B, C, dt)), np.random.default_rng(1).standard_normal((channels, L)).astype("float32")
    contenders: dict[str, Callable[[], Any]] = {"lina, complex64": lambda: kernel_diag_vjp(g, *arrays)}
    targets = _autograd(contenders, arrays, g, diagonal_of, L)
    exact = kernel_diag_vjp(g.astype(float), Lambda, B, C, dt)
    name = f"gradients, diagonal, {channels} channels of {N} states, L = {L}"
    return Case(name, contenders, lambda d: gradient_error(d, exact), targets)


def _autograd(
    contenders: dict[str, Callable[[], Any]], arrays: list[np.ndarray], g: np.ndarray, make: Any, L: int
) -> list[Target]:
    try:
        import torch
    except ImportError:
        return []
    tensors = [torch.from_numpy(x.copy()).requires_grad_() for x in arrays]
    cotangent, run = torch.from_numpy(g), make(torch, tensors, L)
    contenders["torch broadcast, forward and backward"] = lambda: [
        d.numpy() for d in torch.autograd.grad(run(), tensors, cotangent)
    ]
    return [Target("lina, complex64", "torch broadcast, forward and backward", 15, error_factor=1)]


def gradient_error(found: Any, exact: Any) -> float:
    """Return the largest error of a gradient over its norm."""
    return max(float(np.linalg.norm(d - e) / np.linalg.norm(e)) for d, e in zip(found, exact, strict=True))


QUESTION = Question(
    "What do kernels of diagonal plus low rank and diagonal systems cost, and err, beside a broadcast over all modes?",
    cases,
    note="Parameters are those of LegS with random C, the same numbers in both precisions; errors are relative to the "
    "largest tap of a channel, the largest of eight channels against a recurrence. The peers are the formulas of "
    "state-spaces/s4 where its extensions are not built, in torch; the limit counts the flops of the sums alone (45 "
    "per pair and frequency, 4 per mode and tap) at the speed of a large matrix product. Peaks of torch are not seen: "
    "its broadcast takes 32 bytes per channel, state and frequency for each of several arrays. A time of 1/8 of the "
    "channels counts as it is.",
)
