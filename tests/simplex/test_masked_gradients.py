"""Derivatives by entries, temperature, scale, radius and alpha are finite and right where entries are left out."""

import numpy as np
import pytest

from lina.simplex import (
    cross_entropy,
    entmax,
    entmax_jvp,
    entmax_loss,
    entmax_vjp,
    fenchel_young_loss,
    gumbel_softmax,
    log_softmax,
    logsumexp,
    perturb_max,
    project_simplex,
    soft_topk,
    softmax,
    sparse_softmax_loss,
    sparsemax,
    sparsemax_loss,
    taylor_softmax,
    threshold_softmax,
    topk_softmax,
    topp_softmax,
)

# entries out of the mask, an entry -inf, and a row left out altogether
X = np.array([[1.0, 0.5, -0.2, 0.3], [0.3, -np.inf, 2.0, 1.7], [0.0, 1.0, 2.0, 0.5]])
MASK = np.array([[True, True, False, True], [True] * 4, [False] * 4])
CLASSES = np.array([1, 2, 1])
Y = np.array([[0.5, 0.5, 0.0, 0.0], [0.2, 0.0, 0.8, 0.0], [0.1, 0.9, 0.0, 0.0]])
WEIGHTS = np.random.default_rng(0).standard_normal(X.shape)
OPTION = 1.3

# name -> function of the entries, the mask, and an option that is a temperature, a scale, a radius or alpha; the
# targets are those of the function's library
MAPS = {
    "softmax": lambda x, m, t, to: softmax(x, where=m, temperature=t),
    "log_softmax": lambda x, m, t, to: log_softmax(x, where=m, temperature=t),
    "logsumexp": lambda x, m, t, to: logsumexp(x, where=m, temperature=t),
    "sparsemax": lambda x, m, t, to: sparsemax(x, where=m, temperature=t),
    "threshold of sparsemax": lambda x, m, t, to: sparsemax(x, where=m, temperature=t, return_threshold=True)[1],
    "entmax 1": lambda x, m, t, to: entmax(x, 1.0, where=m, temperature=t),
    "entmax 1.5": lambda x, m, t, to: entmax(x, 1.5, where=m, temperature=t),
    "entmax 2.4": lambda x, m, t, to: entmax(x, 2.4, where=m, temperature=t),
    "entmax by alpha": lambda x, m, t, to: entmax(x, t, where=m),
    "entmax by alpha at 2": lambda x, m, t, to: entmax(x, t + 0.7, where=m),
    "threshold of entmax": lambda x, m, t, to: entmax(x, t, where=m, temperature=t, return_threshold=True)[1],
    "topk": lambda x, m, t, to: topk_softmax(x, 2, where=m, temperature=t),
    "topp": lambda x, m, t, to: topp_softmax(x, 0.8, where=m, temperature=t),
    "threshold": lambda x, m, t, to: threshold_softmax(x, 0.1, where=m, temperature=t),
    "taylor": lambda x, m, t, to: taylor_softmax(x, 4, where=m, temperature=t),
    "soft topk": lambda x, m, t, to: soft_topk(x, 2, t, where=m),
    "soft topk of few": lambda x, m, t, to: soft_topk(x, 3, t, where=m),
    "entropic topk": lambda x, m, t, to: soft_topk(x, 2, t, where=m, regularizer="entropic"),
    "entropic topk of few": lambda x, m, t, to: soft_topk(x, 3, t, where=m, regularizer="entropic"),
    "gaussian": lambda x, m, t, to: perturb_max(x, "gaussian", t, where=m, nodes=64),
    "uniform": lambda x, m, t, to: perturb_max(x, "uniform", t, where=m, nodes=64),
    "gumbel": lambda x, m, t, to: gumbel_softmax(x, t, where=m, rng=3),
    "project_simplex": lambda x, m, t, to: project_simplex(x, t, where=m),
    "cross_entropy": lambda x, m, t, to: cross_entropy(x, to(CLASSES), where=m, temperature=t),
    "cross_entropy of y": lambda x, m, t, to: cross_entropy(x, to(Y), where=m, temperature=t),
    "divergence": lambda x, m, t, to: fenchel_young_loss(x, to(Y), where=m, temperature=t),
    "sparsemax_loss": lambda x, m, t, to: sparsemax_loss(x, to(Y), where=m, temperature=t),
    "entmax_loss": lambda x, m, t, to: entmax_loss(x, to(Y), 1.5, where=m, temperature=t),
    "entmax_loss 1.3": lambda x, m, t, to: entmax_loss(x, to(CLASSES), 1.3, where=m, temperature=t),
    "sparse_softmax_loss": lambda x, m, t, to: sparse_softmax_loss(x, to(CLASSES), 2, where=m, temperature=t),
}


