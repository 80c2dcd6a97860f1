"""Proposals of the bundled model in the window."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from support import open_image, settled

from rpnviz.app.viewing import Selection
from rpnviz.core.proposals import Fate
from rpnviz.drawing.options import ColourBy
from rpnviz.drawing.scene import LayerKey, World


@pytest.fixture
def model_window(window, qtbot):
    open_image(window, qtbot, "coins.png")
    qtbot.keyClick(window, Qt.Key.Key_M)
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    return window


def test_the_bundled_model_shows_its_proposals(model_window):
    window = model_window
    proposals = window.state.result.proposals
    assert len(proposals.scores) > 0
    assert window.state.layers.visible == {LayerKey.GT, LayerKey.KEPT}
    kept = next(layer for layer in window.canvas.layers if layer.key is LayerKey.KEPT)
    assert (kept.shown, kept.total) == (50, len(proposals.scores))
    assert "trained on synthetic shapes" in window.model_note.text()
    assert [words for _, words, _ in window.funnel.shown_cells][-1] == "kept"


def test_every_proposal_control_acts(model_window, qtbot):
    window, controls = model_window, model_window.controls.proposals

    def set_value(control, text):
        control.spin.setFocus()
        control.spin.selectAll()
        qtbot.keyClicks(control.spin, text)
        qtbot.keyClick(control.spin, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: settled(window))
        return window.state.result.proposals

    start = window.state.result.proposals
    fewer = set_value(controls.nms, "0.30")
    assert len(fewer.stages[-2].indices) < len(start.stages[-2].indices)
    scored = set_value(controls.score, "0.500")
    assert (scored.scores >= 0.5).all()
    cut = set_value(controls.pre_nms, "40")
    assert max(np.bincount(cut.candidates.levels)) == 40
    last = set_value(controls.post_nms, "7")
    assert len(last.scores) == 7
    assert "kept" in window.funnel.change.text()


def test_training_parameters_do_not_touch_the_proposals(model_window, qtbot):
    window = model_window
    before = window.state.result.proposals
    window.state.update("match", fg_iou_thresh=0.5)
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.result.proposals is before


def test_before_and_after_nms_are_layers(model_window, qtbot):
    window = model_window
    window.state.show_only(frozenset({LayerKey.CANDIDATES}))
    before = window.canvas.compose()
    window.state.show_only(frozenset({LayerKey.KEPT}))
    assert (window.canvas.compose() != before).any()
    stages = {stage.name: len(stage.indices) for stage in window.state.result.proposals.stages}
    assert f"{stages['score']:,}" in window.legend.rows[LayerKey.CANDIDATES].text()
    assert f"{stages['score'] - stages['nms']:,}" in window.legend.rows[LayerKey.SUPPRESSED].text()
    assert f"{stages['top_n']:,}" in window.legend.rows[LayerKey.KEPT].text()


def test_another_image_gets_its_own_proposals(model_window, qtbot):
    window = model_window
    first = window.state.result.proposals
    open_image(window, qtbot, "coffee.jpg")
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=30000)
    assert window.state.result.proposals is not first
    assert window.state.result.frame.image_size == window.state.loaded.size


def test_a_selected_proposal_tells_its_way(model_window, qtbot):
    from rpnviz.core.proposals import Fate

    window = model_window
    proposals = window.state.result.proposals
    window.state.select(Selection(anchor=int(proposals.anchor_index[0])))
    assert window.selection.verdict.text() == "Kept as number 1"
    row = int(np.flatnonzero(proposals.fate == Fate.SUPPRESSED)[0])
    window.state.select(Selection(anchor=int(proposals.candidates.anchor_index[row])))
    assert "Suppressed" in window.selection.verdict.text()
    window.do_training_world()
    assert window.state.world is World.TRAINING
    assert window.state.selection.anchor is None


def test_back_from_a_one_stage_trainer_waits_for_the_proposals(model_window, qtbot):
    window = model_window
    window.state.set_preset("keras-retinanet")
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.result is None
    window.state.set_preset("torchvision")
    window.state.select(Selection(gt=0))  # the panels show the state before the new result has come
    window.state.select(Selection())
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.result.proposals is not None


def test_a_file_that_is_no_model_leaves_the_old_one(model_window, qtbot, tmp_path):
    window = model_window
    model, result = window.state.model, window.state.result
    path = tmp_path / "weights.pth"
    path.write_bytes(b"PK\x03\x04 not weights")
    window.state.load_model(path)
    qtbot.waitUntil(lambda: settled(window) and bool(window.banner.messages), timeout=10000)
    assert "weights.pth" in window.banner.messages[-1].detail
    assert window.state.model is model
    assert window.state.result is result
    assert window.banner.isVisible()


def test_loading_the_model_again_keeps_the_parameters(model_window, qtbot):
    window = model_window
    window.state.update("proposals", nms_thresh=0.5)
    qtbot.waitUntil(lambda: settled(window))
    before = window.state.result
    window.do_open_bundled_model()
    qtbot.waitUntil(lambda: window.state.result not in (before, None) and settled(window), timeout=30000)
    assert window.state.params.proposals.nms_thresh == 0.5
    assert window.banner.messages == []
    np.testing.assert_array_equal(window.state.result.proposals.boxes, before.proposals.boxes)


def test_a_cancelled_load_can_be_asked_for_again(window, qtbot):
    window.do_model_world()
    window._cancel_jobs()
    qtbot.waitUntil(lambda: not window.state.jobs.running, timeout=30000)
    assert not window.state.models.busy
    window.do_training_world()
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)


def test_closing_while_the_model_loads_is_clean(window, qtbot):
    window.do_model_world()
    window.close()


def test_one_key_flips_before_and_after_nms(model_window, qtbot):
    window = model_window
    visible = lambda: window.state.layers.visible - {LayerKey.GT}  # noqa: E731
    assert visible() == {LayerKey.KEPT}
    qtbot.keyClick(window, Qt.Key.Key_B)
    assert visible() == {LayerKey.CANDIDATES}
    before = window.canvas.compose()
    qtbot.keyClick(window, Qt.Key.Key_B)
    assert visible() == {LayerKey.KEPT}
    assert (window.canvas.compose() != before).any()
    window.state.set_world(World.TRAINING)
    qtbot.keyClick(window, Qt.Key.Key_B)
    assert "Model proposals" in window.banner.text.text()


def test_the_funnel_tells_levels_and_recall(model_window):
    tips = {words: meaning for _, words, meaning in model_window.funnel.shown_cells}
    assert "Ground truth that these anchors find: 100% at IoU 0.5, 67% at IoU 0.7" in tips["boxes"]
    assert "Ground truth that these boxes find: 100% at IoU 0.5, 100% at IoU 0.7" in tips["kept"]
    assert "Per level: P3 12,480, P4 3,120, P5 780" in tips["boxes"]


def test_boxes_are_coloured_by_what_became_of_them(model_window):
    window = model_window
    window.state.show_only(frozenset({LayerKey.CANDIDATES}))
    window.state.set_colour_by(ColourBy.FATE)
    proposals = window.state.result.proposals
    layers = [layer for layer in window.canvas.layers if layer.key is LayerKey.CANDIDATES]
    shown = {layer.shade.text: len(layer.rows) for layer in layers}
    assert shown["kept"] == len(proposals.kept)
    assert shown["suppressed"] == int((proposals.fate == Fate.SUPPRESSED).sum())


def test_dropped_boxes_can_be_shown_with_their_reason(model_window, qtbot):
    window = model_window
    window.state.update("proposals", min_size=20.0, score_thresh=0.01)
    qtbot.waitUntil(lambda: settled(window))
    window.state.show_only(frozenset({LayerKey.DROPPED}))
    proposals = window.state.result.proposals
    (layer,) = (layer for layer in window.canvas.layers if layer.key is LayerKey.DROPPED)
    fates = proposals.fate[layer.rows]
    assert set(fates.tolist()) >= {Fate.SMALL, Fate.LOW_SCORE}
    assert not set(fates.tolist()) & {Fate.KEPT, Fate.SUPPRESSED}
    assert len(layer.rows) == int(((proposals.fate != Fate.KEPT) & (proposals.fate != Fate.SUPPRESSED)).sum())
