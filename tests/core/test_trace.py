"""One box through every stage: against plain loops over random scenes, and scenes made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import made_by_hand, model_scene

from rpnviz.core import pipeline, presets
from rpnviz.core.boxes import box_iou
from rpnviz.core.conventions import TieOrder, TopKScope
from rpnviz.core.matching import AnchorState
from rpnviz.core.overlaps import pair_iou
from rpnviz.core.proposals import Fate
from rpnviz.core.trace import Rule, ranked_anchors, trace_anchor, trace_cover, trace_proposal

RPN = [name for name in presets.names() if name != "keras-retinanet"]


def scene(name, boxes, size=(160, 224), ignore=None, **match):
    preset = presets.load(name)
    params = preset.params.with_values("resize", mode="none")
    if match:
        params = params.with_values("match", **match)
    return pipeline.run(pipeline.Inputs(size, np.array(boxes, float), None, ignore), params, preset.conventions)


def random_boxes(rng, count):
    corner = rng.uniform(0, 150, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 90, (count, 2))], axis=1)


@settings(max_examples=40)
@given(name=st.sampled_from(presets.names()), seed=st.integers(0, 10**6), count=st.integers(0, 6), low=st.booleans())
def test_what_is_said_of_an_anchor_is_what_the_result_has(name, seed, count, low):
    rng = np.random.default_rng(seed)
    result = scene(name, random_boxes(rng, count).reshape(-1, 4), allow_low_quality_matches=low)
    match, trained = result.match, result.gt.trained
    by_state = [np.flatnonzero(match.state == state) for state in AnchorState]
    chosen = [int(rng.choice(index)) for index in by_state if len(index)] + [int(rng.integers(len(result.anchors)))]
    for anchor in chosen:
        found = trace_anchor(result, anchor)
        own = np.repeat(result.anchors.boxes[[anchor]], len(trained), axis=0)
        dense = pair_iou(own, result.gt.boxes[trained], result.conventions)
        assert found.state == match.state[anchor]
        assert dict(zip(found.gts.tolist(), found.ious.tolist(), strict=True)) == {
            gt: iou for gt, iou in zip(trained.tolist(), dense.tolist(), strict=True) if iou > 0
        }
        assert (np.diff(found.ious) <= 0).all()
        positive = match.labels[anchor] == 1
        assert (found.target is None) == (not positive)
        assert found.drawn == result.sample.has(anchor)
        assert 0 <= found.probability <= 1
        assert not (found.drawn and found.probability == 0)
        assert {
            AnchorState.POSITIVE: {Rule.REACHES},
            AnchorState.FORCED: {Rule.FORCED},
            AnchorState.NEGATIVE: {Rule.BELOW, Rule.TAKEN_BACK, Rule.NO_GROUND_TRUTH},
            AnchorState.NEUTRAL: {Rule.BETWEEN, Rule.TOUCHES_CROWD, Rule.SKIPPED},
            AnchorState.LEFT_OUT_BORDER: {Rule.BORDER, Rule.PADDING, Rule.CENTRE},
            AnchorState.LEFT_OUT_IGNORE: {Rule.IGNORE},
        }[found.state] >= {found.rule}
        if found.state is AnchorState.FORCED:
            assert found.forced_by, "somebody forces it"
        if positive:
            row = result.targets.anchor_index.tolist().index(anchor)
            assert found.deltas.tolist() == result.targets.deltas[row].tolist()
            assert found.target == match.matched_gt[anchor]


def test_negatives_set_last_take_a_forced_anchor_back():
    # py-faster-rcnn without clobbering keeps forced positives; with it an IoU below 0.3 is negative again.
    boxes = [[40, 40, 52, 52]]
    result = scene("py-faster-rcnn", boxes, (400, 400))
    clobber = presets.load("py-faster-rcnn")
    conventions = type(clobber.conventions)(**{**vars(clobber.conventions), "match_order": "negatives_last"})
    after = pipeline.run(result.inputs, result.params, conventions)
    forced = int(result.match.positives[0])
    assert trace_anchor(result, forced).rule is Rule.FORCED
    found = trace_anchor(after, forced)
    assert (found.state, found.rule, found.forced_by) == (AnchorState.NEGATIVE, Rule.TAKEN_BACK, (0,))


def test_rules_that_leave_an_anchor_out():
    border = scene("py-faster-rcnn", [[0, 100, 90, 190]], (400, 400))
    index = int(np.flatnonzero(border.match.state == AnchorState.LEFT_OUT_BORDER)[0])
    assert trace_anchor(border, index).rule is Rule.BORDER
    ignored = scene(
        "mmdetection", [[100, 60, 164, 124], [20, 20, 90, 90]], ignore=np.array([False, True]), ignore_iof_thresh=0.5
    )
    index = int(np.flatnonzero(ignored.match.state == AnchorState.LEFT_OUT_IGNORE)[0])
    assert trace_anchor(ignored, index).rule is Rule.IGNORE
    crowd = scene("matterport", [[100, 60, 164, 124], [20, 20, 90, 90]], ignore=np.array([False, True]))
    index = int(np.flatnonzero((crowd.match.state == AnchorState.NEUTRAL) & (crowd.match.best_iou < 0.3))[0])
    assert trace_anchor(crowd, index).rule is Rule.TOUCHES_CROWD
    nothing = scene("torchvision", np.zeros((0, 4)))
    assert trace_anchor(nothing, 0).rule is Rule.NO_GROUND_TRUTH
    for name in ("matterport", "matterport-old", "py-faster-rcnn"):
        skipped = scene(name, np.zeros((0, 4)))
        assert skipped.gt.image_skipped
        assert trace_anchor(skipped, 0).rule is Rule.SKIPPED
    with pytest.raises(IndexError):
        trace_anchor(nothing, len(nothing.anchors))


def test_the_chance_of_being_drawn():
    result = scene("torchvision", [[20, 20, 84, 84]])
    counts = result.match.counts
    negative = trace_anchor(result, int(np.flatnonzero(result.match.labels == 0)[0]))
    assert negative.probability == len(result.sample.negative) / counts[AnchorState.NEGATIVE]
    positive = trace_anchor(result, int(result.match.positives[0]))
    assert positive.probability == 1.0, "few positives are all drawn"
    assert positive.drawn


# ---------------------------------------------------------------------- proposals


@settings(max_examples=25)
@given(name=st.sampled_from(RPN), seed=st.integers(0, 10**6), cut=st.sampled_from([5, 60, 2000]))
def test_the_way_of_a_box_is_that_of_the_funnel(name, seed, cut):
    result = model_scene(name, seed, pre_nms_top_n={"train": cut, "test": cut}, min_size=3.0)
    proposals, rng = result.proposals, np.random.default_rng(seed)
    order = np.argsort(-np.where(np.isnan(result.decoded.rank), np.inf, result.decoded.rank), kind="stable")
    for anchor in {
        *rng.integers(0, len(result.anchors), 6).tolist(),
        *proposals.anchor_index[:3].tolist(),
        int(order[0]),
    }:
        found = trace_proposal(result, anchor)
        # Survives exactly the stages whose indices hold it, up to the one that drops it.
        expected = [stage.name for stage in proposals.stages if anchor in stage.indices]
        assert list(found.stages) == expected
        assert (found.dropped is None) == (found.number is not None) == (anchor in proposals.anchor_index)
        if found.number is not None:
            assert proposals.anchor_index[found.number - 1] == anchor
            assert found.fate is Fate.KEPT
        if found.suppressed_by is not None:
            assert found.dropped == "nms"
            assert found.suppressed_by.iou > 0
            other = trace_proposal(result, found.suppressed_by.anchor)
            assert anchor in [box.anchor for box in other.cluster]
            assert other.probability >= found.probability
        passes = found.dropped != "top_k" and found.rank is not None
        if found.rank is not None:
            assert 1 <= found.rank <= found.ranked
            assert (found.rank <= found.limit) == passes
        else:
            assert found.dropped == "min_size"


@pytest.mark.parametrize("name", RPN)
@pytest.mark.parametrize("seed", [2, 3])
def test_the_rank_is_the_place_in_a_sorted_list(name, seed):
    result = model_scene(name, seed)
    keys = result.decoded.rank.tolist()
    joint = result.conventions.top_k is TopKScope.JOINT
    higher = result.conventions.tie_order is TieOrder.HIGHER_INDEX
    spans = [(0, len(keys))] if joint else [(level.start, level.stop) for level in result.anchors.lattice]
    small = set(result.proposals.candidates.too_small.tolist())
    for start, stop in spans:
        members = [index for index in range(start, stop) if index not in small]
        placed = sorted(members, key=lambda index: (-keys[index], -index if higher else index))
        for place in (0, len(placed) // 3, len(placed) - 1):
            found = trace_proposal(result, placed[place])
            assert (found.rank, found.ranked) == (place + 1, len(placed))


def test_an_undefined_score_ranks_highest():
    result = model_scene("mmdetection", 2, nan_at=(0, 0, 3, 4))
    broken = int(np.flatnonzero(np.isnan(result.decoded.rank))[0])
    assert trace_proposal(result, broken).rank == 1
    for anchor in result.proposals.anchor_index[:20].tolist():
        cluster = [box.anchor for box in trace_proposal(result, anchor).cluster]
        assert broken not in cluster[1:], "the best member comes first"


def test_a_box_that_touches_nothing_takes_the_first_anchor_alone():
    preset = presets.load("torchvision")
    conventions = type(preset.conventions)(**{**vars(preset.conventions), "tie_rule": "first"})
    params = preset.params.with_values("resize", mode="none")
    result = pipeline.run(pipeline.Inputs((160, 224), np.array([[4000.0, 4000, 4050, 4050]])), params, conventions)
    assert result.match.positives.tolist() == [0]
    found = trace_anchor(result, 0)
    assert (found.rule, found.forced_by) == (Rule.FORCED, (0,))
    assert trace_anchor(result, 1).forced_by == ()


def test_how_far_a_box_moved():
    result = model_scene("torchvision", 4)
    found = trace_proposal(result, 17)
    base, box = result.anchors.boxes[17].tolist(), result.decoded.boxes_input[17].tolist()
    dx, dy = (box[0] + box[2] - base[0] - base[2]) / 2, (box[1] + box[3] - base[1] - base[3]) / 2
    assert found.moved == pytest.approx((dx**2 + dy**2) ** 0.5, rel=1e-9)
    assert found.growth[0] == pytest.approx((box[2] - box[0]) / (base[2] - base[0]), rel=1e-9)
    assert found.clipped.min() >= 0
    assert found.probability == pytest.approx(1 / (1 + np.exp(-found.logit)), rel=1e-6)


def test_a_ground_truth_box_lost_at_nms():
    result = made_by_hand()
    assert result.decoded.boxes_input[:2].tolist() == [[16, 0, 48, 32], [32, 0, 64, 32]]
    found = trace_cover(result, 0)
    assert {cover.stage: (cover.anchor, pytest.approx(cover.iou, abs=1e-6)) for cover in found.covers} == {
        **dict.fromkeys(("all", "top_k", "clip", "min_size", "score"), (1, 1.0)),
        **dict.fromkeys(("nms", "top_n"), (0, 1 / 3)),
    }
    assert found.covers[found.lost_at].stage == "nms"
    assert found.lost.anchor == 1
    assert found.lost.suppressed_by.anchor == 0
    assert found.lost.suppressed_by.iou == pytest.approx(1 / 3)
    assert found.by_iou == pytest.approx(1 / 3)
    kept = trace_proposal(result, 0)
    assert kept.number == 1
    assert [box.anchor for box in kept.cluster] == [1]
    assert kept.moved == pytest.approx((32**2 + 16**2) ** 0.5)


@pytest.mark.parametrize("name", RPN)
def test_the_best_cover_falls_from_stage_to_stage(name):
    for seed in (0, 1):
        result = model_scene(name, seed, boxes=[[20, 20, 84, 84], [5, 40, 30, 60], [40, 40, 30, 60]])
        for gt in (0, 1):
            found = trace_cover(result, gt)
            ious = [cover.iou for cover in found.covers]
            assert [cover.stage for cover in found.covers] == [stage.name for stage in result.proposals.stages]
            assert (np.diff(ious) <= 1e-6).all()
            kept = box_iou(result.proposals.boxes, result.gt.boxes[[gt]].astype(np.float32))[:, 0]
            assert ious[-1] == pytest.approx(float(kept.max()), abs=1e-6)
        assert all(cover.iou == 0 for cover in trace_cover(result, 2).covers), "a broken box is covered by nothing"


def test_a_result_without_outputs_has_no_way_of_proposals():
    result = scene("torchvision", [[20, 20, 84, 84]])
    for call in (trace_proposal, trace_cover):
        with pytest.raises(ValueError, match="no proposals"):
            call(result, 0)


def test_the_anchors_that_fit_best():
    result = scene("torchvision", [[20, 20, 84, 84]])
    index, iou = ranked_anchors(result, 0, 5)
    dense = box_iou(result.anchors.boxes, result.gt.boxes[:1].astype(np.float32))[:, 0]
    assert iou.tolist() == sorted(dense.tolist(), reverse=True)[:5]
    assert dense[index].tolist() == iou.tolist()
