"""Threads, forks and spawned processes: a caller never sees that there are others."""

import multiprocessing
import os
import threading

import numpy as np
import pytest

import lina
from lina._core.threads import _pool as pool
from lina.linalg import pinv, truncated_svd
from lina.simplex import entmax, project_capped_simplex, project_simplex, simplex_qp, softmax

CALLS = 50


def rows(n=256, count=2000):
    return np.random.default_rng(0).standard_normal((count, n))


# large enough that the kernels split the work over the pool
KERNELS = {
    "entmax": lambda: entmax(rows()),
    "kernel_diag": lambda: lina.ssm.kernel_diag(
        -np.exp(rows(8, 500)) + 1j * rows(8, 500), rows(8, 500), rows(8, 500), 0.01, 2048
    ),
    "legs_scan": lambda: lina.hippo.legs_scan(rows(512, 256), 32),
    "pinv": lambda: pinv(rows(32, 8000).reshape(8000, 8, 4)),
    "project_capped_simplex": lambda: project_capped_simplex(rows(), total=3.0),
    "project_simplex": lambda: project_simplex(rows()),
    "project_simplex (long)": lambda: project_simplex(rows(1 << 18, 1)),
    "simplex_qp": lambda: simplex_qp(np.eye(8) + 0.1 * np.ones((800, 8, 8)), rows(8, 800)).x,
    "softmax": lambda: softmax(rows()),
    "truncated_svd": lambda: truncated_svd(rows(60, 90), 5, rng=0).toarray(),
}
each_kernel = pytest.mark.parametrize("name", KERNELS)


def answer(name):
    """Return the answer in a process of its own, with two threads."""
    lina.set_threads(2)
    return KERNELS[name]()


@pytest.mark.parametrize("name", sorted(KERNELS.keys() - {"truncated_svd"}))  # whose threads are those of BLAS
def test_the_work_is_split(name, threads, monkeypatch):
    threads(2)
    tasks, submit_all = [], pool.submit_all
    monkeypatch.setattr(pool, "submit_all", lambda some: (tasks.extend(some), submit_all(some)))
    KERNELS[name]()
    assert len(tasks) >= 2


@each_kernel
def test_four_threads_of_fifty_calls_give_the_bits_of_one(name, threads):
    threads(2)
    expected, same = KERNELS[name](), []

    def work():
        same.extend(np.array_equal(KERNELS[name](), expected) for _ in range(CALLS))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert same == [True] * (4 * CALLS)


@each_kernel
def test_the_bits_are_those_of_any_number_of_threads(name, threads):
    answers = []
    for count in (1, 2, 3, 4):
        threads(count)
        answers.append(KERNELS[name]())
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT TESTED: this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_children_forked_after_use_give_the_bits_of_their_parent(threads):
    threads(2)
    expected = {name: call() for name, call in KERNELS.items()}
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for name, found in zip(KERNELS, pool.map_async(answer, KERNELS).get(timeout=300), strict=True):
            np.testing.assert_array_equal(found, expected[name])
    np.testing.assert_array_equal(KERNELS["softmax"](), expected["softmax"])


def test_spawned_children_give_the_bits_of_their_parent(threads):
    threads(2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for name, found in zip(KERNELS, pool.map_async(answer, KERNELS).get(timeout=300), strict=True):
            np.testing.assert_array_equal(found, KERNELS[name]())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT TESTED: this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_a_child_forked_while_threads_compute_does_not_wait_for_them(threads):
    threads(2)
    expected, stop = KERNELS["softmax"](), threading.Event()

    def work():
        while not stop.is_set():
            KERNELS["softmax"]()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(5):
            with multiprocessing.get_context("fork").Pool(1) as pool:
                found = pool.apply_async(answer, ("softmax",)).get(timeout=60)
            np.testing.assert_array_equal(found, expected)
    finally:
        stop.set()
        worker.join()
