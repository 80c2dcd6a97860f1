"""Boxes changed by hand over a data set: what is kept, what is counted, what findings become of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpnviz.datasets.base import Dataset, GroundTruth, ImageRecord
from rpnviz.datasets.columns import BY_HAND, columns_of
from rpnviz.datasets.edited import DRAWN, NO_EDITS, EditedTruth, Edits, as_read, edited, present_index
from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import ShapeError


def truth(count: int) -> EditedTruth:
    boxes = np.arange(4 * count, dtype=np.float64).reshape(-1, 4) + np.array([0, 0, 20, 20])
    return EditedTruth.of(
        GroundTruth(boxes, np.arange(count) % 2, np.zeros(count, bool), tuple(range(100, 100 + count)))
    )


@pytest.fixture
def dataset(tmp_path, make_image):
    records = [ImageRecord(f"{n}.png", make_image(f"{n}.png"), None, truth(n).gt) for n in range(4)]
    return Dataset("made", tmp_path, records, ("a", "b"))


def test_boxes_are_drawn_moved_and_deleted():
    before = truth(3)
    after = before.with_box((1, 2, 3, 4), 1).with_values(0, box=(5, 6, 7, 8), label=1, ignore=True).without({1})
    assert after.gt.boxes.tolist() == [[5, 6, 7, 8], before.gt.boxes[2].tolist(), [1, 2, 3, 4]]
    assert after.gt.labels.tolist() == [1, 0, 1]
    assert after.gt.ignore.tolist() == [True, False, False]
    assert after.gt.ids == (100, 102, None)
    assert after.origins == (0, 2, DRAWN)
    assert len(before) == 3
    assert before == truth(3)


def test_equal_where_all_numbers_are():
    nan = EditedTruth.of(GroundTruth(np.full((1, 4), np.nan), np.zeros(1, np.int64), np.zeros(1, bool), (None,)))
    assert nan == nan.with_values(0, ignore=False)
    assert nan != nan.with_values(0, ignore=True)
    assert truth(2) != "x"
    with pytest.raises(ShapeError, match="1 origins"):
        EditedTruth(truth(2).gt, (0,))


def test_back_at_the_file_is_no_edit(dataset):
    own = dataset.images[2].gt
    moved = NO_EDITS.with_truth(2, EditedTruth.of(own).with_values(0, box=(0, 0, 1, 1)), own)
    assert moved
    back = moved.with_truth(2, EditedTruth.of(own), own)
    assert not back
    assert edited(dataset, back) is dataset
    assert moved.differing(NO_EDITS) == NO_EDITS.differing(moved) == [2]


def test_counts_names_and_records(dataset):
    drawn = EditedTruth.of(dataset.images[0].gt).with_box((1, 1, 9, 9), 2)
    edits = NO_EDITS.with_category("c").with_truth(0, drawn, dataset.images[0].gt)
    first = edited(dataset, edits)
    assert first.box_counts().tolist() == [1, 1, 2, 3]
    assert first.categories == ("a", "b", "c")
    assert first.names_of(first.images[0]) == ("c",)
    assert list(first.file_names()) == [f"{n}.png" for n in range(4)]
    assert first.images[-1] is dataset.images[3]
    assert [record.box_count for record in first.images[:2]] == [1, 1]
    fewer = EditedTruth.of(dataset.images[3].gt).without({0, 2})
    second = edited(dataset, edits.with_truth(3, fewer, dataset.images[3].gt), first)
    assert second.images[0] is first.images[0]
    assert second.images[3].gt.ids == (101,)
    assert as_read(second) is as_read(first) is as_read(dataset) is dataset
    with pytest.raises(IndexError):
        second.images[4]


def test_present_index(dataset):
    own = dataset.images[3].gt
    first = edited(dataset, NO_EDITS.with_truth(3, EditedTruth.of(own).without({0}), own))
    second = edited(dataset, NO_EDITS.with_truth(3, EditedTruth.of(own).with_box((0, 0, 1, 1), 0).without({1}), own))
    assert [present_index(dataset, first, 3, gt) for gt in (0, 1, 2, None)] == [None, 0, 1, None]
    assert [present_index(first, dataset, 3, gt) for gt in (0, 1)] == [1, 2]
    assert [present_index(second, first, 3, gt) for gt in (0, 1, 2)] == [None, 1, None]
    assert present_index(second, dataset, 3, 2) is None  # drawn by hand
    drawn = EditedTruth.of(own).with_box((0, 0, 1, 1), 0)
    more = edited(dataset, NO_EDITS.with_truth(3, drawn.with_box((5, 5, 9, 9), 0).without({0}), own))
    assert present_index(second, more, 3, 2) == 2  # the same numbers
    assert [present_index(more, second, 3, gt) for gt in (2, 3)] == [2, None]
    moved = edited(dataset, NO_EDITS.with_truth(3, drawn.with_values(len(own), box=(7, 7, 9, 9)), own))
    assert present_index(second, moved, 3, 2) == len(own)
    assert present_index(first, second, 1, 0) == 0  # an image that nobody touched


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["draw", "move", "delete"]), st.integers(0, 5)), max_size=12)
)
def test_columns_are_those_of_the_records(made):
    records = [ImageRecord(f"{n}.png", None, (50, 60), truth(n).gt) for n in range(4)]  # type: ignore[arg-type]
    dataset = Dataset("made", None, records, ("a", "b"))  # type: ignore[arg-type]
    edits = Edits()
    for image, what, index in made:
        own = records[image].gt
        now = edits.truths.get(image, EditedTruth.of(own))
        if what == "draw":
            now = now.with_box((index, 0, index + 3, 4), index % 2)
        elif index < len(now):
            now = now.with_values(index, box=(9, 9, 19, 29)) if what == "move" else now.without({index})
        edits = edits.with_truth(image, now, own)
    present = edited(dataset, edits)
    found, wanted = columns_of(present.images), columns_of(list(present.images))
    assert found.starts.tolist() == wanted.starts.tolist()
    assert found.boxes.tolist() == wanted.boxes.tolist()
    assert found.labels.tolist() == wanted.labels.tolist()
    assert found.ids.tolist() == wanted.ids.tolist()
    assert present.box_counts().tolist() == np.diff(wanted.starts).tolist()
    drawn = [origin == DRAWN for image in range(4) for origin in _origins(edits, records, image)]
    assert (found.places == BY_HAND).tolist() == drawn


def _origins(edits, records, image):
    return edits.truths.get(image, EditedTruth.of(records[image].gt)).origins


def test_shares_stay_shares(tmp_path, make_image):
    make_image("images/train/a.png", 40, 80)
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [thing]\n")
    dataset = open_dataset([tmp_path / "data.yaml"])
    own = dataset.images[0].gt
    present = edited(dataset, NO_EDITS.with_truth(0, EditedTruth.of(own).with_box((0, 0, 8, 20), 0), own))
    columns = columns_of(present.images)
    assert columns.normalised
    assert columns.boxes.tolist() == [[0.375, 0.25, 0.625, 0.75], [0, 0, 0.1, 0.5]]
    assert columns.where(0).endswith("a.txt: line 1")
    assert columns.where(1) == "box 1, drawn by hand (images/train/a.png)"
    assert present.images[0].gt.boxes.tolist() == [[30, 10, 50, 30], [0, 0, 8, 20]]


def test_findings_follow_their_boxes(write_coco, make_image):
    make_image("a.png")
    boxes = ([1, 1, 5, 0], [2, 2, 8, 8], [3, 3, 0, 4])
    path = write_coco([{"id": k, "image_id": 1, "category_id": 1, "bbox": box} for k, box in enumerate(boxes)])
    dataset = open_dataset([path])
    flat = [finding for finding in dataset.findings if finding.kind == "flat"]
    assert [finding.gt for finding in flat] == [0, 2]
    own = dataset.images[0].gt

    def present(change):
        found = edited(dataset, NO_EDITS.with_truth(0, change(EditedTruth.of(own)), own))
        return [finding.gt for finding in found.findings if finding.kind == "flat"]

    assert present(lambda truth: truth.without({1})) == [0, 1]
    assert present(lambda truth: truth.without({0})) == [1]
    assert present(lambda truth: truth.with_values(2, box=(3, 3, 9, 9))) == [0]
    assert present(lambda truth: truth.with_values(2, label=0, ignore=True)) == [0, 2]
