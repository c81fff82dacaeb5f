"""On processes of their own: the same results, workers that are lost, and threads that are not nested."""

import os
import signal
import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest

import lina
from lina._core.threads import run_rows
from lina.linalg import interpolative, nystrom, pinv, truncated_svd
from lina.simplex import project_simplex
from tests.dask.matrices import graded

distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the network, in threads of the cluster

M, S = graded(2000, 100, 0.6)


@pytest.fixture(autouse=True)
def threads_of_dask(cluster):
    with dask.config.set(scheduler=None):
        yield


def rows(block_info=None, seconds=0.0, entries=None, log=None):
    time.sleep(seconds)
    if log is not None:
        with open(log, "ab") as file:
            file.write(b".")
    start, stop = block_info[None]["array-location"][0]
    return entries[start:stop]


def from_blocks(A, size, seconds=0.0, log=None):
    """Return an array whose blocks take their time, as if they were read."""
    sizes = tuple(min(size, A.shape[0] - i) for i in range(0, A.shape[0], size))
    return da.map_blocks(rows, chunks=(sizes, (A.shape[1],)), dtype=A.dtype, seconds=seconds, entries=A, log=log)


def test_results_on_a_cluster_are_those_of_threads():
    A = from_blocks(M, 250)
    F = truncated_svd(A, 15, method="krylov", max_passes=3, rng=0)
    F, same = dask.compute(F)[0], dask.compute(F, scheduler="threads")[0]
    np.testing.assert_allclose(F.s, same.s, rtol=1e-12)  # sums are on one tree; BLAS may differ with the alignment
    np.testing.assert_allclose(F.U, same.U, atol=1e-10)
    np.testing.assert_allclose(F.error, same.error, rtol=1e-8)
    assert truncated_svd(A, rtol=1e-3, method="krylov", rng=0).rank == truncated_svd(M, rtol=1e-3, rng=0).rank
    np.testing.assert_allclose(pinv(A, rtol=1e-3).compute(), np.linalg.pinv(M, rcond=1e-3), atol=1e-9)
    assert np.array_equal(interpolative(A, 9, method="cpqr").indices, interpolative(M, 9, method="cpqr").indices)
    K = M[:300] @ M[:300].T
    F, memory = nystrom(from_blocks(K, 70), 5, rng=0), nystrom(K, 5, method="krylov", rng=0)
    np.testing.assert_allclose(F.lam.compute(), memory.lam, rtol=1e-9)
    np.testing.assert_array_equal(project_simplex(A).compute(), project_simplex(M))


def test_blocks_that_are_kept_in_memory_are_not_computed_again(cluster, tmp_path):
    log = tmp_path / "reads"
    A = from_blocks(M, 250, log=str(log)).persist()
    distributed.wait(A)
    before = log.read_bytes()
    F, X = dask.compute(truncated_svd(A, 15, rng=0), pinv(A + 0, rtol=1e-3))
    assert log.read_bytes() == before
    np.testing.assert_allclose(F.s, S[:15], rtol=1e-9)
    np.testing.assert_allclose(X, np.linalg.pinv(M, rcond=1e-3), atol=1e-9)


def test_a_worker_that_is_lost_in_the_middle_changes_nothing(cluster, tmp_path):
    log = tmp_path / "reads"
    A = from_blocks(M, 100, seconds=0.1, log=str(log))  # three readings of twenty blocks, three seconds
    F = truncated_svd(A, 15, method="krylov", max_passes=3, rng=0)
    lost = cluster.run(os.getpid)
    pending = cluster.compute([F.U, F.s, F.Vt, F.error])
    before = time.monotonic()
    while len(log.read_bytes()) < 30:  # the second reading is on its way
        assert time.monotonic() - before < 120
        time.sleep(0.01)
    assert not any(each.done() for each in pending)
    os.kill(next(iter(lost.values())), signal.SIGKILL)
    U, s, Vt, error = cluster.gather(pending)
    same = dask.compute(F, scheduler="threads")[0]
    assert set(cluster.run(os.getpid).values()) != set(lost.values())
    np.testing.assert_allclose(s, same.s, rtol=1e-12)
    np.testing.assert_allclose(U, same.U, atol=1e-10)
    assert np.linalg.norm(M - (U * s) @ Vt) <= error


def test_parts_that_are_asked_for_one_by_one_while_others_are_at_work_belong_together(cluster):
    A = from_blocks(M, 100, seconds=0.02)
    F = truncated_svd(A, 15, method="krylov", max_passes=3, rng=0)
    s, U, error, Vt = cluster.gather([cluster.compute(part) for part in (F.s, F.U, F.error, F.Vt)])
    assert np.linalg.norm(M - (U * s) @ Vt) <= error


def tolerance_in_a_task(A):
    return truncated_svd(A, rtol=1e-3, method="krylov", rng=0).rank


def test_tasks_of_the_cluster_may_call_it_themselves(cluster):
    ranks = cluster.gather([cluster.submit(tolerance_in_a_task, from_blocks(M, 500), pure=False) for _ in range(3)])
    assert ranks == [truncated_svd(M, rtol=1e-3, rng=0).rank] * 3


def threads_at_work():
    """Return the threads among which lina's pool of four splits rows, and those of BLAS in a task of lina's."""
    lina.set_threads(4)
    seen = set()
    run_rows(lambda start, stop: seen.add((threading.get_ident(), start, stop)), 1000)
    return seen == {(threading.get_ident(), 0, 1000)}


def test_a_worker_starts_no_threads_of_its_own(cluster):
    assert cluster.submit(threads_at_work).result() is True
    assert not threads_at_work_here()


def threads_at_work_here():
    before = lina.get_threads()
    try:
        return threads_at_work()
    finally:
        lina.set_threads(before)
