"""Where a hand may put a box: on whole pixels, inside the image, at least a pixel wide. Original pixels throughout."""

from __future__ import annotations

from enum import IntFlag

from rpnviz.datasets.edited import Box

MIN_SIDE = 1.0
"""Px; a box without an area is what the data set check complains about."""

Size = tuple[int, int]
"""(H, W) of the image."""


class Edge(IntFlag):
    """The sides of a box that are moved; two of them are a corner."""

    NONE = 0
    LEFT = 1
    TOP = 2
    RIGHT = 4
    BOTTOM = 8


def snapped(value: float, fine: bool = False) -> float:
    """A coordinate on the nearest edge between two pixels; ``fine``: on a hundredth of a pixel."""
    return round(value, 2) if fine else float(round(value))


def spanned(a: tuple[float, float], b: tuple[float, float], size: Size, fine: bool = False) -> Box:
    """The box between two corners (x, y), cut off at the image."""
    x1, x2 = _side(a[0], b[0], size[1], fine)
    y1, y2 = _side(a[1], b[1], size[0], fine)
    return x1, y1, x2, y2


def beside(a: tuple[float, float], b: tuple[float, float], size: Size) -> bool:
    """Whether the box between two corners lies beside the image as a whole."""
    return any(max(a[axis], b[axis]) <= 0 or min(a[axis], b[axis]) >= size[1 - axis] for axis in (0, 1))


def shifted(box: Box, dx: float, dy: float, size: Size, fine: bool = False) -> Box:
    """The box moved as far as the image allows; one that reaches beyond it already is not pushed back."""
    x = _shift(box[0], box[2], snapped(dx, fine), size[1])
    y = _shift(box[1], box[3], snapped(dy, fine), size[0])
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def resized(box: Box, edges: Edge, to: tuple[float, float], size: Size, fine: bool = False) -> Box:
    """The box with some sides at (x, y); a side that is pulled over the opposite one becomes that."""
    x1, y1, x2, y2 = box
    if edges & Edge.LEFT:
        x1, x2 = _side(x2, to[0], size[1], fine, fixed=True)
    elif edges & Edge.RIGHT:
        x1, x2 = _side(x1, to[0], size[1], fine, fixed=True)
    if edges & Edge.TOP:
        y1, y2 = _side(y2, to[1], size[0], fine, fixed=True)
    elif edges & Edge.BOTTOM:
        y1, y2 = _side(y1, to[1], size[0], fine, fixed=True)
    return x1, y1, x2, y2


def _side(start: float, end: float, limit: float, fine: bool, fixed: bool = False) -> tuple[float, float]:
    """From the one end to the other, ascending; ``fixed``: the first end stays where it is."""
    end = min(max(snapped(end, fine), 0.0), limit)
    if not fixed:
        start = min(max(snapped(start, fine), 0.0), limit)
    if abs(end - start) < MIN_SIDE:
        up = (end >= start and start + MIN_SIDE <= limit) or start - MIN_SIDE < 0
        end = start + MIN_SIDE if up else start - MIN_SIDE
        if end > limit and not fixed:  # between the edges of a pixel at the border
            start, end = start - (end - limit), limit
        end = min(end, limit)
    return min(start, end), max(start, end)


def _shift(start: float, end: float, by: float, limit: float) -> float:
    low, high = min(start, end), max(start, end)
    return max(by, min(-low, 0.0)) if by < 0 else min(by, max(limit - high, 0.0))
