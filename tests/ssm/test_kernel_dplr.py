"""Convolution kernels of diagonal plus low rank systems: against recurrences, at every length, dtype and stability."""

import tracemalloc
import warnings

import numpy as np
import pytest

from lina.hippo import nplr
from lina.ssm import (
    DPLRSystem,
    UnstableSystemWarning,
    generating_function,
    kernel_dplr,
    kernel_dplr_truncated,
    kernel_dplr_truncated_vjp,
    kernel_dplr_vjp,
    recover_c,
    truncated_c,
)
from lina.ssm._kernels import dplr, dplr_vjp
from tests.reference.ssm_kernels import derivative, dplr_taps, dplr_taps_in_double
from tests.ssm.systems import draws

MEASURES = ["legs", "legt", "lagt", "fout", "fourier_legs"]
NARROW = {"complex128": "complex64", "float64": "float32"}


def system(measure="legs", N=8, seed=0):
    F = nplr(measure, N)
    return F.Lambda, F.P, F.B, draws(F.Lambda.size, seed)


def stable(n=3, rank=1, seed=0):
    rng = np.random.default_rng(seed)
    P = np.stack([draws(n, seed + 5 + r) for r in range(rank)])
    return -rng.uniform(0.1, 1, n) + 1j * rng.uniform(0, 9, n), P, draws(n, seed + 1), draws(n, seed + 2)


def batch(count=4, n=8, seed=0):
    parts = [stable(n, 1, seed + i) for i in range(count)]
    return (*(np.stack([p[i] for p in parts]) for i in range(4)), np.geomspace(1e-3, 0.3, count))


def truncated(parts, dt, L):
    return (*parts[:3], truncated_c(DPLRSystem(*parts).discretize(dt), L))


def relative(K, exact):
    return np.max(np.abs(K - exact)) / np.max(np.abs(exact))


@pytest.fixture
def compiled(monkeypatch):
    for module in (dplr, dplr_vjp):
        monkeypatch.setattr(module, "WORTH_COMPILING", 0)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("L", [1, 2, 3, 7, 20])
def test_taps_are_those_of_a_recurrence_in_40_digits(L, rank):
    parts = stable(3, rank, L)
    exact = np.array(dplr_taps(*parts, 0.2, L), dtype=float)
    assert relative(kernel_dplr(*parts, 0.2, L), exact) < 2e-12
    assert relative(kernel_dplr_truncated(*truncated(parts, 0.2, L), 0.2, L), exact) < 1e-13


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(("N", "L"), [(16, 1024), (17, 1025), (64, 31), (1, 50)])
@pytest.mark.parametrize("dt", [1e-4, 1e-2, 1.0])
def test_measures_of_odd_and_even_order_have_the_taps_of_their_recurrence(measure, N, L, dt):
    parts = system(measure, N)
    exact = dplr_taps_in_double(*parts, dt, L)
    assert relative(kernel_dplr(*parts, dt, L), exact) < 1e-11
    if np.all(parts[0] != 0):
        assert relative(kernel_dplr_truncated(*truncated(parts, dt, L), dt, L), exact) < 1e-10


@pytest.mark.parametrize("L", [1024, 4097])
def test_single_precision_errs_by_rounding_only(L):
    parts = [x.astype(NARROW[str(x.dtype)]) for x in system("legs", 64)]
    wide = [x.astype("complex128") for x in parts]
    dt = np.float32(1e-2)
    K, exact = kernel_dplr(*parts, dt, L), kernel_dplr(*wide, float(dt), L)
    assert K.dtype == np.float32
    assert relative(K, exact) < 2e-7
    C = truncated_c(DPLRSystem(*wide).discretize(float(dt)), L).astype("complex64")
    K, exact = (
        kernel_dplr_truncated(*parts[:3], C, dt, L),
        kernel_dplr_truncated(*wide[:3], C.astype(complex), float(dt), L),
    )
    assert relative(K, exact) < 5e-7


