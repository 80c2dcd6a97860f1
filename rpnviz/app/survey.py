"""How the boxes of every image of the data set fare, counted off the GUI thread while the hand rests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QTimer, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.state import AppState
from rpnviz.core import pipeline
from rpnviz.core.matching import Rank
from rpnviz.core.params import Params
from rpnviz.core.presets import Preset
from rpnviz.core.views import run_views, unmatched_everywhere
from rpnviz.datasets.base import Dataset, inputs_of, shown_size
from rpnviz.errors import RpnvizError

_REST_MS = 400
"""A survey begins when the parameters have stood still so long."""
_SHOW_EVERY_MS = 250

RANKS = (Rank.NONE, Rank.FORCED, Rank.MATCHED, Rank.NOT_TRAINED)
"""Columns of the counts."""

UNKNOWN, UNREADABLE = -1, -2
"""In place of counts: not counted yet, and an image that cannot be read."""


@dataclass(frozen=True, eq=False)
class Counts:
    """How the boxes of N images fare.

    Attributes:
        ranks: (N, 4) int32 boxes of each of :data:`RANKS`; a row of :data:`UNKNOWN` or :data:`UNREADABLE`.
        problems: (N,) int32 boxes with a problem, as ``MatchResult.problems`` has them; likewise.
        sizes: (N, 2) int32 image sizes (H, W) as far as they are known, else 0.
        unmatched: (N,) int32 boxes that no training view matches; likewise, and :data:`UNKNOWN` without such views.
        least_iou: (N,) float32 best IoU of the box that fares worst; NaN where none is trained on, or it is not known.
    """

    ranks: NDArray[np.int32]
    problems: NDArray[np.int32]
    sizes: NDArray[np.int32]
    unmatched: NDArray[np.int32]
    least_iou: NDArray[np.float32]

    @classmethod
    def of(cls, images: int) -> Counts:
        """Nothing known of so many images."""
        return cls(
            np.full((images, len(RANKS)), UNKNOWN, np.int32),
            np.full(images, UNKNOWN, np.int32),
            np.zeros((images, 2), np.int32),
            np.full(images, UNKNOWN, np.int32),
            np.full(images, np.nan, np.float32),
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) images whose boxes are counted."""
        return self.problems >= 0

    @property
    def done(self) -> int:
        """How many images were looked at, those that cannot be read included."""
        return int(np.count_nonzero(self.problems != UNKNOWN))

    def total(self, rank: Rank) -> tuple[int, int]:
        """Boxes of a rank in all images, and the number of images that have any."""
        column = self.ranks[:, RANKS.index(rank)]
        found = column[column > 0]
        return int(found.sum()), len(found)


