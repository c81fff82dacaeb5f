"""The scan of a rational system for dask arrays: that of numpy, by blocks of their leading axes."""

from typing import Any

from dask.array import apply_gufunc

from lina.ssm._scan_rational import numpy_scan


def rational_scan(a: Any, b: Any, u: Any, x: Any) -> tuple[Any, Any]:
    """Return what `numpy_scan` does; all entries along the last axes are brought into one block."""
    y, past = apply_gufunc(
        numpy_scan,
        "(i),(i),(j),(i)->(j),(k)",
        *(_aligned(v, u.chunks[:-1]) for v in (a, b, u, x)),
        output_sizes={"k": u.shape[-1] + x.shape[-1]},
        output_dtypes=(u.dtype, u.dtype),
    )
    return y, past


def _aligned(v: Any, batch: tuple[Any, ...]) -> Any:
    """Return an array in the blocks of a batch, with which its leading axes broadcast."""
    ahead = batch[len(batch) - (v.ndim - 1) :]
    blocks = [blocks if size > 1 else -1 for size, blocks in zip(v.shape[:-1], ahead, strict=True)]
    return v.rechunk(dict(enumerate([*blocks, -1])))
