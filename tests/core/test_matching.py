from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from dense import dense_iou, dense_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import pipeline, presets
from rpnviz.core.anchors import Anchors
from rpnviz.core.barring import Barred
from rpnviz.core.conventions import CrowdRule, EmptyImageRule, TieRule
from rpnviz.core.ground_truth import GroundTruth, NotTrained, Reaction
from rpnviz.core.matching import AnchorState, Rank, match_anchors
from rpnviz.core.overlaps import compute_overlaps

PRESET = presets.load("torchvision")
UNSCALED = PRESET.params.with_values("resize", mode="none")


def label(anchors, gt, params=PRESET.params.match, conventions=PRESET.conventions):
    boxes = np.float32(gt).reshape(-1, 4)
    overlaps = compute_overlaps(anchors, boxes, conventions)
    return match_anchors(overlaps, Barred(), anchors, GroundTruth.of_input_boxes(boxes), params, conventions)


@st.composite
def scenes(draw):
    """An image size and ground truth of every kind: inside, outside, duplicate, touching, tiny, huge."""
    count = draw(st.integers(0, 25) | st.integers(26, 200))
    side = st.integers(1, 1500 if count <= 25 else 500)  # the dense matcher holds anchors x GT
    height, width = draw(side), draw(side)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    centre = rng.uniform(-0.2, 1.2, (count, 2)) * (width, height)
    half = np.exp(rng.uniform(np.log(0.05), np.log(700), (count, 2)))
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    snapped = rng.random(count) < 0.5
    boxes[snapped] = np.round(boxes[snapped] / 8) * 8  # on the grid, where ties are
    if count > 3:
        boxes[1] = boxes[0]
        boxes[2] = (0, 0, width, height)
        boxes[3, 2] = boxes[3, 0]  # no width
    return (height, width), boxes, rng.random(count) < draw(st.sampled_from([0.0, 0.5, 1.0]))


@settings(max_examples=120)
@given(
    scenes(),
    st.sampled_from(presets.names()),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from([-1, 0, 16]),
    st.sampled_from([0.0, 0.3, 0.6]),
    st.sampled_from([-1, 0.5]),
)
def test_labels_equal_a_dense_matcher_under_every_preset(scene, name, a, b, force, border, min_pos, iof):
    size, boxes, ignore = scene
    preset = presets.load(name)
    low, high = sorted((a, b))
    params = preset.params.with_values("resize", mode="none").with_values(
        "match",
        bg_iou_thresh=low,
        fg_iou_thresh=high,
        allow_low_quality_matches=force,
        border_thresh=border,
        min_pos_iou=min_pos,
        ignore_iof_thresh=iof,
    )
    result = pipeline.run(pipeline.Inputs(size, boxes, gt_ignore=ignore), params, preset.conventions)
    match = result.match
    labels, target, best, gt_best = dense_labels(result)
    np.testing.assert_array_equal(match.labels, labels)
    positive = labels == 1
    np.testing.assert_array_equal(match.matched_gt[positive], target[positive])
    if not result.gt.image_skipped:
        np.testing.assert_array_equal(match.best_iou, best)
        np.testing.assert_array_equal(match.gt_best_iou[result.gt.trained], gt_best)
    # the states partition the anchors and agree with the labels, the boxes' counts with both
    counts = match.counts
    assert sum(counts.values()) == len(result.anchors)
    assert counts[AnchorState.POSITIVE] + counts[AnchorState.FORCED] == np.count_nonzero(positive)
    assert match.gt_positives.sum() == np.count_nonzero(positive)
    assert (match.gt_forced <= match.gt_positives).all()
    assert (match.gt_positives[~match.gt_trained] == 0).all()
    for gt, rank in enumerate(match.ranks):
        mine = match.positives_of(gt)
        assert len(mine) == match.gt_positives[gt]
        assert (rank is Rank.NONE) == (len(mine) == 0 and bool(match.gt_trained[gt]))


STEAL = Anchors.from_boxes(np.float32([[0, 0, 64, 64], [0, 0, 32, 32], [40, 0, 104, 64]]))


def test_a_box_whose_best_anchor_prefers_another_has_no_positive():
    match = label(STEAL, [[0, 0, 64, 64], [4, 4, 60, 60]])  # 56^2 / 64^2 = 0.766 with anchor 0, which has 1.0 with GT 0
    assert match.gt_best_iou.tolist() == pytest.approx([1.0, 0.765625])
    assert match.ranks == (Rank.MATCHED, Rank.NONE)
    assert match.gt_positives.tolist() == [1, 0]


def test_forced_is_told_from_above_threshold():
    match = label(STEAL, [[0, 0, 64, 32]])  # 0.5 with anchor 0 (4096 against 2048) and with anchor 1 (1024 / 2048)
    assert match.state.tolist() == [AnchorState.FORCED, AnchorState.FORCED, AnchorState.NEGATIVE]
    assert match.ranks == (Rank.FORCED,)
    assert match.gt_forced.tolist() == [2]
    first = dataclasses.replace(PRESET.conventions, tie_rule=TieRule.FIRST)
    assert label(STEAL, [[0, 0, 64, 32]], conventions=first).gt_forced.tolist() == [1]


