"""Products with a Vandermonde matrix exp(l x_n) and its transpose, as products of two tables of about sqrt(L) columns.

exp((i T + j) x) = exp(i T x) exp(j x): the table of the j and that of the i are filled by doubling, a multiplication
per entry instead of an exponential; then their product is one of real matrices. Nothing of size n L exists.
"""

import numpy as np

from lina._core.threads import run_rows
from lina._numba.jit import njit, read_only

# Below this many products of modes and powers a second thread costs more than it saves.
_WORTH_A_THREAD = 2_000_000


def table_width(L: int) -> int:
    """Return T, the power of two next to the root of L."""
    return 1 << (max(1, L - 1).bit_length() + 1) // 2


def vandermonde(c: np.ndarray, x: np.ndarray, L: int) -> np.ndarray:
    """Return 2 Re sum_n c_n exp(l x_n) for l < L: (rows, L), in the precision of c (rows, n), from it and x (rows, n).

    Computed in double precision.
    """
    T = table_width(L)
    base, jump = _powers(x, T)
    real = np.float32 if c.dtype == np.complex64 else np.float64
    c, out = read_only(c.astype(np.complex128)), np.empty((len(c), L), dtype=real)

    def task(start: int, stop: int) -> None:
        _products(c, base, jump, T, out, start, stop)

    run_rows(task, len(c), smallest=_WORTH_A_THREAD // max(1, c.shape[1] * L) + 1)
    return out


def vandermonde_transpose(u: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return sum_l u_l exp(l x_n): (rows, k, n), complex128, from real u (rows, k, L) and complex x (rows, n)."""
    T = table_width(u.shape[-1])
    base, jump = _powers(x, T)
    u, out = read_only(u), np.empty((*u.shape[:2], x.shape[1]), dtype=np.complex128)

    def task(start: int, stop: int) -> None:
        _sums(u, base, jump, T, out, start, stop)

    run_rows(task, len(u), smallest=_WORTH_A_THREAD // max(1, x.shape[1] * u[0].size if len(u) else 1) + 1)
    return out


def _powers(x: np.ndarray, T: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.ascontiguousarray(x, dtype=np.complex128)
    return np.exp(x), np.exp(T * x)


@njit
def _products(c, base, jump, T, out, start, stop):
    n, L = c.shape[1], out.shape[1]
    count = (L + T - 1) // T
    table, jumps = np.zeros((T, 2 * n)), np.zeros((count, 2 * n))
    block, power = np.zeros((count, T)), np.zeros(2 * n)
    for row in range(start, stop):
        for k in range(n):
            table[0, k], table[0, n + k] = 1, 0
            jumps[0, k], jumps[0, n + k] = 2 * c[row, k].real, 2 * c[row, k].imag
        _fill_powers(table, base[row], power)
        _fill_powers(jumps, jump[row], power)
        jumps[:, n:] = -jumps[:, n:]
        np.dot(jumps, table.T, block)
        flat = block.ravel()
        for l in range(L):  # noqa: E741
            out[row, l] = flat[l]


@njit
def _sums(u, base, jump, T, out, start, stop):
    n, k, L = base.shape[1], u.shape[1], u.shape[2]
    count = (L + T - 1) // T
    table, jumps = np.zeros((T, 2 * n)), np.zeros((count, 2 * n))
    padded, block = np.zeros((k, count * T)), np.zeros((k * count, 2 * n))
    power, total = np.zeros(2 * n), np.zeros(2 * n)
    table[0, :n] = 1
    jumps[0, :n] = 1
    for row in range(start, stop):
        _fill_powers(table, base[row], power)
        _fill_powers(jumps, jump[row], power)
        padded[:, :L] = u[row]
        np.dot(padded.reshape(k * count, T), table, block)
        for each in range(k):
            total[:] = 0
            for i in range(count):
                x, z = block[each * count + i], jumps[i]
                _add_products(x[:n], x[n:], z[:n], z[n:], total[:n], total[n:])
            for m in range(n):
                out[row, each, m] = complex(total[m], total[n + m])


@njit
def _fill_powers(rows, base, power):
    """Fill rows[j] = rows[0] base^j, from the rows before by the power that lies between, squared as they double."""
    n = base.size
    for k in range(n):
        power[k], power[n + k] = base[k].real, base[k].imag
    done = 1
    while done < rows.shape[0]:
        for j in range(done, min(2 * done, rows.shape[0])):
            x, y = rows[j - done], rows[j]
            _times(x[:n], x[n:], power[:n], power[n:], y[:n], y[n:])
        done *= 2
        _times(power[:n], power[n:], power[:n], power[n:], power[:n], power[n:])


@njit
def _times(a, b, x, y, real, imag):
    for j in range(a.size):
        u, v = a[j] * x[j] - b[j] * y[j], a[j] * y[j] + b[j] * x[j]
        real[j], imag[j] = u, v


@njit
def _add_products(a, b, x, y, real, imag):
    for j in range(a.size):
        real[j] += a[j] * x[j] - b[j] * y[j]
        imag[j] += a[j] * y[j] + b[j] * x[j]
