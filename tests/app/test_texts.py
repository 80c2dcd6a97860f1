from __future__ import annotations

import pytest

from rpnviz.app.texts import iou_pair, level_name


@pytest.mark.parametrize(
    ("iou", "threshold", "texts"),
    [
        (0.6975, 0.7, ("0.698", "0.700")),  # both would be 0.70
        (0.58, 0.7, ("0.58", "0.70")),
        (0.7, 0.7, ("0.70", "0.70")),
        (0.69999999, 0.7, ("0.700000", "0.700000")),
    ],
)
def test_an_iou_and_its_threshold_can_be_told_apart(iou, threshold, texts):
    assert iou_pair(iou, threshold) == texts


def test_level_names():
    assert [level_name(stride, 0) for stride in (4, 8, 64, 12)] == ["P2", "P3", "P6", "level 0"]
