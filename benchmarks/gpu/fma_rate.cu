// Chains of fused multiply-adds, CHAINS a thread, none of which waits for another: 2 * CHAINS * steps flops a thread.

#define CHAINS 8

extern "C" __global__ void fma_rate(REAL* out, int steps) {
  REAL x[CHAINS];
#pragma unroll
  for (int i = 0; i < CHAINS; ++i) x[i] = (REAL)threadIdx.x + i;
  for (int step = 0; step < steps; ++step) {
#pragma unroll
    for (int i = 0; i < CHAINS; ++i) x[i] = x[i] * (REAL)0.5 + (REAL)1;
  }
  REAL sum = 0;
#pragma unroll
  for (int i = 0; i < CHAINS; ++i) sum += x[i];
  out[(size_t)blockIdx.x * blockDim.x + threadIdx.x] = sum;  // tends to 2 * CHAINS
}
