from __future__ import annotations

import pytest

from rpnviz.core import presets
from rpnviz.core.terms import terms


@pytest.mark.parametrize(
    ("name", "negative", "ratio", "scope", "side", "frame", "nms", "draws"),
    [
        ("torchvision", "<", "h/w", "per level", "≥", "input", ">", True),
        ("detectron2", "<", "h/w", "per level", ">", "input", ">", True),
        ("mmdetection", "<", "h/w", "per level", ">", "input", ">", True),
        ("matterport", "<", "w/h", "per image", None, "input", ">", True),
        ("py-faster-rcnn", "<", "h/w", "per level", "≥", "image", "≥", True),
        ("keras-retinanet", "≤", "h/w", "per level", "≥", "input", ">", False),
    ],
)
def test_numbers_mean_what_the_trainer_means(name, negative, ratio, scope, side, frame, nms, draws):
    means = terms(presets.load(name).conventions)
    assert means.negative.sign == negative
    assert means.ratio == ratio
    assert means.pre_nms_scope == scope
    assert (means.side.sign if means.side else None) == side
    assert means.side_frame == frame
    assert means.nms.sign == nms
    assert means.draws is draws


def test_retinanet_learns_corners():
    assert terms(presets.load("keras-retinanet").conventions).targets == ("dx1", "dy1", "dx2", "dy2")
    assert terms(presets.load("torchvision").conventions).targets == ("dx", "dy", "dw", "dh")
