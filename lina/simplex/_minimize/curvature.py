"""The Hessian along a face, from products with directions towards its vertices: all of them stay in the set."""

from typing import Any

import numpy as np

from lina._core.array import from_numpy, to_numpy
from lina.simplex._minimize.objective import Point
from lina.simplex._minimize.search import Search


def face_hessian(search: Search, point: Point, face: np.ndarray) -> np.ndarray:
    """Return the matrix of (v_i . H v_j) for v_i = e_i - x_row / radius, i in ``face``, flat indices; one product each.

    A step d along the face whose entries sum to 0 in every row is the sum of d_i v_i, so this is all of the
    curvature that such steps see.
    """
    shape, n = tuple(point.x.shape), point.x.shape[-1]
    x = np.asarray(to_numpy(point.x), dtype=np.float64).reshape(-1, n) / search.region.radius
    H = np.empty((face.size, face.size))
    rows, columns = np.divmod(face, n)
    for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
        v = np.zeros_like(x)
        v[row] = -x[row]
        v[row, column] += 1.0
        product = search.objective.hessian_times(point, from_numpy(v.reshape(shape), point.x))
        w: Any = np.asarray(to_numpy(product), dtype=np.float64).reshape(-1, n)
        H[k] = w[rows, columns] - np.sum(w * x, axis=1)[rows]
    return 0.5 * (H + H.T)
