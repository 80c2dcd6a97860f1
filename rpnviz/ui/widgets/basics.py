"""Small parts used in several panels."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QImage, QKeyEvent, QKeySequence, QPixmap
from PySide6.QtWidgets import QFrame, QLabel, QLayout, QToolButton, QWidget
from superqt import QElidingLabel


class UndoBelongsToTheWindow(QObject):
    """Event filter for the line edits of spin boxes: undo and redo are the window's, not the text's."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            for standard in (QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo):
                if event.matches(standard):
                    event.ignore()
                    return True
        return super().eventFilter(watched, event)


class WheelNeedsFocus(QObject):
    """Event filter for controls: the wheel changes none that was not chosen first, and scrolls the panel there is."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)


class TrainerTips:
    """Tooltips that end with what the chosen trainer calls the parameter."""

    def __init__(self) -> None:
        self._tips: list[tuple[QWidget, str, str]] = []

    def add(self, field: str, tip: str, *widgets: QWidget) -> None:
        """Give widgets a tip about ``group.field``."""
        self._tips += [(widget, field, tip) for widget in widgets]

    def show(self, name_of: Callable[[str], str]) -> None:
        """Show all tips anew; ``name_of(field)`` is the line about the trainer, or empty."""
        for widget, field, tip in self._tips:
            widget.setToolTip(f"{tip}\n{name_of(field)}".rstrip())


def label(text: str = "", kind: str = "", *, wrap: bool = False, selectable: bool = False) -> QLabel:
    """A plain-text label; ``kind`` names a rule of the theme."""
    widget = QLabel(text)
    widget.setTextFormat(Qt.TextFormat.PlainText)
    widget.setWordWrap(wrap)
    if kind:
        widget.setProperty("kind", kind)
    if selectable:
        widget.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return widget


def set_kind(widget: QWidget, kind: str) -> None:
    """Change which rule of the theme a label follows."""
    if widget.property("kind") != kind:
        widget.setProperty("kind", kind)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


_LONG_WORD = 24
"""Characters that fit a narrow panel."""


def breakable(text: str) -> str:
    """The text with room for a line break behind ``_ . - /`` in words that are longer than a panel is wide."""
    return re.sub(rf"\S{{{_LONG_WORD},}}", lambda word: re.sub(r"([_.\-/])", "\\1\u200b", word[0]), text)


def eliding_label(text: str = "", kind: str = "") -> QElidingLabel:
    """A one-line label that shortens long text and keeps the whole of it as its tooltip."""
    widget = QElidingLabel(text)
    widget.setTextFormat(Qt.TextFormat.PlainText)
    widget.setElideMode(Qt.TextElideMode.ElideMiddle)
    if kind:
        widget.setProperty("kind", kind)
    return widget


def tool_button(
    text: str, name: str, tip: str, clicked: Callable[[], object] | None = None, *, checkable: bool = False
) -> QToolButton:
    """A text button; ``name`` is its rule in the theme."""
    button = QToolButton()
    button.setObjectName(name)
    button.setText(text)
    button.setToolTip(tip)
    button.setAccessibleName(text)
    button.setCheckable(checkable)
    if clicked is not None:
        button.clicked.connect(lambda _checked=False: clicked())
    return button


def image_of(pixels: NDArray[np.uint8]) -> QImage:
    """(h, w, 3) RGB or (h, w, 4) RGBA uint8 as an image of its own."""
    height, width, channels = pixels.shape
    kind = QImage.Format.Format_RGBA8888 if channels == 4 else QImage.Format.Format_RGB888
    return QImage(np.ascontiguousarray(pixels).data, width, height, channels * width, kind).copy()


def pixmap_of(pixels: NDArray[np.uint8], ratio: float = 1.0) -> QPixmap:
    """As :func:`image_of`, with ``ratio`` device px per px."""
    pixmap = QPixmap.fromImage(image_of(pixels))
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def separator() -> QFrame:
    """A hairline."""
    line = QFrame()
    line.setObjectName("separator")
    line.setFixedHeight(1)
    return line


def clear_layout(layout: QLayout) -> None:
    """Remove the widgets of a layout; they are hidden at once and deleted when the event loop turns."""
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
