"""The kernel table: (operation, library) -> "module:function", imported on first use.

This is the only file that knows which libraries have kernels. An operation without a row for a library runs
the array-API body in its public module. Adding a backend is adding rows here.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

TABLE: dict[tuple[str, str], str] = {
    ("active_set_qp", "numpy"): "lina._numba.active_set_qp:active_set_qp",
    ("cauchy", "torch"): "lina.torch.ssm_kernels:cauchy",
    ("checked_legs_scan", "dask"): "lina._dask.by_channels:legs_scan",
    ("checked_legs_scan", "torch"): "lina.torch.memory:legs_scan",
    ("checked_vandermonde", "torch"): "lina.torch.ssm_kernels:vandermonde",
    ("checked_vandermonde_transpose", "torch"): "lina.torch.ssm_kernels:vandermonde_transpose",
    ("choose_columns", "dask"): "lina._dask.columns:select_columns",
    ("circle_divide", "numpy"): "lina._numba.circle_divide:circle_divide",
    ("cosine_transform", "numpy"): "lina.linalg._sketch:scipy_cosine_transform",
    ("cr_matmul", "dask"): "lina._dask.columns:cr_matmul",
    ("cross_entropy", "torch"): "lina.torch.simplex_losses:cross_entropy",
    ("divided", "torch"): "lina.torch.simplex:divided",
    ("dplr_response", "cupy"): "lina._cuda.dplr_response:dplr_response",
    ("dplr_response", "numpy"): "lina._numba.dplr_response:dplr_response",
    ("dplr_response_supports", "cupy"): "lina._cuda.dplr_response:supports",
    ("dplr_response_vjp", "numpy"): "lina._numba.dplr_response:dplr_response_vjp",
    ("entmax", "cupy"): "lina._cuda.entmax:entmax",
    ("entmax", "dask"): "lina._dask.by_rows:entmax",
    ("entmax", "numpy"): "lina._numba.entmax:entmax",
    ("entmax", "torch"): "lina.torch.simplex:entmax",
    ("entmax_backward", "numpy"): "lina._numba.entmax_backward:entmax_backward",
    ("exchange_design", "numpy"): "lina._numba.optimal_design:exchange",
    ("expm", "numpy"): "scipy.linalg:expm",
    ("expm", "torch"): "torch.linalg:matrix_exp",
    ("fenchel_young", "torch"): "lina.torch.simplex_losses:fenchel_young",
    ("fftconv", "torch"): "lina.torch.convolution:fftconv",
    ("fill_states", "numpy"): "lina.hippo._lti_scan:numpy_fill",
    ("fourier", "numpy"): "lina.ssm._fourier:scipy_transform",
    ("frobenius", "numpy"): "lina._core.array:numpy_frobenius",
    ("hessenberg_response", "numpy"): "lina.ssm._freqresp_hessenberg:hessenberg_response",
    ("householder", "numpy"): "lina.linalg._householder:lapack_householder",
    ("interpolative", "dask"): "lina._dask.columns:interpolative",
    ("inverse", "numpy"): "lina.linalg._lapack:inverse",
    ("keep_topk", "numpy"): "lina.simplex._truncated_softmax:numpy_keep_topk",
    ("keep_topk", "torch"): "lina.torch.simplex_losses:keep_topk",
    ("kernel_diag", "dask"): "lina._dask.by_channels:kernel_diag",
    ("kernel_diag", "torch"): "lina.torch.ssm_kernels:kernel_diag",
    ("kernel_dplr", "dask"): "lina._dask.by_channels:kernel_dplr",
    ("kernel_dplr", "torch"): "lina.torch.ssm_kernels:kernel_dplr",
    ("kernel_dplr_truncated", "dask"): "lina._dask.by_channels:kernel_dplr_truncated",
    ("kernel_dplr_truncated", "torch"): "lina.torch.ssm_kernels:kernel_dplr_truncated",
    ("kernel_rational", "dask"): "lina._dask.by_channels:kernel_rational",
    ("kernel_rational", "torch"): "lina.torch.convolution:kernel_rational",
    ("kernel_rational_truncated", "dask"): "lina._dask.by_channels:kernel_rational_truncated",
    ("kernel_rational_truncated", "torch"): "lina.torch.convolution:kernel_rational_truncated",
    ("kth_largest", "numpy"): "lina.simplex._truncated_softmax:numpy_kth_largest",
    ("kth_largest", "torch"): "lina.torch.simplex_losses:kth_largest",
    ("largest", "numpy"): "lina.simplex._rows:numpy_largest",
    ("legs_scan", "cupy"): "lina._cuda.legs_scan:legs_scan",
    ("legs_scan", "numpy"): "lina._numba.legs_scan:legs_scan",
    ("legs_scan_supports", "cupy"): "lina._cuda.legs_scan:supports",
    ("legs_scan_vjp", "numpy"): "lina._numba.legs_scan:legs_scan_vjp",
    ("legs_solve", "numpy"): "lina._numba.legs_scan:legs_solve",
    ("linear_scan", "numpy"): "lina._numba.linear_scan:linear_scan",
    ("log_ndtr", "numpy"): "scipy.special:log_ndtr",
    ("log_ndtr", "torch"): "torch.special:log_ndtr",
    ("log_normaliser", "dask"): "lina._dask.by_rows:log_normaliser",
    ("log_normaliser", "numpy"): "lina._numba.softmax:log_normaliser",
    ("log_softmax", "dask"): "lina._dask.by_rows:log_softmax",
    ("log_softmax", "numpy"): "lina._numba.softmax:log_softmax",
    ("log_softmax", "torch"): "lina.torch.simplex:log_softmax",
    ("logsumexp", "torch"): "lina.torch.simplex:logsumexp",
    ("loop", "jax"): "jax.lax:fori_loop",
    ("lu_pivots", "numpy"): "lina.linalg._select_columns.lupp:lapack_lu_pivots",
    ("masked_softmax", "numpy"): "lina._numba.softmax:masked_softmax",
    ("masked_softmax", "torch"): "lina.torch.simplex:masked_softmax",
    ("nan_if_negative", "torch"): "lina.torch.simplex_losses:nan_if_negative",
    ("pairwise_factor_qp", "numpy"): "lina._numba.simplex_qp:pairwise_factor_qp",
    ("pairwise_qp", "numpy"): "lina._numba.simplex_qp:pairwise_qp",
    ("perturb_max", "torch"): "lina.torch.simplex_losses:perturb_max",
    ("pinv", "torch"): "lina.torch.pinv:pinv_with_facts",
    ("pinv_in_blocks", "dask"): "lina._dask.pinv:pinv",
    ("pinv_small", "cupy"): "lina._cuda.pinv_small:pinv_small",
    ("pinv_small", "numpy"): "lina._numba.pinv_small:pinv_small",
    ("pinv_small_supports", "cupy"): "lina._cuda.pinv_small:supports",
    ("pivoted_qr", "numpy"): "lina.linalg._lapack:pivoted_qr",
    ("project_between", "dask"): "lina._dask.by_rows:project_between",
    ("project_between", "torch"): "lina.torch.simplex_bounds:project_between",
    ("project_capped_simplex", "numpy"): "lina._numba.project_capped_simplex:project_capped_simplex",
    ("project_simplex", "cupy"): "lina._cuda.project_simplex:project_simplex",
    ("project_simplex", "dask"): "lina._dask.by_rows:project_simplex",
    ("project_simplex", "numpy"): "lina._numba.project_simplex:project_simplex",
    ("project_simplex", "torch"): "lina.torch.simplex:project_simplex",
    ("project_simplex_backward", "numpy"): "lina._numba.project_simplex_backward:project_simplex_backward",
    ("psd_blocks", "dask"): "lina._dask.psd:PsdBlocks",
    ("qp_asymmetry", "numpy"): "lina._numba.qp_asymmetry:asymmetry",
    ("rational_scan", "dask"): "lina._dask.rational_scan:rational_scan",
    ("rational_scan", "numpy"): "lina.ssm._scan_rational:numpy_scan",
    ("resample_axis", "numpy"): "lina.diffusion._dct:scipy_resample_axis",
    ("running_sum", "torch"): "torch:cumsum",
    ("scan_values", "torch"): "lina.torch.scan:scan_values",
    ("series_divide", "numpy"): "lina.ssm._series:numpy_divide",
    ("simplex_lsq_solution", "torch"): "lina.torch.simplex_solutions:attach_lsq",
    ("simplex_qp_rows", "numpy"): "lina._numba.simplex_qp:simplex_qp_rows",
    ("simplex_qp_solution", "torch"): "lina.torch.simplex_solutions:attach_qp",
    ("soft_cross_entropy", "numpy"): "lina._numba.softmax:soft_cross_entropy",
    ("soft_cross_entropy", "torch"): "lina.torch.simplex_losses:soft_cross_entropy",
    ("soft_topk", "dask"): "lina._dask.by_rows:soft_topk",
    ("soft_topk", "torch"): "lina.torch.simplex_losses:soft_topk",
    ("softmax", "dask"): "lina._dask.by_rows:softmax",
    ("softmax", "numpy"): "lina._numba.softmax:softmax",
    ("softmax", "torch"): "lina.torch.simplex:softmax",
    ("solve_left", "torch"): "lina.torch.least_squares:solve_with_facts",
    ("solve_triangular", "jax"): "lina.ssm._series_substitution:jax_solve",
    ("solve_triangular", "torch"): "torch.linalg:solve_triangular",
    ("step_down", "numpy"): "lina._numba.step_down:step_down",
    ("svd_least_squares", "numpy"): "numpy.linalg:lstsq",
    ("take_columns", "numpy"): "lina.linalg._lapack:take_columns",
    ("top_eigh", "numpy"): "lina.linalg._lapack:top_eigh",
    ("triangular_inverse", "numpy"): "lina.linalg._lapack:triangular_inverse",
    ("truncated_svd", "dask"): "lina._dask.truncated_svd:truncated_svd",
    ("vandermonde", "cupy"): "lina._cuda.vandermonde:vandermonde",
    ("vandermonde", "numpy"): "lina._numba.vandermonde:vandermonde",
    ("vandermonde_transpose", "cupy"): "lina._cuda.vandermonde:vandermonde_transpose",
    ("vandermonde_transpose", "numpy"): "lina._numba.vandermonde:vandermonde_transpose",
    ("warn_of_obstacles", "torch"): "lina.torch.diffusion.obstacles:warn_of_obstacles",
}


def library(xp: Any) -> str:
    """Return the short name of an array namespace: numpy, cupy, torch, jax, dask or array_api_strict."""
    name: str = xp.__name__
    parts = name.removeprefix("array_api_compat.").split(".")
    return parts[0]


def kernel(operation: str, xp: Any) -> Callable[..., Any] | None:
    """Return the kernel of ``operation`` for the namespace ``xp``, or None where the generic body runs."""
    name = library(xp)
    target = TABLE.get((operation, name))
    if target is None:
        return None
    _load(target, name)
    return _loaded[target]


_loaded: dict[str, Callable[..., Any]] = {}


def _load(target: str, name: str) -> None:
    if target in _loaded:
        return
    # a trace sees the table as it was at its first look: all that it may look for is loaded then
    wanted = [each for (_, owner), each in TABLE.items() if owner == name] if name == "torch" else [target]
    for each in wanted:
        module, function = each.split(":")
        _loaded[each] = getattr(import_module(module), function)


# What torch's assume_constant_result sets: torch.compile runs the import while it traces, instead of tracing it.
_load._dynamo_marked_constant = True  # type: ignore[attr-defined]
