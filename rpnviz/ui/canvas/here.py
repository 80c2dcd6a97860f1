"""All anchors of the positions under the pointer: one position per level, with its stride and its centre."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from rpnviz.core.anchors import level_name
from rpnviz.core.pipeline import Result
from rpnviz.drawing.colouring import level_category
from rpnviz.drawing.options import BoxFilter
from rpnviz.drawing.population import anchor_population
from rpnviz.drawing.positions import Grid, grids, positions_at
from rpnviz.palette import Theme, category_rgb
from rpnviz.ui.theme import COLOURS

_PAD = 6


def draw_here(
    painter: QPainter,
    result: Result,
    only: BoxFilter,
    point: tuple[float, float],
    to_view: Callable[[float, float], QPointF],
    theme: Theme,
) -> None:
    """Draw them over the frame.

    Args:
        painter: of the canvas.
        result: of the image.
        only: its level and shape restrict what is drawn.
        point: original pixels.
        to_view: widget position of original pixels.
        theme: ground.
    """
    places = positions_at(result.anchors, result.frame, *point)
    shown = [place for place in places if only.level in (None, place.level)]
    population = anchor_population(result.anchors, result.frame)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for place in reversed(shown):
        level = result.anchors.lattice[place.level]
        colour = QColor(*category_rgb(level_category(level.stride[1]), theme))
        first = result.anchors.index(place.level, place.row, place.column, 0)
        cells = range(level.cells) if only.shape is None else [only.shape] if only.shape < level.cells else []
        for box in population.original(np.array([first + cell for cell in cells], np.int64)).tolist():
            painter.setPen(QPen(colour, 1.5))
            painter.drawRect(QRectF(to_view(box[0], box[1]), to_view(box[2], box[3])))
        grid = grids(result.anchors, result.frame)[place.level]
        x, y = float(grid.x[place.column]), float(grid.y[place.row])
        # What the stride leaves to this position.
        painter.setPen(QPen(colour, 1, Qt.PenStyle.DotLine))
        half_y, half_x = grid.step[0] / 2, grid.step[1] / 2
        painter.drawRect(QRectF(to_view(x - half_x, y - half_y), to_view(x + half_x, y + half_y)))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(to_view(x, y), 2.5, 2.5)
        painter.setBrush(Qt.BrushStyle.NoBrush)
    strides = result.params.anchors.strides
    lines = [
        (
            f"{level_name(strides[place.level], place.level)}  row {place.row} col {place.column}  stride "
            f"{result.anchors.lattice[place.level].stride[1]:g} px",
            QColor(*category_rgb(level_category(result.anchors.lattice[place.level].stride[1]), theme)),
        )
        for place in shown
    ]
    if lines:
        draw_key(painter, lines, theme)


def draw_grid_key(painter: QPainter, result: Result, grid: Grid, theme: Theme) -> None:
    """Say which level's positions are marked."""
    strides = result.params.anchors.strides
    text = f"Centres of {level_name(strides[grid.level], grid.level)}, {len(grid.y)} x {len(grid.x)}"
    draw_key(painter, [(text, QColor(*category_rgb(level_category(grid.stride), theme)))], theme)


def draw_key(painter: QPainter, lines: Sequence[tuple[str, QColor | None]], theme: Theme) -> None:
    """Lines in the lower left corner, with the colour that each explains, if any."""
    metrics = painter.fontMetrics()
    height = metrics.lineSpacing()
    width = max(metrics.horizontalAdvance(text) for text, _ in lines)
    bottom = painter.window().height() - 8
    plate = QRectF(8, bottom - height * len(lines) - 2 * _PAD, width + 2 * _PAD + 16, height * len(lines) + 2 * _PAD)
    ground = QColor(COLOURS[theme].panel)
    ground.setAlpha(240)
    painter.fillRect(plate, ground)
    for number, (text, colour) in enumerate(lines):
        top = plate.top() + _PAD + number * height
        if colour is not None:
            painter.fillRect(QRectF(plate.left() + _PAD, top + height / 2 - 5, 10, 10), colour)
        painter.setPen(QColor(COLOURS[theme].text))
        painter.drawText(QPointF(plate.left() + _PAD + (16 if colour is not None else 0), top + metrics.ascent()), text)
