"""Responses at and next to poles: those of the diagonal alone are answered, those of the system refused."""

import numpy as np
import pytest

from lina._core.errors import GradientError
from lina.hippo import nplr, transition
from lina.ssm import (
    DenseSystem,
    DiagonalSystem,
    DPLRSystem,
    RationalSystem,
    freqresp,
    generating_function,
    linear_scan,
    to_dense,
)
from tests.ssm.systems import dplr, draws
from tests.ssm.test_real_modes import hippo

MEASURES = [("legt", 3), ("lagt", 3), ("lagt", 4), ("fout", 3), ("fout", 8), ("legs", 5)]


@pytest.mark.parametrize(("measure", "N"), MEASURES)
def test_frequencies_where_only_the_diagonal_has_a_pole_are_answered(measure, N):
    halves, whole = hippo(measure, N)
    omega = np.unique(np.r_[0.0, halves.Lambda.imag, -halves.Lambda.imag, 1.0])
    M = 1j * omega[:, None, None] * np.eye(N) - whole.A
    exact = np.array([whole.C @ np.linalg.lstsq(each, whole.B + 0j)[0] for each in M])  # fout of even N has a 0 row
    np.testing.assert_allclose(freqresp(halves, omega), exact, atol=1e-12 * np.max(np.abs(exact)))
    # next to them the identity of Woodbury loses the digits that the distance has not
    near = omega[:, None] + np.array([1e-15, 1e-12, 1e-9, 1e-6])
    found, true = freqresp(halves, near), freqresp(whole, near)
    np.testing.assert_allclose(found, true, atol=1e-11 * np.max(np.abs(exact)))


@pytest.mark.parametrize(("measure", "N"), MEASURES)
@pytest.mark.parametrize("length", [None, 9, 16])
def test_the_first_taps_are_the_inverse_transform_of_s4(measure, N, length):
    halves, whole = hippo(measure, N)
    found, exact = (generating_function(s, 16, length, dt=0.1) for s in (halves, whole))
    np.testing.assert_allclose(found, exact, atol=1e-11 * np.max(np.abs(exact)))
    if length == 16:
        taps = linear_scan(whole.discretize(0.1, "bilinear"), np.eye(1, 16)[0])[0]
        np.testing.assert_allclose(np.fft.irfft(found, 16), taps, atol=1e-11 * np.max(np.abs(taps)))


def test_a_batch_in_steps_of_its_own_meets_poles_of_the_diagonal_in_some_systems():
    Lambda = np.array([[0.0, 2j], [-0.1, 1j]])
    s = DPLRSystem(Lambda, np.ones((2, 2)), np.ones((2, 2)), draws(2))
    steps = np.array([0.1, 0.3])
    found = generating_function(s, 12, dt=steps)
    for i in range(2):
        one = to_dense(DPLRSystem(Lambda[i], [1.0, 1.0], [1.0, 1.0], s.C)).system
        np.testing.assert_allclose(found[i], generating_function(one, 12, dt=steps[i]), rtol=1e-11)


def test_what_nothing_moves_in_one_system_of_a_batch_has_no_pole():
    F = nplr("fout", 8)  # modes 0 and 1 at 0, of which nothing moves the second
    B, P = np.stack([F.B, F.B + 0.1j, F.B]), np.stack([F.P[0], F.P[0] + 0.2, F.P[0]])
    Lambda = F.Lambda + np.array([[0.0], [-0.1], [0.0]])
    s = DPLRSystem(Lambda, P, B, np.cos(np.arange(8)) @ F.V)
    omega = np.array([0.0, 0.1, *F.Lambda.imag[2:]])
    found = freqresp(s, omega)
    for i in (0, 2):
        np.testing.assert_allclose(found[i], freqresp(hippo("fout", 8)[1], omega), rtol=1e-11)
    other = to_dense(DPLRSystem(Lambda[1], P[1], B[1], s.C)).system
    np.testing.assert_allclose(found[1], freqresp(other, omega), rtol=1e-11)


def test_single_precision_is_answered_too():
    F = nplr("fout", 5)
    single = DPLRSystem(*(x.astype("complex64") for x in (F.Lambda, F.P[0], F.B, np.ones(5) @ F.V)))
    found = freqresp(single, [0.0, 1.0])
    assert found.dtype == np.complex64
    exact = freqresp(DenseSystem(*transition("fout", 5), np.ones(5)), [0.0, 1.0])
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_tensors_are_answered_with_their_gradients():
    torch = pytest.importorskip("torch", reason="NOT TESTED: gradients next to poles, because there is no torch")
    s, _ = hippo("fout", 3)
    omega = np.array([0.5, s.Lambda[1].imag, 3.0])

    def response(B):
        made = DPLRSystem(torch.tensor(s.Lambda), torch.tensor(s.P), B, torch.tensor(s.C))
        return freqresp(made, omega)

    B = torch.tensor(s.B).requires_grad_()
    np.testing.assert_allclose(response(B).detach().numpy(), freqresp(s, omega), rtol=1e-11)
    assert torch.autograd.gradcheck(response, (B,))


