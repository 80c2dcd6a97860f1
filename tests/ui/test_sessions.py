"""Sessions and recent data sets through the window."""

from __future__ import annotations

import json
import shutil

import pytest
from PySide6.QtWidgets import QFileDialog, QMessageBox
from support import open_image, settled

from rpnviz.app.recent import recent_file
from rpnviz.app.viewing import Selection
from rpnviz.drawing.options import Heat, LayerKey, World
from rpnviz.paths import sample_images
from rpnviz.ui.application import make_window


@pytest.fixture
def folder(tmp_path):
    """A data set of its own."""
    place = tmp_path / "set"
    place.mkdir()
    for name in ("coins.png", "coffee.jpg", "rocket.jpg", "instances.json"):
        shutil.copy(sample_images() / name, place / name)
    return place


def is_of(window, folder):
    return window.state.dataset is not None and window.state.dataset.source.is_relative_to(folder)


def open_folder(window, qtbot, folder):
    window.open_paths([folder])
    qtbot.waitUntil(
        lambda: (
            window.state.dataset is not None and window.state.dataset.source.is_relative_to(folder) and settled(window)
        ),
        timeout=20000,
    )


def another(qtbot):
    window = make_window()
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    return window


def test_a_session_comes_back_as_it_was(empty_window, qtbot, folder, tmp_path, monkeypatch):
    window = empty_window
    open_folder(window, qtbot, folder)
    open_image(window, qtbot, "coins.png")
    state = window.state
    state.set_preset("detectron2")
    state.update("match", fg_iou_thresh=0.6)
    qtbot.waitUntil(lambda: settled(window))
    state.set_layer_visible(LayerKey.NEUTRAL, True)
    state.set_heat(Heat.BEST_IOU)
    state.set_filter(level=2)
    state.select(Selection(gt=3, anchor=1000))
    window.canvas.look_at(3.0, 100.0, 80.0)
    path = tmp_path / "my.rpnviz.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    window.do_save_session()
    assert "Saved the session" in window.banner.text.text()
    assert json.loads(path.read_text())["paths"] == ["set"]

    fresh = another(qtbot)
    fresh.open_paths([path])
    qtbot.waitUntil(lambda: fresh.state.record is not None and settled(fresh), timeout=20000)
    qtbot.waitUntil(lambda: fresh.state.selection.anchor == 1000)
    assert fresh.state.record.file_name == "coins.png"
    assert (fresh.state.preset.name, fresh.state.params) == (state.preset.name, state.params)
    assert fresh.state.layers == state.layers
    assert fresh.state.selection == state.selection
    assert fresh.canvas.place == pytest.approx((3.0, 100.0, 80.0))
    fresh.close()


def test_boxes_that_were_changed_by_hand_come_back(empty_window, qtbot, folder, tmp_path, monkeypatch):
    window, state = empty_window, empty_window.state
    open_folder(window, qtbot, folder)
    open_image(window, qtbot, "coins.png")
    window.editing.set_category("button")
    gt = window.editing.draw((10, 10, 40.5, 50))
    qtbot.waitUntil(lambda: settled(window) and not state.boxes_wait)
    wanted = state.record.gt
    path = tmp_path / "my.rpnviz.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    assert state.unsaved
    window.do_save_session()
    assert not state.unsaved

    fresh = another(qtbot)
    fresh.open_paths([path])
    qtbot.waitUntil(lambda: fresh.state.record is not None and settled(fresh), timeout=20000)
    record = fresh.state.record
    assert record.gt.boxes.tolist() == wanted.boxes.tolist()
    assert fresh.state.gt_names[gt] == "button"
    assert fresh.state.selection == Selection(gt=gt)
    assert len(fresh.state.shown.training.match.ranks) == len(wanted)
    assert not fresh.state.unsaved
    fresh.state.undo()
    qtbot.waitUntil(lambda: settled(fresh) and not fresh.state.boxes_wait)
    assert len(fresh.state.record.gt) == len(wanted) - 1
    fresh.close()

    document = json.loads((folder / "instances.json").read_text())
    document["annotations"] = document["annotations"][:3]
    (folder / "instances.json").write_text(json.dumps(document))
    other = another(qtbot)
    told = []
    other.state.told.connect(lambda message: told.append(message.title))
    other.open_paths([path])
    qtbot.waitUntil(lambda: other.state.record is not None and settled(other), timeout=20000)
    assert "Boxes that were changed by hand are left out" in told
    assert not other.state.edits
    other.close()


