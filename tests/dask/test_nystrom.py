import dask.array as da
import numpy as np
import pytest

from lina.linalg import nystrom


def kernel_matrix(n, dtype="float64"):
    x = np.random.default_rng(0).random(n)
    A = np.exp(-30 * (x[:, None] - x) ** 2)
    if dtype == "complex128":
        phase = np.exp(2j * np.pi * x)
        A = phase[:, None] * A * phase.conj()
    return A


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("chunks", [(60, -1), (-1, 60)])
@pytest.mark.parametrize(
    "options",
    [{"k": 8}, {"rtol": 1e-6}, {"k": 8, "norm": "fro"}, {"k": 8, "norm": "2"}, {"k": 8, "method": "sketch"}],
)
def test_the_approximation_is_that_in_memory_and_its_error_a_bound(dtype, chunks, options):
    A = kernel_matrix(400, dtype)
    F = nystrom(da.from_array(A, chunks=chunks), rng=0, **options)
    memory = nystrom(A, rng=0, **{"method": "krylov", **options})
    assert isinstance(F.U, da.Array)
    assert isinstance(F.lam, da.Array)
    assert F.U.chunks[0] == (60,) * 6 + (40,)
    assert (F.rank, F.error_kind, F.status) == (memory.rank, memory.error_kind, memory.status)
    np.testing.assert_allclose(F.error, memory.error, rtol=1e-3)
    np.testing.assert_allclose(F.lam.compute(), memory.lam, rtol=1e-6, atol=1e-12)
    order = {"trace": "nuc", "fro": "fro", "2": 2}[F.norm]
    assert np.linalg.norm(A - F.toarray().compute(), order) <= F.error


def test_every_product_is_one_reading(counted):
    make, reads = counted
    F = nystrom(make(kernel_matrix(400), (60, -1)), 8, rng=0)
    assert set(reads.values()) == {F.passes + 1}  # and one for the diagonal and the norm


def test_what_is_no_such_matrix_is_refused_by_name():
    A = da.from_array(kernel_matrix(400), chunks=(60, -1))
    with pytest.raises(ValueError, match="square matrix"):
        nystrom(A[:60], 5)
    with pytest.raises(ValueError, match="positive semidefinite, found a negative entry on the diagonal"):
        nystrom(-A, 5)
    with pytest.raises(ValueError, match=r"A must have blocks of whole rows.*A\.rechunk"):
        nystrom(A.rechunk((60, 60)), 5)


@pytest.mark.parametrize("scale", [1e-250, 1e250])
def test_extreme_entries_lose_no_digits(scale):
    A = kernel_matrix(300)
    F = nystrom(da.from_array(A * scale, chunks=(70, -1)), 6, rng=0)
    np.testing.assert_allclose(F.lam.compute() / scale, nystrom(A, 6, rng=0).lam, rtol=1e-7)
