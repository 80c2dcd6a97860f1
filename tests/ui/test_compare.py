"""Two trainers side by side, driven by real events."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QApplication, QFileDialog
from support import open_image, settled

from rpnviz.app.viewing import Selection
from rpnviz.core import presets
from rpnviz.core.diff import compare
from rpnviz.drawing.options import LayerKey


@pytest.fixture
def comparing(window, qtbot):
    """torchvision against mmdetection on the tiny objects."""
    open_image(window, qtbot, "tiny_objects.png")
    qtbot.mouseClick(window.compare_button, Qt.MouseButton.LeftButton)
    found = window.comparing
    qtbot.waitExposed(found)
    qtbot.waitUntil(lambda: found.comparison.settled, timeout=20000)
    return found


def choose(comparing, qtbot, name):
    """Pick the other trainer, as the list of the field does."""
    comparing.choice.setCurrentText(name)
    comparing.choice.activated.emit(comparing.choice.currentIndex())
    qtbot.waitUntil(lambda: comparing.comparison.settled and comparing.choice.currentText() == name, timeout=20000)


def column(comparing, number):
    return [row[number] for row in comparing.boxes.rows]


def cell(table, row):
    return table.visualRect(table.model().index(row, 1)).center()


def wheel(canvas, at, steps):
    """Turn the wheel over a place of a canvas."""
    place = QPointF(canvas.mapToGlobal(at))
    QApplication.sendEvent(
        canvas,
        QWheelEvent(
            QPointF(at), place, QPoint(), QPoint(0, 120 * steps), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip


def corner(canvas):
    """What lies in a canvas's corner and middle, original pixels."""
    a, b = canvas._to_image(QPointF(0, 0)), canvas._to_image(QPointF(canvas.width() / 2, canvas.height() / 2))
    return pytest.approx((a.x(), a.y(), b.x(), b.y()), abs=1)


def test_mmdetection_leaves_tiny_objects_without_a_positive_and_the_field_is_named(comparing, window):
    assert comparing.verdict.text() == "42 of 42 boxes fare differently"
    assert comparing.hint.text().startswith("match.min_pos_iou alone explains 37 of them.")
    assert column(comparing, 0) == [str(gt) for gt in range(42)]
    assert all(text.startswith("Forced only, ") for text in column(comparing, 2))
    alone = [gt for gt, text in enumerate(column(comparing, 3)) if text == "No positive"]
    assert len(alone) == 37
    assert all(column(comparing, 4)[gt] == "match.min_pos_iou" for gt in alone)
    assert comparing.canvases[1].layers
    # The same numbers as the engine's, and the fields with what each does alone.
    inputs = window.state.shown.training.inputs
    diff = compare(inputs, presets.load("torchvision"), presets.load("mmdetection"))
    expected = {effect.switch.name: len(effect.gts) for effect in diff.effects}
    shown = {row[0]: row[3] for row in comparing.fields.rows}
    idle = [effect for effect in diff.effects if not effect.gts and effect.anchors == 0]
    number = sum(len(effect.switch.values) for effect in idle)
    assert comparing.fields.rows[-1][0] == f"{number} others change nothing"
    tip = comparing.fields.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert "corners" in tip
    assert len(tip.splitlines()) == 4
    assert shown["match.min_pos_iou"] == f"{expected['match.min_pos_iou']}"


def test_a_click_on_a_row_selects_the_box_in_both_and_in_the_window(comparing, window, qtbot):
    qtbot.mouseClick(comparing.box_table.viewport(), Qt.MouseButton.LeftButton, pos=cell(comparing.box_table, 3))
    sides = comparing.comparison.a, comparing.comparison.b
    assert [side.selection.gt for side in sides] == [3, 3]
    assert window.state.selection.gt == 3
    window.state.select(Selection(gt=7))
    assert [side.selection.gt for side in sides] == [7, 7]
    assert comparing.box_table.currentIndex().row() == 7
    qtbot.keyClick(comparing, Qt.Key.Key_N)
    assert window.state.selection.gt == 8
    qtbot.keyClick(comparing, Qt.Key.Key_Escape)
    assert window.state.selection == Selection()
    assert not comparing.box_table.selectionModel().hasSelection()


