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


def test_every_line_has_a_test_and_every_test_a_line():
    lines = re.findall(r"^\* \*\*(C\d+)\*\*", PAGE.read_text(), re.MULTILINE)
    tests = [name.split("_")[1].upper() for name in globals() if re.match(r"test_c\d+_", name)]
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
    A = graded(dtype="complex128")
    F = truncated_svd(A, 60)
    np.testing.assert_allclose((F.U * F.s) @ F.Vt, A, atol=1e-13)


def test_c5_singular_values_are_real_and_descend():
    for method in ("svd", "gram", "krylov"):
        s = truncated_svd(graded(dtype="complex64"), 10, method=method, rng=0).s
        assert s.dtype == np.float32
        assert np.all(np.diff(s) <= 0)


def test_c6_the_first_index_is_the_most_important():
    A = np.random.default_rng(0).standard_normal((50, 20)) * np.r_[np.ones(13), 100, np.ones(6)]
    assert interpolative(A, 5, rng=0).indices[0] == 13


def test_c7_the_error_is_absolute():
    A = graded() * 1000
    F = truncated_svd(A, 5, rng=0)
    assert F.error == pytest.approx(np.linalg.norm(A - F.toarray()))
    assert F.norm_A == pytest.approx(np.linalg.norm(A))
    two = truncated_svd(A, 5, norm="2", rng=0)
    assert two.error == pytest.approx(np.linalg.norm(A - two.toarray(), 2))
    assert two.norm_A == pytest.approx(np.linalg.norm(A))


def test_c8_norms_are_called_fro_and_2():
    for norm in ("fro", "2"):
        truncated_svd(graded(), 2, norm=norm)
    with pytest.raises(ValueError, match="norm must be one of 'fro', '2', got 2"):
        truncated_svd(graded(), 2, norm=2)


def test_c9_there_are_three_kinds_of_certificate():
    from lina._core.certificates import CertificateKind

    assert [str(kind) for kind in CertificateKind] == ["estimate", "probabilistic", "rigorous"]


def test_c10_frobenius_is_rigorous_and_the_2_norm_of_krylov_probabilistic():
    A = graded(200, 150)
    F = truncated_svd(A, 5, method="krylov", rng=0)
    assert (F.error_kind, F.failure_probability) == ("rigorous", 0.0)
    two = truncated_svd(A, 5, method="krylov", norm="2", rng=0)
    assert two.error_kind == "probabilistic"
    assert two.failure_probability == pytest.approx(1e-10)
    assert interpolative(A, 5, rng=0).error_kind == "rigorous"


def test_c11_condition_is_an_upper_bound():
    for condition in (3.0, 1e5, 1e10):
        A = graded(200, 60, smallest=1 / condition)
        info = pinv(A, return_info=True)[1]
        assert condition * (1 - 1e-5) <= info.condition <= 60 * condition


def test_c12_the_gap_is_at_least_one():
    A = graded(smallest=1e-12)
    gaps = [pinv(A, rtol=r, return_info=True)[1].gap for r in np.geomspace(1e-13, 1e-1, 25)]
    assert min(gaps) >= 1
    s = np.linalg.svd(A, compute_uv=False) / np.linalg.norm(A, 2)
    exact = min(np.min(s[s > 1e-6]) / 1e-6, 1e-6 / np.max(s[s <= 1e-6]))
    assert pinv(A, rtol=1e-6, return_info=True)[1].gap == pytest.approx(exact, rel=1e-6)


def test_c13_a_singular_value_counts_above_the_larger_cutoff():
    A = np.diag([4.0, 2.0, 1.0])
    assert [pinv(A, rtol=0.3, atol=a, return_info=True)[1].rank for a in (0, 1.5, 3.0)] == [2, 2, 1]
    assert pinv(A, rtol=0.5, return_info=True)[1].rank == 1  # at the cutoff is not above it


def test_c14_the_default_tolerance_is_the_larger_side_times_eps():
    for dtype in ("float32", "float64"):
        cutoff = 8 * np.finfo(dtype).eps
        A = np.zeros((8, 2), dtype=dtype)
        A[0, 0] = 1
        ranks = []
        for factor in (0.9, 1.1):
            A[1, 1] = factor * cutoff
            ranks.append(pinv(A, return_info=True)[1].rank)
        assert ranks == [1, 2]


def test_c15_atol_alone_switches_rtol_off():
    A = np.diag([1.0, 1e-20])
    assert pinv(A, return_info=True)[1].rank == 1
    assert pinv(A, atol=1e-30, return_info=True)[1].rank == 2


def test_c16_near_the_cutoff_the_svd_decides():
    methods = {}
    for factor in (1.5, 1e4):
        A = graded(200, 60, smallest=1e-4)
        methods[factor] = pinv(A, rtol=1e-4 / factor, return_info=True)[1].method
    assert methods == {1.5: "svd", 1e4: "cholqr2"}


@pytest.mark.parametrize("norm", ["fro", "2"])
def test_c17_a_tolerance_is_relative_to_the_norm_asked_for(norm):
    A = graded()
    order = "fro" if norm == "fro" else 2
    F = truncated_svd(A, rtol=0.05, norm=norm)
    assert np.linalg.norm(A - F.toarray(), order) <= 0.05 * np.linalg.norm(A, order)
    assert np.linalg.norm(A - F.truncate(F.rank - 1).toarray(), order) > 0.05 * np.linalg.norm(A, order)
    assert truncated_svd(A, rtol=1e-9, atol=0.05, norm=norm).error <= 0.05


def test_c18_a_rank_limit_is_reported():
    A = graded()
    assert truncated_svd(A, 3, rtol=1e-2).status == "max_rank"
    assert interpolative(A, 3, rtol=1e-2, rng=0).status == "max_rank"
    assert truncated_svd(A, 50, rtol=1e-2).status == "converged"


def test_c19_passes_include_the_certificate():
    A = graded(300, 200)
    passes = [truncated_svd(A, 5, method="krylov", max_passes=5, norm=n, rng=0).passes for n in ("fro", "2")]
    assert passes == [5, 7]


def test_c20_integers_become_float64_and_halves_float32():
    A = np.arange(12).reshape(4, 3)
    assert pinv(A).dtype == np.float64
    assert pinv(A > 3).dtype == np.float64
    assert pinv(A.astype(np.float16)).dtype == np.float32


def test_c21_arrays_return_in_their_library():
    import array_api_strict

    A = graded()
    before = A.copy()
    assert type(pinv(array_api_strict.asarray(A))).__module__.startswith("array_api_strict")
    pinv(A)
    np.testing.assert_array_equal(A, before)


def test_c22_draws_are_made_in_float64_and_rounded():
    like = np.empty(0, dtype="float32")
    single = gaussian(generator(5), (100,), like)
    np.testing.assert_array_equal(single, generator(5).standard_normal(100).astype("float32"))
    same = np.random.default_rng(5)
    assert generator(same) is same


def test_c23_threads_do_not_change_the_bits(threads):
    A = np.random.default_rng(0).standard_normal((5000, 8, 4))
    answers = []
    for count in (1, 2, 5):
        threads(count)
        answers.append(pinv(A))
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)
    assert lina.get_threads() == 5
