"""Generating functions: against sums of taps, at roots of unity, anywhere, and in single precision."""

from dataclasses import replace

import numpy as np
import pytest

from lina._core.errors import GradientError
from lina.hippo import nplr
from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    RationalSystem,
    generating_function,
    kernel_dplr,
    to_dense,
)
from tests.reference.ssm_systems import full_matrices, rational_taps, sum_of_taps, taps
from tests.ssm.systems import FORMS, dense, diagonal, discrete, dplr, rational


def taps_of(system, L):
    s = to_dense(system).system
    return taps(s.A, s.B, s.C, L)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("L", [1, 2, 3, 8, 25])
def test_the_first_taps_at_roots_of_unity_are_their_fft(form, L):
    system = discrete(form)
    exact = np.fft.rfft(taps_of(system, L))
    np.testing.assert_allclose(generating_function(system, L, L), exact, atol=1e-12 * np.max(np.abs(exact)))
    z = np.exp(-2j * np.pi * np.arange(L // 2 + 1) / L)
    np.testing.assert_allclose(generating_function(system, z, L), exact, atol=1e-12 * np.max(np.abs(exact)))


@pytest.mark.parametrize("form", FORMS)
def test_all_taps_are_a_long_sum(form):
    system = discrete(form)
    z = np.array([[0.3 + 0.4j, 1.0], [-0.9j, -1.0]])
    exact = sum_of_taps(taps_of(system, 3000), z)
    found = generating_function(system, z)
    assert found.shape == (2, 2)
    np.testing.assert_allclose(found, exact, atol=1e-11 * np.max(np.abs(exact)))


@pytest.mark.parametrize("form", FORMS)
def test_the_first_taps_anywhere_are_a_sum(form):
    system = discrete(form)
    z = np.array([0.5, 1.2 - 0.3j, -1.1, 1.0])
    exact = sum_of_taps(taps_of(system, 11), z)
    np.testing.assert_allclose(generating_function(system, z, 11), exact, rtol=1e-10)


@pytest.mark.parametrize("form", ["dense", "diagonal", "dplr", "rank 2"])
@pytest.mark.parametrize("length", [None, 7, 16])
def test_a_continuous_system_is_its_bilinear_transform(form, length):
    system = {"dense": dense, "diagonal": diagonal, "dplr": dplr, "rank 2": lambda: dplr(6, 2)}[form]()
    for z in (16, 15, np.array([0.2j, -1.0, 0.9 + 0.1j])):
        exact = generating_function(system.discretize(0.1, "bilinear"), z, length)
        found = generating_function(system, z, length, dt=0.1)
        np.testing.assert_allclose(found, exact, atol=1e-12 * np.max(np.abs(exact)))


def test_more_roots_than_taps_and_fewer_are_right():
    system, K = rational(5), None
    K = rational_taps(system.a, system.b, 12)
    np.testing.assert_allclose(generating_function(system, 40, 12), np.fft.rfft(K, 40), atol=1e-13)
    folded = K[:4] + K[4:8] + K[8:12]
    np.testing.assert_allclose(generating_function(system, 4, 12), np.fft.rfft(folded), atol=1e-13)


def test_the_nyquist_value_is_half_a_step_of_c_b():
    system = dplr(8)
    found = generating_function(system, 64, dt=0.01)[-1]
    np.testing.assert_allclose(found, 0.01 / 2 * 2 * np.sum(system.C * system.B).real, rtol=1e-14)
    assert abs(found.imag) < 1e-16


@pytest.mark.parametrize("L", [1024, 16384])
def test_complex64_keeps_all_its_digits_where_the_published_form_loses_three(L):
    worst = np.zeros(2)
    for seed, dt in enumerate(np.geomspace(1e-3, 1e-1, 8)):
        system = _legs(64, seed)
        single, double = (
            DPLRSystem(*(getattr(system, name).astype("complex64").astype(dtype) for name in ("Lambda", "P", "B", "C")))
            for dtype in ("complex64", "complex128")
        )
        exact = generating_function(double, L, dt=dt)
        found = generating_function(single, L, dt=dt)
        assert found.dtype == np.complex64
        errors = [np.max(np.abs(x - exact)) / np.max(np.abs(exact)) for x in (found, _published(single, L, dt))]
        worst = np.maximum(worst, errors)
    assert worst[0] < 1e-6
    assert worst[1] > 10 * worst[0]


def _legs(N, seed):
    r = np.sqrt(2 * np.arange(N) + 1.0)
    P = r / np.sqrt(2)
    skew = -np.tril(np.outer(r, r), -1) - np.diag(np.arange(N) + 1.0) + np.eye(N) / 2 + np.outer(P, P)
    frequency, V = np.linalg.eigh(-0.5j * (skew - skew.T))
    keep = frequency > 0
    left = V.conj().T
    C = np.random.default_rng(seed).standard_normal(N)
    return DPLRSystem(-0.5 + 1j * frequency[keep], (left @ P)[keep], (left @ r)[keep], (C @ V)[keep])


def _published(system, L, dt):
    omega = np.exp(-2j * np.pi * np.arange(L // 2 + 1) / L).astype("complex64")
    with np.errstate(all="ignore"):
        g = np.complex64(2) * (1 - omega) / (1 + omega)
        w = system.Lambda * np.complex64(dt)
        sums = {}
        for i, left in enumerate((system.C, system.Q[0].conj())):
            for j, right in enumerate((system.B, system.P[0])):
                v = left * right * np.complex64(dt)
                sums[i, j] = np.sum(v / (g[:, None] - w), -1) + np.sum(v.conj() / (g[:, None] - w.conj()), -1)
        return (sums[0, 0] - sums[0, 1] * sums[1, 0] / (1 + sums[1, 1])) * 2 / (1 + omega)


def test_a_pole_on_the_circle_does_no_harm_to_the_first_taps_of_a_diagonal_system():
    system = DiagonalSystem([1.0, 1j], [1.0, 1.0], [0.5, 0.5], dt=1.0)
    np.testing.assert_allclose(generating_function(system, [1.0, -1j], 4), [4.0, 4 * 0.5], atol=1e-14)
    with pytest.raises(ValueError, match="z must not hold a pole"):
        generating_function(system, [1.0])


def test_batches_broadcast():
    one = dplr(5)
    many = DPLRSystem(np.stack([one.Lambda, 2 * one.Lambda]), one.P, one.B, np.stack([one.C] * 2))
    steps = np.array([0.1, 0.2])
    found = generating_function(many, 8, 8, dt=steps)
    for i in range(2):
        single = DPLRSystem(many.Lambda[i], one.P, one.B, one.C)
        np.testing.assert_allclose(found[i], generating_function(single, 8, 8, dt=steps[i]), rtol=1e-11)
    stack = DenseSystem(np.stack([dense(4).A, dense(4, 1).A]), np.ones(4), np.ones(4), dt=1.0)
    z = np.array([0.1, 0.2j])
    np.testing.assert_allclose(generating_function(stack, z)[1], generating_function(replace(stack, A=stack.A[1]), z))
    pair = RationalSystem(np.stack([rational(3).a, rational(3, 1).a]), np.ones(3))
    np.testing.assert_allclose(generating_function(pair, 6, 6)[1], generating_function(rational_with_ones(3, 1), 6, 6))


def rational_with_ones(d, seed):
    return RationalSystem(rational(d, seed).a, np.ones(d))


def test_halves_of_pairs_stand_for_the_whole():
    system = dplr(4, 2)
    A, B, C = full_matrices(system.Lambda, system.P, system.B, system.C)
    z = np.array([0.3, 0.5j])
    with_all = DenseSystem(A, B, C).discretize(0.1, "bilinear")
    np.testing.assert_allclose(generating_function(system, z, dt=0.1), generating_function(with_all, z), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: generating_function(dplr(), 4), ValueError, "dt must be given"),
        (lambda: generating_function(rational(), 4, dt=0.1), ValueError, "dt must be None"),
        (lambda: generating_function(rational(), 0), ValueError, "z must be in 1.."),
        (lambda: generating_function(rational(), 4, 0), ValueError, "length must be in 1.."),
        (lambda: generating_function(rational(), [np.nan]), ValueError, "z must be finite"),
        (lambda: generating_function(np.eye(2), 4), TypeError, "system must be a DenseSystem"),
        (lambda: generating_function(RationalSystem([-1.0], [1.0]), [1.0]), ValueError, "z must not hold a pole"),
    ],
)
def test_an_error_names_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.torch
def test_gradients_pass():
    torch = pytest.importorskip("torch")
    system = dplr(3)
    parts = [torch.tensor(x, requires_grad=True) for x in (system.Lambda, system.P, system.B, system.C)]
    for z, length in ((8, None), (8, 8)):
        call = lambda *p, z=z, n=length: generating_function(DPLRSystem(*p), z, n, dt=0.1)  # noqa: E731
        assert torch.autograd.gradcheck(call, parts)
        value = lambda B, s=system, z=z, n=length: torch.real(  # noqa: E731
            generating_function(
                DPLRSystem(*(torch.tensor(x) for x in (s.Lambda, s.P)), B, torch.tensor(s.C)), z, n, dt=0.1
            )
        ).sum()
        B = torch.tensor(system.B)
        expected = torch.autograd.grad(value(B.requires_grad_()), B)[0]
        torch.testing.assert_close(torch.func.grad(value)(B.detach()), expected)
    with pytest.raises(GradientError, match="no gradient with respect to a"):
        generating_function(RationalSystem(torch.tensor([-0.5], requires_grad=True), torch.ones(1)), 16, 16)
    s = dense(3)
    parts = [torch.tensor(x, requires_grad=True) for x in (s.A, s.B, s.C)]
    z = torch.tensor([0.3 + 0.2j, 0.5j], requires_grad=True, dtype=torch.complex128)
    assert torch.autograd.gradcheck(
        lambda A, B, C, z: generating_function(DenseSystem(A, B, C, dt=1.0), z), (*parts, z)
    )


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12, 0.0, -1e-9])
def test_the_first_taps_have_a_sum_at_a_pole_and_next_to_it(distance):
    A, L = np.diag([1 - distance, 0.5]), 8
    total = sum((1 - distance) ** k + 0.5**k for k in range(L))
    rational = RationalSystem([-1.5 + distance, 0.5 * (1 - distance)], [2.0, -1.5 + distance])
    for system in (DenseSystem(A, [1.0, 1.0], [1.0, 1.0], dt=1.0), rational):
        assert generating_function(system, [1.0], L)[0] == pytest.approx(total, rel=1e-11)


