"""The images of the data set: filter, list, and where one is."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtGui import QPainter, QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.state import AppState
from rpnviz.datasets.base import Dataset
from rpnviz.ui.widgets.basics import label

_Index = QModelIndex | QPersistentModelIndex
COUNT_ROLE = Qt.ItemDataRole.UserRole


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
            return record.file_name
        if role == Qt.ItemDataRole.ToolTipRole:
            size = f"{record.size[1]} x {record.size[0]} px, " if record.size else ""
            return f"{record.path}\n{size}{count} ground-truth box{'' if count == 1 else 'es'}"
        if role == COUNT_ROLE:
            return count
        return None


class _NameAndCount(QStyledItemDelegate):
    """The name on the left, the number of ground-truth boxes on the right."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        whole = QRect(option.rect)
        super().paint(painter, option, index)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.PlaceholderText
        painter.save()
        painter.setPen(option.palette.color(role))
        painter.drawText(
            whole.adjusted(0, 0, -6, 0), Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, _count(index)
        )
        painter.restore()

    def initStyleOption(self, option: QStyleOptionViewItem, index: _Index) -> None:
        super().initStyleOption(option, index)
        # The name must leave room for the number.
        metrics = option.fontMetrics
        width = option.rect.width() - metrics.horizontalAdvance(_count(index)) - 22
        option.text = metrics.elidedText(option.text, Qt.TextElideMode.ElideMiddle, width)

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(60, super().sizeHint(option, index).height() + 6)


def _count(index: _Index) -> str:
    return f"{index.data(COUNT_ROLE):,}"


class ImagesPanel(QWidget):
    """Shows the state's image and asks for another; never decides which one is shown."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._model = ImageListModel()
        self._proxy = QSortFilterProxyModel()
        self._proxy.setSourceModel(self._model)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.title = label("IMAGES", "heading")
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter by name")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Filter images by name")
        self.filter.textChanged.connect(self._on_filter)
        self.list = QListView()
        self.list.setModel(self._proxy)
        self.list.setUniformItemSizes(True)
        self.list.setItemDelegate(_NameAndCount(self.list))
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

    def _on_filter(self, text: str) -> None:
        # The list moves its current row when that is filtered out; nobody asked for another image.
        self._showing = True
        self._proxy.setFilterFixedString(text)
        self._show_image()

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
