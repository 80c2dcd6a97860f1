"""Changes that help the selected box, in the window."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QToolButton
from support import open_image, settled

from rpnviz.app.reasons import short_cause
from rpnviz.app.viewing import Selection
from rpnviz.core.explain import explain
from rpnviz.core.fixes import find_fixes, search_fixes
from rpnviz.core.matching import Rank


@pytest.fixture
def forced(window, qtbot):
    """A box of the coins that is forced only, with its fixes."""
    open_image(window, qtbot, "coins.png")
    gt = window.state.shown.training.match.ranks.index(Rank.FORCED)
    window.state.select(Selection(gt=gt))
    qtbot.waitUntil(lambda: bool(window.selection.fixes.rows), timeout=10000)
    return gt


def assert_marked(window, gained, lost):
    """The table marks the boxes that fare otherwise than before the last change."""
    model = window.table.model
    texts = [model.index(row, 2).data() for row in range(model.rowCount())]
    assert {row for row, text in enumerate(texts) if text.endswith("▲ gained")} == gained
    assert {row for row, text in enumerate(texts) if text.endswith("▼ lost")} == lost
    assert (f"{len(gained):,} ▲ gained" in window.table.summary.text()) == bool(gained)


def test_a_fix_can_be_tried_and_undone(window, qtbot, forced):
    fixes = window.selection.fixes
    assert fixes.isVisible()
    first = fixes.rows[0]
    button = fixes.findChildren(QToolButton)[0]
    assert button.text() == "Try"
    before = window.state.params
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: settled(window) and window.state.shown.training.params == first.params, timeout=10000)
    match = window.state.shown.training.match
    assert match.ranks[forced] is first.rank_after
    assert int(match.gt_positives[forced]) == first.positives_after
    assert window.state.undo_label == first.text
    assert_marked(window, {forced, *first.gained}, set(first.lost))
    window.do_undo()
    qtbot.waitUntil(lambda: settled(window) and window.state.params == before, timeout=10000)
    assert_marked(window, set(first.lost), {forced, *first.gained})


def test_a_box_that_is_matched_needs_none(window, qtbot, forced):
    matched = window.state.shown.training.match.ranks.index(Rank.MATCHED)
    window.state.select(Selection(gt=matched))
    assert not window.selection.fixes.isVisible(), "those of the box before are gone at once"
    assert not window.selection.fixes.finder.busy
    assert not window.selection.fixes.rows
    window.state.select(Selection())
    assert not window.selection.fixes.finder.busy


def test_fixes_belong_to_the_parameters_that_are_shown(window, qtbot, forced):
    window.controls.matching.thresholds.slider.setValue((0.3, 0.6))
    assert not window.selection.fixes.rows
    qtbot.waitUntil(lambda: settled(window))
    qtbot.waitUntil(lambda: bool(window.selection.fixes.rows), timeout=5000)
    for fix in window.selection.fixes.rows:
        assert fix.params.match.fg_iou_thresh <= 0.6


def test_what_is_said_of_a_box_does_not_move_the_controls(window, qtbot, forced):
    slider = window.controls.matching.thresholds.slider
    place = slider.mapTo(window, slider.rect().topLeft())
    window.state.select(Selection())
    qtbot.waitUntil(lambda: not window.selection.fixes.isVisible())
    assert slider.mapTo(window, slider.rect().topLeft()) == place
    slider.setValue((0.3, 0.55))
    qtbot.waitUntil(lambda: settled(window))
    assert slider.mapTo(window, slider.rect().topLeft()) == place


def test_the_table_names_the_cause_of_every_box_that_is_not_matched(window, qtbot):
    open_image(window, qtbot, "nested.png")
    column = [window.table.model.headerData(k, Qt.Orientation.Horizontal) for k in range(9)].index("Cause")

    def causes():
        return [window.table.model.index(row, column).data() for row in range(window.table.model.rowCount())]

    qtbot.waitUntil(lambda: any(causes()), timeout=10000)
    # See `rpnviz explain`: GT 0 and 6 lose their anchors to the boxes inside them.
    assert causes() == ["taken by GT 1", "", "", "", "", "", "taken by GT 7", "", "no shape fits", "no shape fits"]
    window.controls.matching.thresholds.slider.setValue((0.3, 0.8))
    qtbot.waitUntil(lambda: settled(window) and causes()[5] != "", timeout=10000)
    result = window.state.shown.training
    assert causes() == [short_cause(explain(result, gt)) for gt in range(10)]


def words(fixes):
    return " ".join(part.text() for part in fixes.findChildren(QLabel) if part.isVisible())


def test_where_no_single_change_helps_two_at_once_are_tried(window, qtbot):
    open_image(window, qtbot, "tiny_objects.png")
    result = window.state.shown.training
    gt = next(gt for gt in range(len(result.match.ranks)) if not find_fixes(result, gt).fixes)
    window.state.select(Selection(gt=gt))
    fixes = window.selection.fixes
    qtbot.waitUntil(lambda: bool(fixes.rows), timeout=20000)
    (fix,) = fixes.rows
    assert sum(len(group) for group in fix.patch.values()) >= 2
    assert " and " in fix.text
    qtbot.mouseClick(fixes.findChildren(QToolButton)[0], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: settled(window) and window.state.shown.training.params == fix.params, timeout=10000)
    assert window.state.shown.training.match.ranks[gt] is fix.rank_after


def test_where_nothing_helps_it_says_what_came_closest(window, qtbot):
    window.state.set_preset("py-faster-rcnn")
    open_image(window, qtbot, "tiny_objects.png")
    qtbot.waitUntil(lambda: settled(window), timeout=10000)
    result = window.state.shown.training
    gt = next(gt for gt in range(len(result.match.ranks)) if not search_fixes(result, gt).fixes)
    window.state.select(Selection(gt=gt))
    fixes = window.selection.fixes
    qtbot.waitUntil(lambda: fixes.finder.search is not None and not fixes.finder.busy, timeout=20000)
    assert not fixes.rows
    qtbot.waitUntil(lambda: "None of the changes" in words(fixes))  # labels show with the next turn of the loop
    closest = fixes.finder.search.closest
    assert f"gives IoU {closest.best_iou:.2f}, {closest.needed:.2f} is needed." in words(fixes)


def test_a_change_that_is_not_computed_yet_cannot_be_taken_back_by_a_fix(window, qtbot, forced):
    window.state.update("resize", min_size=1000)
    assert not window.selection.fixes.rows, "they belong to other parameters"
    qtbot.waitUntil(lambda: settled(window) and not window.selection.fixes.finder.busy, timeout=20000)
    assert all(fix.params.resize.min_size >= 1000 for fix in window.selection.fixes.rows)
