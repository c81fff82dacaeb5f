"""What a state-space layer computes, as the recurrence of dense matrices of each channel."""

import numpy as np

from lina.ssm import to_dense


def outputs_by_recurrence(system, D, x):
    """Return y (batch, length, channels) of y_t = C h_t + D x_t, h_t = A h_{t-1} + B x_t, h_{-1} = 0."""
    dense = to_dense(system).system
    A, B, C = (np.asarray(v, dtype=np.float64) for v in (dense.A, dense.B, dense.C))
    channels = x.shape[2]
    A = np.broadcast_to(A, (channels, *A.shape[-2:]))
    B, C = (np.broadcast_to(v, (channels, v.shape[-1])) for v in (B, C))
    y = np.empty(x.shape)
    for c in range(channels):
        h = np.zeros((x.shape[0], B.shape[1]))
        for t in range(x.shape[1]):
            h = h @ A[c].T + x[:, t, c, None] * B[c]
            y[:, t, c] = h @ C[c] + D[c] * x[:, t, c]
    return y
