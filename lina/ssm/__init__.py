"""State-space systems: conversions, discretisation, generating functions, convolution kernels, stability, scans."""

from lina.ssm._convert.forms import to_dense, to_diagonal, to_rational
from lina.ssm._convert.polynomials import characteristic_polynomial, leja_order, poly_from_roots
from lina.ssm._convert.result import Conversion
from lina.ssm._convert.truncated import recover_b, recover_c, truncated_b, truncated_c
from lina.ssm._discretize import discretize
from lina.ssm._fftconv import fftconv, fftconv_vjp
from lina.ssm._freqresp import freqresp
from lina.ssm._generating_function import generating_function
from lina.ssm._kernels.cauchy import cauchy, cauchy_vjp
from lina.ssm._kernels.dense import kernel_dense
from lina.ssm._kernels.diag import kernel_diag, kernel_diag_vjp
from lina.ssm._kernels.dplr import kernel_dplr, kernel_dplr_truncated
from lina.ssm._kernels.dplr_vjp import kernel_dplr_truncated_vjp, kernel_dplr_vjp
from lina.ssm._kernels.rational import kernel_rational, kernel_rational_vjp
from lina.ssm._kernels.rational_truncated import kernel_rational_truncated, kernel_rational_truncated_vjp
from lina.ssm._kernels.vandermonde import vandermonde, vandermonde_transpose, vandermonde_vjp
from lina.ssm._stability import UnstableSystemWarning, stability_margin, stable_polynomial, step_down, step_up
from lina.ssm._step import linear_scan, step
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem

__all__ = [
    "Conversion",
    "DPLRSystem",
    "DenseSystem",
    "DiagonalSystem",
    "RationalSystem",
    "UnstableSystemWarning",
    "cauchy",
    "cauchy_vjp",
    "characteristic_polynomial",
    "discretize",
    "fftconv",
    "fftconv_vjp",
    "freqresp",
    "generating_function",
    "kernel_dense",
    "kernel_diag",
    "kernel_diag_vjp",
    "kernel_dplr",
    "kernel_dplr_truncated",
    "kernel_dplr_truncated_vjp",
    "kernel_dplr_vjp",
    "kernel_rational",
    "kernel_rational_truncated",
    "kernel_rational_truncated_vjp",
    "kernel_rational_vjp",
    "leja_order",
    "linear_scan",
    "poly_from_roots",
    "recover_b",
    "recover_c",
    "stability_margin",
    "stable_polynomial",
    "step",
    "step_down",
    "step_up",
    "to_dense",
    "to_diagonal",
    "to_rational",
    "truncated_b",
    "truncated_c",
    "vandermonde",
    "vandermonde_transpose",
    "vandermonde_vjp",
]
