"""Least squares without the pseudo-inverse: accuracy beside LAPACK, rank decisions, gradients, every path."""

import mpmath
import numpy as np
import pytest

from lina.linalg import pinv, solve_left, solve_right
from tests.linalg.matrices import SPECTRA, hilbert, kahan, wilkinson, with_spectrum

EPS = np.finfo(float).eps


def draw(rng, dtype, *shape):
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def exact(A, M):
    """Return the least-squares solution of full rank in 60 digits, rounded to double precision."""
    with mpmath.workdps(60):
        T, B = mpmath.matrix(A.tolist()), mpmath.matrix(M.tolist())
        tall = A.shape[0] >= A.shape[1]
        X = mpmath.inverse(T.H * T) * (T.H * B) if tall else T.H * (mpmath.inverse(T * T.H) * B)
        dtype = complex if np.iscomplexobj(A) or np.iscomplexobj(M) else float
        return np.array([[dtype(X[i, j]) for j in range(X.cols)] for i in range(X.rows)])


def sensitivity(A, M, X):
    """Return Wedin's bound of norm(dX) / norm(X) for a relative change of A and M by 1."""
    s = np.linalg.svd(A, compute_uv=False)
    condition = s[0] / s[-1]
    residual = np.linalg.norm(A @ X - M)
    size = s[0] * np.linalg.norm(X)
    return condition * (2 + np.linalg.norm(M) / size) + condition**2 * residual / size


def refined(A, M):
    """Return the solution of full rank by refinement with long residuals: 60 digits would take seconds."""
    L = np.longdouble
    X = np.zeros((A.shape[1], M.shape[1]), dtype=L)
    R = np.zeros(M.shape, dtype=L)
    tall = A.shape[0] >= A.shape[1]
    Y = np.linalg.pinv(A, rcond=1e-15)
    for _ in range(40):
        if tall:  # the augmented system R + A X = M, A^T R = 0
            f, g = M - R - A.astype(L) @ X, -(A.T.astype(L) @ R)
            h = Y.T @ g.astype(float)
            X = X + Y @ (f.astype(float) - h)
            R = R + f.astype(float) - A @ (Y @ (f.astype(float) - h))
        else:  # X = A^T Z
            R = R + Y.T @ (Y @ (M - A.astype(L) @ (A.T.astype(L) @ R)).astype(float))
            X = A.T.astype(L) @ R
    return X.astype(float)


@pytest.mark.parametrize("condition", [3, 1e2, 1e4, 1e6, 3e7, 1e9, 1e11])
@pytest.mark.parametrize("residual", [0.0, 1e-4, 1.0])
@pytest.mark.parametrize("shape", [(90, 50), (50, 90), (70, 70)])
def test_the_accuracy_is_that_of_a_backward_stable_method(condition, residual, shape):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, *shape, np.geomspace(1, 1 / condition, min(shape)))
    M = A @ rng.standard_normal((shape[1], 2))
    M = M + residual * np.linalg.norm(M) / 10 * rng.standard_normal(M.shape)
    X, info = solve_left(A, M, return_info=True)
    s = np.linalg.svd(A, compute_uv=False)
    true = refined(A, M)
    assert np.linalg.norm(X - true) <= 10 * EPS * sensitivity(A, M, true) * np.linalg.norm(true)
    assert info.rank == min(shape)
    assert s[0] / s[-1] * (1 - 1e-6) <= info.condition
    assert info.optimality < 10 * EPS
    assert info.residual == pytest.approx(np.linalg.norm(A @ X - M), rel=1e-6, abs=1e-13 * np.linalg.norm(M))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (8, 8), (1, 5), (5, 1)])
def test_small_problems_agree_with_sixty_digits(shape, dtype):
    rng = np.random.default_rng(1)
    A, M = with_spectrum(rng, *shape, np.geomspace(1, 0.1, min(shape)), dtype), draw(rng, dtype, shape[0], 3)
    wide = np.result_type(dtype, float)
    X, true = solve_left(A, M), exact(A.astype(wide), M.astype(wide))
    assert X.dtype == dtype
    bound = 10 * np.finfo(dtype).eps * sensitivity(A.astype(wide), M.astype(wide), true)
    assert np.linalg.norm(X - true) <= bound * np.linalg.norm(true)
    if dtype == "float64":
        np.testing.assert_allclose(refined(A, M), true, rtol=0, atol=1e-14 * np.abs(true).max())


