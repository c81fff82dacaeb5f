"""The derivatives of projections and mappings: against differences, adjoint to each other, exactly zero outside."""

import mpmath
import numpy as np
import pytest

from lina.simplex import (
    entmax,
    entmax_jvp,
    entmax_vjp,
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    project_capped_simplex,
    project_capped_simplex_jvp,
    project_capped_simplex_vjp,
    project_l1_ball,
    project_l1_ball_jvp,
    project_l1_ball_vjp,
    project_simplex,
    project_simplex_jvp,
    project_simplex_vjp,
    softmax,
    softmax_jvp,
    softmax_vjp,
    sparsemax,
    sparsemax_jvp,
    sparsemax_vjp,
)
from tests.reference.simplex import exact_entmax

# name -> (map of x, vjp and jvp from its output)
MAPS = {
    "softmax": (softmax, softmax_vjp, softmax_jvp, {}),
    "softmax hot": (softmax, softmax_vjp, softmax_jvp, {"temperature": 2.5}),
    "log_softmax": (log_softmax, log_softmax_vjp, log_softmax_jvp, {}),
    "log_softmax cold": (log_softmax, log_softmax_vjp, log_softmax_jvp, {"temperature": 0.5}),
    "sparsemax": (sparsemax, sparsemax_vjp, sparsemax_jvp, {}),
    "sparsemax hot": (sparsemax, sparsemax_vjp, sparsemax_jvp, {"temperature": 3.0}),
    "project_simplex": (project_simplex, project_simplex_vjp, project_simplex_jvp, {}),
    "project_l1_ball": (project_l1_ball, project_l1_ball_vjp, project_l1_ball_jvp, {"radius": 2.0}),
    "project_l1_ball inside": (project_l1_ball, project_l1_ball_vjp, project_l1_ball_jvp, {"radius": 50.0}),
    "project_capped_simplex": (
        project_capped_simplex,
        project_capped_simplex_vjp,
        project_capped_simplex_jvp,
        {"lower": -0.1, "upper": 0.4},
    ),
    "entmax 1": (entmax, entmax_vjp, entmax_jvp, {"alpha": 1.0}),
    "entmax 1.3": (entmax, entmax_vjp, entmax_jvp, {"alpha": 1.3}),
    "entmax 1.5": (entmax, entmax_vjp, entmax_jvp, {"alpha": 1.5, "temperature": 0.7}),
    "entmax 2.4": (entmax, entmax_vjp, entmax_jvp, {"alpha": 2.4}),
}
each_map = pytest.mark.parametrize("name", MAPS)


def jacobian(mapping, x, options):
    """Return the central differences of a map of one vector; row i is the derivative by x_i."""
    step = 1e-6
    return np.stack(
        [(mapping(x + d, **options) - mapping(x - d, **options)) / (2 * step) for d in step * np.eye(len(x))]
    )


@each_map
def test_both_products_are_those_of_differences(name):
    mapping, vjp, jvp, options = MAPS[name]
    rng = np.random.default_rng(1)
    for _ in range(5):
        x, g = rng.standard_normal((2, 9))
        p = mapping(x, **options)
        J = jacobian(mapping, x, options)
        np.testing.assert_allclose(vjp(p, g, **options), J @ g, atol=2e-8)
        np.testing.assert_allclose(jvp(p, g, **options), g @ J, atol=2e-8)


@each_map
def test_the_products_are_adjoint_to_each_other_along_any_axis(name):
    mapping, vjp, jvp, options = MAPS[name]
    rng = np.random.default_rng(2)
    x, g, t = rng.standard_normal((3, 4, 6, 5))
    for axis in (0, 1, -1):
        p = mapping(x, axis=axis, **options)
        left = np.sum(g * jvp(p, t, axis=axis, **options))
        assert left == pytest.approx(np.sum(vjp(p, g, axis=axis, **options) * t), rel=1e-12)
        moved = vjp(np.moveaxis(p, axis, -1), np.moveaxis(g, axis, -1), **options)
        np.testing.assert_allclose(vjp(p, g, axis=axis, **options), np.moveaxis(moved, -1, axis), atol=1e-14)


@pytest.mark.parametrize("name", [n for n in MAPS if not n.startswith("project_capped") and "l1" not in n])
def test_entries_left_out_get_exactly_zero_and_give_nothing(name):
    mapping, vjp, jvp, options = MAPS[name]
    rng = np.random.default_rng(3)
    x, g = rng.standard_normal((2, 6, 8))
    mask = rng.random((6, 8)) > 0.4
    mask[2] = False
    spoiled = np.where(mask, g, 1e300)
    p = mapping(x, where=mask, **options)
    for product in (vjp, jvp):
        found = product(p, spoiled, **options)
        assert np.all(found[~mask] == 0)
        np.testing.assert_array_equal(found, product(p, np.where(mask, g, 0.0), **options))


