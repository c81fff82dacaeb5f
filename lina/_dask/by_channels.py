"""Scans and convolution kernels of dask arrays: the channels of a block by one task, as numpy does them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np

from lina._core.array import open_door
from lina._dask.graph import as_task
from lina.hippo._legs_scan.public import scan_states
from lina.ssm._kernels.diag import diag_taps
from lina.ssm._kernels.dplr import dplr_taps, truncated_dplr_taps
from lina.ssm._kernels.rational import rational_taps
from lina.ssm._kernels.rational_truncated import truncated_rational_taps


def _over_channels(
    function: Callable[..., Any], signature: str, dtype: Any, *arrays: Any, length: int | None = None
) -> Any:
    """Return ``function`` of blocks of leading axes; those that ``signature`` names, one word each, are not cut."""
    inputs = signature.partition("->")[0].split("),(")
    counts = [len([name for name in names.strip("()").split(",") if name]) for names in inputs]
    whole = [
        each.rechunk(dict.fromkeys(range(each.ndim - count, each.ndim), -1))
        for each, count in zip(arrays, counts, strict=True)
    ]
    sizes = {} if length is None else {"l": length}
    return da.apply_gufunc(
        function, signature, *whole, output_sizes=sizes, allow_rechunk=True, meta=np.empty((0,), dtype=dtype)
    )


def _opened(**arrays: Any) -> list[Any]:
    """Return dask arrays of working dtypes; arrays of numpy and lists are taken along."""
    return list(open_door(**{name: da.asarray(each) for name, each in arrays.items()})[1:])


def _real(*arrays: Any) -> Any:
    return np.zeros(0, dtype=np.result_type(*(each.dtype for each in arrays))).real.dtype


def legs_scan(u: Any, x0: Any, N: int, method: str, return_all: bool, k0: int, scaling: str) -> Any:
    """Return the states of the memories of all signals, (..., N) or (..., L, N)."""
    run = partial(_legs_scan, N=N, method=method, return_all=return_all, k0=k0, scaling=scaling)
    out = "(l,n)" if return_all else "(n)"
    arrays = _opened(u=u) if x0 is None else _opened(u=u, x0=x0)
    dtype = np.result_type(*(each.dtype for each in arrays))
    if x0 is not None:
        return _over_channels(run, f"(l),(n)->{out}", dtype, *arrays)
    (u,) = (each.rechunk({each.ndim - 1: -1}) for each in arrays)
    return da.apply_gufunc(run, f"(l)->{out}", u, output_sizes={"n": N}, meta=np.empty((0,), dtype=dtype))


@as_task
def _legs_scan(u: Any, x0: Any = None, **options: Any) -> Any:
    return scan_states(u, x0, *(options[name] for name in ("N", "method", "return_all", "k0", "scaling")))


def kernel_diag(Lambda: Any, B: Any, C: Any, dt: Any, L: int, method: str, unstable: str) -> Any:
    """Return the taps (..., L) of diagonal systems."""
    return _taps(diag_taps, _opened(Lambda=Lambda, B=B, C=C), "(n),(n),(n)", dt, L, method, unstable)


def kernel_dplr(Lambda: Any, P: Any, B: Any, C: Any, dt: Any, L: int, unstable: str) -> Any:
    """Return the taps (..., L) of systems that are diagonal plus low rank."""
    arrays = _opened(Lambda=Lambda, P=P, B=B, C=C)
    return _taps(dplr_taps, arrays, f"(n),{_terms(arrays)},(n),(n)", dt, L, unstable)


def kernel_dplr_truncated(Lambda: Any, P: Any, B: Any, C_tilde: Any, dt: Any, L: int) -> Any:
    """Return the same of parameters of one length."""
    arrays = _opened(Lambda=Lambda, P=P, B=B, C_tilde=C_tilde)
    return _taps(truncated_dplr_taps, arrays, f"(n),{_terms(arrays)},(n),(n)", dt, L)


def _terms(arrays: list[Any]) -> str:
    return "(r,n)" if arrays[1].ndim > arrays[0].ndim else "(n)"


def _taps(function: Any, arrays: list[Any], signature: str, dt: Any, L: int, *options: Any) -> Any:
    """Return the taps for a step that is a number, or one for each system."""
    run = partial(_with_step, function=function, L=L, options=options)
    if np.ndim(dt) == 0 and not isinstance(dt, da.Array):
        return _over_channels(partial(run, step=dt), f"{signature}->(l)", _real(*arrays), *arrays, length=L)
    (steps,) = _opened(dt=dt)
    return _over_channels(run, f"{signature},()->(l)", _real(*arrays), *arrays, steps, length=L)


@as_task
def _with_step(*arrays: Any, function: Any, L: int, options: tuple[Any, ...], step: Any = None) -> Any:
    given = arrays if step is None else (*arrays, step)
    return function(*given, L, *options)


def kernel_rational(a: Any, b: Any, L: int) -> Any:
    """Return the taps (..., L) of rational systems."""
    return _rational(rational_taps, a, b, L)


def kernel_rational_truncated(a: Any, b_tilde: Any, L: int, unstable: str) -> Any:
    """Return the same of parameters of one length."""
    return _rational(truncated_rational_taps, a, b_tilde, L, unstable)


def _rational(function: Any, a: Any, b: Any, L: int, *options: Any) -> Any:
    arrays = _opened(a=a, b=b)
    run = partial(_numerators, function=function, L=L, options=options)
    return _over_channels(run, "(d),(d)->(l)", _real(*arrays), *arrays, length=L)


@as_task
def _numerators(a: Any, b: Any, function: Any, L: int, options: tuple[Any, ...]) -> Any:
    return function(a, b, L, *options)
