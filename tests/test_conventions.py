"""One test per line of docs/conventions.rst, under the label of the line."""

import re
from pathlib import Path

import numpy as np
import pytest

import lina
from lina._core.random import gaussian, generator
from lina.linalg import interpolative, pinv, truncated_svd
from tests.linalg.matrices import with_spectrum

PAGE = Path(__file__).parents[1] / "docs" / "conventions.rst"
EPS = np.finfo(float).eps


def graded(m=80, n=60, dtype="float64", smallest=1e-3):
    return with_spectrum(np.random.default_rng(0), m, n, np.geomspace(1, smallest, min(m, n)), dtype)


def tall_diagonal(smallest):
    """Return a matrix on which the bounds of the fast paths are sharp."""
    return np.eye(200, 60) * np.r_[np.ones(59), smallest]


def test_every_line_has_a_test_and_every_test_a_line():
    lines = re.findall(r"^\* \*\*(C\d+)\*\*", PAGE.read_text(), re.MULTILINE)
    files = Path(__file__).parent.rglob("test_conventions.py")
    tests = [f"C{n}" for file in files for n in re.findall(r"^def test_c(\d+)_", file.read_text(), re.MULTILINE)]
    assert lines == [f"C{i + 1}" for i in range(len(lines))]
    assert sorted(lines) == sorted(tests)


def test_c1_leading_axes_are_a_batch():
    A = np.random.default_rng(0).standard_normal((3, 2, 5, 4))
    np.testing.assert_allclose(pinv(A)[2, 1], pinv(A[2, 1]), atol=1e-12)


def test_c2_rows_are_samples():
    A = graded() + np.arange(60)
    np.testing.assert_array_equal(truncated_svd(A, 3, center=True).mean, A.mean(axis=0))


def test_c3_factors_multiply_from_left_to_right():
    A = graded()
    F, G, H = truncated_svd(A, 4, rng=0), interpolative(A, 4, rng=0), interpolative(A, 4, axis=0, rng=0)
    np.testing.assert_allclose(F.U * F.s @ F.Vt, F.toarray())
    np.testing.assert_allclose(G.C @ G.Z, G.toarray())
    np.testing.assert_allclose(H.Z @ H.C, H.toarray())


def test_c4_vt_is_conjugated_already():
    A = graded(dtype="complex128", smallest=1e-12)
    for method in ("svd", "gram", "krylov"):
        F = truncated_svd(A, 10, method=method, rng=0)
        assert np.linalg.norm(A - (F.U * F.s) @ F.Vt) <= F.error <= 0.02 * F.norm_A


def test_c5_singular_values_are_real_and_descend():
    for method in ("svd", "gram", "krylov"):
        s = truncated_svd(graded(dtype="complex64"), 10, method=method, rng=0).s
        assert s.dtype == np.float32
        assert np.all(np.diff(s) <= 0)


def test_c6_the_first_index_is_the_most_important():
    A = np.random.default_rng(0).standard_normal((50, 20)) * np.r_[np.ones(13), 100, np.ones(6)]
    assert interpolative(A, 5, rng=0).indices[0] == 13


def test_c7_the_adjoint_is_meant_and_T_is_the_plain_transpose():
    A = graded(dtype="complex128")
    P = A @ pinv(A)
    np.testing.assert_allclose(P, P.conj().T, atol=1e-10)
    assert not np.allclose(P, P.T)
    np.testing.assert_allclose(truncated_svd(A, 60).T.toarray(), A.T, atol=1e-13)


def test_c8_methods_agree_in_the_product():
    A = graded(200, 150, smallest=1e-12)
    best = truncated_svd(A, 8, method="svd").toarray()
    for method in ("gram", "krylov"):
        np.testing.assert_allclose(truncated_svd(A, 8, method=method, rng=0).toarray(), best, atol=1e-5)


