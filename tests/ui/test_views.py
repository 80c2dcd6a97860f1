"""Training views in the window: the strip, the column, the fields, the fixes, the list of images."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from support import enter, open_image, settled

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from made_capture import small, write_capture

from rpnviz.app.survey import UNKNOWN
from rpnviz.app.view_finder import views_text
from rpnviz.app.viewing import Selection
from rpnviz.core import pipeline, presets
from rpnviz.core.matching import Rank
from rpnviz.core.params import CropKind, CropPlaces, TrainViews
from rpnviz.core.views import matched_views, run_views, unmatched_everywhere
from rpnviz.drawing.options import World


def column(window, name):
    header = window.table.model
    names = [header.headerData(number, Qt.Orientation.Horizontal) for number in range(header.columnCount())]
    return names.index(name)


def wait_for_views(window, qtbot):
    qtbot.waitUntil(lambda: settled(window) and bool(window.views.outcomes) and not window.views.busy, timeout=20000)


@pytest.fixture
def coins(window, qtbot):
    """The coins under detectron2, in its usual views."""
    open_image(window, qtbot, "coins.png")
    window.state.set_preset("detectron2")
    qtbot.waitUntil(lambda: settled(window), timeout=10000)
    assert window.views_strip.isHidden()
    assert window.table.table.isColumnHidden(column(window, "Views"))
    qtbot.mouseClick(window.controls.views.usual, Qt.MouseButton.LeftButton)
    wait_for_views(window, qtbot)
    return window


def test_one_click_takes_the_usual_views_and_undo_takes_them_back(coins, qtbot):
    state = coins.state
    assert state.params.views == presets.usual_views("detectron2")
    assert [tile.outcome.view.name for tile in coins.views_strip.tiles][:2] == ["640 px", "640 px · flipped"]
    assert len(coins.views_strip.tiles) == 12
    assert coins.views_strip.isVisible()
    assert coins.changed.text() == "1 changed"
    assert not coins.controls.views.usual.isEnabled()
    coins.do_undo()
    assert state.params.views is None
    assert coins.views_strip.isHidden()
    qtbot.waitUntil(lambda: settled(coins) and not coins.views.outcomes, timeout=10000)
    assert coins.table.table.isColumnHidden(column(coins, "Views"))
    coins.do_redo()
    wait_for_views(coins, qtbot)
    assert len(coins.views_strip.tiles) == 12


def test_the_table_tells_in_how_many_views_each_box_is_matched(coins):
    result, model = coins.state.shown.training, coins.table.model
    outcomes = run_views(result.inputs, result.params, result.conventions)
    place = column(coins, "Views")
    for gt in range(24):
        index = model.index(gt, place)
        assert index.data() == f"{matched_views(outcomes, gt)}/12"
        tip = index.data(Qt.ItemDataRole.ToolTipRole)
        assert tip.startswith(f"GT {gt}: Matched in {matched_views(outcomes, gt)} of 12 views")
        assert len(tip.splitlines()) == 13
    coins.table.table.sortByColumn(place, Qt.SortOrder.AscendingOrder)
    proxy = coins.table.proxy
    order = [int(proxy.index(row, 0).data()) for row in range(proxy.rowCount())]
    counts = [matched_views(outcomes, gt) for gt in order]
    assert counts == sorted(counts)


def test_a_click_on_a_view_tries_its_short_side(coins, qtbot):
    tile = coins.views_strip.tiles[0]
    qtbot.mouseClick(tile, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: coins.state.params.resize.min_size == 640 and settled(coins), timeout=10000)
    assert coins.state.undo_label == "short side of 640 px"
    assert coins.state.shown.training.match.ranks == tile.outcome.ranks
    wait_for_views(coins, qtbot)  # its short sides are the same: so are the views
    assert [tile.outcome.view.min_size for tile in coins.views_strip.tiles][::2] == [640, 672, 704, 736, 768, 800]
    coins.do_undo()
    assert coins.state.params.resize.min_size == 800


def test_the_keyboard_reaches_the_views(coins, qtbot):
    tile = coins.views_strip.tiles[2]
    tile.setFocus()
    qtbot.keyClick(tile, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: coins.state.params.resize.min_size == 672 and settled(coins), timeout=10000)


def test_a_selected_box_is_told_of_in_every_view(coins):
    outcomes = coins.views.outcomes
    gt = next(gt for gt in range(24) if 0 < matched_views(outcomes, gt) < 12)
    coins.state.select(Selection(gt=gt))
    words = views_text(outcomes, gt)
    assert coins.views_strip.summary.text() == f"GT {gt}: {words[0].lower()}{words[1:]}"
    texts = [tile.text_below for tile in coins.views_strip.tiles]
    assert [text.startswith("matched") for text in texts] == [outcome.ranks[gt] is Rank.MATCHED for outcome in outcomes]
    coins.state.select(Selection())
    assert coins.views_strip.tiles[0].text_below == f"{outcomes[0].ranks.count(Rank.MATCHED)} of 24 matched"


def test_fixes_can_be_asked_for_in_every_view(coins, qtbot):
    outcomes, fixes = coins.views.outcomes, coins.selection.fixes
    matched = coins.state.shown.training.match.ranks
    gt = next(gt for gt in range(24) if matched[gt] is Rank.MATCHED and matched_views(outcomes, gt) < 12)
    coins.state.select(Selection(gt=gt))
    assert fixes.in_views.isVisible()
    assert not fixes.rows, "as it is, the box is matched"
    qtbot.mouseClick(fixes.in_views, Qt.MouseButton.LeftButton, pos=fixes.in_views.rect().center() * 0.2)
    qtbot.waitUntil(lambda: bool(fixes.rows), timeout=30000)
    first = fixes.rows[0]
    assert first.views_after.all
    assert fixes.finder.search.views_before.matched == matched_views(outcomes, gt)
    coins.state.try_fix(first)
    wait_for_views(coins, qtbot)
    assert matched_views(coins.views.outcomes, gt) == 12


def test_fields_and_parameters_stay_in_step(coins, qtbot):
    panel, state = coins.controls.views, coins.state
    coins.controls._open("Training views", True)
    enter(qtbot, panel.min_sizes, "320, 400")
    assert state.params.views.min_sizes == (320, 400)
    qtbot.mouseClick(panel.flip, Qt.MouseButton.LeftButton, pos=panel.flip.rect().center() * 0.2)
    assert not state.params.views.flip
    enter(qtbot, panel.padded, "900")
    assert "2 items" in panel.padded.toolTip(), "a wrong field is marked, and says what is allowed"
    assert state.params.views.padded_size == -1
    enter(qtbot, panel.padded, "900, 1400")
    assert state.params.views.padded_size == (900, 1400)
    panel.min_sizes.setFocus()
    panel.min_sizes.selectAll()
    qtbot.keyClick(panel.min_sizes, Qt.Key.Key_Delete)
    qtbot.keyClick(panel.min_sizes, Qt.Key.Key_Return)
    assert state.params.views.min_sizes == -1
    state.update("train_views", crop=CropKind.ABSOLUTE, crop_size=(100, 120), crop_places=CropPlaces.GRID)
    assert panel.crop_size.text() == "100, 120"
    assert panel.places.currentData() == CropPlaces.GRID
    assert not panel.count.isEnabled()
    qtbot.mouseClick(panel.off, Qt.MouseButton.LeftButton)
    assert state.params.views is None
    assert not panel.off.isEnabled()


def test_a_box_that_a_crop_cuts_off_is_said_to_be(coins, qtbot):
    coins.state.set_views(TrainViews(crop=CropKind.RELATIVE, crop_size=(0.5, 0.5), crop_places=CropPlaces.GRID))
    qtbot.waitUntil(lambda: len(coins.views.outcomes) == 4 and settled(coins), timeout=20000)
    coins.state.select(Selection(gt=0))
    texts = [tile.text_below for tile in coins.views_strip.tiles]
    assert texts.count("cut off") == sum(outcome.ranks[0] is None for outcome in coins.views.outcomes) > 0
    assert "shown in" in coins.views_strip.summary.text()


def test_an_image_without_boxes_has_a_strip_that_says_so(coins, qtbot):
    open_image(coins, qtbot, "empty.png")
    wait_for_views(coins, qtbot)
    assert {tile.text_below for tile in coins.views_strip.tiles} == {"no boxes"}
    assert coins.views_strip.summary.text() == "12 views, no boxes"


def test_the_strip_can_be_hidden(coins, qtbot):
    qtbot.keyClick(coins, Qt.Key.Key_V)
    assert coins.views_strip.isHidden()
    qtbot.keyClick(coins, Qt.Key.Key_V)
    assert coins.views_strip.isVisible()
    coins.do_focus_canvas()
    assert coins.views_strip.isHidden()
    coins.do_focus_canvas()
    assert coins.views_strip.isVisible()
    coins.state.set_world(World.MODEL)
    assert coins.views_strip.isHidden(), "views belong to training"


def test_without_views_the_key_says_where_they_are(window, qtbot):
    told = []
    window.state.told.connect(told.append)
    qtbot.keyClick(window, Qt.Key.Key_V)
    assert "no training views" in told[0].title


def test_images_are_counted_in_all_views_in_the_background(coins, qtbot):
    survey = coins.images.survey
    state = coins.state
    qtbot.waitUntil(lambda: not survey.running and (survey.counts.unmatched != UNKNOWN).all(), timeout=60000)
    for number, record in enumerate(state.dataset.images):
        size = tuple(survey.counts.sizes[number].tolist()) if len(record.gt.boxes) else record.size
        inputs = pipeline.Inputs(size, record.gt.boxes, record.gt.labels, record.gt.ignore)
        if record.file_name in ("coins.png", "rocket.jpg", "empty.png"):
            outcomes = run_views(inputs, state.params, state.preset.conventions)
            assert survey.counts.unmatched[number] == len(unmatched_everywhere(outcomes))
    choices = [coins.images.passes.itemText(row) for row in range(coins.images.passes.count())]
    coins.images.passes.setCurrentIndex(choices.index("In no view"))
    listed = coins.images._model.images
    np.testing.assert_array_equal(listed, np.flatnonzero(survey.counts.unmatched > 0))
    assert "matched in no training view" in coins.images._model.index(0).data(Qt.ItemDataRole.ToolTipRole)


def test_another_theme_keeps_the_strip(coins):
    coins.do_toggle_theme()
    assert len(coins.views_strip.tiles) == 12


def test_a_captured_image_is_one_view_as_the_trainer_saw_it(empty_window, qtbot, tmp_path):
    window = empty_window
    write_capture(tmp_path / "captures")
    window.state.take_preset(small(), "small anchors")
    window.open_paths([tmp_path / "captures"])
    qtbot.waitUntil(lambda: settled(window), timeout=20000)
    window.state.set_views(TrainViews(min_sizes=(64, 128), flip=True))
    wait_for_views(window, qtbot)
    (tile,) = window.views_strip.tiles
    assert tile.outcome.view.name == "as the trainer saw it"
    assert tile.outcome.resized_size == window.state.shown.training.frame.resized_size


def test_a_grid_of_too_many_crops_is_said_in_the_strip(window, qtbot):
    open_image(window, qtbot, "coins.png")
    crops = {"crop": "absolute", "crop_size": (30, 30), "crop_places": "grid"}
    window.state.set_views(TrainViews(min_sizes=(640, 700, 750, 800), flip=True, **crops))
    strip = window.views_strip
    qtbot.waitUntil(lambda: window.views.problem is not None, timeout=20000)
    assert strip.isVisible()
    assert strip.summary.text() == "Could not run the training views"
    assert "makes 512 views of an image of 384 x 303 px, expected at most 256" in strip.summary.toolTip()
    window.state.set_views(TrainViews(flip=True))
    wait_for_views(window, qtbot)
    assert strip.summary.toolTip() == ""
    assert window.views.problem is None
