"""Faults from outside: no memory, callbacks that raise, no driver.

The caller sees the error that was raised, and the next call is right.
"""

import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import lina
from lina._core.threads import run_rows
from lina.linalg import RowBlocks, StreamingSVD, cur, interpolative, nystrom, pinv, qr_pivoted, truncated_svd
from lina.simplex import entmax, min_enclosing_ball, minimize, project_simplex, simplex_qp, softmax
from tests.cuda_on_cpu.fake_cupy import FakeCupy
from tests.linalg.matrices import with_spectrum


class BrokenError(Exception):
    """What no function of lina raises or catches."""


def blas_threads():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


X = np.random.default_rng(0).standard_normal((300, 90))
A = with_spectrum(np.random.default_rng(1), 90, 60, np.geomspace(1, 1e-3, 60))
CALLS = {
    "pinv": lambda: pinv(A),
    "truncated_svd": lambda: truncated_svd(A, 5, method="krylov", rng=0).toarray(),
    "interpolative": lambda: interpolative(A, 5, rng=0).toarray(),
    "qr_pivoted": lambda: qr_pivoted(A).R,
    "cur": lambda: cur(A, 5, rng=0).toarray(),
    "nystrom": lambda: nystrom(A.T @ A, 5, rng=0).toarray(),
    "project_simplex": lambda: project_simplex(X),
    "softmax": lambda: softmax(X),
    "entmax": lambda: entmax(X),
    "simplex_qp": lambda: simplex_qp(A.T @ A).x,
    "min_enclosing_ball": lambda: min_enclosing_ball(X).center,
    "legs_scan": lambda: lina.hippo.legs_scan(X, 8),
    "fftconv": lambda: lina.ssm.fftconv(X[0], X[1]),
    "rotate": lambda: lina.rope.rotate(X, np.arange(300), np.ones(45)),
}


# What makes arrays, and the calls that use it.
MAKERS = {
    "empty": ("pinv", "truncated_svd", "nystrom", "fftconv"),
    "zeros": ("pinv", "truncated_svd", "interpolative", "qr_pivoted", "cur", "nystrom", "simplex_qp", "legs_scan"),
    "concatenate": ("pinv", "truncated_svd", "interpolative", "qr_pivoted", "cur", "nystrom", "min_enclosing_ball"),
    "empty_like": ("qr_pivoted", "project_simplex", "softmax", "entmax"),
    "ascontiguousarray": ("project_simplex", "softmax", "entmax", "simplex_qp", "min_enclosing_ball", "legs_scan"),
}


