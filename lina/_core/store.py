"""Results on disk: a versioned .npz without pickle, whose header says which class it holds and where its fields are."""

import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np
from array_api_compat import device, is_array_api_obj, is_dask_array

from lina._core.array import open_door, to_numpy

# Raised when a reader of an older lina could misread a file. Fields that come, go or change their meaning do that.
FORMAT = 1

# The name in the file -> where the class is now. A result class is stored if it has a row here; the name never changes.
CLASSES: dict[str, str] = {
    "BoundedStep": "lina.simplex.flow.bounded_density:BoundedStep",
    "Certificate": "lina._core.certificates:Certificate",
    "ColumnSelection": "lina.linalg._select_columns.public:ColumnSelection",
    "Conversion": "lina.ssm._convert.result:Conversion",
    "CosineSketch": "lina.linalg._sketch:CosineSketch",
    "CR": "lina.linalg._cr_matmul.result:CR",
    "CUR": "lina.linalg._cur.result:CUR",
    "CURCompletion": "lina.linalg._cur.result:CURCompletion",
    "DenseSystem": "lina.ssm._systems.dense:DenseSystem",
    "DiagonalSystem": "lina.ssm._systems.diagonal:DiagonalSystem",
    "DPLRSystem": "lina.ssm._systems.dplr:DPLRSystem",
    "EnclosingBall": "lina.simplex._min_enclosing_ball:EnclosingBall",
    "Frontier": "lina.simplex._portfolio_frontier.result:Frontier",
    "GaussianSketch": "lina.linalg._sketch:GaussianSketch",
    "GeneralizedLowRank": "lina.linalg._generalized_low_rank:GeneralizedLowRank",
    "GridFlow": "lina.simplex.flow._result:GridFlow",
    "Interpolative": "lina.linalg._interpolative:Interpolative",
    "LeastSquaresInfo": "lina.linalg._least_squares:LeastSquaresInfo",
    "LowRankEigh": "lina.linalg._low_rank_eigh:LowRankEigh",
    "NPLR": "lina.hippo._nplr:NPLR",
    "OptimalDesign": "lina.simplex._optimal_design:OptimalDesign",
    "ParticleFlow": "lina.simplex.flow._result:ParticleFlow",
    "PinvFactor": "lina.linalg._pinv_factor:PinvFactor",
    "PinvInfo": "lina.linalg._pinv.public:PinvInfo",
    "PivotedQR": "lina.linalg._qr_pivoted:PivotedQR",
    "QuantileFlow": "lina.simplex.flow._result:QuantileFlow",
    "Quantisation": "lina.simplex._kernel_herding:Quantisation",
    "RationalSystem": "lina.ssm._systems.rational:RationalSystem",
    "RPCholesky": "lina.linalg._rpcholesky:RPCholesky",
    "Scree": "lina.linalg._streaming_svd.certify:Scree",
    "SignSketch": "lina.linalg._sketch:SignSketch",
    "SimplexResult": "lina.simplex._result:SimplexResult",
    "SimplexStep": "lina.simplex._result:Step",
    "StreamingSVD": "lina.linalg._streaming_svd.stream:StreamingSVD",
    "TruncatedSVD": "lina.linalg._truncated_svd.result:TruncatedSVD",
    "TwoSidedProjection": "lina.linalg._two_sided_projection:TwoSidedProjection",
}
ENUMS: dict[str, str] = {
    "CertificateKind": "lina._core.certificates:CertificateKind",
    "Status": "lina._core.certificates:Status",
}

_HEADER = "lina"


