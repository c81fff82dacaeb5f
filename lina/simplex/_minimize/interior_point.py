"""The interior point method for dense quadratics, ill-conditioned ones above all; for others step by step."""

import numpy as np

from lina.simplex._minimize.newton import model_steps
from lina.simplex._minimize.objective import Point
from lina.simplex._minimize.search import Moves, Search


def interior_point(search: Search, start: Point) -> Moves:
    """Yield minimisers of quadratic models over all coordinates; the first one is the answer where F is quadratic.

    One product with the Hessian for each coordinate, and n^3 / 3 flops for each of about ten points of the interior.
    """
    return model_steps(search, start, lambda x, _: np.arange(x.size), "ipm", "interior point")
