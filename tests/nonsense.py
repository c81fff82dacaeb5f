"""Values that no argument means, and which of the errors they end in do not name it."""

import numpy as np

NONSENSE = [
    None,
    "text",
    b"bytes",
    True,
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    2**70,
    10**400,
    1j,
    [],
    [[1.0], [1.0, 2.0]],
    ["a"],
    {},
    object(),
    np.zeros((0, 8)),
    np.array(["a"]),
    np.array([None]),
    np.full((2, 8), np.nan),
    np.float64(3.5),
    np.complex128(1 + 1j),
    np.ones(3) > 0,
]
NAMED = (TypeError, ValueError, OverflowError)


def named_errors(call, names):
    """Return the values whose error names none of the arguments, or is of another type."""
    raw = []
    for value in NONSENSE:
        try:
            call(value)
        except NAMED as error:
            if not any(name in str(error) for name in names):
                raw.append((value, repr(error)))
        except Exception as error:
            raw.append((value, repr(error)))
    return raw
