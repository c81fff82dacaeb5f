"""The shim itself: it runs correct kernels, and it notices what a device would not forgive."""

import numpy as np
import pytest

from tests.cuda_on_cpu.compile import GXX, NO_GXX, ORDERS, KernelError, compile_text
from tests.cuda_on_cpu.fake_cupy import FakeCupy

pytestmark = [pytest.mark.cuda_text, pytest.mark.skipif(GXX is None, reason=NO_GXX)]

THREADS = 64

TEXT = """
extern __shared__ int shared[];

extern "C" __global__ void where_am_i(int* out) {
  const int block = blockIdx.x + gridDim.x * blockIdx.y;
  out[block * blockDim.x * blockDim.y + threadIdx.y * blockDim.x + threadIdx.x] =
      1000 * blockIdx.y + 100 * blockIdx.x + 10 * threadIdx.y + threadIdx.x;
}

extern "C" __global__ void neighbour(int* out, int guarded) {
  shared[threadIdx.x] = threadIdx.x;
  if (guarded) __syncthreads();
  out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

extern "C" __global__ void butterfly(int* out) {
  int sum = threadIdx.x;
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffff, sum, offset);
  out[threadIdx.x] = sum;
}

extern "C" __global__ void warps_that_overtake(int* out, int guarded) {
  for (int i = 1; i < 9; ++i) {
    const int sum = __shfl_xor_sync(0xffffffff, i, 1);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = sum;
    __syncthreads();
    for (int w = 0; w < blockDim.x / 32; ++w) out[threadIdx.x] += i * shared[w];
    if (guarded) __syncthreads();
  }
}

extern "C" __global__ void slide(double* out, int delta) {
  out[threadIdx.x] = __shfl_down_sync(0xffffffff, 0.5 * threadIdx.x, delta);
}

extern "C" __global__ void warps_apart(int* out) {
  if (threadIdx.x < 32) {
    __syncwarp();
    __syncwarp();
  }
  out[threadIdx.x] = 1;
}

extern "C" __global__ void two_barriers(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

extern "C" __global__ void warp_and_block_barrier(int* out) {
  if (threadIdx.x % 2) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

extern "C" __global__ void early_leaver(int* out) {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

extern "C" __global__ void unequal_loops(int* out) {
  for (int i = 0; i < (threadIdx.x == 3 ? 2 : 3); ++i) __syncthreads();
}

extern "C" __global__ void lane_that_skips_a_shuffle(int* out) {
  if (threadIdx.x != 7) out[threadIdx.x] = __shfl_xor_sync(0xffffffff, 1, 1);
}

extern "C" __global__ void half_mask(int* out) { out[threadIdx.x] = __shfl_xor_sync(0xffff, 1, 1); }

extern "C" __global__ void unwritten(int* out) {
  out[blockIdx.x] = shared[0];
  shared[0] = 1;
}

extern "C" __global__ void one_too_far(int* out, int size) { shared[size] = 1; }
"""


def launch(name, *scalars, grid=(1,), block=(THREADS,), size=THREADS, dtype="int32", order="forward", shared=THREADS):
    out = np.zeros(size, dtype=dtype)
    arguments = (out, *map(np.int32, scalars))
    compile_text(TEXT).launch(name, grid, block, arguments, shared * 4, order, seed=3)
    return out


def test_every_thread_of_every_block_runs_once_with_its_own_indices():
    found = launch("where_am_i", grid=(3, 2), block=(4, 2), size=48)
    expected = [1000 * b + 100 * a + 10 * y + x for b in range(2) for a in range(3) for y in range(2) for x in range(4)]
    assert found.tolist() == expected


@pytest.mark.parametrize("order", ORDERS)
def test_a_guarded_exchange_is_right_in_every_order(order):
    assert np.array_equal(launch("neighbour", 1, order=order), (np.arange(THREADS) + 1) % THREADS)


def test_a_race_gives_three_results_in_three_orders():
    forward, backward, shuffled = (launch("neighbour", 0, order=order) for order in ("forward", "backward", "shuffled"))
    assert not np.array_equal(forward, backward)
    assert not np.array_equal(forward, shuffled)
    assert not np.array_equal(backward, shuffled)


def test_a_race_of_a_warp_that_overtakes_another_shows_in_the_eager_order_alone():
    right = launch("warps_that_overtake", 1)
    for order in ORDERS:
        assert np.array_equal(launch("warps_that_overtake", 1, order=order), right)
        assert np.array_equal(launch("warps_that_overtake", 0, order=order), right) == (order != "eager")


@pytest.mark.parametrize("order", ORDERS)
def test_shuffles_stay_within_their_warp(order):
    assert np.array_equal(launch("butterfly", order=order), np.repeat([496, 496 + 32 * 32], 32))
    lane = np.arange(THREADS) % 32
    moved = np.where(lane + 3 < 32, 3, 0)
    assert np.array_equal(launch("slide", 3, dtype="float64", order=order), (np.arange(THREADS) + moved) / 2)


def test_a_barrier_of_one_warp_does_not_concern_the_other():
    assert np.array_equal(launch("warps_apart"), np.ones(THREADS))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("kernel", "fault"),
    [
        ("two_barriers", "divergent barrier"),
        ("warp_and_block_barrier", "divergent barrier"),
        ("early_leaver", "left before a barrier"),
        ("unequal_loops", "left before a barrier"),
        ("lane_that_skips_a_shuffle", "left before a barrier"),
        ("half_mask", "partial mask"),
    ],
)
def test_a_barrier_that_not_all_threads_reach_is_a_fault(kernel, fault, order):
    with pytest.raises(KernelError, match=fault):
        launch(kernel, order=order)


def test_shared_memory_is_poisoned_before_every_block():
    poison = np.frombuffer(b"\xcd" * 4, dtype="int32")[0]
    assert launch("unwritten", grid=(3,), block=(1,), size=3).tolist() == [poison] * 3


def test_a_write_beyond_the_shared_memory_is_a_fault():
    launch("one_too_far", THREADS - 1)
    with pytest.raises(KernelError, match="beyond the dynamic shared memory"):
        launch("one_too_far", THREADS)


@pytest.mark.parametrize(
    ("grid", "block", "shared_mem"),
    [((1,), (1025,), 0), ((1,), (32,), 49153), ((2**31,), (32,), 0), ((0,), (32,), 0)],
)
def test_the_fake_cupy_refuses_what_a_device_refuses(grid, block, shared_mem):
    kernel = FakeCupy().RawModule(code=TEXT, options=("--std=c++17",)).get_function("warps_apart")
    out = np.zeros(2048, dtype="int32")
    kernel((1,), (64,), (out,), shared_mem=0)
    with pytest.raises(AssertionError):
        kernel(grid, block, (out,), shared_mem=shared_mem)


@pytest.mark.parametrize("arguments", [(), (1,), (np.zeros((8, 2), dtype="int32")[:, 0],)])
def test_missing_arguments_bare_integers_and_strided_arrays_are_refused(arguments):
    with pytest.raises(AssertionError):
        compile_text(TEXT).launch("warps_apart", (1,), (8,), arguments)
