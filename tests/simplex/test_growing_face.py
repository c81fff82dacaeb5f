"""A quadratic on a growing face: the equations of its minimum, what is refused, and faces that follow each other."""

import numpy as np
import pytest

from lina.simplex._growing_face import GrowingFace


def minimum(Q, c, chosen):
    """Solve for the weights of sum 1 whose gradients agree."""
    k = len(chosen)
    equations = np.block([[Q[np.ix_(chosen, chosen)], np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
    return np.linalg.solve(equations, np.append(-c[chosen], 1.0))[:k]


def problem(n, seed, spread=0.01):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n, n + 3))
    Q = np.eye(n) + spread * (F @ F.T) / n
    return Q, 0.001 * rng.standard_normal(n), rng


def minimise(face, Q, c, chosen, tolerance=0.0):
    k = len(chosen)
    x = np.full(k, 1 / k)
    return face.minimise(chosen, x, Q[np.ix_(chosen, chosen)] @ x + c[chosen], tolerance)


def test_faces_that_grow_shrink_and_change_their_order_have_the_weights_of_the_equations():
    Q, c, rng = problem(60, 0)
    face = GrowingFace(lambda i: Q[:, i])
    places = rng.permutation(60)
    for k in [*range(2, 40), 20, *range(3, 50), 50, 49]:
        chosen = np.append(np.sort(places[: k - 1]), places[k - 1])
        np.testing.assert_allclose(minimise(face, Q, c, chosen), minimum(Q, c, chosen), rtol=1e-11)


def test_one_entry_more_costs_no_new_factor(monkeypatch):
    Q, c, _ = problem(40, 1)
    face = GrowingFace(lambda i: Q[:, i])
    assert minimise(face, Q, c, np.arange(5)) is not None
    monkeypatch.setattr(face, "_factorise", lambda chosen: pytest.fail(f"factorised {chosen.size}"))
    for k in range(5, 41):
        assert minimise(face, Q, c, np.arange(k)) is not None


def test_a_minimum_with_a_negative_weight_is_refused():
    Q, c, _ = problem(6, 2)
    c[3] = 5.0
    assert minimum(Q, c, np.arange(6))[3] < 0
    face = GrowingFace(lambda i: Q[:, i])
    assert minimise(face, Q, c, np.arange(6)) is None
    assert minimise(face, Q, c, np.array([0, 1, 2, 4, 5])) is not None


def test_entries_that_depend_on_each_other_are_refused_added_or_all_at_once():
    Q, c, _ = problem(6, 3)
    twice = np.array([0, 1, 2, 3, 4, 5, 2])
    Q, c = Q[np.ix_(twice, twice)], c[twice]
    face = GrowingFace(lambda i: Q[:, i])
    assert minimise(face, Q, c, np.arange(7)) is None
    assert minimise(face, Q, c, np.arange(6)) is not None
    assert minimise(face, Q, c, np.arange(7)) is None
    assert minimise(face, Q, c, np.arange(6)) is not None


def test_a_matrix_that_is_singular_along_the_sum_alone_is_solved():
    n = 5
    Q = np.eye(n) - 1 / n
    face = GrowingFace(lambda i: Q[:, i])
    c = np.array([0.01, 0.0, 0.0, 0.0, -0.01])
    found = minimise(face, Q, c, np.arange(n))
    np.testing.assert_allclose(found, [0.19, 0.2, 0.2, 0.2, 0.21], rtol=1e-13)
