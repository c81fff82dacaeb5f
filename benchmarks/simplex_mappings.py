"""How fast are softmax, sparsemax and entmax of many rows, beside those of torch and the package entmax?"""

from collections.abc import Callable, Iterator
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


QUESTION = Question(
    "How fast are softmax, sparsemax and entmax of many rows, beside those of torch and the package entmax?",
    cases,
    "largest error",
    "The error is that of 32 rows against float64; the copy, and softmax beside sparsemax, answer another question.",
)
