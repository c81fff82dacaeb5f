"""Rotation by positions, on one axis and on several."""

import numpy as np
import pytest

from lina.rope import RotaryScaling, grid_positions, normalise_keys, rotate, rotate_axial
from tests.reference.rotary import logits, rotated


def queries(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def frequencies(d, base=10000.0):
    return RotaryScaling("none", head_dim=d, original_length=256, base=base).inv_freq()


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("r", [1, 3, 4])
def test_each_pair_turns_as_a_complex_number(layout, r):
    x, theta, positions = queries(5, 8), frequencies(2 * r), [0, 1, 2.5, 1000, -3]
    expected = [rotated(row, p, theta, layout) for row, p in zip(x, positions, strict=True)]
    np.testing.assert_allclose(rotate(x, positions, theta, layout=layout), expected, rtol=1e-12, atol=1e-13)


def test_layouts_are_a_permutation_apart():
    x, theta = queries(6, 8), frequencies(8)
    order = np.arange(8).reshape(2, 4).T.ravel()  # interleaved entry -> half entry
    half = rotate(x, range(6), theta)
    np.testing.assert_array_equal(rotate(x[:, order], range(6), theta, layout="interleaved"), half[:, order])


def test_products_depend_on_the_difference_of_positions():
    q, k, theta = queries(4, 64), queries(4, 64, seed=1), frequencies(64)
    products = [np.sum(rotate(q, shift + 5, theta) * rotate(k, shift, theta), axis=-1) for shift in (0, 7, 10**6)]
    np.testing.assert_allclose(products[1], products[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(products[2], products[0], atol=1e-8)


def test_single_precision_keeps_its_digits_at_a_million_positions():
    q, k, theta = queries(50, 64, dtype="float32"), queries(50, 64, dtype="float32", seed=1), frequencies(64)
    near, far = (np.sum(rotate(q, shift + 5, theta) * rotate(k, shift, theta), axis=-1) for shift in (0, 10**6))
    assert far.dtype == np.float32
    assert np.max(np.abs(far - near)) < 1e-5
    angles = np.float32(10**6 + 5) * theta.astype("float32")  # what tables in float32 would turn by
    assert np.max(np.abs(np.cos(angles) - np.cos((10**6 + 5) * theta))) > 1e-3


@pytest.mark.parametrize("first", [0, 10**4, 10**7])
def test_tables_in_single_precision_are_right_to_the_last_place(first):
    positions, theta = first + np.arange(3000), frequencies(64)
    x = np.concatenate([np.ones((3000, 32)), np.zeros((3000, 32))], axis=-1)  # its rotation is the table
    table = rotate(x.astype("float32"), positions, theta)
    assert table.dtype == np.float32
    assert np.max(np.abs(table - rotate(x, positions, theta))) < np.finfo("float32").eps


def test_lengths_stay_and_the_way_back_is_the_negative_position():
    x, theta = queries(2, 3, 5, 16), frequencies(12)
    y = rotate(x, range(5), theta)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-14)
    np.testing.assert_allclose(rotate(y, -np.arange(5), theta), x, atol=1e-14)
    np.testing.assert_array_equal(y[..., 12:], x[..., 12:])


def test_positions_broadcast_over_heads():
    x, theta = queries(2, 3, 5, 8), frequencies(8)
    positions = np.arange(10).reshape(2, 1, 5)
    y = rotate(x, positions, theta)
    for b in range(2):
        np.testing.assert_allclose(y[b], rotate(x[b], positions[b, 0], theta), atol=1e-15)


def test_the_definition_of_rotary_logits_is_the_product_of_rotated_rows():
    q, k = queries(9, 8), queries(9, 8, seed=1)
    made = RotaryScaling("yarn", head_dim=8, original_length=4, factor=3)
    theta = made.inv_freq()
    expected = logits(q, k, made.position_matrix(9), theta)
    product = rotate(q, range(9), theta) @ rotate(k, range(9), theta).T
    seen = np.isfinite(expected)
    np.testing.assert_allclose(product[seen], expected[seen], atol=1e-12)


def test_what_does_not_fit_is_refused_by_name():
    x, theta = queries(5, 8), frequencies(8)
    with pytest.raises(
        ValueError, match=r"positions must broadcast to the shape \(5,\) of x without its last axis, got .*\(4,\)"
    ):
        rotate(x, range(4), theta)
    with pytest.raises(ValueError, match=r"positions must broadcast .* got shape \(2, 5\)"):
        rotate(x, np.zeros((2, 5)), theta)
    with pytest.raises(ValueError, match=r"inv_freq must have one axis of at most d / 2 entries, got shape \(5,\)"):
        rotate(x, 0, np.ones(5))
    with pytest.raises(ValueError, match="positions must be finite, got 1 NaN"):
        rotate(x, [0, 1, np.nan, 3, 4], theta)
    with pytest.raises(ValueError, match="layout must be one of 'half', 'interleaved', got 'gptj'"):
        rotate(x, 0, theta, layout="gptj")
    with pytest.raises(TypeError, match="positions must be real, got dtype complex128"):
        rotate(x, 1j * np.arange(5), theta)


def test_no_frequency_and_no_row_are_no_error():
    x = queries(5, 8)
    np.testing.assert_array_equal(rotate(x, 3, np.zeros(0)), x)
    assert rotate(queries(0, 8), np.zeros(0), frequencies(8)).shape == (0, 8)


@pytest.mark.torch
def test_tensors_have_gradients_by_rows_positions_and_frequencies():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(queries(3, 6)).requires_grad_()
    positions = torch.arange(3.0, dtype=torch.float64).requires_grad_()
    theta = torch.tensor([1.0, 0.1], dtype=torch.float64, requires_grad=True)
    for layout in ("half", "interleaved"):
        assert torch.autograd.gradcheck(lambda *a: rotate(*a, layout=layout), (x, positions, theta))  # noqa: B023


@pytest.mark.torch
def test_positions_of_tensors_turn_in_double_precision():
    torch = pytest.importorskip("torch")
    x, theta = queries(4, 64, dtype="float32"), frequencies(64)
    positions = 10**6 + np.arange(4)
    expected = rotate(x, positions, theta)
    for p in (torch.from_numpy(positions), positions, positions.tolist()):
        for f in (torch.from_numpy(theta), theta):
            y = rotate(torch.from_numpy(x), p, f)
            assert y.dtype == torch.float32
            np.testing.assert_allclose(y.numpy(), expected, atol=1e-6)


@pytest.mark.torch
def test_a_compiled_model_and_vmap_run_through():
    torch = pytest.importorskip("torch")
    x, positions = torch.from_numpy(queries(2, 5, 8)), torch.arange(5)
    theta = torch.from_numpy(frequencies(8))

    def model(z):
        return normalise_keys(rotate(z, positions, theta, layout="interleaved"))

    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), model(x))
    torch.testing.assert_close(torch.vmap(model)(x), model(x))


