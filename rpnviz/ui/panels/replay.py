"""A captured step against the window's parameters: the sentence, what explains it, anchors, losses and steps."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.replaying import Replaying
from rpnviz.app.state import AppState
from rpnviz.app.texts import SHORT_STATE, anchor_text
from rpnviz.app.viewing import Selection
from rpnviz.core.matching import AnchorState
from rpnviz.core.replay import ImageReplay, sentence
from rpnviz.core.replay_search import Explanation
from rpnviz.drawing.options import World
from rpnviz.export.replay import label_text
from rpnviz.palette import Theme
from rpnviz.ui.side_by_side import Rows
from rpnviz.ui.theme import COLOURS
from rpnviz.ui.widgets.basics import clear_layout, label, tool_button
from rpnviz.ui.widgets.loss_bar import LossBar
from rpnviz.ui.widgets.tables import row_table

_MOST_ROWS = 2000
_MOST_EXPLANATIONS = 3
_LEAST_TABLE = 72
"""Height of a table, px; where the panel is lower it scrolls."""
_DIFFER, _LOSS, _STEPS = range(3)


class ReplayPanel(QScrollArea):
    """What the trainer recorded beside what the pipeline makes of the same batch."""

    def __init__(self, state: AppState, replaying: Replaying, theme: Theme) -> None:
        super().__init__()
        self._state, self._replaying = state, replaying
        self.heading = label("", "muted", wrap=True)
        self.verdict = label("", "title", wrap=True, selectable=True)
        self.cause = label("", "", wrap=True, selectable=True)
        self.explained = QVBoxLayout()
        self.explained.setSpacing(3)
        self.buttons: list[tuple[Explanation, QWidget]] = []
        tabs = QHBoxLayout()
        tabs.setSpacing(0)
        self.tabs = [
            tool_button("Differ", "small-segment", "Anchors of this image that are labelled otherwise", checkable=True),
            tool_button("Losses", "small-segment", "Sampled anchors of this image by their loss", checkable=True),
            tool_button("Steps", "small-segment", "The captured steps", checkable=True),
        ]
        group = QButtonGroup(self)
        self.stack = QStackedWidget()
        for number, button in enumerate(self.tabs):
            group.addButton(button)
            tabs.addWidget(button)
            button.clicked.connect(lambda _checked=False, number=number: self.stack.setCurrentIndex(number))
        tabs.addStretch(1)
        self.tabs[_DIFFER].setChecked(True)
        self.differ = Rows(("Anchor", "Trainer", "rpnviz"))
        self.loss_rows = Rows(("Anchor", "Label", "Loss"), frozenset({2}))
        self.step_rows = Rows(("Step", "Loss", ""), frozenset({0, 1}))
        self.differ_table = row_table(self.differ, "Anchors that differ", (0, 66, 70))
        self.loss_table = row_table(self.loss_rows, "Sampled anchors by loss", (0, 62, 76))
        self.step_table = row_table(self.step_rows, "Captured steps", (0, 90, 76))
        for table in (self.differ_table, self.loss_table, self.step_table):
            header = table.horizontalHeader()
            header.setMinimumSectionSize(20)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            table.setMinimumHeight(_LEAST_TABLE)
            # A wish for more height would make the panel scroll.
            table.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.bar = LossBar()
        self.worst = tool_button("Worst first", "small-segment", "The largest losses first", checkable=True)
        self.best = tool_button("Best first", "small-segment", "The smallest losses first", checkable=True)
        order = QButtonGroup(self)
        for button in (self.worst, self.best):
            order.addButton(button)
            button.clicked.connect(lambda _checked=False: self._show_losses())
        self.worst.setChecked(True)
        self.on_canvas = tool_button(
            "Show them", "small-segment", "Only the mini-batch on the canvas, coloured by loss", checkable=True
        )
        self.on_canvas.clicked.connect(lambda: replaying.show_losses(self.on_canvas.isChecked()))
        self.no_losses = label("", "muted", wrap=True)
        self.note = label("", "muted", wrap=True)
        self.stack.addWidget(_page(self.note, self.differ_table))
        line = QHBoxLayout()
        line.setSpacing(0)
        line.addWidget(self.worst)
        line.addWidget(self.best)
        line.addStretch(1)
        line.addWidget(self.on_canvas)
        self.stack.addWidget(_page(self.no_losses, self.bar, line, self.loss_table))
        self.stack.addWidget(_page(self.step_table))
        inner = QWidget()
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(12, 2, 12, 8)
        layout.setSpacing(4)
        layout.addWidget(self.heading)
        layout.addWidget(self.verdict)
        layout.addWidget(self.cause)
        layout.addLayout(self.explained)
        layout.addLayout(tabs)
        layout.addWidget(self.stack, 1)
        self.differ_table.clicked.connect(lambda index: self._select(self.differ, index))
        self.differ_table.activated.connect(lambda index: self._select(self.differ, index))
        self.loss_table.clicked.connect(lambda index: self._select(self.loss_rows, index))
        self.loss_table.activated.connect(lambda index: self._select(self.loss_rows, index))
        self.step_table.clicked.connect(self._go_to_step)
        self.step_table.activated.connect(self._go_to_step)
        replaying.changed.connect(self._show)
        state.layers_changed.connect(self._show_switch)
        state.world_changed.connect(lambda _world: self._show_switch())
        self.set_theme(theme)
        self._show()

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's colours."""
        self.bar.set_colours(COLOURS[theme])

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        replaying = self._replaying
        step, place, here, found = replaying.step, replaying.place, replaying.here, replaying.found
        if replaying.dataset is None:
            return
        self.heading.setText("")
        waiting = "Reading the step…" if step is None else "Comparing the step…"
        self.verdict.setText(waiting if not replaying.failure else "This step cannot be replayed")
        self.cause.setText(replaying.failure)
        if step is not None and place is not None:
            of = f", image {place.number} of {len(step.images)}" if len(step.images) > 1 else ""
            trainer = f" · {step.framework}" if step.framework else ""
            if step.stated_framework:
                trainer = f" · {step.stated_framework}, whose rules are not known: {replaying.preset_name}'s apply"
            self.heading.setText(f"Step {step.step:,}{of}{trainer}")
            if here is not None:
                images = found.images if found is not None else (here,)
                words = sentence(images)
                self.verdict.setText(f"{words[0].upper()}{words[1:]}.")
            if found is not None and found.cause is not None:
                self.cause.setText(f"Not finite: {found.cause.text}")
        self.cause.setVisible(bool(self.cause.text()))
        self._show_explanations()
        self._show_differ(here)
        self._show_losses()
        self._show_steps()
        self._show_switch()

    def _show_explanations(self) -> None:
        found, here = self._replaying.found, self._replaying.here
        clear_layout(self.explained)
        self.buttons = []
        if found is None:
            if here is not None and not here.reproduced:
                self.explained.addWidget(label("Looking for what makes the difference…", "muted"))
            return
        if found.reproduced:
            return
        explanations = found.explanations or ()
        if not explanations:
            words = "No convention or threshold that was tried explains it, alone or two at once."
            self.explained.addWidget(label(words, "muted", wrap=True))
        for explanation in explanations[:_MOST_EXPLANATIONS]:
            rest = "" if not explanation.remaining else f" ({explanation.remaining:,} would still differ)"
            row = QWidget()
            line = QHBoxLayout(row)
            line.setContentsMargins(0, 0, 0, 0)
            line.addWidget(label(f"Explained by {explanation.text}{rest}", wrap=True), 1)
            tip = "Take what the trainer does; Undo takes it back. Checked by running it."
            button = tool_button("Use it", "chip", tip, partial(self._replaying.use, explanation))
            line.addWidget(button)
            self.buttons.append((explanation, button))
            self.explained.addWidget(row)
        more = len(explanations) - _MOST_EXPLANATIONS
        if more > 0:
            self.explained.addWidget(label(f"Or {more:,} more fields would do.", "muted"))

    def _show_differ(self, here: ImageReplay | None) -> None:
        rows: list[tuple[str, ...]] = []
        tips: list[str] = []
        keys: list[int] = []
        count = 0
        if here is not None:
            anchors = np.concatenate([here.labels_differ, here.targets_differ])
            count = len(anchors)
            for place, index in enumerate(anchors[:_MOST_ROWS].tolist()):
                ours = SHORT_STATE[AnchorState(here.result.match.state[index])]
                target = place >= len(here.labels_differ)
                theirs = "other target" if target else label_text(int(here.trainer[index]))
                name = anchor_text(here.result, index)
                rows.append((_short(name), theirs, ours))
                tips.append(f"{name}\nBest IoU {float(here.result.match.best_iou[index]):.4f}")
                keys.append(index)
        self.differ.show_rows(rows, keys, tips=tips)
        self.tabs[_DIFFER].setText(f"Differ {count:,}")
        note = ""
        if here is not None and not count:
            note = "The labels cannot be compared."
            if here.comparable:
                note = "No anchor of this image differs." if here.tells else "Nothing of this image can be compared."
        elif count > _MOST_ROWS:
            note = f"Showing {_MOST_ROWS:,} of {count:,}."
        found = self._replaying.found
        total = sum(len(i.labels_differ) + len(i.targets_differ) for i in found.images) if found is not None else 0
        if total > count:
            note += f" {total - count:,} more differ in other images of the step."
        if here is not None and here.on_recorded:
            note += " Compared on the trainer's anchors, which are not those on the canvas."
        self.note.setText(note.strip())
        self.note.setVisible(bool(note))
        self.differ_table.setVisible(bool(count))

    def _show_losses(self) -> None:
        replaying = self._replaying
        losses, here = replaying.image_losses, replaying.here
        rows: list[tuple[str, ...]] = []
        tips: list[str] = []
        keys: list[int] = []
        if losses is not None and here is not None:
            total = np.where(np.isnan(losses.total), np.inf, losses.total)
            order = np.argsort(total, kind="stable")
            order = order if self.best.isChecked() else order[::-1]
            for row in order.tolist():
                index = int(losses.anchor[row])
                known = index < len(here.result.anchors)
                name = anchor_text(here.result, index) if known else f"anchor {index:,}"
                kind = "positive" if losses.positive[row] else "negative"
                rows.append((_short(name), kind, f"{losses.total[row]:.3g}"))
                parts = f"objectness {losses.objectness[row]:.4g}, boxes {losses.box[row]:.4g}"
                tips.append(f"{name}\nIts share of the logged losses: {parts}")
                keys.append(index)
        self.loss_rows.show_rows(rows, keys, tips=tips)
        self.bar.show_losses(replaying.losses)
        there = losses is not None
        for part in (self.bar, self.worst, self.best, self.on_canvas, self.loss_table):
            part.setVisible(there)
        self.no_losses.setVisible(not there)
        step = replaying.step
        self.no_losses.setText(
            ""
            if step is None
            else "No losses per anchor: the capture lacks the mini-batch, logits, deltas or targets, or its trainer "
            "has no RPN."
        )

    def _show_steps(self) -> None:
        dataset, place = self._replaying.dataset, self._replaying.place
        assert dataset is not None
        rows, tips = [], []
        for path, step in dataset.steps:
            total = sum(step.losses.values())
            text = f"{total:.4g}" if math.isfinite(total) else "not finite" if step.losses else ""
            rows.append((f"{step.step:,}", text, "◂ shown" if place is not None and place.path == path else ""))
            lines = [f"{name}: {value:.6g}" for name, value in step.losses.items()]
            tips.append("\n".join([path.name, *lines]))
        self.step_rows.show_rows(rows, list(range(len(rows))), tips=tips)

    def _show_switch(self) -> None:
        self.on_canvas.setChecked(self._replaying.shows_losses)

    # ------------------------------------------------------------------ what is picked

    def _select(self, model: Rows, index: QModelIndex) -> None:
        state, here = self._state, self._replaying.here
        if here is None or here.on_recorded or state.shown is None:
            return
        anchor = model.keys[index.row()]
        if anchor < len(state.shown.training.anchors):
            state.set_world(World.TRAINING)
            state.select(Selection(anchor=anchor))

    def _go_to_step(self, index: QModelIndex) -> None:
        dataset = self._replaying.dataset
        if dataset is not None:
            self._replaying.show_step(dataset.steps[index.row()][0])


def _short(name: str) -> str:
    """``P3 row 4 col 7 · 64 x 64`` as ``P3 4,7 · 64 x 64``: row and column in the room that there is."""
    return name.replace(" row ", " ").replace(" col ", ",")


def _page(*parts: QWidget | QHBoxLayout) -> QWidget:
    """Parts below each other; a stretch keeps them at the top."""
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(0, 2, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part, 0)
        else:
            layout.addLayout(part)
    layout.setStretch(layout.count() - 1, 1)
    layout.addStretch(0)  # takes the room where the last part is hidden
    return page
