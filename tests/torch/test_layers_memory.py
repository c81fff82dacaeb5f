"""The memory of LegS as a module: dense solves, integrals, three ways to run it, gradients, what it refuses."""

import copy
import pickle

import numpy as np
import pytest

from tests.reference.hippo import legs_projection, legs_states

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina.torch.layers.legs_memory import LegSMemory, LegSState  # noqa: E402

pytestmark = pytest.mark.torch

METHODS = ("logbilinear", "exact", "bilinear", "backward")
each_method = pytest.mark.parametrize("method", METHODS)


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def stepped(memory, x, state):
    out = []
    for t in range(x.shape[1]):
        latest, state = memory.step(x[:, t], state)
        out.append(latest)
    return torch.stack(out, 1), state


@each_method
def test_every_channel_of_every_sequence_is_remembered_by_itself(method):
    x = draw(2, 40, 3)
    found = LegSMemory(6, method=method)(x).numpy()
    assert found.shape == (2, 40, 3, 6)
    for row in range(2):
        for channel in range(3):
            wanted = legs_states(x[row, :, channel].numpy(), 6, method)
            np.testing.assert_allclose(found[row, :, channel], wanted, rtol=0, atol=1e-12)


def test_the_exact_memory_is_the_projection_of_the_past():
    x = draw(2, 30, 3)
    memory = LegSMemory(8, method="exact", return_all=False)
    wanted = legs_projection(x.transpose(1, 2).numpy(), 8)
    np.testing.assert_allclose(memory(x).numpy(), wanted, rtol=0, atol=1e-13)


@each_method
def test_a_constant_is_its_first_coefficient(method):
    found = LegSMemory(8, method=method)(torch.full((1, 20, 1), 3.0, dtype=torch.float64))
    wanted = torch.tensor([3.0] + [0.0] * 7, dtype=torch.float64)
    torch.testing.assert_close(found, wanted.expand(1, 20, 1, 8), rtol=0, atol=1e-13)


def test_a_sequence_at_half_the_speed_leaves_the_same_memory():
    x = draw(2, 50, 3)
    memory = LegSMemory(8, method="exact", return_all=False)
    torch.testing.assert_close(memory(x.repeat_interleave(2, 1)), memory(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("scaling", "factors"), [("orthonormal", [2**0.5] * 5), ("lmu", [(2 * n + 1) ** 0.5 for n in range(5)])]
)
def test_other_scalings_multiply_every_coefficient_by_a_number(scaling, factors):
    x = draw(1, 30, 2)
    found, factors = LegSMemory(5, scaling=scaling), torch.tensor(factors, dtype=torch.float64)
    torch.testing.assert_close(found(x), LegSMemory(5)(x) * factors, rtol=0, atol=1e-12)
    _, state = found.prefill(x[:, :29])
    torch.testing.assert_close(found.step(x[:, 29], state)[0], found(x)[:, 29], rtol=0, atol=1e-12)


@each_method
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_whole_parts_and_single_samples_agree(method, dtype, atol):
    x, memory = draw(2, 60, 3, dtype=dtype), LegSMemory(16, method=method)
    whole = memory(x)
    one, first = memory.prefill(x[:, :25])
    two, last = memory.prefill(x[:, 25:], first)
    torch.testing.assert_close(torch.cat([one, two], 1), whole, rtol=0, atol=atol)
    single, end = stepped(memory, x, memory.initial_state(2, 3, dtype=dtype))
    torch.testing.assert_close(single, whole, rtol=0, atol=atol)
    torch.testing.assert_close(end.memory, last.memory, rtol=0, atol=atol)
    assert (first.seen, last.seen, end.seen) == (25, 60, 60)


def test_without_all_of_them_the_last_memory_comes_out_of_every_way():
    x, memory = draw(2, 30, 3), LegSMemory(8, return_all=False)
    wanted = LegSMemory(8)(x)[:, -1]
    torch.testing.assert_close(memory(x), wanted)
    found, state = memory.prefill(x[:, :29])
    assert found.shape == (2, 3, 8)
    torch.testing.assert_close(memory.step(x[:, 29], state)[0], wanted)


def test_a_prefill_from_the_initial_state_is_one_from_nothing():
    x, memory = draw(2, 10, 3), LegSMemory(4)
    assert torch.equal(memory.prefill(x, memory.initial_state(2, 3, dtype=x.dtype))[0], memory.prefill(x)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_for_the_caller_only(dtype):
    x, memory = draw(2, 30, 3, dtype=dtype), LegSMemory(8)
    exact = memory(x.double())
    found, state = memory.prefill(x)
    assert found.dtype == memory(x).dtype == dtype
    assert state.memory.dtype == torch.float32
    torch.testing.assert_close(state.memory.double(), exact[:, -1], rtol=0, atol=1e-6)
    for before in (state, memory.initial_state(2, 3, dtype=dtype)):
        latest, after = memory.step(x[:, 0], before)
        assert (latest.dtype, after.memory.dtype) == (dtype, torch.float32)


def test_two_thousand_single_steps_keep_single_precision():
    x, memory = draw(1, 2000, 2), LegSMemory(32, return_all=False)
    _, state = stepped(memory, x.float(), memory.initial_state(1, 2, dtype=torch.float32))
    assert float((state.memory - memory(x)).abs().max() / memory(x).abs().max()) < 1e-5


def test_a_state_holds_no_more_than_its_memory():
    _, state = LegSMemory(8).prefill(draw(2, 500, 3))
    assert state.memory.untyped_storage().nbytes() == 2 * 3 * 8 * 8


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@each_method
@pytest.mark.parametrize("return_all", [True, False])
def test_gradients_are_those_of_differences_in_every_way(method, return_all):
    memory = LegSMemory(4, method=method, return_all=return_all)

    def in_parts(x):
        found, state = memory.prefill(x[:, :3])
        for t in range(3, 6):
            latest, state = memory.step(x[:, t], state)
        return found, latest

    x = draw(2, 6, 3).requires_grad_()
    assert torch.autograd.gradcheck(memory, (x,))
    assert torch.autograd.gradcheck(in_parts, (x,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
@pytest.mark.parametrize("method", ["logbilinear", "bilinear", "backward"])
def test_it_compiles_in_one_graph_and_takes_a_new_axis_of_vmap(method):
    torch.compiler.reset()
    x, memory = draw(4, 2, 20, 3), LegSMemory(8, method=method)
    compiled = torch.compile(memory, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x[0]), memory(x[0]))
    torch.testing.assert_close(torch.func.vmap(memory)(x), torch.stack([memory(part) for part in x]))


def test_there_is_nothing_to_train_or_save_and_copies_do_the_same():
    memory, x = LegSMemory(8, method="backward", scaling="lmu", return_all=False), draw(1, 9, 2)
    assert not list(memory.parameters())
    assert not memory.state_dict()
    for other in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory)), memory.double()):
        assert torch.equal(other(x), memory(x))
    assert repr(memory) == "LegSMemory(order=8, method='backward', scaling='lmu', return_all=False)"


