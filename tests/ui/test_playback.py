"""A training played back in the window: the sample model's, folders of checkpoints, and what interrupts it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFileDialog
from support import open_image, settled

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from made_states import torchvision_state

from rpnviz.app.viewing import Selection
from rpnviz.drawing.options import World
from rpnviz.paths import bundled_playback


def measured(window):
    return bool(window.player.gatherings) and None not in window.player.gatherings and settled(window)


@pytest.fixture
def played(window, qtbot):
    """The coins under the sample model, all steps measured."""
    open_image(window, qtbot, "coins.png")
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and measured(window), timeout=60000)
    return window


def test_the_sample_model_answers_the_question_by_being_looked_at(played):
    assert played.playback.isVisible()
    assert played.playback.text.text() == "step 6,000  (7 of 7)"
    found = played.player.gatherings
    assert len(found) == 7
    # The population stays where it is, the best go to the objects.
    assert found[-1].spread == pytest.approx(found[0].spread, rel=0.02)
    assert found[-1].best_spread == pytest.approx(found[-1].gt_spread, rel=0.05)
    assert (found[0].found, found[-1].found) == (6, 24)
    assert "do not end up in one place" in played.controls.curves.words.text()
    spoken = played.controls.curves.spread.accessibleDescription()
    assert spoken == "step 6,000: all 101 px, best 300 90 px, objects 91 px"


def test_keys_go_through_the_steps(played, qtbot):
    boxes = {}
    for key, step in ((Qt.Key.Key_J, 5), (Qt.Key.Key_J, 4), (Qt.Key.Key_L, 5)):
        qtbot.keyClick(played, key)
        qtbot.waitUntil(lambda: settled(played))
        assert played.player.step == step
        boxes.setdefault(step, played.state.result.proposals.boxes)
    assert not np.array_equal(boxes[5], boxes[4])
    assert np.array_equal(boxes[5], played.state.result.proposals.boxes)
    assert played.playback.text.text() == "step 2,000  (6 of 7)"


def test_play_begins_anew_shows_every_step_and_stops_at_the_end(played, qtbot):
    played.player._timer.setInterval(5)
    seen = []
    played.state.models.answered.connect(lambda: seen.append(played.player.step))
    qtbot.keyClick(played, Qt.Key.Key_K)
    assert played.player.playing
    assert played.playback.play.text() == "Pause"
    qtbot.waitUntil(lambda: not played.player.playing, timeout=20000)
    assert seen == list(range(7))
    assert played.playback.play.text() == "Play"


def test_slider_and_chart_go_to_a_step(played, qtbot):
    played.playback.slider.setValue(2)
    qtbot.waitUntil(lambda: settled(played))
    assert played.player.step == 2
    chart = played.controls.curves.spread
    where = chart.point(4, 0).toPoint()
    qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=QPoint(where.x() + 3, 60))
    assert played.player.step == 4
    assert played.playback.slider.value() == 4


def test_the_selected_anchor_is_followed_through_the_steps(played, qtbot):
    anchor = int(played.state.result.proposals.anchor_index[0])
    played.state.select(Selection(anchor=anchor))
    played.player.go(1)
    qtbot.waitUntil(lambda: settled(played))
    assert played.state.selection.anchor == anchor


def test_another_image_and_other_thresholds_are_measured_anew(played, qtbot):
    first = list(played.player.gatherings)
    played.state.update("proposals", post_nms_top_n={"train": 2000, "test": 5})
    qtbot.waitUntil(lambda: played.player.gatherings[-1].found <= 5 and measured(played), timeout=20000)
    assert played.player.gatherings[-1].spread == first[-1].spread
    open_image(played, qtbot, "empty.png")
    qtbot.waitUntil(lambda: measured(played) and played.player.gatherings[0].trained == 0, timeout=20000)
    assert "lie on an object" not in played.controls.curves.words.text()


def test_a_folder_of_checkpoints_is_opened_from_the_menu_and_by_dropping_it(window, qtbot, tmp_path, monkeypatch):
    for name in ("step-0200.safetensors", "step-6000.safetensors"):
        shutil.copy(bundled_playback() / name, tmp_path)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    window.do_open_training()
    qtbot.waitUntil(lambda: len(window.player.labels) == 2 and measured(window), timeout=60000)
    assert window.player.labels == ("step 200", "step 6,000")
    assert window.state.world is World.MODEL
    window.state.load_model(bundled_playback() / "step-0500.safetensors")
    qtbot.waitUntil(lambda: window.player.labels == () and settled(window), timeout=20000)
    assert not window.playback.isVisible()
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: len(window.player.labels) == 2 and measured(window), timeout=20000)


def test_there_is_nothing_to_play_in_the_training_world(played, qtbot):
    played.player._timer.setInterval(5)
    played.do_play()
    played.do_training_world()
    qtbot.waitUntil(lambda: not played.player.playing)
    assert not played.playback.isVisible()
    qtbot.keyClick(played, Qt.Key.Key_L)
    assert "No training to play back here" in played.banner.text.text()


def test_a_cancelled_measurement_leaves_a_gap_and_goes_on_when_asked(window, qtbot):
    window.do_model_world()
    qtbot.waitUntil(lambda: any("Measuring" in job.title for job in window.state.jobs.running), timeout=60000)
    window._cancel_jobs()
    qtbot.waitUntil(lambda: settled(window), timeout=20000)
    window.player.step_by(-1)
    qtbot.waitUntil(lambda: measured(window), timeout=20000)


def test_closing_while_it_plays_is_clean(played):
    played.do_play()
    played.close()


def test_a_step_that_cannot_be_opened_is_told_and_the_others_work(window, qtbot, tmp_path):
    for name in ("step-0000.safetensors", "step-0050.safetensors", "step-6000.safetensors"):
        shutil.copy(bundled_playback() / name, tmp_path)
    window.state.load_model(tmp_path, show=True)
    qtbot.waitUntil(lambda: len(window.player.labels) == 3 and measured(window), timeout=60000)
    open_image(window, qtbot, "coffee.jpg")
    qtbot.waitUntil(lambda: measured(window), timeout=20000)
    (tmp_path / "step-0050.safetensors").unlink()
    open_image(window, qtbot, "coins.png")
    qtbot.waitUntil(lambda: settled(window) and "step 50" in window.banner.text.text(), timeout=20000)
    window.player.go(0)
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.result.proposals is not None


def test_a_step_that_fails_shows_nothing_of_another_step(window, qtbot, tmp_path):
    for step in (100, 200, 300):
        state = torchvision_state(seed=step)
        if step == 200:
            state.pop("backbone.body.layer1.0.conv2.weight")
        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / f"model_{step}.pth")
    open_image(window, qtbot, "coins.png")
    window.state.load_model(tmp_path, {}, show=True)
    slot = window.state.models
    qtbot.waitUntil(lambda: slot.playback is not None and slot.outputs is not None and settled(window), timeout=60000)
    slot.show_step(0)
    qtbot.waitUntil(lambda: slot.outputs.source.startswith("model_100") and settled(window), timeout=60000)
    slot.show_step(1)
    qtbot.waitUntil(lambda: bool(slot.problem) and settled(window), timeout=60000)
    assert slot.outputs is None
    assert window.state.result is None
    assert "failed on this image. Press Ctrl+R" in window.selection.verdict.text()
    qtbot.waitUntil(lambda: window.player.failed == {1} and window.player.gatherings.count(None) == 1, timeout=60000)
    assert "Not measured: step 200." in window.controls.curves.words.text()
    told = window.banner.text.text()
    window.state.update("proposals", nms_thresh=0.5)
    qtbot.waitUntil(lambda: window.player.gatherings.count(None) == 1 and settled(window), timeout=60000)
    assert window.banner.text.text() == told, "it is told once"
