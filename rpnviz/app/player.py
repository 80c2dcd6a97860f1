"""Plays a training back on the image, and measures where the boxes stand at each of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, QTimer, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.state import AppState
from rpnviz.core import pipeline
from rpnviz.core.conventions import Conventions
from rpnviz.core.gathering import BEST, COVERED_AT, FOUND_BY, Gathering, gathering
from rpnviz.core.params import ProposalParams
from rpnviz.core.pipeline import Result
from rpnviz.drawing.options import World
from rpnviz.models.playback import Playback

_STEP_MS = 700
_REST_MS = 250
"""A slider that moves does not start a run of all steps at every position."""


@dataclass(frozen=True)
class _Subject:
    """What the curves belong to; the training and the inputs are those very objects."""

    playback: Playback
    image: str
    inputs: pipeline.Inputs
    params: ProposalParams
    conventions: Conventions


class Player(QObject):
    """Follows the window's model and image while the Model world is on the screen.

    Attributes:
        gatherings: of every step, None where it is not measured; empty without a playback.
        failed: steps that cannot be measured on this image.
        playing: whether it goes on by itself.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self._state = state
        self.gatherings: list[Gathering | None] = []
        self.failed: set[int] = set()
        self._told: set[str] = set()
        self.playing = False
        self._of: _Subject | None = None
        self._job: Job | None = None
        self._rests = False  # after a cancel or a failure: not begun again until something else is asked for
        self._timer = QTimer(self)
        self._timer.setInterval(_STEP_MS)
        self._timer.timeout.connect(self._tick)
        self._resting = QTimer(self)
        self._resting.setSingleShot(True)
        self._resting.setInterval(_REST_MS)
        self._resting.timeout.connect(self._measure)
        state.models.changed.connect(self._refresh)
        state.result_changed.connect(self._refresh)
        state.image_changed.connect(self._refresh)
        state.world_changed.connect(lambda _world: self._refresh())

    # ------------------------------------------------------------------ steps

    @property
    def labels(self) -> tuple[str, ...]:
        """What the steps are called; empty without a playback."""
        training = self._state.models.playback
        return () if training is None else tuple(model.step.label for model in training.models)

    @property
    def step(self) -> int:
        """The step that is shown."""
        return self._state.models.step

    def toggle(self) -> None:
        """Play, from the beginning if it is at the end; or stop."""
        if self.playing or not self.labels:
            self._stop()
        else:
            if self.step == len(self.labels) - 1:
                self._state.models.show_step(0)
            self.playing = True
            self._timer.start()
        self.changed.emit()

    def go(self, step: int) -> None:
        """Show a step; playing stops there."""
        self._stop()
        self._rests = False
        self._state.models.show_step(step)
        self.changed.emit()

    def step_by(self, by: int) -> None:
        """Show the next (1) or previous (-1) step."""
        self.go(min(max(self.step + by, 0), max(len(self.labels) - 1, 0)))

    def close(self) -> None:
        """Nothing plays or is measured any more."""
        self._stop()
        self._cancel()
        self._rests = True

    def _stop(self) -> None:
        self.playing = False
        self._timer.stop()

    def _tick(self) -> None:
        if self._state.models.running or self._state.computing:
            return  # every step is seen, however long its network takes
        if self.step >= len(self.labels) - 1 or self._state.world is not World.MODEL:
            self._stop()
            self.changed.emit()
        else:
            self._state.models.show_step(self.step + 1)

    # ------------------------------------------------------------------ measuring

    def _refresh(self) -> None:
        models, shown = self._state.models, self._state.shown
        of = None
        if models.playback is not None and models.image is not None and shown is not None:
            training = shown.training
            of = _Subject(
                models.playback, models.image[2], training.inputs, training.params.proposals, training.conventions
            )
        old, self._of = self._of, of
        if of != old:
            self._cancel()
            self._rests = False
            if of is None:
                self._stop()
            anew = of is None or old is None or of.inputs is not old.inputs or of.playback is not old.playback
            if anew:
                self.gatherings = [None] * len(self.labels)
                self.failed = set()
            if of is None or old is None or of.playback is not old.playback:
                self._told = set()
            self._resting.start(0 if anew else _REST_MS)
        elif self.gatherings.count(None) > len(self.failed) and self._job is None and not self._rests:
            self._resting.start(0)
        self.changed.emit()

    def _cancel(self) -> None:
        self._resting.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _measure(self) -> None:
        """Run the steps one after the other: between two of them the one that is looked at has its turn."""
        if self._of is not None and self._state.world is World.MODEL and self._job is None:
            self._measure_step(0, None)

    def _measure_step(self, step: int, previous: Result | None) -> None:
        state, models = self._state, self._state.models
        shown, image = state.shown, models.image
        if step >= len(models.sources) or shown is None or image is None:
            self._job = None
            self.changed.emit()
            return
        if step in self.failed:
            self._measure_step(step + 1, previous)
            return
        record, loaded, key = image
        source, training = models.sources[step], shown.training
        preset, store = shown.preset, models.store

        def work(job: Job) -> tuple[Gathering | None, Result]:
            model, read = source.model, partial(loaded.whole, job.progress)
            outputs = store.run((source.identity, key), model, read, record.file_name, lambda: job.cancelled)
            job.progress(0.5)
            result = pipeline.run_outputs(training.inputs, outputs, training.params, preset.conventions, previous)
            return (gathering(result) if result.proposals is not None else None), result

        def done(found: tuple[Gathering | None, Result]) -> None:
            if job is self._job:
                self.gatherings[step] = found[0]
                self.changed.emit()
                self._measure_step(step + 1, found[1])

        def failed(error: BaseException) -> None:
            if job is self._job:
                self.failed.add(step)
                if source.identity not in self._told:  # once, not on every image
                    self._told.add(source.identity)
                    state.tell(from_error(f"{source.model.name} could not be measured", error))
                self._measure_step(step + 1, previous)

        def cancelled() -> None:
            if job is self._job:
                self._job, self._rests = None, True

        title = f"Measuring step {step + 1} of {len(models.sources)} of the training"
        self._job = job = state.jobs.submit(title, work, done, failed, cancelled, lane="model")


def summary(gatherings: list[Gathering | None], labels: tuple[str, ...]) -> str:
    """What the curves say about the question whether all proposals end up in one place.

    Args:
        gatherings: of every step; None where it cannot be measured.
        labels: of the steps.

    Returns:
        From the first step that was measured to the last; empty if fewer than two were.
    """
    there = [(found, label) for found, label in zip(gatherings, labels, strict=True) if found is not None]
    if len(there) < 2:
        return ""
    (first, begin), (last, end) = there[0], there[-1]
    gather = last.spread < first.spread / 2
    answer = "All boxes gather in one place" if gather else "The boxes do not end up in one place"
    parts = [
        f"{answer}: from {begin} to {end} the spread of all goes from {first.spread:.0f} to "
        f"{last.spread:.0f} px, and the best {BEST} stand {last.shift:.0f} px from their own anchors."
    ]
    if last.trained:
        parts.append(
            f"{last.on_object:.0%} of those lie on an object (IoU {COVERED_AT:g}), at first {first.on_object:.0%}; "
            f"the best {FOUND_BY} after NMS find {last.found} of {last.trained}."
        )
    return " ".join(parts)
