"""The images of the data set: how the boxes of each fare, filters, order, and where one is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    QTimer,
)
from PySide6.QtGui import QColor, QFontMetrics, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.state import AppState
from rpnviz.app.survey import RANKS, UNKNOWN, UNREADABLE, Counts, Survey
from rpnviz.app.thumbnails import SIDE, Thumbnails
from rpnviz.core.matching import Rank
from rpnviz.datasets.base import Dataset, Finding
from rpnviz.datasets.columns import Columns, columns_of
from rpnviz.datasets.edited import EditedRecords
from rpnviz.datasets.folder import natural_order
from rpnviz.datasets.lint import Report
from rpnviz.drawing.options import RANK_TEXT
from rpnviz.palette import Theme
from rpnviz.ui.theme import COLOURS
from rpnviz.ui.widgets.basics import image_of, label, tool_button
from rpnviz.ui.widgets.tables import copy_lines, row_table, small_choice

_Index = QModelIndex | QPersistentModelIndex
COUNT_ROLE = Qt.ItemDataRole.UserRole

_LEAST_HEIGHT = 140
_THUMB_LESS = 12
"""A thumbnail's place is lower than wide by this, px."""
_LOOK_MS = 60
"""Rows that are scrolled past faster need no thumbnail."""
_BEGINNING = 3
"""Letters of a long name that are kept before those of its end."""
_PIXMAPS = 2000
_ARRANGE_MS = 1000
"""While counts come in the list is put in order so often: rows must not run away from the pointer."""


class Row(NamedTuple):
    """What a list entry says at its right: numbers by rank, or of all boxes; whether they are up to date."""

    text: str
    none: int
    fresh: bool


def _any(counts: Counts) -> NDArray[np.bool_]:
    return np.ones(len(counts.problems), bool)


def _with(rank: Rank) -> Callable[[Counts], NDArray[np.bool_]]:
    return lambda counts: counts.ranks[:, RANKS.index(rank)] > 0


_FINDINGS, _EDITED = "Findings", "Edited"

FILTERS: tuple[tuple[str, str, Callable[[Counts], NDArray[np.bool_]]], ...] = (
    ("All images", "Every image", _any),
    ("Problems", "Boxes without a positive, or forced at a poor fit", lambda counts: counts.problems > 0),
    ("No positive", "Boxes without any positive anchor", _with(Rank.NONE)),
    ("Forced only", "Boxes whose positives are all below the threshold", _with(Rank.FORCED)),
    ("Not trained", "Boxes that the trainer leaves out", _with(Rank.NOT_TRAINED)),
    ("All matched", "No box that is forced only or without a positive", lambda counts: _all_matched(counts)),
    ("In no view", "Boxes that no training view matches", lambda counts: counts.unmatched > 0),
    (_FINDINGS, "Something is wrong with a box or the file; Ctrl+Shift+F looks at everything and tells what", _any),
    (_EDITED, "Boxes drawn, moved or deleted by hand (E)", _any),
    ("Unreadable", "Images that cannot be read", lambda counts: counts.problems == UNREADABLE),
)
"""Title, what it lets pass, and the test."""

ORDERS: tuple[tuple[str, str, Callable[[Counts, NDArray[np.int64]], NDArray] | None], ...] = (
    ("File order", "As in the annotation file", None),
    ("By name", "By file name", None),
    ("No positive", "Most boxes without a positive first", lambda counts, _: -counts.ranks[:, 0]),
    ("Forced only", "Most forced-only boxes first", lambda counts, _: -counts.ranks[:, 1]),
    ("Problems", "Most problems first", lambda counts, _: -counts.problems),
    ("In no view", "Most boxes that no training view matches first", lambda counts, _: -counts.unmatched),
    ("Worst fit", "The box with the lowest best IoU first", lambda counts, _: np.nan_to_num(counts.least_iou, nan=2)),
    ("Most boxes", "Most boxes first", lambda _, boxes: -boxes),
)
"""Title, what comes first, and the key; equal ones as in the annotation file."""


def _all_matched(counts: Counts) -> NDArray[np.bool_]:
    return (counts.ranks[:, 0] == 0) & (counts.ranks[:, 1] == 0) & (counts.ranks[:, 2] > 0)


