"""A training played back: the steps under the picture, and the curves of where the boxes stand."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from rpnviz.app.player import Player, summary
from rpnviz.app.state import AppState
from rpnviz.core.gathering import BEST, COVERED_AT, FOUND_BY, Gathering
from rpnviz.drawing.options import World
from rpnviz.palette import STYLES, Role, Theme
from rpnviz.ui.theme import COLOURS
from rpnviz.ui.widgets.basics import label, tool_button
from rpnviz.ui.widgets.step_chart import Curve, StepChart

_WORDS_LINES = 6


class PlaybackBar(QFrame):
    """Play, one step back, one step on, and a slider with all steps; only where there is a training to play."""

    def __init__(self, state: AppState, player: Player) -> None:
        super().__init__()
        self.setObjectName("bar")
        self._state, self._player = state, player
        self.back = tool_button("◂", "flat", "The step before (J)", lambda: player.step_by(-1))
        self.back.setAccessibleName("Step before")
        self.play = tool_button("Play", "chip", "", player.toggle)
        self.play.setFixedWidth(58)
        self.on = tool_button("▸", "flat", "The next step (L)", lambda: player.step_by(1))
        self.on.setAccessibleName("Next step")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setTickInterval(1)
        self.slider.setPageStep(1)
        self.slider.setAccessibleName("Step of the training")
        self.slider.setToolTip("How far the training had come")
        self.slider.valueChanged.connect(player.go)
        self.text = label("")
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 3, 8, 3)
        row.setSpacing(4)
        row.addWidget(label("Training", "muted"))
        for widget in (self.back, self.play, self.on):
            row.addWidget(widget)
        row.addWidget(self.slider, 1)
        row.addSpacing(4)
        row.addWidget(self.text)
        player.changed.connect(self._show)
        state.world_changed.connect(lambda _world: self._show())
        self._show()

    def _show(self) -> None:
        labels, step = self._player.labels, self._player.step
        self.setVisible(bool(labels) and self._state.world is World.MODEL)
        if not labels:
            return
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, len(labels) - 1)
            self.slider.setValue(step)
        # As wide as the longest, so that the slider does not move while it plays.
        texts = [f"{text}  ({number + 1} of {len(labels)})" for number, text in enumerate(labels)]
        width = max(self.text.fontMetrics().horizontalAdvance(text) for text in texts)
        self.text.setFixedWidth(min(width + 4, 220))
        self.text.setText(texts[step])
        self.play.setText("Pause" if self._player.playing else "Play")
        self.play.setToolTip("Stop here (K)" if self._player.playing else "Show the steps one after the other (K)")
        self.back.setEnabled(step > 0)
        self.on.setEnabled(step < len(labels) - 1)


class GatheringCurves(QWidget):
    """Whether the boxes gather in one place while the network learns, and how many objects they find."""

    def __init__(self, player: Player, theme: Theme) -> None:
        super().__init__()
        self._player = player
        self._theme = theme
        self.spread = StepChart("Spread of the centres, px", " px")
        self.found = StepChart(f"Objects found (IoU {COVERED_AT:g})", "")
        self.words = label("", "muted", wrap=True)
        # Its section keeps the height that it had when it was opened.
        self.words.setMinimumHeight(_WORDS_LINES * self.words.fontMetrics().lineSpacing())
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 6)
        layout.setSpacing(4)
        for part in (self.spread, self.found):
            layout.addWidget(part)
            part.picked.connect(player.go)
        layout.addWidget(self.words)
        player.changed.connect(self.show_curves)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's colours."""
        self._theme = theme
        for part in (self.spread, self.found):
            part.set_colours(COLOURS[theme].muted, COLOURS[theme].border)
        self.show_curves()

    def show_curves(self) -> None:
        """Show what is measured so far."""
        player, dark = self._player, self._theme is Theme.DARK
        found = player.gatherings
        if len(found) != len(player.labels):
            return

        def values(of: Callable[[Gathering], float]) -> list[float | None]:
            """NaN where a step cannot be measured."""
            unknown = (math.nan if step in player.failed else None for step in range(len(found)))
            return [none if g is None else of(g) for g, none in zip(found, unknown, strict=True)]

        styles = (STYLES[role] for role in (Role.SUPPRESSED, Role.PROPOSAL, Role.GT))
        all_boxes, best, objects = (style.dark if dark else style.light for style in styles)
        trained = max((g.trained for g in found if g is not None), default=0)
        curves = [
            Curve("all", all_boxes, values(lambda g: g.spread), (4, 3)),
            Curve(f"best {BEST}", best, values(lambda g: g.best_spread)),
        ]
        if trained:
            curves.append(Curve("objects", objects, values(lambda g: g.gt_spread), (1, 2)))
        self.spread.show_curves(player.labels, tuple(curves), player.step)
        counts = values(lambda g: float(g.found))
        self.found.unit = f" of {trained}"
        self.found.show_curves(
            player.labels, (Curve(f"best {FOUND_BY}", best, counts),), player.step, float(max(trained, 1))
        )
        measured = found.count(None) <= len(player.failed)
        failed = ", ".join(player.labels[step] for step in sorted(player.failed))
        words = [summary(found, player.labels) if measured else "", f"Not measured: {failed}." if failed else ""]
        self.words.setText(" ".join(words).strip())
