"""CUR: its own rows and columns, the textbook cores, the bounds of the literature, and what completion can know."""

import numpy as np
import pytest
import scipy.linalg

from lina.linalg import cur, cur_completion
from lina.linalg._cur.public import METHODS
from tests.linalg.matrices import SPECTRA, hilbert, kahan, with_spectrum

EPS = np.finfo(float).eps
CORES = ["stable", "projection", "intersection"]
HARD = {"kahan": kahan(60), "hilbert": hilbert(40), "vandermonde": np.vander(np.linspace(0, 1, 40))}


def textbook(A, F, core):
    """Return C @ core @ R with the pseudo-inverses formed."""
    C, R = A[:, F.cols], A[F.rows]
    pinv = np.linalg.pinv
    return C @ (pinv(A[np.ix_(F.rows, F.cols)]) if core == "intersection" else pinv(C) @ A @ pinv(R)) @ R


def left_over(A, basis_of):
    """Return what the projection on a range leaves of ``A``."""
    Q = np.linalg.qr(basis_of)[0]
    return np.linalg.norm(A - Q @ (Q.conj().T @ A))


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_the_certificates_are_true_and_rows_and_columns_are_those_of_the_matrix(spectrum, core, dtype):
    for seed, k in ((0, 12), (1, (9, 14)), (2, (14, 9))):
        A = with_spectrum(np.random.default_rng(seed), 100, 80, SPECTRA[spectrum](80), dtype)
        F = cur(A, k, core=core, rng=seed)
        np.testing.assert_array_equal(F.C, A[:, F.cols])
        np.testing.assert_array_equal(F.R, A[F.rows])
        assert (len(set(F.rows.tolist())), len(set(F.cols.tolist()))) == ((k, k) if isinstance(k, int) else k)
        wide = np.complex128 if dtype == "complex64" else float
        operator = F.left.astype(wide) @ F.right.astype(wide)
        true = np.linalg.norm(A - operator)
        floor = 80 * np.finfo(dtype).eps * np.linalg.norm(A)
        assert true <= F.error <= 30 * true + floor
        assert np.linalg.norm(F.C @ F.core @ F.R - operator) <= F.core_error
        assert F.error_kind == "rigorous"


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("k", [10, (8, 12), (12, 8)])
def test_the_cores_are_those_of_the_textbook(core, dtype, k):
    A = with_spectrum(np.random.default_rng(0), 60, 50, np.exp(-np.arange(50) / 6.0), dtype)
    F = cur(A, k, core=core, rng=0)
    expected = textbook(A, F, core)
    tolerance = 100 * EPS * np.linalg.norm(F.C) * np.linalg.norm(F.core) * np.linalg.norm(F.R)
    np.testing.assert_allclose(F.toarray(), expected, atol=tolerance)
    np.testing.assert_allclose(F.C @ F.core @ F.R, expected, atol=tolerance)
    assert F.condition == pytest.approx(np.linalg.cond(A[np.ix_(F.rows, F.cols)]))


@pytest.mark.parametrize("seed", range(5))
def test_stable_has_the_error_of_the_projection_and_no_core_is_better(seed):
    rng = np.random.default_rng(seed)
    A = with_spectrum(rng, 80, 60, np.exp(-np.arange(60) / 8.0))
    F, G = cur(A, 10, rng=seed), cur(A, 10, core="projection", rng=seed)
    assert F.error == pytest.approx(G.error, rel=1e-9)
    assert F.error < cur(A, 10, core="intersection", rng=seed).error
    for _ in range(20):
        other = F.core + 1e-3 * np.linalg.norm(F.core) * rng.standard_normal((10, 10))
        assert np.linalg.norm(A - F.C @ other @ F.R) > F.error * (1 - 1e-9)


@pytest.mark.parametrize("spectrum", ["polynomial", "exponential", "step", "stairs", "one large"])
def test_the_errors_obey_the_bounds_of_sorensen_and_embree(spectrum):
    for seed in range(4):
        A = with_spectrum(np.random.default_rng(seed), 90, 70, SPECTRA[spectrum](70))
        F, G = (cur(A, 12, core=core, rng=seed) for core in ("stable", "intersection"))
        columns, rows = left_over(A, F.C), left_over(A.T, F.R.T)
        amplification = np.linalg.norm(np.linalg.inv(np.linalg.qr(F.C)[0][F.rows]), 2)
        assert max(columns, rows) <= F.error * (1 + 1e-9)
        assert F.error <= columns + rows
        assert G.error <= amplification * columns * (1 + 1e-9)
        assert amplification < 20


