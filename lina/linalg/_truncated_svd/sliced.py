"""What matrices have in common that give dense rows only a block at a time."""

import math
from collections.abc import Iterator
from typing import Any

from lina._core.array import conjugate
from lina.linalg._residual import residual_norm
from lina.linalg._truncated_svd.problem import Matrix, from_images

_WHOLE_COLUMNS = 4096  # up to here the triangle of the whole SVD, (n, n), is affordable


class Sliced(Matrix):
    """A matrix whose rows are at hand as dense blocks, one after the other."""

    def slices(self) -> Iterator[tuple[int, Any]]:
        """Yield (first row, block (b, n) of the matrix, shift taken off) in order."""
        raise NotImplementedError

    @property
    def whole(self) -> bool:  # type: ignore[override]
        """Whether the whole SVD is affordable."""
        return min(self.shape) <= _WHOLE_COLUMNS

    def triangle(self) -> Any:
        """Return R with A = Q R, the triangle of every reading so far: stable, where A^H A squares the condition."""
        raise NotImplementedError

    def svd(self) -> tuple[Any, Any, Any]:
        """Return the whole thin SVD from the triangle and one more reading; 4 m n^2 + 25 n^3 flops for m >= n."""
        Vt = self.xp.linalg.svd(self.triangle(), full_matrices=False)[2]
        V = conjugate(self.xp, Vt)
        return from_images(self.xp, V, self.forward(V))

    def residual(self, left: Any, right: Any) -> float:
        """Return norm(A - left @ right, "fro") from the residual itself, rounding included; 2 m n k flops."""
        total = 0.0
        for start, block in self.slices():
            total = math.hypot(total, residual_norm(self.xp, block, left[start : start + block.shape[0], :], right))
        return total + self.lost
