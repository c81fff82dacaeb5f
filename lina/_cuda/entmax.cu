// Entmax of rows for any alpha >= 1: one block per row. REAL is float or double; all arithmetic is in double.
//
// With e = alpha - 1, z the entries less the largest, and l = -log of the largest p:
// p = exp(-l) [1 + e c z]_+^(1 / e), c = exp(e l), and l is found as in the array code: Newton's method on the power
// e of the sum, which up to e = 1 goes up to l and never passes it; beyond the way is bracketed and every third
// step bisects. Every sum has a fixed order, so the result does not depend on the scheduling. blockDim.x is a
// multiple of 32.

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

// exp(e l), capped: entries that differ by more than its reciprocal are not in one support.
__device__ double stretch(double e, double level) { return exp(e * level < 700 ? e * level : 700.0); }

// [1 + w]_+^power for w = e u, power = 1 / e; exp(u) to rounding for the smallest e.
__device__ double powered(double u, double w, double power) {
  if (!(w > -1)) return 0;
  if (w > -1e-9) return exp(u * (1 - w / 2));
  return power == 1 ? 1 + w : power == 2 ? (1 + w) * (1 + w) : exp(log1p(w) * power);
}

// The level l of a row whose largest entry is finite.
__device__ double solve(const REAL* row, int n, double top, double e) {
  const double power = 1 / e;
  double low = 0, high = log((double)n), level = 0;
  for (int step = 0; step < 100; ++step) {
    const double c = stretch(e, level);
    double sum = 0, moment = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      const double u = (row[i] - top) * c, w = e * u;
      if (!(w > -1)) continue;
      const double q = powered(u, w, power);
      sum += q;
      moment += u * q / (1 + w);
    }
    sum = over_block<add>(sum);
    moment = over_block<add>(moment);
    const double slope = 1 - e * moment / sum, logarithm = log(sum) - level;
    if (logarithm >= 0) low = level;
    if (logarithm <= 0) high = level;
    const double gain = e > 1e-8 ? -expm1(-e * logarithm) / e : logarithm * (1 - e * logarithm / 2);
    const double rest = e * gain / slope;
    const double ahead = e > 1e-8 ? -log1p(-rest) / e : gain / slope * (1 + rest / 2);
    double next = level + ahead;
    if (e > 1 && (next < low || next > high || step % 3 == 2)) next = (low + high) / 2;
    const bool close = fabs(next - level) <= 2e-16 * (1 + level) || (e <= 1 && !(ahead > 0));
    level = next;
    if (close) break;
  }
  return level;
}

// x, out (gridDim.x, n); alpha (gridDim.x,). Rows with a NaN, an alpha below 1 or not finite, or without an entry
// above -infinity are NaN; entries +infinity share 1. Dynamic shared memory: 32 doubles.
extern "C" __global__ void entmax(const REAL* x, const REAL* alpha, REAL* out, int n) {
  const REAL* row = x + (size_t)blockIdx.x * n;
  REAL* p = out + (size_t)blockIdx.x * n;
  const double infinity = ldexp(1.0, 2000), e = alpha[blockIdx.x] - 1.0;
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
  if (bad > 0 || !(e >= 0 && e < infinity) || top == -infinity) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) p[i] = infinity - infinity;
  } else if (infinite > 0) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) p[i] = row[i] == infinity ? 1 / infinite : 0;
  } else {
    const double level = solve(row, n, top, e);
    const double c = stretch(e, level), scale = exp(-level), power = 1 / e;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      const double u = (row[i] - top) * c;
      p[i] = scale * powered(u, e * u, power);
    }
  }
}
