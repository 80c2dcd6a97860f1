from __future__ import annotations

import numpy as np
import pytest

from rpnviz.drawing.viewport import MARGIN, Viewport, device_boxes, in_view

VIEW = Viewport(100, 80, 2.0, 10.5, -3.0)


def device(*box, view=VIEW):
    return device_boxes(np.array([box], float), view)[0].tolist()


def test_edges_are_floored():
    assert device(1, 2, 3.3, 4.9) == [12, 1, 17, 6]
    assert device(-4, 1, 3, 4) == [2, -1, 16, 5]


def test_the_given_boxes_stay_as_they_are():
    boxes = np.array([[1.0, 2, 3, 4]])
    boxes.flags.writeable = False
    device_boxes(boxes, VIEW)
    assert boxes.tolist() == [[1, 2, 3, 4]]


def test_a_box_as_large_as_the_image_keeps_all_sides():
    assert device(0, 0, 40, 30, view=Viewport(40, 30, 1.0)) == [0, 0, 39, 29]


def test_corners_in_the_wrong_order_are_exchanged():
    assert device(30, 20, 10, 5, view=Viewport(100, 80, 1.0)) == [10, 5, 30, 20]


@pytest.mark.parametrize("value", [1e3, 1e9, 1e300, np.inf])
def test_large_coordinates_are_cut(value):
    x1, y1, x2, y2 = device(-value, 3, value, 9, view=Viewport(100, 80, 1.0))
    assert (x1, x2) == (-MARGIN, 100 + MARGIN)
    assert (y1, y2) == (3, 9)


@pytest.mark.parametrize("place", range(4))
def test_a_box_with_a_nan_is_outside(place):
    box = np.array([[1.0, 2, 30, 40], [1.0, 2, 30, 40]])
    box[0, place] = np.nan
    pixels = device_boxes(box, VIEW)
    assert in_view(pixels, VIEW).tolist() == [False, True]


def test_integer_boxes_and_no_boxes():
    assert device_boxes(np.array([[1, 2, 3, 4]]), Viewport(9, 9, 1.0)).tolist() == [[1, 2, 3, 4]]
    assert device_boxes(np.zeros((0, 4)), VIEW).shape == (0, 4)


@pytest.mark.parametrize(
    ("box", "margin", "seen"),
    [
        ((10, 10, 20, 20), 0, True),
        ((-5, -5, 0, 0), 0, True),
        ((-5, -5, -1, -1), 0, False),
        ((-5, -5, -1, -1), 2, True),
        ((100, 3, 110, 9), 0, False),
        ((-1, -1, 100, 80), 0, False),  # the frame lies inside: no edge is seen
        ((-1, -1, 99, 80), 0, True),
    ],
)
def test_what_is_in_view(box, margin, seen):
    assert in_view(np.array([box], np.int32), VIEW, margin).tolist() == [seen]