@pytest.mark.parametrize("name", ["softmax", "sparsemax", "project_simplex", "entmax 1", "entmax 1.3", "entmax 2.4"])
def test_a_shift_of_x_has_no_effect_and_the_sum_stays(name):
    mapping, vjp, jvp, options = MAPS[name]
    x, g = np.random.default_rng(4).standard_normal((2, 7, 11))
    p = mapping(x, **options)
    np.testing.assert_allclose(vjp(p, np.ones_like(g), **options), 0, atol=1e-15)
    np.testing.assert_allclose(jvp(p, g, **options).sum(axis=-1), 0, atol=1e-14)


@pytest.mark.parametrize("alpha", [1.0, 1 + 1e-12, 1 + 1e-8, 1 + 1e-5, 1 + 1e-3, 1.1, 1.5, 1.9, 2.0, 2.6])
def test_the_derivative_by_alpha_is_that_of_long_arithmetic(alpha):
    x = np.array([1.0, 0.3, -0.2, 0.9, -2.0])
    h = mpmath.mpf(10) ** -20
    with mpmath.workdps(60):
        # one-sided at alpha = 1, below which there is nothing; second order by a third point
        def at(shift):
            return exact_alpha(x, mpmath.mpf(alpha) + shift)

        first, second, third = at(0), at(h), at(2 * h)
        derivative = [float((4 * b - 3 * a - c) / (2 * h)) for a, b, c in zip(first, second, third, strict=True)]
    p, g = entmax(x, alpha), np.array([1.0, -2.0, 0.5, 3.0, 1.0])
    found = entmax_jvp(p, np.zeros(5), alpha, alpha_tangent=1.0)
    np.testing.assert_allclose(found, derivative, atol=1e-12)
    _, by_alpha = entmax_vjp(p, g, alpha, return_alpha=True)
    assert by_alpha == pytest.approx(np.dot(g, derivative), abs=1e-12)


def exact_alpha(x, alpha):
    """Return exact_entmax for an alpha of more digits than a float has."""
    if alpha == 1:
        return exact_entmax(x, 1.0, 50)
    a = alpha - 1
    values = [mpmath.mpf(float(v)) for v in x]
    top = max(values)

    def entries(level):
        # of the largest p, exp(-level): the others without a threshold that tends to -1
        c = mpmath.exp(a * level)
        return [
            mpmath.exp(-level) * (1 + a * c * (v - top)) ** (1 / a) if 1 + a * c * (v - top) > 0 else mpmath.mpf(0)
            for v in values
        ]

    low, high = mpmath.mpf(0), mpmath.log(len(values))
    for _ in range(220):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(entries(middle)) > 1 else (low, middle)
    return entries(low)


def test_the_derivative_by_alpha_in_single_precision_near_one():
    x = np.random.default_rng(0).standard_normal((3, 20)).astype(np.float32)
    exact = entmax_vjp(softmax(x.astype(np.float64)), np.ones((3, 20)) * np.arange(20), 1.0, return_alpha=True)[1]
    for alpha in (1.0, 1 + 1e-6, 1 + 1e-4):
        p = entmax(x, alpha)
        g = np.ones((3, 20), dtype=np.float32) * np.arange(20, dtype=np.float32)
        found = entmax_vjp(p, g, alpha, return_alpha=True)[1]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=2e-3 if alpha > 1 + 1e-5 else 1e-4)


def test_alpha_and_temperature_per_row():
    x, g = np.random.default_rng(0).standard_normal((2, 3, 6))
    alphas, heats = np.array([[1.0], [1.5], [2.0]]), np.array([[0.5], [1.0], [2.0]])
    p = entmax(x, alphas, temperature=heats)
    found, by_alpha = entmax_vjp(p, g, alphas, temperature=heats, return_alpha=True)
    for i in range(3):
        one = entmax_vjp(p[i], g[i], alphas[i, 0], temperature=heats[i, 0], return_alpha=True)
        np.testing.assert_allclose(found[i], one[0], rtol=1e-14)
        assert by_alpha[i] == pytest.approx(one[1])


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"cotangent must have the shape \(3,\) of p, got \(2,\)"):
        softmax_vjp(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match=r"tangent must have the shape \(3,\) of p, got \(2,\)"):
        entmax_jvp(np.ones(3), np.ones(2))
