"""Every fix does what it says: applied again, through the Params document, the result is the same to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import pipeline, presets
from rpnviz.core.explain import Cause, explain
from rpnviz.core.fixes import MOST, find_fixes, find_pairs, search_fixes
from rpnviz.core.matching import Rank

ORDER = [Rank.NOT_TRAINED, Rank.NONE, Rank.FORCED, Rank.MATCHED]


def run(name, size, boxes, ignore=None, resize=None, **match):
    preset = presets.load(name)
    params = preset.params if resize is None else preset.params.with_values("resize", mode=resize)
    params = params.with_values("match", **match) if match else params
    return pipeline.run(pipeline.Inputs(size, np.array(boxes, float), None, ignore), params, preset.conventions)


def merged(document, patch):
    """RFC 7396, for patches without null."""
    return {
        **document,
        **{key: merged(document[key], value) if isinstance(value, dict) else value for key, value in patch.items()},
    }


def applied(name, result, fix):
    """The result under the document of the parameters with the patch, as text, as a user would give it back."""
    document = presets.to_document(presets.load(name), result.params)
    preset = presets.from_document(json.loads(json.dumps(merged(document, fix.patch))))
    return pipeline.run(result.inputs, preset.params, preset.conventions)


def pairs(result, gt, found=None):
    return find_pairs(result, gt, find_fixes(result, gt, found))


def check(name, result, gt, find=find_fixes):
    found = explain(result, gt)
    search = find(result, gt, found)
    fixes = search.fixes
    assert len(fixes) <= MOST
    if search.closest is not None:
        assert not fixes
        assert search.closest.best_iou < search.closest.needed
    if found.rank in (Rank.MATCHED, Rank.NOT_TRAINED):
        assert fixes == ()
    for fix in fixes:
        after = applied(name, result, fix)
        assert ORDER.index(fix.rank_after) > ORDER.index(found.rank)
        assert after.match.ranks[gt] is fix.rank_after
        assert int(after.match.gt_positives[gt]) == fix.positives_after
        assert float(after.match.gt_best_iou[gt]) == fix.best_iou_after
        assert len(after.anchors) - len(result.anchors) == fix.anchors_added
        pairs = enumerate(zip(result.match.ranks, after.match.ranks, strict=True))
        steps = {other: ORDER.index(new) - ORDER.index(old) for other, (old, new) in pairs if other != gt}
        assert fix.gained == tuple(other for other, step in steps.items() if step > 0)
        assert fix.lost == tuple(other for other, step in steps.items() if step < 0)
        assert fix.patch
        assert fix.text
    return fixes


def test_a_shape_needs_a_size_and_a_ratio():
    result = run("torchvision", (512, 512), [[100, 200, 400, 220]], resize="none")
    first, *others = check("torchvision", result, 0)
    # sqrt(300 * 20) = 77.5; 20 / 300 = 0.067.
    assert first.text == "Add size 77 on P3 and add ratio 0.067"
    assert first.patch["anchors"]["sizes"][1] == [64.0, 77.0]
    assert first.patch["anchors"]["aspect_ratios"][0][-1] == 0.067
    assert first.rank_after is Rank.MATCHED
    assert all(fix.best_iou_after < 0.5 for fix in others), "poor fits come last"


def test_a_threshold_just_below_what_the_grid_gives():
    result = run("torchvision", (512, 512), [[102, 102, 134, 134]], resize="none", fg_iou_thresh=0.8)
    lower, shift = check("torchvision", result, 0)
    assert lower.patch == {"match": {"fg_iou_thresh": 0.78}}  # 900 / 1148 = 0.7840
    # The centre, 118, lies at 29.5 strides of 4: half a stride further on the anchor stands exactly on the box.
    assert shift.patch == {"anchors": {"offset": 0.5}}
    assert shift.best_iou_after == 1.0
    assert shift.text == "Set the offset of the grid to 0.5"


def test_a_rule_that_bars_what_fits_is_lifted_though_another_box_takes_the_rest():
    # The same box twice, at the corner: what the border rule leaves of its anchors goes to the first.
    boxes = [[0, 0, 100, 100], [0, 0, 100, 100]]
    result = run("py-faster-rcnn", (512, 512), boxes, resize="none")
    assert explain(result, 1).cause is Cause.STOLEN
    assert explain(result, 1).budget.allowed < explain(result, 1).budget.grid
    search = find_fixes(result, 1)
    tried = run("py-faster-rcnn", (512, 512), boxes, resize="none", border_thresh=-1.0)
    rises = tried.match.ranks[1].height > result.match.ranks[1].height
    assert ({"match": {"border_thresh": -1.0}} in [fix.patch for fix in search.fixes]) == rises


def test_rules_that_leave_out_can_be_lifted():
    border = run("py-faster-rcnn", (512, 512), [[0, 200, 120, 320]], resize="none", fg_iou_thresh=0.8)
    assert {"match": {"border_thresh": -1.0}} in [fix.patch for fix in check("py-faster-rcnn", border, 0)]
    boxes, ignore = [[100, 100, 164, 164], [60, 60, 200, 200]], np.array([False, True])
    region = run("mmdetection", (512, 512), boxes, ignore, resize="none", ignore_iof_thresh=0.5)
    assert check("mmdetection", region, 0)[0].patch == {"match": {"ignore_iof_thresh": -1.0}}


def test_the_grid_is_moved_around_the_circle():
    # The centre lies at 0.05 and 0.95 of a stride of 16: the nearest offset for both is 0, where the grid is already.
    result = run("torchvision", (512, 512), [[64.8, 79.2, 192.8, 207.2]], resize="none", fg_iou_thresh=0.99)
    assert all("offset" not in fix.patch.get("anchors", {}) for fix in check("torchvision", result, 0))
    # At 0.45 and 0.55 it is 0.5.
    result = run("torchvision", (512, 512), [[71.2, 72.8, 199.2, 200.8]], resize="none", fg_iou_thresh=0.95)
    assert {"anchors": {"offset": 0.5}} in [fix.patch for fix in check("torchvision", result, 0)]


def test_a_stolen_box_gets_a_size_of_its_own():
    result = run("torchvision", (512, 512), [[96, 96, 160, 160], [94, 94, 162, 162]], resize="none")
    first = check("torchvision", result, 1)[0]
    assert first.text == "Add size 68 on P3"
    assert (first.rank_after, first.lost) == (Rank.MATCHED, ())


def test_the_low_quality_rule_can_be_switched_on():
    # 100 x 200, ratio 2: a shape of 128 reaches (90 x 182) 0.82 with it; at 0.9 nothing does.
    result = run(
        "torchvision",
        (512, 512),
        [[40, 40, 140, 240]],
        resize="none",
        allow_low_quality_matches=False,
        fg_iou_thresh=0.9,
    )
    assert {"match": {"allow_low_quality_matches": True}} in [fix.patch for fix in check("torchvision", result, 0)]


def test_two_changes_where_no_single_one_is_enough():
    # 5 x 5 at (101, 101): too small for 32, and its centre, 103.5, lies at 25.875 strides of 4.
    result = run("torchvision", (512, 512), [[101, 101, 106, 106]], resize="none")
    assert not check("torchvision", result, 0)
    (fix,) = check("torchvision", result, 0, pairs)
    assert " and " in fix.text
    assert search_fixes(result, 0).fixes == (fix,)
    # Where single ones help, pairs are not asked for.
    easy = run("torchvision", (512, 512), [[100, 200, 400, 220]], resize="none")
    assert search_fixes(easy, 0) == find_fixes(easy, 0)


def test_what_came_closest():
    # A box of a fifth of a pixel: nothing within reason fits it.
    result = run("py-faster-rcnn", (512, 512), [[101, 101, 101.2, 101.2]], resize="none")
    search = search_fixes(result, 0)
    assert not search.fixes
    assert search.closest.best_iou < search.closest.needed
    assert search.closest.text


@settings(max_examples=25)
@given(st.sampled_from(presets.names()), st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.7]), st.booleans())
def test_every_fix_of_any_scene_holds(name, seed, threshold, low_quality):
    rng = np.random.default_rng(seed)
    size = tuple(int(side) for side in rng.integers(40, 260, 2))
    count = int(rng.integers(1, 6))
    corner = rng.uniform(-20, 220, (count, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 5, (count, 2)))], axis=1)
    result = run(
        name,
        size,
        boxes,
        rng.random(count) < 0.15,
        resize="none" if name not in ("matterport", "matterport-old") else None,
        fg_iou_thresh=threshold,
        bg_iou_thresh=0.3,
        allow_low_quality_matches=low_quality,
    )
    for gt in range(count):
        check(name, result, gt)
    check(name, result, 0, pairs)


@pytest.mark.parametrize("name", ["torchvision", "mmdetection"])
def test_an_image_of_the_size_that_is_trained_on(name):
    rng = np.random.default_rng(2)
    corner = rng.uniform(0, 500, (12, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(1, 5, (12, 2)))], axis=1)
    result = run(name, (600, 800), boxes)
    assert sum(len(check(name, result, gt)) for gt in range(12)) > 3
