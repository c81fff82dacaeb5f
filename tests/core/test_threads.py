"""The thread pool: rows are split, BLAS is held to one thread, forks survive, bad settings are named."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import lina
from lina._core.threads import one_blas_thread, one_thread, run_rows


def blas_threads():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_row_is_done_exactly_once(rows, count, threads):
    threads(count)
    done = np.zeros(rows, dtype=int)

    def task(start, stop):
        done[start:stop] += 1

    run_rows(task, rows)
    assert np.all(done == 1)


def test_blas_has_one_thread_inside_and_its_own_number_outside(threads):
    threads(2)
    before, inside = blas_threads(), []
    run_rows(lambda start, stop: inside.append(blas_threads()), 2)
    assert inside == [{1}, {1}]
    assert blas_threads() == before


def test_concurrent_callers_leave_blas_as_it_was():
    before = blas_threads()

    def hold(seconds):
        with one_blas_thread():
            time.sleep(seconds)

    workers = [threading.Thread(target=hold, args=(0.01 * i,)) for i in (3, 1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert blas_threads() == before


def test_small_work_stays_on_the_callers_thread(threads):
    threads(4)
    where = []
    run_rows(lambda start, stop: where.append(threading.current_thread()), 10, smallest=11)
    assert where == [threading.current_thread()]


def test_a_task_that_splits_its_own_rows_does_not_wait_for_itself(threads):
    threads(2)
    done = np.zeros((4, 5), dtype=int)

    def outer(start, stop):
        for i in range(start, stop):
            run_rows(lambda a, b, i=i: done[i].__setitem__(slice(a, b), 1), 5)

    run_rows(outer, 4)
    assert np.all(done == 1)


def test_an_error_in_a_task_reaches_the_caller(threads):
    threads(2)

    def task(start, stop):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_rows(task, 4)


def batch_pinv(_=None):
    A = np.random.default_rng(0).standard_normal((4000, 8, 4))
    return lina.linalg.pinv(A)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT TESTED: this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_a_task_of_another_pool_is_done_in_its_own_thread_and_with_one_of_blas(threads):
    threads(4)
    before, seen = blas_threads(), []
    with one_thread():
        run_rows(lambda start, stop: seen.append((threading.get_ident(), start, stop, blas_threads())), 100)
    assert seen == [(threading.get_ident(), 0, 100, {1})]
    assert blas_threads() == before
    run_rows(lambda start, stop: seen.append(start), 100)
    assert len(seen) == 5


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")  # of jax, where another test has loaded it
def test_a_child_process_computes_after_its_parent_has(method, threads):
    threads(2)
    expected = batch_pinv()
    with multiprocessing.get_context(method).Pool(2) as pool:
        for found in pool.map_async(batch_pinv, range(2)).get(timeout=120):
            np.testing.assert_array_equal(found, expected)


def test_four_threads_of_fifty_calls_agree(threads):
    threads(2)
    expected, found = batch_pinv(), []

    def work():
        found.extend(np.array_equal(batch_pinv(), expected) for _ in range(50))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [True] * 200


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_bad_number_of_threads_is_refused(count, error):
    with pytest.raises(error, match="count must be"):
        lina.set_threads(count)


def test_the_environment_sets_the_number_and_a_bad_one_is_named():
    code = "import lina; print(lina.get_threads())"
    good = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "LINA_NUM_THREADS": "3"}, capture_output=True, text=True
    )
    assert good.stdout.strip() == "3"
    bad = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "LINA_NUM_THREADS": "many"}, capture_output=True, text=True
    )
    assert "LINA_NUM_THREADS must be a positive integer, got 'many'" in bad.stderr
