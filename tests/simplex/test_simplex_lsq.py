"""Least squares over the simplex, and the active set beneath it: exact against all faces, certified, hard cases."""

from fractions import Fraction

import numpy as np
import pytest

from lina._core.certificates import Status
from lina._numba import active_set_qp as kernels
from lina.simplex import frank_wolfe_gap, simplex_lsq
from tests.reference.simplex_problems import exhaustive_qp


def residual(A, b, x):
    return 0.5 * np.sum((A @ x - b) ** 2)


def random_problem(rng, m_most=7, n_most=7):
    """Return a small problem, sometimes with repeated columns, integers, or an offset."""
    m, n = rng.integers(1, m_most + 1), rng.integers(1, n_most + 1)
    A, b = rng.standard_normal((m, n)), rng.standard_normal(m)
    kind = rng.integers(4)
    if kind == 1:
        A = A[:, rng.integers(0, n, n)]
    if kind == 2:
        A, b = np.round(2 * A), np.round(2 * b)
    if kind == 3:
        A, b = A + 10, b + 10
    return A, b


def test_the_gap_bounds_the_true_error_of_a_thousand_problems_and_the_value_is_that_of_the_best_face():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        A, b = random_problem(rng)
        r = simplex_lsq(A, b)
        _, least = exhaustive_qp(A.T @ A, -A.T @ b)
        least += 0.5 * b @ b
        assert r.certified
        assert residual(A, b, r.x) == pytest.approx(r.value, abs=1e-13 * (b @ b + 100))
        assert r.value - least <= r.gap + 1e-13 * (b @ b + np.abs(A).max() ** 2)
        assert r.value <= least + 1e-6 * max(b @ b, r.value) + 1e-12
        assert r.status is Status.CONVERGED


def test_a_point_of_the_polytope_is_reached():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((30, 12))
    w = np.array([0.3, 0.0, 0.2, 0.0, 0.0, 0.1, 0.0, 0.4, 0.0, 0.0, 0.0, 0.0])
    r = simplex_lsq(A, A @ w, rtol=1e-14)
    np.testing.assert_allclose(r.x, w, atol=1e-10)
    np.testing.assert_array_equal(r.support, [0, 2, 5, 7])


def test_the_centre_is_the_point_of_least_norm_of_the_standard_simplex():
    r = simplex_lsq(np.eye(50), np.zeros(50))
    np.testing.assert_allclose(r.x, 1 / 50, rtol=1e-12)
    assert r.value == pytest.approx(0.5 / 50, rel=1e-12)


def test_one_column_leaves_no_choice():
    r = simplex_lsq(np.array([[2.0], [0.0]]), np.array([0.0, 1.0]))
    assert r.x.tolist() == [1.0]
    assert r.value == 2.5
    assert r.relative_gap < 1e-14


def test_zeros_everywhere_are_a_minimum():
    r = simplex_lsq(np.zeros((3, 4)), np.zeros(3))
    assert (r.value, r.gap, r.status) == (0.0, 0.0, Status.CONVERGED)


@pytest.mark.parametrize("shape", [(40, 400), (400, 40), (200, 200)])
def test_larger_problems_agree_with_an_independent_evaluation_of_the_gap(shape):
    rng = np.random.default_rng(2)
    A, b = rng.standard_normal(shape) + 1, rng.standard_normal(shape[0])
    r = simplex_lsq(A, b, rtol=1e-10)
    independent = frank_wolfe_gap(r.x, A.T @ (A @ r.x - b))
    assert independent <= 1e-10 * max(r.value, 0.5 * b @ b)
    assert float(independent) <= r.gap * (1 + 1e-6)
    assert r.x.min() >= 0
    assert abs(r.x.sum() - 1) < 1e-14


def test_columns_of_very_different_lengths_and_a_bad_condition_cost_no_accuracy():
    rng = np.random.default_rng(3)
    U, V = (np.linalg.qr(rng.standard_normal((60, 60)))[0] for _ in range(2))
    A = (U * np.geomspace(1, 1e-7, 60)) @ V
    b = A @ rng.dirichlet(np.full(60, 0.2)) + 1e-3 * rng.standard_normal(60)
    r = simplex_lsq(A, b)
    assert r.status is Status.CONVERGED
    A = rng.standard_normal((60, 60)) * np.geomspace(1e-4, 1e4, 60)
    r = simplex_lsq(A, rng.standard_normal(60), rtol=1e-10)
    assert r.relative_gap <= 1e-10


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scales_change_the_value_and_not_the_weights(scale):
    rng = np.random.default_rng(4)
    A, b = rng.standard_normal((20, 15)), rng.standard_normal(20)
    base, r = simplex_lsq(A, b), simplex_lsq(A * scale, b * scale)
    np.testing.assert_allclose(r.x, base.x, rtol=1e-9, atol=1e-12)
    assert r.value / scale / scale == pytest.approx(base.value, rel=1e-12)