def test_a_shorter_kernel_is_the_beginning_of_a_longer_one():
    parts = system("legs", 16)
    whole = kernel_dplr(*parts, 0.05, 200)
    for L in (1, 2, 50, 199):
        np.testing.assert_allclose(kernel_dplr(*parts, 0.05, L), whole[:L], atol=1e-11 * np.max(np.abs(whole)))


def test_the_truncated_kernel_sums_with_alternating_signs_to_the_response_at_the_nyquist_frequency():
    Lambda, P, B, C = stable(5)
    K = kernel_dplr_truncated(Lambda, P, B, C, 0.3, 64)
    np.testing.assert_allclose(np.sum(K[::2] - K[1::2]), 0.15 * 2 * np.sum(C * B).real, rtol=1e-12)


def test_the_truncated_kernel_is_the_inverse_transform_of_the_generating_function():
    parts = stable(5, 2)
    for L in (30, 31):
        G = generating_function(DPLRSystem(*parts), L, dt=0.1)
        np.testing.assert_allclose(kernel_dplr_truncated(*parts, 0.1, L), np.fft.irfft(G, L), atol=1e-13)


def test_the_recovered_output_row_gives_the_taps_of_the_truncated_one_at_its_length():
    Lambda, P, B, C = stable(5)
    true = recover_c(DPLRSystem(Lambda, P, B, C).discretize(0.1), 40).system.C
    K = kernel_dplr_truncated(Lambda, P, B, C, 0.1, 40)
    np.testing.assert_allclose(kernel_dplr(Lambda, P, B, true, 0.1, 40), K, atol=1e-11 * np.max(np.abs(K)))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("L", [1, 2, 255, 256, 1031])
def test_the_kernel_agrees_with_the_array_body(L, rank, monkeypatch):
    parts = stable(6, rank, L)
    calls = [
        lambda: kernel_dplr(*parts, 0.1, L),
        lambda: kernel_dplr_truncated(*parts, 0.1, L),
        lambda: np.concatenate([np.ravel(d) for d in kernel_dplr_vjp(np.cos(np.arange(L)), *parts, 0.1)]),
        lambda: np.concatenate([np.ravel(d) for d in kernel_dplr_truncated_vjp(np.cos(np.arange(L)), *parts, 0.1)]),
    ]
    fast = [call() for call in calls]
    for module in (dplr, dplr_vjp):
        monkeypatch.setattr(module, "WORTH_COMPILING", 2**62)
    for found, call in zip(fast, calls, strict=True):
        assert relative(found, call()) < 2e-11


@pytest.mark.usefixtures("compiled")
def test_the_compiled_kernel_does_what_its_text_says_on_1000_small_inputs(monkeypatch):
    from lina._numba import dplr_response as kernels

    rng = np.random.default_rng(0)
    cases = []
    for _ in range(1000):
        n, rank, points = rng.integers(1, 4), rng.integers(0, 3), rng.integers(1, 6)
        w = -rng.random((1, n)) + 1j * rng.standard_normal((1, n))
        left, right = (draws(n * (1 + rank), int(rng.integers(2**31))).reshape(1, 1 + rank, n) for _ in range(2))
        zeta = 0.1 + 1j * rng.uniform(0, np.pi / 2, points)
        S = draws(points, int(rng.integers(2**31)))[None]
        cases.append((w, left, right, 2 * np.sinh(zeta), np.cosh(zeta), S))

    def run():
        return [(kernels.dplr_response(*case[:5]), *kernels.dplr_response_vjp(*case)) for case in cases]

    compiled = run()
    for name, function in list(vars(kernels).items()):
        if hasattr(function, "py_func"):
            monkeypatch.setattr(kernels, name, function.py_func)
    for first, second in zip(compiled, run(), strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12 * np.max(np.abs(b)))


def test_a_batch_broadcasts_and_is_its_systems_one_by_one():
    Lambda, P, B, C, dt = batch()
    whole = kernel_dplr(Lambda, P, B, C, dt, 30)
    for i in range(len(dt)):
        np.testing.assert_allclose(whole[i], kernel_dplr(Lambda[i], P[i], B[i], C[i], dt[i], 30), rtol=1e-10)
    shared = kernel_dplr(Lambda[0], P[0], B[0], C[:, None, :], dt, 30)
    assert shared.shape == (4, 4, 30)
    np.testing.assert_allclose(shared[2, 1], kernel_dplr(Lambda[0], P[0], B[0], C[2], dt[1], 30), rtol=1e-10)


