// Responses of diagonal plus low rank systems at points of a circle: a thread per point, the modes in tiles.
//
// The sums over a conjugate pair of v / (p - q w) are (2 Re(v) p - 2 Re(v conj(w)) q) g with g = 1 / (p^2 - 2 Re(w) p q
// + |w|^2 q^2): the weights of a tile are made once per block and read by all its points.

#define TILE 32

extern __shared__ REAL shared[];

struct Complex {
  REAL real, imag;
};

__device__ Complex times(Complex a, Complex b) {
  return {a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real};
}

__device__ Complex less(Complex a, Complex b) { return {a.real - b.real, a.imag - b.imag}; }

__device__ Complex inverse(Complex a) {
  const REAL scale = 1 / (a.real * a.real + a.imag * a.imag);
  return {a.real * scale, -a.imag * scale};
}

// Fill the tile that begins at mode `first`: -2 Re w, |w|^2, and the weights of p and of -q of the products of one row
// of left with all of right.
template <int M>
__device__ void fill(const Complex* w, const Complex* left, const Complex* right, int first, int count, int n) {
  for (int t = threadIdx.x; t < count * M; t += blockDim.x) {
    const int mode = t % count, j = t / count;
    const Complex at = w[first + mode], v = times(left[first + mode], right[j * n + first + mode]);
    shared[(2 + 2 * j) * TILE + mode] = 2 * v.real;
    shared[(3 + 2 * j) * TILE + mode] = 2 * (v.real * at.real + v.imag * at.imag);
    if (j == 0) {
      shared[mode] = -2 * at.real;
      shared[TILE + mode] = at.real * at.real + at.imag * at.imag;
    }
  }
}

// Fill F[0], F[stride], ... with the sums of the products of one row of left with all of right.
template <int M>
__device__ void sum_row(const Complex* w, const Complex* left, const Complex* right, Complex p, Complex q, int n,
                        Complex* F, int stride) {
  const Complex qq = times(q, q);
  Complex of_p[M], of_q[M];
#pragma unroll
  for (int j = 0; j < M; ++j) of_p[j] = of_q[j] = {0, 0};
  for (int first = 0; first < n; first += TILE) {
    const int count = n - first < TILE ? n - first : TILE;
    __syncthreads();  // the tile before has been read
    fill<M>(w, left, right, first, count, n);
    __syncthreads();
#pragma unroll 1
    for (int mode = 0; mode < count; ++mode) {
      const REAL slope = shared[mode], square = shared[TILE + mode];
      const Complex pq = times(p, {p.real + slope * q.real, p.imag + slope * q.imag});
      const Complex g = inverse({pq.real + square * qq.real, pq.imag + square * qq.imag});
#pragma unroll
      for (int j = 0; j < M; ++j) {
        const REAL a = shared[(2 + 2 * j) * TILE + mode], b = shared[(3 + 2 * j) * TILE + mode];
        of_p[j].real += a * g.real;
        of_p[j].imag += a * g.imag;
        of_q[j].real += b * g.real;
        of_q[j].imag += b * g.imag;
      }
    }
  }
#pragma unroll
  for (int j = 0; j < M; ++j) F[j * stride] = less(times(p, of_p[j]), times(q, of_q[j]));
}

// The sums F_ij of a point lie in shared memory, in a column of its thread: a pass over the modes for each row of left
// leaves enough registers for half of the threads that a multiprocessor holds.
template <int M>
__device__ Complex respond(const Complex* w, const Complex* left, const Complex* right, Complex p, Complex q, int n) {
  const int stride = blockDim.x;
  Complex* F = (Complex*)(shared + (2 + 2 * M) * TILE) + threadIdx.x;
#pragma unroll 1
  for (int i = 0; i < M; ++i) sum_row<M>(w, left + i * n, right, p, q, n, F + i * M * stride, stride);
  // Woodbury, one term of the low rank after the other: F_ij - q F_ik F_kj / (1 + q F_kk)
#pragma unroll 1
  for (int k = M - 1; k > 0; --k) {
    Complex pivot = times(q, F[(k * M + k) * stride]);
    pivot.real += 1;
    const Complex factor = times(q, inverse(pivot));
    for (int i = 0; i < k; ++i) {
      const Complex scaled = times(factor, F[(i * M + k) * stride]);
      for (int j = 0; j < k; ++j) {
        Complex* here = F + (i * M + j) * stride;
        *here = less(*here, times(scaled, F[(k * M + j) * stride]));
      }
    }
  }
  return F[0];
}

// w (rows, n), left and right (rows, size, n), p and q (points), G (rows, points): complex. Dynamic shared memory:
// (2 + 2 * size) * TILE + 2 * size * size * blockDim.x REALs. size = 1 + rank is 1, 2 or 3.
extern "C" __global__ __launch_bounds__(128, 8) void
dplr_response(const Complex* w, const Complex* left, const Complex* right, const Complex* p, const Complex* q, Complex* G,
              int rows, int n, int points, int size) {
  const int k = blockIdx.x * blockDim.x + threadIdx.x;
  const int inside = k < points ? k : points - 1;  // all threads of a block fill tiles
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    const Complex *wr = w + (size_t)row * n, *l = left + (size_t)row * size * n, *r = right + (size_t)row * size * n;
    Complex value;
    if (size == 1) {
      value = respond<1>(wr, l, r, p[inside], q[inside], n);
    } else if (size == 2) {
      value = respond<2>(wr, l, r, p[inside], q[inside], n);
    } else {
      value = respond<3>(wr, l, r, p[inside], q[inside], n);
    }
    if (k < points) G[(size_t)row * points + k] = value;
  }
}