def test_no_sequence_is_a_batch_too_and_one_sample_a_sequence():
    memory = LegSMemory(4)
    assert memory(torch.zeros(0, 5, 3)).shape == (0, 5, 3, 4)
    one = memory(torch.full((1, 1, 1), 2.0))
    torch.testing.assert_close(one, torch.tensor([2.0, 0, 0, 0]).reshape(1, 1, 1, 4), rtol=0, atol=1e-6)


def test_what_is_given_stays_as_it_was():
    x, memory = draw(2, 8, 3), LegSMemory(4)
    _, state = memory.prefill(x)
    kept, before = x.clone(), state.memory.clone()
    memory.prefill(x, state)
    memory.step(x[:, 0], state)
    assert torch.equal(x, kept)
    assert torch.equal(state.memory, before)


MEMORY = LegSMemory(4)
STATE = MEMORY.initial_state(2, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: LegSMemory(0), ValueError, "order must be at least 1, got 0"),
        (lambda: LegSMemory(2.5), TypeError, "order must be an int, got float"),
        (lambda: LegSMemory(4, method="euler"), ValueError, "method must be one of 'logbilinear'.* got 'euler'"),
        (lambda: LegSMemory(4, scaling="none"), ValueError, "scaling must be one of 'paper'"),
        (lambda: MEMORY(np.zeros((2, 5, 3))), TypeError, "x must be a torch tensor.* got ndarray"),
        (lambda: MEMORY(torch.zeros(2, 5, 3, dtype=torch.int64)), TypeError, "x must be of a real .*int64"),
        (lambda: MEMORY(torch.zeros(2, 5, 3, dtype=torch.complex64)), TypeError, "x must be of a real .*complex64"),
        (lambda: MEMORY(draw(5, 3)), ValueError, r"x must have shape \(batch, length, channels\).* got \(5, 3\)"),
        (lambda: MEMORY(draw(2, 0, 3)), ValueError, r"x must have at least one sample, got shape \(2, 0, 3\)"),
        (lambda: MEMORY(draw(2, 5, 3) / 0), ValueError, "x must be finite"),
        (lambda: MEMORY.prefill(draw(2, 5, 3) / 0), ValueError, "x must be finite"),
        (lambda: MEMORY.step(draw(2, 3) / 0, STATE), ValueError, "x_t must be finite"),
        (lambda: MEMORY.step(draw(2, 1, 3), STATE), ValueError, r"x_t must have shape \(batch, channels\)"),
        (lambda: MEMORY.step(draw(2, 3), STATE.memory), TypeError, "state must be a LegSState, got Tensor"),
        (lambda: MEMORY.step(draw(2, 3), None), TypeError, "state must be a LegSState, got NoneType"),
        (lambda: MEMORY.step(draw(2, 4), STATE), ValueError, r"state must have shape \(2, 4, 4\).* got \(2, 3, 4\)"),
        (lambda: MEMORY.step(draw(1, 3), STATE), ValueError, r"state must have shape \(1, 3, 4\)"),
        (lambda: LegSMemory(5).step(draw(2, 3), STATE), ValueError, r"state must have shape \(2, 3, 5\)"),
        (lambda: MEMORY.prefill(draw(2, 9, 3).float(), STATE), ValueError, "dtype torch.float32 .*torch.float64"),
        (lambda: MEMORY.step(draw(2, 3), LegSState(STATE.memory, -1)), ValueError, "state.seen must be at least 0"),
        (lambda: MEMORY.step(draw(2, 3), LegSState(STATE.memory, 1.5)), TypeError, "state.seen must be an int"),
        (lambda: MEMORY.step(draw(2, 3), LegSState([0.0], 1)), TypeError, "state must be a tensor.* got list"),
        (lambda: MEMORY.initial_state(-1, 3), ValueError, "batch must be at least 0, got -1"),
        (lambda: MEMORY.initial_state(2, 0), ValueError, "channels must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
