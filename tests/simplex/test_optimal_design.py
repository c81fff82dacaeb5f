"""Optimal designs: known ones, the multiplicative algorithm, invariance, degenerate candidates, the exchange kernel."""

import numpy as np
import pytest
import scipy.optimize

from lina._core.certificates import Status
from lina._numba import optimal_design as kernels
from lina.simplex import optimal_design
from lina.simplex._optimal_design_newton import _model, newton_design
from tests.backends import BACKENDS
from tests.reference.simplex_problems import design_value, exact_design, multiplicative_design

T = np.linspace(-1, 1, 401)
RNG = np.random.default_rng(0)


def powers(t, degree):
    return np.stack([t**k for k in range(degree + 1)], axis=1)


def test_quadratic_regression_measures_at_both_ends_and_in_the_middle():
    d = optimal_design(powers(T, 2), rtol=1e-12)
    np.testing.assert_array_equal(T[d.support], [-1, 0, 1])
    np.testing.assert_allclose(d.x[d.support], 1 / 3, atol=1e-7)
    a = optimal_design(powers(T, 2), "A", rtol=1e-12)
    np.testing.assert_array_equal(T[a.support], [-1, 0, 1])
    np.testing.assert_allclose(a.x[a.support], [0.25, 0.5, 0.25], atol=1e-6)


@pytest.mark.parametrize("degree", [1, 3, 4, 5])
def test_polynomial_regression_measures_at_the_roots_that_are_known(degree):
    # the ends, and the roots of the derivative of the Legendre polynomial of the degree, 1 / (degree + 1) each
    inner = np.polynomial.legendre.Legendre.basis(degree).deriv().roots()
    known = np.sort(np.concatenate([[-1.0], np.real(inner), [1.0]]))
    t = np.sort(np.concatenate([T, known[1:-1]]))
    d = optimal_design(powers(t, degree), rtol=1e-11)
    heavy = d.support[d.x[d.support] > 1e-4]
    np.testing.assert_allclose(t[heavy], known, atol=1e-12)
    np.testing.assert_allclose(d.x[heavy], 1 / (degree + 1), atol=1e-4)


def test_unit_vectors_alone_share_the_weight_by_closed_form():
    lengths = np.array([1.0, 2.0, 5.0])
    np.testing.assert_allclose(optimal_design(np.diag(lengths)).x, 1 / 3, rtol=1e-6)
    a = optimal_design(np.diag(lengths), "A", rtol=1e-12)
    np.testing.assert_allclose(a.x, (1 / lengths) / np.sum(1 / lengths), rtol=1e-5)
    assert a.value == pytest.approx(np.sum(1 / lengths) ** 2, rel=1e-11)


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_the_gap_bounds_the_distance_to_the_multiplicative_algorithm_and_to_tighter_answers(criterion):
    rng = np.random.default_rng(0)
    for _ in range(200):
        d = int(rng.integers(1, 5))
        A = rng.standard_normal((int(rng.integers(d, 25)), d)) * 10.0 ** rng.uniform(-2, 2, d)
        loose, tight = optimal_design(A, criterion, rtol=1e-2), optimal_design(A, criterion, rtol=1e-11)
        assert tight.status is Status.CONVERGED
        assert loose.certified
        assert loose.value == pytest.approx(design_value(A, loose.x, criterion), rel=1e-9, abs=1e-9)
        slow = design_value(A, multiplicative_design(A, 300, criterion), criterion)
        assert tight.lower_bound <= slow + 1e-9 * abs(slow)
        assert loose.value - tight.value <= loose.gap
        assert loose.value - tight.value >= -tight.gap
        assert loose.efficiency <= 1
        true = np.exp((tight.value - loose.value) / d) if criterion == "D" else tight.value / loose.value
        assert loose.efficiency <= true * (1 + 1e-9)


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_the_gap_is_that_of_the_definition(criterion):
    A = np.random.default_rng(1).standard_normal((300, 6))
    d = optimal_design(A, criterion, rtol=1e-8)
    P = np.linalg.inv((A.T * d.x) @ A)
    scores = np.einsum("ij,jk,ik->i", A, P if criterion == "D" else P @ P, A)
    assert scores.max() - d.x @ scores == pytest.approx(d.gap, rel=1e-3, abs=1e-12)
    assert d.relative_gap == pytest.approx(d.gap / (6 if criterion == "D" else d.value))
    np.testing.assert_allclose(d.information, (A.T * d.x) @ A, rtol=1e-12, atol=1e-13)


