"""The training views side by side: each drawn small, its ground truth in the colour of how it fares there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from rpnviz.app.messages import Message, Severity
from rpnviz.app.state import AppState
from rpnviz.app.view_finder import ViewFinder, view_text, views_text
from rpnviz.core.matching import Rank
from rpnviz.core.views import Outcome, is_problem, unmatched_everywhere, views_with
from rpnviz.datasets.base import ImageRecord
from rpnviz.drawing.options import World
from rpnviz.palette import Role, Theme, rgb
from rpnviz.ui.theme import COLOURS
from rpnviz.ui.widgets.basics import clear_layout, image_of, label, tool_button

_TILE = QSize(108, 92)
_PICTURE_HEIGHT = 56
_HEIGHT = 112
_FONT = 11
"""Px of the letters below a picture."""
_STALE = 0.35
_SAMPLED = 160
"""Px of the picture that the tiles are made of."""

_ROLES = (Role.LEFT_OUT, Role.POSITIVE, Role.FORCED, Role.GT_PROBLEM)
"""How boxes look, back to front."""
_WORDS = {
    Rank.MATCHED: "matched",
    Rank.FORCED: "forced only",
    Rank.NONE: "no positive",
    Rank.NOT_TRAINED: "not trained on",
}


def _role(outcome: Outcome, gt: int) -> Role | None:
    """The colour of a box in a view: of its rank, or of a problem; None where it is cut off."""
    rank = outcome.ranks[gt]
    if rank is None:
        return None
    if is_problem(outcome, gt):
        return Role.GT_PROBLEM
    return {Rank.MATCHED: Role.POSITIVE, Rank.FORCED: Role.FORCED}.get(rank, Role.LEFT_OUT)


def _fares(outcome: Outcome, gt: int) -> str:
    """``forced only 0.62``."""
    rank = outcome.ranks[gt]
    if rank is None:
        return "cut off"
    best = outcome.best_iou[gt]
    return _WORDS[rank] if rank is Rank.NOT_TRAINED else f"{_WORDS[rank]}, {best:.2f}"


class ViewTile(QAbstractButton):
    """One view: the picture with its boxes, its name, and how many boxes are matched in it."""

    def __init__(self, outcome: Outcome, picture: QImage, theme: Theme) -> None:
        super().__init__()
        self.outcome = outcome
        self._theme = theme
        self._selected: int | None = None
        self._current, self._stale = False, False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        font = self.font()
        font.setPixelSize(_FONT)
        self.setFont(font)
        name = self.fontMetrics().horizontalAdvance(outcome.view.name)
        self.setFixedSize(max(_TILE.width(), name + 10), _TILE.height())
        self.setAccessibleName(f"View {outcome.view.name}")
        self._picture = self._drawn(picture)

    def show_state(self, selected: int | None, current: bool) -> None:
        """Point out a box, and whether this view's short side is the one on the canvas."""
        if (selected, current) != (self._selected, self._current):
            self._selected, self._current = selected, current
            self.update()
        self.setToolTip(self._tip())
        self.setAccessibleDescription(self.text_below)

    def pale(self) -> None:
        """It belongs to other parameters, and another comes soon."""
        self._stale = True
        self.setEnabled(False)
        self.update()

    @property
    def text_below(self) -> str:
        """How the selected box fares here, else how many boxes are matched."""
        ranks = self.outcome.ranks
        if self._selected is not None and self._selected < len(ranks):
            return _fares(self.outcome, self._selected)
        if not ranks:
            return "no boxes"
        trained = sum(rank not in (None, Rank.NOT_TRAINED) for rank in ranks)
        return f"{ranks.count(Rank.MATCHED):,} of {trained:,} matched"

    def _tip(self) -> str:
        view, outcome = self.outcome.view, self.outcome
        (rh, rw), (ih, iw) = outcome.resized_size, outcome.input_size
        lines = [view.name, f"Input {rw} x {rh}, padded to {iw} x {ih} px"]
        if self._selected is not None and self._selected < len(outcome.ranks):
            lines.append(f"GT {self._selected}: {view_text(outcome, self._selected)}")
        counts = [(words, outcome.ranks.count(rank)) for rank, words in _WORDS.items()]
        parts = [f"{count:,} {words}" for words, count in counts if count]
        cut = outcome.ranks.count(None)
        lines.append(" · ".join([*parts, *([f"{cut:,} cut off"] if cut else [])]) or "No boxes")
        lines.append(f"{int(outcome.positives.sum()):,} positives")
        if view.min_size is not None:
            lines.append(f"Click: show the image at {view.min_size} px, whole and not flipped (Undo takes it back)")
        return "\n".join(lines)

    def _place(self) -> QRect:
        """Where the picture stands."""
        size = self._picture.size()
        return QRect((self.width() - size.width()) // 2, 4 + (_PICTURE_HEIGHT - size.height()) // 2, *size.toTuple())

    def _drawn(self, picture: QImage) -> QImage:
        """The picture with all boxes, back to front."""
        outcome, small = self.outcome, picture.copy()
        roles = [_role(outcome, gt) for gt in range(len(outcome.ranks))]
        places = _on(outcome.boxes, small.size())
        painter = QPainter(small)
        for role in _ROLES:
            painter.setPen(QPen(QColor(*rgb(role, Theme.DARK)), 1))
            painter.drawRects([place for place, found in zip(places, roles, strict=True) if found is role])
        painter.end()
        return small

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setOpacity(_STALE if self._stale else 1.0)
        colours = COLOURS[self._theme]
        place = self._place()
        painter.drawImage(place, self._picture)
        chosen = self._selected
        if chosen is not None and chosen < len(self.outcome.ranks) and self.outcome.ranks[chosen] is not None:
            painter.save()
            painter.setClipRect(place)
            painter.translate(place.topLeft())
            (place_of_box,) = _on(self.outcome.boxes[chosen : chosen + 1], self._picture.size())
            painter.setPen(QPen(QColor("#FFFFFF"), 2))
            painter.drawRect(place_of_box.adjusted(-2, -2, 2, 2))
            painter.restore()
        framed = self._current or self.hasFocus() or self.underMouse()
        colour = colours.accent if self._current or self.hasFocus() else colours.muted
        painter.setPen(QPen(QColor(colour if framed else colours.border), 2 if self._current else 1))
        painter.drawRect(place.adjusted(-1, -1, 0, 0))
        metrics = self.fontMetrics()
        top, line = 4 + _PICTURE_HEIGHT + 2, metrics.height()
        for number, (text, colour) in enumerate(((self.outcome.view.name, colours.text), (self.text_below, ""))):
            painter.setPen(QColor(colour or self._colour_below()))
            text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, self.width() - 4)
            where = QRect(2, top + number * line, self.width() - 4, line)
            painter.drawText(where, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter, text)

    def _colour_below(self) -> str:
        colours = COLOURS[self._theme]
        chosen = self._selected
        problem = chosen is not None and chosen < len(self.outcome.ranks) and is_problem(self.outcome, chosen)
        return colours.problem if problem else colours.muted


