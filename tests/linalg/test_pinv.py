"""The pseudo-inverse: identities, accuracy against 50 digits, and rank decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina._numba import pinv_small as kernel_module
from lina.linalg import pinv
from tests.linalg.matrices import hilbert, wilkinson, with_spectrum
from tests.reference.pinv import full_rank_pinv

PATHS = ["auto", "svd", "gram", "lu", "cod", "qr"]
EPS = np.finfo(float).eps


def penrose(A, X):
    """Return the largest residual of Penrose's four identities over eps * condition."""
    norm, inverse_norm = np.linalg.norm(A, 2), np.linalg.norm(X, 2)
    AX, XA = A @ X, X @ A
    residuals = [
        np.linalg.norm(AX @ A - A, 2) / norm,
        np.linalg.norm(XA @ X - X, 2) / inverse_norm,
        np.linalg.norm(AX - AX.conj().T, 2),
        np.linalg.norm(XA - XA.conj().T, 2),
    ]
    return max(residuals) / (np.finfo(A.dtype).eps * norm * inverse_norm * np.sqrt(max(A.shape)))


@pytest.mark.parametrize("method", PATHS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("m", "n", "rank"), [(80, 60, 60), (60, 80, 60), (70, 70, 70), (90, 60, 11), (70, 70, 9)])
def test_every_path_satisfies_the_identities_of_penrose(method, dtype, m, n, rank):
    A = with_spectrum(np.random.default_rng(m + rank), m, n, np.geomspace(1, 0.01, rank), dtype)
    X, info = pinv(A, method=method, return_info=True)
    assert penrose(A, X) < 5
    assert info.rank == rank
    assert info.condition >= 100 * (1 - 1e-3)


@pytest.mark.parametrize("condition", [1e1, 1e3, 1e5, 1e7, 1e9])
@pytest.mark.parametrize("method", ["auto", "gram", "qr"])
@pytest.mark.parametrize("shape", [(90, 50), (50, 90)])
def test_the_error_grows_no_faster_than_the_condition(condition, method, shape):
    A = with_spectrum(np.random.default_rng(0), *shape, np.geomspace(1, 1 / condition, 50))
    tall = A if shape[0] > shape[1] else A.T
    exact = full_rank_pinv(tall)
    X = pinv(A, method=method)
    error = np.linalg.norm((X if shape[0] > shape[1] else X.T) - exact) / np.linalg.norm(exact)
    assert error < 20 * condition * EPS


def test_the_path_follows_the_condition():
    taken = {}
    for condition in (5, 1e4, 1e12):
        A = with_spectrum(np.random.default_rng(0), 200, 50, np.geomspace(1, 1 / condition, 50))
        taken[condition] = pinv(A, return_info=True)[1].method
    assert taken == {5: "gram", 1e4: "cholqr2", 1e12: "qr"}


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.1, 3.0])
def test_the_rank_is_that_of_the_svd_however_near_the_cutoff(factor):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        cutoff = 120 * EPS
        A = with_spectrum(rng, 120, 60, np.r_[np.geomspace(1, 1e-3, 30), np.full(30, factor * cutoff)])
        s = np.linalg.svd(A, compute_uv=False)
        assert pinv(A, return_info=True)[1].rank == np.sum(s > cutoff * s[0])


@pytest.mark.parametrize("noise", [0.0, 1e-17, 1e-13, 1e-10, 1e-8, 1e-5])
def test_a_low_rank_with_noise_is_decided_as_the_svd_decides_it(noise):
    rng = np.random.default_rng(0)
    A = with_spectrum(rng, 700, 300, np.geomspace(1, 0.1, 60)) + noise * rng.standard_normal((700, 300))
    X, info = pinv(A, return_info=True)
    s = np.linalg.svd(A, compute_uv=False)
    assert info.rank == np.sum(s > 700 * EPS * s[0])
    expected = np.linalg.pinv(A, rcond=700 * EPS)
    smallest = s[info.rank - 1]
    assert np.linalg.norm(X - expected) / np.linalg.norm(expected) < 50 * EPS * s[0] / smallest
    assert info.method == ("cod" if noise < 1e-16 else info.method)


def test_a_clean_low_rank_takes_the_orthogonal_decomposition():
    A = with_spectrum(np.random.default_rng(0), 700, 300, np.geomspace(1, 0.1, 60))
    info = pinv(A, return_info=True)[1]
    assert (info.method, info.rank) == ("cod", 60)
    assert info.gap > 2


def test_element_growth_of_lu_is_noticed():
    A = wilkinson(200) / 3
    assert np.linalg.norm(A @ np.linalg.inv(A) - np.eye(200)) > 1e6
    methods = []
    for M in (A, A.T.copy()):  # which of the two grows depends on the orientation in which LAPACK reads it
        X, info = pinv(M, return_info=True)
        assert np.linalg.norm(M @ X - np.eye(200)) < 1e-10
        methods.append(info.method)
    assert sorted(methods) == ["lu", "svd"]


