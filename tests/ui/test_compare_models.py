"""Two models side by side, driven by real events."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from support import open_image

from rpnviz.app.viewing import Selection
from rpnviz.drawing.options import LayerKey
from rpnviz.paths import bundled_playback


@pytest.fixture
def comparing(window, qtbot):
    """The coins under the sample model's last step and its first one."""
    open_image(window, qtbot, "coins.png")
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and window.state.settled, timeout=60000)
    qtbot.mouseClick(window.compare_button, Qt.MouseButton.LeftButton)
    found = window.comparing_models
    qtbot.waitExposed(found)
    wait(found, qtbot)
    return found


def wait(comparing, qtbot):
    qtbot.waitUntil(lambda: comparing.comparison.settled and comparing._state.settled, timeout=60000)


def choose(comparing, qtbot, text):
    row = comparing.choice.findText(text)
    assert row >= 0, text
    comparing.choice.setCurrentIndex(row)
    comparing.choice.activated.emit(row)
    wait(comparing, qtbot)


def test_the_trained_model_finds_what_the_untrained_one_does_not(comparing, window):
    assert comparing.verdict.text() == "Left finds 24 of 24 objects, right 15 (IoU 0.5)"
    assert comparing.choice.currentText() == "Sample model, step 0"
    assert comparing.name_a.text() == "Sample model, step 6,000"
    assert len(comparing.boxes.rows) == 24
    assert comparing.fields.rows[0][1:3] == ("16,380", "16,380")
    a, b = comparing.comparison.a.result, comparing.comparison.b.result
    assert a is window.state.result
    assert not np.array_equal(a.proposals.boxes, b.proposals.boxes)


def test_another_step_is_chosen_from_the_list(comparing, qtbot):
    first = comparing.comparison.b.result
    choose(comparing, qtbot, "Sample model, step 6,000")
    assert comparing.verdict.text() == "Left finds 24 of 24 objects, right 24 (IoU 0.5)"
    assert comparing.boxes.rows == []
    a, b = comparing.comparison.a.result, comparing.comparison.b.result
    assert np.array_equal(a.proposals.boxes, b.proposals.boxes)
    choose(comparing, qtbot, "Sample model, step 0")
    assert np.array_equal(comparing.comparison.b.result.proposals.boxes, first.proposals.boxes)


def test_a_row_selects_in_both_and_in_the_window(comparing, window, qtbot):
    table = comparing.box_table
    where = table.visualRect(table.model().index(2, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    gt = comparing.boxes.keys[2]
    assert comparing.comparison.a.selection.gt == comparing.comparison.b.selection.gt == gt
    assert window.state.selection.gt == gt
    comparing.canvases[0].zoom_to(3.0)
    assert comparing.canvases[1].zoom == pytest.approx(comparing.canvases[0].zoom)


def test_an_anchor_is_the_same_in_both(comparing):
    anchor = int(comparing.comparison.a.result.proposals.anchor_index[0])
    comparing.comparison.a.select(Selection(anchor=anchor))
    assert comparing.comparison.b.selection.anchor == anchor


def test_thresholds_and_images_of_the_window_are_followed(comparing, window, qtbot):
    window.state.update("proposals", post_nms_top_n={"train": 5, "test": 5})
    wait(comparing, qtbot)
    assert comparing.fields.rows[-1][1:3] == ("5", "5")
    open_image(window, qtbot, "coffee.jpg")
    wait(comparing, qtbot)
    assert "coffee.jpg" in comparing.windowTitle()
    assert len(comparing.comparison.covers) == 3
    qtbot.keyClick(comparing, Qt.Key.Key_B)
    for side in (comparing.comparison.a, comparing.comparison.b):
        assert LayerKey.CANDIDATES in side.layers.visible


def test_a_file_becomes_a_choice_and_a_broken_one_leaves_what_is_shown(comparing, qtbot, tmp_path, monkeypatch):
    path = tmp_path / "other.safetensors"
    shutil.copy(bundled_playback() / "step-0500.safetensors", path)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"nothing")
    files = iter([path, broken])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(next(files)), ""))
    row = comparing.choice.findText("Model from a file…")
    comparing.choice.activated.emit(row)
    qtbot.waitUntil(lambda: comparing.comparison.slot.playback is None and not comparing.comparison.slot.busy)
    wait(comparing, qtbot)
    chosen = comparing.choice.currentText()
    assert chosen == "Sample model"
    before = comparing.comparison.b.result
    comparing.choice.activated.emit(comparing.choice.findText("Model from a file…"))
    qtbot.waitUntil(lambda: "broken.pth" in comparing.problem.text(), timeout=10000)
    assert comparing.comparison.b.result is before
    assert comparing.choice.currentText() == chosen
    choose(comparing, qtbot, "Sample model, step 50")
    assert not comparing.problem.isVisible()


def test_closing_it_rests_and_opening_it_goes_on(comparing, window, qtbot):
    comparing.close()
    open_image(window, qtbot, "coffee.jpg")
    window.do_compare_models()
    wait(comparing, qtbot)
    assert len(comparing.comparison.covers) == 3


def test_without_a_model_the_sample_model_is_loaded(window, qtbot):
    open_image(window, qtbot, "coins.png")
    window.do_compare_models()
    wait(window.comparing_models, qtbot)
    assert window.comparing_models.verdict.text().startswith("Left finds 24 of 24")


def test_a_one_stage_trainer_has_nothing_to_compare(comparing, window, qtbot):
    window.state.set_preset("keras-retinanet")
    qtbot.waitUntil(lambda: "no region proposals" in comparing.verdict.text(), timeout=10000)
    window.state.set_preset("torchvision")
    wait(comparing, qtbot)
    assert comparing.verdict.text().startswith("Left finds")
