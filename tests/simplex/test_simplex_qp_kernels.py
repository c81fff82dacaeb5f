"""The compiled kernels of quadratics over the simplex beside their interpreted functions."""

import numpy as np

import lina._numba.simplex_qp as kernels
from lina._numba.qp_asymmetry import asymmetry


def interpreted(name, *arguments):
    """Run a kernel with every function of its module interpreted."""
    names = [n for n, f in vars(kernels).items() if hasattr(f, "py_func")]
    compiled = {n: getattr(kernels, n) for n in names}
    try:
        for n in names:
            setattr(kernels, n, compiled[n].py_func)
        with np.errstate(all="ignore"):
            return getattr(kernels, name)(*arguments)
    finally:
        for n in names:
            setattr(kernels, n, compiled[n])


def test_the_compiled_kernels_equal_their_interpreted_functions():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        n, steps = int(rng.integers(1, 6)), int(rng.integers(0, 12))
        F = rng.integers(-2, 3, (n, n)).astype(float) if rng.random() < 0.5 else rng.standard_normal((n, n))
        c = rng.integers(-1, 2, n) * 1.0
        d = rng.random(n)
        tolerances = (float(rng.choice([0.0, 1e-3])), 1e-12, 0.0)
        Q = F @ F.T if rng.random() < 0.8 else F + F.T
        for name, data, matrix in (
            ("pairwise_qp", (Q,), Q),
            ("pairwise_factor_qp", (F, d), F @ F.T + np.diag(d)),
        ):
            starts = [rng.dirichlet(np.ones(n))] * 2
            points = [x.copy() for x in starts]
            slopes = [matrix @ x + c for x in starts]
            run = getattr(kernels, name)
            a = run(*data, c, points[0], slopes[0], steps, tolerances)
            b = interpreted(name, *data, c, points[1], slopes[1], steps, tolerances)
            assert a[0] == b[0]
            np.testing.assert_allclose(a[1:], b[1:], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(points[0], points[1], atol=1e-12)
            np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-12)
        different = np.sum(Q != Q.T) // 2
        assert asymmetry(Q, 1.5)[1] == different


def test_the_compiled_batch_equals_its_interpreted_function():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        n = int(rng.integers(1, 5))
        F, c = rng.standard_normal((2, n, int(rng.integers(1, n + 2)))), rng.standard_normal((2, n))
        Q = F @ np.swapaxes(F, 1, 2)
        points = [np.full((2, n), 1 / n) for _ in range(2)]
        a = kernels.simplex_qp_rows(Q, c, points[0], 40, (1e-6, 1e-9, 0.0))
        b = interpreted("simplex_qp_rows", Q, c, points[1], 40, (1e-6, 1e-9, 0.0))
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_allclose(points[0], points[1], atol=1e-8)


def test_asymmetry_and_large_entries_are_counted_in_every_tile():
    for n in (1, 63, 64, 65, 130):
        Q = np.ones((n, n))
        assert asymmetry(Q, 2.0) == (0, 0)
        Q[n - 1, 0] = np.nan
        large, different = asymmetry(Q, 2.0)
        assert large > 0
        assert different > 0
        Q[n - 1, 0] = -np.inf
        assert asymmetry(Q, 2.0)[0] > 0
