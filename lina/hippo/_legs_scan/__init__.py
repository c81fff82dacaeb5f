"""The online memory of LegS: the scan, its adjoint, and the array bodies of both."""