def weighted(xp, out, to):
    """Return a weighted sum of what is finite."""
    weights = to(WEIGHTS if out.ndim == 2 else WEIGHTS[:, 0])
    finite = xp.isfinite(out)
    return xp.where(finite, xp.where(finite, out, 0.0) * weights, 0.0).sum()


def by_torch(function):
    torch = pytest.importorskip("torch")
    x, option = torch.tensor(X, requires_grad=True), torch.tensor(OPTION, dtype=torch.float64, requires_grad=True)
    value = weighted(torch, function(x, torch.tensor(MASK), option, torch.tensor), torch.tensor)
    return torch.autograd.grad(value, (x, option))


def by_jax(function):
    jax = pytest.importorskip("jax", reason="NOT TESTED: gradients of jax, because there is no jax")
    jax.config.update("jax_enable_x64", True)
    to = jax.numpy.asarray
    with np.errstate(all="ignore"):
        return jax.grad(lambda x, t: weighted(jax.numpy, function(x, to(MASK), t, to), to), (0, 1))(to(X), OPTION)


def by_differences(function, step=1e-6):
    def value(x, option):
        return weighted(np, function(x, MASK, option, np.asarray), np.asarray)

    each = np.eye(X.size).reshape(-1, *X.shape) * step
    by_x = np.reshape([value(X + d, OPTION) - value(X - d, OPTION) for d in each], X.shape) / (2 * step)
    return by_x, (value(X, OPTION + step) - value(X, OPTION - step)) / (2 * step)


# the steps of entmax one by one take jax ten seconds: some of its cases are enough there
TOO_SLOW = ("entmax 1", "entmax 2.4", "threshold of entmax", "entmax_loss 1.3")
CASES = [pytest.param(by_torch, name, marks=pytest.mark.torch) for name in MAPS] + [
    (by_jax, name) for name in MAPS if name not in TOO_SLOW
]


@pytest.mark.parametrize(("derivatives", "name"), CASES)
def test_derivatives_are_those_of_differences_where_entries_are_left_out(derivatives, name):
    function = MAPS[name]
    for found, expected in zip(derivatives(function), by_differences(function), strict=True):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("heat", [1e-3, 1e3])
def test_entropic_weights_of_rows_far_apart_have_finite_derivatives_in_jax(dtype, heat):
    jax = pytest.importorskip("jax", reason="NOT TESTED: gradients of jax, because there is no jax")
    jax.config.update("jax_enable_x64", True)
    x = jax.numpy.asarray([[3.0, 1.0, 0.0, -2.0], [1.0, 1.0, 1.0, -1.0]], dtype=dtype)
    found = jax.grad(lambda x: soft_topk(x, 2, heat, regularizer="entropic")[:, 0].sum())(x)
    p = soft_topk(np.asarray(x, dtype=np.float64), 2, heat, regularizer="entropic")
    w = p * (1 - p)
    expected = (w[:, :1] * (np.eye(4)[0] - w / np.maximum(w.sum(axis=1, keepdims=True), 1e-300))) / heat
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-10)


def test_a_row_left_out_altogether_has_the_derivative_zero_by_alpha():
    p, g = np.array([[0.5, 0.5], [0.0, 0.0]]), np.ones((2, 2))
    gradient, by_alpha = entmax_vjp(p, g, 1.5, return_alpha=True)
    assert np.array_equal(by_alpha, [0.0, 0.0])
    assert np.array_equal(gradient, np.zeros((2, 2)))
    assert np.array_equal(entmax_jvp(p, g, 1.5, alpha_tangent=1.0)[1], [0.0, 0.0])


def test_logsumexp_with_a_temperature_has_softmax_for_its_gradient():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[3.0, 1.0, 0.5], [2.0, 2.0, -1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: logsumexp(x, temperature=0.7), x)
    assert torch.autograd.gradgradcheck(lambda x: logsumexp(x, temperature=0.7), x)
    (found,) = torch.autograd.grad(logsumexp(x, temperature=0.7).sum(), x)
    torch.testing.assert_close(found, softmax(x.detach(), temperature=0.7), rtol=1e-14, atol=0)
