"""Every test runs without a screen, with a home of its own, and ends without stray threads."""

from __future__ import annotations

import os
import threading

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import hypothesis
import pytest

# How long an example takes is a matter of the machine, and of who else works on it.
hypothesis.settings.register_profile("rpnviz", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("rpnviz")


@pytest.fixture(autouse=True)
def private_home(tmp_path_factory, monkeypatch):
    """Settings are read from and written to a folder that the test owns."""
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home))
    return home


@pytest.fixture(autouse=True)
def no_stray_threads():
    """A thread of ours that outlives the test fails it."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("rpnviz")]
    for thread in left:
        thread.join(timeout=5)
    assert not [t.name for t in left if t.is_alive()]
