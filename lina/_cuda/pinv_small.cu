// Pseudo-inverses of a batch of small real matrices of full column rank: one block per matrix, all work in
// shared memory. REAL is float or double. The algorithm is that of the CPU kernel: modified Gram-Schmidt
// twice, then back substitution. Every sum has a fixed order, so the result does not depend on the
// scheduling.
//
// In Gram-Schmidt a thread owns the rows group, group + groups, ... of ONE column, where column = threadIdx.x
// % columns and group = threadIdx.x / columns; columns is a power of two, n <= columns <= 64, and blockDim.x
// a power of two, max(32, columns) <= blockDim.x. In back substitution a thread owns whole rows.

extern __shared__ REAL shared[];

// Rows of Q and R have an odd length: threads that walk down different rows meet different banks.
__device__ int padded(int n) { return n | 1; }

__device__ REAL add(REAL a, REAL b) { return a + b; }

__device__ REAL larger(REAL a, REAL b) { return a > b ? a : b; }

// Combine the values of all threads of equal threadIdx.x % columns: fold within the warp, park the result of
// each warp, then, after a barrier, every thread reads the column it wants. partial must not be in use by a
// slower thread.
template <REAL combine(REAL, REAL)>
__device__ void park(REAL value, REAL* partial, int columns) {
  for (int offset = 16; offset >= columns; offset /= 2) {
    value = combine(value, __shfl_xor_sync(0xffffffff, value, offset));
  }
  partial[threadIdx.x] = value;
  __syncthreads();
}

template <REAL combine(REAL, REAL)>
__device__ REAL collect(const REAL* partial, int columns, int column) {
  const int width = columns < 32 ? 32 : columns;
  REAL value = partial[column];
  for (int i = column + width; i < blockDim.x; i += width) value = combine(value, partial[i]);
  return value;
}

template <REAL combine(REAL, REAL)>
__device__ REAL over_block(REAL value, REAL* partial) {
  park<combine>(value, partial, 1);
  value = collect<combine>(partial, 1, 0);
  __syncthreads();
  return value;
}

// The power of two that brings the largest entry near 1, clamped so that it is itself normal and finite.
__device__ REAL power_of_two_scale(REAL largest) {
  int exponent;
  frexp(largest, &exponent);
  const int limit = sizeof(REAL) == 4 ? 120 : 1020;
  exponent = exponent > limit ? limit : exponent < -limit ? -limit : exponent;
  return ldexp((REAL)1, -exponent);
}

// Bring A (m, n) into Q, scaled so that squares keep in range; return the scale and set the sum of squares.
// An entry that is not finite spoils the sum of squares and with it the condition, whatever became of the
// scale.
__device__ REAL load(const REAL* A, REAL* Q, REAL* partial, int m, int n, int columns, REAL* squares) {
  const int column = threadIdx.x % columns, groups = blockDim.x / columns, stride = padded(n);
  const int first = column < n ? threadIdx.x / columns : m;
  REAL largest = 0;
  for (int i = first; i < m; i += groups) {
    const REAL value = A[(size_t)i * n + column];
    Q[i * stride + column] = value;
    largest = larger(largest, (REAL)fabs(value));
  }
  const REAL scale = power_of_two_scale(over_block<larger>(largest, partial));
  REAL sum = 0;
  for (int i = first; i < m; i += groups) {
    const REAL value = Q[i * stride + column] * scale;
    Q[i * stride + column] = value;
    sum += value * value;
  }
  *squares = over_block<add>(sum, partial);
  return scale;
}

// Orthonormalise the columns of Q in place. The triangle taken out is written to R in the first pass and
// multiplied to R from the left in the second. Column k is divided by its norm only at the end, by its
// owners: until then all others may read it without a further barrier.
template <bool FIRST>
__device__ void gram_schmidt(REAL* Q, REAL* R, REAL* row, REAL* partial, int m, int n, int columns) {
  const int column = threadIdx.x % columns, groups = blockDim.x / columns, stride = padded(n);
  const int group = threadIdx.x / columns;
  const bool writes = group == 0 && column < n;
  REAL own = 1;
  for (int k = 0; k < n; ++k) {
    const int first = k <= column && column < n ? group : m;
    REAL dot = 0;
    for (int i = first; i < m; i += groups) dot += Q[i * stride + k] * Q[i * stride + column];
    park<add>(dot, partial, columns);
    const REAL inverse = 1 / sqrt(collect<add>(partial, columns, k));
    const REAL projection = collect<add>(partial, columns, column) * inverse;
    if (column == k) {
      own = inverse;
    } else {
      const REAL factor = projection * inverse;
      for (int i = first; i < m; i += groups) Q[i * stride + column] -= factor * Q[i * stride + k];
    }
    if (writes && k <= column) (FIRST ? R + k * stride : row)[column] = projection;
    __syncthreads();
    if (!FIRST && writes && k <= column) {  // in its own column of R, the rows below k are still the old ones
      REAL sum = 0;
      for (int i = k; i <= column; ++i) sum += row[i] * R[i * stride + column];
      R[k * stride + column] = sum;
    }
  }
  for (int i = column < n ? group : m; i < m; i += groups) Q[i * stride + column] *= own;
  __syncthreads();
}

// Solve R Y = Q^T, one row of Q at a time, in place; write X = Y * scale and return this thread's sum of
// squares of Y.
__device__ REAL back_substitute(REAL* Q, const REAL* R, REAL* X, int m, int n, REAL scale) {
  const int stride = padded(n);
  REAL sum = 0;
  for (int i = threadIdx.x; i < m; i += blockDim.x) {
    REAL* y = Q + i * stride;
    for (int k = n - 1; k >= 0; --k) {
      REAL value = y[k];
      for (int j = k + 1; j < n; ++j) value -= R[k * stride + j] * y[j];
      value /= R[k * stride + k];
      y[k] = value;
      X[(size_t)k * m + i] = value * scale;
      sum += value * value;
    }
  }
  return sum;
}

// A (b, m, n), X (b, n, m), condition (b,); m >= n. Dynamic shared memory: (m + n) * (n | 1) + n + blockDim.x
// REALs.
extern "C" __global__ void pinv_small(const REAL* A, REAL* X, REAL* condition, int m, int n, int columns) {
  REAL* Q = shared;
  REAL* R = Q + m * padded(n);
  REAL* row = R + n * padded(n);
  REAL* partial = row + n;
  const size_t offset = (size_t)blockIdx.x * m * n;
  REAL squares;
  const REAL scale = load(A + offset, Q, partial, m, n, columns, &squares);
  gram_schmidt<true>(Q, R, row, partial, m, n, columns);
  gram_schmidt<false>(Q, R, row, partial, m, n, columns);
  const REAL size = over_block<add>(back_substitute(Q, R, X + offset, m, n, scale), partial);
  const REAL bound = sqrt(squares) * sqrt(size);
  const REAL overflow = sqrt(size) * scale * 0;  // NaN where an entry of X may be infinite
  if (threadIdx.x == 0) condition[blockIdx.x] = bound + overflow == bound ? bound : ldexp((REAL)1, 2000);
}
