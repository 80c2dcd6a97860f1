"""Following one box through the stages, with keys and clicks."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from support import open_image, settled

from rpnviz.app.viewing import Selection
from rpnviz.app.way import Look
from rpnviz.core.proposals import Fate
from rpnviz.drawing.options import World


@pytest.fixture
def model_window(window, qtbot):
    open_image(window, qtbot, "coins.png")
    qtbot.keyClick(window, Qt.Key.Key_M)
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    return window


def suppressed(window) -> int:
    proposals = window.state.result.proposals
    row = np.flatnonzero(proposals.fate == Fate.SUPPRESSED)[0]
    return int(proposals.candidates.anchor_index[row])


def shown_titles(window):
    return [row.title.text() for row in window.selection.way.rows if row.isVisible()]


def frame(window):
    """What the canvas paints, selection included."""
    image = window.canvas.grab().toImage()
    return np.array(image.constBits()).copy()


def test_keys_step_through_the_stages_and_the_picture_follows(model_window, qtbot):
    window, inspector = model_window, model_window.inspector
    window.state.select(Selection(anchor=suppressed(window)))
    assert shown_titles(window)[0] == "Anchor"
    assert shown_titles(window)[-1] == "✕ NMS"
    assert inspector.number is None
    pictures = [frame(window)]
    for number in range(len(inspector.way)):
        qtbot.keyClick(window, Qt.Key.Key_Period)
        assert inspector.number == number
        checked = [row.title.isChecked() for row in window.selection.way.rows if row.isVisible()]
        assert checked == [k == number for k in range(len(inspector.way))]
        pictures.append(frame(window))
    assert (pictures[1] != pictures[2]).any(), "the anchor, then the box"
    assert (pictures[-1] == pictures[0]).all(), "the last stage is what is shown at first"
    qtbot.keyClick(window, Qt.Key.Key_Period)
    assert inspector.number == len(inspector.way) - 1, "there is nothing behind the last"
    qtbot.keyClick(window, Qt.Key.Key_Comma)
    assert inspector.number == len(inspector.way) - 2
    window.state.select(Selection(gt=3))
    assert inspector.number is None


def test_go_to_the_suppressor_and_back_through_its_cluster(model_window, qtbot):
    window = model_window
    gone = suppressed(window)
    window.state.select(Selection(anchor=gone))
    nms = next(row for row in window.selection.way.rows if row.title.text() == "✕ NMS")
    link = next(button for button in nms.links if button.isVisible())
    qtbot.mouseClick(link, Qt.MouseButton.LeftButton)
    kept = window.state.selection.anchor
    proposals = window.state.result.proposals
    row = int(np.flatnonzero(proposals.candidates.anchor_index == gone)[0])
    assert kept == proposals.candidates.anchor_index[proposals.suppressor[row]]
    step = next(step for step in window.inspector.way if step.title == "NMS")
    assert sum(mark.look is Look.SUPPRESSED for mark in step.marks) >= 1
    listed = [link.selection.anchor for link in step.links]
    members = proposals.candidates.anchor_index[proposals.suppressor == proposals.suppressor[row]]
    assert sum(mark.look is Look.SUPPRESSED for mark in step.marks) == len(members)
    assert set(listed) <= set(members.tolist())
    assert gone in members


def test_a_click_on_a_stage_shows_it_and_a_second_one_ends_that(model_window, qtbot):
    window = model_window
    window.state.select(Selection(anchor=suppressed(window)))
    title = window.selection.way.rows[0].title
    qtbot.mouseClick(title, Qt.MouseButton.LeftButton)
    assert window.inspector.number == 0
    assert [mark.look for mark in window.inspector.shown.marks] == [Look.SELECTED]
    qtbot.mouseClick(title, Qt.MouseButton.LeftButton)
    assert window.inspector.number is None
    assert not title.isChecked()


def test_a_ground_truth_box_says_what_finds_it_and_where_it_is_lost(model_window, qtbot):
    window = model_window
    window.state.select(Selection(gt=7))
    assert window.selection.verdict.text().startswith("Found by ")
    assert "All boxes" in shown_titles(window)
    assert window.selection.body.text().startswith("In training: ")
    # A strict NMS loses some.
    window.state.update("proposals", nms_thresh=0.05)
    qtbot.waitUntil(lambda: settled(window))
    lost = []
    for gt in range(len(window.state.gt_names)):
        window.state.select(Selection(gt=gt))
        lost += [step.text for step in window.inspector.way if step.lost]
    assert any("was suppressed by one with IoU" in text for text in lost)


def test_an_anchor_in_training_leads_to_its_ground_truth(window, qtbot):
    open_image(window, qtbot, "coins.png")
    anchor = int(window.state.shown.training.match.positives_of(7)[0])
    window.state.select(Selection(gt=7, anchor=anchor))
    assert shown_titles(window) == ["Anchor", "Overlap", "Label", "Mini-batch", "Target"]
    assert not window.selection.fixes.isVisible(), "changes are for boxes"
    assert window.inspector.shown.arrows, "towards its ground truth"
    overlap = window.selection.way.rows[1]
    qtbot.mouseClick(overlap.links[0], Qt.MouseButton.LeftButton)
    assert window.state.selection == Selection(gt=7)
    assert shown_titles(window) == ["Anchors"]
    qtbot.mouseClick(window.selection.way.rows[0].links[0], Qt.MouseButton.LeftButton)
    assert window.state.selection.anchor is not None


def test_without_a_selection_a_step_says_so(window, qtbot):
    qtbot.keyClick(window, Qt.Key.Key_Period)
    assert window.banner.text.text().startswith("Nothing to follow")


def test_the_way_follows_the_sliders(model_window, qtbot):
    window = model_window
    gone = suppressed(window)
    window.state.select(Selection(anchor=gone))
    window.state.update("proposals", nms_thresh=1.0)
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.selection.anchor == gone
    assert "✕ NMS" not in shown_titles(window)
    window.state.set_world(World.TRAINING)
    assert window.state.selection.anchor is None, "the sample model has anchors of its own"
    assert not window.inspector.way


def test_an_anchor_stays_selected_in_the_other_world_where_it_is_the_same(model_window, qtbot):
    window = model_window
    kept = int(window.state.result.proposals.anchor_index[0])
    window.state.select(Selection(anchor=kept))
    window.state.set_world(World.TRAINING)
    assert window.state.selection.anchor is None, "the sample model has anchors of its own"
    settings = window.state.shown.model.inputs.outputs.settings
    window.state.update("anchors", **vars(settings.anchors))
    window.state.update("resize", **vars(settings.resize))
    qtbot.waitUntil(lambda: settled(window))
    window.state.select(Selection(anchor=kept))
    qtbot.keyClick(window, Qt.Key.Key_M)
    assert window.state.selection.anchor == kept
