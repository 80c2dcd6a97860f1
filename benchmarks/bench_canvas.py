"""The canvas against QPainter.drawRects of the same boxes: densities, threshold drags, pan and zoom, memory; offscreen.

Every child process shows a synthetic photo with 12 boxes at its own size (no resizing), torchvision's preset, in a
canvas of 1600 x 1000: 1024 x 1024 gives 261,888 anchors. Ratios are taken within one process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import random_ground_truth, report

CANVAS = (1600, 1000)
SIZES = {"1024x1024": (1024, 1024), "800x1344": (800, 1344), "2048x2048": (2048, 2048)}


def _timed(function: Callable[[], object], repeat: int) -> float:
    """Median ms, after two calls that do not count."""
    times = []
    for _ in range(repeat + 2):
        begin = time.perf_counter()
        function()
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times[2:])


def child(height: int, width: int) -> None:
    """Measure one size of image in this process; prints JSON."""
    from PySide6.QtCore import QEventLoop, QPointF, QRectF, QTimer
    from PySide6.QtGui import QColor, QImage, QPainter, QPen
    from shiboken6 import wrapInstance

    from rpnviz.drawing.density import density_of, draw_density
    from rpnviz.drawing.options import LAYERS, LayerKey, World
    from rpnviz.drawing.population import Population, anchor_population
    from rpnviz.drawing.viewport import device_boxes
    from rpnviz.imaging import cv2, write_png
    from rpnviz.ui.application import make_application, make_window

    folder = Path(tempfile.mkdtemp())
    rng = np.random.default_rng(0)
    write_png(folder / "photo.png", cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), np.uint8), (31, 31), 0))
    boxes = random_ground_truth(12, min(height, width))
    annotations = [
        {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for i, (x1, y1, x2, y2) in enumerate(boxes.tolist())
    ]
    image = {"id": 1, "file_name": "photo.png", "width": width, "height": height}
    document = {"images": [image], "categories": [{"id": 1, "name": "thing"}], "annotations": annotations}
    (folder / "instances.json").write_text(json.dumps(document))
    application = make_application()
    window = make_window()
    ticks = QTimer()
    ticks.start(50)

    def wait(condition: Callable[[], bool]) -> None:
        end = time.time() + 120
        while not condition():
            if time.time() > end:
                raise TimeoutError
            application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    state, canvas = window.state, window.canvas
    canvas.setFixedSize(*CANVAS)
    window.show()
    state.open_paths([folder], folder / "instances.json")
    wait(lambda: state.settled)
    state.update("resize", mode="none")
    wait(lambda: state.settled)

    def pause(seconds: float) -> None:
        end = time.time() + seconds
        wait(lambda: time.time() > end)

    pause(3)  # the compiled loops are loaded beside
    result = state.result
    figures: dict[str, object] = {"anchors": len(result.anchors)}
    population = anchor_population(result.anchors, result.frame)
    arbitrary = Population(population.boxes, population.frame)
    colour = (118, 126, 137)

    def painter_ms(chosen: np.ndarray, view, repeat: int = 3, alpha: int = 255, of: Population = population) -> float:
        """QPainter's drawRects of boxes, 1 px, culled to the view, on an image of the size of the canvas."""
        device = device_boxes(of.original(chosen), view)
        seen = (device[:, 2] >= 0) & (device[:, 3] >= 0) & (device[:, 0] < view.width) & (device[:, 1] < view.height)
        device = device[seen]
        rects = np.column_stack([device[:, :2], device[:, 2:] - device[:, :2]]).astype(np.float64)
        picture = QImage(view.width, view.height, QImage.Format.Format_RGB32)

        def draw() -> None:
            painter = QPainter(picture)
            painter.setPen(QPen(QColor(*colour, alpha), 0))
            painter.drawRects(wrapInstance(rects.ctypes.data, QRectF), len(rects))
            painter.end()

        return _timed(draw, repeat)

    def density_ms(of: Population, view) -> float:
        """Counting and blending, nothing remembered."""
        frame = canvas.compose()

        def draw() -> None:
            rows = of.every_row.copy()
            density = density_of(of, rows, view)
            draw_density(frame, density, colour)

        return _timed(draw, 7)

    from rpnviz.drawing import density as density_module

    for name, zoom in (("fit", 1.0), ("4x", 4.0)):
        canvas.fit()
        if zoom != 1.0:
            canvas.zoom_to(canvas.zoom * zoom)
        view = canvas._camera.viewport(1.0)
        painter = painter_ms(population.every_row, view)

        def forgetting() -> None:
            density_module._memory.product = None

        forgetting()
        frame = canvas.compose()

        def lattice(view=view, frame=frame) -> None:
            density_module._memory.product = None
            found = density_of(population, population.every_row.copy(), view)
            draw_density(frame, found, colour)

        lattice_ms = _timed(lattice, 9)
        arbitrary_ms = density_ms(arbitrary, view)
        figures[name] = {
            "painter_ms": round(painter, 1),
            "lattice_ms": round(lattice_ms, 2),
            "arbitrary_ms": round(arbitrary_ms, 2),
            "lattice_times_faster": round(painter / lattice_ms, 1),
            "arbitrary_times_faster": round(painter / arbitrary_ms, 1),
        }
    canvas.fit()
    view = canvas._camera.viewport(1.0)
    six_thousand = Population(random_ground_truth(6000, min(height, width)))
    few_painter = painter_ms(six_thousand.every_row, view, of=six_thousand)
    few = density_ms(six_thousand, view)
    figures["proposals_6000"] = {
        "painter_ms": round(few_painter, 2),
        "density_ms": round(few, 2),
        "times_faster": round(few_painter / few, 1),
    }
    painter = painter_ms(population.every_row, view)
    # Opaque lines hide photo and density alike; what QPainter needs to show the photo through is another matter.
    translucent = painter_ms(population.every_row, view, 1, alpha=30)
    figures["painter_translucent_ms"] = round(translucent, 1)

    painted: list[float] = []
    canvas.painted.connect(lambda: painted.append(time.perf_counter()))
    slider = window.controls.matching.thresholds.slider

    def drag(moves: int = 80) -> dict[str, float]:
        """From a slider's event to the painted picture, and to an idle program; ms."""
        shown, settled = [], []
        for step in range(moves):
            count, begin = len(painted), time.perf_counter()
            slider.setValue((0.3, 0.5 + 0.4 * ((step * 7) % moves) / moves))
            wait(lambda count=count: state.settled and len(painted) > count)
            shown.append((painted[count] - begin) * 1000)
            settled.append((time.perf_counter() - begin) * 1000)
        median = statistics.median(shown)
        return {
            "median_ms": round(median, 2),
            "p95_ms": round(sorted(shown)[round(0.95 * moves) - 1], 2),
            "panels_too_ms": round(statistics.median(settled), 2),
            "times_faster_than_painter": round(painter / median, 1),
            "times_faster_than_translucent_painter": round(translucent / median, 1),
        }

    every = frozenset(spec.key for spec in LAYERS[World.TRAINING])
    labels = frozenset({LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED, LayerKey.NEUTRAL})
    figures["drag_as_first_shown"] = drag()
    state._change_layers(visible=labels, everything=True)
    figures["drag_everything_shown"] = drag()
    state._change_layers(visible=every, everything=False)
    figures["drag_six_states"] = drag()
    state._change_layers(visible=labels, everything=True)
    pause(0.5)

    def hand(move: Callable[[int], None], steps: int = 40) -> dict[str, float]:
        """From a pan or zoom to the frame that shows it."""
        times = []
        for step in range(steps):
            count, begin = len(painted), time.perf_counter()
            move(step)
            wait(lambda count=count: len(painted) > count)
            times.append((painted[count] - begin) * 1000)
        return {"median_ms": round(statistics.median(times), 2), "worst_ms": round(max(times), 2)}

    figures["zoom"] = hand(lambda step: canvas.zoom_to(canvas.zoom * (1.1 if step % 40 < 20 else 1 / 1.1)))
    canvas.zoom_to(canvas.zoom * 2)
    pause(0.5)
    figures["pan"] = hand(lambda step: canvas.pan_by(QPointF(7, 3) if step % 20 < 10 else QPointF(-7, -3)))
    pause(0.5)
    figures["full_frame_after_it_ms"] = round(_timed(lambda: (setattr(canvas, "_base", None), canvas.compose()), 7), 2)
    window.close()
    print(json.dumps(figures))


