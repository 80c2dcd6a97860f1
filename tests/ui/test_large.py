"""Large images: shown from a smaller copy, exact in all that counts, sharp for whoever looks closer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import settled
from test_export import choose, open_dialog, save
from test_share import opened, share

from rpnviz import cli, imaging
from rpnviz.drawing.frame import Photo
from rpnviz.drawing.photo import network_input
from rpnviz.export.look import Stage
from rpnviz.imaging import cv2, read_image, write_png

SIZE = 1600, 2400


@pytest.fixture
def path(tmp_path, monkeypatch):
    """3.8 million pixels with four boxes, of which the window first shows every other one."""
    monkeypatch.setattr(imaging, "LARGE", 1_000_000)
    monkeypatch.setattr(imaging, "_COPY", 1_000_000)
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.integers(0, 256, (200, 300, 3), np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    pixels = np.clip(pixels.astype(int) + rng.integers(-20, 20, pixels.shape), 0, 255).astype(np.uint8)
    folder = tmp_path / "data"
    folder.mkdir()
    write_png(folder / "a.png", pixels)
    boxes = [[100, 100, 400, 300], [900, 700, 250, 500], [1500.5, 200.25, 300, 310], [2000, 1400, 90, 60]]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": SIZE[1], "height": SIZE[0]}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{"id": k, "image_id": 1, "category_id": 1, "bbox": box} for k, box in enumerate(boxes, 1)],
    }
    (folder / "a.json").write_text(json.dumps(document))
    return folder / "a.png"


@pytest.fixture
def shown(empty_window, path, qtbot):
    """The window on that image."""
    window = empty_window
    window.open_paths([path.with_suffix(".json")])
    qtbot.waitUntil(lambda: window.state.record is not None and settled(window), timeout=60000)
    return window


def sharp(window, qtbot):
    qtbot.waitUntil(lambda: settled(window) and window.state.photo.reduction == 1, timeout=30000)


def without_reduction(monkeypatch):
    monkeypatch.setattr(imaging, "LARGE", 10**9)


def test_a_copy_is_shown_and_said_until_one_looks_closer(shown, path, qtbot):
    state, canvas = shown.state, shown.canvas
    assert state.photo.reduction == 2
    assert state.loaded.pixels.shape == (800, 1200, 3)
    assert state.loaded.size == state.shown.training.frame.image_size == SIZE
    assert "2400 x 1600 px (shown at 1/2)" in shown.sizes.text()
    assert "until you zoom in" in shown.sizes.toolTip()
    titles = []
    state.jobs.started.connect(lambda job: titles.append(job.title))
    canvas.zoom_to(0.49)
    assert not titles
    canvas.look_at(2.0, 1000.0, 800.0)
    canvas.zoom_to(2.5)
    sharp(shown, qtbot)
    assert titles == ["Reading a.png in full"]
    assert "2400 x 1600 px ›" in shown.sizes.text()
    assert "copy" not in shown.sizes.toolTip()
    canvas.compose()
    view = canvas._camera.content_viewport(canvas.devicePixelRatioF())
    expected = Photo(read_image(path)).render(view, canvas.dim, canvas.saturation)
    np.testing.assert_array_equal(canvas._base, expected)


def test_labels_are_those_of_the_original(shown, path, qtbot, monkeypatch):
    training = shown.state.shown.training
    without_reduction(monkeypatch)
    shown.state.reload()
    qtbot.waitUntil(lambda: shown.state.photo.reduction == 1 and settled(shown), timeout=60000)
    again = shown.state.shown.training
    assert again is not training
    assert again.frame == training.frame
    np.testing.assert_array_equal(again.gt.boxes, training.gt.boxes)
    np.testing.assert_array_equal(again.match.state, training.match.state)


def test_cancelled_reading_leaves_the_copy_and_is_asked_for_again(shown, qtbot):
    state, canvas = shown.state, shown.canvas
    canvas.zoom_to(2.0)
    (job,) = state.jobs.running
    job.cancel()
    qtbot.waitUntil(lambda: settled(shown))
    assert state.photo.reduction == 2
    canvas.zoom_to(3.0)
    assert not state.jobs.running  # who cancelled is not asked at every step of the wheel
    canvas.fit()
    canvas.zoom_to(2.0)
    sharp(shown, qtbot)


def test_a_file_that_is_gone_is_told(shown, path, qtbot):
    path.unlink()
    shown.canvas.zoom_to(2.0)
    qtbot.waitUntil(lambda: settled(shown))
    assert "Could not read a.png in full" in shown.banner.text.text()
    assert shown.state.photo.reduction == 2


def test_another_image_ends_the_reading(shown, qtbot):
    shown.canvas.zoom_to(2.0)
    shown.state.open_samples()
    qtbot.waitUntil(lambda: shown.state.record.file_name != "a.png" and settled(shown), timeout=60000)
    assert shown.state._reading_whole is None


def test_the_network_input_is_that_of_the_original(shown, path, qtbot):
    shown.state.set_input_frame(True)
    sharp(shown, qtbot)
    frame = shown.state.result.frame
    np.testing.assert_array_equal(shown.canvas._photo.pixels, network_input(read_image(path), frame))


def test_a_model_is_given_the_original(shown, path, qtbot):
    shown.do_model_world()
    qtbot.waitUntil(lambda: shown.state.result is not None and settled(shown), timeout=60000)
    found = shown.state.models.outputs
    expected = shown.state.model.propose(read_image(path))
    for level, other in zip(found.levels, expected.levels, strict=True):
        np.testing.assert_array_equal(level.objectness, other.objectness)
        np.testing.assert_array_equal(level.deltas, other.deltas)
    assert shown.state.photo.reduction == 2  # nobody has looked closer


def test_exports_are_of_the_original(shown, path, qtbot, monkeypatch, tmp_path):
    dialog = open_dialog(shown, qtbot)
    choose(dialog.stage, Stage.LABELS)
    assert shown.state.photo.reduction == 2  # the preview needs no more
    save(dialog, qtbot, tmp_path / "window.png")
    assert shown.state.photo.reduction == 1
    assert "shown at" not in shown.sizes.text()
    without_reduction(monkeypatch)
    words = ["render", str(path), "--annotations", str(path.with_suffix(".json")), "--out", str(tmp_path / "cli.png")]
    assert cli.main(words) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "window.png"), read_image(tmp_path / "cli.png"))


def test_a_shared_part_is_cut_out_of_the_original(shown, path, qtbot, monkeypatch, tmp_path):
    shown.canvas.look_at(0.45, 1000.0, 800.0)
    x1, y1, _, _ = shown.canvas.visible_region()
    assert shown.state.photo.reduction == 2
    share(shown, qtbot, tmp_path / "part.zip", monkeypatch, part=True)
    without_reduction(monkeypatch)
    fresh = opened(qtbot, tmp_path / "part.zip")
    height, width = fresh.state.loaded.size
    left, top = int(np.floor(x1)), int(np.floor(y1))
    part = read_image(path)[top : top + height, left : left + width]
    np.testing.assert_array_equal(fresh.state.loaded.pixels, part)
    fresh.close()
