"""Zoom, pan and the two frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPointF

from rpnviz.core import pipeline, presets
from rpnviz.drawing.viewport import device_boxes
from rpnviz.ui.canvas.camera import MAX_SCALE, Camera


def camera(size=(303, 384), frame=None, widget=(740.0, 480.0)):
    made = Camera()
    made.resize(*widget)
    made.show(size, frame)
    return made


def frame_of(name, size):
    preset = presets.load(name)
    return pipeline.run(pipeline.Inputs(size, np.zeros((0, 4))), preset.params, preset.conventions).frame


@pytest.mark.parametrize("size", [(303, 384), (1, 1), (6000, 8000), (20, 3000)])
def test_the_whole_image_fits(size):
    looking = camera(size)
    corner, far = looking.to_view(0, 0), looking.to_view(size[1], size[0])
    for place in (corner, far):
        assert -1e-6 <= place.x() <= 740
        assert -1e-6 <= place.y() <= 480
    looking.resize(320, 200)
    assert looking.fitted
    assert looking.to_view(size[1], size[0]).x() <= 320


@settings(max_examples=60)
@given(
    st.floats(0.01, 80), st.floats(-50, 800), st.floats(-50, 500), st.sampled_from(["", "torchvision", "matterport"])
)
def test_what_is_under_the_pointer_stays_there(scale, x, y, name):
    looking = camera(frame=frame_of(name, (303, 384)) if name else None)
    at = QPointF(x, y)
    before = looking.to_image(at)
    back = looking.to_view(before.x(), before.y())
    assert (back.x(), back.y()) == pytest.approx((x, y), abs=1e-6)
    looking.zoom(scale, at)
    assert not looking.fitted
    assert looking.scale <= MAX_SCALE
    after = looking.to_image(at)
    inside = 0 <= before.x() <= 384 and 0 <= before.y() <= 303
    if inside and looking.to_view(0, 0).x() < 370 < looking.to_view(384, 0).x():
        assert abs(after.x() - before.x()) * looking.scale < 400


@pytest.mark.parametrize("name", ["torchvision", "detectron2", "mmdetection", "matterport", "py-faster-rcnn"])
@pytest.mark.parametrize("size", [(303, 384), (480, 640), (33, 900), (1200, 801)])
def test_positions_in_the_input_are_those_of_the_frame(name, size):
    """Where a box is drawn over the network input is where the frame puts it, to half a pixel."""
    frame = frame_of(name, size)
    looking = camera(size, frame)
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (40, 2, 2)), axis=1) * [size[1], size[0]]
    boxes = corners.reshape(-1, 4)
    for ratio in (1.0, 1.5, 3.0):
        over_original = device_boxes(boxes, looking.viewport(ratio))
        over_input = device_boxes(frame.to_input(boxes), looking.content_viewport(ratio))
        assert np.abs(over_original - over_input).max() <= 1, "the same pixel but for the rounding of a floor"
        exact = frame.to_input(boxes) * looking.scale
        origin = looking.content_viewport(1.0)
        for (x1, y1, *_), (u, v, *_) in zip(boxes.tolist(), exact.tolist(), strict=True):
            place = looking.to_view(x1, y1)
            assert (place.x(), place.y()) == pytest.approx((u + origin.dx, v + origin.dy), abs=1e-6)


def test_changing_the_frame_keeps_what_is_looked_at():
    size = (303, 384)
    frame = frame_of("matterport", size)
    looking = camera(size)
    looking.look_at(3.0, 100.0, 50.0)
    wide = looking.to_view(120, 50).x() - looking.to_view(100, 50).x()
    assert looking.show(size, frame)
    place = looking.to_view(100, 50)
    assert (place.x(), place.y()) == pytest.approx((370, 240), abs=0.5)
    assert looking.to_view(120, 50).x() - looking.to_view(100, 50).x() == pytest.approx(wide, rel=1e-6)
    assert looking.show(size, None)
    place = looking.to_view(100, 50)
    assert (place.x(), place.y()) == pytest.approx((370, 240), abs=0.5)
    assert not looking.show(size, None)


def test_a_box_out_of_view_is_brought_into_it():
    looking = camera()
    looking.look_at(8.0, 20, 20)
    assert looking.centre_on((300, 200, 320, 220))
    assert looking.to_view(310, 210).x() == pytest.approx(370)
    assert not looking.centre_on((300, 200, 320, 220))
