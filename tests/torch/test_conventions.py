"""One test for every line of the conventions about layers and attention of torch."""

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.rope import RotaryScaling  # noqa: E402
from lina.torch import RTF, S4, S4D, extrapolated_attention  # noqa: E402

pytestmark = pytest.mark.torch


def test_c89_batch_then_time_then_channels_and_the_current_sample_counts():
    layer = S4D(3, 4).double()
    x = torch.zeros(2, 5, 3, dtype=torch.float64)
    x[1, 2, 0] = 1
    y = layer(x)
    assert y.shape == (2, 5, 3)
    assert set(zip(*(i.tolist() for i in torch.nonzero(y.abs() > 1e-12, as_tuple=True)), strict=True)) == {
        (1, t, 0) for t in (2, 3, 4)
    }
    assert layer.initial_state(2).shape == (2, 3, layer.state_size)


@pytest.mark.parametrize("make", [S4, S4D, RTF])
def test_c90_taps_of_the_true_system_beside_d(make):
    layer = make(2, 4).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.1)
    x = torch.zeros(1, 6, 2, dtype=torch.float64)
    x[0, 0] = 1
    y = layer(x)[0].T
    y[:, 0] -= layer.D
    torch.testing.assert_close(y, layer.kernel(6))
    torch.testing.assert_close(y[:, :3], layer.kernel(3))


def test_c91_logarithms_and_pairs():
    layer = S4(2, 4).double()
    Lambda, B, C, dt = layer.continuous()
    torch.testing.assert_close(Lambda, torch.complex(-layer.log_decay.exp(), layer.frequency))
    torch.testing.assert_close(torch.view_as_real(C), layer.C)
    torch.testing.assert_close(torch.view_as_real(B), layer.B)
    torch.testing.assert_close(dt, layer.log_dt.exp())


def test_c92_poles_learn_slowly_and_do_not_decay():
    poles, rest = S4D(2, 4).parameter_groups(0.01, weight_decay=0.1)
    assert (poles["lr"], poles["weight_decay"]) == (1e-3, 0.0)
    assert (rest["lr"], rest["weight_decay"]) == (0.01, 0.1)


def test_c93_both_directions_see_the_current_sample():
    layer = S4D(1, 4, bidirectional=True).double()
    x = torch.zeros(1, 9, 1, dtype=torch.float64)
    x[0, 4] = 1
    y = layer(x)[0, :, 0]
    forth, back = layer.kernel(5)[0], layer.reverse.kernel(5)[0]
    torch.testing.assert_close(y[5:], forth[1:])
    torch.testing.assert_close(y[:4].flip(0), back[1:])
    torch.testing.assert_close(y[4], forth[0] + back[0] + layer.D[0] + layer.reverse.D[0])


def tensors(*shape, n, key_heads):
    draw = torch.Generator().manual_seed(0)
    shapes = (shape, (shape[0], key_heads, n, shape[-1]), (shape[0], key_heads, n, shape[-1]))
    return [torch.randn(each, generator=draw, dtype=torch.float64) for each in shapes]


RECTIFIED = RotaryScaling("rerope", head_dim=8, original_length=16, window=4)


def test_c98_queries_are_the_last_rows_and_neighbours_share_keys():
    q, k, v = tensors(2, 4, 11, 8, n=11, key_heads=2)
    whole = extrapolated_attention(q, k, v, RECTIFIED)
    torch.testing.assert_close(extrapolated_attention(q[:, :, 8:], k, v, RECTIFIED), whole[:, :, 8:])
    alone = extrapolated_attention(q[:, 2:3], k[:, 1:], v[:, 1:], RECTIFIED)
    torch.testing.assert_close(alone, whole[:, 2:3])


@pytest.mark.parametrize("padding", ["left", "right"])
def test_c99_positions_count_from_the_first_key_that_is_no_padding(padding):
    scaling = RotaryScaling("self_extend", head_dim=8, original_length=16, window=4, group=3, logit_scale="log_n")
    q, k, v = tensors(2, 2, 11, 8, n=11, key_heads=2)
    used = slice(4, 11) if padding == "left" else slice(0, 7)
    for x in (q, k, v):
        x[1, :, [i for i in range(11) if not used.start <= i < used.stop]] = torch.nan
    out, lse = extrapolated_attention(q, k, v, scaling, lengths=[11, 7], padding=padding, start=5, return_lse=True)
    own = [x[1:, :, used] for x in (q, k, v)]
    torch.testing.assert_close(out[1:, :, used], extrapolated_attention(*own, scaling, start=5))
    rest = [i for i in range(11) if not used.start <= i < used.stop]
    assert (out[1, :, rest] == 0).all()
    assert (lse[1, :, rest] == -torch.inf).all()
    near, far = (extrapolated_attention(*own, scaling, start=at) for at in (0, 48))
    assert not torch.allclose(near, far)  # the logit scale follows the position
