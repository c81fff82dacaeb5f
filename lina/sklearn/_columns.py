"""Selection of features by the columns that span the others, with the way back to all features."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from lina.linalg import cur, interpolative, select_columns, solve_left
from lina.linalg._cur.cores import CORES
from lina.linalg._cur.public import METHODS as CUR_RULES
from lina.linalg._interpolative import METHODS as PIVOTED_ON
from lina.linalg._select_columns.public import METHODS as RULES
from lina.sklearn._fitting import FLOATS, check_stop, keep_certificate, seed, training_data

_COUNT = Interval(Integral, 1, None, closed="left")
_TOLERANCE = Interval(Real, 0, None, closed="left")


class _SelectedColumns(SelectorMixin, BaseEstimator):
    """Some columns of the training data, X ~ X[:, support] @ components_."""

    def _keep(self, indices: Any, coefficients: Any) -> None:
        """Set what `transform` and its inverse need; `transform` returns the columns in the order of the data."""
        self.indices_ = np.asarray(indices)
        self.components_ = np.asarray(coefficients)[np.argsort(self.indices_)]

    def _get_support_mask(self) -> Any:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.indices_] = True
        return mask

    def inverse_transform(self, X: Any) -> Any:
        """Return all features of samples from those selected, by the coefficients of the training data.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_selected)
            What `transform` returns.

        Returns
        -------
        array, shape (n_samples, n_features)
            For the training data it is within ``error_`` of them in the Frobenius norm.

        Raises
        ------
        ValueError
            If ``X`` is not finite, or has another number of columns.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=FLOATS)
        if X.shape[1] != len(self.components_):
            raise ValueError(f"X must have {len(self.components_)} features, those selected, got {X.shape[1]}")
        return X @ self.components_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class ColumnSelector(_SelectedColumns):
    """Select the features whose columns span as much of the data as a rule of `lina.linalg.select_columns` finds.

    No labels are used. Where units differ scale the features first: a column of large numbers is much of the data.

    Parameters
    ----------
    n_features_to_select : int
        At most the smaller of the numbers of samples and features.
    method : str
        The rule: "greedy", "cpqr", "sketch", "sampled_cpqr", "qdeim", "deim", "rbrp", "lupp", "kmeans", "leverage",
        "norm" or "uniform".
    sampling : bool
        Draw features with probabilities, of the last three, instead of taking the largest.
    random_state : int, RandomState or None
        Source of sketches and draws.

    Attributes
    ----------
    indices_ : array of int, shape (n_features_to_select,)
        The features selected, the most important first.
    components_ : array, shape (n_features_to_select, n_features)
        Coefficients of all features in those selected, by least squares, in the order of ``get_support``.
    error_ : float
        Frobenius norm of what the training data have outside of the space of the columns selected: an upper bound.
    error_kind_ : str
        "rigorous".
    norm_, relative_error_ : float
        Frobenius norm of the training data, and ``error_ / norm_``.

    Raises
    ------
    ValueError
        In `fit`: if the data are not finite, or fewer than the features wanted. Sparse data raise ``TypeError``.

    Notes
    -----
    Cost and rules are those of `lina.linalg.select_columns`, and 4 m n k + 6 m k^2 flops for the coefficients.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lina.sklearn import ColumnSelector
    >>> X = load_iris().data
    >>> selector = ColumnSelector(2, method="greedy").fit(X)
    >>> selector.get_support(), round(selector.relative_error_, 3)
    (array([ True, False,  True, False]), 0.049)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_features_to_select": [_COUNT],
        "method": [StrOptions(set(RULES))],
        "sampling": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self, n_features_to_select: int = 2, *, method: str = "cpqr", sampling: bool = False, random_state: Any = None
    ) -> None:
        self.n_features_to_select = n_features_to_select
        self.method = method
        self.sampling = sampling
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "ColumnSelector":  # noqa: ARG002
        """Select features of ``X`` (n_samples, n_features); ``y`` is ignored."""
        k = self.n_features_to_select
        X = training_data(self, X, k)
        F = select_columns(X, k, method=self.method, sampling=self.sampling, rng=seed(self.random_state))
        self._keep(F.indices, solve_left(F.C, X))
        keep_certificate(self, F)
        return self


class InterpolativeDecomposition(_SelectedColumns):
    """Select the features from which all the others follow linearly, as many as asked for or as a tolerance needs.

    The interpolative decomposition X ~ X[:, indices] @ Z of `lina.linalg.interpolative`.

    Parameters
    ----------
    n_components : int or None
        Number of features; with ``rtol`` at most so many. Fewer are selected where the numerical rank is smaller.
    rtol : float, optional
        Select features until the error is at most ``rtol`` times the Frobenius norm of the data.
    method : {"auto", "sketch", "cpqr"}
        Pivot on a sketch of the data or on the data themselves.
    max_coef : float, optional
        Exchange features until no coefficient exceeds this in size, 1 or more.
    random_state : int, RandomState or None
        Source of the sketch.

    Attributes
    ----------
    indices_ : array of int, shape (k,)
        The features selected, the most important first.
    components_ : array, shape (k, n_features)
        Coefficients of all features in those selected, the rows in the order of ``get_support``.
    error_ : float
        Frobenius norm of ``X - inverse_transform(transform(X))`` for the training data: an upper bound.
    error_kind_ : str
        "rigorous".
    norm_, relative_error_ : float
        Frobenius norm of the training data, and ``error_ / norm_``.
    max_abs_coef_ : float
        Largest coefficient in size: how far errors of the features selected are magnified.

    Raises
    ------
    ValueError
        In `fit`: if the data are not finite, fewer than the features wanted, or nothing says where to stop. Sparse
        data raise ``TypeError``.

    Notes
    -----
    Cost 2 m n k flops and more: see `lina.linalg.interpolative`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lina.sklearn import InterpolativeDecomposition
    >>> X = load_iris().data
    >>> D = InterpolativeDecomposition(None, rtol=0.1).fit(X)
    >>> D.indices_, round(D.relative_error_, 3), D.inverse_transform(D.transform(X)).shape
    (array([0, 2]), 0.049, (150, 4))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [_COUNT, None],
        "rtol": [_TOLERANCE, None],
        "method": [StrOptions(set(PIVOTED_ON))],
        "max_coef": [Interval(Real, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int | None = 2,
        *,
        rtol: float | None = None,
        method: str = "auto",
        max_coef: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.rtol = rtol
        self.method = method
        self.max_coef = max_coef
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "InterpolativeDecomposition":  # noqa: ARG002
        """Select features of ``X`` (n_samples, n_features); ``y`` is ignored."""
        check_stop(self.n_components, self.rtol)
        X = training_data(self, X, self.n_components)
        F = interpolative(
            X,
            self.n_components,
            rtol=self.rtol,
            method=self.method,
            max_coef=self.max_coef,
            rng=seed(self.random_state),
        )
        self._keep(F.indices, F.Z)
        self.max_abs_coef_ = float(F.max_abs_coef)
        keep_certificate(self, F)
        return self


class CURDecomposition(_SelectedColumns):
    """Select features and samples that together stand for the data, X ~ X[:, cols] @ core @ X[rows].

    `lina.linalg.cur`: `transform` returns the features selected, and the way back leads through the samples selected.

    Parameters
    ----------
    n_components : int
        Number of features, and of samples.
    method : str
        How the features are chosen: "auto", or a rule of `ColumnSelector`.
    core : {"stable", "projection", "intersection"}
        The matrix between them; "intersection" reads nothing but the samples and features selected.
    random_state : int, RandomState or None
        Source of sketches and draws.

    Attributes
    ----------
    indices_, sample_indices_ : array of int, shape (n_components,)
        The features and the samples selected.
    core_ : array, shape (n_components, n_components)
        From the features in the order of ``get_support`` to ``samples_``.
    samples_ : array, shape (n_components, n_features)
        The samples selected.
    components_ : array, shape (n_components, n_features)
        ``core_ @ samples_``.
    error_ : float
        Frobenius norm of ``X - inverse_transform(transform(X))`` for the training data: an upper bound, with the
        rounding of products by ``core_``.
    error_kind_ : str
        "rigorous".
    norm_, relative_error_ : float
        Frobenius norm of the training data, and ``error_ / norm_``.

    Raises
    ------
    ValueError
        In `fit`: if the data are not finite, or fewer than the features wanted. Sparse data raise ``TypeError``.

    Notes
    -----
    Cost 2 m n k flops to choose and 4 m n k for the core: see `lina.linalg.cur`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lina.sklearn import CURDecomposition
    >>> X = load_iris().data
    >>> D = CURDecomposition(2, random_state=0).fit(X)
    >>> D.indices_, D.samples_, round(D.relative_error_, 3)
    (array([0, 2]), array([[5.8, 4. , 1.2, 0.2],
           [7.7, 2.6, 6.9, 2.3]]), 0.061)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [_COUNT],
        "method": [StrOptions(set(CUR_RULES))],
        "core": [StrOptions(set(CORES))],
        "random_state": ["random_state"],
    }

    def __init__(
        self, n_components: int = 2, *, method: str = "auto", core: str = "stable", random_state: Any = None
    ) -> None:
        self.n_components = n_components
        self.method = method
        self.core = core
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "CURDecomposition":  # noqa: ARG002
        """Select features and samples of ``X`` (n_samples, n_features); ``y`` is ignored."""
        X = training_data(self, X, self.n_components)
        F = cur(X, self.n_components, method=self.method, core=self.core, rng=seed(self.random_state))
        self._keep(F.cols, F.core @ F.R)
        self.core_ = F.core[np.argsort(F.cols)]
        self.sample_indices_, self.samples_ = F.rows, F.R
        keep_certificate(self, F, rounding=float(F.core_error))
        return self
