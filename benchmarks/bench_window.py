"""Start-up and the way from a slider to the painted picture, offscreen, in fresh processes.

Ratios: start-up against the import of PySide6.QtWidgets alone; a threshold move against painting the photo alone.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from common import report

_RUNS = 5
_BASELINE = "import PySide6.QtWidgets as q; a = q.QApplication([]); w = q.QWidget(); w.show(); a.processEvents()"


def child() -> None:
    """Run in a fresh process: open the samples, go to the Model world, move the slider; prints JSON."""
    started = float(os.environ["BENCH_STARTED"])
    from rpnviz.ui.application import make_application, make_window

    application = make_application()
    window = make_window()
    window.resize(1280, 800)
    painted: list[float] = []
    window.canvas.painted.connect(lambda: painted.append(time.time()))
    window.show()
    window.state.open_samples()

    def wait(condition) -> None:
        end = time.time() + 120
        while not condition():
            if time.time() > end:
                raise TimeoutError
            application.processEvents()

    wait(lambda: bool(painted))
    figures = {"first_paint_s": painted[0] - started}
    wait(lambda: window.state.settled)
    count = len(painted)
    wait(lambda: len(painted) > count or window.canvas.layers)
    application.processEvents()
    figures["samples_with_labels_s"] = time.time() - started
    assert "torch" not in sys.modules
    names = [record.file_name for record in window.state.dataset.images]
    window.state.show_image(names.index("shapes_1024.png"))
    wait(lambda: window.state.record.file_name == "shapes_1024.png" and window.state.settled)
    slider = window.controls.matching.thresholds.slider
    moves = []
    for step in range(60):
        count, begin = len(painted), time.perf_counter()
        slider.setValue((0.3, 0.45 + 0.5 * ((step * 7) % 60) / 60))
        wait(lambda count=count: window.state.settled and len(painted) > count)
        moves.append((time.perf_counter() - begin) * 1000)
    figures["anchors"] = len(window.state.shown.training.anchors)
    figures["slider_to_painted_ms"] = statistics.median(moves)
    figures["slider_to_painted_p95_ms"] = sorted(moves)[round(0.95 * len(moves)) - 1]
    photo = []
    for _ in range(20):
        window.canvas._base = None
        begin = time.perf_counter()
        window.canvas.layers = ()
        window.canvas.compose()
        photo.append((time.perf_counter() - begin) * 1000)
    figures["photo_alone_ms"] = statistics.median(photo)
    begin = time.time()
    window.do_model_world()
    wait(lambda: window.state.result is not None and window.state.settled)
    application.processEvents()
    figures["model_world_s"] = time.time() - begin
    window.close()
    print(json.dumps(figures))


def main() -> None:
    runs, baseline = [], []
    for _ in range(_RUNS):
        with tempfile.TemporaryDirectory() as home:
            env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": home, "XDG_CONFIG_HOME": home}
            begin = time.time()
            subprocess.run([sys.executable, "-c", _BASELINE], env=env, check=True, capture_output=True)
            baseline.append(time.time() - begin)
            env["BENCH_STARTED"] = str(time.time())
            done = subprocess.run(
                [sys.executable, __file__, "child"], env=env, check=True, capture_output=True, text=True
            )
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    figures = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    figures["bare_qt_window_s"] = round(statistics.median(baseline), 3)
    figures["first_paint_of_bare_qt"] = round(figures["first_paint_s"] / figures["bare_qt_window_s"], 2)
    figures["slider_of_photo_alone"] = round(figures["slider_to_painted_ms"] / figures["photo_alone_ms"], 2)
    report("window", {"runs": _RUNS, **figures})


if __name__ == "__main__":
    child() if sys.argv[1:] == ["child"] else main()
