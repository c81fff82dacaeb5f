"""The Frechet distance of two Gaussian distributions, and of samples through their means and covariances."""

import math
from typing import Any

from lina._core.array import (
    adjoint,
    check_finite,
    dtype_name,
    epsilon,
    open_door,
    refuse_gradient,
    scalar,
    widened_array,
)
from lina.diffusion.metrics._features import check_value, open_features, to_unit_scale


def frechet_distance(x: Any, y: Any) -> float:
    """Return the squared Frechet distance of the Gaussian distributions with the means and covariances of two samples.

    Parameters
    ----------
    x, y : arrays, shapes (n, d) and (m, d)
        Features, samples as rows, real; at least 2 of each. n and m may differ, and be below d.

    Returns
    -------
    distance : float
        ``norm(mean x - mean y)^2 + tr(C + D - 2 (C^(1/2) D C^(1/2))^(1/2))`` with the covariances over n - 1 and m - 1.

    Raises
    ------
    TypeError
        If the features are complex, or of different libraries.
    ValueError
        If the shapes do not fit or an entry is not finite.
    GradientError
        If torch records a gradient: this is for measuring, not for training.

    Notes
    -----
    No covariance and no root of one is formed: with factors R of the centred samples, C = R^T R, the trace of the root
    is the sum of the singular values of R S^T, with all their digits also where the covariances are singular. 2 (n + m)
    d^2 + O(d^3) flops in double precision. It is biased upwards by the sizes of the samples, most where they are not
    far above d: see `compare`.

    Source: D. Dowson and B. Landau, The Frechet distance between multivariate normal distributions, 1982.

    Examples
    --------
    >>> from lina.diffusion.metrics import frechet_distance
    >>> round(frechet_distance([[0.0], [2.0]], [[1.0], [5.0]]), 12)  # means 1 and 3, deviations sqrt2 and 2 sqrt2
    6.0
    """
    xp, x, y = open_features("frechet_distance", 2, x=x, y=y)
    x, y, scale = to_unit_scale(xp, x, y)
    means = [xp.mean(z, axis=0) for z in (x, y)]
    roots = [_triangle(xp, z - mean) / math.sqrt(z.shape[0] - 1) for z, mean in zip((x, y), means, strict=True)]
    return check_value(_distance(xp, means[0] - means[1], *roots) * scale * scale, "x and y")


def gaussian_frechet_distance(mean_x: Any, covariance_x: Any, mean_y: Any, covariance_y: Any) -> float:
    """Return the squared Frechet distance of two Gaussian distributions.

    Parameters
    ----------
    mean_x, mean_y : arrays, shape (d,)
        Real.
    covariance_x, covariance_y : arrays, shape (d, d)
        Symmetric and positive semidefinite, singular ones too.

    Returns
    -------
    distance : float
        As in `frechet_distance`.

    Raises
    ------
    TypeError
        If an array is complex, or they are of different libraries.
    ValueError
        If the shapes do not fit, an entry is not finite, or a covariance is not symmetric or has an eigenvalue below
        minus the square root of its precision times the largest.
    GradientError
        If torch records a gradient.

    Notes
    -----
    Square roots by eigenvectors, with eigenvalues below d eps of the largest taken for 0, and the trace by the
    singular values of the product of both roots: the eigenvalues of ``C^(1/2) D C^(1/2)``, their squares, would have
    half of the digits. Two eigenvalue problems and one of singular values, O(d^3).

    Examples
    --------
    >>> from lina.diffusion.metrics import gaussian_frechet_distance
    >>> singular = [[1.0, 0.0], [0.0, 0.0]], [[4.0, 0.0], [0.0, 0.0]]
    >>> round(gaussian_frechet_distance([0.0, 0.0], singular[0], [3.0, 0.0], singular[1]), 12)
    10.0
    """
    given = {"covariance_x": covariance_x, "covariance_y": covariance_y, "mean_x": mean_x, "mean_y": mean_y}
    refuse_gradient("gaussian_frechet_distance", **given)
    xp, C, D, mean, other = open_door(min_ndim=1, **given)
    for name, found in zip(given, (C, D, mean, other), strict=True):
        wanted = (C.shape[-1],) * (2 if "covariance" in name else 1)
        if found.shape != wanted or 0 in wanted:
            raise ValueError(f"{name} must have the shape {wanted} of d features, got {tuple(found.shape)}")
        if "complex" in dtype_name(found):
            raise TypeError(f"{name} must be real, got dtype {dtype_name(found)}")
        check_finite(xp, found, name)
    C, D, scale = to_unit_scale(xp, C, D)
    roots = [_root(xp, matrix, name) for name, matrix in (("covariance_x", C), ("covariance_y", D))]
    mean, other = (widened_array(xp, m) / math.sqrt(scale) for m in (mean, other))
    return check_value(_distance(xp, mean - other, *roots) * scale, "means and covariances")


def _distance(xp: Any, shift: Any, R: Any, S: Any) -> float:
    """Return the distance for covariances R^T R and S^T S."""
    common = scalar(xp.sum(xp.linalg.svdvals(R @ adjoint(xp, S))))
    spread = scalar(xp.sum(R * R)) + scalar(xp.sum(S * S))
    return scalar(xp.sum(shift * shift)) + max(spread - 2 * common, 0.0)


def _triangle(xp: Any, x: Any) -> Any:
    """Return a factor R of ``x`` with R^T R = x^T x, of at most d rows."""
    return x if x.shape[0] <= x.shape[1] else xp.linalg.qr(x, mode="reduced").R


def _root(xp: Any, matrix: Any, name: str) -> Any:
    rounding = matrix.shape[0] * epsilon(matrix)
    tolerance = math.sqrt(epsilon(matrix))
    matrix = widened_array(xp, matrix)
    largest = scalar(xp.max(xp.abs(matrix)))
    skew = scalar(xp.max(xp.abs(matrix - adjoint(xp, matrix))))
    if skew > tolerance * largest:
        raise ValueError(f"{name} must be symmetric, found entries that differ by {skew / largest:.2g} of the largest")
    values, vectors = xp.linalg.eigh((matrix + adjoint(xp, matrix)) / 2)
    lowest = scalar(values[0])
    if lowest < -tolerance * max(scalar(values[-1]), -lowest):
        raise ValueError(
            f"{name} must be positive semidefinite, found an eigenvalue {lowest / largest:.2g} of its entries"
        )
    # roots make 1e-8 of the 1e-16 that rounding leaves of a zero
    kept = values > rounding * scalar(values[-1])
    return xp.sqrt(xp.where(kept, values, xp.zeros_like(values)))[:, None] * adjoint(xp, vectors)
