"""The causes of all boxes of an image, found off the GUI thread while the hand rests."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.reasons import short_cause
from rpnviz.app.state import AppState
from rpnviz.core.explain import explain
from rpnviz.core.matching import Rank
from rpnviz.core.pipeline import Result

_REST_MS = 150


class CauseFinder(QObject):
    """Keeps ``causes``, a few words per box that is not matched, in step with what is shown.

    Between a change and its answer there are none: those of other parameters would be wrong.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._job: Job | None = None
        self._result: Result | None = None
        self.causes: dict[int, str] = {}
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._start)
        state.result_changed.connect(self._on_result)
        state.image_changed.connect(self._on_result)

    def _on_result(self) -> None:
        result = self._state.shown.training if self._state.shown is not None else None
        if result is self._result:
            return
        self._result = result
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self.causes:
            self.causes = {}
            self.changed.emit()
        if result is None:
            self._rest.stop()
        else:
            self._rest.start()

    def _start(self) -> None:
        result = self._result
        if result is None:
            return

        def work(job: Job) -> dict[int, str]:
            found = {}
            ranks = result.match.ranks
            for gt, rank in enumerate(ranks):
                if rank is not Rank.MATCHED:
                    job.progress(gt / len(ranks))
                    found[gt] = short_cause(explain(result, gt))
            return found

        def done(found: dict[int, str]) -> None:
            self._job = None
            if result is self._result:
                self.causes = found
                self.changed.emit()

        def failed(error: BaseException) -> None:
            self._state.tell(from_error("Could not find why boxes are not matched", error))

        self._job = self._state.jobs.submit("Looking for causes", work, done, failed, lane="causes", hidden=True)
