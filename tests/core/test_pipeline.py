from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.core.deltas import decode
from rpnviz.core.inputs import LevelOutput, ModelSettings, RecordedAnchors, RPNOutput
from rpnviz.core.params import TopN
from rpnviz.core.proposals import Fate
from rpnviz.errors import ShapeError

PRESET = presets.load("torchvision")
PARAMS = PRESET.params.with_values("resize", mode="none")
SIZE = (128, 160)


def outputs(seed=0, shapes=((32, 40), (16, 20), (8, 10), (4, 5), (2, 3)), cells=3):
    rng = np.random.default_rng(seed)
    levels = tuple(
        LevelOutput(
            rng.normal(0, 2, (cells, *shape)).astype(np.float32),
            rng.normal(0, 0.3, (cells, 4, *shape)).astype(np.float32),
        )
        for shape in shapes
    )
    settings = ModelSettings(PARAMS.resize, PARAMS.anchors, PARAMS.coder, PRESET.conventions)
    return RPNOutput(levels, SIZE, SIZE, settings, "test")


INPUTS = pipeline.Inputs(SIZE, np.array([[10.0, 10, 70, 60], [80, 20, 100, 100]]), outputs=outputs())


def reused(a, b):
    """Names of the stages whose value is the same object in both results."""
    return {name for name in a._stages if name in b._stages and a._stages[name][1] is b._stages[name][1]}


LABELS = {"frame", "gt", "anchors", "barred", "overlaps", "match", "sample", "targets"}
ALL = LABELS | {"decode", "candidates", "eligible", "proposals"}


@pytest.mark.parametrize(
    ("group", "change", "computed_again"),
    [
        ("match", {"fg_iou_thresh": 0.6}, {"match", "sample", "targets"}),
        ("sample", {"seed": 3}, {"sample"}),
        ("proposals", {"nms_thresh": 0.5}, {"proposals"}),
        ("proposals", {"post_nms_top_n": TopN(9, 9)}, {"proposals"}),
        ("proposals", {"score_thresh": 0.2}, {"eligible", "proposals"}),
        ("proposals", {"pre_nms_top_n": TopN(50, 50)}, {"candidates", "eligible", "proposals"}),
        ("coder", {"dwh_clip": -1}, {"targets", "decode", "candidates", "eligible", "proposals"}),
        ("anchors", {"sizes": ((16,), (64,), (128,), (256,), (512,))}, ALL - {"frame", "gt"}),
        ("resize", {"pad_multiple": 16}, {"frame"}),  # the same sizes come out
    ],
)
def test_work_starts_again_at_the_first_stage_that_changed(group, change, computed_again):
    first = pipeline.run(INPUTS, PARAMS, PRESET.conventions)
    second = pipeline.run(INPUTS, PARAMS.with_values(group, **change), PRESET.conventions, first)
    assert ALL - reused(first, second) == computed_again
    fresh = pipeline.run(INPUTS, PARAMS.with_values(group, **change), PRESET.conventions)
    np.testing.assert_array_equal(second.match.state, fresh.match.state)
    np.testing.assert_array_equal(second.sample.negative, fresh.sample.negative)
    np.testing.assert_array_equal(second.proposals.boxes, fresh.proposals.boxes)
    np.testing.assert_array_equal(second.proposals.fate, fresh.proposals.fate)


def test_new_ground_truth_keeps_the_anchors_and_the_proposals():
    first = pipeline.run(INPUTS, PARAMS, PRESET.conventions)
    other = pipeline.Inputs(SIZE, np.array([[0.0, 0, 30, 30]]), outputs=INPUTS.outputs)
    second = pipeline.run(other, PARAMS, PRESET.conventions, first)
    assert reused(first, second) == {"frame", "anchors", "decode", "candidates", "eligible", "proposals"}


def test_other_outputs_keep_the_labels():
    first = pipeline.run(INPUTS, PARAMS, PRESET.conventions)
    other = pipeline.Inputs(SIZE, INPUTS.gt_boxes, outputs=outputs(seed=1))
    second = pipeline.run(other, PARAMS, PRESET.conventions, first)
    assert reused(first, second) == LABELS
    assert (second.proposals.boxes != first.proposals.boxes).any()


def test_outputs_bring_their_own_anchors_and_keep_what_they_share():
    plain = pipeline.Inputs(SIZE, INPUTS.gt_boxes)
    other = PARAMS.with_values("anchors", sizes=((16,),) * 5).with_values("proposals", nms_thresh=0.5)
    first = pipeline.run_outputs(plain, outputs(), PARAMS, PRESET.conventions)
    second = pipeline.run_outputs(plain, first.inputs.outputs, other, PRESET.conventions, first)
    assert ALL - reused(first, second) == {"proposals"}
    assert second.params.anchors == PARAMS.anchors
    assert first.inputs.padded_size == SIZE


def test_inputs_cannot_be_changed_from_outside():
    boxes = np.array([[0.0, 0, 30, 30]])
    inputs = pipeline.Inputs(SIZE, boxes)
    boxes[:] = 7
    assert inputs.gt_boxes.tolist() == [[0, 0, 30, 30]]
    view = np.zeros((2, 4))[:1]
    view.flags.writeable = False  # its base can still be written to
    assert pipeline.Inputs(SIZE, view).gt_boxes is not view
    assert pipeline.Inputs(SIZE, inputs.gt_boxes).gt_boxes is inputs.gt_boxes


