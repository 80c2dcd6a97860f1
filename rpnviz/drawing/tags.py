"""Small text tags beside boxes: placed so that they hide as little as possible, and never each other.

Every tag tries places around its box, problems first. Where no place is free, only the number in front of the text is
tried; where that finds none either, the tag is left out, unless its box has a problem. Hundreds of problems are
labelled as far as there is room: a carpet of tags says less than the boxes under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.outlines import outer_reach
from rpnviz.drawing.text import MEDIUM, draw_text, measure
from rpnviz.palette import BACKGROUND, MUTED_TEXT, RGB, TEXT, Role, Theme, parse_colour, rgb

_FONT = 12
"""Size of the text, px."""
_PAD_X, _PAD_Y = 4, 1
_PLATE_OPACITY = 0.8
_MOST_TAGS = 200
"""Boxes in view beyond which only problems are labelled; so many problems are labelled only where there is room."""
_FULL_TEXT_SHARE = 0.1
"""Of the frame that the full tags of problems, and those of the others, may take; above that they are short."""
_HIDES_AT_MOST = 0.7
"""Share of other boxes that a tag may cover before it gives way to its short form."""


@dataclass(frozen=True)
class Tag:
    """A text that belongs to a box.

    Attributes:
        box: (x1, y1, x2, y2) device px, edges inclusive.
        text: full text, beginning with the number of the box.
        role: decides the colours; problems are placed first and, unless there are hundreds, always.
        opacity: 0 to 1.
    """

    box: tuple[int, int, int, int]
    text: str
    role: Role
    opacity: float = 1.0

    @property
    def short(self) -> str:
        """The number alone, with the "!" of a problem."""
        number = self.text.split(" ", 1)[0]
        return f"{number} !" if self.role is Role.GT_PROBLEM else number


@dataclass(frozen=True)
class PlacedTag:
    """A tag with its place: (left, top, width, height) px of its plate."""

    tag: Tag
    text: str
    left: int
    top: int
    width: int
    height: int


def draw_tags(frame: NDArray[np.uint8], tags: Sequence[Tag], theme: Theme, ratio: float = 1.0) -> None:
    """Place and draw tags in place."""
    for placed in place_tags(tuple(tags), frame.shape[1], frame.shape[0], ratio):
        _draw(frame, placed, theme, ratio)


@lru_cache(maxsize=16)
def place_tags(tags: tuple[Tag, ...], width: int, height: int, ratio: float) -> tuple[PlacedTag, ...]:
    """Find a place for every tag in a frame of ``width`` by ``height`` px.

    Kept for the same boxes, so that a threshold move pays only for tags that change.
    """
    size = max(8, round(_FONT * ratio))
    order = sorted(
        range(len(tags)), key=lambda i: (tags[i].role is not Role.GT_PROBLEM, -tags[i].opacity, -_area(tags[i].box))
    )
    # With line and marks: a tag that touches them reads as theirs.
    reach = np.array([outer_reach(tag.role, ratio) for tag in tags], np.float64)[:, None]
    boxes = np.array([tag.box for tag in tags], np.float64).reshape(-1, 4) + reach * (-1, -1, 1, 1) + (0, 0, 1, 1)
    areas = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1)
    crowded = {problem: _crowded(tags, problem, size, ratio, width * height) for problem in (False, True)}
    taken = np.zeros((0, 4))
    found = []
    room_for_all = sum(tag.role is Role.GT_PROBLEM for tag in tags) <= _MOST_TAGS
    left_over = _FULL_TEXT_SHARE * width * height
    for i in order if room_for_all else order[: 2 * _MOST_TAGS]:
        tag = tags[i]
        problem = tag.role is Role.GT_PROBLEM
        if not problem and len(tags) > _MOST_TAGS:
            break
        gap = outer_reach(tag.role, ratio) + max(1, round(ratio))
        best = None
        for text in (tag.short,) if crowded[problem] else dict.fromkeys((tag.text, tag.short)):
            plate = _plate(text, size, ratio)
            places, reluctance = _places(tag.box, plate, gap, width, height)
            if not len(places):
                continue
            cost = _hidden(places, boxes, areas) + reluctance
            clash = _overlap(places, taken).sum(axis=1)
            # Among hundreds every tag hides some box.
            free = np.flatnonzero((clash == 0) & ((cost <= _HIDES_AT_MOST) | (problem and not room_for_all)))
            if len(free):
                best = text, plate, places[free[np.argmin(cost[free])]]
                break
            if problem and room_for_all:
                # Better on top of something than not said at all; the short form, tried last, wins.
                best = text, plate, places[np.argmin(clash / (plate[0] * plate[1]) + cost)]
        if best is not None:
            text, plate, place = best
            left_over -= plate[0] * plate[1]
            if not room_for_all and left_over < 0:
                break
            taken = np.concatenate([taken, place[None]])
            found.append(PlacedTag(tag, text, int(place[0]), int(place[1]), *plate))
    # The first placed matter most and are drawn last, should any overlap.
    return tuple(reversed(found))


def _crowded(tags: tuple[Tag, ...], problem: bool, size: int, ratio: float, area: int) -> bool:
    """Whether the full texts of the boxes with, or without, a problem would take too much of the frame."""
    plates = (_plate(tag.text, size, ratio) for tag in tags if (tag.role is Role.GT_PROBLEM) is problem)
    return sum(width * height for width, height in plates) > _FULL_TEXT_SHARE * area


def _plate(text: str, size: int, ratio: float) -> tuple[int, int]:
    extent = measure(text, size, MEDIUM)
    return extent.width + 2 * round(_PAD_X * ratio), extent.height + 2 * round(_PAD_Y * ratio)


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _places(
    box: tuple[int, int, int, int], plate: tuple[int, int], gap: int, width: int, height: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places for a plate, (K, 4) xyxy, and how much worse than the first each is, (K,).

    Above the top left corner is where one looks first, and a place that could belong to a neighbour misleads: moving
    away has to save a good part of some box. Only places wholly inside the frame; a box that is cut off is treated as
    the part in view.
    """
    w, h = plate
    x1, y1, x2, y2 = max(box[0], 0), max(box[1], 0), min(box[2], width - 1), min(box[3], height - 1)
    above, below = y1 - gap - h + 1, y2 + gap
    left, right = x1 - gap + 1, x2 + gap - w
    beside_left, beside_right = x1 - gap - w + 1, x2 + gap
    upper, lower = y1 - gap + 1, y2 + gap - h
    spots = [
        (left, above, 0.0),
        (right, above, 0.1),
        (left, below, 0.2),
        (right, below, 0.25),
        (beside_right, upper, 0.25),
        (beside_left, upper, 0.25),
        (beside_right, lower, 0.3),
        (beside_left, lower, 0.3),
    ]
    if x2 - x1 > 1.5 * w and y2 - y1 > 2 * h:
        inner_x, inner_y = (x1 + gap, x2 - gap - w), (y1 + gap, y2 - gap - h)
        spots += [(x, y, 0.1) for y in inner_y for x in inner_x]
    places, reluctance = [], []
    for number, (x, y, worse) in enumerate(spots):
        # Along its edge of the box a plate may move to stay in the frame, across it may not.
        if number < 4:
            x = min(max(x, 0), width - w)
        elif number < 8:
            y = min(max(y, 0), height - h)
        if x >= 0 and y >= 0 and x + w <= width and y + h <= height:
            places.append((x, y, x + w, y + h))
            reluctance.append(worse)
    return np.array(places, np.float64).reshape(-1, 4), np.array(reluctance)


