"""What is selected, in words and numbers; it stays put while the controls below scroll."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from rpnviz.app import reasons, texts
from rpnviz.app.selected import summarise
from rpnviz.app.state import AppState
from rpnviz.app.viewing import Shown
from rpnviz.core.boxes import best_cover
from rpnviz.core.matching import WEAK_IOU, AnchorState, Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Fate
from rpnviz.core.terms import terms
from rpnviz.drawing.scene import FINDS_IOU, World
from rpnviz.ui.panels.fixes import FixesList
from rpnviz.ui.widgets.basics import eliding_label, label, set_kind


class SelectionPanel(QWidget):
    """Verdict on the selected box, or a hint; below it a fixed place for what the pointer is over."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
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
        state.model_changed.connect(self._show)
        self._show()

    def show_hover(self, text: str) -> None:
        """Say what the pointer is over."""
        self.hover.setText(text)

    def _show(self) -> None:
        state, result = self._state, self._state.result
        chosen = state.selection
        if state.shown is None or result is None:
            waiting = state.world is World.MODEL and state.inferring
            hint = (
                f"{state.preset.name} has no region proposals: it is a one-stage detector"
                if state.world is World.MODEL and not state.has_proposals
                else "Loading the model"
                if waiting and state.model is None
                else "Running the model"
                if waiting
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

    def _fill(self, name: str, verdict: str, size: str, body: str, *, problem: bool = False) -> None:
        self.name.setText(name)
        self.verdict.setText(verdict)
        set_kind(self.verdict, "bad verdict" if problem else "verdict")
        self.size_line.setText(size)
        self.body.setText(body)
        for part in (self.verdict, self.size_line, self.body):
            part.setVisible(bool(part.text()))

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
            hint = "" if annotated else "No annotation file is open: drop one on the window together with its images."
            self._fill("", special, "", hint)
        elif count:
            self._fill("", f"{count:,} {noun} with a problem", "", "Click a box, or press N for the worst one.")
        else:
            ranks = result.match.ranks
            matched, forced = ranks.count(Rank.MATCHED), ranks.count(Rank.FORCED)
            trained = len(result.gt.trained)
            lines = [f"{matched:,} of {trained:,} boxes reach the threshold."]
            if forced:
                lines.append(f"{forced:,} are forced, all of them at an IoU of at least {WEAK_IOU:.2f}.")
            if trained < len(ranks):
                lines.append(f"{len(ranks) - trained:,} not trained on.")
            verdict = "No problem in this image" if matched else f"No box reaches {_threshold(result)}"
            self._fill("", verdict, "", "\n".join(lines))

    def _show_gt(self, result: Result, gt: int) -> None:
        name = self._state.gt_names[gt]
        rank = result.match.ranks[gt]
        box, at_input = result.inputs.gt_boxes[gt], result.gt.boxes[gt]
        size = f"{_side(box, 0)} x {_side(box, 1)} px (input {_side(at_input, 0)} x {_side(at_input, 1)})"
        lines = reasons.gt_sentences(result, gt)
        positives, forced = int(result.match.gt_positives[gt]), int(result.match.gt_forced[gt])
        if rank in (Rank.FORCED, Rank.MATCHED):
            drawn = int(np.isin(result.match.positives_of(gt), result.sample.positive).sum())
            part = f"{drawn} of them in this mini-batch" if terms(result.conventions).draws else "all trained on"
            lines.append(f"Positives {positives} (forced {forced}), {part}.")
        if self._state.world is World.MODEL:
            lines.insert(0, _covered_by(self._state.shown, gt))
            lines.insert(1, "In training:")
        self._fill(
            f"GT {gt} {name}",
            texts.verdict(result, gt),
            size,
            "\n".join(lines),
            problem=gt in result.match.problems(),
        )

    def _show_anchor(self, result: Result, index: int) -> None:
        match, means = result.match, terms(result.conventions)
        gt = int(match.matched_gt[index])
        box = result.anchors.boxes[index]
        original = result.frame.to_original(box[None])[0]
        lines = []
        model = self._state.world is World.MODEL
        whose = "Its anchor's best IoU" if model else "Best IoU"
        if match.best_iou[index] > 0:
            lines.append(f"{whose} {float(match.best_iou[index]):.3f} with GT {gt} {self._state.gt_names[gt]}.")
        elif len(result.gt.trained):
            lines.append("Its anchor touches no ground truth." if model else "It touches no ground truth.")
        state = AnchorState(match.state[index])
        if state in (AnchorState.POSITIVE, AnchorState.FORCED):
            row = int(np.searchsorted(result.targets.anchor_index, index))
            named = zip(means.targets, result.targets.deltas[row].tolist(), strict=True)
            if not model:
                lines.append(f"Target {', '.join(f'{name} {value + 0.0:z.2f}' for name, value in named)}.")
        # The mini-batch is that of the training targets, at the trainer's own input size.
        if not model and state in (AnchorState.POSITIVE, AnchorState.FORCED, AnchorState.NEGATIVE):
            if not means.draws:
                lines.append("Trained on: there is no mini-batch.")
            else:
                lines.append("In this mini-batch." if result.sample.has(index) else "Not drawn for this mini-batch.")
        verdict = texts.STATE_TEXT[state]
        if self._state.world is World.MODEL and result.proposals is not None:
            verdict = self._proposal_lines(result, index, lines)
        size = f"{_side(original, 0)} x {_side(original, 1)} px (input {_side(box, 0)} x {_side(box, 1)})"
        self._fill(texts.anchor_text(result, index), verdict, size, "\n".join(lines))

    @staticmethod
    def _proposal_lines(result: Result, index: int, lines: list[str]) -> str:
        proposals, decoded = result.proposals, result.decoded
        assert proposals is not None
        assert decoded is not None
        rows = np.flatnonzero(proposals.candidates.anchor_index == index)
        x1, y1, x2, y2 = (float(value) for value in decoded.boxes_input[index])
        lines.insert(0, f"Decoded to {x2 - x1:.0f} x {y2 - y1:.0f} px at the input.")
        if not len(rows):
            lines.insert(0, f"Logit {float(decoded.objectness[index]):.2f}: not among the best before NMS.")
            return "Cut before NMS"
        row = int(rows[0])
        fate = Fate(proposals.fate[row])
        lines.insert(0, f"Objectness {float(proposals.candidates.objectness_prob[row]):.3f}.")
        best, gt = texts.covered_gt(result, proposals.candidates.boxes[row])
        lines.insert(1, f"It covers GT {gt} with IoU {best:.3f}." if gt is not None else "It covers no ground truth.")
        if fate is Fate.SUPPRESSED:
            by = int(proposals.suppressor[row])
            lines.insert(
                2,
                f"Overlaps a better box by {float(proposals.suppressor_iou[row]):.2f} "
                f"(objectness {float(proposals.candidates.objectness_prob[by]):.3f}).",
            )
        if fate is Fate.KEPT:
            return f"Kept as number {int(np.flatnonzero(proposals.kept == row)[0]) + 1}"
        return texts.FATE_TEXT[fate]


def _covered_by(shown: Shown | None, gt: int) -> str:
    """Which of the proposals that are kept find a ground-truth box."""
    model = shown.model if shown is not None else None
    if model is None or model.proposals is None:
        return "No proposals yet."
    kept = model.proposals.candidates.boxes[model.proposals.kept]
    iou = best_cover(kept, model.gt.boxes[gt : gt + 1])[0]
    found = int(np.count_nonzero(iou >= FINDS_IOU))
    best = float(iou.max(initial=0.0))
    return f"{found:,} kept proposals cover it by at least {FINDS_IOU:g}; the best IoU is {best:.2f}."


def _threshold(result: Result) -> str:
    return f"{result.params.match.fg_iou_thresh:.2f}"


def _side(box: np.ndarray, axis: int) -> str:
    value = float(box[axis + 2]) - float(box[axis])
    return f"{value:.0f}" if np.isfinite(value) else "?"
