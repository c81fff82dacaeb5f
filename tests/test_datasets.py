"""The loader of real data: it reads what is there, says what is missing, and fetches only when it may."""

import gzip
import sys

import numpy as np
import pytest

from benchmarks import datasets
from benchmarks.datasets import DATASETS, load


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LINA_DATA", str(tmp_path))
    monkeypatch.delenv("LINA_DOWNLOAD", raising=False)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments):
        raise AssertionError(f"asked the network for {arguments}")

    monkeypatch.setattr(datasets, "_retrieve", refuse)


def small(name, rows=3):
    """Return arrays of the layout of a data set, with few rows."""
    return {key: np.zeros((rows, *shape[1:]), dtype) for key, (dtype, shape) in DATASETS[name].arrays.items()}


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.tobytes())


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS[name].arrays])
def test_a_file_in_the_folder_is_read_array_by_array(folder, no_network, name):
    stored = small(name)
    np.savez(folder / f"{name}.npz", **stored)
    found = load(name)
    assert list(found) == list(stored)
    assert all(np.array_equal(found[key], stored[key]) and found[key].dtype == stored[key].dtype for key in stored)


def test_a_text_is_read_as_bytes(folder, no_network):
    (folder / "tinyshakespeare.txt").write_bytes(b"Speak, speak.\n")
    assert load("tinyshakespeare") == b"Speak, speak.\n"


@pytest.mark.parametrize("name", DATASETS)
def test_the_error_for_a_missing_file_says_what_to_put_where(folder, no_network, name):
    with pytest.raises(FileNotFoundError) as caught:
        load(name)
    text = str(caught.value)
    dataset = DATASETS[name]
    assert str(folder / dataset.file) in text
    assert "https://" in text
    assert "LINA_DATA" in text
    assert all(key in text and str(shape) in text for key, (_, shape) in dataset.arrays.items())
    assert ("LINA_DOWNLOAD" in text) == (dataset.make is not None)


@pytest.mark.parametrize("name", ["fsdd", "cifar10_jpeg"])
def test_what_has_no_published_checksum_is_never_downloaded(folder, no_network, monkeypatch, name):
    monkeypatch.setenv("LINA_DOWNLOAD", "1")
    with pytest.raises(FileNotFoundError):
        load(name, download=True)


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ValueError, match=r"name must be one of 'mnist', .*, got 'minst'"):
        load("minst")


def test_a_file_without_an_array_is_named_with_it(folder):
    stored = small("fsdd")
    del stored["take"]
    np.savez(folder / "fsdd.npz", **stored)
    with pytest.raises(ValueError, match=r"fsdd\.npz must hold the arrays .*; take not found"):
        load("fsdd")


@pytest.mark.parametrize("shape", [(3, 784), (3, 28, 27)])
def test_an_array_of_another_shape_is_named_with_it(folder, shape):
    np.savez(folder / "mnist.npz", **(small("mnist") | {"x_test": np.zeros(shape, np.uint8)}))
    with pytest.raises(ValueError, match=r"x_test of .*mnist.npz must be uint8 \(10000, 28, 28\), got "):
        load("mnist")


def test_an_array_of_another_dtype_is_named_with_it(folder):
    np.savez(folder / "mnist.npz", **(small("mnist") | {"y_train": np.zeros(3)}))
    with pytest.raises(ValueError, match=r"y_train of .* must be uint8 \(60000,\), got float64 \(3,\)"):
        load("mnist")


def test_pickled_objects_are_refused(folder):
    np.savez(folder / "mnist.npz", **(small("mnist") | {"y_test": np.array([{}, {}, {}])}))
    with pytest.raises(ValueError, match="allow_pickle"):
        load("mnist")


@pytest.mark.parametrize("by_environment", [True, False])
def test_mnist_is_repacked_from_its_public_files_once(folder, tmp_path_factory, monkeypatch, by_environment):
    rng, asked = np.random.default_rng(0), []
    arrays = {key: rng.integers(0, 256, x.shape).astype(np.uint8) for key, x in small("mnist").items()}
    public = {file: idx(arrays[key]) for key, (file, _) in datasets._MNIST_FILES.items()}

    def retrieve(url, known_hash, cache):
        asked.append((url, known_hash))
        path = tmp_path_factory.mktemp("public") / "file"
        path.write_bytes(public[url.rpartition("/")[2]])
        return path

    monkeypatch.setattr(datasets, "_retrieve", retrieve)
    if by_environment:
        monkeypatch.setenv("LINA_DOWNLOAD", "1")
    for _ in range(2):
        found = load("mnist", download=None if by_environment else True)
        assert all(np.array_equal(found[key], arrays[key]) for key in arrays)
    assert len(asked) == 4
    assert all(known_hash.startswith("md5:") and len(known_hash) == 36 for _, known_hash in asked)
    assert [path.name for path in folder.iterdir()] == ["mnist.npz"]


def test_an_interrupted_download_leaves_no_file_behind_that_would_be_read(folder, monkeypatch):
    def retrieve(url, known_hash, cache):
        raise ConnectionError("cut")

    monkeypatch.setattr(datasets, "_retrieve", retrieve)
    with pytest.raises(ConnectionError):
        load("tinyshakespeare", download=True)
    with pytest.raises(FileNotFoundError):
        load("tinyshakespeare")


def test_download_false_overrules_the_environment(folder, no_network, monkeypatch):
    monkeypatch.setenv("LINA_DOWNLOAD", "1")
    with pytest.raises(FileNotFoundError):
        load("mnist", download=False)


def test_without_pooch_a_download_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pooch"):
        load("mnist", download=True)


def test_the_default_folder_is_in_the_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("LINA_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert datasets.folder() == tmp_path / "lina"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert datasets.folder() == tmp_path / ".cache" / "lina"
