"""Where the canvas looks: zoom, centre, and the frame (original image or network input) whose pixels it counts."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF

from rpnviz.core.frame import Frame
from rpnviz.drawing.viewport import Viewport

MARGIN = 16
"""Free px around an image that fits the window."""
MAX_SCALE = 64.0
"""Screen px per image pixel at most."""


class Camera:
    """Conversions between the widget and the original image.

    The content is the original image, or the network input with its padding; zoom and centre are in its pixels.
    Everything outside of this class speaks of original pixels, whichever content is shown.

    Attributes:
        width, height: of the widget, device-independent px.
        scale: device-independent px per content pixel.
        fitted: whether the whole content is shown, and kept so while the widget changes its size.
    """

    def __init__(self) -> None:
        self.width, self.height = 1.0, 1.0
        self.scale = 1.0
        self.fitted = True
        self._size = (1, 1)
        self._centre = QPointF(0.5, 0.5)
        self._frame: Frame | None = None

    def show(self, size: tuple[int, int], frame: Frame | None) -> bool:
        """Look at another content, or at the same one in other pixels.

        Args:
            size: (H, W) of the original image, px.
            frame: of the network input that is shown; None: the original is shown.

        Returns:
            Whether anything has changed. The same part of the image stays in view, at the same size.
        """
        content = size if frame is None else frame.input_size
        if content == self._size and frame == self._frame:
            return False
        middle = self.to_image(QPointF(self.width / 2, self.height / 2))
        before = self.scale * self._factors()[0]
        self._size, self._frame = content, frame
        if self.fitted:
            self.fit()
        else:
            self._look(before / self._factors()[0], self._to_content(middle.x(), middle.y()))
        return True

    def resize(self, width: float, height: float) -> None:
        """The widget has another size."""
        self.width, self.height = width, height
        if self.fitted:
            self.fit()

    def fit(self) -> None:
        """Look at the whole content."""
        height, width = self._size
        room_x, room_y = max(self.width - 2 * MARGIN, 8), max(self.height - 2 * MARGIN, 8)
        self._look(min(room_x / width, room_y / height, MAX_SCALE), QPointF(width / 2, height / 2))
        self.fitted = True

    def zoom(self, scale: float, at: QPointF | None = None) -> None:
        """Zoom, and keep what is under ``at`` (widget position, default the middle) in place."""
        scale = min(max(scale, self._smallest()), MAX_SCALE)
        anchor = QPointF(self.width / 2, self.height / 2) if at is None else at
        fixed = self._content_at(anchor)
        self.fitted = False
        self._look(scale, fixed - (anchor - self._middle()) / scale)

    def look_at(self, scale: float, x: float, y: float) -> None:
        """Zoom, with original pixels (x, y) in the middle."""
        self.fitted = False
        self._look(min(max(scale, self._smallest()), MAX_SCALE), self._to_content(x, y))

    def pan(self, moved: QPointF) -> None:
        """Move the content by a way on the screen."""
        self.fitted = False
        self._look(self.scale, self._centre - moved / self.scale)

    def centre_on(self, box: tuple[float, float, float, float]) -> bool:
        """Bring the middle of a box (original pixels) into view; whether that took a move."""
        middle = QPointF((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        place = self.to_view(middle.x(), middle.y())
        if QRectF(0, 0, self.width, self.height).contains(place):
            return False
        self.fitted = False
        self._look(self.scale, self._to_content(middle.x(), middle.y()))
        return True

    def to_image(self, point: QPointF) -> QPointF:
        """Original pixels of a widget position."""
        content = self._content_at(point)
        scale_x, scale_y, left, top = self._factors()
        return QPointF((content.x() - left) / scale_x, (content.y() - top) / scale_y)

    def to_view(self, x: float, y: float) -> QPointF:
        """Widget position of original pixels."""
        return (self._to_content(x, y) - self._centre) * self.scale + self._middle()

    def viewport(self, ratio: float) -> Viewport:
        """The frame of the widget over the original image, ``ratio`` device px per px."""
        scale_x, scale_y, _, _ = self._factors()
        origin = self.to_view(0, 0) * ratio
        width, height = self._device(ratio)
        return Viewport(width, height, self.scale * scale_x * ratio, origin.x(), origin.y(), scale_y / scale_x)

    def content_viewport(self, ratio: float) -> Viewport:
        """The frame of the widget over the content."""
        origin = (self._middle() - self._centre * self.scale) * ratio
        width, height = self._device(ratio)
        return Viewport(width, height, self.scale * ratio, origin.x(), origin.y())

    def _smallest(self) -> float:
        return min(1.0, 32 / max(self._size))

    def _device(self, ratio: float) -> tuple[int, int]:
        return max(1, round(self.width * ratio)), max(1, round(self.height * ratio))

    def _middle(self) -> QPointF:
        return QPointF(self.width / 2, self.height / 2)

    def _look(self, scale: float, centre: QPointF) -> None:
        height, width = self._size
        self.scale = scale
        self._centre = QPointF(min(max(centre.x(), 0.0), float(width)), min(max(centre.y(), 0.0), float(height)))

    def _content_at(self, point: QPointF) -> QPointF:
        return self._centre + (point - self._middle()) / self.scale

    def _to_content(self, x: float, y: float) -> QPointF:
        scale_x, scale_y, left, top = self._factors()
        return QPointF(x * scale_x + left, y * scale_y + top)

    def _factors(self) -> tuple[float, float, float, float]:
        """Content pixels per original pixel along x and y, and the content position of the original's corner."""
        if self._frame is None:
            return 1.0, 1.0, 0.0, 0.0
        (scale_y, scale_x), (top, left) = self._frame.scale, self._frame.offset
        return scale_x, scale_y, float(left), float(top)
