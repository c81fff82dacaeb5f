"""What extrapolating attention is made of: regions, blocks beside the stock operators, merging, memory."""

import itertools
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.rope import rotate  # noqa: E402
from lina.torch import extrapolated_attention, merge_attention  # noqa: E402
from lina.torch.attention import blockwise, flash  # noqa: E402
from lina.torch.attention.regions import region  # noqa: E402
from tests.reference.extrapolated_attention import attention_by_definition  # noqa: E402
from tests.torch.attention_cases import EVERY, scaling, tensors  # noqa: E402

pytestmark = pytest.mark.torch


def pairs_of(part):
    """Return the (query, key) pairs of a part, run by run."""
    for run in range(part.rows.count):
        rows, keys = (
            list(range(s.start + run * s.step, s.start + run * s.step + s.length)) for s in (part.rows, part.keys)
        )
        if part.flipped:
            rows, keys = rows[::-1], keys[::-1]
        for (a, i), (b, j) in itertools.product(enumerate(rows), enumerate(keys)):
            if not part.causal or b <= a:
                yield i, j


@pytest.mark.parametrize(("near", "far"), [(0, 100), (0, 1), (0, 4), (3, 100), (5, 7), (2, 9), (6, 6), (4, 3)])
@pytest.mark.parametrize("keys", [0, 1, 3, 8, 23])
@pytest.mark.parametrize("first", [0, 1, 4, 11, 22])
def test_the_parts_of_a_region_are_each_of_its_pairs_once(near, far, keys, first):
    found = [pair for part in region(first, 23, near, far, keys) for pair in pairs_of(part)]
    wanted = {(i, j) for i in range(first, 23) for j in range(min(keys, i + 1)) if near <= i - j < far}
    assert len(found) == len(set(found))
    assert set(found) == wanted


@pytest.mark.parametrize("window", [1, 5, 64, 999])
def test_no_part_has_an_empty_axis(window):
    for part in [*region(0, 1000, 0, window, 1000), *region(0, 1000, window, 2000, 1000)]:
        assert part.rows.length > 0
        assert part.keys.length > 0
        assert not part.causal or part.rows.length == part.keys.length


def test_a_band_has_as_few_parts_at_any_length():
    assert len(list(region(0, 10**6 + 3, 0, 1000, 10**6 + 3))) < 8


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [True, False])
def test_blocks_and_stock_operators_agree_beyond_one_block(dtype, causal):
    q, k, v = tensors(torch, 600, 600, dtype, batch=1)
    g = tensors(torch, 600, 600, dtype, batch=1, seed=1)[0]
    (out, lse), stock = blockwise.attend(q, k, v, causal, 0.3), flash.attend(q, k, v, causal, 0.3)
    more = (lse + 0.5).contiguous()
    found = [out, lse, *blockwise.attend_backward(g, q, k, v, out, more, causal, 0.3)]
    wanted = [*stock, *flash.attend_backward(g, q, k, v, out, more, causal, 0.3)]
    for x, y in zip(found, wanted, strict=True):
        assert float((x - y).double().norm()) <= 16 * torch.finfo(dtype).eps * float(y.double().norm())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_stock_operators_are_found_on_the_cpu(dtype):
    """A release of torch that loses them is to be noticed: the blocks are several times slower."""
    assert flash.operators("cpu", dtype) == (flash._cpu, flash._cpu_backward)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("n", [1, 3, 8, 16, 17, 40, 600, 1100])
def test_the_operators_lose_no_nan(n, causal, dtype):
    """Those of the CPU take rows of which they have met no number for masked ones."""
    q, k, v = tensors(torch, n, n, dtype, batch=1, heads=2, key_heads=1)
    generator = torch.Generator().manual_seed(n)
    for spoilt in (slice(0, 1), slice(0, n), slice(0, 512), slice(512, 1024), None, None, None):
        bad = k.clone()
        where = torch.rand(n, generator=generator) < 0.3 if spoilt is None else spoilt
        bad[:, :, where] = torch.nan
        found, wanted = (f.attend(q, bad, v, causal, 0.3) for f in (flash, blockwise))
        for x, y in zip(found, wanted, strict=True):
            assert torch.equal(x.isnan(), y.isnan())


@pytest.mark.parametrize("broken", ["missing", "raises", "wrong"])
def test_operators_that_are_missing_or_wrong_are_left_alone(broken, monkeypatch):
    def raises(*args):
        raise RuntimeError

    def wrong(*args):
        out, lse = blockwise.attend(*args)
        return out, lse + 0.01

    def missing(*args):
        return torch.ops.aten.no_such_operator(*args)

    monkeypatch.setattr(flash, "_cpu", {"missing": missing, "raises": raises, "wrong": wrong}[broken])
    plain = blockwise.attend, blockwise.attend_backward
    assert flash.operators.__wrapped__("cpu", torch.float32) == plain


