import dask
import dask.array as da
import numpy as np
import pytest

from lina._dask.graph import parts
from lina._dask.passes import factors
from lina._dask.source import Source
from lina._dask.triangles import Tree


@pytest.mark.parametrize("blocks", [1, 2, 7, 8, 9, 64, 65, 100])
@pytest.mark.parametrize("rows", [3, 11])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_q_times_r_is_the_matrix_and_q_has_orthonormal_columns(blocks, rows, dtype):
    rng = np.random.default_rng(blocks)
    A = rng.standard_normal((blocks * rows, 6)).astype(dtype)
    A = A * (1 + 1j) if dtype == "complex128" else A
    visited = Source(da.from_array(A, chunks=(rows, -1))).visit(factors, None)
    tree = Tree(parts(visited, 1))
    R, scale = tree.root.compute()
    r = min(A.shape)
    C = dask.delayed(np.eye(r, dtype=dtype))
    Q = tree.columns(parts(visited, 0), C, r, A.dtype).compute()
    np.testing.assert_allclose(Q @ R * scale, A, atol=1e-13 * blocks)
    np.testing.assert_allclose(Q.conj().T @ Q, np.eye(r), atol=1e-13)
    np.testing.assert_allclose(np.tril(R, -1), 0, atol=1e-15)


def test_blocks_of_any_lengths_and_scales_join():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 4))
    A[:20] *= 1e-300
    A[45:] = 0
    A = da.from_array(A, chunks=((20, 1, 2, 22, 5), 4))
    tree = Tree(parts(Source(A).visit(factors, None), 1))
    R, scale = tree.root.compute()
    np.testing.assert_allclose(np.abs(R.T @ R) * scale**2, np.abs((A.T @ A).compute()), rtol=1e-12)
