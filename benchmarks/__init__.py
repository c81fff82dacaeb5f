"""Side-by-side measurements: one file per question, found by the name of its room (``linalg_pinv.py``)."""
