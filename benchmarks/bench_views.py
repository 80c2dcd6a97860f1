"""Twelve training views of an image with 100 GT: the core alone, and the canvas while they are run in the window.

Ratios: all views against one run of the pipeline; a repaint while views run against one while nothing does.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from common import median_ms, random_ground_truth, report

from rpnviz.core import compiled, pipeline, presets
from rpnviz.core.chances import chances_of, simulate_steps
from rpnviz.core.params import TrainViews
from rpnviz.core.view_fixes import search_view_fixes
from rpnviz.core.views import run_views

SIDES = TrainViews(min_sizes=(775, 780, 785, 790, 795, 800), flip=True)
"""Twelve views of some 800 px, no two short sides the same: nothing is reused but between plain and flipped."""
_BOXES, _SIZE = 100, 1000


def core() -> dict[str, object]:
    compiled.warm_up()
    figures: dict[str, object] = {}
    for name in presets.names():
        preset = presets.load(name)
        inputs = pipeline.Inputs((_SIZE, _SIZE), random_ground_truth(_BOXES, _SIZE))
        params = preset.params.with_views(SIDES)
        result = pipeline.run(inputs, params, preset.conventions)
        one = median_ms(lambda i=inputs, p=params, c=preset.conventions: pipeline.run(i, p, c))
        every = median_ms(lambda i=inputs, p=params, c=preset.conventions: run_views(i, p, c), repeat=7)
        wanted = [gt for gt, rank in enumerate(result.match.ranks) if rank == "forced"][:6]
        searches = []
        for gt in wanted:
            begin = time.perf_counter()
            search_view_fixes(inputs, params, preset.conventions, gt)
            searches.append((time.perf_counter() - begin) * 1000)
        figures[name] = {
            "one_run_ms": round(one, 1),
            "twelve_views_ms": round(every),
            "of_a_run": round(every / one, 1),
            "chances_ms": round(median_ms(lambda r=result: chances_of(r)), 2),
            "hundred_steps_ms": round(median_ms(lambda r=result: simulate_steps(r, 100), repeat=5), 1),
            "fixes_in_views_ms": [round(value) for value in searches],
        }
    return figures


def canvas() -> dict[str, object]:
    """Repaints of the picture, one after the other, with views that run and without."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    import json

    import cv2

    from rpnviz.ui.application import make_application, make_window

    folder = Path(tempfile.mkdtemp())
    cv2.imwrite(str(folder / "image.png"), np.random.default_rng(0).integers(0, 255, (_SIZE, _SIZE, 3), np.uint8))
    boxes = random_ground_truth(_BOXES, _SIZE)
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for n, (x1, y1, x2, y2) in enumerate(boxes.tolist(), 1)
    ]
    image = {"id": 1, "file_name": "image.png", "width": _SIZE, "height": _SIZE}
    document = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "instances.json").write_text(json.dumps(document))
    application = make_application()
    window = make_window()
    window.resize(1280, 800)
    painted: list[float] = []
    window.canvas.painted.connect(lambda: painted.append(time.perf_counter()))
    window.show()
    window.state.open_paths([folder / "instances.json"])

    def wait(condition, seconds: float = 60) -> None:
        end = time.time() + seconds
        while not condition() and time.time() < end:
            application.processEvents()

    wait(lambda: window.state.settled and bool(painted))
    wait(lambda: False, 2)  # everything else in the background is done

    def repaints(going_on) -> list[float]:
        taken, factor = [], 1.02
        begin = time.perf_counter()
        while going_on() or time.perf_counter() - begin < 0.2:
            count, start = len(painted), time.perf_counter()
            window.canvas.zoom_to(window.canvas.zoom * factor)
            factor = 1 / factor
            while len(painted) == count:
                application.processEvents()
            taken.append((time.perf_counter() - start) * 1000)
        return taken

    alone = repaints(lambda: False)
    window.state.set_views(SIDES)
    wait(lambda: window.state.settled)
    wait(lambda: window.views._finding._job is not None)  # no longer waiting for the hand to rest
    begin = time.perf_counter()
    beside = repaints(lambda: window.views.busy)
    figures = {
        "views_until_shown_ms": round((time.perf_counter() - begin) * 1000),
        "repaint_alone_ms": spread(alone),
        "repaint_while_views_run_ms": spread(beside),
    }
    slider = window.controls.matching.thresholds.slider
    for name, views in (("slider_without_views_ms", None), ("slider_with_views_ms", SIDES)):
        window.state.set_views(views)
        wait(lambda: False, 1.5)
        moves = []
        for step in range(60):
            count, start = len(painted), time.perf_counter()
            slider.setValue((0.3, 0.45 + 0.5 * ((step * 7) % 60) / 60))
            wait(lambda count=count: window.state.settled and len(painted) > count)
            moves.append((time.perf_counter() - start) * 1000)
        figures[name] = spread(moves)
    window.close()
    return figures


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and worst, ms."""
    return {
        "median": round(float(np.median(values)), 1),
        "p95": round(float(np.percentile(values, 95)), 1),
        "worst": round(max(values), 1),
        "n": len(values),
    }


if __name__ == "__main__":
    report("views", {"core": core(), "canvas": canvas()})
