"""The one owner of parameters, model and their results; data set and image are :class:`OpenedData`'s.

What is seen of all this is :class:`~rpnviz.app.viewing.Viewing`'s.

Widgets show this state and call its methods; nobody reads a widget to learn a value.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from rpnviz.app.config_texts import table_of
from rpnviz.app.jobs import Job, NewestWins
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.model_settings import LentThresholds, mismatch, thresholds_words, trained_like
from rpnviz.app.model_slot import ModelSlot
from rpnviz.app.opened import OpenedData, Opening
from rpnviz.app.outputs import OutputStore
from rpnviz.app.undo import History
from rpnviz.app.viewing import Selection, Shown
from rpnviz.configs.base import TrainerConfig
from rpnviz.configs.registry import read_config
from rpnviz.core import compiled, pipeline, presets
from rpnviz.core.conventions import ProposalStages
from rpnviz.core.fixes import Fix
from rpnviz.core.inputs import RPNOutput
from rpnviz.core.nms import KEPT_FROM
from rpnviz.core.params import Params, TrainViews, differences
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import Dataset, ImageRecord, LoadedImage, inputs_of
from rpnviz.datasets.edited import NO_EDITS, Edits, as_read, edited, followed, present_index
from rpnviz.drawing import compiled as compiled_drawing
from rpnviz.drawing.frame import Photo
from rpnviz.drawing.options import World
from rpnviz.errors import RpnvizError
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


class _Settings(NamedTuple):
    """What undo takes back."""

    preset: Preset
    params: Params
    edits: Edits


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Ground truth of the image on the screen that waits for its result, so that both are shown together."""

    record: ImageRecord
    gt_names: tuple[str, ...]
    gt: int | None


