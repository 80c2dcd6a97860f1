"""Captures in the window: the sentence, what explains a difference, losses on the canvas, steps, and logs."""

from __future__ import annotations

import math
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from support import settled

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from made_capture import made_step, recorder, small, write_capture

from rpnviz.app.case import case_bytes
from rpnviz.app.session import save_session, session_of
from rpnviz.core import presets
from rpnviz.core.presets import Preset
from rpnviz.core.replay import compare_image
from rpnviz.drawing.options import ColourBy
from rpnviz.errors import SessionError
from rpnviz.ui.dialogs.check_log import CheckLogDialog


def replayed(window) -> bool:
    """Whether the step is replayed under the present parameters and nothing runs."""
    replaying = window.replaying
    return settled(window) and replaying.found is not None and not replaying.busy


@pytest.fixture
def opened(empty_window, qtbot, tmp_path):
    """Opens captured steps under the parameters of :func:`small`, some of them changed."""
    window = empty_window

    def do(steps=1, preset=None, folder="captures", **match):
        write_capture(tmp_path / folder, steps)
        window.state.take_preset(small(**match) if preset is None else preset, "small anchors")
        window.open_paths([tmp_path / folder])
        qtbot.waitUntil(lambda: replayed(window), timeout=60000)
        return window

    return do


def click_row(qtbot, table, row):
    place = table.visualRect(table.model().index(row, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_a_capture_comes_with_its_replay_in_front(opened):
    window = opened()
    assert window.below.currentWidget() is window.replay
    assert window.replay.verdict.text().startswith("Trainer ")
    assert window.replay.verdict.text().endswith(", 0 differ.")
    assert window.replay.heading.text() == "Step 0, image 0 of 2 · torchvision"
    assert window.replay.tabs[0].text() == "Differ 0"
    assert not window.replay.buttons
    frame = window.state.shown.training.frame
    assert (frame.scale, frame.input_size) == ((1.0, 1.0), (96, 128))
    drawn = made_step()["sampled_positive"][0]
    assert window.state.shown.training.sample.positive.tolist() == drawn.tolist()


def test_a_capture_brings_its_trainer_and_undo_takes_it_back(empty_window, qtbot, tmp_path):
    window, state = empty_window, empty_window.state
    told = []
    state.told.connect(told.append)
    recorder(tmp_path, framework="detectron2").step(**made_step(presets.load("detectron2")))
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: replayed(window) and state.preset.name == "detectron2", timeout=60000)
    assert window.replay.verdict.text().endswith(", 0 differ.")
    assert [message.title for message in told] == ["detectron2, the trainer of the capture"]
    assert state.undo_label == "detectron2, the trainer of the capture"
    window.do_undo()
    qtbot.waitUntil(lambda: replayed(window) and state.preset.name == "torchvision", timeout=60000)
    # What was set then is what one finds again.
    state.open_samples()
    qtbot.waitUntil(lambda: state.dataset.name == "Samples" and settled(window), timeout=20000)
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: replayed(window), timeout=60000)
    assert state.preset.name == "torchvision"


def test_controls_and_replay_take_turns_and_other_data_sets_have_no_replay(opened, qtbot):
    window = opened()
    qtbot.mouseClick(window.controls_tab, Qt.MouseButton.LeftButton)
    assert window.below.currentWidget() is window.controls
    qtbot.mouseClick(window.replay_tab, Qt.MouseButton.LeftButton)
    assert window.below.currentWidget() is window.replay
    window.state.open_samples()
    qtbot.waitUntil(lambda: window.state.dataset.name == "Samples" and settled(window), timeout=20000)
    assert window.below.currentWidget() is window.controls
    assert not window.replay_tab.isVisible()
    assert window.replaying.step is None


def test_a_difference_is_listed_explained_and_taken_over(opened, qtbot):
    window = opened(fg_iou_thresh=0.5)
    panel, state = window.replay, window.state
    count = len(window.replaying.here.labels_differ)
    assert count > 0
    assert panel.tabs[0].text() == f"Differ {count}"
    assert panel.differ.rowCount() == count
    click_row(qtbot, panel.differ_table, 1)
    assert state.selection.anchor == int(window.replaying.here.labels_differ[1])
    explanation, button = panel.buttons[0]
    assert explanation.text.startswith("match.fg_iou_thresh: 0.5 here, 0.7 at the trainer (or any above 0.")
    panel.ensureWidgetVisible(button)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: replayed(window) and state.params.match.fg_iou_thresh == 0.7, timeout=60000)
    assert panel.verdict.text().endswith(", 0 differ.")
    assert state.undo_label == "as the trainer: match.fg_iou_thresh"
    window.do_undo()
    qtbot.waitUntil(lambda: replayed(window) and state.params.match.fg_iou_thresh == 0.5, timeout=60000)
    assert panel.buttons


