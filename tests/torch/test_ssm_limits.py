"""Torch operations of systems and memories: what is refused and where, what is kept, and sizes at which kernels run."""

import tracemalloc

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina._core.errors import GradientError  # noqa: E402
from lina.hippo import legs_scan  # noqa: E402
from lina.ssm import (  # noqa: E402
    UnstableSystemWarning,
    cauchy,
    fftconv,
    kernel_diag,
    kernel_dplr,
    kernel_dplr_truncated,
    kernel_rational,
    kernel_rational_truncated,
    vandermonde,
    vandermonde_transpose,
)
from tests.torch.ssm_cases import COMPLEX, LOW_RANK, REAL, STEPS, draw, each, in_one_batch, poles, recorded  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("dt", [0.1, 1, np.float64(0.1), np.array([0.1, 0.2, 0.3]), torch.tensor(0.1), torch.tensor(1)])
def test_a_step_is_a_number_or_an_array_of_any_dtype(dt):
    Lambda, P, B, C, _ = LOW_RANK
    as_tensor = torch.as_tensor(np.asarray(dt), dtype=REAL)
    for run, parts in ((kernel_diag, (Lambda, B, C)), (kernel_dplr, (Lambda, P, B, C))):
        torch.testing.assert_close(run(*parts, dt, 5), run(*parts, as_tensor, 5), rtol=1e-6, atol=1e-6)


