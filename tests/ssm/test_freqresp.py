"""Frequency responses: against one solve per frequency, for graded, deflating and growing matrices."""

import numpy as np
import pytest
import scipy.signal

from lina._core.errors import GradientError
from lina.hippo import transition
from lina.ssm import DenseSystem, RationalSystem, freqresp, to_dense
from lina.ssm._freqresp_hessenberg import controller_form, hessenberg_response
from tests.ssm.systems import dense, diagonal, dplr, rational


def one_by_one(A, B, C, omega):
    return np.array([C @ np.linalg.solve(1j * w * np.eye(len(A)) - A, B.astype(complex)) for w in omega])


@pytest.mark.parametrize("n", [1, 2, 3, 24, 25, 90])
def test_dense_systems_agree_with_one_solve_per_frequency(n):
    s = dense(n)
    omega = np.r_[0.0, np.geomspace(1e-3, 1e4, 300), -2.0]
    exact = one_by_one(s.A, s.B, s.C, omega)
    np.testing.assert_allclose(freqresp(s, omega), exact, atol=1e-13 * np.max(np.abs(exact)))


def test_complex_systems_agree_too():
    s = dense(30)
    A, C = s.A + 0.3j * dense(30, 1).A, s.C + 1j * s.B
    omega = np.linspace(-5, 5, 77)
    exact = one_by_one(A, s.B, C, omega)
    np.testing.assert_allclose(freqresp(DenseSystem(A, s.B, C), omega), exact, atol=1e-13 * np.max(np.abs(exact)))


@pytest.mark.parametrize("measure", ["legs", "legt", "fout"])
@pytest.mark.parametrize("N", [16, 64, 200])
def test_the_matrices_of_hippo_keep_their_digits(measure, N):
    A, B = transition(measure, N)
    C = np.random.default_rng(0).standard_normal(N)
    omega = np.geomspace(1e-2, 1e6, 60)
    exact = one_by_one(A, B, C, omega)
    condition = max(np.linalg.cond(1j * w * np.eye(N) - A) for w in omega[::10])
    assert np.max(np.abs(freqresp(DenseSystem(A, B, C), omega) - exact)) < condition * 1e-15 * np.max(np.abs(exact))