def test_c9_a_result_acts_as_its_matrix():
    A = graded() + np.arange(60)
    for F in (truncated_svd(A, 5), truncated_svd(A, 5, center=True), interpolative(A, 5), interpolative(A, 5, axis=0)):
        B = F.toarray()
        assert (F.shape, F.rank, B.shape) == ((80, 60), 5, (80, 60))
        np.testing.assert_allclose(F @ np.arange(60.0), B @ np.arange(60.0), rtol=1e-10)
        np.testing.assert_allclose(F.T @ np.arange(80.0), B.T @ np.arange(80.0), rtol=1e-10)


def test_c10_the_error_is_absolute():
    A = graded() * 1000
    F = truncated_svd(A, 5, rng=0)
    assert F.error == pytest.approx(np.linalg.norm(A - F.toarray()))
    assert F.norm_A == pytest.approx(np.linalg.norm(A))
    two = truncated_svd(A, 5, norm="2", rng=0)
    assert two.error == pytest.approx(np.linalg.norm(A - two.toarray(), 2))
    assert two.norm_A == pytest.approx(np.linalg.norm(A))
    centred = truncated_svd(A + np.arange(60), 5, center=True)
    assert centred.norm_A == pytest.approx(np.linalg.norm(A - A.mean(axis=0)))


def test_c11_norms_are_called_fro_and_2():
    for norm in ("fro", "2"):
        truncated_svd(graded(), 2, norm=norm)
    with pytest.raises(ValueError, match="norm must be one of 'fro', '2', got 2"):
        truncated_svd(graded(), 2, norm=2)


def test_c12_there_are_three_kinds_of_certificate():
    from lina._core.certificates import CertificateKind

    assert [str(kind) for kind in CertificateKind] == ["estimate", "probabilistic", "rigorous"]


def test_c13_frobenius_is_rigorous_and_the_2_norm_of_krylov_probabilistic():
    A = graded(200, 150)
    F = truncated_svd(A, 5, method="krylov", rng=0)
    assert (F.error_kind, F.failure_probability) == ("rigorous", 0.0)
    two = truncated_svd(A, 5, method="krylov", norm="2", rng=0)
    assert two.error_kind == "probabilistic"
    assert two.failure_probability == pytest.approx(1e-10)
    assert interpolative(A, 5, rng=0).error_kind == "rigorous"


def test_c14_rounding_is_included_where_it_is_the_whole_error():
    for seed in range(10):
        A = with_spectrum(np.random.default_rng(seed), 80, 60, np.ones(60), "float32")
        F, G = truncated_svd(A, 60), interpolative(A, 60, rng=seed)
        for error, left, right in ((F.error, F.U * F.s, F.Vt), (G.error, G.C, G.Z)):
            truth = np.linalg.norm(A - left.astype("float64") @ right.astype("float64"))
            assert truth <= error <= 1e-4 * np.linalg.norm(A)


def test_c15_an_error_far_below_sqrt_eps_keeps_its_digits():
    A = graded(smallest=1e-14)
    results = [truncated_svd(A, 45, method=method, rng=0) for method in ("svd", "krylov")]
    for F in (*results, interpolative(A, 45, rng=0)):
        truth = np.linalg.norm(A - F.toarray())
        assert truth < 1e-9
        assert truth <= F.error <= 1.1 * truth


@pytest.mark.parametrize("norm", ["fro", "2"])
def test_c16_truncation_adds_what_it_drops(norm):
    A = graded(200, 150)
    F = truncated_svd(A, 10, norm=norm, method="krylov", rng=0)
    G = F.truncate(4)
    assert G.error == pytest.approx(np.hypot(F.error, np.linalg.norm(F.s[4:])))
    assert G.error >= np.linalg.norm(A - G.toarray(), "fro" if norm == "fro" else 2)


def test_c17_condition_is_an_upper_bound():
    for condition in (3.0, 1e5, 1e10):
        A = graded(200, 60, smallest=1 / condition)
        info = pinv(A, return_info=True)[1]
        assert condition * (1 - 1e-5) <= info.condition <= 60 * condition
    info = pinv(tall_diagonal(1e-4), return_info=True)[1]
    assert (info.method, info.condition) == ("cholqr2", pytest.approx(1e4))


