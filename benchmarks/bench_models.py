"""The window while a network runs, offscreen, in a fresh process: gaps of the event loop, answers, memory.

A ResNet-50 with FPN and random weights at 800 px on the coins; the sample model on a thousand images. Ratio: another
NMS threshold on five levels of up to 1,000 candidates, slider to painted, against computing the proposals anew.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import report

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))

_TICK_MS = 5
_IMAGES = 1000


def child(home: Path) -> None:
    """Run in a fresh process; prints JSON."""
    from PySide6.QtCore import QEventLoop, QTimer

    from rpnviz.drawing.options import World
    from rpnviz.paths import bundled_model
    from rpnviz.ui.application import make_application, make_window

    application = make_application()
    window = make_window()
    window.resize(1280, 800)
    painted: list[float] = []
    window.canvas.painted.connect(lambda: painted.append(time.perf_counter()))
    window.show()
    state = window.state
    ticks: list[float] = []
    ticker = QTimer()
    ticker.timeout.connect(lambda: ticks.append(time.perf_counter()))
    ticker.start(_TICK_MS)

    def wait(condition) -> float:
        """Run the event loop until something holds; the longest gap between two ticks meanwhile, ms."""
        ticks.clear()
        ticks.append(time.perf_counter())
        end = time.time() + 300
        while not condition():
            application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 3)
            assert time.time() < end
        ticks.append(time.perf_counter())
        return float(np.diff(ticks).max() * 1000)

    figures: dict[str, float] = {}
    state.open_samples()
    wait(lambda: state.settled)
    names = [record.file_name for record in state.dataset.images]
    state.show_image(names.index("coins.png"))
    wait(lambda: state.record.file_name == "coins.png" and state.settled)
    wait(lambda: not state.jobs._all)  # the compiled loops are warm

    # Importing torch and the first run of the sample model.
    state.load_model(None, show=True)
    figures["gap_loading_torch_ms"] = wait(lambda: "torch" in sys.modules and state.models.model is not None)
    figures["gap_sample_playback_ms"] = wait(
        lambda: bool(window.player.gatherings) and None not in window.player.gatherings and state.settled
    )

    # A ResNet-50 at 800 px.
    path = home / "r50.pth"
    begin = time.perf_counter()
    state.load_model(path, {}, show=True)
    figures["gap_opening_r50_ms"] = wait(lambda: state.model is not None and state.model.name == path.name)
    figures["open_r50_s"] = time.perf_counter() - begin
    begin = time.perf_counter()
    gap = wait(lambda: state.result is not None and state.models.preview and not state.computing)
    figures["preview_s"] = time.perf_counter() - begin
    figures["gap_inference_ms"] = max(gap, wait(lambda: not state.models.preview and state.settled))
    figures["whole_s"] = time.perf_counter() - begin
    state.show_image(names.index("coffee.jpg"))
    figures["gap_inference_ms"] = max(
        figures["gap_inference_ms"], wait(lambda: state.record.file_name == "coffee.jpg" and state.settled)
    )
    begin = time.perf_counter()
    state.show_image(names.index("coins.png"))
    wait(lambda: state.record.file_name == "coins.png" and state.settled)
    figures["back_to_it_s"] = time.perf_counter() - begin
    figures["peak_r50_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    # Another NMS threshold.
    state.update("proposals", pre_nms_top_n={"train": 1000, "test": 1000}, score_thresh=0.0)
    wait(lambda: state.settled)
    result = state.result
    figures["candidates"] = len(result.proposals.candidates.boxes)
    ticker.stop()
    slider = window.controls.proposals.nms.spin
    moves, settled = [], []
    for step in range(40):
        count, begin = len(painted), time.perf_counter()
        slider.setValue(round(0.3 + 0.6 * ((step * 7) % 40) / 40, 3))
        while not (state.settled and len(painted) > count):
            application.processEvents()
        moves.append((painted[count] - begin) * 1000)
        settled.append((time.perf_counter() - begin) * 1000)
    figures["nms_slider_to_painted_ms"] = statistics.median(moves)
    figures["nms_slider_to_painted_p95_ms"] = sorted(moves)[round(0.95 * len(moves)) - 1]
    figures["nms_slider_to_all_panels_ms"] = statistics.median(settled)
    from rpnviz.core import pipeline

    whole = []
    for _ in range(5):
        begin = time.perf_counter()
        pipeline.run(result.inputs, result.params, result.conventions)
        whole.append((time.perf_counter() - begin) * 1000)
    figures["computed_anew_ms"] = statistics.median(whole)

    # A thousand images.
    state.load_model(bundled_model(), show=True)
    state.open_paths([home / "images"])
    while len(state.dataset.images) != _IMAGES or not state.settled:
        application.processEvents()
    assert state.world is World.MODEL
    sizes = {}
    for number in range(_IMAGES):
        state.show_image(number)
        while state.index != number or not state.settled or state.result is None:
            application.processEvents()
        if number + 1 in (100, 500, _IMAGES):
            sizes[number + 1] = _resident_mb()
    figures |= {f"resident_after_{count}_images_mb": size for count, size in sizes.items()}
    window.close()
    print(json.dumps(figures))


def _resident_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


def main() -> None:
    import torch
    from made_states import torchvision_state

    from rpnviz.imaging import cv2
    from tools.scenes import make_scene

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        state = torchvision_state((3, 4, 6, 3), width=64, pyramid=256)
        torch.save({key: torch.from_numpy(value) for key, value in state.items()}, home / "r50.pth")
        (home / "images").mkdir()
        scenes = [make_scene(seed).image for seed in range(20)]
        for number in range(_IMAGES):
            cv2.imwrite(str(home / "images" / f"{number:04}.png"), np.roll(scenes[number % 20], number, axis=1))
        env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": name}
        env |= {f"XDG_{kind}_HOME": name for kind in ("CONFIG", "CACHE", "DATA")}
        done = subprocess.run([sys.executable, __file__, name], env=env, capture_output=True, text=True, timeout=900)
        if done.returncode:
            sys.exit(done.stderr)
        figures = json.loads(done.stdout.splitlines()[-1])
    figures = {key: round(value, 1 if key.endswith(("_ms", "_mb")) else 2) for key, value in figures.items()}
    figures["nms_slider_of_anew"] = round(figures["nms_slider_to_painted_ms"] / figures["computed_anew_ms"], 3)
    report("models", figures)


if __name__ == "__main__":
    child(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
