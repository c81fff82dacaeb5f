"""State-space systems: conversions, discretisation, generating functions, convolution kernels, stability, scans."""

from lina.ssm._convert.forms import to_dense, to_diagonal, to_rational
from lina.ssm._convert.polynomials import characteristic_polynomial, leja_order, poly_from_roots
from lina.ssm._convert.result import Conversion
from lina.ssm._convert.truncated import recover_b, recover_c, truncated_b, truncated_c
from lina.ssm._discretize import discretize
from lina.ssm._freqresp import freqresp
from lina.ssm._generating_function import generating_function
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
    "characteristic_polynomial",
    "discretize",
    "freqresp",
    "generating_function",
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
]
