"""The mini-batch of this step and of many: which boxes are drawn, and how often."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtCore import QSortFilterProxyModel as SortProxy
from PySide6.QtWidgets import QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from rpnviz.app.batch_finder import BatchFinder, percent
from rpnviz.app.state import AppState
from rpnviz.app.viewing import Selection
from rpnviz.core.chances import Chance, Steps
from rpnviz.core.terms import terms
from rpnviz.ui.widgets.basics import label
from rpnviz.ui.widgets.tables import HeadedModel, row_table

_Index = QModelIndex | QPersistentModelIndex
_COLUMNS = ("GT", "Seen in", "Expected", "Per step", "Chance")
_TIPS = (
    "Index in the image's list",
    "Steps that drew at least one of its positives, counted with the trainer's own generator, seed after seed",
    "The same as the closed form expects it: steps times chance",
    "Its positives that a step draws, on average over these steps",
    "Probability that a step draws at least one of its positives (hypergeometric)",
)
_SORT = Qt.ItemDataRole.UserRole
_GT = Qt.ItemDataRole.UserRole + 1
_TABLE_HEIGHT = 150


class _StepsModel(HeadedModel):
    """A row per box that has positives."""

    def __init__(self) -> None:
        super().__init__(_COLUMNS, _TIPS)
        self._rows: list[tuple[tuple[float, str], ...]] = []

    def show(self, chances: tuple[Chance, ...], steps: Steps | None) -> None:
        """Show other counts."""
        self.beginResetModel()
        self._rows = []
        for gt, chance in enumerate(chances if steps is not None else ()):
            assert steps is not None
            if not chance.expected:
                continue
            seen, each = int(steps.seen[gt]), steps.drawn[gt] / steps.steps
            wanted = chance.seen * steps.steps
            self._rows.append(
                (
                    (gt, str(gt)),
                    (seen, f"{seen:,}"),
                    (wanted, f"{wanted:,.1f}"),
                    (each, f"{each:.2f}"),
                    (chance.seen, percent(chance.seen)),
                )
            )
        self.endResetModel()

    def row_of(self, gt: int | None) -> int:
        """Row of a box, -1 if it has none."""
        return next((row for row, cells in enumerate(self._rows) if cells[0][0] == gt), -1)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        key, text = self._rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == _SORT:
            return key
        if role == _GT:
            return int(self._rows[index.row()][0][0])
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


class MiniBatchPanel(QWidget):
    """What this step draws in one sentence; below it many steps, box by box, rarest first."""

    def __init__(self, state: AppState, finder: BatchFinder) -> None:
        super().__init__()
        self._state, self._finder = state, finder
        self.summary = label("", "muted", wrap=True)
        self.steps = QSpinBox()
        self.steps.setRange(1, 10_000)
        self.steps.setValue(finder.number)
        self.steps.setKeyboardTracking(False)
        self.steps.setAccessibleName("Steps to draw")
        self.steps.setToolTip("Mini-batches that are drawn, from the present seed on, one seed after another")
        self.steps.valueChanged.connect(finder.set_number)
        self.model = _StepsModel()
        self.proxy = SortProxy()
        self.proxy.setSourceModel(self.model)
        self.proxy.setSortRole(_SORT)
        self.table = row_table(self.proxy, "Boxes over many steps", (28, 52, 62, 58, 66))
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(_COLUMNS.index("Chance"), Qt.SortOrder.AscendingOrder)
        self.table.setFixedHeight(_TABLE_HEIGHT)
        self._many = QWidget()
        below = QVBoxLayout(self._many)
        below.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        caption = label("Over many steps")
        caption.setBuddy(self.steps)
        row.addWidget(caption)
        row.addStretch(1)
        row.addWidget(self.steps)
        below.addLayout(row)
        below.addWidget(self.table)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 6)
        layout.addWidget(self.summary)
        layout.addWidget(self._many)
        self._showing = False
        self.table.selectionModel().currentRowChanged.connect(self._on_current)
        finder.changed.connect(self._show)
        state.selection_changed.connect(lambda _selection: self._mark())
        self._show()

    def _show(self) -> None:
        self._showing = True
        self.model.show(self._finder.chances, self._finder.steps)
        self._showing = False
        result = self._state.shown.training if self._state.shown is not None else None
        # Emptied between a change and its answer, it keeps its place.
        self._many.setVisible(result is not None and terms(result.conventions).draws and len(result.gt.trained) > 0)
        if result is None:
            self.summary.setText("")
        elif not terms(result.conventions).draws:
            self.summary.setText("No mini-batch: all positives and negatives train in every step (focal loss).")
        elif not len(result.gt.trained):
            self.summary.setText("No box is trained on: the mini-batch has negatives alone.")
        else:
            drawn, positives = len(result.sample.positive), len(result.match.positives)
            rare = sum(chance.expected > 0 and chance.missed > 0 for chance in self._finder.chances)
            words = (
                f"This step draws {drawn:,} of {positives:,} positives, and {len(result.sample.negative):,} negatives."
            )
            if self._finder.chances:
                noun = "box is" if rare == 1 else "boxes are"
                words += f" {rare:,} {noun} missed by some steps." if rare else " No box with positives is ever missed."
            self.summary.setText(words)
        self._mark()

    def _mark(self) -> None:
        """Make the selected box's row the current one."""
        row = self.model.row_of(self._state.selection.gt)
        index = self.proxy.mapFromSource(self.model.index(row, 0)) if row >= 0 else QModelIndex()
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self._showing = True
        self.table.selectionModel().setCurrentIndex(index, flags)
        if index.isValid():
            self.table.scrollTo(index)
        self._showing = False

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if not self._showing and current.isValid():
            self._state.select(Selection(gt=current.data(_GT)))
