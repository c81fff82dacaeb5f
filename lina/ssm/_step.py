"""Recurrent modes: one step of a system, and a scan of many in chunks that run side by side."""

import math
from typing import Any

import numpy as np

from lina._core.array import check_one_device, open_door, where_is
from lina._core.kernels import kernel
from lina.ssm._convert.realise import pairs, parts, realised
from lina.ssm._fourier import check_entries, check_result
from lina.ssm._generating_function import state_array
from lina.ssm._kernels.dense import block_length, krylov, tame_squares
from lina.ssm._scan_forms import kernel_pays, scan_by_kernel, scan_by_taps
from lina.ssm._scan_rational import scan_rational
from lina.ssm._systems import DenseSystem, DiagonalSystem, DPLRSystem, RationalSystem
from lina.ssm._systems_arrays import (
    batch_shape,
    check_last,
    check_overflow,
    complex_dtype,
    is_complex,
    namespace,
    widened,
)

# Chunks of a dense system whose beginnings are kept before their outputs are formed.
_AT_ONCE = 1024


def step(system: Any, u: Any, x: Any = None) -> tuple[Any, Any]:
    """Return (y, x_next) of a discrete system: x_next = A x + B u and y = C x_next.

    Parameters
    ----------
    system : DenseSystem, DiagonalSystem, DPLRSystem or RationalSystem
        Discrete.
    u : float or array_like, shape (...)
        Input, real unless the system is dense or rational.
    x : array_like, shape (..., n), optional
        State: complex for systems of conjugate pairs, otherwise that of the dense or companion form. Zeros unless
        given.

    Returns
    -------
    y : array, shape (...)
    x_next : array, shape (..., n)
        Leading axes are broadcast with those of the system.

    Raises
    ------
    TypeError
        If ``system`` is no system, ``u`` is complex beside conjugate pairs, or libraries differ.
    ValueError
        If the system is continuous, shapes do not fit, or entries are not finite.
    OverflowError
        If the next state exceeds the range of the dtype.

    Notes
    -----
    Cost 2 n^2 flops dense, 16 n diagonal, 16 (r + 1) n for diagonal plus low rank, 4 n rational: the bilinear transform
    of a diagonal plus low rank matrix is one, so that the step of `DPLRSystem.discretize` is one product with a
    diagonal and one of rank r, where the formula (I - dt A / 2)^-1 (I + dt A / 2) has two of each.

    Examples
    --------
    >>> from lina.ssm import RationalSystem, step
    >>> halves = RationalSystem([-0.5], [1.0])
    >>> y, x = step(halves, 1.0)
    >>> step(halves, 0.0, x)[0]
    array(0.5)
    """
    xp, u, x = _opened(system, u, x, "x")
    with np.errstate(over="ignore", invalid="ignore"):
        x = _advance(xp, system, u[..., None], x[..., None, :])
        y = _output(xp, system, x)[..., 0]
    return check_overflow(xp, y, "u or x"), check_overflow(xp, x[..., 0, :], "u or x")


