"""Exchange of columns until no coefficient is large: the volume of the columns chosen grows with every step."""

from typing import Any

import numpy as np
from array_api_compat import device

from lina._core.array import epsilon, scalar, to_numpy

# Volumes grow by the bound at least; where it is 1 they need a margin to be sure that they grow at all.
_MARGIN = 1e3


def exchange(xp: Any, Z: Any, indices: Any, bound: float) -> Any | None:
    """Return new ``indices`` (k,) for coefficients ``Z`` (k, n) of all columns in the old ones; None if none is needed.

    While an entry (i, j) exceeds ``bound`` in size column j takes the place of the i-th one chosen: the determinant of
    the columns grows by that entry, in their space (Gu, Eisenstat, SIAM J. Sci. Comput. 17 (1996) 848, lemma 3.1;
    with nothing beyond the space it is the maximal volume iteration of Goreinov and Tyrtyshnikov).
    Cost 2 k n flops a step, at most log(volume growth possible) / log(bound) steps.
    """
    k, n = Z.shape
    limit = bound * (1 + _MARGIN * epsilon(Z) * k)
    chosen = to_numpy(indices).astype(np.int64)
    size = xp.abs(Z)
    if scalar(xp.max(size)) <= limit:
        return None
    chosen = chosen.copy()
    unit = xp.arange(k, device=device(Z))
    for _ in range(_most_steps(k, n)):
        i, j = divmod(int(to_numpy(xp.argmax(xp.reshape(size, (-1,))))), n)
        if scalar(size[i, j]) <= limit:
            break
        column = Z[:, j] - xp.astype(unit == i, Z.dtype)
        Z = Z - column[:, None] * (Z[i, :] / Z[i, j])[None, :]
        size = xp.abs(Z)
        chosen[i] = j
    return xp.asarray(chosen, device=device(indices))


def _most_steps(k: int, n: int) -> int:
    """Return more steps than are ever needed for a bound that is not next to 1: rounding must not run in circles."""
    return 4 * k * int(np.log2(n) + 1) + 100
