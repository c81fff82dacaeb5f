"""The family from softmax (alpha = 1) over sparsemax (alpha = 2) on; ``public`` chooses the solver."""
