"""The tour: a file of computations and one of figures per chapter; ``run`` plays them, ``page`` makes the HTML."""
