"""Frequencies of every kind against the printed formulas, and the identities between kinds."""

import math

import numpy as np
import pytest

from lina.rope import RotaryScaling, turns
from tests.reference.rotary import frequency, yarn_by_dims

SHAPES = [(64, 256, 10000.0), (128, 4096, 500000.0), (8, 32, 10000.0), (96, 2048, 10000.0)]
FACTORS = [1.0, 2.0, 16.0]


def scaling(kind, d=64, L=256, **options):
    return RotaryScaling(kind, head_dim=d, original_length=L, **options)


@pytest.mark.parametrize(("d", "L", "base"), SHAPES)
@pytest.mark.parametrize("s", FACTORS)
@pytest.mark.parametrize("kind", ["linear", "ntk", "ntk_fixed", "ntk_mixed"])
def test_kinds_of_one_factor_are_as_printed(kind, s, d, L, base):
    expected = [frequency(kind, i, d, L, base, s) for i in range(d // 2)]
    np.testing.assert_allclose(scaling(kind, d, L, base=base, factor=s).inv_freq(), expected, rtol=1e-13)


@pytest.mark.parametrize(("d", "L", "base"), SHAPES)
@pytest.mark.parametrize("s", FACTORS)
def test_both_ramps_of_yarn_are_as_printed(s, d, L, base):
    made = scaling("yarn", d, L, base=base, factor=s, beta_slow=2, beta_fast=20)
    np.testing.assert_allclose(made.inv_freq(), yarn_by_dims(d, L, base, s, 2, 20), rtol=1e-13)
    expected = [frequency("turns", i, d, L, base, s, 2, 20) for i in range(d // 2)]
    made = scaling("yarn", d, L, base=base, factor=s, beta_slow=2, beta_fast=20, ramp="turns")
    np.testing.assert_allclose(made.inv_freq(), expected, rtol=1e-13)


def test_the_upper_end_of_the_ramp_is_held_where_transformers_holds_it():
    made = scaling("yarn", 64, 100_000, base=1000.0, factor=4, beta_slow=0.01)  # its index would be 67, it is 63
    np.testing.assert_allclose(made.inv_freq(), yarn_by_dims(64, 100_000, 1000.0, 4, 0.01, 32), rtol=1e-13)


def test_the_two_ramps_of_yarn_are_far_apart():
    a, b = (scaling("yarn", factor=16, ramp=ramp).inv_freq() for ramp in ("dims", "turns"))
    assert np.max(a / b - 1) > 1.7


def test_untruncated_ramps_begin_at_the_turns_themselves():
    made = scaling("yarn", 128, 4096, factor=4, truncate=False)
    kept = (made.inv_freq() / scaling("none", 128, 4096).inv_freq() - 0.25) / 0.75
    r = turns(scaling("none", 128, 4096).inv_freq(), 4096)
    np.testing.assert_allclose(kept[r >= 32], 1, atol=1e-14)
    np.testing.assert_allclose(kept[r <= 1], 0, atol=1e-14)
    inside = (r < 32) & (r > 1)
    np.testing.assert_allclose(kept[inside], np.log(r[inside]) / math.log(32), rtol=1e-10)


def test_a_ramp_without_width_is_a_step():
    made = scaling("yarn", 4, 8, factor=2)  # both ends at the index 0
    np.testing.assert_allclose(made.inv_freq() / scaling("none", 4, 8).inv_freq(), [1, 0.5])


def test_a_ramp_that_would_turn_round_is_refused():
    for length, base in ((4, 1e4), (10**6, 10.0)):  # even the first frequency is slow, even the last one fast
        with pytest.raises(ValueError, match="ramp must be 'turns' where no index lies between its ends, got 'dims'"):
            scaling("yarn", 64, length, base=base, factor=2)
        kept = scaling("yarn", 64, length, base=base, factor=2, ramp="turns").inv_freq()
        ratio = kept / scaling("none", 64, length, base=base).inv_freq()
        np.testing.assert_allclose(ratio, 0.5 if length == 4 else 1)


@pytest.mark.parametrize("s", FACTORS)
def test_llama3_is_yarn_in_turns_between_1_and_4(s):
    made = scaling("llama3", 128, 8192, base=500000.0, factor=s).inv_freq()
    other = scaling("yarn", 128, 8192, base=500000.0, factor=s, ramp="turns", beta_slow=1, beta_fast=4)
    np.testing.assert_array_equal(made, other.inv_freq())
    expected = [frequency("turns", i, 128, 8192, 500000.0, s, 1, 4) for i in range(64)]
    np.testing.assert_allclose(made, expected, rtol=1e-13)


def test_a_factor_of_one_changes_nothing():
    plain = scaling("none").inv_freq()
    for kind in ("linear", "ntk", "ntk_fixed", "ntk_mixed", "dynamic", "yarn", "llama3"):
        np.testing.assert_allclose(scaling(kind, factor=1).inv_freq(), plain, rtol=1e-14)


def test_ntk_keeps_the_first_frequency_and_interpolates_the_last():
    ratio = scaling("none").inv_freq() / scaling("ntk", factor=8).inv_freq()
    np.testing.assert_allclose(ratio[[0, -1]], [1, 8], rtol=1e-13)
    assert np.all(np.diff(ratio) > 0)


def test_ntk_mixed_joins_linear_and_ntk_fixed():
    for exponent, kind in ((0, "linear"), (1, "ntk_fixed")):
        mixed = scaling("ntk_mixed", factor=8, exponent=exponent).inv_freq()
        np.testing.assert_allclose(mixed, scaling(kind, factor=8).inv_freq(), rtol=1e-13)


@pytest.mark.parametrize("length", [1, 256, 257, 1000, 100_000])
def test_dynamic_grows_with_the_length_from_the_trained_one_on(length):
    expected = [frequency("dynamic", i, 64, 256, s=3.0, length=length) for i in range(32)]
    made = scaling("dynamic", factor=3).inv_freq(length)
    np.testing.assert_allclose(made, expected, rtol=1e-13)
    assert np.array_equal(made, scaling("none").inv_freq()) == (length <= 256)


def test_longrope_divides_by_its_lists():
    short, long = np.linspace(1, 2, 4), np.linspace(1, 30, 4)
    made = scaling("longrope", 8, 256, factor=4, short_factor=short, long_factor=long)
    plain = scaling("none", 8).inv_freq()
    for length, divisors in ((None, short), (256, short), (257, long)):
        np.testing.assert_allclose(made.inv_freq(length), plain / divisors, rtol=1e-15)


def test_part_of_a_head_has_the_frequencies_of_a_smaller_one():
    for kind, options in (("none", {}), ("ntk", {"factor": 4}), ("yarn", {"factor": 4})):
        part = RotaryScaling(kind, head_dim=80, rotary_dim=32, original_length=256, **options)
        np.testing.assert_array_equal(part.inv_freq(), scaling(kind, 32, **options).inv_freq())


def test_the_number_of_turns_is_the_angle_over_the_trained_length():
    np.testing.assert_allclose(turns([1.0, 2 * math.pi / 256], 256), [256 / (2 * math.pi), 1])


def test_turns_refuse_what_is_no_frequency():
    with pytest.raises(ValueError, match=r"inv_freq must have one axis, got shape \(1, 2\)"):
        turns([[1.0, 2.0]], 5)
    with pytest.raises(ValueError, match="inv_freq must be finite, got 1 NaN or infinite"):
        turns([1.0, np.nan], 5)
    with pytest.raises(ValueError, match="length must be finite and above 0, got 0"):
        turns([1.0], 0)
    with pytest.raises(TypeError, match="inv_freq must be real numbers, got dtype complex128"):
        turns([1j], 5)
