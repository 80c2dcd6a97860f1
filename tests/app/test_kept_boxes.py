"""Boxes changed by hand, kept in a session and taken back."""

from __future__ import annotations

import numpy as np
import pytest

from rpnviz.app.kept_boxes import edits_of, kept_boxes
from rpnviz.datasets.base import Dataset, GroundTruth, ImageRecord
from rpnviz.datasets.edited import NO_EDITS, EditedTruth, edited


def record(name, count):
    boxes = np.arange(4 * count, dtype=np.float64).reshape(-1, 4) + np.array([0, 0, 9, 9])
    boxes[1:2] = np.nan
    gt = GroundTruth(boxes, np.arange(count) % 2, np.arange(count) % 3 == 2, tuple(range(count)))
    return ImageRecord(name, None, (50, 60), gt)  # type: ignore[arg-type]


@pytest.fixture
def dataset():
    return Dataset("made", None, [record("a.png", 3), record("b.png", 0)], ("x", "y"))  # type: ignore[arg-type]


@pytest.fixture
def edits(dataset):
    first = EditedTruth.of(dataset.images[0].gt).without({0}).with_box((1, 2, 3.25, 4), 2).with_values(1, ignore=False)
    second = EditedTruth.of(dataset.images[1].gt).with_box((5, 5, 6, 6), 1, ignore=True)
    made = NO_EDITS.with_category("z").with_truth(0, first, dataset.images[0].gt)
    return made.with_truth(1, second, dataset.images[1].gt)


def test_they_come_back(dataset, edits):
    kept = kept_boxes(edited(dataset, edits), edits)
    assert [part.image for part in kept] == ["a.png", "b.png"]
    assert edits_of(dataset, kept) == (edits, ())
    assert edits_of(dataset, ()) == (NO_EDITS, ())


def test_images_that_are_others_are_named(dataset, edits):
    kept = kept_boxes(edited(dataset, edits), edits)
    other = Dataset("made", None, [record("a.png", 2), record("b.png", 0)], ("x", "y"))  # type: ignore[arg-type]
    found, lost = edits_of(other, kept)
    assert lost == ("a.png",)
    assert list(found.truths) == [1]
    assert found.truths[1] == edits.truths[1]
    assert edits_of(Dataset("made", None, [], ("x",)), kept)[1] == ("a.png", "b.png")  # type: ignore[arg-type]


def test_categories_in_another_order_keep_their_names(dataset, edits):
    kept = kept_boxes(edited(dataset, edits), edits)
    turned = Dataset("made", None, dataset.images, ("z", "y", "x"))
    found, _ = edits_of(turned, kept)
    now = edited(turned, found)
    names = [now.names_of(image) for image in now.images]
    assert names == [edited(dataset, edits).names_of(image) for image in edited(dataset, edits).images]
