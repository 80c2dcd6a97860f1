"""The one owner of data set, parameters, model and their results; what is seen of them is :class:`Viewing`'s.

Widgets show this state and call its methods; nobody reads a widget to learn a value.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from rpnviz.app.config_texts import table_of
from rpnviz.app.jobs import Job, JobQueue, NewestWins
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.model_settings import LentThresholds, mismatch, thresholds_words, trained_like
from rpnviz.app.model_slot import ModelSlot
from rpnviz.app.outputs import OutputStore
from rpnviz.app.undo import History
from rpnviz.app.viewing import Selection, Shown, Viewing
from rpnviz.configs.base import TrainerConfig
from rpnviz.configs.registry import read_config
from rpnviz.core import compiled, pipeline, presets
from rpnviz.core.conventions import ProposalStages
from rpnviz.core.fixes import Fix
from rpnviz.core.inputs import RPNOutput
from rpnviz.core.nms import KEPT_FROM
from rpnviz.core.params import Params, TrainViews, differences
from rpnviz.core.presets import Preset
from rpnviz.datasets import registry as datasets
from rpnviz.datasets.base import CHOICE, Dataset, ImageRecord, LoadedImage, inputs_of, load_image
from rpnviz.drawing import compiled as compiled_drawing
from rpnviz.drawing.frame import Photo
from rpnviz.drawing.options import World
from rpnviz.errors import ImageFileError, RpnvizError
from rpnviz.models.base import ProposalModel

_QUICK_UP_TO = 400_000
"""Anchors whose labels another threshold gives in about 2 ms."""
_QUICK_CANDIDATES = 10_000
_QUICK_PAIRS = 100_000
"""Boxes, and overlaps between them, of which another NMS threshold takes a few ms."""


@dataclass(frozen=True, eq=False)
class _Request:
    inputs: pipeline.Inputs
    preset: Preset
    params: Params
    outputs: RPNOutput | None
    previous: Shown | None

    @property
    def is_quick(self) -> bool:
        """Whether only what follows the IoUs changed, and they are there already.

        The thresholds of a label, the draw of the mini-batch, the threshold of NMS and the number kept after it.
        """
        if self.previous is None:
            return False
        old = self.previous.training
        barring = (old.params.match.border_thresh, old.params.match.ignore_iof_thresh)
        proposals = dataclasses.replace(
            self.params.proposals,
            nms_thresh=old.params.proposals.nms_thresh,
            post_nms_top_n=old.params.proposals.post_nms_top_n,
        )
        same = dataclasses.replace(
            self.params,
            match=old.params.match,
            sample=old.params.sample,
            proposals=proposals,
            train_views=old.params.train_views,  # they are run elsewhere, and wait
        )
        return (
            old.inputs is self.inputs
            and old.conventions == self.preset.conventions
            and old.params == same
            and barring == (self.params.match.border_thresh, self.params.match.ignore_iof_thresh)
            and len(old.anchors) <= _QUICK_UP_TO
            and self._has_overlaps
        )

    @property
    def _has_overlaps(self) -> bool:
        """Whether the candidates of the outputs, if there are any, are compared with each other already."""
        assert self.previous is not None
        old = self.previous.model
        if self.outputs is None or old is None:
            return self.outputs is None and old is None
        return (
            old.inputs.outputs is self.outputs
            and old.proposals is not None
            and len(old.proposals.candidates.boxes) <= _QUICK_CANDIDATES
            and old.proposals.pairs is not None
            and old.proposals.pairs <= _QUICK_PAIRS
            and self.params.proposals.nms_thresh >= float(KEPT_FROM)
        )


def _compute(request: _Request) -> Shown:
    begin = time.perf_counter()
    conventions = request.preset.conventions
    old = request.previous
    training = pipeline.run(request.inputs, request.params, conventions, old.training if old else None)
    model = None
    if request.outputs is not None:
        before = old.model if old else None
        model = pipeline.run_outputs(request.inputs, request.outputs, request.params, conventions, before)
    return Shown(request.preset, training, model, time.perf_counter() - begin)


@dataclass(frozen=True, eq=False)
class _Opening:
    """How the data set was opened: what reads it again, the paths, and the annotation file beside them."""

    read: Callable[[Job], Dataset]
    paths: tuple[Path, ...]
    annotations: Path | None


class AppState(Viewing):
    """Signals say what changed, in the past tense; each carries the new value where that is small."""

    dataset_changed = Signal()
    params_changed = Signal(object)
    computing_changed = Signal(bool)
    history_changed = Signal()

    def __init__(self, preset: Preset | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.preset = presets.load("torchvision")
        self.params = self.preset.params
        if preset is not None:
            self.preset, self.params = _trainer(preset), preset.params
        self._config: tuple[Preset | None, TrainerConfig | None] = (None, None)
        self.dataset: Dataset | None = None
        self.index = -1
        self._history: History[tuple[Preset, Params]] = History()
        self._inputs: pipeline.Inputs | None = None
        self._before: Shown | None = None
        self.jobs = JobQueue(self)
        self._lent = LentThresholds()
        self.models = ModelSlot(self.jobs, OutputStore(), "model", self)
        self.models.taken.connect(self._on_model_taken)
        self.models.answered.connect(self._request)
        self.models.told.connect(self.tell)
        self._loading: Job | None = None
        self._reading_whole: Job | None = None
        self.whole_wanted.connect(self.read_whole)
        self._wanted_index = -1
        self._listed = np.zeros(0, np.int64)
        self._loading_opens = False
        self._opening: _Opening | None = None
        self._search: Job | None = None
        self._warming = False
        self._compute = NewestWins(_compute, self)
        self._compute.answered.connect(self._on_computed)
        self._compute.failed.connect(self._on_compute_failed)

    # ------------------------------------------------------------------ data set and image

    def open_samples(self, image: str = "", then: Callable[[], None] = lambda: None) -> None:
        """Open the bundled photos and scenes; the arguments are those of :meth:`open_paths`."""
        self._open("Opening the samples", _Opening(lambda job: datasets.sample_dataset(), (), None), image, then)

    def open_paths(
        self,
        paths: Sequence[Path],
        annotations: Path | None = None,
        image: str = "",
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Open images, a folder or an annotation file; a failure leaves what is shown.

        Args:
            paths: what to open.
            annotations: the annotation file of the images.
            image: file name of the image to begin with; the first, if there is none such.
            then: called when an image is shown.
        """
        names = ", ".join(path.name for path in paths[:3])

        def work(job: Job) -> Dataset:
            return datasets.open_dataset(list(paths), annotations, progress=job.progress)

        self._open(f"Opening {names}", _Opening(work, tuple(paths), annotations), image, then)

    @property
    def opened(self) -> tuple[tuple[Path, ...], Path | None] | None:
        """The paths that were opened, none for the samples, and the annotation file beside them; None before any."""
        return None if self._opening is None else (self._opening.paths, self._opening.annotations)

    def _open(self, title: str, opening: _Opening, image: str, then: Callable[[], None]) -> None:
        def done(dataset: Dataset) -> None:
            if not dataset.images:
                self.tell(Message(Severity.ERROR, "Nothing to show", f"{dataset.source} holds no image."))
                return
            names = (number for number, record in enumerate(dataset.images) if record.file_name == image)
            self._load(dataset, next(names, 0) if image else 0, opening=opening, then=then)

        self.jobs.submit(title, opening.read, done, lambda error: self.tell(from_error("Could not open", error)))

    def reload(self) -> None:
        """Read the data set's files again; image and selection stay where they still exist."""
        dataset, record, selected, opening = self.dataset, self.record, self.selection.gt, self._opening
        if dataset is None or record is None or opening is None:
            return

        def done(fresh: Dataset) -> None:
            names = [image.file_name for image in fresh.images]
            index = names.index(record.file_name) if record.file_name in names else 0
            if not fresh.images:
                self.tell(Message(Severity.ERROR, "Nothing to reload", f"{fresh.source} holds no image any more."))
            else:
                keep = selected if selected is not None and selected < len(fresh.images[index].gt.boxes) else None
                self._load(fresh, index, select=keep, opening=opening)

        self.jobs.submit(
            "Reloading", opening.read, done, lambda error: self.tell(from_error("Could not reload", error))
        )

    def show_image(self, index: int) -> None:
        """Show another image of the data set; an unreadable one leaves the present one standing."""
        self._cancel_search()
        if self.dataset is None or self._opens or not 0 <= index < len(self.dataset.images):
            return
        if index != self.index:
            self._load(self.dataset, index)
        elif self._loading is not None:
            # Back to what is shown, before another image has come.
            self._loading.cancel()
            self._loading = None
            self.image_changed.emit()

    def show_box(self, index: int, gt: int | None) -> None:
        """Show an image of the data set with a ground-truth box selected; None: with none."""
        self._cancel_search()
        if self.dataset is None or self._opens or not 0 <= index < len(self.dataset.images):
            return
        if index == self.index:
            self.show_image(index)
            self.select(Selection(gt=gt))
        else:
            self._load(self.dataset, index, select=gt)

    def step_image(self, step: int) -> None:
        """Show the next (1) or previous (-1) image that can be read; broken ones are passed over and named."""
        self._cancel_search()
        if self.dataset is None or self._opens:
            return
        here = self._wanted_index if self._loading is not None else self.index
        following = self._following(here, step)
        if following and following[0] == self.index:
            self.show_image(self.index)
        elif following:
            self._load(self.dataset, following[0], wanted=following)

    def list_images(self, images: NDArray[np.int64]) -> None:
        """Step through these images, in this order: the list shows them so."""
        self._listed = images

    def _following(self, here: int, step: int) -> list[int]:
        """Images behind (1) or before (-1) one in the order of the list, else in that of the file."""
        assert self.dataset is not None
        order = self._listed
        if not len(order) or order.max(initial=0) >= len(self.dataset.images):
            order = np.arange(len(self.dataset.images))
        places = np.flatnonzero(order == here)
        if len(places):
            place = int(places[0])
            return order[place + 1 :].tolist() if step > 0 else order[:place][::-1].tolist()
        # It is filtered out: on from where it would stand in the file.
        order = np.sort(order)
        return order[order > here].tolist() if step > 0 else order[order < here][::-1].tolist()

    @property
    def _opens(self) -> bool:
        """Whether the first image of another data set is being read, which stepping must not disturb."""
        return self._loading is not None and self._loading_opens

    def _load(
        self,
        dataset: Dataset,
        index: int,
        *,
        select: int | None = None,
        wanted: Sequence[int] = (),
        opening: _Opening | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Read an image and show it.

        Args:
            dataset, index: the wanted image.
            select: ground-truth box to select then.
            wanted: the first of these that can be read is shown; the others are named.
            opening: how the data set is opened, where it is.
            then: called when it is shown.
        """
        if self._loading is not None:
            self._loading.cancel()
        self._wanted_index = index
        self._loading_opens = opening is not None
        if opening is not None:
            wanted = range(index, len(dataset.images))
        passes_over = bool(wanted)
        wanted = wanted or [index]

        def work(job: Job) -> tuple[int, LoadedImage, Photo, list[str]]:
            problems: list[str] = []
            for number in wanted:
                job.progress(0.0)
                try:
                    loaded = load_image(dataset.images[number], job.progress)
                    photo = Photo(loaded.pixels, loaded.size, loaded.read_whole)
                    photo.prepare()
                    return number, loaded, photo, problems
                except RpnvizError as error:
                    if not passes_over:
                        raise
                    problems.append(str(error))
            raise ImageFileError(
                f"none of {len(problems):,} images can be read; the first: {problems[0]}", where=dataset.source.name
            )

        def done(answer: tuple[int, LoadedImage, Photo, list[str]]) -> None:
            number, loaded, photo, problems = answer
            self._loading = None
            self._take_image(dataset, number, loaded, photo, opening)
            if problems:
                noun = "image" if len(problems) == 1 else "images"
                shown = "\n".join(problems[:200])
                self.tell(Message(Severity.WARNING, f"{len(problems):,} {noun} could not be read", shown))
            if select is not None and number == index:
                self.select(Selection(gt=select))
            then()

        def failed(error: BaseException) -> None:
            self._loading = None
            self.image_changed.emit()  # whoever marked the wanted image returns to the shown one
            name = dataset.source.name if opening is not None else dataset.images[index].file_name
            self.tell(from_error(f"Could not show {name}", error))

        def cancelled() -> None:
            if self._loading is not None and self._loading.cancelled:
                self._loading = None
                self.image_changed.emit()

        title = f"Reading {dataset.images[index].file_name}"
        self._loading = self.jobs.submit(title, work, done, failed, cancelled)

    def _take_image(
        self, dataset: Dataset, index: int, loaded: LoadedImage, photo: Photo, opening: _Opening | None
    ) -> None:
        new_dataset = dataset is not self.dataset
        if opening is not None:
            self._opening = opening
        self.dataset, self.index = dataset, index
        if new_dataset:
            self._listed = np.zeros(0, np.int64)
        self._inputs = inputs_of(dataset.images[index], loaded.size)
        self._before = None
        self.models.show_image(dataset.images[index], loaded)
        if self._reading_whole is not None:
            self._reading_whole.cancel()
            self._reading_whole = None
        self._put_image(dataset.images[index], loaded, photo, dataset.names_of(dataset.images[index]))
        if new_dataset:
            self.dataset_changed.emit()
            self._tell_findings(dataset)
        self.image_changed.emit()
        for finding in loaded.findings:
            if finding.severity == "note":
                continue  # as those of the data set
            self.tell(Message(Severity.WARNING, finding.what, f"{finding.where} {finding.way_out}".strip()))
        self.selection_changed.emit(self.selection)
        self.models.run()
        if self.models.outputs is None:
            self._request()

    def read_whole(self) -> None:
        """Read the original of a large image that is shown from a smaller copy; ``photo_changed`` follows."""
        photo, record = self.photo, self.record
        if photo is None or record is None or photo.reduction == 1 or self._reading_whole is not None:
            return

        def done(_answer: None) -> None:
            self._reading_whole = None
            self.photo_changed.emit()

        def failed(error: BaseException) -> None:
            self._reading_whole = None
            self.tell(from_error(f"Could not read {record.file_name} in full", error))

        def cancelled() -> None:
            if self._reading_whole is not None and self._reading_whole.cancelled:
                self._reading_whole = None

        title = f"Reading {record.file_name} in full"
        self._reading_whole = self.jobs.submit(
            title, lambda job: photo.sharpen(job.progress), done, failed, cancelled, lane="pixels"
        )

    def take_recording(
        self, drawn: tuple[NDArray[np.int64], NDArray[np.int64]] | None, losses: NDArray[np.float64] | None
    ) -> None:
        """Let the mini-batch of the image on the screen, and its losses, be those that its trainer recorded."""
        if self._inputs is not None:
            self._inputs = dataclasses.replace(self._inputs, drawn=drawn, losses=losses)
            self._request()

    def _tell_findings(self, dataset: Dataset) -> None:
        serious = [finding for finding in dataset.findings if finding.severity != "note"]
        if serious:
            own = f"{dataset.source.name}: "  # the title names the file
            lines = [str(finding).removeprefix(own) for finding in serious[:200]]
            if len(serious) > 200:
                lines.append(f"... and {len(serious) - 200:,} more")
            noun = "finding" if len(serious) == 1 else "findings"
            self.tell(Message(Severity.WARNING, f"{len(serious):,} {noun} in {dataset.source.name}", "\n".join(lines)))
        for finding in dataset.findings:
            if finding.kind == CHOICE:
                self.tell(Message(Severity.INFO, f"{dataset.source.name} was {finding.what}", finding.way_out))

    # ------------------------------------------------------------------ parameters

    def update(self, group: str, **values: Any) -> None:
        """Change some fields of one parameter group; recomputes at once.

        Raises:
            ParamsError: a value is not allowed; nothing changed then.
        """
        label = ", ".join(f"{group}.{name}" for name in values)
        self._set_params(self.params.with_values(group, **values), label)

    def reset_field(self, name: str) -> None:
        """Put one field back to the trainer's value.

        Args:
            name: ``group.field``, ``conventions.field``, or ``group`` alone where that is off there.
        """
        group, _, field = name.partition(".")
        if group == "train_views":
            self.set_views(self.preset.params.views)
        elif group == "conventions":
            value = getattr(presets.load(self.preset.name).conventions, field)
            conventions = dataclasses.replace(self.preset.conventions, **{field: value})
            self._change(dataclasses.replace(self.preset, conventions=conventions), self.params, name)
        else:
            self.update(group, **{field: getattr(getattr(self.preset.params, group), field)})

    def set_views(self, views: TrainViews | None) -> None:
        """Show images as a trainer does, in these views; None: as they are."""
        self._set_params(self.params.with_views(views), "training views" if views is not None else "no training views")

    def try_short_side(self, min_size: int) -> None:
        """Show the image at the short side of a training view; undo takes it back."""
        self._set_params(self.params.with_values("resize", min_size=min_size), f"short side of {min_size} px")

    def draw_again(self) -> None:
        """Draw another mini-batch: the seed goes on by one."""
        self.update("sample", seed=(self.params.sample.seed + 1) % 2**63)

    def reset_params(self) -> None:
        """Put every field, and every rule, back to the trainer's."""
        self._change(presets.load(self.preset.name), self.preset.params, "reset")

    def changed_fields(self) -> list[tuple[str, Any, Any]]:
        """Fields and rules that differ from the trainer's, as (name, its value, present value)."""
        own = presets.load(self.preset.name).conventions
        rules = [
            (f"conventions.{name}", str(getattr(own, name)), now)
            for name, now in self.preset.conventions.overrides_from(own).items()
        ]
        return [*differences(self.preset.params, self.params), *rules]

    def undo(self) -> None:
        """Take the last parameter change back."""
        self._step(self._history.undo((self.preset, self.params)))

    def redo(self) -> None:
        """Bring the last undone change back."""
        self._step(self._history.redo((self.preset, self.params)))

    def _step(self, settings: tuple[Preset, Params] | None) -> None:
        self._before = self.shown
        if settings is not None:
            self._replace(*settings)
        self.history_changed.emit()

    @property
    def undo_label(self) -> str:
        """What undo takes back, empty if nothing."""
        return self._history.undo_label

    @property
    def redo_label(self) -> str:
        """What redo brings back, empty if nothing."""
        return self._history.redo_label

    def set_preset(self, name: str) -> None:
        """Take another trainer's rules and its defaults; undo brings the former ones back."""
        preset = presets.load(name)
        self._change(preset, preset.params, f"trainer {name}")

    def take_preset(self, preset: Preset, label: str) -> None:
        """Take a trainer with parameters of its own, as a Params document gives them; undo takes it back."""
        self._change(_trainer(preset), preset.params, label)

    def open_config(self, path: Path) -> None:
        """Take trainer and parameters from the trainer's own configuration; undo takes it back."""

        def done(config: TrainerConfig) -> None:
            self.take_preset(config.preset, f"configuration {path.name}")
            self.tell_config(config)

        def failed(error: BaseException) -> None:
            self.tell(from_error(f"Could not open {path.name}", error))

        self.jobs.submit(f"Reading {path.name}", lambda job: read_config(path), done, failed)

    def tell_config(self, config: TrainerConfig) -> None:
        """Say what became of the fields of the configuration that trainer and parameters now come from."""
        self._config = (self.preset, config)
        # What was not understood comes first: a narrow window cuts the end of the line.
        detail = f"{config.files[0].name}\n{config.summary}"
        self.tell(Message(Severity.INFO, config.headline, detail, table_of(config)))

    @property
    def config(self) -> TrainerConfig | None:
        """The configuration that the present trainer was taken from; None if another was chosen since."""
        preset, config = self._config
        return config if preset is self.preset else None

    def _set_params(self, params: Params, label: str) -> None:
        self._change(self.preset, params, label)

    def _change(self, preset: Preset, params: Params, label: str) -> None:
        if (preset, params) == (self.preset, self.params):
            return
        if self._history.record(label, (self.preset, self.params)):
            self._before = self.shown
        self._replace(preset, params)

    def _replace(self, preset: Preset, params: Params) -> None:
        if (preset, params) == (self.preset, self.params):
            return
        self.preset, self.params = preset, params
        self.params_changed.emit(params)
        self.history_changed.emit()
        self._request()

    @property
    def before(self) -> Shown | None:
        """What was shown before the last parameter change began; None if the image was opened since."""
        return self._before

    # ------------------------------------------------------------------ computing

    @property
    def computing(self) -> bool:
        """Whether what is shown does not yet belong to the present parameters."""
        return self._compute.busy

    @property
    def settled(self) -> bool:
        """Whether an image is shown, its result belongs to the present parameters, and nothing runs."""
        return self.shown is not None and not self.computing and not self.jobs.running

    @property
    def result(self) -> pipeline.Result | None:
        """The result of the world on the screen."""
        # Behind a one-stage preset the old result stands without proposals until the new one is computed.
        return super().result if self.world is World.TRAINING or self.has_proposals else None

    @property
    def has_proposals(self) -> bool:
        """Whether the trainer proposes regions at all."""
        return self.preset.conventions.proposal_stages is ProposalStages.RPN

    def _request(self) -> None:
        if self._inputs is not None:
            request = _Request(self._inputs, self.preset, self.params, self.models.outputs, self.shown)
            self._compute.request(request, quick=request.is_quick)
            if self.computing:
                self.computing_changed.emit(True)

    def _on_computed(self, shown: Shown) -> None:
        self.computing_changed.emit(False)
        self.take_results(shown)
        if not self._warming:
            # Not before something is on the screen: it costs a second on the first start of all.
            self._warming = True
            failed = self._on_warm_up_failed
            self.jobs.submit("Compiling", _warm_up, lambda _: None, failed, lane="idle", hidden=True)

    def _on_warm_up_failed(self, error: BaseException) -> None:
        self.tell(from_error("The compiled loops cannot be used; the slower ones work", error))

    def _on_compute_failed(self, error: BaseException) -> None:
        self.computing_changed.emit(False)
        self.tell(from_error("Could not compute the labels", error))
        shown = self.shown
        if shown is not None and (self.preset, self.params) != (shown.preset, shown.training.params):
            # What is shown stays true: trainer and parameters go back to it.
            self._replace(shown.preset, shown.training.params)

    # ------------------------------------------------------------------ model

    def load_model(
        self,
        path: Path | None = None,
        options: Mapping[str, str] | None = None,
        *,
        show: bool = False,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a model, or a training to play back; a failure leaves the present one standing.

        Args:
            path: as for :meth:`~rpnviz.app.model_slot.ModelSlot.load`; None: the sample model's training.
            options: answers to what the file does not say; None: those of last time, or ``models.asked`` is emitted.
            show: go to the Model world once it is open.
            then: called once it is open.
        """

        def taken() -> None:
            if show:
                self.set_world(World.MODEL)
            then()

        self.models.load(path, options, taken)

    @property
    def model(self) -> ProposalModel | None:
        """The model that is shown."""
        return self.models.model

    def _on_model_taken(self) -> None:
        model = self.models.model
        assert model is not None
        told = self._take_thresholds(model)
        differ = "" if self.models.is_sample else mismatch(model.settings, self.preset, self.params)
        if differ:
            way = "Edit > Use the model's settings trains with its own."
            self.tell(Message(Severity.WARNING, "The model and the settings differ", f"{differ} {way} {told}".strip()))
        elif told:
            self.tell(Message(Severity.INFO, f"Thresholds that belong to {model.name}", told))
        self._request()

    def _take_thresholds(self, model: ProposalModel) -> str:
        """Those of the model, or those from before another one's; returns what there is to tell of it."""
        present, own = self.params.proposals, model.settings.proposals
        wanted, kept = self._lent.take(present, own, self.preset.params.proposals)
        if kept and own is not None:
            return f"Your own thresholds stay; {model.name} has others: {thresholds_words(own)}"
        if wanted == present:
            return ""
        self._set_params(dataclasses.replace(self.params, proposals=wanted), f"thresholds of {model.name}")
        return f"{thresholds_words(wanted).capitalize()} Undo takes them back."

    def use_model_settings(self) -> None:
        """Train with the resize, anchors, coder and rules that the model was built with; undo takes it back."""
        model = self.models.model
        if model is None:
            self.tell(Message(Severity.INFO, "No model is loaded", "Load one with Ctrl+M."))
        elif not model.settings.shapes_known:
            why = "It holds the anchors themselves, not the sizes and ratios they were made of."
            self.tell(Message(Severity.INFO, "A recording has no settings to train with", why))
        else:
            self._change(*trained_like(model.settings, self.preset, self.params), f"settings of {model.name}")

    # ------------------------------------------------------------------ view

    def set_world(self, world: World) -> None:
        """Switch between training targets and model proposals; the first switch loads the bundled model."""
        if world is self.world:
            return
        self._before = None
        super().set_world(world)
        if world is not World.MODEL or self.models.busy:
            return
        if self.models.model is None:
            self.load_model()
        elif self.models.outputs is None or self.models.preview:
            self.models.run()  # it was cancelled or has failed: asking again is trying again

    def try_fix(self, fix: Fix) -> None:
        """Make a change that was found; undo takes it back."""
        self._set_params(fix.params, fix.text)

    def next_problem(self, step: int = 1) -> None:
        """Select the next problem of the image, worst first; after the last, the first of a following image."""
        self._cancel_search()
        if self.shown is None or self.dataset is None:
            return
        found = self.shown.training.match.problems()
        position = found.index(self.selection.gt) if self.selection.gt in found else (-1 if step > 0 else len(found))
        if 0 <= position + step < len(found):
            self.select(Selection(gt=found[position + step]))
            return
        self._search_problem(step)

    def _search_problem(self, step: int) -> None:
        """Look through the other images, without their pixels where the annotation file states the size."""
        assert self.dataset is not None
        dataset, preset, params, start = self.dataset, self.preset, self.params, self.index
        count = len(dataset.images)

        def work(job: Job) -> tuple[int, int] | None:
            for offset in range(1, count + 1):
                index = (start + step * offset) % count
                job.progress(offset / count)
                found = _problems_of(dataset.images[index], preset, params)
                if found:
                    return index, found[0] if step > 0 else found[-1]
            return None

        def done(target: tuple[int, int] | None) -> None:
            self._search = None
            if target is None:
                self.tell(
                    Message(Severity.INFO, "No problem left: every ground-truth box has a positive anchor it fits")
                )
            elif dataset is self.dataset and start == self.index and params == self.params:
                index, gt = target
                if index == self.index:
                    self.select(Selection(gt=gt))
                else:
                    name = dataset.images[index].file_name
                    self.tell(Message(Severity.INFO, f"No further problem in this image; the next is in {name}"))
                    self._load(dataset, index, select=gt)

        self._search = self.jobs.submit(
            "Looking for the next problem", work, done, lambda error: self.tell(from_error("The search stopped", error))
        )

    def _cancel_search(self) -> None:
        """Whoever goes somewhere else does not want to be taken to the next problem."""
        if self._search is not None:
            self._search.cancel()
            self._search = None

    def close(self) -> None:
        """End all work; the state is not usable afterwards."""
        self._compute.close()
        self.jobs.close()


def _trainer(preset: Preset) -> Preset:
    """The trainer by its name, with its default parameters and the conventions of ``preset``."""
    return dataclasses.replace(presets.load(preset.name), conventions=preset.conventions)


def _warm_up(job: Job) -> None:
    compiled.warm_up()
    compiled_drawing.warm_up()


def _problems_of(record: ImageRecord, preset: Preset, params: Params) -> list[int]:
    if not len(record.gt.boxes):
        return []
    try:
        return pipeline.run(inputs_of(record), params, preset.conventions).match.problems()
    except RpnvizError:
        return []  # an image that cannot be read is reported when it is opened