def save(file: Any, result: Any) -> None:
    """Write a result, a system, or the state of a stream to a file.

    Parameters
    ----------
    file : str, path or binary file object
        A path is used as it is, without an ending of its own. It is replaced only once all is written: an
        interrupted call leaves what was there.
    result : TruncatedSVD, StreamingSVD, SimplexResult, DPLRSystem, ...
        Any class that functions of lina return. Arrays of every library are stored as numpy arrays.

    Raises
    ------
    TypeError
        If ``result`` is of no such class, ``file`` no path or file.

    Notes
    -----
    The file is an .npz archive (``numpy.load`` opens it): the arrays under the names of their fields, and under
    "lina" a header in JSON, UTF-8, with the format version, the class and all that is no array. A stream is stored
    with its seed: one that is loaded goes on with the same bits.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from lina import load, save
    >>> from lina.linalg import truncated_svd
    >>> F = truncated_svd(np.eye(4), 2)
    >>> file = io.BytesIO()
    >>> save(file, F)
    >>> _ = file.seek(0)
    >>> G = load(file)
    >>> np.array_equal(F.U, G.U), F.error == G.error, str(G.status)
    (True, True, 'converged')
    """
    if _name_of(result, CLASSES) is None:
        found = f"got {type(result).__name__} (arrays alone are stored by numpy.save and numpy.savez)"
        raise TypeError(f"result must be one of {', '.join(CLASSES)}, {found}")
    arrays: dict[str, Any] = {}
    text = json.dumps({"format": FORMAT, "result": _packed(result, "result", arrays)})
    arrays[_HEADER] = np.frombuffer(text.encode(), dtype=np.uint8)
    if hasattr(file, "write"):
        np.savez(file, **arrays)
        return
    with _replaced(_path(file)) as stream:
        np.savez(stream, **arrays)


def load(file: Any, *, like: Any = None) -> Any:
    """Read what `save` has written.

    Parameters
    ----------
    file : str, path or binary file object
        Nothing in it is executed: a file from elsewhere can be wrong, but not harmful.
    like : array, optional
        An array of the library and on the device where the arrays shall be; their dtypes are kept. Default numpy.

    Returns
    -------
    TruncatedSVD, StreamingSVD, SimplexResult, DPLRSystem, ...
        Of the class that was saved, with the same values. Scalars of numpy come back as numbers of Python.

    Raises
    ------
    TypeError
        If ``file`` is no path or file, or ``like`` no array.
    ValueError
        If ``file`` was not written by `save`, by a newer lina, is damaged, or holds other fields than its class has.
    OSError
        If it cannot be opened.
    """
    sample = None if like is None else open_door(like=like)
    if hasattr(file, "read"):
        header, arrays = _read(file, name := "file")
    else:
        with open(_path(file), "rb") as stream:  # numpy would leave it open where it is damaged
            header, arrays = _read(stream, name := f"file {_path(file)!r}")
    found = header.get("format")
    if found not in range(1, FORMAT + 1):
        hint = ", which needs a newer lina" if isinstance(found, int) and found > FORMAT else ""
        raise ValueError(f"{name} must have a format in 1..{FORMAT}, found {found!r}{hint}")
    reader = _Reader(name, arrays, sample)
    result = reader.value(header.get("result"))
    left = set(arrays) - reader.used
    if left or _name_of(result, CLASSES) is None:
        raise ValueError(f"{name} must hold one result and its arrays, found {sorted(left) or type(result).__name__}")
    return result


def _path(file: Any) -> str:
    try:
        path = os.fspath(file)
    except TypeError:
        raise TypeError(f"file must be a path or a binary file object, got {type(file).__name__}") from None
    return os.fsdecode(path)


