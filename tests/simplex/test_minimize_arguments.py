"""What `minimize` takes: arrays of every library, functions of tensors, and the names in its errors."""

import math
from contextlib import suppress

import numpy as np
import pytest

from lina._core.certificates import Status
from lina.simplex import minimize
from tests.backends import BACKENDS, selected
from tests.simplex.minimize_cases import fast_methods, least_squares


@pytest.mark.parametrize("backend", [name for name in selected() if name != "dask"])
@fast_methods
def test_arrays_stay_in_their_library(backend, method):
    move, back = BACKENDS[backend].move, BACKENDS[backend].back
    A, b, f = least_squares(n=8, m=10)
    moved_A, moved_b = move(A), move(b)

    def objective(x):
        r = moved_A @ x - moved_b
        return 0.5 * (r @ r), moved_A.T @ r

    result = minimize(objective, move(np.full(8, 0.125)), method=method, convex=True)
    assert type(result.x) is type(moved_b)
    expected = minimize(f, n=8, method=method, convex=True)
    np.testing.assert_allclose(back(result.x), expected.x, atol=1e-4)
    assert result.status is Status.CONVERGED


@pytest.mark.torch
def test_a_function_of_tensors_needs_a_tensor_as_its_start():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"got Tensor alone \(x was a ndarray: give x0 as an array of torch\)"):
        minimize(lambda x: torch.sum(torch.as_tensor(x) ** 2), n=3)
    with pytest.raises(TypeError) as found:
        minimize(lambda x: torch.sum(x), n=3)
    assert found.value.__notes__ == ["objective was called with a numpy.ndarray, as x0 is or with n"]


def test_torch_differentiates_a_value_and_leaves_other_gradients_alone():
    torch = pytest.importorskip("torch")
    A, b, f = least_squares(n=8, m=10)
    weight = torch.tensor(A, requires_grad=True)
    start = torch.full((8,), 0.125, dtype=torch.float64, requires_grad=True)
    result = minimize(lambda x: 0.5 * torch.sum((weight @ x - torch.tensor(b)) ** 2), start, convex=True)
    assert weight.grad is None
    assert start.grad is None
    assert not result.x.requires_grad
    np.testing.assert_allclose(result.x, minimize(f, n=8, convex=True).x, atol=1e-4)
    assert result.certified_in == "float64"


def good(x):
    return float(x @ x), 2 * x


HALF = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: minimize(good), ValueError, "one of x0 and n must be given, got neither"),
        (lambda: minimize(good, HALF, n=2), ValueError, "one of x0 and n must be given, got both"),
        (lambda: minimize(good, n=0), ValueError, "n must be in"),
        (lambda: minimize(3.0, n=2), TypeError, "objective must be callable"),
        (lambda: minimize(lambda x: 1.0, n=2), TypeError, r"objective must return \(value, gradient\), got float"),
        (lambda: minimize(lambda x: (1.0, x, x), n=2), ValueError, "got 3 things"),
        (lambda: minimize(lambda x: (1.0, x[:1]), n=2), ValueError, r"gradient of shape \(2,\), got \(1,\)"),
        (lambda: minimize(lambda x: (1.0, 1j * x), n=2), TypeError, "gradient of dtype float32 or float64"),
        (lambda: minimize(lambda x: (1.0, None), n=2), TypeError, "gradient of the type of x"),
        (lambda: minimize(lambda x: (x, x), n=2), TypeError, r"real number as its value, got shape \(2,\)"),
        (lambda: minimize(lambda x: ("one", x), n=2), TypeError, "real number as its value, got str"),
        (lambda: minimize(lambda x: (math.nan, x), n=2), ValueError, "finite value and gradient at the start"),
        (lambda: minimize(lambda x: (1.0, x / 0), n=2), ValueError, "finite value and gradient at the start"),
        (lambda: minimize(good, HALF + 1), ValueError, "x0 must sum to radius"),
        (lambda: minimize(good, [1.5, -0.5]), ValueError, "x0 must be non-negative"),
        (lambda: minimize(good, [np.nan, 1.0]), ValueError, "x0 must be finite"),
        (lambda: minimize(good, HALF + 0j), TypeError, "x0 must be real"),
        (lambda: minimize(good, n=2, radius=-1.0), ValueError, "radius must be finite and positive"),
        (lambda: minimize(good, n=2, upper=0.4), ValueError, "upper must sum to at least radius"),
        (lambda: minimize(good, n=2, method="sgd"), ValueError, "method must be one of"),
        (lambda: minimize(good, n=2, set="cube"), ValueError, "set must be one of"),
        (lambda: minimize(good, n=2, rtol=-1), ValueError, "rtol must be finite and not negative"),
        (lambda: minimize(good, n=2, scale=math.nan), ValueError, "scale must be finite and not negative"),
        (lambda: minimize(good, n=2, max_iterations=0), ValueError, "max_iterations must be in"),
        (lambda: minimize(good, n=2, upper=0.9, method="newton"), ValueError, "upper must be None"),
        (lambda: minimize(good, np.full((2, 2), 0.5), method="ipm"), ValueError, "x0 must have one dimension"),
    ],
)
def test_bad_input_gets_an_error_that_names_it(call, kind, text):
    with pytest.raises(kind, match=text), np.errstate(all="ignore"):
        call()


@pytest.mark.parametrize("options", [{}, {"upper": 0.9}, {"set": "l1_ball"}])
def test_the_objective_never_gets_the_array_of_the_caller(options):
    start = np.array([0.25, 0.75])

    def rude(x):
        value, gradient = float(x @ x), 2 * x
        x[:] = 0.5
        return value, gradient

    with suppress(ValueError):  # its values are not those of the points that it leaves behind
        minimize(rude, start, max_iterations=1, **options)
    np.testing.assert_array_equal(start, [0.25, 0.75])


def test_a_start_without_rows_is_refused_by_name():
    with pytest.raises(ValueError, match=r"x0 must have at least one row, got shape \(0, 3\)"):
        minimize(lambda x: (0.0, x), np.zeros((0, 3)))
