"""Saving and loading: every class comes back as it was, and a bad file is an error that says why."""

import dataclasses
import io
import json
import os
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest

import lina.hippo
import lina.linalg
import lina.simplex
import lina.ssm
from lina import load, save
from lina._core import store
from lina._core.certificates import CertificateKind, Status
from lina.linalg import (
    StreamingSVD,
    interpolative,
    pinv,
    pinv_factor,
    sketch,
    truncated_svd,
)

A = np.random.default_rng(0).standard_normal((60, 40)) @ np.diag(0.8 ** np.arange(40))


def through_memory(result, **options):
    file = io.BytesIO()
    save(file, result)
    file.seek(0)
    return load(file, **options)


def fields_of(result):
    return store._fields(result)


def check_same(found, expected):
    """Check that two values have the same type, dtype and bits, field by field."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif type(expected).__name__ in store.CLASSES:
        for name, value in fields_of(expected).items():
            check_same(getattr(found, name) if not hasattr(found, "_state") else fields_of(found)[name], value)
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, two in zip(found, expected, strict=True):
            check_same(one, two)
    else:
        assert found == expected or (found != found and expected != expected)


ANYTHING = {
    "complex64": np.array([[1 + 2j, -0.0]], dtype="complex64"),
    "float32": np.array([np.inf, np.nan, 1e-45], dtype="float32"),
    "int64": np.arange(3),
    "bool": np.array([True, False]),
    "0-d": np.array(1.5, dtype="float32"),
    "empty": np.zeros((0, 3)),
    "texts": np.array(["svd", "cholqr2"]),
    "None": None,
    "float": 0.1,
    "infinity": float("inf"),
    "NaN": float("nan"),
    "int": 2**70,
    "str": "größer",
    "complex": 1 - 2.5j,
}
TYPED = {
    float: 0.1,
    int: 3,
    str: "svd",
    CertificateKind: CertificateKind.PROBABILISTIC,
    Status: Status.MAX_RANK,
    None: None,
    tuple[int, int]: (3, 4),
    np.ndarray: np.arange(4.0),
}


ROOT, HALF = np.array([[-0.5 + 1j], [-0.25 + 2j]]), np.full((2, 1), 0.5, dtype="complex64")
SYSTEMS = {
    "DPLRSystem": lina.ssm.DPLRSystem(ROOT, HALF, HALF, HALF),
    "DenseSystem": lina.ssm.DenseSystem([[0.5]], [1.0], [2.0], 0.1),
    "DiagonalSystem": lina.ssm.DiagonalSystem(ROOT, HALF, HALF),
    "RationalSystem": lina.ssm.RationalSystem(np.array([0.5], dtype="float32"), np.array([1.0], dtype="float32")),
}


def instance(name, anything):
    """Return an instance of a class of the table; fields without one type of their own hold ``anything``."""
    kind = store._class_of(name, store.CLASSES)
    if name in SYSTEMS:
        return SYSTEMS[name]
    if name == "StreamingSVD":
        return StreamingSVD((600, 9), 2, rng=0, dtype="complex64").append(np.ones((520, 9)))
    types = {f.name: f.type for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {}
    return kind(**{each: TYPED.get(types.get(each, Any), anything) for each in store._field_names(kind)})


NO_RESULTS = (lina.linalg.RowBlocks, lina.simplex.flow.Energy, Warning)


def classes():
    """Return the result classes that the rooms export; of a class with subclasses these."""
    rooms = (lina.hippo, lina.linalg, lina.simplex, lina.simplex.flow, lina.ssm)
    found = [each for room in rooms for each in vars(room).values() if isinstance(each, type)]
    found = [each for each in found if not issubclass(each, NO_RESULTS)]
    return sorted({kind for each in found for kind in each.__subclasses__() or [each]}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", classes())
def test_every_exported_class_is_in_the_table(kind):
    place = f"{kind.__module__}:{kind.__qualname__}"
    assert place in store.CLASSES.values(), f"{place} needs a row in CLASSES of lina/_core/store.py"


@pytest.mark.parametrize("anything", ANYTHING)
@pytest.mark.parametrize("name", store.CLASSES)
def test_every_class_comes_back_with_the_same_types_and_bits(name, anything):
    expected = instance(name, ANYTHING[anything])
    check_same(through_memory(expected), expected)


@pytest.mark.parametrize(
    "result",
    [
        truncated_svd(A, 5, center=True),
        truncated_svd(A.astype("complex64"), 5, norm="2", method="krylov", rng=0),
        interpolative(A, rtol=0.1, rng=0),
        interpolative(A, 4, axis=0, rng=0),
        pinv_factor(A),
        sketch(5, 60, kind="sparse_sign", rng=0),
        pinv(A, return_info=True)[1],
        pinv(np.stack([A[:8, :4]] * 3), return_info=True)[1],
        StreamingSVD(A.shape, 3, rng=0).update(A).finalize(rtol=0.2),
    ],
    ids=lambda result: type(result).__name__,
)
def test_results_of_functions_come_back_and_act_as_before(result):
    found = through_memory(result)
    for name, value in fields_of(result).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    if hasattr(result, "toarray"):  # it is an operator
        x = np.arange(float(result.shape[1]))
        np.testing.assert_array_equal(found @ x, result @ x)


@pytest.mark.parametrize("keep_tests", [False, True])
def test_a_stream_that_is_loaded_goes_on_with_the_same_bits(tmp_path, keep_tests):
    rows = np.random.default_rng(1).standard_normal((1200, 30))
    stream = StreamingSVD((1200, 30), 3, keep_tests=keep_tests)
    stream.append(rows[:700])
    save(tmp_path / "state", stream)
    resumed = load(tmp_path / "state")
    for each in (stream, resumed):
        each.append(rows[700:1000]).scale(0.9).update_low_rank(rows[:, :2], rows[:30, :2])
    check_same(resumed, stream)
    check_same(resumed.finalize(), stream.finalize())
    check_same(fields_of(resumed + stream)["XW"], 2 * fields_of(stream)["XW"])


def test_arrays_of_other_libraries_are_stored_as_numpy_and_come_back_where_like_is():
    torch, strict = pytest.importorskip("torch"), pytest.importorskip("array_api_strict")
    T = torch.from_numpy(A).to(torch.complex64)
    for F in (truncated_svd(T, 3), interpolative(T, 3, rng=0)):
        plain = through_memory(F)
        for name, value in fields_of(F).items():
            if isinstance(value, torch.Tensor):
                check_same(getattr(plain, name), value.numpy())
        back = through_memory(F, like=torch.zeros(1))
        for name, value in fields_of(F).items():
            assert type(getattr(back, name)) is type(value)
            assert getattr(back, name) is value or bool(np.all(np.asarray(getattr(back, name) == value)))
    found = through_memory(pinv_factor(A), like=strict.asarray(0.0))
    assert isinstance(found @ strict.asarray(np.ones(60)), type(strict.asarray(0.0)))
    stream = StreamingSVD((4, 3), 1, rng=0, like=T).update(T[:4, :3])
    back = through_memory(stream, like=T)
    assert torch.equal(back.update(T[:4, :3]).finalize().U, stream.update(T[:4, :3]).finalize().U)
    info = pinv(torch.from_numpy(np.stack([A[:8, :4]] * 3)), return_info=True)[1]
    assert list(through_memory(info, like=T).method) == list(info.method)
    S = through_memory(sketch(5, 60, kind="srft", rng=0), like=T)
    assert (S @ T).shape == (5, 40)


def test_zero_dimensional_fields_keep_their_values():
    strict = pytest.importorskip("array_api_strict")
    F = dataclasses.replace(truncated_svd(A, 2), error=strict.asarray(0.25), norm_A=np.float64(3))
    assert through_memory(F).error == 0.25
    assert through_memory(F).error.shape == ()
    assert type(through_memory(F).norm_A) is float


def test_a_path_is_used_as_it_is_and_the_archive_is_open_to_numpy(tmp_path):
    F = truncated_svd(A, 3)
    for path in (tmp_path / "plain", str(tmp_path / "with.npz"), os.fsencode(tmp_path / "bytes")):
        save(path, F)
        check_same(load(path), F)
    with open(tmp_path / "file", "wb") as file:
        save(file, F)
    with open(tmp_path / "file", "rb") as file:
        check_same(load(file), F)
    assert sorted(os.listdir(tmp_path)) == ["bytes", "file", "plain", "with.npz"]
    with np.load(tmp_path / "plain", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["result.U"], F.U)
        assert json.loads(archive["lina"].tobytes())["result"]["fields"]["error"] == F.error


def test_an_interrupted_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "result"
    F = truncated_svd(A, 3)
    save(path, F)

    def interrupted(file, **arrays):
        file.write(b"PK half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(path, truncated_svd(A, 2))
    assert os.listdir(tmp_path) == ["result"]
    check_same(load(path), F)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_the_target_of_a_link_is_replaced_with_the_usual_rights(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "target")
    save(tmp_path / "link", truncated_svd(A, 3))
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / "there" / "target").stat().st_mode == (tmp_path / "usual").stat().st_mode


def rewritten(result, change):
    """Return the file of a result whose header and arrays ``change`` has changed."""
    file, out = io.BytesIO(), io.BytesIO()
    save(file, result)
    file.seek(0)
    arrays = dict(np.load(file))
    header = json.loads(arrays.pop("lina").tobytes())
    change(header, arrays)
    np.savez(out, lina=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    out.seek(0)
    return out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, a: h.update(format=2), "format in 1..1, found 2, which needs a newer lina"),
        (lambda h, a: h.pop("format"), "format in 1..1, found None$"),
        (lambda h, a: h.update(format="1"), "format in 1..1, found '1'$"),
        (lambda h, a: h["result"].update({"class": "Foo"}), "must hold one of .*TruncatedSVD.*, found 'Foo'"),
        (lambda h, a: h["result"].update({"class": "os:system"}), "found 'os:system'"),
        (lambda h, a: h["result"]["fields"].pop("passes"), r"fields of TruncatedSVD, but lacks \['passes'\]"),
        (lambda h, a: h["result"]["fields"].update(extra=1), r"has \['extra'\] beyond them"),
        (lambda h, a: h["result"]["fields"]["status"].update(value="fine"), "must hold a whole Status, found: 'fine'"),
        (lambda h, a: h["result"]["fields"]["status"].update(enum="Color"), "one of CertificateKind, Status, found"),
        (lambda h, a: a.pop("result.U"), r"found \{'array': 'result.U'\}"),
        (lambda h, a: a.update(more=np.ones(3)), r"must hold one result and its arrays, found \['more'\]"),
        (lambda h, a: (h.update(result=[1]), a.clear()), "must hold one result and its arrays, found list"),
    ],
)
def test_a_file_that_was_changed_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=f"^file .*{message}"):
        load(rewritten(truncated_svd(A, 3), change))


def test_a_stream_that_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="must hold a whole StreamingSVD, found: k must be in"):
        load(rewritten(StreamingSVD((5, 4), 2), lambda h, a: h["result"]["fields"].update(k=9)))


def test_a_damaged_file_never_gives_a_result(tmp_path):
    path = tmp_path / "result"
    save(path, truncated_svd(A, 3))
    whole = path.read_bytes()
    for stop in [0, 1, 3, 10, *range(100, len(whole), len(whole) // 40), len(whole) - 1]:
        path.write_bytes(whole[:stop])
        with pytest.raises(ValueError, match=r"file '.*result' must be whole and written by lina.save, found: "):
            load(path)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        starts = [each.header_offset for each in archive.infolist()]
    for start in starts:
        path.write_bytes(whole[: start + 120] + bytes([whole[start + 120] ^ 1]) + whole[start + 121 :])
        with pytest.raises(ValueError, match=r"file '.*result' must be"):
            load(path)


def test_foreign_files_are_refused_and_nothing_in_them_is_executed(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, U=A)
    with pytest.raises(ValueError, match=r"x.npz' must be .* found: it holds \['U'\] and no header 'lina'"):
        load(path)
    np.savez(path, lina=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"x.npz' must be"):
        load(path)
    for content in (b"text", pickle.dumps([1]), b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x.npz' must be"):
            load(path)
    np.save(tmp_path / "x.npy", A)
    with pytest.raises(ValueError, match=r"x.npy' must be .* found: it is a single array"):
        load(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")


@pytest.mark.parametrize("result", [A, {"U": A}, None, truncated_svd(A, 2).T, "TruncatedSVD"])
def test_what_is_no_result_cannot_be_saved(tmp_path, result):
    with pytest.raises(TypeError, match=r"result must be one of BoundedStep, .*, got .* by numpy.save"):
        save(tmp_path / "x", result)
    assert os.listdir(tmp_path) == []


def test_bad_arguments_are_named(tmp_path):
    F = truncated_svd(A, 2)
    with pytest.raises(TypeError, match="file must be a path or a binary file object, got int"):
        save(3, F)
    with pytest.raises(TypeError, match="file must be a path or a binary file object, got NoneType"):
        load(None)
    save(tmp_path / "x", F)
    with pytest.raises(TypeError, match="like must be an array"):
        load(tmp_path / "x", like="torch")
    with pytest.raises(TypeError, match=r"result.mean must be an array, a number, a text or a result"):
        save(tmp_path / "x", dataclasses.replace(F, mean={1: 2}))
    with pytest.raises(TypeError, match=r"result.mean must be"):
        save(tmp_path / "x", dataclasses.replace(F, mean=np.array([None])))
    check_same(load(tmp_path / "x"), F)


def test_a_minimiser_comes_back_with_its_certificate_and_history():
    expected = lina.simplex.simplex_qp(A.T @ A, history=True)
    found = through_memory(expected)
    check_same(found, expected)
    assert found.certified
    assert found.gap == expected.gap
    assert len(found.history) == len(expected.history) > 0


def test_the_certificate_of_a_reconstruction_comes_back():
    for u in (np.arange(5.0), np.ones((2, 5))):
        error = lina.hippo.reconstruct(lina.hippo.legs_project(u, 3), [0.5], "legs", u=u)[1]
        check_same(through_memory(error), error)
