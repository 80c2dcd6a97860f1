"""The canvas: photo and layers as one NumPy frame at viewport resolution, zoom, pan, hover and selection."""

from __future__ import annotations

import dataclasses

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QEnterEvent,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from rpnviz.app.state import AppState
from rpnviz.drawing.frame import DIM, SATURATION, Photo, Viewport, paint
from rpnviz.drawing.scene import Layer, LayerKey, World, make_layers
from rpnviz.palette import Theme
from rpnviz.ui.canvas.picking import Hit
from rpnviz.ui.canvas.pointer import Pointer
from rpnviz.ui.theme import COLOURS

_MARGIN = 16
_MAX_SCALE = 64.0


class CanvasView(QWidget):
    """Shows the state; the wheel zooms at the pointer, a drag pans; what is picked is the :class:`Pointer`'s matter.

    The frame is composed when it is painted, at most once per event
    loop turn; photo and layers are kept apart, so that a threshold move repaints only the layers.
    """

    hovered = Signal(str)
    zoomed = Signal(float)
    painted = Signal()
    resized = Signal()
    copy_wanted = Signal()

    def __init__(self, state: AppState, theme: Theme) -> None:
        super().__init__()
        self._state = state
        self._theme = theme
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Image with boxes")
        self.setMinimumSize(160, 120)
        self.dim = DIM
        self.saturation = SATURATION
        self._photo: Photo | None = None
        self._size = (1, 1)
        self._fit = True
        self._scale = 1.0
        self._centre = QPointF(0, 0)
        self.layers: tuple[Layer, ...] = ()
        self._base: np.ndarray | None = None
        self._frame: np.ndarray | None = None
        self._image: QImage | None = None
        self.pointer = Pointer(self, self, state, theme)
        self.pointer.hovered.connect(self.hovered)
        state.image_changed.connect(self._on_image)
        state.result_changed.connect(self._on_layers)
        state.layers_changed.connect(self._on_layers)
        state.selection_changed.connect(lambda _selection: self._redraw())

    # ------------------------------------------------------------------ what is shown

    def _on_image(self) -> None:
        loaded = self._state.loaded
        if loaded is None:
            return
        if self._photo is None or self._photo_source is not loaded:
            self._photo_source = loaded
            self._photo = Photo(loaded.pixels)
            self._size = loaded.size
            self.layers = ()
            self.pointer.drop()
            self.fit()

    def _on_layers(self) -> None:
        result = self._state.result
        if result is None:
            shown = self._state.shown
            # The Model world before the model has answered: ground truth alone, which does not depend on it.
            if shown is not None and self._state.world is World.MODEL:
                options = dataclasses.replace(self._state.layers, visible=frozenset({LayerKey.GT}), everything=False)
                self.layers = make_layers(shown.training, World.MODEL, options, self._state.gt_names)
            else:
                self.layers = ()
        else:
            self.layers = make_layers(result, self._state.world, self._state.layers, self._state.gt_names)
        self.pointer.forget()
        self._redraw()

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's theme."""
        self._theme = self.pointer.theme = theme
        self._base = None
        self._redraw()

    def set_dim(self, dim: float) -> None:
        """Darken the photo towards the background, 0 to 1."""
        self.dim = dim
        self._base = None
        self._redraw()

    # ------------------------------------------------------------------ zoom and pan

    @property
    def zoom(self) -> float:
        """Device-independent screen pixels per original pixel."""
        return self._scale

    def fit(self) -> None:
        """Show the whole image, and keep doing so while the window changes its size."""
        height, width = self._size
        room_x = max(self.width() - 2 * _MARGIN, 8)
        room_y = max(self.height() - 2 * _MARGIN, 8)
        self._fit = True
        self._set_view(min(room_x / width, room_y / height, _MAX_SCALE), QPointF(width / 2, height / 2))

    def zoom_to(self, scale: float, at: QPointF | None = None) -> None:
        """Zoom to ``scale`` and keep what is under ``at`` (widget position, default the middle) in place."""
        smallest = min(1.0, 32 / max(self._size))
        scale = min(max(scale, smallest), _MAX_SCALE)
        middle = QPointF(self.width() / 2, self.height() / 2)
        anchor = middle if at is None else at
        fixed = self._to_image(anchor)
        self._fit = False
        self._set_view(scale, fixed - (anchor - middle) / scale)

    def show_box(self, box: tuple[float, float, float, float]) -> None:
        """Bring a box (original pixels) into view without changing the zoom, unless it is in view already."""
        if not np.isfinite(box).all():
            return
        rect = QRectF(QPointF(box[0], box[1]), QPointF(box[2], box[3]))
        top_left, bottom_right = self._to_image(QPointF(0, 0)), self._to_image(QPointF(self.width(), self.height()))
        if not QRectF(top_left, bottom_right).contains(rect.center()):
            self._fit = False
            self._set_view(self._scale, rect.center())

    def _set_view(self, scale: float, centre: QPointF) -> None:
        height, width = self._size
        self._scale = scale
        self._centre = QPointF(min(max(centre.x(), 0.0), float(width)), min(max(centre.y(), 0.0), float(height)))
        self._base = None
        self.pointer.forget()
        self._redraw()
        self.zoomed.emit(scale)

    def _to_image(self, point: QPointF) -> QPointF:
        middle = QPointF(self.width() / 2, self.height() / 2)
        return self._centre + (point - middle) / self._scale

    def _to_view(self, x: float, y: float) -> QPointF:
        middle = QPointF(self.width() / 2, self.height() / 2)
        return (QPointF(x, y) - self._centre) * self._scale + middle

    def _viewport(self) -> Viewport:
        ratio = self.devicePixelRatioF()
        width = max(1, round(self.width() * ratio))
        height = max(1, round(self.height() * ratio))
        origin = self._to_view(0, 0) * ratio
        return Viewport(width, height, self._scale * ratio, origin.x(), origin.y())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.resized.emit()
        if self._fit:
            self.fit()
        else:
            self._base = None
            self._redraw()

    # ------------------------------------------------------------------ painting

    def _redraw(self) -> None:
        self._frame = None
        self.update()

    def compose(self) -> np.ndarray:
        """The frame as it is painted, (h, w, 3) uint8 RGB in device pixels."""
        view = self._viewport()
        if self._photo is None:
            frame = np.empty((view.height, view.width, 3), np.uint8)
            colour = QColor(COLOURS[self._theme].canvas)
            frame[:] = (colour.red(), colour.green(), colour.blue())
            return frame
        if self._base is None or self._base.shape[:2] != (view.height, view.width):
            self._base = self._photo.render(view, self.dim, self.saturation, self._theme)
        frame = self._base.copy()
        paint(frame, self.layers, view, self._theme, self.devicePixelRatioF())
        return frame

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._frame is None:
            self._frame = self.compose()
            height, width = self._frame.shape[:2]
            self._image = QImage(self._frame.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._image.setDevicePixelRatio(self.devicePixelRatioF())
        painter = QPainter(self)
        try:
            assert self._image is not None
            painter.drawImage(QPointF(0, 0), self._image)
            self.pointer.paint(painter)
        finally:
            painter.end()
        self.painted.emit()

    # ------------------------------------------------------------------ mouse and keys

    @property
    def hover_hit(self) -> Hit | None:
        """The box that the pointer names, None if there is none."""
        return self.pointer.hover_hit

    def pan_by(self, moved: QPointF) -> None:
        """Move what is seen by a way on the screen, device-independent px."""
        self._fit = False
        self._set_view(self._scale, self._centre - moved / self._scale)

    _photo_source: object = None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.pointer.move(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.pointer.press(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.pointer.release(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and not len(self.pointer.find(event.position())):
            self.fit()

    def leaveEvent(self, event: QEvent) -> None:
        self.pointer.leave()
        super().leaveEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:
        self.pointer.enter(event.position())
        super().enterEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        by_mouse = event.reason() == QContextMenuEvent.Reason.Mouse
        held = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        self.pointer.open_list(QPointF(event.pos()) if by_mouse else None, anything=held)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.pointer.wheel(event)
            event.accept()
            return
        steps = (event.angleDelta().y() or event.angleDelta().x()) / 120
        if steps:
            self.zoom_to(self._scale * 1.25**steps, event.position())
        event.accept()

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Tab walks through the boxes under the pointer; after the last it moves the focus, as everywhere."""
        return self.pointer.cycle(1 if forward else -1) or super().focusNextPrevChild(forward)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        arrows = {
            Qt.Key.Key_Left: QPointF(60, 0),
            Qt.Key.Key_Right: QPointF(-60, 0),
            Qt.Key.Key_Up: QPointF(0, 60),
            Qt.Key.Key_Down: QPointF(0, -60),
        }
        key = Qt.Key(event.key())
        if self.pointer.key(event):
            return
        if key in arrows and not self._fit:
            self.pan_by(arrows[key])
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_wanted.emit()
        else:
            event.ignore()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        self.pointer.key_up(event)
        event.ignore()
