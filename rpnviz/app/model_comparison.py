"""The image under the window's model and under another one, side by side, and what each of them finds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rpnviz.app.jobs import NewestWins
from rpnviz.app.linked import LinkedViews
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.model_slot import ModelSlot
from rpnviz.app.state import AppState
from rpnviz.app.texts import stage_words
from rpnviz.app.viewing import Shown
from rpnviz.core import pipeline
from rpnviz.core.boxes import best_cover
from rpnviz.core.inputs import RPNOutput
from rpnviz.core.pipeline import Result
from rpnviz.drawing.options import World
from rpnviz.export.proposals import RECALL_AT, stage_recall
from rpnviz.models.base import ProposalModel

_APART = 0.05
"""Difference of two IoUs from which a box counts as covered otherwise."""


@dataclass(frozen=True)
class Cover:
    """How well the kept proposals of the two models cover one ground-truth box.

    Attributes:
        gt: its index.
        a, b: best IoU of each.
    """

    gt: int
    a: float
    b: float

    @property
    def differs(self) -> bool:
        """Whether one model covers it clearly better, or only one of them finds it."""
        return abs(self.a - self.b) >= _APART or any((self.a >= iou) != (self.b >= iou) for iou in RECALL_AT)


class ModelComparison(LinkedViews):
    """The window's model against another one, under the window's thresholds.

    Attributes:
        slot: the other model.
        covers: the trained boxes, those that differ most first; empty until both have answered.
        warning: what is odd about the other model's outputs; empty if nothing is.
    """

    def __init__(self, state: AppState) -> None:
        super().__init__(state, World.MODEL)
        self.slot = ModelSlot(state.jobs, state.models.store, "model", self)
        self.covers: tuple[Cover, ...] = ()
        self.warning = ""
        self._compute = NewestWins(_run, self)
        self._compute.answered.connect(self._on_other)
        self._compute.failed.connect(self._on_failed)
        self.slot.answered.connect(self._on_result)
        self.slot.changed.connect(self.changed.emit)
        self.slot.told.connect(self._on_told)
        state.models.changed.connect(self.changed.emit)

    @property
    def other(self) -> ProposalModel | None:
        """The model at the right."""
        return self.slot.model

    @property
    def settled(self) -> bool:
        """Whether both models have answered for the image and the thresholds."""
        shown, other = self.a.shown, self.b.shown
        there = shown is not None and shown is self._state.shown and other is not None and other.model is not None
        return there and self.slot.outputs is not None and not self._compute.busy and not self.slot.busy

    def load(self, path: Path | None, options: Mapping[str, str] | None = None) -> None:
        """Compare with another model, or with a step of a training."""
        self.failure = self.warning = ""
        self.slot.load(path, options)

    def close(self) -> None:
        """End all work."""
        self._forget()
        self._compute.close()

    # ------------------------------------------------------------------ following the window

    def _forget(self) -> None:
        self.covers = ()

    def _take_new_image(self) -> None:
        record, loaded = self._state.record, self._state.loaded
        assert record is not None
        assert loaded is not None
        self.failure = self.warning = ""
        self.slot.show_image(record, loaded)
        self.slot.run()

    def activate(self, active: bool) -> None:
        """Follow the window, or rest: nobody looks."""
        super().activate(active)
        if active and self.slot.outputs is None and not self.slot.busy:
            self.slot.run()  # its run was stopped with the window

    def _on_result(self) -> None:
        shown = self._state.shown
        if not self._active or shown is None or self.a.loaded is not self._state.loaded:
            return
        if shown.model is not None and shown is not self.a.shown:
            self._take_results(self.a, shown)
        if self.slot.outputs is None:
            if self.slot.problem and self.b.shown is not None:
                self.covers = ()
                self.b.drop_results()  # those of another step would stand under this one's name
            self.changed.emit()
            return
        old = self.b.shown
        self._compute.request((shown, self.slot.outputs, None if old is None else old.model))

    def _on_other(self, answer: tuple[Shown, Shown]) -> None:
        first, second = answer
        if not self._active or first is not self._state.shown:
            return
        self.failure = ""
        self._take_results(self.b, second)
        if first.model is not None and first.model.proposals is not None and second.model is not None:
            self.covers = _covers(first.model, second.model)
        self.changed.emit()

    def _on_failed(self, error: BaseException) -> None:
        self._on_told(from_error("Could not compare the models", error))

    def _on_told(self, message: Message) -> None:
        text = f"{message.title}. {message.detail}".strip()
        if message.severity is Severity.ERROR:
            self.failure = text
        else:
            self.warning = text
        self.changed.emit()


def _run(request: tuple[Shown, RPNOutput, Result | None]) -> tuple[Shown, Shown]:
    """The window's result, and the proposals of the other model under the same thresholds."""
    shown, outputs, previous = request
    begin = time.perf_counter()
    training = shown.training
    result = pipeline.run_outputs(training.inputs, outputs, training.params, shown.preset.conventions, previous)
    return shown, Shown(shown.preset, training, result, time.perf_counter() - begin)


def _covers(a: Result, b: Result) -> tuple[Cover, ...]:
    first, second = _best(a), _best(b)
    covers = [
        Cover(int(gt), float(x), float(y))
        for gt, (x, y) in enumerate(zip(first, second, strict=True))
        if np.isfinite(x) and np.isfinite(y)
    ]
    return tuple(sorted(covers, key=lambda cover: -abs(cover.a - cover.b)))


def _best(result: Result) -> NDArray[np.float64]:
    """(M,) best IoU of a kept proposal with every ground-truth box; NaN where it is not trained on."""
    assert result.proposals is not None
    best = np.full(len(result.gt.boxes), np.nan)
    trained = result.gt.trained
    best[trained] = best_cover(result.gt.boxes[trained].astype(np.float32), result.proposals.boxes)[0]
    return best


def stage_rows(a: Result, b: Result) -> list[tuple[str, ...]]:
    """Per stage of the proposals: its name, boxes of each model, and recall of each as ``92% / 67%``."""
    assert a.proposals is not None
    assert b.proposals is not None
    rows = []
    recalls = zip(stage_recall(a), stage_recall(b), strict=True)
    for x, y, recall in zip(a.proposals.stages, b.proposals.stages, recalls, strict=True):
        shares = [" / ".join("-" if share is None else f"{share:.0%}" for share in of) for of in recall]
        rows.append((stage_words(a, x.name), f"{len(x.indices):,}", f"{len(y.indices):,}", *shares))
    return rows
