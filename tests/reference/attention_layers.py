"""Self-attention with rotary positions by its definition: one logit after the other."""

import numpy as np


def attention_layer(x, query, key, value, out, scaling, *, key_norm=False):
    """Return the layer's output (b, n, width) for x (b, n, width) and matrices (rows, width); layout "half"."""
    n, d = x.shape[1], scaling.head_dim
    heads, key_heads = query.shape[0] // d, key.shape[0] // d
    P, theta, scale = scaling.position_matrix(n), scaling.inv_freq(), scaling.query_scale(np.arange(n))
    results = np.zeros((*x.shape[:2], heads * d))
    for b, h, i in np.ndindex(x.shape[0], heads, n):
        own, shared = slice(h * d, (h + 1) * d), h // (heads // key_heads)
        of_keys = slice(shared * d, (shared + 1) * d)
        q, k, v = query[own] @ x[b, i] * scale[i], x[b, : i + 1] @ key[of_keys].T, x[b, : i + 1] @ value[of_keys].T
        k = k / np.linalg.norm(k, axis=1, keepdims=True) if key_norm else k / np.sqrt(d)
        seen = np.isfinite(P[i, : i + 1])
        angles = P[i, : i + 1][seen, None] * theta
        first, second = q[: d // 2], q[d // 2 :]
        turned = np.concatenate(
            [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)], 1
        )
        logits = np.sum(turned * k[seen], 1)
        weights = np.exp(logits - logits.max())
        results[b, i, own] = weights @ v[seen] / weights.sum()
    return results @ out.T
