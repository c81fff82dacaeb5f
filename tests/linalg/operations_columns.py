"""Rows of the table of operations: sketches, leverage scores, column selection."""

import dataclasses
from typing import Any

import numpy as np

from lina.linalg import leverage_scores, select_columns, sketch
from tests.operation import Operation, eps, matrix


def _rows(A: Any) -> int:
    """Return how many rows a sketch of A should expect; something where A is no array at all."""
    return next(iter(getattr(A, "shape", ())), 0) or (len(A) if isinstance(A, (list, tuple)) else 90)


def _sketch(kind: str) -> Any:
    least = 30 if kind == "srft" else 1
    return lambda A: sketch(30, max(least, _rows(A)), kind=kind, rng=0) @ A


def _sketch_error(kind: str) -> Any:
    def error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
        (A,) = inputs
        S = sketch(30, A.shape[0], kind=kind, rng=0).toarray()
        bound = 4 * np.sqrt(A.shape[0]) * eps(A) * np.linalg.norm(S) * np.linalg.norm(A)
        return float(np.linalg.norm(outputs["X"] - S @ A) / bound)

    return error


def _leverage_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    U = np.linalg.svd(inputs[0], full_matrices=False)[0]
    return float(np.max(np.abs(outputs["X"][: len(U)] - np.sum(np.abs(U) ** 2, axis=1))) / (1e4 * eps(inputs[0])))


def _sketched_leverage_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return how far a score is from the exact one over the factor (1 - sqrt(1 / 8))^-2 of the documentation."""
    exact = np.sum(np.abs(np.linalg.svd(inputs[0], full_matrices=False)[0]) ** 2, axis=1)
    return float(np.max(np.abs(np.log(outputs["X"] / exact))) / (-2 * np.log(1 - 8**-0.5)))


def _spanned(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    (A,), C = inputs, outputs["left"]
    Q = np.linalg.qr(C)[0]
    true = np.linalg.norm(A - Q @ (Q.conj().T @ A))
    return float(true / (outputs["error"] + 4 * eps(A) * np.linalg.norm(A)))


# A sketch of the triangle, from which dask chooses, is not the one of the matrix.
WITH_DASK = ("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask")


def _selection(method: str, **options: Any) -> Operation:
    few = dict.fromkeys(("one entry", "one row", "one column"), ("ValueError",))
    return Operation(
        f"linalg.select_columns ({method})",
        call=lambda A: select_columns(A, 6, method=method, rng=0, **options),
        arrays=matrix(90, 70),
        outputs=lambda F: {"left": F.C, "error": F.error},
        error=_spanned,
        hostile=few,
        memory=10.0,
    )


def _drawn(replace: bool) -> Operation:
    row = _selection("norm", sampling=True, replace=replace)
    names = {"name": f"linalg.select_columns (drawn, replace={replace})"}
    return dataclasses.replace(row, **names, hostile={} if replace else row.hostile)


def _sketching(kind: str, extensions: tuple[str, ...] = ("linalg",)) -> Operation:
    return Operation(
        f"linalg.sketch ({kind})",
        call=_sketch(kind),
        arrays=matrix(90, 70),
        outputs=lambda X: {"X": X},
        error=_sketch_error(kind),
        extensions=extensions,
        # vectors are welcome, and the cosine transform needs as many rows as the sketch
        hostile={"1-d": (), **dict.fromkeys(("one row", "one entry") if kind == "srft" else (), ("ValueError",))},
    )


ROWS = [
    *(_sketching(kind) for kind in ("gaussian", "sparse_sign", "count")),
    _sketching("srft", ("linalg", "fft")),
    *(_selection(method) for method in ("sketch", "sampled_cpqr", "lupp", "rbrp", "deim", "qdeim", "kmeans")),
    *(dataclasses.replace(_selection(method), backends=WITH_DASK) for method in ("cpqr", "greedy")),
    *(dataclasses.replace(_selection(method), backends=WITH_DASK) for method in ("leverage", "norm", "uniform")),
    _drawn(replace=False),
    _drawn(replace=True),
    Operation(
        "linalg.leverage_scores",
        call=lambda A: leverage_scores(A),
        arrays=matrix(90, 60),
        outputs=lambda X: {"X": X},
        error=_leverage_error,
        real=("X",),
        degree=0,
        memory=10.0,
    ),
    Operation(
        "linalg.leverage_scores (sketch)",
        call=lambda A: leverage_scores(A, method="sketch", rng=0),
        arrays=matrix(900, 12),
        outputs=lambda X: {"X": X},
        error=_sketched_leverage_error,
        real=("X",),
        degree=0,
        memory=10.0,
    ),
]
