"""An unpaired real mode is one state: no second pole at Lambda in matrices, degrees, margins and recovered rows."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from lina._core.array import to_numpy
from lina.hippo import nplr, transition
from lina.ssm import (
    DenseSystem,
    DPLRSystem,
    RationalSystem,
    generating_function,
    kernel_dplr,
    linear_scan,
    recover_c,
    stability_margin,
    to_dense,
    to_diagonal,
    to_rational,
    truncated_c,
)
from tests.ssm.systems import draws

ODD = [("legs", 5), ("legs", 8), ("legt", 3), ("lagt", 3), ("fout", 3), ("fout", 7), ("fourier_legs", 5)]


def hippo(measure, N):
    """Return a memory in halves of pairs, and the dense system that it stands for."""
    F, C = nplr(measure, N), np.cos(np.arange(N))
    P = F.P if F.P.ndim == 1 or len(F.P) > 1 else F.P[0]
    halves = DPLRSystem(F.Lambda, P, F.B, C @ F.V)
    return halves, DenseSystem(*transition(measure, N), C)


def impulse(system, count=12):
    return linear_scan(system, np.eye(1, count)[0])[0]


def polynomial(A):
    return np.poly(A) / np.max(np.abs(np.poly(A)))


@pytest.mark.parametrize(("measure", "N"), ODD)
def test_the_dense_form_has_the_poles_of_the_matrix_and_no_others(measure, N):
    halves, whole = hippo(measure, N)
    for method in (None, "bilinear", "backward"):
        s, t = (x if method is None else x.discretize(0.1, method) for x in (halves, whole))
        found = to_dense(s).system
        assert found.state_size == N
        np.testing.assert_allclose(polynomial(found.A), polynomial(t.A), atol=1e-12)
        np.testing.assert_allclose(impulse(replace(found, dt=1.0)), impulse(replace(t, dt=1.0)), rtol=1e-9)
        # the poles of lagt coincide: they move by the root of eps of their order
        np.testing.assert_allclose(stability_margin(s), stability_margin(t), atol=1e-4 if measure == "lagt" else 1e-9)


@pytest.mark.parametrize(("measure", "N"), ODD)
def test_fractions_and_diagonals_have_the_degree_of_the_matrix(measure, N):
    halves, whole = hippo(measure, N)
    s = halves.discretize(0.5)
    exact = impulse(whole.discretize(0.5, "bilinear"))
    fraction = to_rational(s)
    assert fraction.system.state_size == N
    assert fraction.error < 1e-9
    np.testing.assert_allclose(impulse(fraction.system), exact, atol=1e-9 * np.max(np.abs(exact)))
    if measure == "lagt":  # its poles coincide: no eigenvectors
        return
    diagonal = to_diagonal(s)
    again = to_rational(diagonal.system)
    assert again.system.state_size == N
    for found in (diagonal, again):
        assert found.error < 1e-9
        np.testing.assert_allclose(impulse(found.system), exact, atol=1e-9 * np.max(np.abs(exact)))


@pytest.mark.parametrize(("measure", "N"), ODD)
def test_the_output_row_is_recovered_where_only_the_diagonal_has_a_pole_on_the_circle(measure, N):
    s = hippo(measure, N)[0].discretize(0.1)
    found = recover_c(replace(s, C=truncated_c(s, 20)), 20)
    np.testing.assert_allclose(found.system.C, s.C, atol=1e-10 * np.max(np.abs(s.C)))
    assert found.system.C.shape == s.C.shape


def test_a_pole_on_the_real_axis_is_not_doubled():
    one = RationalSystem([-0.5], [1.0])
    diagonal = to_diagonal(one).system
    np.testing.assert_allclose(to_rational(diagonal).system.a, [-0.5])
    assert to_dense(diagonal).system.state_size == 1
    mixed = RationalSystem([-0.9, 0.5, -0.2], [1.0, 0.3, 0.2])  # one real pole and a pair
    there = to_diagonal(mixed).system
    np.testing.assert_allclose(to_rational(there).system.a, mixed.a, atol=1e-14)
    np.testing.assert_allclose(to_rational(there).system.b, mixed.b, atol=1e-14)


def test_the_condition_of_a_fraction_is_that_of_its_own_poles():
    legs = DenseSystem(*transition("legs", 8), np.ones(8)).discretize(0.1, "bilinear")
    directly, through = to_rational(legs), to_rational(to_diagonal(legs).system)
    assert through.system.state_size == 8
    assert 0.5 < through.condition / directly.condition < 2


def test_a_kernel_whose_diagonal_alone_is_unstable_is_not_flagged():
    root = np.sqrt(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the pole is 0.5 - 4
        found = kernel_dplr([0.5], [2 * root], [root], [root], 0.1, 4)
    exact = impulse(DenseSystem([[-3.5]], [1.0], [1.0]).discretize(0.1, "bilinear"), 4)
    np.testing.assert_allclose(found, exact, rtol=1e-11)


def test_a_real_mode_stays_real_whatever_the_output_row_is():
    s = hippo("legt", 3)[0].discretize(0.1)
    learned = replace(s, C=s.C + 1j * np.arange(1.0, 3.0))
    dense = to_dense(learned).system
    assert dense.state_size == 3
    np.testing.assert_allclose(impulse(dense), impulse(learned), rtol=1e-12)
    found = recover_c(replace(learned, C=truncated_c(learned, 9)), 9).system
    np.testing.assert_allclose(impulse(found), impulse(learned), rtol=1e-9)


@pytest.mark.parametrize("name", ["P", "B", "Lambda"])
def test_a_mode_that_its_input_or_coupling_turns_is_a_pair(name):
    parts = {"Lambda": [-0.5], "P": [0.3], "B": [1.0], "C": [1.0]}
    parts[name] = [parts[name][0] + 0.25j]
    s = DPLRSystem(**parts)
    dense = to_dense(s).system
    assert dense.state_size == 2
    np.testing.assert_allclose(impulse(replace(dense, dt=1.0)), impulse(replace(s, dt=1.0)), rtol=1e-12, atol=1e-14)


def test_a_mode_of_a_batch_is_one_state_where_it_is_real_in_every_system():
    rng = np.random.default_rng(3)
    Lambda = -rng.uniform(0.2, 0.8, (4, 3)) + 0j
    Lambda[:, 2] += 0.3j
    Lambda[1, 1] += 0.2j  # mode 0 is real in all four, mode 1 in three, mode 2 in none
    P, B = 0.2 * rng.standard_normal((2, 4, 3))
    s = DPLRSystem(Lambda, P, B, draws(3), dt=1.0)
    dense, fraction = to_dense(s).system, to_rational(s).system
    assert dense.state_size == fraction.state_size == 5
    np.testing.assert_allclose(impulse(dense), impulse(s), atol=1e-13)
    np.testing.assert_allclose(impulse(fraction), impulse(s), atol=1e-12)
    alone = [DPLRSystem(Lambda[i], P[i], B[i], s.C, dt=1.0) for i in range(4)]
    # a margin is that of each system by itself, whatever its neighbours are
    np.testing.assert_allclose(stability_margin(s), [stability_margin(one) for one in alone], rtol=1e-12)
    found = recover_c(replace(s, C=truncated_c(s, 7)), 7).system
    np.testing.assert_allclose(impulse(found), impulse(s), atol=1e-12)


def test_an_unstable_diagonal_does_not_spoil_long_powers():
    root = np.sqrt(0.5)
    s = DPLRSystem([1.5], [root], [root], [root], dt=1.0)  # the pole is 0.5, 1.5^9000 overflows
    np.testing.assert_allclose(truncated_c(s, 9000), s.C)
    np.testing.assert_allclose(generating_function(s, [0.5], 9000), [1 / (1 - 0.25)], rtol=1e-12)


def test_gradients_pass_through_the_states_that_are_left():
    torch = pytest.importorskip("torch", reason="NOT TESTED: gradients of real modes, because there is no torch")
    s, _ = hippo("legs", 5)
    B = torch.tensor(s.B).requires_grad_()
    made = DPLRSystem(torch.tensor(s.Lambda), torch.tensor(s.P), B, torch.tensor(s.C))
    dense = to_dense(made).system
    assert dense.state_size == 5
    torch.sum(dense.A @ dense.B).backward()
    moved = to_dense(replace(s, B=s.B + 1e-6)).system
    there = to_dense(s).system
    slope = np.sum(moved.A @ moved.B - there.A @ there.B) / 1e-6
    np.testing.assert_allclose(to_numpy(B.grad.real).sum(), slope, rtol=1e-6)
