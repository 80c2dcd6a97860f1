"""The key of the canvas: every layer with colour, dash, mark and counts; a click shows or hides it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QSignalBlocker, QSize, Qt
from PySide6.QtGui import QIcon, QImage, QPixmap
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from rpnviz.app.state import AppState
from rpnviz.drawing.frame import swatch
from rpnviz.drawing.scene import LAYERS, LayerKey, legend
from rpnviz.palette import Role, Theme
from rpnviz.ui.widgets.basics import clear_layout, tool_button

_SWATCH = (30, 16)


class LegendOverlay(QFrame):
    """One row per layer of the world; the digit keys do the same as a click."""

    def __init__(self, state: AppState, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("overlay")
        self._state = state
        self._theme = theme
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(6, 4, 6, 4)
        self._layout.setSpacing(0)
        self.rows: dict[LayerKey, QToolButton] = {}
        self._all: dict[LayerKey, QToolButton] = {}
        state.world_changed.connect(lambda _world: self._build())
        state.result_changed.connect(self._show)
        state.layers_changed.connect(self._show)
        state.image_changed.connect(self._show)
        self._build()

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's theme."""
        self._theme = theme
        self._build()

    def _build(self) -> None:
        clear_layout(self._layout)
        self.rows, self._all = {}, {}
        for spec in LAYERS[self._state.world]:
            button = tool_button(spec.title, "layer", f"{spec.title} (key {spec.digit})", checkable=True)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setIconSize(QSize(*_SWATCH))
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.toggled.connect(lambda on, key=spec.key: self._state.set_layer_visible(key, on))
            more = tool_button("", "chip", "", checkable=True)
            more.toggled.connect(lambda on, key=spec.key: self._state.set_show_all(key, on))
            more.hide()
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(4)
            row.addWidget(button)
            row.addStretch(1)
            row.addWidget(more)
            self._layout.addWidget(line)
            self.rows[spec.key] = button
            self._all[spec.key] = more
        button = tool_button("All anchors", "layer", "Every anchor at once, as density (key A)", checkable=True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setIconSize(QSize(*_SWATCH))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setIcon(_icon(swatch(Role.NEGATIVE, self._theme, *_SWATCH, scale=2)))
        button.toggled.connect(self._state.set_everything)
        self._layout.addWidget(button)
        self.everything = button
        self._show()

    def _show(self) -> None:
        state = self._state
        result = state.result
        options = state.layers
        entries = {} if result is None else {e.key: e for e in legend(result, state.world, options)}
        with QSignalBlocker(self.everything):
            self.everything.setChecked(options.everything)
        if result is not None:
            self.everything.setText(f"All anchors as density  {len(result.anchors):,}")
        for key, button in self.rows.items():
            spec = next(spec for spec in LAYERS[state.world] if spec.key is key)
            entry = entries.get(key)
            visible = key in options.visible
            with QSignalBlocker(button):
                button.setChecked(visible)
            text, more_text = spec.title, ""
            if entry is not None:
                if not visible:
                    text = f"{spec.title}  off · {entry.total:,}"
                elif entry.shown < entry.total:
                    text = f"{spec.title}  {entry.shown:,} of {entry.total:,}"
                    more_text = "show all"
                else:
                    text = f"{spec.title}  {entry.total:,}"
                    more_text = "show fewer" if key in options.show_all else ""
                button.setIcon(_icon(swatch(entry.role, self._theme, *_SWATCH, scale=2)))
            button.setText(text)
            more = self._all[key]
            more.setVisible(bool(more_text))
            with QSignalBlocker(more):
                more.setChecked(key in options.show_all)
            more.setText(more_text)
            if entry is not None and more_text:
                more.setToolTip(f"Showing {entry.shown:,} of {entry.total:,} {entry.why}".rstrip())
        self.adjustSize()


def _icon(rgba: np.ndarray) -> QIcon:
    height, width = rgba.shape[:2]
    image = QImage(np.ascontiguousarray(rgba).data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    return QIcon(QPixmap.fromImage(image.copy()))
