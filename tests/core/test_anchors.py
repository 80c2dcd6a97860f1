from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rpnviz.core import presets
from rpnviz.core.anchors import Anchors, base_anchors, make_anchors
from rpnviz.core.conventions import BaseRounding, CellOrder, RatioMeaning, StrideSource
from rpnviz.errors import ShapeError

PRESET = presets.load("torchvision")
DEFAULT = PRESET.params.anchors
SMALL = dataclasses.replace(DEFAULT, strides=(8, 16), sizes=((16, 24), (48,)), aspect_ratios=((0.5, 1.0), (1.0,)))


def one_level(sizes, ratios):
    return dataclasses.replace(DEFAULT, strides=(8,), sizes=(sizes,), aspect_ratios=(ratios,))


def test_base_anchors_of_size_32():
    expected = [  # w = 32 / sqrt(r), h = 32 sqrt(r), halved, rounded half to even
        (-23, -11, 23, 11),  # r = 0.5: 45.25 x 22.63
        (-16, -16, 16, 16),  # r = 1
        (-11, -23, 11, 23),  # r = 2: 22.63 x 45.25
    ]
    np.testing.assert_array_equal(base_anchors(one_level((32,), (0.5, 1, 2)), 0, PRESET.conventions), expected)


def test_without_rounding_and_with_the_other_meaning_of_a_ratio():
    wide = dataclasses.replace(
        PRESET.conventions, base_rounding=BaseRounding.NONE, ratio_meaning=RatioMeaning.WIDTH_OVER_HEIGHT
    )
    box = base_anchors(one_level((32,), (2,)), 0, wide)[0]
    np.testing.assert_allclose(box, [-22.627417, -11.313708, 22.627417, 11.313708], rtol=1e-6)


def test_cell_order():
    ratio_first = base_anchors(one_level((16, 64), (1, 4)), 0, PRESET.conventions)[:, 2].tolist()
    assert ratio_first == [8, 32, 4, 16]
    size_first = dataclasses.replace(PRESET.conventions, cell_order=CellOrder.SIZE_RATIO)
    assert base_anchors(one_level((16, 64), (1, 4)), 0, size_first)[:, 2].tolist() == [8, 4, 32, 16]


def test_stride_comes_from_the_feature_map():
    anchors = make_anchors((800, 1344), PRESET.params.anchors, PRESET.conventions)
    assert anchors.lattice[-1].stride == (61, 64)  # 800 // 13
    nominal = dataclasses.replace(PRESET.conventions, stride_source=StrideSource.NOMINAL)
    assert make_anchors((800, 1344), PRESET.params.anchors, nominal).lattice[-1].stride == (64, 64)


def test_a_1024_square_has_261888_anchors():
    anchors = make_anchors((1024, 1024), PRESET.params.anchors, PRESET.conventions)
    assert len(anchors) == 261_888
    assert anchors.boxes.dtype == np.float32
    assert not anchors.boxes.flags.writeable


def test_place_and_index_are_inverse():
    anchors = make_anchors((40, 56), SMALL, PRESET.conventions)
    for index in range(len(anchors)):
        place = anchors.place(index)
        assert anchors.index(*place) == index
        assert anchors.levels[index] == place.level
        level = anchors.lattice[place.level]
        box = (
            level.x1[place.cell, place.column],
            level.y1[place.cell, place.row],
            level.x2[place.cell, place.column],
            level.y2[place.cell, place.row],
        )
        assert tuple(anchors.boxes[index]) == box
    for wrong in (-1, len(anchors)):
        with pytest.raises(IndexError):
            anchors.place(wrong)
    with pytest.raises(IndexError):
        anchors.index(0, 5, 0, 0)


def test_arbitrary_boxes_as_anchors():
    boxes = np.float32([[0, 0, 64, 64], [40, 0, 104, 64]])
    anchors = Anchors.from_boxes(boxes)
    np.testing.assert_array_equal(anchors.boxes, boxes)
    np.testing.assert_array_equal(anchors.lattice[0].boxes(), boxes)
    assert anchors.place(1) == (0, 0, 0, 1)


def test_another_number_of_feature_maps_is_refused():
    with pytest.raises(ShapeError, match="3 feature maps, expected 2"):
        make_anchors((40, 56), SMALL, PRESET.conventions, [(5, 7)] * 3)


def test_a_size_stays_what_it_was_set_to_on_any_stride():
    preset = presets.load("matterport")  # computes in float64
    params = dataclasses.replace(preset.params.anchors, strides=(7,), sizes=((29.0,),), aspect_ratios=((1.0,),))
    box = base_anchors(params, 0, preset.conventions)[0]  # 7 * (29 / 7) is not 29
    assert box.tolist() == [-14.5, -14.5, 14.5, 14.5]
