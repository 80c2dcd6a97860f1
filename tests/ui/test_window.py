"""The window as a user drives it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QApplication, QFileDialog
from support import enter, open_image, settled

from rpnviz.core.matching import AnchorState, Rank
from rpnviz.drawing.scene import LayerKey, World


def key(qtbot, window, code, modifier=Qt.KeyboardModifier.NoModifier):
    qtbot.keyClick(QApplication.focusWidget() or window, code, modifier)


def result(window):
    return window.state.shown.training


def test_first_start_shows_the_samples_in_the_training_world(window):
    assert window.state.world is World.TRAINING
    assert window.images.list.model().rowCount() == len(window.state.dataset.images) >= 10
    assert window.state.layers.visible >= {LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED}
    assert LayerKey.NEGATIVE not in window.state.layers.visible
    assert window.table.model.rowCount() == len(window.state.record.gt.boxes)
    assert not window.banner.isVisible()
    assert not window.empty.isVisible()
    assert not window.changed.isVisible()


def test_an_empty_window_says_what_to_do(empty_window, qtbot):
    assert empty_window.empty.isVisible()
    assert "Drop images" in empty_window.empty.text()
    for action in empty_window.actions_by_id.values():
        if action.text() not in ("&Quit",) and "…" not in action.text() and "About" not in action.text():
            action.trigger()  # nothing may raise without an image
    qtbot.waitUntil(lambda: settled(empty_window), timeout=20000)


def test_the_positive_threshold_acts_at_once_and_can_be_undone(window, qtbot):
    open_image(window, qtbot, "coins.png")
    before = result(window).match.ranks.count(Rank.MATCHED)
    spin = window.controls.matching.thresholds.positive
    enter(qtbot, spin, "0.50")
    qtbot.waitUntil(lambda: settled(window) and result(window).params.match.fg_iou_thresh == 0.5)
    after = result(window).match.ranks.count(Rank.MATCHED)
    assert after > before
    assert f"GT at threshold {before} → {after}" in window.funnel.change.text()
    assert window.changed.isVisible()
    assert window.changed.text() == "1 changed"
    key(qtbot, window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: settled(window) and result(window).params.match.fg_iou_thresh == 0.7)
    assert result(window).match.ranks.count(Rank.MATCHED) == before
    assert spin.value() == pytest.approx(0.7)
    key(qtbot, window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: settled(window) and result(window).params.match.fg_iou_thresh == 0.5)


def test_a_control_writes_only_the_value_it_moves(window, qtbot):
    window.state.update("match", fg_iou_thresh=0.7055)
    qtbot.waitUntil(lambda: settled(window))
    window.controls.matching.thresholds.negative.stepUp()
    assert window.state.params.match.bg_iou_thresh == pytest.approx(0.31)
    assert window.state.params.match.fg_iou_thresh == 0.7055
    window.state.update("anchors", aspect_ratios=((1 / 3, 1.0),) * 5)
    edit = window.controls.anchors.ratios
    edit.setFocus()
    edit.end(False)
    qtbot.keyClicks(edit, ", 2")
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert window.state.params.anchors.aspect_ratios[0] == pytest.approx((1 / 3, 1, 2), abs=1e-14)


def test_a_drag_back_to_its_start_is_no_step(window, qtbot):
    slider = window.controls.matching.thresholds.slider
    for value in (0.65, 0.6, 0.65, 0.7):
        slider.setValue((0.3, value))
    assert window.state.params.match.fg_iou_thresh == pytest.approx(0.7)
    window.do_undo()
    assert window.state.params == window.state.preset.params
    assert not window.undo_button.isEnabled()


def test_the_thresholds_cannot_cross(window, qtbot):
    thresholds = window.controls.matching.thresholds
    thresholds.slider.setValue((0.3, 0.1))
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.params.match.bg_iou_thresh <= window.state.params.match.fg_iou_thresh
    window.state.reset_params()
    qtbot.waitUntil(lambda: settled(window))
    enter(qtbot, thresholds.negative, "0.95")
    qtbot.waitUntil(lambda: settled(window))
    match = window.state.params.match
    assert match.bg_iou_thresh <= match.fg_iou_thresh == 0.7
    assert thresholds.negative.value() <= thresholds.positive.value()


def test_forty_moves_of_the_slider_end_in_the_last_value(window, qtbot):
    slider = window.controls.matching.thresholds.slider
    answers = []
    window.state.result_changed.connect(lambda: answers.append(result(window).params.match.fg_iou_thresh))
    for step in range(40):
        slider.setValue((0.3, 0.5 + step / 100))
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.params.match.fg_iou_thresh == pytest.approx(0.89)
    assert answers[-1] == pytest.approx(0.89)
    window.state.undo()
    assert window.state.params.match.fg_iou_thresh == pytest.approx(0.7)  # one drag, one step


def test_force_match_acts(window, qtbot):
    box = window.controls.matching.force
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    qtbot.waitUntil(lambda: settled(window) and not result(window).params.match.allow_low_quality_matches)
    assert result(window).match.counts[AnchorState.FORCED] == 0


def test_sizes_and_ratios_act_and_a_wrong_text_changes_nothing(window, qtbot):
    anchors = window.controls.anchors
    count = len(result(window).anchors)
    edit = anchors.sizes[0]
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClicks(edit, "24, 32")
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: settled(window) and result(window).params.anchors.sizes[0] == (24.0, 32.0))
    assert len(result(window).anchors) > count
    params = window.state.params
    for wrong in ("a", "0", ","):
        edit.selectAll()
        qtbot.keyClicks(edit, wrong)
        qtbot.keyClick(edit, Qt.Key.Key_Return)
        assert "border" in edit.styleSheet()
    assert window.state.params == params
    anchors.ratios.selectAll()
    qtbot.keyClicks(anchors.ratios, "1")
    qtbot.keyClick(anchors.ratios, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: settled(window) and result(window).params.anchors.aspect_ratios == ((1.0,),) * 5)


def test_another_seed_draws_another_batch(window, qtbot):
    before = result(window).sample.negative.tolist()
    window.controls.sampling.seed.stepUp()
    qtbot.waitUntil(lambda: settled(window) and result(window).params.sample.seed == 1)
    assert result(window).sample.negative.tolist() != before


def test_images_by_key_and_by_list(window, qtbot):
    first = window.state.index
    key(qtbot, window, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: window.state.index == first + 1 and settled(window))
    assert window.images.list.currentIndex().row() == first + 1
    key(qtbot, window, Qt.Key.Key_PageUp)
    qtbot.waitUntil(lambda: window.state.index == first and settled(window))
    rect = window.images.list.visualRect(window.images.list.model().index(2, 0))
    qtbot.mouseClick(window.images.list.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    qtbot.waitUntil(lambda: window.state.index == 2 and settled(window))


def test_the_name_filter_narrows_the_list(window, qtbot):
    qtbot.keyClicks(window.images.filter, "coin")
    assert window.images.list.model().rowCount() == 1
    qtbot.wait(50)
    assert window.state.index == 0  # filtering opens nothing
    assert not window.state.jobs.running
    window.images.filter.clear()
    assert window.images.list.currentIndex().row() == 0


def test_the_newest_navigation_wins(window, qtbot):
    start = window.state.index
    window.do_next_image()
    window.do_previous_image()
    qtbot.waitUntil(lambda: settled(window))
    qtbot.wait(50)
    assert window.state.index == start
    assert window.images.list.currentIndex().row() == start
    open_image(window, qtbot, "coins.png")
    window.do_next_problem()  # there is none here: it searches the other images
    window.state.show_image(start)
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.index == start


def test_a_selected_anchor_is_forgotten_when_the_anchors_change(window, qtbot):
    from rpnviz.app.viewing import Selection

    window.state.select(Selection(anchor=100))
    window.state.update("match", fg_iou_thresh=0.6)
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.selection.anchor == 100
    window.state.update("anchors", sizes=((24,), (64,), (128,), (256,), (512,)))
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.selection.anchor is None


def test_n_walks_through_the_problems_worst_first_and_on_to_other_images(window, qtbot):
    open_image(window, qtbot, "rocket.jpg")
    best = []
    for _ in range(3):
        key(qtbot, window, Qt.Key.Key_N)
        qtbot.waitUntil(lambda: settled(window))
        best.append(float(result(window).match.gt_best_iou[window.state.selection.gt]))
    assert best == sorted(best)
    assert window.table.table.currentIndex().row() >= 0
    for _ in range(60):
        key(qtbot, window, Qt.Key.Key_N)
        qtbot.waitUntil(lambda: settled(window), timeout=20000)
        if window.state.record.file_name != "rocket.jpg":
            break
    assert window.state.record.file_name != "rocket.jpg"
    assert window.state.selection.gt is not None


def test_selecting_a_row_shows_only_its_anchors(window, qtbot):
    open_image(window, qtbot, "coins.png")
    rect = window.table.table.visualRect(window.table.proxy.index(3, 1))
    qtbot.mouseClick(window.table.table.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    gt = window.state.selection.gt
    assert gt == 3
    assert f"GT {gt}" in window.selection.name.text()
    for layer in window.canvas.layers:
        if layer.key in (LayerKey.POSITIVE, LayerKey.FORCED):
            assert (result(window).match.matched_gt[layer.ids] == gt).all()
    key(qtbot, window, Qt.Key.Key_Escape)
    assert window.state.selection.gt is None


def test_a_click_in_the_canvas_selects_and_the_hover_names_the_anchor(window, qtbot):
    open_image(window, qtbot, "coins.png")
    box = window.state.record.gt.boxes[5]
    place = window.canvas._to_view(box[0], (box[1] + box[3]) / 2).toPoint()
    qtbot.mouseMove(window.canvas, place)
    qtbot.waitUntil(lambda: window.canvas.hover_hit is not None, timeout=2000)
    qtbot.mouseClick(window.canvas, Qt.MouseButton.LeftButton, pos=place)
    assert window.state.selection.gt is not None
    gt = window.state.selection.gt
    mine = result(window).match.positives_of(gt)
    assert len(mine)
    x1, y1, _, y2 = result(window).frame.to_original(result(window).anchors.boxes[mine[:1]])[0]
    window.canvas.look_at(6, x1, (y1 + y2) / 2)
    place = window.canvas._to_view(x1, y1 + (y2 - y1) * 0.3).toPoint()
    qtbot.mouseMove(window.canvas, place + QPoint(1, 0))
    qtbot.mouseMove(window.canvas, place)
    qtbot.waitUntil(lambda: "GT" in window.selection.hover.text(), timeout=2000)
    text = window.selection.hover.text()
    assert f"GT {gt}" in text
    window.state.set_layer_visible(LayerKey.GT, False)
    qtbot.mouseMove(window.canvas, place + QPoint(1, 0))
    qtbot.waitUntil(lambda: "row" in window.selection.hover.text(), timeout=2000)
    assert "IoU" in window.selection.hover.text()


def test_a_quick_click_means_what_is_under_it(window, qtbot):
    open_image(window, qtbot, "coins.png")
    box = window.state.record.gt.boxes[5]
    edge = window.canvas._to_view(box[0], (box[1] + box[3]) / 2).toPoint()
    qtbot.mouseMove(window.canvas, edge)
    qtbot.waitUntil(lambda: window.canvas.hover_hit is not None, timeout=2000)
    outside = QPoint(5, 5)
    qtbot.mouseMove(window.canvas, outside)
    qtbot.mouseClick(window.canvas, Qt.MouseButton.LeftButton, pos=outside)  # before the hover has looked again
    assert window.state.selection.gt is None
    assert window.state.selection.anchor is None


def test_no_change_of_parameters_resizes_the_window(window, qtbot):
    window.resize(window.minimumSizeHint())
    # In a narrow window the key takes more rows, and with them the window its least height.
    qtbot.waitUntil(lambda: window.height() >= window.minimumSizeHint().height())
    size = None
    while size != window.size():  # until it has come to rest
        size = window.size()
        qtbot.wait(300)
    for fg in (0.31, 0.9, 0.5):
        window.state.update("match", fg_iou_thresh=fg)
        qtbot.waitUntil(lambda: settled(window))
        qtbot.wait(10)
        assert window.funnel.change.text()
    assert window.size() == size


def test_the_wheel_over_a_control_scrolls_and_changes_nothing(window, qtbot):
    params = window.state.params
    window.canvas.setFocus()
    for control in (window.controls.matching.thresholds.slider, window.controls.matching.thresholds.positive):
        at = QPointF(control.rect().center())
        event = QWheelEvent(
            at,
            QPointF(control.mapToGlobal(at.toPoint())),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(control, event)
    assert window.state.params == params


def test_zoom_keeps_the_point_under_the_pointer(window):
    canvas = window.canvas
    at = QPointF(200, 150)
    fixed = canvas._to_image(at)
    event = QWheelEvent(
        at,
        QPointF(canvas.mapToGlobal(at.toPoint())),
        QPoint(),
        QPoint(0, 360),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    before = canvas.zoom
    QApplication.sendEvent(canvas, event)
    assert canvas.zoom == pytest.approx(before * 1.25**3)
    assert canvas._to_image(at).x() == pytest.approx(fixed.x(), abs=0.01)
    assert canvas._to_image(at).y() == pytest.approx(fixed.y(), abs=0.01)
    window.do_zoom_full()
    assert canvas.zoom == 1.0
    window.do_zoom_fit()
    assert canvas.zoom == pytest.approx(before)


def test_a_drag_pans_and_does_not_select(window, qtbot):
    canvas = window.canvas
    window.do_zoom_full()
    canvas.zoom_to(4)
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    before = canvas._to_image(QPointF(middle))
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 11):
        qtbot.mouseMove(canvas, middle + QPoint(4 * step, 2 * step))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(40, 20))
    after = canvas._to_image(QPointF(middle))
    assert before.x() - after.x() == pytest.approx(8, abs=2.1)  # 40 px less the first move, which starts the drag
    assert window.state.selection.gt is None


def test_layer_keys_and_legend_agree(window, qtbot):
    assert window.legend.rows[LayerKey.NEUTRAL].isChecked() is False
    digit = next(spec.digit for spec in window_layers(window) if spec.key is LayerKey.NEUTRAL)
    key(qtbot, window, Qt.Key(ord(str(digit))))
    assert LayerKey.NEUTRAL in window.state.layers.visible
    assert window.legend.rows[LayerKey.NEUTRAL].isChecked()
    qtbot.mouseClick(window.legend.rows[LayerKey.NEUTRAL], Qt.MouseButton.LeftButton)
    assert LayerKey.NEUTRAL not in window.state.layers.visible
    key(qtbot, window, Qt.Key.Key_A)
    assert window.state.layers.everything
    assert any(layer.dense for layer in window.canvas.layers)


def window_layers(window):
    from rpnviz.drawing.scene import LAYERS

    return LAYERS[window.state.world]


def test_hidden_layers_change_the_picture_and_back(window):
    before = window.canvas.compose()
    window.state.set_layer_visible(LayerKey.GT, False)
    without = window.canvas.compose()
    window.state.set_layer_visible(LayerKey.GT, True)
    assert (without != before).any()
    np.testing.assert_array_equal(window.canvas.compose(), before)


def test_f_leaves_the_canvas_alone(window, qtbot):
    key(qtbot, window, Qt.Key.Key_F)
    assert not window.images.isVisible()
    assert not window.right.isVisible()
    assert window.canvas.isVisible()
    key(qtbot, window, Qt.Key.Key_F)
    assert window.images.isVisible()


def test_find_runs_a_command(window, qtbot):
    key(qtbot, window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    from rpnviz.ui.dialogs.commands import CommandDialog

    dialog = window.findChild(CommandDialog)
    qtbot.keyClicks(dialog.line, "density")
    assert dialog.list.count() == 1
    qtbot.keyClick(dialog.line, Qt.Key.Key_Return)
    assert window.state.layers.everything


def test_shortcuts_are_unique(window):
    seen = {}
    for action in window.actions_by_id.values():
        for shortcut in action.shortcuts():
            assert shortcut.toString() not in seen, (action.text(), seen.get(shortcut.toString()))
            seen[shortcut.toString()] = action.text()
    assert not set(seen) & set("123456789")


def test_the_table_copies_as_tsv(window, qtbot):
    open_image(window, qtbot, "coins.png")
    window.table.table.setFocus()
    qtbot.keyClick(window.table.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().split("\n")
    assert len(lines) == 25
    assert lines[1].split("\t")[:2] == ["0", "coin"]


def test_copied_parameters_are_a_params_document(window, qtbot):
    window.do_copy_params()
    from rpnviz.core import presets

    assert presets.from_document(json.loads(QGuiApplication.clipboard().text())).params == window.state.params


def test_the_theme_switches(window):
    before = window.canvas.compose()
    window.do_toggle_theme()
    assert (window.canvas.compose() != before).any()
    window.do_toggle_theme()
    np.testing.assert_array_equal(window.canvas.compose(), before)


def test_the_table_shows_only_problems_when_asked(window, qtbot):
    open_image(window, qtbot, "rocket.jpg")
    qtbot.mouseClick(window.table.problems, Qt.MouseButton.LeftButton)
    assert 0 < window.table.proxy.rowCount() < window.table.model.rowCount()
    assert window.table.problems.text() == f"Problems {window.table.proxy.rowCount()}"


def test_resizing_and_a_tiny_window_do_not_raise(window, qtbot):
    for size in ((200, 150), (640, 480), (1920, 1080)):
        window.resize(*size)
        qtbot.wait(20)
        window.canvas.compose()


def test_settings_and_layout_survive(window, qtbot):
    from rpnviz.app.settings import load_settings
    from rpnviz.palette import Theme

    window.do_toggle_theme()
    window.panes.setSizes([260, 660, 360])
    sizes = window.panes.sizes()
    window.close()
    assert load_settings().theme is Theme.LIGHT
    from rpnviz.ui.application import make_window

    again = make_window()
    qtbot.addWidget(again)
    again.resize(1280, 800)
    again.show()
    qtbot.waitExposed(again)
    assert again.panes.sizes() == pytest.approx(sizes, abs=2)
    again.close()


def test_a_small_window_keeps_the_picture(window, qtbot):
    window.resize(640, 480)
    qtbot.waitUntil(lambda: window.width() < 700)
    left, middle, right = window.panes.sizes()
    assert left == window.images.minimumWidth()
    assert right == window.right.minimumWidth()
    assert middle >= window.canvas.minimumWidth()
    assert not window.find_button.isVisible()
    assert window.export_button.isVisible()
    window.resize(1280, 800)
    assert window.find_button.isVisible()
    assert window.dim.isVisible()


def test_the_canvas_alone_still_says_what_is_under_the_pointer(window, qtbot):
    open_image(window, qtbot, "coins.png")
    key(qtbot, window, Qt.Key.Key_F)
    qtbot.waitUntil(lambda: not window.right.isVisible() and window.canvas.width() > 1200)
    assert window.legend.isVisible(), "a picture explains itself"
    box = window.state.record.gt.boxes[5]
    place = window.canvas._to_view(box[0], (box[1] + box[3]) / 2).toPoint()
    before = window.canvas.grab().toImage()
    qtbot.mouseMove(window.canvas, place + QPoint(3, 0))
    qtbot.mouseMove(window.canvas, place)
    qtbot.waitUntil(lambda: window.canvas._hover_text != "", timeout=2000)
    after = window.canvas.grab().toImage()
    corner = window.canvas.rect().adjusted(0, window.canvas.height() - 60, -window.canvas.width() // 2, 0)
    assert before.copy(corner) != after.copy(corner)


def test_parameters_can_be_loaded_and_undone(window, qtbot, tmp_path, monkeypatch):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"preset": "mmdetection", "match": {"fg_iou_thresh": 0.6}, "conventions": {}}))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    window.do_open_params()
    qtbot.waitUntil(lambda: settled(window) and window.state.preset.name == "mmdetection")
    assert window.state.params.match.fg_iou_thresh == 0.6
    assert window.state.undo_label == "parameters of mine.json"
    window.do_undo()
    assert window.state.preset.name == "torchvision"
    file.write_text('{"preset": "nobody"}')
    window.do_open_params()
    assert window.banner.text.text().startswith("Could not load the parameters")


def test_the_table_lists_a_category_and_a_size(window, qtbot):
    open_image(window, qtbot, "shapes_1024.png")
    table, names, boxes = window.table, window.state.gt_names, result(window).inputs.gt_boxes
    listed = lambda: [table.proxy.index(row, 0).data() for row in range(table.proxy.rowCount())]  # noqa: E731
    offered = [table.category.itemText(row) for row in range(table.category.count())]
    assert offered == ["Any category", *sorted(set(names))]
    table.category.setCurrentText("circle")
    circles = [gt for gt, name in enumerate(names) if name == "circle"]
    assert listed() == circles
    assert table.summary.text().startswith(f"{len(circles)} listed · ")
    for title, areas in (("Small", boxes), ("Small at input", result(window).gt.boxes)):
        table.sizes.setCurrentText(title)
        area = (areas[:, 2] - areas[:, 0]) * (areas[:, 3] - areas[:, 1])
        assert listed() == [gt for gt in circles if area[gt] < 32**2]
    # Another image without circles: any category again.
    open_image(window, qtbot, "coins.png")
    assert table.category.currentText() == "Any category"
    table.sizes.setCurrentIndex(0)
    assert table.proxy.rowCount() == 24


def test_an_opened_section_of_the_controls_is_scrolled_into_view(window, qtbot):
    controls = window.controls
    window.resize(1000, 700)
    section = controls._sections["Mini-batch"]
    assert controls.verticalScrollBar().value() == 0
    qtbot.mouseClick(section.toggleButton(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: controls.verticalScrollBar().value() > 0)
    top = section.mapTo(controls.viewport(), section.rect().topLeft()).y()
    assert 0 <= top < controls.viewport().height() // 2