def _on(boxes: NDArray[np.float64], size: QSize) -> list[QRectF]:
    """Boxes (N, 4) in shares of a picture, in its px; at least 2 px, so that they are seen."""
    corners = np.nan_to_num(np.clip(boxes, -1, 2)) * np.array([size.width() - 1, size.height() - 1] * 2)
    return [QRectF(x1, y1, max(x2 - x1, 2), max(y2 - y1, 2)) for x1, y1, x2, y2 in corners.tolist()]


class ViewsStrip(QFrame):
    """All views in a row below the canvas, with the numbers over them; only where there are training views."""

    def __init__(self, state: AppState, finder: ViewFinder, theme: Theme) -> None:
        super().__init__()
        self._state, self._finder, self._theme = state, finder, theme
        self._wanted, self._alone = True, False
        self._record: ImageRecord | None = None
        self.setObjectName("bar")
        self.setFixedHeight(_HEIGHT)
        self.tiles: list[ViewTile] = []
        self.heading = label("TRAINING VIEWS", "heading")
        self.summary = label("", wrap=True)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop)
        words = QVBoxLayout()
        words.setContentsMargins(8, 6, 0, 4)
        words.setSpacing(3)
        words.addWidget(self.heading)
        words.addWidget(self.summary, 1)
        words.addWidget(tool_button("Hide", "link", "Hide the strip (V)", lambda: self.set_wanted(False)))
        inner = QWidget()
        self._row = QHBoxLayout(inner)
        self._row.setContentsMargins(2, 2, 2, 2)
        self._row.setSpacing(4)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setWidget(inner)
        left = QWidget()
        left.setLayout(words)
        left.setFixedWidth(150)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(left)
        layout.addWidget(self.area, 1)
        finder.changed.connect(self._show)
        state.selection_changed.connect(lambda _selection: self._show_selection())
        state.world_changed.connect(lambda _world: self._show_or_hide())
        state.params_changed.connect(lambda _params: self._show_or_hide())
        self._show()

    @property
    def wanted(self) -> bool:
        """Whether the user wants to see it where there are views."""
        return self._wanted

    def set_wanted(self, wanted: bool) -> None:
        """Show it where there are views, or never."""
        self._wanted = wanted
        self._show_or_hide()

    def set_alone(self, alone: bool) -> None:
        """Make room for the canvas alone, or come back."""
        self._alone = alone
        self._show_or_hide()

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's theme."""
        self._theme = theme
        self._show()

    def _show_or_hide(self) -> None:
        views = self._state.params.views
        there = views is not None and self._state.world is World.TRAINING
        self.setVisible(there and self._wanted and not self._alone)
        self._show_selection()

    def _show(self) -> None:
        if self._record is self._state.record and self._finder.busy and not self._finder.outcomes:
            for tile in self.tiles:
                tile.pale()  # their going and coming at every move of a slider would be restless
            self._show_or_hide()
            return
        self._record = self._state.record
        clear_layout(self._row)
        self.tiles = []
        pictures = _Pictures(self._state)
        for outcome in self._finder.outcomes:
            tile = ViewTile(outcome, pictures.part(outcome), self._theme)
            tile.clicked.connect(lambda _checked=False, tile=tile: self._try(tile))
            self.tiles.append(tile)
            self._row.addWidget(tile)
        self._row.addStretch(1)
        self._show_or_hide()

    def _show_selection(self) -> None:
        outcomes, gt = self._finder.outcomes, self._state.selection.gt
        self.summary.setToolTip("")
        side = self._state.params.resize.min_size
        for tile in self.tiles:
            view = tile.outcome.view
            whole = not view.flip and view.crop is None
            tile.show_state(gt, view.min_size in (side, None) and whole)
        if not outcomes:
            problem = self._finder.problem
            self.summary.setText("Running the views…" if self._finder.busy else problem.title if problem else "")
            self.summary.setToolTip(problem.detail if problem else "")
        elif gt is not None and gt < len(outcomes[0].ranks):
            self.summary.setText(f"GT {gt}: {views_text(outcomes, gt)[0].lower()}{views_text(outcomes, gt)[1:]}")
        else:
            self.summary.setText(_overall(outcomes))

    def _try(self, tile: ViewTile) -> None:
        side = tile.outcome.view.min_size
        if side is not None and side != self._state.params.resize.min_size:
            self._state.try_short_side(side)
            return
        what = "This short side is on the canvas already" if side is not None else "The image keeps its size here"
        self._state.tell(Message(Severity.INFO, what, "The canvas shows the image whole and not flipped."))


