from __future__ import annotations

import json

import numpy as np

from rpnviz.core import pipeline, presets
from rpnviz.datasets.base import Dataset, GroundTruth, ImageRecord
from rpnviz.export.tables import match_table


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
