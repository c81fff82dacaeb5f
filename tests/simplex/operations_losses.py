"""Rows of the table of operations: truncated, Taylor and perturbed softmax, soft top-k, Gumbel draws, losses."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from lina._core.random import generator
from lina.simplex import (
    cross_entropy,
    entmax_loss,
    fenchel_young_loss,
    gumbel_max,
    gumbel_softmax,
    gumbel_softmax_jvp,
    gumbel_softmax_vjp,
    log_softmax,
    margin_softmax_loss,
    perturb_max,
    perturb_max_jvp,
    perturb_max_vjp,
    soft_topk,
    soft_topk_jvp,
    soft_topk_vjp,
    softmax,
    sparse_softmax_loss,
    sparsemax,
    sparsemax_loss,
    taylor_softmax,
    taylor_softmax_jvp,
    taylor_softmax_vjp,
    threshold_softmax,
    threshold_softmax_jvp,
    threshold_softmax_vjp,
    topk_softmax,
    topk_softmax_jvp,
    topk_softmax_vjp,
    topp_softmax,
    topp_softmax_jvp,
    topp_softmax_vjp,
)
from tests.operation import Operation
from tests.reference.simplex import sorted_projection
from tests.reference.simplex_losses import (
    exact_cross_entropy,
    exact_entropic_topk,
    exact_loss,
    exact_taylor,
    exact_threshold,
    exact_topk,
    exact_topp,
)
from tests.simplex.operations_mappings import (
    against,
    each_row,
    finite_or_marked,
    length,
    of_distribution,
    row,
    size,
    weighted_jacobian,
)


def scaled(function: Callable[..., np.ndarray], *args: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return the reference of each row at temperature `size`."""
    return lambda x: each_row(lambda line: np.asarray(function(line, *args)))(x / size(x))


def ramp(x: Any) -> Any:
    """Return a direction of the shape of x, the same at every scale, in its library."""
    return softmax(x, temperature=size(x))


def reference_ramp(line: np.ndarray) -> np.ndarray:
    """Return the same direction for one row at temperature 1."""
    weights = np.exp(line - line.max())
    return weights / weights.sum()


