"""Positions of the feature maps on the image."""

from __future__ import annotations

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.drawing.positions import grids, positions_at

PRESETS = ("torchvision", "detectron2", "mmdetection", "matterport", "py-faster-rcnn", "keras-retinanet")


def result_of(name, size=(96, 150)):
    preset = presets.load(name)
    return pipeline.run(pipeline.Inputs(size, np.zeros((0, 4))), preset.params, preset.conventions)


@pytest.mark.parametrize("name", PRESETS)
def test_the_centre_of_a_position_is_that_of_its_anchors(name):
    result = result_of(name)
    boxes = result.frame.to_original(result.anchors.boxes)
    for grid, level in zip(grids(result.anchors, result.frame), result.anchors.lattice, strict=True):
        assert (len(grid.y), len(grid.x)) == level.grid
        first = boxes[level.start : level.stop].reshape(*level.grid, level.cells, 4)[:, :, 0]
        np.testing.assert_allclose((first[..., 0] + first[..., 2]) / 2, np.tile(grid.x, (len(grid.y), 1)), atol=1e-6)
        np.testing.assert_allclose(
            (first[..., 1] + first[..., 3]) / 2, np.tile(grid.y[:, None], len(grid.x)), atol=1e-6
        )
        if len(grid.x) > 1:
            assert grid.step[1] == pytest.approx(grid.x[1] - grid.x[0], rel=1e-6)


@pytest.mark.parametrize("name", PRESETS)
def test_every_centre_belongs_to_its_position(name):
    result = result_of(name)
    for grid in grids(result.anchors, result.frame):
        np.testing.assert_array_equal(grid.column(grid.x), np.arange(len(grid.x)))
        np.testing.assert_array_equal(grid.row(grid.y), np.arange(len(grid.y)))
        beyond = np.array([grid.x[0] - 0.51 * grid.step[1], grid.x[-1] + 0.51 * grid.step[1]])
        assert grid.column(beyond).tolist() == [-1, -1]
    first = grids(result.anchors, result.frame)[0]
    places = positions_at(result.anchors, result.frame, float(first.x[3]), float(first.y[2]))
    assert (places[0].level, places[0].row, places[0].column) == (0, 2, 3)
    assert len(places) == len(result.anchors.lattice)
    assert positions_at(result.anchors, result.frame, -1e6, 0.0) == []
