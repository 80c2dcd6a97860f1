"""Looks for everything that is wrong with the open data set, in the background."""

from __future__ import annotations

import dataclasses

from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.state import AppState
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import Dataset
from rpnviz.datasets.lint import Report, lint

MIN_INPUT_PX = 8.0
"""Boxes with a side below this at the network's input are noted."""


class Linter(QObject):
    """Follows the window's data set while :meth:`run` is asked for.

    Attributes:
        report: of the last run; None before one has ended.
        failure: why the last run gave none; empty if it did.
        min_input_px: sides below this at the network's input are noted; 0: none.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self._state = state
        self.report: Report | None = None
        self.failure = ""
        self.min_input_px = MIN_INPUT_PX
        self.progress = 0.0
        self._job: Job | None = None
        self._of: tuple[Dataset, Preset, float] | None = None
        state.dataset_changed.connect(self._on_dataset)
        state.boxes_changed.connect(lambda _images: self.changed.emit())
        state.params_changed.connect(lambda _params: self.changed.emit())
        state.jobs.progressed.connect(self._on_progress)

    @property
    def running(self) -> bool:
        """Whether it is looking."""
        return self._job is not None

    @property
    def stale(self) -> bool:
        """Whether the report is of another data set, trainer, or least size than the present ones."""
        return self.report is not None and self._of != self._wanted()

    def _wanted(self) -> tuple[Dataset, Preset, float] | None:
        """What counts: the data set, and the frame and matching of the present parameters."""
        state = self._state
        if state.dataset is None:
            return None
        return state.dataset, dataclasses.replace(state.preset, params=state.params), self.min_input_px

    def run(self) -> None:
        """Look at the present data set; a run that is going on ends."""
        self.stop()
        wanted = self._wanted()
        if wanted is None:
            return
        dataset, preset, least = wanted

        def work(job: Job) -> Report:
            return lint(dataset, preset, least, job.progress)

        def done(report: Report) -> None:
            self._job, self._of, self.report, self.failure = None, wanted, report, ""
            self.changed.emit()

        def failed(error: BaseException) -> None:
            self._job, self.failure = None, from_error("Could not check the data set", error).detail
            self.changed.emit()

        def cancelled() -> None:
            if self._job is not None and self._job.cancelled:
                self._job = None
                self.changed.emit()

        self.progress = 0.0
        self._job = self._state.jobs.submit(f"Checking {dataset.name}", work, done, failed, cancelled, lane="lint")
        self.changed.emit()

    def stop(self) -> None:
        """End the run that is going on; the last report stays."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
            self.changed.emit()

    def _on_dataset(self) -> None:
        self.report, self._of, self.failure = None, None, ""
        again = self.running
        self.stop()
        if again:
            self.run()
        self.changed.emit()

    def _on_progress(self, job: Job, fraction: float) -> None:
        if job is self._job:
            self.progress = fraction
            self.changed.emit()