def differentiated(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the derivative of ``function`` of one row along `reference_ramp`, by a difference of order 4."""

    def derivative(line: np.ndarray) -> np.ndarray:
        v, h = reference_ramp(line), 1e-3
        near, far = (function(line + t * h * v) - function(line - t * h * v) for t in (1, 2))
        return (8 * near - far) / (12 * h)

    return derivative


def taylor_2(line: np.ndarray) -> np.ndarray:
    """Return the Taylor softmax of order 2."""
    value = 1 + line + line**2 / 2
    return value / value.sum()


def transposed_taylor_2(line: np.ndarray) -> np.ndarray:
    """Return the transposed Jacobian of it times `reference_ramp`."""
    q, g = taylor_2(line), reference_ramp(line)
    return (1 + line) / np.sum(1 + line + line**2 / 2) * (g - q @ g)


def perturbed(line: np.ndarray) -> np.ndarray:
    """Return the probabilities under logistic noise from the expectation over it, by 1001 nodes between -45 and 45."""
    noise = np.linspace(-45, 45, 1001)
    weight = 0.09 / (np.exp(noise / 2) + np.exp(-noise / 2)) ** 2
    factors = 1 / (1 + np.exp(-(line[:, None, None] - line[None, :, None] + noise)))
    for i in range(len(line)):
        factors[i, i] = 1.0
    return np.prod(factors, axis=1) @ weight


def forward_taylor_2(line: np.ndarray) -> np.ndarray:
    """Return its Jacobian times `reference_ramp`."""
    q, v = taylor_2(line), reference_ramp(line)
    slope = (1 + line) / np.sum(1 + line + line**2 / 2)
    return slope * v - q * (slope @ v)


def classes(x: Any) -> Any:
    """Return targets of x as distributions, half of them vertices, in its library."""
    return sparsemax(x, temperature=size(x) / 8)


def reference_classes(line: np.ndarray) -> np.ndarray:
    """Return the target of one row at temperature 1."""
    return sorted_projection(8 * line, 1.0)[0]


def loss_row(name: str, call: Any, reference: Callable[[np.ndarray, np.ndarray], float], **options: Any) -> Operation:
    """Return the row of a loss at temperature `size`."""
    judge = against(scaled(lambda line: reference(line, reference_classes(line))), 64)
    return row(name, lambda x: call(x, classes(x)), judge, outputs=finite_or_marked, **{"memory": 12.0, **options})


def in_mapping(mapping: str) -> Callable[[Any, Any], Any]:
    """Return the Fenchel-Young loss of a mapping at temperature `heat`."""
    return lambda x, y: fenchel_young_loss(x, y, mapping, temperature=heat(x))


def of_alpha(alpha: float) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the reference of the Fenchel-Young loss of entmax at alpha."""
    return lambda line, y: exact_loss(line, y, alpha)


def margin_reference(line: np.ndarray, y: np.ndarray) -> float:
    """Return the cross-entropy with a margin of 0.3 and a scale of 1."""
    return exact_cross_entropy(line - 0.3 * y, y)


def kept_reference(line: np.ndarray, y: np.ndarray) -> float:
    """Return the sparse loss of the three largest entries."""
    return exact_cross_entropy(line, y, set(np.argsort(-line, kind="stable")[:3].tolist()))


def indices(found: tuple[Any, Any]) -> dict[str, Any]:
    """Return drawn indices as numbers of the dtype of the logits."""
    index, logits = found
    return {"X": array_namespace(logits).astype(index, logits.dtype)}


def drawn(x: np.ndarray) -> np.ndarray:
    """Return the indices of the largest entries with the noise of seed 0."""
    return np.argmax(x / size(x) + generator(0).gumbel(size=x.shape), axis=-1)


def softly_drawn(x: np.ndarray) -> np.ndarray:
    """Return the soft draws with the noise of seed 0."""
    return each_row(reference_ramp)(x / size(x) + generator(0).gumbel(size=x.shape))


def heat(x: Any) -> float:
    """Return `size`, where its inverse is a number."""
    return max(size(x), 1e-290)


def few(x: Any) -> int:
    """Return 3, or the number of entries of a row where there are fewer."""
    return min(3, length(x))


def weights_of(regularizer: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the weights of the Jacobian at a distribution p."""
    return (lambda p: ((p > 0) & (p < 1)) * 1.0) if regularizer == "quadratic" else (lambda p: p * (1 - p))


def capped_3(line: np.ndarray) -> np.ndarray:
    """Return the projection onto weights between 0 and 1 of sum 3, by bisection."""
    low, high = line.min() - 3, line.max()
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(line - middle, 0, 1).sum() > 3 else (low, middle)
    return np.clip(line - low, 0, 1)


def by_heat(reference: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the reference of a derivative at temperature `size`."""
    return lambda x: scaled(reference)(x) / size(x)


ROWS = [
    row("topk_softmax", lambda x: topk_softmax(x, few(x), temperature=heat(x)), against(scaled(exact_topk, 3))),
    row("topp_softmax", lambda x: topp_softmax(x, 0.6, temperature=heat(x)), against(scaled(exact_topp, 0.6))),
    row(
        "threshold_softmax",
        lambda x: threshold_softmax(x, 0.03, temperature=heat(x)),
        against(scaled(exact_threshold, 0.03)),
    ),
    *(
        row(f"{name}_softmax_{kind}", of_distribution(function), against(weighted_jacobian(lambda p: p)))
        for name, kind, function in [
            ("topk", "vjp", topk_softmax_vjp),
            ("topk", "jvp", topk_softmax_jvp),
            ("topp", "vjp", topp_softmax_vjp),
            ("topp", "jvp", topp_softmax_jvp),
            ("threshold", "vjp", threshold_softmax_vjp),
            ("threshold", "jvp", threshold_softmax_jvp),
            ("gumbel", "vjp", gumbel_softmax_vjp),
            ("gumbel", "jvp", gumbel_softmax_jvp),
        ]
    ),
    row("taylor_softmax", lambda x: taylor_softmax(x, 4, temperature=heat(x)), against(scaled(exact_taylor, 4))),
    row(
        "taylor_softmax_vjp",
        lambda x: taylor_softmax_vjp(x, ramp(x), temperature=heat(x)),
        against(by_heat(transposed_taylor_2), 32),
        degree=-1,
    ),
    row(
        "taylor_softmax_jvp",
        lambda x: taylor_softmax_jvp(x, ramp(x), temperature=heat(x)),
        against(by_heat(forward_taylor_2), 32),
        degree=-1,
    ),
    row(
        "soft_topk",
        lambda x: soft_topk(x, few(x), heat(x)),
        against(scaled(capped_3)),
        memory=12.0,
    ),
    row(
        "soft_topk (entropic)",
        lambda x: soft_topk(x, few(x), heat(x), regularizer="entropic"),
        against(scaled(exact_entropic_topk, 3)),
        memory=12.0,
    ),
    *(
        row(
            f"soft_topk_{kind} ({regularizer})",
            of_distribution(function, regularizer=regularizer),
            against(weighted_jacobian(weights_of(regularizer))),
        )
        for kind, function in [("vjp", soft_topk_vjp), ("jvp", soft_topk_jvp)]
        for regularizer in ("quadratic", "entropic")
    ),
    row("perturb_max", lambda x: perturb_max(x, "logistic", heat(x)), against(scaled(perturbed), 64)),
    row(
        "perturb_max_vjp",
        lambda x: perturb_max_vjp(x, ramp(x), "logistic", heat(x)),
        against(by_heat(differentiated(perturbed)), 10**6),
        degree=-1,
    ),
    row(
        "perturb_max_jvp",
        lambda x: perturb_max_jvp(x, ramp(x), "logistic", heat(x)),
        against(by_heat(differentiated(perturbed)), 10**6),
        degree=-1,
    ),
    row(
        "gumbel_max",
        lambda x: (gumbel_max(x, temperature=heat(x), rng=0), softmax(x)),
        against(drawn),
        outputs=indices,
    ),
    row(
        "gumbel_softmax",
        lambda x: gumbel_softmax(log_softmax(x, temperature=heat(x)), rng=0),
        against(softly_drawn, 16),
    ),
    loss_row("cross_entropy", lambda x, y: cross_entropy(x, y, temperature=heat(x)), exact_cross_entropy),
    loss_row(
        "margin_softmax_loss",
        lambda x, y: margin_softmax_loss(x, y, 0.3 * heat(x), 1 / heat(x)),
        margin_reference,
    ),
    loss_row(
        "sparse_softmax_loss", lambda x, y: sparse_softmax_loss(x, y, few(x), temperature=heat(x)), kept_reference
    ),
    *(
        loss_row(
            f"fenchel_young_loss ({mapping})", in_mapping(mapping), lambda line, y, a=alpha: exact_loss(line, y, a)
        )
        for mapping, alpha in [("softmax", 1.0), ("sparsemax", 2.0), ("entmax", 1.5)]
    ),
    loss_row(
        "sparsemax_loss",
        lambda x, y: sparsemax_loss(x, y, temperature=heat(x)),
        of_alpha(2.0),
    ),
    loss_row(
        "entmax_loss",
        lambda x, y: entmax_loss(x, y, temperature=heat(x)),
        of_alpha(1.5),
    ),
]
