"""How often the boxes of the image are seen in a mini-batch, found off the GUI thread while the hand rests."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.resting import Resting
from rpnviz.app.state import AppState
from rpnviz.core.chances import Chance, Steps, chances_of, simulate_steps
from rpnviz.core.pipeline import Result
from rpnviz.core.terms import terms

STEPS = 100
"""Mini-batches that are drawn until somebody asks for another number."""


class BatchFinder(QObject):
    """Keeps ``chances`` and ``steps`` in step with what is shown; both are empty between a change and its answer.

    Attributes:
        chances: per box of the image; empty before, and where the trainer draws no mini-batch.
        steps: the same counted over :attr:`number` mini-batches, from the present seed on.
        number: how many are drawn.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._result: Result | None = None
        self.chances: tuple[Chance, ...] = ()
        self.steps: Steps | None = None
        self.number = STEPS
        self._finding = Resting(
            state.jobs,
            "Drawing mini-batches",
            "batches",
            lambda error: state.tell(from_error("Could not draw mini-batches", error)),
            parent=self,
        )
        state.result_changed.connect(self._on_result)
        state.image_changed.connect(self._on_result)

    def set_number(self, number: int) -> None:
        """Count over another number of mini-batches."""
        if number != self.number:
            self.number = number
            self._ask()

    def _on_result(self) -> None:
        result = self._state.shown.training if self._state.shown is not None else None
        same = result is not None and self._result is not None and result.sample is self._result.sample
        if same and result is not None and self._result is not None and result.match is self._result.match:
            return
        self._result = result
        self._ask()

    def _ask(self) -> None:
        result, number = self._result, self.number
        self._finding.forget()
        self.chances, self.steps = (), None
        if result is not None and terms(result.conventions).draws:
            self._finding.ask(lambda job: _count(job, result, number), self._take)
        self.changed.emit()

    def _take(self, answer: tuple[tuple[Chance, ...], Steps]) -> None:
        self.chances, self.steps = answer
        self.changed.emit()


def _count(job: Job, result: Result, number: int) -> tuple[tuple[Chance, ...], Steps]:
    return chances_of(result), simulate_steps(result, number, lambda: job.progress(0.0))


def chance_text(chance: Chance) -> str:
    """``3 · 2.1 · 88 %``: drawn now, on average, and the chance that any is."""
    return f"{chance.drawn:,} · {chance.expected:.1f} · {percent(chance.seen)}"


def chance_line(chance: Chance, positives: int) -> str:
    """What the three numbers mean, for one box."""
    return (
        f"{chance.drawn:,} of {positives:,} positives drawn in this step, {chance.expected:.2f} on average; "
        f"{percent(chance.seen)} of all steps draw at least one"
    )


def percent(share: float) -> str:
    """Whole percents; neither all nor nothing unless it is so."""
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    return f"{min(max(share * 100, 0.1), 99.9):.{0 if 1 <= share * 100 <= 99 else 1}f} %"