class ImageListModel(QAbstractListModel):
    """The images that pass the filters, in the chosen order, with the numbers of their boxes."""

    def __init__(self) -> None:
        super().__init__()
        self._dataset: Dataset | None = None
        self._names: list[str] = []
        self._boxes = np.zeros(0, np.int64)
        self._counts, self._fresh = Counts.of(0), np.zeros(0, bool)
        self._columns: Columns | None = None
        self._by_name: NDArray[np.int64] | None = None
        self._findings = np.zeros(0, np.int64)
        self._images = np.zeros(0, np.int64)
        self._row_of = np.zeros(0, np.int64)

    def show_dataset(self, dataset: Dataset | None) -> None:
        """Show another data set, of whose boxes nothing is known yet."""
        # Of a large data set no record is made, and of one whose boxes are shares of the images no image is opened.
        self._names = [name.casefold() for name in dataset.file_names()] if dataset is not None else []
        self._boxes = dataset.box_counts() if dataset is not None else np.zeros(0, np.int64)
        self._counts, self._fresh = Counts.of(len(self._names)), np.zeros(len(self._names), bool)
        self._by_name = None
        self._take(dataset)

    def show_boxes(self, dataset: Dataset, images: list[int]) -> None:
        """Show the same images, some of them with other boxes."""
        self._take(dataset)
        self._boxes = self._boxes.copy()
        for image in images:
            self._boxes[image] = dataset.images[image].box_count
            row = self.row_of(image)
            if row >= 0:
                self.dataChanged.emit(self.index(row, 0), self.index(row, 0))

    @property
    def _edited(self) -> Collection[int]:
        """Images whose boxes were changed by hand."""
        images = self._dataset.images if self._dataset is not None else ()
        return images.edits.truths if isinstance(images, EditedRecords) else ()

    def _take(self, dataset: Dataset | None) -> None:
        self._dataset = dataset
        self._columns = None
        self.show_findings(() if dataset is None else dataset.findings)

    def show_findings(self, findings: Iterable[Finding]) -> None:
        """Let these be what is wrong with the images: those of the reader, or of a check of everything."""
        serious = [found.image for found in findings if found.severity != "note" and found.image is not None]
        self._findings = np.bincount(np.array(serious, np.int64), minlength=len(self._names))

    def _with_category(self, text: str) -> NDArray[np.bool_]:
        """(N,) images with a box of a category whose name holds the text."""
        dataset, found = self._dataset, np.zeros(len(self._names), bool)
        if dataset is None:
            return found
        labels = [label for label, name in enumerate(dataset.categories) if text in name.casefold()]
        if labels:
            self._columns = self._columns or columns_of(dataset.images)
            found[self._columns.owners()[np.isin(self._columns.labels, labels)]] = True
        return found

    def show_counts(self, counts: Counts, fresh: NDArray[np.bool_]) -> None:
        """Show how boxes fare; ``fresh``: (N,) images of which that is up to date. The order stays."""
        self._counts, self._fresh = counts, fresh
        if len(self._images):
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._images) - 1, 0))

    def arrange(self, text: str, passes: int, order: int) -> bool:
        """Show the images that hold ``text`` and pass a filter, in an order; whether that changed rows.

        Args:
            text: of the file name, or of the name of a category of one of its boxes.
            passes, order: index of :data:`FILTERS` and :data:`ORDERS`.
        """
        kept = FILTERS[passes][2](self._counts)
        if FILTERS[passes][0] == _FINDINGS:
            kept = self._findings > 0
        elif FILTERS[passes][0] == _EDITED:
            kept = np.isin(np.arange(len(self._names)), list(self._edited))
        wanted = text.casefold()
        if wanted:
            named = np.fromiter((wanted in name for name in self._names), bool, len(self._names))
            kept = kept & (named | self._with_category(wanted))
        key = ORDERS[order][2]
        if key is not None:
            ordered = np.argsort(key(self._counts, self._boxes), kind="stable")
        elif ORDERS[order][0] == "By name":
            ordered = self._ordered_by_name()
        else:
            ordered = np.arange(len(self._names))
        images = ordered[kept[ordered]]
        if np.array_equal(images, self._images) and len(self._row_of) == len(self._names):
            return False
        self.beginResetModel()
        self._images = images
        self._row_of = np.full(len(self._names), -1, np.int64)
        self._row_of[images] = np.arange(len(images))
        self.endResetModel()
        return True

    def _ordered_by_name(self) -> NDArray[np.int64]:
        """Indices of all images in natural order, found once: 0.5 s for 100,000 names of several lengths."""
        if self._by_name is None:
            names = self._names
            # Names of one length, as those with leading zeros, are in natural order as they are.
            key = names.__getitem__ if len({*map(len, names)}) < 2 else lambda image: natural_order(names[image])
            self._by_name = np.array(sorted(range(len(names)), key=key), np.int64)
        return self._by_name

    @property
    def images(self) -> NDArray[np.int64]:
        """Indices of the listed images, in their order."""
        return self._images

    @property
    def total(self) -> int:
        """Images of the data set."""
        return len(self._names)

    def lines(self) -> list[list[str]]:
        """Name and counts of every listed image."""
        assert self._dataset is not None
        found = []
        for image in self._images.tolist():
            numbers = [str(number) if number >= 0 else "" for number in self._counts.ranks[image].tolist()]
            found.append([self._dataset.images[image].file_name, *numbers])
        return found

    def image_of(self, row: int) -> int:
        """Index of the image in a row."""
        return int(self._images[row])

    def row_of(self, image: int) -> int:
        """Row of an image, -1 if it is not listed."""
        return int(self._row_of[image]) if 0 <= image < len(self._row_of) else -1

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._images)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if self._dataset is None or not index.isValid() or index.row() >= len(self._images):
            return None
        image = self.image_of(index.row())
        record = self._dataset.images[image]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{record.file_name} •" if image in self._edited else record.file_name
        if role == Qt.ItemDataRole.ToolTipRole:
            size = f"{record.size[1]} x {record.size[0]} px, " if record.size else ""
            count = len(record.gt.boxes)
            counted = f"{count:,} ground-truth box{'' if count == 1 else 'es'}"
            edited = "\n• Changed by hand" if image in self._edited else ""
            return f"{record.path}\n{size}{counted}{self._fares(image)}{edited}"
        if role == COUNT_ROLE:
            return self._row(image)
        return None

    def _fares(self, image: int) -> str:
        counts = self._counts
        if counts.problems[image] == UNREADABLE:
            return "\nCannot be read"
        numbers = zip(RANKS, counts.ranks[image].tolist(), strict=True)
        words = [f"{number:,} {RANK_TEXT[rank].lower()}" for rank, number in numbers if number > 0]
        if counts.unmatched[image] > 0:
            words.append(f"{counts.unmatched[image]:,} matched in no training view")
        return f"\n{' · '.join(words)}" if words else ""

    def _row(self, image: int) -> Row:
        fresh = bool(self._fresh[image])
        if self._counts.problems[image] == UNREADABLE:
            return Row("unreadable", 0, fresh)
        if self._counts.problems[image] < 0 or not self._boxes[image]:
            return Row(f"{self._boxes[image]:,}", 0, fresh)
        none, forced, matched, _ = self._counts.ranks[image].tolist()
        return Row(f"{none:,}/{forced:,}/{matched:,}", none, fresh)