def test_positions_of_jax_turn_in_double_precision():
    jax = pytest.importorskip("jax")
    x, theta = queries(4, 64, dtype="float32"), frequencies(64)
    positions = 10**6 + np.arange(4)
    y = rotate(jax.numpy.asarray(x), jax.numpy.asarray(positions), theta)
    np.testing.assert_allclose(np.asarray(y), rotate(x, positions, theta), atol=1e-6)
    traced = jax.jit(lambda v: rotate(v, positions, theta))(jax.numpy.asarray(x))
    np.testing.assert_allclose(np.asarray(traced), rotate(x, positions, theta), atol=1e-6)


def test_each_axis_turns_its_share():
    x = queries(6, 10)
    rows = RotaryScaling("linear", head_dim=4, original_length=2, factor=2)
    columns = RotaryScaling("none", head_dim=6, original_length=3, layout="interleaved")
    grid = grid_positions(2, 3)
    y = rotate_axial(x, grid, [rows, columns])
    np.testing.assert_array_equal(y[:, :4], rotate(x[:, :4], grid[:, 0], rows.inv_freq()))
    np.testing.assert_array_equal(y[:, 4:], rotate(x[:, 4:], grid[:, 1], columns.inv_freq(), layout="interleaved"))


def test_products_of_two_cells_depend_on_both_differences_only():
    q, k = queries(1, 16), queries(1, 16, seed=1)
    axes = [RotaryScaling("none", head_dim=8, original_length=32)] * 2
    at = [
        np.sum(rotate_axial(q, [[a + 3, b - 2]], axes) * rotate_axial(k, [[a, b]], axes)) for a, b in ((0, 5), (9, 2))
    ]
    assert at[0] == pytest.approx(at[1], rel=1e-12)
    other = np.sum(rotate_axial(q, [[3, 2]], axes) * rotate_axial(k, [[0, 5]], axes))
    assert abs(other - at[0]) > 1e-3


def test_a_larger_grid_meets_no_new_angle_with_linear_scaling():
    axes = [RotaryScaling("linear", head_dim=8, original_length=16, factor=4)] * 2
    trained = [RotaryScaling("none", head_dim=8, original_length=16)] * 2
    x = queries(1, 16)
    y = rotate_axial(x, [[60, 20]], axes)
    np.testing.assert_allclose(y, rotate_axial(x, [[15, 5]], trained), atol=1e-13)


def test_schedules_of_axes_follow_their_lengths():
    x = queries(8, 16)
    local = [RotaryScaling("yarn", head_dim=8, original_length=2, schedule="local_static")] * 2
    static = [RotaryScaling("yarn", head_dim=8, original_length=2, factor=s) for s in (2, 1)]
    at = grid_positions(4, 2)
    np.testing.assert_allclose(rotate_axial(x, at, local, lengths=(4, 2)), rotate_axial(x, at, static), atol=1e-14)


def test_axes_that_do_not_fit_are_refused():
    x, one = queries(6, 8), RotaryScaling("none", head_dim=8, original_length=4)
    with pytest.raises(ValueError, match=r"scalings must have shares head_dim that add up to d, got head_dim \[8, 8\]"):
        rotate_axial(x, grid_positions(2, 3), [one, one])
    with pytest.raises(ValueError, match=r"positions must have 1 entries on the last axis, got shape \(6, 2\)"):
        rotate_axial(x, grid_positions(2, 3), [one])
    with pytest.raises(ValueError, match="scalings must be of frequencies that all rows share, got kind 'rerope'"):
        rotate_axial(x, grid_positions(6), [RotaryScaling("rerope", head_dim=8, original_length=4)])
    with pytest.raises(TypeError, match="scalings must be of RotaryScaling, got int"):
        rotate_axial(x, grid_positions(6), [8])
    with pytest.raises(TypeError, match="scalings must be a sequence, one for each axis, got RotaryScaling"):
        rotate_axial(x, grid_positions(6), one)
    with pytest.raises(TypeError, match="lengths must be a sequence, one for each axis, got int"):
        rotate_axial(x, grid_positions(6), [one], lengths=3)
    with pytest.raises(ValueError, match="lengths must have one entry for each of 1 axes, got 2"):
        rotate_axial(x, grid_positions(6), [one], lengths=(2, 3))
    with pytest.raises(ValueError, match="shape must have at least one length"):
        grid_positions()
