"""The estimators: scikit-learn's own checks, certificates against the truth, and what estimators are combined with."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_array, csr_matrix

pytest.importorskip("sklearn", reason="NOT TESTED: the estimators, because there is no scikit-learn")

from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.decomposition import TruncatedSVD as PeerSVD
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

from lina.linalg import interpolative
from lina.sklearn import ColumnSelector, CURDecomposition, InterpolativeDecomposition, TruncatedSVD
from tests.linalg.matrices import with_spectrum

COLUMNS = [ColumnSelector(5, random_state=0), InterpolativeDecomposition(5), CURDecomposition(5, random_state=0)]
ALL = [*COLUMNS, TruncatedSVD(5, random_state=0)]
each = pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
each_of_columns = pytest.mark.parametrize("estimator", COLUMNS, ids=lambda e: type(e).__name__)
CHECKED = [*(type(e)() for e in ALL), InterpolativeDecomposition(None, rtol=0.5), TruncatedSVD(center=True)]
CHECKS = [pair for e in CHECKED for pair in estimator_checks_generator(e)]


def label(x):
    return getattr(getattr(x, "func", x), "__name__", repr(x))


def graded(dtype="float64", smallest=1e-6):
    return with_spectrum(np.random.default_rng(0), 120, 30, np.geomspace(1, smallest, 30), dtype)


def sparse_and_dense(m=300, n=80, density=0.05):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((m, n)) * (rng.random((m, n)) < density) * np.geomspace(1, 1e-3, n)
    return csr_array(X), X


def true_error(estimator, X):
    return np.linalg.norm(X - estimator.inverse_transform(estimator.transform(X)))


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=lambda x: getattr(getattr(x, "func", x), "__name__", repr(x))
)
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_error_bounds_what_the_way_back_misses_of_the_training_data(estimator, dtype):
    X = graded(dtype)
    fitted = clone(estimator).fit(X)
    truth = np.linalg.norm(X.astype(float) - fitted.inverse_transform(fitted.transform(X)).astype(float))
    assert truth <= fitted.error_ * (1 + 1e-6) <= 1.1 * truth
    assert fitted.error_kind_ == "rigorous"
    assert fitted.norm_ == pytest.approx(np.linalg.norm(X))
    assert fitted.relative_error_ == pytest.approx(fitted.error_ / fitted.norm_)


@each
def test_data_of_exact_rank_come_back_to_rounding(estimator):
    X = graded()[:, :5] @ np.random.default_rng(2).standard_normal((5, 30))
    fitted = clone(estimator).fit(X)
    assert true_error(fitted, X) <= fitted.error_ < 1e-11 * np.linalg.norm(X)


@each
def test_data_of_zeros_have_no_error(estimator):
    X = np.zeros((9, 7))
    fitted = clone(estimator).fit(X)
    assert fitted.error_ == fitted.relative_error_ == 0
    np.testing.assert_array_equal(fitted.inverse_transform(fitted.transform(X)), X)


@each
def test_the_same_seed_gives_the_same_bits_and_fitting_moves_no_global_generator(estimator):
    X = load_digits().data
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (clone(estimator).set_params(random_state=7).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.components_, second.components_)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@each
def test_a_fitted_estimator_survives_pickle_and_a_clone_is_not_fitted(estimator):
    X = graded()
    fitted = clone(estimator).fit(X)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(X), fitted.transform(X))
    assert copy.error_ == fitted.error_
    assert not hasattr(clone(fitted), "components_")
    assert clone(fitted).get_params() == fitted.get_params()


@each
def test_data_frames_come_out_with_the_names_of_their_columns(estimator):
    pandas = pytest.importorskip("pandas", reason="NOT TESTED: data frames, because there is no pandas")
    frame = pandas.DataFrame(graded(), columns=[f"feature {i}" for i in range(30)])
    fitted = clone(estimator).set_output(transform="pandas").fit(frame)
    out = fitted.transform(frame)
    assert list(out.columns) == list(fitted.get_feature_names_out())
    if isinstance(estimator, TruncatedSVD):
        assert out.columns[0] == "truncatedsvd0"
    else:
        pandas.testing.assert_frame_equal(out, frame[frame.columns[fitted.get_support()]])


@each
def test_a_grid_search_fits_it_within_a_pipeline(estimator):
    X, y = load_iris(return_X_y=True)
    count = next(iter(estimator.get_params().keys() & {"n_components", "n_features_to_select"}))
    name = type(estimator).__name__.lower()
    model = make_pipeline(clone(estimator), Ridge())
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(model, {f"{name}__{count}": [1, 2, 4]}, cv=folds, error_score="raise").fit(X, y)
    assert search.best_params_[f"{name}__{count}"] == 4  # all features: nothing to lose by
    assert search.best_estimator_[0].relative_error_ < 1e-13


@each_of_columns
def test_what_is_selected_are_columns_of_the_data_and_their_coefficients_are_the_identity(estimator):
    X = graded()
    fitted = clone(estimator).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), X[:, np.sort(fitted.indices_)])
    np.testing.assert_array_equal(fitted.get_support(indices=True), np.sort(fitted.indices_))
    if not isinstance(estimator, CURDecomposition):
        np.testing.assert_allclose(fitted.components_[:, fitted.get_support()], np.eye(5), atol=1e-9)


@each_of_columns
def test_sparse_data_are_refused_by_name(estimator):
    with pytest.raises(TypeError, match=r"Sparse data was passed for X, but dense data is required"):
        clone(estimator).fit(sparse_and_dense()[0])


@each
def test_more_components_than_samples_or_features_are_refused(estimator):
    with pytest.raises(ValueError, match=r"Found array with 4 feature\(s\).* while a minimum of 5 is required"):
        clone(estimator).fit(np.ones((20, 4)))
    with pytest.raises(ValueError, match=r"Found array with 3 sample\(s\).* while a minimum of 5 is required"):
        clone(estimator).fit(np.ones((3, 20)))


@each
def test_the_way_back_refuses_another_number_of_components(estimator):
    fitted = clone(estimator).fit(graded())
    with pytest.raises(ValueError, match=r"X must have 5 features, .*, got 4"):
        fitted.inverse_transform(np.ones((3, 4)))


def test_a_tolerance_decides_how_many_are_needed():
    X = graded()
    for estimator in (InterpolativeDecomposition(None, rtol=1e-3), TruncatedSVD(None, rtol=1e-3)):
        fitted = estimator.fit(X)
        assert true_error(fitted, X) <= fitted.error_ <= 1e-3 * np.linalg.norm(X)
        fewer = clone(estimator).set_params(n_components=len(fitted.components_) - 1).fit(X)
        assert fewer.error_ > 1e-3 * np.linalg.norm(X)
    for estimator in (InterpolativeDecomposition(None), TruncatedSVD(None)):
        with pytest.raises(ValueError, match="n_components must be an int where rtol is None, got None"):
            estimator.fit(X)


def test_the_interpolative_decomposition_is_that_of_linalg():
    X = load_digits().data
    fitted = InterpolativeDecomposition(12, method="cpqr", max_coef=2).fit(X)
    F = interpolative(X, 12, method="cpqr", max_coef=2)
    np.testing.assert_array_equal(fitted.indices_, F.indices)
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(X)), F.toarray(), atol=1e-10)
    assert fitted.max_abs_coef_ == F.max_abs_coef <= 2


def test_cur_selects_samples_and_its_core_leads_from_features_to_them():
    X = load_digits().data
    fitted = CURDecomposition(10, random_state=0).fit(X)
    np.testing.assert_array_equal(fitted.samples_, X[fitted.sample_indices_])
    np.testing.assert_allclose(fitted.components_, fitted.core_ @ fitted.samples_, atol=1e-10)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("form", [csr_array, csr_matrix, csc_matrix])
def test_sparse_data_give_what_dense_data_give(form, center):
    sparse, X = sparse_and_dense()
    options = {"n_iter": 20, "center": center, "random_state": 0}
    dense, other = (TruncatedSVD(6, **options).fit(data) for data in (X, form(sparse)))
    for name in ("singular_values_", "explained_variance_", "explained_variance_ratio_", "error_", "norm_"):
        np.testing.assert_allclose(getattr(other, name), getattr(dense, name), rtol=1e-8)
    np.testing.assert_allclose(other.transform(sparse), dense.transform(X), atol=1e-6)


@pytest.mark.parametrize("X", [load_digits().data, sparse_and_dense()[1]], ids=["digits", "sparse"])
def test_the_truncated_svd_is_that_of_scikit_learn_where_that_has_converged(X):
    ours = TruncatedSVD(8, algorithm="svd").fit(X)
    theirs = PeerSVD(8, algorithm="arpack", random_state=0).fit(X)
    for name in ("components_", "singular_values_", "explained_variance_", "explained_variance_ratio_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-7)
    assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())


def test_centred_it_is_the_principal_component_analysis():
    X = load_digits().data
    ours, theirs = TruncatedSVD(8, center=True, algorithm="svd").fit(X), PCA(8, svd_solver="full").fit(X)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(ours.transform(X)), np.abs(theirs.transform(X)), atol=1e-8)
    np.testing.assert_allclose(ours.inverse_transform(ours.transform(X)), theirs.inverse_transform(theirs.transform(X)))


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize(
    ("dtype", "scale"), [("float32", 1e30), ("float32", 1e-30), ("float64", 1e200), ("float64", 1e-200)]
)
def test_shares_of_the_variance_do_not_depend_on_the_scale_of_the_data(form, dtype, scale):
    X = load_digits().data
    shares = TruncatedSVD(5, random_state=0).fit(X).explained_variance_ratio_
    scaled = TruncatedSVD(5, random_state=0).fit(form((X * scale).astype(dtype)))
    np.testing.assert_allclose(scaled.explained_variance_ratio_, shares, rtol=1e-3 if dtype == "float32" else 1e-9)


def test_iterations_read_the_data_as_often_as_those_of_scikit_learn_and_miss_less():
    X = with_spectrum(np.random.default_rng(3), 600, 300, 1 / np.sqrt(np.arange(1, 301)), "float64")
    for n_iter in (1, 2, 5):
        ours = TruncatedSVD(10, n_iter=n_iter, random_state=0).fit(X)
        theirs = PeerSVD(10, n_iter=n_iter, random_state=0).fit(X)
        assert ours.passes_ <= 2 * n_iter + 2
        assert ours.error_ <= true_error(theirs, X)
    with pytest.raises(ValueError, match="algorithm must be 'auto' or 'randomized' with n_iter, got 'gram'"):
        TruncatedSVD(2, algorithm="gram", n_iter=3).fit(X)


@pytest.mark.parametrize("algorithm", ["auto", "randomized", "gram", "svd"])
def test_every_algorithm_leaves_as_little(algorithm):
    X = graded(smallest=1e-2)
    best = np.sqrt(np.sum(np.geomspace(1, 1e-2, 30)[5:] ** 2))
    fitted = TruncatedSVD(5, algorithm=algorithm, random_state=0).fit(X)
    assert best * (1 - 1e-12) <= fitted.error_ <= 1.01 * best