def linear_scan(system: Any, u: Any, x0: Any = None, *, return_states: bool = False) -> tuple[Any, ...]:
    """Return (y, x): the outputs y_k = C x_{k+1} of x_{k+1} = A x_k + B u_k for all samples, and the state after them.

    Parameters
    ----------
    system : DenseSystem, DiagonalSystem, DPLRSystem or RationalSystem
        Discrete.
    u : array_like, shape (..., L)
        Samples, L >= 0; real unless the system is dense or rational.
    x0 : array_like, shape (..., n), optional
        State before them, as `step` takes and a scan returns it; zeros unless given.
    return_states : bool
        Also return the states after each sample.

    Returns
    -------
    y : array, shape (..., L)
    x : array, shape (..., n)
        A scan of the samples that follow goes on from it.
    states : array, shape (..., L, n)
        Only with ``return_states=True``.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `step`; an unstable system overflows sooner or later.

    Notes
    -----
    Systems of conjugate pairs step through a kernel where there is one: 16 (r + 1) n flops a sample. So do rational
    systems of up to 512 states, 4 n flops a sample; others divide as `kernel_rational` does. Dense ones multiply by the
    taps of a chunk of T <= sqrt(L) samples, and by A^T from one chunk to the next: log2(T) squarings and L / T products
    with a vector. Otherwise, and where all states of a dense system are returned, the samples are cut into about
    sqrt(L) chunks, unless a power of A would cost more than that saves: all chunks run side by side from zero, their
    ends are chained by A^T, and all run again from where they begin, twice the work of a loop in 3 sqrt(L) calls.
    Memory of about 2 sqrt(L) states, or that of all states where they are returned. Gradients pass through: what torch
    keeps for them is two to three times all states, less where those of a dense or rational system are not returned.
    It looks at values: within torch.compile and vmap only the convolution kernels run, with `fftconv`. Tensors whose
    gradient nobody records go through the kernels of numpy.

    The error is that of the recurrence, step by step. A jump by A^T keeps it while the powers of A do not grow beyond
    twice sqrt(n) or twice the norm of A; where they do, as those of a companion matrix with clustered poles, chunks are
    shorter, in the end single steps: L calls, where the rational form of the same system takes one. The powers of
    traced and lazy arrays are not looked at.

    Examples
    --------
    >>> from lina.ssm import RationalSystem, linear_scan
    >>> halves = RationalSystem([-0.5], [1.0])
    >>> y, x = linear_scan(halves, [1.0, 0.0, 0.0])
    >>> y
    array([1.  , 0.5 , 0.25])
    >>> linear_scan(halves, [0.0], x)[0]
    array([0.125])
    """
    xp, u, x0 = _opened(system, u, x0, "x0")
    with np.errstate(over="ignore", invalid="ignore"):
        y, end, states = _scan(xp, system, u, x0, return_states)
    y, end = check_result(xp, y, "u"), check_result(xp, end, "u")
    return (y, end, states) if return_states else (y, end)


def _scan(xp: Any, system: Any, u: Any, x: Any, return_states: bool) -> tuple[Any, Any, Any]:
    """Return (y, last state, all states or None), by the form of the system or in chunks."""
    of_values = kernel("scan_values", xp)
    found = None if of_values is None else of_values(_scan, system, u, x, return_states)
    if found is not None:
        return found
    fast = kernel("linear_scan", xp) if _is_paired(system) else None
    if fast is not None and kernel_pays(u, x):
        return scan_by_kernel(fast, system, u, x, return_states)
    if isinstance(system, RationalSystem) and u.shape[-1]:
        return scan_rational(xp, system, u, x, return_states)
    if isinstance(system, DenseSystem) and not return_states:
        return _scan_taps(xp, system, u, x)
    return _scan_chunks(xp, system, u, x, return_states)


def _scan_taps(xp: Any, system: DenseSystem, u: Any, x: Any) -> tuple[Any, Any, None]:
    """Return (y, last state, None): whole chunks by products of matrices, then the samples that are left over."""
    wide, n = widened(system), system.state_size
    B, C = (xp.broadcast_to(v, (*system.batch, n)) for v in (wide.B, wide.C))
    powers = krylov(xp, wide.A, B, C, block_length(n, u.shape[-1]))
    T = powers[0].shape[-2]
    whole, outputs = u.shape[-1] // T * T, []
    for start in range(0, whole, _AT_ONCE * T):
        y, x = scan_by_taps(xp, powers, wide.A, B, u[..., start : min(start + _AT_ONCE * T, whole)], x)
        outputs.append(y)
    y, _, x = _run(xp, system, u[..., None, whole:], x[..., None, :], return_states=False)
    outputs.append(y[..., 0, :])
    return xp.concat(outputs, axis=-1), x[..., 0, :], None


