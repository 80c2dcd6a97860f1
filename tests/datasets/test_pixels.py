"""What the numbers of each format mean, in pixels from 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rpnviz.datasets import (
    coco_annotations,
    crowdhuman,
    csv_table,
    cvat,
    detectron2_dicts,
    kitti,
    labelme,
    voc,
    yolo,
)
from rpnviz.datasets.pixels import Order, PixelConvention, around_rotated

BOXES = arrays(
    np.float64,
    st.tuples(st.integers(0, 20), st.just(4)),
    elements=st.floats(-1e6, 1e6, allow_nan=False, width=32),
)


@pytest.mark.parametrize(
    ("convention", "numbers", "box"),
    [
        (coco_annotations.PIXELS, (10, 5, 20, 10), (10, 5, 30, 15)),
        (crowdhuman.PIXELS, (-3, 5, 20, 10), (-3, 5, 17, 15)),
        (voc.PIXELS, (1, 1, 60, 40), (0, 0, 60, 40)),
        (voc.PIXELS, (7, 7, 7, 7), (6, 6, 7, 7)),
        (yolo.PIXELS, (0.5, 0.5, 0.5, 0.25), (0.25, 0.375, 0.75, 0.625)),
        (labelme.PIXELS, (10, 5, 30, 15), (10, 5, 30, 15)),
        (cvat.PIXELS, (10, 5, 30, 15), (10, 5, 30, 15)),
        (kitti.PIXELS, (10.5, 5, 30, 15), (10.5, 5, 30, 15)),
        (detectron2_dicts.PIXELS, (10, 5, 30, 15), (10, 5, 30, 15)),
        (csv_table.CORNERS, (10, 5, 30, 15), (10, 5, 30, 15)),
        (csv_table.SIZES, (10, 5, 30, 15), (10, 5, 40, 20)),
        (csv_table.OPEN_IMAGES, (0.1, 0.5, 0.2, 0.75), (0.1, 0.2, 0.5, 0.75)),
    ],
)
def test_numbers_of_every_format(convention, numbers, box):
    assert convention.to_boxes(np.array([numbers], np.float64)).tolist() == [list(box)]


def test_only_voc_counts_from_one():
    assert (voc.PIXELS.first, voc.PIXELS.inclusive) == (1, True)
    others = (coco_annotations, crowdhuman, yolo, labelme, cvat, kitti, detectron2_dicts)
    assert all((module.PIXELS.first, module.PIXELS.inclusive) == (0, False) for module in others)


@given(BOXES)
def test_corner_and_size_keep_the_corner_and_the_sides(boxes):
    xyxy = PixelConvention(Order.CORNER_SIZE).to_boxes(boxes)
    assert (xyxy.shape, xyxy.dtype) == (boxes.shape, np.float64)
    assert np.array_equal(xyxy[:, :2], boxes[:, :2])
    np.testing.assert_allclose(xyxy[:, 2:] - xyxy[:, :2], boxes[:, 2:], rtol=0, atol=1e-9)


@given(BOXES)
def test_centre_and_size_keep_the_centre_and_the_sides(boxes):
    xyxy = PixelConvention(Order.CENTRE_SIZE).to_boxes(boxes)
    np.testing.assert_allclose((xyxy[:, 2:] + xyxy[:, :2]) / 2, boxes[:, :2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(xyxy[:, 2:] - xyxy[:, :2], boxes[:, 2:], rtol=0, atol=1e-9)


@given(st.sampled_from(Order), st.lists(st.floats(), min_size=4, max_size=4))
def test_any_number_is_taken(order, numbers):
    """Warnings are errors here: overflow and inf - inf must not warn."""
    assert PixelConvention(order, first=1, inclusive=True).to_boxes(np.array([numbers])).shape == (1, 4)


def test_around_rotated():
    np.testing.assert_allclose(around_rotated((10, 20), (4, 2), 90), [9, 18, 11, 22])
    np.testing.assert_allclose(around_rotated((10, 20), (4, 2), -180), [8, 19, 12, 21])
    side = 2 * 2**0.5
    np.testing.assert_allclose(around_rotated((0, 0), (4, 4), 45), [-side, -side, side, side])