def _overlap(places: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Common area of places (K, 4) and boxes (N, 4), (K, N) px."""
    wide = np.minimum(places[:, None, 2], boxes[None, :, 2]) - np.maximum(places[:, None, 0], boxes[None, :, 0])
    high = np.minimum(places[:, None, 3], boxes[None, :, 3]) - np.maximum(places[:, None, 1], boxes[None, :, 1])
    return np.maximum(wide, 0) * np.maximum(high, 0)


def _hidden(places: NDArray[np.float64], boxes: NDArray[np.float64], areas: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the boxes each place hides, (K,): the shares of their areas, summed."""
    return (_overlap(places, boxes) / areas).sum(axis=1)


def tag_colours(role: Role, theme: Theme) -> tuple[RGB, RGB, float]:
    """Colour of the plate, colour of the text, and opacity of the plate."""
    if role is Role.GT_PROBLEM:
        # Filled, so that it stands out in grey as well; the text takes the ground's colour.
        return rgb(role, theme), parse_colour(BACKGROUND[theme]), 1.0
    text = parse_colour((MUTED_TEXT if role is Role.LEFT_OUT else TEXT)[theme])
    return parse_colour(BACKGROUND[theme]), text, _PLATE_OPACITY


def text_place(placed: PlacedTag, ratio: float) -> tuple[int, int, int]:
    """Left end, baseline and font size of the text of a tag, px."""
    size = max(8, round(_FONT * ratio))
    baseline = placed.top + round(_PAD_Y * ratio) + measure(placed.text, size, MEDIUM).ascent
    return placed.left + round(_PAD_X * ratio), baseline, size


def _draw(frame: NDArray[np.uint8], placed: PlacedTag, theme: Theme, ratio: float) -> None:
    opacity = placed.tag.opacity
    plate, text, strength = tag_colours(placed.tag.role, theme)
    part = frame[placed.top : placed.top + placed.height, placed.left : placed.left + placed.width]
    mixed = part + (np.array(plate, np.float32) - part) * np.float32(strength * opacity)
    part[:] = np.round(mixed).astype(np.uint8)
    left, baseline, size = text_place(placed, ratio)
    draw_text(frame, placed.text, left, baseline, size, text, MEDIUM, opacity)
