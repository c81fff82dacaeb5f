r"""
Softmax and its alternatives
============================

A classifier ends in a vector :math:`x` of any real numbers, the logits, which has to become a distribution. Softmax
does so, and never gives a class up: :math:`e^{x_i} > 0`. Others do. They differ in what they do with the classes that
lose, and each is the gradient of a loss.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from lina.simplex import (
    cross_entropy,
    entmax,
    entmax_loss,
    margin_softmax_loss,
    perturb_max,
    softmax,
    sparse_softmax_loss,
    sparsemax,
    sparsemax_loss,
    taylor_softmax,
    topk_softmax,
)

mappings = {
    "softmax": (softmax, "#777777"),
    "topk_softmax, k = 2": (lambda x: topk_softmax(x, 2), "#E69F00"),
    "perturb_max, gaussian": (perturb_max, "#CC79A7"),
    "entmax, alpha = 1.5": (entmax, "#56B4E9"),
    "sparsemax": (sparsemax, "#0072B2"),
}

# %%
# Handwritten digits, and the logits of a logistic regression. Below, the test image of which it is least certain.

data = load_digits()
train, test, y_train, y_test = train_test_split(data.data / 16, data.target, test_size=0.5, random_state=0)
model = LogisticRegression(max_iter=1000).fit(train, y_train)
logits = model.decision_function(test)
doubtful = np.argmin(np.max(softmax(logits), axis=-1))

fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.4), width_ratios=(1, 3), layout="constrained")
left.imshow(test[doubtful].reshape(8, 8), cmap="gray_r")
left.set(xticks=[], yticks=[], title=f"a {y_test[doubtful]}")
for i, (name, (mapping, colour)) in enumerate(mappings.items()):
    right.bar(np.arange(10) + 0.16 * (i - 2), mapping(logits[doubtful]), 0.16, color=colour, label=name)
right.set(xticks=range(10), xlabel="class", ylabel="probability")
right.legend(fontsize=8)
plt.show()

# %%
# With two classes a mapping is a curve: the probability of the first as its logit leads. Softmax is the logistic curve,
# noise of variance one makes it :math:`\Phi(d / \sqrt{2})`; sparsemax is a line that ends at a lead of 1, entmax
# smooths its ends and puts them at :math:`1 / (\alpha - 1)`. The Taylor polynomial
# :math:`1 + x + x^2 / 2` is positive as well, but falls for :math:`x < -1`: there a class gains by losing.

lead = np.linspace(-5, 5, 401)
pairs = np.stack([lead, 0 * lead], axis=-1)
fig, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, (mapping, colour) in mappings.items():
    if not name.startswith("topk"):
        axis.plot(lead, mapping(pairs)[:, 0], color=colour, label=name)
axis.plot(lead, taylor_softmax(pairs)[:, 0], color="#D55E00", linestyle="--", label="taylor_softmax, order 2")
axis.set(xlabel="lead of the logit", ylabel="probability")
axis.legend(fontsize=8)
plt.show()

# %%
# How much a gradient learns through a mapping is the size of the Jacobian. For softmax its entries sum, in absolute
# value, to :math:`2 (1 - \sum p_i^2)`, at most 1.8 here: the more certain, the less is learnt, and never nothing.
# Sparse mappings say exactly where nothing is left to learn: where their support is one class.

p = softmax(logits)
size = 2 * (1 - np.sum(p**2, axis=-1))
print(f"softmax: the Jacobian is below 0.1 on {np.mean(size < 0.1):.0%} of the test images, 0 on none")
for name, (mapping, _) in mappings.items():
    support = np.sum(mapping(logits) > 1e-14, axis=-1)
    print(f"{name:<22} {np.mean(support):5.2f} classes on average, {np.mean(support == 1):.0%} of the images have one")

# %%
# Each mapping belongs to a loss whose gradient is :math:`p - y`: the Fenchel-Young loss, a distance between the
# prediction and the target :math:`y` that is zero only where they agree. Where the target leads by
# :math:`1 / (\alpha - 1)` it is zero exactly. The sparse softmax has a finite loss although the probability of a
# target out of the first :math:`k` is zero; a margin asks for a lead beyond the first place.

t = np.zeros(401, dtype=int)
triples = np.stack([lead, 0 * lead, 0 * lead - 1], axis=-1)
losses = {
    "cross_entropy": (cross_entropy, "#777777"),
    "sparse_softmax_loss, k = 2": (lambda x, y, **o: sparse_softmax_loss(x, y, 2, **o), "#E69F00"),
    "margin_softmax_loss": (lambda x, y, **o: margin_softmax_loss(x, y, 1.0, 1.0, **o), "#CC79A7"),
    "entmax_loss": (entmax_loss, "#56B4E9"),
    "sparsemax_loss": (sparsemax_loss, "#0072B2"),
}
fig, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, (loss, colour) in losses.items():
    axis.plot(lead, loss(triples, t), color=colour, label=name)
axis.set(xlabel="lead of the target's logit", ylabel="loss", ylim=(-0.1, 5))
axis.legend(fontsize=8)
plt.show()

# %%
# Trained with: a linear model under each loss, its gradient handed to scipy. The predictions are as good, and the
# sparse ones name few classes, the right one almost always among them.

links = dict(zip(losses, [softmax, lambda x: topk_softmax(x, 2), softmax, entmax, sparsemax], strict=True))


def fit(loss):
    """Return the weights that minimise the mean loss on the training images, with a slight penalty."""

    def objective(flat):
        W = flat.reshape(64, 10)
        value, gradient = loss(train @ W, y_train, return_gradient=True)
        return value.mean() + 5e-4 * np.sum(W**2), (train.T @ gradient / len(train) + 1e-3 * W).ravel()

    start = 0.01 * np.random.default_rng(0).standard_normal(640)  # where no two logits are equal
    return minimize(objective, start, jac=True, method="L-BFGS-B").x.reshape(64, 10)


print(f"{'loss':<27} accuracy   classes named   the right one among them")
for name, (loss, _) in losses.items():
    x = test @ fit(loss)
    p = links[name](x)
    right = np.mean(p[np.arange(len(x)), y_test] > 0)
    print(f"{name:<27} {np.mean(p.argmax(-1) == y_test):7.1%} {np.mean(np.sum(p > 0, axis=-1)):13.2f} {right:20.1%}")

# %%
# The perturbed maximum is an integral, :math:`E[\prod_{j \ne i} \Phi(x_i - x_j + \varepsilon)]`. Written over the value
# of the winner it costs :math:`O(n)` a node, and the rule converges exponentially; the error that is stated stays
# above the true one.

x = logits[doubtful]
nodes = np.arange(16, 100, 4)
exact = perturb_max(x, nodes=512)
true, stated = [], []
for count in nodes:
    p, error = perturb_max(x, nodes=count, return_error=True)
    true.append(np.max(np.abs(p - exact)))
    stated.append(error)
fig, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
axis.semilogy(nodes, stated, "o-", color="#D55E00", markersize=3, label="stated")
axis.semilogy(nodes, np.maximum(true, 1e-17), "o-", color="#0072B2", markersize=3, label="true")
axis.set(xlabel="nodes", ylabel="error of a probability")
axis.legend()
plt.show()
