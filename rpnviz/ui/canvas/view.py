"""The canvas: photo and layers as one NumPy frame at viewport resolution, zoom, pan, hover and selection."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QEnterEvent,
    QFocusEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from rpnviz.app.editing import Editing
from rpnviz.app.inspector import Inspector
from rpnviz.app.viewing import Viewing
from rpnviz.core.frame import Frame
from rpnviz.drawing.frame import DIM, NO_BACKDROP, SATURATION, Compositor, Photo, blank, legible_grid, make_backdrop
from rpnviz.drawing.heat import value_at
from rpnviz.drawing.photo import network_input
from rpnviz.drawing.scene import Layer, LayerKey, World, make_layers
from rpnviz.palette import Theme, background
from rpnviz.ui.canvas.camera import Camera
from rpnviz.ui.canvas.editing import BoxEditor
from rpnviz.ui.canvas.here import draw_grid_key, draw_here, draw_key
from rpnviz.ui.canvas.picking import Hit
from rpnviz.ui.canvas.pointer import Pointer
from rpnviz.ui.theme import COLOURS

_PREVIEW_FROM_S = 0.028
"""When the last two frames took longer, they are not made at every step of a drag; one may have had more to prepare."""
_REST_MS = 60


class CanvasView(QWidget):
    """Shows the state; the wheel zooms at the pointer, a drag pans; what is picked is the :class:`Pointer`'s matter.

    The frame is composed when it is painted, at most once per event
    loop turn; photo and layers are kept apart, so that a threshold move repaints only the layers.
    """

    hovered = Signal(str)
    zoomed = Signal(float)
    looked = Signal()
    painted = Signal()
    resized = Signal()

    def __init__(
        self, state: Viewing, theme: Theme, inspector: Inspector | None = None, editing: Editing | None = None
    ) -> None:
        """Without ``editing`` the boxes of the image cannot be changed here."""
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
        self._compositor = Compositor()
        self._original: Photo | None = None
        self._content: tuple[Photo, Frame | None] | None = None
        self._wants_whole = False
        self._camera = Camera()
        self.layers: tuple[Layer, ...] = ()
        self.backdrop = NO_BACKDROP
        self._base: np.ndarray | None = None
        self._frame: np.ndarray | None = None
        self._buffer: np.ndarray | None = None
        self._image: QImage | None = None
        self._image_at = QPointF(0, 0), 1.0
        self._moved = False
        self._costs = (0.0, 0.0)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._redraw)
        self.pointer = Pointer(self, self, state, theme, inspector)
        self.pointer.hovered.connect(self.hovered)
        self.pointer.hovered.connect(self._on_hovered)
        self.editor: BoxEditor | None = None
        if editing is not None:
            self.editor = BoxEditor(self, self, state, editing, theme)
            self.editor.said.connect(self.hovered)
            editing.changed.connect(lambda: self.pointer.prefer_gt(editing.on))
        self._alone, self._hover_text = False, ""
        state.image_changed.connect(self._on_image)
        state.photo_changed.connect(self._on_photo)
        state.result_changed.connect(self._on_result)
        state.layers_changed.connect(self._on_layers)
        state.frame_changed.connect(self._on_layers)
        state.here_changed.connect(self.update)
        state.selection_changed.connect(lambda _selection: self._redraw())

    # ------------------------------------------------------------------ what is shown

    def _on_image(self) -> None:
        photo = self._state.photo
        if photo is not None and photo is not self._original:
            self._original, self._wants_whole = photo, False
            self.layers, self.backdrop = (), NO_BACKDROP
            self.pointer.drop()
            self._camera.fitted = True
            self._show_content()

    def _show_content(self) -> None:
        """The original image, or the network input once it is known how that is made."""
        original = self._original
        if original is None:
            return
        result = self._state.result
        frame = result.frame if result is not None and self._state.input_frame else None
        content = (original, frame)
        moved = self._camera.show(original.size, frame)
        if self._photo is None or self._content != content:
            self._photo = original if frame is None else Photo(network_input(original.pixels, frame))
            self._content = content
            self._image = None  # another picture must not stand in for this one
            moved = True
        if moved:
            self._on_view()

    def _on_photo(self) -> None:
        """The original is there, of which a smaller copy was shown."""
        self._content = None
        self._show_content()

    def _on_result(self) -> None:
        self._on_layers()
        # The picture follows the slider; the panels, which hear of the result after it, follow the picture.
        self.repaint()

    def _on_layers(self) -> None:
        self._show_content()
        result = self._state.result
        self.backdrop = NO_BACKDROP
        if result is None:
            shown = self._state.shown
            # The Model world before the model has answered: ground truth alone, which does not depend on it.
            if shown is not None and self._state.world is World.MODEL:
                options = dataclasses.replace(
                    self._state.layers, visible=self._state.layers.visible & {LayerKey.GT}, everything=False
                )
                self.layers = make_layers(shown.training, World.MODEL, options, self._state.gt_names)
            else:
                self.layers = ()
        else:
            self.layers = make_layers(result, self._state.world, self._state.layers, self._state.gt_names)
            self.backdrop = make_backdrop(result, self._state.world, self._state.layers)
        self.pointer.forget()
        self._redraw()

    def set_theme(self, theme: Theme) -> None:
        """Follow the window's theme."""
        self._theme = self.pointer.theme = theme
        if self.editor is not None:
            self.editor.theme = theme
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
        """Device-independent screen pixels per pixel of the image, or of the network input where that is shown."""
        return self._camera.scale

    @property
    def image_zoom(self) -> float:
        """Device pixels per original pixel, whichever frame is shown."""
        return self._camera.viewport(self.devicePixelRatioF()).scale

    def fit(self) -> None:
        """Show the whole image, and keep doing so while the window changes its size."""
        self._camera.fit()
        self._on_view()

    def zoom_to(self, scale: float, at: QPointF | None = None) -> None:
        """Zoom to ``scale`` and keep what is under ``at`` (widget position, default the middle) in place."""
        self._camera.zoom(scale, at)
        self._on_view()

    def look_at(self, scale: float, x: float, y: float) -> None:
        """Zoom to ``scale`` with (x, y), original pixels, in the middle."""
        self._camera.look_at(scale, x, y)
        self._on_view()

    @property
    def place(self) -> tuple[float, float, float] | None:
        """The scale and the original pixels (x, y) in the middle, as :meth:`look_at` takes them; None: all is shown."""
        if self._camera.fitted:
            return None
        middle = self._to_image(QPointF(self.width() / 2, self.height() / 2))
        return self._camera.scale, middle.x(), middle.y()

    def look_like(self, other: CanvasView) -> None:
        """Look at the same part of the same image as another canvas; both whole, if the other shows all of it."""
        if other.place is None:
            self.fit()
        else:
            self.look_at(*other.place)

    def pan_by(self, moved: QPointF) -> None:
        """Move what is seen by a way on the screen, device-independent px."""
        self._camera.pan(moved)
        self._on_view()

    def show_box(self, box: tuple[float, float, float, float]) -> None:
        """Bring a box (original pixels) into view without changing the zoom, unless it is in view already."""
        if np.isfinite(box).all() and self._camera.centre_on(box):
            self._on_view()

    def visible_region(self) -> tuple[float, float, float, float] | None:
        """The part of the image in view, xyxy original pixels; None if there is no image, or all of it is in view."""
        if self._original is None:
            return None
        height, width = self._original.size
        image = QRectF(0, 0, width, height)
        start, end = self._to_image(QPointF(0, 0)), self._to_image(QPointF(self.width(), self.height()))
        part = QRectF(start, end).intersected(image)
        return None if part.isEmpty() or part == image else (part.left(), part.top(), part.right(), part.bottom())

    def _on_view(self) -> None:
        """Another part of the image is looked at."""
        self._base = None
        self.pointer.forget()
        self._ask_for_whole()
        if self._image is not None and min(self._costs) > _PREVIEW_FROM_S:
            # The last frame, moved, until the hand rests: a full one takes longer than a hand waits for.
            self._moved = True
            self._rest.start()
            self.update()
        else:
            self._redraw()
        self.zoomed.emit(self._camera.scale)
        self.looked.emit()

    def _ask_for_whole(self) -> None:
        """Of a large image a smaller copy is shown until somebody looks closer; asked once each time that begins."""
        photo = self._original
        wants = (
            photo is not None
            and photo.reduction > 1
            and (self._photo is not photo or not photo.is_sharp(self.image_zoom))
        )
        if wants and not self._wants_whole:
            self._state.whole_wanted.emit()
        self._wants_whole = wants

    def _to_image(self, point: QPointF) -> QPointF:
        return self._camera.to_image(point)

    def _to_view(self, x: float, y: float) -> QPointF:
        return self._camera.to_view(x, y)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.resized.emit()
        self._camera.resize(self.width(), self.height())
        self._image = None
        self._on_view()

    # ------------------------------------------------------------------ painting

    def _redraw(self) -> None:
        self._frame = None
        self._moved = False
        self._rest.stop()
        self.update()

    def compose(self, out: np.ndarray | None = None) -> np.ndarray:
        """The frame as it is painted, (h, w, 3) uint8 RGB in device pixels; ``out`` is overwritten if it fits."""
        ratio = self.devicePixelRatioF()
        view = self._camera.viewport(ratio)
        if self._photo is None:
            return blank(view.height, view.width, background(self._theme))
        if self._base is None or self._base.shape[:2] != (view.height, view.width):
            content = self._camera.content_viewport(ratio)
            self._base = self._photo.render(content, self.dim, self.saturation, self._theme)
        if out is not None and out.shape != self._base.shape:
            out = None
        return self._compositor.compose(self._base, self.layers, view, self._theme, ratio, self.backdrop, out)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._frame is None and not self._moved:
            begin = time.perf_counter()
            self._frame = self._buffer = self.compose(self._buffer)
            height, width = self._frame.shape[:2]
            self._image = QImage(self._frame.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._image.setDevicePixelRatio(self.devicePixelRatioF())
            self._image_at = self._placing()
            self._costs = (self._costs[1], time.perf_counter() - begin)
        painter = QPainter(self)
        try:
            self._draw_frame(painter)
            self._draw_keys(painter)
            self.pointer.paint(painter, held=self.editor is not None and self.editor.dragging)
            if self.editor is not None:
                self.editor.paint(painter)
        finally:
            painter.end()
        self.painted.emit()

    def _placing(self) -> tuple[QPointF, float]:
        """Where the content's corner lies on the widget, and its scale."""
        view = self._camera.content_viewport(1.0)
        return QPointF(view.dx, view.dy), view.scale

    def _draw_frame(self, painter: QPainter) -> None:
        """The frame, or the last one where it belongs by now."""
        assert self._image is not None
        if not self._moved:
            painter.drawImage(QPointF(0, 0), self._image)
            return
        painter.fillRect(self.rect(), QColor(COLOURS[self._theme].canvas))
        (before, scale_before), (now, scale) = self._image_at, self._placing()
        painter.save()
        painter.translate(now)
        painter.scale(scale / scale_before, scale / scale_before)
        painter.drawImage(-before, self._image)
        painter.restore()

    def _on_hovered(self, text: str) -> None:
        self._hover_text = text

    def describe_place(self, x: float, y: float) -> str:
        """The value of the heat map at a place, original pixels; empty without one."""
        heat = self.backdrop.heat
        return f"{heat.title}: {value_at(heat, x, y):.{0 if heat.counts else 3}f}" if heat is not None else ""

    def set_alone(self, alone: bool) -> None:
        """Whether nothing else in the window says what the pointer is over."""
        self._alone = alone
        self.update()

    def _draw_keys(self, painter: QPainter) -> None:
        """All anchors of the positions that the pointer is over, or the name of the level whose centres are marked."""
        result, place = self._state.result, self.pointer.position
        if result is None:
            return
        if self.backdrop.grids and not (self._state.here and place is not None):
            ratio = self.devicePixelRatioF()
            grid = legible_grid(self.backdrop, self._camera.viewport(ratio), ratio)
            if grid is not None:
                draw_grid_key(painter, result, grid, self._theme)
        if self._alone and self._hover_text and not self._state.here:
            draw_key(painter, [(line, None) for line in self._hover_text.split("\n")], self._theme)
        if self._state.here and place is not None:
            point = self._to_image(place)
            draw_here(painter, result, self._state.layers.only, (point.x(), point.y()), self._to_view, self._theme)

    # ------------------------------------------------------------------ mouse and keys

    @property
    def hover_hit(self) -> Hit | None:
        """The box that the pointer names, None if there is none."""
        return self.pointer.hover_hit

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.editor is None or not self.editor.move(event):
            self.pointer.move(event)
        if self._state.here:
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self.editor is None or not self.editor.press(event):
            self.pointer.press(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self.editor is not None and self.editor.held and event.button() == Qt.MouseButton.LeftButton:
            if self.editor.release(event):
                return
            self.pointer.press(event)  # a click selects, as ever
        self.pointer.release(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self.editor is not None and self.editor.press(event):
            return  # whoever clicks a box and drags it at once does not want to see the whole image
        if event.button() == Qt.MouseButton.LeftButton and not len(self.pointer.find(event.position())):
            self.fit()

    def leaveEvent(self, event: QEvent) -> None:
        self.pointer.leave()
        super().leaveEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:
        self.pointer.enter(event.position())
        super().enterEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if self.editor is not None:
            self.editor.let_keys_go()
        super().focusOutEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if self.editor is not None and self.editor.held:
            return  # it would take the release of the drag
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
            self.zoom_to(self.zoom * 1.25**steps, event.position())
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
        if self.pointer.key(event) or (self.editor is not None and self.editor.key(event)):
            return
        if key in arrows and not self._camera.fitted:
            self.pan_by(arrows[key])
        else:
            event.ignore()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        self.pointer.key_up(event)
        if self.editor is not None:
            self.editor.key_up(event)
        event.ignore()