@contextmanager
def _replaced(path: str) -> Iterator[Any]:
    """Give a file to write to that takes the place of ``path`` at the end, or vanishes with an error."""
    path = os.path.realpath(path)  # of a link the target is replaced, not the link
    beside = f"{path}.{secrets.token_hex(8)}.tmp"
    try:
        with open(beside, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _packed(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return ``value`` in JSON; arrays go into ``arrays`` under their path."""
    if isinstance(value, np.generic):
        value = value.item()
    enum, known = _name_of(value, ENUMS), _name_of(value, CLASSES)
    if enum is not None:
        return {"enum": enum, "value": value.value}
    if known is not None:
        return {"class": known, "fields": {k: _packed(v, f"{path}.{k}", arrays) for k, v in _fields(value).items()}}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is complex:
        return {"complex": [value.real, value.imag]}
    if type(value) in (tuple, list):
        return {"tuple": [_packed(each, f"{path}.{i}", arrays) for i, each in enumerate(value)]}
    if is_array_api_obj(value):
        arrays[path] = to_numpy(value)
        if not arrays[path].dtype.hasobject:
            return {"array": path}
    raise TypeError(f"{path} must be an array, a number, a text or a result to be stored, got {type(value).__name__}")


def _name_of(value: Any, table: dict[str, str]) -> str | None:
    kind = f"{type(value).__module__}:{type(value).__qualname__}"
    return next((name for name, target in table.items() if target == kind), None)


def _class_of(name: str, table: dict[str, str]) -> Any:
    module, attribute = table[name].split(":")
    return getattr(import_module(module), attribute)


def _fields(value: Any) -> dict[str, Any]:
    if hasattr(value, "_state"):
        return value._state()
    return {name: getattr(value, name) for name in _field_names(type(value))}


def _field_names(kind: Any) -> tuple[str, ...]:
    if is_dataclass(kind):
        return tuple(each.name for each in fields(kind))
    return kind._fields


def _read(source: Any, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays of a file, all of them read."""
    try:
        archive = np.load(source, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            if _HEADER not in archive.files:
                raise ValueError(f"it holds {archive.files} and no header {_HEADER!r}")
            arrays = {each: archive[each] for each in archive.files}
        header = json.loads(arrays.pop(_HEADER).tobytes().decode())
    except (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as reason:
        # numpy takes whatever is no archive for a pickle, and says how to load it unsafely
        found = "no archive of numpy" if "pickle" in str(reason) else reason
        raise ValueError(f"{name} must be whole and written by lina.save, found: {found}") from reason
    if not isinstance(header, dict):
        raise ValueError(f"{name} must have a header that is an object, found {type(header).__name__}")
    return header, arrays


class _Reader:
    """Turns the header back into values, and remembers which arrays it has used."""

    def __init__(self, name: str, arrays: dict[str, np.ndarray], sample: Any) -> None:
        self.name, self.arrays, self.sample = name, arrays, sample
        self.used: set[str] = set()

    def value(self, packed: Any) -> Any:
        if not isinstance(packed, dict):
            return packed
        match packed:
            case {"array": str(path)} if path in self.arrays:
                self.used.add(path)
                return self.arrays[path]
            case {"class": str(name), "fields": dict(values)}:
                return self.result(name, values)
            case {"enum": str(name), "value": value}:
                kind = _class_of(self.known(name, ENUMS), ENUMS)
                return self.made(name, lambda: kind(value))
            case {"tuple": list(values)}:
                return tuple(self.value(each) for each in values)
            case {"complex": [float(real), float(imag)]}:
                return complex(real, imag)
        raise ValueError(f"{self.name} must hold arrays, numbers, texts and results, found {packed}")

    def known(self, name: str, table: dict[str, str]) -> str:
        if name not in table:
            raise ValueError(f"{self.name} must hold one of {', '.join(table)}, found {name!r}")
        return name

    def result(self, name: str, values: dict[str, Any]) -> Any:
        kind = _class_of(self.known(name, CLASSES), CLASSES)
        wanted, found = set(_field_names(kind)), set(values)
        if wanted != found:
            difference = f"lacks {sorted(wanted - found)} and has {sorted(found - wanted)} beyond them"
            raise ValueError(f"{self.name} must have the fields of {name}, but {difference}")
        host = {each.name for each in fields(kind) if each.type is np.ndarray} if is_dataclass(kind) else set()
        given = {key: self.value(each) for key, each in values.items()}
        given = {key: each if key in host else self.moved(each) for key, each in given.items()}
        return self.made(name, lambda: kind._restored(given) if hasattr(kind, "_restored") else kind(**given))

    def made(self, name: str, make: Callable[[], Any]) -> Any:
        """Return ``make()``; what it does not accept has not been written by ``save``."""
        try:
            return make()
        except (TypeError, ValueError, KeyError) as reason:
            raise ValueError(f"{self.name} must hold a whole {name}, found: {reason}") from reason

    def moved(self, value: Any) -> Any:
        """Return arrays of numbers in the library and on the device wanted; texts can only be in numpy."""
        if type(value) is tuple:  # results within results have been moved
            return tuple(self.moved(each) for each in value)
        if self.sample is None or not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
            return value
        xp, sample = self.sample
        return xp.asarray(value) if is_dask_array(sample) else xp.asarray(value, device=device(sample))
