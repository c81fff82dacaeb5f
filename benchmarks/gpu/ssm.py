"""How near do the kernels of systems come to what the device can do?"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu.place import Place
from benchmarks.gpu.table import DeviceCase, Share
from benchmarks.runner import Question
from benchmarks.ssm_kernels import parameters
from lina._core.kernels import kernel
from lina.ssm import kernel_diag, kernel_dplr

_JUDGED = 4  # channels of which the error is measured, by numpy's kernels in double precision
# Instructions in double precision that the formulas take, counted as a fused multiply-add each, of two flops: the
# denominator 12, its inverse 8 by Newton's iteration, and 4 for each of four sums; a product and an addition.
_FLOPS_OF_RESPONSE = 2.0 * (12 + 8 + 4 * 4)
_FLOPS_OF_SUM = 2.0 * 5


def cases(where: tuple[Place, bool]) -> Iterator[DeviceCase]:
    """Yield the two kernels, and the public functions that call them."""
    place, quick = where
    channels, N = (8, 8) if quick else (4096, 64)
    for L in (1024, 16384):
        length = L // (8 if quick else 1)
        yield response(place, channels, N, length)
        yield sums(place, channels, N, length)
    yield public(place, channels, N, 4096 // (8 if quick else 1))


def near(place: Place, expected: np.ndarray, found: Any) -> float:
    """Return the largest error of the first channels over their largest value."""
    rows = place.host(found[:_JUDGED])
    return float(np.max(np.abs(rows - expected)) / np.max(np.abs(expected)))


def response(place: Place, channels: int, N: int, L: int) -> DeviceCase:
    """Return the responses of diagonal plus low rank systems of rank 1 at the points of a transform of length L."""
    Lambda, P, B, C, dt = parameters(channels, N)
    w = Lambda * dt[:, None]
    left = np.stack([C, np.broadcast_to(P.conj(), C.shape)], axis=1)
    right = np.stack([np.broadcast_to(B, C.shape), np.broadcast_to(P, C.shape)], axis=1) * dt[:, None, None]
    zeta = 0.05 + 1j * np.pi * np.arange(L // 2 + 1) / L
    p, q = 2 * np.sinh(zeta), np.cosh(zeta)
    expected = kernel("dplr_response", np)(w[:_JUDGED], left[:_JUDGED], right[:_JUDGED], p, q)
    arrays = [place.xp.asarray(x) for x in (w, left, right)]
    run = kernel("dplr_response", place.xp)
    return DeviceCase(
        f"responses, rank 1, {channels} channels of {N} states, {p.size} points, complex128",
        {"lina's kernel": lambda: run(*arrays, p, q)},
        lambda _, G: near(place, expected, G),
        [Share("lina's kernel", 0.6)],
        {
            "copy": 16.0 * channels * p.size,
            "multiply-adds, float64": _FLOPS_OF_RESPONSE * channels * Lambda.size * p.size,
        },
    )


def sums(place: Place, channels: int, N: int, L: int) -> DeviceCase:
    """Return the sums of exponentials of diagonal systems."""
    Lambda, _, B, C, dt = parameters(channels, N)
    c, x = (C * B).astype("complex64"), (Lambda * dt[:, None]).astype("complex64")
    wide = [each[:_JUDGED].astype(complex) for each in (c, x)]
    expected = kernel("vandermonde", np)(*wide, L)
    arrays = [place.xp.asarray(each) for each in (c, x)]
    run = kernel("vandermonde", place.xp)
    return DeviceCase(
        f"sums of exponentials, {channels} channels of {N} states, L = {L}, complex64",
        {"lina's kernel": lambda: run(*arrays, L)},
        lambda _, K: near(place, expected, K),
        [Share("lina's kernel", 0.6)],
        {"copy": 4.0 * channels * L, "multiply-adds, float64": _FLOPS_OF_SUM * channels * Lambda.size * L},
    )


def public(place: Place, channels: int, N: int, L: int) -> DeviceCase:
    """Return whole kernels of both forms from their true parameters."""
    arrays = [x.astype("complex64" if np.iscomplexobj(x) else "float32") for x in parameters(channels, N)]
    Lambda, P, B, C, dt = (place.xp.asarray(x) for x in arrays)
    wide = [(x[:_JUDGED] if x.ndim == 2 or x.size == channels else x).astype(np.result_type(x, 1.0)) for x in arrays]
    wide = [x.astype(complex if np.iscomplexobj(x) else float) for x in wide]
    exact = {
        "kernel_dplr": kernel_dplr(*wide, L),
        "kernel_diag": kernel_diag(wide[0], wide[2], wide[3], wide[4], L),
    }
    contenders = {
        "kernel_dplr": lambda: kernel_dplr(Lambda, P, B, C, dt, L),
        "kernel_diag": lambda: kernel_diag(Lambda, B, C, dt, L),
    }
    name = f"public functions, {channels} channels of {N} states, L = {L}, complex64"
    return DeviceCase(name, contenders, lambda each, K: near(place, exact[each], K))


QUESTION = Question(
    "How near do the kernels of systems come to what the device can do?",
    cases,
    "largest error of four channels over their largest value, against double precision on the CPU",
    note="Both kernels compute in double precision. Flops are those of the formulas, each instruction that is no fused "
    "multiply-add counted as one. Expected beforehand, from the text: responses go twice over the modes and form the "
    "denominator each time, which leaves 64 % of the limit at most; sums take an exponential, a sine and a cosine for "
    "every eighth power, as much again as the eight products, so that they reach about half of the limit.",
)