def test_hilberts_matrix_gets_the_rank_of_its_singular_values():
    A = hilbert(100)
    s = np.linalg.svd(A, compute_uv=False)
    assert pinv(A, return_info=True)[1].rank == np.sum(s > 100 * EPS * s[0])
    assert np.linalg.norm(pinv(A.astype(np.float32)), 2) < 1e7  # a cutoff blind to the dtype gives 1e14 and more


def test_the_default_cutoff_knows_the_dtype():
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((200, 20)) @ rng.standard_normal((20, 100))).astype(np.float32)
    X, info = pinv(A, return_info=True)
    assert info.rank == 20
    assert np.linalg.norm(X, 2) < 1


def test_atol_and_rtol_are_combined_by_their_maximum():
    A = np.diag([1.0, 1e-2, 1e-4, 1e-6])
    ranks = [pinv(A, rtol=r, atol=a, return_info=True)[1].rank for r, a in [(1e-5, 0), (0, 1e-3), (1e-3, 0.1), (0, 0)]]
    assert ranks == [3, 2, 1, 4]
    assert pinv(A, atol=1e-5, return_info=True)[1].rank == 3


def test_the_gap_tells_how_near_the_decision_was():
    s = np.array([1.0, 0.5, 3e-6, 1e-9])
    A = with_spectrum(np.random.default_rng(0), 90, 60, s)
    info = pinv(A, rtol=1e-6, return_info=True)[1]
    assert info.rank == 3
    assert info.gap == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_hermitian_matrices_use_their_lower_half(dtype):
    rng = np.random.default_rng(0)
    V = np.linalg.qr(with_spectrum(rng, 40, 40, np.ones(40), dtype))[0]
    A = (V * np.r_[np.linspace(-2, -1, 20), np.zeros(10), np.linspace(1, 3, 10)]) @ V.conj().T
    X, info = pinv(np.tril(A) + np.triu(np.full_like(A, 7.0), 1), hermitian=True, return_info=True)
    np.testing.assert_allclose(X, np.linalg.pinv(A, rcond=1e-12), atol=1e-12)
    assert (info.rank, info.method) == (30, "eigh")


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_a_batch_of_mixed_ranks_agrees_with_one_by_one(dtype):
    rng = np.random.default_rng(0)
    A = np.stack([with_spectrum(rng, 12, 6, np.r_[np.ones(r), np.zeros(6 - r)], dtype) for r in [6, 3, 1, 6] * 700])
    A[::5] *= np.float32(1e-12)
    A[7] = 0
    X, info = pinv(A, return_info=True)
    for i in range(40):
        one, facts = pinv(A[i], method="svd", return_info=True)
        assert np.linalg.norm(X[i] - one) <= 200 * np.finfo(dtype).eps * np.linalg.norm(one)
        assert facts.rank == info.rank[i]
    assert set(info.method) == {"mgs2", "svd"}


def test_a_batch_keeps_its_shape_and_large_matrices_go_one_by_one():
    A = np.random.default_rng(0).standard_normal((2, 3, 90, 60))
    X, info = pinv(A, return_info=True)
    assert X.shape == (2, 3, 60, 90)
    assert info.rank.shape == info.condition.shape == info.gap.shape == info.method.shape == (2, 3)
    np.testing.assert_allclose(X, np.linalg.pinv(A), atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3), (0, 4, 3)])
def test_empty_matrices_have_empty_pseudo_inverses(shape):
    X, info = pinv(np.empty(shape), return_info=True)
    assert X.shape == (*shape[:-2], shape[-1], shape[-2])
    assert np.all(np.asarray(info.rank) == 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rtol": -1.0}, "rtol must be finite and not negative"),
        ({"atol": np.nan}, "atol must be finite"),
        ({"method": "fast"}, "method must be one of"),
        ({"hermitian": True}, "A must be square"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        pinv(np.ones((3, 2)), **arguments)


@given(
    m=st.integers(1, 12),
    n=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["f4", "f8", "c16"]),
)
def test_the_compiled_kernel_equals_its_interpreted_functions(m, n, seed, dtype):
    m = max(m, n)
    rng = np.random.default_rng(seed)
    A = rng.integers(-3, 4, (3, m, n)).astype(dtype)
    X, condition = kernel_module.pinv_small(A)
    expected = interpreted_kernel(A)
    sound = condition < 1e3
    np.testing.assert_array_equal(np.isinf(condition), np.isinf(expected[1]))
    np.testing.assert_allclose(X[sound], expected[0][sound], rtol=0, atol=1e5 * np.finfo(dtype).eps)


def interpreted_kernel(A):
    """Run the kernel of the module with every function interpreted."""
    names = [n for n, f in vars(kernel_module).items() if hasattr(f, "py_func")]
    compiled = {n: getattr(kernel_module, n) for n in names}
    try:
        for n in names:
            setattr(kernel_module, n, compiled[n].py_func)
        with np.errstate(all="ignore"):
            return kernel_module.pinv_small(A)
    finally:
        for n in names:
            setattr(kernel_module, n, compiled[n])