def test_a_design_agrees_with_an_independent_optimiser():
    A = np.random.default_rng(2).standard_normal((15, 3))
    peer = scipy.optimize.minimize(
        lambda x: design_value(A, x),
        np.full(15, 1 / 15),
        jac=lambda x: -np.einsum("ij,jk,ik->i", A, np.linalg.inv((A.T * x) @ A), A),
        bounds=[(0, 1)] * 15,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(15)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert optimal_design(A, rtol=1e-9).value == pytest.approx(peer.fun, abs=1e-7)


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_repeated_candidates_change_nothing(criterion):
    A = np.random.default_rng(3).standard_normal((40, 3))
    once, twice = optimal_design(A, criterion), optimal_design(np.tile(A, (3, 1)), criterion)
    assert twice.value == pytest.approx(once.value, rel=1e-5)


def test_d_optimality_does_not_depend_on_a_basis_or_on_units():
    rng = np.random.default_rng(4)
    A = rng.standard_normal((100, 4))
    base = optimal_design(A, rtol=1e-10)
    for change in (
        rng.standard_normal((4, 4)),
        np.diag([1e-100, 1.0, 1e60, 1e150]),
        np.vander([1, 1.001, 1.002, 1.003]),
    ):
        d = optimal_design(A @ change, rtol=1e-10)
        np.testing.assert_allclose(d.x, base.x, atol=1e-4)
        assert d.value == pytest.approx(base.value - 2 * np.linalg.slogdet(change)[1], abs=1e-5)


def test_a_optimality_scales_with_the_units():
    A = np.random.default_rng(5).standard_normal((50, 3))
    base = optimal_design(A, "A")
    for scale in (1e-120, 1e120):
        d = optimal_design(A * scale, "A")
        assert d.value * scale**2 == pytest.approx(base.value, rel=1e-12)
        np.testing.assert_allclose(d.x, base.x, atol=1e-9)
    with pytest.raises(OverflowError, match="A must give a value within"):
        optimal_design(A * 1e-200, "A")


def test_regressors_of_very_different_units_are_done_in_range_and_refused_beyond_without_a_warning():
    A = np.random.default_rng(5).standard_normal((50, 3))
    # the trace is that of the smallest unit: the others do not matter to it
    for scales in ([1e100, 1e-100, 1.0], [1e150, 1e-150, 1.0], [1.0, 1.0, 1e150]):
        d = optimal_design(A * np.array(scales), "A")
        smallest = np.array(scales) == min(scales)
        covariance = np.linalg.inv((A.T * d.x) @ A)
        expected = np.sum(np.diagonal(covariance)[smallest]) / min(scales) ** 2
        assert d.value == pytest.approx(expected, rel=1e-9)
        assert d.status == "converged"
    for scales, message in (
        ([1e200, 1.0, 1.0], "an information matrix within"),
        ([1e-200, 1.0, 1.0], "a value within"),
        ([1e200, 1e-200, 1.0], "a value within"),
        ([1e-320, 1.0, 1.0], "a value within"),
    ):
        with pytest.raises(OverflowError, match=message):
            optimal_design(A * np.array(scales), "A")


def test_one_regressor_puts_all_weight_on_the_largest():
    d = optimal_design(np.array([[1.0], [-3.0], [2.0]]))
    assert d.support.tolist() == [1]
    assert d.value == pytest.approx(-2 * np.log(3))
    assert optimal_design(np.array([[2.0]]), "A").value == pytest.approx(0.25)


def test_a_square_matrix_leaves_the_uniform_design():
    d = optimal_design(np.random.default_rng(6).standard_normal((5, 5)))
    np.testing.assert_allclose(d.x, 0.2, rtol=1e-6)


def test_an_ill_conditioned_basis_is_certified():
    d = optimal_design(powers(np.linspace(0, 1, 500), 9), rtol=1e-6)
    assert d.status is Status.CONVERGED
    assert len(d.support[d.x[d.support] > 1e-3]) >= 10


def nearly_dependent(n, d, condition, rng):
    left = np.linalg.qr(rng.standard_normal((n, d)))[0]
    return left * np.geomspace(1, 1 / condition, d) @ np.linalg.qr(rng.standard_normal((d, d)))[0]


@pytest.mark.parametrize("condition", [1e1, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("criterion", ["D", "A"])
def test_the_gap_of_nearly_dependent_regressors_bounds_the_exact_one(criterion, condition):
    rng = np.random.default_rng(20)
    for rtol in (1e-3, 1e-9, 1e-12, 0.0):
        A = nearly_dependent(15, 3, condition, rng)
        design = optimal_design(A, criterion, rtol=rtol)
        value, gap = exact_design(A, design.x, criterion)
        assert design.gap >= gap
        assert design.lower_bound <= value
        assert abs(design.value - value) <= design.gap
        assert design.status is (Status.CONVERGED if design.relative_gap <= rtol else Status.ROUNDING)


def test_nearly_dependent_regressors_are_certified_far_beyond_their_condition():
    rng = np.random.default_rng(21)
    for _ in range(10):
        assert optimal_design(nearly_dependent(40, 4, 1e9, rng), rtol=1e-10).status is Status.CONVERGED


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_small_tolerances_are_reached(criterion):
    A = np.random.default_rng(7).standard_normal((2000, 10))
    d = optimal_design(A, criterion, rtol=1e-11)
    assert d.relative_gap <= 1e-11


@pytest.mark.parametrize("criterion", ["D", "A"])
@pytest.mark.parametrize("degree", [5, 9])
def test_fine_grids_whose_neighbours_share_the_weight_are_solved_to_rounding(criterion, degree):
    A = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, 2000), degree)
    design = optimal_design(A, criterion, rtol=1e-10)
    assert design.status is Status.CONVERGED
    assert design.iterations < 40  # exchanges alone stay at 1e-8 after hundreds
    M_inverse = np.linalg.inv(design.information)
    if criterion == "D":
        scores, mean = np.einsum("ni,ij,nj->n", A, M_inverse, A), degree + 1
    else:
        scores, mean = np.sum((A @ M_inverse) ** 2, axis=1), np.trace(M_inverse)
    assert scores.max() / mean - 1 < 2e-10


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_the_newton_model_has_the_derivatives_of_the_criterion(criterion):
    rows = RNG.standard_normal((9, 3))
    w = RNG.dirichlet(np.ones(9))
    K = None if criterion == "D" else np.cov(RNG.standard_normal((3, 8)))
    value, gradient, hessian = _model(rows, w, K)
    M = (rows.T * w) @ rows
    expected = -np.linalg.slogdet(M)[1] if K is None else np.trace(K @ np.linalg.inv(M))
    assert value == pytest.approx(expected, rel=1e-12)
    for i in range(9):
        e = 1e-6 * np.eye(9)[i]
        (up, g_up, _), (down, g_down, _) = _model(rows, w + e, K), _model(rows, w - e, K)
        assert (up - down) / 2e-6 == pytest.approx(gradient[i], rel=1e-6)
        np.testing.assert_allclose((g_up - g_down) / 2e-6, hessian[i], rtol=1e-6, atol=1e-6 * np.abs(hessian).max())


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_newton_steps_alone_reach_the_design_from_equal_weights(criterion):
    rows = RNG.standard_normal((60, 4))
    K = None if criterion == "D" else np.eye(4)
    w = newton_design(rows, np.full(60, 1 / 60), K, 1e-12)
    assert w.min() >= 0
    assert np.count_nonzero(w) <= 10
    _, gradient, _ = _model(rows, w, K)
    assert w @ (gradient - gradient.min()) < 1e-11
    reached = optimal_design(rows, criterion, rtol=1e-12)
    np.testing.assert_allclose(w / w.sum(), reached.x, atol=1e-6)


def test_single_precision_is_certified_at_the_rounded_answer():
    A = np.random.default_rng(8).standard_normal((100, 4)).astype("f")
    d = optimal_design(A)
    assert (d.x.dtype, d.information.dtype, d.certified_in) == (np.float32, np.float32, "float64")
    assert d.gap < 1e-5


def test_a_warm_start_and_a_limit():
    A = np.random.default_rng(9).standard_normal((1000, 8))
    d = optimal_design(A, history=True)
    assert optimal_design(A, x0=d.x).iterations == 0
    assert d.history[-1].gap <= 1e-6 * 8 < d.history[0].gap
    assert optimal_design(A, max_iterations=2).status is Status.MAX_ITERATIONS


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (np.ones((5, 2)), "A must have rank d = 2, .*got rank 1"),
        (powers(T, 2) @ np.ones((3, 3)), "A must have rank d = 3"),
        (np.ones((2, 3)), "A must have at least as many rows as columns"),
        (np.zeros((4, 2)), "A must have rank d = 2, .*got rank 0"),
    ],
)
def test_candidates_that_cannot_identify_the_parameters_are_refused(A, message):
    with pytest.raises(ValueError, match=message):
        optimal_design(A)


