"""The ground-truth boxes of the image, one row each: rank, best IoU, positives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import (
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    QTimer,
)
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.batch_finder import BatchFinder, chance_line, chance_text
from rpnviz.app.causes import CauseFinder
from rpnviz.app.state import AppState
from rpnviz.app.view_finder import ViewFinder, views_lines, views_text
from rpnviz.app.viewing import Selection
from rpnviz.core.chances import Chance
from rpnviz.core.matching import Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.terms import terms
from rpnviz.core.views import Outcome, is_problem, matched_views, views_with
from rpnviz.drawing.scene import RANK_TEXT, World
from rpnviz.palette import Theme
from rpnviz.ui.theme import COLOURS
from rpnviz.ui.widgets.basics import eliding_label, label, tool_button
from rpnviz.ui.widgets.tables import HeadedModel, row_table, small_choice

_Index = QModelIndex | QPersistentModelIndex

_AT_ONCE_UP_TO = 300
"""Rows that follow every move of a slider."""
_REST_MS = 120
_ROOM_FOR_HEADING = 560
"""Width of the table from which its heading has room beside the fields, px."""

_COLUMNS = (
    "GT",
    "Category",
    "Rank",
    "Cause",
    "Best IoU",
    "Positives",
    "Forced",
    "Views",
    "Mini-batch",
    "Size, px",
    "Input, px",
)
_WIDTHS = (32, 62, 122, 88, 58, 60, 48, 42, 102, 72, 76)
_CAUSE, _VIEWS, _BATCH = (_COLUMNS.index(name) for name in ("Cause", "Views", "Mini-batch"))
_TIPS = (
    "Index in the image's list",
    "Category in the annotation file",
    "No positive: nothing is trained for it. Forced only: only below the threshold. Matched: at least one reaches it",
    "Why it is not matched; select it to read more",
    "Best IoU over all anchors",
    "Positive anchors whose target is this box, forced ones included",
    "Of these, anchors whose IoU with it is below the positive threshold",
    "In how many training views it is matched, of all (see Training views below)",
    "Its positives drawn in this step · expected per step · chance that a step draws any of them",
    "Width x height in the original image",
    "Width x height at the network's input",
)
SORT_ROLE = Qt.ItemDataRole.UserRole
GT_ROLE = Qt.ItemDataRole.UserRole + 1


class GtTableModel(HeadedModel):
    """Rows of one result; boxes with a problem are marked."""

    def __init__(self, problem_colour: str) -> None:
        super().__init__(_COLUMNS, _TIPS)
        self._rows: list[tuple[object, ...]] = []
        self._keys: list[tuple[float | str, ...]] = []
        self.problems: frozenset[int] = frozenset()
        self._tips: list[str] = []
        self._causes: dict[int, str] = {}
        self._views: tuple[Outcome, ...] = ()
        self._chances: tuple[Chance, ...] = ()
        self._problem_colour = QColor(problem_colour)

    def set_problem_colour(self, colour: str) -> None:
        """Follow the window's theme."""
        self._problem_colour = QColor(colour)

    def show_result(self, result: Result | None, names: tuple[str, ...], before: Sequence[Rank] = ()) -> None:
        """Show another result; keeps the rows where only values changed, so that the selection stays.

        Args:
            result: None: nothing.
            names: of the boxes' categories.
            before: ranks before the last change of a parameter; rows whose rank rose or fell are marked.
        """
        rows, keys, tips = _rows(result, names, before) if result is not None else ([], [], [])
        self.problems = frozenset(result.match.problems()) if result is not None else frozenset()
        if len(rows) != len(self._rows):
            self.beginResetModel()
            self._rows, self._keys, self._tips = rows, keys, tips
            self.endResetModel()
        else:
            self._rows, self._keys, self._tips = rows, keys, tips
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(_COLUMNS) - 1))

    def show_causes(self, causes: dict[int, str]) -> None:
        """Show why boxes are not matched, a few words by index."""
        self._causes = causes
        self._refresh(_CAUSE)

    def show_views(self, outcomes: tuple[Outcome, ...]) -> None:
        """Show how the boxes fare in the training views; empty: not known, or none."""
        self._views = outcomes
        self._refresh(_VIEWS)

    def show_chances(self, chances: tuple[Chance, ...]) -> None:
        """Show what the mini-batch means for the boxes; empty: not known, or there is none."""
        self._chances = chances
        self._refresh(_BATCH)

    def _refresh(self, column: int) -> None:
        if self._rows:
            self.dataChanged.emit(self.index(0, column), self.index(len(self._rows) - 1, column))

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        row, column = index.row(), index.column()
        if not index.isValid() or row >= len(self._rows):
            return None
        if role in (Qt.ItemDataRole.DisplayRole, SORT_ROLE) and column == _CAUSE:
            return self._causes.get(row, "")
        if column in (_VIEWS, _BATCH) and role in (
            Qt.ItemDataRole.DisplayRole,
            SORT_ROLE,
            Qt.ItemDataRole.ToolTipRole,
        ):
            return self._view(row, role) if column == _VIEWS else self._chance(row, role)
        if role == Qt.ItemDataRole.DisplayRole:
            return self._rows[row][column]
        if role == SORT_ROLE:
            return self._keys[row][column]
        if role == GT_ROLE:
            return row
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tips[row]
        if role == Qt.ItemDataRole.TextAlignmentRole and column not in (1, 2, _CAUSE):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and column == 2 and row in self.problems:
            return self._problem_colour
        if role == Qt.ItemDataRole.ForegroundRole and column == _VIEWS and self._has_problem(row):
            return self._problem_colour
        return None

    def _view(self, row: int, role: int) -> object:
        """``5/12``; sorted by the share."""
        outcomes = self._views
        if not outcomes or row >= len(outcomes[0].ranks):
            return -1.0 if role == SORT_ROLE else ""
        matched = matched_views(outcomes, row)
        if role == SORT_ROLE:
            return float(matched) if views_with(outcomes, row) else -1.0
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{matched}/{len(outcomes)}" if views_with(outcomes, row) else "–"
        lines = views_lines(outcomes, row)
        more = [f"… and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
        return "\n".join([f"GT {row}: {views_text(outcomes, row)}", *lines[:_MOST_LINES], *more])

    def _has_problem(self, row: int) -> bool:
        """Whether the box has a problem in some view."""
        return any(row < len(outcome.ranks) and is_problem(outcome, row) for outcome in self._views)

    def _chance(self, row: int, role: int) -> object:
        """``3 · 2.1 · 88 %``; sorted by the chance."""
        if row >= len(self._chances):
            return -1.0 if role == SORT_ROLE else ""
        chance, positives = self._chances[row], self._rows[row][_COLUMNS.index("Positives")]
        if role == SORT_ROLE:
            return chance.seen if positives else -1.0
        if role == Qt.ItemDataRole.DisplayRole:
            return chance_text(chance) if positives else "–"
        words = chance_line(chance, int(str(positives))) if positives else "no positive that could be drawn"
        return f"GT {row}: {words}"


_MOST_LINES = 24
"""Training views that a tip lists."""

_SORTED = (Rank.NONE, Rank.FORCED, Rank.MATCHED, Rank.NOT_TRAINED)
_STEP_TEXT = {1: "▲ gained", -1: "▼ lost"}


def _step(before: Rank, after: Rank) -> int:
    """1 if a box fares better than before, -1 if worse."""
    return (after.height > before.height) - (after.height < before.height)


def _rows(
    result: Result, names: tuple[str, ...], before: Sequence[Rank]
) -> tuple[list[tuple[object, ...]], list[tuple[float | str, ...]], list[str]]:
    match = result.match
    rows: list[tuple[object, ...]] = []
    keys: list[tuple[float | str, ...]] = []
    tips = []
    original, at_input = result.inputs.gt_boxes.tolist(), result.gt.boxes.tolist()
    for gt, rank in enumerate(match.ranks):
        best = float(match.gt_best_iou[gt])
        positives, forced = int(match.gt_positives[gt]), int(match.gt_forced[gt])
        size, input_size = _size(original[gt]), _size(at_input[gt])
        text = RANK_TEXT[rank]
        best_text = "–" if math.isnan(best) else f"{best:.2f}"
        step = _step(before[gt], rank) if before else 0
        was = f" (was: {RANK_TEXT[before[gt]].lower()})" if step else ""
        shown = f"{text} {_STEP_TEXT[step]}" if step else text
        rows.append((gt, names[gt], shown, "", best_text, positives, forced, "", "", size[0], input_size[0]))
        rank_key = _SORTED.index(rank) * 10 + (0 if math.isnan(best) else best)
        keys.append(
            (
                gt,
                names[gt],
                rank_key,
                "",
                -1.0 if math.isnan(best) else best,
                positives,
                forced,
                "",
                "",
                size[1],
                input_size[1],
            )
        )
        tips.append(f"GT {gt} {names[gt]}: {size[0]} px (input {input_size[0]}), {text}{was}, best IoU {best_text}")
    return rows, keys, tips


def _size(box: list[float]) -> tuple[str, float]:
    width, height = box[2] - box[0], box[3] - box[1]
    if not (math.isfinite(width) and math.isfinite(height)):
        return "not a number", -1.0
    return f"{width:.0f} x {height:.0f}", width * height


_SMALL, _LARGE = 32**2, 96**2
"""Areas of COCO's three sizes, px."""

SIZES: tuple[tuple[str, str, str, float, float], ...] = (
    ("Any size", "Boxes of any size", "Size, px", -math.inf, math.inf),
    ("Small", "Less than 32² px in the image", "Size, px", -math.inf, _SMALL),
    ("Medium", "32² to 96² px in the image", "Size, px", _SMALL, _LARGE),
    ("Large", "96² px or more in the image", "Size, px", _LARGE, math.inf),
    ("Small at input", "Less than 32² px at the network's input", "Input, px", -math.inf, _SMALL),
    ("Medium at input", "32² to 96² px at the network's input", "Input, px", _SMALL, _LARGE),
    ("Large at input", "96² px or more at the network's input", "Input, px", _LARGE, math.inf),
)
"""Title, meaning, the column that counts, and from which area to below which, px."""
_ANY_CATEGORY = "Any category"


class _Filter(QSortFilterProxyModel):
    """The boxes that are listed.

    Attributes:
        only_problems: those with a problem.
        category: those of one; empty: of any.
        size: entry of :data:`SIZES`.
    """

    only_problems = False
    category = ""
    size = 0

    def filterAcceptsRow(self, row: int, parent: _Index) -> bool:
        model = self.sourceModel()
        assert isinstance(model, GtTableModel)
        if self.only_problems and row not in model.problems:
            return False
        if self.category and model.index(row, 1).data() != self.category:
            return False
        _, _, column, least, below = SIZES[self.size]
        return not self.size or least <= model.index(row, _COLUMNS.index(column)).data(SORT_ROLE) < below


class GtTable(QWidget):
    """Table of ground truth below the canvas, in step with the selection."""

    def __init__(self, state: AppState, theme: Theme, views: ViewFinder, batches: BatchFinder) -> None:
        super().__init__()
        self._state = state
        self._showing = False
        self._views, self._batches = views, batches
        self.model = GtTableModel(COLOURS[theme].problem)
        self.proxy = _Filter()
        self.proxy.setSourceModel(self.model)
        self.proxy.setSortRole(SORT_ROLE)
        self.proxy.setDynamicSortFilter(True)
        self.table = row_table(self.proxy, "Ground-truth boxes", _WIDTHS)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.setAlternatingRowColors(True)
        self.all = tool_button("All", "flat", "All ground-truth boxes of the image", checkable=True)
        self.problems = tool_button(
            "Problems", "flat", "Boxes without a good positive anchor (N: next)", checkable=True
        )
        self.all.setChecked(True)
        group = QButtonGroup(self)
        for button in (self.problems, self.all):
            group.addButton(button)
        self.problems.toggled.connect(lambda _on: self._on_filter())
        self.summary = eliding_label("", "muted")
        self.summary.setElideMode(Qt.TextElideMode.ElideRight)  # the middle would join two numbers
        self.summary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 3, 8, 3)
        self.heading = label("GROUND TRUTH", "heading")
        bar.addWidget(self.heading)
        bar.addSpacing(8)
        bar.addWidget(self.problems)
        bar.addWidget(self.all)
        bar.addSpacing(6)
        self.category = small_choice([(_ANY_CATEGORY, "Boxes of any category")], "Category", self._on_filter)
        self.sizes = small_choice([entry[:2] for entry in SIZES], "Area of the boxes", self._on_filter)
        for choice, width in ((self.category, 104), (self.sizes, 112)):
            choice.setMaximumWidth(width)
            bar.addWidget(choice, 1)
        bar.addSpacing(12)
        bar.addWidget(self.summary, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.table, 1)
        self.table.selectionModel().currentRowChanged.connect(self._on_current)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._show_result)
        self.finder = CauseFinder(state)
        self.finder.changed.connect(lambda: self.model.show_causes(self.finder.causes))
        views.changed.connect(self._show_views)
        batches.changed.connect(self._show_batches)
        self._show_views()
        self._show_batches()
        state.result_changed.connect(self._on_result)
        state.image_changed.connect(self._show_categories)
        state.image_changed.connect(self._show_result)
        state.selection_changed.connect(self._show_selection)
        # Its numbers are those of training, whichever world the picture shows.
        state.world_changed.connect(
            lambda world: self.heading.setText("GT IN TRAINING" if world is World.MODEL else "GROUND TRUTH")
        )

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        # The buttons and fields say what is listed, where the heading would be cut.
        self.heading.setVisible(event.size().width() >= _ROOM_FOR_HEADING)

    def _show_views(self) -> None:
        self.table.setColumnHidden(_VIEWS, self._state.params.views is None)
        self._showing = True  # rows that move take the selection with them, and ask for no other
        self.model.show_views(self._views.outcomes)
        self._showing = False

    def _show_batches(self) -> None:
        self.table.setColumnHidden(_BATCH, not terms(self._state.preset.conventions).draws)
        self._showing = True
        self.model.show_chances(self._batches.chances)
        self._showing = False

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's theme."""
        self.model.set_problem_colour(COLOURS[theme].problem)

    def _on_result(self) -> None:
        """Sorting thousands of rows takes longer than the slider's next move: they follow when the hand rests."""
        if len(self._state.gt_names) > _AT_ONCE_UP_TO and self.model.rowCount() == len(self._state.gt_names):
            self._rest.start()
        else:
            self._show_result()

    def _show_result(self) -> None:
        self._rest.stop()
        result = self._state.shown.training if self._state.shown is not None else None
        self._showing = True
        before = self._state.before.training.match.ranks if self._state.before is not None else ()
        self.model.show_result(result, self._state.gt_names, before)  # the proxy sorts and filters what has changed
        self._showing = False
        ranks = result.match.ranks if result is not None else ()
        self.problems.setText(f"Problems {len(self.model.problems):,}")
        self.all.setText(f"All {len(ranks):,}")
        self._show_summary()
        self._show_selection(self._state.selection)

    def _show_summary(self) -> None:
        """How many boxes are listed, where a filter hides some, the ranks, and what the last change did."""
        result = self._state.shown.training if self._state.shown is not None else None
        before = self._state.before.training.match.ranks if self._state.before is not None else ()
        ranks = result.match.ranks if result is not None else ()
        listed = self.proxy.rowCount()
        parts = [f"{listed:,} listed"] if listed < len(ranks) else []
        if before and result is not None:
            steps = [_step(old, new) for old, new in zip(before, ranks, strict=True)]
            parts += [f"{steps.count(step):,} {_STEP_TEXT[step]}" for step in (1, -1) if step in steps]
        parts += [f"{ranks.count(rank):,} {RANK_TEXT[rank].lower()}" for rank in Rank if ranks.count(rank)]
        if result is not None and not parts:
            parts = ["No boxes: every anchor is negative here"]
        self.summary.setText(" · ".join(parts))

    def _show_selection(self, selection: Selection) -> None:
        self._showing = True
        chosen = self.table.selectionModel()
        if selection.gt is None:
            chosen.clearSelection()
            chosen.setCurrentIndex(QModelIndex(), QItemSelectionModel.SelectionFlag.Clear)
        else:
            row = self.proxy.mapFromSource(self.model.index(selection.gt, 0))
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            chosen.setCurrentIndex(row, flags)
            if row.isValid():
                self.table.scrollTo(row)
        self._showing = False

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if not self._showing and current.isValid():
            self._state.select(Selection(gt=current.data(GT_ROLE)))

    def _on_filter(self) -> None:
        self.proxy.only_problems = self.problems.isChecked()
        self.proxy.category = self.category.currentText() if self.category.currentIndex() > 0 else ""
        self.proxy.size = max(self.sizes.currentIndex(), 0)
        self._showing = True
        self.proxy.invalidate()
        self._showing = False
        self._show_summary()
        self._show_selection(self._state.selection)

    def _show_categories(self) -> None:
        """Offer the categories of the image; the chosen one stays if it is among them."""
        names = sorted(set(self._state.gt_names))
        offered = [self.category.itemText(row) for row in range(1, self.category.count())]
        if names == offered:
            return
        chosen = self.category.currentText()
        self.category.blockSignals(True)
        while self.category.count() > 1:
            self.category.removeItem(1)
        self.category.addItems(names)
        self.category.setCurrentText(chosen if chosen in names else _ANY_CATEGORY)
        self.category.blockSignals(False)
        self._on_filter()
