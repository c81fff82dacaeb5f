r"""
An idempotent network is a GAN
==============================

A generative adversarial network needs a critic D that is low for data and high for what the generator G makes of
noise. An idempotent generative network (IGN) has one network for both: it asks that data are fixed points,
:math:`G(x) = x`, and that noise is mapped to fixed points, :math:`G(G(z)) = G(z)`. So the distance of a sample to its
own image, :math:`\delta(y) = \lVert G(y) - y \rVert`, is the critic. This page follows that thought of the `article
9969 <https://kexue.fm/archives/9969>`__ from the gradient of a GAN to trained networks, and looks at what they are not.
"""

import copy
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

from lina.diffusion.metrics import frechet_distance, precision_recall
from lina.torch import EMA, CouplingFlow, IdempotentLinearizer, idempotence_report, ign_loss, single_loss_gan

torch.set_num_threads(1)  # faster for networks of this size
torch.manual_seed(0)

# %%
# **One loss for two players.** The critic descends :math:`D(x) - D(G(z))`, the generator :math:`D(G(z))`: two losses,
# and usually two steps that alternate. With the samples as :math:`2\,\mathrm{stop}(y) - y`, which is y and whose
# derivative is -1, one loss has both gradients:


def perceptron(*widths, last):
    layers = [nn.Sequential(nn.Linear(a, b), nn.SiLU()) for a, b in pairwise(widths[:-1])]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]), last)


D, G = perceptron(2, 32, 1, last=nn.Identity()).double(), perceptron(2, 32, 2, last=nn.Identity()).double()
x, z = torch.randn(2, 64, 2, dtype=torch.float64)
of_critic = torch.autograd.grad(D(x).mean() - D(G(z).detach()).mean(), [*D.parameters()])
of_generator = torch.autograd.grad(D(G(z)).mean(), [*G.parameters()])
at_once = torch.autograd.grad(single_loss_gan(D, G, x, z), [*D.parameters(), *G.parameters()])


def largest_difference(gradients, others):
    return max(float((a - b).abs().max()) for a, b in zip(gradients, others, strict=True))


print(f"gradients of one loss and of two: {largest_difference(at_once, of_critic + of_generator):.0e} apart")

# %%
# **One network for two players.** Nothing in this loss forbids a critic that has the parameters of the generator. With
# :math:`D = \delta` it is the loss of an IGN with equal weights: reconstruction, idempotence, and the term that is
# called tightness, which is the critic's view of generated samples.


def delta(y):
    return (G(y) - y).abs().mean(1)


as_gan = torch.autograd.grad(single_loss_gan(delta, G, x, z), [*G.parameters()])
as_ign = torch.autograd.grad(ign_loss(G, x, z, weights=(1, 1, 1), clamp=None).loss, [*G.parameters()])
print(f"as a GAN and as an IGN: {largest_difference(as_gan, as_ign):.0e} apart")

# %%
# **Digits.** An autoencoder of 64 pixels is trained as an IGN, twice: with the weights that were published, 20 : 20 :
# 2.5, in which the critic's view of samples counts least, and with 20 : 20 : 10. Beside them is a network that is
# idempotent by construction, :math:`G = g^{-1} P g` with an invertible g and a projector P, trained by likelihood. Each
# has half a minute or less; the means of their parameters are judged.

pixels, _ = load_digits(return_X_y=True)
digits = torch.tensor(pixels / 8 - 1, dtype=torch.float32)[torch.randperm(len(pixels))]
digits, test = digits[:1200], digits[1200:]


def autoencoder():
    def block(a, b):
        return nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.SiLU())

    return nn.Sequential(*map(block, (64, 256, 256, 48, 256), (256, 256, 48, 256, 256)), nn.Linear(256, 64), nn.Tanh())


def trained(network, loss, steps, rate):
    mean, optimizer = EMA(network, 0.998), torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))
    for _ in range(steps):
        value = loss(network, digits[torch.randint(len(digits), (64,))])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        mean.update(network)
    return mean.model.eval()


def idempotent(tightness):
    def loss(network, x):
        return ign_loss(network, x, torch.randn_like(x), weights=(20, 20, tightness), routing="fused").loss

    return loss


