"""What the pointer and the keys pick on the canvas: hover, click, list, rubber band, steps from anchor to anchor.

Shift belongs to picking (Shift+drag, Shift+wheel): the bare drag pans, the bare wheel zooms. Ctrl+wheel means zooming
to most people; Alt+wheel is swapped to the horizontal axis by Qt and often taken by the window manager.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QCursor, QKeyEvent, QMouseEvent, QPainter, QPen, QWheelEvent
from PySide6.QtWidgets import QWidget

from rpnviz.app import texts
from rpnviz.app.inspector import Inspector
from rpnviz.app.viewing import Many, Selection, Viewing
from rpnviz.app.way import Look
from rpnviz.core.picking import best_overlap, index_of, neighbour
from rpnviz.core.pipeline import Result
from rpnviz.drawing.scene import MAX_OUTLINES, Layer, World
from rpnviz.palette import Theme
from rpnviz.ui.canvas.boxes_menu import BoxesMenu
from rpnviz.ui.canvas.picking import Box, Hit, Hits, Picker, boxes_of
from rpnviz.ui.canvas.way import draw_step
from rpnviz.ui.theme import COLOURS

_REACH = 6
_HOVER_DELAY_MS = 80
DRAG_FROM = 4
"""Device-independent px that tell a drag from a click."""
_FEW = 40
"""Selected boxes that are outlined boldly; more would cover what is below them."""
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_ALT = Qt.KeyboardModifier.AltModifier
_COMMANDS = Qt.KeyboardModifier.ControlModifier | _ALT | Qt.KeyboardModifier.MetaModifier

_STEPS = {
    Qt.Key.Key_Left: {"columns": -1},
    Qt.Key.Key_Right: {"columns": 1},
    Qt.Key.Key_Up: {"rows": -1},
    Qt.Key.Key_Down: {"rows": 1},
}
_SHIFT_STEPS = {
    Qt.Key.Key_Left: {"cells": -1},
    Qt.Key.Key_Right: {"cells": 1},
    Qt.Key.Key_Up: {"levels": 1},
    Qt.Key.Key_Down: {"levels": -1},
}


class Canvas(Protocol):
    """What the pointer asks of the view it moves over, besides being its parent; the view forwards its events."""

    layers: tuple[Layer, ...]

    def _to_image(self, point: QPointF) -> QPointF:
        """Original pixels of a widget position."""

    def _to_view(self, x: float, y: float) -> QPointF:
        """Widget position of original pixels."""

    def pan_by(self, moved: QPointF) -> None:
        """Move what is seen by a way on the screen."""

    def show_box(self, box: Box) -> None:
        """Bring a box (original pixels) into view."""

    def describe_place(self, x: float, y: float) -> str:
        """What is shown at a place (original pixels) besides boxes."""

    def width(self) -> int:
        """Of the widget, device-independent px."""

    def height(self) -> int:
        """Of the widget, device-independent px."""

    def update(self) -> None:
        """Paint again soon."""

    def setCursor(self, cursor: QCursor | Qt.CursorShape) -> None:
        """Another shape of the pointer."""

    def unsetCursor(self) -> None:
        """The usual shape of the pointer."""


class Pointer(QObject):
    """Names the box under the pointer, selects, pans, and draws what it has picked over the frame."""

    hovered = Signal(str)

    def __init__(
        self, view: Canvas, widget: QWidget, state: Viewing, theme: Theme, inspector: Inspector | None = None
    ) -> None:
        """``view`` and ``widget`` are the same object: what is asked of it, and the parent of pop-ups."""
        super().__init__(widget)
        self._inspector = inspector
        if inspector is not None:
            inspector.stepped.connect(self._on_step)
        self._view = view
        self._widget = widget
        self._state = state
        self.theme = theme
        self._prefers_gt = False
        self._picker = Picker((), None, World.TRAINING)
        self._picker_of: Result | None = None
        self._hits: Hits | None = None
        self._hit_number = 0
        self._hits_at: QPointF | None = None
        self._button = Qt.MouseButton.NoButton
        self._press: QPointF | None = None
        self._pan_from: QPointF | None = None
        self._band_from: QPointF | None = None  # original pixels, so that it stays put while the wheel zooms
        self._banding = False
        self._position: QPointF | None = None
        self._alt = False
        self._wheel = 0
        self._menu: BoxesMenu | None = None
        self._listed: Hit | None = None
        self._many_boxes: tuple[Many, Result, NDArray[np.float64]] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_HOVER_DELAY_MS)
        self._timer.timeout.connect(self._look)
        state.result_changed.connect(self._close_list)  # its entries are boxes of the result before

    # ------------------------------------------------------------------ hover

    @property
    def hover_hit(self) -> Hit | None:
        """The box that the pointer names, None if there is none."""
        return self._hits[self._hit_number] if self._hits is not None and len(self._hits) else None

    @property
    def position(self) -> QPointF | None:
        """Where the pointer is on the widget, None if it is elsewhere."""
        return self._position

    def prefer_gt(self, preferred: bool) -> None:
        """Let a click select the ground truth where there is any, whatever else is nearer."""
        self._prefers_gt = preferred

    def find(self, point: QPointF, *, anything: bool = False, inside: bool = False) -> Hits:
        """Boxes at a widget position, best first; see :meth:`Picker.at`."""
        place = self._view._to_image(point)
        reach = self._view._to_image(point + QPointF(_REACH, 0)).x() - place.x()
        return self._ready().at(place.x(), place.y(), reach, anything=anything, inside=inside)

    def _ready(self) -> Picker:
        result = self._state.result
        if self._picker.layers is not self._view.layers or self._picker_of is not result:
            self._picker, self._picker_of = Picker(self._view.layers, result, self._state.world), result
        return self._picker

    def forget(self) -> None:
        """What was under the pointer has moved; look again soon."""
        self._hits, self._hits_at = None, None
        self._say()
        if self._position is not None:
            self._timer.start()

    def drop(self) -> None:
        """The image has gone, and with it what was being done to it."""
        self._end_drag()
        self._picker, self._picker_of, self._many_boxes = Picker((), None, World.TRAINING), None, None
        self._close_list()
        self.forget()

    def cycle(self, step: int, *, around: bool = False) -> bool:
        """Name the next (1) or previous (-1) box under the pointer.

        Returns:
            False where there is none: behind the last and before the first, unless ``around``.
        """
        if self._hits is None or len(self._hits) < 2:
            return False
        number = self._hit_number + step
        if around:
            number %= len(self._hits)
        elif not 0 <= number < len(self._hits):
            return False
        self._hit_number = number
        self._say()
        return True

    def _look(self) -> None:
        if self._position is not None and self._press is None:
            self._look_at(self._position, self._alt)
            self._say()

    def _look_at(self, point: QPointF, anything: bool) -> None:
        self._hits = self.find(point, anything=anything)
        self._hits_at, self._hit_number = point, 0

    def _say(self) -> None:
        hit, text = self.hover_hit, ""
        if hit is None and self._hits is not None and self._position is not None:
            place = self._view._to_image(self._position)
            text = self._view.describe_place(place.x(), place.y())
        if hit is not None and self._hits is not None:
            text = self._describe(hit)
            if len(self._hits) > 1:
                text = f"{text} · {self._hit_number + 1:,}/{self._hits.total:,}, Tab"
        self.hovered.emit(text)
        self._view.update()

    def _describe(self, hit: Hit) -> str:
        result: Result | None = self._state.result
        if hit.kind.is_gt:
            shown, names = self._state.shown, self._state.gt_names
            name = names[hit.index] if hit.index < len(names) else ""
            known = shown is not None and hit.index < len(shown.training.match.ranks)
            return texts.gt_line(shown.training, hit.index, name) if shown is not None and known else name
        if result is None:
            return ""
        model = self._state.world is World.MODEL
        return texts.proposal_line(result, hit.index) if model else texts.anchor_line(result, hit.index)

    def _brief(self, hit: Hit) -> str:
        """One line for the list, whose sections say what kind of box it is."""
        result = self._state.result
        if hit.kind.is_gt or result is None:
            return self._describe(hit).replace("\n", " · ")
        model = self._state.world is World.MODEL
        return texts.proposal_brief(result, hit.index) if model else texts.anchor_brief(result, hit.index)

    # ------------------------------------------------------------------ mouse

    def move(self, event: QMouseEvent) -> None:
        """Follow the pointer: pan or span while a button is held, else look soon."""
        position = event.position()
        self._position = position
        self._alt = bool(event.modifiers() & _ALT)
        if self._pan_from is not None:
            moved, self._pan_from = position - self._pan_from, position
            self._view.pan_by(moved)
        elif self._press is None:
            self._timer.start()
        elif self._banding or (position - self._press).manhattanLength() > DRAG_FROM:
            if self._band_from is not None:
                self._banding = True
                self.hovered.emit(f"{len(self._ready().within(self._band())):,} boxes inside")
                self._view.update()
            else:
                self._pan_from = position
                self._view.setCursor(Qt.CursorShape.ClosedHandCursor)

    def press(self, event: QMouseEvent) -> None:
        """A drag or a click begins; with Shift a rubber band."""
        if self._press is not None or event.button() not in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            return
        self._button, self._press = event.button(), event.position()
        if event.button() == Qt.MouseButton.LeftButton and event.modifiers() & _SHIFT:
            self._band_from = self._view._to_image(event.position())
            self._view.setCursor(Qt.CursorShape.CrossCursor)

    def release(self, event: QMouseEvent) -> None:
        """A drag ends, or a click selects."""
        if self._press is None or event.button() != self._button:
            return
        self._position = event.position()
        band = self._band() if self._banding else None
        panned = self._pan_from is not None
        self._end_drag()
        if band is not None:
            self._choose_many(band)
        elif not panned and event.button() == Qt.MouseButton.LeftButton:
            if self._hits_at != event.position():
                # Faster than the hover: what counts is what lies under the click.
                self._look_at(event.position(), bool(event.modifiers() & _ALT))
            ground_truth = (hit for hit in self._hits or () if hit.kind.is_gt) if self._prefers_gt else iter(())
            self._choose(next(ground_truth, self.hover_hit))

    def cancel(self) -> bool:
        """Give up a rubber band that is being drawn; False if there is none."""
        if self._band_from is None:
            return False
        self._end_drag()
        self._say()
        return True

    def _end_drag(self) -> None:
        self._press = self._pan_from = self._band_from = None
        self._banding = False
        self._view.unsetCursor()

    def wheel(self, event: QWheelEvent) -> None:
        """Shift+wheel names one box after the other; where a system turns it sideways, the other axis counts."""
        delta = event.angleDelta()
        self._wheel += delta.y() or delta.x()
        steps = int(self._wheel / 120)
        if not steps:
            return
        self._wheel -= 120 * steps
        self._position = event.position()
        if self._hits is None or self._hits_at != event.position():
            self._timer.stop()
            self._look_at(event.position(), self._alt)
            self._say()
        else:
            self.cycle(-steps, around=True)

    def enter(self, position: QPointF) -> None:
        """The pointer has come."""
        self._position = position

    def leave(self) -> None:
        """The pointer has gone; a drag goes on without it."""
        if self._press is not None:
            return
        self._position = None
        self._timer.stop()
        self.forget()

    def _choose(self, hit: Hit | None) -> None:
        if hit is None:
            self._state.select(Selection())
        elif hit.kind.is_gt:
            self._state.select(Selection(gt=hit.index))
        else:
            self._state.select(Selection(gt=self._state.selection.gt, anchor=hit.index))

    # ------------------------------------------------------------------ list

    def open_list(self, point: QPointF | None, *, anything: bool) -> None:
        """Pop up a list of everything at a widget position.

        Args:
            point: None: where the pointer is, else the selected box, else the middle.
            anything: list every anchor, drawn or not.
        """
        if self._press is not None or (self._menu is not None and self._menu.isVisible()):
            return
        if point is None:
            point = self._keyboard_place()
        current = self._current(point)
        hits = self.find(point, anything=anything, inside=True)
        menu = BoxesMenu(hits, current, self._brief, self.theme, self._widget)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.pointed.connect(self._point_at)
        menu.chosen.connect(self._choose)
        menu.destroyed.connect(self._forget_menu)
        self._menu = menu
        menu.popup(self._widget.mapToGlobal(point.toPoint()))

    def _close_list(self) -> None:
        if self._menu is not None:
            self._menu.close()

    def _forget_menu(self) -> None:
        self._menu = None

    def _keyboard_place(self) -> QPointF:
        room = QRectF(0, 0, self._view.width(), self._view.height())
        if self._position is not None and room.contains(self._position):
            return self._position
        box = self._selected_box()
        if box is not None:
            corner = self._view._to_view(box[0], box[1])
            if room.contains(corner):
                return corner
        return room.center()

    def _current(self, point: QPointF) -> Hit | None:
        """What is checked in the list: the selected box, else the one that the hover names there."""
        chosen = self._state.selection
        shown = self.hover_hit if self._hits_at == point else None
        wanted = (False, chosen.anchor) if chosen.anchor is not None else (True, chosen.gt)
        if wanted[1] is None:
            return shown
        for hit in self.find(point, anything=True, inside=True):
            if (hit.kind.is_gt, hit.index) == wanted:
                return hit
        return shown

    def _point_at(self, hit: Hit | None) -> None:
        self._listed = hit
        self._view.update()

    # ------------------------------------------------------------------ many

    def _band(self) -> Box:
        """The rubber band as a box, original pixels."""
        assert self._band_from is not None
        assert self._position is not None
        a, b = self._band_from, self._view._to_image(self._position)
        return min(a.x(), b.x()), min(a.y(), b.y()), max(a.x(), b.x()), max(a.y(), b.y())

    def _choose_many(self, band: Box) -> None:
        """Select what lies wholly inside; a single box as a click would."""
        many = self._ready().within(band)
        gt = self._state.selection.gt
        if len(many) == 1 and len(many.gts):
            self._state.select(Selection(gt=int(many.gts[0])))
        elif len(many) == 1:
            self._state.select(Selection(gt=gt, anchor=int(many.anchors[0])))
        else:
            self._state.select(Selection(gt=gt, many=many if len(many) else None))
        self.forget()

    def _boxes_of_many(self) -> NDArray[np.float64]:
        """The boxes of the selected many, (N, 4) original pixels; none if there are too many to outline."""
        chosen, result, record = self._state.selection.many, self._state.result, self._state.record
        if chosen is None or result is None or record is None or len(chosen) > MAX_OUTLINES:
            return np.zeros((0, 4))
        made = self._many_boxes
        if made is None or made[0] is not chosen or made[1] is not result:
            boxes = boxes_of(result, self._state.world, chosen.anchors)
            made = self._many_boxes = chosen, result, np.concatenate([boxes, record.gt.boxes[chosen.gts]])
        return made[2]

    # ------------------------------------------------------------------ keys

    def key(self, event: QKeyEvent) -> bool:
        """Steps from the selected anchor, selects what is named, opens the list; True if the key was of use."""
        key, shift = Qt.Key(event.key()), bool(event.modifiers() & _SHIFT)
        if key == Qt.Key.Key_Alt:
            self._hold_alt(True)
            return False
        if event.modifiers() & _COMMANDS:
            return False
        if key == Qt.Key.Key_Menu or (key == Qt.Key.Key_F10 and shift):
            self.open_list(None, anything=False)
            return True
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.hover_hit is not None:
            self._choose(self.hover_hit)
            return True
        steps = (_SHIFT_STEPS if shift else _STEPS).get(key)
        chosen, result = self._state.selection, self._state.result
        if steps is None or chosen.anchor is None or result is None:
            return False
        found = neighbour(result.anchors, chosen.anchor, **steps)
        if found is not None:
            self._state.select(Selection(gt=chosen.gt, anchor=found))
            self._show_selected()
        return True

    def key_up(self, event: QKeyEvent) -> None:
        """Without Alt the negatives are passed over again."""
        if event.key() == Qt.Key.Key_Alt:
            self._hold_alt(False)

    def _hold_alt(self, held: bool) -> None:
        if held != self._alt:
            self._alt = held
            self.forget()

    def select_anchor(self) -> None:
        """Select the best anchor of the selected ground truth, else the one whose centre is nearest to the pointer."""
        result, gt = self._state.result, self._state.selection.gt
        if result is None:
            return
        model = self._state.world is World.MODEL and result.decoded is not None
        source = result.decoded if model and result.decoded is not None else result.anchors
        found: int | None
        if gt is not None and gt < len(result.gt.boxes):
            boxes = result.decoded.boxes_input if model and result.decoded is not None else result.anchors.boxes
            found = best_overlap(boxes, result.gt.boxes[gt])
        else:
            place = self._position or QPointF(self._view.width() / 2, self._view.height() / 2)
            at = self._view._to_image(place)
            x, y = result.frame.to_input(np.array([[at.x(), at.y(), at.x(), at.y()]]))[0, :2].tolist()
            found = index_of(source).nearest(x, y)
        if found is not None:
            self._state.select(Selection(gt=gt, anchor=found))
            self._show_selected()

    def _show_selected(self) -> None:
        box = self._selected_box()
        if box is not None:
            self._view.show_box(box)

    # ------------------------------------------------------------------ painting

    def paint(self, painter: QPainter, held: bool = False) -> None:
        """Draw the selection, the named box and the rubber band, in widget coordinates.

        Args:
            painter: of the widget.
            held: the selected box moves with the hand, and whoever moves it draws it.
        """
        colours = COLOURS[self.theme]
        accent, text = QColor(colours.accent), QColor(colours.text)
        many = self._boxes_of_many()
        if len(many):
            self._outline(painter, many, accent, 2 if len(many) <= _FEW else 1)
        step = self._inspector.shown if self._inspector is not None else None
        if step is None or not any(mark.look is Look.SELECTED for mark in step.marks):
            selected = self._selected_box()
            if selected is not None and not held:
                self._outline(painter, np.array([selected]), accent, 3)
        if step is not None:
            draw_step(painter, step, self._view._to_view, self._limit(), self.theme)
        hit = self._listed or self.hover_hit
        if hit is not None and not held:
            self._outline(painter, np.array([hit.box]), text, 2)
        if self._banding:
            x1, y1, x2, y2 = self._band()
            band = QRectF(self._view._to_view(x1, y1), self._view._to_view(x2, y2))
            inside = QColor(accent)
            inside.setAlpha(40)
            painter.fillRect(band, inside)
            painter.setPen(QPen(accent, 1, Qt.PenStyle.DashLine))
            painter.drawRect(band)

    def _outline(self, painter: QPainter, boxes: NDArray[np.float64], colour: QColor, width: float) -> None:
        """Outline boxes (N, 4), original pixels; the wider lines with a casing below all of them."""
        # Far beyond the widget's edge the raster engine loses the line.
        limit = self._limit()
        rects = []
        for x1, y1, x2, y2 in boxes[np.isfinite(boxes).all(axis=1)].tolist():
            rect = QRectF(self._view._to_view(x1, y1), self._view._to_view(x2, y2)).normalized()
            rects.append(rect.intersected(limit) if max(rect.width(), rect.height()) > 1e6 else rect)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if width > 1:
            painter.setPen(QPen(QColor(COLOURS[self.theme].canvas), width + 2))
            painter.drawRects(rects)
        painter.setPen(QPen(colour, width))
        painter.drawRects(rects)

    def _limit(self) -> QRectF:
        """The widget and a little more."""
        return QRectF(0, 0, self._view.width(), self._view.height()).adjusted(-8, -8, 8, 8)

    def _on_step(self) -> None:
        """The box of another step is looked at."""
        step = self._inspector.shown if self._inspector is not None else None
        if step is not None and step.marks:
            self._view.show_box(step.marks[-1].box)
        self._view.update()

    def _selected_box(self) -> Box | None:
        chosen, result, record = self._state.selection, self._state.result, self._state.record
        if chosen.many is not None:
            return None
        if chosen.anchor is not None and result is not None and chosen.anchor < len(result.anchors):
            x1, y1, x2, y2 = boxes_of(result, self._state.world, np.array([chosen.anchor]))[0].tolist()
            return x1, y1, x2, y2
        if chosen.gt is not None and record is not None and chosen.gt < len(record.gt.boxes):
            x1, y1, x2, y2 = record.gt.boxes[chosen.gt].tolist()
            return x1, y1, x2, y2
        return None
