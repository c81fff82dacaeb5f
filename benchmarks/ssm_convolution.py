"""What do kernels by division, convolutions and recurrences cost beside their transforms and their dense loops?"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.fft
import scipy.signal

from benchmarks.limits import copy_bandwidth
from benchmarks.runner import Case, Question, Target
from lina.hippo import transition
from lina.ssm import (
    DenseSystem,
    DPLRSystem,
    RationalSystem,
    fftconv,
    kernel_dense,
    kernel_rational,
    kernel_rational_truncated,
    linear_scan,
    poly_from_roots,
    stable_polynomial,
    step,
    to_dense,
    truncated_b,
)

CHANNELS = 256
Contenders = dict[str, Callable[[], Any]]


def cases(quick: bool) -> Iterator[Case]:
    """Yield kernels of rational and dense systems, convolutions, steps and scans."""
    shrink = 16 if quick else 1
    for d, L in ((64, 1024), (64, 1023), (1024, 4096), (1024, 4095), (1024, 16384)):
        yield truncated(d // shrink, L // shrink)
    yield near_the_circle(2048 // shrink)
    for n, L in ((64, 16384), (256, 16384), (1024, 4096)):
        yield dense_kernel(n // shrink, L // shrink)
    for batch, L in ((1, 1024), (1, 4096), (1, 16384), (4, 4096)):
        yield convolution(batch, L // shrink)
    for n in (64, 256):
        yield steps(n // shrink)
    for n in (64, 256, 1024):
        yield scan(n // shrink, 4000 // shrink)
    for rows, d, L in ((1, 2, 100_000), (1, 8, 100_000), (CHANNELS, 16, 4096), (1, 4, 1000)):
        yield rational_scan(rows, d, L // shrink)
    yield low_pass_scan(6, 0.02, 4000 // shrink)


def truncated(d: int, L: int) -> Case:
    """Return the kernel of 256 channels in float32 from parameters of one length, beside that of the true ones."""
    rng = np.random.default_rng(0)
    a = stable_polynomial(rng.uniform(-0.02, 0.02, (CHANNELS, d)))
    b = rng.standard_normal((CHANNELS, d))
    tilde = truncated_b(a, b, L)
    exact = kernel_rational(a, b, L)
    single = [x.astype("float32") for x in (a, b, tilde)]
    ones = np.ones((CHANNELS, 1), dtype="float32")

    def by_scipy() -> Any:
        denominator = scipy.fft.rfft(np.concatenate([ones, single[0]], axis=-1), n=L)
        return scipy.fft.irfft(scipy.fft.rfft(single[2], n=L) / denominator, n=L)

    contenders: Contenders = {
        "lina": lambda: kernel_rational_truncated(single[0], single[2], L),
        "lina, stability unseen": lambda: kernel_rational_truncated(single[0], single[2], L, unstable="ignore"),
        "lina, true parameters": lambda: kernel_rational(single[0], single[1], L),
        "three transforms of scipy": by_scipy,
    }
    targets = [Target("lina", "three transforms of torch", 1.0, error_factor=2)]
    torch = _torch()
    if torch is not None:
        ta, tb, one = (torch.tensor(x) for x in (single[0], single[2], ones))

        def by_torch() -> Any:
            denominator = torch.fft.rfft(torch.cat([one, ta], -1), n=L)
            return torch.fft.irfft(torch.fft.rfft(tb, n=L) / denominator, n=L)

        contenders["lina, tensors"] = lambda: kernel_rational_truncated(ta, tb, L)
        contenders["three transforms of torch"] = by_torch
        targets.append(Target("lina, tensors", "three transforms of torch", 1.0, error_factor=2))
    return Case(
        f"{CHANNELS} rational kernels, degree {d}, {L} taps, float32", contenders, relative(exact), targets, None, 7
    )


def near_the_circle(L: int) -> Case:
    """Return the taps of a system with poles of modulus 0.999: the true ones, and what dividing at roots leaves."""
    a = poly_from_roots(np.r_[0.999 * np.exp([0.3j, -0.3j]), 0.99, -0.5])
    b = np.array([1.0, -0.3, 0.2, 0.7])
    numerator = np.concatenate([b, np.zeros(L - 4)])
    exact = scipy.signal.lfilter([1.0], np.r_[1, a].astype(np.longdouble), numerator.astype(np.longdouble))

    def at_roots(length: int) -> Any:
        return scipy.fft.irfft(scipy.fft.rfft(b, n=length) / scipy.fft.rfft(np.r_[1, a], n=length), n=length)[:L]

    contenders: Contenders = {
        "lina": lambda: kernel_rational(a, b, L),
        "recurrence of scipy": lambda: scipy.signal.lfilter([1.0], np.r_[1, a], numerator),
        "division at roots of unity": lambda: at_roots(L),
        "the same at 8 times as many": lambda: at_roots(8 * L),
    }
    return Case(f"{L} taps, poles of modulus 0.999", contenders, relative(exact.astype(float)), [])


def dense_kernel(n: int, L: int) -> Case:
    """Return the taps of a sliding window of n coefficients."""
    A, B = transition("legt", n, theta=1.0)
    system = DenseSystem(A, B, np.random.default_rng(0).standard_normal(n)).discretize(1 / L, "bilinear")

    def one_by_one() -> Any:
        x, out = system.B, []
        for _ in range(L):
            out.append(system.C @ x)
            x = system.A @ x
        return np.array(out)

    contenders: Contenders = {
        "lina": lambda: kernel_dense(system.A, system.B, system.C, None, L),
        "products with a vector": one_by_one,
    }
    targets = [Target("lina", "products with a vector", 1.0)]
    return Case(f"dense kernel, n = {n}, {L} taps", contenders, relative(one_by_one()), targets)


def convolution(batch: int, L: int) -> Case:
    """Return a causal convolution of 256 channels in float32 with kernels as long as the signal."""
    rng = np.random.default_rng(0)
    u, k = rng.standard_normal((batch, CHANNELS, L)), rng.standard_normal((CHANNELS, L)) / np.arange(1, L + 1)
    exact = scipy.signal.fftconvolve(u, k[None], axes=-1)[..., :L]
    u, k = u.astype("float32"), k.astype("float32")
    contenders: Contenders = {
        "lina": lambda: fftconv(u, k),
        "scipy fftconvolve": lambda: scipy.signal.fftconvolve(u, k[None], axes=-1)[..., :L],
        "scipy oaconvolve": lambda: scipy.signal.oaconvolve(u, k[None], axes=-1)[..., :L],
    }
    targets = [Target("lina", "scipy fftconvolve", 1.0, error_factor=2)]
    torch = _torch()
    if torch is not None:
        tu, tk = torch.tensor(u), torch.tensor(k)
        n = scipy.fft.next_fast_len(2 * L - 1, real=True)
        contenders["lina, tensors"] = lambda: fftconv(tu, tk)
        contenders["torch, same length"] = lambda: torch.fft.irfft(
            torch.fft.rfft(tu, n=n) * torch.fft.rfft(tk, n=n), n=n
        )[..., :L]
        targets.append(Target("lina, tensors", "torch, same length", 0.95, error_factor=2))
    name = f"convolution, {batch} x {CHANNELS} signals of {L} samples, float32"
    return Case(name, contenders, relative(exact), targets, None, 7)


def steps(n: int) -> Case:
    """Return one step of 256 channels, each with its own system of n states (n / 2 pairs)."""
    rng = np.random.default_rng(0)
    system = _pairs(rng, n, (CHANNELS,))
    dense = to_dense(system).system
    u, x = rng.standard_normal(CHANNELS), rng.standard_normal((CHANNELS, n // 2)) + 0j
    real = np.sqrt(2) * np.concatenate([x.real, x.imag], axis=-1)

    def by_hand() -> Any:
        new = np.matmul(dense.A, real[..., None])[..., 0] + dense.B * u[:, None]
        return np.sum(dense.C * new, axis=-1)

    contenders: Contenders = {
        "lina, diagonal plus rank one": lambda: step(system, u, x)[0],
        "lina, dense": lambda: step(dense, u, real)[0],
        "dense product by hand": by_hand,
    }
    targets = [
        Target("lina, diagonal plus rank one", "dense product by hand", 1.0),
        Target("lina, diagonal plus rank one", "lina, dense", 1.0),
    ]
    return Case(f"one step of {CHANNELS} systems of {n} states", contenders, relative(by_hand()), targets, None, 7)


def scan(n: int, L: int) -> Case:
    """Return the recurrence over all samples of one system of n states (n / 2 pairs), and of its dense form."""
    rng = np.random.default_rng(0)
    system = _pairs(rng, n)
    dense = to_dense(system).system
    u = rng.standard_normal(L)

    def loop() -> Any:
        x, out = np.zeros(n), []
        for sample in u:
            x = dense.A @ x + dense.B * sample
            out.append(dense.C @ x)
        return np.array(out)

    contenders: Contenders = {
        "lina, diagonal plus rank one": lambda: linear_scan(system, u)[0],
        "lina, dense": lambda: linear_scan(dense, u)[0],
        "dense, loop": loop,
    }
    targets = [
        Target("lina, diagonal plus rank one", "dense, loop", 1.0),
        Target("lina, dense", "dense, loop", 1.0),
    ]
    return Case(f"recurrence of {n} states, {L} samples", contenders, relative(loop()), targets)


def rational_scan(rows: int, d: int, L: int) -> Case:
    """Return the recurrence of one rational system of d states over rows of samples."""
    rng = np.random.default_rng(0)
    a, b = stable_polynomial(rng.uniform(-0.3, 0.3, d)), rng.standard_normal(d)
    system, u = RationalSystem(a, b), rng.standard_normal((rows, L))
    exact = scipy.signal.lfilter(b.astype(np.longdouble), np.r_[1, a].astype(np.longdouble), u.astype(np.longdouble))
    contenders: Contenders = {
        "lina": lambda: linear_scan(system, u)[0],
        "scipy lfilter": lambda: scipy.signal.lfilter(b, np.r_[1, a], u),
    }
    targets = [Target("lina", "scipy lfilter", 1.5 if rows == 1 else 1.0, error_factor=2)] if rows * L > 10_000 else []
    name = f"recurrence of {rows} rational signals, {d} states, {L} samples"
    return Case(name, contenders, relative(exact.astype(float)), targets, None, 7)


def low_pass_scan(order: int, cutoff: float, L: int) -> Case:
    """Return the answer to a constant of a low-pass filter whose companion matrix has large powers."""
    b, a = scipy.signal.butter(order, cutoff)
    system, u = RationalSystem(a[1:], b[:-1]), np.ones(L)
    dense = to_dense(system).system
    exact = scipy.signal.lfilter(b[:-1].astype(np.longdouble), a.astype(np.longdouble), u.astype(np.longdouble))

    def loop() -> Any:
        x, out = np.zeros(order), []
        for sample in u:
            x = dense.A @ x + dense.B * sample
            out.append(dense.C @ x)
        return np.array(out)

    contenders: Contenders = {
        "lina": lambda: linear_scan(system, u)[0],
        "lina, dense": lambda: linear_scan(dense, u)[0],
        "dense, loop": loop,
        "scipy lfilter": lambda: scipy.signal.lfilter(b[:-1], a, u),
    }
    targets = [Target("lina", "dense, loop", 1.0, error_factor=4)]
    return Case(
        f"Butterworth filter of order {order}, cutoff {cutoff}", contenders, relative(exact.astype(float)), targets
    )


def _pairs(rng: np.random.Generator, n: int, batch: tuple[int, ...] = ()) -> DPLRSystem:
    """Return a discrete system of n / 2 conjugate pairs like that of LegS."""
    half = n // 2
    Lambda = -0.5 + 1j * np.geomspace(0.3, n * n / np.pi, half) * np.ones((*batch, 1))
    P, B, C = (rng.standard_normal((*batch, half)) + 1j * rng.standard_normal((*batch, half)) for _ in range(3))
    return DPLRSystem(Lambda, P, B, C).discretize(1e-3)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def relative(exact: np.ndarray) -> Callable[[Any], float]:
    """Return the largest error over the largest value."""
    return lambda X: float(np.max(np.abs(np.asarray(X) - exact)) / np.max(np.abs(exact)))


def _note() -> str:
    bandwidth = copy_bandwidth()
    largest = CHANNELS * 16384
    passes = 3 * 2 * 4 * largest / bandwidth
    return (
        f"A copy moves {bandwidth / 1e9:.1f} GB/s here. Three transforms of {CHANNELS} x 16384 float32 read and write "
        f"{24 * largest / 1e6:.0f} MB at least, {passes * 1e3:.1f} ms. Errors are relative to the largest tap; those "
        "of the rational kernels in float32 are the rounding of a and b, against the taps of the exact ones."
    )


QUESTION = Question(
    "What do kernels by division, convolutions and recurrences cost beside their transforms and their dense loops?",
    cases,
    note=_note,
)