def test_an_empty_batch_stays_empty():
    Lambda, P, B, C, _ = batch()
    K = kernel_dplr(Lambda[:0], P[:0], B[:0], C[:0], 0.1, 5)
    assert K.shape == (0, 5)
    assert kernel_dplr_truncated(Lambda[:0], P[:0], B[:0], C[:0], 0.1, 5).shape == (0, 5)
    grads = kernel_dplr_vjp(K, Lambda[:0], P[:0], B[:0], C[:0], 0.1)
    assert [d.shape for d in grads] == [(0, 8), (0, 1, 8), (0, 8), (0, 8), ()]


@pytest.mark.parametrize("real", [0.5, 3.0])
def test_an_unstable_system_is_told_and_its_growing_taps_are_right(real):
    Lambda, P, B, C = stable(4)
    Lambda = Lambda.real * 0 + real + 1j * Lambda.imag
    P = 0.1 * P
    exact = dplr_taps_in_double(Lambda, P, B, C, 0.1, 100)
    with pytest.warns(UnstableSystemWarning, match="largest pole"):
        K = kernel_dplr(Lambda, P, B, C, 0.1, 100)
    assert relative(K, exact) < 1e-10
    with pytest.raises(ValueError, match="no unstable system"):
        kernel_dplr(Lambda, P, B, C, 0.1, 100, unstable="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(kernel_dplr(Lambda, P, B, C, 0.1, 100, unstable="ignore"), K)


def test_a_system_that_its_low_rank_makes_stable_is_not_flagged():
    parts = np.array([0.1 + 1j]), np.array([1.0 + 0j]), np.array([1.0 + 0j]), np.array([1.0 + 0j])
    exact = dplr_taps_in_double(parts[0], parts[1][None], *parts[2:], 0.1, 60)
    assert relative(kernel_dplr(*parts, 0.1, 60), exact) < 1e-11


def test_stable_systems_beside_an_unstable_one_keep_their_digits():
    Lambda, P, B, C, dt = batch(3)
    Lambda = Lambda + np.array([0, 4.0, 0])[:, None]
    with pytest.warns(UnstableSystemWarning):
        K = kernel_dplr(Lambda, P * 0.1, B, C, dt, 80)
    for i in range(3):
        exact = dplr_taps_in_double(Lambda[i], 0.1 * P[i], B[i], C[i], dt[i], 80)
        assert relative(K[i], exact) < 1e-10


def test_taps_beyond_the_range_raise():
    with pytest.raises(OverflowError, match="C must be small enough"), pytest.warns(UnstableSystemWarning):
        kernel_dplr([15.0], [0.1], [1.0], [1.0], 0.1, 1000)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"dt": 0.0}, ValueError, "dt must be positive, got 0"),
        ({"dt": -1.0}, ValueError, "dt must be positive"),
        ({"dt": np.nan}, ValueError, "dt must be finite"),
        ({"dt": "a"}, TypeError, "dt must be a positive number"),
        ({"dt": None}, TypeError, r"got None \(the taps of a discrete system are linear_scan"),
        ({"L": 0}, ValueError, "L must be in 1"),
        ({"L": 2.5}, TypeError, "L must be an int, got float"),
        ({"Lambda": [np.inf]}, ValueError, "Lambda must be finite"),
        ({"P": [1.0, 2.0]}, ValueError, "P must have n = 1 entries"),
        ({"B": [1.0, 2.0]}, ValueError, "B must have n = 1 entries"),
        ({"C": [1.0, 2.0]}, ValueError, "C(_tilde)? must have n = 1 entries"),
        ({"C": [[1.0]] * 2, "B": [[1.0]] * 3}, ValueError, "leading axes that broadcast"),
        ({"C": [1.0], "dt": [0.1, 0.2], "B": [[1.0]] * 3}, ValueError, "leading axes that broadcast"),
    ],
)
@pytest.mark.parametrize("function", [kernel_dplr, kernel_dplr_truncated])
def test_bad_input_is_named(function, changes, error, text):
    arguments = {"Lambda": [-1.0], "P": [1.0], "B": [1.0], "C": [1.0], "dt": 0.1, "L": 5, **changes}
    with pytest.raises(error, match=text):
        function(*arguments.values())


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("measure", ["legt", "lagt", "fout"])
def test_a_mode_that_is_constant_is_answered_at_roots_of_unity_where_the_low_rank_moves_it(measure, dtype):
    F = nplr(measure, 7)
    C = np.cos(np.arange(2 * 7.0)).reshape(2, 7) @ F.V
    parts = [np.asarray(x, dtype=dtype) for x in (F.Lambda, F.P, F.B, C)]
    exact = np.stack([dplr_taps_in_double(F.Lambda, F.P, F.B, row, 0.1, 20) for row in C])
    system = DPLRSystem(F.Lambda, F.P, F.B, C).discretize(0.1)
    parts[3] = truncated_c(system, 20).astype(dtype)
    found = kernel_dplr_truncated(*parts, 0.1, 20)
    assert relative(found, exact) < (1e-5 if dtype == "complex64" else 1e-11)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_mode_of_the_diagonal_at_a_root_of_unity_is_moved_by_the_low_rank(k):
    Lambda = np.array([20j * np.tan(np.pi * k / 8), -0.3 + 2j])
    parts = Lambda, np.array([0.1, 0.2]), np.array([1.0, 0.5]), np.array([1.0, 1j])
    C_tilde = truncated_c(DPLRSystem(*parts).discretize(0.1), 8)
    exact = dplr_taps_in_double(*(np.array(x, dtype=complex) for x in parts), 0.1, 8)
    assert relative(kernel_dplr_truncated(*parts[:3], C_tilde, 0.1, 8), exact) < 1e-11


