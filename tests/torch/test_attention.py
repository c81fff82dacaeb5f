"""Extrapolating attention: its definition, its gradients, padding, and what it must reduce to."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from torch.nn.functional import scaled_dot_product_attention  # noqa: E402

from lina._core.errors import GradientError  # noqa: E402
from lina.rope import RotaryScaling, rotate  # noqa: E402
from lina.torch import RotaryCache, decode_attention, extrapolated_attention  # noqa: E402
from tests.reference.extrapolated_attention import attention_by_definition  # noqa: E402
from tests.torch.attention_cases import EVERY, POSITION, TRAINED, scaling, tensors, tolerances  # noqa: E402

pytestmark = pytest.mark.torch
every = pytest.mark.parametrize("name", EVERY)
RELATIVE = [
    name for name in POSITION if name.split()[0] in ("rerope", "leaky_rerope", "window") and "log_n" not in name
]


def relative_error(found, wanted):
    return float((found.detach().double() - wanted.detach()).norm() / wanted.detach().norm())


@every
@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 19, 50])
def test_outputs_and_logsumexp_are_those_of_the_definition(name, n):
    q, k, v = tensors(torch, n, n)
    found = extrapolated_attention(q, k, v, scaling(name), return_lse=True)
    for x, exact in zip(found, attention_by_definition(q, k, v, scaling(name)), strict=True):
        torch.testing.assert_close(x.double(), exact, rtol=1e-6, atol=1e-6)


@every
@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 37), (5, 37), (20, 37), (36, 37), (11, 17)])
def test_the_last_queries_of_a_sequence_are_those_of_the_definition(name, m, n):
    q, k, v = tensors(torch, m, n)
    found = extrapolated_attention(q, k, v, scaling(name), start=5)
    exact, _ = attention_by_definition(q, k, v, scaling(name), start=5)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", POSITION)
@pytest.mark.parametrize("window", [1, 2, 3, 5, 11, 12])
def test_any_window_of_a_few_rows_is_right(name, window):
    q, k, v = tensors(torch, 41, 41, batch=1)
    found = extrapolated_attention(q, k, v, scaling(name, window))
    exact, _ = attention_by_definition(q, k, v, scaling(name, window))
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


@every
def test_rows_far_out_are_those_of_the_definition(name):
    q, k, v = tensors(torch, 3000, 3000, batch=1, heads=2, key_heads=1)
    far = scaling(name, 1024, original_length=2048)
    rows = [0, 1023, 1024, 1025, 2047, 2048, 2500, 2999]
    found = extrapolated_attention(q, k, v, far)[:, :, rows]
    exact, _ = attention_by_definition(q, k, v, far, rows=rows)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("name", ["none", "yarn", "rerope log_n", "leaky_rerope", "sink"])
def test_both_layouts_and_partly_rotated_heads_are_right(name, layout):
    some = scaling(name, layout=layout, rotary_dim=16, head_dim=24)
    q, k, v = tensors(torch, 37, 37, channels=24)
    found = extrapolated_attention(q, k, v, some, scale=0.3)
    exact, _ = attention_by_definition(q, k, v, some, scale=0.3)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@every
def test_errors_of_outputs_and_gradients_are_within_twice_those_of_stock_attention(name, dtype):
    """The stock function is given the same q, k and v, and need not rotate."""
    q, k, v = (x.requires_grad_() for x in tensors(torch, 50, 50, dtype))
    g = tensors(torch, 50, 50, dtype, seed=1)[0]

    def errors(out, exact):
        found = [out, *torch.autograd.grad(out, (q, k, v), g)]
        wanted = [exact, *torch.autograd.grad(exact, (q, k, v), g.double())]
        return [relative_error(*pair) for pair in zip(found, wanted, strict=True)]

    ours = errors(extrapolated_attention(q, k, v, scaling(name)), attention_by_definition(q, k, v, scaling(name))[0])
    wide = [x.double() for x in (q, k, v)]
    stock = [scaled_dot_product_attention(*x, is_causal=True, enable_gqa=True) for x in ((q, k, v), wide)]
    for found, allowed in zip(ours, errors(*stock), strict=True):
        assert found <= 2 * allowed


@pytest.mark.parametrize("name", ["none", "yarn row_bucket", *POSITION])
def test_gradients_are_those_of_differences_also_through_the_logsumexp(name):
    q, k, v = (x.requires_grad_() for x in tensors(torch, 6, 9, torch.float64, 1, 2, 1, 4))
    few = scaling(name, 3, head_dim=4, original_length=6, sinks=2 if "sink" in name or "lambda" in name else None)
    few_rows = lambda q, k, v: extrapolated_attention(q, k, v, few, return_lse=True)  # noqa: E731
    assert torch.autograd.gradcheck(few_rows, (q, k, v))


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", ["none", "yarn row_bucket", "yarn local_static", *POSITION])
def test_padding_changes_nothing_and_is_not_read(name, padding):
    lengths, n, m = [30, 0, 11, 30, 37], 37, 20
    q, k, v = tensors(torch, m, n, batch=5)
    spans = [slice(n - each, n) if padding == "left" else slice(0, each) for each in lengths]
    for x in (q, k, v):
        for i, span in enumerate(spans):
            seen = torch.zeros(n, dtype=torch.bool)
            seen[span] = True
            x[i, :, ~seen[n - x.shape[2] :]] = torch.nan
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    options = {"lengths": torch.tensor(lengths), "padding": padding, "return_lse": True}
    out, lse = extrapolated_attention(q, k, v, scaling(name), **options)
    grads = torch.autograd.grad(out.sum(), (q, k, v))
    assert all(bool(x.isfinite().all()) for x in (out, *grads))
    for i, span in enumerate(spans):
        rows = slice(max(span.start - (n - m), 0), max(span.stop - (n - m), 0))
        alone = [
            x[i : i + 1, :, s].detach().requires_grad_() for x, s in zip((q, k, v), (rows, span, span), strict=True)
        ]
        wanted = extrapolated_attention(*alone, scaling(name), return_lse=True)
        torch.testing.assert_close(out[i : i + 1, :, rows], wanted[0])
        torch.testing.assert_close(lse[i : i + 1, :, rows], wanted[1])
        assert int((out[i] != 0).any(-1).sum()) == 4 * wanted[0].shape[2]
        for x, exact, s in zip(grads, torch.autograd.grad(wanted[0].sum(), alone), (rows, span, span), strict=True):
            torch.testing.assert_close(x[i : i + 1, :, s], exact)
            assert float(x[i].abs().sum()) == pytest.approx(float(exact.abs().sum()), rel=1e-5)


def plain(q, k, v, inv_freq=None):
    theta = scaling("none").inv_freq() if inv_freq is None else inv_freq
    q, k = (rotate(x.double(), torch.arange(x.shape[-2]), theta) for x in (q, k))
    return scaled_dot_product_attention(q, k, v.double(), is_causal=True, enable_gqa=True).float()


@pytest.mark.parametrize("name", ["linear", "ntk", "yarn", "llama3", "longrope"])
def test_kinds_of_frequencies_are_stock_attention_of_rotated_queries_and_keys(name):
    q, k, v = tensors(torch, 50, 50)
    some = scaling(name, logit_scale=None)
    wanted = plain(q, k, v, some.inv_freq(50))
    torch.testing.assert_close(extrapolated_attention(q, k, v, some), wanted, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("name", POSITION)
def test_nothing_changes_while_no_pair_is_beyond_the_window(name):
    q, k, v = tensors(torch, 50, 50)
    wide = scaling(name, 50, original_length=54)
    torch.testing.assert_close(extrapolated_attention(q, k, v, wide), plain(q, k, v), rtol=1e-6, atol=1e-6)


def test_leaky_with_factor_1_and_self_extend_with_group_1_are_plain():
    q, k, v = tensors(torch, 50, 50)
    for some in (scaling("leaky_rerope", factor=1.0), scaling("self_extend", group=1)):
        torch.testing.assert_close(extrapolated_attention(q, k, v, some), plain(q, k, v), rtol=1e-6, atol=1e-6)


def test_leaky_with_a_huge_factor_is_rerope():
    q, k, v = tensors(torch, 50, 50)
    leaky, flat = scaling("leaky_rerope", factor=1e12), scaling("rerope")
    found = extrapolated_attention(q, k, v, leaky)
    torch.testing.assert_close(found, extrapolated_attention(q, k, v, flat), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["yarn row_bucket", "linear row_bucket", "dynamic", "none log_n", "linear local_static"]
)
def test_schedules_without_a_tax_change_nothing_up_to_the_trained_length(name):
    q, k, v = tensors(torch, TRAINED, TRAINED)
    found = extrapolated_attention(q, k, v, scaling(name))
    torch.testing.assert_close(found, plain(q, k, v), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["none", "linear", "ntk", "ntk_fixed", "ntk_mixed", "llama3", "sink", "lambda_mask", *RELATIVE]
)
def test_a_million_positions_more_change_no_bit_where_only_distances_count(name):
    q, k, v = tensors(torch, 50, 50)
    near, far = (extrapolated_attention(q, k, v, scaling(name), start=start) for start in (0, 10**6))
    assert torch.equal(near, far)


@pytest.mark.parametrize("name", ["self_extend", "rerope log_n", "yarn row_bucket"])
def test_far_positions_are_as_exact_as_near_ones_where_they_count(name):
    q, k, v = tensors(torch, 50, 50)
    found = extrapolated_attention(q, k, v, scaling(name), start=10**6)
    exact, _ = attention_by_definition(q, k, v, scaling(name), start=10**6)
    torch.testing.assert_close(found.double(), exact, **tolerances(scaling(name), 10**6))


def test_strides_do_not_matter():
    q, k, v = tensors(torch, 50, 50)
    wanted = extrapolated_attention(q, k, v, scaling("rerope"))
    turned = [x.transpose(2, 3).contiguous().transpose(2, 3) for x in (q, k, v)]
    torch.testing.assert_close(extrapolated_attention(*turned, scaling("rerope")), wanted)
    by_time = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    torch.testing.assert_close(extrapolated_attention(*by_time, scaling("rerope")), wanted)


@pytest.mark.parametrize(("batch", "m", "n"), [(0, 9, 9), (2, 0, 9), (2, 0, 0)])
def test_what_is_empty_returns_empty(batch, m, n):
    q, k, v = (x.requires_grad_() for x in tensors(torch, m, n, batch=batch))
    for options in ({}, {"lengths": [n] * batch}) if batch else ({},):
        out, lse = extrapolated_attention(q, k, v, scaling("rerope"), return_lse=True, **options)
        assert out.shape == q.shape
        assert lse.shape == q.shape[:-1]
        grads = torch.autograd.grad(out.sum(), (q, k, v))
        assert not any(x.any() for x in grads)


def test_no_sequences_with_no_lengths_return_empty():
    out, lse = extrapolated_attention(*tensors(torch, 5, 9, batch=0), scaling("rerope"), lengths=[], return_lse=True)
    assert out.shape == (0, 4, 5, 16)
    assert lse.shape == (0, 4, 5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # which torch.func.jvp calls itself
def test_forward_mode_and_the_transforms_of_torch_func_are_refused():
    q, k, v = tensors(torch, 20, 20)
    attend = lambda q: extrapolated_attention(q, k, v, scaling("rerope")).sum()  # noqa: E731
    cache = RotaryCache(scaling("rerope"))
    cache.append(k, v)
    one = lambda q: decode_attention(q[:, :, -1:], cache).sum()  # noqa: E731
    for function, name in ((attend, "extrapolated_attention"), (one, "decode_attention")):
        for transform in (lambda f: torch.func.jvp(f, (q,), (q,)), lambda f: torch.func.grad(f)(q)):
            with pytest.raises(GradientError, match=f"{name} has no forward mode and takes no transform of torch.func"):
                transform(function)
        with (
            torch.autograd.forward_ad.dual_level(),
            pytest.raises(GradientError, match=f"{name} has no forward mode"),
        ):
            function(torch.autograd.forward_ad.make_dual(q, q))


def test_a_second_derivative_is_refused():
    q, k, v = (x.requires_grad_() for x in tensors(torch, 20, 20, torch.float64))
    out = extrapolated_attention(q, k, v, scaling("rerope"))
    (grad,) = torch.autograd.grad(out.sum(), q, create_graph=True)
    with pytest.raises(GradientError, match="extrapolated_attention has first derivatives only"):
        (out.sum() + grad.square().sum()).backward()


@pytest.mark.filterwarnings("ignore")  # torch's own, on what it leaves uncompiled
def test_a_compiled_function_runs_attention_uncompiled_and_has_the_same_numbers():
    q, k, v = (x.requires_grad_() for x in tensors(torch, 40, 40))
    some, cache = scaling("rerope"), RotaryCache(scaling("rerope"))
    cache.append(k, v)

    def model(q, k, v):
        return extrapolated_attention(2 * q, k, v, some) + 1

    def last(q):
        return decode_attention(2 * q, cache) + 1

    found, wanted = torch.compile(model, backend="aot_eager")(q, k, v), model(q, k, v)
    torch.testing.assert_close(found, wanted)
    for x, y in zip(*(torch.autograd.grad(out.sin().sum(), (q, k, v)) for out in (found, wanted)), strict=True):
        torch.testing.assert_close(x, y)
    one = q[:, :, -1:].detach()
    torch.testing.assert_close(torch.compile(last, backend="aot_eager")(one), last(one))


def test_autocast_does_not_lower_the_precision():
    q, k, v = tensors(torch, 40, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = extrapolated_attention(q, k, v, scaling("rerope"))
    assert torch.equal(found, extrapolated_attention(q, k, v, scaling("rerope")))


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("at", [0, 7, 8, 16, 33])
def test_a_key_of_nan_spoils_the_rows_that_see_it_and_no_other(name, dtype, at):
    q, k, v = tensors(torch, 41, 41, dtype, batch=1)
    k[:, :, at] = torch.nan
    out, lse = extrapolated_attention(q, k, v, scaling(name), return_lse=True)
    spoilt, _ = attention_by_definition(q, k, v, scaling(name))
    assert torch.equal(out.isnan().all(-1), spoilt.isnan().any(-1))
    assert torch.equal(out.isnan().any(-1), lse.isnan())


@pytest.mark.parametrize("name", ["none", "rerope", "window"])
def test_queries_of_nan_keys_of_nan_only_and_logits_that_overflow_are_nan(name):
    q, k, v = tensors(torch, 41, 41)
    q[:, :, [0, 8, 20]] = torch.nan
    out = extrapolated_attention(q, k, v, scaling(name))
    assert out.isnan().all(-1)[0, 0].nonzero().flatten().tolist() == [0, 8, 20]
    assert bool(
        extrapolated_attention(v[:, [0, 0, 1, 1]], torch.full_like(k, torch.nan), v, scaling(name)).isnan().all()
    )
    huge = torch.full_like(k, 1e20)
    assert bool(extrapolated_attention(-huge, huge, v, scaling(name)).isnan().all())


@pytest.mark.parametrize("scale", [0, -0.0, -0.25])
@pytest.mark.parametrize("name", ["none", "rerope", "lambda_mask", "yarn row_bucket"])
def test_a_scale_of_zero_or_below_is_that_of_the_definition(name, scale):
    q, k, v = (x.requires_grad_() for x in tensors(torch, 33, 41, torch.float64))
    found = extrapolated_attention(q, k, v, scaling(name), scale=scale, return_lse=True)
    wanted = attention_by_definition(q, k, v, scaling(name), scale=scale)
    for x, y in zip(found, wanted, strict=True):
        torch.testing.assert_close(x, y)
    grads, exact = (torch.autograd.grad(out.sin().sum() + lse.sum(), (q, k, v)) for out, lse in (found, wanted))
    for x, y in zip(grads, exact, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1e-2, 1.0, 1e5])
def test_gradients_through_the_logsumexp_have_the_precision_of_the_dtype_at_any_size(dtype, size):
    q, k, v = (x.requires_grad_() for x in tensors(torch, 40, 40, dtype))
    with torch.no_grad():
        k *= 1e-3  # so that what is finite in float64 is so in half precision
    grads = torch.autograd.grad(
        extrapolated_attention(q, k, v, scaling("rerope"), return_lse=True)[1].sum() * size, (q, k)
    )
    exact = torch.autograd.grad(attention_by_definition(q, k, v, scaling("rerope"))[1].sum() * size, (q, k))
    torch.testing.assert_close(
        grads[0], exact[0], rtol=0, atol=20 * torch.finfo(dtype).eps * float(exact[0].abs().max())
    )
    finite = exact[1].isfinite()  # keys are seen by many rows: 1e5 times their queries may be beyond float16
    bound = 4 * torch.finfo(dtype).eps * float(exact[1][finite].abs().max())
    torch.testing.assert_close(grads[1][finite], exact[1][finite], rtol=0, atol=bound)


def wrong(q, k, v, given, **options):
    return lambda: extrapolated_attention(q, k, v, given, **options)


q5, k5, v5 = tensors(torch, 5, 5)


def test_a_scale_of_numpy_is_a_number():
    found = extrapolated_attention(q5, k5, v5, scaling("none"), scale=np.float32(0.25))
    assert torch.equal(found, extrapolated_attention(q5, k5, v5, scaling("none"), scale=0.25))


BAD = {
    "q must be a torch tensor, got list": wrong([1.0], k5, v5, scaling("none")),
    "q must be float64, float32, bfloat16 or float16, got torch.int64": wrong(q5.long(), k5, v5, scaling("none")),
    "k must have shape .* got .2, 3, 5, 16.": wrong(q5, k5[:, [0, 1, 1]], v5, scaling("none")),
    "v must have the shape of k": wrong(q5, k5, v5[..., :4], scaling("none")),
    "v must have the dtype and device of q, torch.float32 on cpu, got torch.float64": wrong(
        q5, k5, v5.double(), scaling("none")
    ),
    "q must have shape .batch, heads, length, head_dim., got .4, 5, 16.": wrong(q5[0], k5, v5, scaling("none")),
    "q must have at most as many positions as k": wrong(q5, k5[:, :, :4], v5[:, :, :4], scaling("none")),
    "scaling must be a lina.rope.RotaryScaling, got str": wrong(q5, k5, v5, "rerope"),
    "q must have the head_dim of scaling, 8": wrong(q5, k5, v5, RotaryScaling("none", head_dim=8, original_length=4)),
    "scale must be finite, got nan": wrong(q5, k5, v5, scaling("none"), scale=float("nan")),
    "scale must be a number, got str": wrong(q5, k5, v5, scaling("none"), scale="1"),
    "q must be float64, float32, bfloat16 or float16, got torch.float8": wrong(
        *(x.to(torch.float8_e4m3fn) for x in (q5, k5, v5)), scaling("none")
    ),
    "start must be at most 9007199254740992, got 18014398509481984": wrong(
        q5, k5, v5, scaling("none"), start=2 * 2**53
    ),
    "length must be at most 9007199254740992": wrong(q5, k5, v5, scaling("dynamic"), length=2**70),
    "start must be at least 0, got -1": wrong(q5, k5, v5, scaling("none"), start=-1),
    "length must be an int, got float": wrong(q5, k5, v5, scaling("none"), length=5.0),
    "padding must be one of 'right', 'left', got 'both'": wrong(q5, k5, v5, scaling("none"), padding="both"),
    "lengths must have one entry for each of the 2 sequences, got 1": wrong(q5, k5, v5, scaling("none"), lengths=[5]),
    "lengths must be at most the length of k, 5, got 6": wrong(q5, k5, v5, scaling("none"), lengths=[5, 6]),
    "lengths must be integers, got torch.float32": wrong(q5, k5, v5, scaling("none"), lengths=torch.ones(2)),
    "lengths.1. must be at least 0, got -2": wrong(q5, k5, v5, scaling("none"), lengths=[5, -2]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments_are_named(message):
    with pytest.raises((TypeError, ValueError), match=message):
        BAD[message]()
