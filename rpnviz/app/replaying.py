"""The captured step behind the image on the screen: replayed under the window's parameters, with what explains it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.resting import Resting
from rpnviz.app.state import AppState
from rpnviz.core.losses import ImageLosses, StepLosses
from rpnviz.core.presets import Preset
from rpnviz.core.recording import RecordedStep
from rpnviz.core.replay import ImageReplay, compare_image
from rpnviz.core.replay_search import Explanation
from rpnviz.datasets.captures import CaptureDataset, CapturedImage, read_step
from rpnviz.drawing.options import ColourBy, LayerKey, World, default_options
from rpnviz.errors import RpnvizError
from rpnviz.export.replay import StepReplay, losses_of, replay_step

_LOSS_LAYERS = frozenset({LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED, LayerKey.NEGATIVE})


class Replaying(QObject):
    """Follows the window's image and parameters; idle unless a capture is open.

    Attributes:
        dataset: the captured steps; None: something else is open.
        place: of the image in them.
        step: the recording of its step; None until it is read.
        here: the image under the present parameters; None until there is a result.
        found: the whole step, with what explains a difference; None until it is there.
        losses: of the step; None where they cannot be made.
        failure: why there is no replay; empty if there is one, or will be.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self._state = state
        self.dataset: CaptureDataset | None = None
        self.place: CapturedImage | None = None
        self.step: RecordedStep | None = None
        self.here: ImageReplay | None = None
        self.found: StepReplay | None = None
        self.losses: StepLosses | None = None
        self.failure = ""
        self._path: Path | None = None
        self._put: tuple[CapturedImage, str, int] | None = None
        self._reading: Job | None = None
        self._asked: tuple[RecordedStep, Preset] | None = None
        self._searching = Resting(state.jobs, "Replaying the step", "replay", self._on_failed, parent=self)
        self._comparing = Resting(
            state.jobs, "Comparing the step", "replay", self._on_no_comparison, rest_ms=0, parent=self
        )
        state.image_changed.connect(self._on_image)
        state.result_changed.connect(self._on_result)

    @property
    def busy(self) -> bool:
        """Whether the step is being read, or its explanation looked for."""
        return self._reading is not None or self._comparing.busy or self._searching.busy

    @property
    def preset_name(self) -> str:
        """The trainer under which the step is replayed."""
        return self._state.preset.name

    @property
    def image_losses(self) -> ImageLosses | None:
        """The losses of the image on the screen."""
        if self.losses is None or self.place is None:
            return None
        return self.losses.images[self.place.number]

    @property
    def shows_losses(self) -> bool:
        """Whether the canvas shows the mini-batch in the colours of its losses."""
        state = self._state
        return state.world is World.TRAINING and state.layers.colour_by is ColourBy.LOSS

    def show_losses(self, on: bool) -> None:
        """Show exactly the mini-batch, coloured by its losses; or the labels again."""
        state = self._state
        state.set_world(World.TRAINING)
        if on:
            state.show_only(_LOSS_LAYERS)
            state.set_filter(sampled=True)
            state.set_colour_by(ColourBy.LOSS)
        else:
            state.show_layers(default_options(World.TRAINING))

    def use(self, explanation: Explanation) -> None:
        """Take what the trainer did over into the window; undo takes it back."""
        fields = ", ".join(name for switch in explanation.switches for name, _, _ in switch.values)
        self._state.take_preset(explanation.setting, f"as the trainer: {explanation.preset or fields}")

    def show_step(self, path: Path) -> None:
        """Go to the first image of a captured step."""
        if self.dataset is not None:
            numbers = [number for number, place in enumerate(self.dataset.places) if place.path == path]
            if numbers:
                self._state.show_image(numbers[0])

    # ------------------------------------------------------------------ following the window

    def _on_image(self) -> None:
        state = self._state
        dataset = state.dataset if isinstance(state.dataset, CaptureDataset) else None
        if dataset is not self.dataset:
            self._forget()
            if self.dataset is not None and self.shows_losses:
                state.show_layers(default_options(World.TRAINING))
        self._comparing.forget()
        self.dataset = dataset
        self.place = dataset.places[state.index] if dataset is not None else None
        if self.place is None:
            self.changed.emit()
            return
        if self.place.path != self._path:
            self._forget()
            self._read(self.place.path)
        self._put_recording()
        self.changed.emit()

    def _forget(self) -> None:
        self._comparing.forget()
        self._searching.forget()
        if self._reading is not None:
            self._reading.cancel()
        self._reading = self._path = self._put = self._asked = None
        self.step = self.here = self.found = self.losses = None
        self.failure = ""

    def _read(self, path: Path) -> None:
        state = self._state
        self._path = path

        def done(step: RecordedStep) -> None:
            if path == self._path:
                self._reading = None
                self.step = step
                self._put_recording()
                self._on_result()

        def failed(error: BaseException) -> None:
            if path == self._path:
                self._reading = None
                self._on_failed(error)

        self._reading = state.jobs.submit(
            f"Reading {path.name}", lambda job: read_step(path), done, failed, lane="replay", hidden=True
        )

    def _put_recording(self) -> None:
        """Hand the recorded draw and its losses to the window's result, once for each image and size of mini-batch."""
        place, step, state = self.place, self.step, self._state
        if place is None or step is None:
            return
        asked = place, state.preset.name, state.params.sample.batch_size_per_image
        if self._put == asked:
            return
        self._put = asked
        # By detectron2's rule a loss is divided by the size that the parameters give.
        self.losses = losses_of(step, Preset(state.preset.name, state.params, state.preset.conventions))
        losses, own = None, self.image_losses
        count = step.images[place.number].anchor_count
        if own is not None and count is not None:
            losses = np.full(count, np.nan)
            losses[own.anchor] = own.total
        self._state.take_recording(step.images[place.number].drawn, losses)

    def _on_result(self) -> None:
        shown, step, place = self._state.shown, self.step, self.place
        if step is None or place is None:
            return
        self._put_recording()
        self.here = None
        if shown is None:
            self.changed.emit()
            return
        recorded = step.images[place.number].anchors
        if recorded is not None and len(recorded) != len(shown.training.anchors):
            # The recorded anchors are labelled anew: too long for the GUI thread.
            number, result = place.number, shown.training
            self._comparing.ask(lambda job: compare_image(step, number, result), self._on_compared)
            self.changed.emit()
            return
        self._comparing.forget()
        try:
            self._on_compared(compare_image(step, place.number, shown.training))
        except RpnvizError as error:
            self._on_no_comparison(error)

    def _on_compared(self, here: ImageReplay) -> None:
        self.here = here
        self.failure = ""
        shown, step = self._state.shown, self.step
        if shown is None or step is None:
            return
        preset = Preset(shown.preset.name, shown.training.params, shown.training.conventions)
        if self._asked != (step, preset):
            self.found, self._asked = None, (step, preset)
            earlier = [other for _, other in self.dataset.steps if other.step < step.step] if self.dataset else []

            def work(job: Job) -> StepReplay:
                return replay_step(step, preset, earlier, lambda: job.progress(0.0))

            self._searching.ask(work, self._on_found)
        self.changed.emit()

    def _on_no_comparison(self, error: BaseException) -> None:
        self.failure = str(error)
        self.changed.emit()

    def _on_found(self, found: StepReplay) -> None:
        self.found = found
        self.changed.emit()

    def _on_failed(self, error: BaseException) -> None:
        message = from_error("Could not replay the step", error)
        self.failure = message.detail
        self._state.tell(message)
        self.changed.emit()
