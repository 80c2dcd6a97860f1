"""Outlines of boxes on a frame: width, casing, dashes and marks for a few, thin lines for many, density for all.

A frame is (H, W, 3) uint8 RGB and changes in place. Boxes are (N, 4) int32 device px, see
:func:`rpnviz.drawing.viewport.device_boxes`. Nothing here is anti-aliased: all edges are upright, and a line of 1.5 px
is one full pixel and one of half the opacity.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.coverage import Coverage
from rpnviz.imaging import cv2
from rpnviz.palette import CASING, RGB, STYLES, Mark, Role, Theme, parse_colour, rgb

Frame = NDArray[np.uint8]
Boxes = NDArray[np.int32]

_POLYLINES_UP_TO = 5_000
"""Above this many outlines prefix sums are faster than cv2.polylines, and their cost is bounded."""
_BAND_PIXELS = 8_000_000
"""Counting takes 12 bytes per pixel: an export of 48 megapixels is counted in bands, every window at once."""


class _Scratch(threading.local):
    """Buffers of the size of a frame, made once per thread and size."""

    def __init__(self) -> None:
        self.mask = np.zeros((0, 0), np.uint8)
        self.coverage = Coverage(0, 0)

    def mask_for(self, frame: Frame) -> NDArray[np.uint8]:
        """(H, W), all 0; who draws on it clears it again."""
        if self.mask.shape != frame.shape[:2]:
            self.mask = np.zeros(frame.shape[:2], np.uint8)
        return self.mask

    def coverage_for(self, frame: NDArray) -> Coverage:
        """Of the size of a frame, without any box."""
        if (self.coverage.height, self.coverage.width) != frame.shape[:2]:
            self.coverage = Coverage(*frame.shape[:2])
        else:
            self.coverage.clear()
        return self.coverage


_scratch = _Scratch()


def draw_styled(
    frame: Frame,
    boxes: Boxes,
    role: Role,
    theme: Theme,
    ratio: float = 1.0,
    keep_marks: bool = False,
) -> None:
    """Outlines with the width, casing, dash and mark of their role; for some hundred boxes.

    Args:
        frame: drawn on.
        boxes: device px.
        role: decides the style.
        theme: ground.
        ratio: device px per px of the style.
        keep_marks: draw the marks of boxes that are so small that they would hide what is inside.
    """
    style = STYLES[role]
    colour, casing = rgb(role, theme), parse_colour(CASING[theme])
    full, half = _line(style.width * ratio)
    edge = max(1, round(ratio))
    rounded = round(3 * ratio) if style.mark is Mark.ROUND else 0
    dash = dash_of(role, ratio)
    # The inner casing of a very small box would hide what is inside.
    roomy = boxes[np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= 6 + 2 * edge]
    last = full + half
    _stroke(frame, roomy, range(-edge, 0), casing, dash, rounded)
    _stroke(frame, boxes, range(last, last + edge), casing, dash, rounded)
    marks = mark_shapes(boxes, style.mark, full, ratio, keep_marks)
    _fill(frame, marks, casing, edge)
    if half:
        # Half a pixel of the line over half a pixel of its casing.
        _stroke(frame, boxes, range(full, full + 1), _between(colour, casing), dash, rounded)
    _stroke(frame, boxes, range(full), colour, dash, rounded)
    _fill(frame, marks, colour, 0)


def draw_thin(frame: Frame, boxes: Boxes, role: Role, theme: Theme, ratio: float = 1.0) -> None:
    """Outlines of 1 px in the colour and dash of their role, at a bounded cost whatever their number."""
    colour = rgb(role, theme)
    dash = dash_of(role, ratio)
    if len(boxes) <= _POLYLINES_UP_TO:
        _stroke(frame, boxes, range(1), colour, dash)
    else:
        # Where so many lines cross, a dash would be read as noise.
        frame[count_outlines(frame, boxes) > 0] = colour


def count_outlines(frame: Frame, boxes: Boxes) -> NDArray[np.uint8]:
    """(H, W) outlines per pixel of the frame, cut at 255; a new array."""
    height, width = frame.shape[:2]
    counts = np.empty((height, width), np.uint8)
    rows = max(1, _BAND_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        band = counts[top : top + rows]
        coverage = _scratch.coverage_for(band)
        coverage.add(boxes - np.array([0, top, 0, top], np.int32))
        np.minimum(coverage.counts(), 255, out=band, casting="unsafe")
    return counts


def draw_density(
    frame: Frame, counts: NDArray[np.uint8], table: NDArray[np.uint8], colour: RGB, opacity: float = 1.0
) -> None:
    """Blend ``colour`` over the frame, the stronger the more outlines cross a pixel.

    Args:
        frame: drawn on.
        counts: (H, W), see :func:`count_outlines`.
        table: (256,) opacity of every count, see :func:`rpnviz.drawing.coverage.opacity_table`.
        colour: of the density.
        opacity: 0 to 1.
    """
    alpha = table.astype(np.float64) * opacity
    left = np.repeat(np.round(255 - alpha), 3).astype(np.uint8).reshape(256, 1, 3)
    added = np.round(alpha[:, None] / 255 * np.array(colour)).astype(np.uint8).reshape(256, 1, 3)
    cv2.multiply(frame, cv2.applyColorMap(counts, left), dst=frame, scale=1 / 255)
    cv2.add(frame, cv2.applyColorMap(counts, added), dst=frame)


def outer_reach(role: Role, ratio: float) -> int:
    """How far line, mark and casing of a role reach beyond the edge of a box, px."""
    style = STYLES[role]
    edge = max(1, round(ratio))
    full, half = _line(style.width * ratio)
    mark = {Mark.TICKS: full - 1 + edge, Mark.ALERT: full - 1 + edge, Mark.CROSS: _cross_reach(ratio)}
    return max(full - 1 + half, mark.get(style.mark, 0)) + edge


def dash_of(role: Role, ratio: float) -> tuple[int, ...]:
    """Lengths of lines and gaps, px; empty for a solid line."""
    return tuple(max(1, round(length * ratio)) for length in STYLES[role].dash)


def _line(width: float) -> tuple[int, int]:
    """A line of ``width`` px as rings of 1 px: the number of full ones, and 1 if a half one follows.

    Ring 0 is the edge itself, the others lie outside of it: an outline never hides what its box holds.
    """
    full = max(1, int(width + 0.25))
    return full, int(width - full >= 0.25)


def _stroke(
    frame: Frame, boxes: Boxes, rings: range, colour: RGB, dash: tuple[int, ...] = (), rounded: int = 0
) -> None:
    """Draw lines of 1 px around boxes (N, 4), grown by each number of px in ``rings``."""
    if not len(boxes) or not len(rings):
        return
    # Rings at negative offsets are asked for only where boxes are large enough.
    offsets = np.array(rings, np.int32)[:, None, None] * np.array([-1, -1, 1, 1], np.int32)
    x1, y1, x2, y2 = (boxes[None] + offsets).reshape(-1, 4).T
    if dash:
        columns, rows = _dashes(frame.shape[1], dash), _dashes(frame.shape[0], dash)
        horizontal = [((x1, y1), (x2, y1)), ((x1, y2), (x2, y2))]
        vertical = [((x1, y1), (x1, y2)), ((x2, y1), (x2, y2))]
        _dashed_lines(frame, horizontal, np.broadcast_to(columns, frame.shape[:2]), colour)
        _dashed_lines(frame, vertical, np.broadcast_to(rows[:, None], frame.shape[:2]), colour)
        return
    if rounded:
        cut = np.minimum(rounded + np.maximum(np.repeat(rings, len(boxes)), 0), np.minimum(x2 - x1, y2 - y1) // 4)
        ring = [
            (x1 + cut, y1),
            (x2 - cut, y1),
            (x2, y1 + cut),
            (x2, y2 - cut),
            (x2 - cut, y2),
            (x1 + cut, y2),
            (x1, y2 - cut),
            (x1, y1 + cut),
        ]
    else:
        ring = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    polygons = np.ascontiguousarray(np.array(ring, np.int32).transpose(2, 0, 1))
    cv2.polylines(frame, polygons, True, colour)  # type: ignore[call-overload]  # an array is a sequence of arrays


def _dashed_lines(
    frame: Frame,
    lines: list[tuple[tuple[NDArray[np.int32], NDArray[np.int32]], tuple[NDArray[np.int32], NDArray[np.int32]]]],
    shows: NDArray[np.bool_],
    colour: RGB,
) -> None:
    """Draw lines from (x, y) to (x, y) where ``shows`` (H, W) lets them."""
    ends = np.array(lines, np.int32)  # (lines, 2 ends, x or y, N)
    segments = np.ascontiguousarray(ends.transpose(0, 3, 1, 2).reshape(-1, 2, 2))
    mask = _scratch.mask_for(frame)
    cv2.polylines(mask, segments, False, 1)  # type: ignore[call-overload]
    pixels = np.flatnonzero(mask.view(bool))
    mask.reshape(-1)[pixels] = 0
    rows, columns = np.divmod(pixels, frame.shape[1])
    frame.reshape(-1, 3)[pixels[shows[rows, columns]]] = colour


@lru_cache(maxsize=64)
def _dashes(length: int, dash: tuple[int, ...]) -> NDArray[np.bool_]:
    """(length,) where a dashed line shows along one axis of the screen.

    The pattern belongs to the screen and not to the box, so that lines that lie on each other stay dashed.
    """
    period = np.repeat(np.arange(len(dash)) % 2 == 0, dash)
    return period[np.arange(length) % len(period)]


Shape = list[tuple[float, float]]
"""Corners of a filled convex polygon, device px."""


def mark_shapes(boxes: NDArray, mark: Mark, outer: float, ratio: float, keep: bool = False) -> list[Shape]:
    """The shapes that the mark adds to every box, as polygons; their borders belong to them.

    Args:
        boxes: (N, 4) device px, whole or not.
        mark: its kind.
        outer: width of the line outside of the edge, px.
        ratio: device px per px of the mark.
        keep: draw it on small boxes too.
    """
    shapes: list[Shape] = []
    if mark in (Mark.NONE, Mark.ROUND):
        return shapes
    thick = max(1, round(ratio))
    for x1, y1, x2, y2 in boxes.tolist():
        side = min(x2 - x1, y2 - y1)
        if mark is Mark.TRIANGLE:
            reach = min(round(7 * ratio), side if keep else side // 3)
            if reach >= 4:
                shapes.append([(x1, y1), (x1 + reach, y1), (x1, y1 + reach)])
        elif mark is Mark.CROSS:
            reach = _cross_reach(ratio)
            if keep or side >= 4 * reach:
                half = thick // 2
                for to in (1, -1):
                    a, b = (x1 - reach, y1 - to * reach), (x1 + reach, y1 + to * reach)
                    shapes.append([(a[0], a[1]), (b[0], b[1]), (b[0] + half, b[1]), (a[0] + half, a[1])])
        else:
            length = min(round(9 * ratio), side // 3)
            if keep or length >= 3:
                shapes += _corners((x1, y1, x2, y2), max(length, 2), outer, thick)
    return shapes


def _cross_reach(ratio: float) -> int:
    return max(2, round(3 * ratio))


def _corners(box: tuple[float, float, float, float], length: float, outer: float, thick: int) -> list[Shape]:
    """Bars along both edges at every corner, outside of the line: a box stays visible in a crowd of thin outlines."""
    x1, y1, x2, y2 = box
    bars = []
    for x, to_x in ((x1, 1), (x2, -1)):
        for y, to_y in ((y1, 1), (y2, -1)):
            far_x, far_y = x - to_x * (outer - 1 + thick), y - to_y * (outer - 1 + thick)
            for bar in ((far_x, far_y, x + to_x * length, y), (far_x, far_y, x, y + to_y * length)):
                bars.append([(bar[0], bar[1]), (bar[2], bar[1]), (bar[2], bar[3]), (bar[0], bar[3])])
    return bars


def _fill(frame: Frame, shapes: list[Shape], colour: RGB, grown: int) -> None:
    """Fill convex polygons, with a rim of ``grown`` px around them."""
    for shape in shapes:
        points = np.array(shape, np.int32)
        cv2.fillConvexPoly(frame, points, colour)
        if grown:
            cv2.polylines(frame, [points], True, colour, 2 * grown + 1)


def _between(a: RGB, b: RGB) -> RGB:
    return (a[0] + b[0]) // 2, (a[1] + b[1]) // 2, (a[2] + b[2]) // 2