def test_the_path_follows_the_condition():
    taken = {}
    for condition in (5, 1e4, 1e7, 1e11, 1e14):
        A = with_spectrum(np.random.default_rng(0), 200, 50, np.geomspace(1, 1 / condition, 50))
        for M in (A, A.T):
            taken.setdefault(condition, set()).add(solve_left(M, np.ones(M.shape[0]), return_info=True)[1].method)
    assert taken == {5: {"gram"}, 1e4: {"gram"}, 1e7: {"cholqr2"}, 1e11: {"qr"}, 1e14: {"svd"}}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("shape", [(200, 60), (60, 200), (70, 60), (60, 60)])
def test_both_problems_have_the_solutions_that_the_pseudo_inverse_gives(spectrum, shape):
    rng = np.random.default_rng(2)
    A = with_spectrum(rng, *shape, SPECTRA[spectrum](60))
    X, facts = pinv(A, method="svd", return_info=True)
    M, N = rng.standard_normal((shape[0], 4)), rng.standard_normal((4, shape[1]))
    left, info = solve_left(A, M, return_info=True)
    right, other = solve_right(A, N, return_info=True)
    near = 100 * EPS * facts.condition**2
    assert np.linalg.norm(left - X @ M) <= near * np.linalg.norm(X, 2) * np.linalg.norm(M)
    assert np.linalg.norm(right - N @ X) <= near * np.linalg.norm(X, 2) * np.linalg.norm(N)
    assert info.rank == other.rank == facts.rank
    assert facts.condition * (1 - 1e-6) <= info.condition
    assert max(info.optimality, other.optimality) < 20 * EPS
    assert other.residual == pytest.approx(np.linalg.norm(right @ A - N), abs=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-17, 1e-13, 1e-10, 1e-5])
@pytest.mark.parametrize("shape", [(600, 300), (300, 600), (320, 300)])
def test_a_rank_far_below_both_sides_is_decided_as_the_svd_decides_it(noise, shape):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, *shape, np.geomspace(1, 1e-3, 60)) + noise * rng.standard_normal(shape)
    M = rng.standard_normal((shape[0], 2))
    X, info = solve_left(A, M, return_info=True)
    s = np.linalg.svd(A, compute_uv=False)
    assert info.rank == np.sum(s > max(shape) * EPS * s[0])
    expected = np.linalg.pinv(A, rcond=max(shape) * EPS) @ M
    near = 100 * EPS * (s[0] / s[info.rank - 1]) ** 2
    assert np.linalg.norm(X - expected) <= near * np.linalg.norm(M) / s[0]
    assert info.optimality < 20 * EPS
    assert info.method == "cod" if noise == 0.0 else info.method in ("cod", "gram", "cholqr2", "qr", "svd")
    assert info.gap > 2 or noise > 0.0


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.1, 3.0])
@pytest.mark.parametrize("shape", [(120, 60), (60, 120), (100, 60)])
def test_the_rank_is_that_of_the_svd_however_near_the_cutoff(factor, shape):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cutoff = max(shape) * EPS
        s = np.r_[np.geomspace(1, 1e-3, 30), np.full(30, factor * cutoff)]
        A = with_spectrum(rng, *shape, s)
        found = np.linalg.svd(A, compute_uv=False)
        info = solve_left(A, np.ones(shape[0]), return_info=True)[1]
        assert info.rank == np.sum(found > cutoff * found[0])
        assert info.method == "svd"


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(90, 60), (60, 90)])
def test_the_gradient_of_the_article_is_the_derivative_and_vanishes_at_the_solution(shape, dtype):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, *shape, np.geomspace(1, 0.1, min(shape)), dtype)
    M, N = draw(rng, dtype, shape[0], 2), draw(rng, dtype, 2, shape[1])

    def left_gradient(X):
        return 2 * A.conj().T @ (A @ X - M)

    def right_gradient(X):
        return 2 * (X @ A - N) @ A.conj().T

    cases = [
        (solve_left(A, M), left_gradient, lambda X: np.linalg.norm(A @ X - M) ** 2),
        (solve_right(A, N), right_gradient, lambda X: np.linalg.norm(X @ A - N) ** 2),
    ]
    for X, gradient, objective in cases:
        Y, direction = X + draw(rng, dtype, *X.shape), draw(rng, dtype, *X.shape)
        slope = (objective(Y + 1e-6 * direction) - objective(Y - 1e-6 * direction)) / 2e-6
        assert slope == pytest.approx(np.vdot(gradient(Y), direction).real, rel=1e-6)
        assert np.linalg.norm(gradient(X)) < 1e-12 * np.linalg.norm(gradient(Y))
        assert all(objective(X) <= objective(X + 1e-3 * draw(rng, dtype, *X.shape)) + 1e-13 for _ in range(10))


