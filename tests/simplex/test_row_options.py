"""Options with one number per row: both shapes that they may have, and arrays of another library."""

import numpy as np
import pytest

from lina.simplex import (
    cross_entropy,
    entmax,
    entmax_jvp,
    entmax_loss,
    entmax_vjp,
    fenchel_young_loss,
    gumbel_max,
    gumbel_softmax,
    kl_project,
    log_softmax,
    log_softmax_vjp,
    logsumexp,
    perturb_max,
    perturb_max_vjp,
    project_capped_simplex,
    project_l1_ball,
    project_l1_ball_vjp,
    project_simplex,
    project_sparse_simplex,
    soft_topk,
    soft_topk_vjp,
    softmax,
    softmax_vjp,
    sparse_softmax_loss,
    sparsemax,
    sparsemax_vjp,
    taylor_softmax,
    taylor_softmax_vjp,
    threshold_softmax,
    topk_softmax,
    topp_softmax,
)

# name of the option -> functions of the entries, the option and the axis
OPTIONS = {
    "temperature": [
        lambda x, t, axis: softmax(x, axis=axis, temperature=t),
        lambda x, t, axis: log_softmax(x, axis=axis, temperature=t),
        lambda x, t, axis: logsumexp(x, axis=axis, temperature=t),
        lambda x, t, axis: sparsemax(x, axis=axis, temperature=t),
        lambda x, t, axis: sparsemax(x, axis=axis, temperature=t, return_threshold=True)[1],
        lambda x, t, axis: entmax(x, axis=axis, temperature=t, return_threshold=True)[1],
        lambda x, t, axis: topk_softmax(x, 2, axis=axis, temperature=t),
        lambda x, t, axis: topp_softmax(x, 0.7, axis=axis, temperature=t),
        lambda x, t, axis: threshold_softmax(x, 0.2, axis=axis, temperature=t),
        lambda x, t, axis: taylor_softmax(x, axis=axis, temperature=t),
        lambda x, t, axis: taylor_softmax_vjp(x, x, axis=axis, temperature=t),
        lambda x, t, axis: soft_topk(x, 2, t, axis=axis),
        lambda x, t, axis: soft_topk_vjp(softmax(x, axis=axis), x, axis=axis, temperature=t),
        lambda x, t, axis: gumbel_softmax(x, t, axis=axis, rng=0),
        lambda x, t, axis: gumbel_max(x, temperature=t, axis=axis, rng=0),
        lambda x, t, axis: softmax_vjp(softmax(x, axis=axis), x, axis=axis, temperature=t),
        lambda x, t, axis: log_softmax_vjp(log_softmax(x, axis=axis), x, axis=axis, temperature=t),
        lambda x, t, axis: sparsemax_vjp(sparsemax(x, axis=axis), x, axis=axis, temperature=t),
        lambda x, t, axis: entmax_vjp(entmax(x, axis=axis), x, axis=axis, temperature=t),
        lambda x, t, axis: cross_entropy(x, softmax(x, axis=axis), axis=axis, temperature=t),
        lambda x, t, axis: entmax_loss(x, softmax(x, axis=axis), axis=axis, temperature=t),
        lambda x, t, axis: sparse_softmax_loss(x, softmax(x, axis=axis), 2, axis=axis, temperature=t),
    ],
    "alpha": [
        lambda x, t, axis: entmax(x, 1 + t, axis=axis),
        lambda x, t, axis: entmax_vjp(softmax(x, axis=axis), x, 1 + t, axis=axis),
    ],
    "alpha_tangent": [lambda x, t, axis: entmax_jvp(softmax(x, axis=axis), x, axis=axis, alpha_tangent=t)],
    "scale": [
        lambda x, t, axis: perturb_max(x, "logistic", t, nodes=32, axis=axis),
        lambda x, t, axis: perturb_max_vjp(x, x, "logistic", t, nodes=32, axis=axis),
    ],
    "radius": [
        lambda x, t, axis: project_simplex(x, t, axis=axis),
        lambda x, t, axis: project_l1_ball(x, t, axis=axis),
        lambda x, t, axis: project_l1_ball_vjp(x, x, radius=t, axis=axis),
        lambda x, t, axis: project_sparse_simplex(x, 2, t, axis=axis),
        lambda x, t, axis: kl_project(softmax(x, axis=axis), t, axis=axis),
    ],
    "total": [lambda x, t, axis: project_capped_simplex(x, total=t, axis=axis)],
}
EACH = [pytest.param(name, f, id=f"{name} {i}") for name, group in OPTIONS.items() for i, f in enumerate(group)]


