"""What the tests of dask arrays share: a matrix in blocks, readings counted, and a cluster of two processes."""

import threading
import warnings
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest

# Without dask nothing here can be imported but the test that says so.
collect_ignore_glob = [] if find_spec("dask") else ["test_[!i]*.py"]


@pytest.fixture(autouse=True)
def threads_of_dask():
    """Run graphs on two threads of this process, unless a test has a cluster."""
    dask = pytest.importorskip("dask", reason="NOT TESTED: the block algorithms, because there is no dask")
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


@pytest.fixture
def counted():
    """Return a function that puts a matrix into blocks of rows, and a counter of how often each block was read."""
    import dask.array as da

    reads, lock = Counter(), threading.Lock()

    def read(block, block_info=None):
        with lock:
            reads[block_info[0]["chunk-location"]] += 1
        return block

    def make(M, chunks):
        return da.from_array(M, chunks=chunks).map_blocks(read, dtype=M.dtype, meta=np.empty((0, 0), dtype=M.dtype))

    return make, reads


@pytest.fixture(scope="module")
def cluster():
    """Return a client of two processes with one thread each."""
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ports and of event loops, at the end too
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
            distributed.Client(local) as client,
        ):
            yield client
