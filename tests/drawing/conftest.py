"""Results to draw: made up, so that no file is read, and small, so that tests are fast."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.drawing import compiled

PRESET = presets.load("torchvision")
PARAMS = PRESET.params.with_values("resize", mode="none")
SIZE = (128, 160)
BOXES = np.array([[10.0, 10, 70, 60], [80, 20, 100, 100], [120, 90, 126, 97], [40, 64, 72, 96]])


def network_outputs(seed=0, shapes=((32, 40), (16, 20), (8, 10), (4, 5), (2, 3)), size=SIZE):
    rng = np.random.default_rng(seed)
    levels = tuple(
        LevelOutput(
            rng.normal(0, 2, (3, *shape)).astype(np.float32), rng.normal(0, 0.3, (3, 4, *shape)).astype(np.float32)
        )
        for shape in shapes
    )
    return RPNOutput(
        levels, size, size, ModelSettings(PARAMS.resize, PARAMS.anchors, PARAMS.coder, PRESET.conventions), "test"
    )


@pytest.fixture(scope="session")
def run():
    """Call with ground truth and changes of the matching to get a result."""

    def run(boxes=BOXES, size=SIZE, ignore=None, outputs=None, params=PARAMS, **match):
        inputs = pipeline.Inputs(size, boxes, np.zeros(len(boxes), np.int64), ignore, outputs=outputs)
        return pipeline.run(inputs, params.with_values("match", **match) if match else params, PRESET.conventions)

    return run


@pytest.fixture(scope="session")
def result(run):
    """Four boxes: two with anchors above 0.5, one tiny, one that fits an anchor well."""
    return run()


@pytest.fixture(scope="session")
def proposed(run):
    """The same with 5,000 boxes of a network that guesses."""
    return run(outputs=network_outputs())


@pytest.fixture(params=["plain", "compiled"] if importlib.util.find_spec("numba") else ["plain"])
def both_ways(request, monkeypatch):
    """The loops of counting as NumPy, and compiled where numba is installed."""
    compiled.warm_up()
    monkeypatch.setattr(compiled, "_warm", request.param == "compiled")
