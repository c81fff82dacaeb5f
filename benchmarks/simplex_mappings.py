"""How fast are softmax, sparsemax and entmax of many rows, beside those of torch and the package entmax?

With masks and temperatures, over the largest entries and against soft targets too, and their gradients.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

import lina.simplex
from benchmarks.runner import Case, Question, Target

_JUDGED = 32  # rows


def cases(quick: bool) -> Iterator[Case]:
    """Yield rows of normal logits, short and long: sparsemax and entmax forward, then with their gradients."""
    shapes = [(64, 100), (4, 2000)] if quick else [(4096, 1000), (32, 128_000)]
    for shape in shapes:
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        long = shape[1] > shape[0]
        size = f"{shape[0]} x {shape[1]}, float32"
        yield Case(f"softmax, {size}", softmax_of(x), softmax_error(x), [Target("lina", "torch", 1 / 1.5)])
        losses, error = cross_entropy_of(x)
        yield Case(f"cross-entropy, {size}", losses, error, [Target("lina", "torch", 1 / 1.5)])
        yield Case(f"sparsemax, {size}", forward(x, 2.0), error_of(x, 2.0), sparsemax_targets(long))
        yield Case(f"sparsemax forward and backward, {size}", backward(x), gradient_error(x), gradient_targets(long))
        yield Case(f"entmax 1.5, {size}", forward(x, 1.5), error_of(x, 1.5), entmax15_targets(long))
        for alpha in (1.25, 1.3):
            targets = [Target("lina", "entmax_bisect", 40, error_factor=1), Target("lina", "torch softmax", 1 / 2.5)]
            yield Case(f"entmax {alpha:g}, {size}", forward(x, alpha), error_of(x, alpha), targets)
        yield from with_gradients(x, size)


def softmax_of(x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return lina's softmax of arrays and tensors, and torch's."""
    tensor = torch.from_numpy(x)
    return {
        "lina": lambda: lina.simplex.softmax(x),
        "lina, tensor": lambda: lina.simplex.softmax(tensor).numpy(),
        "torch": lambda: torch.softmax(tensor, -1).numpy(),
        "copy": x.copy,
    }


def softmax_error(x: np.ndarray) -> Callable[[Any], float]:
    """Return the largest difference from the softmax in float64 in some rows."""
    weights = np.exp(x[:_JUDGED].astype(np.float64))
    expected = weights / weights.sum(axis=1, keepdims=True)
    return lambda p: float(np.max(np.abs(p[:_JUDGED] - expected)))


def cross_entropy_of(x: np.ndarray) -> tuple[dict[str, Callable[[], Any]], Callable[[Any], float]]:
    """Return lina's cross-entropy against random classes and torch's, and the judge of both."""
    target = np.random.default_rng(1).integers(0, x.shape[1], x.shape[0])
    tensor, classes, wide = torch.from_numpy(x), torch.from_numpy(target), x.astype(np.float64)
    expected = np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(len(x)), target]
    runs: dict[str, Callable[[], Any]] = {
        "lina": lambda: lina.simplex.cross_entropy(x, target),
        "lina, tensor": lambda: lina.simplex.cross_entropy(tensor, classes).numpy(),
        "torch": lambda: torch.nn.functional.cross_entropy(tensor, classes, reduction="none").numpy(),
    }
    return runs, lambda found: float(np.max(np.abs(found - expected)))


def sparsemax_targets(long: bool) -> list[Target]:
    """Return what the forward pass is held to."""
    exact = Target("lina, tensor", "entmax, k=32", 4 if long else 6)
    full = Target("lina, tensor", "entmax", 50 if long else 30, error_factor=1)
    return [full, exact, Target("lina, tensor", "torch softmax", 1 / 1.5)]


def gradient_targets(long: bool) -> list[Target]:
    """Return what forward and backward are held to."""
    softmax = Target("lina", "torch softmax", 1 / 1.5 if long else 1.0)
    return [softmax, Target("lina", "entmax, k=32", 4 if long else 6)]


def entmax15_targets(long: bool) -> list[Target]:
    """Return what entmax at 1.5 is held to."""
    return [Target("lina", "entmax", 20, error_factor=1), Target("lina", "entmax, k=128", 4 if long else 3)]


def package() -> Any:
    """Return the package entmax, or None where it is not installed."""
    try:
        import entmax
    except ImportError:
        return None
    return entmax


def forward(x: np.ndarray, alpha: float) -> dict[str, Callable[[], Any]]:
    """Return lina and its peers for one alpha; a copy of the input is what the memory allows."""
    tensor, peer = torch.from_numpy(x), package()
    found: dict[str, Callable[[], Any]] = {
        "lina": lambda: lina.simplex.entmax(x, alpha),
        "lina, tensor": lambda: lina.simplex.entmax(tensor, alpha).numpy(),
        "torch softmax": lambda: torch.softmax(tensor, -1).numpy(),
        "copy": x.copy,
    }
    if alpha == 2:
        found["lina"] = lambda: lina.simplex.sparsemax(x)
        found["lina, tensor"] = lambda: lina.simplex.sparsemax(tensor).numpy()
    if peer is not None and alpha == 2:
        found["entmax"] = lambda: peer.sparsemax(tensor, dim=-1).numpy()
        found["entmax, k=32"] = lambda: peer.sparsemax(tensor, dim=-1, k=32).numpy()
    elif peer is not None and alpha == 1.5:
        found["entmax"] = lambda: peer.entmax15(tensor, dim=-1).numpy()
        found["entmax, k=128"] = lambda: peer.entmax15(tensor, dim=-1, k=128).numpy()
    elif peer is not None:
        found["entmax_bisect"] = lambda: peer.entmax_bisect(tensor, alpha, dim=-1).numpy()
    return found


