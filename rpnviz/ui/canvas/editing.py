"""Boxes under the hand: a drag draws one, or moves the selected one or its sides; the matching follows meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from rpnviz.app.box_shapes import Edge, beside, resized, shifted, spanned
from rpnviz.app.editing import Editing
from rpnviz.app.viewing import Viewing
from rpnviz.datasets.edited import Box
from rpnviz.palette import Theme
from rpnviz.ui.canvas.pointer import DRAG_FROM, Canvas
from rpnviz.ui.theme import COLOURS

_GRAB = 7
"""Device-independent px around a side from which it can be pulled."""
_HANDLE = 7
"""Side of a handle, device-independent px."""
_FAR = 10
"""Px that a key moves with Shift."""
_SHIFT, _CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
_ALT = Qt.KeyboardModifier.AltModifier

_CURSORS = {
    Edge.NONE: Qt.CursorShape.SizeAllCursor,
    Edge.LEFT: Qt.CursorShape.SizeHorCursor,
    Edge.RIGHT: Qt.CursorShape.SizeHorCursor,
    Edge.TOP: Qt.CursorShape.SizeVerCursor,
    Edge.BOTTOM: Qt.CursorShape.SizeVerCursor,
    Edge.LEFT | Edge.TOP: Qt.CursorShape.SizeFDiagCursor,
    Edge.RIGHT | Edge.BOTTOM: Qt.CursorShape.SizeFDiagCursor,
    Edge.LEFT | Edge.BOTTOM: Qt.CursorShape.SizeBDiagCursor,
    Edge.RIGHT | Edge.TOP: Qt.CursorShape.SizeBDiagCursor,
}
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


@dataclass
class _Drag:
    """A drag that has begun; the object itself makes its changes one step of undo.

    Attributes:
        start: where, on the widget.
        at: the same in original pixels, so that it stays put while the wheel zooms.
        gt: the box that moves; None: one is drawn, and none is there yet.
        box: how it was; None: it had no numbers, and is drawn.
        edges: its sides that move; none: all of it.
        under_way: whether the hand has moved far enough.
        now: where the box is by now; None: nowhere yet.
        given: where the data set has it.
    """

    start: QPointF
    at: tuple[float, float]
    gt: int | None
    box: Box | None
    edges: Edge
    under_way: bool = False
    now: Box | None = None
    given: Box | None = None


class BoxEditor(QObject):
    """Takes the events of the canvas while :attr:`Editing.on`; what it does not want is the pointer's."""

    said = Signal(str)

    def __init__(self, view: Canvas, widget: QWidget, state: Viewing, editing: Editing, theme: Theme) -> None:
        super().__init__(widget)
        self._view, self._state, self._editing = view, state, editing
        self.theme = theme
        self._drag: _Drag | None = None
        self._late = self._pans = self._applies = False
        state.result_changed.connect(self._catch_up)
        state.image_changed.connect(self._on_image)
        editing.changed.connect(self._on_editing)

    @property
    def held(self) -> bool:
        """Whether the button is down on what may become a drag of a box."""
        return self._drag is not None

    @property
    def dragging(self) -> bool:
        """Whether a box moves with the hand."""
        return self._drag is not None and self._drag.under_way

    # ------------------------------------------------------------------ mouse

    def press(self, event: QMouseEvent) -> bool:
        """A drag may begin; False: it is none of a box."""
        plain = event.button() == Qt.MouseButton.LeftButton and not event.modifiers() & _SHIFT
        if not self._editing.on or not plain or self._pans or self._drag is not None:
            return False
        point = event.position()
        grabbed = None if event.modifiers() & _CTRL else self._edges_at(point)
        gt = self._editing.selected
        box = self._editing.box(gt) if gt is not None else None
        if grabbed is None and box is not None:
            gt, box = None, None  # a new one; a selected box without numbers gets some
        self._drag = _Drag(point, self._place(point), gt, box, grabbed or Edge.NONE, given=box)
        return True

    def move(self, event: QMouseEvent) -> bool:
        """The hand has moved; False: it does not hold a box."""
        drag = self._drag
        if drag is None:
            if self._editing.on and event.buttons() == Qt.MouseButton.NoButton:
                self._show_cursor(event)
            return False
        if not event.buttons() & Qt.MouseButton.LeftButton:
            self._forget()  # its release went to a menu or another window
            return False
        drag.under_way = drag.under_way or (event.position() - drag.start).manhattanLength() > DRAG_FROM
        if drag.under_way:
            self._pull(event)
            self._apply()
            self._view.update()
        return True

    def release(self, event: QMouseEvent) -> bool:
        """The drag ends; False: it was a click, or none."""
        drag = self._drag
        if drag is None or event.button() != Qt.MouseButton.LeftButton:
            return False
        if drag.under_way:
            self._pull(event)
            self._apply(last=True)
        self._drag = None
        self._view.update()
        return drag.under_way

    def cancel(self) -> bool:
        """Give up a drag: its box is where it was, or not there; False if there is none."""
        drag = self._drag
        self._forget()
        if drag is not None and drag.gt is not None and drag.under_way:
            self._editing.give_up(drag)
        return drag is not None

    def _forget(self) -> None:
        """The hand holds no box any more; what it has done stays."""
        self._drag, self._late = None, False
        self._view.update()

    def _pull(self, event: QMouseEvent) -> None:
        """Where the box is by now; with Alt on hundredths of a pixel."""
        drag, size = self._drag, self._editing.size
        assert drag is not None
        x, y = self._place(event.position())
        fine = bool(event.modifiers() & _ALT)
        if drag.box is None:
            if beside(drag.at, (x, y), size):
                self._take_away(drag)
                return
            drag.now = spanned(drag.at, (x, y), size, fine)
        elif drag.edges:
            drag.now = resized(drag.box, drag.edges, (x, y), size, fine)
        else:
            drag.now = shifted(drag.box, x - drag.at[0], y - drag.at[1], size, fine)
        self.said.emit(_words(drag.now))

    def _take_away(self, drag: _Drag) -> None:
        """The hand is beside the image, where it draws nothing."""
        gt, drag.gt, drag.now = drag.gt, None, None
        if gt is not None:
            self._editing.give_up(drag)

    def _apply(self, last: bool = False) -> None:
        """Change the box, unless the screen is still at the change before: that one would never be seen."""
        drag = self._drag
        if drag is None or drag.now is None:
            return
        if self._editing.busy and not last:
            self._late = True
        else:
            self._applies, drag.given = True, drag.now
            try:
                if drag.gt is None:
                    drag.gt = self._editing.draw(drag.now, drag)
                else:
                    self._editing.move(drag.gt, drag.now, drag)
            finally:
                self._applies = False

    def _catch_up(self) -> None:
        if self._late:
            self._late = False
            self._apply()

    def _on_image(self) -> None:
        self._forget()

    def _on_editing(self) -> None:
        drag = self._drag
        if drag is not None and drag.gt is not None and not self._applies and self._editing.box(drag.gt) != drag.given:
            self._forget()  # it was undone or deleted meanwhile, and its index is another box's
        if not self._editing.on:
            self._drag, self._pans = None, False
            self._view.unsetCursor()
        self._view.update()

    # ------------------------------------------------------------------ keys

    def key(self, event: QKeyEvent) -> bool:
        """Arrows move the selected box, with Ctrl its lower right corner, with Shift farther; Space held: drags pan."""
        key, held = Qt.Key(event.key()), event.modifiers()
        if not self._editing.on:
            return False
        if key == Qt.Key.Key_Space:
            self._pans = True
            self._view.setCursor(Qt.CursorShape.OpenHandCursor)
            return True
        arrow = _ARROWS.get(key)
        if arrow is None or held & _ALT:
            return False
        by = _FAR if held & _SHIFT else 1
        return self._editing.nudge(arrow[0] * by, arrow[1] * by, corner=bool(held & _CTRL))

    def key_up(self, event: QKeyEvent) -> None:
        """Without Space drags draw again."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self.let_keys_go()

    def let_keys_go(self) -> None:
        """Space is up, or its going up will be another widget's to hear."""
        if self._pans:
            self._pans = False
            self._view.setCursor(Qt.CursorShape.CrossCursor)

    # ------------------------------------------------------------------ what is under the hand

    def _place(self, point: QPointF) -> tuple[float, float]:
        place = self._view._to_image(point)
        return place.x(), place.y()

    def _rect(self, box: Box) -> QRectF:
        return QRectF(self._view._to_view(box[0], box[1]), self._view._to_view(box[2], box[3])).normalized()

    def _selected_rect(self) -> QRectF | None:
        gt = self._editing.selected
        box = self._editing.box(gt) if gt is not None else None
        return None if box is None else self._rect(box)

    def _edges_at(self, point: QPointF) -> Edge | None:
        """The sides of the selected box at a place; no side: its inside; None: it is not there."""
        rect = self._selected_rect()
        if rect is None or not rect.adjusted(-_GRAB, -_GRAB, _GRAB, _GRAB).contains(point):
            return None
        if rect.contains(QRectF(0, 0, self._view.width(), self._view.height())):
            return None  # nobody who looks at its inside alone wants to move it
        edges = Edge.NONE
        for side, opposite, low, high, at in (
            (Edge.LEFT, Edge.RIGHT, rect.left(), rect.right(), point.x()),
            (Edge.TOP, Edge.BOTTOM, rect.top(), rect.bottom(), point.y()),
        ):
            inside = min(_GRAB, (high - low) / 4)  # a small box can be taken hold of too
            if at <= low + inside:
                edges |= side
            elif at >= high - inside:
                edges |= opposite
        return edges

    def _show_cursor(self, event: QMouseEvent) -> None:
        edges = None if event.modifiers() & _CTRL else self._edges_at(event.position())
        if self._pans:
            self._view.setCursor(Qt.CursorShape.OpenHandCursor)
        else:
            self._view.setCursor(Qt.CursorShape.CrossCursor if edges is None else _CURSORS[edges])

    # ------------------------------------------------------------------ painting

    def paint(self, painter: QPainter) -> None:
        """Draw the handles of the selected box, and the box under the hand where it is by now."""
        if not self._editing.on:
            return
        drag = self._drag
        rect = self._rect(drag.now) if drag is not None and drag.now is not None else self._selected_rect()
        if rect is None:
            return
        colours = COLOURS[self.theme]
        accent = QColor(colours.accent)
        if self.dragging:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for colour, width in ((QColor(colours.canvas), 5), (accent, 3)):
                painter.setPen(QPen(colour, width))
                painter.drawRect(rect)
        painter.setPen(QPen(accent, 1))
        painter.setBrush(QColor(colours.canvas))
        for x in (rect.left(), rect.center().x(), rect.right()):
            for y in (rect.top(), rect.center().y(), rect.bottom()):
                if (x, y) != (rect.center().x(), rect.center().y()):
                    painter.drawRect(QRectF(x - _HANDLE / 2, y - _HANDLE / 2, _HANDLE, _HANDLE))
        painter.setBrush(Qt.BrushStyle.NoBrush)


def _words(box: Box) -> str:
    """What is said of a box under the hand."""
    number: Callable[[float], str] = "{:.10g}".format
    x1, y1, x2, y2 = box
    return f"{number(x2 - x1)} x {number(y2 - y1)} px at {number(x1)}, {number(y1)}"
