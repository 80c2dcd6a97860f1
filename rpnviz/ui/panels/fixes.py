"""Changes that would help the selected ground-truth box, with what they do, and a button to try each."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from rpnviz.app.fix_finder import FixFinder
from rpnviz.app.state import AppState
from rpnviz.app.texts import iou_pair
from rpnviz.core.fixes import Fix
from rpnviz.core.matching import Rank
from rpnviz.drawing.options import RANK_TEXT
from rpnviz.ui.widgets.basics import clear_layout, label, tool_button

_SHOWN = 3
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
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 4, 0, 0)
        self._layout.setSpacing(4)
        self.finder = FixFinder(state)
        self.finder.changed.connect(self._show)
        self.hide()

    def _show(self) -> None:
        search = self.finder.search
        self.rows = list(search.fixes[:_SHOWN]) if search is not None else []
        clear_layout(self._layout)
        self.setVisible(search is not None)
        if search is None:
            return
        self._layout.addWidget(label("WHAT WOULD HELP", "heading"))
        for fix in self.rows:
            self._layout.addWidget(self._row(fix))
        if self.finder.pairs:
            self._layout.addWidget(label("No single change helps it. Trying two at once…", "muted", wrap=True))
        elif not self.rows:
            closest = search.closest
            self._layout.addWidget(label(_NOTHING, "muted", wrap=True))
            if closest is not None:
                iou, needed = iou_pair(closest.best_iou, closest.needed)
                words = f"Closest: {closest.text[0].lower()}{closest.text[1:]} gives IoU {iou}, {needed} is needed."
                self._layout.addWidget(label(words, "muted", wrap=True))

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
        parts = [f"{RANK_TEXT[Rank(fix.rank_after)]}, {fix.positives_after:,} {noun}, IoU {fix.best_iou_after:.2f}"]
        shown = self._state.shown
        if fix.anchors_added and shown is not None:
            share = abs(fix.anchors_added) / len(shown.training.anchors)
            parts.append(f"{share:.0%} {'more' if fix.anchors_added > 0 else 'fewer'} anchors")
        if fix.gained or fix.lost:
            parts.append(f"{len(fix.gained):,} other GT gained, {len(fix.lost):,} lost")
        return " · ".join(parts)
