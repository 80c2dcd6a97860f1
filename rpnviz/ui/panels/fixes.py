"""Changes that would help the selected ground-truth box, with what they do, and a button to try each."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from rpnviz.app.fix_finder import FixFinder
from rpnviz.app.state import AppState
from rpnviz.app.texts import iou_pair
from rpnviz.core.fixes import Fix
from rpnviz.core.matching import Rank
from rpnviz.drawing.options import RANK_TEXT, World
from rpnviz.ui.widgets.basics import clear_layout, label, tool_button

_SHOWN = 3
_NOTHING_IN_VIEWS = "None of the changes that were tried, nor several one after another, does for all views."
_NOTHING = (
    "None of the changes that were tried helps it, alone or two at once: sizes, ratios, levels, input size, thresholds "
    "within reason."
)


class FixesList(QWidget):
    """The best few changes; says so where none helps; empty where the box is matched or not trained on."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self.rows: list[Fix] = []
        self.in_views = QCheckBox("In every training view")
        self.in_views.setToolTip(
            "Changes after which the box is matched in all views that training shows; every view is run for each"
        )
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 4, 0, 0)
        self._layout.setSpacing(4)
        self._found = QVBoxLayout()
        self._found.setSpacing(4)
        self._heading = label("WHAT WOULD HELP", "heading")
        self._layout.addWidget(self._heading)
        self._layout.addWidget(self.in_views)
        self._layout.addLayout(self._found)
        self.finder = FixFinder(state)
        self.in_views.toggled.connect(self.finder.set_in_views)
        self.finder.changed.connect(self._show)
        for signal in (state.selection_changed, state.world_changed, state.image_changed, state.params_changed):
            signal.connect(lambda *_: self._show())
        self.hide()

    def _show(self) -> None:
        search = self.finder.search
        self.rows = list(search.fixes[:_SHOWN]) if search is not None else []
        clear_layout(self._found)
        offers = self._offers_views()
        self.in_views.setVisible(offers)
        self.setVisible(search is not None or offers)
        if search is None:
            if offers and self.finder.asks_views and self.finder.busy:
                self._tell("Running all views for every change…")
            return
        before = search.views_before
        if before is not None:
            self._tell(f"Now matched in {before.matched} of {before.views} views.")
        for fix in self.rows:
            self._found.addWidget(self._row(fix))
        if self.finder.pairs:
            self._tell("No single change helps it. Trying two at once…")
        elif not self.rows and not (before is not None and before.all):
            closest = search.closest
            self._tell(_NOTHING if before is None else _NOTHING_IN_VIEWS)
            if closest is not None and closest.views is not None:
                after = closest.views
                words = f"{closest.text[0].lower()}{closest.text[1:]}"
                self._tell(f"Closest: {words}: matched in {after.matched} of {after.views} views.")
            elif closest is not None:
                iou, needed = iou_pair(closest.best_iou, closest.needed)
                self._tell(f"Closest: {closest.text[0].lower()}{closest.text[1:]} gives IoU {iou}, {needed} is needed.")

    def _offers_views(self) -> bool:
        """Whether there are training views, and a box in question."""
        state = self._state
        chosen, shown = state.selection, state.shown
        if state.params.views is None or state.world is not World.TRAINING or shown is None:
            return False
        ranks = shown.training.match.ranks
        if chosen.gt is None or chosen.anchor is not None or chosen.gt >= len(ranks):
            return False
        return ranks[chosen.gt] is not Rank.NOT_TRAINED

    def _tell(self, text: str) -> None:
        self._found.addWidget(label(text, "muted", wrap=True))

    def _row(self, fix: Fix) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(label(fix.text, "title", wrap=True))
        words.addWidget(label(self._effect(fix), "muted", wrap=True))
        line.addLayout(words, 1)
        tip = "Make this change; Undo takes it back. Checked by running it."
        line.addWidget(tool_button("Try", "chip", tip, lambda: self._state.try_fix(fix)))
        return row

    def _effect(self, fix: Fix) -> str:
        """``Matched, 6 positives, IoU 0.81 · 19 % more anchors · 2 other GT gained, 0 lost``."""
        noun = "positive" if fix.positives_after == 1 else "positives"
        after = fix.views_after
        if after is not None:
            iou = f"IoU {fix.best_iou_after:.2f}"
            parts = [
                f"Matched in {after.matched} of {after.views} views, by at least {fix.positives_after:,} {noun}, {iou}"
            ]
        else:
            parts = [self._alone(fix, noun)]
        shown = self._state.shown
        if fix.anchors_added and shown is not None:
            share = abs(fix.anchors_added) / len(shown.training.anchors)
            parts.append(f"{share:.0%} {'more' if fix.anchors_added > 0 else 'fewer'} anchors")
        if fix.gained or fix.lost:
            parts.append(f"{len(fix.gained):,} other GT gained, {len(fix.lost):,} lost")
        return " · ".join(parts)

    @staticmethod
    def _alone(fix: Fix, noun: str) -> str:
        return f"{RANK_TEXT[Rank(fix.rank_after)]}, {fix.positives_after:,} {noun}, IoU {fix.best_iou_after:.2f}"
