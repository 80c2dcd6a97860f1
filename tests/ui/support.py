"""What the window tests wait for and type."""

from __future__ import annotations

from PySide6.QtCore import Qt


def settled(window) -> bool:
    """Whether what is shown belongs to the present parameters and nothing runs."""
    return window.state.settled


def open_image(window, qtbot, name: str) -> None:
    """Show one of the samples by name."""
    names = [record.file_name for record in window.state.dataset.images]
    if window.state.record.file_name != name:
        window.state.show_image(names.index(name))
        qtbot.waitUntil(lambda: window.state.record.file_name == name and settled(window), timeout=60000)


def enter(qtbot, field, text: str) -> None:
    """Type a value into a field in place of the present one."""
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, text)
    qtbot.keyClick(field, Qt.Key.Key_Return)