def test_a_mini_batch_of_another_size_is_explained_and_the_losses_follow(empty_window, qtbot, tmp_path):
    window, state = empty_window, empty_window.state
    there = small("detectron2")
    there = Preset(there.name, there.params.with_values("sample", batch_size_per_image=64), there.conventions)
    recorder(tmp_path, framework="detectron2").step(**made_step(there))
    state.take_preset(small("detectron2"), "small anchors")
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: replayed(window), timeout=60000)
    panel, before = window.replay, window.replaying.losses.objectness
    assert "drawn where" in panel.verdict.text()
    (explanation, button), *more = panel.buttons
    assert explanation.text == "sample.batch_size_per_image: 256 here, 64 at the trainer"
    assert not more
    panel.ensureWidgetVisible(button)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: replayed(window) and not panel.buttons, timeout=60000)
    assert panel.verdict.text().endswith(", 0 differ.")
    assert window.replaying.losses.objectness == pytest.approx(4 * before)


def test_a_capture_that_tells_nothing_to_compare_says_so(empty_window, qtbot, tmp_path):
    window = empty_window
    told = []
    window.state.told.connect(told.append)
    given = {name: value for name, value in made_step().items() if name in ("images", "losses", "boxes", "sizes")}
    recorder(tmp_path, framework="my-trainer").step(**given)
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: replayed(window), timeout=60000)
    panel = window.replay
    assert panel.verdict.text().startswith("No label is compared: ")
    assert panel.note.text() == "Nothing of this image can be compared."
    assert panel.heading.text().endswith("my-trainer, whose rules are not known: torchvision's apply")
    assert "no rules are known for its framework 'my-trainer'" in told[0].detail


def test_losses_are_listed_selected_and_drawn(opened, qtbot):
    window = opened()
    panel, state = window.replay, window.state
    qtbot.mouseClick(panel.tabs[1], Qt.MouseButton.LeftButton)
    losses = window.replaying.image_losses
    assert panel.loss_rows.rowCount() == len(losses.anchor)
    assert panel.loss_rows.keys[0] == int(losses.anchor[losses.total.argmax()])
    panel.ensureWidgetVisible(panel.best)
    qtbot.mouseClick(panel.best, Qt.MouseButton.LeftButton)
    assert panel.loss_rows.keys[0] == int(losses.anchor[losses.total.argmin()])
    click_row(qtbot, panel.loss_table, 0)
    assert state.selection.anchor == panel.loss_rows.keys[0]
    panel.ensureWidgetVisible(panel.on_canvas)
    qtbot.mouseClick(panel.on_canvas, Qt.MouseButton.LeftButton)
    assert state.layers.colour_by is ColourBy.LOSS
    assert state.layers.only.sampled
    assert any("mean" in text for text in legend_texts(window))
    qtbot.mouseClick(panel.on_canvas, Qt.MouseButton.LeftButton)
    assert state.layers.colour_by is ColourBy.LABEL
    assert not state.layers.only.sampled


def legend_texts(window):
    layout = window.legend._scale
    widgets = [layout.itemAt(number).widget() for number in range(layout.count())]
    return [widget.text() for widget in widgets if widget is not None]


def test_the_legend_of_losses_is_whole_in_a_small_window(opened, qtbot):
    window = opened()
    window.resize(1000, 700)
    window.replaying.show_losses(True)
    qtbot.waitUntil(lambda: settled(window) and any("mean" in text for text in legend_texts(window)), timeout=20000)
    layout = window.legend._scale
    widgets = [layout.itemAt(number).widget() for number in range(layout.count())]
    texts = [widget for widget in widgets if widget is not None and widget.text()]
    assert len(texts) == 5

    def whole(text):
        return text.visibleRegion().boundingRect().width() >= text.fontMetrics().horizontalAdvance(text.text())

    qtbot.waitUntil(lambda: all(whole(text) for text in texts), timeout=5000)


def test_the_colours_of_losses_do_not_outlive_the_capture(opened, qtbot):
    window = opened()
    window.replaying.show_losses(True)
    window.state.open_samples()
    qtbot.waitUntil(lambda: window.state.dataset.name == "Samples" and settled(window), timeout=20000)
    assert window.state.layers.colour_by is ColourBy.LABEL


def test_steps_are_a_list_and_those_not_finite_are_marked(empty_window, qtbot, tmp_path):
    window = empty_window
    writer = recorder(tmp_path)
    writer.step(**made_step())
    deltas = made_step()["deltas"]
    deltas[0][3, 1] = np.nan
    writer.step(**made_step() | {"deltas": deltas, "losses": {"loss_rpn_box_reg": math.nan}})
    window.state.take_preset(small(), "small anchors")
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: replayed(window), timeout=60000)
    panel = window.replay
    assert panel.cause.text() == ""
    qtbot.mouseClick(panel.tabs[2], Qt.MouseButton.LeftButton)
    assert [row[:2] for row in panel.step_rows.rows] == [("0", "0.8"), ("1", "not finite")]
    click_row(qtbot, panel.step_table, 1)
    qtbot.waitUntil(lambda: window.state.index == 2 and replayed(window), timeout=60000)
    assert window.state.record.file_name == "! step 1 · image 0"
    assert panel.cause.text().startswith("Not finite: loss_rpn_box_reg is NaN: 1 of 720 deltas of image 0")
    assert "was finite" in panel.cause.text()