def test_a_pole_at_a_root_of_unity_is_refused():
    with pytest.raises(ValueError, match="the roots of unity for Lambda, P and dt must not hold a pole"):
        kernel_dplr_truncated([0.0], [0.0], [1.0], [1.0], 0.1, 8)
    for pole in (0.0, 20j * np.tan(np.pi / 8)):
        with pytest.raises(ValueError, match="Lambda must not be at a root of unity"):
            kernel_dplr_truncated_vjp(np.ones(8), [pole, -1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0], 0.1)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("form", ["true", "truncated"])
@pytest.mark.parametrize("path", ["body", "compiled"])
def test_the_adjoint_is_that_of_a_recurrence_in_40_digits(form, rank, path, monkeypatch):
    for module in (dplr, dplr_vjp):
        monkeypatch.setattr(module, "WORTH_COMPILING", 0 if path == "compiled" else 2**62)
    L, arguments = 6, [*stable(2, rank, 3), 0.3]
    g = np.random.default_rng(0).standard_normal(L)
    if form == "true":
        gradients = kernel_dplr_vjp(g, *arguments)
        function = lambda *a: dplr_taps(*a, L)  # noqa: E731
    else:
        gradients = kernel_dplr_truncated_vjp(g, *arguments)
        function = lambda *a: dplr_taps(*a, L, truncated=True)  # noqa: E731
    for i, gradient in enumerate(gradients):
        shape = np.shape(arguments[i])
        assert gradient.shape == shape
        direction = draws(int(np.prod(shape)), i).reshape(shape) if i < 4 else 1.0
        change = g @ derivative(function, arguments, i, direction).real
        np.testing.assert_allclose(np.sum(gradient.conj() * direction).real, change, rtol=1e-9, atol=1e-9)


