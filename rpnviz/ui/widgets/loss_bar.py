"""Sums of the losses per anchor as bars, with a tick where the trainer logged them."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from rpnviz.core.losses import StepLosses
from rpnviz.export.replay import losses_text, same_loss
from rpnviz.ui.theme import Colours

_ROW, _NAME, _VALUE = 18, 72, 132
"""Height of a row, room for its name and for its number, px."""


class LossBar(QWidget):
    """Two rows, objectness and boxes."""

    def __init__(self) -> None:
        super().__init__()
        self._losses: StepLosses | None = None
        self._colours: Colours | None = None
        self.setFixedHeight(2 * _ROW)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Losses of the step")

    def sizeHint(self) -> QSize:
        return QSize(280, 2 * _ROW)

    def show_losses(self, losses: StepLosses | None) -> None:
        """Show the sums of a step; None: nothing."""
        self._losses = losses
        words = "" if losses is None else losses_text(losses)
        self.setAccessibleDescription(words)
        self.setToolTip(f"{words}\nBar: sum over the sampled anchors. Tick: what the trainer logged." if words else "")
        self.update()

    def set_colours(self, colours: Colours) -> None:
        """Follow the window's colours."""
        self._colours = colours
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        losses, colours = self._losses, self._colours
        if losses is None or colours is None:
            return
        rows = (
            ("Objectness", losses.objectness, losses.logged_objectness),
            ("Boxes", losses.box, losses.logged_box),
        )
        values = [value for _, total, logged in rows for value in (total, logged) if value is not None]
        top = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        room = max(self.width() - _NAME - _VALUE, 10)
        for number, (name, total, logged) in enumerate(rows):
            y = number * _ROW
            painter.setPen(QColor(colours.muted))
            left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, y, _NAME, _ROW), left, name)
            painter.fillRect(QRectF(_NAME, y + 5, room, _ROW - 10), QColor(colours.raised))
            if math.isfinite(total):
                painter.fillRect(QRectF(_NAME, y + 5, room * total / top, _ROW - 10), QColor(colours.accent))
            if logged is not None and math.isfinite(logged):
                x = _NAME + room * logged / top
                painter.setPen(QPen(QColor(colours.text), 2))
                painter.drawLine(QPointF(x, y + 2), QPointF(x, y + _ROW - 2))
            painter.setPen(QColor(colours.text))
            told = "" if logged is None else " = logged" if same_loss(total, logged) else f" / {logged:.4g}"
            painter.drawText(QRectF(_NAME + room + 8, y, _VALUE - 8, _ROW), left, f"{total:.4f}{told}")
        painter.end()
