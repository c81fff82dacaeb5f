"""Does every kernel stay within its memory, and out of its own way?

``compute-sanitizer --tool memcheck python -m benchmarks.gpu.launches`` launches each CUDA text on small shapes that
fill no block; ``racecheck`` and ``initcheck`` take the same lines.
"""

from typing import Any

import numpy as np

from lina._cuda import dplr_response, entmax, legs_scan, pinv_small, project_simplex, vandermonde


def launch_all(xp: Any) -> dict[str, Any]:
    """Return what each kernel answers to small inputs, in both precisions where it has two."""
    rng = np.random.default_rng(0)
    found = {}
    for dtype in ("float32", "float64"):
        x = xp.asarray(rng.standard_normal((3, 333)).astype(dtype))
        ones, states = xp.asarray(np.ones(3, dtype=dtype)), xp.asarray(np.zeros((3, 37), dtype=dtype))
        A = xp.asarray(rng.standard_normal((5, 9, 4)).astype(dtype))
        found[f"project_simplex {dtype}"] = project_simplex.project_simplex(x, ones)
        found[f"entmax {dtype}"] = entmax.entmax(x, xp.asarray(np.full(3, 1.5, dtype=dtype)))
        found[f"legs_scan {dtype}"] = legs_scan.legs_scan(x, states, 2, "logbilinear", True)
        found[f"pinv_small {dtype}"] = pinv_small.pinv_small(A)[0]
        c = xp.asarray((rng.standard_normal((3, 37)) + 1j).astype("complex64" if dtype == "float32" else "complex128"))
        poles = xp.asarray(-rng.uniform(0.01, 0.1, (3, 37)) + 1j * rng.uniform(0, 3, (3, 37)))
        found[f"vandermonde {dtype}"] = vandermonde.vandermonde(c, poles, 333)
        found[f"vandermonde_transpose {dtype}"] = vandermonde.vandermonde_transpose(x[:, None], poles)
    zeta = 0.1 + 1j * np.linspace(0, 1.5, 150)
    for size in (1, 2, 3):
        parts = rng.standard_normal((2, 3, size, 37)) + 1j * rng.standard_normal((2, 3, size, 37))
        left, right = (xp.asarray(each) for each in parts)
        found[f"dplr_response {size}"] = dplr_response.dplr_response(
            poles, left, right, 2 * np.sinh(zeta), np.cosh(zeta)
        )
    return found


def main() -> None:
    """Launch all on the device; without cupy's pool, so that each array ends where its memory ends."""
    import cupy

    cupy.cuda.set_allocator(None)
    for name, value in launch_all(cupy).items():
        if not bool(cupy.isfinite(value).all()):
            raise SystemExit(f"{name} must be finite, found NaN or infinities")
    cupy.cuda.Device().synchronize()


if __name__ == "__main__":
    main()
