"""A thread pool that splits rows, with BLAS held to one thread while its tasks run.

numba's own threads are not used: with GNU OpenMP a forked child dies at its first parallel kernel, and the
workqueue layer aborts the process on a second Python thread.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Any


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Pool:
    """The pool and its size; one instance, forgotten by forked children because threads do not survive a fork."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.reset()

    def reset(self) -> None:
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.inside = threading.local()

    def resize(self, size: int) -> None:
        with self.lock:
            old, self.executor, self.size = self.executor, None, size
        if old is not None:
            old.shutdown(wait=False)

    def submit_all(self, tasks: list[Callable[[], None]]) -> None:
        with self.lock:
            if self.executor is None:
                self.executor = ThreadPoolExecutor(self.size, thread_name_prefix="lina")
            futures = [self.executor.submit(self._run_inside, task) for task in tasks]
        wait(futures)  # all of them, also where one fails: none may write when the caller goes on
        for future in futures:
            future.result()

    def _run_inside(self, task: Callable[[], None]) -> None:
        self.inside.value = True
        task()


def _initial_size() -> int:
    text = os.environ.get("LINA_NUM_THREADS", "")
    if not text:
        return available_cpus()
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"the environment variable LINA_NUM_THREADS must be a positive integer, got {text!r}")
    return int(text)


_pool = _Pool(_initial_size())


def set_threads(count: int) -> None:
    """Set the number of threads over which lina's own kernels split their rows.

    The threads of BLAS are not lina's and keep their own setting (``threadpoolctl`` changes it).

    Parameters
    ----------
    count : int
        At least 1. The default is the number of CPUs that the process may use, or the environment variable
        ``LINA_NUM_THREADS``.

    Raises
    ------
    TypeError
        If ``count`` is no integer.
    ValueError
        If ``count`` is below 1.

    Examples
    --------
    >>> import lina
    >>> before = lina.get_threads()
    >>> lina.set_threads(1)
    >>> lina.get_threads()
    1
    >>> lina.set_threads(before)
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count must be an int, got {type(count).__name__}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    _pool.resize(count)


def get_threads() -> int:
    """Return the number of threads over which lina's own kernels split their rows."""
    return _pool.size


def run_rows(task: Callable[[int, int], None], rows: int, *, smallest: int = 1) -> None:
    """Call ``task(start, stop)`` over ranges that cover ``rows``, on the pool where there is enough work.

    ``smallest`` is the number of rows that is worth a thread. The ranges depend on the number of threads, so a
    task must treat each row by itself: then the bits of the result do not depend on it.
    """
    parts = 1 if _among_others() else min(_pool.size, rows // max(1, smallest))
    if parts <= 1:
        task(0, rows)
        return
    bounds = [rows * i // parts for i in range(parts + 1)]
    tasks = [_bind(task, bounds[i], bounds[i + 1]) for i in range(parts)]
    with one_blas_thread():
        _pool.submit_all(tasks)


def _among_others() -> bool:
    """Whether this thread is one of many at work: of the pool, or with a task of a worker of dask."""
    if getattr(_pool.inside, "value", False):
        return True
    get_worker = getattr(sys.modules.get("distributed"), "get_worker", None)
    if get_worker is None:
        return False
    try:
        get_worker()
    except ValueError:
        return False
    return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the pool and BLAS work in the caller's own thread: it is one of many already."""
    before = getattr(_pool.inside, "value", False)
    _pool.inside.value = True
    try:
        with one_blas_thread():
            yield
    finally:
        _pool.inside.value = before


def _bind(task: Callable[[int, int], None], start: int, stop: int) -> Callable[[], None]:
    return lambda: task(start, stop)


class _BlasLimit:
    """Counts the callers inside, because the limit is one global of the BLAS library: last one out restores it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limiter: Any = None


_blas = _BlasLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread for the duration of the block."""
    with _blas.lock:
        if _blas.inside == 0:
            _blas.limiter = _blas_controller().limit(limits=1)
        _blas.inside += 1
    try:
        yield
    finally:
        with _blas.lock:
            _blas.inside -= 1
            if _blas.inside == 0:
                _blas.limiter.restore_original_limits()


@cache
def _blas_controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _forget_after_fork() -> None:
    _pool.reset()
    _blas.lock = threading.Lock()
    _blas.inside = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
