"""The tour: one file per chapter, ``run`` plays them, ``page`` makes the HTML."""