def test_what_the_input_does_not_reach_is_left_out():
    A = np.diag([-1.0, -2.0, -3.0, -4.0])
    A[0, 1] = 1.0
    H, _, _ = controller_form(A, np.array([1.0, 1.0, 0.0, 0.0]), np.ones(4))
    assert H.shape == (2, 2)
    s = DenseSystem(A, [1.0, 1.0, 0.0, 0.0], np.ones(4))
    np.testing.assert_allclose(freqresp(s, [0.5]), one_by_one(A, s.B, s.C, [0.5]), rtol=1e-14)
    assert np.all(freqresp(DenseSystem(A, np.zeros(4), np.ones(4)), [0.0, 1.0]) == 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_states_that_grow_beyond_the_range_are_scaled(dtype):
    n = 200
    A = (
        np.diag(np.full(n - 1, 1e-3), -1) - np.eye(n) + np.triu(np.random.default_rng(0).standard_normal((n, n)), 1) / n
    ).astype(dtype)
    B, C = np.zeros(n, dtype=dtype), np.ones(n, dtype=dtype)
    B[0] = 1
    omega = np.array([0.1, 1e3, 1e6])
    exact = one_by_one(A.astype(float), B.astype(float), C.astype(float), omega)
    found = freqresp(DenseSystem(A, B, C), omega)
    np.testing.assert_allclose(found, exact, rtol=1e3 * np.finfo(dtype).eps)


def test_the_other_forms_agree_with_their_dense_ones():
    omega = np.geomspace(1e-2, 1e2, 20)
    for system in (dplr(6), dplr(5, 2), diagonal(7)):
        s = to_dense(system).system
        np.testing.assert_allclose(freqresp(system, omega), one_by_one(s.A, s.B, s.C, omega), rtol=1e-11)


def test_a_discrete_response_is_that_of_scipy_one_step_earlier():
    s = dense(6).discretize(0.1)
    angles = np.linspace(0.1, 3, 20)
    # scipy's response of (A, B, C, 0), without its detour through a transfer function
    expected = np.array([s.C @ np.linalg.solve(np.exp(1j * w) * np.eye(6) - s.A, s.B) for w in angles])
    np.testing.assert_allclose(freqresp(s, angles / 0.1), expected * np.exp(1j * angles), rtol=1e-12)
    r = rational(5)
    _, expected = scipy.signal.freqz(r.b, np.r_[1, r.a], angles)
    np.testing.assert_allclose(freqresp(r, angles), expected, rtol=1e-12)


def test_the_general_pair_includes_q_zero():
    s = dense(5)
    p, q = np.array([2.0 + 0j, 1j]), np.array([0.0 + 0j, 0.5])
    exact = [s.C @ s.B / 2, s.C @ np.linalg.solve(1j * np.eye(5) - 0.5 * s.A, s.B)]
    np.testing.assert_allclose(hessenberg_response(s.A, s.B, s.C, p, q), exact, rtol=1e-13)


def test_frequencies_keep_their_shape_and_are_checked():
    s = dense(3)
    assert freqresp(s, 1.0).shape == ()
    assert freqresp(s, np.ones((2, 3))).shape == (2, 3)
    with pytest.raises(ValueError, match="omega must be finite"):
        freqresp(s, [np.inf])
    with pytest.raises(TypeError, match="omega must be real"):
        freqresp(s, [1j])
    with pytest.raises(ValueError, match="omega must not hold a pole"):
        freqresp(DenseSystem([[0.0]], [1.0], [1.0]), [0.0])


@pytest.mark.torch
@pytest.mark.parametrize("form", ["dense", "diagonal", "dplr"])
def test_a_learned_step_and_learned_frequencies_have_their_gradients(form):
    torch = pytest.importorskip("torch")
    given = {"dense": dense, "diagonal": diagonal, "dplr": dplr}[form](3)
    arrays = {
        name: torch.tensor(getattr(given, name)) for name in ("A", "Lambda", "P", "B", "C") if hasattr(given, name)
    }
    system = type(given)(**arrays)
    dt = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    steps = torch.tensor([0.1, 0.2], dtype=torch.float64, requires_grad=True)
    omega = torch.tensor([0.5, 3.0], dtype=torch.float64, requires_grad=True)
    response = lambda dt, omega: freqresp(system.discretize(dt, "bilinear"), omega)  # noqa: E731
    assert torch.autograd.gradcheck(response, (dt, omega))
    assert torch.autograd.gradcheck(response, (steps, omega))
    assert torch.autograd.gradcheck(lambda omega: freqresp(system, omega), (omega,))
    value = lambda dt: response(dt, omega.detach()).abs().sum()  # noqa: E731
    torch.testing.assert_close(torch.func.grad(value)(dt.detach()), torch.autograd.grad(value(dt), dt)[0])
    known = freqresp(given.discretize(0.1, "bilinear"), [0.5, 3.0])
    np.testing.assert_allclose(response(dt, omega).detach().numpy(), known, rtol=1e-12)


@pytest.mark.torch
def test_a_fraction_with_a_learned_step_has_its_gradient():
    torch = pytest.importorskip("torch")
    a, b = torch.tensor([-0.5], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    dt = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda dt: freqresp(RationalSystem(a, b, dt=dt), [0.5, 2.0]), (dt,))


@pytest.mark.torch
def test_frequencies_of_another_library_lose_no_gradient_unseen():
    torch = pytest.importorskip("torch")
    omega = torch.tensor([0.5], requires_grad=True)
    with pytest.raises(GradientError, match="omega"):
        freqresp(diagonal(3), omega)
    assert freqresp(diagonal(3), omega.detach()).shape == (1,)
