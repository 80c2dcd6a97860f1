"""Colours that say level, IoU, score or ground truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rpnviz.core import pipeline
from rpnviz.drawing.colouring import IOU_STEPS, LOSS_STEPS, SCORE_STEPS, colour_groups, shades
from rpnviz.drawing.options import LAYERS, ColourBy, LayerKey, LayerOptions, World
from rpnviz.drawing.scene import make_layers
from rpnviz.palette import CATEGORIES, Theme


def groups(result, colour_by, ids, scores=None):
    """Shade of every box."""
    found = [None] * len(ids)
    places = np.zeros(0, int)
    for shade, members in colour_groups(result, colour_by, ids, scores):
        places = np.concatenate([places, members])
        for place in members.tolist():
            found[place] = shade
    assert sorted(places.tolist()) == list(range(len(ids))), "every box has one colour"
    return found


def test_by_label_nothing_changes(result):
    ids = np.arange(50)
    assert shades(result, ColourBy.LABEL) == ()
    assert groups(result, ColourBy.LABEL, ids) == [None] * 50


def test_steps_of_the_iou(result):
    ids = np.arange(len(result.anchors))
    for shade, iou in zip(groups(result, ColourBy.IOU, ids), result.match.best_iou.tolist(), strict=True):
        assert shade.number == sum(iou >= step for step in np.float32(IOU_STEPS).tolist())
        assert shade.ordered


def test_levels_and_ground_truth(result):
    ids = np.arange(0, len(result.anchors), 7)
    levels = [shade.number for shade in groups(result, ColourBy.LEVEL, ids)]
    assert levels == result.anchors.levels[ids].tolist()
    assert [shade.text for shade in shades(result, ColourBy.LEVEL)] == ["P2", "P3", "P4", "P5", "P6"]
    of_gt = [shade.number if shade else -1 for shade in groups(result, ColourBy.GT, ids)]
    near = np.where(result.match.best_iou[ids] > 0, result.match.matched_gt[ids], -1)
    assert of_gt == near.tolist()
    assert -1 in of_gt, "what touches no box belongs to none"


def test_more_boxes_than_colours(run):
    boxes = np.array([[x, y, x + 20.0, y + 20] for x in range(0, 140, 20) for y in range(0, 100, 20)])
    many = run(boxes)
    texts = [shade.text for shade in shades(many, ColourBy.GT)]
    assert len(texts) == len(CATEGORIES[Theme.DARK]) == 7
    assert texts[1] == "GT 1, 8, …"
    ids = many.match.positives
    assert [s.number for s in groups(many, ColourBy.GT, ids)] == (many.match.matched_gt[ids] % 7).tolist()


def test_boxes_without_a_score_keep_the_colour_of_their_label(result, proposed):
    assert groups(result, ColourBy.SCORE, np.arange(5)) == [None] * 5
    scores = np.array([0.01, 0.05, 0.4, 0.7, 0.95], np.float32)
    assert [s.number for s in groups(proposed, ColourBy.SCORE, np.arange(5), scores)] == [0, 1, 2, 3, 4]
    assert len(SCORE_STEPS) == 4
    assert shades(result, ColourBy.SCORE) == (), "no key of colours that nothing has"
    broken = groups(proposed, ColourBy.SCORE, np.arange(2), np.array([np.nan, 0.95], np.float32))
    assert [shade and shade.number for shade in broken] == [None, 4]


@pytest.mark.parametrize("colour_by", ColourBy)
@pytest.mark.parametrize("world", World)
def test_colours_change_no_box_and_no_count(proposed, world, colour_by):
    visible = frozenset(spec.key for spec in LAYERS[world])
    plain = make_layers(proposed, world, LayerOptions(visible, everything=True))
    coloured = make_layers(proposed, world, LayerOptions(visible, everything=True, colour_by=colour_by))
    for key in LayerKey:
        rows = [
            np.sort(np.concatenate([x.rows for x in layers if x.key is key] or [[]])) for layers in (plain, coloured)
        ]
        np.testing.assert_array_equal(*rows)
        assert {x.shown for x in plain if x.key is key} == {x.shown for x in coloured if x.key is key}
        assert {x.dense for x in plain if x.key is key} == {x.dense for x in coloured if x.key is key}


def test_the_same_choice_gives_the_same_rows(proposed):
    """So that the canvas counts a density once."""
    options = LayerOptions(frozenset({LayerKey.NEGATIVE}), colour_by=ColourBy.LEVEL)
    first, second = make_layers(proposed, World.TRAINING, options), make_layers(proposed, World.TRAINING, options)
    assert all(a.rows is b.rows for a, b in zip(first, second, strict=True))


def test_recorded_losses_colour_the_sampled_anchors_by_their_share_of_the_mean(result):
    losses = np.full(len(result.anchors), np.nan)
    losses[:5] = [0.1, 0.5, 1.5, 2.4, 5.5]  # mean 2: 0.05, 0.25, 0.75, 1.2, 2.75
    inputs = dataclasses.replace(result.inputs, losses=losses)
    captured = pipeline.run(inputs, result.params, result.conventions)
    found = groups(captured, ColourBy.LOSS, np.arange(7))
    assert [shade and shade.number for shade in found] == [0, 1, 1, 2, 3, None, None]
    assert len(shades(captured, ColourBy.LOSS)) == len(LOSS_STEPS) + 1
    assert shades(result, ColourBy.LOSS) == ()
    assert groups(result, ColourBy.LOSS, np.arange(2)) == [None] * 2
