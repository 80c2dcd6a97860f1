"""Point and rectangle queries over all anchors against strided NumPy; 1024 x 1024, 261,888 anchors, 6,000 proposals."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from common import random_ground_truth, report

from rpnviz.core import pipeline, presets
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.core.params import TopN
from rpnviz.core.picking import outline_distance
from rpnviz.drawing.scene import LayerKey, LayerOptions, World, make_layers
from rpnviz.ui.canvas.picking import Picker

SIZE = 1024
POINTS = 200
REACH = 6.0
FAR = 192.0  # the reach where the image is 32 px small on the screen
PER_LEVEL = 1308  # and the 768 of the coarsest level: 6,000


def naive_point(boxes: np.ndarray, x: float, y: float) -> np.ndarray:
    """Boxes that contain a point or have an outline near it, over columns of an (N, 4) array."""
    near = outline_distance(boxes, x, y) <= REACH
    inside = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
    return np.flatnonzero(near | inside)


def naive_band(boxes: np.ndarray, x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    """Boxes wholly inside a rectangle, likewise."""
    return np.flatnonzero((boxes[:, 0] >= x1) & (boxes[:, 1] >= y1) & (boxes[:, 2] <= x2) & (boxes[:, 3] <= y2))


def spread(function, questions) -> dict[str, float]:
    """Median and 95th percentile in ms of one call per question, the first two being a warm-up."""
    times = []
    for question in questions:
        start = time.perf_counter()
        function(*question)
        times.append((time.perf_counter() - start) * 1000)
    return {"median_ms": round(float(np.median(times[2:])), 3), "p95_ms": round(float(np.percentile(times[2:], 95)), 3)}


def results() -> tuple[pipeline.Result, pipeline.Result]:
    """Training result, and one with 6,000 proposals before NMS of random outputs."""
    preset = presets.load("torchvision")
    params = preset.params.with_values("resize", mode="none")
    inputs = pipeline.Inputs((SIZE, SIZE), random_ground_truth(12, SIZE))
    training = pipeline.run(inputs, params, preset.conventions)
    rng = np.random.default_rng(1)
    levels = tuple(
        LevelOutput(
            rng.normal(0, 2, (level.cells, *level.grid)).astype(np.float32),
            rng.normal(0, 0.3, (level.cells, 4, *level.grid)).astype(np.float32),
        )
        for level in training.anchors.lattice
    )
    settings = ModelSettings(params.resize, params.anchors, params.coder, preset.conventions)
    outputs = RPNOutput(levels, (SIZE, SIZE), (SIZE, SIZE), settings, "random")
    params = params.with_values("proposals", pre_nms_top_n=TopN(PER_LEVEL, PER_LEVEL))
    return training, pipeline.run(replace(inputs, outputs=outputs), params, preset.conventions)


def main() -> None:
    training, model = results()
    rng = np.random.default_rng(2)
    points = [(float(x), float(y)) for x, y in rng.uniform(0, SIZE, (POINTS, 2))]
    corners = [tuple(sorted(pair)) for pair in rng.uniform(0, SIZE, (2 * POINTS, 2)).tolist()]
    bands = [(a[0], b[0], a[1], b[1]) for a, b in zip(corners[::2], corners[1::2], strict=True)]
    figures: dict[str, object] = {}
    for name, result, world, options in (
        ("anchors", training, World.TRAINING, LayerOptions(frozenset({LayerKey.GT}), everything=True)),
        ("proposals", model, World.MODEL, LayerOptions(frozenset({LayerKey.GT, LayerKey.CANDIDATES}))),
    ):
        picker = Picker(make_layers(result, world, options), result, world)
        boxes = result.anchors.boxes if world is World.TRAINING else result.proposals.candidates.boxes
        start = time.perf_counter()
        picker.at(0, 0, REACH)
        first = (time.perf_counter() - start) * 1000
        lists = spread(lambda x, y, picker=picker: picker.at(x, y, REACH, inside=True), points)
        hover = spread(lambda x, y, picker=picker: picker.at(x, y, REACH), points)
        band = spread(lambda *box, picker=picker: picker.within(box), bands)
        plain = spread(lambda x, y, boxes=boxes: naive_point(boxes, x, y), points)
        plain_band = spread(lambda *box, boxes=boxes: naive_band(boxes, *box), bands)
        found = [picker.at(x, y, REACH, inside=True).total for x, y in points]
        figures[name] = {
            "boxes": len(boxes),
            "at_a_point_median": int(np.median(found)),
            "first_question_ms": round(first, 2),
            "everything_at_a_point": lists,
            "hover": hover,
            "zoomed_out": spread(lambda x, y, picker=picker: picker.at(x, y, FAR, inside=True), points[:40]),
            "rubber_band": band,
            "strided_point": plain,
            "strided_band": plain_band,
            "point_of_strided": round(lists["median_ms"] / plain["median_ms"], 2),
            "band_of_strided": round(band["median_ms"] / plain_band["median_ms"], 2),
        }
    report("picking", figures)


if __name__ == "__main__":
    main()