def memory_child() -> None:
    """What the canvas's own arrays take at 1600 x 1000 and 261,888 anchors, everything shown; prints JSON."""
    import gc

    from rpnviz.core import pipeline, presets
    from rpnviz.drawing import compiled
    from rpnviz.drawing.frame import Compositor, Photo
    from rpnviz.drawing.options import LAYERS, LayerOptions, World
    from rpnviz.drawing.scene import make_layers
    from rpnviz.drawing.viewport import Viewport
    from rpnviz.palette import Theme

    preset = presets.load("torchvision")
    compiled.warm_up()
    photo = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3)).astype(np.uint8)
    inputs = pipeline.Inputs((1024, 1024), random_ground_truth(12, 1024))
    params = preset.params.with_values("resize", mode="none")
    result = pipeline.run(inputs, params, preset.conventions)
    options = LayerOptions(frozenset(spec.key for spec in LAYERS[World.TRAINING]), everything=True)

    def resident() -> float:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    small = Viewport(64, 40, 0.04)
    Compositor().compose(Photo(photo).render(small), make_layers(result, World.TRAINING, options), small, Theme.DARK)
    before = resident()
    view, compositor = Viewport(*CANVAS, 0.94), Compositor()
    base = Photo(photo).render(view)
    for step in range(12):
        result = pipeline.run(
            inputs, params.with_values("match", fg_iou_thresh=0.6 + 0.02 * step), preset.conventions, result
        )
        compositor.compose(base, make_layers(result, World.TRAINING, options), view, Theme.DARK)
    print(json.dumps({"canvas_mb": round(resident() - before, 1)}))


def main() -> None:
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_CONFIG_HOME": home}

        def run(*words: str) -> dict[str, object]:
            done = subprocess.run(
                [sys.executable, __file__, *words], env=env, check=True, capture_output=True, text=True
            )
            return json.loads(done.stdout.splitlines()[-1])

        for name, (height, width) in SIZES.items():
            figures[name] = run("child", str(height), str(width))
        figures.update(run("memory"))
    report("canvas", figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["memory"]:
        memory_child()
    else:
        main()
