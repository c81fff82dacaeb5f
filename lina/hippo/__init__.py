"""Measures and matrices of HiPPO, online memory, reconstruction, diagonal plus low rank forms."""

from lina.hippo._basis import basis
from lina.hippo._legs_products import legs_matvec, legs_rmatvec, legs_rsolve, legs_solve
from lina.hippo._legs_project import legs_project
from lina.hippo._legs_scan.public import legs_scan, legs_scan_vjp
from lina.hippo._lti_scan import lti_scan
from lina.hippo._nplr import NPLR, nplr
from lina.hippo._reconstruct import reconstruct
from lina.hippo._transition import transition

__all__ = [
    "NPLR",
    "basis",
    "legs_matvec",
    "legs_project",
    "legs_rmatvec",
    "legs_rsolve",
    "legs_scan",
    "legs_scan_vjp",
    "legs_solve",
    "lti_scan",
    "nplr",
    "reconstruct",
    "transition",
]
