"""Hover, lists, rubber band and keys on the canvas, by real events."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication
from support import open_image, settled

from rpnviz.app.viewing import Selection
from rpnviz.core.matching import AnchorState
from rpnviz.drawing.scene import LayerKey
from rpnviz.ui.canvas.picking import LOOKS, Kind, Picker, boxes_of

NONE, SHIFT, ALT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
LEFT, NO_BUTTON = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton


def move(canvas, at, modifiers=NONE, buttons=NO_BUTTON):
    place = QPointF(at)
    event = QMouseEvent(
        QEvent.Type.MouseMove, place, QPointF(canvas.mapToGlobal(place.toPoint())), NO_BUTTON, buttons, modifiers
    )
    QApplication.sendEvent(canvas, event)


def hover(window, qtbot, at, modifiers=NONE):
    """Rest the pointer at a widget position until the hover has answered."""
    pointer = window.canvas.pointer
    move(window.canvas, at, modifiers)
    qtbot.waitUntil(lambda: pointer._hits_at == QPointF(at), timeout=2000)
    return pointer.hover_hit


def wheel(canvas, at, x=0, y=0, modifiers=NONE):
    place = QPointF(at)
    event = QWheelEvent(
        place,
        QPointF(canvas.mapToGlobal(place.toPoint())),
        QPoint(),
        QPoint(x, y),
        NO_BUTTON,
        modifiers,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas, event)


def band(window, qtbot, start, end, *, release=True):
    canvas = window.canvas
    qtbot.mousePress(canvas, LEFT, SHIFT, start)
    for step in range(1, 5):
        move(canvas, start + (end - start) * step / 4, SHIFT, LEFT)
    if release:
        qtbot.mouseRelease(canvas, LEFT, SHIFT, end)


def band_around(window, qtbot, box, margin=0.5):
    """Drag a rubber band around a box, original pixels."""
    to_view = window.canvas._to_view
    start = to_view(box[0] - margin, box[1] - margin).toPoint() - QPoint(1, 1)
    end = to_view(box[2] + margin, box[3] + margin).toPoint() + QPoint(1, 1)
    band(window, qtbot, start, end)


def context_menu(window, at, modifiers=NONE):
    canvas = window.canvas
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, canvas.mapToGlobal(at), modifiers)
    QApplication.sendEvent(canvas, event)
    return canvas.pointer._menu


def edge_of(window, gt):
    """Widget position on the middle of the left side of a ground-truth box."""
    box = window.state.record.gt.boxes[gt]
    return window.canvas._to_view(box[0], (box[1] + box[3]) / 2).toPoint()


@pytest.fixture
def coins(window, qtbot):
    open_image(window, qtbot, "coins.png")
    return window


@pytest.fixture
def model_coins(coins, qtbot):
    coins.do_model_world()
    qtbot.waitUntil(lambda: coins.state.result is not None and settled(coins), timeout=60000)
    return coins


def expected_order(window, x, y, reach, inside):
    """The rank by a plain loop over every box of the layers."""
    rows, seen = [], set()
    kinds = {"forced": 2, "positive": 3, "kept": 4, "suppressed": 5, "candidates": 6, "neutral": 7, "negative": 8}
    for layer in window.canvas.layers:
        for box, index in zip(layer.boxes.tolist(), layer.ids.tolist(), strict=True):
            x1, y1, x2, y2 = box
            kind = {"gt_problem": 0, "gt": 1}.get(layer.role) if layer.key is LayerKey.GT else kinds[layer.key]
            dx, dy = max(x1 - x, x - x2), max(y1 - y, y - y2)
            contains = dx <= 0 and dy <= 0
            distance = -max(dx, dy) if contains else float(np.hypot(max(dx, 0), max(dy, 0)))
            near = distance <= reach
            if not (near or (contains and (inside or layer.key is LayerKey.GT))):
                continue
            if not inside and kind == 8:
                continue
            step = int(distance // (reach / 3))
            rows.append((not near and not inside, kind, step, (x2 - x1) * (y2 - y1), distance, index))
    rows.sort()
    result = []
    for row in rows:
        name = (row[1] <= 1, row[-1])
        if name not in seen:
            seen.add(name)
            result.append((row[1], row[-1]))
    return result


def test_the_rank_is_that_of_a_plain_loop(coins):
    window = coins
    for key in (LayerKey.NEUTRAL, LayerKey.NEGATIVE):
        window.state.set_layer_visible(key, True)
    picker = Picker(window.canvas.layers, window.state.result, window.state.world)
    rng = np.random.default_rng(3)
    for inside in (False, True):
        for x, y in rng.uniform((0, 0), (384, 303), (6, 2)).tolist():
            hits = picker.at(x, y, 3.7, inside=inside)
            found = [(int(hit.kind), hit.index) for hit in hits]
            expected = expected_order(window, x, y, 3.7, inside)
            assert hits.total == len(expected)
            # Areas of one shape differ by a rounding error in original pixels; kinds and members are exact.
            assert [kind for kind, _ in found] == [kind for kind, _ in expected][: len(found)]
            if len(expected) <= 2000:
                assert set(found) == set(expected)
    assert len(picker.at(190, 150, 3.7, inside=True)) > 500


def test_the_proposals_have_the_same_rank(model_coins):
    window = model_coins
    for key in (LayerKey.SUPPRESSED, LayerKey.CANDIDATES):
        window.state.set_layer_visible(key, True)
    picker = Picker(window.canvas.layers, window.state.result, window.state.world)
    for x, y in np.random.default_rng(4).uniform((0, 0), (384, 303), (8, 2)).tolist():
        for inside in (False, True):
            hits = picker.at(x, y, 3.7, inside=inside)
            expected = expected_order(window, x, y, 3.7, inside)
            assert [int(hit.kind) for hit in hits] == [kind for kind, _ in expected]
            assert {hit.index for hit in hits} == {index for _, index in expected}


def test_the_hover_comes_after_a_moment_and_counts(coins, qtbot):
    window = coins
    at = edge_of(window, 5)
    move(window.canvas, at)
    assert window.canvas.hover_hit is None
    hit = hover(window, qtbot, at)
    assert (hit.kind, hit.index) == (Kind.GT, 5)
    total = window.canvas.pointer._hits.total
    assert total > 1
    assert f"1/{total}" in window.selection.hover.text()


def test_tab_walks_through_the_hits_and_then_moves_on(coins, qtbot):
    window, canvas = coins, coins.canvas
    canvas.setFocus()
    hover(window, qtbot, edge_of(window, 5))
    total = canvas.pointer._hits.total
    seen = [canvas.hover_hit]
    for number in range(2, total + 1):
        qtbot.keyClick(canvas, Qt.Key.Key_Tab)
        assert canvas.hasFocus()
        assert f"{number}/{total}" in window.selection.hover.text()
        seen.append(canvas.hover_hit)
    assert len({(hit.kind, hit.index) for hit in seen}) == total
    qtbot.keyClick(canvas, Qt.Key.Key_Return)
    assert seen[-1].index in (window.state.selection.gt, window.state.selection.anchor)
    hover(window, qtbot, edge_of(window, 5) + QPoint(1, 0))
    hover(window, qtbot, edge_of(window, 5))
    qtbot.keyClick(canvas, Qt.Key.Key_Backtab, SHIFT)
    assert not canvas.hasFocus()  # before the first
    canvas.setFocus()
    for _ in range(canvas.pointer._hits.total):
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    assert not canvas.hasFocus()  # behind the last


@pytest.mark.parametrize("axis", ["x", "y"])
def test_shift_and_wheel_cycle_and_do_not_zoom(coins, qtbot, axis):
    window, canvas = coins, coins.canvas
    at, zoom = edge_of(window, 5), canvas.zoom
    first = hover(window, qtbot, at)
    total = canvas.pointer._hits.total
    wheel(canvas, at, **{axis: -60}, modifiers=SHIFT)  # half a notch of a fine wheel
    assert canvas.hover_hit == first
    wheel(canvas, at, **{axis: -60}, modifiers=SHIFT)
    assert canvas.hover_hit != first
    for _ in range(total - 1):
        wheel(canvas, at, **{axis: -120}, modifiers=SHIFT)
    assert canvas.hover_hit == first
    wheel(canvas, at, **{axis: 120}, modifiers=SHIFT)
    assert f"{total}/{total}" in window.selection.hover.text()
    assert canvas.zoom == zoom
    wheel(canvas, at, y=120)
    wheel(canvas, at, x=120, modifiers=ALT)  # as Qt turns it
    assert canvas.zoom == pytest.approx(zoom * 1.25**2)


def test_negatives_are_named_only_with_alt(coins, qtbot):
    window = coins
    at = QPoint(8, 8) + window.canvas._to_view(0, 0).toPoint()
    window.state.set_layer_visible(LayerKey.GT, False)
    hit = hover(window, qtbot, at)
    assert hit is None
    hit = hover(window, qtbot, at + QPoint(1, 1), ALT)
    assert hit.kind is Kind.NEGATIVE
    assert "Negative" in window.selection.hover.text()
    window.canvas.setFocus()
    QApplication.sendEvent(window.canvas, QKeyEvent(QEvent.Type.KeyRelease, Qt.Key.Key_Alt, NONE))
    qtbot.waitUntil(lambda: window.canvas.hover_hit is None, timeout=2000)


def test_a_layer_drawn_as_density_can_be_hovered(coins, qtbot):
    window = coins
    window.state.show_only(frozenset({LayerKey.NEUTRAL}))
    assert window.canvas.layers[0].dense
    box = window.canvas.layers[0].boxes[1000]
    hit = hover(window, qtbot, window.canvas._to_view(box[0], (box[1] + box[3]) / 2).toPoint())
    assert hit.kind is Kind.NEUTRAL


def test_what_a_filter_hides_is_not_picked(coins, qtbot):
    window = coins
    window.state.set_everything(True)
    at = QPointF(edge_of(window, 5))
    before = window.canvas.pointer.find(at, inside=True)
    window.state.set_filter(level=0)
    hits = window.canvas.pointer.find(at, inside=True)
    assert 0 < hits.total < before.total
    assert {window.state.result.anchors.place(hit.index).level for hit in hits if not hit.kind.is_gt} == {0}


def test_a_right_click_lists_everything_there(coins, qtbot):
    window, canvas = coins, coins.canvas
    at = edge_of(window, 5)
    menu = context_menu(window, at)
    kinds = {hit.kind for _, hit in menu.entries}
    assert Kind.GT in kinds
    assert kinds & {Kind.FORCED, Kind.POSITIVE}
    assert not kinds & {Kind.NEGATIVE, Kind.NEUTRAL}
    qtbot.keyClick(menu, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: canvas.pointer._menu is None)

    window.state.set_everything(True)
    menu = context_menu(window, at)
    hits = canvas.pointer.find(QPointF(at), inside=True)
    assert hits.total > 500
    assert {hit.kind for _, hit in menu.entries} >= {Kind.GT, Kind.NEUTRAL, Kind.NEGATIVE}
    assert 20 <= len(menu.entries) <= 40
    more = [action.text() for action in menu.actions() if "more" in action.text()]
    told = sum(int(text.split()[1].replace(",", "")) for text in more)
    assert told + len(menu.entries) == hits.total
    sections = [action.text() for action in menu.actions() if action.isSeparator() and action.text()]
    assert sections == [LOOKS[kind][0] for kind in sorted(hits.counts)]
    menu.close()


def test_alt_lists_the_negatives_too(coins, qtbot):
    menu = context_menu(coins, edge_of(coins, 5), ALT)
    assert Kind.NEGATIVE in {hit.kind for _, hit in menu.entries}
    menu.close()


def test_an_entry_highlights_its_box_and_selects_it(coins, qtbot):
    window, canvas = coins, coins.canvas
    at = edge_of(window, 5)
    menu = context_menu(window, at)
    before = canvas.grab().toImage()
    qtbot.keyClick(menu, Qt.Key.Key_Down)
    qtbot.keyClick(menu, Qt.Key.Key_Down)
    hit = next(hit for action, hit in menu.entries if action is menu.activeAction())
    assert canvas.pointer._listed == hit
    assert canvas.grab().toImage() != before
    assert not hit.kind.is_gt
    qtbot.keyClick(menu, Qt.Key.Key_Return)
    assert window.state.selection.anchor == hit.index
    assert canvas.pointer._listed is None
    qtbot.waitUntil(lambda: canvas.pointer._menu is None)
    menu = context_menu(window, at)
    assert [hit.index for action, hit in menu.entries if action.isChecked()] == [hit.index]
    rect = menu.actionGeometry(menu.entries[0][0])
    qtbot.mouseClick(menu, LEFT, pos=rect.center())
    assert window.state.selection == Selection(gt=5)


@pytest.mark.parametrize(("key", "modifier"), [(Qt.Key.Key_Menu, NONE), (Qt.Key.Key_F10, SHIFT)])
def test_the_list_opens_by_key_at_the_pointer(coins, qtbot, key, modifier):
    window, canvas = coins, coins.canvas
    canvas.setFocus()
    hover(window, qtbot, edge_of(window, 5))
    qtbot.keyClick(canvas, key, modifier)
    menu = canvas.pointer._menu
    assert menu.isVisible()
    assert (Kind.GT, 5) in {(hit.kind, hit.index) for _, hit in menu.entries}
    assert [hit.index for action, hit in menu.entries if action.isChecked()] == [canvas.hover_hit.index]
    menu.close()
    QApplication.processEvents()
    assert canvas.pointer._menu is None


def test_a_list_closes_when_its_boxes_are_no_longer_those_shown(coins, qtbot):
    window = coins
    menu = context_menu(window, edge_of(window, 5))
    window.state.update("anchors", sizes=((24,), (64,), (128,), (256,), (512,)))
    qtbot.waitUntil(lambda: settled(window))
    assert window.canvas.pointer._menu is None or not menu.isVisible()


def test_a_list_far_from_everything_says_so(coins, qtbot):
    menu = context_menu(coins, QPoint(3, 3))
    assert [action.text() for action in menu.actions()] == ["Nothing is drawn here"]
    menu.close()


def test_a_rubber_band_selects_what_lies_wholly_inside(coins, qtbot):
    window = coins
    boxes = window.state.record.gt.boxes
    start = window.canvas._to_view(10, 10).toPoint()
    end = window.canvas._to_view(200, 180).toPoint()
    band(window, qtbot, start, end)
    a, b = window.canvas._to_image(QPointF(start)), window.canvas._to_image(QPointF(end))
    many = window.state.selection.many

    def inside(box):
        return box[0] >= a.x() and box[1] >= a.y() and box[2] <= b.x() and box[3] <= b.y()

    assert many.gts.tolist() == [gt for gt, box in enumerate(boxes) if inside(box)]
    expected = {
        int(index)
        for layer in window.canvas.layers
        if layer.key is not LayerKey.GT
        for box, index in zip(layer.boxes, layer.ids, strict=True)
        if inside(box)
    }
    assert set(many.anchors.tolist()) == expected
    assert len(expected) > 3
    panel = window.selection
    assert panel.name.text() == f"{len(many)} boxes"
    assert panel.verdict.text() == f"{len(many.gts)} GT · {len(expected)} anchors"
    result = window.state.result
    positive = int((result.match.state[many.anchors] == AnchorState.POSITIVE).sum())
    assert f"{positive} positive" in panel.body.text()
    iou = result.match.best_iou[many.anchors]
    assert f"{iou.min():.2f} to {iou.max():.2f}, median {np.median(iou):.2f}" in panel.body.text()
    drawn = int(np.isin(many.anchors, result.sample.positive).sum())
    assert f"{drawn} drawn into this mini-batch" in panel.body.text()
    assert "px (input" in panel.size_line.text()
    plain = window.canvas.grab().toImage()
    qtbot.keyClick(window.canvas, Qt.Key.Key_Escape)
    assert window.state.selection == Selection()
    assert window.canvas.grab().toImage() != plain


def test_a_band_around_one_box_selects_it(coins, qtbot):
    window = coins
    window.state.show_only(frozenset({LayerKey.GT}))
    band_around(window, qtbot, window.state.record.gt.boxes[5])
    assert window.state.selection == Selection(gt=5)
    qtbot.keyClick(window.canvas, Qt.Key.Key_Escape)
    window.state.show_only(frozenset({LayerKey.FORCED}))
    layer = window.canvas.layers[0]
    smallest = int(np.argmin(layer.boxes[:, 2] - layer.boxes[:, 0]))
    band_around(window, qtbot, layer.boxes[smallest])
    chosen = window.state.selection
    anchors = [chosen.anchor] if chosen.many is None else chosen.many.anchors.tolist()
    assert int(layer.ids[smallest]) in anchors


def test_a_band_over_nothing_selects_nothing(coins, qtbot):
    band(coins, qtbot, QPoint(2, 2), QPoint(12, 12))
    assert coins.state.selection == Selection()


def test_escape_gives_up_a_band(coins, qtbot):
    window, canvas = coins, coins.canvas
    canvas.setFocus()
    window.state.select(Selection(gt=3))
    plain = canvas.grab().toImage()
    band(window, qtbot, QPoint(100, 40), QPoint(400, 300), release=False)
    assert "boxes inside" in window.selection.hover.text()
    assert canvas.grab().toImage() != plain
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    qtbot.mouseRelease(canvas, LEFT, SHIFT, QPoint(400, 300))
    assert window.state.selection == Selection(gt=3)
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert window.state.selection == Selection()


def test_a_band_goes_on_when_the_pointer_leaves(coins, qtbot):
    window, canvas = coins, coins.canvas
    band(window, qtbot, QPoint(100, 40), QPoint(400, 300), release=False)
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Leave))
    canvas.grab()
    qtbot.mouseRelease(canvas, LEFT, SHIFT, QPoint(400, 300))
    assert window.state.selection.many is not None


def test_a_band_takes_in_what_is_drawn_as_density(coins, qtbot):
    window = coins
    window.state.set_everything(True)
    band(window, qtbot, QPoint(2, 2), QPoint(window.canvas.width() - 2, window.canvas.height() - 2))
    many = window.state.selection.many
    assert len(many.anchors) > 100_000
    assert "Outlines are drawn for up to 300" in window.selection.body.text()
    window.canvas.compose()
    window.state.update("anchors", sizes=((24,), (64,), (128,), (256,), (512,)))
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.selection.many is None  # the same indices are other anchors now


def test_the_selected_rows_copy_as_a_table(coins, qtbot):
    window = coins
    band(window, qtbot, window.canvas._to_view(10, 10).toPoint(), window.canvas._to_view(200, 180).toPoint())
    many, result = window.state.selection.many, window.state.result
    qtbot.keyClick(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier | SHIFT)
    by_key = QGuiApplication.clipboard().text()
    lines = [line.split("\t") for line in by_key.split("\n")]
    assert lines[0] == ["index", "level", "row", "column", "shape", "state", "IoU", "GT"]
    assert len(lines) == 1 + len(many)
    assert [line[-1] for line in lines[1 : 1 + len(many.gts)]] == [str(gt) for gt in many.gts]
    for line in lines[1 + len(many.gts) :]:
        place = result.anchors.place(int(line[0]))
        assert (line[1], line[2], line[3]) == (f"P{place.level + 2}", str(place.row), str(place.column))
        assert float(line[6]) == pytest.approx(float(result.match.best_iou[int(line[0])]), abs=1e-4)
    qtbot.keyClick(window.canvas, Qt.Key.Key_Escape)
    qtbot.keyClick(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier | SHIFT)
    assert QGuiApplication.clipboard().text() == by_key
    assert "Nothing is selected" in window.banner.messages[-1].title


def test_arrows_step_through_cells_levels_and_shapes(coins, qtbot):
    window, canvas = coins, coins.canvas
    anchors = window.state.result.anchors
    start = anchors.index(2, 10, 10, 1)
    canvas.setFocus()
    window.state.select(Selection(gt=5, anchor=start))

    def place_after(key, modifier=NONE):
        qtbot.keyClick(canvas, key, modifier)
        return anchors.place(window.state.selection.anchor)

    assert place_after(Qt.Key.Key_Right) == (2, 10, 11, 1)
    assert place_after(Qt.Key.Key_Down) == (2, 11, 11, 1)
    assert place_after(Qt.Key.Key_Left) == (2, 11, 10, 1)
    assert place_after(Qt.Key.Key_Up) == (2, 10, 10, 1)
    assert place_after(Qt.Key.Key_Right, SHIFT) == (2, 10, 10, 2)
    assert place_after(Qt.Key.Key_Right, SHIFT) == (2, 10, 10, 2)  # there is no fourth shape
    assert place_after(Qt.Key.Key_Left, SHIFT) == (2, 10, 10, 1)
    assert place_after(Qt.Key.Key_Up, SHIFT).level == 3
    assert place_after(Qt.Key.Key_Down, SHIFT).level == 2
    assert window.state.selection.gt == 5
    assert "row" in window.selection.name.text()


def test_a_step_out_of_sight_scrolls(coins, qtbot):
    window, canvas = coins, coins.canvas
    canvas.setFocus()
    anchors = window.state.result.anchors
    start = anchors.index(1, 20, 20, 1)
    window.state.select(Selection(anchor=start))
    canvas.zoom_to(12)
    canvas.show_box(tuple(boxes_of(window.state.result, window.state.world, np.array([start]))[0].tolist()))
    zoom = canvas.zoom
    for _ in range(40):
        qtbot.keyClick(canvas, Qt.Key.Key_Right)
        x1, y1, x2, y2 = boxes_of(window.state.result, window.state.world, np.array([window.state.selection.anchor]))[0]
        at = canvas._to_view((x1 + x2) / 2, (y1 + y2) / 2)
        assert 0 <= at.x() <= canvas.width()
        assert 0 <= at.y() <= canvas.height()
    assert canvas.zoom == zoom


def test_arrows_pan_where_no_anchor_is_selected(coins, qtbot):
    canvas = coins.canvas
    canvas.setFocus()
    canvas.zoom_to(6)
    before = canvas._to_image(QPointF(100, 100))
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    assert canvas._to_image(QPointF(100, 100)).x() == pytest.approx(before.x() + 10)


def test_c_selects_an_anchor(coins, qtbot):
    window, canvas = coins, coins.canvas
    result = window.state.result
    at = canvas._to_view(200, 150).toPoint()
    move(canvas, at)
    qtbot.keyClick(canvas, Qt.Key.Key_C)
    boxes = result.frame.to_original(result.anchors.boxes)
    place = canvas._to_image(QPointF(at))
    far = np.hypot((boxes[:, 0] + boxes[:, 2]) / 2 - place.x(), (boxes[:, 1] + boxes[:, 3]) / 2 - place.y())
    assert far[window.state.selection.anchor] == pytest.approx(far.min(), abs=0.05)
    window.state.select(Selection(gt=5))
    qtbot.keyClick(canvas, Qt.Key.Key_C)
    chosen = window.state.selection
    assert chosen.gt == 5
    assert result.match.best_iou[chosen.anchor] == pytest.approx(result.match.gt_best_iou[5], abs=1e-6)


def test_the_model_world_picks_proposals_and_steps_over_their_anchors(model_coins, qtbot):
    window, canvas = model_coins, model_coins.canvas
    result = window.state.result
    kept = next(layer for layer in canvas.layers if layer.key is LayerKey.KEPT)
    box = kept.boxes[0]
    window.state.show_only(frozenset({LayerKey.KEPT}))
    hit = hover(window, qtbot, canvas._to_view(box[0], (box[1] + box[3]) / 2).toPoint())
    assert hit.kind is Kind.KEPT
    assert "score" in window.selection.hover.text()
    menu = context_menu(window, canvas._to_view(box[0], (box[1] + box[3]) / 2).toPoint())
    assert all("score" in action.text() for action, _ in menu.entries)
    menu.close()
    band(window, qtbot, QPoint(2, 2), QPoint(canvas.width() - 2, canvas.height() - 2))
    many = window.state.selection.many
    assert set(many.anchors.tolist()) == set(result.proposals.anchor_index.tolist())
    scores = result.proposals.candidates.objectness_prob[result.proposals.kept]
    assert f"Objectness {scores.min():.2f} to {scores.max():.2f}" in window.selection.body.text()
    qtbot.keyClick(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier | SHIFT)
    lines = QGuiApplication.clipboard().text().split("\n")
    assert lines[0].split("\t")[6] == "score"
    assert len(lines) == 1 + len(many)
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    window.state.select(Selection(anchor=result.anchors.index(2, 3, 3, 1)))
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    assert result.anchors.place(window.state.selection.anchor) == (2, 3, 4, 1)
    qtbot.keyClick(canvas, Qt.Key.Key_C)
    window.state.select(Selection(gt=5))
    qtbot.keyClick(canvas, Qt.Key.Key_C)
    assert window.state.selection.anchor is not None


@pytest.fixture
def odd_window(empty_window, qtbot, tmp_path):
    """Images of one pixel, without boxes, and with boxes that are none."""
    images = [("pixel.png", 1, 1), ("bare.png", 64, 48), ("broken.png", 80, 60)]
    for name, width, height in images:
        cv2.imwrite(str(tmp_path / name), np.full((height, width, 3), 90, np.uint8))
    boxes = [(3, [10, 10, 0, 20]), (3, [30, 30, -8, -8]), (3, [20, 5, 30, 40]), (3, [0, 0, 0, 0]), (1, [0, 0, 1, 1])]
    document = {
        "images": [{"id": k + 1, "file_name": n, "width": w, "height": h} for k, (n, w, h) in enumerate(images)],
        "annotations": [
            {"id": k + 1, "image_id": image, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}
            for k, (image, box) in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "a&b"}],
    }
    (tmp_path / "odd.json").write_text(json.dumps(document))
    empty_window.state.open_paths([tmp_path / "odd.json"])
    qtbot.waitUntil(lambda: settled(empty_window), timeout=10000)
    return empty_window


@pytest.mark.parametrize("model", [False, True])
@pytest.mark.parametrize("name", ["pixel.png", "bare.png", "broken.png"])
def test_odd_images_can_be_picked_on_at_any_zoom(odd_window, qtbot, name, model):
    window, canvas = odd_window, odd_window.canvas
    open_image(window, qtbot, name)
    if model:
        window.do_model_world()
        qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    window.state.set_everything(True)
    canvas.setFocus()
    for zoom in (0.01, 1, 1000):
        canvas.zoom_to(zoom)
        middle = canvas.rect().center()
        hover(window, qtbot, middle, ALT)
        menu = context_menu(window, middle, ALT)
        assert menu.entries
        menu.close()
        window.activateWindow()  # no window manager gives the focus back here
        qtbot.waitUntil(window.isActiveWindow)
        band(window, qtbot, QPoint(2, 2), QPoint(canvas.width() - 2, canvas.height() - 2))
        qtbot.keyClick(canvas, Qt.Key.Key_C)
        assert window.state.selection.anchor is not None
        for key in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down):
            qtbot.keyClick(canvas, key)
            qtbot.keyClick(canvas, key, SHIFT)
        canvas.grab()
        qtbot.keyClick(canvas, Qt.Key.Key_Escape)
        assert window.state.selection == Selection()


def test_another_image_ends_what_was_being_done(coins, qtbot):
    window, canvas = coins, coins.canvas
    band(window, qtbot, QPoint(100, 40), QPoint(400, 300), release=False)
    open_image(window, qtbot, "coffee.jpg")
    qtbot.mouseRelease(canvas, LEFT, SHIFT, QPoint(400, 300))
    assert window.state.selection == Selection()
    context_menu(window, QPoint(200, 200))
    open_image(window, qtbot, "coins.png")
    QApplication.processEvents()
    assert canvas.pointer._menu is None
