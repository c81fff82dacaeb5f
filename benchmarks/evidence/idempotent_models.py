"""Which generators are compared, of one size, and how is each of them trained?"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lina.torch import EMA, CouplingFlow, IdempotentLinearizer, fourier_noise, fourier_statistics, ign_loss

FEATURES, LATENT, RANK = 64, 48, 24
WIDTH = 256
CODE = 48


@dataclass(frozen=True)
class Budget:
    """What a run may use: seconds of CPU time of one thread, steps of Adam until then, means of the parameters."""

    cpu_s: float = 20.0
    batch: int = 64
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.999
    threads: int = 1


def perceptron(*widths: int, last: nn.Module | None = None, norm: bool = False) -> nn.Sequential:
    """Return linear layers with SiLU between them, after layer norms where ``norm`` is set."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), *([nn.LayerNorm(outputs)] if norm else []), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]), *([] if last is None else [last]))


class Trainer:
    """One kind of generator: its networks, a step of training, and samples of the means of its parameters."""

    idempotent = False
    lr = 1e-3

    def __init__(self, data: Tensor, budget: Budget) -> None:
        self.data, self.budget = data, budget
        self.network = self.build()
        self.ema = EMA(self.network, budget.ema)
        self.optimizer = self.adam(self.network)

    def build(self) -> nn.Module:
        """Return the network that generates."""
        raise NotImplementedError

    def losses(self, x: Tensor) -> Tensor:
        """Return the loss of a step for a batch of data."""
        raise NotImplementedError

    def sample(self, n: int) -> Tensor:
        """Return n generated samples."""
        return self.ema.model(torch.randn(n, LATENT))

    def adam(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of the budget for a network."""
        return torch.optim.Adam(network.parameters(), lr=self.lr, betas=self.budget.betas)

    def parameters(self) -> int:
        """Return the number of parameters of all networks that are trained."""
        networks = [each for each in vars(self).values() if isinstance(each, nn.Module) and not isinstance(each, EMA)]
        return sum(p.numel() for each in networks for p in each.parameters())

    def step(self, x: Tensor) -> None:
        """Descend once."""
        descend(self.optimizer, self.losses(x))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


class LSGAN(Trainer):
    """Least-squares GAN: one step of the discriminator, one of the generator."""

    critic_steps = 1

    def __init__(self, data: Tensor, budget: Budget) -> None:
        super().__init__(data, budget)
        self.critic = perceptron(FEATURES, WIDTH, WIDTH, 1)
        self.critic_optimizer = self.adam(self.critic)

    def build(self) -> nn.Module:
        """Return the network that generates."""
        return perceptron(LATENT, WIDTH, WIDTH, FEATURES, last=nn.Tanh())

    def step(self, x: Tensor) -> None:
        """Descend with the critic, then with the generator."""
        for k in range(self.critic_steps):
            real = x if k == 0 else batch(self.data, self.budget.batch)
            with torch.no_grad():
                fake = self.network(torch.randn(len(real), LATENT))
            descend(self.critic_optimizer, self.critic_loss(real, fake))
        self.critic.requires_grad_(False)
        descend(self.optimizer, self.losses(x))
        self.critic.requires_grad_(True)

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the critic."""
        return ((self.critic(real) - 1).square().mean() + self.critic(fake).square().mean()) / 2

    def losses(self, x: Tensor) -> Tensor:
        """Return the loss of the generator."""
        return (self.critic(self.network(torch.randn(len(x), LATENT))) - 1).square().mean() / 2


class WassersteinGAN(LSGAN):
    """WGAN-GP: three steps of a critic, whose slope between real and generated samples is held near 1."""

    critic_steps = 3
    penalty = 10.0

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the critic."""
        between = torch.lerp(real, fake, torch.rand(len(real), 1)).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        excess = (slope.norm(dim=1) - 1).square().mean()
        return self.critic(fake).mean() - self.critic(real).mean() + self.penalty * excess

    def losses(self, x: Tensor) -> Tensor:
        """Return the loss of the generator."""
        return -self.critic(self.network(torch.randn(len(x), LATENT))).mean()


class IGN(Trainer):
    """Idempotent generative network: an autoencoder that is applied to its own output."""

    idempotent = True

    def __init__(
        self, data: Tensor, budget: Budget, *, lr: float = 3e-4, fourier: bool = False, **options: Any
    ) -> None:
        self.lr = lr
        super().__init__(data, budget)
        self.options = {"weights": (20.0, 20.0, 2.5), "clamp": 1.5, "routing": "fused"} | options
        self.statistics = fourier_statistics(data.reshape(-1, 1, 8, 8)) if fourier else None

    def build(self) -> nn.Module:
        """Return the network that generates."""
        return perceptron(FEATURES, WIDTH, WIDTH, CODE, WIDTH, WIDTH, FEATURES, last=nn.Tanh(), norm=True)

    def noise(self, n: int) -> Tensor:
        """Return what G is applied to."""
        if self.statistics is None:
            return torch.randn(n, FEATURES)
        return fourier_noise(self.statistics, n).flatten(1)

    def losses(self, x: Tensor) -> Tensor:
        """Return the loss of the generator."""
        return ign_loss(self.network, x, self.noise(len(x)), **self.options).loss

    def sample(self, n: int) -> Tensor:
        """Return n generated samples."""
        return self.ema.model(self.noise(n))


class Linearizer(Trainer):
    """IdempotentLinearizer, trained by the likelihood of data between whose levels noise is put, and as a projector.

    ``projection`` weighs the mean absolute difference of x and G(x + noise), in nats an entry.
    """

    idempotent = True

    def __init__(self, data: Tensor, budget: Budget, *, thickness: float = 0.3, projection: float = 4.0) -> None:
        super().__init__(data, budget)
        self.thickness, self.projection = thickness, projection

    def build(self) -> nn.Module:
        """Return the network that generates."""
        return IdempotentLinearizer(CouplingFlow(FEATURES, depth=6, width=128), FEATURES, RANK)

    def noise(self, n: int) -> Tensor:
        """Return the preimages under g of standard normal latents, whose images under G are the samples."""
        return self.ema.model.g.inverse(torch.randn(n, FEATURES))

    def losses(self, x: Tensor) -> Tensor:
        """Return the loss of the generator."""
        between = x + (2 * torch.rand_like(x) - 1) / 16  # half a level
        loss = self.network.negative_log_likelihood(between, thickness=self.thickness).mean()
        if self.projection:
            loss = loss + self.projection * (self.network(x + 0.25 * torch.randn_like(x)) - x).abs().mean()
        return loss

    def sample(self, n: int) -> Tensor:
        """Return n generated samples."""
        return self.ema.model.sample((n, FEATURES)).clamp(-1, 1)


def ign(tightness: float, clamp: float | None = 1.5, **options: Any) -> Callable[[Tensor, Budget], Trainer]:
    """Return what makes an IGN."""
    weights = (20.0, 20.0, tightness)
    return lambda data, budget: IGN(data, budget, weights=weights, clamp=clamp, **options)


MODELS: dict[str, Callable[[Tensor, Budget], Trainer]] = {
    "LSGAN": LSGAN,
    "WGAN-GP": WassersteinGAN,
    "IGN, tightness 2.5, clamp (published)": ign(2.5),
    "IGN, tightness 2.5, clamp, Fourier noise": ign(2.5, fourier=True),
    "IGN, tightness 2.5": ign(2.5, None),
    "IGN, tightness 5, clamp": ign(5),
    "IGN, tightness 10, clamp": ign(10),
    "IGN, tightness 10, clamp, rate 1e-3": ign(10, lr=1e-3),
    "IGN, tightness 10": ign(10, None),
    "IGN, tightness 20, clamp": ign(20),
    "IdempotentLinearizer": Linearizer,
}


def batch(data: Tensor, size: int) -> Tensor:
    """Return random rows."""
    return data[torch.randint(len(data), (size,))]


class Turns:
    """Trainers that take turns, each with its own random numbers, until all have used up the same CPU time."""

    turn_s = 0.25

    def __init__(self, names: list[str], data: Tensor, seed: int, budget: Budget) -> None:
        torch.set_num_threads(budget.threads)
        self.data, self.budget = data, budget
        self.trainers, self.random = {}, {}
        self.taken = {name: {"steps": 0, "CPU, s": 0.0, "wall, s": 0.0} for name in names}
        for name in names:
            torch.manual_seed(seed)
            self.trainers[name] = MODELS[name](data, budget)
            self.random[name] = torch.get_rng_state()

    def train(self) -> dict[str, tuple[Trainer, dict[str, float]]]:
        """Return the trainers and what each of them took."""
        waiting = list(self.trainers)
        while waiting:
            for name in waiting:
                self._take_turn(name)
            waiting = [name for name in waiting if self.taken[name]["CPU, s"] < self.budget.cpu_s]
        sizes = {name: {"parameters": trainer.parameters()} for name, trainer in self.trainers.items()}
        return {name: (trainer, self.taken[name] | sizes[name]) for name, trainer in self.trainers.items()}

    def _take_turn(self, name: str) -> None:
        trainer, taken = self.trainers[name], self.taken[name]
        torch.set_rng_state(self.random[name])
        wall, start = time.perf_counter(), time.process_time()
        until = start + min(self.turn_s, self.budget.cpu_s - taken["CPU, s"])
        while time.process_time() < until:
            trainer.step(batch(self.data, self.budget.batch))
            trainer.ema.update(trainer.network)
            taken["steps"] += 1
        taken["CPU, s"] += time.process_time() - start
        taken["wall, s"] += time.perf_counter() - wall
        self.random[name] = torch.get_rng_state()
