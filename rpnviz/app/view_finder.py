"""How the boxes of the image fare in every training view, found off the GUI thread while the hand rests."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import Message, from_error
from rpnviz.app.resting import Resting
from rpnviz.app.state import AppState
from rpnviz.core.matching import Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.views import Outcome, matched_views, run_views, views_with
from rpnviz.drawing.options import RANK_TEXT


class ViewFinder(QObject):
    """Keeps ``outcomes``, one per view, in step with what is shown.

    Between a change and its answer there are none: those of other parameters would be wrong. ``problem`` says why there
    are none where they cannot be run.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._of: Result | None = None
        self.outcomes: tuple[Outcome, ...] = ()
        self.problem: Message | None = None
        self._finding = Resting(
            state.jobs,
            "Running the training views",
            "views",
            self._fail,
            parent=self,
        )
        state.result_changed.connect(self._on_result)
        state.image_changed.connect(self._on_result)

    @property
    def busy(self) -> bool:
        """Whether the views are still being run."""
        return self._finding.busy

    def _on_result(self) -> None:
        result = self._state.shown.training if self._state.shown is not None else None
        if result is not None and result.params.views is None:
            result = None
        before, self._of = self._of, result
        if result is None and before is None:
            return
        if result is not None and before is not None and _same_views(before, result):
            return
        self._finding.forget()
        self.outcomes, self.problem = (), None
        if result is not None:
            self._finding.ask(lambda job: _run(job, result), self._take)
        self.changed.emit()

    def _fail(self, error: BaseException) -> None:
        self.problem = from_error("Could not run the training views", error)
        self._state.tell(self.problem)
        self.changed.emit()

    def _take(self, outcomes: tuple[Outcome, ...]) -> None:
        self.outcomes = outcomes
        self.changed.emit()


def _same_views(a: Result, b: Result) -> bool:
    """Whether two results have the same views; proposals and the draw of the mini-batch change none."""
    alike = all(
        getattr(a.params, group) == getattr(b.params, group) for group in ("resize", "anchors", "match", "train_views")
    )
    return a.inputs is b.inputs and a.conventions == b.conventions and alike


def _run(job: Job, result: Result) -> tuple[Outcome, ...]:
    return run_views(result.inputs, result.params, result.conventions, lambda: job.progress(0.0))


def views_text(outcomes: Sequence[Outcome], gt: int) -> str:
    """``Matched in 5 of 12 views``; where crops cut the box off, also in how many it is shown."""
    shown = sum(outcome.ranks[gt] is not None for outcome in outcomes)
    trained = views_with(outcomes, gt)
    words = f"Matched in {matched_views(outcomes, gt)} of {len(outcomes)} views"
    if not trained:
        return "Not trained on in any view" if shown else "Cut off in every view"
    return words if shown == len(outcomes) else f"{words}, shown in {shown}"


def views_lines(outcomes: Sequence[Outcome], gt: int) -> list[str]:
    """A line per view: ``640 px · flipped: Forced only, best IoU 0.62, 3 positives``."""
    return [f"{outcome.view.name}: {view_text(outcome, gt)}" for outcome in outcomes]


def view_text(outcome: Outcome, gt: int) -> str:
    """How a box fares in one view."""
    rank = outcome.ranks[gt]
    if rank is None:
        return "cut off"
    if rank is Rank.NOT_TRAINED:
        return RANK_TEXT[rank]
    positives = int(outcome.positives[gt])
    noun = "positive" if positives == 1 else "positives"
    return f"{RANK_TEXT[rank]}, best IoU {outcome.best_iou[gt]:.2f}, {positives:,} {noun}"
