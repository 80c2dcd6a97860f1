"""Export picture… from the window: the same pictures as the command line makes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import shiboken6
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QLabel
from support import open_image, settled

from rpnviz import cli
from rpnviz.app.snapshot import Snapshot
from rpnviz.app.viewing import Selection
from rpnviz.errors import ExportError
from rpnviz.export.look import Look, Stage
from rpnviz.export.picture import render_picture
from rpnviz.export.save import Format
from rpnviz.imaging import read_image
from rpnviz.palette import Theme
from rpnviz.paths import sample_images
from rpnviz.ui.dialogs import export as exports
from rpnviz.ui.dialogs.export import SCREEN, ExportDialog


def open_dialog(window, qtbot) -> ExportDialog:
    window.actions_by_id["export_picture"].trigger()
    dialog = next(d for d in window.findChildren(ExportDialog) if d.isVisible())
    return dialog


def choose(combo, value):
    combo.setCurrentIndex(combo.findData(value))


def finished(dialog, qtbot):
    qtbot.waitUntil(lambda: not shiboken6.isValid(dialog) or dialog._job is None, timeout=60000)


def save(dialog, qtbot, path):
    dialog.save(path)
    finished(dialog, qtbot)


@pytest.mark.parametrize("stage", [Stage.GT, Stage.LABELS, Stage.ANCHORS])
def test_the_window_and_the_command_line_write_the_same_pixels(window, qtbot, tmp_path, stage):
    open_image(window, qtbot, "coins.png")
    dialog = open_dialog(window, qtbot)
    choose(dialog.stage, stage)
    choose(dialog.theme, Theme.LIGHT)
    dialog.scale.setValue(1.5)
    save(dialog, qtbot, tmp_path / "window.png")
    words = ["render", str(sample_images() / "coins.png"), "--annotations", str(sample_images() / "instances.json")]
    words += ["--stage", stage.value, "--theme", "light", "--scale", "1.5", "--out", str(tmp_path / "cli.png")]
    assert cli.main(words) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "window.png"), read_image(tmp_path / "cli.png"))
    assert any("window.png" in message.title for message in window.banner.messages)


@pytest.mark.parametrize("kind", [Format.SVG, Format.PDF])
def test_vector_files_are_those_of_the_command_line(window, qtbot, tmp_path, kind):
    open_image(window, qtbot, "coins.png")
    dialog = open_dialog(window, qtbot)
    choose(dialog.stage, Stage.LABELS)
    choose(dialog.format, kind)
    save(dialog, qtbot, tmp_path / f"window.{kind}")
    words = ["render", str(sample_images() / "coins.png"), "--annotations", str(sample_images() / "instances.json")]
    assert cli.main([*words, "--out", str(tmp_path / f"cli.{kind}")]) == 0

    def content(name):
        data = (tmp_path / f"{name}.{kind}").read_bytes()
        # Qt writes the time and a number of its own into every file.
        return re.sub(
            rb"D:\d+Z|\d{4}-\d\d-\d\dT[\d:+Z-]+|uuid:[\w-]+|<[0-9A-Fa-f]{32}>|/ID.*?\]", b"", data, flags=re.S
        )

    assert content("window") == content("cli")


def test_a_key_opens_the_dialog(window, qtbot):
    qtbot.keyClick(window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChild(ExportDialog)
    assert dialog.isVisible()
    dialog.reject()


def test_changed_parameters_are_in_the_picture(window, qtbot, tmp_path):
    open_image(window, qtbot, "coins.png")
    dialog = open_dialog(window, qtbot)
    before = dialog._picture.copy()
    dialog.reject()
    window.state.update("match", fg_iou_thresh=0.5)
    qtbot.waitUntil(lambda: settled(window))
    after = Snapshot.of(window.state, window.settings.theme).picture()
    assert after.shape != before.shape or (after != before).any()


def test_as_on_the_screen_follows_the_layers_the_selection_and_the_view(window, qtbot):
    open_image(window, qtbot, "coins.png")
    window.do_toggle_everything()
    window.state.select(Selection(gt=3))
    window.dim.setValue(10)
    window.canvas.zoom_to(4, QPointF(50, 50))
    dialog = open_dialog(window, qtbot)
    assert dialog.stage.currentData() == SCREEN
    assert dialog.look().layers == window.state.layers
    assert dialog.look().layers.selected_gt == 3
    assert dialog.look().dim == pytest.approx(0.1)
    assert dialog.look().crop is None
    dialog.area.setCurrentIndex(1)
    assert dialog.look().crop == window.canvas.visible_region()
    dialog.all.setChecked(True)
    assert dialog.look().crop is None
    assert dialog.look().layers.selected_gt is None
    dialog.reject()


def test_the_canvas_tells_what_is_in_view(window, qtbot):
    open_image(window, qtbot, "coins.png")
    window.canvas.fit()
    assert window.canvas.visible_region() is None
    window.canvas.zoom_to(8)
    x1, y1, x2, y2 = window.canvas.visible_region()
    assert (x2 - x1) * 8 == pytest.approx(window.canvas.width(), abs=1)
    assert (y2 - y1) * 8 == pytest.approx(window.canvas.height(), abs=1)
    assert 0 <= x1 < x2 <= 384
    assert 0 <= y1 < y2 <= 303


def test_the_size_and_what_is_possible_follow_the_choices(window, qtbot):
    open_image(window, qtbot, "coins.png")
    dialog = open_dialog(window, qtbot)
    assert dialog.size_note.text().startswith("560 x ")
    assert not dialog.area.isEnabled()
    assert not dialog.dense_vectors.isEnabled()
    assert not dialog.folder.isVisible()
    choose(dialog.background, True)
    assert dialog.size_note.text() == "384 x 303 px"
    assert not dialog.strip.isEnabled()
    assert dialog._picture.shape[2] == 4
    choose(dialog.format, Format.PDF)
    choose(dialog.stage, Stage.ANCHORS)
    dialog.dense_vectors.setChecked(True)
    assert dialog.size_note.text().endswith("pt")
    assert "204,648 boxes" in dialog.warning.text()
    dialog.all.setChecked(True)
    assert dialog.folder.isVisible()
    assert "astronaut_anchors.pdf" in dialog.example.text()
    dialog.pattern.setText("{what}")
    assert "{what}" in dialog.example.text()
    dialog.reject()


def test_every_control_has_a_name_and_a_key_of_its_own(window, qtbot):
    dialog = open_dialog(window, qtbot)
    dialog.all.setChecked(True)
    texts = [
        part.text() for kind in (QAbstractButton, QLabel) for part in dialog.findChildren(kind) if part.isVisible()
    ]
    keys = [found[1].lower() for text in texts if (found := re.search(r"&(\w)", text))]
    assert len(keys) == len(set(keys)), sorted(keys)
    labelled = {label.buddy() for label in dialog.findChildren(QLabel)}
    for name in ("stage", "area", "background", "dim", "theme", "format", "scale", "folder", "pattern"):
        assert getattr(dialog, name) in labelled, name
    dialog.reject()


def test_proposals_are_offered_once_there_are_some(window, qtbot, tmp_path):
    dialog = open_dialog(window, qtbot)
    assert dialog.stage.findData(Stage.KEPT) == -1
    dialog.reject()
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    dialog = open_dialog(window, qtbot)
    assert dialog.look().stage is Stage.KEPT
    choose(dialog.stage, Stage.KEPT)
    save(dialog, qtbot, tmp_path / "kept.png")
    assert (tmp_path / "kept.png").is_file()


def test_a_folder_that_is_not_there_is_told_and_the_dialog_stays(window, qtbot, tmp_path):
    dialog = open_dialog(window, qtbot)
    save(dialog, qtbot, tmp_path / "no" / "such" / "picture.png")
    assert dialog.isVisible()
    assert "picture.png" in window.banner.messages[-1].detail
    assert "picture.png" in dialog.warning.text()
    qtbot.mouseClick(dialog.cancel_button, Qt.MouseButton.LeftButton)
    assert not dialog.isVisible()


# ---------------------------------------------------------------------- all images


def all_images(window, qtbot, folder, kind=Format.PNG) -> ExportDialog:
    dialog = open_dialog(window, qtbot)
    choose(dialog.stage, Stage.LABELS)
    choose(dialog.format, kind)
    dialog.all.setChecked(True)
    dialog.folder.setText(str(folder))
    return dialog


def test_all_images_are_written_as_the_command_line_writes_them(window, qtbot, tmp_path):
    dialog = all_images(window, qtbot, tmp_path / "new")
    dialog.pattern.setText("{index}_{stem}")
    total = len(window.state.dataset.images)
    qtbot.mouseClick(dialog.save_button, Qt.MouseButton.LeftButton)
    finished(dialog, qtbot)
    assert not any(found.isVisible() for found in window.findChildren(ExportDialog))
    assert len(list((tmp_path / "new").iterdir())) == total
    out = str(tmp_path / "cli" / "{index}_{stem}.png")
    assert cli.main(["render", str(sample_images() / "instances.json"), "--out", out]) == 0
    for path in sorted((tmp_path / "new").iterdir())[:3]:
        np.testing.assert_array_equal(read_image(path), read_image(tmp_path / "cli" / path.name))
    assert any(f"{total} pictures" in message.title for message in window.banner.messages)


def test_a_stop_leaves_the_finished_files_whole(window, qtbot, tmp_path, monkeypatch):
    dialog = all_images(window, qtbot, tmp_path)
    real = exports.save_picture

    def slow(path, subject, look):
        real(path, subject, look)
        if len(list(tmp_path.iterdir())) == 2:
            dialog._job.cancel()

    monkeypatch.setattr(exports, "save_picture", slow)
    dialog.save_all()
    assert dialog.cancel_button.text() == "Stop"
    assert not dialog.form.isEnabled()
    finished(dialog, qtbot)
    assert dialog.isVisible()
    assert "2 of 12 files" in dialog.warning.text()
    found = list(tmp_path.iterdir())
    assert len(found) == 2
    for path in found:
        assert read_image(path).size
    dialog.reject()
    assert not dialog.isVisible()


def test_escape_stops_first_and_closes_then(window, qtbot, tmp_path):
    dialog = all_images(window, qtbot, tmp_path)
    dialog.save_all()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert dialog.isVisible()
    finished(dialog, qtbot)
    assert "Stopped" in dialog.warning.text()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_an_image_that_fails_is_told_and_the_others_are_written(window, qtbot, tmp_path, monkeypatch):
    dialog = all_images(window, qtbot, tmp_path)
    real = exports.make_subject

    def failing(record, *given):
        if record.file_name == "coins.png":
            raise ExportError("is damaged.", where=record.file_name)
        return real(record, *given)

    monkeypatch.setattr(exports, "make_subject", failing)
    dialog.save_all()
    finished(dialog, qtbot)
    assert len(list(tmp_path.iterdir())) == len(window.state.dataset.images) - 1
    message = window.banner.messages[-1]
    assert "1 of 12 images" in message.title
    assert "coins.png: is damaged." in message.detail


def test_files_are_replaced_only_when_asked_twice(window, qtbot, tmp_path):
    (tmp_path / "coins_labels.png").write_bytes(b"old")
    dialog = all_images(window, qtbot, tmp_path)
    dialog.save_all()
    assert dialog._job is None
    assert "1 file is there already" in dialog.warning.text()
    assert (tmp_path / "coins_labels.png").read_bytes() == b"old"
    dialog.save_all()
    finished(dialog, qtbot)
    assert read_image(tmp_path / "coins_labels.png").size


@pytest.mark.parametrize(("pattern", "says"), [("same", "overwrite"), ("{what}", "{what}")])
def test_names_that_cannot_be_are_told_and_nothing_is_written(window, qtbot, tmp_path, pattern, says):
    dialog = all_images(window, qtbot, tmp_path)
    dialog.pattern.setText(pattern)
    dialog.save_all()
    finished(dialog, qtbot)
    assert dialog.isVisible()
    assert says in dialog.warning.text()
    assert list(tmp_path.iterdir()) == []
    dialog.reject()


# ---------------------------------------------------------------------- copy


@pytest.mark.parametrize("by_key", [True, False])
def test_the_picture_is_copied_as_on_the_screen(window, qtbot, by_key):
    open_image(window, qtbot, "coins.png")
    QGuiApplication.clipboard().clear()
    if by_key:
        window.canvas.setFocus()
        qtbot.keyClick(window.canvas, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    else:
        window.actions_by_id["copy_picture"].trigger()
    image = QGuiApplication.clipboard().image()
    snapshot = Snapshot.of(window.state, window.settings.theme)
    look = Look(layers=window.state.layers, scale=window.canvas.image_zoom, ratio=1.0)
    expected = render_picture(snapshot.subject(look), look)
    assert (image.height(), image.width()) == expected.shape[:2]
    colour = image.pixelColor(280, 100)
    assert (colour.red(), colour.green(), colour.blue()) == tuple(expected[100, 280].tolist())
    assert image.width() > 560, "as large as on the screen, not as in the file"
    assert "Copied" in window.banner.messages[-1].title


def test_nothing_is_copied_before_there_is_an_image(empty_window):
    empty_window.do_copy_picture()
    assert "Nothing to copy" in empty_window.banner.messages[-1].title
