"""The images of the data set: filter, list, and where one is."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtWidgets import QAbstractItemView, QLineEdit, QListView, QVBoxLayout, QWidget

from rpnviz.app.state import AppState
from rpnviz.datasets.base import Dataset
from rpnviz.ui.widgets.basics import label

_Index = QModelIndex | QPersistentModelIndex


class ImageListModel(QAbstractListModel):
    """File names and numbers of ground-truth boxes of a data set."""

    def __init__(self) -> None:
        super().__init__()
        self._dataset: Dataset | None = None

    def show_dataset(self, dataset: Dataset | None) -> None:
        """Show another data set."""
        self.beginResetModel()
        self._dataset = dataset
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if self._dataset is None or parent.isValid() else len(self._dataset.images)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if self._dataset is None or not index.isValid():
            return None
        record = self._dataset.images[index.row()]
        count = len(record.gt.boxes)
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{record.file_name}   {count}"
        if role == Qt.ItemDataRole.ToolTipRole:
            size = f"{record.size[1]} x {record.size[0]} px, " if record.size else ""
            return f"{record.path}\n{size}{count} ground-truth box{'' if count == 1 else 'es'}"
        if role == Qt.ItemDataRole.UserRole:
            return record.file_name
        return None


class ImagesPanel(QWidget):
    """Shows the state's image and asks for another; never decides which one is shown."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._model = ImageListModel()
        self._proxy = QSortFilterProxyModel()
        self._proxy.setSourceModel(self._model)
        self._proxy.setFilterRole(Qt.ItemDataRole.UserRole)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.title = label("IMAGES", "heading")
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter by name")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Filter images by name")
        self.filter.textChanged.connect(self._proxy.setFilterFixedString)
        self.list = QListView()
        self.list.setModel(self._proxy)
        self.list.setUniformItemSizes(True)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setAccessibleName("Images")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 4, 8)
        layout.setSpacing(6)
        layout.addWidget(self.title)
        layout.addWidget(self.filter)
        layout.addWidget(self.list, 1)
        self.list.selectionModel().currentChanged.connect(self._on_current)
        state.dataset_changed.connect(self._show_dataset)
        state.image_changed.connect(self._show_image)
        self._showing = False

    def _show_dataset(self) -> None:
        self._showing = True
        self.filter.clear()
        self._model.show_dataset(self._state.dataset)
        self._showing = False
        count = len(self._state.dataset.images) if self._state.dataset else 0
        self.title.setText(f"IMAGES  {count:,}")

    def _show_image(self) -> None:
        row = self._proxy.mapFromSource(self._model.index(self._state.index))
        self._showing = True
        self.list.selectionModel().setCurrentIndex(row, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._showing = False
        if row.isValid():
            self.list.scrollTo(row)

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if not self._showing and current.isValid():
            self._state.show_image(self._proxy.mapToSource(current).row())
