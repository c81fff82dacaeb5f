"""Products from a few of their column-row terms: one file for each rule of selection."""
