"""Convolution kernels of diagonal plus low rank and diagonal systems, without an array of states times taps."""
