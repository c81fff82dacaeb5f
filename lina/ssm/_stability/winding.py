"""How often a denominator winds around 0 on the unit circle, past roots next to it: a quick look for unstable poles."""

import numpy as np
import scipy.fft

# Pieces that one arc is cut into where it stays in doubt, how often, and how many for each degree may be so at once.
_CUTS, _LEVELS = 4, 4
_MOST = 4
# The length of an arc times abs(p' / p) at its ends: a root within half the length adds 2, both halves of a pair 4.
_QUIET = 1.5
_STEPS = 8
# Roots that are returned where some are not surely outside.
_SEEN = 4
# More roots than this are not told apart by their power sums.
_SUMMED = 8


def roots_inside(whole: np.ndarray) -> tuple[int | None, list[complex]]:
    """Return (number of roots of 1 + a_1 z + ... in the unit disc, []), or (None, innermost that are seen) in doubt.

    The argument of its values is followed around the circle in 16 d samples, where abs(p' / p) shows that no root is
    next to an arc. Elsewhere Newton's method finds the root, and the turn is that of its factor, which is known, and of
    the quotient, if no second root is next to it; otherwise the arc is cut. Roots are seen down to a distance of what
    the coefficients lose by rounding. That is evidence, not proof.
    """
    whole = whole.astype(np.result_type(whole, np.float64), copy=False)
    size = _samples(whole)
    real = not np.iscomplexobj(whole)
    with np.errstate(all="ignore"):
        both = np.stack([whole, whole * np.arange(len(whole))])
        samples = scipy.fft.rfft(both, size) if real else scipy.fft.fft(both, size)
        if not real:
            samples = np.concatenate([samples, samples[:, :1]], axis=1)
        noise = 2.0**-52 * len(whole) * float(np.sum(np.abs(whole)))
        step, total = -2 * np.pi / size, 0.0  # transforms go around clockwise
        starts, ends = step * np.arange(samples.shape[1] - 1), np.stack([samples[:, :-1], samples[:, 1:]])
        for _ in range(_LEVELS):
            quiet = np.all(np.abs(step * ends[:, 1]) < _QUIET * np.abs(ends[:, 0]), axis=0)
            quiet &= np.min(np.abs(ends[:, 0]), axis=0) > 16 * noise
            total += float(np.sum(np.angle(ends[1, 0] * ends[0, 0].conj())[quiet]))
            starts, ends = starts[~quiet], ends[:, :, ~quiet]
            if len(starts) > _MOST * len(whole):
                break
            turns, clear, roots = _turns_past_roots(whole, starts, step, ends, noise)
            if len(roots):  # no cut parts them from the circle
                return None, roots[np.argsort(np.abs(roots))][:_SEEN].tolist()
            total += float(np.sum(turns[clear]))
            starts, step = starts[~clear], step / _CUTS
            if not len(starts):
                return round(abs(total) / (np.pi if real else 2 * np.pi)), []
            angles = starts[:, None] + step * np.arange(_CUTS + 1)
            z = np.exp(1j * angles)
            value, slope = _values(whole, z)
            finer = np.stack([value, z * slope])
            starts = angles[:, :-1].ravel()
            ends = np.stack([finer[:, :, :-1].reshape(2, -1), finer[:, :, 1:].reshape(2, -1)])
    return None, []


def _samples(whole: np.ndarray) -> int:
    return 2 * scipy.fft.next_fast_len(max(32, 8 * len(whole)), real=True)  # even: one is at -1


def roots_of_power_sums(whole: np.ndarray, count: int | None) -> list[complex]:
    """Return approximate roots in the unit disc where `roots_inside` has counted a few: none if they are many.

    The mean of z^k z p' / p over the circle is the sum of their k-th powers, and by Newton's identities the sums are
    those of the roots of a polynomial of degree ``count`` (Delves, Lyness, Math. Comp. 21 (1967) 543).
    """
    if count is None or count > _SUMMED:
        return []
    size = _samples(whole)
    values, slopes = scipy.fft.fft(np.stack([whole, whole * np.arange(len(whole))]).astype(complex), size)
    z = np.exp(-2j * np.pi * np.arange(size) / size)
    sums = [np.mean(slopes / values * z**k) for k in range(1, count + 1)]
    c = np.ones(count + 1, dtype=complex)
    for k in range(1, count + 1):
        c[k] = -sum(c[k - j] * sums[j - 1] for j in range(1, k + 1)) / k
    return np.roots(c).tolist()


def _turns_past_roots(
    whole: np.ndarray, starts: np.ndarray, step: float, ends: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the turns along arcs next to a root, whether they are clear, and the roots that are not surely outside.

    ``ends`` (2, 2, arcs) holds p and z p' at both ends.
    """
    z = np.exp(1j * (starts + np.array([[0], [step]])))
    middle = np.exp(1j * (starts + step / 2))
    first = np.argmin(np.abs(ends[:, 0]), axis=0), np.arange(len(starts))
    root, slope = _newton(whole, z[first] * (1 - ends[:, 0][first] / ends[:, 1][first]), abs(step))
    away = np.abs(root) - 1
    off, near = 4 * noise / np.abs(slope), np.abs(root - middle) < 2 * abs(step)
    factors = z - root
    at_root = np.abs(factors) < 1e-4 * abs(step)
    quotients = np.where(at_root, slope, ends[:, 0] / factors)
    others = np.where(at_root, 0, ends[:, 1] / ends[:, 0] - z / factors)  # z q' / q
    clear = near & (np.abs(away) > off) & np.all(np.abs(step * others) < _QUIET, axis=0)
    rest, own = np.angle(quotients[1] * quotients[0].conj()), np.angle(factors[1] / factors[0])
    own = np.where((away < 0) & (own > 0), own - 2 * np.pi, own)  # seen from inside, the circle turns one way
    return own + rest, clear, root[near & (away < off)]


def _newton(whole: np.ndarray, starts: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the roots that Newton's steps go to, and the derivative there."""
    _, these, back = np.unique(np.round(starts * 1e9), return_index=True, return_inverse=True)  # arcs share their ends
    root = starts[these]
    slope = np.ones_like(root)
    for _ in range(_STEPS if len(root) else 0):
        value, slope = _values(whole, root)
        moved = value / slope
        root = root - moved
        if not np.any((np.abs(moved) > 1e-9) & (np.abs(root - starts[these]) < reach)):
            break  # the next step would be of the square
    return root[back], slope[back]


def _values(whole: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the polynomial and its derivative at points, by blocks of sqrt(d) coefficients."""
    width = int(np.ceil(np.sqrt(len(whole))))
    both = np.zeros((2, -(-len(whole) // width) * width), dtype=whole.dtype)
    both[0, : len(whole)], both[1, : len(whole) - 1] = whole, whole[1:] * np.arange(1, len(whole))
    blocks = both.reshape(-1, width)
    low = _powers(z, width)
    inner = (low @ blocks.T).reshape(*z.shape, 2, -1)
    value = np.sum(inner * _powers(low[..., -1] * z, len(blocks) // 2)[..., None, :], axis=-1)
    return value[..., 0], value[..., 1]


def _powers(z: np.ndarray, count: int) -> np.ndarray:
    """Return z^0 ... z^(count - 1) on a new last axis."""
    out = np.ones((*z.shape, count), dtype=complex)
    for i in range(1, count):
        out[..., i] = out[..., i // 2] * (out[..., i - i // 2] if i > 1 else z)
    return out