def test_targets_decode_back():
    result = pipeline.run(INPUTS, PARAMS, PRESET.conventions)
    index = result.targets.anchor_index
    back = decode(result.anchors.boxes[index], result.targets.deltas, PARAMS.coder, PRESET.conventions)
    np.testing.assert_allclose(back, result.gt.boxes[result.match.matched_gt[index]], atol=1e-3)


def test_every_box_has_one_fate_and_the_funnel_adds_up():
    params = PARAMS.with_values(
        "proposals", score_thresh=0.3, pre_nms_top_n=TopN(400, 400), post_nms_top_n=TopN(60, 60)
    )
    result = pipeline.run(INPUTS, params, PRESET.conventions)
    proposals = result.proposals
    names = [stage.name for stage in proposals.stages]
    assert names == ["all", "top_k", "clip", "min_size", "score", "nms", "top_n"]
    for before, after in zip(proposals.stages, proposals.stages[1:], strict=False):
        assert set(after.indices.tolist()) | set(after.dropped.tolist()) == set(before.indices.tolist())
        assert len(after.indices) + len(after.dropped) == len(before.indices)
    assert len(proposals.boxes) == 60
    np.testing.assert_array_equal(proposals.stages[-1].indices, proposals.anchor_index)
    assert (np.diff(proposals.scores) <= 0).all()
    suppressed = proposals.fate == Fate.SUPPRESSED
    assert suppressed.any()
    assert (proposals.suppressor[suppressed] >= 0).all()
    assert (proposals.suppressor[~suppressed] == -1).all()
    assert np.isin(proposals.fate[proposals.suppressor[suppressed]], (Fate.KEPT, Fate.TOP_N)).all()
    for level in range(5):
        assert np.count_nonzero(proposals.candidates.levels == level) <= 400


def test_results_are_read_only():
    result = pipeline.run(INPUTS, PARAMS, PRESET.conventions)
    for array in (
        result.anchors.boxes,
        result.match.labels,
        result.match.best_iou,
        result.match.matched_gt,
        result.sample.positive,
        result.targets.deltas,
        result.proposals.boxes,
        result.proposals.candidates.scores,
        result.inputs.gt_boxes,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_without_outputs_there_are_no_proposals():
    result = pipeline.run(pipeline.Inputs(SIZE, INPUTS.gt_boxes), PARAMS, PRESET.conventions)
    assert result.proposals is None
    assert result.decoded is None


def test_outputs_that_do_not_fit_are_named():
    wrong = outputs(shapes=((32, 40), (16, 20), (8, 10), (4, 5), (2, 2)))
    with pytest.raises(ShapeError, match=r"level 4 has shape \(3, 2, 2\), expected \(3, 2, 3\).*strides"):
        pipeline.run(pipeline.Inputs(SIZE, INPUTS.gt_boxes, outputs=wrong), PARAMS, PRESET.conventions)
    short = outputs(shapes=((32, 40),))
    with pytest.raises(ShapeError, match="1 levels, expected 5"):
        pipeline.run(pipeline.Inputs(SIZE, INPUTS.gt_boxes, outputs=short), PARAMS, PRESET.conventions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": (0, 5), "gt_boxes": []}, "height and width"),
        ({"image_size": (5, 5), "gt_boxes": [[1, 2, 3]]}, r"\(M, 4\)"),
        ({"image_size": (5, 5), "gt_boxes": [[1, 2, 3, 4]], "gt_ignore": [True, False]}, r"gt_ignore.*\(1,\)"),
    ],
)
def test_inputs_are_checked(arguments, message):
    with pytest.raises(ShapeError, match=message):
        pipeline.Inputs(**arguments)


def test_a_recorded_image_with_its_anchors_and_draw_is_taken_as_it_is():
    plain = pipeline.run(pipeline.Inputs(SIZE, INPUTS.gt_boxes), PARAMS, PRESET.conventions)
    drawn = np.array([1]), np.array([0, 5])
    inputs = pipeline.Inputs(SIZE, INPUTS.gt_boxes, padded_size=SIZE, as_seen=True, drawn=drawn)
    result = pipeline.run(inputs, PARAMS, PRESET.conventions)
    assert result.frame.scale == (1.0, 1.0)
    assert (result.sample.positive.tolist(), result.sample.negative.tolist()) == ([1], [0, 5])
    again = pipeline.run(inputs, PARAMS.with_values("match", fg_iou_thresh=0.5), PRESET.conventions, result)
    assert again.sample is result.sample
    assert again.frame is result.frame
    some = dataclasses.replace(inputs, anchors=RecordedAnchors(_one_grid(plain), ((3, 2, 2),), ((4.0, 4.0),)))
    recorded = pipeline.run(some, PARAMS, PRESET.conventions)
    assert np.array_equal(recorded.anchors.boxes, _one_grid(plain))
    assert len(recorded.match.labels) == 12
    other = dataclasses.replace(some, drawn=(np.array([12]), np.array([0])))
    fallback = pipeline.run(other, PARAMS, PRESET.conventions)
    assert fallback.sample.positive.max(initial=0) < 12, "a draw of other anchors is not taken"


def _one_grid(result):
    """The anchors of the first two rows and columns of the first level."""
    level = result.anchors.lattice[0]
    return level.boxes().reshape(*level.grid, level.cells, 4)[:2, :2].reshape(-1, 4)