def test_c18_the_gap_is_at_least_one():
    A = graded(smallest=1e-12)
    gaps = [pinv(A, rtol=r, return_info=True)[1].gap for r in np.geomspace(1e-13, 1e-1, 25)]
    assert min(gaps) >= 1
    s = np.linalg.svd(A, compute_uv=False) / np.linalg.norm(A, 2)
    exact = min(np.min(s[s > 1e-6]) / 1e-6, 1e-6 / np.max(s[s <= 1e-6]))
    assert pinv(A, rtol=1e-6, return_info=True)[1].gap == pytest.approx(exact, rel=1e-6)


def test_c19_a_singular_value_counts_above_the_larger_cutoff():
    A = np.diag([4.0, 2.0, 1.0])
    assert [pinv(A, rtol=0.3, atol=a, return_info=True)[1].rank for a in (0, 1.5, 3.0)] == [2, 2, 1]
    assert pinv(A, rtol=0.5, return_info=True)[1].rank == 1  # at the cutoff is not above it
    assert [pinv(tall_diagonal(1e-4), atol=a, return_info=True)[1].rank for a in (1e-6, 1e-3)] == [60, 59]


def test_c20_the_default_tolerance_is_the_larger_side_times_eps():
    for dtype in ("float32", "float64"):
        cutoff = 8 * np.finfo(dtype).eps
        A = np.zeros((8, 2), dtype=dtype)
        A[0, 0] = 1
        ranks = []
        for factor in (0.9, 1.1):
            A[1, 1] = factor * cutoff
            ranks.append(pinv(A, return_info=True)[1].rank)
        assert ranks == [1, 2]


def test_c21_atol_alone_switches_rtol_off():
    A = np.diag([1.0, 1e-20])
    assert pinv(A, return_info=True)[1].rank == 1
    assert pinv(A, atol=1e-30, return_info=True)[1].rank == 2
    assert pinv(A, atol=0.0, return_info=True)[1].rank == 1


def test_c22_near_the_cutoff_the_svd_decides():
    A = tall_diagonal(1e-4)
    taken = [pinv(A, rtol=1e-4 / f, return_info=True)[1].method for f in (1.5, 9.9, 10.1, 1e4)]
    assert taken == ["svd", "svd", "cholqr2", "cholqr2"]
    taken = []
    for noise in (1e-15, 1e-9):  # within rounding, and beyond it: then X would lose digits although the rank is certain
        low = with_spectrum(np.random.default_rng(0), 150, 130, np.r_[np.ones(20), np.full(110, noise)])
        taken.append(pinv(low, rtol=1e-6, method="cod", return_info=True)[1].method)
    assert taken == ["cod", "svd"]


def test_c23_the_rank_is_the_one_of_the_svd():
    low_rank = graded(300, 260) @ graded(260, 260, smallest=1.0)[:, :60] @ np.eye(60, 260)
    for A in (graded(200, 60, smallest=1e-12), graded(90, 90, smallest=1e-12), low_rank):
        s = np.linalg.svd(A, compute_uv=False)
        for rtol in np.geomspace(1.1e-11, 1.3e-1, 12):
            assert pinv(A, rtol=rtol, return_info=True)[1].rank == np.sum(s > rtol * s[0])


def test_c24_hermitian_reads_the_lower_half():
    A = graded(40, 40)
    S = A + A.T
    spoiled = np.tril(S) + np.triu(np.ones((40, 40)), 1)
    np.testing.assert_array_equal(pinv(spoiled, hermitian=True), pinv(S, hermitian=True))


@pytest.mark.parametrize("norm", ["fro", "2"])
def test_c25_a_tolerance_is_relative_to_the_norm_asked_for(norm):
    A = graded()
    order = "fro" if norm == "fro" else 2
    F = truncated_svd(A, rtol=0.05, norm=norm)
    assert np.linalg.norm(A - F.toarray(), order) <= 0.05 * np.linalg.norm(A, order)
    assert np.linalg.norm(A - F.truncate(F.rank - 1).toarray(), order) > 0.05 * np.linalg.norm(A, order)
    assert truncated_svd(A, rtol=1e-9, atol=0.05, norm=norm).error <= 0.05


