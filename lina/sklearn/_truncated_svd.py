"""The truncated SVD of `lina.linalg` as a transformer."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot, svd_flip
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import check_is_fitted, validate_data

from lina._core.array import safe_range
from lina.linalg import truncated_svd
from lina.sklearn._fitting import FLOATS, check_stop, keep_certificate, seed, training_data

_METHODS = {"auto": "auto", "randomized": "krylov", "gram": "gram", "svd": "svd"}


class TruncatedSVD(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Reduce the dimension by the leading singular vectors, as many as asked for or as a tolerance needs.

    In the place of ``sklearn.decomposition.TruncatedSVD``, with ``error_`` beside it. Sparse data are never filled.

    Parameters
    ----------
    n_components : int or None
        Number of components, at most the smaller of the numbers of samples and features; with ``rtol`` at most so many.
    algorithm : {"auto", "randomized", "gram", "svd"}
        Randomised block Krylov, eigenvectors of the smaller Gram matrix, or the whole SVD.
    n_iter : int, optional
        1 or more: read the data as often as so many iterations of scikit-learn do, 2 n_iter + 2 times, by "randomized".
        By default it stops when another reading would not lower the error by as much as 1 %.
    rtol : float, optional
        The least number of components whose error is at most ``rtol`` times the Frobenius norm of the data.
    center : bool
        Subtract the mean of each feature first: principal components.
    random_state : int, RandomState or None
        Start of the iteration.

    Attributes
    ----------
    components_ : array, shape (k, n_features)
        Right singular vectors, the largest entry of each positive.
    n_components_ : int
        Their number k.
    singular_values_ : array, shape (k,)
        In descending order.
    explained_variance_ : array, shape (k,)
        Variance of each transformed feature of the training data, over n_samples.
    explained_variance_ratio_ : array, shape (k,)
        The same over the variance of the training data; 0 where that is 0.
    mean_ : array, shape (n_features,), or None
        What ``center`` subtracts.
    error_ : float
        Frobenius norm of ``X - inverse_transform(transform(X))`` for the training data: an upper bound.
    error_kind_ : str
        "rigorous".
    norm_, relative_error_ : float
        Frobenius norm of the training data (centred, if asked), and ``error_ / norm_``.
    passes_ : int
        Readings of the data.
    status_ : str
        "converged", "max_passes", "max_rank" or "rounding", as in `lina.linalg.TruncatedSVD`.

    Raises
    ------
    ValueError
        In `fit`: if the data are not finite, have fewer samples or features than components, nothing says where to
        stop, or ``n_iter`` is given to an algorithm without iterations.

    Notes
    -----
    Cost and memory are those of `lina.linalg.truncated_svd`, and 2 m n k flops for the coordinates.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lina.sklearn import TruncatedSVD
    >>> svd = TruncatedSVD(None, rtol=0.1, random_state=0).fit(load_iris().data)
    >>> svd.n_components_, round(svd.relative_error_, 3), svd.error_kind_
    (2, 0.04, 'rigorous')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "algorithm": [StrOptions(set(_METHODS))],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "rtol": [Interval(Real, 0, None, closed="left"), None],
        "center": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int | None = 2,
        *,
        algorithm: str = "auto",
        n_iter: int | None = None,
        rtol: float | None = None,
        center: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.algorithm = algorithm
        self.n_iter = n_iter
        self.rtol = rtol
        self.center = center
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "TruncatedSVD":
        """Find the components of ``X`` (n_samples, n_features), dense or sparse; ``y`` is ignored."""
        self.fit_transform(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002
        """Find the components of ``X`` (n_samples, n_features), and return its coordinates in them."""
        check_stop(self.n_components, self.rtol)
        if self.n_iter is not None and self.algorithm not in ("auto", "randomized"):
            raise ValueError(f"algorithm must be 'auto' or 'randomized' with n_iter, got {self.algorithm!r}")
        X = training_data(self, X, self.n_components, sparse=True)
        F = truncated_svd(
            X,
            self.n_components,
            rtol=self.rtol,
            method=_METHODS[self.algorithm],
            center=self.center,
            max_passes=None if self.n_iter is None else 2 * self.n_iter + 2,
            rng=seed(self.random_state),
        )
        _, self.components_ = svd_flip(None, F.Vt, u_based_decision=False)
        self.n_components_, self.singular_values_, self.mean_ = F.rank, F.s, F.mean
        self.passes_, self.status_ = F.passes, str(F.status)
        keep_certificate(self, F)
        Z = self._coordinates(X)
        self.explained_variance_, self.explained_variance_ratio_ = _explained(Z, X, F.norm_A)
        return Z

    def transform(self, X: Any) -> Any:
        """Return the coordinates (n_samples, k) of ``X`` (n_samples, n_features), dense or sparse."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, accept_sparse=("csr", "csc"), reset=False)
        return self._coordinates(X)

    def _coordinates(self, X: Any) -> Any:
        Z = safe_sparse_dot(X, self.components_.T)
        return Z if self.mean_ is None else Z - self.mean_ @ self.components_.T

    def inverse_transform(self, X: Any) -> Any:
        """Return the dense data (n_samples, n_features) whose coordinates are ``X`` (n_samples, k)."""
        check_is_fitted(self)
        X = check_array(X, dtype=FLOATS)
        if X.shape[1] != self.n_components_:
            raise ValueError(f"X must have {self.n_components_} features, the components, got {X.shape[1]}")
        found = X @ self.components_
        return found if self.mean_ is None else found + self.mean_

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _explained(Z: Any, X: Any, norm: float) -> tuple[Any, Any]:
    """Return the variances of ``Z``, and their shares of that of ``X``, also where squares leave the range."""
    low, high = safe_range(X)
    if not low < norm < high and norm > 0:
        variances, shares = _explained(Z / norm, X / norm, 1.0)
        with np.errstate(over="ignore", under="ignore"):
            return variances * norm * norm, shares
    variances = np.var(Z, axis=0)
    whole = float(np.sum(mean_variance_axis(X, axis=0)[1] if issparse(X) else np.var(X, axis=0)))
    return variances, variances / (whole if whole > 0 else 1.0)