def likelihood(network, x):
    between = x + (2 * torch.rand_like(x) - 1) / 16  # pixels have 17 levels
    projected = (network(x + 0.25 * torch.randn_like(x)) - x).abs().mean()
    return network.negative_log_likelihood(between, thickness=0.3).mean() + 4 * projected


torch.manual_seed(0)
networks = {f"IGN, tightness {w:g}": trained(autoencoder(), idempotent(w), 2500, 3e-4) for w in (2.5, 10)}
linearizer = IdempotentLinearizer(CouplingFlow(64, depth=6, width=128), 64, 24)
networks["linearizer"] = trained(linearizer, likelihood, 1200, 1e-3)
torch.manual_seed(1)
noise = dict.fromkeys(networks, torch.randn(len(test), 64))
with torch.no_grad():
    noise["linearizer"] = networks["linearizer"].g.inverse(noise["linearizer"])  # it draws samples there

# %%
# From the top: noise, its image, and the image after ten more applications.

fig, axes = plt.subplots(3 * len(networks), 12, figsize=(7, 5.2), layout="constrained")
for block, (name, network) in zip(axes.reshape(len(networks), 3, 12), networks.items(), strict=True):
    with torch.no_grad():
        y = [noise[name], network(noise[name])]
        y.append(y[-1])
        for _ in range(10):
            y[-1] = network(y[-1])
    for row, images, text in zip(block, y, ("z", "G(z)", "after 10 more"), strict=True):
        for axis, image in zip(row, images, strict=False):
            axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8)
    block[0, 5].set_title(name, fontsize=9)
plt.show()

# %%
# **What the numbers say together.** The Frechet distance of the first 20 principal components, precision (samples near
# data) and recall (data near samples) tell how good samples are; the report tells whether the network is idempotent.
# The weights that were published give digits that are fixed points, but few kinds of them: many data have no sample
# nearby. A stronger critic spreads the samples, and idempotence suffers, which is what one expects of a GAN: both
# players have the same parameters, and what the critic wants is that samples are no fixed points.

principal = torch.pca_lowrank(digits, 20, niter=4)[2].double()


def judge(name, network):
    with torch.no_grad():
        samples = network(noise[name]).clamp(-1, 1)
    coordinates = [(each.double() @ principal).numpy() for each in (test, samples)]
    precision, recall = precision_recall(*coordinates)
    report = idempotence_report(network, test, noise[name], applications=11)
    numbers = (report.idempotence, report.drift, report.reconstruction, report.diversity)
    print(f"{name:22}{frechet_distance(*coordinates):9.2f}{precision:11.2f}{recall:8.2f}", end="")
    print("".join(f"{each:10.1e}" for each in numbers))


print(f"{'':22}  Frechet  precision  recall     error  after 11  G(x) - x diversity")
for name, network in networks.items():
    judge(name, network)

# %%
# **Idempotence alone is worth nothing.** A map to one point is perfectly idempotent, and training can end there: with a
# rate of 1e-3 the second network does. So does the identity, of which every sample is a fixed point, noise too. The
# report is made to say both.

torch.manual_seed(0)
collapsed = trained(autoencoder(), idempotent(10), 1500, 1e-3)
print(idempotence_report(collapsed, test, noise["IGN, tightness 10"]), "\n")
print(idempotence_report(nn.Identity(), test, noise["IGN, tightness 10"]))

# %%
# **A projector cleans.** What is idempotent by construction is so to rounding, however often it is applied, also
# before any training; the other networks are pulled to fixed points that they pass again. Noisy digits, on the left of
# each pair, and their images:

noisy = test[:6] + 0.5 * torch.randn(6, 64)
fig, axes = plt.subplots(len(networks), 12, figsize=(7, 2), layout="constrained")
for row, (name, network) in zip(axes, networks.items(), strict=True):
    with torch.no_grad():
        images = torch.stack([noisy, network(noisy)], 1).flatten(0, 1)
    for axis, image in zip(row, images, strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(name.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=8)
plt.show()

exact = copy.deepcopy(networks["linearizer"]).double()
with torch.no_grad():
    once = exact(test.double())
    again = exact(exact(exact(once)))
print(f"linearizer in double precision: four applications differ from one by {(again - once).abs().max():.0e}")