class _NameAndCount(QStyledItemDelegate):
    """The name on the left; on the right the numbers of boxes, boxes without a positive in the colour of problems.

    Attributes:
        problem: that colour.
        picture: gives the thumbnail of a row; None: there are none.
    """

    problem = QColor()
    picture: Callable[[int], QPixmap] | None = None

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        whole = QRect(option.rect).adjusted(0, 0, -6, 0)
        super().paint(painter, option, index)
        row: Row = index.data(COUNT_ROLE)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.PlaceholderText
        painter.save()
        painter.setOpacity(1.0 if row.fresh else 0.5)
        painter.setPen(option.palette.color(role))
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if row.none and not selected:
            first, rest = row.text.split("/", 1)
            painter.drawText(whole, side, f"/{rest}")
            painter.setPen(self.problem)
            metrics = painter.fontMetrics()
            painter.drawText(whole.adjusted(0, 0, -metrics.horizontalAdvance(f"/{rest}"), 0), side, first)
        else:
            painter.drawText(whole, side, row.text)
        painter.restore()

    def initStyleOption(self, option: QStyleOptionViewItem, index: _Index) -> None:
        super().initStyleOption(option, index)
        # The name must leave room for the numbers.
        metrics = option.fontMetrics
        row: Row = index.data(COUNT_ROLE)
        width = option.rect.width() - metrics.horizontalAdvance(row.text) - 22
        if self.picture is not None:
            option.features |= QStyleOptionViewItem.ViewItemFeature.HasDecoration
            option.decorationSize = QSize(SIDE, SIDE - _THUMB_LESS)
            picture = self.picture(index.row())
            option.icon = QIcon(picture)
            option.icon.addPixmap(picture, QIcon.Mode.Selected)  # not tinted
            width -= SIDE + 4
        option.text = _elided(metrics, option.text, width)


