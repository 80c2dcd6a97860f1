"""Follows the selected box: its way through the stages, and at which of them the user looks."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from rpnviz.app.viewing import Selection, Viewing
from rpnviz.app.way import Step, make_way
from rpnviz.core.pipeline import Result
from rpnviz.drawing.options import World


class Inspector(QObject):
    """The way is made when somebody asks for it: canvas and panel hear of a change in an order of their own."""

    stepped = Signal()

    def __init__(self, state: Viewing) -> None:
        super().__init__(state)
        self._state = state
        self._of: tuple[Result, World, Selection] | None = None
        self._way: tuple[Step, ...] = ()
        self._number: int | None = None
        state.selection_changed.connect(self._on_selection)

    @property
    def way(self) -> tuple[Step, ...]:
        """The steps of what is selected."""
        state, result = self._state, self._state.result
        if result is None:
            return ()
        asked = (result, state.world, state.selection)
        if self._of is None or any(a is not b for a, b in zip(self._of, asked, strict=True)):
            self._of, self._way = asked, make_way(result, state.world, state.selection, state.gt_names)
        return self._way

    @property
    def number(self) -> int | None:
        """Which step is looked at; None: the box as it is, with all that the last step shows."""
        return self._number if self._number is not None and self._number < len(self.way) else None

    @property
    def shown(self) -> Step | None:
        """The step that the canvas shows: the one that is looked at, else the last; None without a way."""
        way = self.way
        return None if not way else way[self.number] if self.number is not None else way[-1]

    def look_at(self, number: int | None) -> None:
        """Look at a step; the same again: at the box as it is."""
        self._number = None if number == self._number else number
        self.stepped.emit()

    def step(self, by: int) -> bool:
        """Look at the next (1) or previous (-1) step; False at the ends and without a way."""
        way = self.way
        if not way:
            return False
        here = self.number if self.number is not None else (len(way) - 1 if by < 0 else -1)
        if not 0 <= here + by < len(way):
            return False
        self._number = here + by
        self.stepped.emit()
        return True

    def _on_selection(self, _selection: Selection) -> None:
        self._number = None