def _scan_chunks(xp: Any, system: Any, u: Any, x: Any, return_states: bool) -> tuple[Any, Any, Any]:
    """Return the same: whole chunks side by side, then the samples that are left over."""
    L = u.shape[-1]
    length, jump = _chunk(xp, system, L)
    whole = L // length * length if length > 1 else 0
    pieces = []
    if whole:
        chunks = xp.reshape(u[..., :whole], (*u.shape[:-1], whole // length, length))
        begins, x = _chunk_ends(xp, system, chunks, x, jump)
        pieces.append((chunks, begins))
    pieces.append((u[..., None, whole:], x[..., None, :]))
    outputs, states = [], []
    for samples, start in pieces:
        y, each, last = _run(xp, system, samples, start, return_states)
        outputs.append(xp.reshape(y, (*y.shape[:-2], y.shape[-2] * y.shape[-1])))
        states.append(each)
    every = xp.concat(states, axis=-2) if return_states else None
    return xp.concat(outputs, axis=-1), last[..., -1, :], every


def _chunks_pay(system: Any, L: int) -> bool:
    """Return whether a power of A, n^3 log(L), costs less than a loop over samples saves: about 15 us each."""
    n = system.state_size * (2 if isinstance(system, DPLRSystem) else 1)
    return isinstance(system, DiagonalSystem) or n**3 * L.bit_length() < 400_000 * L


def _opened(system: Any, u: Any, x: Any, state: str) -> tuple[Any, Any, Any]:
    """Return (xp, u, x) in the library and precision of the system, with its batch axes; ``state`` is the name of x.

    The samples of a scan, which calls its state x0, are on the last axis of u. No state is zero.
    """
    like, scan = _checked(system), state == "x0"
    xp = namespace(like)
    x = np.zeros(system.state_size) if x is None else x
    u, x = (_moved(xp, system, like, name, value) for name, value in (("u", u), (state, x)))
    for name, value, least in (("u", u, int(scan)), (state, x, 1)):
        if value.ndim < least:
            raise ValueError(f"{name} must have at least 1 dimension, got shape {tuple(value.shape)}")
    check_last(x, system.state_size, state)
    shapes = {"system": system.batch, "u": u.shape[:-1] if scan else u.shape, state: x.shape[:-1]}
    batch = batch_shape(**{name: tuple(shape) for name, shape in shapes.items()})
    double = "64" if like.dtype in (xp.float64, xp.complex128) else "32"
    real = getattr(xp, f"float{double}")
    mixed = _is_paired(system) or any(is_complex(v) for v in (*_arrays(system), u, x))
    wide = complex_dtype(xp, like) if mixed else real
    x = xp.astype(xp.broadcast_to(x, (*batch, system.state_size)), wide)
    u = xp.astype(u, real if not is_complex(u) else wide, copy=False)
    return xp, xp.broadcast_to(u, (*batch, u.shape[-1]) if scan else batch), x


def _checked(system: Any) -> Any:
    """Return the array that says how the state moves, of a discrete system."""
    like = state_array(system)
    if not system.is_discrete:
        raise ValueError("system must be discrete, got a continuous one: call its discretize first")
    return like


def _moved(xp: Any, system: Any, like: Any, name: str, value: Any) -> Any:
    """Return u or a state as a finite array of the library of the system; numbers and numpy arrays move there."""
    plain = isinstance(value, (int, float, complex, list, tuple, np.generic, np.ndarray))
    named: dict[str, Any] = {name: np.asarray(value) if plain and not isinstance(value, (list, tuple)) else value}
    found, value = open_door(**named)
    if found is not xp and not plain:
        raise TypeError(f"{name} must be an array of the library of the system, got {type(value).__name__}")
    if not plain:
        check_one_device(**{"system": like, name: value})
    check_entries(found, value, name)
    if name == "u" and _is_paired(system) and is_complex(value):
        raise TypeError("u must be real for a system of conjugate pairs, got complex numbers")
    return value if found is xp else xp.asarray(value, device=where_is(like))


def _arrays(system: Any) -> tuple[Any, ...]:
    names = ("a", "b") if isinstance(system, RationalSystem) else ("B", "C")
    return (state_array(system), *(getattr(system, name) for name in names))


def _advance(xp: Any, system: Any, u: Any, x: Any) -> Any:
    """Return A x + B u for inputs (..., k) and states (..., k, n)."""
    column = xp.astype(u, x.dtype, copy=False)[..., None]
    if isinstance(system, DenseSystem):
        A = xp.astype(system.A, x.dtype, copy=False)
        return xp.matmul(x, xp.matrix_transpose(A)) + column * system.B[..., None, :]
    if isinstance(system, RationalSystem):
        first = column - xp.sum(system.a[..., None, :] * x, axis=-1, keepdims=True)
        return xp.concat([first, x[..., :-1]], axis=-1)
    new = system.Lambda[..., None, :] * x + column * system.B[..., None, :]
    if isinstance(system, DPLRSystem):
        along = 2 * xp.real(xp.matmul(x, xp.matrix_transpose(xp.conj(system.Q))))
        new = new - xp.matmul(xp.astype(along, x.dtype), system.P)
    return new


def _output(xp: Any, system: Any, x: Any) -> Any:
    """Return C x for states (..., k, n)."""
    row = system.b if isinstance(system, RationalSystem) else system.C
    y = xp.sum(row[..., None, :] * x, axis=-1)
    return 2 * xp.real(y) if isinstance(system, (DiagonalSystem, DPLRSystem)) else y


def _run(xp: Any, system: Any, samples: Any, x: Any, return_states: bool) -> tuple[Any, Any, Any]:
    """Run chunks (..., k, T) from states (..., k, n): outputs, all states in one row, last states."""
    outputs, states = [], []
    for t in range(samples.shape[-1]):
        x = _advance(xp, system, samples[..., t], x)
        outputs.append(_output(xp, system, x))
        if return_states:
            states.append(x)
    y = xp.stack(outputs, axis=-1) if outputs else xp.real(samples) * 0 if _is_paired(system) else samples * x[..., :1]
    if not return_states:
        return y, None, x
    each = xp.stack(states, axis=-2) if states else x[..., :0, :][..., None, :, :]
    return y, xp.reshape(each, (*each.shape[:-3], each.shape[-3] * each.shape[-2], each.shape[-1])), x


def _is_paired(system: Any) -> bool:
    return isinstance(system, (DiagonalSystem, DPLRSystem))


def _chunk_ends(xp: Any, system: Any, chunks: Any, x: Any, jump: Any) -> tuple[Any, Any]:
    """Return the states (..., k, n) where each chunk begins, and the one after the last."""
    count, length = chunks.shape[-2], chunks.shape[-1]
    zero = xp.zeros((*chunks.shape[:-1], x.shape[-1]), dtype=x.dtype, device=where_is(x))
    for t in range(length):
        zero = _advance(xp, system, chunks[..., t], zero)
    begins = []
    for c in range(count):
        begins.append(x)
        x = jump(x) + zero[..., c, :]
    return xp.stack(begins, axis=-2), x


def _chunk(xp: Any, system: Any, L: int) -> tuple[int, Any]:
    """Return T of about sqrt(L) steps and the map x -> A^T x of states (..., n); 1 where chunks would not pay.

    T is less where the powers of A grow: `tame_squares` says why.
    """
    longest = math.isqrt(L)
    if longest < 2 or not _chunks_pay(system, L):
        return 1, None
    dtype = state_array(system).dtype
    if isinstance(system, DiagonalSystem):
        power = xp.astype(widened(system).Lambda ** longest, dtype)
        return longest, lambda x: power * x
    T, M = 1, realised(widened(system)).A
    for square in tame_squares(xp, M, longest):
        T, M = 2 * T, square
    M = xp.astype(M, _power_dtype(xp, system, dtype))
    apply = lambda x: xp.matmul(xp.astype(M, x.dtype, copy=False), x[..., None])[..., 0]  # noqa: E731
    if isinstance(system, DPLRSystem):
        return T, lambda x: pairs(apply(parts(xp, x)))
    return T, apply


def _power_dtype(xp: Any, system: Any, dtype: Any) -> Any:
    if isinstance(system, DPLRSystem):
        return xp.float64 if dtype == xp.complex128 else xp.float32
    return dtype