@pytest.mark.parametrize("spectrum", ["polynomial", "exponential", "stairs"])
def test_rows_after_columns_make_a_better_intersection_than_rows_on_their_own(spectrum):
    errors, conditions = [], []
    for seed in range(10):
        A = with_spectrum(np.random.default_rng(seed), 100, 80, SPECTRA[spectrum](80))
        F = cur(A, 15, method="cpqr", core="intersection")
        rows = scipy.linalg.qr(A.T, mode="r", pivoting=True)[1][:15]
        G = cur(A, rows=rows, cols=F.cols, core="intersection")
        errors.append(G.error / F.error)
        conditions.append(G.condition / F.condition)
    assert np.median(errors) > 1.5
    assert np.median(conditions) > 3


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("k", [7, 20, (9, 12), (12, 9)])
def test_it_is_exact_where_the_intersection_has_the_rank_of_the_matrix(core, k):
    A = with_spectrum(np.random.default_rng(3), 60, 50, np.geomspace(1, 0.1, 7))
    F = cur(A, k, core=core, rng=0)
    assert F.rank == 7
    assert np.linalg.norm(A - F.toarray()) <= F.error < 1e-12
    rows, cols = np.arange(20, 35), np.arange(5, 25)
    assert cur(A, rows=rows, cols=cols, core=core).error < 1e-11


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("k", [1, 20, 40])
def test_all_rows_and_columns_leave_rounding(core, k):
    A = np.random.default_rng(4).standard_normal((60, k))
    assert cur(A, k, core=core, rng=0).error < 1e-11 * np.linalg.norm(A)
    assert cur(A.T, k, core=core, rng=0).error < 1e-11 * np.linalg.norm(A)