@pytest.mark.parametrize("method_of", ["clean", "noisy"])
def test_the_solution_has_the_least_norm(method_of):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 80, 60, np.geomspace(1, 0.1, 20))
    A = A + (1e-16 * rng.standard_normal(A.shape) if method_of == "noisy" else 0)
    x = solve_left(A, rng.standard_normal(80))
    V = np.linalg.svd(A)[2][20:]
    assert np.linalg.norm(V @ x) < 1e-12 * np.linalg.norm(x)


def test_named_matrices():
    for A in (hilbert(80), kahan(80), wilkinson(80), np.zeros((80, 60)), np.eye(80, 70), np.diag([1.0, 0.0, 3.0])):
        M = A @ np.ones(A.shape[1])
        x, info = solve_left(A, M, return_info=True)
        assert np.linalg.norm(A @ x - M) <= 1e4 * EPS * np.linalg.norm(A) * (np.linalg.norm(x) + A.shape[1] ** 0.5)
        assert info.rank == pinv(A, method="svd", return_info=True)[1].rank
        assert info.residual == pytest.approx(np.linalg.norm(A @ x - M), abs=1e-11)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_generic_body_takes_the_same_paths_as_the_rows_of_numpy(dtype):
    strict = pytest.importorskip("array_api_strict", reason="NOT TESTED: the generic body, without array_api_strict")
    rng = np.random.default_rng(0)
    spectra = {
        "cod": np.geomspace(1, 0.1, 30),
        "gram": np.geomspace(1, 1e-3, 260),
        "cholqr2": np.geomspace(1, 1e-7, 260),
        "qr": np.geomspace(1, 1e-10, 260),
        "svd": np.r_[np.ones(250), np.full(10, 3e-14)],
    }
    for method, s in spectra.items():
        A = with_spectrum(rng, 300, 260, s, dtype)
        for M in (A, A.conj().T.copy()):
            b = M @ draw(rng, dtype, M.shape[1], 1)
            X, info = solve_left(M, b, return_info=True)
            Y, facts = solve_left(strict.asarray(M), strict.asarray(b), return_info=True)
            assert info.method == facts.method == method
            assert info.rank == facts.rank
            near = 100 * EPS * s[0] / s[info.rank - 1] * np.linalg.norm(X)
            assert np.linalg.norm(np.from_dlpack(Y) - X) < near


def test_tolerances_are_those_of_pinv():
    A = np.diag([1.0, 1e-2, 1e-4, 1e-6])
    given = [(1e-5, 0), (0, 1e-3), (1e-3, 0.1), (0, 0), (None, 1e-5), (None, None)]
    ranks = [solve_left(A, np.ones(4), rtol=r, atol=a, return_info=True)[1].rank for r, a in given]
    assert ranks == [3, 2, 1, 4, 3, 4]
    x = solve_left(A, np.ones(4), atol=1e-3)
    np.testing.assert_allclose(x, [1, 1e2, 0, 0], atol=1e-12)
    info = solve_left(A, np.ones(4), atol=0.1, return_info=True)[1]
    assert info.optimality > 1e-4  # what the cutoff leaves out shows


def test_the_precision_of_the_matrix_decides_its_rank_and_the_wider_dtype_the_answer():
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((200, 20)) @ rng.standard_normal((20, 100))).astype("float32")
    x, info = solve_left(A, rng.standard_normal(200), return_info=True)
    assert (x.dtype, info.rank) == ("float64", 20)
    assert solve_left(np.eye(3), 1j * np.ones(3)).dtype == "complex128"
    assert solve_right(1j * np.eye(3), np.ones((2, 3))).dtype == "complex128"


