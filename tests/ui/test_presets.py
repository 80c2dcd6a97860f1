"""The choice of the trainer switches everything."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from support import open_image, settled

from rpnviz.app.viewing import Selection
from rpnviz.core import pipeline, presets


def choose(window, qtbot, name):
    window.preset.setCurrentText(name)
    window.preset.activated.emit(window.preset.currentIndex())
    qtbot.waitUntil(lambda: settled(window), timeout=10000)


@pytest.mark.parametrize("name", presets.names())
def test_labels_are_the_trainers(window, qtbot, name):
    open_image(window, qtbot, "crowd.png")
    choose(window, qtbot, name)
    preset, record = presets.load(name), window.state.record
    inputs = pipeline.Inputs(window.state.loaded.size, record.gt.boxes, record.gt.labels, record.gt.ignore)
    expected = pipeline.run(inputs, preset.params, preset.conventions)
    shown = window.state.shown.training
    np.testing.assert_array_equal(shown.match.state, expected.match.state)
    assert shown.frame == expected.frame
    assert not window.changed.isVisible()
    assert window.table.model.rowCount() == len(record.gt.boxes)
    assert window.banner.messages == []
    window.canvas.compose()


def test_a_change_of_trainer_can_be_undone(window, qtbot):
    window.state.update("match", fg_iou_thresh=0.6)
    choose(window, qtbot, "mmdetection")
    assert window.state.params == presets.load("mmdetection").params
    window.do_undo()
    qtbot.waitUntil(lambda: settled(window))
    assert window.preset.currentText() == "torchvision"
    assert window.state.params.match.fg_iou_thresh == 0.6
    assert window.state.shown.training.conventions == presets.load("torchvision").conventions


def test_sizes_can_be_edited_where_the_trainer_counts_in_scales(window, qtbot):
    choose(window, qtbot, "mmdetection")
    edit = window.controls.anchors.sizes[0]
    assert edit.text() == "32"
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClicks(edit, "24, 32")
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: settled(window) and window.state.params.anchors.level_sizes[0] == (24.0, 32.0))


@pytest.mark.parametrize("name", [name for name in presets.names() if name != "keras-retinanet"])
def test_proposals_follow_the_trainer(window, qtbot, name):
    open_image(window, qtbot, "coins.png")
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    choose(window, qtbot, name)
    result = window.state.result
    assert len(result.proposals.boxes) > 0
    # The model keeps the anchors that it was trained with.
    assert result.params.anchors == window.state.model.settings.anchors
    assert result.frame.resized_size == (319, 405)
    assert window.banner.messages == []
    window.canvas.compose()


def test_a_trainer_without_proposals_says_so(window, qtbot):
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    choose(window, qtbot, "keras-retinanet")
    assert window.state.result is None
    assert "one-stage" in window.selection.verdict.text()
    window.canvas.compose()
    choose(window, qtbot, "torchvision")
    assert window.state.result is not None


def test_tooltips_name_the_trainers_own_parameter(window, qtbot):
    positive = window.controls.matching.thresholds.positive
    assert "rpn_fg_iou_thresh" in positive.toolTip()
    choose(window, qtbot, "detectron2")
    assert "MODEL.RPN.IOU_THRESHOLDS[1]" in positive.toolTip()
    assert "rpn_fg_iou_thresh" not in positive.toolTip()
    assert "MODEL.ANCHOR_GENERATOR.SIZES" in window.controls.anchors.sizes[0].toolTip()
    choose(window, qtbot, "keras-retinanet")
    assert "no such rule" in window.controls.matching.force.toolTip()


def test_captions_say_what_a_number_means_to_the_trainer(window, qtbot):
    open_image(window, qtbot, "coins.png")
    controls = window.controls
    assert controls.matching.thresholds.negative.accessibleName() == "Negative IoU, below"
    assert "drawn for this step of 256" in [words for _, words, _ in window.funnel.shown_cells]
    choose(window, qtbot, "matterport")
    assert controls.anchors._ratio.text() == "Ratios w/h"
    assert controls.proposals.pre_nms.spin.accessibleName() == "Keep before NMS (per image)"
    choose(window, qtbot, "keras-retinanet")
    assert controls.matching.thresholds.negative.accessibleName() == "Negative IoU, at most"
    assert controls.anchors._ratio.text() == "Ratios h/w"
    assert not controls.sampling.isEnabled()
    assert "trained on, no mini-batch" in [words for _, words, _ in window.funnel.shown_cells]
    positive = int(window.state.shown.training.match.positives[0])
    window.state.select(Selection(anchor=positive))
    way = {step.title: step.text for step in window.inspector.way}
    assert way["Target"].startswith("dx1 ")
    assert way["Mini-batch"] == "Trained on: there is no mini-batch, all positives and negatives train."
    window.do_undo()
    qtbot.waitUntil(lambda: settled(window), timeout=10000)
    assert controls.sampling.isEnabled()


def test_a_failed_computation_goes_back_to_the_trainer_that_is_shown(window, qtbot, monkeypatch):
    from rpnviz.app import state as states

    real = states.pipeline.run

    def fails(inputs, params, conventions, previous=None):
        if conventions == presets.load("mmdetection").conventions:
            raise MemoryError("no room")
        return real(inputs, params, conventions, previous)

    monkeypatch.setattr(states.pipeline, "run", fails)
    choose(window, qtbot, "mmdetection")
    qtbot.waitUntil(lambda: settled(window))
    assert window.state.preset.name == "torchvision"
    assert window.preset.currentText() == "torchvision"
    assert window.state.shown.preset == window.state.preset
    assert any("Could not compute" in message.title for message in window.banner.messages)