def backward(x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return the gradient of a sum of products by lina and its peers."""
    tensor, weights = torch.from_numpy(x).requires_grad_(), torch.from_numpy(np.roll(x, 1, axis=1).copy())
    peer = package()

    def gradient(mapping: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(mapping(tensor), tensor, weights)[0].numpy()

    found = {
        "lina": gradient(lina.simplex.sparsemax),
        "torch softmax": gradient(lambda t: torch.softmax(t, -1)),
    }
    if peer is not None:
        found["entmax"] = gradient(lambda t: peer.sparsemax(t, dim=-1))
        found["entmax, k=32"] = gradient(lambda t: peer.sparsemax(t, dim=-1, k=32))
    return found


def by_bisection(x: np.ndarray, alpha: float) -> np.ndarray:
    """Return the entmax of the rows in float64, by bisection on the threshold to its last bit."""
    z = (alpha - 1) * (x.astype(np.float64) - x.max(axis=1, keepdims=True))
    low, high = -np.ones((len(x), 1)), np.zeros((len(x), 1))
    for _ in range(60):
        middle = (low + high) / 2
        above = np.sum(np.maximum(z - middle, 0) ** (1 / (alpha - 1)), axis=1, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(np.maximum(z - low, 0) ** (1 / (alpha - 1)))


def error_of(x: np.ndarray, alpha: float) -> Callable[[Any], float]:
    """Return the largest difference from the reference in some rows."""
    expected = by_bisection(x[:_JUDGED], alpha)
    return lambda p: float(np.max(np.abs(p[:_JUDGED] - expected)))


def gradient_error(x: np.ndarray) -> Callable[[Any], float]:
    """Return the largest difference from the gradient of the reference in some rows."""
    p, g = by_bisection(x[:_JUDGED], 2.0), np.roll(x, 1, axis=1)[:_JUDGED].astype(np.float64)
    mean = np.sum(np.where(p > 0, g, 0), axis=1, keepdims=True) / np.sum(p > 0, axis=1, keepdims=True)
    expected = np.where(p > 0, g - mean, 0)
    return lambda found: float(np.max(np.abs(found[:_JUDGED] - expected)))


def with_gradients(x: np.ndarray, size: str) -> Iterator[Case]:
    """Yield the value and the gradient of a weighted sum, of mappings with options and of a loss: two arrays."""
    rng, n = np.random.default_rng(2), x.shape[1]
    mask, k = torch.from_numpy(rng.random(x.shape) < 0.7), max(1, n // 100)
    weights = torch.from_numpy(rng.standard_normal(x.shape).astype(np.float32))
    y = torch.softmax(weights, -1)

    def largest(t: torch.Tensor) -> torch.Tensor:
        values, places = torch.topk(t, k, dim=-1)
        return torch.zeros_like(t).scatter(-1, places, torch.softmax(values, -1))

    def entropy(t: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(t, y.to(t.dtype), reduction="none")[:, None]

    def masked(t: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.where(mask, t, -torch.inf) / 0.7, -1)

    def entmax15(t: torch.Tensor) -> torch.Tensor:
        return package().entmax15(t, dim=-1)  # type: ignore[no-any-return]

    pairs: dict[str, tuple[Callable[..., Any], Callable[..., Any], float]] = {
        "masked softmax at 0.7": (lambda t: lina.simplex.softmax(t, where=mask, temperature=0.7), masked, 1),
        f"softmax of the {k} largest": (lambda t: lina.simplex.topk_softmax(t, k), largest, 1 / 2),
        "cross-entropy of soft targets": (lambda t: lina.simplex.cross_entropy(t, y)[:, None], entropy, 1 / 2.5),
    }
    if package() is not None:
        pairs["entmax 1.5"] = (lina.simplex.entmax, entmax15, 10)
    for name, (mine, peer, target) in pairs.items():
        other = "entmax" if peer is entmax15 else "torch"
        runs = {"lina": value_and_gradient(mine, x, weights), other: value_and_gradient(peer, x, weights)}
        expected = value_and_gradient(peer, x.astype(np.float64), weights.double())()
        judge = partial(largest_difference, expected)
        yield Case(f"{name}, forward and backward, {size}", runs, judge, [Target("lina", other, target)])


def value_and_gradient(mapping: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray, w: torch.Tensor) -> Any:
    """Return the call that makes the mapping of ``x`` and the gradient of its sum weighted by ``w``."""
    tensor = torch.from_numpy(x).requires_grad_()

    def call() -> tuple[np.ndarray, np.ndarray]:
        p = mapping(tensor)
        (gradient,) = torch.autograd.grad(p, tensor, w[:, : p.shape[1]])
        return p.detach().numpy(), gradient.numpy()

    return call


def largest_difference(expected: tuple[np.ndarray, ...], found: tuple[np.ndarray, ...]) -> float:
    """Return the largest difference of two pairs of arrays."""
    return max(float(np.max(np.abs(a - b))) for a, b in zip(found, expected, strict=True))


QUESTION = Question(
    "How fast are softmax, sparsemax and entmax of many rows, beside those of torch and the package entmax?",
    cases,
    "largest error",
    "The error is that of 32 rows (with gradients: of all) against float64. "
    "The copy, and softmax beside sparsemax, answer another question.",
)
