"""Sketches: their scaling, what they do to lengths, and that they are the matrices they claim to be."""

import tracemalloc

import numpy as np
import pytest

from lina.linalg import sketch

KINDS = ("gaussian", "sparse_sign", "count", "srft")
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("m", [37, 64])
def test_a_sketch_acts_as_its_matrix(kind, dtype, m):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, 5)).astype(dtype)
    if dtype == "complex128":
        A = A + 1j * rng.standard_normal((m, 5))
    S = sketch(20, m, kind=kind, rng=1)
    assert S.shape == S.toarray().shape == (20, m)
    tolerance = 50 * np.finfo(dtype).eps
    np.testing.assert_allclose(S @ A, S.toarray() @ A, atol=tolerance)
    np.testing.assert_allclose(S @ A[:, 0], S.toarray() @ A[:, 0], atol=tolerance)
    assert (S @ A).dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_the_order_of_the_entries_in_memory_changes_no_bit_and_takes_no_copy(dtype):
    A = np.random.default_rng(2).standard_normal((4000, 150)).astype(dtype)
    S = sketch(30, 4000, kind="sparse_sign", rng=3)
    expected = S @ A
    wide = np.zeros((8000, 450), dtype=dtype)
    wide[::2, ::3] = A
    for other in (np.asfortranarray(A), wide[::2, ::3]):
        np.testing.assert_array_equal(S @ other, expected)
        tracemalloc.start()
        S._apply(np, other)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < other.size * other.itemsize / 2


@every_kind
def test_lengths_are_kept_in_expectation(kind):
    mean = np.mean([(S := sketch(8, 12, kind=kind, rng=seed).toarray()).T @ S for seed in range(4000)], axis=0)
    np.testing.assert_allclose(mean, np.eye(12), atol=0.06)  # entries vary by 1 / sqrt(8 * 4000) = 0.006 and more


@every_kind
def test_the_columns_of_a_sparse_sketch_have_the_entries_asked_for(kind):
    dense = sketch(40, 200, kind=kind, nonzeros=5, rng=0).toarray()
    wanted = {"gaussian": 40, "sparse_sign": 5, "count": 1, "srft": 40}[kind]
    assert set(np.count_nonzero(dense, axis=0)) <= {wanted, wanted - 1}
    if kind in ("sparse_sign", "count"):
        assert set(np.count_nonzero(dense, axis=0)) == {wanted}
        np.testing.assert_allclose(np.sum(dense**2, axis=0), 1)


@pytest.mark.parametrize("kind", ["gaussian", "sparse_sign", "srft"])
@pytest.mark.parametrize("coherent", [False, True])
def test_a_subspace_of_dimension_k_is_embedded_as_theory_says(kind, coherent):
    k, d, m = 10, 160, 1000
    worst = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        U = np.eye(m)[:, :k] if coherent else np.linalg.qr(rng.standard_normal((m, k)))[0]
        s = np.linalg.svd(sketch(d, m, kind=kind, rng=seed) @ U, compute_uv=False)
        worst.append(max(s[0] - 1, 1 - s[-1]))
    # sqrt(k / d) = 0.25 is where a Gaussian matrix ends (Davidson and Szarek)
    assert np.median(worst) < 0.27
    assert max(worst) < 0.25 + 3 / np.sqrt(d)


@every_kind
def test_seeds_give_the_same_matrix(kind):
    one, two, other = (sketch(9, 30, kind=kind, rng=seed).toarray() for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert np.any(one != other)


@every_kind
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_another_library_sees_the_same_matrix(kind, dtype):
    array_api_strict = pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(0)
    A = rng.standard_normal((45, 3)) + (1j * rng.standard_normal((45, 3)) if dtype == "complex128" else 0)
    S = sketch(11, 45, kind=kind, rng=5)
    other = S @ array_api_strict.asarray(A)
    assert type(other).__module__.startswith("array_api_strict")
    np.testing.assert_allclose(np.from_dlpack(other), S.toarray() @ A, atol=1e-14)


@pytest.mark.parametrize("coherent", [False, True])
def test_a_count_sketch_with_many_rows_seldom_loses_a_direction(coherent):
    k, d, m = 6, 400, 1000
    kept = 0
    for seed in range(50):
        U = np.eye(m)[:, :k] if coherent else np.linalg.qr(np.random.default_rng(seed).standard_normal((m, k)))[0]
        kept += np.linalg.svd(sketch(d, m, kind="count", rng=seed) @ U, compute_uv=False)[-1] > 0.5
    # two of k coordinates meet in one row with a probability of at most k (k - 1) / (2 d) = 3.75 %
    assert kept >= 50 * (1 - 0.0375) - 4.5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"d": 0}, ValueError, "d must be at least 1, got 0"),
        ({"d": 2.0}, TypeError, "d must be an int"),
        ({"m": -3}, ValueError, "m must be at least 1"),
        ({"kind": "magic"}, ValueError, "kind must be one of"),
        ({"d": 11, "kind": "srft"}, ValueError, "d must be at most m = 10"),
        ({"kind": "sparse_sign", "nonzeros": 0}, ValueError, "nonzeros must be at least 1"),
        ({"rng": "seed"}, TypeError, "rng must be"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        sketch(**{"d": 4, "m": 10, **arguments})


def test_a_matrix_of_the_wrong_length_is_named():
    with pytest.raises(ValueError, match=r"A must have shape \(10,\) or \(10, n\), got \(9, 2\)"):
        sketch(4, 10, rng=0) @ np.ones((9, 2))
