"""Whether a denominator winds around 0 on the unit circle: a quick look for unstable poles."""

import numpy as np
import scipy.fft

# Points that one interval is cut into where its ends do not tell, and how often.
_CUTS = 16
_LEVELS = 4
_MOST = 256


def winds_around_nothing(whole: np.ndarray) -> bool:
    """Return whether 1 + a_1 z + ... shows no root in the unit disc; False where the samples leave a doubt.

    The argument of its values is followed around the circle, in 16 d samples and finer ones where it turns by more than
    a quarter from one to the next. That is evidence, not proof: a pair of roots could turn it by a whole between
    samples.
    """
    size = 2 * scipy.fft.next_fast_len(max(32, 8 * len(whole)), real=True)  # even: the last sample is at -1
    real = not np.iscomplexobj(whole)
    samples = scipy.fft.rfft(whole, size) if real else scipy.fft.fft(whole, size)
    if not real:
        samples = np.append(samples, samples[0])
    step = -2 * np.pi / size
    turns = _turns(samples)
    starts = step * np.arange(len(turns))
    total = 0.0
    for _ in range(_LEVELS):
        sharp = ~(np.abs(turns) < np.pi / 2)
        total += float(np.sum(turns[~sharp]))
        starts = starts[sharp]
        if len(starts) == 0:
            return abs(total) < 0.5
        if len(starts) > _MOST:
            return False
        step /= _CUTS
        angles = starts[:, None] + step * np.arange(_CUTS + 1)
        turns = _turns(_values(whole, np.exp(1j * angles))).ravel()
        starts = angles[:, :-1].ravel()
    return False


def _turns(samples: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.angle(samples[..., 1:] * samples[..., :-1].conj())


def _values(whole: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the polynomial at points, by blocks of sqrt(d) coefficients."""
    width = int(np.ceil(np.sqrt(len(whole))))
    blocks = np.concatenate([whole, np.zeros(-len(whole) % width)]).reshape(-1, width)
    low = z[..., None] ** np.arange(width)
    high = (z**width)[..., None] ** np.arange(len(blocks))
    return np.sum(low @ blocks.T * high, axis=-1)
