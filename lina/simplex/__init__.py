"""Probability distributions: projections and mappings, minimisation with a gap, gradient flows of densities."""

from lina.simplex import flow
from lina.simplex._entmax.gradient import entmax_jvp, entmax_vjp, sparsemax_jvp, sparsemax_vjp
from lina.simplex._entmax.public import entmax, sparsemax
from lina.simplex._fenchel_young import entmax_loss, fenchel_young_loss, sparsemax_loss
from lina.simplex._gap import frank_wolfe_gap, kkt_residual
from lina.simplex._gumbel import gumbel_max, gumbel_softmax, gumbel_softmax_jvp, gumbel_softmax_vjp
from lina.simplex._kernel_herding import Quantisation, kernel_herding, mmd_quantization
from lina.simplex._losses import cross_entropy, margin_softmax_loss, sparse_softmax_loss
from lina.simplex._min_enclosing_ball import EnclosingBall, min_enclosing_ball
from lina.simplex._minimize.public import minimize
from lina.simplex._mixture_proportions import mixture_proportions
from lina.simplex._optimal_design import OptimalDesign, optimal_design
from lina.simplex._perturb_max import perturb_max, perturb_max_jvp, perturb_max_vjp
from lina.simplex._portfolio_frontier.public import portfolio_frontier
from lina.simplex._portfolio_frontier.result import Frontier
from lina.simplex._project_capped_simplex import (
    project_capped_simplex,
    project_capped_simplex_jvp,
    project_capped_simplex_vjp,
)
from lina.simplex._project_kl import kl_project, prox_kl
from lina.simplex._project_l1_ball import project_l1_ball, project_l1_ball_jvp, project_l1_ball_vjp
from lina.simplex._project_simplex import project_simplex, project_simplex_jvp, project_simplex_vjp
from lina.simplex._project_sparse_simplex import project_sparse_simplex
from lina.simplex._result import SimplexResult, Step
from lina.simplex._simplex_lsq import simplex_lsq
from lina.simplex._simplex_qp.public import simplex_qp
from lina.simplex._soft_topk import soft_topk, soft_topk_jvp, soft_topk_vjp
from lina.simplex._softmax import (
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    softmax,
    softmax_jvp,
    softmax_vjp,
)
from lina.simplex._taylor_softmax import taylor_softmax, taylor_softmax_jvp, taylor_softmax_vjp
from lina.simplex._truncated_softmax import (
    threshold_softmax,
    threshold_softmax_jvp,
    threshold_softmax_vjp,
    topk_softmax,
    topk_softmax_jvp,
    topk_softmax_vjp,
    topp_softmax,
    topp_softmax_jvp,
    topp_softmax_vjp,
)

__all__ = [
    "EnclosingBall",
    "Frontier",
    "OptimalDesign",
    "Quantisation",
    "SimplexResult",
    "Step",
    "cross_entropy",
    "entmax",
    "entmax_jvp",
    "entmax_loss",
    "entmax_vjp",
    "fenchel_young_loss",
    "flow",
    "frank_wolfe_gap",
    "gumbel_max",
    "gumbel_softmax",
    "gumbel_softmax_jvp",
    "gumbel_softmax_vjp",
    "kernel_herding",
    "kkt_residual",
    "kl_project",
    "log_softmax",
    "log_softmax_jvp",
    "log_softmax_vjp",
    "logsumexp",
    "margin_softmax_loss",
    "min_enclosing_ball",
    "minimize",
    "mixture_proportions",
    "mmd_quantization",
    "optimal_design",
    "perturb_max",
    "perturb_max_jvp",
    "perturb_max_vjp",
    "portfolio_frontier",
    "project_capped_simplex",
    "project_capped_simplex_jvp",
    "project_capped_simplex_vjp",
    "project_l1_ball",
    "project_l1_ball_jvp",
    "project_l1_ball_vjp",
    "project_simplex",
    "project_simplex_jvp",
    "project_simplex_vjp",
    "project_sparse_simplex",
    "prox_kl",
    "simplex_lsq",
    "simplex_qp",
    "soft_topk",
    "soft_topk_jvp",
    "soft_topk_vjp",
    "softmax",
    "softmax_jvp",
    "softmax_vjp",
    "sparse_softmax_loss",
    "sparsemax",
    "sparsemax_jvp",
    "sparsemax_loss",
    "sparsemax_vjp",
    "taylor_softmax",
    "taylor_softmax_jvp",
    "taylor_softmax_vjp",
    "threshold_softmax",
    "threshold_softmax_jvp",
    "threshold_softmax_vjp",
    "topk_softmax",
    "topk_softmax_jvp",
    "topk_softmax_vjp",
    "topp_softmax",
    "topp_softmax_jvp",
    "topp_softmax_vjp",
]
