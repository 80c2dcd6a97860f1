"""The funnel of the world on the screen: how few of the many remain; a click shows a cell's set."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QWidget

from rpnviz.app import texts
from rpnviz.app.state import AppState
from rpnviz.drawing.scene import LayerKey, World
from rpnviz.ui.widgets.basics import clear_layout, eliding_label, label, tool_button

_TRAINING_LAYERS: dict[str, frozenset[LayerKey] | None] = {
    "anchors": None,
    "positive": frozenset({LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED}),
    texts.DRAWN: frozenset({LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED, LayerKey.MINI_BATCH}),
}
_MODEL_LAYERS: dict[str, frozenset[LayerKey] | None] = {
    "boxes": None,
    "best-scored": frozenset({LayerKey.GT, LayerKey.CANDIDATES, LayerKey.DROPPED}),
    "before NMS": frozenset({LayerKey.GT, LayerKey.CANDIDATES}),
    "kept": frozenset({LayerKey.GT, LayerKey.KEPT}),
}
_CHANGE_SECONDS = 6


class FunnelBar(QWidget):
    """Cells with counts, and for some seconds what the last change did."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._cells = QHBoxLayout()
        self._cells.setContentsMargins(0, 0, 0, 0)
        self._cells.setSpacing(2)
        self.change = eliding_label("", "title")
        self.change.setElideMode(Qt.TextElideMode.ElideRight)  # the middle would join two numbers
        self.change.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._forget = QTimer(self)
        self._forget.setSingleShot(True)
        self._forget.timeout.connect(lambda: self.change.setText(""))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        layout.addLayout(self._cells)
        layout.addWidget(self.change, 1)
        state.result_changed.connect(self._show)
        state.image_changed.connect(self._show)
        self.shown_cells: list[tuple[str, str, str]] = []

    def _show(self) -> None:
        result = self._state.result
        cells: list[tuple[str, str, str]] = []
        if result is not None:
            training = self._state.world is World.TRAINING
            cells = texts.funnel(result) if training else texts.proposal_funnel(result)
        if cells != self.shown_cells:
            self._build(cells)
        before, now = self._state.before, self._state.shown
        if before is not None and now is not None:
            self.change.setText(texts.change_text(before, now, self._state.world))
            self._forget.start(_CHANGE_SECONDS * 1000)
        else:
            self.change.setText("")

    def _build(self, cells: list[tuple[str, str, str]]) -> None:
        self.shown_cells = cells
        clear_layout(self._cells)
        for position, (count, words, meaning) in enumerate(cells):
            if position:
                self._cells.addWidget(label("›", "muted"))
            promise = "\nClick: show them" if self._set_of(words) != frozenset() else ""
            button = tool_button(f"{count} {words}", "flat", meaning + promise)
            button.clicked.connect(lambda _checked=False, words=words: self._on_cell(words))
            self._cells.addWidget(button)

    def _sets(self) -> dict[str, frozenset[LayerKey] | None]:
        """What a click on a cell shows; None: everything."""
        return _TRAINING_LAYERS if self._state.world is World.TRAINING else _MODEL_LAYERS

    def _set_of(self, words: str) -> frozenset[LayerKey] | None:
        """What the cell with these words shows; empty: nothing; the number behind them does not count."""
        return next((layers for start, layers in self._sets().items() if words.startswith(start)), frozenset())

    def _on_cell(self, words: str) -> None:
        wanted = self._set_of(words)
        if wanted is None:
            self._state.set_everything(not self._state.layers.everything)
        elif wanted:
            self._state.show_only(wanted)
