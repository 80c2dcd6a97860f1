"""The image under the window's trainer and under another one, side by side, and what makes the difference."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from rpnviz.app.jobs import Job, NewestWins
from rpnviz.app.linked import LinkedViews
from rpnviz.app.messages import from_error
from rpnviz.app.resting import Resting
from rpnviz.app.state import AppState
from rpnviz.app.viewing import Shown
from rpnviz.core import pipeline
from rpnviz.core.diff import Diff, GtOutcome, Switch, compare, outcomes
from rpnviz.core.presets import Preset
from rpnviz.drawing.options import World

Change = tuple[int, GtOutcome, GtOutcome]
"""A box that fares differently: its index, and how it fares under each trainer."""


class Comparison(LinkedViews):
    """The window's trainer against another one; training targets only.

    Attributes:
        preset: the other trainer.
        name: what it is called: of a preset, or of the file its parameters come from.
        changes: boxes that fare differently, by index.
        diff: the fields that make the difference; None until they are found.
    """

    def __init__(self, state: AppState, preset: Preset) -> None:
        super().__init__(state, World.TRAINING)
        self.preset, self.name = preset, preset.name
        self.changes: tuple[Change, ...] = ()
        self.diff: Diff | None = None
        self._stale = True
        self._compute = NewestWins(_run, self)
        self._compute.answered.connect(self._on_other)
        self._compute.failed.connect(self._on_failed)
        self._explaining = Resting(
            state.jobs, "Looking for what makes the difference", "compare", self._on_failed, parent=self
        )

    def set_preset(self, preset: Preset, name: str) -> None:
        """Compare with another trainer."""
        self.preset, self.name = preset, name
        self._on_result()

    @property
    def present(self) -> Preset | None:
        """The window's trainer with the parameters that were used; None before there is a result."""
        shown = self._state.shown
        return None if shown is None else dataclasses.replace(shown.preset, params=shown.training.params)

    @property
    def settled(self) -> bool:
        """Whether everything about the present parameters is there."""
        return not self._stale and self.diff is not None and not self._compute.busy

    @property
    def stale(self) -> bool:
        """Whether what is shown belongs to other parameters, or to another trainer."""
        return self._stale

    def causes_of(self, gt: int) -> tuple[tuple[tuple[Switch, ...], ...], bool] | None:
        """Sets of fields each of which explains a box's difference, and whether its rank only; None until known."""
        if self.diff is None:
            return None
        for found in self.diff.gts:
            if found.gt == gt:
                return found.fields, found.rank_only
        return None

    def close(self) -> None:
        """End all work."""
        self._forget()
        self._compute.close()

    # ------------------------------------------------------------------ following the window

    def _forget(self) -> None:
        self._explaining.forget()
        self._stale = True
        self.diff, self.failure = None, ""

    def _take_new_image(self) -> None:
        self.changes = ()

    def _on_result(self) -> None:
        shown = self._state.shown
        if not self._active or shown is None or self.a.loaded is not self._state.loaded:
            return
        preset, old, here = self.preset, self.b.shown, self.a.shown
        if old is not None and here is not None and not self._stale and old.preset is preset:
            ours, theirs = here.training, shown.training
            if ours.match is theirs.match and ours.sample is theirs.sample:
                return  # only proposals have changed
        self._forget()
        self.changed.emit()
        self._compute.request((shown, preset, None if old is None else old.training))

    def _on_other(self, answer: tuple[Shown, Shown]) -> None:
        first, second = answer
        if not self._active or first is not self._state.shown or second.preset is not self.preset:
            return
        self._stale = False
        pairs = zip(outcomes(first.training), outcomes(second.training), strict=True)
        self.changes = tuple((gt, x, y) for gt, (x, y) in enumerate(pairs) if x != y)
        self._take_results(self.a, first)
        self._take_results(self.b, second)
        self.changed.emit()
        self._explain()

    def _on_failed(self, error: BaseException) -> None:
        self.failure = from_error(f"Could not compare with {self.name}", error).detail
        self.changed.emit()
        self._state.tell(from_error(f"Could not compare with {self.name}", error))

    def _explain(self) -> None:
        shown, present, other = self.a.shown, self.present, self.preset
        assert shown is not None
        assert present is not None

        def work(job: Job) -> Diff:
            return compare(shown.training.inputs, present, other, lambda: job.progress(0.0))

        def done(diff: Diff) -> None:
            self.diff = diff
            self.changed.emit()

        self._explaining.ask(work, done)


def _run(request: tuple[Shown, Preset, pipeline.Result | None]) -> tuple[Shown, Shown]:
    """The window's result, and the other trainer's on the same image, both of training alone."""
    shown, preset, previous = request
    begin = time.perf_counter()
    other = pipeline.run(
        dataclasses.replace(shown.training.inputs, outputs=None), preset.params, preset.conventions, previous
    )
    return shown, Shown(preset, other, None, time.perf_counter() - begin)


def in_words(fields: Sequence[Sequence[Switch]], rank_only: bool, most: int = 3) -> str:
    """``match.min_pos_iou``, ``a + b, or c, or 2 more (its rank alone)``."""
    ways = [" + ".join(switch.name for switch in chosen) for chosen in fields]
    more = [f"{len(ways) - most} more"] if len(ways) > most else []
    return ", or ".join([*ways[:most], *more]) + (" (its rank alone)" if rank_only else "")
