"""The key of the canvas: every layer with colour, dash, mark and counts; a click shows or hides it."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QSignalBlocker, QSize, Qt
from PySide6.QtGui import QIcon, QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from rpnviz.app.viewing import Viewing
from rpnviz.drawing.colouring import shades
from rpnviz.drawing.filtering import filter_text
from rpnviz.drawing.frame import ramp_swatch, swatch
from rpnviz.drawing.heat import heat_text, make_heat
from rpnviz.drawing.options import Heat
from rpnviz.drawing.scene import LAYERS, LayerKey, LegendEntry, World, legend
from rpnviz.palette import Role, Theme
from rpnviz.ui.widgets.basics import clear_layout, label, pixmap_of, tool_button

_SWATCH = (24, 14)
_CELL_WIDTH = 176
_CELL_HEIGHT = 24


class LegendBar(QFrame):
    """One switch per layer of the world, below the picture; the digit keys do the same as a click."""

    def __init__(self, state: Viewing, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("bar")
        self._state = state
        self._theme = theme
        self._icons: dict[tuple[Role, Theme, bool], QIcon] = {}
        self._layout = QGridLayout()
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setHorizontalSpacing(6)
        self._layout.setVerticalSpacing(0)
        self.filter = tool_button("", "chip", "Only some of the boxes are looked at. Click: all", state.clear_filter)
        self._scale = QHBoxLayout()
        self._scale.setContentsMargins(0, 0, 0, 0)
        self._scale.setSpacing(8)
        self._extra = QWidget()
        extra = QVBoxLayout(self._extra)
        extra.setContentsMargins(0, 2, 0, 2)
        extra.setSpacing(2)
        extra.addWidget(self.filter, 0, Qt.AlignmentFlag.AlignLeft)
        extra.addLayout(self._scale)
        self._shown_scale: tuple[object, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 3, 6, 3)
        column.setSpacing(0)
        column.addLayout(self._layout)
        column.addWidget(self._extra)
        self._cells: list[QWidget] = []
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
        self._shown_scale = ()
        self._build()

    def _build(self) -> None:
        clear_layout(self._layout)
        self._cells = []
        self.rows, self._all = {}, {}
        for spec in LAYERS[self._state.world]:
            button = tool_button(spec.title, "layer", f"{spec.title} (key {spec.digit})", checkable=True)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setIconSize(QSize(*_SWATCH))
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.toggled.connect(lambda on, key=spec.key: self._state.set_layer_visible(key, on))
            more = tool_button("", "link", "", checkable=True)
            more.toggled.connect(lambda on, key=spec.key: self._state.set_show_all(key, on))
            more.hide()
            line = QWidget()
            line.setFixedHeight(_CELL_HEIGHT)
            line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(40)
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(2)
            row.addWidget(button)
            row.addWidget(more)
            row.addStretch(1)
            self._cells.append(line)
            self.rows[spec.key] = button
            self._all[spec.key] = more
        button = tool_button("All anchors", "layer", "Every anchor at once, as density (key A)", checkable=True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setIconSize(QSize(*_SWATCH))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._set_icon(button, Role.NEGATIVE, True)
        button.toggled.connect(self._state.set_everything)
        button.setFixedHeight(_CELL_HEIGHT)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._cells.append(button)
        self.everything = button
        self._arrange()
        self._show()

    def _set_icon(self, button: QToolButton, role: Role, dense: bool) -> None:
        """Samples are drawn once: the key is shown anew at every threshold move."""
        look = role, self._theme, dense
        if look not in self._icons:
            self._icons[look] = QIcon(pixmap_of(swatch(role, self._theme, *_SWATCH, scale=2, dense=dense)))
        button.setIcon(self._icons[look])

    def _arrange(self) -> None:
        """As few rows as fit: they depend on the width alone, so that no count moves the picture."""
        count = len(self._cells)
        rows = next((r for r in range(1, count) if math.ceil(count / r) * _CELL_WIDTH <= self.width()), count)
        columns = math.ceil(count / rows)
        for number, cell in enumerate(self._cells):
            self._layout.addWidget(cell, number // columns, number % columns)
        for column in range(len(self._cells)):
            self._layout.setColumnStretch(column, 1 if column < columns else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _show_extra(self) -> None:
        """The filter, and what colours mean where they do not mean the label."""
        state, result, options = self._state, self._state.result, self._state.layers
        filtered = filter_text(result, options.only) if result is not None else ""
        self.filter.setVisible(bool(filtered))
        self.filter.setText(f"Filter: {filtered}  ✕")
        heat = make_heat(result, state.world, options) if result is not None else None
        role = Role.PROPOSAL if state.world is World.MODEL else Role.POSITIVE
        keys: tuple[object, ...] = ()
        if heat is not None:
            keys = (heat.title, heat.high, heat.counts)
        elif result is not None:
            keys = tuple((role, shade) for shade in shades(result, options.colour_by))
        if keys != self._shown_scale:
            self._shown_scale = keys
            clear_layout(self._scale)
            if heat is not None:
                self._add_key(ramp_swatch(self._theme, 4 * _SWATCH[0], _SWATCH[1], 2), heat_text(heat))
            elif result is not None:
                for shade in shades(result, options.colour_by):
                    self._add_key(swatch(role, self._theme, *_SWATCH, 2, colour=shade.rgb(self._theme)), shade.text)
            self._scale.addStretch(1)
        self._extra.setVisible(bool(filtered) or bool(keys))

    def _add_key(self, sample: np.ndarray, text: str) -> None:
        picture = QLabel()
        picture.setPixmap(pixmap_of(sample, 2))
        self._scale.addWidget(picture)
        self._scale.addWidget(label(text, "muted"))

    def _show(self) -> None:
        self._show_extra()
        state = self._state
        result = state.result
        options = state.layers
        entries = {} if result is None else {e.key: e for e in legend(result, state.world, options)}
        with QSignalBlocker(self.everything):
            self.everything.setChecked(options.everything)
        every = entries.get(LayerKey.EVERYTHING)
        count = f"  {len(result.anchors):,}" if result is not None else ""
        if every is not None and every.shown < every.total:
            count = f"  {_of(every.shown, every.total)}"
        model = state.world is World.MODEL
        title = "All boxes" if model else "All anchors"
        if options.everything and options.heat is not Heat.NONE:
            count = "  behind the heat map"
        self.everything.setText(f"{title}{count}")
        if every is not None:
            self.everything.setToolTip(f"{every.title}: {every.shown:,} of {every.total:,} shown (key A)")
        self._set_icon(self.everything, Role.NEGATIVE, every is None or every.dense)
        for key, button in self.rows.items():
            spec = next(spec for spec in LAYERS[state.world] if spec.key is key)
            entry = entries.get(key)
            visible = key in options.visible
            self._set_icon(button, spec.role, entry is not None and entry.dense)
            with QSignalBlocker(button):
                button.setChecked(visible)
            text, more_text = _short(spec.title), ""
            if entry is not None:
                if visible and not entry.visible:
                    text = f"{_short(spec.title)}  behind the heat map"
                elif not visible:
                    text = f"{_short(spec.title)}  off · {entry.total:,}"
                elif entry.shown < entry.total:
                    text = f"{_short(spec.title)}  {_of(entry.shown, entry.total)}"
                    more_text = "all" if entry.why.startswith("best") else "fewer" if key in options.show_all else ""
                else:
                    text = f"{_short(spec.title)}  {entry.total:,}"
                    more_text = "fewer" if key in options.show_all else ""
            button.setText(text)
            button.setToolTip(f"{spec.title}: {_numbers(entry)} (key {spec.digit})")
            more = self._all[key]
            more.setVisible(bool(more_text))
            with QSignalBlocker(more):
                more.setChecked(key in options.show_all)
            more.setText(more_text)
            if entry is not None and more_text == "all":
                more.setToolTip(f"Showing {entry.shown:,} of {entry.total:,}, {entry.why}. Click: show all")
            elif more_text:
                more.setToolTip("Click: show the best only")


def _of(shown: int, total: int) -> str:
    """``46/53``, ``256/205k``: a total of six digits has no room, and its end must not be cut off; the tip has it."""
    return f"{shown:,}/{total:,}" if total < 100_000 else f"{_thousands(shown)}/{_thousands(total)}"


def _thousands(number: int) -> str:
    return f"{number:,}" if number < 10_000 else f"{number / 1000:,.0f}k"


def _numbers(entry: LegendEntry | None) -> str:
    """``46 of 53 shown, best 3 per GT``."""
    if entry is None:
        return "nothing yet"
    why = f", {entry.why}" if entry.why else ""
    density = ", as density" if entry.dense else ""
    return f"{entry.shown:,} of {entry.total:,} shown{why}{density}"


def _short(title: str) -> str:
    """The title without its explanation, which the tooltip keeps."""
    return title.split(" (")[0].removesuffix(" positive").removesuffix(" by NMS")