def test_other_anchors_cannot_be_selected_on_the_canvas(opened, qtbot, monkeypatch):
    threads = []

    def watched(*arguments):
        threads.append(threading.current_thread())
        return compare_image(*arguments)

    monkeypatch.setattr("rpnviz.app.replaying.compare_image", watched)
    window = opened(preset=presets.load("torchvision"))
    panel = window.replay
    assert threads
    assert threading.main_thread() not in threads, "recorded anchors are labelled anew, which takes long"
    assert "compared on the trainer's" in panel.verdict.text()
    assert "not those on the canvas" in panel.note.text()
    panel.differ_table.activated.emit(panel.differ.index(0, 0))
    assert window.state.selection.anchor is None


def test_a_capture_is_dropped_on_the_window(empty_window, qtbot, tmp_path):
    (path,) = write_capture(tmp_path)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(QPoint(400, 300)), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier(0)
    )
    empty_window.dropEvent(event)
    qtbot.waitUntil(lambda: replayed(empty_window), timeout=60000)
    assert empty_window.state.record.file_name == "step 0 · image 0"


def test_a_capture_that_is_damaged_while_it_is_shown_says_so(opened, qtbot, tmp_path):
    window = opened(2)
    told = []
    window.state.told.connect(told.append)
    path = tmp_path / "captures" / "step_00000001.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["image0.labels"] = np.zeros(3, np.int8)
    np.savez_compressed(path, **arrays)
    window.state.show_image(2)
    qtbot.waitUntil(lambda: bool(told) and window.replaying.failure != "", timeout=20000)
    assert window.replay.verdict.text() == "This step cannot be replayed"
    assert "expected" in window.replay.cause.text()


def test_a_log_beside_the_data_set(window, qtbot, tmp_path):
    window.do_check_log()
    dialog = window.findChild(CheckLogDialog)
    qtbot.waitUntil(lambda: dialog.counts is not None, timeout=60000)
    assert dialog.words.text().startswith("Samples gives ")
    QGuiApplication.clipboard().setText("num_pos_anchors: 1.5\nnum_pos_anchors: 2.5\n" * 20)
    qtbot.mouseClick(dialog.paste_button, Qt.MouseButton.LeftButton)
    assert dialog.verdict is not None
    assert dialog.words.text().startswith(
        "The log's 2.0 positives per image, mean of 40 logged numbers, lie below the "
    )
    assert len(dialog.chart.labels) == 40
    QGuiApplication.clipboard().setText("nothing")
    qtbot.mouseClick(dialog.paste_button, Qt.MouseButton.LeftButton)
    assert "logs no finite number" in dialog.words.text()
    assert dialog.log.positives == (1.5, 2.5) * 20
    before = dialog.verdict.band
    dialog.batch.setValue(8)
    assert dialog.verdict.band.high < before.high
    dialog.close()


def test_a_capture_written_anew_is_another_image_to_a_model(opened, qtbot, tmp_path):
    window = opened()
    before = window.state.models._image[2]
    path = tmp_path / "captures" / "step_00000000.npz"
    recorder(tmp_path / "captures").step(**made_step(seed=9))
    stamp = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(stamp, stamp))
    loaded = window.state.loaded
    window.do_reload()
    qtbot.waitUntil(lambda: window.state.loaded is not loaded and replayed(window), timeout=60000)
    assert not np.array_equal(window.state.loaded.pixels, loaded.pixels)
    assert window.state.models._image[2] != before


def test_a_captured_image_is_shared_as_its_file(opened, qtbot, tmp_path):
    window = opened()
    snapshot = window._snapshot("share")
    with pytest.raises(SessionError, match=r"Share the file step_00000000\.npz itself"):
        case_bytes(snapshot, session_of(window.state, None), None, ())


def test_a_session_of_a_capture_opens_it_again(opened, qtbot, tmp_path):
    window = opened(2)
    window.state.show_image(3)
    qtbot.waitUntil(lambda: window.state.index == 3 and replayed(window), timeout=60000)
    place = tmp_path / "session.rpnviz.json"
    save_session(session_of(window.state, None), place)
    window.state.open_samples()
    qtbot.waitUntil(lambda: window.state.dataset.name == "Samples" and settled(window), timeout=20000)
    window.open_paths([place])
    qtbot.waitUntil(lambda: window.state.record.file_name == "step 1 · image 1" and replayed(window), timeout=60000)
    assert window.replay.verdict.text().endswith(", 0 differ.")
