"""Boxes written as COCO are read again to the last bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rpnviz.datasets.base import GroundTruth, ImageRecord
from rpnviz.datasets.registry import open_dataset
from rpnviz.export.coco import coco_document
from rpnviz.imaging import write_png

sides = st.floats(-5000, 5000, width=32)


def record(boxes, ids=None):
    count = len(boxes)
    labels, ignore = np.arange(count) % 2, np.arange(count) % 3 == 0
    gt = GroundTruth(boxes, labels, ignore, tuple(range(count)) if ids is None else ids)
    return ImageRecord("a.png", Path("a.png"), (60, 80), gt)


def read_again(folder, written):
    write_png(folder / "a.png", np.zeros((60, 80, 3), np.uint8))
    (folder / "boxes.json").write_text(json.dumps(written, allow_nan=False))
    return open_dataset([folder / "boxes.json"], None)


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=sides))
def test_boxes_come_back(tmp_path_factory, boxes):
    boxes[:, 2:] = boxes[:, :2] + np.abs(boxes[:, 2:])
    before = record(boxes.copy())
    dataset = read_again(tmp_path_factory.mktemp("coco"), coco_document([before], [(60, 80)], ("cat", "dog")))
    (after,) = dataset.images
    np.testing.assert_array_equal(after.gt.boxes, boxes)
    assert after.gt.ignore.tolist() == before.gt.ignore.tolist()
    assert dataset.names_of(after) == tuple(("cat", "dog")[k % 2] for k in range(len(boxes)))


def test_a_box_without_numbers_keeps_its_place(tmp_path):
    boxes = np.array([[1.0, 2, 3, 4], [np.nan] * 4, [5, 6, 7, 8]])
    (after,) = read_again(tmp_path, coco_document([record(boxes)], [(60, 80)], ("cat", "dog"))).images
    np.testing.assert_array_equal(after.gt.boxes, boxes)


def test_ids_stay_where_they_can():
    boxes = np.ones((2, 4))
    for given_ids, written in (((7, 5), [7, 5]), ((7, 7), [8, 9]), (("a", 5), [6, 5]), ((None, None), [1, 2])):
        document = coco_document([record(boxes.copy(), given_ids)], [(60, 80)], ("cat", "dog"))
        assert [annotation["id"] for annotation in document["annotations"]] == written


def test_image_ids_stay_where_all_can():
    for given_ids, written in (((7, 5), [7, 5]), ((7, 7), [1, 2]), (("a", 5), [1, 2]), ((None, 3), [1, 2])):
        records = [ImageRecord("a.png", Path("a.png"), (60, 80), record(np.ones((1, 4))).gt, id_) for id_ in given_ids]
        document = coco_document(records, [(60, 80)] * 2, ("cat", "dog"))
        assert [image["id"] for image in document["images"]] == written
        assert [annotation["image_id"] for annotation in document["annotations"]] == written


def test_what_no_json_number_can_be_is_null():
    for box, bbox in (([-1e308, 0, 1e308, 1], None), ([0, 0, 1e200, 1e200], [0, 0, 1e200, 1e200])):
        (annotation,) = coco_document([record(np.array([box]))], [(60, 80)], ("cat", "dog"))["annotations"]
        assert annotation["bbox"] == bbox
        assert annotation["area"] is None
