"""Every public function of several arrays, with arrays that it takes: for the tests of what may stand beside what."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lina import diffusion, hippo, linalg, rope, simplex, ssm
from lina.diffusion import metrics


class Call(NamedTuple):
    """``function(*arrays(rng))`` works for arrays of any one library.

    ``host`` are the places of arrays that may be of numpy beside others of any library, and move there.
    """

    name: str
    function: Callable[..., Any]
    arrays: Callable[[np.random.Generator], tuple[np.ndarray, ...]]
    host: tuple[int, ...] = ()


def _normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[np.ndarray, ...]]:
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)


def _with_target(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.standard_normal((4, 6)), np.arange(4)


def _with_mask(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.standard_normal((4, 6)), np.arange(6) < 4


def _rows(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.standard_normal((4, 6)), 1.0 + np.arange(4.0)


def _weights_and(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    p = rng.random((4, 6))
    return p / p.sum(axis=-1, keepdims=True), rng.standard_normal((4, 6))


def _modes(*more: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[np.ndarray, ...]]:
    def make(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        Lambda = -0.5 + 1j * np.arange(1, 5)
        return (Lambda, *(rng.standard_normal(shape) + 1j * rng.standard_normal(shape) for shape in more))

    return make


def _quadratic(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    G = rng.standard_normal((5, 5))
    return G @ G.T, rng.standard_normal(5)


def _decaying(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return 0.3 * rng.standard_normal((4, 3)) / 3, rng.standard_normal((4, 3))


def _cross(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    A = rng.standard_normal((6, 2)) @ rng.standard_normal((2, 5))
    return A[:, 2:4], A[:2]


def _dense(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return -np.eye(3), rng.standard_normal(3), rng.standard_normal(3)


_LINALG = [
    Call("linalg.solve_left", linalg.solve_left, _normal((8, 5), (8, 2))),
    Call("linalg.solve_right", linalg.solve_right, _normal((8, 5), (2, 5))),
    Call("linalg.ridge_pinv", lambda A, B: linalg.ridge_pinv(A, 0.1, B=B), _normal((8, 5), (8, 2))),
    Call("linalg.cr_matmul", lambda X, Y: linalg.cr_matmul(X, Y, 3, rng=0), _normal((6, 8), (8, 4))),
    Call("linalg.cur_completion", lambda C, R: linalg.cur_completion(C, R, [0, 1], [2, 3]), _cross),
    Call(
        "linalg.generalized_low_rank",
        lambda A, B, D: linalg.generalized_low_rank(A, B, D, 2),
        _normal((6, 5), (6, 4), (3, 5)),
    ),
    Call(
        "linalg.svd_update",
        lambda A, C, D: linalg.svd_update(linalg.truncated_svd(A, 3), C, D),
        _normal((8, 5), (8, 2), (5, 2)),
    ),
    Call(
        "linalg.svd_append",
        lambda A, rows: linalg.svd_append(linalg.truncated_svd(A, 3), rows),
        _normal((8, 5), (2, 5)),
    ),
    Call("linalg.TruncatedSVD @", lambda A, x: linalg.truncated_svd(A, 3) @ x, _normal((8, 5), (5,))),
    Call(
        "linalg.PinvFactor.update", lambda A, C, D: linalg.pinv_factor(A).update(C, D), _normal((8, 5), (8, 1), (5, 1))
    ),
]
_LOSSES = ("cross_entropy", "sparsemax_loss", "entmax_loss", "fenchel_young_loss", "margin_softmax_loss")
_MASKED = (
    "softmax",
    "log_softmax",
    "logsumexp",
    "sparsemax",
    "entmax",
    "project_simplex",
    "perturb_max",
    "taylor_softmax",
)
_LINEAR = ("softmax", "sparsemax", "entmax", "project_simplex", "topk_softmax", "project_capped_simplex")


def _masked(name: str) -> Callable[..., Any]:
    return lambda x, where: getattr(simplex, name)(x, where=where)


_SIMPLEX = [
    *(Call(f"simplex.{name}", getattr(simplex, name), _with_target) for name in _LOSSES),
    Call("simplex.sparse_softmax_loss", lambda x, t: simplex.sparse_softmax_loss(x, t, 3), _with_target),
    *(Call(f"simplex.{name} (where)", _masked(name), _with_mask) for name in _MASKED),
    *(
        Call(f"simplex.{name}_{kind}", getattr(simplex, f"{name}_{kind}"), _weights_and)
        for name in _LINEAR
        for kind in ("vjp", "jvp")
    ),
    Call("simplex.project_simplex (radius)", simplex.project_simplex, _rows),
    Call("simplex.entmax (alpha)", simplex.entmax, _rows),
    Call("simplex.softmax (temperature)", lambda x, heat: simplex.softmax(x, temperature=heat), _rows),
    Call("simplex.prox_kl", simplex.prox_kl, _weights_and),
    Call("simplex.frank_wolfe_gap", simplex.frank_wolfe_gap, _weights_and),
    Call("simplex.kkt_residual", simplex.kkt_residual, _weights_and),
    Call("simplex.simplex_qp", simplex.simplex_qp, _quadratic),
    Call("simplex.simplex_lsq", simplex.simplex_lsq, _normal((8, 5), (8,))),
    Call("simplex.portfolio_frontier", simplex.portfolio_frontier, _quadratic),
]
_SEQUENCES = [
    Call("ssm.cauchy", ssm.cauchy, _modes((3,), (4,))),
    Call("ssm.vandermonde", lambda c, x: ssm.vandermonde(c, x, 8), _modes((4,))),
    Call("ssm.vandermonde_transpose", ssm.vandermonde_transpose, _normal((8,), (4,))),
    Call("ssm.kernel_diag", lambda A, B, C: ssm.kernel_diag(A, B, C, 0.1, 8), _modes((4,), (4,))),
    Call("ssm.kernel_dplr", lambda A, P, B, C: ssm.kernel_dplr(A, P, B, C, 0.1, 8), _modes((4,), (4,), (4,))),
    Call("ssm.kernel_dense", lambda A, B, C: ssm.kernel_dense(A, B, C, 0.1, 8), _dense),
    Call("ssm.kernel_rational", lambda a, b: ssm.kernel_rational(a, b, 8), _decaying),
    Call("ssm.discretize", lambda A, B: ssm.discretize(A, B, 0.1), lambda rng: _dense(rng)[:2]),
    Call("ssm.fftconv", ssm.fftconv, _normal((2, 16), (2, 8))),
    Call("ssm.RationalSystem", ssm.RationalSystem, _decaying),
    Call(
        "ssm.linear_scan",
        lambda a, b, u: ssm.linear_scan(ssm.RationalSystem(a[0, ...], b[0, ...], dt=1.0), u),
        lambda rng: (*_decaying(rng), rng.standard_normal((2, 16))),
        host=(2,),
    ),
    Call("hippo.legs_scan", lambda u, x0: hippo.legs_scan(u, 4, x0=x0, k0=3), _normal((2, 16), (2, 4))),
    Call("hippo.lti_scan", lambda u, x0: hippo.lti_scan(u, 4, x0=x0), _normal((2, 16), (2, 4))),
    Call("hippo.legs_solve", hippo.legs_solve, lambda rng: (rng.standard_normal((2, 4)), rng.random(2))),
    Call(
        "rope.rotate",
        lambda x, m: rope.rotate(x, m, 1.0 / np.arange(1, 4)),
        lambda rng: (rng.standard_normal((2, 5, 6)), np.arange(5)),
        host=(1,),
    ),
    Call(
        "diffusion.convert",
        lambda p, x: diffusion.convert(p, x, 0.8, 0.6, "eps", "x0"),
        _normal((2, 3, 4, 4), (2, 3, 4, 4)),
    ),
    Call("diffusion.multiscale_mse", diffusion.multiscale_mse, _normal((2, 3, 4, 4), (2, 3, 4, 4))),
    Call("diffusion.metrics.frechet_distance", metrics.frechet_distance, _normal((20, 4), (20, 4))),
    Call("diffusion.metrics.kid", metrics.kid, _normal((20, 4), (20, 4))),
    Call("diffusion.metrics.sliced_wasserstein", metrics.sliced_wasserstein, _normal((20, 4), (20, 4))),
    Call("diffusion.metrics.precision_recall", metrics.precision_recall, _normal((20, 4), (20, 4))),
]
CALLS = [*_LINALG, *_SIMPLEX, *_SEQUENCES]
