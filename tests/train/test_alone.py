"""A text is the same on every process, and a process on its own needs no other."""

import pytest

from tinylm.parallel import launch, obstacle
from tinylm.train.alone import ALONE, broadcast_text

needs_workers = pytest.mark.skipif(
    obstacle() is not None, reason="no shared-memory workers on this system"
)


def say(comm, text):
    return broadcast_text(comm, text if comm.rank == comm.size - 1 else "", comm.size - 1)


@needs_workers
def test_text_is_broadcast_whole():
    texts = ["", "größer", "x" * 5000]
    assert [launch(say, 2, text) for text in texts] == texts
    assert broadcast_text(ALONE, "on its own") == "on its own"
