"""The Show section, the frames, and what the legend says of them; through real events."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from support import enter, open_image, settled

from rpnviz.app.viewing import Selection
from rpnviz.drawing.options import BoxFilter, ColourBy, Heat, LayerKey, World


@pytest.fixture
def shown(window, qtbot):
    open_image(window, qtbot, "coins.png")
    return window


def choose(qtbot, combo, value):
    combo.setCurrentIndex(combo.findData(value))
    combo.activated.emit(combo.currentIndex())


def drawn(window, key):
    return np.concatenate([layer.ids for layer in window.canvas.layers if layer.key is key] or [np.zeros(0, int)])


def test_a_level_and_a_shape(shown, qtbot):
    show = shown.controls.show_controls
    shown.state.set_show_all(LayerKey.POSITIVE, True)
    shown.state.set_show_all(LayerKey.FORCED, True)
    choose(qtbot, show.level, 2)
    choose(qtbot, show.shape, 1)
    assert shown.state.layers.only == BoxFilter(level=2, shape=1)
    anchors = shown.state.result.anchors
    ids = drawn(shown, LayerKey.POSITIVE)
    assert len(ids)
    assert {(anchors.place(i).level, anchors.place(i).cell) for i in ids.tolist()} == {(2, 1)}
    assert shown.legend.filter.isVisible()
    assert shown.legend.filter.text() == "Filter: P4 · shape 2  ✕"
    qtbot.mouseClick(shown.legend.filter, Qt.MouseButton.LeftButton)
    assert shown.state.layers.only == BoxFilter()
    assert not shown.legend.filter.isVisible()
    assert show.level.currentText() == "All levels"
    assert show.shape.currentData() is None


def test_ranges_and_the_mini_batch(shown, qtbot):
    show = shown.controls.show_controls
    shown.controls._open("Show", True)
    enter(qtbot, show.iou.low, "0.75")
    enter(qtbot, show.sizes.high, "128")
    assert shown.state.layers.only == BoxFilter(iou=(0.75, 1.0), size=(0.0, 128.0))
    assert shown.state.result.match.best_iou[drawn(shown, LayerKey.POSITIVE)].min() >= 0.75
    enter(qtbot, show.sizes.high, "any")
    assert shown.state.layers.only == BoxFilter(iou=(0.75, 1.0))
    assert show.sizes.high.text() == "any"
    show.sampled.click()
    assert shown.state.layers.only.sampled
    assert set(drawn(shown, LayerKey.POSITIVE).tolist()) <= set(shown.state.result.sample.positive.tolist())
    qtbot.keyClick(QApplication.focusWidget() or shown, Qt.Key.Key_Escape, Qt.KeyboardModifier.ShiftModifier)
    assert shown.state.layers.only == BoxFilter()
    assert not show.sampled.isChecked()


def test_colours_are_explained(shown, qtbot):
    show = shown.controls.show_controls
    assert not shown.legend._extra.isVisible()
    choose(qtbot, show.colour, ColourBy.LEVEL)
    assert {layer.shade.text for layer in shown.canvas.layers if layer.key is LayerKey.POSITIVE} <= {
        "P2",
        "P3",
        "P4",
        "P5",
        "P6",
    }
    texts = [shown.legend._scale.itemAt(i).widget().text() for i in range(1, shown.legend._scale.count(), 2)]
    assert texts == ["P2", "P3", "P4", "P5", "P6"]
    choose(qtbot, show.colour, ColourBy.LABEL)
    assert not shown.legend._extra.isVisible()


def test_a_heat_map_takes_the_place_of_outlines(shown, qtbot):
    show = shown.controls.show_controls
    before = shown.canvas.compose()
    plain = [layer.rows.tolist() for layer in shown.canvas.layers]
    choose(qtbot, show.heat, Heat.BEST_IOU)
    assert {layer.key for layer in shown.canvas.layers} == {LayerKey.GT}
    assert shown.canvas.backdrop.heat is not None
    assert shown.legend._scale.itemAt(1).widget().text() == "Best IoU per position, 0 to 1"
    assert "behind the heat map" in shown.legend.rows[LayerKey.POSITIVE].text()
    choose(qtbot, show.heat, Heat.NONE)
    assert [layer.rows.tolist() for layer in shown.canvas.layers] == plain
    qtbot.waitUntil(lambda: shown.canvas.compose().shape == before.shape)
    np.testing.assert_array_equal(shown.canvas.compose(), before)


def test_each_world_has_its_own_heat_maps_and_filter(shown, qtbot):
    show = shown.controls.show_controls
    choose(qtbot, show.level, 1)
    shown.state.set_world(World.MODEL)
    qtbot.waitUntil(lambda: shown.state.result is not None and settled(shown), timeout=20000)
    assert shown.state.layers.only == BoxFilter()
    assert show.heat.findData(Heat.OBJECTNESS) >= 0
    assert show.heat.findData(Heat.NEGATIVE) < 0
    enter(qtbot, show.score.low, "0.9")
    proposals = shown.state.result.proposals
    assert len(drawn(shown, LayerKey.KEPT)) == min(
        50, np.count_nonzero(proposals.candidates.objectness_prob[proposals.kept] >= 0.9)
    )
    choose(qtbot, show.heat, Heat.OBJECTNESS)
    assert shown.canvas.backdrop.heat.title == "Objectness per position"
    shown.state.set_world(World.TRAINING)
    assert shown.state.layers.only == BoxFilter(level=1)
    assert shown.canvas.backdrop.heat is None


def test_the_network_input_is_one_key_away(shown, qtbot):
    canvas, frame = shown.canvas, shown.state.result.frame
    box = shown.state.record.gt.boxes[5]
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    canvas.look_at(4.0, *middle)
    before = canvas._to_view(*middle)
    qtbot.keyClick(canvas, Qt.Key.Key_I)
    assert shown.state.input_frame
    assert shown.input.isChecked()
    assert canvas._photo.size == frame.input_size
    after = canvas._to_view(*middle)
    assert (after.x(), after.y()) == pytest.approx((before.x(), before.y()), abs=0.5)
    qtbot.mouseClick(shown.original, Qt.MouseButton.LeftButton)
    assert not shown.state.input_frame
    assert canvas._photo.size == frame.image_size
    assert canvas.zoom == pytest.approx(4.0)


def test_padding_is_part_of_the_input(shown, qtbot):
    shown.state.set_preset("matterport")
    shown.state.set_input_frame(True)
    qtbot.waitUntil(lambda: settled(shown))
    frame = shown.state.result.frame
    assert frame.offset != (0, 0) or frame.input_size != frame.resized_size
    assert shown.canvas._photo.size == frame.input_size == (1024, 1024)
    x1, y1, _, y2 = shown.state.record.gt.boxes[0]
    hit = shown.canvas._to_view(x1, (y1 + y2) / 2).toPoint()
    qtbot.mouseClick(shown.canvas, Qt.MouseButton.LeftButton, pos=hit)
    assert shown.state.selection.gt == 0, "boxes are where they are seen"


def test_centres_and_the_anchors_at_the_pointer(shown, qtbot):
    before = shown.canvas.compose()
    qtbot.keyClick(shown.canvas, Qt.Key.Key_G)
    assert shown.state.layers.centres
    assert (shown.canvas.compose() != before).any()
    qtbot.keyClick(shown.canvas, Qt.Key.Key_G)
    np.testing.assert_array_equal(shown.canvas.compose(), before)
    plain = shown.canvas.grab().toImage()
    qtbot.keyClick(shown.canvas, Qt.Key.Key_H)
    qtbot.mouseMove(shown.canvas, QPoint(300, 200))
    qtbot.mouseMove(shown.canvas, QPoint(301, 200))
    assert shown.canvas.pointer.position is not None
    assert shown.canvas.grab().toImage() != plain


def test_a_slow_frame_is_moved_until_the_hand_rests(shown, qtbot):
    canvas = shown.canvas
    canvas._costs = (1.0, 1.0)  # as after frames that took a second
    with qtbot.waitSignal(canvas.painted, timeout=2000):
        canvas.zoom_to(canvas.zoom * 2)
    assert canvas._moved
    moved = canvas.grab().toImage()
    qtbot.waitUntil(lambda: not canvas._moved, timeout=2000)
    full = canvas.grab().toImage()
    assert moved != full, "only then in full quality"
    assert moved.size() == full.size()


def test_one_position_alone(shown, qtbot):
    qtbot.keyClick(shown.canvas, Qt.Key.Key_P)
    assert "No anchor is selected" in [message.title for message in shown.banner.messages]
    anchor = int(shown.state.result.match.positives[0])
    shown.state.select(Selection(anchor=anchor))
    qtbot.keyClick(shown.canvas, Qt.Key.Key_P)
    place = shown.state.result.anchors.place(anchor)
    assert shown.state.layers.only == BoxFilter(position=(place.level, place.row, place.column))
    shown.state.set_everything(True)
    assert len(drawn(shown, LayerKey.EVERYTHING)) == shown.state.result.anchors.lattice[place.level].cells
    assert f"row {place.row} col {place.column}" in shown.legend.filter.text()
    qtbot.keyClick(shown.canvas, Qt.Key.Key_P)
    assert shown.state.layers.only == BoxFilter()


def test_a_filter_of_levels_that_another_trainer_lacks(shown, qtbot):
    """Five levels, then one; nine shapes, then three; another image with a smaller grid."""
    shown.state.set_filter(level=4, shape=2)
    shown.state.set_preset("py-faster-rcnn")
    qtbot.waitUntil(lambda: settled(shown))
    assert shown.state.layers.only == BoxFilter(shape=2)
    shown.state.set_filter(shape=8, position=(0, 30, 40))
    shown.state.set_preset("torchvision")
    qtbot.waitUntil(lambda: settled(shown))
    assert shown.state.layers.only == BoxFilter(position=(0, 30, 40))
    shown.state.set_filter(position=(0, 150, 240))
    open_image(shown, qtbot, "rocket.jpg")
    only = shown.state.layers.only
    height, width = shown.state.result.anchors.lattice[0].grid
    assert only.position is None or (only.position[1] < height and only.position[2] < width)


def test_the_hover_says_the_value_of_a_heat_map(shown, qtbot):
    choose(qtbot, shown.controls.show_controls.heat, Heat.BEST_IOU)
    shown.state.set_layer_visible(LayerKey.GT, False)
    box = shown.state.record.gt.boxes[5]
    place = shown.canvas._to_view((box[0] + box[2]) / 2, (box[1] + box[3]) / 2).toPoint()
    qtbot.mouseMove(shown.canvas, place + QPoint(4, 0))
    qtbot.mouseMove(shown.canvas, place)
    qtbot.waitUntil(lambda: shown.selection.hover.text().startswith("Best IoU per position: 0."), timeout=2000)


def test_a_mini_batch_filter_ends_where_there_is_no_mini_batch(shown, qtbot):
    shown.state.set_filter(sampled=True)
    shown.state.set_preset("keras-retinanet")
    qtbot.waitUntil(lambda: settled(shown))
    assert shown.state.layers.only == BoxFilter()
