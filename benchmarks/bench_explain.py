"""Causes, fixes, pairs, traces and differences of the boxes of one image: 1024 x 1024, 261,888 anchors, 100 GT."""

from __future__ import annotations

import time

import numpy as np
from common import median_ms, random_ground_truth, report

from rpnviz.core import compiled, pipeline, presets
from rpnviz.core.diff import compare
from rpnviz.core.explain import explain
from rpnviz.core.fixes import find_fixes, find_pairs
from rpnviz.core.matching import Rank
from rpnviz.core.trace import trace_anchor

PRESETS = ("torchvision", "detectron2", "mmdetection", "matterport")
_PAIRS = 12
"""Boxes for which pairs are looked for as well: they take a second each."""


def spread(values: list[float]) -> dict[str, float]:
    """Median and worst, ms."""
    return {"median_ms": round(float(np.median(values)), 2), "worst_ms": round(max(values), 1)} if values else {}


def timed(function, *arguments) -> tuple[object, float]:
    begin = time.perf_counter()
    value = function(*arguments)
    return value, (time.perf_counter() - begin) * 1000


def main() -> None:
    compiled.warm_up()
    figures: dict[str, object] = {}
    for name in PRESETS:
        preset = presets.load(name)
        params = preset.params.with_values("resize", mode="none")
        inputs = pipeline.Inputs((1024, 1024), random_ground_truth(100, 1024))
        result = pipeline.run(inputs, params, preset.conventions)
        baseline = median_ms(lambda r=result, p=preset: pipeline.run(r.inputs, r.params, p.conventions))
        causes, fixes, pairs, helped = [], [], [], 0
        wanted = [gt for gt, rank in enumerate(result.match.ranks) if rank in (Rank.NONE, Rank.FORCED)]
        for gt in range(100):
            causes.append(timed(explain, result, gt)[1])
        for number, gt in enumerate(wanted):
            search, took = timed(find_fixes, result, gt)
            fixes.append(took)
            helped += bool(search.fixes)
            if number < _PAIRS:
                pairs.append(timed(find_pairs, result, gt, search)[1])
        traces = [timed(trace_anchor, result, int(index))[1] for index in result.match.positives[:50]]
        figures[name] = {
            "anchors": len(result.anchors),
            "one_run_ms": round(baseline, 1),
            "explain": spread(causes),
            "explain_of_a_run": round(float(np.median(causes)) / baseline, 3),
            "fixes": spread(fixes),
            "fixes_of_a_run": round(float(np.median(fixes)) / baseline, 1),
            "boxes": len(wanted),
            "helped_by_one": helped,
            "pairs": spread(pairs),
            "trace_anchor": spread(traces),
        }
    boxes = pipeline.Inputs((1024, 1024), random_ground_truth(100, 1024))
    a, b = presets.load("torchvision"), presets.load("mmdetection")
    figures["diff torchvision mmdetection"] = {"ms": round(timed(compare, boxes, a, b)[1])}
    report("explain", figures)


if __name__ == "__main__":
    main()
