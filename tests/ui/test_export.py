"""Export picture… from the window: the same picture as the command line makes."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialogButtonBox
from support import open_image, settled

from rpnviz import cli
from rpnviz.export.picture import Stage
from rpnviz.imaging import read_image
from rpnviz.palette import Theme
from rpnviz.paths import sample_images
from rpnviz.ui.dialogs.export import ExportDialog, Snapshot


def open_dialog(window, qtbot) -> ExportDialog:
    qtbot.keyClick(window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChild(ExportDialog)
    assert dialog is not None
    return dialog


def choose(combo, value):
    combo.setCurrentIndex(combo.findData(value))


@pytest.mark.parametrize("stage", [Stage.GT, Stage.LABELS, Stage.ANCHORS])
def test_the_window_and_the_command_line_write_the_same_pixels(window, qtbot, tmp_path, stage):
    open_image(window, qtbot, "coins.png")
    dialog = open_dialog(window, qtbot)
    choose(dialog.stage, stage)
    choose(dialog.theme, Theme.LIGHT)
    dialog.save(tmp_path / "window.png")
    words = ["render", str(sample_images() / "coins.png"), "--annotations", str(sample_images() / "instances.json")]
    words += ["--stage", stage.value, "--theme", "light", "--out", str(tmp_path / "cli.png")]
    assert cli.main(words) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "window.png"), read_image(tmp_path / "cli.png"))
    assert any("window.png" in message.title for message in window.banner.messages)


def test_changed_parameters_are_in_the_picture(window, qtbot, tmp_path):
    open_image(window, qtbot, "coins.png")
    dialog = open_dialog(window, qtbot)
    before = dialog._picture.copy()
    dialog.reject()
    window.state.update("match", fg_iou_thresh=0.5)
    qtbot.waitUntil(lambda: settled(window))
    after = Snapshot.of(window.state).picture(Stage.LABELS, window.settings.theme)
    assert after.shape != before.shape or (after != before).any()


def test_proposals_are_offered_once_there_are_some(window, qtbot, tmp_path):
    dialog = open_dialog(window, qtbot)
    assert dialog.stage.findData(Stage.KEPT) == -1
    dialog.reject()
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    window.do_export_picture()
    dialog = next(d for d in window.findChildren(ExportDialog) if d.isVisible())
    assert Stage(dialog.stage.currentData()) is Stage.KEPT
    dialog.save(tmp_path / "kept.png")
    assert (tmp_path / "kept.png").is_file()


def test_a_folder_that_is_not_there_is_told_and_the_dialog_stays(window, qtbot, tmp_path):
    dialog = open_dialog(window, qtbot)
    dialog.save(tmp_path / "no" / "such" / "picture.png")
    assert dialog.isVisible()
    assert "picture.png" in window.banner.messages[-1].detail
    qtbot.mouseClick(dialog.buttons.button(QDialogButtonBox.StandardButton.Cancel), Qt.MouseButton.LeftButton)
    assert not dialog.isVisible()
