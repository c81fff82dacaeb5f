"""Block algorithms for dask arrays: what a cluster does with the rows of a matrix that no machine holds."""
