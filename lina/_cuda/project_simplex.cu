// Projection of rows onto the simplex: one block per row. REAL is float or double; all sums are in double.
//
// Newton's method on the sum of max(z - t, 0), z the entries less the largest over the radius, comes up from a
// lower bound and never passes the threshold: at most 60 steps, 3 to 8 on most rows. Every sum has a fixed order,
// so the result does not depend on the scheduling. blockDim.x is a multiple of 32.

extern __shared__ double shared[];

__device__ double add(double a, double b) { return a + b; }

__device__ double larger(double a, double b) { return a > b ? a : b; }

// Combine the values of all threads; every thread returns the same bits.
template <double combine(double, double)>
__device__ double over_block(double value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    value = combine(value, __shfl_xor_sync(0xffffffff, value, offset));
  }
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
  for (int i = 1; i < blockDim.x / 32; ++i) value = combine(value, shared[i]);
  __syncthreads();
  return value;
}

// The threshold of a row whose largest entry is finite, for a positive radius, in units of it.
__device__ double threshold(const REAL* row, int n, double top, double radius) {
  double t = -1, before = -1;
  for (int step = 0; step < 60; ++step) {
    double excess = 0, count = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      const double v = (row[i] - top) / radius - t;
      excess += v > 0 ? v : 0;
      count += v > 0 ? 1 : 0;
    }
    excess = over_block<add>(excess);
    count = over_block<add>(count);
    t += (excess - 1) / count;
    if (count == before || !(excess > 1)) break;
    before = count;
  }
  return t;
}

// x, out (gridDim.x, n); radius (gridDim.x,). Rows with a NaN, a radius that is negative or not finite, or without
// an entry above -infinity are NaN; entries +infinity share the radius. Dynamic shared memory: 32 doubles.
extern "C" __global__ void project_simplex(const REAL* x, const REAL* radius, REAL* out, int n) {
  const REAL* row = x + (size_t)blockIdx.x * n;
  REAL* p = out + (size_t)blockIdx.x * n;
  const double infinity = ldexp(1.0, 2000), r = radius[blockIdx.x];
  double top = -infinity, bad = 0, infinite = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const double v = row[i];
    top = larger(v, top);
    bad += v != v ? 1 : 0;
    infinite += v == infinity ? 1 : 0;
  }
  top = over_block<larger>(top);
  bad = over_block<add>(bad);
  infinite = over_block<add>(infinite);
  if (bad > 0 || !(r >= 0 && r < infinity) || top == -infinity) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) p[i] = infinity - infinity;
  } else if (infinite > 0) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) p[i] = row[i] == infinity ? r / infinite : 0;
  } else {
    const double height = r > 0 ? r * threshold(row, n, top, r) : 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      const double v = (row[i] - top) - height;
      p[i] = v > 0 ? v : 0;
    }
  }
}
