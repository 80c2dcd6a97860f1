"""Tags of ground truth: beside their boxes, not on each other, problems first."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rpnviz.drawing.photo import blank
from rpnviz.drawing.tags import Tag, draw_tags, place_tags
from rpnviz.palette import Role, Theme, rgb

WIDTH, HEIGHT = 640, 480


def place(*tags, ratio=1.0, width=WIDTH, height=HEIGHT):
    return place_tags(tuple(tags), width, height, ratio)


def overlap(a, b):
    """Common area of two rectangles (left, top, width, height)."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(wide, 0) * max(high, 0)


def plate(placed):
    return placed.left, placed.top, placed.width, placed.height


def rectangle(box):
    return box[0], box[1], box[2] - box[0] + 1, box[3] - box[1] + 1


def test_a_tag_stands_above_its_box():
    (placed,) = place(Tag((200, 200, 300, 280), "7 coin", Role.GT))
    assert placed.text == "7 coin"
    assert placed.top + placed.height <= 200
    assert placed.left == pytest.approx(200, abs=5)


@pytest.mark.parametrize(
    "box",
    [
        (200, 2, 300, 80),  # at the top
        (200, 400, 300, 478),
        (2, 2, 90, 60),
        (600, 2, 638, 60),
        (590, 440, 638, 478),
        (-50, 100, 60, 200),  # cut off
        (600, 100, 900, 200),
        (300, 200, 303, 203),  # tiny
        (300, 200, 300, 200),
        (620, 470, 622, 472),
    ],
)
def test_a_tag_is_whole_and_does_not_cover_its_box(box):
    (placed,) = place(Tag(box, "7 triangle", Role.GT))
    left, top, width, height = plate(placed)
    assert left >= 0
    assert top >= 0
    assert left + width <= WIDTH
    assert top + height <= HEIGHT
    assert overlap(plate(placed), rectangle(box)) == 0


def test_in_a_box_as_large_as_the_frame_the_tag_stands_inside():
    (placed,) = place(Tag((-20, -20, 700, 500), "7 wall", Role.GT))
    assert overlap(plate(placed), (0, 0, WIDTH, HEIGHT)) == placed.width * placed.height


@pytest.mark.parametrize("seed", range(5))
def test_tags_do_not_overlap(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 580, (40, 2)) * (1, 0.75)
    sides = rng.integers(5, 90, (40, 2))
    tags = [
        Tag((int(x), int(y), int(x + w), int(y + h)), f"{number} triangle", Role.GT)
        for number, ((x, y), (w, h)) in enumerate(zip(corners, sides, strict=True))
    ]
    placed = place(*tags)
    assert len(placed) > 20
    assert all(overlap(plate(a), plate(b)) == 0 for a, b in combinations(placed, 2))


def test_where_it_is_tight_numbers_remain():
    tags = [
        Tag((x, y, x + 24, y + 24), f"{x + y} a very long name", Role.GT)
        for x in range(20, 600, 40)
        for y in range(40, 440, 50)
    ]
    placed = place(*tags)
    assert len(placed) > 0.9 * len(tags)
    assert all(found.text == found.tag.short for found in placed)


def test_problems_come_first_and_are_never_left_out():
    crowd = [Tag((200 + number, 200, 215 + number, 212), f"{number} dot", Role.GT) for number in range(60)]
    problem = Tag((230, 200, 245, 212), "99 dot ! none", Role.GT_PROBLEM)
    placed = place(*crowd, problem)
    assert any(found.tag is problem and found.text == "99 dot ! none" for found in placed)
    assert len(placed) < 61
    many = [Tag((10, 10, 12, 12), f"{number} ! none", Role.GT_PROBLEM) for number in range(30)]
    assert len(place(*many, width=60, height=40)) == 30


def test_too_many_boxes_are_not_labelled_except_problems():
    tags = [Tag((x, 100, x + 2, 110), f"{x}", Role.GT) for x in range(0, 600, 2)]
    problem = Tag((300, 200, 340, 240), "0 ! none", Role.GT_PROBLEM)
    assert [found.tag for found in place(*tags, problem)] == [problem]


def test_a_frame_that_is_too_small_has_no_tag():
    assert place(Tag((1, 1, 5, 5), "7 coin", Role.GT), width=9, height=9) == ()


@pytest.mark.parametrize("theme", Theme)
def test_a_problem_is_filled_with_its_colour(theme):
    frame = blank(HEIGHT, WIDTH, (90, 90, 90))
    tag = Tag((200, 200, 300, 280), "7 coin ! forced 0.42", Role.GT_PROBLEM)
    draw_tags(frame, [tag], theme)
    (placed,) = place(tag)
    part = frame[placed.top : placed.top + placed.height, placed.left : placed.left + placed.width]
    share = (part == rgb(Role.GT_PROBLEM, theme)).all(axis=2).mean()
    assert 0.5 < share < 0.95
    outside = frame.copy()
    outside[placed.top : placed.top + placed.height, placed.left : placed.left + placed.width] = 90
    assert (outside == 90).all()


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_tags_grow_with_the_pixel_ratio(ratio):
    (placed,) = place(Tag((200, 200, 300, 280), "7 coin", Role.GT), ratio=ratio)
    assert placed.height == pytest.approx(19 * ratio, abs=2)


def test_the_short_form():
    assert Tag((0, 0, 1, 1), "7 coin", Role.GT).short == "7"
    assert Tag((0, 0, 1, 1), "7 coin ! none", Role.GT_PROBLEM).short == "7 !"


def test_hundreds_of_problems_do_not_carpet_the_photo():
    rng = np.random.default_rng(0)
    corners, sides = rng.integers(0, 600, (1600, 2)) * (1, 0.75), rng.integers(4, 40, (1600, 2))
    tags = [
        Tag((int(x), int(y), int(x + w), int(y + h)), f"{number} pole ! no positive", Role.GT_PROBLEM)
        for number, ((x, y), (w, h)) in enumerate(zip(corners, sides, strict=True))
    ]
    placed = place(*tags)
    assert 20 < len(placed) <= 400
    assert not any(overlap(plate(a), plate(b)) for a, b in combinations(placed, 2))
    assert sum(p.width * p.height for p in placed) < 0.4 * WIDTH * HEIGHT
