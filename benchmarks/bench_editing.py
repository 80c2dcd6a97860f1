"""A box dragged by hand among 300 others at 1333 x 800, offscreen: from the change to the painted labels.

Ratio: against computing the same change without a window.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from common import report

_BOXES, _MOVES = 300, 60


def write(folder: Path) -> Path:
    """A COCO file of one grey image."""
    from rpnviz.imaging import write_png

    write_png(folder / "a.png", np.full((800, 1333, 3), 90, np.uint8))
    rng = np.random.default_rng(0)
    corners, sides = rng.uniform(0, (1240, 700), (_BOXES, 2)), rng.uniform(15, 90, (_BOXES, 2))
    boxes = np.concatenate([corners, sides], axis=1).tolist()
    annotations = [{"id": n + 1, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes)]
    images = [{"id": 1, "file_name": "a.png", "width": 1333, "height": 800}]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    path = folder / "boxes.json"
    path.write_text(json.dumps(document))
    return path


def main() -> None:
    from rpnviz.app.viewing import Selection
    from rpnviz.core import pipeline
    from rpnviz.ui.application import make_application, make_window

    with tempfile.TemporaryDirectory() as home:
        os.environ |= {f"XDG_{kind}_HOME": home for kind in ("CONFIG", "CACHE", "DATA")}
        application = make_application()
        window = make_window()
        window.resize(1280, 800)
        window.show()
        state = window.state
        painted: list[tuple[float, object]] = []
        window.canvas.painted.connect(lambda: painted.append((time.perf_counter(), state.shown)))

        def until(condition) -> None:
            end = time.time() + 120
            while not condition():
                application.processEvents()
                assert time.time() < end

        window.open_paths([write(Path(home))])
        until(lambda: state.record is not None and state.settled and not state.jobs._all)
        state.select(Selection(gt=5))
        window.editing.set_on(True)
        shown, settled, gaps = [], [], []
        drag = object()
        for step in range(_MOVES):
            before, begin = state.shown, time.perf_counter()
            last = begin
            window.editing.move(5, (100.0 + step, 100.0, 160.0 + step, 170.0), drag)
            gap = 0.0
            while state.boxes_wait or not state.settled:
                application.processEvents()
                gap, last = max(gap, time.perf_counter() - last), time.perf_counter()
            until(lambda before=before: painted and painted[-1][1] is not before)
            shown.append((next(at for at, what in painted if what is not before) - begin) * 1000)
            settled.append((time.perf_counter() - begin) * 1000)
            gaps.append(gap * 1000)
            painted.clear()
        result, alone = state.shown.training, []
        for step in range(20):
            record = window.state.record.with_gt(state.edits.truths[0].with_values(5, box=(9.0 + step, 9, 99, 99)).gt)
            inputs = pipeline.Inputs(result.inputs.image_size, record.gt.boxes, record.gt.labels, record.gt.ignore)
            begin = time.perf_counter()
            result = pipeline.run(inputs, result.params, result.conventions, result)
            alone.append((time.perf_counter() - begin) * 1000)
        state.mark_saved(state.edits)
        window.close()
    figures = {
        "painted_ms": statistics.median(shown),
        "painted_p95_ms": sorted(shown)[round(0.95 * _MOVES) - 1],
        "all_panels_ms": statistics.median(settled),
        "longest_turn_ms": max(gaps),
        "computed_alone_ms": statistics.median(alone),
    }
    figures["painted_of_alone"] = figures["painted_ms"] / figures["computed_alone_ms"]
    report("editing", {key: round(value, 2) for key, value in figures.items()})


if __name__ == "__main__":
    main()
