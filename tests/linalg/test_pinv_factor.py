"""The factored pseudo-inverse: products, rank decisions, and updates against recomputing and Meyer's formulas."""

import numpy as np
import pytest

from lina.linalg import PinvFactor, pinv, pinv_factor
from tests.linalg.matrices import SPECTRA, hilbert, kahan, with_spectrum

EPS = np.finfo(float).eps
SHAPES = [(120, 40), (40, 120), (60, 60), (70, 50), (1, 6), (6, 1)]


def draw(rng, dtype, *shape):
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def stored(F):
    """Return the matrix that the factors stand for, in double precision."""
    wide = np.result_type(F.U.dtype, np.float64)
    return (F.U.astype(wide) * F.s) @ F.Vt.astype(wide)


def assert_sound(F, A):
    """Orthonormal factors, a true certificate, and the pseudo-inverse of A to what Wedin's bound makes of it."""
    eps, k = float(np.finfo(F.U.dtype).eps), F.rank
    s = F.s.astype(float)
    assert np.linalg.norm(F.U.conj().T @ F.U - np.eye(k)) <= 500 * k**0.5 * eps
    assert np.linalg.norm(F.Vt @ F.Vt.conj().T - np.eye(k)) <= 500 * k**0.5 * eps
    assert np.all(np.diff(s) <= 0)
    A = A.astype(np.result_type(A.dtype, np.float64))
    assert np.linalg.norm(A - stored(F)) <= F.error
    if k:
        assert F.condition == pytest.approx(s[0] / s[-1], rel=100 * eps)
        expected = np.linalg.pinv(A, rcond=s[-1] / (2 * s[0]))
        assert np.linalg.norm(F.toarray() - expected, 2) <= 2 * F.error / s[-1] ** 2 + 500 * k**0.5 * eps / s[-1]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_with_the_factor_are_products_with_the_pseudo_inverse(shape, dtype):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, *shape, np.geomspace(1, 0.01, min(shape)), dtype)
    F, X = pinv_factor(A), pinv(A, method="svd")
    tolerance = 2000 * np.finfo(dtype).eps * np.linalg.norm(X, 2)
    B, b, C = draw(rng, dtype, shape[0], 3), draw(rng, dtype, shape[0]), draw(rng, dtype, shape[1], 2)
    assert F.shape == X.shape
    assert (F @ B).dtype == dtype
    assert np.linalg.norm(F @ B - X @ B) <= tolerance * np.linalg.norm(B)
    assert np.linalg.norm(F @ b - X @ b) <= tolerance * np.linalg.norm(b)
    assert np.linalg.norm(F.T @ C - X.T @ C) <= tolerance * np.linalg.norm(C)
    assert F.error_of(X) <= tolerance
    assert_sound(F, A)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("shape", [(200, 60), (60, 60), (60, 200)])
def test_rank_condition_and_gap_are_those_of_pinv(spectrum, shape):
    A = with_spectrum(np.random.default_rng(1), *shape, SPECTRA[spectrum](60))
    F, info = pinv_factor(A), pinv(A, method="svd", return_info=True)[1]
    assert F.rank == info.rank
    assert F.condition == pytest.approx(info.condition)
    assert F.gap == pytest.approx(info.gap, rel=1e-3) or info.rank < 60  # below the cutoff there is only rounding
    assert_sound(F, A)


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.1, 3.0])
def test_the_rank_is_that_of_the_svd_however_near_the_cutoff(factor):
    for seed in range(20):
        cutoff = 120 * EPS
        s = np.r_[np.geomspace(1, 1e-3, 30), np.full(30, factor * cutoff)]
        A = with_spectrum(np.random.default_rng(seed), 120, 60, s)
        found = np.linalg.svd(A, compute_uv=False)
        assert pinv_factor(A).rank == np.sum(found > cutoff * found[0])


