"""A small chart of quantities over the steps of a training: the shown step is marked, a click goes to another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

_HEIGHT = 126
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 8, 38, 18
"""Room around the curves for the numbers and the title, px."""
_DOT = 2.5


@dataclass(frozen=True)
class Curve:
    """One quantity.

    Attributes:
        name: in the title.
        colour: ``#RRGGBB``.
        values: one for every step; None where there is none yet, NaN where there is none at all.
        dash: lengths of line and gap, beside the colour, so that grey print tells curves apart; empty: solid.
        dots: whether every value is marked.
    """

    name: str
    colour: str
    values: Sequence[float | None]
    dash: tuple[int, ...] = ()
    dots: bool = True


class StepChart(QWidget):
    """Steps stand evenly beside each other, however many iterations lie between them."""

    picked = Signal(int)

    def __init__(self, title: str, unit: str) -> None:
        super().__init__()
        self.title, self.unit = title, unit
        self.labels: tuple[str, ...] = ()
        self.curves: tuple[Curve, ...] = ()
        self.step = 0
        self._top = 1.0
        self._muted = QColor()
        self._line = QColor()
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(title)

    def show_curves(
        self, labels: tuple[str, ...], curves: tuple[Curve, ...], step: int, top: float | None = None
    ) -> None:
        """Show other values; ``top`` is the end of the axis, else it fits them."""
        self.labels, self.curves, self.step = labels, curves, step
        largest = max((v for curve in curves for v in curve.values if v is not None and not math.isnan(v)), default=0.0)
        self._top = top if top else _round_up(largest)
        spoken = [f"{curve.name} {self._text(curve, step)}" for curve in curves]
        self.setAccessibleDescription(f"{labels[step]}: {', '.join(spoken)}" if labels else "")
        self.update()

    def set_colours(self, muted: str, line: str) -> None:
        """Colours of numbers and of axes, ``#RRGGBB``."""
        self._muted, self._line = QColor(muted), QColor(line)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(260, _HEIGHT)

    def step_at(self, x: float) -> int:
        """The step whose place is nearest."""
        room = self._room()
        count = len(self.labels)
        if count < 2 or room.width() <= 0:
            return 0
        return min(max(round((x - room.left()) / room.width() * (count - 1)), 0), count - 1)

    def point(self, step: int, value: float) -> QPointF:
        """Where a value stands, px of the widget."""
        room = self._room()
        share = step / max(len(self.labels) - 1, 1)
        return QPointF(room.left() + share * room.width(), room.bottom() - value / self._top * room.height())

    def _room(self) -> QRectF:
        return QRectF(_LEFT, _TOP, self.width() - _LEFT - _RIGHT, self.height() - _TOP - _BOTTOM)

    def _text(self, curve: Curve, step: int) -> str:
        value = curve.values[step] if step < len(curve.values) else None
        return "…" if value is None else "-" if math.isnan(value) else f"{value:.0f}{self.unit}"

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = self.font()
        font.setPixelSize(11)
        painter.setFont(font)
        room = self._room()
        painter.setPen(QPen(self._line, 1))
        for y in (room.top(), room.bottom()):
            painter.drawLine(QPointF(room.left(), round(y) + 0.5), QPointF(room.right(), round(y) + 0.5))
        painter.setPen(self._muted)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for y, number in ((room.top(), self._top), (room.bottom(), 0.0)):
            painter.drawText(QRectF(0, y - 8, _LEFT - 5, 16), right, f"{number:.0f}")
        self._paint_title(painter)
        if self.labels:
            self._paint_steps(painter, room)
        for curve in self.curves:
            self._paint_curve(painter, curve)
        painter.end()

    def _paint_title(self, painter: QPainter) -> None:
        """The title, and below it names and present values of the curves, in their colours."""
        metrics = painter.fontMetrics()
        painter.setPen(self._muted)
        painter.drawText(QPointF(0, 12), metrics.elidedText(self.title, Qt.TextElideMode.ElideRight, self.width()))
        x = float(_LEFT)
        for curve in self.curves:
            text = f"{curve.name} {self._text(curve, self.step)}"
            painter.setPen(QColor(curve.colour))
            painter.drawText(QPointF(x, 27), text)
            x += metrics.horizontalAdvance(text) + 12

    def _paint_steps(self, painter: QPainter, room: QRectF) -> None:
        x = self.point(self.step, 0).x()
        painter.setPen(QPen(self._muted, 1))
        painter.drawLine(QPointF(x, room.top()), QPointF(x, room.bottom()))
        metrics = painter.fontMetrics()
        text = self.labels[self.step]
        width = metrics.horizontalAdvance(text)
        left = min(max(x - width / 2, 0), self.width() - width - 1)
        painter.drawText(QPointF(left, self.height() - 5), text)

    def _paint_curve(self, painter: QPainter, curve: Curve) -> None:
        # A step without a value is a gap, not a straight line to the next one.
        runs: list[list[QPointF]] = [[]]
        for step, value in enumerate(curve.values):
            if value is None or math.isnan(value):
                runs.append([])
            else:
                runs[-1].append(self.point(step, value))
        pen = QPen(QColor(curve.colour), 1.5)
        if curve.dash:
            pen.setDashPattern(curve.dash)
        painter.setPen(pen)
        for run in runs:
            painter.drawPolyline(QPolygonF(run))
        if not curve.dots:
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(curve.colour))
        for point in (point for run in runs for point in run):
            painter.drawEllipse(point, _DOT, _DOT)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.labels:
            self.picked.emit(self.step_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton and self.labels:
            self.picked.emit(self.step_at(event.position().x()))

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self.labels:
            step = self.step_at(event.pos().x())
            lines = [f"{curve.name} {self._text(curve, step)}" for curve in self.curves]
            QToolTip.showText(event.globalPos(), "\n".join([self.labels[step], *lines, "Click: show this step"]), self)
            return True
        return super().event(event)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 6, 8 times a power of ten."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 5, 6, 8, 10) if value <= step * unit * (1 + 1e-9))
