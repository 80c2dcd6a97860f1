"""The filter, condition by condition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rpnviz.core.boxes import best_cover
from rpnviz.drawing.filtering import filter_text, passing
from rpnviz.drawing.options import EVERY_BOX, BoxFilter


def chosen(result, **only):
    return np.flatnonzero(passing(result, BoxFilter(**only), np.arange(len(result.anchors))))


def test_without_conditions_every_box_passes(result):
    assert len(chosen(result)) == len(result.anchors)


def test_places(result):
    anchors = result.anchors
    places = [anchors.place(index) for index in range(len(anchors))]
    for only, wanted in (
        ({"level": 2}, lambda p: p.level == 2),
        ({"shape": 1}, lambda p: p.cell == 1),
        ({"level": 1, "shape": 2}, lambda p: p.level == 1 and p.cell == 2),
        ({"position": (1, 3, 4)}, lambda p: (p.level, p.row, p.column) == (1, 3, 4)),
        ({"position": (1, 999, 4)}, lambda p: False),
        ({"position": (9, 0, 0)}, lambda p: False),
    ):
        assert chosen(result, **only).tolist() == [index for index, place in enumerate(places) if wanted(place)]


def test_the_mini_batch(result):
    drawn = np.union1d(result.sample.positive, result.sample.negative)
    np.testing.assert_array_equal(chosen(result, sampled=True), drawn)


def test_ranges_hold_their_ends(result):
    iou = result.match.best_iou
    some = float(iou.max())
    assert result.match.best_iou[chosen(result, iou=(some, 1.0))].tolist() == [some] * np.count_nonzero(iou == some)
    boxes = result.anchors.boxes
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    np.testing.assert_array_equal(chosen(result, size=(60.0, 130.0)), np.flatnonzero((sides >= 60) & (sides <= 130)))
    np.testing.assert_array_equal(chosen(result, size=(60.0, math.inf)), np.flatnonzero(sides >= 60))


def test_scores_are_the_models_own(result, proposed):
    assert len(chosen(result, score=(0.5, 1.0))) == len(result.anchors), "a box without a score passes"
    np.testing.assert_array_equal(chosen(proposed, score=(0.5, 1.0)), np.flatnonzero(proposed.decoded.objectness >= 0))
    given = passing(proposed, BoxFilter(score=(0.4, 0.6)), np.arange(3), scores=np.array([0.3, 0.5, 0.7], np.float32))
    assert given.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("only", "text"),
    [
        (EVERY_BOX, ""),
        (BoxFilter(level=1), "P3"),
        (BoxFilter(level=0, shape=2, sampled=True), "P2 · shape 3 · mini-batch"),
        (BoxFilter(iou=(0.3, 0.7)), "IoU 0.3 to 0.7"),
        (BoxFilter(score=(0.5, 1.0)), "score 0.5 to 1"),
        (BoxFilter(size=(16, math.inf)), "size from 16 px"),
        (BoxFilter(size=(0, 64)), "size 0 to 64 px"),
        (BoxFilter(position=(0, 1, 2)), "P2 row 1 col 2"),
    ],
)
def test_the_filter_in_words(result, only, text):
    assert filter_text(result, only) == text


def test_the_iou_of_a_models_box_is_its_own(proposed):
    """Not that of the anchor it came from; a mini-batch says nothing about a model."""
    candidates = proposed.proposals.candidates
    own = best_cover(candidates.boxes, proposed.gt.boxes[proposed.gt.trained])[0]
    ids = candidates.anchor_index
    assert not np.allclose(own, proposed.match.best_iou[ids])
    passes = passing(proposed, BoxFilter(iou=(0.3, 1.0)), ids, candidates.boxes, candidates.objectness_prob)
    np.testing.assert_array_equal(passes, own >= 0.3)
    assert passing(proposed, BoxFilter(sampled=True), ids, candidates.boxes).all()
