"""A place for a model, or for a training played back: opens it, and runs it on the image that is shown."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job, JobQueue
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.outputs import OutputStore, identity
from rpnviz.core.inputs import RPNOutput
from rpnviz.datasets.base import ImageRecord, LoadedImage
from rpnviz.errors import ModelFileError, RpnvizError
from rpnviz.models import checkpoint, playback, registry
from rpnviz.models.base import ModelInfo, Previewing, ProposalModel, cancellable

_PREVIEW_FROM_SECONDS = 1.0
"""Below this the whole network is fast enough."""


@dataclass(frozen=True, eq=False)
class Source:
    """A model, and what tells its file from every other."""

    model: ProposalModel
    identity: str


@dataclass(frozen=True, eq=False)
class _Refused:
    """A file that does not open with these answers; others may do."""

    error: ModelFileError
    info: ModelInfo
    answers: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Opened:
    """What a file or folder turned out to be.

    Attributes:
        sources: one model, or one for every step of a training.
        playback: the training; None for one model.
        path: of the file or folder; of a folder with one checkpoint, the checkpoint. None: the bundled one.
    """

    sources: tuple[Source, ...]
    playback: playback.Playback | None
    path: Path | None


class ModelSlot(QObject):
    """One model at a time, the newest wish wins.

    Attributes:
        playback: the training that is played back; None for a single model.
        step: which of its steps is shown; 0 without one.
        outputs: of the model for the image; None until it has answered.
        preview: whether those are of half the resolution, and the whole follows.
        problem: why there are no outputs although the model was run; empty if nothing went wrong.
        path: of the model's file or folder; None: the bundled one.
        is_sample: whether the model is the bundled one.
    """

    changed = Signal()
    taken = Signal()
    asked = Signal(object, object, object)
    answered = Signal()
    told = Signal(object)

    def __init__(self, jobs: JobQueue, store: OutputStore, lane: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.store = store
        self.playback: playback.Playback | None = None
        self.step = 0
        self.outputs: RPNOutput | None = None
        self.preview = False
        self.problem = ""
        self._jobs, self._lane = jobs, lane
        self.path: Path | None = None
        self.is_sample = False
        self._sources: tuple[Source, ...] = ()
        self._image: tuple[ImageRecord, LoadedImage, str] | None = None
        self._opening: Job | None = None
        self._running: Job | None = None
        self._seconds: dict[str, float] = {}

    @property
    def model(self) -> ProposalModel | None:
        """The model, or that of the step; None before one is open."""
        return self._sources[self.step].model if self._sources else None

    @property
    def sources(self) -> tuple[Source, ...]:
        """The model, or those of all steps."""
        return self._sources

    @property
    def image(self) -> tuple[ImageRecord, LoadedImage, str] | None:
        """The image that the model is run on: its record, pixels and identity."""
        return self._image

    @property
    def loading(self) -> bool:
        """Whether a model is being opened."""
        return self._opening is not None

    @property
    def running(self) -> bool:
        """Whether the model runs on the image."""
        return self._running is not None

    @property
    def busy(self) -> bool:
        """Whether a model is being opened or runs."""
        return self._opening is not None or self._running is not None

    # ------------------------------------------------------------------ opening

    def load(
        self,
        path: Path | None,
        options: Mapping[str, str] | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a file or folder; a failure leaves the present model standing.

        Args:
            path: a model file, a folder of dumps, or one with the steps of a training; None: the sample model's.
            options: answers to what the file does not say, remembered beside it. None: those of last time; where there
                are none and the file leaves something open, ``asked`` is emitted instead, with the path, what the file
                is, and the answers so far. So it is where it does not open with the answers.
            then: called once it is open.
        """
        if self._opening is not None:
            self._opening.cancel()

        def work(job: Job) -> Opened | ModelInfo | _Refused:
            with cancellable(lambda: job.cancelled):
                return _open(path, options)

        def done(found: Opened | ModelInfo | _Refused) -> None:
            self._opening = None
            if isinstance(found, ModelInfo):
                self.changed.emit()
                self.asked.emit(path, found, {})
            elif isinstance(found, _Refused):
                self.changed.emit()
                self.told.emit(from_error("Could not load the model", found.error))
                self.asked.emit(path, found.info, found.answers)
            else:
                self.path, self.is_sample = found.path, path is None
                self._take(found)
                then()

        def failed(error: BaseException) -> None:
            self._opening = None
            self.changed.emit()
            self.told.emit(from_error("Could not load the model", error))

        def cancelled() -> None:
            if self._opening is not None and self._opening.cancelled:
                self._opening = None
                self.changed.emit()

        name = path.name if path else "the sample model"
        title = f"Loading {name}" if "torch" in sys.modules else f"Loading torch, then {name}"
        self._opening = self._jobs.submit(title, work, done, failed, cancelled, lane=self._lane)
        self.changed.emit()

    def ask_again(self) -> None:
        """Ask for the answers of the open file once more: what was answered wrongly may still open."""
        path = self.path

        def done(info: ModelInfo) -> None:
            if info.questions:
                self.asked.emit(path, info, checkpoint.read_sidecar(path) if path is not None else {})
            else:
                self.told.emit(Message(Severity.INFO, "Nothing is left open", "The file says all that it takes."))

        def failed(error: BaseException) -> None:
            self.told.emit(from_error("Could not read the model again", error))

        if path is None:
            told = "Load a model first." if self.model is None else "The sample model says all that it takes."
            self.told.emit(Message(Severity.INFO, "Nothing is left open", told))
        else:
            self._jobs.submit(f"Reading {path.name}", lambda _job: _inspect(path), done, failed, lane=self._lane)

    def _take(self, found: Opened) -> None:
        self._sources, self.playback = found.sources, found.playback
        self.step = len(found.sources) - 1
        self._seconds.clear()
        self._forget()
        self.taken.emit()
        if found.playback is not None and found.playback.left_out:
            self.told.emit(Message(Severity.WARNING, "Left out of the training", found.playback.note))
        self.run()
        self.changed.emit()

    def show_step(self, step: int) -> None:
        """Go to another step of the training."""
        if self.playback is not None and 0 <= step < len(self._sources) and step != self.step:
            self.step = step
            self.run()
            self.changed.emit()

    # ------------------------------------------------------------------ running

    def show_image(self, record: ImageRecord, loaded: LoadedImage) -> None:
        """Another image: nothing is known of it until :meth:`run`."""
        key = identity(record.path)
        if record.stored_in is not None:
            key += identity(record.stored_in)  # written anew, it holds another image of the same name
        self._image = record, loaded, key
        self._forget()
        self._stop()

    def _forget(self, problem: str = "") -> None:
        self.outputs, self.preview, self.problem = None, False, problem

    def run(self) -> None:
        """Run the model on the image, if there are both; ``answered`` follows, at once if it was run before.

        While another step is computed, the outputs of the last one stay.
        """
        self._stop()
        self.problem = ""
        if self._image is None or not self._sources:
            return
        source = self._sources[self.step]
        key = source.identity, self._image[2]
        found = self.store.at_hand(*key)
        if found is not None:
            self._answer(found, preview=False)
        elif self._wants_preview(source, key):
            self._submit_preview(source, key)
        else:
            self._submit(source, key)

    def _wants_preview(self, source: Source, key: tuple[str, str]) -> bool:
        return (
            isinstance(source.model, Previewing)
            and self._seconds.get(source.identity, _PREVIEW_FROM_SECONDS) >= _PREVIEW_FROM_SECONDS
            and not self.store.is_kept(*key)
        )

    def _submit_preview(self, source: Source, key: tuple[str, str]) -> None:
        assert self._image is not None
        record, loaded, _ = self._image
        model = source.model
        assert isinstance(model, Previewing)

        def work(job: Job) -> RPNOutput | None:
            try:
                return model.at_half().propose(loaded.whole(job.progress), lambda: job.cancelled, record.file_name)
            except (RpnvizError, RuntimeError):
                return None  # what is wrong is told where the whole is run

        def done(found: RPNOutput | None) -> None:
            self._submit(source, key)
            if found is not None:
                self._answer(found, preview=True)

        self._start(f"Running {model.name} at half resolution", work, done, lambda _error: self._submit(source, key))

    def _submit(self, source: Source, key: tuple[str, str]) -> None:
        assert self._image is not None
        record, loaded, _ = self._image

        def work(job: Job) -> tuple[RPNOutput, float]:
            begin = time.perf_counter()
            read = partial(loaded.whole, job.progress)
            found = self.store.run(key, source.model, read, record.file_name, lambda: job.cancelled)
            return found, time.perf_counter() - begin

        def done(found: tuple[RPNOutput, float]) -> None:
            self._running = None
            self._seconds[source.identity] = found[1]
            warning = registry.sanity(found[0])
            self._answer(found[0], preview=False)
            # The first steps of a training are untrained, and nobody needs to be warned of it.
            if warning and self.step == len(self._sources) - 1:
                self.told.emit(Message(Severity.WARNING, "The model's outputs look odd", warning))

        def failed(error: BaseException) -> None:
            self._running = None
            # Not the boxes of the step before under the name of this one.
            self._forget(f"{source.model.name} failed on this image.")
            self.changed.emit()
            self.answered.emit()
            self.told.emit(from_error(f"{source.model.name} failed on {record.file_name}", error))

        self._start(f"Running {source.model.name}", work, done, failed)

    def _start(
        self,
        title: str,
        work: Callable[[Job], object],
        done: Callable[..., None],
        failed: Callable[[BaseException], None],
    ) -> None:
        def cancelled() -> None:
            if self._running is not None and self._running.cancelled:
                self._running = None
                self._forget("The model was stopped.")
                self.changed.emit()
                self.answered.emit()

        self._running = self._jobs.submit(title, work, done, failed, cancelled, lane=self._lane)

    def _answer(self, found: RPNOutput, preview: bool) -> None:
        self.outputs, self.preview = found, preview
        self.changed.emit()
        self.answered.emit()

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None