class Survey(QObject):
    """Keeps ``counts`` in step with the data set and the parameters; between a change and its answer they fill up.

    Attributes:
        counts: of the present parameters, as far as they are known.
        running: whether images are being looked at.
        stopped: whether the user stopped it; it begins anew with the next change or :meth:`go_on`.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._dataset: Dataset | None = None
        self._of: tuple[object, ...] | None = None
        self.counts = self._before = Counts.of(0)
        self.running, self.stopped = False, False
        self._job: Job | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._start)
        self._look = QTimer(self)
        self._look.setInterval(_SHOW_EVERY_MS)
        self._look.timeout.connect(self.changed)
        state.dataset_changed.connect(self._on_dataset)
        state.boxes_changed.connect(self._on_boxes)
        state.params_changed.connect(lambda _params: self._restart())
        state.result_changed.connect(self._on_result)

    def best_known(self) -> tuple[Counts, NDArray[np.bool_]]:
        """Counts of the present parameters, else those of the last; and (N,) which are of the present."""
        fresh = self.counts.problems != UNKNOWN
        ranks = np.where(fresh[:, None], self.counts.ranks, self._before.ranks)
        problems = np.where(fresh, self.counts.problems, self._before.problems)
        least = np.where(fresh, self.counts.least_iou, self._before.least_iou)
        return Counts(ranks, problems, self.counts.sizes, self.counts.unmatched, least), fresh

    @property
    def waiting(self) -> bool:
        """Whether it begins soon: the parameters have just changed."""
        return self._rest.isActive()

    def stop(self) -> None:
        """Leave it at what is known."""
        self._cancel()
        self.stopped = True
        self.changed.emit()

    def go_on(self) -> None:
        """Look at the images that are not known yet."""
        self.stopped = False
        self._start()

    def _on_dataset(self) -> None:
        self._cancel()
        self.stopped = False
        self._dataset = self._state.dataset
        self.counts = self._before = Counts.of(len(self._dataset.images) if self._dataset is not None else 0)
        self._of = None
        self._restart()

    def _on_boxes(self, images: list[int]) -> None:
        """Boxes of some images were changed by hand: nothing is known of these."""
        self._dataset = self._state.dataset
        if not images:
            return
        was_stopped = self.stopped
        self._cancel()
        known = self.counts  # a job that has not ended yet may still write there
        self.counts = Counts(*(getattr(known, one.name).copy() for one in dataclasses.fields(known)))
        for counts in (self.counts, self._before):
            counts.ranks[images], counts.problems[images], counts.unmatched[images] = UNKNOWN, UNKNOWN, UNKNOWN
            counts.least_iou[images] = np.nan
        if not was_stopped:
            self._rest.start()  # the totals stay until they are counted: a box may be moving

    def _on_result(self) -> None:
        # The first image comes first.
        if self._of is None and not (self._rest.isActive() or self.running or self.stopped):
            self._restart()

    def _restart(self) -> None:
        """Other parameters: nothing is known of any image."""
        if self._of == _what_counts(self._state.preset, self._state.params):
            return
        if self._of is None and not self.counts.done:
            self.stopped = False
            self._rest.start()  # a slider is being dragged
            return
        self._cancel()
        self._before, _ = self.best_known()
        self.counts = dataclasses.replace(Counts.of(len(self.counts.problems)), sizes=self.counts.sizes)
        self._of, self.stopped = None, False
        self._rest.start()
        self.changed.emit()

    def _cancel(self) -> None:
        self._rest.stop()
        self._look.stop()
        self.running = False
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _start(self) -> None:
        dataset, counts, state = self._dataset, self.counts, self._state
        if dataset is None or state.shown is None:
            return
        preset, params = state.preset, state.params
        self.stopped = False
        self._of = _what_counts(preset, params)
        self.running = True
        self._look.start()

        def work(job: Job) -> None:
            _count(job, dataset, counts, preset, params)

        def ended(_value: object = None) -> None:
            if counts is self.counts:
                self._cancel()
                self.changed.emit()

        def failed(error: BaseException) -> None:
            ended()
            state.tell(from_error("Could not look at all images", error))

        self._job = state.jobs.submit(
            "Counting the ranks of all images", work, ended, failed, lane="survey", hidden=True
        )


def _what_counts(preset: Preset, params: Params) -> tuple[object, ...]:
    """What the ranks depend on; proposals and the draw of the mini-batch change none."""
    return preset.name, preset.conventions, params.resize, params.anchors, params.match, params.train_views


def _count(job: Job, dataset: Dataset, counts: Counts, preset: Preset, params: Params) -> None:
    """Fill in what is not known: first the ranks of all images, then, where there are any, the training views."""
    _count_ranks(job, dataset, counts, preset, params)
    if params.views is None:
        return
    for number, record in enumerate(dataset.images):
        job.progress(number / len(dataset.images))
        if counts.unmatched[number] != UNKNOWN or counts.problems[number] == UNREADABLE:
            continue
        if not len(record.gt.boxes):
            counts.unmatched[number] = 0
            continue
        height, width = counts.sizes[number].tolist()
        try:
            inputs = inputs_of(record, (height, width))
            outcomes = run_views(inputs, params, preset.conventions, lambda: job.progress(0.0))
        except (RpnvizError, ValueError, ArithmeticError, MemoryError):
            counts.unmatched[number] = UNREADABLE
            continue
        counts.unmatched[number] = len(unmatched_everywhere(outcomes))


def _count_ranks(job: Job, dataset: Dataset, counts: Counts, preset: Preset, params: Params) -> None:
    previous = None
    for number, record in enumerate(dataset.images):
        job.progress(number / len(dataset.images))
        if counts.problems[number] != UNKNOWN:
            continue
        if not record.box_count:
            counts.ranks[number], counts.problems[number] = 0, 0  # whatever its size
            continue
        try:
            if not counts.sizes[number].any():
                counts.sizes[number] = shown_size(record)
            height, width = counts.sizes[number].tolist()
            previous = pipeline.run(inputs_of(record, (height, width)), params, preset.conventions, previous)
        except (RpnvizError, ValueError, ArithmeticError, MemoryError):
            # What is wrong with it is said when it is opened; the others are counted all the same.
            counts.ranks[number], counts.problems[number] = UNREADABLE, UNREADABLE
            continue
        ranks = previous.match.ranks
        counts.ranks[number] = [ranks.count(rank) for rank in RANKS]
        counts.least_iou[number] = _least(previous.match.gt_best_iou)
        counts.problems[number] = len(previous.match.problems())


def _least(best_iou: NDArray) -> float:
    """The smallest of the best IoUs (M,), of which those not trained on are NaN."""
    known = best_iou[np.isfinite(best_iou)]
    return float(known.min()) if len(known) else np.nan