def test_a_click_on_a_canvas_selects_in_the_other(comparing, window, qtbot):
    canvas = comparing.canvases[1]
    x1, y1, x2, y2 = window.state.record.gt.boxes[41].tolist()
    place = canvas._to_view((x1 + x2) / 2, (y1 + y2) / 2).toPoint()
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=place)
    assert comparing.comparison.a.selection.gt == 41
    # An anchor has its partner on the other side, by level, position and shape.
    a, b = comparing.comparison.a, comparing.comparison.b
    a.select(Selection(gt=41, anchor=123456))
    assert b.result.anchors.place(b.selection.anchor) == a.result.anchors.place(123456)


def test_zoom_and_pan_are_linked_both_ways(comparing, qtbot):
    first, second = comparing.canvases
    wheel(first, QPoint(200, 150), 6)
    assert second.zoom == first.zoom > 1
    assert corner(second) == corner(first).expected
    middle = QPoint(second.width() // 2, second.height() // 2)
    before = corner(first).expected
    qtbot.mousePress(second, Qt.MouseButton.LeftButton, pos=middle)
    qtbot.mouseMove(second, middle + QPoint(40, 20))
    qtbot.mouseMove(second, middle + QPoint(80, 40))
    qtbot.mouseRelease(second, Qt.MouseButton.LeftButton, pos=middle + QPoint(80, 40))
    assert corner(first) != before
    assert corner(second) == corner(first).expected
    qtbot.keyClick(comparing, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert second.zoom == pytest.approx(first.zoom, rel=0.01)
    assert second.visible_region() is None


def test_it_follows_the_window(comparing, window, qtbot):
    window.controls.matching.thresholds.slider.setValue((0.3, 0.5))
    qtbot.waitUntil(
        lambda: settled(window) and comparing.comparison.settled and comparing.comparison.a.shown is window.state.shown,
        timeout=20000,
    )
    assert comparing.name_a.text() == "torchvision, 1 changed"
    idle = comparing.fields.index(len(comparing.fields.rows) - 1, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert "match.fg_iou_thresh" in idle.splitlines(), "no tiny object comes near either threshold"
    open_image(window, qtbot, "coins.png")
    qtbot.waitUntil(lambda: comparing.comparison.settled, timeout=20000)
    assert comparing.comparison.b.record is window.state.record
    assert comparing.verdict.text().endswith(f"of {len(window.state.gt_names)} boxes fare differently")
    qtbot.keyClick(comparing, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: comparing.comparison.settled and comparing.name_a.text() == "torchvision", timeout=20000)


def test_the_same_trainer_fares_alike(comparing, qtbot):
    choose(comparing, qtbot, "torchvision")
    assert comparing.verdict.text() == "All 42 boxes fare alike"
    assert not comparing.boxes.rows
    assert not comparing.fields.rows
    assert comparing.hint.text() == "0 anchors of 217,413 have another state."


def test_parameters_from_a_file(comparing, qtbot, tmp_path, monkeypatch):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"preset": "torchvision", "match": {"min_pos_iou": 0.3}}))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    last = comparing.choice.count() - 1
    comparing.choice.setCurrentIndex(last)
    comparing.choice.activated.emit(last)
    qtbot.waitUntil(lambda: comparing.comparison.settled, timeout=20000)
    assert comparing.choice.currentText() == "mine.json (torchvision)"
    assert [row[0] for row in comparing.fields.rows] == ["match.min_pos_iou"]
    assert comparing.fields.headings[1:3] == ("torchvision", "mine.json (torchvision)")
    file.write_text("{")
    last = comparing.choice.count() - 1
    comparing.choice.setCurrentIndex(last)
    comparing.choice.activated.emit(last)
    assert "is not JSON" in comparing.problem.text()
    assert comparing.problem.isVisible()
    assert comparing.hint.text().startswith("match.min_pos_iou alone explains")
    assert comparing.choice.currentText() == "mine.json (torchvision)"
    choose(comparing, qtbot, "detectron2")
    assert not comparing.problem.isVisible()
    choose(comparing, qtbot, "mine.json (torchvision)")
    assert [row[0] for row in comparing.fields.rows] == ["match.min_pos_iou"]


