"""The causes of all boxes of an image, found off the GUI thread while the hand rests."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.reasons import short_cause
from rpnviz.app.resting import Resting
from rpnviz.app.state import AppState
from rpnviz.core.explain import explain
from rpnviz.core.matching import MatchResult, Rank
from rpnviz.core.pipeline import Result


class CauseFinder(QObject):
    """Keeps ``causes``, a few words per box that is not matched, in step with what is shown.

    Between a change and its answer there are none: those of other parameters would be wrong.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._match: MatchResult | None = None
        self.causes: dict[int, str] = {}
        self._finding = Resting(
            state.jobs,
            "Looking for causes",
            "causes",
            lambda error: state.tell(from_error("Could not find why boxes are not matched", error)),
            parent=self,
        )
        state.result_changed.connect(self._on_result)
        state.image_changed.connect(self._on_result)

    def _on_result(self) -> None:
        result = self._state.shown.training if self._state.shown is not None else None
        match = None if result is None else result.match
        if match is self._match:
            return  # proposals and the draw of the mini-batch change no cause
        self._match = match
        self._finding.forget()
        if self.causes:
            self.causes = {}
            self.changed.emit()
        if result is not None:
            self._finding.ask(lambda job: _causes_of(job, result), self._take)

    def _take(self, causes: dict[int, str]) -> None:
        self.causes = causes
        self.changed.emit()


def _causes_of(job: Job, result: Result) -> dict[int, str]:
    found = {}
    for gt, rank in enumerate(result.match.ranks):
        if rank is not Rank.MATCHED:
            job.progress(gt / len(result.match.ranks))
            found[gt] = short_cause(explain(result, gt))
    return found
