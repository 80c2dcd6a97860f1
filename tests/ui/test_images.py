"""The list of images: how the boxes of each fare, filters, order, and the count over all of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QStyleOptionViewItem
from support import open_image, settled

from rpnviz.app.survey import RANKS
from rpnviz.core import pipeline
from rpnviz.core.matching import Rank
from rpnviz.datasets.base import inputs_of
from rpnviz.imaging import encode_png
from rpnviz.ui.panels.images import COUNT_ROLE


def wait_counted(window, qtbot):
    survey = window.images.survey
    qtbot.waitUntil(
        lambda: survey.counts.done == len(window.state.dataset.images) and not survey.running, timeout=20000
    )


@pytest.fixture
def counted(window, qtbot):
    wait_counted(window, qtbot)
    return window


def expected(window):
    """Boxes by rank of every image, from the core."""
    found = []
    for record in window.state.dataset.images:
        match = pipeline.run(inputs_of(record), window.state.params, window.state.preset.conventions).match
        found.append([match.ranks.count(rank) for rank in RANKS])
    return np.array(found)


def listed(window):
    model = window.images.list.model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def rows(window):
    model = window.images.list.model()
    return {model.index(row, 0).data(): model.index(row, 0).data(COUNT_ROLE) for row in range(model.rowCount())}


def choose(box, title):
    box.setCurrentText(title)
    assert box.currentText() == title


def test_every_image_and_the_strip_say_how_the_boxes_fare(counted):
    numbers = expected(counted)
    assert (counted.images.survey.counts.ranks == numbers).all()
    none, forced, matched, left = numbers.sum(axis=0).tolist()
    text = f"{none} no positive, {forced} forced only, {matched} matched, {left} not trained on"
    assert counted.images.totals.text() == text
    assert rows(counted)["coins.png"].text == "0/8/16"
    assert rows(counted)["empty.png"].text == "0"
    assert all(row.fresh for row in rows(counted).values())
    assert "Forced only: 110 in 11 images" in counted.images.totals.toolTip()


def test_filters_and_order(counted, qtbot):
    names = [record.file_name for record in counted.state.dataset.images]
    numbers = expected(counted)
    open_image(counted, qtbot, "coins.png")
    choose(counted.images.passes, "No positive")
    assert listed(counted) == [name for name, row in zip(names, numbers, strict=True) if row[0]] == ["nested.png"]
    assert counted.state.record.file_name == "coins.png", "a filter does not leave the image"
    choose(counted.images.passes, "Forced only")
    choose(counted.images.order, "Forced only")
    ordered = sorted(range(len(names)), key=lambda k: -numbers[k, 1])
    assert listed(counted) == [names[k] for k in ordered if numbers[k, 1]]
    assert counted.images.list.currentIndex().data() == "coins.png"
    counted.images.filter.setText("photo that is not there")
    assert counted.images.empty.isVisible()
    counted.images.filter.clear()
    choose(counted.images.passes, "All images")
    choose(counted.images.order, "Most boxes")
    row = counted.images.list.model().index(0, 0)
    assert row.data() == "tiny_objects.png"
    place = counted.images.list.visualRect(row).center()
    qtbot.mouseClick(counted.images.list.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: counted.state.record.file_name == "tiny_objects.png" and settled(counted))
    choose(counted.images.order, "File order")
    assert listed(counted) == names


def test_the_counts_follow_the_parameters(counted, qtbot):
    choose(counted.images.passes, "No positive")
    counted.state.update("match", allow_low_quality_matches=False)
    assert not any(row.fresh for row in rows(counted).values()), "those of the last parameters pale"
    assert rows(counted)["nested.png"].text == "2/2/6"
    wait_counted(counted, qtbot)
    numbers = expected(counted)
    assert (counted.images.survey.counts.ranks == numbers).all()
    assert numbers[:, 1].sum() == 0, "without the low-quality rule nothing is forced"
    assert len(listed(counted)) == int((numbers[:, 0] > 0).sum()) > 5
    counted.do_undo()
    wait_counted(counted, qtbot)
    assert listed(counted) == ["nested.png"]


def test_it_can_be_stopped_and_goes_on(window, qtbot, tmp_path):
    (tmp_path / "one.png").write_bytes(encode_png(np.zeros((640, 640, 3), np.uint8)))
    images = [{"id": k, "file_name": "one.png", "width": 640, "height": 640} for k in range(600)]
    annotations = [
        {"id": 10 * k + j, "image_id": k, "category_id": 1, "bbox": [40 * j, 7 * j, 30 + j, 40]}
        for k in range(600)
        for j in range(10)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "box"}]}
    (tmp_path / "many.json").write_text(json.dumps(document))
    window.state.open_paths([tmp_path / "many.json"])
    survey = window.images.survey
    qtbot.waitUntil(lambda: survey.running and 0 < survey.counts.done < 600, timeout=20000)
    qtbot.waitUntil(lambda: window.images.stop.isVisible() and "Counting" in window.images.totals.text())
    qtbot.mouseClick(window.images.stop, Qt.MouseButton.LeftButton)
    done = survey.counts.done
    assert 0 < done < 600
    assert window.images.stop.text() == "Go on"
    assert window.images.totals.text().startswith(f"Counted: {done} of 600 images; ")
    qtbot.mouseClick(window.images.stop, Qt.MouseButton.LeftButton)
    wait_counted(window, qtbot)
    assert not window.images.stop.isVisible()
    assert survey.counts.total(Rank.FORCED)[0] + survey.counts.total(Rank.MATCHED)[0] == 6000


def test_an_image_that_cannot_be_read_is_marked(window, qtbot, tmp_path):
    (tmp_path / "good.png").write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = [{"id": k, "file_name": name, "width": 64, "height": 64} for k, name in enumerate(("good.png", "bad.png"))]
    boxes = [{"id": k, "image_id": k, "category_id": 1, "bbox": [8, 8, 40, 40]} for k in (0, 1)]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "box"}]}
    (tmp_path / "two.json").write_text(json.dumps(document))
    window.state.open_paths([tmp_path / "two.json"])
    qtbot.waitUntil(lambda: len(window.state.dataset.images) == 2 and settled(window), timeout=10000)
    wait_counted(window, qtbot)
    assert rows(window)["bad.png"].text == "unreadable"
    choose(window.images.passes, "Unreadable")
    assert listed(window) == ["bad.png"]


def test_what_changes_no_rank_counts_nothing_anew(counted, qtbot):
    counted.state.update("proposals", nms_thresh=0.3)
    counted.state.update("sample", seed=7)
    assert all(row.fresh for row in rows(counted).values())
    assert not counted.images.survey.running


def test_stepping_follows_the_list(counted, qtbot):
    choose(counted.images.passes, "Forced only")
    choose(counted.images.order, "Most boxes")
    names = listed(counted)
    assert counted.images.shown.text() == f"{len(names)} of 12"
    open_image(counted, qtbot, names[0])
    for name in names[1:4]:
        qtbot.keyClick(counted, Qt.Key.Key_PageDown)
        qtbot.waitUntil(lambda name=name: counted.state.record.file_name == name and settled(counted), timeout=10000)
    qtbot.keyClick(counted, Qt.Key.Key_PageUp)
    qtbot.waitUntil(lambda: counted.state.record.file_name == names[2] and settled(counted), timeout=10000)
    # An image that is not listed: on from its place in the file.
    choose(counted.images.passes, "No positive")
    qtbot.keyClick(counted, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: counted.state.record.file_name == "nested.png" and settled(counted), timeout=10000)


def test_reading_the_files_again_keeps_filter_and_order(counted, qtbot):
    choose(counted.images.passes, "Forced only")
    choose(counted.images.order, "Most boxes")
    before = listed(counted)
    counted.do_reload()
    with qtbot.waitSignal(counted.state.dataset_changed, timeout=10000):
        pass
    wait_counted(counted, qtbot)
    assert listed(counted) == before
    assert counted.images.order.currentText() == "Most boxes"


def test_the_list_is_copied_with_its_counts(counted, qtbot):
    counted.images.list.setFocus()
    qtbot.keyClick(counted.images.list, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]
    assert lines[0] == ["Image", "No positive", "Forced only", "Matched", "Not trained on"]
    assert ["coins.png", "0", "8", "16", "0"] in lines
    assert len(lines) == 13


def test_stopped_once_it_counts_the_next_data_set(counted, qtbot):
    counted.state.update("match", fg_iou_thresh=0.6)
    counted.images.survey.stop()
    assert counted.images.stop.text() == "Go on"
    counted.state.open_samples()
    with qtbot.waitSignal(counted.state.dataset_changed, timeout=10000):
        pass
    wait_counted(counted, qtbot)
    assert not counted.images.stop.isVisible()


def test_text_finds_names_and_categories(counted):
    counted.images.filter.setText("COIN")
    assert listed(counted) == ["coins.png"]
    counted.images.filter.setText("triangle")
    assert "tiny_objects.png" in listed(counted)
    assert all(
        any(name == "triangle" for name in counted.state.dataset.names_of(record))
        == (record.file_name in listed(counted))
        for record in counted.state.dataset.images
    )


def test_the_worst_fit_comes_first(counted):
    choose(counted.images.order, "Worst fit")
    least = {}
    for record in counted.state.dataset.images:
        best = pipeline.run(inputs_of(record), counted.state.params, counted.state.preset.conventions).match.gt_best_iou
        known = best[np.isfinite(best)]
        least[record.file_name] = known.min() if len(known) else 2
    assert [least[name] for name in listed(counted)] == sorted(least.values())


def test_images_with_findings_are_a_filter(window, qtbot, tmp_path):
    for name in ("good.png", "bad.png"):
        (tmp_path / name).write_bytes(encode_png(np.zeros((60, 80, 3), np.uint8)))
    boxes = {"good.png": [1, 1, 20, 20], "bad.png": [1, 1, 0, 20]}
    document = {
        "images": [{"id": k, "file_name": name, "width": 80, "height": 60} for k, name in enumerate(boxes)],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "bbox": box} for k, box in enumerate(boxes.values())
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: len(window.state.dataset.images) == 2 and settled(window), timeout=20000)
    wait_counted(window, qtbot)
    choose(window.images.passes, "Findings")
    assert listed(window) == ["bad.png"]


def test_long_names_keep_what_tells_them_apart(window, qtbot, tmp_path):
    for split in ("train", "val"):
        for name in ("one", "two"):
            path = tmp_path / "images" / split / "a camera with a long name" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(np.zeros((60, 80, 3), np.uint8)))
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: images/train\nval: images/val\n")
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: len(window.state.dataset.images) == 4 and settled(window), timeout=20000)
    view = window.images.list
    option = QStyleOptionViewItem()
    option.rect = view.visualRect(view.model().index(0, 0))
    view.itemDelegate().initStyleOption(option, view.model().index(0, 0))
    assert option.text.startswith("…")
    assert option.text.endswith("/one.png")


def test_thumbnails_of_the_rows_in_view(window, qtbot):
    panel = window.images
    before = panel.list.verticalHeader().defaultSectionSize()
    qtbot.mouseClick(panel.with_thumbnails, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.thumbnails.of(0) is not None and panel.thumbnails.of(4) is not None, timeout=20000)
    assert panel.list.verticalHeader().defaultSectionSize() > before
    shown = panel.list.grab().toImage()
    place = panel.list.visualRect(panel.list.model().index(0, 0))
    colours = {shown.pixelColor(place.left() + x, place.center().y()).name() for x in range(8, 40)}
    assert len(colours) > 8, "a photo, not a flat ground"
    qtbot.mouseClick(panel.with_thumbnails, Qt.MouseButton.LeftButton)
    assert panel.list.verticalHeader().defaultSectionSize() == before


def test_by_name_is_the_natural_order(empty_window, qtbot, tmp_path):
    for name in ("b 10.png", "b 9.png", "A 2.png", "a 1.png"):
        (tmp_path / name).write_bytes(encode_png(np.full((20, 20, 3), 90, np.uint8)))
    empty_window.open_paths([tmp_path / name for name in ("b 10.png", "b 9.png", "A 2.png", "a 1.png")])
    qtbot.waitUntil(lambda: settled(empty_window), timeout=20000)
    assert listed(empty_window) == ["b 10.png", "b 9.png", "A 2.png", "a 1.png"]
    choose(empty_window.images.order, "By name")
    assert listed(empty_window) == ["a 1.png", "A 2.png", "b 9.png", "b 10.png"]
