"""Draws the step of the selected box's way over the frame: where it comes from, who decides about it, where it goes."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from rpnviz.app.way import Arrow, Box, Look, Step
from rpnviz.palette import Role, Theme, rgb
from rpnviz.ui.theme import COLOURS

_LEAST_ARROW = 8.0
"""Px on the screen below which an arrow would be nothing but its head."""
_HEAD = 9.0


def draw_step(
    painter: QPainter, step: Step, to_view: Callable[[float, float], QPointF], limit: QRectF, theme: Theme
) -> None:
    """Draw the boxes of a step, the followed one last, and its arrows.

    Args:
        painter: in widget coordinates.
        step: what is drawn.
        to_view: widget position of original pixels.
        limit: the widget, a little larger; the raster engine loses lines far outside.
        theme: of the window.
    """
    colours = COLOURS[theme]
    casing = QColor(colours.canvas)
    looks = {
        Look.SUPPRESSED: QPen(QColor(*rgb(Role.SUPPRESSED, theme)), 1, Qt.PenStyle.DashLine),
        Look.ANCHOR: QPen(QColor(colours.accent), 2, Qt.PenStyle.DashLine),
        Look.OTHER: QPen(QColor(*rgb(Role.PROPOSAL, theme)), 3),
        Look.SELECTED: QPen(QColor(colours.accent), 3),
    }
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for look, pen in looks.items():
        boxes = [mark.box for mark in step.marks if mark.look is look]
        rects = [_rect(box, to_view, limit) for box in boxes if all(map(math.isfinite, box))]
        if pen.widthF() > 1:
            painter.setPen(QPen(casing, pen.widthF() + 2))
            painter.drawRects(rects)
        painter.setPen(pen)
        painter.drawRects(rects)
    for arrow in step.arrows:
        _draw_arrow(painter, arrow, to_view, QColor(colours.accent), casing)


def _rect(box: Box, to_view: Callable[[float, float], QPointF], limit: QRectF) -> QRectF:
    rect = QRectF(to_view(box[0], box[1]), to_view(box[2], box[3])).normalized()
    return rect.intersected(limit) if max(rect.width(), rect.height()) > 1e6 else rect


def _draw_arrow(
    painter: QPainter, arrow: Arrow, to_view: Callable[[float, float], QPointF], colour: QColor, casing: QColor
) -> None:
    """An arrow with its head at the end; a dot where it would be too short to be seen."""
    start, end = to_view(*arrow[0]), to_view(*arrow[1])
    way = end - start
    length = math.hypot(way.x(), way.y())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(colour)
    if length < _LEAST_ARROW:
        painter.setPen(QPen(casing, 1))
        painter.drawEllipse(end, 4, 4)
    elif length < 1e6:
        along = way / length
        across = QPointF(-along.y(), along.x())
        base = end - along * _HEAD
        head = QPolygonF([end, base + across * _HEAD * 0.45, base - across * _HEAD * 0.45])
        for pen in (QPen(casing, 4), QPen(colour, 2)):
            painter.setPen(pen)
            painter.drawLine(start, base)
        painter.setPen(QPen(casing, 1))
        painter.drawPolygon(head)
        painter.drawEllipse(start, 3, 3)
    painter.restore()
