"""A trainer's configuration in the window: opened, dropped, undone, and copied for a trainer."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QDialogButtonBox, QFileDialog, QMenu
from support import settled

from rpnviz.configs.exporting import export_config
from rpnviz.core import presets
from rpnviz.core.presets import Preset
from rpnviz.ui.dialogs.copy_for_trainer import CopyForTrainerDialog
from rpnviz.ui.dialogs.field_list import FieldListDialog

NUCLEUS = {
    "IMAGE_RESIZE_MODE": "crop",
    "IMAGE_MIN_DIM": 512,
    "RPN_ANCHOR_SCALES": [8, 16, 32, 64, 128],
    "RPN_NMS_THRESHOLD": 0.9,
    "LEARNING_RATE": 0.001,
}
YAML = "MODEL:\n  RPN: {NMS_THRESH: 0.6}\nSOLVER: {BASE_LR: 0.02}\n"


@pytest.fixture
def nucleus(tmp_path):
    path = tmp_path / "nucleus.json"
    path.write_text(json.dumps(NUCLEUS), encoding="utf-8")
    return path


@pytest.fixture
def yaml_file(tmp_path):
    path = tmp_path / "a rather long name of a configuration, faster_rcnn_R_50_C4_1x.yaml"
    path.write_text(YAML, encoding="utf-8")
    return path


def drop(window, path):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPoint(50, 50), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    window.dropEvent(event)


def opened(window, qtbot, path):
    drop(window, path)
    qtbot.waitUntil(lambda: window.state.config is not None and settled(window), timeout=10000)


def test_a_dropped_configuration_is_taken_and_undone_in_one_step(window, qtbot, nucleus):
    opened(window, qtbot, nucleus)
    state = window.state
    assert state.preset.name == window.preset.currentText() == "matterport"
    assert state.params.anchors.level_sizes[0] == (8,)
    assert state.shown.training.params == state.params
    assert window.banner.text.text() == "3 fields read, 1 not understood (kept default): nucleus.json"
    assert window.changed.isVisible()
    assert "anchors.sizes" in window.changed.toolTip()
    window.do_undo()
    qtbot.waitUntil(lambda: settled(window), timeout=10000)
    assert state.preset.name == "torchvision"
    assert state.params == presets.load("torchvision").params
    assert state.config is None
    window.do_redo()
    qtbot.waitUntil(lambda: settled(window), timeout=10000)
    assert state.config is not None


def test_the_banner_stays_and_its_details_list_every_field(window, qtbot, nucleus):
    opened(window, qtbot, nucleus)
    qtbot.mouseClick(window.banner.details, Qt.MouseButton.LeftButton)
    dialog = window.findChild(FieldListDialog)
    rows = [[dialog.model.index(row, column).data() for column in range(4)] for row in range(dialog.model.rowCount())]
    assert rows[0][:3] == ["Not understood", "IMAGE_RESIZE_MODE", "crop"]
    assert dialog.windowTitle() == "nucleus.json"
    assert "1 without effect here" in dialog.summary.text()
    assert ["Read", "RPN_NMS_THRESHOLD", "0.9", "proposals.nms_thresh 0.9"] in rows
    assert {row[1] for row in rows} >= set(NUCLEUS)
    with qtbot.waitExposed(dialog):
        dialog.activateWindow()
    dialog.table.setFocus()
    qtbot.keyClick(dialog.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: "RPN_NMS_THRESHOLD\t0.9" in QGuiApplication.clipboard().text())
    dialog.reject()
    assert window.banner.isVisible()
    window.state.set_preset("detectron2")
    assert window.state.config is None


def test_the_menu_opens_a_file_and_the_list_again(window, qtbot, yaml_file, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (str(yaml_file), ""))
    window.actions_by_id["open_config"].trigger()
    qtbot.waitUntil(lambda: window.state.config is not None and settled(window), timeout=10000)
    assert window.state.params.anchors.strides == (16,)  # the bare defaults, not Base-RCNN-FPN
    assert window.settings.last_folder == str(yaml_file.parent)
    window._show_changes()
    menu = next(menu for menu in window.findChildren(QMenu) if menu.isVisible())
    texts = [action.text() for action in menu.actions()]
    assert "Copy for tra&iner…" in texts
    assert "&What the configuration said…" in texts
    menu.close()
    window.actions_by_id["config_details"].trigger()
    assert yaml_file.name == window.findChild(FieldListDialog).windowTitle()


def test_without_a_configuration_the_list_says_so(window):
    window.do_config_details()
    assert window.banner.messages[-1].title == "The parameters come from no configuration"


def test_a_configuration_that_cannot_be_read_leaves_everything_standing(window, qtbot, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("MODEL: {RPN: {NMS_THRESH: 3}}", encoding="utf-8")
    before = window.state.params
    drop(window, path)
    qtbot.waitUntil(lambda: bool(window.banner.messages), timeout=10000)
    assert "MODEL.RPN.NMS_THRESH: 3 is not allowed, expected a number from 0 to 1" in window.banner.messages[-1].detail
    assert window.state.params == before
    drop(window, tmp_path / "missing.ini")
    qtbot.waitUntil(lambda: len(window.banner.messages) == 2, timeout=10000)


def test_a_coco_file_is_no_configuration(window, qtbot, tmp_path):
    from rpnviz.paths import sample_images

    drop(window, sample_images() / "instances.json")
    qtbot.waitUntil(lambda: settled(window) and window.state.dataset.source.name == "instances.json", timeout=10000)
    assert window.state.config is None


def test_copy_for_trainer(window, qtbot):
    window.state.update("match", fg_iou_thresh=0.6)
    window.actions_by_id["copy_for_trainer"].trigger()
    dialog = window.findChild(CopyForTrainerDialog)
    assert dialog.trainer.currentText() == "torchvision"
    assert "rpn_fg_iou_thresh=0.6" in dialog.text.toPlainText()
    assert dialog.verdict.text() == "Read again, it gives these parameters."
    dialog.trainer.setCurrentText("detectron2")
    source = Preset("torchvision", window.state.params, window.state.preset.conventions)
    assert dialog.text.toPlainText() == export_config(source, "detectron2").text
    assert "different there: see the comments" in dialog.verdict.text()
    qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
    assert "IOU_THRESHOLDS: [0.3, 0.6]" in QGuiApplication.clipboard().text()
    assert window.banner.messages[-1].title == "Copied the configuration for detectron2"


def test_what_cannot_be_written_is_said_instead(window, qtbot):
    window.state.update("match", allow_low_quality_matches=False)
    window.do_copy_for_trainer()
    dialog = window.findChild(CopyForTrainerDialog)
    assert "always forces the best anchors" in dialog.text.toPlainText()
    assert not dialog.copy.isEnabled()
    assert not dialog.save.isEnabled()
    dialog.trainer.setCurrentText("mmdetection")
    assert "match_low_quality=False" in dialog.text.toPlainText()
    assert dialog.copy.isEnabled()
    qtbot.mouseClick(
        dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Close), Qt.MouseButton.LeftButton
    )


def test_a_saved_configuration_opens_again(window, qtbot, tmp_path, monkeypatch):
    window.state.set_preset("keras-retinanet")
    target = tmp_path / "anchors.ini"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(target), ""))
    window.do_copy_for_trainer()
    dialog = window.findChild(CopyForTrainerDialog)
    assert dialog.trainer.currentText() == "keras-retinanet"
    qtbot.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    params = window.state.params
    window.state.set_preset("torchvision")
    opened(window, qtbot, target)
    assert window.state.params == params


def test_what_was_not_understood_is_missing_from_the_copy_too(window, qtbot, nucleus):
    opened(window, qtbot, nucleus)
    window.do_copy_for_trainer()
    dialog = window.findChild(CopyForTrainerDialog)
    assert dialog.trainer.currentText() == "matterport"
    assert "IMAGE_RESIZE_MODE = crop of nucleus.json is not in here" in dialog.text.toPlainText()
    dialog.reject()
