"""The pseudo-inverse: ``public`` chooses among the guarded paths, one file each."""