def _elided(metrics: QFontMetrics, name: str, width: int) -> str:
    """A name that fits: its beginning and as much of its end as there is room for, which is where names differ.

    Folders are the same for many images: of a name with some only the end is kept.
    """
    if metrics.horizontalAdvance(name) <= width:
        return name
    beginning = "" if "/" in name else name[:_BEGINNING]
    rest = width - metrics.horizontalAdvance(beginning)
    return beginning + metrics.elidedText(name[len(beginning) :], Qt.TextElideMode.ElideLeft, max(rest, 0))


class ImagesPanel(QWidget):
    """Shows the state's image and asks for another; never decides which one is shown."""

    def __init__(self, state: AppState, theme: Theme) -> None:
        super().__init__()
        self._state = state
        self.survey = Survey(state)
        self._model = ImageListModel()
        self.title = label("IMAGES", "heading")
        self.shown = label("", "muted")
        self.shown.setAccessibleName("Images in the list")
        self.totals = label("", "muted", wrap=True)
        self.totals.setAccessibleName("Boxes of all images")
        self.stop = tool_button("Stop", "link", "Leave the other images uncounted", self._stop_or_go_on)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Name or category")
        self.filter.setToolTip("Images whose file name holds this text, or that have a box of such a category")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Filter images by name or category")
        self.passes = small_choice([entry[:2] for entry in FILTERS], "Which images are listed", self._arrange)
        self.order = small_choice([entry[:2] for entry in ORDERS], "What comes first in the list", self._arrange)
        # A table of one column: a list view measures all rows whenever they change, 0.3 s for 100,000.
        self.list = row_table(self._model, "Images", copied=self._copy)
        self.list.horizontalHeader().hide()
        self.list.horizontalHeader().setStretchLastSection(True)
        self.list.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        self._delegate = _NameAndCount(self.list)
        self.list.setItemDelegate(self._delegate)
        self.thumbnails = Thumbnails(state.jobs)
        self.thumbnails.ready.connect(self._on_thumbnail)
        self.with_thumbnails = tool_button("▦", "flat", "Thumbnails in the list", checkable=True)
        self.with_thumbnails.setAccessibleName("Thumbnails in the list")
        self.with_thumbnails.toggled.connect(self._on_thumbnails)
        self._found_by: tuple[Report | None, Dataset] | None = None
        self._pixmaps: dict[int, QPixmap] = {}
        self._no_picture = QPixmap(SIDE, SIDE - _THUMB_LESS)
        self._no_picture.fill(Qt.GlobalColor.transparent)
        self._looking = QTimer(self)
        self._looking.setSingleShot(True)
        self._looking.setInterval(_LOOK_MS)
        self._looking.timeout.connect(self._look)
        self.list.verticalScrollBar().valueChanged.connect(self._look_soon)
        self.list.verticalScrollBar().rangeChanged.connect(self._look_soon)
        self._model.modelReset.connect(self._look_soon)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.empty = label("", "muted", wrap=True)
        self.empty.hide()
        self.columns = label("no positive / forced / matched", "muted")
        self.columns.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.columns.setToolTip("What the numbers of each image count: its ground-truth boxes by rank")
        self.set_theme(theme)
        self._build()
        self._showing = False
        self._source: Path | None = None
        self._arranging = QTimer(self)
        self._arranging.setSingleShot(True)
        self._arranging.setInterval(_ARRANGE_MS)
        self._arranging.timeout.connect(self._arrange)
        self.filter.textChanged.connect(self._arrange)
        self.list.selectionModel().currentChanged.connect(self._on_current)
        self.survey.changed.connect(self._show_counts)
        state.dataset_changed.connect(self._show_dataset)
        state.boxes_changed.connect(self._on_boxes)
        state.image_changed.connect(self._show_image)

    def _build(self) -> None:
        choices = QHBoxLayout()
        choices.setSpacing(4)
        choices.addWidget(self.passes, 1)
        choices.addWidget(self.order, 1)
        progress = QHBoxLayout()
        progress.setSpacing(2)
        progress.addWidget(self.totals, 1)
        progress.addWidget(self.stop, 0, Qt.AlignmentFlag.AlignTop)
        self.stop.hide()
        self.setMinimumHeight(_LEAST_HEIGHT)  # the length of what is said must not decide how low the window gets
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 4, 8)
        layout.setSpacing(6)
        heading = QHBoxLayout()
        heading.addWidget(self.title)
        heading.addWidget(self.shown, 1)
        layout.addLayout(heading)
        layout.addLayout(progress)
        search = QHBoxLayout()
        search.setSpacing(4)
        search.addWidget(self.filter, 1)
        search.addWidget(self.with_thumbnails)
        layout.addLayout(search)
        layout.addLayout(choices)
        layout.addWidget(self.columns)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.empty, 1, Qt.AlignmentFlag.AlignTop)

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's theme."""
        self._delegate.problem = QColor(COLOURS[theme].problem)
        self.list.viewport().update()

    def _on_thumbnails(self, shown: bool) -> None:
        self._delegate.picture = self._picture if shown else None
        height = SIDE - _THUMB_LESS + 4 if shown else self.fontMetrics().height() + 6
        self.list.verticalHeader().setDefaultSectionSize(height)
        self._show_image()  # the shown one stays in view
        self._look_soon()
        self.list.viewport().update()

    def _look_soon(self, *_: object) -> None:
        if self.with_thumbnails.isChecked():
            self._looking.start()

    def _look(self) -> None:
        """Ask for the thumbnails of the rows in view."""
        rows = self._model.rowCount()
        first = self.list.rowAt(0)
        last = self.list.rowAt(self.list.viewport().height() - 1)
        if self.with_thumbnails.isChecked() and rows and first >= 0:
            shown = range(first, (last if last >= 0 else rows - 1) + 1)
            self.thumbnails.want([self._model.image_of(row) for row in shown])

    def _picture(self, row: int) -> QPixmap:
        """The thumbnail of a row; an empty one of the same size before it is made."""
        image = self._model.image_of(row)
        if image not in self._pixmaps:
            pixels = self.thumbnails.of(image)
            if pixels is None:
                return self._no_picture
            if len(self._pixmaps) > _PIXMAPS:
                self._pixmaps.clear()
            whole = QPixmap(SIDE, SIDE - _THUMB_LESS)
            whole.fill(Qt.GlobalColor.transparent)
            painter = QPainter(whole)
            small = QPixmap.fromImage(image_of(pixels)).scaled(
                whole.size(), Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
            painter.drawPixmap((whole.width() - small.width()) // 2, (whole.height() - small.height()) // 2, small)
            painter.end()
            self._pixmaps[image] = whole
        return self._pixmaps[image]

    def _on_thumbnail(self, image: int) -> None:
        row = self._model.row_of(image)
        if row >= 0:
            self.list.update(self._model.index(row, 0))

    def _show_dataset(self) -> None:
        self._showing = True
        dataset = self._state.dataset
        self.thumbnails.show_dataset(dataset)
        self._pixmaps.clear()
        source = None if dataset is None else dataset.source
        if source != self._source:  # read again, it keeps the filters
            self._source = source
            for part in (self.filter, self.passes, self.order):
                part.blockSignals(True)
            self.filter.clear()
            self.passes.setCurrentIndex(0)
            self.order.setCurrentIndex(0)
            for part in (self.filter, self.passes, self.order):
                part.blockSignals(False)
        self._model.show_dataset(dataset)
        self._arrange()
        self._show_counts()

    def _on_boxes(self, images: list[int]) -> None:
        dataset = self._state.dataset
        if dataset is not None and images:
            self._model.show_boxes(dataset, images)

    def show_report(self, report: Report | None) -> None:
        """Filter by the findings of a check; None, or one of other boxes: by the reader's."""
        dataset = self._state.dataset
        if dataset is None or self._found_by == (report, dataset):
            return  # a check tells how far it is many times a second
        self._found_by = report, dataset
        fits = report is not None and report.dataset.images is dataset.images
        found = [one for group in report.groups for one in group.findings] if fits and report is not None else None
        self._model.show_findings(dataset.findings if found is None else found)
        self._arrange()

    def _show_counts(self) -> None:
        counts, fresh = self.survey.best_known()
        if len(fresh) != self._model.total:
            return  # another data set is on its way
        self._model.show_counts(counts, fresh)
        counting = self.survey.running or self.survey.waiting
        self.totals.setText(_totals(self.survey.counts, counting))
        self.totals.setToolTip(_totals_tip(self.survey.counts))
        self.stop.setVisible(counting or self.survey.stopped)
        self.stop.setText("Stop" if counting else "Go on")
        if not self.survey.running:
            self._arrange()
        elif not self._arranging.isActive():
            self._arranging.start()

    def _stop_or_go_on(self) -> None:
        if self.survey.running or self.survey.waiting:
            self.survey.stop()
        else:
            self.survey.go_on()
            self._show_counts()

    def _copy(self) -> None:
        """Put names and counts of the listed images on the clipboard."""
        copy_lines([["Image", *(RANK_TEXT[rank] for rank in RANKS)], *self._model.lines()])

    def _arrange(self) -> None:
        # The list moves its current row when that is filtered out; nobody asked for another image.
        self._showing = True
        top = self.list.rowAt(0)
        top_image = self._model.image_of(top) if 0 <= top < self._model.rowCount() else -1
        changed = self._model.arrange(self.filter.text(), self.passes.currentIndex(), self.order.currentIndex())
        nothing = self._model.rowCount() == 0 and self._state.dataset is not None
        self.list.setVisible(not nothing)
        self.empty.setVisible(nothing)
        missing = self._model.total - self.survey.counts.done
        uncounted = f" {missing:,} are not counted yet." if missing and self.passes.currentIndex() else ""
        self.empty.setText(f"No image passes the filter.{uncounted}" if nothing else "")
        listed, total = self._model.rowCount(), self._model.total
        self.shown.setText(f"{total:,}" if listed == total else f"{listed:,} of {total:,}")
        self._state.list_images(self._model.images)
        if changed:
            self._mark()
            # What is looked at stays where it is, as far as it is still listed.
            row = self._model.row_of(top_image)
            if row >= 0:
                self.list.scrollTo(self._model.index(row), QAbstractItemView.ScrollHint.PositionAtTop)
        self._showing = False

    def _show_image(self) -> None:
        index = self._mark()
        if index.isValid():
            self.list.scrollTo(index)

    def _mark(self) -> QModelIndex:
        """Make the shown image's row the current one."""
        row = self._model.row_of(self._state.index)
        index = self._model.index(row) if row >= 0 else QModelIndex()
        self._showing = True
        self.list.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._showing = False
        return index

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if not self._showing and current.isValid():
            self._state.show_image(self._model.image_of(current.row()))


def _totals(counts: Counts, running: bool) -> str:
    """``37 no positive, 54 forced only, 90 matched``; while counting, how far it is."""
    parts = [f"{counts.total(rank)[0]:,} {RANK_TEXT[rank].lower()}" for rank in RANKS if counts.total(rank)[0]]
    words = ", ".join(parts) if parts else "no boxes"
    total, done = len(counts.problems), counts.done
    if done == total:
        seen = int(np.count_nonzero(counts.unmatched != UNKNOWN))
        more = f"; views of {seen:,} of {total:,} images" if running and seen else ""
        return f"{words}{more}" if total else ""
    how = "Counting" if running else "Counted"
    return f"{how}: {done:,} of {total:,} images" + (f"; {words}" if parts else "")


def _totals_tip(counts: Counts) -> str:
    lines = ["Ground-truth boxes of all images"]
    for rank in RANKS:
        boxes, images = counts.total(rank)
        if boxes:
            noun = "image" if images == 1 else "images"
            lines.append(f"{RANK_TEXT[rank]}: {boxes:,} in {images:,} {noun}")
    viewed = counts.unmatched[counts.unmatched >= 0]
    if len(viewed):
        images = int(np.count_nonzero(viewed))
        noun = "image" if images == 1 else "images"
        lines.append(f"Matched in no training view: {int(viewed.sum()):,} in {images:,} {noun}")
        if len(viewed) < counts.done:
            lines[-1] += f", {len(viewed):,} of {counts.done:,} images looked at"
    unreadable = int(np.count_nonzero(counts.problems == UNREADABLE))
    if unreadable:
        lines.append(f"Images that cannot be read: {unreadable:,}")
    return "\n".join(lines)
