// Sums of exponentials 2 Re sum_n c_n exp(l x_n): a thread for ITEMS powers that lie a block apart, in double precision.
//
// The first of them takes an exponential, each other one multiplication by exp(blockDim x), which a block makes once per
// mode. REAL is the type of the result.

#define TILE 32
#define ITEMS 8

extern __shared__ double shared[];

struct Complex {
  double real, imag;
};

__device__ Complex times(Complex a, Complex b) {
  return {a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real};
}

// Return exp(l x); sincospi needs no table in local memory for large arguments, as sincos does.
__device__ Complex power(Complex x, double l) {
  double sine, cosine;
  sincospi(l * (x.imag * 0.31830988618379067), &sine, &cosine);
  const double size = exp(l * x.real);
  return {size * cosine, size * sine};
}

// c and x (rows, n), complex; out (rows, L). Dynamic shared memory: 6 * TILE doubles. blockDim.x * ITEMS powers a block.
extern "C" __global__ void vandermonde(const Complex* c, const Complex* x, REAL* out, int rows, int n, int L) {
  Complex* weights = (Complex*)shared;
  Complex *poles = weights + TILE, *strides = weights + 2 * TILE;
  const long long first = (long long)blockIdx.x * blockDim.x * ITEMS + threadIdx.x;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    double sums[ITEMS];
#pragma unroll
    for (int i = 0; i < ITEMS; ++i) sums[i] = 0;
    for (int begin = 0; begin < n; begin += TILE) {
      const int count = n - begin < TILE ? n - begin : TILE;
      __syncthreads();  // the tile before has been read
      for (int mode = threadIdx.x; mode < count; mode += blockDim.x) {
        const size_t at = (size_t)row * n + begin + mode;
        weights[mode] = c[at];
        poles[mode] = x[at];
        strides[mode] = power(x[at], blockDim.x);
      }
      __syncthreads();
      for (int mode = 0; mode < count; ++mode) {
        Complex z = times(weights[mode], power(poles[mode], (double)first));
#pragma unroll
        for (int i = 0; i < ITEMS; ++i) {
          sums[i] += z.real;
          z = times(z, strides[mode]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < ITEMS; ++i) {
      const long long l = first + (long long)i * blockDim.x;
      if (l < L) out[(size_t)row * L + l] = (REAL)(2 * sums[i]);
    }
  }
}
