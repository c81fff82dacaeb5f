"""What the estimators have in common: the check of the training data, the seed, the certificate as attributes."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

FLOATS = (np.float64, np.float32)


def training_data(estimator: Any, X: Any, least: int | None, *, sparse: bool = False) -> Any:
    """Return ``X`` checked, with at least so many samples and features as there shall be components."""
    least = least or 1
    accepted = ("csr", "csc") if sparse else False
    return validate_data(
        estimator, X, dtype=FLOATS, accept_sparse=accepted, ensure_min_samples=least, ensure_min_features=least
    )


def check_stop(count: int | None, rtol: float | None) -> None:
    """Refuse an estimator that is not told where to stop."""
    if count is None and rtol is None:
        raise ValueError("n_components must be an int where rtol is None, got None")


def seed(random_state: Any) -> int:
    """Return a seed of lina for the ``random_state`` of scikit-learn: the same one for the same int."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def keep_certificate(estimator: Any, result: Any, rounding: float = 0.0) -> None:
    """Set what a result of `lina.linalg` states about its error, with the rounding that the estimator adds."""
    estimator.error_ = float(result.error) + rounding
    estimator.error_kind_ = str(result.error_kind)
    estimator.norm_ = float(result.norm_A)
    estimator.relative_error_ = estimator.error_ / estimator.norm_ if estimator.norm_ > 0 else 0.0