def test_an_integrator_has_its_truncated_response_at_roots_of_unity():
    system = DenseSystem([[0.0, 1.0], [0.0, -1.0]], [0.0, 1.0], [1.0, 0.0])
    discrete = system.discretize(0.1, "bilinear")
    taps = [discrete.C @ np.linalg.matrix_power(discrete.A, k) @ discrete.B for k in range(8)]
    np.testing.assert_allclose(generating_function(system, 8, 8, dt=0.1), np.fft.rfft(taps), atol=1e-14)
    with pytest.raises(ValueError, match="z must not hold a pole"):
        generating_function(system, 8, dt=0.1)


def test_the_truncated_response_keeps_the_digits_of_single_precision():
    F = nplr("legs", 64)
    C = np.random.default_rng(0).standard_normal(64) @ F.V
    parts = [x.astype("complex64") for x in (F.Lambda, F.P, F.B, C)]
    G = generating_function(DPLRSystem(*parts), 1024, 1024, dt=1e-4)
    exact = np.fft.rfft(kernel_dplr(*(x.astype(complex) for x in parts), 1e-4, 1024))
    assert G.dtype == np.complex64
    assert np.abs(G - exact).max() <= 2e-7 * np.abs(exact).max()


@pytest.mark.torch
@pytest.mark.parametrize("length", [5, 8, 11])
def test_the_first_taps_of_tensors_at_roots_of_unity_are_those_of_numpy(length):
    torch = pytest.importorskip("torch")
    for system in (dense(3), dplr(3), dense(3).discretize(0.1), dplr(3).discretize(0.1)):
        arrays = {
            k: torch.tensor(getattr(system, k)) for k in ("A", "Lambda", "P", "Q", "B", "C") if hasattr(system, k)
        }
        dt = None if system.is_discrete else 0.1
        found = generating_function(type(system)(**arrays, dt=system.dt), 8, length, dt=dt)
        np.testing.assert_allclose(found.numpy(), generating_function(system, 8, length, dt=dt), rtol=1e-11)
