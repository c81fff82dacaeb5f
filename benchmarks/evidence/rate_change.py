"""Do features of LegS survive a change of the sampling rate that they were not trained on?"""

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import load
from benchmarks.evidence.options import parse
from benchmarks.evidence.report import Target, Task, run_record, store
from lina.hippo import legs_project, lti_scan

TRAINING = 1347
Features = Callable[[np.ndarray], np.ndarray]
TASK = Task(
    "rate change",
    __doc__,
    "The last memory of a sequence of pixels, standardised, and logistic regression. Trained at L samples (digits of "
    "scikit-learn: 64, 1347 for training and 450 for the test; MNIST: 784, the first 10,000 for training and its "
    "10,000 for the test), tested at L, and at 2 L: with every sample twice; by linear interpolation at the centres of "
    "half steps; by the same, shifted by a quarter of a step, as if midpoints were put between the samples, which is "
    "another signal, and counts in no target. LegS is the exact projection of the whole past and has no unit of time; "
    "LegT holds a window of L samples; told that the window is 2 L samples long now, it holds the whole past as well.",
    (
        "accuracy",
        "accuracy, each sample twice",
        "accuracy, interpolated",
        "accuracy, interpolated and shifted",
        "points lost",
    ),
)


def data(name: str, quick: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training samples and classes, test samples and classes; pixels from 0 to 1."""
    if name == "digits":
        pixels, classes = load_digits(return_X_y=True)
        rows = np.random.default_rng(0).permutation(classes.size)
        first, last = rows[: 200 if quick else TRAINING], rows[TRAINING:]
        return pixels[first] / 16, classes[first], pixels[last] / 16, classes[last]
    stored, some = load("mnist"), slice(0, 200 if quick else 10_000)
    flat = [stored[f"x_{part}"][some].reshape(-1, 784) / 255 for part in ("train", "test")]
    return flat[0], stored["y_train"][some], flat[1], stored["y_test"][some]


def interpolated(u: np.ndarray, late: float = 0.0) -> np.ndarray:
    """Return samples at the centres of half steps, on the lines between the centres of whole ones.

    ``late`` moves the lines by that many steps, at most a quarter: with it every other sample is an old one.
    """
    before, after = np.roll(u, 1, axis=1), np.roll(u, -1, axis=1)
    before[:, 0], after[:, -1] = u[:, 0], u[:, -1]
    back, ahead = 0.25 - late, 0.25 + late
    return np.stack([(1 - back) * u + back * before, (1 - ahead) * u + ahead * after], axis=-1).reshape(len(u), -1)


def memories(N: int, L: int) -> dict[str, tuple[Features, Features]]:
    """Return the features that are trained on L samples, and those of 2 L samples, by the name of the memory."""

    def whole(u: np.ndarray) -> np.ndarray:
        return legs_project(u, N)

    def window(length: float) -> Features:
        return lambda u: lti_scan(u, N, "legt", theta=length)

    return {
        "LegS": (whole, whole),
        "LegT": (window(L), window(L)),
        "LegT, told the rate": (window(L), window(2 * L)),
    }


def measure(name: str, trained: Features, tested: Features, quick: bool) -> dict[str, float]:
    """Return the accuracies of one classifier: ``trained`` makes the features at L, ``tested`` those at 2 L."""
    u, y, v, z = data(name, quick)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000)).fit(trained(u), y)
    usual = model.score(trained(v), z)
    twice = model.score(tested(np.repeat(v, 2, axis=1)), z)
    between = model.score(tested(interpolated(v)), z)
    shifted = model.score(tested(interpolated(v, 0.25)), z)
    return {
        "accuracy": usual,
        "accuracy, each sample twice": twice,
        "accuracy, interpolated": between,
        "accuracy, interpolated and shifted": shifted,
        "points lost": 100 * (usual - min(twice, between)),
    }


def main() -> None:
    """Measure all memories on both data sets; nothing is drawn, so that one seed is all there is."""
    quick = parse("rate_change", seeds=1, layers=("memories",)).quick
    for name, L, N in (("digits", 64, 48), ("mnist", 784, 128)):
        for kind, features in memories(N, L).items():
            demanded = kind == "LegS" and not quick
            targets = [Target("points lost", 1.0, at_least=False)] if demanded else []
            targets += [Target("accuracy", 0.955)] if demanded and name == "digits" else []
            found = measure(name, *features, quick)
            store(TASK, run_record(f"{kind}, N = {N}, {name}", 0, found, {}, targets), quick=quick)


if __name__ == "__main__":
    main()
