"""A matrix read block by block of its rows, both products from one reading."""

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any, Protocol

from array_api_compat import device

from lina._core.array import (
    balance,
    check_norm,
    conjugate,
    divide,
    dtype_name,
    frobenius,
    is_lazy,
    open_door,
    safe_range,
    scalar,
)
from lina.linalg._truncated_svd.row_blocks import RowBlocks
from lina.linalg._truncated_svd.sliced import Sliced
from lina.linalg._truncated_svd.visits import Gram, Products, Survey, Triangle


class _Visit(Protocol):
    def add(self, block: Any) -> None: ...
    def rescale(self, factor: float) -> None: ...
    def recentre(self, rows: int, delta: Any) -> None: ...


class Blocks(Sliced):
    """Rows in blocks; the first reading also counts them, looks for NaN, and finds scale, mean and norm.

    While it runs, blocks are centred by the mean of the first one, which costs few digits: with b of m rows in
    that block, m times the square of its distance from the mean is at most m / b of the centred norm squared.
    """

    fused = True

    def __init__(self, source: RowBlocks, center: bool) -> None:
        reading = iter(source)
        try:
            first = next(reading)
        except StopIteration:
            raise ValueError("A must have at least one row, got no blocks") from None
        xp, first = open_door(A=first)
        if first.ndim != 2 or first.shape[1] == 0:
            raise ValueError(f"A must have blocks of shape (b, n), got {tuple(first.shape)}")
        if is_lazy(first):
            raise ValueError("A must have values that can be looked at, got traced or lazy blocks")
        like = xp.zeros((1, 1), dtype=first.dtype, device=device(first))
        m, n = source.shape or (0, int(first.shape[1]))
        super().__init__(xp, like, (m, n), 0.0, 1.0)
        self._source, self._center = source, center
        self._pending: Iterator[Any] | None = chain([first], reading)
        self._known_rows = source.shape is not None
        self._surveyed = False
        self._offset: Any = None  # what is subtracted from every row, scaled

    def _blocks(self) -> Iterator[Any]:
        """Yield the checked blocks of one reading."""
        self.passes += 1
        reading, self._pending = self._pending or iter(self._source), None
        rows, n = 0, self.shape[1]
        for each in reading:
            block = open_door(A=each)[1]
            if block.ndim != 2 or block.shape[1] != n:
                raise ValueError(f"A must have blocks of shape (b, {n}), got {tuple(block.shape)}")
            if dtype_name(block) != dtype_name(self.like) or type(block) is not type(self.like):
                found = f"{type(self.like).__name__} {dtype_name(self.like)} and {type(block).__name__}"
                raise ValueError(f"A must have blocks of one library and dtype, got {found} {dtype_name(block)}")
            if block.shape[0] > 0:
                rows += int(block.shape[0])
                yield block
        if rows == 0:
            raise ValueError("A must have at least one row, got none")
        if rows != self.shape[0] and (self._surveyed or self._known_rows):
            raise ValueError(f"A must have {self.shape[0]} rows at every reading, got {rows}")
        self.shape = (rows, n)

    def _visit(self, visit: _Visit) -> None:
        if not self._surveyed:
            self._survey(visit)
            return
        for _, block in self.slices():
            visit.add(block)

    def slices(self) -> Iterator[tuple[int, Any]]:
        """Yield (first row, block, scaled and centred) of one reading."""
        start = 0
        for block in self._blocks():
            yield start, self._prepared(block)
            start += block.shape[0]

    def _prepared(self, block: Any) -> Any:
        block = block if self.scale in (0.0, 1.0) else divide(block, self.scale)
        return block if self._offset is None else block - self._offset[None, :]

    def _survey(self, visit: _Visit) -> None:
        """Read for the first time: count, measure and centre, while ``visit`` gathers."""
        xp, total, sums = self.xp, 0.0, 0.0
        self.scale = 0.0
        for raw in self._blocks():
            factor, norm = self._widen(raw, math.sqrt(total))
            if factor != 1.0:
                visit.rescale(factor)
                total, sums = total * factor * factor, sums * factor
                self._offset = None if self._offset is None else self._offset * factor
            block = self._prepared(raw)
            if self._center:
                if self._offset is None:
                    self._offset = xp.sum(block, axis=0) / block.shape[0]
                    block = block - self._offset[None, :]
                sums = sums + xp.sum(block, axis=0)
                norm = scalar(frobenius(xp, block))
            total += norm**2
            visit.add(block)
        self.size, self._surveyed = math.sqrt(total), True
        self.scale = self.scale or 1.0
        if self._center:
            total -= self._recentre(visit, sums / self.shape[0])
        self.norm = math.sqrt(max(0.0, total))
        check_norm(self.like, self.norm, self.scale, "A")

    def _recentre(self, visit: _Visit, delta: Any) -> float:
        """Move the offset to the mean; return by how much the sum of squares shrinks."""
        visit.recentre(self.shape[0], delta)
        self._offset = self._offset + delta
        self.subtracted(self._offset * self.scale)
        return self.shape[0] * scalar(frobenius(self.xp, delta)) ** 2

    def _widen(self, raw: Any, so_far: float) -> tuple[float, float]:
        """Choose a scale that suits ``raw`` too: (what to multiply by what was gathered before, norm of raw)."""
        if self.scale:
            norm = scalar(frobenius(self.xp, raw if self.scale == 1.0 else divide(raw, self.scale)))
            if math.hypot(norm, so_far) < safe_range(self.like)[1]:
                return 1.0, norm
        _, norm, new = balance(self.xp, raw, "A")
        before = self.scale
        self.scale = new if norm > 0 else 0.0  # rows of zeros say nothing
        return (before / new if before else 1.0), norm

    def together(self, X: Any) -> tuple[Any, Any]:
        """Return Y = X @ A.T and Y @ conj(A) from one reading."""
        found = Products(self.xp, X)
        self._visit(found)
        return found.result()

    def forward(self, X: Any) -> Any:
        """Return X @ A.T, (b, n) -> (b, m)."""
        found = Products(self.xp, X, both=False)
        self._visit(found)
        return self.xp.concat(found.Y, axis=1)

    def gram(self) -> Any:
        """Return A^H A, (n, n)."""
        found = Gram(self.xp)
        self._visit(found)
        return found.G

    def triangle(self) -> Any:
        """Return R with A = Q R."""
        if self._center and not self._surveyed:
            self._survey(Survey())  # a triangle cannot be centred afterwards
        found = Triangle(self.xp)
        self._visit(found)  # type: ignore[arg-type]
        return found.R

    def normal_residual(self, X: Any, left: Any, right: Any) -> Any:
        """Return the rows E^H E x for the rows x of ``X`` (p, n) and E = A - left @ right, from one reading."""
        xp, total, inner = self.xp, 0.0, X @ self.xp.matrix_transpose(right)
        for start, block in self.slices():
            part = left[start : start + block.shape[0], :]
            Y = X @ xp.matrix_transpose(block) - inner @ xp.matrix_transpose(part)
            total = total + conjugate(xp, conjugate(xp, Y) @ block) - (Y @ conjugate(xp, part)) @ conjugate(xp, right)
        return total
