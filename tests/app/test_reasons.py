"""Sentences about a box, with the numbers of the result."""

from __future__ import annotations

import numpy as np
import pytest

from rpnviz.app.reasons import gt_sentences
from rpnviz.core import pipeline, presets


def said(name, size, boxes, gt=0, ignore=None, **match):
    preset = presets.load(name)
    params = preset.params.with_values("resize", mode="none")
    params = params.with_values("match", **match) if match else params
    result = pipeline.run(pipeline.Inputs(size, np.array(boxes, float), None, ignore), params, preset.conventions)
    return gt_sentences(result, gt)


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (
            said("torchvision", (512, 512), [[100, 200, 400, 220]]),
            "No anchor shape fits 300 x 20 px at the input (height : width 1:15): the best, 90 x 46 on P3, reaches IoU "
            "0.22 even on its very centre, and 0.70 is needed.",
        ),
        (
            said("torchvision", (512, 512), [[102, 102, 134, 134]], fg_iou_thresh=0.8),
            "A shape would fit (32 x 32 on P2, IoU 1.00), but the nearest position is 2 x 2 px off its centre "
            "(stride 4): that leaves 0.78, and 0.80 is needed.",
        ),
        (
            said("py-faster-rcnn", (512, 512), [[0, 200, 120, 320]], fg_iou_thresh=0.8),
            "Anchors fit it (IoU 0.88), but they reach beyond the image's border (border_thresh) and may not be "
            "positive; the best of the others has 0.79, and 0.80 is needed.",
        ),
        (
            said("torchvision", (512, 512), [[96, 96, 160, 160], [94, 94, 162, 162]], gt=1),
            "The 5 anchors that would fit it are trained towards GT 0, which they overlap more (1.00 against 0.89 for "
            "the best).",
        ),
        (
            said("mmdetection", (512, 512), [[100, 200, 112, 203]]),
            "The low-quality rule takes an anchor only from 0.30 on (min_pos_iou).",
        ),
        (
            said("torchvision", (512, 512), [[100, 200, 400, 220]]),
            "Best IoU by step: shape 0.22, grid 0.22, allowed 0.22, own 0.22; 0.70 is needed.",
        ),
        (said("torchvision", (512, 512), [[5, 5, 5, 9]]), "The trainer stops with an error on this image."),
        (
            said("torchvision", (512, 512), [[600, 600, 700, 700]]),
            "It lies outside the image, and is trained on all the same.",
        ),
        (
            said("torchvision", (64, 64), [[4000, 4000, 4100, 4100]]),
            "It touches no anchor, so the low-quality rule makes every anchor positive.",
        ),
        (
            said("mmdetection", (99, 99), [[5, 5, 60, 60], [1, 1, 9, 9]], gt=1, ignore=np.array([False, True])),
            "A crowd region: removed before training.",
        ),
    ],
)
def test_sentences(lines, wanted):
    assert wanted in lines


def test_a_matched_box_needs_no_reason():
    lines = said("torchvision", (512, 512), [[100, 100, 132, 132]])
    assert lines == ["5 of its 5 positive anchors reach 0.70."]


@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("seed", range(6))
def test_every_box_has_its_sentences(name, seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-40, 240, (12, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(-1, 5.5, (12, 2)))], axis=1)
    for gt in range(12):
        lines = said(name, (220, 260), boxes, gt, rng.random(12) < 0.2)
        assert lines
        assert all(line.endswith(".") and "nan" not in line for line in lines), lines
