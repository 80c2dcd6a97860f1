"""What is selected, in words and numbers; it stays put while the controls below scroll."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from rpnviz.app import reasons, texts
from rpnviz.app.inspector import Inspector
from rpnviz.app.selected import summarise
from rpnviz.app.state import AppState
from rpnviz.app.viewing import Shown
from rpnviz.core.boxes import best_cover
from rpnviz.core.matching import WEAK_IOU, AnchorState, Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.terms import terms
from rpnviz.core.trace import trace_proposal
from rpnviz.drawing.scene import FINDS_IOU, World
from rpnviz.ui.panels.fixes import FixesList
from rpnviz.ui.panels.way import WayList
from rpnviz.ui.widgets.basics import breakable, eliding_label, label, set_kind


class SelectionPanel(QWidget):
    """Verdict on the selected box, or a hint; below it a fixed place for what the pointer is over."""

    def __init__(self, state: AppState, inspector: Inspector) -> None:
        super().__init__()
        self._state = state
        self._inspector = inspector
        self.heading = label("SELECTION", "heading")
        self.name = eliding_label("", "title")
        self.verdict = label("", "verdict", wrap=True)
        self.size_line = label("", "muted", wrap=True)
        self.body = label("", wrap=True, selectable=True)
        self.hover = label("", "muted", wrap=True)
        self.hover.setFixedHeight(3 * self.hover.fontMetrics().lineSpacing() + 2)
        self.hover.setAlignment(Qt.AlignmentFlag.AlignBottom)
        self.hover.setAccessibleName("Under the pointer")
        # What is said of a box scrolls: its length must not move the controls below, least of all during a drag.
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(12, 8, 12, 4)
        layout.setSpacing(4)
        top = QHBoxLayout()
        top.addWidget(self.heading)
        top.addSpacing(8)
        top.addWidget(self.name, 1)
        layout.addLayout(top)
        layout.addWidget(self.verdict)
        layout.addWidget(self.size_line)
        layout.addWidget(self.body)
        self.fixes = FixesList(state)
        layout.addWidget(self.fixes)
        self.way = WayList(state, inspector)
        layout.addWidget(self.way)
        layout.addStretch(1)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 8)
        outer.setSpacing(0)
        outer.addWidget(self._area, 1)
        self.hover.setContentsMargins(12, 0, 12, 0)
        outer.addWidget(self.hover)
        self.setMinimumHeight(140)
        for signal in (state.selection_changed, state.result_changed, state.image_changed, state.world_changed):
            signal.connect(lambda *_: self._show())
        state.models.changed.connect(self._show)
        inspector.stepped.connect(self._on_step)
        self._show()

    def show_hover(self, text: str) -> None:
        """Say what the pointer is over."""
        self.hover.setText(text)

    def _show(self) -> None:
        state, result = self._state, self._state.result
        chosen = state.selection
        if state.shown is None or result is None:
            waiting = state.world is World.MODEL and state.models.busy
            hint = (
                f"{state.preset.name} has no region proposals: it is a one-stage detector"
                if state.world is World.MODEL and not state.has_proposals
                else "Loading the model"
                if waiting and state.model is None
                else "Running the model"
                if waiting
                else f"{state.models.problem} Press Ctrl+R to run it again."
                if state.world is World.MODEL and state.models.problem
                else "Load a model, or try the sample model (trained on synthetic shapes)"
                if state.world is World.MODEL and state.model is None
                else "No image yet: drop images or an annotation file here"
                if state.record is None
                else ""
            )
            self._fill("", hint, "", "")
        elif chosen.many is not None:
            told = summarise(result, state.shown.training, state.world, chosen.many)
            self._fill(told.title, told.verdict, told.size, "\n".join(told.lines))
        elif chosen.anchor is not None:
            self._show_anchor(result, chosen.anchor)
        elif chosen.gt is not None and chosen.gt < len(result.match.ranks):
            self._show_gt(state.shown.training, chosen.gt)
        else:
            self._show_nothing(result)

    def _on_step(self) -> None:
        row = self.way.current
        if row is not None:
            self._area.ensureWidgetVisible(row, 0, 8)

    def _fill(self, name: str, verdict: str, size: str, body: str, *, problem: bool = False) -> None:
        set_kind(self.verdict, "bad verdict" if problem else "verdict")
        for part, text in ((self.name, name), (self.verdict, verdict), (self.size_line, size), (self.body, body)):
            part.setText(breakable(text))
        for part in (self.verdict, self.size_line, self.body):
            part.setVisible(bool(part.text()))
        self.way.show_way()

    def _show_nothing(self, result: Result) -> None:
        special = texts.image_sentence(result)
        if self._state.world is World.MODEL:
            proposals = result.proposals
            assert proposals is not None
            note = self._state.model.note if self._state.model else ""
            source = result.inputs.outputs.source if result.inputs.outputs else ""
            self._fill(
                "",
                f"{len(proposals.scores):,} proposals",
                f"{source}, {note}" if note else source,
                "Click a box to see its way.",
            )
            return
        count = len(result.match.problems())
        noun = "box" if count == 1 else "boxes"
        if special:
            dataset = self._state.dataset
            annotated = dataset is None or bool(dataset.categories) or len(result.gt.boxes) > 0
            way_out = "drop one on the window together with its images, or press E to draw boxes."
            hint = "" if annotated else f"No annotation file is open: {way_out}"
            self._fill("", special, "", hint)
        elif count:
            self._fill("", f"{count:,} {noun} with a problem", "", "Click a box, or press N for the worst one.")
        else:
            ranks = result.match.ranks
            matched, forced = ranks.count(Rank.MATCHED), ranks.count(Rank.FORCED)
            trained = len(result.gt.trained)
            noun, verb = ("box", "reaches") if trained == 1 else ("boxes", "reach")
            lines = [f"{matched:,} of {trained:,} {noun} {verb} the threshold."]
            if forced:
                verb, all_of = ("is", "") if forced == 1 else ("are", "all of them ")
                lines.append(f"{forced:,} {verb} forced, {all_of}at an IoU of at least {WEAK_IOU:.2f}.")
            if trained < len(ranks):
                lines.append(f"{len(ranks) - trained:,} not trained on.")
            verdict = "No problem in this image" if matched else f"No box reaches {_threshold(result)}"
            self._fill("", verdict, "", "\n".join(lines))

    def _show_gt(self, result: Result, gt: int) -> None:
        name = self._state.gt_names[gt]
        rank = result.match.ranks[gt]
        shown = self._state.result
        # The model's input is not that of the training.
        box, at_input = result.inputs.gt_boxes[gt], (shown or result).gt.boxes[gt]
        size = f"{_side(box, 0)} x {_side(box, 1)} px (input {_side(at_input, 0)} x {_side(at_input, 1)})"
        verdict = texts.verdict(result, gt)
        if self._state.world is World.MODEL:
            self._fill(f"GT {gt} {name}", _covered_by(self._state.shown, gt), size, f"In training: {verdict}.")
            return
        lines = reasons.gt_sentences(result, gt)
        positives, forced = int(result.match.gt_positives[gt]), int(result.match.gt_forced[gt])
        if rank in (Rank.FORCED, Rank.MATCHED):
            drawn = int(np.isin(result.match.positives_of(gt), result.sample.positive).sum())
            part = f"{drawn} of them in this mini-batch" if terms(result.conventions).draws else "all trained on"
            lines.append(f"Positives {positives} (forced {forced}), {part}.")
        self._fill(f"GT {gt} {name}", verdict, size, "\n".join(lines), problem=gt in result.match.problems())

    def _show_anchor(self, result: Result, index: int) -> None:
        """The verdict; the way below tells the rest."""
        box = result.anchors.boxes[index]
        if self._state.world is World.MODEL and result.proposals is not None and result.decoded is not None:
            found = trace_proposal(result, index)
            box = found.clipped
            verdict = (
                f"Kept as number {found.number:,}"
                if found.number is not None
                else "Cut before NMS"
                if found.fate is None
                else texts.FATE_TEXT[found.fate]
            )
        else:
            verdict = texts.STATE_TEXT[AnchorState(result.match.state[index])]
        original = result.frame.to_original(box[None])[0]
        size = f"{_side(original, 0)} x {_side(original, 1)} px (input {_side(box, 0)} x {_side(box, 1)})"
        self._fill(texts.anchor_text(result, index), verdict, size, "")


def _covered_by(shown: Shown | None, gt: int) -> str:
    """How many of the proposals that are kept find a ground-truth box, and how well."""
    model = shown.model if shown is not None else None
    if model is None or model.proposals is None:
        return "No proposals yet."
    kept = model.proposals.candidates.boxes[model.proposals.kept]
    iou = best_cover(kept, model.gt.boxes[gt : gt + 1])[0]
    found = int(np.count_nonzero(iou >= FINDS_IOU))
    best = float(iou.max(initial=0.0))
    if not found:
        return f"Found by none at IoU {FINDS_IOU:g}, best {best:.2f}"
    return f"Found by {found:,} at IoU {FINDS_IOU:g}, best {best:.2f}"


def _threshold(result: Result) -> str:
    return f"{result.params.match.fg_iou_thresh:.2f}"


def _side(box: np.ndarray, axis: int) -> str:
    value = float(box[axis + 2]) - float(box[axis])
    return f"{value:.0f}" if np.isfinite(value) else "?"
