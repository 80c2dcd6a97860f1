"""A list of rows behind a message: what became of each field of a file."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QHeaderView, QVBoxLayout, QWidget

from rpnviz.ui.widgets.basics import label
from rpnviz.ui.widgets.tables import row_table

_Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class _Rows(QAbstractTableModel):
    """Texts under headings."""

    def __init__(self, table: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self._headings, self._rows = table[0], table[1:]

    def rowCount(self, parent: _Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._headings)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> str | None:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._rows[index.row()][index.column()]
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | None:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return self._headings[section]
        return None


class FieldListDialog(QDialog):
    """One line, and the rows below it; Ctrl+C copies them."""

    def __init__(self, title: str, summary: str, table: Sequence[Sequence[str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.resize(960, 460)
        self.summary = label(summary, wrap=True, selectable=True)
        self.model = _Rows(table)
        self.table = row_table(self.model, f"Fields of {title}", (106, 290, 190))
        self.table.horizontalHeader().setSectionResizeMode(len(table[0]) - 1, QHeaderView.ResizeMode.Stretch)
        self.table.setToolTip("Ctrl+C copies all rows")
        self.table.setWordWrap(True)
        self.table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.summary)
        layout.addWidget(self.table, 1)
        layout.addWidget(buttons)
        self.table.setFocus()


def show_table(title: str, summary: str, table: Sequence[Sequence[str]], parent: QWidget) -> None:
    """Open the list over a window."""
    dialog = FieldListDialog(title, summary, table, parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
