from __future__ import annotations

import pytest

from rpnviz.app.texts import anchors_against, iou_pair, level_name
from rpnviz.core import presets
from rpnviz.core.inputs import ModelSettings


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


def test_other_anchors_of_a_model_are_told_in_words():
    preset = presets.load("torchvision")
    params = preset.params

    def against(**anchors):
        other = params.with_values("anchors", **anchors) if anchors else params
        settings = ModelSettings(other.resize, other.anchors, other.coder, preset.conventions)
        return anchors_against(settings, params, "torchvision")

    assert against() == ""
    assert against(sizes=((16,), (32,), (64,), (128,), (256,))) == (
        "It was built with other anchor sizes (16 to 256 px, here 32 to 512 px) than torchvision is set to here."
    )
    ratios = ((0.3, 1.0, 3.0),) * 5
    assert (
        against(aspect_ratios=ratios) == "It was built with other anchor aspect ratios than torchvision is set to here."
    )
    assert against(strides=(16,), sizes=((32, 64),), aspect_ratios=((1.0,),)) == (
        "It was built with 2 anchors per cell on 1 level (strides 16); "
        "torchvision is set here to 3 anchors per cell on 5 levels (strides 4, 8, 16, 32, 64)."
    )
