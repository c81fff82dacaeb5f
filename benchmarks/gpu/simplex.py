"""Does a projection onto the simplex cost what a softmax costs?"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu.place import Place
from benchmarks.gpu.table import DeviceCase
from benchmarks.runner import Question, Target
from lina._core.kernels import kernel
from lina.simplex import entmax, project_simplex

_JUDGED = 4  # rows of which the error is measured, in double precision on the CPU


def cases(where: tuple[Place, bool]) -> Iterator[DeviceCase]:
    """Yield the weights of many short rows, and of a vocabulary."""
    place, quick = where
    for shape in ((16, 100), (4, 1000)) if quick else ((4096, 1000), (32, 128_000)):
        yield rows(place, shape)


def rows(place: Place, shape: tuple[int, int]) -> DeviceCase:
    """Return the maps of normal logits of deviation 3 to probabilities."""
    import torch

    host = (3 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    x, radius = place.xp.asarray(host), place.xp.ones(shape[0], dtype="float32")
    t, project = place.tensor(x), kernel("project_simplex", place.xp)
    wide = host[:_JUDGED].astype(float)
    exponentials = np.exp(wide - wide.max(axis=1, keepdims=True))
    projected = project_simplex(wide)
    exact = {
        "lina's kernel": projected,
        "project_simplex": projected,
        "entmax, alpha = 1.5": entmax(wide, 1.5),
        "torch.softmax": exponentials / exponentials.sum(axis=1, keepdims=True),
        "copy": wide,
    }
    contenders = {
        "lina's kernel": lambda: project(x, radius),
        "project_simplex": lambda: project_simplex(x),
        "entmax, alpha = 1.5": lambda: entmax(x, 1.5),
        "torch.softmax": lambda: torch.softmax(t, -1),
        "copy": x.copy,
    }

    def error(name: str, found: Any) -> float:
        return float(np.max(np.abs(place.host(found[:_JUDGED]) - exact[name])) / np.max(np.abs(exact[name])))

    targets = [Target(name, "torch.softmax", 1 / 1.5) for name in ("lina's kernel", "project_simplex")]
    name = f"{shape[0]} rows of {shape[1]}, float32"
    return DeviceCase(name, contenders, error, [*targets], {"copy": 2.0 * host.nbytes})


QUESTION = Question(
    "Does a projection onto the simplex cost what a softmax costs?",
    cases,
    "largest error of four rows over their largest entry, each map against its own answer in double precision",
    note="The limit is to read and to write the rows once, from and to memory: what stays in a cache is faster. The "
    "public function checks its arguments on the host, which short calls do not hide.",
)