@pytest.mark.parametrize("name", EVERY)
def test_without_stock_operators_the_blocks_are_right(name, monkeypatch):
    monkeypatch.setattr(flash, "operators", lambda device, dtype: (blockwise.attend, blockwise.attend_backward))
    q, k, v = (x.requires_grad_() for x in tensors(torch, 41, 41))
    found = extrapolated_attention(q, k, v, scaling(name), return_lse=True)
    exact = attention_by_definition(q, k, v, scaling(name))
    torch.testing.assert_close(found[0].double(), exact[0], rtol=1e-6, atol=1e-6)
    grads, wanted = (torch.autograd.grad(out.sin().sum() + lse.sin().sum(), (q, k, v)) for out, lse in (found, exact))
    for x, y in zip(grads, wanted, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5)


def test_merged_parts_are_the_whole_and_so_are_their_gradients():
    q, k, v = (x.requires_grad_() for x in tensors(torch, 1, 12, torch.float64))
    some = scaling("none")
    whole = extrapolated_attention(q, k, v, some)
    theta = torch.from_numpy(some.inv_freq())
    turned, keys = rotate(q, torch.tensor([11]), theta), rotate(k, torch.arange(12), theta)
    groups = turned.unflatten(1, (2, 2))[:, :, :, 0]
    logits = groups @ keys.mT / 4
    parts = [
        (torch.softmax(logits[..., s], -1) @ v[..., s, :], logits[..., s].logsumexp(-1))
        for s in (slice(0, 5), slice(5, 12))
    ]
    merged = merge_attention(*zip(*parts, strict=True))[0].flatten(1, 2)[:, :, None]
    torch.testing.assert_close(merged, whole)
    for x, y in zip(*(torch.autograd.grad(out.sin().sum(), (q, k, v)) for out in (merged, whole)), strict=True):
        torch.testing.assert_close(x, y)


def test_merging_has_all_its_derivatives():
    out, lse = torch.randn(3, 4, 2, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    inputs = (out.requires_grad_(), lse.requires_grad_())
    merge = lambda out, lse: merge_attention(list(out), list(lse))  # noqa: E731
    assert torch.autograd.gradcheck(merge, inputs)
    assert torch.autograd.gradgradcheck(merge, inputs)


def test_rows_without_keys_in_some_or_all_sets_are_merged_without_nan():
    outs = torch.tensor([[[1.0], [1.0]], [[3.0], [5.0]]], requires_grad=True)
    lses = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]], requires_grad=True)
    out, lse = merge_attention(list(outs), list(lses))
    assert out.tolist() == [[1.0], [0.0]]
    assert lse.tolist() == [0.0, -torch.inf]
    out.sum().backward()
    assert bool(outs.grad.isfinite().all())
    assert bool(lses.grad.isfinite().all())


def test_what_a_set_without_keys_says_is_not_read():
    outs = torch.tensor([[[1.0], [1.0]], [[torch.nan], [5.0]]], requires_grad=True)
    lses = torch.tensor([[0.0, 0.0], [-torch.inf, 0.0]])
    out, _ = merge_attention(list(outs), list(lses))
    assert out.tolist() == [[1.0], [3.0]]
    out.sum().backward()
    assert outs.grad.flatten().tolist() == [1.0, 0.5, 0.0, 0.5]


@pytest.mark.parametrize(
    ("outs", "lses", "message"),
    [
        ([], [], "outs and lses must have as many entries, at least one, got 0 and 0"),
        ([torch.ones(3, 2)], [], "at least one, got 1 and 0"),
        ([torch.ones(3, 2)], [torch.ones(2)], r"outs\[0\] and lses\[0\] must have the shapes \(3, 2\) and \(3,\)"),
        ([torch.ones(3, 2), torch.ones(2, 2)], [torch.ones(3), torch.ones(2)], r"outs\[1\] and lses\[1\]"),
        ([torch.ones(3, 2)], [[1.0]], r"lses\[0\] must be a floating-point tensor, got list"),
    ],
)
def test_what_cannot_be_merged_is_named(outs, lses, message):
    with pytest.raises((TypeError, ValueError), match=message):
        merge_attention(outs, lses)


MEMORY = """
import resource, sys, torch
torch.set_num_threads(1)
from lina.rope import RotaryScaling
from lina.torch import extrapolated_attention
n = int(sys.argv[1])
some = RotaryScaling("rerope", head_dim=16, original_length=64, window=64)
q, k, v = (torch.randn(1, 1, n, 16, requires_grad=True) for _ in range(3))
small = [x[:, :, :200] for x in (q, k, v)]
extrapolated_attention(*small, some).sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
extrapolated_attention(q, k, v, some).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_grows_with_the_length_and_not_with_its_square():
    n = 16000
    done = subprocess.run([sys.executable, "-c", MEMORY, str(n)], capture_output=True, text=True, check=True)
    # One matrix of logits would be 1000 MB; each of q, k, v is 1 MB.
    assert int(done.stdout) < 60_000


@pytest.mark.parametrize("given", [None, 3, torch.zeros(2, 3).numpy()])
def test_parts_that_are_no_sequence_are_refused(given):
    with pytest.raises(TypeError, match="outs must be a sequence of tensors, got"):
        merge_attention(given, [torch.zeros(2)])
