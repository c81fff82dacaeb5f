def test_arrays_of_dask_are_computed():
    from dask import array

    assert array.ones(3).sum().compute() == 3