def test_vectors_and_stacks_have_the_shapes_of_matrix_products():
    rng = np.random.default_rng(0)
    A, X = rng.standard_normal((2, 7, 4)), np.linalg.pinv
    shapes = {(7,): (2, 4), (7, 3): (2, 4, 3), (2, 7, 3): (2, 4, 3), (5, 1, 7, 3): (5, 2, 4, 3)}
    for shape, wanted in shapes.items():
        M = rng.standard_normal(shape)
        found, info = solve_left(A, M, return_info=True)
        assert found.shape == wanted
        assert info.rank.shape == info.residual.shape == info.method.shape == wanted[: len(wanted) - min(len(shape), 2)]
        np.testing.assert_allclose(found, X(A) @ M, atol=1e-13)
    one = A[0]
    for shape, wanted in {(7,): (4,), (7, 3): (4, 3), (5, 7, 3): (5, 4, 3), (5, 6, 7, 3): (5, 6, 4, 3)}.items():
        M = rng.standard_normal(shape)
        assert solve_left(one, M).shape == wanted
        np.testing.assert_allclose(solve_left(one, M), X(one) @ M, atol=1e-13)
    for shape, wanted in {(4,): (7,), (3, 4): (3, 7), (5, 3, 4): (5, 3, 7)}.items():
        N = rng.standard_normal(shape)
        assert solve_right(one, N).shape == wanted
        np.testing.assert_allclose(solve_right(one, N), N @ X(one), atol=1e-13)
    np.testing.assert_allclose(solve_right(A, np.ones(4)), np.ones(4) @ X(A), atol=1e-13)


def test_right_hand_sides_of_very_different_size_are_all_solved():
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 90, 50, np.geomspace(1, 1e-5, 50))
    M = A @ rng.standard_normal((50, 3)) * [1e-12, 1.0, 1e12] + 0.0
    X = solve_left(A, M)
    for j in range(3):
        alone = refined(A, M[:, j : j + 1])
        bound = 10 * EPS * sensitivity(A, M[:, j : j + 1], alone)
        assert np.linalg.norm(X[:, j : j + 1] - alone) <= bound * np.linalg.norm(alone)
    assert np.all(solve_left(A, np.zeros((90, 2))) == 0)


@pytest.mark.parametrize(("scale", "scale_M"), [(1e-290, 1e-290), (1e150, 1e-150), (1e-150, 1e100), (1e290, 1e300)])
@pytest.mark.parametrize("shape", [(90, 50), (50, 90), (8, 5)])
def test_extreme_scales_lose_no_digits(scale, scale_M, shape):
    rng = np.random.default_rng(0)
    A, M = with_spectrum(rng, *shape, np.geomspace(1, 1e-3, min(shape))), rng.standard_normal((shape[0], 2))
    X, info = solve_left(A * scale, M * scale_M, return_info=True)
    expected, facts = solve_left(A, M, return_info=True)
    np.testing.assert_allclose(X * (scale / scale_M), expected, atol=1e-8 * np.abs(expected).max())
    assert info.residual / scale_M == pytest.approx(facts.residual, abs=1e-12)
    assert info.optimality < 10 * EPS


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
def test_empty_matrices_have_empty_or_zero_solutions(shape):
    X, info = solve_left(np.empty(shape), np.ones((*shape[:-1], 2)), return_info=True)
    assert X.shape == (*shape[:-2], shape[-1], 2)
    assert np.all(np.asarray(info.rank) == 0)
    np.testing.assert_allclose(info.residual, (2 * shape[-2]) ** 0.5)
    assert solve_left(np.ones((80, 60)), np.ones((80, 0))).shape == (60, 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: solve_left(np.eye(3), np.ones(2)), ValueError, r"A and M must have as many rows, got shapes \(3, 3\)"),
        (lambda: solve_right(np.eye(3), np.ones((2, 2))), ValueError, "A and M must have as many columns"),
        (lambda: solve_left(np.ones(3), np.ones(3)), ValueError, "A must have at least 2 dimensions"),
        (lambda: solve_left(np.eye(3), 1.0), ValueError, "M must have at least 1 dimensions"),
        (lambda: solve_left(np.eye(3), [1, np.nan, 1]), ValueError, "M must be finite"),
        (lambda: solve_left(np.full((3, 3), np.inf), np.ones(3)), ValueError, "A must be finite"),
        (lambda: solve_left(np.eye(3), np.ones(3), rtol=-1), ValueError, "rtol must be finite and not negative"),
        (lambda: solve_left(np.ones((2, 3, 3)), np.ones((4, 3, 1))), ValueError, "A and M must fit together"),
        (lambda: solve_left(np.eye(3), "M"), TypeError, "M must be an array"),
        (lambda: solve_left(1e-200 * np.eye(3), 1e200 * np.ones(3)), OverflowError, "so large, that the solution"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
