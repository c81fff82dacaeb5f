"""Systems of one input and one output: dense, diagonal, diagonal plus low rank, rational."""

from lina.ssm._systems.dense import DenseSystem
from lina.ssm._systems.diagonal import DiagonalSystem
from lina.ssm._systems.dplr import DPLRSystem
from lina.ssm._systems.rational import RationalSystem

System = DenseSystem | DiagonalSystem | DPLRSystem | RationalSystem

__all__ = ["DPLRSystem", "DenseSystem", "DiagonalSystem", "RationalSystem", "System"]
