"""Outlines of boxes on a frame: width, casing, dashes and marks for a few, thin lines for many.

A frame is (H, W, 3) uint8 RGB and changes in place. Boxes are (N, 4) int32 device px, see
:func:`rpnviz.drawing.viewport.device_boxes`. Nothing here is anti-aliased: all edges are upright, and a line of 1.5 px
is one full pixel and one of half the opacity.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.compiled import kernels
from rpnviz.drawing.coverage import Coverage
from rpnviz.imaging import cv2
from rpnviz.palette import CASING, RGB, STYLES, Mark, Role, Theme, parse_colour, rgb

Frame = NDArray[np.uint8]
Boxes = NDArray[np.int32]

_POLYLINES_UP_TO = 5_000
"""Above this many outlines prefix sums are faster than cv2.polylines, and their cost is bounded."""


class _Scratch(threading.local):
    """Buffers of the size of a frame, made once per thread and size."""

    def __init__(self) -> None:
        self.masks = np.zeros((2, 0, 0), np.uint8)
        self.coverage = Coverage()

    def masks_for(self, frame: Frame) -> NDArray[np.uint8]:
        """(2, H, W), all 0; who draws on them clears them again."""
        if self.masks.shape[1:] != frame.shape[:2]:
            self.masks = np.zeros((2, *frame.shape[:2]), np.uint8)
        return self.masks


_scratch = _Scratch()


def draw_styled(
    frame: Frame,
    boxes: Boxes,
    role: Role,
    theme: Theme,
    ratio: float = 1.0,
    keep_marks: bool = False,
    colour: RGB | None = None,
) -> None:
    """Outlines with the width, casing, dash and mark of their role; for some hundred boxes.

    Args:
        frame: drawn on.
        boxes: device px.
        role: decides the style.
        theme: ground.
        ratio: device px per px of the style.
        keep_marks: draw the marks of boxes that are so small that they would hide what is inside.
        colour: instead of the role's.
    """
    style = STYLES[role]
    colour, casing = rgb(role, theme) if colour is None else colour, parse_colour(CASING[theme])
    full, half = _line(style.width * ratio)
    edge = max(1, round(ratio))
    rounded = round(3 * ratio) if style.mark is Mark.ROUND else 0
    dash = dash_of(role, ratio)
    # The inner casing of a very small box would hide what is inside.
    roomy = boxes[np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= 6 + 2 * edge]
    last = full + half
    lines: list[_Lines] = [(roomy, range(-edge, 0), casing), (boxes, range(last, last + edge), casing)]
    if half:
        # Half a pixel of the line over half a pixel of its casing.
        lines.append((boxes, range(full, full + 1), _between(colour, casing)))
    lines.append((boxes, range(full), colour))
    marks = mark_shapes(boxes, style.mark, full, ratio, keep_marks)
    if dash:
        _rim(frame, marks, casing, edge)
        _draw_dashed(frame, lines, dash)
    else:
        for around, rings, ink in lines[:2]:
            _draw_solid(frame, around, rings, ink, rounded)
        _rim(frame, marks, casing, edge)
        for around, rings, ink in lines[2:]:
            _draw_solid(frame, around, rings, ink, rounded)
    _fill(frame, marks, colour)


def draw_thin(
    frame: Frame, boxes: Boxes, role: Role, theme: Theme, ratio: float = 1.0, colour: RGB | None = None
) -> None:
    """Outlines of 1 px in the dash of their role, and its colour if none is given; the cost is bounded."""
    colour = rgb(role, theme) if colour is None else colour
    if len(boxes) <= _POLYLINES_UP_TO:
        dash = dash_of(role, ratio)
        if dash:
            _draw_dashed(frame, [(boxes, range(1), colour)], dash)
        else:
            _draw_solid(frame, boxes, range(1), colour)
    else:
        # Where so many lines cross, a dash would be read as noise.
        height, width = frame.shape[:2]
        frame[_scratch.coverage.count(height, width, boxes) > 0] = colour


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


_Lines = tuple[Boxes, range, RGB]
"""Lines of 1 px around boxes (N, 4), grown by each number of px of a range, and their colour."""


def _grown(boxes: Boxes, rings: range) -> tuple[Boxes, Boxes, Boxes, Boxes]:
    """Edges x1, y1, x2, y2 of boxes grown by each number of px in ``rings``, (rings * N,) each."""
    # Rings at negative offsets are asked for only where boxes are large enough.
    offsets = np.array(rings, np.int32)[:, None, None] * np.array([-1, -1, 1, 1], np.int32)
    x1, y1, x2, y2 = (boxes[None] + offsets).reshape(-1, 4).T
    return x1, y1, x2, y2


def _draw_solid(frame: Frame, boxes: Boxes, rings: range, colour: RGB, rounded: int = 0) -> None:
    """Draw lines of 1 px around boxes (N, 4), their corners cut by ``rounded`` px."""
    if not len(boxes) or not len(rings):
        return
    x1, y1, x2, y2 = _grown(boxes, rings)
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


def _draw_dashed(frame: Frame, lines: list[_Lines], dash: tuple[int, ...]) -> None:
    """Draw dashed lines, later ones over earlier ones; dashes belong to the screen."""
    some = [(boxes, rings, ink) for boxes, rings, ink in lines if len(boxes) and len(rings)]
    if not some:
        return
    loops = kernels()
    if loops is not None and frame.flags.c_contiguous:
        shows_x, shows_y = _dashes(frame.shape[1], dash), _dashes(frame.shape[0], dash)
        for boxes, rings, ink in some:
            loops.dashed(
                frame, np.ascontiguousarray(boxes), rings.start, rings.stop, np.array(ink, np.uint8), shows_x, shows_y
            )
        return
    # All that is drawn lies within.
    lefts, tops, rights, bottoms = zip(*(_reach(boxes, rings) for boxes, rings, _ in some), strict=True)
    left, top = max(min(lefts), 0), max(min(tops), 0)
    right, bottom = min(max(rights) + 1, frame.shape[1]), min(max(bottoms) + 1, frame.shape[0])
    if left >= right or top >= bottom:
        return
    inks = np.array([ink for _, _, ink in some], np.uint8)
    level, upright = _scratch.masks_for(frame)
    for number, (boxes, rings, _) in enumerate(some, 1):
        x1, y1, x2, y2 = _grown(boxes, rings)
        _lines_between(level, [(x1, y1, x2, y1), (x1, y2, x2, y2)], number)
        _lines_between(upright, [(x1, y1, x1, y2), (x2, y1, x2, y2)], number)
    level, upright = level[top:bottom, left:right], upright[top:bottom, left:right]
    # Where lines cross, the one that is drawn later has the higher number. Rows are padded to words of 8 px.
    shown = np.zeros((bottom - top, math.ceil((right - left) / 8) * 8), np.uint8)
    inside = shown[:, : right - left]
    np.multiply(level, _dashes(frame.shape[1], dash)[left:right], out=inside)
    np.maximum(inside, upright * _dashes(frame.shape[0], dash)[top:bottom, None], out=inside)
    level.fill(0)
    upright.fill(0)
    # Few pixels are drawn, and words without any are passed over together.
    words = np.flatnonzero(shown.view(np.uint64))
    pixels = shown.reshape(-1, 8)[words]
    word, byte = np.nonzero(pixels)
    rows, columns = np.divmod(words[word] * 8 + byte, shown.shape[1])
    frame.reshape(-1, 3)[(rows + top) * frame.shape[1] + columns + left] = inks[pixels[word, byte] - 1]


def _reach(boxes: Boxes, rings: range) -> tuple[int, int, int, int]:
    """What boxes grown by up to the largest of ``rings`` px cover: left, top, right, bottom."""
    most = max(*rings, 0)
    left, top = (boxes[:, :2].min(axis=0) - most).tolist()
    right, bottom = (boxes[:, 2:].max(axis=0) + most).tolist()
    return left, top, right, bottom


def _lines_between(
    mask: NDArray[np.uint8],
    ends: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]],
    number: int,
) -> None:
    """Write a number along lines from (x, y) to (x, y)."""
    segments = np.ascontiguousarray(np.array(ends, np.int32).transpose(0, 2, 1).reshape(-1, 2, 2))
    cv2.polylines(mask, segments, False, number)  # type: ignore[call-overload]


@lru_cache(maxsize=64)
def _dashes(length: int, dash: tuple[int, ...]) -> NDArray[np.uint8]:
    """(length,) 1 where a dashed line shows along one axis of the screen.

    The pattern belongs to the screen and not to the box, so that lines that lie on each other stay dashed.
    """
    period = np.repeat(np.arange(len(dash)) % 2 == 0, dash).astype(np.uint8)
    return period[np.arange(length) % len(period)]


def mark_shapes(boxes: NDArray, mark: Mark, outer: float, ratio: float, keep: bool = False) -> NDArray:
    """The shapes that the mark adds to boxes, as polygons; their borders belong to them.

    Args:
        boxes: (N, 4) device px, whole or not.
        mark: its kind.
        outer: width of the line outside of the edge, px.
        ratio: device px per px of the mark.
        keep: draw it on small boxes too.

    Returns:
        (K, corners, 2) x and y of the corners, in the order of the boxes.
    """
    x1, y1, x2, y2 = boxes.T
    side = np.minimum(x2 - x1, y2 - y1)
    if mark in (Mark.NONE, Mark.ROUND) or not len(boxes):
        return np.zeros((0, 4, 2))
    if mark is Mark.TRIANGLE:
        reach = np.minimum(round(7 * ratio), side if keep else side // 3)
        return _polygons([(x1, y1), (x1 + reach, y1), (x1, y1 + reach)])[reach >= 4]
    if mark is Mark.CROSS:
        arm, half = _cross_reach(ratio), max(1, round(ratio)) // 2
        bars = [
            _polygons([(x1 - arm, y), (x1 + arm, end), (x1 + arm + half, end), (x1 - arm + half, y)])
            for y, end in ((y1 - arm, y1 + arm), (y1 + arm, y1 - arm))
        ]
        return _by_box(bars, np.ones(len(boxes), bool) if keep else side >= 4 * arm)
    length = np.minimum(round(9 * ratio), side // 3)
    bars = _corners(boxes, np.maximum(length, 2), outer, max(1, round(ratio)))
    return _by_box(bars, np.ones(len(boxes), bool) if keep else length >= 3)


def _polygons(corners: list[tuple[NDArray, NDArray]]) -> NDArray:
    """(N, corners, 2) of x and y (N,) of each corner."""
    return np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)


def _by_box(shapes: list[NDArray], chosen: NDArray[np.bool_]) -> NDArray:
    """Several polygons (N, corners, 2) of each box, those of the chosen boxes after each other."""
    return np.stack(shapes, axis=1)[chosen].reshape(-1, *shapes[0].shape[1:])


def _cross_reach(ratio: float) -> int:
    return max(2, round(3 * ratio))


def _corners(boxes: NDArray, length: NDArray, outer: float, thick: int) -> list[NDArray]:
    """Bars along both edges at every corner, outside of the line: a box stays visible in a crowd of thin outlines."""
    x1, y1, x2, y2 = boxes.T
    bars = []
    for x, to_x in ((x1, 1), (x2, -1)):
        for y, to_y in ((y1, 1), (y2, -1)):
            far_x, far_y = x - to_x * (outer - 1 + thick), y - to_y * (outer - 1 + thick)
            for end_x, end_y in ((x + to_x * length, y), (x, y + to_y * length)):
                bars.append(_polygons([(far_x, far_y), (end_x, far_y), (end_x, end_y), (far_x, end_y)]))
    return bars


def _fill(frame: Frame, shapes: NDArray, colour: RGB) -> None:
    """Fill convex polygons."""
    for shape in shapes.astype(np.int32):
        cv2.fillConvexPoly(frame, shape, colour)


def _rim(frame: Frame, shapes: NDArray, colour: RGB, grown: int) -> None:
    """Draw a rim of ``grown`` px around polygons, whose insides are filled afterwards."""
    if len(shapes):
        cv2.polylines(frame, shapes.astype(np.int32), True, colour, 2 * grown + 1)  # type: ignore[call-overload]


def _between(a: RGB, b: RGB) -> RGB:
    return (a[0] + b[0]) // 2, (a[1] + b[1]) // 2, (a[2] + b[2]) // 2
