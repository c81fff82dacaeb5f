"""Is the scan of LegS bound by the memory of the device?"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu.place import Place
from benchmarks.gpu.table import DeviceCase, Share
from benchmarks.hippo_legs import signal
from benchmarks.runner import Question
from lina._core.kernels import kernel
from lina.hippo import legs_scan

_JUDGED = 4  # channels of which the error is measured, by numpy's scan in double precision


def cases(where: tuple[Place, bool]) -> Iterator[DeviceCase]:
    """Yield scans of more and more channels."""
    place, quick = where
    for channels in (8, 16) if quick else (1024, 4096, 16384):
        yield every_state(place, channels, 16 if quick else 64, 50 if quick else 1000, demanded=channels >= 4096)
    yield last_state(place, 16 if quick else 16384, 16 if quick else 64, 50 if quick else 1000)


def error(place: Place, expected: np.ndarray, found: Any) -> float:
    """Return the error of the first channels, relative in the norm."""
    return float(np.linalg.norm(place.host(found[:_JUDGED]) - expected) / np.linalg.norm(expected))


def samples(place: Place, channels: int, L: int) -> tuple[Any, np.ndarray]:
    """Return samples (channels, L) in single precision at the place, and the first channels in double precision."""
    u = np.tile(signal(L, 64), (-(-channels // 64), 1))[:channels].astype(np.float32)
    return place.xp.asarray(u), u[:_JUDGED].astype(float)


def every_state(place: Place, channels: int, N: int, L: int, *, demanded: bool) -> DeviceCase:
    """Return a scan that writes each of its states."""
    u, wide = samples(place, channels, L)
    x0, scan = place.xp.zeros((channels, N), dtype="float32"), kernel("legs_scan", place.xp)
    contenders = {
        "lina's kernel": lambda: scan(u, x0, 0, "logbilinear", True),
        "legs_scan": lambda: legs_scan(u, N, return_all=True),
    }
    expected = legs_scan(wide, N, return_all=True)
    name = f"every state, {channels} channels, N = {N}, L = {L}, float32"
    targets = [Share("lina's kernel", 0.6)] if demanded else []
    moved = {"copy": 4.0 * channels * L * (N + 1)}
    return DeviceCase(name, contenders, lambda _, x: error(place, expected, x), targets, moved)


def last_state(place: Place, channels: int, N: int, L: int) -> DeviceCase:
    """Return a scan that returns its last state only, which no memory binds."""
    u, wide = samples(place, channels, L)
    expected = legs_scan(wide, N)
    name = f"the last state, {channels} channels, N = {N}, L = {L}, float32"
    work = {"copy": 4.0 * channels * (L + N), "multiply-adds, float32": 10.0 * N * L * channels}
    return DeviceCase(name, {"legs_scan": lambda: legs_scan(u, N)}, lambda _, x: error(place, expected, x), [], work)


QUESTION = Question(
    "Is the scan of LegS bound by the memory of the device?",
    cases,
    "relative error of four channels, against double precision on the CPU",
    note="The limit of every state is to read the samples and to write the states once, at the speed of a copy. In "
    "single precision a state is kept as a sum of two numbers, which is more than the 10 flops of a coefficient.",
)
