"""Boxes that are drawn, moved and deleted on the canvas, undone, saved, and asked about before they are lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox
from support import enter, open_image, settled

from rpnviz.app.viewing import Selection
from rpnviz.core.matching import Rank
from rpnviz.datasets.registry import open_dataset
from rpnviz.imaging import write_png
from rpnviz.ui.canvas.boxes_menu import BoxesMenu

COINS = 24


@pytest.fixture
def coins(window, qtbot):
    open_image(window, qtbot, "coins.png")
    qtbot.keyClick(window, Qt.Key.Key_E)
    assert window.editing.on
    assert window.edit_bar.isVisible()
    return window


def still(window, qtbot):
    """Wait until the screen shows the boxes of the data set."""
    qtbot.waitUntil(lambda: settled(window) and not window.state.boxes_wait, timeout=20000)


def place(window, x, y) -> QPoint:
    return window.canvas._to_view(x, y).toPoint()


def drag(window, qtbot, start, end, held=Qt.KeyboardModifier.NoModifier, *, button=Qt.MouseButton.LeftButton):
    canvas = window.canvas
    qtbot.mousePress(canvas, button, held, place(window, *start))
    for step in (0.3, 0.6, 1.0):
        x, y = (a + step * (b - a) for a, b in zip(start, end, strict=True))
        qtbot.mouseMove(canvas, place(window, x, y))
    qtbot.mouseRelease(canvas, button, held, place(window, *end))
    still(window, qtbot)


def boxes(window):
    return window.state.record.gt.boxes.tolist()


def test_a_drag_draws_a_box_and_the_matching_follows(coins, qtbot):
    state = coins.state
    before = boxes(coins)
    drag(coins, qtbot, (300, 20), (340, 60))
    assert boxes(coins)[:COINS] == before
    assert np.allclose(boxes(coins)[COINS], (300, 20, 340, 60), atol=1)
    assert boxes(coins)[COINS] == [round(value) for value in boxes(coins)[COINS]]
    assert state.selection.gt == COINS
    assert state.gt_names[COINS] == "coin"
    assert len(state.shown.training.match.ranks) == COINS + 1
    assert state.shown.training.match.ranks[COINS] in (Rank.MATCHED, Rank.FORCED)
    assert coins.table.model.rowCount() == COINS + 1
    assert state.undo_label == f"draw GT {COINS}"
    coins.do_undo()
    still(coins, qtbot)
    assert boxes(coins) == before
    assert not state.unsaved
    coins.do_redo()
    still(coins, qtbot)
    assert len(boxes(coins)) == COINS + 1
    assert state.unsaved


def test_the_box_under_the_hand_is_matched_before_the_button_is_released(coins, qtbot):
    canvas = coins.canvas
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(coins, 300, 20))
    qtbot.mouseMove(canvas, place(coins, 320, 40))
    qtbot.mouseMove(canvas, place(coins, 340, 60))
    qtbot.waitUntil(lambda: len(boxes(coins)) == COINS + 1)
    qtbot.keyClick(coins, Qt.Key.Key_Escape)  # given up
    still(coins, qtbot)
    assert len(boxes(coins)) == COINS
    assert not coins.state.undo_label
    assert not coins.state.redo_label
    assert coins.editing.on
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place(coins, 340, 60))


def test_the_selected_box_is_moved_and_its_sides_are_pulled(coins, qtbot):
    canvas = coins.canvas
    x1, y1, x2, y2 = boxes(coins)[7]
    middle = (x1 + x2) / 2, (y1 + y2) / 2
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=place(coins, *middle))
    assert coins.state.selection.gt == 7
    drag(coins, qtbot, middle, (middle[0] + 30, middle[1] - 20))
    moved = boxes(coins)[7]
    assert np.allclose(moved, (x1 + 30, y1 - 20, x2 + 30, y2 - 20), atol=1)
    assert np.isclose(moved[2] - moved[0], x2 - x1)
    assert coins.state.undo_label == "move GT 7"
    drag(coins, qtbot, (moved[2], moved[3]), (moved[2] + 12, moved[3] + 9))
    pulled = boxes(coins)[7]
    assert pulled[:2] == moved[:2]
    assert np.allclose(pulled[2:], (moved[2] + 12, moved[3] + 9), atol=1)
    coins.do_undo()
    still(coins, qtbot)
    assert boxes(coins)[7] == moved
    coins.do_undo()
    still(coins, qtbot)
    assert boxes(coins)[7] == [x1, y1, x2, y2]


def test_keys_move_by_pixels(coins, qtbot):
    qtbot.mouseClick(coins.canvas, Qt.MouseButton.LeftButton, pos=place(coins, 66, 60))
    gt = coins.state.selection.gt
    before = np.array(boxes(coins)[gt])
    qtbot.keyClick(coins.canvas, Qt.Key.Key_Right)
    qtbot.keyClick(coins.canvas, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(coins.canvas, Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    still(coins, qtbot)
    assert np.allclose(boxes(coins)[gt], before + np.array([1, 10, 0, 10]))
    coins.do_undo()  # quick ones are one step
    still(coins, qtbot)
    assert np.allclose(boxes(coins)[gt], before)


def test_ctrl_draws_inside_the_selected_box_and_space_pans(coins, qtbot):
    x1, y1, x2, y2 = boxes(coins)[5]
    qtbot.mouseClick(coins.canvas, Qt.MouseButton.LeftButton, pos=place(coins, (x1 + x2) / 2, (y1 + y2) / 2))
    drag(coins, qtbot, (x1 + 15, y1 + 15), (x2 - 15, y2 - 15), Qt.KeyboardModifier.ControlModifier)
    assert len(boxes(coins)) == COINS + 1
    assert boxes(coins)[5] == [x1, y1, x2, y2]
    canvas = coins.canvas
    canvas.zoom_to(4.0)
    before = canvas.place
    qtbot.keyPress(canvas, Qt.Key.Key_Space)
    drag(coins, qtbot, before[1:], (before[1] + 20, before[2]))
    qtbot.keyRelease(canvas, Qt.Key.Key_Space)
    assert canvas.place != before
    assert len(boxes(coins)) == COINS + 1


def test_delete_and_undo(coins, qtbot):
    state = coins.state
    before = boxes(coins)
    qtbot.mouseClick(coins.canvas, Qt.MouseButton.LeftButton, pos=place(coins, 66, 60))
    gt = state.selection.gt
    qtbot.keyClick(coins, Qt.Key.Key_Delete)
    still(coins, qtbot)
    assert boxes(coins) == before[:gt] + before[gt + 1 :]
    assert state.selection.gt is None
    qtbot.keyClick(coins, Qt.Key.Key_Delete)  # nothing is selected
    still(coins, qtbot)
    assert len(boxes(coins)) == COINS - 1
    assert coins.images.survey.counts.problems[state.index] >= 0 or coins.images.survey.waiting
    qtbot.keyClick(coins, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    still(coins, qtbot)
    assert boxes(coins) == before


def test_many_are_deleted_at_once(coins, qtbot):
    drag(coins, qtbot, (5, 5), (370, 100), Qt.KeyboardModifier.ShiftModifier)
    chosen = coins.state.selection.many.gts.tolist()
    assert len(chosen) > 2
    qtbot.keyClick(coins, Qt.Key.Key_Delete)
    still(coins, qtbot)
    assert len(boxes(coins)) == COINS - len(chosen)
    assert coins.state.undo_label == f"delete {len(chosen)} boxes"
    assert coins.state.selection.many is None


def test_the_bar_shows_and_takes_numbers_category_and_ignore(coins, qtbot):
    state, bar = coins.state, coins.edit_bar
    drag(coins, qtbot, (300, 20), (340, 60))
    x, y, width, height = bar.numbers
    assert [spin.value() for spin in bar.numbers] == [
        *boxes(coins)[COINS][:2],
        *(np.array(boxes(coins)[COINS][2:]) - boxes(coins)[COINS][:2]).tolist(),
    ]
    enter(qtbot, width, "17.25")
    still(coins, qtbot)
    assert boxes(coins)[COINS][2] == x.value() + 17.25
    enter(qtbot, y, "0")
    still(coins, qtbot)
    assert boxes(coins)[COINS][1::2] == [0, height.value()]
    line = bar.category.lineEdit()
    enter(qtbot, line, "button")
    still(coins, qtbot)
    assert state.gt_names[COINS] == "button"
    assert state.dataset.categories[-1] == "button"
    qtbot.mouseClick(bar.ignored, Qt.MouseButton.LeftButton)
    still(coins, qtbot)
    assert state.record.gt.ignore[COINS]
    assert state.shown.training.match.ranks[COINS] is not Rank.MATCHED
    drag(coins, qtbot, (200, 100), (240, 140))
    assert state.gt_names[COINS + 1] == "button"  # as chosen last
    for _ in range(6):
        coins.do_undo()
    still(coins, qtbot)
    assert len(boxes(coins)) == COINS
    assert not state.unsaved


def test_undo_goes_to_the_image_whose_boxes_it_changes(coins, qtbot):
    drag(coins, qtbot, (300, 20), (340, 60))
    open_image(coins, qtbot, "rocket.jpg")
    coins.do_undo()
    qtbot.waitUntil(lambda: coins.state.record.file_name == "coins.png", timeout=20000)
    still(coins, qtbot)
    assert len(boxes(coins)) == COINS


def test_boxes_and_parameters_share_one_history(coins, qtbot):
    state = coins.state
    drag(coins, qtbot, (300, 20), (340, 60))
    state.update("match", fg_iou_thresh=0.55)
    still(coins, qtbot)
    drag(coins, qtbot, (10, 200), (40, 240))
    coins.do_undo()
    still(coins, qtbot)
    assert (len(boxes(coins)), state.params.match.fg_iou_thresh) == (COINS + 1, 0.55)
    coins.do_undo()
    still(coins, qtbot)
    assert (len(boxes(coins)), state.params.match.fg_iou_thresh) == (COINS + 1, 0.7)


def test_the_list_and_the_counts_follow(coins, qtbot):
    state, survey = coins.state, coins.images.survey
    qtbot.waitUntil(lambda: survey.counts.known.all() and not survey.waiting, timeout=60000)
    before = survey.counts.ranks[state.index].sum()
    drag(coins, qtbot, (300, 20), (340, 60))
    qtbot.waitUntil(lambda: survey.counts.ranks[state.index].sum() == before + 1, timeout=20000)
    assert survey.counts.known.all()


def test_images_that_were_changed_are_marked_and_found(coins, qtbot):
    images = coins.images
    drag(coins, qtbot, (300, 20), (340, 60))
    rows = [images.list.model().index(row, 0).data() for row in range(images.list.model().rowCount())]
    assert [name for name in rows if "•" in name] == ["coins.png •"]
    images.passes.setCurrentIndex(images.passes.findText("Edited"))
    assert images.shown.text() == "1 of 12"
    coins.do_undo()
    still(coins, qtbot)
    qtbot.waitUntil(lambda: images.shown.text() == "0 of 12", timeout=20000)


def test_boxes_are_saved_as_coco_and_read_again(coins, qtbot, tmp_path, monkeypatch):
    state = coins.state
    drag(coins, qtbot, (300, 20), (340, 60))
    wanted = boxes(coins)
    path = tmp_path / "mine.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(path), ""))
    qtbot.mouseClick(coins.edit_bar.save, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not state.unsaved, timeout=20000)
    found = open_dataset([path])
    names = list(found.file_names())
    assert found.images[names.index("coins.png")].gt.boxes.tolist() == wanted
    assert len(names) == len(state.dataset.images)
    assert coins.edit_bar.words.text() == "Saved"
    coins.do_undo()
    still(coins, qtbot)
    assert not state.unsaved  # as the file of the samples has them
    coins.do_redo()
    still(coins, qtbot)
    drag(coins, qtbot, (10, 200), (40, 240))
    assert state.unsaved


def test_an_image_without_annotations_gets_its_first_box(empty_window, qtbot, tmp_path, monkeypatch):
    window, state = empty_window, empty_window.state
    write_png(tmp_path / "plain.png", np.full((240, 320, 3), 90, np.uint8))
    window.open_paths([tmp_path / "plain.png"])
    qtbot.waitUntil(lambda: settled(window), timeout=20000)
    qtbot.keyClick(window, Qt.Key.Key_E)
    drag(window, qtbot, (40, 40), (168, 168))
    assert state.dataset.categories == ("object",)
    assert len(state.shown.training.match.positives) > 0
    path = tmp_path / "mine.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(path), ""))
    window.do_save_boxes()
    qtbot.waitUntil(lambda: not state.unsaved, timeout=20000)
    document = json.loads(path.read_text())
    assert [category["name"] for category in document["categories"]] == ["object"]
    assert len(document["annotations"]) == 1


@pytest.mark.parametrize("answer", ["Save…", "Discard", "Cancel"])
def test_boxes_are_not_lost_without_a_question(coins, qtbot, tmp_path, monkeypatch, answer):
    state = coins.state
    drag(coins, qtbot, (300, 20), (340, 60))
    write_png(tmp_path / "other.png", np.full((240, 320, 3), 90, np.uint8))
    path = tmp_path / "mine.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(path), ""))
    coins.open_paths([tmp_path / "other.png"])
    box = coins.findChild(QMessageBox)
    assert "1 image" in box.informativeText()
    button = next(button for button in box.buttons() if button.text().replace("&", "") == answer)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    if answer == "Cancel":
        qtbot.wait(50)
        still(coins, qtbot)
        assert state.record.file_name == "coins.png"
        assert len(boxes(coins)) == COINS + 1
        return
    qtbot.waitUntil(lambda: state.record.file_name == "other.png", timeout=20000)
    still(coins, qtbot)
    assert path.exists() == (answer == "Save…")
    assert not state.unsaved
    assert not state.edits
    assert coins.editing.on
    assert not state.undo_label
    assert not coins.undo_button.isEnabled()


def test_closing_asks_too(coins, qtbot):
    drag(coins, qtbot, (300, 20), (340, 60))
    assert not coins.close()
    box = coins.findChild(QMessageBox)
    box.reject()
    qtbot.waitUntil(lambda: coins.findChild(QMessageBox) is None)
    assert coins.isVisible()


def test_escape_leaves_step_by_step(coins, qtbot):
    qtbot.mouseClick(coins.canvas, Qt.MouseButton.LeftButton, pos=place(coins, 66, 60))
    assert coins.state.selection.gt is not None
    qtbot.keyClick(coins, Qt.Key.Key_Escape)
    assert coins.state.selection.gt is None
    assert coins.editing.on
    qtbot.keyClick(coins, Qt.Key.Key_Escape)
    assert not coins.editing.on
    assert not coins.edit_bar.isVisible()


def test_nothing_to_edit(empty_window, qtbot):
    told = []
    empty_window.state.told.connect(lambda message: told.append(message.title))
    empty_window.do_edit_boxes()
    empty_window.do_delete_boxes()
    empty_window.do_save_boxes()
    assert told == ["No image to draw boxes on", "No box is selected", "No boxes to save yet"]
    assert not empty_window.editing.on


def middle(window, gt):
    x1, y1, x2, y2 = boxes(window)[gt]
    return (x1 + x2) / 2, (y1 + y2) / 2


def take_hold(window, qtbot, gt, by=(20, 0)):
    """Select a box and begin to drag it; returns where the hand is by then, original pixels."""
    x, y = middle(window, gt)
    qtbot.mouseClick(window.canvas, Qt.MouseButton.LeftButton, pos=place(window, x, y))
    qtbot.mousePress(window.canvas, Qt.MouseButton.LeftButton, pos=place(window, x, y))
    qtbot.mouseMove(window.canvas, place(window, x + by[0], y + by[1]))
    still(window, qtbot)
    return x + by[0], y + by[1]


def let_go(window, qtbot, x, y):
    qtbot.mouseMove(window.canvas, place(window, x, y))
    qtbot.mouseRelease(window.canvas, Qt.MouseButton.LeftButton, pos=place(window, x, y))
    still(window, qtbot)


def send(window, kind, point, button, held):
    """What QTest cannot: another state of the buttons."""
    canvas = window.canvas
    place = QPointF(point), QPointF(canvas.mapToGlobal(point))
    QApplication.sendEvent(canvas, QMouseEvent(kind, *place, button, held, Qt.KeyboardModifier.NoModifier))


def test_a_box_deleted_under_the_hand_leaves_the_others_alone(coins, qtbot):
    before = boxes(coins)
    x, y = take_hold(coins, qtbot, 7)
    qtbot.keyClick(coins, Qt.Key.Key_Delete)
    let_go(coins, qtbot, x + 30, y + 20)
    assert boxes(coins) == before[:7] + before[8:]


def test_undo_under_the_hand_ends_the_drag(coins, qtbot):
    before = boxes(coins)
    x, y = take_hold(coins, qtbot, 7)
    coins.do_undo()
    let_go(coins, qtbot, x + 30, y + 20)
    assert boxes(coins) == before
    assert coins.state.redo_label == "move GT 7"


def test_a_release_that_went_elsewhere_ends_the_drag(coins, qtbot):
    take_hold(coins, qtbot, 7)
    moved = boxes(coins)
    none = Qt.MouseButton.NoButton
    send(coins, QEvent.Type.MouseMove, place(coins, 300, 200), none, none)
    still(coins, qtbot)
    assert boxes(coins) == moved
    assert not coins.canvas.editor.held


def test_a_click_and_a_drag_at_once_move_the_box(coins, qtbot):
    x, y = middle(coins, 7)
    before = boxes(coins)[7]
    at, left, none = place(coins, x, y), Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    kinds = QEvent.Type
    send(coins, kinds.MouseButtonPress, at, left, left)
    send(coins, kinds.MouseButtonRelease, at, left, none)
    send(coins, kinds.MouseButtonDblClick, at, left, left)  # what Qt makes of a second press within 400 ms
    send(coins, kinds.MouseMove, place(coins, x + 30, y), none, left)
    send(coins, kinds.MouseButtonRelease, place(coins, x + 30, y), left, none)
    still(coins, qtbot)
    assert np.allclose(boxes(coins)[7], np.add(before, (30, 0, 30, 0)), atol=1)


def test_the_list_does_not_open_in_the_middle_of_a_drag(coins, qtbot):
    x, y = take_hold(coins, qtbot, 7)
    at = place(coins, x, y)
    reason = QContextMenuEvent.Reason.Mouse
    QApplication.sendEvent(coins.canvas, QContextMenuEvent(reason, at, coins.canvas.mapToGlobal(at)))
    assert coins.findChild(BoxesMenu) is None
    let_go(coins, qtbot, x + 30, y)
    assert coins.state.undo_label == "move GT 7"


def test_space_that_is_let_go_elsewhere_pans_no_longer(coins, qtbot):
    coins.canvas.setFocus()
    qtbot.keyPress(coins.canvas, Qt.Key.Key_Space)
    coins.dim.setFocus()
    qtbot.keyRelease(coins.dim, Qt.Key.Key_Space)
    drag(coins, qtbot, (300, 20), (340, 60))
    assert len(boxes(coins)) == COINS + 1


def test_a_drag_beside_the_image_draws_nothing(coins, qtbot):
    drag(coins, qtbot, (-40, 20), (-5, 120))
    assert len(boxes(coins)) == COINS
    canvas = coins.canvas
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(coins, -20, 20))
    qtbot.mouseMove(canvas, place(coins, 30, 30))
    still(coins, qtbot)
    assert boxes(coins)[COINS][0] == 0
    qtbot.mouseMove(canvas, place(coins, -10, 30))
    still(coins, qtbot)
    assert len(boxes(coins)) == COINS
    let_go(coins, qtbot, 15, 30)
    assert np.allclose(boxes(coins)[COINS], (0, 20, 15, 30), atol=1)
    coins.do_undo()
    still(coins, qtbot)
    assert not coins.state.unsaved


def test_a_key_moves_one_side_alone(coins, qtbot):
    coins.editing.move(7, (300, 280, 340, 350))  # beyond the lower edge
    still(coins, qtbot)
    coins.state.select(Selection(gt=7))
    qtbot.keyClick(coins.canvas, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    still(coins, qtbot)
    assert boxes(coins)[7] == [300, 280, 341, 350]


def test_a_number_moves_the_box_by_itself_alone(coins, qtbot):
    """Of the other numbers a file may have more digits than are shown."""
    bar = coins.edit_bar
    coins.editing.move(7, (10.123456, 20.2, 40.7, 60.987654))
    still(coins, qtbot)
    coins.state.select(Selection(gt=7))
    assert [spin.text() for spin in bar.numbers] == ["x 10.12", "y 20.2", "w 30.58", "h 40.79"]
    enter(qtbot, bar.numbers[3], "50")
    still(coins, qtbot)
    assert boxes(coins)[7] == [10.123456, 20.2, 40.7, 70.2]
    enter(qtbot, bar.numbers[1], "30")
    still(coins, qtbot)
    assert np.allclose(boxes(coins)[7], (10.123456, 30, 40.7, 80), rtol=0, atol=1e-9)
    assert boxes(coins)[7][::2] == [10.123456, 40.7]


@pytest.mark.parametrize("width", [0.0, 0.25, -40.0])
def test_the_numbers_of_a_box_without_an_area_are_shown_as_they_are(coins, qtbot, width):
    x, _, side, _ = coins.edit_bar.numbers
    coins.state.select(Selection(gt=3))  # its numbers must not stay there
    coins.editing.move(7, (100, 20, 100 + width, 60))
    still(coins, qtbot)
    coins.state.select(Selection(gt=7))
    assert side.value() == width
    enter(qtbot, x, "120")
    still(coins, qtbot)
    assert boxes(coins)[7] == [120, 20, 120 + width, 60]
    enter(qtbot, side, "0.5")
    still(coins, qtbot)
    assert boxes(coins)[7] == [120, 20, 121, 60]  # none is made so
    assert side.value() == 1
    enter(qtbot, side, "0")
    assert side.value() == 1


def test_without_a_box_there_are_no_numbers(coins, qtbot):
    bar = coins.edit_bar
    assert [spin.text().strip() for spin in bar.numbers] == ["x", "y", "w", "h"]
    coins.state.select(Selection(gt=7))
    assert [spin.text() for spin in bar.numbers] == ["x 83", "y 107", "w 40", "h 38"]
    qtbot.keyClick(coins, Qt.Key.Key_Escape)
    assert [spin.text().strip() for spin in bar.numbers] == ["x", "y", "w", "h"]
    coins.state.select(Selection(gt=7))
    assert [spin.text() for spin in bar.numbers] == ["x 83", "y 107", "w 40", "h 38"]


def test_the_wheel_changes_no_box_in_passing(coins, qtbot):
    bar = coins.edit_bar
    before = boxes(coins)
    coins.state.select(Selection(gt=7))
    coins.canvas.setFocus()
    for part in (*bar.numbers, bar.category):
        at = QPointF(part.rect().center())
        turn = QPoint(0, 120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
        wheel = QWheelEvent(at, QPointF(part.mapToGlobal(at)), QPoint(), *turn, False)
        QApplication.sendEvent(part, wheel)
    still(coins, qtbot)
    assert boxes(coins) == before
    assert not coins.state.undo_label


@pytest.mark.parametrize("name", ["Coin", "co", "COIN"])
def test_a_category_is_what_was_typed(coins, qtbot, name):
    """Whatever others there are that it could be completed to."""
    coins.state.select(Selection(gt=7))
    enter(qtbot, coins.edit_bar.category.lineEdit(), name)
    still(coins, qtbot)
    assert coins.state.gt_names[7] == name


def test_escape_takes_back_what_is_typed(coins, qtbot):
    bar = coins.edit_bar
    before = boxes(coins)
    coins.state.select(Selection(gt=7))
    for field, text in ((bar.category, "zebra"), (bar.numbers[0], "99")):
        field.setFocus()
        field.lineEdit().selectAll()
        qtbot.keyClicks(field, text)
        qtbot.keyClick(field, Qt.Key.Key_Escape)
        assert coins.state.selection.gt == 7
    assert bar.category.currentText() == "coin"
    assert bar.numbers[0].text() == "x 83"
    coins.canvas.setFocus()
    still(coins, qtbot)
    assert boxes(coins) == before
    assert coins.editing.category == "coin"
    enter(qtbot, bar.category.lineEdit(), "")
    assert bar.category.currentText() == "coin"
    qtbot.keyClick(bar.category, Qt.Key.Key_Escape)  # nothing is typed
    assert coins.state.selection.gt is None


def test_undo_in_the_category_field_is_the_windows_once_it_is_taken(coins, qtbot):
    bar = coins.edit_bar
    coins.state.select(Selection(gt=7))
    enter(qtbot, bar.category.lineEdit(), "button")
    still(coins, qtbot)
    bar.category.setFocus()
    qtbot.keyClick(bar.category, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    still(coins, qtbot)
    assert coins.state.gt_names[7] == "coin"
    assert bar.category.currentText() == "coin"
    coins.canvas.setFocus()
    still(coins, qtbot)
    assert not coins.state.unsaved
    assert coins.state.redo_label == "category of GT 7"


def test_a_box_that_is_clicked_while_another_change_is_computed_is_selected(coins, qtbot):
    x, y = take_hold(coins, qtbot, 7)
    at = place(coins, x + 10, y)
    qtbot.mouseMove(coins.canvas, at)
    qtbot.mouseRelease(coins.canvas, Qt.MouseButton.LeftButton, pos=at)
    assert coins.state.boxes_wait
    qtbot.mouseClick(coins.canvas, Qt.MouseButton.LeftButton, pos=place(coins, *middle(coins, 3)))
    still(coins, qtbot)
    assert coins.state.selection.gt == 3
    qtbot.keyClick(coins, Qt.Key.Key_Delete)
    assert coins.state.boxes_wait
    eleventh = boxes(coins)[11]
    coins.state.select(Selection(gt=11))  # of those on the screen, where the other still is
    still(coins, qtbot)
    assert boxes(coins)[coins.state.selection.gt] == eleventh


def test_the_selection_follows_its_box_through_undo(coins, qtbot):
    coins.state.select(Selection(gt=3))
    qtbot.keyClick(coins, Qt.Key.Key_Delete)
    still(coins, qtbot)
    drag(coins, qtbot, (10, 200), (40, 240))
    coins.state.select(Selection(gt=10))
    wanted = boxes(coins)[10]
    for go in (coins.do_undo, coins.do_undo, coins.do_redo):
        go()
        still(coins, qtbot)
        assert boxes(coins)[coins.state.selection.gt] == wanted


def test_only_images_changed_since_saving_are_unsaved(coins, qtbot):
    state = coins.state
    drag(coins, qtbot, (300, 20), (340, 60))
    state.mark_saved(state.edits)
    open_image(coins, qtbot, "rocket.jpg")
    drag(coins, qtbot, (10, 10), (60, 60))
    assert coins.edit_bar.words.text() == "1 unsaved"
    state.leaving_asked.emit(lambda: None)
    box = coins.findChild(QMessageBox)
    assert "those of 1 image," in box.informativeText()
    box.reject()
    state.mark_saved(state.edits)
    coins.do_undo()  # the box in the rocket's image, which the file has
    still(coins, qtbot)
    assert coins.edit_bar.words.text() == "1 unsaved"


def test_a_name_without_its_ending_replaces_no_file(coins, qtbot, tmp_path, monkeypatch):
    """The dialog has asked about another name."""
    drag(coins, qtbot, (300, 20), (340, 60))
    path = tmp_path / "mine.json"
    path.write_text("precious")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(tmp_path / "mine"), ""))
    told = []
    coins.state.told.connect(lambda message: told.append(message.title))
    coins.do_save_boxes()
    qtbot.wait(50)
    still(coins, qtbot)
    assert path.read_text() == "precious"
    assert told == ["There is a mine.json already"]
    assert coins.state.unsaved
    path.unlink()
    coins.do_save_boxes()
    qtbot.waitUntil(lambda: not coins.state.unsaved, timeout=20000)
    assert path.exists()


def test_a_box_is_added_and_put_in_place_by_keys_alone(coins, qtbot):
    canvas = coins.canvas
    canvas.setFocus()
    qtbot.keyClick(coins, Qt.Key.Key_Escape)
    canvas.look_at(4.0, 100.0, 100.0)
    seen = canvas.visible_region()
    qtbot.keyClick(coins, Qt.Key.Key_Insert)
    still(coins, qtbot)
    box = np.array(boxes(coins)[COINS])
    assert coins.state.selection.gt == COINS
    assert np.allclose((box[:2] + box[2:]) / 2, (100, 100), atol=2)
    assert np.allclose((box[2] - box[0]) * 4, seen[2] - seen[0], atol=8)
    qtbot.keyClick(canvas, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(canvas, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    still(coins, qtbot)
    assert np.allclose(boxes(coins)[COINS], box + np.array([0, 10, 1, 10]))
    qtbot.keyClick(coins, Qt.Key.Key_Insert)  # a copy, aside
    still(coins, qtbot)
    first, second = np.array(boxes(coins)[COINS]), np.array(boxes(coins)[COINS + 1])
    assert (second[:2] > first[:2]).all()
    assert np.allclose(second[2:] - second[:2], first[2:] - first[:2])


def test_inside_a_box_that_fills_the_view_a_drag_draws(coins, qtbot):
    x1, y1, x2, y2 = boxes(coins)[5]
    qtbot.mouseClick(coins.canvas, Qt.MouseButton.LeftButton, pos=place(coins, (x1 + x2) / 2, (y1 + y2) / 2))
    coins.canvas.look_at(60.0, (x1 + x2) / 2, (y1 + y2) / 2)
    middle = (x1 + x2) / 2, (y1 + y2) / 2
    drag(coins, qtbot, middle, (middle[0] + 3, middle[1] + 2))
    assert boxes(coins)[5] == [x1, y1, x2, y2]
    assert len(boxes(coins)) == COINS + 1


def test_the_title_marks_what_is_not_saved(coins, qtbot):
    assert not coins.isWindowModified()
    drag(coins, qtbot, (300, 20), (340, 60))
    assert coins.isWindowModified()
    coins.do_undo()
    still(coins, qtbot)
    assert not coins.isWindowModified()


def test_a_box_without_numbers_is_drawn(empty_window, qtbot, tmp_path):
    write_png(tmp_path / "a.png", np.full((240, 320, 3), 90, np.uint8))
    annotations = [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 2, None, 4]}]
    document = {"images": [{"id": 1, "file_name": "a.png", "width": 320, "height": 240}], "annotations": annotations}
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(document | {"categories": [{"id": 1, "name": "cat"}]}))
    window, state = empty_window, empty_window.state
    window.open_paths([path])
    qtbot.waitUntil(lambda: settled(window), timeout=20000)
    assert np.isnan(boxes(window)).any()
    qtbot.keyClick(window, Qt.Key.Key_E)
    window.table.table.selectRow(0)
    assert state.selection.gt == 0
    drag(window, qtbot, (40, 40), (168, 168))
    assert len(boxes(window)) == 1
    assert np.allclose(boxes(window)[0], (40, 40, 168, 168), atol=1)
    assert state.record.gt.ids == (7,)
    window.do_undo()
    still(window, qtbot)
    assert np.isnan(boxes(window)).any()
