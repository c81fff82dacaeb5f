// Sums over l of u_l exp(l x_n): a block per sum, in double precision. REAL is the type of u.
//
// A thread takes every blockDim-th power, by one multiplication each and an exponential after RENEW of them; the sums of
// the threads are added in a fixed order.

#define RENEW 64

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

// u (rows, k, L), x (rows, n) and out (rows, k, n), the latter complex; a block for each entry of out. Dynamic shared
// memory: 2 * blockDim.x doubles; blockDim.x is a power of two.
extern "C" __global__ void vandermonde_transpose(const REAL* u, const Complex* x, Complex* out, int k, int n, int L) {
  const size_t row = blockIdx.x / n / k;
  const Complex pole = x[row * n + blockIdx.x % n], stride = power(pole, blockDim.x);
  const REAL* samples = u + (size_t)(blockIdx.x / n) * L;
  Complex sum = {0, 0}, z = {0, 0};
  int steps = 0;
  for (int l = threadIdx.x; l < L; l += blockDim.x, ++steps) {
    z = steps % RENEW == 0 ? power(pole, l) : times(z, stride);
    sum.real += samples[l] * z.real;
    sum.imag += samples[l] * z.imag;
  }
  Complex* sums = (Complex*)shared;
  sums[threadIdx.x] = sum;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      sums[threadIdx.x].real += sums[threadIdx.x + half].real;
      sums[threadIdx.x].imag += sums[threadIdx.x + half].imag;
    }
  }
  if (threadIdx.x == 0) out[blockIdx.x] = sums[0];
}
