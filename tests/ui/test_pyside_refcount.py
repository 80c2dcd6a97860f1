"""PySide6 6.12.0 loses a reference to None per call that returns nothing, and aborts on Python 3.10 and 3.11."""

from __future__ import annotations

import sys

from PySide6.QtGui import QImage


def test_calls_that_return_nothing_do_not_lose_references_to_none():
    image = QImage(9, 9, QImage.Format.Format_RGB32)
    image.fill(0)
    before = sys.getrefcount(None)
    for _ in range(1000):
        image.fill(0)
    assert abs(sys.getrefcount(None) - before) < 100
