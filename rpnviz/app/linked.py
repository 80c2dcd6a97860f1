"""Two views of the window's image that show the same: one selection, one set of layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QObject, Signal

from rpnviz.app.state import AppState
from rpnviz.app.viewing import Selection, Shown, Viewing
from rpnviz.core.diff import partners
from rpnviz.drawing.options import World


class LinkedViews(QObject):
    """Follows the window's image, results and selected box while it is :meth:`activated <activate>`.

    Attributes:
        a: what the window shows.
        b: the other one.
        failure: why there is no comparison; empty if nothing failed.
    """

    changed = Signal()

    def __init__(self, state: AppState, world: World) -> None:
        super().__init__(state)
        self._state = state
        self.a, self.b = Viewing(self), Viewing(self)
        self.failure = ""
        self._active = False
        self._linking = False
        for side in (self.a, self.b):
            side.set_world(world)
            side.told.connect(state.tell)
            side.whole_wanted.connect(state.read_whole)
            state.photo_changed.connect(side.photo_changed)
        state.image_changed.connect(self._on_image)
        state.result_changed.connect(self._on_result)
        state.selection_changed.connect(self._on_window_selection)
        self.a.selection_changed.connect(lambda chosen: self._on_selection(self.a, self.b, chosen))
        self.b.selection_changed.connect(lambda chosen: self._on_selection(self.b, self.a, chosen))
        self.a.layers_changed.connect(lambda: self._on_layers(self.a, self.b))
        self.b.layers_changed.connect(lambda: self._on_layers(self.b, self.a))

    def activate(self, active: bool) -> None:
        """Follow the window, or rest: nobody looks."""
        self._active = active
        if active:
            self._on_image()
            self._on_result()
        else:
            self._forget()

    # ------------------------------------------------------------------ for each kind of comparison

    def _forget(self) -> None:
        """What was found belongs to another image or to other parameters."""
        raise NotImplementedError

    def _take_new_image(self) -> None:
        """The window shows another image: begin anew."""
        raise NotImplementedError

    def _on_result(self) -> None:
        """The window has another result."""
        raise NotImplementedError

    # ------------------------------------------------------------------ following the window

    def _on_image(self) -> None:
        record, loaded, photo = self._state.record, self._state.loaded, self._state.photo
        if not self._active or record is None or loaded is None or photo is None or self.a.loaded is loaded:
            return
        self._forget()
        with self._quiet():  # a new image clears both selections; the window's stays
            for side in (self.a, self.b):
                side.take_image(record, loaded, photo, self._state.gt_names)
        self._take_new_image()
        self._on_window_selection(self._state.selection)
        self.changed.emit()

    def _on_window_selection(self, chosen: Selection) -> None:
        if self._active and self.a.selection.gt != chosen.gt and self._fits(chosen.gt):
            self.a.select(Selection(gt=chosen.gt))

    def _take_results(self, side: Viewing, shown: Shown) -> None:
        """Show what belongs to the window's result; its boxes may have been changed by hand."""
        record = self._state.record
        if record is not None and side.record is not record:
            with self._quiet():
                side.take_boxes(record, self._state.gt_names, self._state.selection.gt, shown)
        else:
            side.take_results(shown)

    def _fits(self, gt: int | None) -> bool:
        return gt is None or gt < len(self.a.gt_names)

    # ------------------------------------------------------------------ one selection, one set of layers

    def _on_selection(self, source: Viewing, target: Viewing, chosen: Selection) -> None:
        """The other canvas, and the window, select the same box; an anchor where the grids are the same."""
        if self._linking:
            return
        with self._quiet():
            anchor = None if chosen.anchor is None else _partner(source, target, chosen.anchor)
            target.select(Selection(gt=chosen.gt, anchor=anchor))
            if self._state.selection.gt != chosen.gt and self.a.loaded is self._state.loaded:
                self._state.select(Selection(gt=chosen.gt))

    def _on_layers(self, source: Viewing, target: Viewing) -> None:
        if not self._linking:
            with self._quiet():
                target.take_layers(source)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """What changes here is not carried over."""
        before, self._linking = self._linking, True
        try:
            yield
        finally:
            self._linking = before


def _partner(source: Viewing, target: Viewing, anchor: int) -> int | None:
    if source.result is None or target.result is None:
        return None
    there = partners(source.result.anchors, target.result.anchors)
    return None if there is None else int(there[anchor])
