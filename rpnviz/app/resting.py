"""Work that waits until the hand rests, and of which only the newest question counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QTimer

from rpnviz.app.jobs import Job, JobQueue


class Resting(QObject):
    """Runs the newest question off the GUI thread once nothing new was asked for a while; nobody waits for it."""

    def __init__(
        self,
        jobs: JobQueue,
        title: str,
        lane: str,
        failed: Callable[[BaseException], None],
        rest_ms: int = 150,
        parent: QObject | None = None,
    ) -> None:
        """``title`` and ``lane`` as for :meth:`JobQueue.submit`; ``failed(error)`` is told of an unexpected error."""
        super().__init__(parent)
        self._jobs, self._title, self._lane = jobs, title, lane
        self._failed = failed
        self._question: tuple[Callable[[Job], Any], Callable[[Any], None]] | None = None
        self._job: Job | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(rest_ms)
        self._timer.timeout.connect(self._start)

    @property
    def busy(self) -> bool:
        """Whether a question waits or is worked on."""
        return self._timer.isActive() or self._job is not None

    def ask(self, work: Callable[[Job], Any], done: Callable[[Any], None]) -> None:
        """Run ``work(job)`` soon, then ``done(answer)``, unless something else is asked before that."""
        self.forget()
        self._question = work, done
        self._timer.start()

    def go_on(self, work: Callable[[Job], Any], done: Callable[[Any], None]) -> None:
        """The same without waiting: a second question that follows from the answer of the first."""
        self.forget()
        self._question = work, done
        self._start()

    def forget(self) -> None:
        """Nobody wants the answer any more."""
        self._timer.stop()
        self._question = None
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _start(self) -> None:
        if self._question is None:
            return
        work, done = self._question
        job: Job | None = None

        def answered(value: Any) -> None:
            if job is self._job:
                self._job = None
                done(value)

        def failed(error: BaseException) -> None:
            if job is self._job:
                self._job = None
                self._failed(error)

        self._job = job = self._jobs.submit(self._title, work, answered, failed, lane=self._lane, hidden=True)
