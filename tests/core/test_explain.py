"""Causes, budgets and notes: scenes with the arithmetic beside them, and what holds for every box of any scene."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import pipeline, presets
from rpnviz.core.boxes import box_iou
from rpnviz.core.explain import Cause, LeftOutBy, Note, NoteKind, explain, needed_iou
from rpnviz.core.matching import Rank
from rpnviz.core.overlaps import overlaps_of


def run(name, size, boxes, ignore=None, padded=None, **match):
    preset = presets.load(name)
    params = preset.params.with_values("resize", mode="none")
    if match:
        params = params.with_values("match", **match)
    inputs = pipeline.Inputs(size, np.array(boxes, float), None, ignore, padded_size=padded)
    return pipeline.run(inputs, params, preset.conventions)


def of(result, gt=0):
    return explain(result, gt)


def test_a_shape_that_no_anchor_has():
    # 300 x 20; the best shape is 64 at ratio 0.5, corners rounded: 90 x 46. Centred, 90 * 20 = 1800 are common:
    # 1800 / (300 * 20 + 90 * 46 - 1800) = 1800 / 8340 = 0.2158.
    found = of(run("torchvision", (512, 512), [[100, 200, 400, 220]]))
    assert (found.rank, found.cause) == (Rank.FORCED, Cause.SHAPE)
    assert found.budget.shape == pytest.approx(1800 / 8340, rel=1e-6)
    assert found.threshold == 0.7
    assert found.needed == 0.0
    assert found.forced == found.positives > 0


def test_a_grid_that_is_too_coarse():
    # 32 x 32 is a shape of stride 4. Centres lie at multiples of 4, the box's at 118: 2 px off along both axes leave
    # 30 * 30 in common: 900 / (2 * 1024 - 900) = 900 / 1148 = 0.7840.
    found = of(run("torchvision", (512, 512), [[102, 102, 134, 134]], fg_iou_thresh=0.8))
    assert (found.rank, found.cause) == (Rank.FORCED, Cause.GRID)
    assert found.budget.shape == 1.0
    assert found.budget.grid == found.best_iou == pytest.approx(900 / 1148, rel=1e-6)
    assert found.positives == found.forced == 4, "four positions are equally near"


def test_a_border_that_bars_what_fits():
    found = of(run("py-faster-rcnn", (512, 512), [[0, 200, 120, 320]], fg_iou_thresh=0.8))
    assert (found.rank, found.cause, found.left_out_by) == (Rank.FORCED, Cause.LEFT_OUT, LeftOutBy.BORDER)
    assert found.budget.grid >= 0.8 > found.budget.allowed


def test_an_ignore_region_that_bars_what_fits():
    # 64 x 64 at 2 px from the nearest centres along both axes: 62 * 62 / (2 * 4096 - 62 * 62) = 3844 / 4348 at best,
    # were it not for the region around it; mmdetection's own grid gives 0.7840.
    boxes, ignore = [[100, 100, 164, 164], [60, 60, 200, 200]], np.array([False, True])
    result = run("mmdetection", (512, 512), boxes, ignore, ignore_iof_thresh=0.5)
    found = of(result)
    assert (found.rank, found.cause, found.left_out_by) == (Rank.NONE, Cause.LEFT_OUT, LeftOutBy.IGNORE)
    assert found.needed == 0.3
    assert found.budget.grid > 0.3 > found.budget.allowed
    assert of(result, 1).cause is Cause.CROWD
    free = of(run("mmdetection", (512, 512), boxes[:1]))
    assert free.cause is None


def test_anchors_that_another_box_takes():
    # An anchor of 64 x 64 stands exactly on the first box (IoU 1); it is the best of the second, 68 x 68 around it,
    # too: 64 * 64 / (68 * 68) = 4096 / 4624 = 0.8858. The neighbours 8 px on fit the first better as well.
    result = run("torchvision", (512, 512), [[96, 96, 160, 160], [94, 94, 162, 162]])
    found = of(result, 1)
    assert (found.rank, found.cause) == (Rank.NONE, Cause.STOLEN)
    assert found.budget.own is None
    assert (found.stolen_by.gt, found.stolen_by.iou) == (0, 1.0)
    assert found.stolen_by.own_iou == found.budget.allowed == pytest.approx(4096 / 4624, rel=1e-6)
    assert result.anchors.boxes[found.stolen_by.anchor].tolist() == [96, 96, 160, 160]
    assert found.stolen_by.count == 5, "the anchor itself and its four neighbours along the axes, all above 0.7"
    assert of(result).cause is None


def test_boxes_that_are_not_trained_on():
    found = of(run("torchvision", (512, 512), [[5, 5, 5, 9]]))
    assert (found.rank, found.cause) == (Rank.NOT_TRAINED, Cause.INVALID_BOX)
    assert found.notes == (Note(NoteKind.TRAINER_RAISES),)
    assert (found.budget, found.best_iou, found.positives) == (None, None, 0)
    assert of(run("detectron2", (512, 512), [[600, 600, 700, 700]])).cause is Cause.OUTSIDE_IMAGE
    outside = of(run("torchvision", (512, 512), [[600, 600, 700, 700]]))
    assert outside.rank is not Rank.NOT_TRAINED
    assert Note(NoteKind.OUTSIDE) in outside.notes


def test_outside_is_told_by_where_the_image_lies_in_a_padded_input():
    # 200 x 800 px in a square of 1024: the image lies at y 384 to 640 there.
    preset = presets.load("matterport")
    boxes = np.array([[10.0, 150, 100, 198], [10, 10, 100, 40]])
    result = pipeline.run(pipeline.Inputs((200, 800), boxes), preset.params, preset.conventions)
    assert result.frame.offset == (384, 0)
    assert all(note.kind is not NoteKind.OUTSIDE for gt in (0, 1) for note in explain(result, gt).notes)


def test_the_low_quality_rule_refuses_and_ties_are_counted():
    result = run("mmdetection", (512, 512), [[100, 200, 112, 203]])
    found = of(result)
    assert (found.rank, found.cause, found.needed) == (Rank.NONE, Cause.SHAPE, 0.3)
    kinds = {note.kind: note.value for note in found.notes}
    assert kinds[NoteKind.LOW_QUALITY_REFUSED] == found.best_iou < 0.3
    _, iou = overlaps_of(result.anchors, result.gt.boxes[0], result.conventions)
    assert kinds[NoteKind.TIES] == np.count_nonzero((iou >= iou.max() - 1e-6) & (iou < iou.max())) > 0


def test_positives_that_are_not_drawn():
    preset = presets.load("torchvision")
    params = preset.params.with_values("resize", mode="none").with_values("sample", batch_size_per_image=2)
    boxes = np.array([[20.0, 20, 150, 150], [200, 200, 320, 330], [400, 60, 470, 130]])
    result = pipeline.run(pipeline.Inputs((512, 512), boxes), params, preset.conventions)
    total = len(result.match.positives)
    (drawn,) = result.sample.positive.tolist()
    for gt in range(3):
        mine = int(result.match.gt_positives[gt])
        missed = [note for note in explain(result, gt).notes if note.kind is NoteKind.NOT_SAMPLED]
        assert bool(missed) == (drawn not in result.match.positives_of(gt))
        if missed:
            assert missed[0].value == pytest.approx(1 - mine / total), "one draw of all positives"


def test_a_box_that_touches_nothing_makes_everything_positive():
    found = of(run("torchvision", (64, 64), [[4000, 4000, 4100, 4100]]))
    kinds = {note.kind: note.value for note in found.notes}
    assert kinds[NoteKind.EVERYTHING_POSITIVE] == found.positives_at_zero_iou > 0


def test_an_unknown_box():
    with pytest.raises(IndexError, match="box 3 of 1"):
        explain(run("torchvision", (64, 64), [[4, 4, 40, 40]]), 3)


@settings(max_examples=60)
@given(
    st.sampled_from(presets.names()), st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.booleans()
)
def test_what_holds_for_every_box(name, seed, threshold, low_quality):
    rng = np.random.default_rng(seed)
    size = tuple(int(side) for side in rng.integers(20, 300, 2))
    count = int(rng.integers(1, 9))
    corner = rng.uniform(-30, 1.1, (count, 2)) * [size[1], size[0]] * (rng.random((count, 1)) < 0.9) % 260
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(-1, 5, (count, 2)))], axis=1)
    ignore = rng.random(count) < 0.2
    params = {
        "fg_iou_thresh": threshold,
        "bg_iou_thresh": min(0.3, threshold),
        "allow_low_quality_matches": low_quality,
    }
    result = run(name, size, boxes, ignore, **params)
    anchors = result.anchors.boxes
    for gt in range(count):
        found = explain(result, gt)
        assert found.rank is result.match.ranks[gt]
        assert (found.cause is None) == (found.rank is Rank.MATCHED)
        assert (found.left_out_by is not None) == (found.cause is Cause.LEFT_OUT)
        if found.rank is Rank.NOT_TRAINED:
            assert found.cause in (Cause.INVALID_BOX, Cause.OUTSIDE_IMAGE, Cause.CROWD)
            continue
        budget = found.budget
        steps = [budget.shape, budget.grid, budget.allowed] + ([] if budget.own is None else [budget.own])
        assert steps == sorted(steps, reverse=True)
        assert (budget.own is None) == (found.positives == 0)
        if result.conventions.iou_pixels.extra == 0:
            dense = np.nan_to_num(box_iou(anchors, result.gt.boxes[gt : gt + 1].astype(anchors.dtype))[:, 0])
            assert budget.grid == pytest.approx(float(dense.max()), abs=1e-6)
        if found.rank is Rank.FORCED:
            names = (Cause.SHAPE, Cause.GRID, Cause.LEFT_OUT, Cause.STOLEN)
            first = next(
                name for name, iou in zip(names, steps, strict=True) if np.float32(iou) < np.float32(threshold)
            )
            assert found.cause is first
        if found.rank is Rank.NONE and found.cause in (Cause.SHAPE, Cause.GRID):
            lost = budget.shape if found.cause is Cause.SHAPE else budget.grid
            assert lost <= max(needed_iou(result), 0) + 1e-6
        if found.stolen_by is not None:
            assert found.cause is Cause.STOLEN
            assert result.match.matched_gt[found.stolen_by.anchor] == found.stolen_by.gt != gt
        assert all(note.value is None or math.isfinite(note.value) for note in found.notes)
