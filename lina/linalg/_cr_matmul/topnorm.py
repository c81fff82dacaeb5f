"""The largest terms: the best choice where the terms are orthogonal."""

import numpy as np

from lina.linalg._cr_matmul.terms import Terms


def topnorm(terms: Terms, r: int) -> np.ndarray:
    """Return the ``r`` terms of largest norm, descending, ties in their order; O(l (m + n)) flops."""
    return np.argsort(-terms.sizes, kind="stable")[:r]
