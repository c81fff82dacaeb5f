"""CPU kernels: one file per operation, loops over contiguous arrays, output given by the caller."""