def test_without_the_low_quality_rule_nothing_is_forced():
    params = dataclasses.replace(PRESET.params.match, allow_low_quality_matches=False)
    match = label(STEAL, [[0, 0, 64, 32]], params)
    assert match.state.tolist() == [AnchorState.NEUTRAL, AnchorState.NEUTRAL, AnchorState.NEGATIVE]
    assert match.ranks == (Rank.NONE,)


def test_min_pos_iou_refuses_weak_best_anchors():
    params = dataclasses.replace(PRESET.params.match, min_pos_iou=0.6)
    assert label(STEAL, [[0, 0, 64, 32]], params).ranks == (Rank.NONE,)


def test_a_box_that_touches_no_anchor_makes_everything_positive():
    match = label(STEAL, [[0, 0, 64, 64], [200, 200, 220, 220]])
    assert (match.labels == 1).all()
    assert match.everything_positive.tolist() == [1]
    assert match.ranks == (Rank.MATCHED, Rank.NONE)
    assert label(STEAL, [[0, 0, 64, 64]]).everything_positive.tolist() == []


def test_thresholds_are_inclusive_above_and_exclusive_below():
    anchors = Anchors.from_boxes(np.float32([[0, 0, 100, 70], [0, 0, 100, 30], [0, 0, 100, 100]]))
    match = label(anchors, [[0, 0, 100, 100]])  # IoU 0.7, 0.3, 1.0
    assert match.state.tolist() == [AnchorState.POSITIVE, AnchorState.NEUTRAL, AnchorState.POSITIVE]


def run(boxes, ignore=None, conventions=PRESET.conventions, size=(256, 256)):
    inputs = pipeline.Inputs(size, np.array(boxes, float).reshape(-1, 4), gt_ignore=ignore)
    return pipeline.run(inputs, UNSCALED, conventions)


def test_no_ground_truth():
    result = run([])
    assert (result.match.labels == 0).all()
    assert (result.match.matched_gt == -1).all()
    assert not result.gt.image_skipped
    assert (len(result.sample.positive), len(result.sample.negative)) == (0, 256)
    refuses = dataclasses.replace(PRESET.conventions, empty_image=EmptyImageRule.REFUSES)
    skipped = run([], conventions=refuses)
    assert skipped.gt.image_skipped
    assert skipped.gt.reaction is Reaction.SKIPS
    assert (skipped.match.labels == -1).all()


@pytest.mark.parametrize(
    ("box", "raises"),
    [
        ((100, 150, 100, 190), True),  # no width
        ((100, 150, 90, 190), True),  # x2 < x1
        ((100, np.nan, 120, 190), False),  # NaN <= x is false: torchvision lets it through
        ((0, 0, np.inf, 10), False),
    ],
)
def test_an_invalid_box_is_left_out_and_said(box, raises):
    result = run([(10, 10, 80, 80), box])
    assert result.gt.not_trained == (None, NotTrained.INVALID_BOX)
    assert result.gt.raised_by.tolist() == ([1] if raises else [])
    assert result.gt.reaction is (Reaction.RAISES if raises else None)
    assert result.match.ranks[1] is Rank.NOT_TRAINED
    assert np.isnan(result.match.gt_best_iou[1])
    assert len(result.match.everything_positive) == 0


def test_a_crowd_is_no_ground_truth_for_torchvision():
    result = run([(10, 10, 80, 80), (100, 100, 200, 200)], ignore=[False, True])
    assert result.gt.not_trained == (None, NotTrained.CROWD)
    assert result.match.ranks[1] is Rank.NOT_TRAINED


def test_a_region_acts_by_the_share_of_the_anchor_or_of_itself():
    """mmdetection's ``ignore_wrt_candidates``: the region holds small anchors, and large anchors hold the region."""
    preset = presets.load("mmdetection")
    params = preset.params.with_values("resize", mode="none").with_values("match", ignore_iof_thresh=0.5)
    region = (64, 64, 96, 96)
    inputs = pipeline.Inputs((256, 256), np.array([(10, 10, 40, 40), region]), gt_ignore=np.array([False, True]))
    for rule, share_of in ((CrowdRule.IGNORES_BY_IOF, "anchor"), (CrowdRule.IGNORES_BY_IOF_OF_REGION, "box")):
        result = pipeline.run(inputs, params, dataclasses.replace(preset.conventions, crowd=rule))
        assert result.gt.ignored.tolist() == [1]
        share = dense_iou(np.float32([region]), result.anchors.boxes, preset.conventions, share_of)[0]
        left_out = result.match.state == AnchorState.LEFT_OUT_IGNORE
        assert left_out.any()
        np.testing.assert_array_equal(left_out, share > np.float32(0.5))


@pytest.mark.parametrize("box", [(-1e30, -1e30, 1e30, 1e30), (1e6, 1e6, 1e6 + 5, 1e6 + 5), (0, 0, 1e-6, 1e-6)])
def test_extreme_boxes_do_not_raise(box):
    result = run([box])
    assert len(result.match.ranks) == 1
