"""Shared settings: hypothesis without deadlines (a first call compiles), one thread for torch."""

import sys

import pytest
from hypothesis import settings

settings.register_profile("lina", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("lina")


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
