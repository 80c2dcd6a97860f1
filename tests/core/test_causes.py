"""A scene for every cause, rank and preset where it can occur, with the arithmetic beside it.

Scenes are 512 x 512 px and not resized. FORCED is seen with the low-quality rule and NONE without it, except where a
scene says otherwise. What cannot occur:

* LEFT_OUT in torchvision and Matterport: they bar no anchor from being positive. In keras-retinanet an anchor whose
  centre lies beyond the image never overlaps a box inside it more than its neighbour on the image does.
* FORCED and LEFT_OUT in detectron2: it asks for the border after the low-quality rule has chosen, and that chooses
  the barred anchors.
* FORCED and STOLEN needs positives that nobody fits: a box that touches nothing must make every anchor positive.
  detectron2, mmdetection and keras-retinanet drop such a box, Matterport's masks lose it.
* INVALID_BOX, OUTSIDE_IMAGE and CROWD in py-faster-rcnn, which keeps them all. torchvision keeps what lies outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.core.explain import Cause, LeftOutBy, explain
from rpnviz.core.matching import Rank

MATTERPORT = ("matterport", "matterport-old")


@dataclass(frozen=True)
class Scene:
    """One box, the numbers that it must get, and how its image is matched."""

    preset: str
    rank: Rank
    cause: Cause
    boxes: tuple[tuple[float, ...], ...]
    shape: float | None = None
    grid: float | None = None
    allowed: float | None = None
    own: float | None = None
    gt: int = 0
    left_out_by: LeftOutBy | None = None
    thief: tuple[int, float] | None = None
    ignore: tuple[bool, ...] | None = None
    match: dict = field(default_factory=dict)

    def __str__(self):
        rule = "" if self.left_out_by is None else f"-{self.left_out_by}"
        return f"{self.preset}-{self.rank}-{self.cause}{rule}"


def both(preset, cause, boxes, fg, **numbers):
    """The box with the low-quality rule, forced, and without it, where it has none."""
    extra = numbers.pop("match", {})
    forced = {"fg_iou_thresh": fg, "allow_low_quality_matches": True, **extra}
    none = {**forced, "allow_low_quality_matches": False}
    return [
        Scene(preset, Rank.FORCED, cause, boxes, own=numbers["allowed"], match=forced, **numbers),
        Scene(preset, Rank.NONE, cause, boxes, match=none, **numbers),
    ]


def same(value):
    """Nothing is lost on the way from the shape to the anchors that may be positive."""
    return {"shape": value, "grid": value, "allowed": value}


# 300 x 40: no shape is so long. A shape of size s and ratio 1:2 is s * sqrt(2) x s / sqrt(2), with the box in common
# s * sqrt(2) * 40 of 300 * 40 + s * s. Its centre (250, 220) is near enough to a position for the whole overlap.
LONG = ((100, 200, 400, 240),)
LONG_128 = 40 * 128 * sqrt(2) / (12_000 + 128**2 - 40 * 128 * sqrt(2))  # 7240.8 / 21143.2 = 0.3425
S = 64 * 2 ** (2 / 3)  # keras-retinanet has three sizes per octave: 101.6
LONG_KERAS = 40 * S * sqrt(2) / (12_000 + S**2 - 40 * S * sqrt(2))  # 5747.0 / 16574.1 = 0.3467
SHAPES = [
    # Corners rounded: 182 x 90. 182 * 40 = 7280; 12000 + 16380 - 7280 = 21100.
    *both("torchvision", Cause.SHAPE, LONG, 0.7, **same(7280 / 21100)),
    *both("detectron2", Cause.SHAPE, LONG, 0.7, **same(LONG_128)),
    *both("mmdetection", Cause.SHAPE, LONG, 0.7, **same(LONG_128)),
    *(scene for name in MATTERPORT for scene in both(name, Cause.SHAPE, LONG, 0.7, **same(LONG_128))),
    # Inclusive pixels: the box is 301 x 41 = 12341; the shape is 8 * 23 = 184 by 8 * 12 = 96 = 17664.
    # 184 * 41 = 7544; 12341 + 17664 - 7544 = 22461.
    *both("py-faster-rcnn", Cause.SHAPE, LONG, 0.7, **same(7544 / 22461)),
    *both("keras-retinanet", Cause.SHAPE, LONG, 0.5, **same(LONG_KERAS)),
    # 300 x 20 under mmdetection's own min_pos_iou of 0.3: 64 * sqrt(2) * 20 = 1810.2 of 6000 + 4096 - 1810.2.
    Scene(
        "mmdetection",
        Rank.NONE,
        Cause.SHAPE,
        ((100, 200, 400, 220),),
        **same(20 * 64 * sqrt(2) / (10_096 - 20 * 64 * sqrt(2))),
    ),
]

# 32 x 32 around (118, 118): there is such a shape, but the positions nearest to it are 2 px away along both axes
# (stride 4 without an offset: 116 and 120; stride 8 from 4 on: 116). 30 * 30 = 900; 2 * 1024 - 900 = 1148.
SQUARE = ((102, 102, 134, 134),)
BETWEEN = {"shape": 1.0, "grid": 900 / 1148, "allowed": 900 / 1148}
GRIDS = [
    *(
        scene
        for name in ("torchvision", "detectron2", "mmdetection", *MATTERPORT, "keras-retinanet")
        for scene in both(name, Cause.GRID, SQUARE, 0.8, **BETWEEN)
    ),
    # 128 x 128 pixels around 203.5; positions are at 7.5 + 16 k: 199.5 is 4 px away along both axes.
    # 124 * 124 = 15376; 2 * 16384 - 15376 = 17392.
    *both(
        "py-faster-rcnn",
        Cause.GRID,
        ((140, 140, 267, 267),),
        0.9,
        shape=1.0,
        grid=15376 / 17392,
        allowed=15376 / 17392,
    ),
]

# The anchor that stands exactly on the box ends at 512, and x2 < 512 is asked for. Its neighbour 4 px to the left:
# 28 px of 32 in common, 28 / 36.
EDGE = ((480, 100, 512, 132),)
AT_EDGE = {"shape": 1.0, "grid": 1.0, "allowed": 28 / 36, "left_out_by": LeftOutBy.BORDER}
# 64 x 64 around (130, 128). The position at (128, 128) is 2 px away: 62 / 66; the one at (136, 128) 6 px: 58 / 70.
# The region ends at x = 135: it holds 39 of the 64 columns of the first, more than half, and 31 of the second.
REGION = ((98, 96, 162, 160), (60, 60, 135, 200))
IN_REGION = {"shape": 1.0, "grid": 62 / 66, "allowed": 58 / 70, "left_out_by": LeftOutBy.IGNORE}
LEFT_OUT = [
    Scene(
        "detectron2",
        Rank.NONE,
        Cause.LEFT_OUT,
        EDGE,
        match={"fg_iou_thresh": 0.8, "border_thresh": 0.0, "allow_low_quality_matches": True},
        **AT_EDGE,
    ),
    *both("mmdetection", Cause.LEFT_OUT, EDGE, 0.8, match={"border_thresh": 0.0}, **AT_EDGE),
    *both(
        "mmdetection",
        Cause.LEFT_OUT,
        REGION,
        0.9,
        match={"ignore_iof_thresh": 0.5},
        ignore=(False, True),
        **IN_REGION,
    ),
    # 120 x 128 pixels at the left edge, rows as the position at 199.5. The one at 55.5 begins at -8: 120 / 128. The
    # next begins at 8: 112 of 120 + 128 - 112 = 136.
    *both(
        "py-faster-rcnn",
        Cause.LEFT_OUT,
        ((0, 136, 119, 263),),
        0.9,
        shape=120 / 128,
        grid=120 / 128,
        allowed=112 / 136,
        left_out_by=LeftOutBy.BORDER,
    ),
]

# An anchor of 64 x 64 stands exactly on the first box and fits the second, 68 x 68 around it, with 4096 / 4624.
PAIR = ((96, 96, 160, 160), (94, 94, 162, 162))
FITS = 4096 / 4624
# Inclusive: 128 x 128 pixels around 199.5, and 134 x 134: 16384 / 17956.
PAIR_128 = ((136, 136, 263, 263), (133, 133, 266, 266))
FITS_128 = 16384 / 17956
FAR = (4000.0, 4000.0, 4100.0, 4100.0)
STOLEN = [
    *(
        Scene(name, Rank.NONE, Cause.STOLEN, PAIR, gt=1, thief=(0, 1.0), **same(FITS))
        for name in ("torchvision", "detectron2", *MATTERPORT)
    ),
    Scene("py-faster-rcnn", Rank.NONE, Cause.STOLEN, PAIR_128, gt=1, thief=(0, 1.0), **same(FITS_128)),
    # Positions at 8 + 16 k: 120. At 0.8 the next size, 64 * 2 ** (1 / 3) = 80.6, is out: 4624 / 6502 = 0.711.
    Scene(
        "keras-retinanet",
        Rank.NONE,
        Cause.STOLEN,
        ((88, 88, 152, 152), (86, 86, 154, 154)),
        gt=1,
        thief=(0, 1.0),
        match={"fg_iou_thresh": 0.8},
        **same(FITS),
    ),
    # The second claims the anchor, which is its best too, though the first fits it exactly; at 0.8 its neighbours,
    # 56 / 72 = 0.778, are no positives.
    Scene("mmdetection", Rank.NONE, Cause.STOLEN, PAIR, thief=(1, FITS), match={"fg_iou_thresh": 0.8}, **same(1.0)),
    # A third box far outside makes all anchors positive. Of those that the second overlaps more than the first, the
    # best is 8 px away along both axes: 58 * 58 = 3364 of 4624 + 4096 - 3364 = 5356 (the first: 56 * 56 of 5056).
    Scene("torchvision", Rank.FORCED, Cause.STOLEN, (*PAIR, FAR), gt=1, thief=(0, 1.0), own=3364 / 5356, **same(FITS)),
    # The same at 16 px: 115 * 115 = 13225 of 17956 + 16384 - 13225 = 21115.
    Scene(
        "py-faster-rcnn",
        Rank.FORCED,
        Cause.STOLEN,
        (*PAIR_128, FAR),
        gt=1,
        thief=(0, 1.0),
        own=13225 / 21115,
        **same(FITS_128),
    ),
]

GOOD = (300.0, 300.0, 364.0, 364.0)
FLAT, OUTSIDE, CROWD = (5.0, 5.0, 5.0, 9.0), (600.0, 600.0, 700.0, 700.0), (20.0, 20.0, 120.0, 120.0)


def not_trained(name, cause, box):
    return Scene(name, Rank.NOT_TRAINED, cause, (box, GOOD), ignore=(cause is Cause.CROWD, False))


NOT_TRAINED = [
    *(not_trained(name, Cause.INVALID_BOX, FLAT) for name in presets.names() if name != "py-faster-rcnn"),
    # Nothing of its mask is left.
    *(not_trained(name, Cause.INVALID_BOX, OUTSIDE) for name in MATTERPORT),
    *(not_trained(name, Cause.OUTSIDE_IMAGE, OUTSIDE) for name in ("detectron2", "mmdetection", "keras-retinanet")),
    *(not_trained(name, Cause.CROWD, CROWD) for name in presets.names() if name != "py-faster-rcnn"),
]

SCENES = [*SHAPES, *GRIDS, *LEFT_OUT, *STOLEN, *NOT_TRAINED]


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_a_cause(scene):
    preset = presets.load(scene.preset)
    params = preset.params.with_values("resize", mode="none")
    params = params.with_values("match", **scene.match) if scene.match else params
    ignore = None if scene.ignore is None else np.array(scene.ignore)
    inputs = pipeline.Inputs((512, 512), np.array(scene.boxes, float), None, ignore)
    found = explain(pipeline.run(inputs, params, preset.conventions), scene.gt)
    assert (found.rank, found.cause, found.left_out_by) == (scene.rank, scene.cause, scene.left_out_by)
    if scene.rank is Rank.NOT_TRAINED:
        assert found.budget is None
        return
    budget = found.budget
    assert (budget.shape, budget.grid, budget.allowed) == pytest.approx(
        (scene.shape, scene.grid, scene.allowed), rel=1e-6
    )
    assert budget.own == (None if scene.own is None else pytest.approx(scene.own, rel=1e-6))
    if scene.thief is not None:
        assert (found.stolen_by.gt, found.stolen_by.iou) == (scene.thief[0], pytest.approx(scene.thief[1], rel=1e-6))


def test_nothing_is_missing():
    """Every cause is seen under every preset where it can occur, with both ranks where both can."""
    seen = {(scene.preset, scene.rank, scene.cause) for scene in SCENES}
    for name in presets.names():
        for cause in (Cause.SHAPE, Cause.GRID):
            assert {(name, Rank.FORCED, cause), (name, Rank.NONE, cause)} <= seen
        assert (name, Rank.NONE, Cause.STOLEN) in seen
    left_out = {(name, rank) for name, rank, cause in seen if cause is Cause.LEFT_OUT}
    assert left_out == {
        ("detectron2", Rank.NONE),
        *(("mmdetection", rank) for rank in (Rank.FORCED, Rank.NONE)),
        *(("py-faster-rcnn", rank) for rank in (Rank.FORCED, Rank.NONE)),
    }
