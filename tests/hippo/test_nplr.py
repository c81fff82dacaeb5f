"""Diagonal plus low rank forms: they are the matrix, in a unitary basis, with exact real parts."""

import math

import numpy as np
import pytest

from lina.hippo import nplr, transition

MEASURES = ["legs", "legt", "lagt", "fout", "fourier_legs"]
SIZES = [1, 2, 3, 4, 5, 16, 17, 64, 129]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("N", SIZES)
@pytest.mark.parametrize("measure", MEASURES)
def test_the_parts_multiply_to_the_matrices_and_the_error_is_a_bound(measure, N, half):
    A, B = transition(measure, N, theta=1.7)
    F = nplr(measure, N, theta=1.7, half=half)
    weight = 2 if half else 1
    adjoint = F.V.conj().T
    p = weight * (F.V @ F.P.T).real
    rebuilt = weight * ((F.V * F.Lambda) @ adjoint).real - p @ p.T
    assert np.linalg.norm(rebuilt - A) <= F.error <= 1e-13 * (1 + N) * np.linalg.norm(A)
    np.testing.assert_allclose(F.toarray(), rebuilt, atol=1e-12 * np.abs(A).max())
    np.testing.assert_allclose(weight * (F.V @ F.B).real, B, atol=1e-12 * math.sqrt(N))


@pytest.mark.parametrize("N", SIZES)
@pytest.mark.parametrize("measure", MEASURES)
def test_the_whole_basis_is_unitary_and_diagonalises(measure, N):
    A, B = transition(measure, N)
    F = nplr(measure, N, half=False)
    np.testing.assert_allclose(F.V.conj().T @ F.V, np.eye(N), atol=1e-14 * (5 + N))
    inside = F.V.conj().T @ A @ F.V
    np.testing.assert_allclose(np.diag(F.Lambda) - F.P.T @ F.P.conj(), inside, atol=1e-12 * np.abs(A).max())
    np.testing.assert_allclose(F.V.conj().T @ B, F.B, atol=1e-12 * math.sqrt(N))


@pytest.mark.parametrize("N", SIZES)
@pytest.mark.parametrize("measure", MEASURES)
def test_ranks_and_real_parts_are_exact(measure, N):
    F = nplr(measure, N)
    assert F.rank == (2 if measure == "legt" else 1)
    assert set(F.Lambda.real.tolist()) == {-0.5 if measure in ("legs", "fourier_legs") else 0.0}
    assert np.all(np.diff(F.Lambda.imag) >= 0)
    assert F.Lambda.imag[0] >= 0


@pytest.mark.parametrize("N", [2, 8, 9, 64, 65])
@pytest.mark.parametrize("measure", MEASURES)
def test_half_of_the_modes_gives_the_kernel_of_the_whole_by_twice_the_real_part(measure, N):
    A, B = transition(measure, N)
    C = np.random.default_rng(0).standard_normal(N)
    F = nplr(measure, N)
    s = 0.7 + 1.3j
    # the transfer function, by Woodbury from the parts, with the conjugates of the modes left out
    modes = np.concatenate([F.Lambda, F.Lambda.conj()])
    P, b = np.hstack([F.P, F.P.conj()]), np.concatenate([F.B, F.B.conj()])
    c = np.concatenate([C @ F.V, (C @ F.V).conj()])
    resolvent = 1 / (s - modes)
    inner = np.eye(F.rank) + (P.conj() * resolvent) @ P.T
    value = (c * resolvent) @ b - (c * resolvent) @ P.T @ np.linalg.solve(inner, (P.conj() * resolvent) @ b)
    assert value == pytest.approx(C @ np.linalg.solve(s * np.eye(N) - A, B), rel=1e-10)


def test_pairs_are_conjugate_to_the_last_bit():
    F = nplr("legs", 9, half=False)
    assert np.array_equal(F.Lambda, F.Lambda[::-1].conj())
    assert np.array_equal(F.V, F.V[:, ::-1].conj())
    assert not F.V[:, 4].imag.any()


def test_frequencies_of_legs_grow_like_the_square():
    F = nplr("legs", 1024)
    assert F.Lambda.imag[-1] == pytest.approx(1024**2 / math.pi, rel=0.01)
    assert F.Lambda.imag[0] > 0.15


def test_b_is_not_clipped():
    assert np.abs(nplr("legs", 256).B).max() > 2


def test_single_precision_says_so_in_its_error():
    F = nplr("legs", 16, dtype=np.complex64)
    assert F.Lambda.dtype == F.P.dtype == F.B.dtype == F.V.dtype == np.complex64
    A, _ = transition("legs", 16)
    assert np.linalg.norm(F.toarray() - A) < 20 * F.error
    assert F.error > 1e-6 * np.linalg.norm(A) / 100


def test_other_libraries_get_their_arrays():
    torch = pytest.importorskip("torch")
    F = nplr("legt", 6, xp=torch)
    assert F.V.dtype == torch.complex128
    np.testing.assert_allclose(F.toarray().numpy(), transition("legt", 6)[0], atol=1e-13)


def test_it_prints_as_its_facts():
    assert repr(nplr("legs", 64)).startswith("NPLR(N=64, n=32, rank=1, half=True, error=")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("foud", 4), {}, ValueError, "measure must be one of 'legs', 'legt', 'lagt', 'fout', 'fourier_legs', got"),
        (("legs", 0), {}, ValueError, "N must be at least 1"),
        (("legs", 4), {"scaling": "lmu"}, ValueError, "scaling must be one of 'paper', 'orthonormal'"),
        (("legs", 4), {"theta": -1}, ValueError, "theta must be finite and positive"),
        (("legs", 4), {"dtype": np.float64}, ValueError, "dtype must be one of 'complex64', 'complex128'"),
    ],
)
def test_bad_arguments_are_named(arguments, options, error, message):
    with pytest.raises(error, match=message):
        nplr(*arguments, **options)
