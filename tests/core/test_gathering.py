"""Where boxes stand: hand-computed on a handful, and against the plain formula on a run of the bundled model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.core.gathering import BEST, gathering
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput


def run(gt_boxes, deltas=None, logits=None):
    """One level of 4 x 4 positions, stride 16, one 16 px anchor each, on a 64 px image."""
    preset = presets.load("torchvision")
    params = preset.params.with_values("resize", mode="none", pad_multiple=1)
    anchors = dataclasses.replace(params.anchors, strides=(16,), sizes=((16.0,),), aspect_ratios=((1.0,),))
    params = dataclasses.replace(params, anchors=anchors)
    level = LevelOutput(
        np.zeros((1, 4, 4), np.float32) if logits is None else logits,
        np.zeros((1, 4, 4, 4), np.float32) if deltas is None else deltas,
    )
    settings = ModelSettings(params.resize, params.anchors, params.coder, preset.conventions)
    output = RPNOutput((level,), (64, 64), (64, 64), settings, "made")
    inputs = pipeline.Inputs((64, 64), np.array(gt_boxes, float).reshape(-1, 4), outputs=output)
    return pipeline.run(inputs, params, preset.conventions)


def test_boxes_that_do_not_move_keep_the_spread_of_the_grid():
    found = gathering(run([]))
    # Centres at 0, 16, 32, 48: variance 16^2 * (16 - 1) / 12 = 320.
    assert found.spread == pytest.approx(np.sqrt(320))
    assert found.best_spread == pytest.approx(np.sqrt(320))
    assert found.shift == 0
    assert np.isnan(found.on_object)
    assert np.isnan(found.gt_spread)
    assert (found.found, found.trained) == (0, 0)


def test_boxes_that_all_move_to_one_place_have_no_spread():
    rows, columns = np.mgrid[:4, :4].astype(np.float32)
    deltas = np.zeros((1, 4, 4, 4), np.float32)
    deltas[0, 0] = (32 - 16 * columns) / 16  # dx in widths of the anchor
    deltas[0, 1] = (32 - 16 * rows) / 16
    found = gathering(run([[24, 24, 40, 40], [0, 0, 16, 16]], deltas))
    assert found.spread == pytest.approx(0, abs=1e-4)
    # From (0, 0), (0, 16), ... to (32, 32): the mean of 16 distances.
    distances = np.hypot(32 - 16 * rows, 32 - 16 * columns)
    assert found.shift == pytest.approx(float(distances.mean()), rel=1e-5)
    assert found.on_object == 1
    assert (found.found, found.trained) == (1, 2)
    # Centres (32, 32) and (8, 8): 12 px from their mean on each axis.
    assert found.gt_spread == pytest.approx(12)


def test_boxes_that_are_not_finite_are_left_out():
    deltas = np.zeros((1, 4, 4, 4), np.float32)
    deltas[0, 0, 0, 0] = np.nan
    found = gathering(run([[24, 24, 40, 40]], deltas))
    assert np.isfinite([found.spread, found.best_spread, found.shift]).all()
    assert found.on_object == pytest.approx(1 / 15)


def test_only_the_best_count():
    assert BEST == 300
    logits = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    assert gathering(run([[40, 40, 56, 56]], None, logits)).found == 1


def test_without_a_network_there_is_nothing_to_measure():
    preset = presets.load("torchvision")
    result = pipeline.run(pipeline.Inputs((64, 64), np.zeros((0, 4))), preset.params, preset.conventions)
    with pytest.raises(ValueError, match="no proposals"):
        gathering(result)
