"""Every fix for all views does what it says: run again through the document, the box is matched in each."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import pipeline, presets
from rpnviz.core.matching import Rank
from rpnviz.core.params import CropKind, TrainViews
from rpnviz.core.view_fixes import search_view_fixes
from rpnviz.core.views import matched_views, run_views, views_with

SIDES = TrainViews(min_sizes=(320, 400, 480), flip=True)


def searched(name, boxes, views=SIDES, size=(400, 600)):
    preset = presets.load(name)
    params = preset.params.with_views(views)
    inputs = pipeline.Inputs(size, np.array(boxes, float))
    return inputs, params, preset, search_view_fixes(inputs, params, preset.conventions, 0)


def check(inputs, params, preset, search):
    before = run_views(inputs, params, preset.conventions)
    for fix in search.fixes:
        document = presets.to_document(preset, params)
        for group, values in fix.patch.items():
            document[group] = {**document[group], **values}
        again = presets.from_document(json.loads(json.dumps(document)))
        assert again.params == fix.params
        outcomes = run_views(inputs, again.params, preset.conventions)
        assert fix.views_after.all
        assert matched_views(outcomes, 0) == views_with(outcomes, 0) == fix.views_after.matched
        trained = [outcome for outcome in outcomes if outcome.ranks[0] is not None]
        assert fix.positives_after == min(outcome.positives[0] for outcome in trained)
        assert fix.best_iou_after == min(outcome.best_iou[0] for outcome in trained)
        steps = {
            other: matched_views(outcomes, other) - matched_views(before, other)
            for other in range(1, len(inputs.gt_boxes))
        }
        assert fix.gained == tuple(other for other, step in steps.items() if step > 0)
        assert fix.lost == tuple(other for other, step in steps.items() if step < 0)
    if search.closest is not None:
        assert not search.fixes
        assert search.closest.views.matched < search.closest.views.views


@pytest.mark.parametrize("name", presets.names())
def test_a_long_thin_box_is_helped_in_every_view(name):
    found = searched(name, [[60, 100, 360, 128], [400, 50, 500, 150]])
    assert found[-1].fixes
    check(*found)


def test_an_input_is_enlarged_at_every_short_side():
    # 16 px in an input of 320 / 400: 12.8 px, where the smallest anchor has 32, 2.5 times as much.
    found = searched("torchvision", [[96, 96, 112, 112]])
    enlarged = [fix for fix in found[-1].fixes if "resize" in fix.patch]
    assert enlarged
    assert enlarged[0].text.startswith("Enlarge the input of every view 2.5 times")
    assert enlarged[0].patch["train_views"]["min_sizes"] == [800, 1000, 1200]
    assert enlarged[0].patch["resize"] == {"min_size": 2000, "max_size": round(1333 * 2.5)}
    check(*found)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(presets.names()),
    st.tuples(st.integers(0, 300), st.integers(0, 200), st.integers(6, 250), st.integers(6, 180)),
)
def test_what_is_found_holds(name, box):
    x, y, width, height = box
    check(*searched(name, [[x, y, x + width, y + height], [400, 50, 500, 150]], TrainViews((320, 480), True)))


def test_a_box_that_crops_cut_off_is_asked_where_it_is_shown():
    views = TrainViews(crop=CropKind.RELATIVE, crop_size=(0.5, 0.5), crop_count=4, crop_seed=1)
    found = searched("torchvision", [[60, 100, 360, 128]], views)
    check(*found)
    for fix in found[-1].fixes:
        assert fix.views_after.views <= 4


def test_nothing_helps_a_box_that_is_not_trained_on_or_matched_everywhere():
    *_, search = searched("detectron2", [[60, 100, 60, 128]])
    assert search.fixes == ()
    assert search.closest is None
    inputs, params, preset, search = searched("mmdetection", [[100, 100, 228, 228]], TrainViews(flip=True))
    outcomes = run_views(inputs, params, preset.conventions)
    assert [outcome.ranks[0] for outcome in outcomes] == [Rank.MATCHED] * 2
    assert search.fixes == ()


def test_what_check_raises_ends_it():
    preset = presets.load("torchvision")
    inputs = pipeline.Inputs((400, 600), np.array([[60.0, 100, 360, 128]]))
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 9:  # in the second run of all six views
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_view_fixes(inputs, preset.params.with_views(SIDES), preset.conventions, 0, check)
