"""The public functions of systems and memories that have torch operations, the array code behind them, and tensors."""

from dataclasses import dataclass
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

import lina.torch.convolution  # noqa: E402  # the names are registered where these are imported
import lina.torch.memory  # noqa: E402
import lina.torch.ssm_kernels  # noqa: E402, F401
from lina.hippo import legs_scan  # noqa: E402
from lina.hippo._legs_scan.public import scan_states  # noqa: E402
from lina.ssm import (  # noqa: E402
    cauchy,
    fftconv,
    kernel_diag,
    kernel_dplr,
    kernel_dplr_truncated,
    kernel_rational,
    kernel_rational_truncated,
    vandermonde,
    vandermonde_transpose,
)
from lina.ssm._fftconv import convolution  # noqa: E402
from lina.ssm._kernels.cauchy import cauchy_sums  # noqa: E402
from lina.ssm._kernels.diag import diag_taps  # noqa: E402
from lina.ssm._kernels.dplr import dplr_taps, truncated_dplr_taps  # noqa: E402
from lina.ssm._kernels.rational import rational_taps  # noqa: E402
from lina.ssm._kernels.rational_truncated import truncated_rational_taps  # noqa: E402
from lina.ssm._kernels.vandermonde import products, transposed_products  # noqa: E402

REAL, COMPLEX = torch.float64, torch.complex128


def draw(*shape, dtype=COMPLEX, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def poles(*shape):
    return torch.complex(-0.1 - draw(*shape, dtype=REAL, seed=9).abs(), 3 * draw(*shape, dtype=REAL, seed=8))


STEPS = torch.tensor([0.1, 0.2, 0.05], dtype=REAL)
# Lambda and P for all, a C for each of three channels, which have steps of their own
DIAGONAL = (poles(4), draw(4, seed=1), draw(3, 4, seed=2), STEPS)
LOW_RANK = (poles(4), draw(4, seed=3), draw(4, seed=1), draw(3, 4, seed=2), STEPS)
FRACTION = (0.1 * draw(3, dtype=REAL), draw(2, 3, dtype=REAL, seed=1))


@dataclass(frozen=True)
class Case:
    """A public function of tensors, the array code behind it, and tensors that it takes."""

    run: Any
    body: Any
    tensors: tuple[Any, ...]
    operation: str
    options: tuple[Any, ...] = ()


CASES = {
    "diag": Case(
        lambda *a: kernel_diag(*a, 7),
        lambda *a: diag_taps(*a, 7, "zoh", "warn"),
        DIAGONAL,
        "kernel_diag",
        (7, "zoh", "warn"),
    ),
    "diag bilinear": Case(
        lambda *a: kernel_diag(*a, 6, "bilinear"),
        lambda *a: diag_taps(*a, 6, "bilinear", "warn"),
        DIAGONAL,
        "kernel_diag",
        (6, "bilinear", "ignore"),
    ),
    "dplr": Case(
        lambda *a: kernel_dplr(*a, 7), lambda *a: dplr_taps(*a, 7, "warn"), LOW_RANK, "kernel_dplr", (7, "warn")
    ),
    "dplr of rank 2": Case(
        lambda *a: kernel_dplr(*a, 6),
        lambda *a: dplr_taps(*a, 6, "warn"),
        (poles(4), draw(2, 4, seed=3), *LOW_RANK[2:]),
        "kernel_dplr",
        (6, "raise"),
    ),
    "dplr truncated": Case(
        lambda *a: kernel_dplr_truncated(*a, 7),
        lambda *a: truncated_dplr_taps(*a, 7),
        LOW_RANK,
        "kernel_dplr_truncated",
        (7,),
    ),
    "vandermonde": Case(
        lambda c, x: vandermonde(c, x, 9),
        lambda c, x: products(c, x, 9),
        (draw(3, 4), poles(4) / 9),
        "vandermonde",
        (9,),
    ),
    "vandermonde transpose": Case(
        vandermonde_transpose,
        transposed_products,
        (draw(3, 5, dtype=REAL), poles(4) / 5),
        "vandermonde_transpose",
    ),
    "cauchy": Case(
        lambda *a: cauchy(*a, pairs=True),
        lambda *a: cauchy_sums(*a, True),
        (draw(3, 4), draw(6, seed=1), draw(4, seed=2)),
        "cauchy",
        (True,),
    ),
    "rational": Case(
        lambda a, b: kernel_rational(a, b, 9), lambda a, b: rational_taps(a, b, 9), FRACTION, "kernel_rational", (9,)
    ),
    "rational truncated": Case(
        lambda a, b: kernel_rational_truncated(a, b, 9),
        lambda a, b: truncated_rational_taps(a, b, 9, "warn"),
        FRACTION,
        "kernel_rational_truncated",
        (9, "warn"),
    ),
    "rational truncated, complex": Case(
        lambda a, b: kernel_rational_truncated(a, b, 8),
        lambda a, b: truncated_rational_taps(a, b, 8, "warn"),
        tuple(x * (1 + 0.5j) for x in FRACTION),
        "kernel_rational_truncated",
        (8, "warn"),
    ),
    "convolution": Case(
        fftconv,
        lambda u, k: convolution(u, k, None, False),
        (draw(2, 3, 7, dtype=REAL), draw(3, 5, dtype=REAL, seed=1)),
        "fftconv",
        (False,),
    ),
    "convolution with a state": Case(
        lambda u, k, x: torch.cat(fftconv(u, k, x, return_state=True), dim=-1),
        lambda u, k, x: convolution(u, k, x, True),
        (draw(2, 3, 6), draw(4, dtype=REAL, seed=1), draw(3, 3, dtype=REAL, seed=2)),
        "fftconv_from",
        (True,),
    ),
    "legs": Case(
        lambda u: legs_scan(u, 4),
        lambda u: scan_states(u, None, 4, "logbilinear", False, 0, "paper"),
        (draw(2, 6, dtype=REAL),),
        "legs_scan",
        (4, "logbilinear", False, 0, "paper"),
    ),
    "legs, all states": Case(
        lambda u, x: legs_scan(u, 4, x0=x, k0=3, method="bilinear", return_all=True, scaling="lmu"),
        lambda u, x: scan_states(u, x, 4, "bilinear", True, 3, "lmu"),
        (draw(2, 6, dtype=REAL), draw(4, dtype=REAL, seed=1)),
        "legs_scan_from",
        (4, "bilinear", True, 3, "lmu"),
    ),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def recorded(tensors):
    return tuple(x.clone().requires_grad_() for x in tensors)


def in_one_batch(case):
    """Return the tensors as the operation takes them: with one number of leading axes, and P with that of its terms."""
    names = {"kernel_diag": (1, 1, 1, 0), "kernel_dplr": (1, 2, 1, 1, 0), "kernel_dplr_truncated": (1, 2, 1, 1, 0)}
    tails = names.get(case.operation, (1,) * len(case.tensors))
    tensors = [
        x[None] if tail == 2 and x.ndim == case.tensors[0].ndim else x
        for x, tail in zip(case.tensors, tails, strict=True)
    ]
    if case.operation.startswith("fftconv"):
        common = torch.promote_types(tensors[0].dtype, tensors[1].dtype)
        tensors = [x.to(common) for x in tensors]
    most = max(x.ndim - tail for x, tail in zip(tensors, tails, strict=True))
    return [x[(None,) * (most - x.ndim + tail)].contiguous() for x, tail in zip(tensors, tails, strict=True)]