one = torch.ones(1, dtype=REAL)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: kernel_diag(poles(4), draw(4), draw(4) / 0, 0.1, 3), ValueError, "C must be finite, got 4 NaN"),
        (lambda: kernel_diag(poles(4), draw(4), draw(4), -STEPS, 3), ValueError, "dt must be positive, got -0.2"),
        (lambda: kernel_diag(poles(4), draw(4), draw(4), 1j * STEPS, 3), TypeError, "dt must be real, got dtype compl"),
        (lambda: kernel_diag(poles(4), draw(3), draw(4), 0.1, 3), ValueError, r"B must have n = 4 .* shape \(3,\)"),
        (lambda: kernel_diag(poles(4), draw(4), draw(4), 0.1, 0), ValueError, "L must be in 1"),
        (lambda: kernel_diag(poles(4), draw(4), draw(4), 0.1, 3, "euler"), ValueError, "method must be one of"),
        (lambda: kernel_diag(-poles(4), draw(4), draw(4), 0.1, 3, unstable="raise"), ValueError, "no unstable system"),
        (lambda: kernel_diag(20 - poles(4), draw(4), draw(4), 9.9, 30, unstable="ignore"), OverflowError, "^C must be"),
        (
            lambda: kernel_dplr(poles(2, 4), draw(4), draw(4), draw(4), 0.1, 3),
            ValueError,
            r"P must have shape \(\.\.\.",
        ),
        (lambda: vandermonde(draw(2, 4), poles(3, 4), 3), ValueError, r"leading axes .* c \(2,\), x \(3,\)"),
        (lambda: vandermonde_transpose(draw(4), poles(4)), TypeError, "u must be real, got dtype complex128"),
        (lambda: cauchy(draw(4), draw(4), draw(4)), ValueError, "z must not be a pole|pole"),
        (lambda: kernel_rational(draw(3, dtype=REAL), draw(2, dtype=REAL), 3), ValueError, "b must have n = 3"),
        (lambda: kernel_rational_truncated(-one, one, 4, unstable="ignore"), ValueError, "a must not vanish"),
        (lambda: fftconv(draw(4) / 0, draw(3)), ValueError, "u must be finite, got 4 NaN"),
        (lambda: fftconv(draw(4), torch.tensor([0.0] * 4 + [torch.nan])), ValueError, "k must be finite, got 1 NaN"),
        (lambda: fftconv(draw(0, 4), draw(3) / 0), ValueError, "k must be finite"),
        (lambda: fftconv(draw(4), draw(3), draw(3)), ValueError, r"x0 must have M - 1 = 2 .* shape \(3,\)"),
        (lambda: fftconv(1e300 * draw(4), 1e300 * draw(3)), OverflowError, "u or k must be small enough"),
        (lambda: legs_scan(draw(4) / 0, 3), ValueError, "u must be finite, got 4 NaN"),
        (lambda: legs_scan(draw(4), 3, x0=draw(4), k0=2), ValueError, "x0 must have N = 3 entries"),
    ],
)
def test_an_error_names_the_argument_that_was_given(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo detected a call to a .*lru_cache")
def test_what_is_seen_in_values_is_said_in_compiled_code_and_under_vmap_too():
    torch.compiler.reset()
    Lambda, B = poles(4), draw(4)

    def run(C):
        return kernel_diag(-Lambda, B, C, 0.1, 3)

    for each_way in (torch.compile(run, fullgraph=True, backend="aot_eager"), torch.vmap(run)):
        with pytest.warns(UnstableSystemWarning):
            each_way(draw(3, 4))
    with pytest.raises(ValueError, match="C must be finite"):
        torch.vmap(lambda C: kernel_diag(Lambda, B, C, 0.1, 3))(draw(3, 4) / 0)


@pytest.mark.parametrize("weight", [2.0, 2.0 + 1j])
def test_truncated_taps_have_gradients_where_lambda_is_0_unless_these_have_a_pole(weight):
    real_mode = (0.0, 0.5, 1.0, weight)
    Lambda, P, B, C = (torch.cat([torch.tensor([x]), draw(2, seed=1) - 3]) for x in real_mode)
    C.requires_grad_()
    out = kernel_dplr_truncated(Lambda, P, B, C, 0.1, 3)
    assert torch.isfinite(out).all()
    if complex(weight).imag:
        with pytest.raises(ValueError, match="Lambda must not be at a root of unity"):
            out.sum().backward()
        return
    (found,) = torch.autograd.grad(out.sum(), C, create_graph=True)
    moved = kernel_dplr_truncated(Lambda, P, B, 2 * C, 0.1, 3).sum()  # linear
    torch.testing.assert_close((found.conj() * C).real.sum(), moved - out.sum())
    with pytest.raises(GradientError, match="at a pole of Lambda has no gradient"):
        found.real.sum().backward()


@each
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_gradient_that_overflowed_before_is_not_an_error(case, value):
    tensors = recorded(case.tensors)
    out = case.run(*tensors)
    for found in torch.autograd.grad(out, tensors, torch.full_like(out, value)):
        assert torch.isnan(found).all()


@each
def test_nothing_but_the_inputs_is_kept_for_the_gradient(case):
    tensors, kept = [x.requires_grad_() for x in in_one_batch(case)], []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        out = case.run(*tensors)
    assert out.requires_grad
    assert {x.untyped_storage().data_ptr() for x in kept} <= {x.untyped_storage().data_ptr() for x in tensors}


def long_systems(channels, n, kind):
    Lambda, C, dt = poles(n), draw(channels, n, seed=2), torch.linspace(0.001, 0.1, channels, dtype=REAL)
    diagonal = (*(x.to(torch.complex64) for x in (Lambda, draw(n, seed=1), C)), dt.float())
    return diagonal if kind == "diag" else (diagonal[0], draw(n, seed=3).to(torch.complex64), *diagonal[1:])


LONG = {
    "diag": lambda L, *a: kernel_diag(*a, L),
    "dplr": lambda L, *a: kernel_dplr(*a, L),
    "dplr truncated": lambda L, *a: kernel_dplr_truncated(*a, L),
}


@pytest.mark.parametrize("name", LONG)
def test_values_and_gradients_take_no_more_than_four_times_the_memory_of_inputs_and_outputs(name):
    channels, L = 256, 8192  # samples that are in memory at once, for any number of channels, take 17 MB
    tensors = recorded(long_systems(channels, 32, name))
    g = draw(channels, L, dtype=torch.float32)
    torch.autograd.grad(LONG[name](L, *tensors), tensors, g)  # compiles
    tracemalloc.start()  # results are memory of numpy, which it sees
    try:
        out = LONG[name](L, *tensors)
        found = torch.autograd.grad(out, tensors, g)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = sum(x.nbytes for x in (*tensors, out, g, *found))
    assert size < 2.5 * out.nbytes
    assert out.nbytes < peak < 3 * size


@pytest.mark.parametrize("name", LONG)
def test_values_and_gradients_are_right_at_the_size_of_the_kernels(name):
    tensors = recorded(long_systems(128, 32, name))
    wide = recorded(x.detach().to(COMPLEX if x.is_complex() else REAL) for x in tensors)
    out, exact = LONG[name](4096, *tensors), LONG[name](4096, *wide)
    torch.testing.assert_close(out, exact.float(), rtol=0, atol=3e-6 * float(exact.detach().abs().max()))
    g = draw(128, 4096, dtype=REAL)
    pairs = zip(torch.autograd.grad(out, tensors, g.float()), torch.autograd.grad(exact, wide, g), strict=True)
    for found, expected in pairs:
        assert torch.linalg.vector_norm(found - expected) <= 3e-6 * torch.linalg.vector_norm(expected)
