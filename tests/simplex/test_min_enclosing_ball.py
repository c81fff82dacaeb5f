"""The smallest enclosing ball: against all subsets and closed forms, enclosing in fact, certified from below."""

import numpy as np
import pytest

from lina._core.certificates import Status
from lina._numba import active_set_qp as kernels
from lina.simplex import min_enclosing_ball
from tests.reference.simplex_problems import exhaustive_ball


def farthest(X, center):
    return np.linalg.norm(X - center, axis=1).max()


def test_the_bounds_hold_for_a_thousand_small_sets_of_points():
    rng = np.random.default_rng(0)
    for trial in range(1000):
        n, d = rng.integers(1, 8), rng.integers(1, 4)
        X = rng.standard_normal((n, d))
        if trial % 3 == 1:
            X = np.round(2 * X)  # ties and repeated points
        if trial % 3 == 2:
            X = X + 1000
        ball = min_enclosing_ball(X)
        center, radius = exhaustive_ball(X)
        size = max(radius, 1e-300)
        assert ball.certified
        assert farthest(X, ball.center) <= ball.radius * (1 + 1e-14)
        assert ball.radius_bound <= radius * (1 + 1e-9) + 1e-12
        assert radius <= ball.radius * (1 + 1e-9) + 1e-12
        assert -(radius**2) + ball.gap - ball.value >= -1e-8 * size**2 - 1e-12
        assert ball.status is Status.CONVERGED
        np.testing.assert_allclose(ball.center, center, atol=2e-3 * size + 1e-9)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_the_corners_of_a_simplex_and_of_a_cube(d):
    ball = min_enclosing_ball(np.eye(d + 1), rtol=1e-13)
    np.testing.assert_allclose(ball.center, 1 / (d + 1), rtol=1e-10)
    assert ball.radius == pytest.approx(np.sqrt(d / (d + 1)), rel=1e-12)
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * min(d, 10)), axis=-1).reshape(-1, min(d, 10))
    cube = min_enclosing_ball(corners + 7)
    assert cube.radius == pytest.approx(np.sqrt(min(d, 10)), rel=1e-6)
    np.testing.assert_allclose(cube.center, 7, atol=1e-3)


def test_one_point_and_repeated_points_have_radius_zero():
    for X in (np.array([[3.0, 4.0]]), np.full((5, 3), 1e9), np.zeros((4, 2))):
        ball = min_enclosing_ball(X)
        np.testing.assert_array_equal(ball.center, X[0])
        assert (ball.radius, ball.radius_bound, ball.gap, ball.status) == (0.0, 0.0, 0.0, Status.CONVERGED)


def test_points_on_a_line_are_spanned_by_the_two_ends():
    t = np.random.default_rng(1).random(100)
    X = np.outer(t, [1.0, 2.0, -2.0]) + 5
    ball = min_enclosing_ball(X)
    assert ball.radius == pytest.approx(1.5 * np.ptp(t), rel=1e-12)
    assert set(ball.support.tolist()) == {int(t.argmin()), int(t.argmax())}


def test_the_answer_is_exact_to_rounding_when_asked():
    X = np.random.default_rng(2).standard_normal((3000, 30))
    ball = min_enclosing_ball(X, rtol=1e-13)
    assert ball.radius - ball.radius_bound <= 1e-13 * ball.radius
    on_the_sphere = np.linalg.norm(X[ball.support] - ball.center, axis=1)
    np.testing.assert_allclose(on_the_sphere, ball.radius, rtol=1e-12)
    assert len(ball.support) <= 31


def test_points_near_a_sphere_are_hard_and_still_certified():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((500, 8))
    X = X / np.linalg.norm(X, axis=1)[:, None] * (1 + 1e-9 * rng.standard_normal((500, 1)))
    ball = min_enclosing_ball(X, rtol=1e-11)
    assert ball.radius - ball.radius_bound <= 1e-10
    assert farthest(X, ball.center) <= ball.radius * (1 + 1e-15)


@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_an_offset_costs_no_more_than_the_digits_it_takes_from_the_points(offset):
    X = np.random.default_rng(4).standard_normal((200, 4))
    moved = (X + offset) - offset
    near, far = min_enclosing_ball(moved), min_enclosing_ball(moved + offset)
    assert far.radius == pytest.approx(near.radius, rel=1e-6)
    assert far.status is Status.CONVERGED


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e150])
def test_the_ball_scales_with_the_points(scale):
    X = np.random.default_rng(5).standard_normal((100, 3))
    base, ball = min_enclosing_ball(X), min_enclosing_ball(X * scale)
    assert ball.radius == pytest.approx(base.radius * scale, rel=1e-12)
    np.testing.assert_allclose(ball.center, base.center * scale, rtol=1e-9)


def test_single_precision_encloses_its_own_points():
    X = np.random.default_rng(6).standard_normal((400, 5)).astype("f") + np.float32(100)
    ball = min_enclosing_ball(X)
    assert ball.center.dtype == np.float32
    assert farthest(X.astype(np.float64), ball.center.astype(np.float64)) <= ball.radius * (1 + 1e-14)
    assert ball.radius_bound <= min_enclosing_ball(X.astype(np.float64), rtol=1e-13).radius


def test_a_warm_start_a_limit_and_a_callback():
    X = np.random.default_rng(7).standard_normal((2000, 10))
    ball = min_enclosing_ball(X, history=True)
    assert min_enclosing_ball(X, x0=ball).iterations == 0
    assert [s.kind for s in ball.history] == ["active set"] * (ball.iterations + 1)
    short = min_enclosing_ball(X, max_iterations=1)
    assert short.status is Status.MAX_ITERATIONS
    assert short.radius_bound <= ball.radius <= short.radius
    assert min_enclosing_ball(X, callback=lambda step: True).status is Status.STOPPED


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((0, 3)), ValueError, "X must not be empty"),
        (np.zeros(3), ValueError, "X must be a matrix"),
        (np.array([[np.inf, 0.0]]), ValueError, "X must be finite"),
        (np.array([[1j, 0.0]]), TypeError, "X must be real"),
    ],
)
def test_bad_input_is_refused_by_name(X, error, message):
    with pytest.raises(error, match=message):
        min_enclosing_ball(X)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_points_that_are_all_the_same_have_a_ball_of_radius_zero(count):
    point = np.random.default_rng(13).standard_normal(4)
    ball = min_enclosing_ball(np.tile(point, (count, 1)))
    assert ball.status is Status.CONVERGED
    assert (ball.radius, ball.radius_bound, ball.gap) == (0, 0, 0)
    np.testing.assert_array_equal(ball.center, point)


def test_what_is_left_to_rounding_costs_no_more_than_a_few_steps_of_the_active_set(monkeypatch):
    right, counts = kernels.active_set_qp, []

    def counting(*problem):
        y, steps = right(*problem)
        counts.append(steps - np.count_nonzero(y))
        return y, steps

    monkeypatch.setattr("lina.simplex._min_enclosing_ball.kernel", lambda *_: counting)
    ball = min_enclosing_ball(np.eye(400), rtol=0.0)
    assert ball.status is Status.ROUNDING
    assert ball.gap < 5e-14
    assert ball.radius == pytest.approx(np.sqrt(1 - 1 / 400), rel=1e-13)
    assert max(counts) < 60
