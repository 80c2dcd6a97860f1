"""Two canvases side by side that look at the same part of the image, with words and two tables below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import (
    QAbstractTableModel,
    QByteArray,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSettings,
    Qt,
)
from PySide6.QtGui import QCloseEvent, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from rpnviz.app.linked import LinkedViews
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState
from rpnviz.app.viewing import Selection
from rpnviz.drawing.scene import LAYERS, World
from rpnviz.palette import Theme
from rpnviz.ui.canvas.legend import LegendBar
from rpnviz.ui.canvas.view import CanvasView
from rpnviz.ui.widgets.basics import eliding_label, label, separator
from rpnviz.ui.widgets.tables import fit_columns, row_table

_Index = QModelIndex | QPersistentModelIndex
_HEAD_HEIGHT = 36
_ROOM_FOR_LEGENDS = 640
"""Height of the window from which the canvases leave room for their keys, px."""


class Rows(QAbstractTableModel):
    """A table of texts under fixed headings.

    Attributes:
        rows: the texts.
        keys: of every row, what it stands for.
    """

    def __init__(self, headings: tuple[str, ...], numbers: frozenset[int] = frozenset()) -> None:
        """``numbers``: columns that are aligned at the right."""
        super().__init__()
        self.headings = headings
        self._numbers = numbers
        self.rows: list[tuple[str, ...]] = []
        self.keys: list[int] = []
        self._tips: list[str] = []

    def show_rows(
        self,
        rows: Sequence[tuple[str, ...]],
        keys: list[int],
        headings: tuple[str, ...] | None = None,
        tips: Sequence[str] = (),
    ) -> None:
        """Show other rows; ``tips`` of each, else a cell's own text."""
        self.beginResetModel()
        self.rows, self.keys, self._tips = list(rows), keys, list(tips)
        self.headings = headings or self.headings
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.headings)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self.headings[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole and self._tips:
            return f"{self.headings[section]}: {self._tips[0]}"
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section in self._numbers else Qt.AlignmentFlag.AlignLeft
            return int(side | Qt.AlignmentFlag.AlignVCenter)
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.ToolTipRole and self._tips:
            return self._tips[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self.rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in self._numbers:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


class SideBySide(QWidget):
    """A window beside the main one: it follows that one's image, parameters and selected box.

    Attributes:
        linked: what the two canvases show.
        boxes, fields: the tables: ground-truth boxes, which select, and what belongs to both sides.
    """

    def __init__(
        self,
        state: AppState,
        settings: Settings,
        linked: LinkedViews,
        world: World,
        heads: tuple[QWidget, QWidget],
        tables: tuple[tuple[Rows, str, tuple[int, ...]], tuple[Rows, str, tuple[int, ...]]],
        stored: str,
        parent: QWidget,
    ) -> None:
        """Build the window.

        Args:
            state, settings: the main window's.
            linked: what the two canvases show.
            world: of both.
            heads: what stands above each canvas, at the left.
            tables: of boxes and of the rest: the rows, an accessible name, and widths of the columns in px.
            stored: key under which the place of the window is remembered.
            parent: the main window.
        """
        super().__init__(parent, Qt.WindowType.Window)
        self._state, self._settings, self._world, self._stored = state, settings, world, stored
        self.linked = linked
        self.resize(1280, 800)
        place = QSettings().value(f"layout/{stored}")
        if isinstance(place, QByteArray):
            self.restoreGeometry(place)
        self.canvases = CanvasView(linked.a, settings.theme), CanvasView(linked.b, settings.theme)
        self.legends = LegendBar(linked.a, settings.theme), LegendBar(linked.b, settings.theme)
        self.counts = eliding_label("", "muted"), eliding_label("", "muted")
        self.verdict = label("", "verdict", wrap=True)
        self.hint = label("", "muted", wrap=True)
        self.problem = label("", "problem", wrap=True)
        self.problem.hide()
        (self.boxes, box_name, box_widths), (self.fields, field_name, field_widths) = tables
        self.box_table = row_table(self.boxes, box_name, box_widths)
        self.field_table = row_table(self.fields, field_name, field_widths)
        for table in (self.box_table, self.field_table):
            table.setAlternatingRowColors(True)
            table.setFrameShape(QFrame.Shape.NoFrame)
            table.horizontalHeader().setStretchLastSection(True)
        fit_columns(self.box_table, box_widths)
        fit_columns(self.field_table, field_widths)
        self._following = self._linking_rows = False
        self._selected_gt: int | None = None
        self._build(heads)
        self._connect()

    # ------------------------------------------------------------------ building

    def _build(self, heads: tuple[QWidget, QWidget]) -> None:
        sides = QHBoxLayout()
        sides.setContentsMargins(0, 0, 0, 0)
        sides.setSpacing(1)
        for canvas, name, counts, legend in zip(self.canvases, heads, self.counts, self.legends, strict=True):
            canvas.set_alone(True)
            head = QHBoxLayout()
            head.setContentsMargins(8, 5, 8, 5)
            counts.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            head.addWidget(name, 1 if isinstance(name, QLabel) else 0)
            head.addWidget(counts, 2)
            bar = QFrame()
            bar.setObjectName("bar")
            bar.setLayout(head)
            bar.setFixedHeight(_HEAD_HEIGHT)
            side = QVBoxLayout()
            side.setSpacing(0)
            side.addWidget(bar)
            side.addWidget(canvas, 1)
            side.addWidget(legend)
            sides.addLayout(side, 1)
        upper = QWidget()
        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, 0)
        above.setSpacing(0)
        above.addLayout(sides, 1)
        words = QVBoxLayout()
        words.setContentsMargins(12, 8, 12, 4)
        words.setSpacing(2)
        words.addWidget(self.verdict)
        words.addWidget(self.hint)
        words.addWidget(self.problem)
        tables = QSplitter(Qt.Orientation.Horizontal)
        tables.addWidget(self.box_table)
        tables.addWidget(self.field_table)
        tables.setSizes([720, 560])
        tables.setHandleWidth(1)
        lower = QWidget()
        below = QVBoxLayout(lower)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(4)
        below.addLayout(words)
        below.addWidget(tables, 1)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(upper)
        parts.addWidget(lower)
        parts.setStretchFactor(0, 1)
        parts.setSizes([540, 260])
        parts.setHandleWidth(1)
        parts.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(separator())
        layout.addWidget(parts, 1)

    def _connect(self) -> None:
        first, second = self.canvases
        first.looked.connect(lambda: self._follow(first, second))
        second.looked.connect(lambda: self._follow(second, first))
        self.linked.changed.connect(self._show)
        self.linked.a.selection_changed.connect(self._show_selection)
        self.box_table.selectionModel().currentRowChanged.connect(self._on_current)
        keys: dict[str, Callable[[], object]] = {
            "Ctrl+0": first.fit,
            "Ctrl+1": lambda: first.zoom_to(1.0),
            "Ctrl++": lambda: first.zoom_to(first.zoom * 1.25),
            "Ctrl+=": lambda: first.zoom_to(first.zoom * 1.25),
            "Ctrl+-": lambda: first.zoom_to(first.zoom / 1.25),
            "N": lambda: self._step(1),
            "Shift+N": lambda: self._step(-1),
            "A": lambda: self.linked.a.set_everything(not self.linked.a.layers.everything),
            "Esc": lambda: self.linked.a.select(Selection()),
            "Ctrl+Z": self._state.undo,
            "Ctrl+Shift+Z": self._state.redo,
            "Ctrl+W": self.close,
            "PgDown": lambda: self._state.step_image(1),
            "PgUp": lambda: self._state.step_image(-1),
        }
        keys |= {str(spec.digit): lambda key=spec.key: self._toggle(key) for spec in LAYERS[self._world]}  # type: ignore[misc]
        for key, function in keys.items():
            self._add_key(key, function)

    def _add_key(self, key: str, function: Callable[[], object]) -> None:
        QShortcut(QKeySequence(key), self).activated.connect(function)

    # ------------------------------------------------------------------ what is asked

    def _toggle(self, key: object) -> None:
        side = self.linked.a
        for spec in LAYERS[self._world]:
            if spec.key == key:
                side.set_layer_visible(spec.key, spec.key not in side.layers.visible)

    def _step(self, step: int) -> None:
        """Select the next box of the list; after the last, the first."""
        gts = self.boxes.keys
        if gts:
            chosen = self.linked.a.selection.gt
            row = gts.index(chosen) + step if chosen in gts else (0 if step > 0 else -1)
            self.linked.a.select(Selection(gt=gts[row % len(gts)]))

    def _follow(self, source: CanvasView, target: CanvasView) -> None:
        """Both canvases look at the same part of the image."""
        if not self._following:
            self._following = True
            target.look_like(source)
            self._following = False

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        """Show what the comparison found."""
        raise NotImplementedError

    def _show_nothing(self) -> None:
        """There is nothing to compare."""
        for part in (self.verdict, self.hint, *self.counts):
            part.setText("")
        self.boxes.show_rows([], [])
        self.fields.show_rows([], [])

    def _show_problem(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))

    def _show_selection(self, selection: Selection) -> None:
        """Mark the row of the selected box, and bring it into view if it is another than before."""
        self._mark_row(selection)
        record = self._state.record
        if selection.gt == self._selected_gt:
            return
        self._selected_gt = selection.gt
        if selection.gt is not None and record is not None and selection.gt < len(record.gt.boxes):
            x1, y1, x2, y2 = record.gt.boxes[selection.gt].tolist()
            self.canvases[0].show_box((x1, y1, x2, y2))

    def _mark_row(self, selection: Selection) -> None:
        chosen = self.box_table.selectionModel()
        self._linking_rows = True
        if selection.gt in self.boxes.keys:
            index = self.boxes.index(self.boxes.keys.index(selection.gt), 0)
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            chosen.setCurrentIndex(index, flags)
            self.box_table.scrollTo(index)
        else:
            chosen.clear()
        self._linking_rows = False

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid() and not self._linking_rows:
            self.linked.a.select(Selection(gt=self.boxes.keys[current.row()]))

    def set_theme(self, theme: Theme) -> None:
        """Follow the main window's theme."""
        for part in (*self.canvases, *self.legends):
            part.set_theme(theme)

    # ------------------------------------------------------------------ coming and going

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.linked.activate(True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for legend in self.legends:
            legend.setVisible(event.size().height() >= _ROOM_FOR_LEGENDS)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.linked.activate(False)
        QSettings().setValue(f"layout/{self._stored}", self.saveGeometry())
        super().closeEvent(event)