def test_the_model_and_its_step_come_back(window, qtbot, tmp_path, monkeypatch):
    open_image(window, qtbot, "coins.png")
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    window.state.models.show_step(2)
    qtbot.waitUntil(lambda: settled(window), timeout=60000)
    path = tmp_path / "m.rpnviz.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    window.do_save_session()
    fresh = another(qtbot)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    fresh.do_open_session()
    qtbot.waitUntil(lambda: fresh.state.models.step == 2 and fresh.state.result is not None, timeout=60000)
    qtbot.waitUntil(lambda: settled(fresh), timeout=60000)
    assert fresh.state.world is World.MODEL
    assert fresh.state.record.file_name == "coins.png"
    assert fresh.state.params == window.state.params
    fresh.close()


def test_files_that_moved_are_asked_for(empty_window, qtbot, folder, tmp_path, monkeypatch):
    window = empty_window
    open_folder(window, qtbot, folder)
    path = tmp_path / "s.rpnviz.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    window.do_save_session()
    moved = tmp_path / "elsewhere" / "set"
    moved.parent.mkdir()
    folder.rename(moved)
    fresh = another(qtbot)
    fresh.open_paths([path])
    (box,) = fresh.findChildren(QMessageBox)
    assert str(folder) in box.informativeText()
    assert fresh.state.record is None
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(moved.parent))
    box.accept()
    qtbot.waitUntil(lambda: fresh.state.record is not None and settled(fresh), timeout=20000)
    assert fresh.state.dataset.source.is_relative_to(moved)
    fresh.close()


def test_a_broken_session_is_one_message_and_changes_nothing(window, qtbot, tmp_path):
    path = tmp_path / "s.rpnviz.json"
    path.write_text('{"kind": "rpnviz session", "gt": "x"}')
    before = window.state.record
    window.open_paths([path])
    assert "Could not open the session" in window.banner.text.text()
    assert window.state.record is before


def test_a_data_set_opens_where_one_was(empty_window, qtbot, folder):
    window = empty_window
    open_folder(window, qtbot, folder)
    open_image(window, qtbot, "rocket.jpg")
    window.state.set_preset("mmdetection")
    window.state.update("match", min_pos_iou=0.2)
    qtbot.waitUntil(lambda: settled(window))
    params = window.state.params
    window.state.open_samples()
    qtbot.waitUntil(lambda: len(window.state.dataset.images) > 3 and settled(window), timeout=20000)
    window.state.set_preset("torchvision")
    window.close()
    assert "rocket.jpg" in recent_file().read_text()

    fresh = another(qtbot)
    (menu,) = [action.menu() for action in fresh.menuBar().actions()[0].menu().actions() if action.menu()]
    (entry, *_rest) = menu.actions()
    title = entry.text()
    assert title.endswith(folder.name)
    entry.trigger()
    qtbot.waitUntil(lambda: fresh.state.record is not None and settled(fresh), timeout=20000)
    assert fresh.state.record.file_name == "rocket.jpg"
    assert (fresh.state.preset.name, fresh.state.params) == ("mmdetection", params)
    assert "parameters of last time" in fresh.banner.text.text()
    fresh.do_undo()
    assert fresh.state.preset.name == "torchvision"
    fresh.recent.forget()
    assert [place.title for place in fresh.recent.places] == [title[3:]]
    fresh.close()


def test_what_the_command_line_asks_for_wins(empty_window, qtbot, folder):
    window = empty_window
    open_folder(window, qtbot, folder)
    window.state.update("match", fg_iou_thresh=0.5)
    qtbot.waitUntil(lambda: settled(window))
    window.recent.open([sample_images() / "coins.png"])
    qtbot.waitUntil(lambda: len(window.state.dataset.images) == 1 and settled(window))
    window.state.reset_params()
    window.recent.open([folder], keep_params=True)
    qtbot.waitUntil(lambda: is_of(window, folder) and settled(window))
    assert window.state.params.match.fg_iou_thresh == 0.7


def test_a_damaged_list_is_no_reason_to_stop(qtbot, private_home, empty_window):
    empty_window.close()
    recent_file().parent.mkdir(parents=True, exist_ok=True)
    recent_file().write_text('[{"paths": 3}]')
    fresh = another(qtbot)
    assert fresh.recent.places == []
    fresh.close()


def test_a_name_without_ending_replaces_no_session_unasked(empty_window, qtbot, folder, tmp_path, monkeypatch):
    window = empty_window
    open_folder(window, qtbot, folder)
    there = tmp_path / "mine.rpnviz.json"
    there.write_text("keep me")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    window.do_save_session()
    assert there.read_text() == "keep me"
    assert "There is a mine.rpnviz.json already" in window.banner.text.text()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "other"), ""))
    window.do_save_session()
    assert (tmp_path / "other.rpnviz.json").exists()
