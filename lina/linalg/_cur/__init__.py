"""CUR decompositions: selection of rows and columns, cores, completion."""