@pytest.mark.parametrize("noise", [0.0, 1e-17, 1e-13, 1e-10, 1e-5])
@pytest.mark.parametrize("shape", [(600, 300), (300, 600), (320, 300)])
def test_a_rank_far_below_both_sides_is_decided_as_the_svd_decides_it(noise, shape):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, *shape, np.geomspace(1, 0.1, 60)) + noise * rng.standard_normal(shape)
    F = pinv_factor(A)
    s = np.linalg.svd(A, compute_uv=False)
    assert F.rank == np.sum(s > max(shape) * EPS * s[0])
    assert (F.rank, F.gap > 2) == (60, True) if noise == 0.0 else F.gap >= 1
    assert_sound(F, A)
    assert F.error <= 1e-13 * F.norm_A


def test_a_cutoff_within_the_spectrum_is_decided_without_cholesky():
    s = np.r_[np.ones(30), np.full(30, 1e-4 * (1 + 1e-12))]
    A = with_spectrum(np.random.default_rng(0), 200, 60, s)
    found = np.linalg.svd(np.linalg.qr(A)[1])[1]
    assert pinv_factor(A, rtol=1e-4).rank == np.sum(found > 1e-4 * found[0])
    assert pinv_factor(A, rtol=1e-3).rank == 30
    assert pinv_factor(A, rtol=1e-3).gap == pytest.approx(10, rel=1e-6)


@pytest.mark.parametrize("A", [hilbert(30), kahan(60), np.eye(5), np.zeros((4, 3)), np.diag([1.0, 0.0, 2.0])])
def test_named_matrices(A):
    F = pinv_factor(A)
    assert F.rank == np.linalg.matrix_rank(A, tol=max(A.shape) * EPS * np.linalg.norm(A, 2))
    assert_sound(F, A)


def random_step(rng, F, A, dtype, size):
    """Return factor and matrix after one random change of this size."""
    wide = np.result_type(dtype, np.float64)
    kind = rng.integers(5)
    if kind == 0:
        C, D = size * draw(rng, dtype, A.shape[0], 2), draw(rng, dtype, A.shape[1], 2)
        return F.update(C, D), A + C.astype(wide) @ D.astype(wide).conj().T
    if kind == 1:
        rows = size * draw(rng, dtype, 2, A.shape[1])
        return F.append_rows(rows), np.concatenate([A, rows])
    if kind == 2:
        columns = size * draw(rng, dtype, A.shape[0], 1)
        return F.append_columns(columns), np.concatenate([A, columns], axis=1)
    if kind == 3 and A.shape[0] > 2:
        indices = rng.integers(-A.shape[0], A.shape[0], 2)
        return F.delete_rows(indices), np.delete(A, indices, axis=0)
    if kind == 4 and A.shape[1] > 1:
        index = int(rng.integers(A.shape[1]))
        return F.delete_columns(index), np.delete(A, index, axis=1)
    return F, A


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", SHAPES)
def test_forty_random_changes_keep_the_certificate(shape, dtype):
    rng = np.random.default_rng(sum(shape))
    A = with_spectrum(rng, *shape, np.geomspace(1, 0.1, min(shape)), dtype)
    F = pinv_factor(A)
    A = A.astype(np.result_type(dtype, np.float64))
    for _ in range(40):
        F, A = random_step(rng, F, A, np.dtype(dtype), 1.0)
        assert F.shape == A.shape[::-1]
        assert F.U.dtype == dtype
        assert np.linalg.norm(A - stored(F)) <= F.error
    assert_sound(F, A)
    assert F.error <= 40 * 100 * min(A.shape) * np.finfo(dtype).eps * np.linalg.norm(A)


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_changes_of_every_size_keep_the_certificate(spectrum):
    rng = np.random.default_rng(3)
    A = with_spectrum(rng, 50, 40, SPECTRA[spectrum](40), "float32")
    F = pinv_factor(A)
    A = A.astype(float)
    for _ in range(30):
        F, A = random_step(rng, F, A, np.float32, np.float32(10 ** rng.uniform(-6, 4)))
        assert np.linalg.norm(A - stored(F)) <= F.error


