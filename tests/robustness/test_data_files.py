"""Nothing in a data file is executed, and nothing is fetched."""

import io
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lina
from lina.linalg import truncated_svd

ROOT = Path(__file__).parents[2]


class Bomb:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def with_a_bomb(path, member):
    """Return a file that `lina.save` could have written, but for an object that acts when it is unpickled."""
    stored, changed = io.BytesIO(), io.BytesIO()
    lina.save(stored, truncated_svd(np.eye(3), 1))
    arrays = dict(np.load(io.BytesIO(stored.getvalue())))
    arrays[member] = np.array([Bomb(path)], dtype=object)
    np.savez(changed, **arrays)
    return changed.getvalue()


@pytest.mark.parametrize("member", ["lina", "result.U", "more"])
def test_an_archive_with_a_pickle_inside_is_refused_before_it_acts(tmp_path, member):
    file, trace = tmp_path / "result", tmp_path / "trace"
    file.write_bytes(with_a_bomb(trace, member))
    with pytest.raises(ValueError, match=r"must be whole and written by lina\.save, found: no archive of numpy"):
        lina.load(file)
    assert not trace.exists()
    with np.load(file, allow_pickle=True) as archive:  # the bomb is live
        _ = archive[member]
    assert trace.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_in_the_place_of_an_archive_is_refused_before_it_acts(tmp_path, protocol):
    file, trace = tmp_path / "result", tmp_path / "trace"
    file.write_bytes(pickle.dumps(Bomb(trace), protocol=protocol))
    with pytest.raises(ValueError, match=r"must be whole and written by lina\.save"):
        lina.load(file)
    assert not trace.exists()


def test_the_library_reads_no_pickle_and_evaluates_no_text():
    forbidden = re.compile(
        r"\ballow_pickle\s*=\s*True|^\s*(?:import|from)\s+(?:pickle|marshal|shelve|dill|cloudpickle)\b"
        r"|(?<![\w.])(?:eval|exec)\(|weights_only\s*=\s*False",
        re.MULTILINE,
    )
    files = [path for path in (ROOT / "lina").rglob("*.py") if forbidden.search(path.read_text(encoding="utf-8"))]
    assert not files


WITHOUT_NETWORK = """
import socket
def refuse(*args, **options):
    raise AssertionError("the network was asked")
class Closed(socket.socket):
    connect = connect_ex = sendto = refuse
socket.socket = Closed
socket.create_connection = socket.getaddrinfo = refuse
import lina
for room in (lina.diffusion, lina.hippo, lina.linalg, lina.rope, lina.simplex, lina.ssm):
    dir(room)
if {torch}:
    lina.torch
import lina.__main__, lina._tour.warmup
lina.linalg.pinv([[1.0]]), lina.simplex.softmax([1.0])
print("done")
"""


def runs_without_network(torch):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK.format(torch=torch)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "done\n", done.stderr


def test_importing_every_room_asks_no_network():
    runs_without_network(torch=False)


def test_importing_the_room_of_torch_asks_no_network():
    pytest.importorskip("torch", reason="NOT TESTED: the imports of torch, because there is no torch")
    runs_without_network(torch=True)
