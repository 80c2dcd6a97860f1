"""Data sets of every format are dropped on the window and show their boxes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from support import settled

EXAMPLES = Path(__file__).parent.parent / "data" / "formats"
WHAT = {
    "crowdhuman": "annotation_train.odgt",
    "detectron2": "dicts.json",
    "globox_coco": "instances.json",
    "globox_cvat": "annotations.xml",
    "globox_labelme": "",
    "globox_openimages": "boxes.csv",
    "globox_voc": "",
    "kitti": "training/image_2",
    "retinanet": "train.csv",
    "supervision_voc": "Annotations/a.xml",
    "supervision_yolo": "data.yaml",
}


def drop(window, qtbot, *paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(50, 50), Qt.DropAction.CopyAction, data, buttons, keys))


@pytest.mark.parametrize("example", WHAT)
def test_dropped(window, qtbot, example):
    before = window.state.dataset
    drop(window, qtbot, EXAMPLES / example / WHAT[example])
    qtbot.waitUntil(lambda: window.state.dataset is not before and settled(window), timeout=10000)
    assert window.state.record.path.stem == "a"
    assert window.table.model.rowCount() == window.state.record.box_count >= 3
    assert window.images._model.rowCount() == len(window.state.dataset.images)


def test_image_and_annotations_dropped_together(window, qtbot):
    example = EXAMPLES / "globox_cvat"
    before = window.state.dataset
    drop(window, qtbot, example / "images" / "b.png", example / "annotations.xml")
    qtbot.waitUntil(lambda: window.state.dataset is not before and settled(window), timeout=10000)
    assert window.table.model.rowCount() == 1


def test_what_else_could_be_opened_is_told(window, qtbot, tmp_path):
    shutil.copytree(EXAMPLES / "supervision_yolo", tmp_path / "set")
    shutil.copy(EXAMPLES / "supervision_coco" / "annotations.json", tmp_path / "set")
    before = window.state.dataset
    drop(window, qtbot, tmp_path / "set")
    qtbot.waitUntil(lambda: window.state.dataset is not before and settled(window), timeout=10000)
    assert any("data.yaml (YOLO)" in message.title for message in window.banner.messages)


def test_reload_reads_changed_labels(window, qtbot, tmp_path):
    shutil.copytree(EXAMPLES / "supervision_yolo", tmp_path / "set")
    drop(window, qtbot, tmp_path / "set")
    qtbot.waitUntil(lambda: window.state.record.path.stem == "a" and settled(window), timeout=10000)
    labels = tmp_path / "set" / "labels" / "a.txt"
    labels.write_text(labels.read_text() + "\n0 0.5 0.5 0.1 0.1\n")
    qtbot.keyClick(window, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: window.table.model.rowCount() == 4 and settled(window), timeout=10000)
