"""Counts by prefix sums and by the lattice product, each against the other and a loop over every pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpnviz.drawing.coverage import Coverage, Lattice, count_lattices, opacity_table

pytestmark = pytest.mark.usefixtures("both_ways")

HEIGHT, WIDTH = 23, 31


def count_pixel_by_pixel(boxes, height=HEIGHT, width=WIDTH):
    counts = np.zeros((height, width), np.int32)
    for x1, y1, x2, y2 in boxes:
        if x2 < x1 or y2 < y1:
            continue
        outline = {(x, y) for x in range(x1, x2 + 1) for y in (y1, y2)}
        outline |= {(x, y) for x in (x1, x2) for y in range(y1, y2 + 1)}
        for x, y in outline:
            if 0 <= x < width and 0 <= y < height:
                counts[y, x] += 1
    return counts


def count(boxes, dtype=np.int32):
    return Coverage().count(HEIGHT, WIDTH, np.array(boxes, dtype).reshape(-1, 4))


@pytest.mark.parametrize(
    "box",
    [
        (5, 4, 12, 9),
        (0, 0, WIDTH - 1, HEIGHT - 1),
        (-1, -1, WIDTH, HEIGHT),  # the frame lies inside
        (-5, 3, 4, 8),  # left
        (25, 3, 40, 8),  # right
        (3, -9, 9, 2),  # top
        (3, 20, 9, 90),  # bottom
        (-4, -4, 2, 2),
        (28, 20, 50, 50),
        (-9, -9, -2, -2),  # outside
        (40, 3, 50, 8),
        (3, 30, 9, 40),
        (7, 7, 7, 7),  # a point
        (7, 3, 7, 15),  # lines
        (3, 7, 15, 7),
        (7, 7, 8, 8),
        (30, 22, 30, 22),
        (0, 0, 0, 0),
        (9, 3, 5, 8),  # no boxes
        (3, 9, 8, 5),
    ],
)
def test_one_box(box):
    np.testing.assert_array_equal(count([box]), count_pixel_by_pixel([box]))


@pytest.mark.parametrize("seed", range(12))
def test_many_boxes(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(-12, 45, (80, 4))
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    boxes[::7] = corners[::7]  # some inside out
    np.testing.assert_array_equal(count(boxes), count_pixel_by_pixel(boxes.tolist()))


def random_boxes(rng, count, low=-12, high=45):
    return np.sort(rng.integers(low, high, (count, 2, 2)), axis=1).reshape(count, 4)


def test_one_buffer_serves_frames_of_any_size():
    rng = np.random.default_rng(1)
    coverage = Coverage()
    for height, width in ((23, 31), (5, 7), (40, 9), (23, 31)):
        boxes = random_boxes(rng, 30)
        np.testing.assert_array_equal(
            coverage.count(height, width, boxes), count_pixel_by_pixel(boxes.tolist(), height, width)
        )


def test_boxes_are_taken_off():
    boxes = random_boxes(np.random.default_rng(2), 60)
    left = Coverage().count(HEIGHT, WIDTH, boxes, boxes[:25])
    np.testing.assert_array_equal(left, count_pixel_by_pixel(boxes[25:].tolist()))
    assert not Coverage().count(HEIGHT, WIDTH, boxes, boxes[::-1]).any()


def lattice_boxes(lattice):
    x1, x2, y1, y2 = lattice
    return [(a, c, b, d) for c, d in zip(y1, y2, strict=True) for a, b in zip(x1, x2, strict=True)]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(*(st.lists(st.tuples(st.integers(-40, 60), st.integers(0, 50)), max_size=7) for _ in "xy")),
        max_size=4,
    )
)
def test_the_product_of_lattices_counts_the_same(drawn):
    """Any edges, in any order, repeated, outside, and of a single pixel; not only those of a regular grid."""
    lattices = []
    for columns, rows in drawn:
        x1, wide = np.array(columns, np.int32).reshape(-1, 2).T
        y1, high = np.array(rows, np.int32).reshape(-1, 2).T
        lattices.append(Lattice(x1, x1 + wide, y1, y1 + high))
    boxes = [box for lattice in lattices for box in lattice_boxes(lattice)]
    product = count_lattices(HEIGHT, WIDTH, lattices)
    np.testing.assert_array_equal(product, count_pixel_by_pixel(boxes))
    np.testing.assert_array_equal(product, count(boxes))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_integers_of_any_size(dtype):
    boxes = [(5, 4, 12, 9), (-300, 3, 300, 8)]
    np.testing.assert_array_equal(count(boxes, dtype), count_pixel_by_pixel(boxes))


def test_very_many_on_one_pixel_do_not_overflow():
    assert Coverage().count(3, 3, np.ones((70_000, 4), np.int32))[1, 1] == 70_000
    line = np.zeros(1000, np.int32)
    assert (count_lattices(2, 2, [Lattice(line, line, line, line)]) == [[1_000_000, 0], [0, 0]]).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1)])
def test_small_frames(height, width):
    boxes = [(0, 0, 0, 0), (0, 0, 5, 5), (-1, -1, 1, 1)]
    counted = Coverage().count(height, width, np.array(boxes, np.int32))
    np.testing.assert_array_equal(counted, count_pixel_by_pixel(boxes, height, width))


def tone_map(counts):
    clipped = np.minimum(counts, 255).astype(np.uint8)
    return opacity_table(clipped)[clipped]


def test_tone_map_follows_the_99th_percentile():
    counts = np.zeros((20, 10), np.int32)
    counts.reshape(-1)[:100] = np.arange(1, 101)
    alpha = tone_map(counts)
    assert not alpha.reshape(-1)[100:].any()
    expected = 0.55 * np.log1p(np.arange(1, 101)) / math.log1p(99)
    np.testing.assert_allclose(alpha.reshape(-1)[:100] / 255, expected, atol=0.5 / 255)


def test_tone_map_of_nothing_and_of_huge_counts():
    assert not tone_map(np.zeros((4, 4), np.int32)).any()
    alpha = tone_map(np.full((4, 4), 1_000_000, np.int32))
    assert (alpha == round(0.55 * 255)).all()


def test_opacity_grows_and_stays_below_one():
    table = opacity_table(np.array([[1, 1, 1, 1]], np.uint8), strength=0.9).astype(int)
    assert table[0] == 0
    assert (np.diff(table) >= 0).all()
    assert table[-1] == 255
