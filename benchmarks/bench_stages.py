"""The whole pipeline at 800 x 1333, from ground truth to proposals, timed stage by stage."""

from __future__ import annotations

import time

import numpy as np
from common import random_ground_truth, report

from rpnviz.core import compiled, pipeline, presets
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput

SIZE = (800, 1333)
_RUNS = 9


def recorded_outputs(preset: presets.Preset, result: pipeline.Result) -> RPNOutput:
    """Random logits and deltas in the shapes of the anchors."""
    rng = np.random.default_rng(0)
    levels = tuple(
        LevelOutput(
            rng.normal(-3, 2, (level.cells, *level.grid)).astype(np.float32),
            rng.normal(0, 0.2, (level.cells, 4, *level.grid)).astype(np.float32),
        )
        for level in result.anchors.lattice
    )
    settings = ModelSettings(preset.params.resize, preset.params.anchors, preset.params.coder, preset.conventions)
    return RPNOutput(levels, SIZE, result.frame.input_size, settings, "recorded")


def main() -> None:
    compiled.warm_up()
    figures: dict[str, object] = {}
    for name in ("torchvision", "detectron2", "mmdetection"):
        preset = presets.load(name)
        boxes = random_ground_truth(20, 800)
        plain = pipeline.run(pipeline.Inputs(SIZE, boxes), preset.params, preset.conventions)
        inputs = pipeline.Inputs(SIZE, boxes, outputs=recorded_outputs(preset, plain))
        times: dict[str, list[float]] = {}
        call = pipeline._Stages.__call__

        def timed(self, stage, function, *arguments, call=call, times=times):
            begin = time.perf_counter()
            value = call(self, stage, function, *arguments)
            times.setdefault(stage, []).append((time.perf_counter() - begin) * 1000)
            return value

        pipeline._Stages.__call__ = timed
        try:
            for _ in range(_RUNS):
                pipeline.run(inputs, preset.params, preset.conventions)
        finally:
            pipeline._Stages.__call__ = call
        medians = {stage: round(float(np.median(values)), 2) for stage, values in times.items()}
        total = sum(medians.values())
        slowest = max(medians, key=lambda stage: medians[stage])
        share = round(medians[slowest] / total, 2)
        figures[name] = {"stages_ms": medians, "total_ms": round(total, 1), "slowest": slowest, "its_share": share}
    report("stages", {"anchors": len(plain.anchors), **figures})


if __name__ == "__main__":
    main()
