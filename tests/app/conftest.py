from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rpnviz.app.jobs import JobQueue

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))  # scenes


@pytest.fixture
def jobs(qapp):
    """A queue of background work, ended with the test."""
    queue = JobQueue()
    yield queue
    queue.close()