def test_a_start_that_is_singular_or_an_unknown_criterion_is_refused():
    with pytest.raises(ValueError, match="x0 must be a design with a regular M"):
        optimal_design(np.eye(3), x0=np.array([0.5, 0.5, 0.0]))
    with pytest.raises(ValueError, match="criterion must be one of 'D', 'A', got 'E'"):
        optimal_design(np.eye(3), "E")


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_the_compiled_exchange_equals_its_interpreted_text(criterion, monkeypatch):
    rng = np.random.default_rng(10)
    cases = []
    for _ in range(1000):
        d = int(rng.integers(1, 4))
        k = int(rng.integers(d, 8))
        A, K = rng.standard_normal((k, d)), None
        if criterion == "A":
            B = rng.standard_normal((d, d + 1))
            K = B @ B.T
        w = rng.dirichlet(np.ones(k))
        cases.append((A, w, K, *kernels.exchange(A, w, K, 1e-3, 6)))
    for name, value in list(vars(kernels).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(kernels, name, value.py_func)
    for A, w, K, x, steps in cases:
        found, count = kernels.exchange(A, w, K, 1e-3, 6)
        assert count == steps
        np.testing.assert_allclose(found, x, atol=1e-9)


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_each_exchange_goes_as_far_as_a_search_along_it_would(criterion):
    rng = np.random.default_rng(11)
    for _ in range(50):
        A, w = rng.standard_normal((8, 3)), rng.dirichlet(np.ones(8))
        K = None if criterion == "D" else np.eye(3)
        x, _ = kernels.exchange(A, w, K, 0.0, 1)
        step = x - w
        i, j = int(step.argmax()), int(step.argmin())
        lengths = np.linspace(0, w[j], 4001)
        edge = np.zeros(8)
        edge[i], edge[j] = 1, -1
        best = min(design_value(A, w + t * edge, criterion) for t in lengths)
        assert design_value(A, x, criterion) <= best + 1e-9


@pytest.mark.parametrize("name", ["strict", "torch"])
@pytest.mark.parametrize("criterion", ["D", "A"])
def test_several_regressors_in_other_libraries_give_the_design_of_numpy(name, criterion):
    pytest.importorskip(BACKENDS[name].module.partition(".")[0])
    A = np.random.default_rng(12).standard_normal((50, 4))
    base, moved = optimal_design(A, criterion), optimal_design(BACKENDS[name].move(A), criterion)
    np.testing.assert_allclose(BACKENDS[name].back(moved.x), base.x, atol=1e-4)
    assert moved.value == pytest.approx(base.value, abs=1e-5)
