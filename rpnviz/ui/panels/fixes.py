"""Changes that would help the selected ground-truth box, with what they do, and a button to try each."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from rpnviz.app.state import AppState
from rpnviz.core.fixes import Fix
from rpnviz.core.matching import Rank
from rpnviz.drawing.options import RANK_TEXT, World
from rpnviz.ui.widgets.basics import clear_layout, label, tool_button

_REST_MS = 150
"""They are looked for when the hand rests: each takes a run of the pipeline."""
_SHOWN = 3
_NOTHING = (
    "None of the changes that were tried helps it: sizes, ratios, levels, input size and thresholds within reason."
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
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(state.look_for_fixes)
        for signal in (state.selection_changed, state.result_changed, state.world_changed):
            signal.connect(lambda *_: self._forget())
        state.fixes_changed.connect(self._show)
        self.hide()

    def _forget(self) -> None:
        """What was found belongs to another box or to other parameters."""
        self._fill(())
        if self._wanted:
            self._rest.start()
        else:
            self._rest.stop()

    @property
    def _wanted(self) -> bool:
        """Whether a ground-truth box is what the panel speaks of."""
        chosen = self._state.selection
        return self._state.world is World.TRAINING and chosen.gt is not None and chosen.anchor is None

    def _show(self) -> None:
        if not self._wanted:
            return
        self._fill(self._state.fixes)
        shown, gt = self._state.shown, self._state.selection.gt
        if self.rows or shown is None or gt is None:
            return
        if shown.training.match.ranks[gt] in (Rank.NONE, Rank.FORCED):
            self._layout.addWidget(label("WHAT WOULD HELP", "heading"))
            self._layout.addWidget(label(_NOTHING, "muted", wrap=True))
            self.show()

    def _fill(self, fixes: tuple[Fix, ...]) -> None:
        self.rows = list(fixes[:_SHOWN])
        clear_layout(self._layout)
        if self.rows:
            self._layout.addWidget(label("WHAT WOULD HELP", "heading"))
        for fix in self.rows:
            self._layout.addWidget(self._row(fix))
        self.setVisible(bool(self.rows))

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
