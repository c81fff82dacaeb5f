"""Shared settings: hypothesis without deadlines (a first call compiles), one thread for torch."""

import inspect
import sys
from functools import cache

import pytest
from hypothesis import settings

settings.register_profile("lina", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("lina")


@cache
def asks_for_torch(function):
    return 'importorskip("torch"' in inspect.getsource(function)


@cache
def whole_file_asks_for_torch(path):
    return path.suffix == ".py" and '\ntorch = pytest.importorskip("torch"' in path.read_text(encoding="utf-8")


def pytest_collection_modifyitems(items):
    """Mark tests that ask for torch themselves, and files that do: the session that has it would not run them."""
    for item in items:
        asks = hasattr(item, "function") and asks_for_torch(item.function)
        if asks or whole_file_asks_for_torch(item.path):
            item.add_marker(pytest.mark.torch)


@pytest.fixture(autouse=True)
def one_torch_thread():
    """Hold torch to one thread: two can be ten times slower on a busy machine."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def threads():
    """Return lina.set_threads, and put the old number back afterwards."""
    import lina

    before = lina.get_threads()
    yield lina.set_threads
    lina.set_threads(before)


@pytest.fixture
def played_alone(monkeypatch):
    """Return a function that leaves one chapter in the tour, and returns the list in which it appears when played."""
    from lina._tour import run

    def leave(module):
        seen, verdict = [], run._verdict
        monkeypatch.setattr(run, "CHAPTERS", ())
        monkeypatch.setattr(run, "MODELS", (module,))
        monkeypatch.setattr(run, "_verdict", lambda chapters: seen.extend(chapters) or verdict(chapters))
        return seen

    return leave
