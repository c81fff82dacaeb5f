"""Data in parallel: two processes train to the same loss and parameters as one, whole models and sharded ones."""

import gc

import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

import torch.distributed as dist  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.multiprocessing import spawn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from lina.torch import SequenceClassifier  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs torch with gloo"),
]

STEPS, SIZE, PROCESSES = 15, 16, 2
CASES = [(layer, kind) for layer in ("s4d", "s4", "rtf") for kind in ("ddp", "fsdp")]


def model_of(layer):
    torch.manual_seed(0)
    return SequenceClassifier(1, 2, layer=layer, width=8, depth=2, state=8).to(torch.float64)


def optimiser_of(model):
    return torch.optim.AdamW(model.parameter_groups(3e-2, state_lr=1e-2, weight_decay=0.01))


def batches():
    """Return the same batches in every process: slow and fast oscillations, alternating."""
    draws = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        fast = torch.arange(SIZE) % 2
        phase = 6.3 * torch.rand(SIZE, 1, generator=draws, dtype=torch.float64)
        yield torch.sin(torch.arange(32) * (0.3 + 0.3 * fast[:, None]) + phase)[..., None], fast


def trained(model, optimiser, rows):
    """Train on some ``rows`` of every batch; return the losses, averaged over the processes."""
    losses = []
    for x, y in batches():
        optimiser.zero_grad()
        loss = cross_entropy(model(x[rows]), y[rows])
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    losses = torch.stack(losses)
    if dist.is_initialized():
        dist.all_reduce(losses)
        losses /= PROCESSES
    return losses


def distributed(model, kind):
    """Return the model as it runs, in parallel on whole copies or on shards of its parameters."""
    if kind == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model)
    for block in model.blocks:
        fully_shard(block)
    return fully_shard(model)


def outcome(rank, layer, kind):
    """Return losses and whole parameters of a model that is trained here on its part of the rows."""
    model = model_of(layer)
    run = distributed(model, kind)
    losses = trained(run, optimiser_of(model), slice(rank, None, PROCESSES))
    state = {name: getattr(p, "full_tensor", lambda p=p: p)() for name, p in model.state_dict().items()}
    return {"losses": losses, **state}


def work(rank, file, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=PROCESSES)
    try:
        found = {case: outcome(rank, *case) for case in CASES}
        if rank == 0:
            torch.save(found, f"{folder}/found.pt")
        dist.barrier()
    finally:
        gc.collect()  # models hold the group, whose threads must end before the process does
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    spawn(work, (str(folder / "meeting"), str(folder)), nprocs=PROCESSES)
    return torch.load(folder / "found.pt")


@pytest.mark.parametrize(("layer", "kind"), CASES)
def test_two_processes_train_to_the_loss_and_the_parameters_of_one(layer, kind, found):
    model, two = model_of(layer), dict(found[layer, kind])
    losses = trained(model, optimiser_of(model), slice(None))
    torch.testing.assert_close(two.pop("losses"), losses, rtol=1e-9, atol=1e-12)
    assert losses[-1] < 0.9 * losses[0]
    assert set(two) == set(model.state_dict())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(two[name], value, rtol=1e-7, atol=1e-9)
