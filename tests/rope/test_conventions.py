"""One test per line of docs/conventions.rst on rotary positions, under the label of the line."""

import numpy as np
import pytest

from lina.rope import RotaryScaling, bucket_of, log_n_scale, rotate


@pytest.mark.parametrize(("layout", "partner"), [("half", 2), ("interleaved", 1)])
def test_c94_pairs_turn_forward_and_logits_depend_on_query_less_key(layout, partner):
    freq = np.array([0.3, 0.1])
    unit = np.eye(6)[0]
    turned = rotate(unit, 2.0, freq, layout=layout)
    expected = np.cos(0.6) * unit + np.sin(0.6) * np.eye(6)[partner]
    np.testing.assert_allclose(turned, expected, atol=1e-15)
    q, k = np.random.default_rng(0).standard_normal((2, 6))
    logit = rotate(q, 7, freq, layout=layout) @ rotate(k, 3, freq, layout=layout)
    np.testing.assert_allclose(logit, rotate(q, 4, freq, layout=layout) @ k, rtol=1e-13)


def test_c95_the_window_is_the_first_far_distance():
    P = RotaryScaling("leaky_rerope", head_dim=4, original_length=8, window=3, factor=4.0).position_matrix(6)
    np.testing.assert_array_equal(P[5], [3.5, 3.25, 3.0, 2.0, 1.0, 0.0])
    seen = RotaryScaling("window", head_dim=4, original_length=8, window=3).position_matrix(6)
    np.testing.assert_array_equal(np.isfinite(seen[5]), [False, False, False, True, True, True])


def test_c96_scales_are_squares_on_the_query_and_count_the_keys_of_its_row():
    yarn = RotaryScaling("yarn", head_dim=64, original_length=256, factor=8.0, logit_scale="yarn")
    np.testing.assert_allclose(yarn.query_scale([5]), yarn.to_hf().attention_factor ** 2, rtol=1e-15)
    np.testing.assert_allclose(log_n_scale([0, 15, 255], 256, clipped=False), [0.0, 0.5, 1.0], rtol=1e-15)


def test_c97_a_length_counts_positions():
    L = 256
    np.testing.assert_array_equal(bucket_of([L - 1, L], L), [1, 2])
    np.testing.assert_allclose(log_n_scale([L - 1, L], L), [1, np.log(L + 1) / np.log(L)], rtol=1e-15)
    options = {"head_dim": 8, "original_length": L}
    for kind, schedule in [("ntk", "local_static"), ("ntk", "row_bucket"), ("dynamic", "static")]:
        scaling = RotaryScaling(kind, **options, schedule=schedule, factor=4.0 if kind == "dynamic" else None)
        np.testing.assert_allclose(scaling.inv_freq(L), RotaryScaling("none", **options).inv_freq(), rtol=1e-15)
        assert scaling.inv_freq(L + 1)[-1] < scaling.inv_freq(L)[-1]
