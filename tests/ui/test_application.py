"""What starting the program does besides showing the window."""

from __future__ import annotations

import gc

import pytest

from rpnviz.ui.application import spare_collections


@pytest.fixture
def thawed():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_the_start_has_loaded_is_not_searched_for_garbage(empty_window, qtbot, thawed):
    spare_collections(empty_window)
    assert not gc.get_freeze_count()
    empty_window.state.open_samples()
    qtbot.waitUntil(lambda: gc.get_freeze_count() > 100_000, timeout=60000)
    assert len(gc.get_objects()) < gc.get_freeze_count() / 4
