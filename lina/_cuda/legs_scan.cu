// The scan of LegS over time: one warp per channel, 32 steps in flight. REAL is float or double.
//
// The step t of a group of 32 is at the entry j - t while the first is at j: it needs what the step before it wrote
// one iteration ago, which a shuffle brings. Steps are counted against the lanes, so that it comes from the next
// lane. A lane that has done its step goes on with the one 32 later; the state between two groups lies in shared
// memory. A state is the sum of two numbers: increments are added to the small one, which otherwise would round to
// nothing against the state after many steps, and the last of the 32 steps moves what it can to the large one.

extern __shared__ REAL shared[];

struct Step {
  REAL e, p, q, g, s;
};

// The step (e I - p A) y = (e I + q A) z + g B u of method 0 (bilinear in ln k), 1 (bilinear) or 2 (backward), from
// k to k + 1 samples; the first is the limit in which nothing was before.
__device__ Step start(double u, int k, int method) {
  double p = 1, q = 0;
  if (k > 0 && method == 0) p = q = log1p(1.0 / k) / 2;
  if (k > 0 && method == 1) {
    p = 0.5 / (k + 1.0);
    q = 0.5 / k;
  }
  if (k > 0 && method == 2) p = 1 / (k + 1.0);
  const REAL e = k > 0;
  return {e, (REAL)p, (REAL)q, (REAL)(p + q), (REAL)((p + q) * u)};
}

// u (channels, L), x (channels, N) in and out, states (channels, L, N) or null. Dynamic shared memory:
// 2 * N REALs for each warp of the block.
extern "C" __global__ void legs_scan(const REAL* u, REAL* x, REAL* states, int every, int channels, int L, int N,
                                     int k0, int method) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = 31 - lane;
  const int channel = blockIdx.x * (blockDim.x / 32) + warp;
  if (channel >= channels) return;  // all lanes of a warp together
  REAL* large = shared + 2 * N * warp;
  REAL* small = large + N;
  for (int n = lane; n < N; n += 32) {
    large[n] = x[(size_t)channel * N + n];
    small[n] = 0;
  }
  __syncwarp();
  const int period = N > 32 ? N : 32;
  const long long iterations = (long long)((L + 31) / 32 - 1) * period + N + 31;
  Step now = {1, 0, 0, 0, 0};
  REAL high = 0, low = 0;
  int n = -t, step = t;
  for (long long i = 0; i < iterations; ++i) {
    high = __shfl_down_sync(0xffffffff, high, 1);
    low = __shfl_down_sync(0xffffffff, low, 1);
    if (n == 0) {
      if (step < L) {
        now = start(u[(size_t)channel * L + step], k0 + step, method);
      } else {
        now = {1, 0, 0, 0, 0};  // moves nothing
      }
    }
    if (n >= 0 && n < N) {
      if (t == 0) {
        high = large[n];
        low = small[n];
      }
      const REAL r = sqrt((REAL)(2 * n + 1)), degree = n + 1, z = high + low;
      low += (r * now.s - now.g * degree * z) / (now.e + now.p * degree);
      const REAL y = high + low;
      now.s -= r * (now.p * y + now.q * z);
      if (every && step < L) states[((size_t)channel * L + step) * N + n] = y;
      if (t == 31) {
        large[n] = y;
        small[n] = low - (y - high);
      }
    }
    if (++n == period) {
      n = 0;
      step += 32;
    }
    __syncwarp();
  }
  for (int j = lane; j < N; j += 32) x[(size_t)channel * N + j] = large[j] + small[j];
}