@pytest.fixture
def two_blas_threads():
    """Let BLAS have two threads, whatever the environment says: what is put back afterwards can then be told."""
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.usefixtures("two_blas_threads")
@pytest.mark.parametrize(("maker", "name"), [(maker, name) for maker, names in MAKERS.items() for name in names])
def test_a_lack_of_memory_reaches_the_caller_and_the_next_call_is_right(name, maker, monkeypatch, threads):
    threads(2)
    call = CALLS[name]
    expected, before = call(), blas_threads()
    real, calls = getattr(np, maker), []

    def count(*args, **options):
        calls.append(maker)
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, maker, count)
        call()
    assert calls
    for failing in sorted({0, len(calls) // 2, len(calls) - 1}):
        made = []

        def scarce(*args, made=made, failing=failing, **options):
            made.append(maker)
            if len(made) > failing:
                raise MemoryError
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(np, maker, scarce)
            with pytest.raises(MemoryError):
                call()
        assert blas_threads() == before
        np.testing.assert_array_equal(call(), expected)


LITTLE = """
import resource
import numpy as np
import lina
small = np.random.default_rng(0).standard_normal((30, 20))
calls = {
    "pinv": lambda x: lina.linalg.pinv(x),
    "qr_pivoted": lambda x: lina.linalg.qr_pivoted(x).R,
    "truncated_svd": lambda x: lina.linalg.truncated_svd(x, 3, rng=0).s,
    "softmax": lambda x: lina.simplex.softmax(x),
    "project_simplex": lambda x: lina.simplex.project_simplex(x),
    "fftconv": lambda x: lina.ssm.fftconv(x, x[:, :5]),
    "rotate": lambda x: lina.rope.rotate(x, np.arange(x.shape[0]), np.ones(3)),
}
before = {name: call(small) for name, call in calls.items()}
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000,) * 2)
large = np.broadcast_to(np.float64(0.5), (60_000, 60_000))
for name, call in calls.items():
    try:
        call(large)
        found = "a result"
    except MemoryError:
        found = "MemoryError"
    print(name, found, np.array_equal(call(small), before[name]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: memory can be limited on Linux only")
def test_input_larger_than_the_memory_is_a_memory_error_and_the_process_lives_on():
    done = subprocess.run([sys.executable, "-c", LITTLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert len(lines) == 7
    assert {rest for _, rest in lines} == {"MemoryError True"}


def raising(after, function):
    """Return ``function`` with an error at its call number ``after``."""
    calls = []

    def call(*args):
        calls.append(args)
        if len(calls) > after:
            raise BrokenError
        return function(*args)

    return call


def quadratic(x):
    return 0.5 * float(x @ A.T @ A @ x), A.T @ A @ x


class Operator:
    """A matrix as its products, which raise."""

    def __init__(self, matrix):
        self.shape, self.dtype = matrix.shape, matrix.dtype
        self.matmat = self.rmatmat = raising(0, lambda x: x)


def blocks(after):
    for start in range(0, 90, 30):
        if start >= 30 * after:
            raise BrokenError
        yield A[start : start + 30]


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize(
    "call",
    [
        lambda after: minimize(raising(after, quadratic), n=60, rtol=0),
        lambda after: minimize(quadratic, n=60, rtol=0, callback=raising(after, lambda step: None)),
        lambda after: simplex_qp(A.T @ A, rtol=0, method="pairwise", callback=raising(after, lambda step: None)),
        lambda after: truncated_svd(RowBlocks(lambda: blocks(after)), 5, rng=0),
        lambda after: truncated_svd(Operator(A if after else A.T), 5, rng=0),
    ],
    ids=["objective", "callback", "callback of a solver", "source of blocks", "operator"],
)
def test_what_a_callback_raises_reaches_the_caller_as_it_is(call, after):
    with pytest.raises(BrokenError):
        call(after)
    assert simplex_qp(np.eye(3)).certified


def test_a_stream_that_was_interrupted_goes_on_from_its_last_whole_block():
    stream, whole = StreamingSVD(A.shape, 5, rng=0), StreamingSVD(A.shape, 5, rng=0)
    whole.append(A[:30]).append(A[30:])
    stream.append(A[:30])
    with pytest.raises(ValueError, match="must be finite"):
        stream.append(np.full((60, 60), np.nan))
    with pytest.raises(TypeError):
        stream.append("rows")
    stream.append(A[30:])
    np.testing.assert_array_equal(stream.finalize().U, whole.finalize().U)


@pytest.mark.usefixtures("two_blas_threads")
def test_a_task_that_fails_does_not_leave_the_others_running(threads):
    threads(3)
    done, before = [], blas_threads()

    def task(start, stop):
        if start == 0:
            raise BrokenError
        time.sleep(0.05)
        done.append((start, threading.current_thread().name))

    with pytest.raises(BrokenError):
        run_rows(task, 3)
    assert sorted(start for start, _ in done) == [1, 2]
    assert blas_threads() == before


class WithoutDriver(FakeCupy):
    """cupy where no device is: arrays cannot be made, and kernels not be compiled."""

    __name__ = "cupy"

    def __init__(self):
        self.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=self.refuse))

    @staticmethod
    def refuse(*args, **options):
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    empty = RawModule = refuse


@pytest.mark.parametrize("present", [WithoutDriver(), types.ModuleType("cupy"), None])
@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_the_cpu_need_no_driver(name, present, monkeypatch):
    expected = CALLS[name]()
    monkeypatch.setitem(sys.modules, "cupy", present)  # None: the import of it fails
    np.testing.assert_array_equal(CALLS[name](), expected)


def test_the_report_on_the_machine_says_what_cupy_says(monkeypatch):
    from lina._tour import info

    monkeypatch.setattr(info, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "cupy", WithoutDriver())
    assert info._gpu() == "not used: cupy says: cudaErrorNoDevice: no CUDA-capable device is detected"
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert info._gpu().startswith("not used: cupy says: import of cupy halted")


def test_a_kernel_that_cannot_be_compiled_without_a_device_says_so(monkeypatch):
    from lina._cuda.load import load

    load.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", WithoutDriver())
    with pytest.raises(RuntimeError, match="cudaErrorNoDevice"):
        load("entmax", "float64")
    load.cache_clear()
