"""What only a fresh process shows: scaled screens, and what is loaded when the first image is on the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys, time
from PySide6.QtCore import QEventLoop, QTimer
from rpnviz.ui.application import make_application, make_window

application = make_application()
window = make_window()
window.resize(900, 600)
window.show()
window.state.open_samples()
ticks = QTimer()
ticks.start(20)
end = time.monotonic() + 60
while not window.state.settled and time.monotonic() < end:
    application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
canvas = window.canvas
frame = canvas.compose()
grabbed = canvas.grab()
box = window.state.record.gt.boxes[0]
place = canvas._to_view(float(box[0]), float(box[1]))
print(json.dumps({
    "ratio": canvas.devicePixelRatioF(),
    "widget": [canvas.height(), canvas.width()],
    "frame": list(frame.shape[:2]),
    "grabbed": [grabbed.height(), grabbed.width()],
    "corner": [place.x(), place.y()],
    "view": [canvas._camera.viewport(canvas.devicePixelRatioF()).scale, canvas.zoom],
    "layers": len(canvas.layers),
    "loaded": sorted({"torch", "torchvision", "PySide6.QtSvg"} & set(sys.modules)),
}))
window.close()
"""


def run(scale: str) -> dict:
    env = {**os.environ, "QT_SCALE_FACTOR": scale, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("scale", ["1", "1.5", "2", "3"])
def test_frames_have_the_pixels_of_the_screen(scale):
    seen = run(scale)
    ratio = float(scale)
    assert seen["ratio"] == pytest.approx(ratio)
    for side, pixels, grabbed in zip(seen["widget"], seen["frame"], seen["grabbed"], strict=True):
        assert pixels == pytest.approx(side * ratio, abs=1)
        assert grabbed == pytest.approx(pixels, abs=1)
    assert seen["view"][0] == pytest.approx(seen["view"][1] * ratio)
    assert seen["layers"] > 0
    assert seen["loaded"] == [], "labels are shown without torch"
