"""Numbers, arrays and nonsense out of a string of bytes: the same string is the same call, in any fuzzer or test."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

NUMBERS = (0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -0.0, 1e-3, 1e-300, 5e-324, 1e300, 1.7e308, -1e300, 1e16, 0.1, 1.5)
STRANGE = (float("nan"), float("inf"), -float("inf"))
DTYPES = ("float64", "float32", "complex128", "complex64", "int64", "bool", "float16", "int8", "uint64")
NONSENSE: tuple[Any, ...] = (
    None,
    "text",
    b"bytes",
    {},
    {"a": 1},
    set(),
    [],
    (),
    [[1.0], [1.0, 2.0]],
    object(),
    float("nan"),
    float("inf"),
    -1,
    0,
    2**70,
    1j,
    True,
    np.ma.masked_array([1.0, 2.0], [True, False]),
    np.array(["a", "b"]),
    np.array([1.0, None], dtype=object),
    np.array(["2020-01-01"], dtype="datetime64[D]"),
    np.zeros(2, dtype=[("a", "f8")]),
    np.zeros((0, 3)),
    np.zeros((2, 0)),
    np.float64(2.0),
    np.longdouble(1.0),
    range(3),
    len,
)


class Draws:
    """What a string of bytes decides, one decision after the other; past its end all of them are the first one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0
        self.sides = [self.below(6) for _ in range(3)]

    def bytes(self, count: int) -> bytes:
        """Return the next bytes."""
        found = self.data[self.place : self.place + count]
        self.place += count
        return found.ljust(count, b"\0")

    def below(self, count: int) -> int:
        """Return one of 0..count - 1."""
        return self.bytes(1)[0] % count

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        return options[self.below(len(options))]

    def once_in(self, count: int) -> bool:
        """Whether something happens that happens once in so many times."""
        return self.below(count) == count - 1

    def number(self, strange: bool = True) -> float:
        """Return a number of any size, of many digits or few."""
        kind = self.below(5 if strange else 4)
        if kind == 0:
            return self.below(256) / 16 - 8
        if kind == 1:
            return self.below(9) - 4.0
        if kind == 2:
            return float(self.pick(NUMBERS))
        if kind == 3:
            return (self.below(256) - 128) * 2.0 ** (self.below(256) - 128)
        return float(self.pick(STRANGE)) if self.once_in(4) else float(struct.unpack("d", self.bytes(8))[0])

    def side(self) -> int:
        """Return a length, often that of another axis."""
        return self.below(6) if self.once_in(6) else self.pick(self.sides)

    def entries(self, shape: tuple[int, ...], strange: bool) -> np.ndarray:
        """Return real numbers in float64."""
        if self.once_in(3):  # few distinct ones
            return np.resize(np.array([self.number(strange) for _ in range(3)]), shape)
        return np.array([self.number(strange) for _ in range(int(np.prod(shape)))]).reshape(shape)

    def array(self) -> Any:
        """Return an array of up to three axes, of any dtype and layout, or a list of lists."""
        shape = tuple(self.side() for _ in range(self.pick((2, 1, 2, 1, 3, 0))))
        dtype, strange = self.pick(DTYPES) if self.once_in(2) else "float64", self.once_in(8)
        with np.errstate(all="ignore"):
            x = self.entries(shape, strange)
            if "complex" in dtype:
                x = x + 1j * self.entries(shape, strange)
            return self.view(np.asarray(x).astype(dtype))

    def view(self, x: np.ndarray) -> Any:
        """Return the same numbers in another layout."""
        kind = self.below(8)
        if kind == 1:
            return np.asfortranarray(x)
        if kind == 2:
            return np.flip(np.flip(x).copy()) if x.ndim else x
        if kind == 3 and x.ndim:
            return np.broadcast_to(x[:1], x.shape)
        if kind == 4 and x.ndim:
            x.flags.writeable = False
        if kind == 5:
            return x.astype(x.dtype.newbyteorder())
        return x.tolist() if kind == 6 else x

    def count(self) -> Any:
        """Return an integer that may be a number of terms, an axis, a length."""
        return self.pick((1, 2, 3, -1, 0, 5, 12, np.int64(2), 2.0, -2))

    def nonsense(self) -> Any:
        """Return what no argument should be."""
        return self.pick(NONSENSE)