def test_the_rank_follows_the_matrix_up_and_down():
    rng = np.random.default_rng(0)
    U, V = np.linalg.qr(rng.standard_normal((50, 6)))[0], np.linalg.qr(rng.standard_normal((40, 6)))[0]
    A, ranks = np.zeros((50, 40)), []
    F = pinv_factor(A)
    for sign in (1.0, -1.0):
        for j in range(6):
            A = A + sign * np.outer(U[:, j], V[:, j])
            F = F.update(sign * U[:, j], V[:, j])
            ranks.append(F.rank)
            assert_sound(F, A)
    assert ranks == [1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 0]
    assert np.all(F.toarray() == 0)


def test_the_rank_after_an_update_is_that_of_the_svd_near_the_cutoff():
    for factor in (0.5, 0.9, 1.1, 2.0):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            s = np.r_[np.geomspace(1, 1e-2, 19), factor * 100 * EPS]
            A = with_spectrum(rng, 100, 20, s)
            whole = pinv_factor(A[:90], rtol=0.0)
            found = np.linalg.svd(A, compute_uv=False)
            F = whole.append_rows(A[90:])
            assert F.rank == np.sum(found > 100 * EPS * found[0])


def test_a_large_part_that_goes_away_leaves_its_rounding_and_no_rank():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 60, 30, np.r_[np.ones(5), np.zeros(25)])
    row = 1e9 * rng.standard_normal(30)
    F = pinv_factor(np.vstack([A, row])).delete_rows(-1)
    assert F.rank == 5
    assert F.least_cutoff > 1e-6
    assert_sound(F, A)
    c, d = 1e6 * rng.standard_normal(60), 1e3 * rng.standard_normal(30)
    F = pinv_factor(A).update(c, d).update(-c, d)
    assert F.rank == 5
    assert_sound(F, A)


def test_columns_of_opposite_sizes_lose_nothing():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 60, 30, np.geomspace(1, 0.1, 30))
    C, D = rng.standard_normal((60, 3)), rng.standard_normal((30, 3))
    sizes = np.array([1e150, 1.0, 1e-200])
    F = pinv_factor(A).update(C * sizes, D / sizes)
    assert_sound(F, A + C @ D.T)
    assert F.error < 1e-11


def test_what_was_dropped_is_counted_and_the_gap_notices():
    s = np.r_[np.ones(5), np.full(5, 1e-3)]
    A = with_spectrum(np.random.default_rng(0), 40, 10, s)
    F = pinv_factor(A, rtol=2e-3)
    assert (F.rank, F.gap) == (5, pytest.approx(2, rel=1e-6))
    assert F.dropped == pytest.approx(5**0.5 * 1e-3)
    assert F.error == pytest.approx(F.dropped, rel=1e-6)
    G = F.append_rows(np.eye(1, 10))
    assert G.dropped >= F.dropped
    assert 1.0 <= G.gap < 2**0.5 * 2e-3 / F.dropped  # together they could be one value this near the cutoff
    assert G.append_rows(np.ones((40, 10))).gap > G.gap


def test_tolerances_are_kept_by_updates():
    A = np.diag([1.0, 1e-2, 1e-4])
    assert pinv_factor(A, atol=1e-3).append_rows([0.0, 0.0, 1e-4]).rank == 2
    assert pinv_factor(A, rtol=1e-3).append_rows([0.0, 0.0, 1.0]).rank == 3


def test_drift_of_the_bases_is_mended():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 40, 8, np.geomspace(1, 0.1, 8), "float32")
    F = pinv_factor(A)
    worst = 0.0
    for _ in range(1000):
        c = (0.1 * rng.standard_normal(40)).astype(np.float32)
        F = F.update(c, np.float32(0.1) * np.ones(8, np.float32))
        worst = max(worst, np.linalg.norm(F.U.T @ F.U - np.eye(F.rank)), np.linalg.norm(F.Vt @ F.Vt.T - np.eye(F.rank)))
    assert worst < 500 * 8**0.5 * np.finfo("float32").eps


