"""Changes that would help the selected ground-truth box, looked for off the GUI thread while the hand rests."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from rpnviz.app.messages import from_error
from rpnviz.app.resting import Resting
from rpnviz.app.state import AppState
from rpnviz.core.fixes import Search, find_fixes, find_pairs
from rpnviz.core.matching import Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.view_fixes import search_view_fixes
from rpnviz.drawing.options import World


class FixFinder(QObject):
    """Looks for single changes first, then, where none helps, for two at once; or for what helps in every view.

    Attributes:
        search: what was found for the selected box; None before, and where nothing is to be found.
        in_views: whether the box is to be matched in every training view; without effect where there are none.
        pairs: whether two changes at once are being looked for; ``search`` then tells of the single ones.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self.search: Search | None = None
        self.pairs = False
        self.in_views = False
        self._of: tuple[Result, int] | None = None
        self._finding = Resting(
            state.jobs,
            "Looking for changes that help",
            "fixes",
            lambda error: state.tell(from_error("Could not look for changes that help", error)),
            parent=self,
        )
        for signal in (state.selection_changed, state.params_changed, state.result_changed, state.world_changed):
            signal.connect(lambda *_: self._on_change())

    @property
    def busy(self) -> bool:
        """Whether something is still being looked for."""
        return self._finding.busy

    @property
    def asks_views(self) -> bool:
        """Whether every training view is asked for, and there are some."""
        return self.in_views and self._state.params.views is not None

    def set_in_views(self, in_views: bool) -> None:
        """Look for what helps in every training view, or in the image as it is."""
        if in_views != self.in_views:
            self.in_views = in_views
            self._of = None
            self._on_change()

    def _wanted(self) -> tuple[Result, int] | None:
        """The box that can be helped: the selected one, if the panel speaks of it and it is not matched."""
        chosen, shown = self._state.selection, self._state.shown
        if shown is None or self._state.world is not World.TRAINING or chosen.gt is None or chosen.anchor is not None:
            return None
        if shown.training.params != self._state.params:
            return None  # a change made now would take the one that is being computed back
        ranks = shown.training.match.ranks
        if chosen.gt >= len(ranks) or ranks[chosen.gt] is Rank.NOT_TRAINED:
            return None
        if ranks[chosen.gt] is Rank.MATCHED and not self.asks_views:
            return None
        return shown.training, chosen.gt

    def _on_change(self) -> None:
        wanted = self._wanted()
        same = wanted is not None and self._of is not None and wanted[1] == self._of[1]
        if same and wanted[0].match is self._of[0].match and wanted[0].params == self._of[0].params:  # type: ignore[index]
            return
        self._of = wanted
        self._finding.forget()
        self.search, self.pairs = None, False
        self.changed.emit()
        if wanted is not None:
            result, gt = wanted
            if self.asks_views:
                inputs, params, conventions = result.inputs, result.params, result.conventions
                self._finding.ask(
                    lambda job: search_view_fixes(inputs, params, conventions, gt, lambda: job.progress(0.0)),
                    self._take_views,
                )
                return
            self._finding.ask(lambda job: find_fixes(result, gt, check=lambda: job.progress(0.0)), self._take_singles)

    def _take_singles(self, search: Search) -> None:
        assert self._of is not None
        result, gt = self._of
        # The runs themselves are large, and of no use but to the next question.
        self.search, self.pairs = replace(search, attempts=()), not search.fixes
        if self.pairs:
            self._finding.go_on(lambda job: find_pairs(result, gt, search, lambda: job.progress(0.0)), self._take_pairs)
        self.changed.emit()

    def _take_views(self, search: Search) -> None:
        self.search = search
        self.changed.emit()

    def _take_pairs(self, search: Search) -> None:
        self.search, self.pairs = replace(search, attempts=()), False
        self.changed.emit()