def test_a_gradient_that_has_a_pole_where_the_response_has_none_is_refused():
    torch = pytest.importorskip("torch", reason="NOT TESTED: gradients at poles, because there is no torch")
    s, _ = hippo("fout", 3)
    parts = {name: torch.tensor(getattr(s, name)) for name in "PBC"} | {"Lambda": torch.tensor(s.Lambda)}
    parts["C"][0] += 0.5j  # sees the imaginary part of the mode at 0, which a change of B would move
    parts["B"].requires_grad_()
    with pytest.raises(GradientError, match="no gradient with respect to B"):
        freqresp(DPLRSystem(**parts), [0.0])
    away = freqresp(DPLRSystem(**parts), [0.1])
    assert away.requires_grad
    with torch.no_grad():
        np.testing.assert_allclose(freqresp(DPLRSystem(**parts), [0.0]), freqresp(s, [0.0]))
    parts["B"] = parts["B"].detach()
    parts["C"].requires_grad_()
    torch.real(freqresp(DPLRSystem(**parts), [0.0])[0]).backward()
    assert bool(torch.all(torch.isfinite(parts["C"].grad.real)))


UNDAMPED = DenseSystem([[0.0, 1.0], [-25.0, 0.0]], [0.0, 1.0], [1.0, 0.0])
ROTATED = DPLRSystem([3j], [0.0], [1.0], [1.0])
LIBRARIES = ["numpy", "torch", "array_api_strict"]


def moved(system, library):
    """Return a system in another library."""
    xp = pytest.importorskip(library, reason=f"NOT TESTED: poles in {library}, because it is not installed")
    names = ("A", "B", "C") if isinstance(system, DenseSystem) else ("Lambda", "B", "C")
    names = ("Lambda", "P", "B", "C") if isinstance(system, DPLRSystem) else names
    return type(system)(*(xp.asarray(getattr(system, name)) for name in names), dt=system.dt)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("system", "omega"),
    [
        (UNDAMPED, 5.0),
        (DenseSystem([[0.0, 1.0], [0.0, 0.0]], [0.0, 1.0], [1.0, 0.0]), 0.0),
        (DiagonalSystem([5j], [1.0], [1.0]), 5.0),
        (DiagonalSystem([-1.0, 0.1 + 0.2j - (0.1 + 0.2j) + 3j], [1.0, 1.0], [1.0, 1.0]), 3.0 + 4e-16),
        (ROTATED, 3.0),
        (UNDAMPED.discretize(0.1), 5.0),
        (DiagonalSystem([5j], [1.0], [1.0]).discretize(0.1), 5.0),
        (ROTATED.discretize(0.1), 2 / 0.1 * np.arctan(0.15)),
    ],
)
def test_a_pole_of_the_system_is_refused_in_every_form(library, system, omega):
    s = moved(system, library)
    with pytest.raises(ValueError, match="must not hold a pole"):
        freqresp(s, [1.0, omega])
    away = freqresp(s, [omega + 1e-6])  # and nothing but the pole
    assert np.all(np.isfinite(np.asarray(away)))


def test_a_pole_of_the_low_rank_matrix_that_the_diagonal_has_not_is_refused():
    s = DPLRSystem([0.5 + 2j], [1 / np.sqrt(2)], [1.0], [1.0])
    poles = np.linalg.eigvals(to_dense(s).system.A)
    assert np.max(np.abs(poles.real)) < 1e-15  # trace 1 - 1
    with pytest.raises(ValueError, match="must not hold a pole"):
        freqresp(s, [np.max(poles.imag)])


def test_a_narrow_resonance_is_no_pole():
    for width in (1e-6, 1e-10):
        A = np.array([[-width, 5.0], [-5.0, -width]])
        found = freqresp(DenseSystem(A, [1.0, 0.0], [1.0, 0.0]), [5.0])
        exact = [(1 / width + 1 / (width + 10j)) / 2]
        np.testing.assert_allclose(found, exact, rtol=1e-14 / width)
        paired = freqresp(DiagonalSystem([-width + 5j], [1.0], [0.5]), [5.0])
        np.testing.assert_allclose(paired, exact, rtol=1e-14 / width)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("row", [[0.0, 1.0], [1.0, 0.0], [1e3, 1.0]])
def test_units_that_are_far_apart_are_no_pole(library, row):
    A = np.array([[0.0, 1.0], [-1e18, -1.0]])  # a resonator of 1e9 radians per second, in SI units
    omega = np.array([0.0, 1.0, 5e8, 1e9 + 1e3, 3e10])
    s = moved(DenseSystem(A, row, [1.0, 0.0]), library)
    exact = ((1j * omega + 1) * row[0] + row[1]) / ((1j * omega) ** 2 + 1j * omega + 1e18)
    np.testing.assert_allclose(np.asarray(freqresp(s, omega)), exact, rtol=1e-9)


def test_fractions_refuse_the_inverse_of_a_pole():
    with pytest.raises(ValueError, match="must not hold a pole"):
        generating_function(RationalSystem([-1.0], [1.0]), 8)


def test_points_that_lose_nothing_are_not_solved_again(monkeypatch):
    import lina.ssm._resolvent as module

    def refuse(*_):
        raise AssertionError("a dense solve")

    monkeypatch.setattr(module, "_dense", refuse)
    freqresp(dplr(6), np.linspace(-20, 20, 50))
    generating_function(dplr(5, 2), 64, dt=0.1)
