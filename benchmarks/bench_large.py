"""Large images in the window, offscreen, each in a fresh process: seconds, memory and the gaps of the event loop.

``python benchmarks/bench_large.py [side] [kind ...]``: square files of 20,000 px a side are made one after another
in a temporary folder, which takes 2.4 GB there and 8 GB of memory. The picture is shown, then zoomed to the original
pixels until it is sharp, then a small image is shown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import report

_PLAIN_TIFF = 1
_KINDS = {
    "rgb.jpg": (np.uint8, 3),
    "grey.jpg": (np.uint8, 1),
    "rgb.png": (np.uint8, 3),
    "grey16.png": (np.uint16, 1),
    "rgb16.png": (np.uint16, 3),
    "rgb.tiff": (np.uint8, 3),
    "grey16.tiff": (np.uint16, 1),
    "plain16.tiff": (np.uint16, 3),
}


def make(path: Path, side: int) -> None:
    """A photo of the samples, enlarged and repeated, with a little noise."""
    from rpnviz.imaging import cv2, read_image
    from rpnviz.paths import sample_images

    dtype, channels = _KINDS[path.name]
    photo = cv2.resize(read_image(sample_images() / "astronaut.jpg"), (side // 10, side // 10))
    noise = np.random.default_rng(0).integers(-2, 3, photo.shape)
    photo = np.clip(photo.astype(int) + noise, 0, 255).astype(dtype)
    tile = photo if channels == 3 else photo[..., 1]
    pixels = np.tile(tile * (257 if dtype is np.uint16 else 1), (10, 10, 1)[: tile.ndim])
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if path.suffix == ".png" else []
    if path.name.startswith("plain"):
        options = [cv2.IMWRITE_TIFF_COMPRESSION, _PLAIN_TIFF]
    cv2.imwrite(str(path), pixels, options)


def _memory(field: str) -> int:
    """MB, of this process; ``VmHWM``: the most since it began, ``VmRSS``: now."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith(field))


def child(path: Path, small: Path) -> None:
    """Run in a fresh process; prints JSON."""
    from PySide6.QtCore import QTimer

    from rpnviz.ui.application import make_application, make_window

    application = make_application()
    window = make_window()
    window.resize(1280, 800)
    window.show()
    window.state.open_paths([small])
    gaps: list[float] = []
    last = [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        gaps.append((now - last[0]) * 1000 - 5)
        last[0] = now

    timer = QTimer(interval=5, timeout=tick)

    def wait(condition) -> float:
        begin = time.perf_counter()
        while not condition():
            if time.perf_counter() - begin > 300:
                raise TimeoutError
            application.processEvents()
            time.sleep(0.001)
        return round(time.perf_counter() - begin, 2)

    def worst() -> float:
        found = max(gaps, default=0.0)
        gaps.clear()
        return round(found, 1)

    state, canvas = window.state, window.canvas
    painted: list[bool] = []
    canvas.painted.connect(lambda: painted.append(state.record is not None and state.record.file_name == path.name))
    wait(lambda: state.settled)
    end = time.perf_counter() + 3  # what the first start warms up
    wait(lambda: time.perf_counter() > end)
    figures = {"before_mb": _memory("VmHWM")}
    timer.start()
    last[0] = time.perf_counter()
    state.open_paths([path])
    figures["painted_s"] = wait(lambda: any(painted))
    wait(lambda: state.settled and state.record.file_name == path.name)
    figures |= {"peak_mb": _memory("VmHWM"), "then_mb": _memory("VmRSS"), "gap_ms": worst()}
    canvas.look_at(1.0, 5000.0, 5000.0)
    photo = getattr(state, "photo", None)
    figures["sharp_s"] = wait(lambda: state.settled and (photo is None or photo.reduction == 1))
    application.processEvents()
    figures |= {"sharp_peak_mb": _memory("VmHWM"), "sharp_then_mb": _memory("VmRSS"), "sharp_gap_ms": worst()}
    for scale in (0.9, 0.6, 0.4, 0.3, 0.24, 0.1):
        canvas.zoom_to(scale)
        application.processEvents()
    canvas.fit()
    application.processEvents()
    figures["zoom_gap_ms"] = worst()
    photo = None
    state.open_paths([small])
    wait(lambda: state.settled and state.record.file_name == small.name)
    end = time.perf_counter() + 0.5
    wait(lambda: time.perf_counter() > end)
    figures |= {"left_gap_ms": worst(), "left_mb": _memory("VmRSS")}
    timer.stop()
    window.close()
    print(json.dumps(figures))


def main(side: int, kinds: list[str]) -> None:
    from rpnviz.paths import sample_images

    figures = {}
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": home, "XDG_CONFIG_HOME": home}
        for kind in kinds or list(_KINDS):
            path = Path(home) / kind
            make(path, side)
            own = [sys.executable, __file__, "child", str(path), str(sample_images() / "coins.png")]
            done = subprocess.run(own, env=env, capture_output=True, text=True, check=False)
            found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr[-300:]
            figures[kind] = {"file_mb": path.stat().st_size // 10**6, "figures": found}
            path.unlink()
    report("large", {"side": side, **figures})


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, sys.argv[2:])
