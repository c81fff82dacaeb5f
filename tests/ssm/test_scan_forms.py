"""Scans by the form of a system against the loop over steps, and the compiled recurrence against the interpreted."""

import numpy as np
import pytest

from lina._numba import rational_scan as rational_kernels
from lina._numba.linear_scan import _parts, _scan
from lina._numba.linear_scan import linear_scan as compiled_scan
from lina._numba.series_divide import _divide_row
from lina.ssm import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem, linear_scan, stable_polynomial, step
from lina.ssm import _scan_forms as forms
from tests.reference.ssm_convolution import convolution, long_division
from tests.ssm.systems import dense, diagonal, dplr, draws


def by_steps(system, u, x):
    """Return (y, last state, all states) by one step after the other."""
    outputs, states = [], []
    for each in np.moveaxis(u, -1, 0):
        y, x = step(system, each, x)
        outputs.append(y)
        states.append(x)
    return np.stack(outputs, axis=-1), x, np.stack(states, axis=-2)


def agree(found, exact, tolerance=1e-13):
    for x, y in zip(found, exact, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, atol=tolerance * np.max(np.abs(y)))


@pytest.mark.parametrize("L", [1, 5, 16, 17, 200])
@pytest.mark.parametrize("d", [17, 40])
def test_a_rational_system_of_many_states_is_divided(d, L, monkeypatch):
    rng = np.random.default_rng(L)
    s = RationalSystem(stable_polynomial(rng.uniform(-0.3, 0.3, d)), rng.standard_normal(d))
    u, x0 = rng.standard_normal(L), rng.standard_normal(d)
    monkeypatch.setattr("lina.ssm._step._scan_chunks", None)  # is not called
    agree(linear_scan(s, u, x0, return_states=True), by_steps(s, u, x0))
    np.testing.assert_allclose(linear_scan(s, u, x0)[0], by_steps(s, u, x0)[0], atol=1e-12)