def _overall(outcomes: tuple[Outcome, ...]) -> str:
    """``12 views · 5 of 24 boxes matched in all, 3 in none``."""
    count = len(outcomes[0].ranks)
    noun = "view" if len(outcomes) == 1 else "views"
    if not count:
        return f"{len(outcomes):,} {noun}, no boxes"
    trained = [gt for gt in range(count) if views_with(outcomes, gt)]
    everywhere = sum(
        all(outcome.ranks[gt] in (None, Rank.NOT_TRAINED, Rank.MATCHED) for outcome in outcomes) for gt in trained
    )
    none = len(unmatched_everywhere(outcomes))
    return f"{len(outcomes):,} {noun} · of {len(trained):,} boxes {everywhere:,} matched in all, {none:,} in none"


class _Pictures:
    """Parts of the image as views show them, small and dimmed; those of the same part are made once."""

    def __init__(self, state: AppState) -> None:
        loaded = state.loaded
        self._pixels = np.zeros((1, 1, 3), np.uint8) if loaded is None else loaded.pixels
        self._size = (1, 1) if loaded is None else loaded.size
        self._made: dict[tuple[object, ...], QImage] = {}

    def part(self, outcome: Outcome) -> QImage:
        """What a view shows."""
        key = (outcome.view.flip, *outcome.area.tolist())
        if key not in self._made:
            self._made[key] = self._make(outcome)
        return self._made[key]

    def _make(self, outcome: Outcome) -> QImage:
        """Of every so many-th pixel: a large photo is not copied for a picture of a few px."""
        height, width = self._pixels.shape[:2]
        # Of a large image a smaller copy is at hand.
        x1, y1, x2, y2 = outcome.area * np.tile([width / self._size[1], height / self._size[0]], 2)
        left, top = int(np.clip(x1, 0, width - 1)), int(np.clip(y1, 0, height - 1))
        right, bottom = max(int(min(round(x2), width)), left + 1), max(int(min(round(y2), height)), top + 1)
        step = max(1, min(right - left, bottom - top) // _SAMPLED)
        pixels = self._pixels[top:bottom:step, left:right:step]
        room = QSize(_TILE.width() - 8, _PICTURE_HEIGHT)
        small = image_of(pixels[:, ::-1] if outcome.view.flip else pixels).scaled(
            room, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
        small = small.convertToFormat(QImage.Format.Format_RGB32)
        painter = QPainter(small)
        painter.fillRect(small.rect(), QColor(0, 0, 0, 90))
        painter.end()
        return small