class AppState(OpenedData):
    """Signals say what changed, in the past tense; each carries the new value where that is small.

    ``boxes_changed`` carries the images of the same data set whose boxes were changed by hand. ``warmed`` comes once,
    when the first picture is there and all that it needs is loaded.
    """

    boxes_changed = Signal(list)
    params_changed = Signal(object)
    computing_changed = Signal(bool)
    history_changed = Signal()
    warmed = Signal()

    def __init__(self, preset: Preset | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.preset = presets.load("torchvision")
        self.params = self.preset.params
        if preset is not None:
            self.preset, self.params = _trainer(preset), preset.params
        self._config: tuple[Preset | None, TrainerConfig | None] = (None, None)
        self.edits = self._saved = self._shown_edits = NO_EDITS
        self._boxes: _Boxes | None = None
        self._history: History[_Settings] = History()
        self._inputs: pipeline.Inputs | None = None
        self._before: Shown | None = None
        self._lent = LentThresholds()
        self.models = ModelSlot(self.jobs, OutputStore(), "model", self)
        self.models.taken.connect(self._on_model_taken)
        self.models.answered.connect(self._request)
        self.models.told.connect(self.tell)
        self._search: Job | None = None
        self._warming = False
        self._compute = NewestWins(_compute, self)
        self._compute.answered.connect(self._on_computed)
        self._compute.failed.connect(self._on_compute_failed)

    # ------------------------------------------------------------------ image

    def _take_image(
        self, dataset: Dataset, index: int, loaded: LoadedImage, photo: Photo, opening: Opening | None
    ) -> None:
        new_dataset = dataset is not self.dataset
        if opening is not None:
            self._opening = opening
        self.dataset, self.index = dataset, index
        self._boxes = None
        if new_dataset:
            self._listed = np.zeros(0, np.int64)
            self.edits = self._saved = NO_EDITS
            self._history.convert(lambda settings: settings._replace(edits=NO_EDITS), self._settings)
        self._shown_edits = self.edits
        self._inputs = inputs_of(dataset.images[index], loaded.size)
        self._before = None
        self.models.show_image(dataset.images[index], loaded)
        self._stop_reading_whole()
        self._put_image(dataset.images[index], loaded, photo, dataset.names_of(dataset.images[index]))
        if new_dataset:
            self.dataset_changed.emit()
            self.history_changed.emit()
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

    def take_recording(
        self, drawn: tuple[NDArray[np.int64], NDArray[np.int64]] | None, losses: NDArray[np.float64] | None
    ) -> None:
        """Let the mini-batch of the image on the screen, and its losses, be those that its trainer recorded."""
        if self._inputs is not None:
            self._inputs = dataclasses.replace(self._inputs, drawn=drawn, losses=losses)
            self._request()

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
            self._change(name, preset=dataclasses.replace(self.preset, conventions=conventions))
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
        self._change("reset", preset=presets.load(self.preset.name), params=self.preset.params)

    def changed_fields(self) -> list[tuple[str, Any, Any]]:
        """Fields and rules that differ from the trainer's, as (name, its value, present value)."""
        own = presets.load(self.preset.name).conventions
        rules = [
            (f"conventions.{name}", str(getattr(own, name)), now)
            for name, now in self.preset.conventions.overrides_from(own).items()
        ]
        return [*differences(self.preset.params, self.params), *rules]

    def undo(self) -> None:
        """Take the last change of parameters or boxes back."""
        self._step(self._history.undo(self._settings))

    def redo(self) -> None:
        """Bring the last undone change back."""
        self._step(self._history.redo(self._settings))

    def _step(self, settings: _Settings | None) -> None:
        self._before = self.shown
        if settings is not None:
            touched = settings.edits.differing(self.edits)
            self._replace(settings)
            if touched and self.index not in touched:
                self.show_image(touched[0])  # what is taken back is seen
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
        self._change(f"trainer {name}", preset=preset, params=preset.params)

    def take_preset(self, preset: Preset, label: str) -> None:
        """Take a trainer with parameters of its own, as a Params document gives them; undo takes it back."""
        self._change(label, preset=_trainer(preset), params=preset.params)

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
        self._change(label, params=params)

    @property
    def _settings(self) -> _Settings:
        return _Settings(self.preset, self.params, self.edits)

    def _change(self, label: str, *, drag: object = None, **values: Any) -> None:
        """Let ``preset``, ``params`` or ``edits`` be another; undo takes it back."""
        settings = self._settings._replace(**values)
        if settings == self._settings:
            return
        if self._history.record(label, self._settings, drag):
            self._before = self.shown
        self._replace(settings)

    def _replace(self, settings: _Settings) -> None:
        if settings == self._settings:
            return
        changed = settings[:2] != (self.preset, self.params)
        self.preset, self.params = settings.preset, settings.params
        if settings.edits != self.edits:
            self._take_edits(settings.edits)
        if changed:
            self.params_changed.emit(self.params)
        self.history_changed.emit()
        self._request()

    @property
    def before(self) -> Shown | None:
        """What was shown before the last parameter change began; None if image or boxes are others since."""
        old, now = self._before, self.shown
        if old is None or now is None or old.training.inputs.gt_boxes is not now.training.inputs.gt_boxes:
            return None
        return old

    # ------------------------------------------------------------------ boxes by hand

    def change_boxes(self, edits: Edits, label: str, gt: int | None, drag: object = None) -> None:
        """Let the data set have other boxes than its files; undo takes it back.

        Args:
            edits: all that differs from the files.
            label: what changes.
            gt: the box of the image on the screen that is selected then.
            drag: changes with the same such object are one step of undo.
        """
        self._change(label, drag=drag, edits=edits)
        if self._boxes is not None:
            self._boxes = dataclasses.replace(self._boxes, gt=gt)

    def give_up_drag(self, drag: object) -> None:
        """Put the boxes back to where they were when a drag began."""
        settings = self._history.take_back(drag)
        if settings is not None:
            self._replace(settings)
            self.history_changed.emit()

    @property
    def unsaved(self) -> bool:
        """Whether boxes were changed by hand since the data set was read or saved."""
        return self.unsaved_images > 0

    @property
    def unsaved_images(self) -> int:
        """Images whose boxes were changed by hand since then."""
        return len(self.edits.differing(self._saved)) if self.edits else 0

    @property
    def boxes_wait(self) -> bool:
        """Whether the boxes on the screen are not yet those of the data set: their result is being computed."""
        return self._boxes is not None

    @property
    def selected_gt(self) -> int | None:
        """The selected box, as soon as it is in the data set."""
        return self.selection.gt if self._boxes is None else self._boxes.gt

    def select(self, selection: Selection) -> None:
        """Pick a ground-truth box, an anchor, or nothing, of what is on the screen."""
        if self._boxes is not None:
            gt, index = selection.gt, self.index
            if gt is not None:
                gt = followed(self._shown_edits.truths.get(index), self.edits.truths.get(index), gt)
            self._boxes = dataclasses.replace(self._boxes, gt=gt)
        super().select(selection)

    def mark_saved(self, edits: Edits) -> None:
        """A file has these by now."""
        self._saved = edits
        self.boxes_changed.emit([])

    def _take_edits(self, edits: Edits) -> None:
        assert self.dataset is not None
        touched = edits.differing(self.edits)
        before, chosen = self.dataset, self.selected_gt
        self.edits = edits
        self.dataset = edited(as_read(before), edits, before)
        if self.index in touched and self.loaded is not None:
            record = self.dataset.images[self.index]
            self._inputs = inputs_of(record, self.loaded.size)
            kept = present_index(before, self.dataset, self.index, chosen)
            self._boxes = _Boxes(record, self.dataset.names_of(record), kept)
        self.boxes_changed.emit(touched)

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
        boxes, self._boxes = self._boxes, None
        self._shown_edits = self.edits
        self.computing_changed.emit(False)
        if boxes is not None:
            self.take_boxes(boxes.record, boxes.gt_names, boxes.gt, shown)
        else:
            self.take_results(shown)
        if not self._warming:
            # Not before something is on the screen: it costs a second on the first start of all.
            self._warming = True
            failed = self._on_warm_up_failed
            self.jobs.submit("Compiling", _warm_up, lambda _: self.warmed.emit(), failed, lane="idle", hidden=True)

    def _on_warm_up_failed(self, error: BaseException) -> None:
        self.tell(from_error("The compiled loops cannot be used; the slower ones work", error))

    def _on_compute_failed(self, error: BaseException) -> None:
        self.computing_changed.emit(False)
        self.tell(from_error("Could not compute the labels", error))
        shown = self.shown
        if shown is not None:
            # What is shown stays true: trainer, parameters and boxes go back to it.
            self._replace(_Settings(shown.preset, shown.training.params, self._shown_edits))

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
            preset, params = trained_like(model.settings, self.preset, self.params)
            self._change(f"settings of {model.name}", preset=preset, params=params)

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
        self._goes_elsewhere()
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

    def _goes_elsewhere(self) -> None:
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
