"""Point and rectangle queries against loops over single boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import presets
from rpnviz.core.anchors import Anchors, make_anchors
from rpnviz.core.picking import BoxIndex, best_overlap, index_of, neighbour, outline_distance

coordinate = st.one_of(
    st.integers(-8, 40).map(float), st.floats(-1e4, 1e4, width=32), st.sampled_from([math.nan, math.inf, -math.inf])
)
box_lists = st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=25)
finite = st.one_of(st.integers(-10, 45).map(float), st.floats(-50, 50, width=32))


def upright(box):
    """(x1, y1, x2, y2) with its corners in order, None if it is not finite."""
    if not all(map(math.isfinite, box)):
        return None
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


@settings(max_examples=200)
@given(box_lists, finite, finite, st.integers(0, 12))
def test_around_finds_what_a_loop_over_boxes_finds(boxes, x, y, reach):
    index = BoxIndex(np.array(boxes, np.float32).reshape(-1, 4))
    low_x, high_x = (float(np.float32(x + side * reach)) for side in (-1, 1))
    low_y, high_y = (float(np.float32(y + side * reach)) for side in (-1, 1))
    expected = []
    for row, box in enumerate(boxes):
        ready = upright(box)
        if ready and ready[0] <= high_x and ready[2] >= low_x and ready[1] <= high_y and ready[3] >= low_y:
            expected.append(row)
    assert index.around(x, y, reach).tolist() == expected


@settings(max_examples=200)
@given(box_lists, st.tuples(finite, finite, finite, finite))
def test_within_finds_what_a_loop_over_boxes_finds(boxes, rectangle):
    x1, y1, x2, y2 = upright(rectangle)
    expected = []
    for row, box in enumerate(boxes):
        ready = upright(box)
        if ready and x1 <= ready[0] and y1 <= ready[1] and ready[2] <= x2 and ready[3] <= y2:
            expected.append(row)
    assert BoxIndex(np.array(boxes, np.float64).reshape(-1, 4)).within(x1, y1, x2, y2).tolist() == expected


@settings(max_examples=200)
@given(st.tuples(finite, finite, finite, finite).map(upright), finite, finite)
def test_the_distance_to_an_outline_is_that_to_its_nearest_side(box, x, y):
    x1, y1, x2, y2 = box

    def to_side(ax, ay, bx, by):
        return math.hypot(x - min(max(x, ax), bx), y - min(max(y, ay), by))

    expected = min(to_side(x1, y1, x2, y1), to_side(x1, y2, x2, y2), to_side(x1, y1, x1, y2), to_side(x2, y1, x2, y2))
    assert outline_distance(np.array([box]), x, y)[0] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100)
@given(box_lists, finite, finite)
def test_nearest_is_no_farther_than_any(boxes, x, y):
    usable = [upright(box) for box in boxes if upright(box)]
    found = BoxIndex(np.array(boxes, np.float32).reshape(-1, 4)).nearest(x, y)
    if not usable:
        assert found is None
        return
    far = [math.hypot((b[0] + b[2]) / 2 - x, (b[1] + b[3]) / 2 - y) for b in usable]
    mine = upright(boxes[found])
    assert math.hypot((mine[0] + mine[2]) / 2 - x, (mine[1] + mine[3]) / 2 - y) <= min(far) * 1.001 + 0.1


@pytest.fixture(scope="module")
def anchors():
    preset = presets.load("torchvision")
    return make_anchors((96, 160), preset.params.anchors, preset.conventions)


def test_the_index_of_anchors_finds_those_that_contain_a_point(anchors):
    x, y = 70.0, 50.0
    expected = [row for row, (x1, y1, x2, y2) in enumerate(anchors.boxes) if x1 <= x <= x2 and y1 <= y <= y2]
    assert index_of(anchors).around(x, y, 0).tolist() == expected
    assert index_of(anchors) is index_of(anchors)


def test_steps_on_the_grid_and_their_ends(anchors):
    start = anchors.index(1, 3, 5, 2)
    assert anchors.place(neighbour(anchors, start, rows=1)) == (1, 4, 5, 2)
    assert anchors.place(neighbour(anchors, start, columns=-1)) == (1, 3, 4, 2)
    assert anchors.place(neighbour(anchors, start, cells=-1)) == (1, 3, 5, 1)
    assert neighbour(anchors, start, cells=1) is None
    corner = anchors.index(0, 0, 0, 0)
    for step in ({"rows": -1}, {"columns": -1}, {"cells": -1}, {"levels": -1}):
        assert neighbour(anchors, corner, **step) is None
    last = len(anchors) - 1
    for step in ({"rows": 1}, {"columns": 1}, {"cells": 1}, {"levels": 1}):
        assert neighbour(anchors, last, **step) is None


def test_a_step_to_another_level_lands_on_the_nearest_centre(anchors):
    for index in range(0, len(anchors), 97):
        place = anchors.place(index)
        for step in (-1, 1):
            found = neighbour(anchors, index, levels=step)
            if not 0 <= place.level + step < len(anchors.lattice):
                assert found is None
                continue
            level = anchors.lattice[place.level + step]
            centres = (level.boxes()[:, :2] + level.boxes()[:, 2:]) / 2
            mine = (anchors.boxes[index, :2] + anchors.boxes[index, 2:]) / 2
            to = (anchors.boxes[found, :2] + anchors.boxes[found, 2:]) / 2
            assert np.hypot(*(to - mine)) == pytest.approx(np.hypot(*(centres - mine).T).min(), abs=1e-3)
            assert anchors.place(found).cell == place.cell


def test_boxes_without_a_grid_have_only_shapes():
    anchors = Anchors.from_boxes(np.array([[0, 0, 4, 4], [1, 1, 9, 9]], np.float32))
    assert neighbour(anchors, 0, columns=1) is None
    assert neighbour(anchors, 0, cells=1) == 1


def test_the_best_overlap_passes_over_broken_boxes():
    boxes = np.array([[np.nan] * 4, [0, 0, 4, 4], [0, 0, 10, 10]], np.float32)
    assert best_overlap(boxes, np.array([0.0, 0, 9, 9])) == 2
    assert best_overlap(boxes, np.array([50.0, 50, 60, 60])) is None
    assert best_overlap(boxes, np.array([np.nan] * 4)) is None
    assert best_overlap(boxes[:0], np.array([0.0, 0, 9, 9])) is None
