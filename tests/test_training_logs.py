"""Logs of trainers: detectron2's JSON lines, console lines, and what is none."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rpnviz.errors import AnnotationError
from rpnviz.training_logs import parse_log, read_log


def test_detectron2_metrics(tmp_path):
    lines = [
        {"iteration": 19, "rpn/num_pos_anchors": 12.5, "rpn/num_neg_anchors": 243.5, "total_loss": 2.1},
        {"iteration": 39, "bbox/AP": 0.1},
        {"iteration": 59, "rpn/num_pos_anchors": 11.0, "rpn/num_neg_anchors": 245.0},
    ]
    path = tmp_path / "metrics.json"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    log = read_log(path)
    assert (log.steps, log.positives, log.negatives) == ((19, 59), (12.5, 11.0), (243.5, 245.0))


@pytest.mark.parametrize("images", [1, 2, 3, 16])
def test_fractions_tell_the_images_of_a_step(images):
    steps = np.random.default_rng(0).integers(0, 128, (30, 20, images)).mean(axis=2)
    lines = [json.dumps({"iteration": 20 * n, "num_pos_anchors": np.median(s)}) for n, s in enumerate(steps)]
    log = parse_log("\n".join(lines))
    assert (log.window, log.images_per_step) == (20, images)


def test_rounded_lines_do_not_tell_the_images_of_a_step():
    log = parse_log("\n".join(f"num_pos_anchors: {value}" for value in (1.1, 2.4, 3.5, 4.7, 5.2, 6.9)))
    assert (log.window, log.images_per_step) == (1, None)


def test_pasted_lines():
    text = "iter: 20  loss: 0.7  num_pos_anchors: 3.5  num_neg_anchors: 250\nother\nstep=[40] num_pos = 4e0"
    log = parse_log(text)
    assert (log.steps, log.positives) == ((20, 40), (3.5, 4.0))
    assert log.negatives[0] == 250
    assert math.isnan(log.negatives[1])


@pytest.mark.parametrize(
    "text", ["", "{}", "[1, 2]", "loss: 0.5", '{"num_pos_anchors": "x"}', '{"num_pos_anchors": NaN}']
)
def test_what_logs_no_positives(text):
    with pytest.raises(AnnotationError, match="no finite number of positive anchors"):
        parse_log(text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(AnnotationError, match=r"nothing\.json: the log cannot be read"):
        read_log(tmp_path / "nothing.json")
