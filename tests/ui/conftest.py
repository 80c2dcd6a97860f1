"""A window on the samples, driven by real events."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtGui import QCursor

sys.path.insert(0, str(Path(__file__).parent))

from support import settled

from rpnviz.ui.application import make_application, make_window


@pytest.fixture
def empty_window(qtbot, private_home):
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(private_home))
    make_application()
    # Where another test left it, it would hover over this one's window.
    QCursor.setPos(5000, 5000)
    window = make_window()
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    qtbot.waitExposed(window)
    yield window
    window.state.mark_saved(window.state.edits)  # or it would ask
    window.close()


@pytest.fixture
def window(empty_window, qtbot):
    empty_window.state.open_samples()
    qtbot.waitUntil(lambda: settled(empty_window), timeout=10000)
    return empty_window
