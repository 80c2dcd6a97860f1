from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpnviz.core import presets
from rpnviz.core.frame import make_frame, scale_ground_truth, seen_frame
from rpnviz.errors import ShapeError

PRESET = presets.load("torchvision")
side = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("size", "resized", "padded"),
    [
        ((480, 640), (800, 1066), (800, 1088)),  # floor(640 * 800 / 480 = 1066.7)
        ((1000, 3000), (444, 1333), (448, 1344)),  # the long side decides: 1333 / 3000
        ((800, 1333), (800, 1333), (800, 1344)),
        ((1, 1), (800, 800), (800, 800)),
    ],
)
def test_sizes(size, resized, padded):
    frame = make_frame(size, PRESET.params.resize, PRESET.conventions)
    assert (frame.resized_size, frame.input_size) == (resized, padded)


def test_without_resizing_only_the_padding_applies():
    params = PRESET.params.with_values("resize", mode="none").resize
    frame = make_frame((100, 333), params, PRESET.conventions)
    assert (frame.resized_size, frame.input_size) == ((100, 333), (128, 352))


def test_a_batch_decides_the_padding():
    frame = make_frame((480, 640), PRESET.params.resize, PRESET.conventions, (1344, 1344))
    assert frame.input_size == (1344, 1344)
    with pytest.raises(ShapeError, match="smaller"):
        make_frame((480, 640), PRESET.params.resize, PRESET.conventions, (799, 1344))


@given(side, side)
def test_every_size_has_a_frame_that_inverts(height, width):
    frame = make_frame((height, width), PRESET.params.resize, PRESET.conventions)
    assert min(frame.resized_size) >= 1
    assert all(padded >= resized for padded, resized in zip(frame.input_size, frame.resized_size, strict=True))
    boxes = np.array([[0.0, 0.0, width, height], [0.25, 0.5, 0.75, 0.875]])
    np.testing.assert_allclose(frame.to_original(frame.to_input(boxes)), boxes, rtol=1e-12)
    np.testing.assert_allclose(frame.to_input(boxes)[0, 2:], frame.resized_size[::-1])


def test_ground_truth_is_scaled_in_float32_per_axis():
    frame = make_frame((480, 640), PRESET.params.resize, PRESET.conventions)
    scaled = scale_ground_truth(np.array([[10.0, 20.0, 30.0, 40.0]]), frame, PRESET.conventions)
    x, y = np.float32(1066) / np.float32(640), np.float32(800) / np.float32(480)
    assert scaled.dtype == np.float32
    expected = np.float32([10, 20, 30, 40]) * np.float32([x, y, x, y])
    np.testing.assert_array_equal(scaled[0], expected)


def test_what_a_network_saw_is_not_resized():
    frame = seen_frame((319, 405), (320, 480), 32, PRESET.conventions)
    assert (frame.scale, frame.resized_size, frame.input_size) == ((1.0, 1.0), (319, 405), (320, 480))
    assert frame.own_size == (320, 416), "alone it would have been padded to multiples of 32"
    assert seen_frame((319, 405), None, 32, PRESET.conventions).input_size == (320, 416)
    assert seen_frame((319, 405), (319, 410), 32, PRESET.conventions).own_size == (319, 410)
    with pytest.raises(ShapeError, match="smaller"):
        seen_frame((319, 405), (300, 480), 32, PRESET.conventions)