def meyer(A, c, d):
    """Return (A + c d^H)+ by the six cases of Meyer, SIAM J. Appl. Math. 24 (1973) 315, and the number of the case."""
    c, d = c[:, None], d[:, None]
    X = np.linalg.pinv(A, rcond=1e-10)
    k, h = X @ c, d.conj().T @ X
    u, v = c - A @ k, d.conj().T - h @ A
    beta = (1 + d.conj().T @ k).item()
    small = 1e-8
    in_range, in_rows = np.linalg.norm(u) < small, np.linalg.norm(v) < small
    invertible = abs(beta) > small

    def plus(x):
        return np.linalg.pinv(x)

    def square(x):
        return np.linalg.norm(x) ** 2

    if not in_range and not in_rows:
        return X - k @ plus(u) - plus(v) @ h + beta * plus(v) @ plus(u), 1
    if in_range and not in_rows and not invertible:
        return X - k @ plus(k) @ X - plus(v) @ h, 2
    if in_range and invertible:
        sigma = square(k) * square(v) + abs(beta) ** 2
        p = -(square(k) / beta.conjugate() * v.conj().T + k)
        q = -(square(v) / beta.conjugate() * k.conj().T @ X + h)
        return X + v.conj().T @ k.conj().T @ X / beta.conjugate() - beta.conjugate() / sigma * p @ q, 3
    if not in_range and not invertible:
        return X - X @ plus(h) @ h - k @ plus(u), 4
    if not in_range:
        sigma = square(h) * square(u) + abs(beta) ** 2
        p = -(square(u) / beta.conjugate() * X @ h.conj().T + k)
        q = -(square(h) / beta.conjugate() * u.conj().T + h)
        return X + X @ h.conj().T @ u.conj().T / beta.conjugate() - beta.conjugate() / sigma * p @ q, 5
    return X - k @ plus(k) @ X - X @ plus(h) @ h + (plus(k) @ X @ plus(h)).item() * k @ h, 6


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_six_cases_of_meyer(dtype):
    rng = np.random.default_rng(0)
    seen = []
    for c_inside in (False, True):
        for d_inside in (False, True):
            for singular in (False, True):
                A = with_spectrum(rng, 12, 9, np.linspace(1, 2, 5), dtype)
                c, d = draw(rng, dtype, 12), draw(rng, dtype, 9)
                c = A @ draw(rng, dtype, 9) if c_inside else c
                d = A.conj().T @ draw(rng, dtype, 12) if d_inside else d
                if singular and (c_inside or d_inside):
                    c = -c / (d.conj() @ np.linalg.pinv(A, rcond=1e-10) @ c)
                expected, case = meyer(A, c, d)
                seen.append(case)
                F = pinv_factor(A, rtol=1e-10).update(c, d)
                assert F.rank == 5 + {1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: -1}[case]
                np.testing.assert_allclose(F.toarray(), expected, atol=1e-9 * np.linalg.norm(expected))
    assert set(seen) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-11])
def test_near_a_change_of_rank_the_update_is_as_good_as_recomputing(distance):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 40, 20, np.linspace(1, 2, 10))
    inside = A @ rng.standard_normal(20)
    c = inside + distance * rng.standard_normal(40)
    d = rng.standard_normal(20)
    F = pinv_factor(A).update(c, d).update(-inside, d)
    changed = A + np.outer(c, d) - np.outer(inside, d)
    exact = np.linalg.pinv(changed, rcond=1e-13)
    assert F.rank == 11
    assert np.linalg.norm(F.toarray() - exact, 2) < 1e4 * EPS / distance * np.linalg.norm(exact, 2)


def test_nothing_to_do_returns_the_factor_itself():
    F = pinv_factor(np.eye(4, 3))
    assert F.update(np.zeros((4, 0)), np.zeros((3, 0))) is F
    assert F.append_rows(np.zeros((0, 3))) is F
    assert F.delete_rows([]) is F
    G = F.update(np.zeros(4), np.zeros(3))
    np.testing.assert_allclose(G.toarray(), F.toarray(), atol=1e-15)


