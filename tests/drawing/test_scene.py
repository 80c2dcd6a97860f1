"""Which boxes are drawn, and that the numbers say so."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.core.boxes import box_iou
from rpnviz.core.matching import AnchorState, Rank
from rpnviz.core.proposals import Fate
from rpnviz.drawing.options import BoxFilter
from rpnviz.drawing.scene import (
    BACKGROUND_OPACITY,
    BEST_KEPT,
    BEST_PER_GT,
    LAYERS,
    MAX_OUTLINES,
    NOT_DRAWN_OPACITY,
    LayerKey,
    LayerOptions,
    World,
    default_options,
    gt_roles,
    legend,
    make_layers,
    summary,
)
from rpnviz.palette import Role

NAMES = ("coin", "Größe", "", "硬币")


def layer(layers, key):
    (found,) = [layer for layer in layers if layer.key is key]
    return found


def only(*keys, **options):
    return LayerOptions(frozenset(keys), **options)


def everything_of(world, **options):
    return only(*(spec.key for spec in LAYERS[world]), **options)


@pytest.mark.parametrize("world", World)
def test_the_table_of_layers(world):
    specs = LAYERS[world]
    assert [spec.digit for spec in specs] == list(range(1, len(specs) + 1))
    assert len({spec.key for spec in specs}) == len(specs)
    assert specs[0].key is LayerKey.GT


def test_words_on_screen():
    titles = [spec.title for spec in LAYERS[World.TRAINING]]
    assert titles == [
        "Ground truth",
        "Positive",
        "Forced positive",
        "Neutral (not trained on)",
        "Negative",
        "Left out (border, padding, crowd)",
        "Mini-batch (drawn in this step)",
    ]


def test_at_first_training_shows_ground_truth_and_its_best_positives(result):
    layers = make_layers(result, World.TRAINING, default_options(World.TRAINING), NAMES)
    assert {layer.key for layer in layers} == {LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED}
    match = result.match
    drawn = np.concatenate([layer.ids for layer in layers if layer.key is not LayerKey.GT])
    for gt in range(len(match.ranks)):
        mine = match.positives_of(gt)
        chosen = drawn[match.matched_gt[drawn] == gt]
        assert len(chosen) == min(BEST_PER_GT, len(mine))
        rest = np.setdiff1d(mine, chosen)
        if len(rest):
            assert match.best_iou[chosen].min() >= match.best_iou[rest].max()


def test_boxes_are_in_original_pixels():
    preset = presets.load("torchvision")
    result = pipeline.run(
        pipeline.Inputs((120, 160), np.array([[20.0, 20, 60, 60]])), preset.params, preset.conventions
    )
    forced = layer(make_layers(result, World.TRAINING, default_options(World.TRAINING)), LayerKey.FORCED)
    expected = result.anchors.boxes[forced.ids].astype(float) / (1066 / 160, 800 / 120, 1066 / 160, 800 / 120)
    np.testing.assert_allclose(forced.boxes, expected)
    assert forced.boxes.dtype == np.float64
    assert forced.ids.dtype == np.int64


def test_less_than_all_is_never_silent(run):
    result = run(fg_iou_thresh=0.4, bg_iou_thresh=0.3)
    options = default_options(World.TRAINING)
    positive = layer(make_layers(result, World.TRAINING, options), LayerKey.POSITIVE)
    assert positive.total == result.match.counts[AnchorState.POSITIVE] > positive.shown == len(positive.boxes)
    assert positive.why == "best 3 per GT"
    shown = dataclasses.replace(options, show_all=frozenset({LayerKey.POSITIVE}))
    positive = layer(make_layers(result, World.TRAINING, shown), LayerKey.POSITIVE)
    assert positive.shown == positive.total == len(positive.boxes)
    assert positive.why == ""


def test_a_large_layer_turns_to_density(run):
    result = run(fg_iou_thresh=0.15, bg_iou_thresh=0.1)
    options = only(LayerKey.POSITIVE, show_all=frozenset({LayerKey.POSITIVE}))
    positive = layer(make_layers(result, World.TRAINING, options), LayerKey.POSITIVE)
    assert positive.total > MAX_OUTLINES
    assert positive.dense
    assert positive.shown == positive.total
    best = layer(make_layers(result, World.TRAINING, only(LayerKey.POSITIVE)), LayerKey.POSITIVE)
    assert not best.dense
    assert best.shown <= BEST_PER_GT * 4


def test_negatives_are_density_and_every_anchor_is_in_one_layer(result):
    options = everything_of(World.TRAINING, show_all=frozenset(LayerKey))
    layers = make_layers(result, World.TRAINING, options)
    assert layer(layers, LayerKey.NEGATIVE).dense
    again = (LayerKey.GT, LayerKey.MINI_BATCH)  # the mini-batch draws of the others
    ids = np.concatenate([layer.ids for layer in layers if layer.key not in again])
    np.testing.assert_array_equal(np.sort(ids), np.arange(len(result.anchors)))


def test_the_mini_batch_stands_in_front_of_faint_positives(run):
    result = run(fg_iou_thresh=0.4, bg_iou_thresh=0.3)
    layers = make_layers(result, World.TRAINING, only(LayerKey.POSITIVE, LayerKey.FORCED, LayerKey.MINI_BATCH))
    drawn = [layer for layer in layers if layer.key is LayerKey.MINI_BATCH]
    ids = np.sort(np.concatenate([layer.ids for layer in drawn]))
    np.testing.assert_array_equal(ids, np.sort(np.concatenate([result.sample.positive, result.sample.negative])))
    looks = {AnchorState.POSITIVE: Role.POSITIVE, AnchorState.FORCED: Role.FORCED, AnchorState.NEGATIVE: Role.NEGATIVE}
    for layer in drawn:
        assert layer.opacity == 1
        assert {looks[AnchorState(state)] for state in result.match.state[layer.ids]} == {layer.role}
    behind = [layer for layer in layers if layer.key in (LayerKey.POSITIVE, LayerKey.FORCED)]
    assert behind
    assert all(layer.opacity == NOT_DRAWN_OPACITY for layer in behind)
    alone = make_layers(result, World.TRAINING, only(LayerKey.POSITIVE, LayerKey.FORCED))
    assert all(layer.opacity == 1 for layer in alone)


def test_without_a_mini_batch_nothing_is_drawn_or_faint():
    preset = presets.load("keras-retinanet")
    inputs = pipeline.Inputs((120, 160), np.array([[20.0, 20, 60, 60]]))
    result = pipeline.run(inputs, preset.params, preset.conventions)
    layers = make_layers(result, World.TRAINING, only(LayerKey.POSITIVE, LayerKey.MINI_BATCH))
    assert {(layer.key, layer.opacity) for layer in layers} <= {(LayerKey.POSITIVE, 1.0)}
    (entry,) = [entry for entry in legend(result, World.TRAINING, only()) if entry.key is LayerKey.MINI_BATCH]
    assert entry.total == 0


def test_back_to_front(proposed):
    training = make_layers(proposed, World.TRAINING, everything_of(World.TRAINING, everything=True))
    assert [found.key for found in training if found.key is not LayerKey.GT] == [
        LayerKey.EVERYTHING,
        LayerKey.NEGATIVE,
        LayerKey.LEFT_OUT,
        LayerKey.NEUTRAL,
        LayerKey.POSITIVE,
        LayerKey.FORCED,
        *[LayerKey.MINI_BATCH] * 3,  # by label
    ]
    assert training[-1].key is LayerKey.GT
    model = make_layers(proposed, World.MODEL, everything_of(World.MODEL, everything=True))
    assert [found.key for found in model] == [
        LayerKey.EVERYTHING,
        LayerKey.DROPPED,
        LayerKey.CANDIDATES,
        LayerKey.SUPPRESSED,
        LayerKey.KEPT,
        LayerKey.GT,
    ]


@pytest.mark.parametrize("gt", range(4))
def test_a_selected_box_shows_only_its_anchors(run, gt):
    result = run(fg_iou_thresh=0.4, bg_iou_thresh=0.2)
    options = everything_of(World.TRAINING, selected_gt=gt)
    match = result.match
    for found in make_layers(result, World.TRAINING, options):
        if found.key is LayerKey.GT:
            assert found.opacity == (1.0 if gt in found.ids else BACKGROUND_OPACITY)
        else:
            assert (match.matched_gt[found.ids] == gt).all()
    drawn = layer(make_layers(result, World.TRAINING, options), LayerKey.POSITIVE)
    mine = match.positives_of(gt)
    np.testing.assert_array_equal(drawn.ids, mine[match.state[mine] == AnchorState.POSITIVE])
    if drawn.shown < drawn.total:
        assert drawn.why == f"of GT {gt}"


def test_a_selected_box_comes_last(result):
    layers = make_layers(result, World.TRAINING, everything_of(World.TRAINING, selected_gt=1))
    assert layers[-1].ids.tolist() == [1]


def test_ground_truth_is_drawn_by_how_it_fares(run):
    ignore = np.array([False, False, False, True])
    result = run(ignore=ignore)
    roles = gt_roles(result)
    assert roles[3] is Role.LEFT_OUT
    for gt, role in enumerate(roles[:3]):
        weak = result.match.ranks[gt] is Rank.FORCED and result.match.gt_best_iou[gt] < 0.5
        assert role is (Role.GT_PROBLEM if weak else Role.GT)
    assert Role.GT_PROBLEM in roles
    layers = [
        found for found in make_layers(result, World.TRAINING, only(LayerKey.GT), NAMES) if found.key is LayerKey.GT
    ]
    assert [found.role for found in layers] == [
        role for role in (Role.LEFT_OUT, Role.GT, Role.GT_PROBLEM) if role in roles
    ]
    assert sorted(np.concatenate([found.ids for found in layers]).tolist()) == [0, 1, 2, 3]
    assert all(found.total == 4 for found in layers)
    np.testing.assert_array_equal(layers[0].boxes, result.inputs.gt_boxes[[3]])


def test_labels_of_ground_truth(run):
    result = run(allow_low_quality_matches=False)
    labels = {}
    for found in make_layers(result, World.TRAINING, only(LayerKey.GT), NAMES):
        labels.update(zip(found.ids.tolist(), found.labels, strict=True))
    ranks = result.match.ranks
    assert Rank.NONE in ranks
    for gt, label in labels.items():
        name = f"{gt} {NAMES[gt]}".strip()
        assert label == (f"{name} ! no positive" if ranks[gt] is Rank.NONE else name)
    forced = run()
    weak = next(gt for gt, role in enumerate(gt_roles(forced)) if role is Role.GT_PROBLEM)
    found = layer_of_role(make_layers(forced, World.TRAINING, only(LayerKey.GT), ()), Role.GT_PROBLEM)
    position = found.ids.tolist().index(weak)
    assert found.labels[position] == f"{weak} ! forced {float(forced.match.gt_best_iou[weak]):.2f}"


def layer_of_role(layers, role):
    (found,) = [layer for layer in layers if layer.role is role]
    return found


def test_the_threshold_of_a_problem_is_a_setting(result):
    lenient = gt_roles(result, weak_iou=0.0)
    assert Role.GT_PROBLEM not in lenient
    strict = gt_roles(result, weak_iou=1.0)
    assert strict.count(Role.GT_PROBLEM) == result.match.ranks.count(Rank.FORCED)


def test_at_first_the_model_world_shows_the_best_proposals(proposed):
    kept = layer(make_layers(proposed, World.MODEL, default_options(World.MODEL)), LayerKey.KEPT)
    assert kept.shown == BEST_KEPT < kept.total == len(proposed.proposals.boxes)
    np.testing.assert_array_equal(kept.ids, proposed.proposals.anchor_index[:BEST_KEPT])
    np.testing.assert_array_equal(kept.boxes, proposed.frame.to_original(proposed.proposals.boxes[:BEST_KEPT]))
    assert kept.why == "best 50"
    options = dataclasses.replace(default_options(World.MODEL), show_all=frozenset({LayerKey.KEPT}))
    kept = layer(make_layers(proposed, World.MODEL, options), LayerKey.KEPT)
    assert kept.shown == kept.total
    assert kept.dense == (kept.total > MAX_OUTLINES)


def test_before_nms_are_the_boxes_that_enter_it(proposed):
    params = proposed.params.with_values("proposals", score_thresh=0.5)
    result = pipeline.run(proposed.inputs, params, proposed.conventions)
    layers = make_layers(result, World.MODEL, everything_of(World.MODEL))
    entering = result.proposals.stages[4].indices
    np.testing.assert_array_equal(layer(layers, LayerKey.CANDIDATES).ids, entering)
    suppressed = layer(layers, LayerKey.SUPPRESSED)
    np.testing.assert_array_equal(
        suppressed.ids, result.proposals.candidates.anchor_index[result.proposals.fate == Fate.SUPPRESSED]
    )
    assert suppressed.total == len(result.proposals.stages[5].dropped)


def test_a_selected_box_shows_the_proposals_that_find_it(proposed):
    found_any = False
    for gt in range(4):
        options = everything_of(World.MODEL, selected_gt=gt)
        box = proposed.gt.boxes[gt : gt + 1]
        kept = layer(make_layers(proposed, World.MODEL, options), LayerKey.KEPT)
        expected = proposed.proposals.anchor_index[box_iou(proposed.proposals.boxes, box)[:, 0] >= 0.5]
        np.testing.assert_array_equal(kept.ids, expected)
        assert kept.why == f"IoU ≥ 0.5 with GT {gt}"
        found_any |= len(kept.ids) > 0
    assert found_any


def test_without_proposals_the_model_world_has_ground_truth_alone(result):
    layers = make_layers(result, World.MODEL, everything_of(World.MODEL))
    assert {found.key for found in layers} == {LayerKey.GT}
    assert all(entry.total == 0 for entry in legend(result, World.MODEL, everything_of(World.MODEL))[1:])
    assert Role.GT_PROBLEM not in {found.role for found in layers}


@pytest.mark.parametrize("world", World)
def test_everything_is_one_density(proposed, world):
    options = dataclasses.replace(default_options(world), everything=True)
    first, second = (make_layers(proposed, world, options)[0] for _ in range(2))
    assert first.key is LayerKey.EVERYTHING
    assert first.dense
    assert len(first.boxes) == len(proposed.anchors)
    source = proposed.anchors.boxes if world is World.TRAINING else proposed.decoded.boxes
    np.testing.assert_array_equal(first.boxes, proposed.frame.to_original(source))
    assert first.rows is second.rows, "the canvas counts the same rows once"
    assert first.population is second.population


@pytest.mark.parametrize("world", World)
@pytest.mark.parametrize("selected", [None, 0])
@pytest.mark.parametrize("all_of_it", [False, True])
def test_the_legend_tells_what_the_layers_are(proposed, world, selected, all_of_it):
    show_all = frozenset(LayerKey) if all_of_it else frozenset()
    options = everything_of(world, selected_gt=selected, show_all=show_all, everything=True)
    layers = make_layers(proposed, world, options)
    entries = {entry.key: entry for entry in legend(proposed, world, options)}
    assert list(entries) == [*(spec.key for spec in LAYERS[world]), LayerKey.EVERYTHING]
    for found in layers:
        entry = entries[found.key]
        assert (entry.shown, entry.total) == (found.shown, found.total)
        if found.key is LayerKey.MINI_BATCH:  # a layer for every label
            assert (entry.dense, entry.why) == (found.dense, found.why)
        elif found.key is not LayerKey.GT:
            assert (entry.dense, entry.why, entry.role) == (found.dense, found.why, found.role)
            assert found.shown == len(found.boxes) == len(found.ids)


@pytest.mark.parametrize("world", World)
def test_hidden_layers_keep_their_totals(proposed, world):
    shown = {entry.key: entry.total for entry in legend(proposed, world, everything_of(world))}
    hidden = legend(proposed, world, only())
    assert {entry.key: entry.total for entry in hidden} == shown
    assert all(entry.shown == 0 and not entry.visible for entry in hidden)
    assert make_layers(proposed, world, only()) == ()


def test_counts_in_words(proposed):
    numbers = dict(summary(proposed, World.TRAINING))
    counts = proposed.match.counts
    assert numbers["anchors"] == f"{len(proposed.anchors):,}"
    assert numbers["positive"] == f"{counts[AnchorState.POSITIVE]:,}"
    assert numbers["ground truth"] == "4"
    model = dict(summary(proposed, World.MODEL))
    assert model["kept after NMS"] == f"{len(proposed.proposals.boxes):,}"


@pytest.mark.parametrize("world", World)
def test_no_ground_truth(run, world):
    result = run(boxes=np.zeros((0, 4)))
    layers = make_layers(result, world, everything_of(world))
    assert all(found.key is not LayerKey.GT for found in layers)
    assert legend(result, world, everything_of(world))[0].total == 0
    assert dict(summary(result, world))["ground truth"] == "0"


def test_broken_ground_truth_stays_in(run):
    boxes = np.array([[np.nan] * 4, [50.0, 50, 20, 70], [5, 5, 5, 5], [10, 10, 60, 60]])
    result = run(boxes=boxes)
    layers = make_layers(result, World.TRAINING, only(LayerKey.GT))
    left_out = layer_of_role(layers, Role.LEFT_OUT)
    assert left_out.ids.tolist() == [0, 1, 2]
    assert left_out.labels == ("0 (not trained on)", "1 (not trained on)", "2 (not trained on)")


def test_five_hundred_boxes(run):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (500, 2))
    result = run(boxes=np.concatenate([corners, corners + rng.uniform(5, 60, (500, 2))], axis=1))
    layers = make_layers(result, World.TRAINING, everything_of(World.TRAINING))
    assert sum(len(found.ids) for found in layers if found.key is LayerKey.GT) == 500


def test_every_anchor_positive(run):
    """A box that touches no anchor forces all of them; the best of each box are still few."""
    result = run(boxes=np.array([[10.0, 10, 70, 60], [4000, 4000, 4010, 4010]]))
    assert len(result.match.everything_positive) == 1
    layers = make_layers(result, World.TRAINING, default_options(World.TRAINING))
    drawn = sum(len(found.ids) for found in layers if found.key in (LayerKey.POSITIVE, LayerKey.FORCED))
    assert drawn <= 2 * BEST_PER_GT


def test_the_default_layers_of_a_large_image_take_no_time(run):
    """261,888 anchors: the threshold drag waits for this."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 900, (30, 2))
    result = run(boxes=np.concatenate([corners, corners + rng.uniform(20, 120, (30, 2))], axis=1), size=(1024, 1024))
    assert len(result.anchors) == 261_888
    options = default_options(World.TRAINING)
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        make_layers(result, World.TRAINING, options, ("coin",) * 30)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.02, "measured: 0.3 ms; the bound leaves room for busy machines"


def test_a_filter_that_leaves_few_gives_them_outlines(result):
    key = LayerKey.NEGATIVE
    place = result.anchors.place(int(np.flatnonzero(result.match.state == AnchorState.NEGATIVE)[0]))
    only = BoxFilter(position=(place.level, place.row, place.column))
    options = LayerOptions(frozenset({key}), everything=True, only=only)
    everything, negative = make_layers(result, World.TRAINING, options)
    assert (everything.key, len(everything), everything.dense) == (LayerKey.EVERYTHING, 3, False)
    assert (negative.key, negative.dense) == (key, False)
    entries = {entry.key: entry for entry in legend(result, World.TRAINING, options)}
    assert (entries[LayerKey.EVERYTHING].shown, entries[LayerKey.EVERYTHING].why) == (3, "filtered")
    assert not entries[key].dense
    plain = make_layers(result, World.TRAINING, LayerOptions(frozenset({key}), everything=True))
    assert all(layer.dense for layer in plain)
