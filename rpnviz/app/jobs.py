"""Work off the GUI thread: one thread per kind of work, cancel, and answers as signals.

Two patterns are needed and both end cleanly when the window closes: :class:`NewestWins` for computations of which only
the newest matters, :class:`JobQueue` for long jobs with progress (loading an image or a model, inference).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PySide6.QtCore import QObject, Signal

from rpnviz.errors import Cancelled

_REPORT_EVERY_S = 0.03
"""More reports than can be seen would keep the GUI thread busy with nothing else for as long as the job runs."""


class Job:
    """Handle of a running job, given to its function to report progress and to notice a cancel."""

    def __init__(self, title: str, report: Callable[[Job, float], None]) -> None:
        self.title = title
        self._report = report
        self._stop = threading.Event()
        self._next_report = 0.0

    def cancel(self) -> None:
        """Ask the job to end; its answer is dropped either way."""
        self._stop.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked the job to end."""
        return self._stop.is_set()

    def progress(self, fraction: float) -> None:
        """Report progress from 0 to 1; also the place where a cancelled job ends.

        Raises:
            Cancelled: the job was cancelled.
        """
        if self.cancelled:
            raise Cancelled
        now = time.monotonic()
        if now >= self._next_report or fraction >= 1:
            self._next_report = now + _REPORT_EVERY_S
            self._report(self, fraction)


class JobQueue(QObject):
    """Runs long jobs, those of one lane one after another; callbacks run in the thread that owns the queue."""

    started = Signal(object)
    progressed = Signal(object, float)
    ended = Signal(object)
    _answered = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._executors: dict[str, ThreadPoolExecutor] = {}
        self._all: list[Job] = []
        self._running: list[Job] = []
        self._closed = False
        self._answered.connect(self._on_answered)

    def submit(
        self,
        title: str,
        function: Callable[[Job], Any],
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        cancelled: Callable[[], None] = lambda: None,
        lane: str = "files",
        hidden: bool = False,
    ) -> Job:
        """Queue ``function(job)``; one of ``done(value)``, ``failed(error)`` and ``cancelled()`` follows.

        Jobs of different lanes run beside each other: an image does not wait for a model. A hidden job is nothing that
        the user waits for. After :meth:`close` nothing runs and nothing follows: a timer may still fire.
        """
        job = Job(title, self.progressed.emit)
        if self._closed:
            job.cancel()
            return job
        self._all.append(job)
        if not hidden:
            self._running.append(job)
        if lane not in self._executors:
            self._executors[lane] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"rpnviz-job-{lane}")
        self._executors[lane].submit(self._run, job, function, done, failed, cancelled)
        if not hidden:
            self.started.emit(job)
        return job

    @property
    def running(self) -> tuple[Job, ...]:
        """Jobs that are queued or run, oldest first."""
        return tuple(self._running)

    def close(self) -> None:
        """Cancel everything and wait for the thread to end."""
        self._closed = True
        for job in self._all:
            job.cancel()
        for executor in self._executors.values():
            executor.shutdown(wait=True, cancel_futures=True)

    def _run(
        self,
        job: Job,
        function: Callable[[Job], Any],
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        cancelled: Callable[[], None],
    ) -> None:
        try:
            job.progress(0.0)
            value = function(job)
            answer: Callable[[], None] = lambda: done(value)  # noqa: E731
        except Cancelled:
            job.cancel()
            answer = cancelled
        except BaseException as error:  # the end of a job is reported on failure too, whatever failed
            problem = error
            answer = lambda: failed(problem)  # noqa: E731
        if not self._closed:
            self._answered.emit(job, answer, cancelled)

    def _on_answered(self, job: Job, answer: Callable[[], None], cancelled: Callable[[], None]) -> None:
        if self._closed:
            return
        self._all.remove(job)
        hidden = job not in self._running
        if not hidden:
            self._running.remove(job)
        # A cancel may come while the finished answer is on its way.
        (cancelled if job.cancelled else answer)()
        if not hidden:
            self.ended.emit(job)


class NewestWins(QObject):
    """Runs a function on the newest request only.

    Idle: a request starts at once. Busy: it waits, replacing the one that waits already. An answer that is no longer
    the newest is dropped, so what is shown always belongs to the last request.
    """

    answered = Signal(object)
    failed = Signal(object)
    _finished = Signal(int, object, object)

    def __init__(self, function: Callable[[Any], Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._function = function
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rpnviz-compute")
        self._newest = 0
        self._running = False
        self._waiting: Any = None
        self._closed = False
        self._finished.connect(self._on_finished)

    @property
    def busy(self) -> bool:
        """Whether the newest request has no answer yet."""
        return self._running

    def request(self, argument: Any, quick: bool = False) -> None:
        """Ask for ``function(argument)``.

        Args:
            argument: of the function.
            quick: it takes a millisecond or two. If nothing else runs it is done at once, in this thread: another
                one would need as long to wake up, and its answer would queue behind the painting of what asked.
        """
        if self._closed:
            return
        self._newest += 1
        if self._running:
            self._waiting = argument
        elif quick:
            self._on_finished(self._newest, *self._try(argument))
        else:
            self._start(argument)

    def close(self) -> None:
        """Forget everything and wait for the thread to end."""
        self._closed = True
        self._waiting = None
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _start(self, argument: Any) -> None:
        self._running = True
        self._executor.submit(self._run, self._newest, argument)

    def _run(self, number: int, argument: Any) -> None:
        answer = self._try(argument)
        if not self._closed:
            self._finished.emit(number, *answer)

    def _try(self, argument: Any) -> tuple[Any, BaseException | None]:
        try:
            return self._function(argument), None
        except BaseException as error:
            return None, error

    def _on_finished(self, number: int, value: Any, problem: BaseException | None) -> None:
        if self._closed:
            return
        self._running = False
        if self._waiting is not None:
            argument, self._waiting = self._waiting, None
            self._start(argument)
        elif number == self._newest:
            if problem is None:
                self.answered.emit(value)
            else:
                self.failed.emit(problem)
