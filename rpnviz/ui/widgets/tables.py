"""Tables of whole rows, and small fields to choose from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
)
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QTableView

_Index = QModelIndex | QPersistentModelIndex


class HeadedModel(QAbstractTableModel):
    """A table whose columns are known beforehand; the subclass keeps ``_rows`` and gives their data.

    Args:
        columns: titles.
        tips: what the numbers of each column are.
    """

    _rows: Sequence[object]

    def __init__(self, columns: Sequence[str], tips: Sequence[str]) -> None:
        super().__init__()
        self._columns, self._column_tips = columns, tips

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self._columns[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return self._column_tips[section]
        return None


def row_table(
    model: QAbstractItemModel, name: str, widths: Sequence[int] = (), copied: Callable[[], object] | None = None
) -> QTableView:
    """A table whose rows are selected one at a time as a whole; Ctrl+C on it copies all rows.

    Args:
        model: what it shows.
        name: for screen readers.
        widths: of the first columns, px.
        copied: puts the rows on the clipboard; None: as they are shown.
    """
    table = QTableView()
    table.setModel(model)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.setAccessibleName(name)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(22)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    for column, width in enumerate(widths):
        table.setColumnWidth(column, width)
    copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), table)
    copy.setContext(Qt.ShortcutContext.WidgetShortcut)
    copy.activated.connect(copied or (lambda: copy_rows(table.model())))
    return table


class _Fit(QObject):
    """Follows the width of a table."""

    def __init__(self, table: QTableView, widths: Sequence[int]) -> None:
        super().__init__(table)
        self._table, self._widths = table, widths
        table.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self._table.model() is not None:
            columns = self._table.model().columnCount()
            # Those without a width of their own are as wide as the last one that has.
            wanted = sum(self._widths) + self._widths[-1] * (columns - len(self._widths))
            share = min(1.0, self._table.viewport().width() / wanted)
            for column, width in enumerate(self._widths):
                self._table.setColumnWidth(column, int(width * share))
        return super().eventFilter(watched, event)


def fit_columns(table: QTableView, widths: Sequence[int]) -> None:
    """Let the first columns be as wide as that, px, where there is room, else narrower in proportion."""
    _Fit(table, widths)


def copy_rows(model: QAbstractItemModel) -> None:
    """Put headings and rows on the clipboard as tab-separated text."""
    columns = range(model.columnCount())
    lines = [[str(model.headerData(column, Qt.Orientation.Horizontal)) for column in columns]]
    for row in range(model.rowCount()):
        lines.append([str(model.index(row, column).data()) for column in columns])
    copy_lines(lines)


def copy_lines(lines: Sequence[Sequence[str]]) -> None:
    """Put lines of cells on the clipboard as tab-separated text; what would break a cell apart becomes a space."""
    text = "\n".join("\t".join(" ".join(cell.split()) for cell in line) for line in lines)
    QGuiApplication.clipboard().setText(text)


def small_choice(entries: Sequence[tuple[str, str]], name: str, changed: Callable[[], object]) -> QComboBox:
    """A field to choose from, as narrow as it gets.

    Args:
        entries: title and tip of each.
        name: what is chosen.
        changed: called after another choice.
    """
    box = QComboBox()
    for number, (title, tip) in enumerate(entries):
        box.addItem(title)
        box.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
    box.setToolTip(name)
    box.setAccessibleName(name)
    box.setProperty("kind", "small")
    box.setMinimumContentsLength(6)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.currentIndexChanged.connect(lambda _index: changed())
    return box