def test_equal_rows_and_columns_of_a_psd_matrix_are_its_nystrom_approximation():
    A = with_spectrum(np.random.default_rng(5), 50, 50, np.ones(50), "complex128")
    A = (A * np.exp(-np.arange(50) / 5.0)) @ A.conj().T
    chosen = np.array([3, 30, 8, 21, 44])
    F = cur(A, rows=chosen, cols=chosen, core="intersection")
    C = A[:, chosen]
    np.testing.assert_allclose(F.toarray(), C @ np.linalg.solve(C[chosen], C.conj().T), atol=1e-12)
    assert np.linalg.eigvalsh(A - F.toarray()).min() > -1e-13


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [10, (14, 6)])
def test_every_rule_of_selection_serves(method, k):
    A = with_spectrum(np.random.default_rng(19), 70, 50, np.exp(-np.arange(50) / 4.0))
    F, G = (cur(A, k, method=method, rng=np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(F.cols, G.cols)
    np.testing.assert_array_equal(F.rows, G.rows)
    assert np.linalg.norm(A - F.toarray()) <= F.error < 0.7 * F.norm_A


def test_given_indices_are_kept_and_the_others_chosen():
    A = with_spectrum(np.random.default_rng(6), 40, 30, SPECTRA["polynomial"](30))
    mine = [5, 2, 11]
    assert cur(A, cols=mine, rng=0).cols.tolist() == mine
    assert cur(A, rows=mine, rng=0).rows.tolist() == mine
    assert len(cur(A, cols=mine, rng=0).rows) == 3
    for F in (cur(A, (8, 3), cols=mine, rng=0), cur(A, 8, cols=mine, rng=0)):
        assert F.cols.tolist() == mine
        assert len(set(F.rows.tolist())) == 8
    F = cur(A, (3, 8), rows=mine, rng=0)
    assert F.rows.tolist() == mine
    assert len(set(F.cols.tolist())) == 8
    assert F.error < cur(A, 3, rows=mine, rng=0).error


def test_rows_beyond_the_number_of_columns_come_from_what_the_first_leave():
    rng = np.random.default_rng(7)
    A = np.repeat(rng.standard_normal((6, 30)) * np.geomspace(100, 1, 6)[:, None], 5, axis=0)
    F = cur(A, (6, 2), cols=[0, 1], method="cpqr")
    assert sorted(F.rows // 5) == list(range(6))


@pytest.mark.parametrize("core", CORES)
def test_repeated_indices_add_nothing_and_spoil_nothing(core):
    A = with_spectrum(np.random.default_rng(8), 40, 30, SPECTRA["exponential"](30))
    once, twice = [1, 7, 20], [1, 7, 7, 20, 1]
    F, G = (cur(A, rows=each, cols=each, core=core) for each in (once, twice))
    assert (F.rank, G.rank) == (3, 3)
    np.testing.assert_allclose(G.toarray(), F.toarray(), atol=1e-12)


@pytest.mark.parametrize("core", CORES)
def test_zero_matrices_and_zero_columns_are_no_trouble(core):
    F = cur(np.zeros((6, 5)), 3, core=core, rng=0)
    assert (F.rank, F.error, F.condition, F.core_error) == (0, 0.0, 1.0, 0.0)
    assert not F.toarray().any()
    assert len(set(F.rows.tolist())) == len(set(F.cols.tolist())) == 3
    A = np.random.default_rng(9).standard_normal((30, 20))
    A[:, ::2] = 0
    F = cur(A, 20, core=core, rng=0)
    assert F.rank == 10
    assert F.error < 1e-12
    F = cur(A, cols=[0, 2], core=core, rng=0)
    assert F.rank == 0
    assert F.error == pytest.approx(np.linalg.norm(A))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("A", HARD.values(), ids=HARD)
def test_hard_matrices_get_true_certificates(core, A):
    for k in (5, len(A) - 1):
        F = cur(A, k, core=core, rng=0)
        assert np.linalg.norm(A - F.toarray()) <= F.error
        assert np.linalg.norm(F.C @ F.core @ F.R - F.toarray()) <= F.core_error
        if core == "stable" and k > 5 and A is not HARD["kahan"]:  # on which no pivoting finds the dependence
            assert F.error < 1e-12 * F.norm_A


def test_a_huge_row_is_among_those_chosen():
    A = np.random.default_rng(10).standard_normal((50, 40))
    A[17] *= 1e8
    F = cur(A, 5, rng=0)
    assert 17 in F.rows
    assert F.error < np.linalg.norm(np.delete(A, 17, axis=0))


def test_a_cutoff_at_the_noise_keeps_noise_out_of_the_core():
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        A = with_spectrum(rng, 80, 60, np.ones(5)) + 1e-6 * rng.standard_normal((80, 60))
        chosen = np.arange(12)
        cut = cur(A, rows=chosen, cols=chosen, core="intersection", rtol=1e-4)
        plain = cur(A, rows=chosen, cols=chosen, core="intersection")
        assert (cut.rank, plain.rank) == (5, 12)
        ratios.append(cut.error / plain.error)
    assert np.median(ratios) < 0.7


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "k must be given where neither rows nor cols are"),
        ({"k": 5}, ValueError, r"k must be in 1\.\.min\(m, n\) = 1\.\.4, got 5"),
        ({"k": (2, 5)}, ValueError, r"k\[1\] must be in 1"),
        ({"k": (2, 3, 1)}, ValueError, "k must be an int or a pair"),
        ({"k": 2.0}, TypeError, "k must be an int, got float"),
        ({"k": 3, "rows": [0, 1], "cols": [0, 1]}, ValueError, "rows must have as many entries as k says, 3, got 2"),
        ({"k": (2, 3), "cols": [0, 1]}, ValueError, "cols must have as many entries as k says, 3, got 2"),
        ({"rows": [0, 5]}, ValueError, r"rows must lie in 0\.\.4, got 0\.\.5"),
        ({"cols": [-1]}, ValueError, r"cols must lie in 0\.\.3"),
        ({"cols": []}, ValueError, "cols must be a nonempty sequence of ints"),
        ({"cols": [0.0, 1.0]}, ValueError, "cols must be a nonempty sequence of ints"),
        ({"cols": [True, False, True, True]}, ValueError, "cols must be a nonempty sequence of ints"),
        ({"k": 2, "method": "best"}, ValueError, "method must be one of"),
        ({"k": 2, "core": "best"}, ValueError, "core must be one of"),
        ({"k": 2, "rtol": -1}, ValueError, "rtol must be finite and not negative"),
        ({"k": 2, "rng": 1.5}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        cur(np.ones((5, 4)), **arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_completion_is_exact_where_the_intersection_has_the_rank_of_the_matrix(dtype):
    A = with_spectrum(np.random.default_rng(12), 60, 50, np.geomspace(1, 0.2, 4), dtype)
    rows, cols = np.array([50, 3, 20, 21, 40, 7]), np.array([0, 10, 33, 5, 49])
    F = cur_completion(A[:, cols], A[rows], rows, cols, rtol=100 * np.finfo(dtype).eps)
    assert F.rank == 4
    assert F.gap > 3
    assert F.shape == (60, 50)
    assert F.error_of(A) < 1e4 * np.finfo(dtype).eps * np.linalg.norm(A)
    assert F.seen_error < 1e4 * np.finfo(dtype).eps * np.linalg.norm(A)
    assert F.toarray().dtype == dtype


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_error_on_the_seen_entries_is_certified_and_no_other(spectrum):
    A = with_spectrum(np.random.default_rng(13), 60, 50, SPECTRA[spectrum](50))
    rows, cols = np.arange(9), np.arange(20, 31)
    F = cur_completion(A[:, cols], A[rows], rows, cols, rtol=0.3)
    difference = A - F.toarray()
    seen = np.hypot(np.linalg.norm(difference[:, cols]), np.linalg.norm(difference[rows]))
    assert seen <= F.seen_error <= seen + 1e-12 * np.linalg.norm(A)
    assert (F.error, F.error_kind) == (None, None)
    assert np.linalg.norm(F.C @ F.core @ F.R - F.toarray()) <= F.core_error
    s = np.linalg.svd(A[np.ix_(rows, cols)], compute_uv=False)
    assert F.rank == np.sum(s > 0.3 * s[0])
    assert F.condition == pytest.approx(s[0] / s[F.rank - 1])
    assert F.gap == pytest.approx(np.min(np.maximum(s / (0.3 * s[0]), 0.3 * s[0] / s)))


def test_with_as_many_rows_as_its_rank_the_seen_entries_say_nothing():
    A = np.random.default_rng(14).standard_normal((40, 30))
    F = cur_completion(A[:, :5], A[:5], range(5), range(5))
    assert F.seen_error < 1e-10
    assert F.error_of(A) > 0.5 * np.linalg.norm(A)


def test_a_completion_from_noise_needs_a_cutoff_at_its_level():
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        A = with_spectrum(rng, 80, 60, np.ones(3))
        noisy = A + 1e-6 * rng.standard_normal(A.shape)
        chosen = np.arange(10)
        cut, plain = (cur_completion(noisy[:, chosen], noisy[chosen], chosen, chosen, rtol=r) for r in (1e-3, None))
        assert (cut.rank, plain.rank) == (3, 10)
        ratios.append(cut.error_of(A) / plain.error_of(A))
    assert np.median(ratios) < 0.5


def test_the_entries_seen_twice_must_agree():
    A = np.random.default_rng(16).standard_normal((8, 7))
    C, R, rows, cols = A[:, [1, 4]], A[[6, 2]].copy(), [6, 2], [1, 4]
    cur_completion(C, R, rows, cols)
    R[0, 4] += 1e-3
    with pytest.raises(ValueError, match=r"C\[rows, :\] and R\[:, cols\] must hold the same .* differ by 0.001"):
        cur_completion(C, R, rows, cols)
    cur_completion(C, R, rows, cols, rtol=1e-2)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_completion_at_extreme_scales_is_the_same(scale):
    A = np.random.default_rng(17).standard_normal((20, 3)) @ np.random.default_rng(18).standard_normal((3, 15))
    F = cur_completion(A[:, :4] * scale, A[:5] * scale, range(5), range(4))
    np.testing.assert_allclose(F.toarray() / scale, A, atol=1e-11)
    np.testing.assert_allclose(F.C @ F.core @ F.R / scale, A, atol=1e-11)
    silent = cur_completion(A[:, :4] * 1e-200, np.zeros((5, 15)), range(5), range(4), rtol=1e9)
    assert silent.seen_error > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [0]}, "rows must have one index for each row of R, 2 in all, got 1"),
        ({"cols": [0, 1]}, "cols must have one index for each column of C, 3 in all, got 2"),
        ({"cols": None}, "cols must have one index for each column of C, 3 in all, got None"),
        ({"rows": [0, 9]}, r"rows must lie in 0\.\.4"),
        ({"rtol": np.nan}, "rtol must be finite"),
        ({"C": np.full((5, 3), np.nan)}, "C must be finite"),
        ({"R": np.full((2, 4), np.inf)}, "R must be finite"),
        ({"R": np.ones((0, 4))}, "R must be a nonempty matrix"),
    ],
)
def test_bad_arguments_of_a_completion_are_named(change, message):
    arguments = {"C": np.ones((5, 3)), "R": np.ones((2, 4)), "rows": [0, 1], "cols": [0, 1, 2]} | change
    with pytest.raises(ValueError, match=message):
        cur_completion(**arguments)