def test_c26_an_early_end_is_reported():
    A = graded()
    assert truncated_svd(A, 3, rtol=1e-2).status == "max_rank"
    assert interpolative(A, 3, rtol=1e-2, rng=0).status == "max_rank"
    assert truncated_svd(A, 50, rtol=1e-2).status == "converged"
    short = truncated_svd(A, rtol=1e-6, max_passes=2, rng=0)
    assert short.status == "max_passes"
    assert short.error > 1e-6 * short.norm_A


def test_c27_passes_include_the_certificate():
    A = graded(300, 200)
    passes = [truncated_svd(A, 5, method="krylov", max_passes=5, norm=n, rng=0).passes for n in ("fro", "2")]
    assert passes == [5, 7]


def test_c28_integers_become_float64_and_halves_float32():
    A = np.arange(12).reshape(4, 3)
    assert pinv(A).dtype == np.float64
    assert pinv(A > 3).dtype == np.float64
    assert pinv(A.astype(np.float16)).dtype == np.float32


def test_c29_working_types_are_kept():
    for dtype, real in (("float32", "float32"), ("complex64", "float32"), ("complex128", "float64")):
        A = graded(dtype=dtype)
        assert pinv(A).dtype == interpolative(A, 3, rng=0).Z.dtype == dtype
        F = truncated_svd(A, 3)
        assert (F.U.dtype, F.s.dtype) == (dtype, real)


def test_c30_arrays_return_in_their_library():
    import array_api_strict

    A = graded()
    before = A.copy()
    assert type(pinv(array_api_strict.asarray(A))).__module__.startswith("array_api_strict")
    pinv(A)
    np.testing.assert_array_equal(A, before)


def test_c31_what_is_not_finite_is_refused_by_name_and_number():
    A = graded()
    A[3, 4], A[5, 6] = np.nan, np.inf
    for function in (pinv, lambda A: truncated_svd(A, 2), lambda A: interpolative(A, 2)):
        with pytest.raises(ValueError, match=r"A must be finite, got 2 NaN or infinite of 4800 entries"):
            function(A)


def test_c32_draws_are_made_in_float64_and_rounded():
    like = np.empty(0, dtype="float32")
    single = gaussian(generator(5), (100,), like)
    np.testing.assert_array_equal(single, generator(5).standard_normal(100).astype("float32"))
    same = np.random.default_rng(5)
    assert generator(same) is same


def test_c33_seeds_repeat_and_the_global_generator_is_left_alone():
    A = graded(200, 150)
    before = np.random.get_state()[1:3]  # noqa: NPY002
    seeds = (3, 3, generator(3))
    answers = [truncated_svd(A, 5, method="krylov", rng=rng).toarray() for rng in seeds]
    other = truncated_svd(A, 5, method="krylov", rng=4).toarray()
    low_rank = A[:, :40] @ A[:40, :]
    inverses = [pinv(low_rank, method="cod", rtol=1e-10) for _ in range(2)]
    after = np.random.get_state()[1:3]  # noqa: NPY002
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    assert not np.array_equal(other, answers[0])
    np.testing.assert_array_equal(*inverses)
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1]


def test_c34_threads_do_not_change_the_bits(threads):
    A = np.random.default_rng(0).standard_normal((5000, 8, 4))
    answers = []
    for count in (1, 2, 5):
        threads(count)
        answers.append(pinv(A))
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)
    assert lina.get_threads() == 5


def test_c35_the_threads_of_blas_keep_their_setting(threads):
    from threadpoolctl import threadpool_info

    pinv(graded())
    before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads(lina.get_threads() + 2)
    pinv(np.random.default_rng(0).standard_normal((5000, 8, 4)))
    assert before == [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert before
