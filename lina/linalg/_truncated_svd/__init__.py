"""The truncated SVD: ``public`` chooses among the algorithms, one file each."""