def test_single_precision_is_certified_at_the_rounded_answer():
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((50, 30)).astype("f"), rng.standard_normal(50).astype("f")
    r = simplex_lsq(A, b)
    x = r.x.astype(np.float64)
    A, b = A.astype(np.float64), b.astype(np.float64)
    assert (r.x.dtype, r.certified_in) == (np.float32, "float64")
    assert abs(x.sum() - 1) < 1e-7
    assert residual(A, b, x / x.sum()) - simplex_lsq(A, b, rtol=1e-14).value <= r.gap <= 1e-5 * r.value


def test_a_warm_start_history_and_callback():
    rng = np.random.default_rng(6)
    A, b = rng.standard_normal((100, 300)), rng.standard_normal(100)
    r = simplex_lsq(A, b, history=True)
    assert [s.iteration for s in r.history] == list(range(r.iterations + 1))
    assert r.history[-1].gap == r.gap
    assert simplex_lsq(A, b, x0=r).iterations == 0
    stopped = simplex_lsq(A, b, callback=lambda step: step.iteration == 1)
    assert (stopped.status, stopped.iterations) == (Status.STOPPED, 1)
    assert stopped.value - r.value <= stopped.gap
    limited = simplex_lsq(A, b, max_iterations=1)
    assert limited.status is Status.MAX_ITERATIONS
    assert simplex_lsq(A, b, rtol=0).status is Status.ROUNDING


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": np.ones(2)}, "b must have one entry per row of A, 3, got 2"),
        ({"b": np.ones((3, 1))}, "b must be a vector"),
        ({"A": np.ones((3, 0))}, "A must not be empty"),
        ({"A": np.full((3, 2), np.nan)}, "A must be finite"),
        ({"x0": np.array([0.5, 0.6])}, "x0 must be non-negative with sum 1"),
        ({"x0": np.ones(3) / 3}, r"x0 must have shape \(2,\)"),
        ({"rtol": -1.0}, "rtol must be finite and not negative"),
        ({"max_iterations": -1}, "max_iterations must not be negative"),
        ({"scale": -1.0}, "scale must be finite and not negative"),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    arguments = {"A": np.ones((3, 2)), "b": np.ones(3)} | change
    with pytest.raises(ValueError, match=message):
        simplex_lsq(arguments.pop("A"), arguments.pop("b"), **arguments)


def test_wrong_types_are_refused_by_name():
    A, b = np.ones((3, 2)), np.ones(3)
    with pytest.raises(TypeError, match="A must be real"):
        simplex_lsq(A + 0j, b)
    with pytest.raises(TypeError, match="callback must be callable"):
        simplex_lsq(A, b, callback=3)
    with pytest.raises(TypeError, match="max_iterations must be an int"):
        simplex_lsq(A, b, max_iterations=1.5)


def test_the_compiled_active_set_equals_its_interpreted_text_on_a_thousand_problems(monkeypatch):
    rng = np.random.default_rng(7)
    cases = []
    for _ in range(1000):
        A, b = random_problem(rng, 5, 6)
        x = rng.dirichlet(np.ones(A.shape[1])) * (rng.random(A.shape[1]) < 0.5)
        x = x / x.sum() if x.sum() > 0 else np.eye(A.shape[1])[0]
        Q, c = A.T @ A, -A.T @ b
        cases.append((Q, c, x, *kernels.active_set_qp(Q, c, x, 1e-9)))
    for name, value in list(vars(kernels).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(kernels, name, value.py_func)
    for Q, c, x, y, steps in cases:
        found, count = kernels.active_set_qp(Q, c, x, 1e-9)
        size = np.abs(Q).max() + np.abs(c).max()
        assert count == steps
        np.testing.assert_allclose(Q @ found, Q @ y, atol=1e-10 * size)
        assert 0.5 * found @ Q @ found + c @ found == pytest.approx(0.5 * y @ Q @ y + c @ y, abs=1e-13 * size)


def test_the_active_set_gives_exact_zeros_and_a_gap_of_rounding():
    rng = np.random.default_rng(8)
    for n in (2, 10, 60, 150):
        F = rng.standard_normal((n, n + 5))
        Q, c = F @ F.T, rng.standard_normal(n)
        x, _ = kernels.active_set_qp(Q, c, np.eye(n)[0], 0.0)
        g = Q @ x + c
        assert x @ g - g.min() <= 1e-14 * n * (np.abs(Q).max() + 1)
        assert np.all(g[x == 0] >= x @ g - 1e-13 * n * np.abs(Q).max())


def test_the_lower_bound_holds_to_the_last_digit_where_no_column_explains_anything():
    rng = np.random.default_rng(12)
    for _ in range(100):
        b = rng.standard_normal(3)
        least = sum(Fraction(float(v)) ** 2 for v in b) / 2
        found = simplex_lsq(np.zeros((3, 2)), b)
        assert found.lower_bound <= least <= Fraction(found.value) + Fraction(found.gap)