@pytest.mark.parametrize(("name", "function"), EACH)
@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 5), (4, 4, 4), (1, 3, 4)])
def test_an_option_has_the_shape_without_the_axis_or_with_1_there(name, function, shape):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape)
    for axis in (i for i in range(x.ndim) if shape[i] > 1):
        option = rng.uniform(0.5, 1.5, np.delete(shape, axis))
        expected = function(x, np.expand_dims(option, axis), axis)
        assert np.array_equal(function(x, option, axis), expected)


def test_each_row_has_its_own_temperature():
    x, heats = np.random.default_rng(0).standard_normal((4, 4)), np.array([0.5, 1.0, 2.0, 4.0])
    np.testing.assert_array_equal(
        softmax(x, temperature=heats), [softmax(row, temperature=float(t)) for row, t in zip(x, heats, strict=True)]
    )


@pytest.mark.parametrize(("name", "function"), EACH)
def test_an_infinite_option_is_refused_in_an_array_too(name, function):
    for shape in ((2, 4), (2000, 4)):
        option = np.ones(shape[:1])
        option[1] = np.inf
        with pytest.raises(ValueError, match=f"{name} must be .*finite.*, got 1 other entries"):
            function(np.ones(shape), option, -1)


def test_a_shape_that_is_neither_is_named():
    with pytest.raises(ValueError, match=r"temperature must broadcast to \(2, 1\) or have the shape \(2,\), got shape"):
        softmax(np.ones((2, 3)), temperature=np.ones(3))


@pytest.mark.parametrize("where", [np.array([True, False, True]), np.ones((2, 3), dtype=bool)])
def test_a_mask_of_another_library_is_named(where):
    torch = pytest.importorskip("torch")
    with pytest.raises(
        TypeError, match=r"where must be an array of the library of x, got arrays of types torch.Tensor"
    ):
        softmax(torch.ones(2, 3), where=where)
    with pytest.raises(
        TypeError, match=r"where must be an array of the library of x, got arrays of types numpy.ndarray"
    ):
        softmax(np.ones((2, 3)), where=torch.tensor(where))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_another_library_is_named(name):
    torch = pytest.importorskip("torch")
    message = f"{name} must be an array of the library of x, got arrays of types torch.Tensor, numpy.ndarray"
    for function in OPTIONS[name]:
        with pytest.raises(TypeError, match=message):
            function(torch.ones(2, 3), np.ones((2, 1)), -1)


def test_bounds_of_another_library_are_named():
    torch = pytest.importorskip("torch")
    x, bounds = torch.ones(2, 3), np.full(3, 0.5)
    for call in (lambda: project_capped_simplex(x, upper=bounds), lambda: kl_project(x, upper=bounds)):
        with pytest.raises(TypeError, match="upper must be an array of the library of x"):
            call()


def test_a_mask_of_numpy_serves_jax_and_dask():
    x, where = np.array([[1.0, 2.0, 3.0]]), np.array([True, True, False])
    reason = "NOT TESTED: masks of numpy beside other libraries, because they are not there"
    jax, dask = (pytest.importorskip(name, reason=reason) for name in ("jax.numpy", "dask.array"))
    for library in (jax, dask):
        found = softmax(library.asarray(x), where=where, temperature=np.array([[2.0]]))
        np.testing.assert_allclose(np.asarray(found), softmax(x, where=where, temperature=2.0), rtol=1e-6)


@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
def test_alpha_beside_a_mapping_that_has_none_is_refused(mapping):
    with pytest.raises(ValueError, match=f"alpha must be left out with mapping='{mapping}', which has none, got 1.5"):
        fenchel_young_loss([1.0, 0.0], 0, mapping, 1.5)
    assert fenchel_young_loss([1.0, 0.0], 0, "entmax") == entmax_loss([1.0, 0.0], 0, 1.5)
