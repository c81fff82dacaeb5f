"""Rows of the table of operations: positive semidefinite matrices, and two problems with closed forms."""

from typing import Any

import numpy as np

from lina.linalg import generalized_low_rank, nystrom, rpcholesky, two_sided_projection
from tests.operation import Operation, eps, matrix

N = 60


def kernel_matrix(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
    """Return a kernel matrix and a nugget, all entries positive, the first row constant.

    So it stays positive semidefinite where the tests round it, keep its signs only, or repeat its first row.
    """
    x = rng.random(N - 1)
    A = np.full((N, N), 0.1)
    A[1:, 1:] += np.exp(-8 * (x[:, None] - x) ** 2) + 0.5 * np.eye(N - 1)
    if np.dtype(dtype).kind == "c":
        phase = np.exp(2j * np.pi * rng.random(N))
        A = phase[:, None] * A * phase.conj()
        A = (A + A.conj().T) / 2
    return (A.astype(dtype),)


def nuclear_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    """Return the nuclear norm of the difference over the certificate."""
    (A,) = inputs
    wide = np.result_type(A.dtype, np.float64)
    E = A.astype(wide) - outputs["left"].astype(wide) @ outputs["right"].astype(wide)
    return float(np.sum(np.linalg.svd(E, compute_uv=False)) / (outputs["error"] * (1 + 4 * N * eps(A))))


def eigh_outputs(F: Any) -> dict[str, Any]:
    """Return the factors and the certificate of a LowRankEigh."""
    left, right, _ = F._factors()
    return {"left": left, "right": right, "error": float(F.error)}


# not square, or without six terms
NOT_SQUARE = dict.fromkeys(("one entry", "one row", "one column"), ("ValueError",))


def _three(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, ...]:
    return (*matrix(40, 30)(rng, dtype), *matrix(40, 12)(rng, dtype), *matrix(10, 30)(rng, dtype))


def _single_as(A: Any, B: Any) -> Any:
    """Return B in single precision where numpy's A is, or becomes it: the answer shows what became of A."""
    return B.astype("float32") if str(getattr(A, "dtype", "")) in ("float16", "float32") else B


def _generalized_outputs(F: Any) -> dict[str, Any]:
    return {"left": F.left @ F.right, "error": float(F.error)}


def _generalized_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    A, B, D = inputs
    wide = np.result_type(A.dtype, np.float64)
    true = np.linalg.norm(A.astype(wide) - B.astype(wide) @ outputs["left"].astype(wide) @ D.astype(wide))
    return float(true / (outputs["error"] * (1 + 1e-12) + 200 * eps(A) * np.linalg.norm(A)))


def _two_sided_error(inputs: tuple[np.ndarray, ...], outputs: dict[str, np.ndarray]) -> float:
    (M,) = inputs
    A, B = outputs["A"], outputs["B"]
    true = np.linalg.norm(A @ (A.conj().T @ M) + (M @ B.conj().T) @ B - M)
    return float(true / (outputs["error"] + 40 * eps(M) * np.linalg.norm(M)))


ROWS = [
    *(
        Operation(
            f"linalg.nystrom ({method})",
            call=lambda A, method=method: nystrom(A, 6, method=method, rng=0),
            arrays=kernel_matrix,
            outputs=eigh_outputs,
            error=nuclear_error,
            hostile={**NOT_SQUARE, "sparse": ()},
            backends=("numpy", "numpy:readonly", "strict", "strictest", "torch", "jax", "dask"),
            memory=12.0,
        )
        for method in ("sketch", "krylov")
    ),
    *(
        Operation(
            f"linalg.rpcholesky (block of {size})",
            call=lambda A, size=size: rpcholesky(A, 6, block_size=size, rng=0).eigh(),
            arrays=kernel_matrix,
            outputs=eigh_outputs,
            error=nuclear_error,
            hostile=NOT_SQUARE,
        )
        for size in (1, 16)
    ),
    Operation(
        "linalg.generalized_low_rank",
        call=lambda A, B, D: generalized_low_rank(A, _single_as(A, B), _single_as(A, D), 4),
        arrays=_three,
        outputs=_generalized_outputs,
        error=_generalized_error,
        hostile=dict.fromkeys(("one entry", "one row", "one column"), ("ValueError",)),
    ),
    Operation(
        "linalg.two_sided_projection",
        call=lambda M: two_sided_projection(M, 6),
        arrays=matrix(60, 50),
        outputs=lambda F: {"A": F.A, "B": F.B, "error": float(F.error)},
        error=_two_sided_error,
        argument="M",
        hostile=dict.fromkeys(("one entry", "one row", "one column"), ("ValueError",)),
        memory=10.0,
    ),
]
