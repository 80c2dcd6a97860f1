"""Two trainers side by side on the window's image: what fares differently, and the fields that make the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import (
    QAbstractTableModel,
    QByteArray,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSettings,
    Qt,
    QTimer,
)
from PySide6.QtGui import QCloseEvent, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.comparison import Comparison, in_words
from rpnviz.app.params_file import read_preset
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState
from rpnviz.app.viewing import Selection
from rpnviz.core import presets
from rpnviz.core.conventions import Conventions
from rpnviz.core.diff import Diff, GtOutcome
from rpnviz.core.matching import Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.rules import doc_of, plain
from rpnviz.drawing.scene import LAYERS, RANK_TEXT, World
from rpnviz.errors import RpnvizError
from rpnviz.palette import Theme
from rpnviz.ui.canvas.legend import LegendBar
from rpnviz.ui.canvas.view import CanvasView
from rpnviz.ui.widgets.basics import eliding_label, label, separator
from rpnviz.ui.widgets.tables import row_table

_Index = QModelIndex | QPersistentModelIndex
_HEAD_HEIGHT = 36
_LATE_MS = 150
_ROOM_FOR_LEGENDS = 640
"""Height of the window from which the canvases leave room for their keys, px."""
_FROM_FILE = "Parameters from a file…"


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


class CompareWindow(QWidget):
    """A window beside the main one: it follows that one's image, parameters and selected box."""

    def __init__(self, state: AppState, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self._state = state
        self._settings = settings
        self.setWindowTitle("Compare – rpnviz")
        self.resize(1280, 800)
        stored = QSettings().value("layout/compare")
        if isinstance(stored, QByteArray):
            self.restoreGeometry(stored)
        self._offered = {name: presets.load(name) for name in presets.names()}
        other = next(name for name in ("mmdetection", "torchvision") if name != state.preset.name)
        self.comparison = Comparison(state, self._offered[other])
        left, right = self.comparison.a, self.comparison.b
        self.canvases = CanvasView(left, settings.theme), CanvasView(right, settings.theme)
        self.legends = LegendBar(left, settings.theme), LegendBar(right, settings.theme)
        self.name_a = eliding_label("", "title")
        self.choice = QComboBox()
        self.choice.addItems([*self._offered, _FROM_FILE])
        self.choice.setCurrentText(other)
        self.choice.setAccessibleName("The other trainer")
        self.choice.setToolTip("Whose rules the right side follows; its defaults, or a Params document")
        self.choice.activated.connect(lambda _index: self._choose(self.choice.currentText()))
        self.counts = eliding_label("", "muted"), eliding_label("", "muted")
        self.verdict = label("", "verdict", wrap=True)
        self.hint = label("", "muted", wrap=True)
        self.problem = label("", "problem", wrap=True)
        self.problem.hide()
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(_LATE_MS)
        self._late.timeout.connect(self._show_late)
        self.boxes = Rows(("GT", "Category", "", "", "Because of"), frozenset({0}))
        self.fields = Rows(("Field", "", "", "Boxes", "Anchors"), frozenset({3, 4}))
        self.box_table = row_table(self.boxes, "Boxes that fare differently", (44, 100, 180, 180))
        self.field_table = row_table(self.fields, "What differs between the trainers", (196, 84, 84, 52))
        for table in (self.box_table, self.field_table):
            table.setAlternatingRowColors(True)
            table.setFrameShape(QFrame.Shape.NoFrame)
            table.horizontalHeader().setStretchLastSection(True)
        self._linking = self._linking_rows = False
        self._selected_gt: int | None = None
        self._build()
        self._connect()

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        sides = QHBoxLayout()
        sides.setContentsMargins(0, 0, 0, 0)
        sides.setSpacing(1)
        for canvas, name, counts, legend in zip(
            self.canvases, (self.name_a, self.choice), self.counts, self.legends, strict=True
        ):
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
        self.comparison.changed.connect(self._show)
        self.comparison.a.selection_changed.connect(self._show_selection)
        self.box_table.selectionModel().currentRowChanged.connect(self._on_current)
        keys: dict[str, Callable[[], object]] = {
            "Ctrl+0": first.fit,
            "Ctrl+1": lambda: first.zoom_to(1.0),
            "Ctrl++": lambda: first.zoom_to(first.zoom * 1.25),
            "Ctrl+=": lambda: first.zoom_to(first.zoom * 1.25),
            "Ctrl+-": lambda: first.zoom_to(first.zoom / 1.25),
            "N": lambda: self._step(1),
            "Shift+N": lambda: self._step(-1),
            "A": lambda: self.comparison.a.set_everything(not self.comparison.a.layers.everything),
            "Esc": lambda: self.comparison.a.select(Selection()),
            "Ctrl+Z": self._state.undo,
            "Ctrl+Shift+Z": self._state.redo,
            "Ctrl+W": self.close,
            "PgDown": lambda: self._state.step_image(1),
            "PgUp": lambda: self._state.step_image(-1),
        }
        keys |= {str(spec.digit): lambda key=spec.key: self._toggle(key) for spec in LAYERS[World.TRAINING]}  # type: ignore[misc]
        for key, function in keys.items():
            QShortcut(QKeySequence(key), self).activated.connect(function)

    # ------------------------------------------------------------------ what is asked

    def _choose(self, name: str) -> None:
        self.problem.hide()
        if name == _FROM_FILE:
            self._add_file()
        else:
            self.comparison.set_preset(self._offered[name], name)
        self.choice.setCurrentText(self.comparison.name)

    def _add_file(self) -> None:
        """Compare with a Params document; it becomes a choice of its own."""
        file, _ = QFileDialog.getOpenFileName(
            self, "Parameters", self._settings.last_folder, "Params documents (*.json);;All files (*)"
        )
        if not file:
            return
        try:
            preset = read_preset(None, Path(file), "")
        except RpnvizError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return
        name = f"{Path(file).name} ({preset.name})"
        self._offered[name] = preset
        if self.choice.findText(name) < 0:
            self.choice.insertItem(self.choice.count() - 1, name)
        self.comparison.set_preset(preset, name)

    def _toggle(self, key: object) -> None:
        side = self.comparison.a
        for spec in LAYERS[World.TRAINING]:
            if spec.key == key:
                side.set_layer_visible(spec.key, spec.key not in side.layers.visible)

    def _step(self, step: int) -> None:
        """Select the next box of the list; after the last, the first."""
        gts = self.boxes.keys
        if gts:
            chosen = self.comparison.a.selection.gt
            row = gts.index(chosen) + step if chosen in gts else (0 if step > 0 else -1)
            self.comparison.a.select(Selection(gt=gts[row % len(gts)]))

    def _follow(self, source: CanvasView, target: CanvasView) -> None:
        """Both canvases look at the same part of the image."""
        if not self._linking:
            self._linking = True
            target.look_like(source)
            self._linking = False

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        comparison = self.comparison
        present, shown, other = comparison.present, comparison.a.shown, comparison.b.shown
        record = self._state.record
        self.setWindowTitle(f"Compare {record.file_name} – rpnviz" if record is not None else "Compare – rpnviz")
        if present is None or shown is None or other is None:
            for part in (self.verdict, self.hint, self.name_a, *self.counts):
                part.setText("")
            self.boxes.show_rows([], [])
            self.fields.show_rows([], [])
            return
        self.problem.setText(comparison.failure or self.problem.text())
        self.problem.setVisible(bool(comparison.failure) or self.problem.isVisible())
        if comparison.failure:
            self._late.stop()
            self._show_late()
            self.verdict.setText(f"Could not compare with {comparison.name}")
            return
        if comparison.stale:
            self._late.start()  # what is there stays while the answer comes at once
            return
        self._late.stop()
        changed = len(self._state.changed_fields())
        names = present.name + (f", {changed} changed" if changed else ""), comparison.name
        self.name_a.setText(names[0])
        self.name_a.setToolTip("The main window's trainer and parameters; what is changed there is followed here")
        for counts, result in zip(self.counts, (shown.training, other.training), strict=True):
            counts.setText(_counts(result))
        self.verdict.setText(_verdict(comparison))
        self.hint.setText(_hint(comparison))
        self._show_boxes(names)
        self._show_fields(names)
        self._mark_row(comparison.a.selection)

    def _show_late(self) -> None:
        """The answer takes long: what belongs to other parameters goes."""
        self.verdict.setText("Comparing…")
        for part in (self.hint, *self.counts):
            part.setText("")
        self.boxes.show_rows([], [])
        self.fields.show_rows([], [])

    def _show_boxes(self, names: tuple[str, str]) -> None:
        rows, keys = [], []
        for gt, before, after in self.comparison.changes:
            causes = self.comparison.causes_of(gt)
            why = "…" if causes is None else in_words(*causes)
            rows.append((str(gt), self._state.gt_names[gt], _outcome(before), _outcome(after), why))
            keys.append(gt)
        self.boxes.show_rows(rows, keys, ("GT", "Category", *names, "Because of"))

    def _show_fields(self, names: tuple[str, str]) -> None:
        """The fields that change something; how many do not."""
        diff = self.comparison.diff
        rows, tips = [], []
        effects = diff.effects if diff is not None else ()
        idle = [effect for effect in effects if not effect.gts and effect.anchors == 0]
        for effect in effects:
            if effect in idle:
                continue
            anchors = "other anchors" if effect.anchors is None else f"{effect.anchors:,}"
            for number, (field, before, after) in enumerate(effect.switch.values):
                counts = (f"{len(effect.gts):,}", anchors) if number == 0 else ("", "")
                rows.append((field, _value(before), _value(after), *counts))
                tips.append(f"{field}\n{_meaning(field)}\n{names[0]}: {plain(before)}\n{names[1]}: {plain(after)}")
        if idle:
            fields = [name for effect in idle for name, _, _ in effect.switch.values]
            rows.append((f"{len(fields):,} others change nothing", "", "", "", ""))
            tips.append("\n".join(fields))
        headings = ("Field, carried over alone", *names, "Boxes", "Anchors")
        self.fields.show_rows(rows, list(range(len(rows))), headings, tips)

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
            self.comparison.a.select(Selection(gt=self.boxes.keys[current.row()]))

    def set_theme(self, theme: Theme) -> None:
        """Follow the main window's theme."""
        for part in (*self.canvases, *self.legends):
            part.set_theme(theme)

    # ------------------------------------------------------------------ coming and going

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.comparison.activate(True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for legend in self.legends:
            legend.setVisible(event.size().height() >= _ROOM_FOR_LEGENDS)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.comparison.activate(False)
        QSettings().setValue("layout/compare", self.saveGeometry())
        super().closeEvent(event)


def _outcome(outcome: GtOutcome) -> str:
    noun = "positive" if outcome.positives == 1 else "positives"
    return RANK_TEXT[outcome.rank] + (f", {outcome.positives:,} {noun}" if outcome.positives else "")


def _counts(result: Result) -> str:
    """``42 forced only · 131 positive of 242,991 anchors``."""
    ranks = result.match.ranks
    parts = [f"{ranks.count(rank):,} {RANK_TEXT[rank].lower()}" for rank in Rank if ranks.count(rank)]
    return " · ".join([*parts, f"{len(result.match.positives):,} of {len(result.anchors):,} anchors positive"])


def _verdict(comparison: Comparison) -> str:
    shown = comparison.a.shown
    assert shown is not None
    total, differ = len(shown.training.match.ranks), len(comparison.changes)
    noun = "box" if total == 1 else "boxes"
    if not total:
        return "No boxes in this image"
    if not differ:
        return f"All {total:,} {noun} fare alike" if total > 1 else "The box fares alike"
    if total == 1:
        return "The box fares differently"
    return f"{differ:,} of {total:,} {noun} {'fares' if differ == 1 else 'fare'} differently"


def _hint(comparison: Comparison) -> str:
    """Which fields explain most, and how many anchors differ."""
    diff = comparison.diff
    if diff is None:
        return "Looking for the fields that make the difference…" if comparison.changes else ""
    parts = [_best_field(diff)] if diff.gts else []
    if diff.anchors is None:
        parts.append("The anchors themselves are not the same.")
    else:
        noun, verb = ("anchor", "has") if len(diff.anchors) == 1 else ("anchors", "have")
        parts.append(f"{len(diff.anchors):,} {noun} of {len(diff.a.anchors):,} {verb} another state.")
    return " ".join(part for part in parts if part)


def _best_field(diff: Diff) -> str:
    """The field that explains most boxes; several together only where no single one explains any."""
    counted: dict[tuple[str, ...], int] = {}
    sizes: dict[tuple[str, ...], int] = {}
    for found in diff.gts:
        for chosen in found.fields:
            names = tuple(name for switch in chosen for name, _, _ in switch.values)
            counted[names] = counted.get(names, 0) + 1
            sizes[names] = len(chosen)
    fewest = min(sizes.values())
    names, count = max(
        ((names, count) for names, count in counted.items() if sizes[names] == fewest), key=lambda item: item[1]
    )
    total = len(diff.gts)
    whom = "all of them" if count == total > 1 else "it" if total == 1 else f"{count:,} of them"
    if len(names) == 1:
        return f"{names[0]} alone explains {whom}."
    listed = (" and " if len(names) == 2 else ", ").join(names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return f"{listed}{more} together explain {whom}."


_MOST_NAMED = 3


def _meaning(field: str) -> str:
    """What a field is, in the words of the parameters' documentation."""
    group, name = field.split(".")
    owner = Conventions if group == "conventions" else type(getattr(presets.load("torchvision").params, group))
    return doc_of(owner, name)


def _value(value: object) -> str:
    text = str(plain(value))
    return text if len(text) <= 40 else text[:37] + "…"
