"""What is gathered while the rows of a matrix go by once, block after block."""

from typing import Any

from lina._core.array import adjoint, conjugate


class Products:
    """Y = X @ A.T and, if ``both``, W = Y @ conj(A): A^H A X while each block of A is at hand."""

    def __init__(self, xp: Any, X: Any, *, both: bool = True) -> None:
        self.xp, self.X, self.both = xp, X, both
        self.Y: list[Any] = []
        self.W: Any = 0.0

    def add(self, block: Any) -> None:
        """Take in the next rows (b, n)."""
        xp = self.xp
        Y = self.X @ xp.matrix_transpose(block)
        self.Y.append(Y)
        if self.both:
            self.W = self.W + conjugate(xp, conjugate(xp, Y) @ block)

    def rescale(self, factor: float) -> None:
        """Multiply what was taken in so far."""
        self.Y = [Y * factor for Y in self.Y]
        self.W = self.W * factor * factor

    def recentre(self, rows: int, delta: Any) -> None:
        """Subtract ``delta`` (n,) from all ``rows``, whose mean it is."""
        inner = (self.X @ delta)[:, None]
        self.Y = [Y - inner for Y in self.Y]
        self.W = self.W - rows * inner * conjugate(self.xp, delta)

    def result(self) -> tuple[Any, Any]:
        """Return Y (p, m) and W (p, n)."""
        return self.xp.concat(self.Y, axis=1), self.W


class Gram:
    """G = A^H A (n, n)."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.G: Any = 0.0

    def add(self, block: Any) -> None:
        """Take in the next rows."""
        self.G = self.G + adjoint(self.xp, block) @ block

    def rescale(self, factor: float) -> None:
        """Multiply what was taken in so far."""
        self.G = self.G * factor * factor

    def recentre(self, rows: int, delta: Any) -> None:
        """Subtract ``delta`` (n,) from all ``rows``, whose mean it is."""
        self.G = self.G - rows * conjugate(self.xp, delta)[:, None] * delta


class Triangle:
    """The triangle R (min(m, n), n) of A = Q R."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.R: Any = None

    def add(self, block: Any) -> None:
        """Take in the next rows."""
        self.R = self.xp.linalg.qr(block if self.R is None else self.xp.concat([self.R, block], axis=0))[1]

    def rescale(self, factor: float) -> None:
        """Multiply what was taken in so far."""
        self.R = None if self.R is None else self.R * factor


class Survey:
    """Nothing: the first reading itself counts, sums and measures."""

    def add(self, block: Any) -> None:
        """Let the rows go by."""

    def rescale(self, factor: float) -> None:
        """Keep nothing."""

    def recentre(self, rows: int, delta: Any) -> None:
        """Keep nothing."""
