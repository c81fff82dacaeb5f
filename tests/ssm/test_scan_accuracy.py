"""Scans and kernels of systems whose powers grow before they decay: as accurate as the recurrence, step by step."""

import numpy as np
import pytest
import scipy.signal

from lina.hippo import transition
from lina.ssm import (
    DenseSystem,
    DPLRSystem,
    RationalSystem,
    kernel_dense,
    kernel_rational,
    linear_scan,
    poly_from_roots,
    step,
    to_dense,
    to_diagonal,
    to_rational,
)
from tests.reference.ssm_recurrence import dense_recurrence, rational_recurrence

LOW_PASS = [(4, 0.01), (4, 0.005), (5, 0.02), (6, 0.02), (6, 0.05), (8, 0.01), (8, 0.05), (8, 0.1)]
# What a library may lose beside the recurrence in double precision, whose own error is a matter of luck.
FACTOR = 8


def low_pass(order, cutoff):
    b, a = scipy.signal.butter(order, cutoff)
    return RationalSystem(a[1:], b[:-1])


def clustered():
    return RationalSystem(poly_from_roots(np.r_[0.999, 0.998, 0.9985 * np.exp([0.01j, -0.01j])]), np.eye(1, 4)[0])


def memory():
    A, B = transition("legs", 8)
    system = DenseSystem(A, B, np.cos(np.arange(8.0))).discretize(0.1, "bilinear")
    return to_rational(to_diagonal(system).system).system


SYSTEMS = {f"butter {order} {cutoff}": low_pass(order, cutoff) for order, cutoff in LOW_PASS}
SYSTEMS |= {"clustered poles": clustered(), "companion of LegS": memory()}


def signal(L, seed=0):
    return 1 + 0.3 * np.random.default_rng(seed).standard_normal(L)


def errors(found, exact):
    return np.max(np.abs(np.asarray(found) - exact)) / np.max(np.abs(exact))


def by_steps(system, u, x):
    """Return (y, states) of the recurrence in double precision, one step after the other."""
    outputs, states = [], []
    for each in u:
        y, x = step(system, each, x)
        outputs.append(y)
        states.append(x)
    return np.array(outputs), np.array(states)


def check(found, stepped, exact):
    """Fail where a scan errs by more than the recurrence does, FACTOR times and the rounding of a result."""
    for x, y, z in zip(found, stepped, exact, strict=True):
        assert errors(x, z) <= FACTOR * errors(y, z) + 1e-14


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_rational_scan_is_as_accurate_as_its_steps(name):
    s, L = SYSTEMS[name], 1500
    u, x0 = signal(L), np.linspace(1, -1, s.state_size)
    exact, stepped = rational_recurrence(s.a, s.b, u, x0), by_steps(s, u, x0)
    y, end, states = linear_scan(s, u, x0, return_states=True)
    check((y, states), stepped, exact)
    np.testing.assert_array_equal(end, states[-1])
    without = linear_scan(s, u, x0)
    np.testing.assert_array_equal(without[0], y)
    np.testing.assert_array_equal(without[1], end)


def test_a_constant_passes_a_narrow_low_pass_filter():
    for order, cutoff in LOW_PASS:
        s = low_pass(order, cutoff)
        np.testing.assert_allclose(linear_scan(s, np.ones(4000))[0][-1], np.sum(s.b) / (1 + np.sum(s.a)), rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3, 8, 9, 40])
