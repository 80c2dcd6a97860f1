from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.core.matching import AnchorState
from rpnviz.datasets.base import Dataset, GroundTruth, ImageRecord
from rpnviz.export.tables import anchor_table, anchors_csv, csv_paths, gts_csv, match_npz, match_table


@pytest.fixture(params=["torchvision", "matterport", "keras-retinanet"])
def case(request, tmp_path):
    """Result, record, data set and preset of an image with sound, crowd and broken boxes."""
    boxes = np.array([[10.0, 10, 60, 60], [70.5, 20.25, 120, 90], [5, 5, 5, 5], [0, 0, 128, 96]])
    ignore = np.array([False, False, False, True])
    truth = GroundTruth(boxes, np.array([0, 1, 0, 1]), ignore, (7, "b", None, 4))
    record = ImageRecord('Größe, "x".png', tmp_path / "a.png", (96, 128), truth)
    dataset = Dataset("d", tmp_path, (record,), ("硬币", "a;b"))
    preset = presets.load(request.param)
    # Not enlarged: some thousand anchors say as much as a quarter of a million.
    resize = {"mode": "square", "max_size": 128} if request.param == "matterport" else {"mode": "none"}
    preset = dataclasses.replace(preset, params=preset.params.with_values("resize", **resize))
    inputs = pipeline.Inputs((96, 128), boxes, truth.labels, ignore)
    return pipeline.run(inputs, preset.params, preset.conventions), record, dataset, preset


def rows(data: bytes):
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def test_npz_holds_the_result_to_the_bit(case):
    result, record, _, preset = case
    stored = np.load(io.BytesIO(match_npz(*case)))  # without pickles
    match = result.match
    np.testing.assert_array_equal(stored["boxes_input"], result.anchors.boxes)
    assert stored["boxes_input"].dtype == result.anchors.boxes.dtype
    np.testing.assert_array_equal(stored["boxes_original"], result.frame.to_original(result.anchors.boxes))
    np.testing.assert_array_equal(stored["state"], match.state)
    np.testing.assert_array_equal(stored["label"], match.labels)
    np.testing.assert_array_equal(stored["best_iou"], match.best_iou)
    np.testing.assert_array_equal(stored["matched_gt"], match.matched_gt)
    sampled = np.sort(np.concatenate([result.sample.positive, result.sample.negative]))
    np.testing.assert_array_equal(np.flatnonzero(stored["sampled"]), sampled)
    np.testing.assert_array_equal(stored["gt_boxes_original"], record.gt.boxes)
    np.testing.assert_array_equal(stored["gt_boxes_input"], result.gt.boxes)
    np.testing.assert_array_equal(stored["gt_best_iou"], match.gt_best_iou)
    np.testing.assert_array_equal(stored["gt_positives"], match.gt_positives)
    assert stored["gt_category"].tolist() == ["硬币", "a;b", "硬币", "a;b"]
    assert stored["gt_id"].tolist() == ["7", "b", "", "4"]
    assert stored["gt_ignore"].tolist() == [False, False, False, True]
    assert stored["gt_rank"].tolist() == [str(rank) for rank in match.ranks]
    assert stored["state_names"][int(AnchorState.LEFT_OUT_BORDER)] == "left_out_border"
    assert stored["file_name"].item() == record.file_name
    assert stored["image_size"].tolist() == [96, 128]
    assert presets.from_document(json.loads(stored["params"].item())) == preset


def test_every_anchor_knows_its_place(case):
    result, *_ = case
    stored = np.load(io.BytesIO(match_npz(*case)))
    places = np.stack([stored[name] for name in ("level", "row", "column", "cell")], axis=1)
    rng = np.random.default_rng(0)
    for anchor in [0, len(places) - 1, *rng.integers(0, len(places), 200).tolist()]:
        assert tuple(places[anchor].tolist()) == tuple(result.anchors.place(anchor))


def test_csv_has_the_same_numbers(case):
    result, record, dataset, _ = case
    found = rows(anchors_csv(result))
    assert len(found) == len(result.anchors)
    stored = np.load(io.BytesIO(match_npz(*case)))
    for name in ("level", "row", "column", "cell", "label", "best_iou", "matched_gt", "sampled"):
        np.testing.assert_array_equal(np.array([float(row[name]) for row in found]), stored[name])
    for prefix, name in (("", "boxes_original"), ("input_", "boxes_input")):
        sides = [[float(row[prefix + side]) for side in ("x1", "y1", "x2", "y2")] for row in found]
        np.testing.assert_array_equal(np.array(sides, stored[name].dtype), stored[name])
    assert [row["state"] for row in found] == [AnchorState(state).name.lower() for state in result.match.state]

    table = match_table(result, record, dataset)
    gts = rows(gts_csv(table))
    assert len(gts) == 4
    for row, gt in zip(gts, table["gts"], strict=True):
        assert row["category"] == gt["category"]
        assert row["rank"] == gt["rank"]
        assert row["best_iou"] == ("" if gt["best_iou"] is None else repr(gt["best_iou"]))
        assert [float(row[name]) for name in ("x", "y", "width", "height")] == gt["bbox"]


def test_the_table_of_anchors_is_strict_json(case):
    result, *_ = case
    table = anchor_table(result)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert len(table["best_iou"]) == len(table["boxes_original"]) == len(result.anchors)
    assert set(table["state"]) <= {state.name.lower() for state in AnchorState}


def test_an_image_without_boxes(tmp_path):
    record = ImageRecord("a.png", tmp_path / "a.png", (32, 32))
    dataset = Dataset("d", tmp_path, (record,))
    preset = presets.load("torchvision")
    result = pipeline.run(pipeline.Inputs((32, 32), np.zeros((0, 4))), preset.params, preset.conventions)
    stored = np.load(io.BytesIO(match_npz(result, record, dataset, preset)))
    assert stored["gt_boxes_original"].shape == (0, 4)
    assert stored["gt_category"].shape == (0,)
    assert (stored["matched_gt"] == -1).all()
    assert rows(gts_csv(match_table(result, record, dataset))) == []


def test_a_csv_is_two_files():
    assert csv_paths(Path("out/labels.csv")) == (Path("out/labels_anchors.csv"), Path("out/labels_gt.csv"))


def test_broken_boxes_make_strict_json(tmp_path):
    boxes = np.array([[np.nan] * 4, [50.0, 50, 20, 70], [-np.inf, 0, np.inf, 9], [10, 10, 60, 60]])
    truth = GroundTruth(boxes, np.zeros(4, np.int64), np.zeros(4, bool), (1, "b", None, 4))
    record = ImageRecord("Größe.png", tmp_path / "Größe.png", (96, 128), truth)
    dataset = Dataset("d", tmp_path, (record,), ("硬币",))
    preset = presets.load("torchvision")
    result = pipeline.run(pipeline.Inputs((96, 128), boxes), preset.params, preset.conventions)
    table = match_table(result, record, dataset)
    again = json.loads(json.dumps(table, allow_nan=False))
    assert again == table
    broken, turned, endless, sound = again["gts"]
    assert broken["bbox"] == [None] * 4
    assert broken["best_iou"] is None
    assert broken["not_trained"] == "invalid_box"
    assert turned["bbox"] == [50, 50, -30, 20]
    assert endless["rank"] == "not_trained"
    assert sound["best_iou"] == float(result.match.gt_best_iou[3])
    assert again["trainer"] == "raises"
