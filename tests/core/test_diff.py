"""Two trainers on one image; the surprises of CONVENTIONS section 10 that concern the labels, each with its field."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import conventions as c
from rpnviz.core import pipeline, presets
from rpnviz.core.diff import AFTER_LABELS, compare, differing_anchors, find_switches
from rpnviz.core.inputs import Inputs
from rpnviz.core.matching import Rank
from rpnviz.core.params import ResizeMode

SCENE = (256, 320)
THIN = (10, 100, 310, 106)
TINY = (10, 10, 13, 12)
BASIC_3, BASIC_4 = (200, 180, 310, 250), (150, 60, 170, 85)


def preset(name, *, resize=ResizeMode.NONE, anchors=None, match=None, sizes=None, **conventions):
    """A preset with changes; the image keeps its size unless asked otherwise."""
    found = presets.load(name)
    params = found.params.with_values("resize", mode=resize, **(sizes or {}))
    params = params.with_values("anchors", **(anchors or {})).with_values("match", **(match or {}))
    return dataclasses.replace(found, params=params, conventions=dataclasses.replace(found.conventions, **conventions))


def diff(boxes, a, b, size=SCENE, ignore=None, padded=None):
    return compare(Inputs(size, np.array(boxes, float), None, ignore, padded), a, b)


def names(found):
    return {tuple(switch.name for switch in chosen) for chosen in found.fields}


def one(result, gt=0):
    (found,) = [found for found in result.gts if found.gt == gt]
    return found


def positives(result):
    return result.a.match.gt_positives.tolist(), result.b.match.gt_positives.tolist()


def effect(result, name):
    (found,) = [found for found in result.effects if found.switch.name == name]
    return found


@pytest.mark.parametrize(
    ("box", "a", "b", "counts", "field"),
    [
        (TINY, "torchvision", "mmdetection", (90, 0), "match.min_pos_iou"),
        (TINY, "detectron2", "mmdetection", (91, 0), "match.min_pos_iou"),
        (TINY, "detectron2", "keras-retinanet", (91, 0), "match.allow_low_quality_matches"),
        (TINY, "matterport", "matterport-old", (66, 1), "conventions.tie_rule"),
        (TINY, "torchvision", "detectron2", (90, 91), "conventions.base_rounding"),
        (THIN, "torchvision", "mmdetection", (252, 0), "match.min_pos_iou"),
        (THIN, "detectron2", "keras-retinanet", (116, 0), "match.allow_low_quality_matches"),
        (THIN, "matterport", "matterport-old", (136, 1), "conventions.tie_rule"),
        (THIN, "torchvision", "detectron2", (252, 116), "conventions.base_rounding"),
        # 3: 15 anchors at 4096 / 7700, told apart by the last bit
        (BASIC_3, "detectron2", "matterport", (6, 9), "conventions.iou_dtype"),
    ],
)
def test_1_2_3_one_box(box, a, b, counts, field):
    result = diff([box], preset(a), preset(b))
    assert positives(result) == ([counts[0]], [counts[1]])
    assert (field,) in names(one(result))
    assert result.anchors is None or len(result.anchors) > 0


def test_4_the_best_anchor_is_stolen_or_overwritten():
    steal = [(64, 64, 128, 128), (72, 72, 124, 124)]
    result = diff(steal, preset("torchvision"), preset("mmdetection"))
    assert positives(result) == ([5, 1], [2, 4])
    assert names(one(result, 1)) == {("conventions.forced_target",)}
    result = diff(steal, preset("matterport"), preset("matterport-old"))
    assert positives(result) == ([5, 1], [5, 0])
    assert names(one(result, 1)) == {("conventions.tie_rule",)}


def test_4_5_a_box_in_a_box():
    inside = [(60, 190, 92, 222), (62, 192, 90, 220)]
    result = diff(inside, preset("detectron2"), preset("mmdetection"))
    assert positives(result)[0][1] == 0
    assert positives(result)[1][0] == 0
    found = one(result, 1)
    assert (found.a.rank, found.b.rank) == (Rank.NONE, Rank.MATCHED)
    assert names(found) == {("conventions.forced_target",)}


def test_6_duplicates():
    boxes = [(50, 50, 110, 110)] * 3 + [(52, 50, 112, 110)]
    result = diff(boxes, preset("torchvision"), preset("mmdetection"))
    assert positives(result) == ([4, 0, 0, 1], [3, 0, 0, 2])
    assert names(one(result, 3)) == {("conventions.forced_target",)}


def test_7_9_a_box_without_width_makes_everything_positive():
    boxes = [(60, 60, 120, 130), (100, 150, 100, 190)]
    keeps = {"invalid_box": c.InvalidBoxRule.KEEPS}
    result = diff(boxes, preset("detectron2", **keeps), preset("mmdetection", **keeps))
    assert sum(positives(result)[0]) == len(result.a.anchors)
    assert names(one(result)) == {("match.min_pos_iou",)}
    dropped = diff(boxes, preset("detectron2", **keeps), preset("detectron2"))
    assert names(one(dropped)) == {("conventions.invalid_box",)}
    default = preset("mmdetection", match={"min_pos_iou": 0.0}, **keeps)
    taken = diff(boxes, default, preset("mmdetection", **keeps))
    assert positives(taken)[0] == [0, len(taken.a.anchors)]
    assert names(one(taken)) == {("match.min_pos_iou",)}


def test_8_a_box_between_the_anchors():
    layout = {"strides": (32,), "sizes": ((8.0,),), "base_sizes": -1, "scales": (1.0,), "aspect_ratios": ((1.0,),)}
    boxes = [(12, 12, 20, 20), (28, 28, 36, 36)]
    result = diff(boxes, preset("detectron2", anchors=layout), preset("mmdetection", anchors=layout), (128, 128))
    assert sum(positives(result)[0]) == 16
    assert positives(result)[1] == [0, 1]
    assert names(one(result)) == {("match.min_pos_iou",)}


def test_10_a_negative_threshold_of_zero_leaves_no_negatives():
    a = preset("mmdetection")
    result = diff([BASIC_3], a, preset("mmdetection", match={"bg_iou_thresh": 0.0}))
    assert not (result.b.match.labels == 0).any()
    assert effect(result, "match.bg_iou_thresh").anchors == len(result.anchors) > 0
    assert result.gts == ()


def test_11_exactly_on_the_threshold():
    # One anchor of 32 x 32 in the middle of a box of 32 x 80: 1024 / 2560 = 0.4.
    layout = {"strides": (128,), "sizes": ((32.0,),), "base_sizes": -1, "scales": (1.0,), "aspect_ratios": ((1.0,),)}
    a = preset("keras-retinanet", anchors=layout)
    b = preset("keras-retinanet", anchors=layout, negative_test=c.NegativeTest.BELOW)
    result = diff([(48, 24, 80, 104)], a, b, (128, 128))
    assert result.a.match.best_iou.tolist() == [0.4]
    assert (result.a.match.labels.tolist(), result.b.match.labels.tolist()) == ([0], [-1])
    assert result.anchors.tolist() == [0]
    assert effect(result, "conventions.negative_test").anchors == 1


def test_11_a_best_iou_of_exactly_min_pos_iou():
    layout = {"strides": (128,), "sizes": ((30.0,),), "base_sizes": -1, "scales": (1.0,), "aspect_ratios": ((1.0,),)}
    a, b = (preset(name, anchors={**layout, "offset": 0.5}) for name in ("detectron2", "matterport"))
    b = dataclasses.replace(b, params=b.params.with_values("match", min_pos_iou=0.3))
    result = diff([(49, 20, 79, 120)], a, b, (128, 128))
    assert result.a.match.best_iou.tolist() == [np.float32(0.3)]
    assert positives(result)[0] == [1]


def test_12_24_stride_and_rounding():
    result = diff([(400, 288, 912, 800)], preset("torchvision"), preset("detectron2"), (800, 1333), padded=(800, 1344))
    assert result.a.match.gt_best_iou[0] == pytest.approx(0.922, abs=5e-4)
    assert result.b.match.gt_best_iou[0] == pytest.approx(0.832, abs=5e-4)
    assert effect(result, "conventions.stride_source").anchors > 0
    resized = diff(
        [(40, 30, 200, 300)],
        preset("torchvision", resize=ResizeMode.SHORTEST_EDGE),
        preset("detectron2", resize=ResizeMode.SHORTEST_EDGE),
        (480, 640),
    )
    assert (resized.a.frame.resized_size, resized.b.frame.resized_size) == ((800, 1066), (800, 1067))
    assert "conventions.resize_rounding" in {found.switch.name for found in resized.effects}


def test_15_rounded_base_anchors():
    result = diff([(10, 150, 40, 240)], preset("torchvision"), preset("detectron2"))
    assert [side.match.gt_best_iou[0] for side in (result.a, result.b)] == pytest.approx([0.617, 0.626], abs=5e-4)
    assert effect(result, "conventions.base_rounding").anchors > 0


def test_16_no_inside_anchor_touches_the_box():
    a = preset("py-faster-rcnn")
    result = diff(
        [(0, 0, 4, 4), (120, 120, 280, 280)], a, preset("py-faster-rcnn", match={"border_thresh": -1}), (400, 400)
    )
    assert sum(positives(result)[0]) == 986
    assert names(one(result, 0)) == {("match.border_thresh",)}


def test_17_negatives_that_take_positives_back():
    a = preset("detectron2")
    b = dataclasses.replace(a, conventions=dataclasses.replace(a.conventions, match_order=c.MatchOrder.NEGATIVES_LAST))
    result = diff([THIN], a, b)
    assert result.a.match.gt_best_iou[0] < 0.3
    assert positives(result) == ([116], [0])
    assert names(one(result)) == {("conventions.match_order",)}


def test_18_the_border_before_or_after_matching():
    a = preset("detectron2", match={"border_thresh": 0})
    b = preset("mmdetection", match={"border_thresh": 0})
    result = diff([(283, 170, 333, 250)], a, b, (250, 333), padded=(256, 352))
    assert positives(result) == ([0], [1])
    assert names(one(result)) == {("conventions.border",)}


def test_19_crowds():
    boxes, ignore = [(30, 30, 90, 90), (20, 20, 240, 240)], np.array([False, True])
    result = diff(boxes, preset("detectron2"), preset("matterport"), (256, 256), ignore)
    assert effect(result, "conventions.crowd").anchors > 0
    seen = preset("mmdetection", match={"ignore_iof_thresh": 0.5})
    result = diff(boxes, preset("mmdetection"), seen, (256, 256), ignore)
    assert positives(result)[1] == [0, 0]
    assert names(one(result)) == {("match.ignore_iof_thresh",)}
    region = dataclasses.replace(
        seen, conventions=dataclasses.replace(seen.conventions, crowd=c.CrowdRule.IGNORES_BY_IOF_OF_REGION)
    )
    result = diff(boxes, seen, region, (256, 256), ignore)
    assert positives(result)[1][0] > 0
    assert names(one(result)) == {("conventions.crowd",)}


def test_20_anchors_over_the_padding():
    result = diff([(20, 20, 90, 90)], preset("detectron2"), preset("mmdetection"), (200, 170), padded=(256, 320))
    assert len(result.a.anchors) == 20460
    assert int((result.b.match.labels >= 0).sum()) <= 10746
    assert effect(result, "conventions.padding_anchors").anchors > 9000


def test_25_boxes_that_vanish_in_a_mask():
    square = {"min_size": 128, "max_size": 128}
    a = preset("matterport", resize=ResizeMode.SQUARE, sizes=square, box_scaling=c.BoxScaling.PER_AXIS_FLOAT64)
    b = preset("matterport", resize=ResizeMode.SQUARE, sizes=square, enlarging=c.Enlarging.BOTH_WAYS)
    a = dataclasses.replace(a, conventions=dataclasses.replace(a.conventions, enlarging=c.Enlarging.BOTH_WAYS))
    result = diff([(164, 178, 168, 179)], a, b, (200, 200))
    found = one(result)
    assert found.b.rank is Rank.NOT_TRAINED
    assert names(found) == {("conventions.box_scaling",)}


def test_two_fields_are_named_where_one_is_not_enough():
    a = preset("detectron2", match={"fg_iou_thresh": 0.7, "bg_iou_thresh": 0.65})
    b = preset("detectron2", match={"fg_iou_thresh": 0.5, "bg_iou_thresh": 0.4})
    result = diff([BASIC_3], a, b)
    # 0.5 is below a's own negative threshold, so that alone is not allowed.
    assert names(one(result)) == {("match.fg_iou_thresh", "match.bg_iou_thresh")}


def test_the_same_trainer_twice_differs_in_nothing():
    result = diff([BASIC_3, TINY], preset("detectron2"), preset("detectron2"))
    assert (result.gts, result.effects, result.anchors.tolist()) == ((), (), [])


def test_anchors_correspond_whatever_the_order_of_the_shapes():
    a = preset("detectron2")
    b = dataclasses.replace(
        a, conventions=dataclasses.replace(a.conventions, ratio_meaning=c.RatioMeaning.WIDTH_OVER_HEIGHT)
    )
    result = diff([BASIC_3, (20, 30, 60, 200)], a, b)
    assert result.anchors.tolist() == []


@pytest.mark.parametrize("name", presets.names())
def test_what_acts_after_the_labels_changes_none(name):
    boxes = np.array([BASIC_3, BASIC_4, TINY, (-10, 5, 30, 60)], float)
    before = preset(name)
    result = pipeline.run(Inputs(SCENE, boxes), before.params, before.conventions)
    fields = {field.name for field in dataclasses.fields(c.Conventions)}
    assert fields >= AFTER_LABELS
    for field in AFTER_LABELS:
        for value in type(getattr(before.conventions, field)):
            after = pipeline.run(
                result.inputs, before.params, dataclasses.replace(before.conventions, **{field: value})
            )
            assert differing_anchors(result, after).tolist() == []


@settings(max_examples=25)
@given(
    names=st.lists(st.sampled_from(presets.names()), min_size=2, max_size=2),
    seed=st.integers(0, 2**31),
    count=st.integers(1, 5),
)
def test_every_named_set_of_fields_gives_the_outcome(names, seed, count):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 150, (count, 2))
    boxes = np.hstack([corner, corner + rng.uniform(2, 100, (count, 2))])
    a, b = (preset(name) for name in names)
    result = diff(boxes, a, b)
    known = set(find_switches(a, b))
    ranks = zip(result.a.match.ranks, result.b.match.ranks, strict=True)
    numbers = zip(*positives(result), strict=True)
    changed = [gt for gt, ((x, y), (m, n)) in enumerate(zip(ranks, numbers, strict=True)) if x is not y or m != n]
    assert [found.gt for found in result.gts] == changed
    for found in result.gts:
        for chosen in found.fields:
            assert set(chosen) <= known
            params, conventions = a.params, a.conventions
            groups = {}
            for switch in chosen:
                for where, _, value in switch.values:
                    groups.setdefault(where.split(".")[0], {})[where.split(".")[1]] = value
            conventions = dataclasses.replace(conventions, **groups.pop("conventions", {}))
            for group, values in groups.items():
                params = params.with_values(group, **values)
            match = pipeline.run(Inputs(SCENE, boxes), params, conventions).match
            assert match.ranks[found.gt] is found.b.rank
            if not found.rank_only:
                assert match.gt_positives[found.gt] == found.b.positives