def test_the_adjoint_of_a_batch_sums_over_what_was_shared():
    Lambda, P, B, C, _ = batch()
    g = np.random.default_rng(0).standard_normal((4, 30))
    shared = kernel_dplr_vjp(g, Lambda[0], P[0], B[0], C, 0.1)
    assert [d.shape for d in shared] == [(8,), (1, 8), (8,), (4, 8), ()]
    single = [kernel_dplr_vjp(g[i], Lambda[0], P[0], B[0], C[i], 0.1) for i in range(4)]
    for k in (0, 1, 2, 4):
        np.testing.assert_allclose(shared[k], sum(each[k] for each in single), rtol=1e-9)
    np.testing.assert_allclose(shared[3], [each[3] for each in single], rtol=1e-9)


def test_the_adjoint_of_an_unstable_system_is_right():
    arguments = [np.array([2.0 + 1j]), np.array([[0.1 + 0j]]), np.array([1.0 + 0j]), np.array([1.0 + 1j]), 0.3]
    g = np.array([1.0, -1.0, 0.5, 2.0])
    for i, gradient in enumerate(kernel_dplr_vjp(g, *arguments)):
        direction = np.full(np.shape(arguments[i]), 1.0 + (1j if i < 4 else 0))
        direction = float(direction) if i == 4 else direction
        change = g @ derivative(lambda *a: dplr_taps(*a, 4), arguments, i, direction).real
        np.testing.assert_allclose(np.sum(gradient.conj() * direction).real, change, rtol=1e-9)


@pytest.mark.parametrize(
    ("cotangent", "error", "text"),
    [
        (np.ones((2, 3)), ValueError, "cotangent must have shape"),
        (np.ones(0), ValueError, "cotangent must have at least one tap"),
        (np.ones(3) * 1j, TypeError, "cotangent must be real"),
        (np.array([np.nan]), ValueError, "cotangent must be finite"),
    ],
)
def test_a_cotangent_that_does_not_fit_is_named(cotangent, error, text):
    for vjp in (kernel_dplr_vjp, kernel_dplr_truncated_vjp):
        with pytest.raises(error, match=text):
            vjp(cotangent, [-1.0], [1.0], [1.0], [1.0], 0.1)


def peak_of(call):
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_inputs_and_outputs():
    H, n, L = 64, 32, 16384
    Lambda, P, B, C, dt = batch(H, n)
    narrow = [x.astype(NARROW[str(x.dtype)]) for x in (Lambda, P, B, C, dt)]
    taps = 4 * H * L
    assert peak_of(lambda: kernel_dplr_truncated(*narrow, L)) < taps + 24e6
    g = np.ones((H, L), dtype="float32")
    assert peak_of(lambda: kernel_dplr_truncated_vjp(g, *narrow)) < taps + 40e6  # the matrix of g alone takes 268 MB


def test_memory_of_one_long_row_is_that_of_its_circle():
    (Lambda, P, B, C), L = stable(32), 10**6
    for call, most in (
        (lambda: kernel_dplr(Lambda, P, B, C, 0.01, L), 200e6),
        (lambda: kernel_dplr_truncated(Lambda, P, B, C, 0.01, L), 90e6),
        (lambda: kernel_dplr_vjp(np.ones(L), Lambda, P, B, C, 0.01), 200e6),
    ):
        assert peak_of(call) < most


def test_a_step_in_double_precision_is_not_rounded_to_that_of_the_systems():
    Lambda, P, B, C = (x.astype("complex64") for x in stable(32))
    parts = (Lambda.real / 50 + 20j * Lambda.imag).astype("complex64"), P[0] / 50, B, C
    exact = kernel_dplr(*(x.astype(complex) for x in parts), 1e-2, 5000)
    assert relative(kernel_dplr(*parts, 1e-2, 5000), exact) < 3e-7
    assert relative(kernel_dplr(*parts, np.float32(1e-2), 5000), exact) > 1e-6


def test_taps_of_poles_on_the_circle_err_as_documented():
    rotation = np.angle((1 + 0.25j) / (1 - 0.25j))
    for L, bound in ((10**3, 3e-12), (10**4, 1.3e-11), (10**5, 5e-10)):
        exact = 2 * np.real(0.5 / (1 - 0.25j) * np.exp(1j * rotation * np.arange(L)))
        assert relative(kernel_dplr([1j], [0.0], [1.0], [1.0], 0.5, L), exact) < bound