def test_a_trainers_configuration_beside_the_window(comparing, qtbot, tmp_path, monkeypatch):
    file = tmp_path / "c4.yaml"
    file.write_text("MODEL: {RPN: {BATCH_SIZE_PER_IMAGE: 64, IDEA: 1}}\n", encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    last = comparing.choice.count() - 1
    comparing.choice.setCurrentIndex(last)
    comparing.choice.activated.emit(last)
    qtbot.waitUntil(lambda: comparing.comparison.settled, timeout=20000)
    assert comparing.choice.currentText() == "c4.yaml (detectron2, 1 not understood)"
    assert comparing.comparison.b.shown.training.params.anchors.strides == (16,)


def test_layers_are_switched_on_both_sides(comparing, qtbot):
    qtbot.keyClick(comparing, Qt.Key.Key_4)
    assert all(LayerKey.NEUTRAL in side.layers.visible for side in (comparing.comparison.a, comparing.comparison.b))
    comparing.legends[1].rows[LayerKey.NEUTRAL].click()
    assert LayerKey.NEUTRAL not in comparing.comparison.a.layers.visible


def test_the_rows_can_be_copied(comparing, qtbot):
    comparing.field_table.setFocus()
    qtbot.keyClick(comparing.field_table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].split("\t") == ["Field, carried over alone", "torchvision", "mmdetection", "Boxes", "Anchors"]
    assert len(lines) == 1 + len(comparing.fields.rows)


def test_closed_it_rests_and_opened_again_it_is_up_to_date(comparing, window, qtbot):
    comparing.close()
    before = comparing.comparison.a.shown
    window.controls.matching.thresholds.slider.setValue((0.3, 0.6))
    qtbot.waitUntil(lambda: settled(window))
    assert comparing.comparison.a.shown is before
    window.do_compare()
    qtbot.waitUntil(lambda: comparing.comparison.settled, timeout=20000)
    assert comparing.comparison.a.shown is window.state.shown


def test_while_it_compares_nothing_old_is_told_as_new(comparing, window, qtbot):
    comparing.comparison.set_preset(presets.load("matterport"), "matterport")
    assert comparing.comparison.stale
    comparing._show_late()
    assert comparing.verdict.text() == "Comparing…"
    assert not comparing.boxes.rows
    qtbot.waitUntil(lambda: comparing.comparison.settled, timeout=20000)
    assert comparing.verdict.text() != "Comparing…"


def test_images_can_be_stepped_from_here(comparing, window, qtbot):
    name = window.state.record.file_name
    qtbot.keyClick(comparing, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: window.state.record.file_name != name and comparing.comparison.settled, timeout=20000)
    assert window.state.record.file_name in comparing.windowTitle()


def test_what_is_selected_stays_when_it_opens(window, qtbot):
    open_image(window, qtbot, "coins.png")
    window.state.select(Selection(gt=5))
    window.do_compare()
    qtbot.waitUntil(lambda: window.comparing.comparison.settled, timeout=20000)
    assert window.state.selection.gt == 5
    assert window.comparing.comparison.b.selection.gt == 5


def test_the_view_stays_while_the_same_box_is_selected(comparing, window, qtbot):
    window.state.select(Selection(gt=0))
    first = comparing.canvases[0]
    first.look_at(4.0, 460, 273)
    before = corner(first).expected
    a = comparing.comparison.a
    a.select(Selection(gt=0, anchor=1234))
    assert corner(first) == before
    window.state.update("match", fg_iou_thresh=0.6)
    qtbot.waitUntil(lambda: settled(window) and comparing.comparison.settled, timeout=20000)
    assert corner(first) == before


def test_proposals_change_nothing_here(comparing, window, qtbot):
    before = comparing.comparison.diff
    window.state.update("proposals", nms_thresh=0.3)
    qtbot.waitUntil(lambda: settled(window))
    assert comparing.comparison.diff is before


def test_a_comparison_that_fails_says_so(comparing, qtbot, monkeypatch):
    from rpnviz.app import comparison

    def fails(*_arguments):
        raise MemoryError("no room")

    monkeypatch.setattr(comparison.pipeline, "run", fails)
    comparing.comparison.set_preset(presets.load("matterport"), "matterport")
    qtbot.waitUntil(lambda: comparing.verdict.text() == "Could not compare with matterport", timeout=10000)
    assert "no room" in comparing.problem.text()