def _open(path: Path | None, options: Mapping[str, str] | None) -> Opened | ModelInfo | _Refused:
    """Open what was asked for; what it does not say, where nobody has answered yet or the answers do not fit."""
    if path is None:
        return _open_training(None, {}, options)
    path = _model_in(path)
    if options is None:
        info = _inspect(path)
        if registry.must_ask(info, path):
            return info
    given = {**checkpoint.read_sidecar(path), **(options or {})}
    try:
        if _is_training(path):
            opened = _open_training(path, given, options)
        else:
            opened = Opened((Source(registry.open_model(path, options), identity(path, given)),), None, path)
    except ModelFileError as error:
        if not given:
            raise
        return _Refused(error, _inspect(path), given)
    if options:
        registry.remember(path, options)  # answers that open it, not any
    return opened


def _open_training(path: Path | None, given: Mapping[str, str], options: Mapping[str, str] | None) -> Opened:
    training = playback.open_playback(path, options)
    sources = tuple(Source(model, identity(model.step.paths, given)) for model in training.models)
    return Opened(sources, training, path)


def _is_training(path: Path) -> bool:
    try:
        return path.is_dir() and len(playback.find_steps(path)) > 1
    except OSError as error:
        raise ModelFileError(f"it cannot be read: {error.strerror or error}.", where=str(path)) from error


def _model_in(path: Path) -> Path:
    try:
        return playback.model_in(path)
    except OSError as error:
        raise ModelFileError(f"it cannot be read: {error.strerror or error}.", where=str(path)) from error


def _inspect(path: Path) -> ModelInfo:
    return playback.inspect_playback(path) if _is_training(path) else registry.inspect_model(path)
