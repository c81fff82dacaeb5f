// Runs CUDA C++ text on the CPU: one fibre per CUDA thread, block after block, in a chosen order of fibres.
//
// Caught: barriers that not all threads reach, or reach at different lines; shuffles that not all lanes
// reach; writes beyond the dynamic shared memory; reads of shared memory that was never written (it is
// poisoned); and, by comparing orders, races between barriers, of warps that run ahead too. Not caught: the memory model of a device,
// misaligned access, time and occupancy.
#pragma once
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// the one storage class that may follow "extern" and is static within a function
#define __shared__ thread_local

struct dim3 {
  unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cuda_on_cpu {

enum Fault { NONE, DIVERGENT_BARRIER, LEFT_BEFORE_BARRIER, SHARED_OVERRUN, PARTIAL_MASK };
enum State { READY, AT_WARP_BARRIER, AT_BLOCK_BARRIER, DONE };
enum Order { FORWARD, BACKWARD, SHUFFLED, EAGER };

constexpr size_t STACK = 128 * 1024, CAPACITY = 48 * 1024, FENCE = 4 * 1024;
constexpr unsigned char POISON = 0xCD;

struct Fibre {
  ucontext_t context;
  State state;
  int line;
  dim3 index;
  unsigned char slot[8];
};

static ucontext_t scheduler;
static std::vector<Fibre> fibres;
static std::unique_ptr<char[]> stacks;
static std::function<void()> body;
static int current;
static Fault fault;

inline void enter() {
  body();
  fibres[current].state = DONE;
}

inline void wait(State barrier, int line) {
  Fibre& self = fibres[current];
  self.state = barrier;
  self.line = line;
  swapcontext(&self.context, &scheduler);
}

template <class T>
T shuffle(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) <= sizeof(Fibre::slot));
  if (mask != 0xffffffff) fault = PARTIAL_MASK;
  const int lane = current % 32, other = current - lane + source;
  memcpy(fibres[current].slot, &value, sizeof(T));
  wait(AT_WARP_BARRIER, line);
  if (source < 32 && other < (int)fibres.size()) memcpy(&value, fibres[other].slot, sizeof(T));
  wait(AT_WARP_BARRIER, line);
  return value;
}

// Let the fibres first..last-1 go on if all of them wait at this barrier; return whether they do.
inline bool release(int first, int last, State barrier) {
  const auto begin = fibres.begin() + first, end = fibres.begin() + last;
  const auto waiting = std::count_if(begin, end, [&](const Fibre& f) { return f.state == barrier; });
  const auto done = std::count_if(begin, end, [&](const Fibre& f) { return f.state == DONE; });
  if (waiting > 0 && done > 0) fault = LEFT_BEFORE_BARRIER;
  if (waiting < last - first) return false;
  const auto elsewhere = [&](const Fibre& f) { return f.line != begin->line; };
  if (std::any_of(begin, end, elsewhere)) fault = DIVERGENT_BARRIER;
  std::for_each(begin, end, [&](Fibre& f) { f.state = READY; });
  return true;
}

inline void create(int t) {
  Fibre& fibre = fibres[t];
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = stacks.get() + t * STACK;
  fibre.context.uc_stack.ss_size = STACK;
  fibre.context.uc_link = &scheduler;
  makecontext(&fibre.context, enter, 0);
  fibre.state = READY;
  fibre.index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

// Run the ready ones among the fibres first..last-1 of a turn until each waits or is done.
inline void resume(const std::vector<int>& turn, int first, int last) {
  for (int i = first; i < last; ++i) {
    const int t = turn[i];
    if (fibres[t].state != READY) continue;
    current = t;
    threadIdx = fibres[t].index;
    swapcontext(&scheduler, &fibres[t].context);
  }
}

// Run one warp after the other, each as far as it comes without the others.
inline void run_warps(const std::vector<int>& turn, std::mt19937& random) {
  const int threads = turn.size();
  std::vector<int> warps((threads + 31) / 32);
  std::iota(warps.begin(), warps.end(), 0);
  std::shuffle(warps.begin(), warps.end(), random);
  for (int w : warps) {
    const int first = 32 * w, last = std::min(first + 32, threads);
    do resume(turn, first, last);
    while (fault == NONE && release(first, last, AT_WARP_BARRIER));
  }
}

inline void run_block(Order order, std::mt19937& random) {
  const int threads = fibres.size();
  std::vector<int> turn(threads);
  std::iota(turn.begin(), turn.end(), 0);
  if (order == BACKWARD) std::reverse(turn.begin(), turn.end());
  for (int t = 0; t < threads; ++t) create(t);
  while (fault == NONE) {
    if (order == SHUFFLED) std::shuffle(turn.begin(), turn.end(), random);
    if (order == EAGER) run_warps(turn, random);
    if (order != EAGER) resume(turn, 0, threads);
    if (std::all_of(fibres.begin(), fibres.end(), [](const Fibre& f) { return f.state == DONE; })) return;
    bool released = release(0, threads, AT_BLOCK_BARRIER);
    for (int t = 0; t < threads; t += 32) released |= release(t, std::min(t + 32, threads), AT_WARP_BARRIER);
    if (!released && fault == NONE) fault = DIVERGENT_BARRIER;
  }
}

template <class... P, size_t... I>
void call(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<P*>(arguments[I])...);
}

// shared is CAPACITY + FENCE bytes; a kernel may write the first shared_bytes of them.
template <class... P>
int launch(void (*kernel)(P...), void** arguments, const unsigned* grid, const unsigned* block, void* shared,
           size_t shared_bytes, int order, unsigned seed) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  fibres.resize(block[0] * block[1] * block[2]);
  stacks.reset(new char[fibres.size() * STACK]);
  body = [=] { call(kernel, arguments, std::index_sequence_for<P...>{}); };
  fault = NONE;
  std::mt19937 random(seed);
  for (unsigned b = 0; b < grid[0] * grid[1] * grid[2] && fault == NONE; ++b) {
    blockIdx = {b % grid[0], b / grid[0] % grid[1], b / grid[0] / grid[1]};
    memset(shared, POISON, CAPACITY + FENCE);
    run_block((Order)order, random);
    const unsigned char *bytes = (const unsigned char*)shared, *end = bytes + CAPACITY + FENCE;
    const bool written = std::any_of(bytes + shared_bytes, end, [](auto byte) { return byte != POISON; });
    if (fault == NONE && written) fault = SHARED_OVERRUN;
  }
  return fault;
}

}  // namespace cuda_on_cpu

inline void sincospi(double x, double* sine, double* cosine) {
  const double half_turns = x - 2 * floor(x / 2);
  *sine = sin(M_PI * half_turns);
  *cosine = cos(M_PI * half_turns);
}

#define __syncthreads() cuda_on_cpu::wait(cuda_on_cpu::AT_BLOCK_BARRIER, __LINE__)
#define __syncwarp(...) cuda_on_cpu::wait(cuda_on_cpu::AT_WARP_BARRIER, __LINE__)
#define __shfl_xor_sync(mask, value, lanes) \
  cuda_on_cpu::shuffle(mask, value, (cuda_on_cpu::current % 32) ^ (lanes), __LINE__)
#define __shfl_down_sync(mask, value, delta) \
  cuda_on_cpu::shuffle(mask, value, (cuda_on_cpu::current % 32) + (delta), __LINE__)
