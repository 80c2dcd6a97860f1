"""The findings of a data set in the window: by kind, with the way to each box, and what can make the loss NaN."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from support import settled

from rpnviz.imaging import write_png


@pytest.fixture
def folder(tmp_path):
    """Three images with broken boxes."""
    boxes = {1: [[10, 10, 40, 50]], 2: [[10, 10, 40, 50], [5, 5, 0, 20]], 3: [[100, 80, 200, 300]]}
    annotations = [
        {"id": 10 * image + number, "image_id": image, "category_id": 1, "bbox": box, "iscrowd": 0, "area": 1}
        for image, of in boxes.items()
        for number, box in enumerate(of)
    ]
    images = [{"id": image, "file_name": f"{image}.png", "width": 160, "height": 120} for image in boxes]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    for image in boxes:
        write_png(tmp_path / f"{image}.png", np.full((120, 160, 3), 90, np.uint8))
    return tmp_path


@pytest.fixture
def checked(empty_window, qtbot, folder):
    """The window with its findings."""
    empty_window.open_paths([folder])
    qtbot.waitUntil(lambda: settled(empty_window), timeout=60000)
    empty_window.do_findings()
    wait(empty_window, qtbot)
    return empty_window


def wait(window, qtbot):
    findings = window.findings
    qtbot.waitUntil(lambda: findings._linter.report is not None and not findings._linter.running, timeout=60000)


def titles(window):
    tree = window.findings.tree
    return [tree.topLevelItem(row).text(0) for row in range(tree.topLevelItemCount())]


def test_findings_are_grouped_and_a_click_goes_to_the_box(checked, qtbot):
    found = checked.findings
    assert "Error: 1 x boxes without area" in titles(checked)
    assert "Note: 1 x boxes that reach beyond the image" in titles(checked)
    group = found.tree.topLevelItem(titles(checked).index("Error: 1 x boxes without area"))
    group.setExpanded(True)
    finding = group.child(0)
    assert finding.text(1).startswith("annotation 21")
    found.tree.scrollToItem(finding)
    place = found.tree.visualItemRect(finding).center()
    qtbot.mouseClick(found.tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: checked.state.record.file_name == "2.png" and settled(checked), timeout=60000)
    assert checked.state.selection.gt == 1
    assert "torchvision: stops with an error" in found.detail.text()


def test_what_can_make_the_loss_nan_is_a_list_of_its_own(checked, qtbot):
    checked.do_loss_findings()
    assert titles(checked) == ["Error: 1 x boxes without area"]
    assert checked.findings.tree.topLevelItem(0).isExpanded()
    qtbot.mouseClick(checked.findings.all, Qt.MouseButton.LeftButton)
    assert len(titles(checked)) > 1


def test_another_trainer_or_size_makes_it_stale_until_it_is_checked_again(checked, qtbot):
    found = checked.findings
    assert not found._linter.stale
    checked.state.set_preset("mmdetection")
    assert "Parameters or boxes have changed since." in found.summary.text()
    qtbot.mouseClick(found.again, Qt.MouseButton.LeftButton)
    wait(checked, qtbot)
    assert found.summary.text().endswith("for mmdetection.")
    found.least.setValue(500)
    wait(checked, qtbot)
    assert any("small at the network's input" in title for title in titles(checked))


def test_the_report_is_copied(checked):
    checked.findings.copy.click()
    assert QGuiApplication.clipboard().text().startswith("boxes.json: COCO JSON: 3 images, 4 boxes")


def test_another_data_set_has_findings_of_its_own(checked, qtbot):
    checked.state.open_samples()
    qtbot.waitUntil(lambda: len(checked.state.dataset.images) > 3 and settled(checked), timeout=60000)
    assert titles(checked) == []
    assert checked.findings.summary.text() == "Not checked yet."
    assert checked.findings.again.text() == "Check"


def test_without_a_data_set_there_is_nothing_to_check(empty_window):
    empty_window.do_findings()
    assert empty_window.findings.title.text() == "No data set is open"
    assert not empty_window.findings.again.isEnabled()


def test_the_list_filters_by_what_the_check_has_found(empty_window, qtbot, folder):
    """A box that is small at the input is nothing that the reader would note."""
    document = json.loads((folder / "boxes.json").read_text())
    document["annotations"][0]["bbox"] = [10, 10, 1, 1]
    (folder / "boxes.json").write_text(json.dumps(document))
    empty_window.open_paths([folder])
    qtbot.waitUntil(lambda: settled(empty_window), timeout=60000)
    images = empty_window.images
    images.passes.setCurrentIndex(images.passes.findText("Findings"))
    assert images._model.images.tolist() == [1]
    empty_window.do_findings()
    wait(empty_window, qtbot)
    qtbot.waitUntil(lambda: images._model.images.tolist() == [0, 1], timeout=10000)
    empty_window.editing.draw((5, 5, 60, 60))  # other boxes: the check is of those before
    qtbot.waitUntil(lambda: settled(empty_window) and images._model.images.tolist() == [1], timeout=10000)
