"""What every room shares: the array door, the kernel table, threads, random numbers, certificates, statuses."""
