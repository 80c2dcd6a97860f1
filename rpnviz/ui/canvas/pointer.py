"""What the pointer does on the canvas: hover, click, drag."""

from __future__ import annotations

from typing import Protocol

from PySide6.QtCore import QObject, QPoint, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QCursor, QMouseEvent

from rpnviz.app import texts
from rpnviz.app.state import AppState, Selection
from rpnviz.core.pipeline import Result
from rpnviz.drawing.scene import Layer, LayerKey, World
from rpnviz.ui.canvas.picking import Hit, pick, pick_any_anchor

_REACH = 6
_HOVER_DELAY_MS = 80


class Canvas(Protocol):
    """What the pointer asks of the view it moves over; the view forwards its events."""

    layers: tuple[Layer, ...]

    def _to_image(self, point: QPointF) -> QPointF:
        """Original pixels of a widget position."""

    def pan_by(self, moved: QPointF) -> None:
        """Move what is seen by a way on the screen."""

    def update(self) -> None:
        """Paint again soon."""

    def setCursor(self, cursor: QCursor | Qt.CursorShape) -> None:
        """Another shape of the pointer."""

    def unsetCursor(self) -> None:
        """The usual shape of the pointer."""


class Pointer(QObject):
    """Names the box under the pointer, selects by a click, pans by a drag."""

    hovered = Signal(str)

    def __init__(self, view: Canvas, state: AppState) -> None:
        super().__init__(view if isinstance(view, QObject) else None)
        self._view = view
        self._state = state
        self._hits: list[Hit] = []
        self._hit_number = 0
        self._hits_at: QPointF | None = None
        self._press: QPoint | None = None
        self._pan_from: QPointF | None = None
        self._position: QPointF | None = None
        self._alt = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_HOVER_DELAY_MS)
        self._timer.timeout.connect(self._look)

    # ------------------------------------------------------------------ hover

    @property
    def hover_hit(self) -> Hit | None:
        """The box that the pointer names, None if there is none."""
        return self._hits[self._hit_number] if self._hits else None

    def find(self, point: QPointF, any_anchor: bool) -> list[Hit]:
        """Boxes near a widget position, best first; ``any_anchor``: whether drawn or not."""
        place = self._view._to_image(point)
        reach = self._view._to_image(point + QPointF(_REACH, 0)).x() - place.x()
        result = self._state.result
        if any_anchor and result is not None:
            return pick_any_anchor(result, place.x(), place.y(), reach)
        return pick(self._view.layers, place.x(), place.y(), reach)

    def forget(self) -> None:
        """What was under the pointer has moved; look again soon."""
        self._hits, self._hits_at = [], None
        self._say()
        if self._position is not None:
            self._timer.start()

    def cycle(self, step: int) -> bool:
        """Name the next box under the pointer; False if there is no other."""
        if len(self._hits) < 2:
            return False
        self._hit_number = (self._hit_number + step) % len(self._hits)
        self._say()
        return True

    def _look(self) -> None:
        if self._position is not None:
            self._look_at(self._position, self._alt)
            self._say()

    def _look_at(self, point: QPointF, any_anchor: bool) -> None:
        self._hits = self.find(point, any_anchor)
        self._hits_at, self._hit_number = point, 0

    def _say(self) -> None:
        hit = self.hover_hit
        text = ""
        if hit is not None:
            text = self._describe(hit)
            if len(self._hits) > 1:
                text = f"{text} · {self._hit_number + 1}/{len(self._hits)}, Tab"
        self.hovered.emit(text)
        self._view.update()

    def _describe(self, hit: Hit) -> str:
        result: Result | None = self._state.result
        if hit.key is LayerKey.GT:
            shown = self._state.shown
            name = self._state.gt_names[hit.index]
            return texts.gt_line(shown.training, hit.index, name) if shown is not None else name
        if result is None:
            return ""
        proposal = self._state.world is World.MODEL and hit.key is not LayerKey.NEGATIVE
        return texts.proposal_line(result, hit.index) if proposal else texts.anchor_line(result, hit.index)

    # ------------------------------------------------------------------ events of the view

    def move(self, event: QMouseEvent) -> None:
        """Follow the pointer: pan while a button is held, else look soon."""
        position = event.position()
        if self._pan_from is not None:
            moved, self._pan_from = position - self._pan_from, position
            self._view.pan_by(moved)
            return
        if self._press is not None and (position.toPoint() - self._press).manhattanLength() > 4:
            self._pan_from = position
            self._view.setCursor(Qt.CursorShape.ClosedHandCursor)
            return
        self._position = position
        self._alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        self._timer.start()

    def press(self, event: QMouseEvent) -> None:
        """A drag or a click begins."""
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._press = event.position().toPoint()

    def release(self, event: QMouseEvent) -> None:
        """A drag ends, or a click selects."""
        panned = self._pan_from is not None
        was_pressed = self._press is not None
        self._press = self._pan_from = None
        self._view.unsetCursor()
        if not panned and was_pressed and event.button() == Qt.MouseButton.LeftButton:
            if self._hits_at != event.position():
                # Faster than the hover: what counts is what lies under the click.
                self._look_at(event.position(), bool(event.modifiers() & Qt.KeyboardModifier.AltModifier))
            self._choose(self.hover_hit)

    def enter(self, position: QPointF) -> None:
        """The pointer has come."""
        self._position = position

    def leave(self) -> None:
        """The pointer has gone."""
        self._position = None
        self._timer.stop()
        self.forget()

    def key(self, key: Qt.Key) -> bool:
        """Return selects what is named; True if the key was of use."""
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.hover_hit is not None:
            self._choose(self.hover_hit)
            return True
        return False

    def _choose(self, hit: Hit | None) -> None:
        if hit is None:
            self._state.select(Selection())
        elif hit.key is LayerKey.GT:
            self._state.select(Selection(gt=hit.index))
        else:
            self._state.select(Selection(gt=self._state.selection.gt, anchor=hit.index))