def test_a_complex_change_of_a_real_factor_is_complex_and_the_precision_is_kept():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 12, 8, np.ones(8), "float32")
    F = pinv_factor(A).update(draw(rng, "complex128", 12), draw(rng, "float64", 8))
    assert F.U.dtype == F.Vt.dtype == "complex64"
    assert F.s.dtype == "float32"
    G = pinv_factor(A).append_rows(draw(rng, "complex64", 8)).delete_columns([0, 1])
    assert G.toarray().dtype == "complex64"
    assert pinv_factor(A).append_rows(np.ones(8, dtype=int)).U.dtype == "float32"
    with pytest.raises(OverflowError, match="rows must have entries in the range of float32"):
        pinv_factor(A).append_rows(np.full(8, 1e200))


def test_changes_modify_neither_the_factor_nor_their_arguments():
    rng = np.random.default_rng(0)
    F = pinv_factor(rng.standard_normal((9, 6)))
    arguments = [rng.standard_normal((9, 2)), rng.standard_normal((6, 2))]
    before = [x.tobytes() for x in (F.U, F.s, F.Vt, *arguments)]
    F.update(*arguments)
    F.append_columns(arguments[0])
    F.append_rows(arguments[1].T)
    F.delete_rows([1, 2])
    assert [x.tobytes() for x in (F.U, F.s, F.Vt, *arguments)] == before


def test_the_result_is_made_of_plain_fields():
    F = pinv_factor(np.eye(3), atol=1e-3).append_rows(np.ones(3))
    assert isinstance(F, PinvFactor)
    for name in F.__dataclass_fields__:
        assert isinstance(getattr(F, name), (np.ndarray, float, str, type(None))), name
    assert F.error_kind == "rigorous"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda F: F.update(np.ones((4, 2)), np.ones((3, 1))), ValueError, "C and D must have as many columns"),
        (lambda F: F.update(np.ones(3), np.ones(3)), ValueError, r"C must have shape \(4, any\), got \(3,\)"),
        (lambda F: F.update(np.ones(4), [np.nan, 0, 0]), ValueError, "D must be finite"),
        (lambda F: F.append_rows(np.ones((2, 4))), ValueError, r"rows must have shape \(any, 3\)"),
        (lambda F: F.append_columns(np.ones((1, 1, 4))), ValueError, "columns must have shape"),
        (lambda F: F.append_rows("rows"), TypeError, "rows must be an array"),
        (lambda F: F.delete_rows(4), ValueError, r"indices must be in -4..3, got 4..4"),
        (lambda F: F.delete_columns([0, 1, 2]), ValueError, "indices must leave something"),
        (lambda F: F.delete_rows([0.5]), TypeError, "indices must be ints"),
        (lambda F: F.delete_rows([True, False, False, True]), TypeError, "indices must be ints"),
        (lambda F: F.delete_rows([[0]]), ValueError, "indices must be one int or a sequence"),
        (
            lambda F: F.update(np.full(4, 1e200), np.full(3, 1e200)),
            OverflowError,
            "the changed matrix must have a norm",
        ),
        (lambda F: F.delete_rows([1, 2, 3]).delete_columns([1, 2]).update([-1 + 1e-16], [1.0]), None, ""),
    ],
)
def test_bad_changes_are_named(change, error, message):
    F = pinv_factor(np.eye(4, 3))
    if error is None:
        assert change(F).rank == 0
    else:
        with pytest.raises(error, match=message):
            change(F)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3),), "A must have at least 2 dimensions"),
        ((np.ones((2, 3, 4)),), "A must be a nonempty matrix"),
        ((np.ones((0, 3)),), "A must be a nonempty matrix"),
        ((np.full((2, 2), np.nan),), "A must be finite"),
    ],
)
def test_bad_matrices_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        pinv_factor(*arguments)
    with pytest.raises(ValueError, match="rtol must be finite and not negative"):
        pinv_factor(np.eye(2), rtol=-1.0)


def test_a_pseudo_inverse_beyond_the_range_is_an_error():
    with pytest.raises(OverflowError, match="A must not be so small"):
        pinv_factor(np.diag([1e-310, 1e-311]), rtol=0.0)
