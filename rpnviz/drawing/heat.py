"""Heat maps: one value for every position of the feature maps, instead of outlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import sigmoid
from rpnviz.drawing.blending import blend_table
from rpnviz.drawing.filtering import passing
from rpnviz.drawing.options import EVERY_BOX, STATES, Heat, LayerKey, LayerOptions, World
from rpnviz.drawing.positions import Grid, grids
from rpnviz.drawing.viewport import Viewport
from rpnviz.palette import STEPS, Theme, parse_colour

HEAT_TEXT = {
    Heat.NONE: "Outlines",
    Heat.BEST_IOU: "Best IoU",
    Heat.POSITIVE: "Positive anchors",
    Heat.FORCED: "Forced anchors",
    Heat.NEUTRAL: "Neutral anchors",
    Heat.NEGATIVE: "Negative anchors",
    Heat.LEFT_OUT: "Anchors left out",
    Heat.OBJECTNESS: "Objectness",
}
"""What a heat map shows, on screen."""

_LEAST, _MOST = 0.25, 0.8
"""Opacity of the smallest and of the largest value."""
_LAST = 254
"""Bytes 1 to 255 stand for the values from 0 to ``high``; 0 is a position without any."""


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Values of positions.

    Attributes:
        title: on screen.
        high: what the strongest colour stands for; 0 has none. Of more than 255 anchors at a place, 255 are seen.
        counts: values are numbers of anchors, which add up over levels; else the largest of the levels counts.
        parts: of every level that is shown, its positions and their values (H, W) float32; NaN: none.
    """

    title: str
    high: float
    counts: bool
    parts: tuple[tuple[Grid, NDArray[np.float32]], ...]


def make_heat(result: Result, world: World, options: LayerOptions) -> HeatMap | None:
    """The heat map that the options ask for; None if they ask for none, or there is nothing to show.

    Convention:
        Anchors that do not pass ``options.only`` are left out: with a level and a shape chosen, the map shows exactly
        those. A position takes the largest value of its anchors, or their number.
    """
    heat, anchors = options.heat, result.anchors
    if heat is Heat.NONE or (heat is Heat.OBJECTNESS and result.decoded is None):
        return None
    if heat is Heat.OBJECTNESS and result.decoded is not None:
        values, counts = sigmoid(result.decoded.objectness), False
    elif heat is Heat.BEST_IOU:
        values, counts = result.match.best_iou.astype(np.float32), False
    else:
        values, counts = np.isin(result.match.state, STATES[LayerKey(heat.value)]).astype(np.float32), True
    if options.only != EVERY_BOX:
        # As the layers of the world: a model's boxes have sizes of their own.
        boxes = result.decoded.boxes_input if world is World.MODEL and result.decoded is not None else None
        values = np.where(passing(result, options.only, np.arange(len(anchors)), boxes), values, np.float32(0))
    parts = []
    for grid, level in zip(grids(anchors, result.frame), anchors.lattice, strict=True):
        if options.only.level in (None, grid.level):
            shaped = values[level.start : level.stop].reshape(*level.grid, level.cells)
            # A shape whose score is no number does not hide the others.
            parts.append((grid, shaped.sum(axis=2) if counts else np.fmax.reduce(shaped, axis=2)))
    high = 1.0
    if counts:
        # Levels lie on each other: what adds up is found where they are drawn; this bounds it.
        high = max(1.0, float(sum(part.max(initial=0) for _, part in parts)))
    return HeatMap(f"{HEAT_TEXT[heat]} per position", high, counts, tuple(parts))


def heat_text(heat: HeatMap) -> str:
    """What the colours of a heat map stand for: ``Best IoU per position, 0 to 1``."""
    return f"{heat.title}, 0 to {min(heat.high, 255.0):g}{' and more' if heat.high > 255 else ''}"


def value_at(heat: HeatMap, x: float, y: float) -> float:
    """The value that is drawn at a point, original pixels."""
    found = [0.0]
    for grid, values in heat.parts:
        row, column = int(grid.row(np.array([y]))[0]), int(grid.column(np.array([x]))[0])
        if row >= 0 and column >= 0:
            found.append(float(values[row, column]))
    return sum(found) if heat.counts else max(found)


def draw_heat(frame: NDArray[np.uint8], heat: HeatMap, view: Viewport, theme: Theme) -> None:
    """Blend a heat map over a frame (H, W, 3), in place."""
    # The middle of a pixel decides to which position it belongs.
    x = (np.arange(view.width) + 0.5 - view.dx) / view.scale
    y = (np.arange(view.height) + 0.5 - view.dy) / view.scale_y
    total = np.zeros((view.height, view.width), np.uint8)
    for grid, values in heat.parts:
        # One more row and column hold nothing: index -1 lies outside of the grid.
        coded = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.uint8)
        coded[:-1, :-1] = _coded(values, heat)
        rows, columns = grid.row(y), grid.column(x)
        part = coded[:, columns][rows]
        if heat.counts:
            np.minimum(total, 255 - part, out=total)
            total += part
        else:
            np.maximum(total, part, out=total)
    blend_table(frame, total, *heat_tables(heat, theme))


def _coded(values: NDArray[np.float32], heat: HeatMap) -> NDArray[np.uint8]:
    """Values as bytes: numbers as they are, others in steps of 1 / 254."""
    if heat.counts:
        return np.minimum(values, 255).astype(np.uint8)
    sound = np.where(np.isfinite(values) & (values > 0), np.clip(values, 0, 1), -1)
    return np.where(sound > 0, np.round(sound * _LAST) + 1, 0).astype(np.uint8)


def heat_tables(heat: HeatMap, theme: Theme) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(256,) opacity and (256, 3) colour of every byte."""
    byte = np.arange(256)
    share = np.clip(byte / min(heat.high, 255.0) if heat.counts else (byte - 1) / _LAST, 0, 1)
    opacity = np.round(255 * (_LEAST + (_MOST - _LEAST) * share)).astype(np.uint8)
    opacity[0] = 0
    return opacity, ramp(theme)[np.round(255 * share).astype(np.intp)]


def ramp(theme: Theme) -> NDArray[np.uint8]:
    """(256, 3) colours from little to much."""
    stops = np.array([parse_colour(step) for step in STEPS[theme]], np.float64)
    places = np.linspace(0, 255, len(stops))
    return np.round(np.stack([np.interp(np.arange(256), places, stops[:, k]) for k in range(3)], axis=1)).astype(
        np.uint8
    )