@pytest.mark.parametrize("transposed", ["u", "x0"])
def test_the_state_after_samples_of_any_layout_is_right(transposed):
    rng = np.random.default_rng(0)
    system = RationalSystem(rng.uniform(-0.2, 0.2, (3, 2)), rng.standard_normal((3, 2)))
    u, x0 = rng.standard_normal((2, 20, 3)), rng.standard_normal((2, 2, 3))
    strided = {"u": u.transpose(0, 2, 1), "x0": x0.transpose(0, 2, 1)}
    packed = {name: np.ascontiguousarray(x) for name, x in strided.items()}
    for found, expected in zip(
        linear_scan(system, **packed | {transposed: strided[transposed]}), linear_scan(system, **packed), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    both = linear_scan(system, **strided)
    np.testing.assert_array_equal(both[1], linear_scan(system, **packed)[1])


@pytest.mark.parametrize("L", [3, 700, 1500])
def test_a_rational_system_of_very_many_states_is_divided_by_transforms(L):
    d, rng = 600, np.random.default_rng(L)
    s = RationalSystem(stable_polynomial(rng.uniform(-0.03, 0.03, d)), rng.standard_normal(d))
    u, x0 = rng.standard_normal(L), rng.standard_normal(d)
    agree(linear_scan(s, u, x0, return_states=True), by_steps(s, u, x0))


def test_a_growing_rational_system_keeps_its_digits_at_every_scale():
    d = 20
    s = RationalSystem(np.r_[-1.9, np.zeros(d - 1)], np.eye(1, d)[0])
    u = np.eye(1, 300)[0]
    np.testing.assert_allclose(linear_scan(s, u)[0], 1.9 ** np.arange(300.0), rtol=1e-12)


def test_complex_rational_systems_are_divided_too():
    a, b = stable_polynomial(0.2 * draws(18)), draws(18, 1)
    s, u, x0 = RationalSystem(a, b), draws(50, 2), draws(18, 3)
    agree(linear_scan(s, u, x0, return_states=True), by_steps(s, u, x0))


@pytest.mark.parametrize("form", ["diagonal", "rank 1", "rank 2"])
@pytest.mark.parametrize("batch", ["none", "systems", "inputs", "both"])
def test_conjugate_pairs_step_through_the_kernel(form, batch, monkeypatch):
    monkeypatch.setattr(forms, "_WORTH_COMPILING", 0)
    n, L = 5, 23
    one = (diagonal(n) if form == "diagonal" else dplr(n, int(form[-1]))).discretize(0.1, "bilinear")
    if batch in ("systems", "both"):
        scales = np.array([1.0, 0.5, 0.8])[:, None]
        changed = {"Lambda": one.Lambda * scales, "C": one.C * scales}
        others = {"B": one.B} | ({} if form == "diagonal" else {"P": one.P[None], "Q": one.Q[None]})
        one = (DiagonalSystem if form == "diagonal" else DPLRSystem)(**changed, **others, dt=0.1)
    rng = np.random.default_rng(0)
    shape = {"none": (), "systems": (), "inputs": (4,), "both": (4, 1)}[batch]
    u = rng.standard_normal((*shape, L))
    x0 = draws(n, 9)
    whole = np.broadcast_to(u, (*np.broadcast_shapes(one.batch, shape), L))
    agree(linear_scan(one, u, x0, return_states=True), by_steps(one, whole, x0))
    agree(linear_scan(one, u, x0), by_steps(one, whole, x0)[:2])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_compiled_recurrence_equals_the_interpreted_one(dtype):
    rng = np.random.default_rng(0)
    tolerance = 1e-4 if dtype == "complex64" else 1e-12

    def entries(*shape):
        return ((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / 4).astype(dtype)

    for _ in range(1000):
        rows, n, L, rank, kept = rng.integers(1, 3), rng.integers(1, 5), rng.integers(0, 6), rng.integers(0, 3), 0
        kept = L if rng.integers(2) else 0
        system = (entries(1, n), entries(1, n), entries(1, n), entries(1, rank, n), entries(1, rank, n))
        which, x = np.zeros(rows, dtype=np.int64), entries(rows, n)
        u = rng.standard_normal((rows, L)).astype(x.real.dtype)
        states = np.zeros((rows, kept, n), dtype=dtype)
        y, end = compiled_scan(system, which, u, x, states)
        Lambda, B, C, P, Q = system
        packed = (_parts(Lambda), _parts(B), _parts(2 * C.conj()), _parts(P), _parts(2 * Q))
        other, moved, again = np.empty_like(u), _parts(x), np.zeros_like(states)
        _scan.py_func(*packed, which, u, moved, other, again.view(u.dtype))
        np.testing.assert_allclose(y, other, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(_parts(end), moved, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(states, again, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("batch", ["none", "systems", "inputs", "both"])
@pytest.mark.parametrize("kind", ["f", "c"])
def test_a_rational_system_of_few_states_is_its_steps(batch, kind, compiled, monkeypatch):
    monkeypatch.setattr("lina.ssm._scan_rational.kernel_pays", lambda u, x: compiled)
    d, L, rng = 4, 23, np.random.default_rng(0)
    systems = (3, 1) if batch in ("systems", "both") else ()
    a, b = stable_polynomial(rng.uniform(-0.5, 0.5, (*systems, d))), rng.standard_normal(d)
    s = RationalSystem(a, b * 1j if kind == "c" else b)
    u = rng.standard_normal((*((2,) if batch in ("inputs", "both") else ()), L))
    x0 = draws(d, 1) if kind == "c" else rng.standard_normal(d)
    whole = np.broadcast_to(u, (*np.broadcast_shapes(systems, u.shape[:-1]), L))
    agree(linear_scan(s, u, x0, return_states=True), by_steps(s, whole, x0))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_compiled_recurrence_of_rational_systems_equals_the_interpreted_one(dtype, monkeypatch):
    rng = np.random.default_rng(0)

    def entries(*shape):
        x = rng.uniform(-1, 1, shape).astype(dtype)
        return x * (0.5 + 0.5j) if dtype == "complex128" else x

    cases = []
    for _ in range(1000):
        rows, d, L = rng.integers(1, 4), rng.integers(1, 6), rng.integers(1, 14)
        cases.append((entries(2, d), entries(2, d), rng.integers(0, 2, rows), entries(rows, d + L)))
    found = []
    for a, b, which, w in cases:
        past = w.copy()
        found.append((rational_kernels.rational_scan(a, b, which, past), past))
    monkeypatch.setattr(rational_kernels, "_divide_row", _divide_row.py_func)
    for (a, b, which, w), (y, past) in zip(cases, found, strict=True):
        other, again, d = np.zeros_like(y), w.copy(), a.shape[1]
        rational_kernels._scan.py_func(a, b, which, again, other)
        np.testing.assert_allclose(past, again, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(y, other, rtol=1e-13, atol=1e-13)
        before = w[0].copy()
        before[d:] = 0  # a quotient that begins with the state has the numerator (1 + a z) times it
        numerator = convolution(before, np.r_[1, a[which[0]]], d)
        exact = long_division(np.r_[numerator, w[0, d:]], a[which[0]], len(w[0]))
        np.testing.assert_allclose(past[0], exact, rtol=1e-10, atol=1e-10)


def test_outputs_do_not_depend_on_where_a_tile_of_them_ends():
    tile, rng = rational_kernels._TILE, np.random.default_rng(0)
    a, b, w = 0.1 * rng.standard_normal((1, 5)), rng.standard_normal((1, 5)), rng.standard_normal((1, 2 * tile + 8))
    y = rational_kernels.rational_scan(a, b, np.zeros(1, dtype=np.int64), w)
    np.testing.assert_allclose(y[0], np.convolve(w[0], b[0])[5 : w.shape[1]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("L", [1, 2, 63, 64, 65, 300])
@pytest.mark.parametrize("kind", ["f", "c"])
def test_a_dense_system_multiplies_by_its_taps(L, kind):
    s = dense(7).discretize(0.1)
    rng = np.random.default_rng(0)
    A = np.stack([s.A, s.A / 2])
    C = s.C + 1j * s.B if kind == "c" else s.C
    system = DenseSystem(A, s.B, C, dt=1.0)
    u, x0 = rng.standard_normal((3, 1, L)), rng.standard_normal(7) + 0 * C
    whole = np.broadcast_to(u, (3, 2, L))
    agree(linear_scan(system, u, x0), by_steps(system, whole, np.broadcast_to(x0, (3, 2, 7)))[:2])


def test_single_precision_keeps_its_digits_in_every_form():
    rng = np.random.default_rng(0)
    u = rng.standard_normal(400)
    d = dense(30).discretize(0.1)
    r = RationalSystem(stable_polynomial(rng.uniform(-0.3, 0.3, 20)), rng.standard_normal(20))
    for system, names in ((d, ("A", "B", "C")), (r, ("a", "b"))):
        narrow = type(system)(*(getattr(system, name).astype("float32") for name in names), dt=1.0)
        y, x = linear_scan(narrow, u.astype("float32"))
        assert y.dtype == x.dtype == np.float32
        exact = linear_scan(system, u)[0]
        np.testing.assert_allclose(y, exact, atol=1e-5 * np.max(np.abs(exact)))


@pytest.mark.torch
@pytest.mark.parametrize("d", [1, 4, 17])
def test_gradients_pass_through_division_and_taps(d):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, b = stable_polynomial(rng.uniform(-0.2, 0.2, d)), rng.standard_normal(d)
    parts = [torch.tensor(x, requires_grad=True) for x in (a, b, rng.standard_normal(20), rng.standard_normal(d))]
    assert torch.autograd.gradcheck(lambda a, b, u, x: linear_scan(RationalSystem(a, b), u, x), parts)
    s = dense(3).discretize(0.1)
    parts = [torch.tensor(x, requires_grad=True) for x in (s.A, s.B, s.C, rng.standard_normal(20))]
    assert torch.autograd.gradcheck(lambda A, B, C, u: linear_scan(DenseSystem(A, B, C, dt=1.0), u), parts)
