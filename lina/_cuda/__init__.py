"""GPU kernels: a pair per operation, NAME.cu (CUDA C++ without #include) and NAME.py (grid and launch)."""