def test_rows_side_by_side_are_as_accurate_as_one(rows):
    s, L = low_pass(6, 0.05), 700
    u, x0 = signal((rows, L)), np.random.default_rng(1).standard_normal((rows, 6))
    y, end, states = linear_scan(s, u, x0, return_states=True)
    for r in {0, rows // 2, rows - 1}:
        exact = rational_recurrence(s.a, s.b, u[r], x0[r])
        check((y[r], states[r]), by_steps(s, u[r], x0[r]), exact)
    np.testing.assert_array_equal(end, states[:, -1])


def test_rows_with_systems_of_their_own_are_as_accurate_as_one():
    each = [low_pass(6, cutoff) for cutoff in (0.05, 0.1, 0.2)]
    many = RationalSystem(np.stack([s.a for s in each]), np.stack([s.b for s in each]))
    u = signal((5, 1, 700))
    y, _ = linear_scan(many, u)
    assert y.shape == (5, 3, 700)
    for j, s in enumerate(each):
        exact = rational_recurrence(s.a, s.b, u[4, 0], np.zeros(6))
        check((y[4, j],), by_steps(s, u[4, 0], np.zeros(6))[:1], exact[:1])


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
@pytest.mark.parametrize("name", ["butter 4 0.01", "butter 6 0.02", "butter 8 0.05", "companion of LegS"])
def test_other_libraries_are_as_accurate_as_the_steps(name, library):
    xp = pytest.importorskip(library, reason=f"NOT TESTED: scans of {library}, because it is not there")
    s, L = SYSTEMS[name], 600
    u, x0 = signal(L), np.linspace(1, -1, s.state_size)
    exact, stepped = rational_recurrence(s.a, s.b, u, x0), by_steps(s, u, x0)
    there = RationalSystem(xp.asarray(s.a), xp.asarray(s.b))
    y, _, states = linear_scan(there, xp.asarray(u), xp.asarray(x0), return_states=True)
    check((y, states), stepped, exact)
    taps = kernel_rational(there.a, there.b, L)
    impulse = np.eye(1, L)[0]
    exact, stepped = rational_recurrence(s.a, s.b, impulse, 0 * x0), by_steps(s, impulse, 0 * x0)
    recurrence = max(errors(stepped[0], exact[0]), errors(kernel_rational(s.a, s.b, L), exact[0]))
    assert errors(taps, exact[0]) <= FACTOR * recurrence


@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_dense_scan_and_kernel_are_as_accurate_as_the_steps(name, library):
    xp = pytest.importorskip(library, reason=f"NOT TESTED: scans of {library}, because it is not there")
    s, L = SYSTEMS[name], 900
    u, x0 = signal(L), np.linspace(1, -1, s.state_size)
    dense = to_dense(s).system
    there = DenseSystem(*(xp.asarray(x) for x in (dense.A, dense.B, dense.C)), dt=1.0)
    stepped = dense_recurrence(dense.A, dense.B, dense.C, u, x0)
    exact = rational_recurrence(s.a, s.b, u, x0)
    y, _, states = linear_scan(there, xp.asarray(u), xp.asarray(x0), return_states=True)
    check((y, states), stepped, exact)
    check(linear_scan(there, xp.asarray(u), xp.asarray(x0))[:1], stepped[:1], exact[:1])
    taps = kernel_dense(there.A, there.B, there.C, None, L)
    impulse = np.eye(1, L)[0]
    exact = rational_recurrence(s.a, s.b, impulse, 0 * x0)[0]
    stepped = dense_recurrence(dense.A, dense.B, dense.C, impulse, 0 * x0)[0]
    assert errors(taps, exact) <= FACTOR * errors(stepped, exact) + 1e-14


def test_a_filter_in_the_coordinates_of_scipy_has_the_taps_of_its_loop():
    A, B, C, _ = scipy.signal.tf2ss(*scipy.signal.butter(6, 0.05))
    exact = scipy.signal.lfilter(*scipy.signal.butter(6, 0.05), np.eye(1, 2001)[0])[1:]
    assert errors(kernel_dense(A, B[:, 0], C[0], None, 2000), exact) < 1e-8


def placed(order, cutoff):
    """Return pairs on a circle with a low rank that moves the poles to those of a low-pass filter."""
    targets = np.roots(np.r_[1, low_pass(order, cutoff).a])
    half = 0.5 * np.exp(1j * (np.arange(order // 2) + 0.5) * np.pi / (order // 2))
    every = np.r_[half, half.conj()]
    apart = [np.prod(each - np.delete(every, i)) for i, each in enumerate(half)]
    moved = np.array([np.prod(each - targets) for each in half]) / apart
    ones = np.ones(order // 2) + 0j
    return DPLRSystem(half, ones, ones, ones * (1 - 1j), np.conj(moved), dt=1.0)


@pytest.mark.parametrize(("order", "cutoff"), [(4, 0.05), (6, 0.1), (8, 0.2)])
def test_pairs_whose_powers_grow_are_as_accurate_as_their_steps(order, cutoff, monkeypatch):
    s, u = placed(order, cutoff), signal(1000)
    Lambda, P, B, C, Q = (
        getattr(s, name).astype(np.clongdouble).reshape(-1) for name in ("Lambda", "P", "B", "C", "Q")
    )
    x, exact = np.zeros(order // 2, dtype=np.clongdouble), []
    for each in u.astype(np.longdouble):
        x = Lambda * x - P * 2 * np.sum(Q.conj() * x).real + B * each
        exact.append(2 * np.sum(C * x).real)
    stepped = by_steps(s, u, np.zeros(order // 2))[0]
    monkeypatch.setattr("lina.ssm._step._chunks_pay", lambda system, L: True)
    check(linear_scan(s, u)[:1], (stepped,), (np.array(exact),))
