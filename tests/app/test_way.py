"""What is said and drawn of a box's way; the numbers are those of the scene in ``tests/core/scenes.py``."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scenes import made_by_hand, model_scene

from rpnviz.app.viewing import Many, Selection
from rpnviz.app.way import Look, make_way
from rpnviz.core import pipeline, presets
from rpnviz.core.matching import AnchorState
from rpnviz.core.trace import trace_proposal
from rpnviz.drawing.options import World


def titles(way):
    return [step.title for step in way]


def text_of(way, title):
    return next(step.text for step in way if step.title == title)


def test_the_suppressed_box():
    result = made_by_hand()
    way = make_way(result, World.MODEL, Selection(anchor=1), ("box",))
    assert titles(way) == ["Anchor", "Decoded", "NMS"]
    # From (16, -16, 48, 16) to (32, 0, 64, 32): 16 px along both axes.
    assert text_of(way, "Decoded").startswith("Objectness 0.600 (logit 0.41). Moved by 23 px")
    last = way[-1]
    assert last.lost
    assert last.text == ("Suppressed by a better box (objectness 0.900): IoU 0.33 with it, more than 0.30 is too much.")
    boxes = {mark.look: mark.box for mark in last.marks}
    assert boxes == {
        Look.ANCHOR: (16.0, -16.0, 48.0, 16.0),
        Look.OTHER: (16.0, 0.0, 48.0, 32.0),
        Look.SELECTED: (32.0, 0.0, 64.0, 32.0),
    }
    assert last.arrows == (((32.0, 0.0), (48.0, 16.0)), ((48.0, 16.0), (32.0, 16.0)))
    assert [link.selection for link in last.links] == [Selection(anchor=0)]


def test_the_box_that_suppresses_it():
    way = make_way(made_by_hand(), World.MODEL, Selection(gt=0, anchor=0), ("box",))
    assert titles(way) == ["Anchor", "Decoded", "NMS", "Kept", "Covers"]
    nms = way[2]
    assert nms.text == ("Survives: no better survivor of its level overlaps it by more than 0.30. It suppresses 1 box:")
    assert [mark.box for mark in nms.marks if mark.look is Look.SUPPRESSED] == [(32.0, 0.0, 64.0, 32.0)]
    assert [(link.text, link.selection) for link in nms.links] == [
        ("IoU 0.33, objectness 0.600", Selection(gt=0, anchor=1))
    ]
    assert text_of(way, "Kept") == "Kept as number 1 of 4."
    assert text_of(way, "Covers") == "It covers GT 0 box with IoU 0.333."
    assert way[-1].arrows[-1] == ((32.0, 16.0), (48.0, 16.0))


def test_where_a_ground_truth_box_is_lost():
    way = make_way(made_by_hand(), World.MODEL, Selection(gt=0), ("box",))
    assert titles(way) == ["All boxes", "NMS", "Kept"]
    assert way[1].text == "Lost here: the best, IoU 1.00, was suppressed by one with IoU 0.33 to this GT."
    assert [(link.text, link.selection.anchor) for link in way[1].links] == [
        ("Best IoU 0.33", 0),
        ("Follow the lost box", 1),
    ]
    assert [step.lost for step in way] == [False, True, False]


def test_an_anchor_in_training():
    preset = presets.load("torchvision")
    result = pipeline.run(
        pipeline.Inputs((512, 512), np.array([[102.0, 102, 134, 134]])),
        preset.params.with_values("resize", mode="none"),
        preset.conventions,
    )
    # 32 x 32 at 2 px along both axes, as in test_explain: IoU 900 / 1148 = 0.784.
    anchor = int(result.match.positives_of(0)[0])
    way = make_way(result, World.TRAINING, Selection(anchor=anchor), ("box",))
    assert titles(way) == ["Anchor", "Overlap", "Label", "Mini-batch", "Target"]
    assert [link.text for link in way[1].links] == ["0.784  GT 0 box"]
    assert text_of(way, "Label") == "Positive: its IoU 0.78 reaches 0.70."
    count = len(result.match.positives)
    assert text_of(way, "Mini-batch") == (
        f"Drawn into this mini-batch: {count} of {count} positives are, a chance of 100 %."
    )
    # Its centre is 2 px away of 32: 0.0625.
    assert text_of(way, "Target") in {
        f"dx {x}, dy {y}, dw 0.000, dh 0.000: onto GT 0." for x in ("0.062", "-0.062") for y in ("0.062", "-0.062")
    }
    assert way[-1].arrows[0][1] == (118.0, 118.0)
    negative = int(np.flatnonzero(result.match.state == AnchorState.NEGATIVE)[0])
    way = make_way(result, World.TRAINING, Selection(anchor=negative), ("box",))
    assert titles(way) == ["Anchor", "Overlap", "Label", "Mini-batch"]
    assert text_of(way, "Label") == "Negative: its best IoU 0.00 is below 0.30."
    best = make_way(result, World.TRAINING, Selection(gt=0), ("box",))
    assert best[0].links[0].selection == Selection(gt=0, anchor=anchor)
    place = result.anchors.place(anchor)
    assert best[0].links[0].text == f"0.784  P2 {place.row},{place.column} 32 x 32, positive"


def test_a_box_without_positives_shows_the_anchors_it_speaks_of():
    preset = presets.load("torchvision")
    params = preset.params.with_values("resize", mode="none")

    def way(boxes, gt, **match):
        chosen = params.with_values("match", **match) if match else params
        result = pipeline.run(pipeline.Inputs((512, 512), np.array(boxes, float)), chosen, preset.conventions)
        return make_way(result, World.TRAINING, Selection(gt=gt), ("box",) * len(boxes))

    # The stolen pair of test_causes: the anchor stands on the first box, and is trained towards it.
    (step,) = way([[96, 96, 160, 160], [94, 94, 162, 162]], 1)
    assert [(mark.look, mark.box) for mark in step.marks] == [(Look.OTHER, (96.0, 96.0, 160.0, 160.0))]
    assert step.arrows == (((128.0, 128.0), (128.0, 128.0)),)
    assert step.links[0].text == "0.886  P3 16,16 64 x 64, positive for GT 0"
    (step,) = way([[102, 102, 134, 134]], 0, fg_iou_thresh=0.8, allow_low_quality_matches=False)
    assert [mark.look for mark in step.marks] == [Look.ANCHOR] * 3
    assert step.marks[0].box in {(x, y, x + 32, y + 32) for x in (100.0, 104.0) for y in (100.0, 104.0)}
    (step,) = way([[102, 102, 134, 134]], 0)
    assert not step.marks, "its positives are a layer"


@pytest.mark.parametrize("name", [name for name in presets.names() if name != "keras-retinanet"])
def test_every_fate_under_every_preset_has_its_words(name):
    result = model_scene(name, 5, min_size=12.0, score_thresh=0.3, pre_nms_top_n={"train": 300, "test": 300})
    result = pipeline.run(
        result.inputs,
        result.params.with_values("proposals", post_nms_top_n={"train": 20, "test": 20}),
        result.conventions,
        result,
    )
    seen = set()
    for anchor in range(0, len(result.anchors), max(1, len(result.anchors) // 400)):
        seen.add(trace_proposal(result, anchor).dropped)
        for step in make_way(result, World.MODEL, Selection(anchor=anchor), ("box",)):
            assert step.text
            assert step.text.endswith((".", ":")) or step.title == "Anchor"
            assert "None" not in step.text
    for anchor in result.proposals.anchor_index[:3].tolist():
        assert titles(make_way(result, World.MODEL, Selection(anchor=anchor), ("box",)))[-1] == "Covers"
    assert len(seen) > 2


def test_nothing_many_and_what_is_not_there_have_no_way():
    result = made_by_hand()
    many = Many(np.zeros(0, np.int64), np.array([0, 1]))
    for selection in (Selection(), Selection(many=many), Selection(gt=9), Selection(anchor=99)):
        assert make_way(result, World.MODEL, selection, ("box",)) == ()
    broken = pipeline.run(
        dataclasses.replace(result.inputs, gt_boxes=np.array([[10.0, 10, 10, 10]])), result.params, result.conventions
    )
    assert make_way(broken, World.TRAINING, Selection(gt=0), ("box",)) == ()
