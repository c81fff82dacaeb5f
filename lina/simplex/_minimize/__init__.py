"""Minimisation over a simplex: ``public`` is the door, ``auto`` chooses among the methods, one file each."""
