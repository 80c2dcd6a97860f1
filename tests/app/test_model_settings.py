"""What a model brings goes with it; what the user set stays; what does not go together is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rpnviz.app.model_settings import LentThresholds, mismatch, trained_like
from rpnviz.core import presets
from rpnviz.core.inputs import ModelSettings
from rpnviz.core.params import ProposalMode, TopN

TORCHVISION, MATTERPORT = presets.load("torchvision"), presets.load("matterport")
DEFAULT = TORCHVISION.params.proposals
FIRST = replace(DEFAULT, nms_thresh=0.5, pre_nms_top_n=TopN(6000, 6000))
SECOND = replace(DEFAULT, nms_thresh=0.6)


def settings(preset, **given):
    params = preset.params
    return ModelSettings(params.resize, params.anchors, params.coder, preset.conventions, preset=preset.name, **given)


def test_thresholds_go_with_the_model_they_came_with():
    lent = LentThresholds()
    assert lent.take(DEFAULT, FIRST, DEFAULT) == (FIRST, False)
    assert lent.take(FIRST, SECOND, DEFAULT) == (SECOND, False)
    assert lent.take(SECOND, None, DEFAULT) == (DEFAULT, False)
    assert lent.take(DEFAULT, None, DEFAULT) == (DEFAULT, False)


def test_thresholds_set_by_hand_stay():
    lent, own = LentThresholds(), replace(DEFAULT, nms_thresh=0.42)
    assert lent.take(own, FIRST, DEFAULT) == (own, True)
    assert lent.take(own, own, DEFAULT) == (own, False)
    assert lent.take(own, None, DEFAULT) == (own, False)
    lent.take(DEFAULT, FIRST, DEFAULT)
    turned = replace(FIRST, nms_thresh=0.3)  # of a model's, and then by hand
    assert lent.take(turned, SECOND, DEFAULT) == (turned, True)


def test_the_mode_is_the_users():
    train = replace(DEFAULT, mode=ProposalMode.TRAIN)
    lent = LentThresholds()
    wanted, kept = lent.take(train, FIRST, DEFAULT)
    assert (wanted, kept) == (replace(FIRST, mode=ProposalMode.TRAIN), False)
    assert lent.take(wanted, None, DEFAULT) == (train, False)


def test_a_model_of_another_trainer_is_told():
    assert mismatch(settings(TORCHVISION), TORCHVISION, TORCHVISION.params) == ""
    told = mismatch(settings(MATTERPORT), TORCHVISION, TORCHVISION.params)
    assert told.startswith("It belongs to matterport; the top-k, NMS and labels of torchvision are applied.")
    assert "belongs" not in mismatch(replace(settings(MATTERPORT), preset=""), TORCHVISION, TORCHVISION.params)


@pytest.mark.parametrize("own", [None, FIRST])
def test_training_like_a_model_takes_its_trainers_rules(own):
    preset, params = trained_like(settings(MATTERPORT, proposals=own), TORCHVISION, TORCHVISION.params)
    assert (preset.name, preset.conventions) == ("matterport", MATTERPORT.conventions)
    assert params == replace(MATTERPORT.params, proposals=own or MATTERPORT.params.proposals)


def test_training_like_a_model_of_the_same_trainer_keeps_the_rest():
    params = TORCHVISION.params.with_values("match", fg_iou_thresh=0.6)
    other = settings(replace(TORCHVISION, params=TORCHVISION.params.with_values("resize", min_size=640)))
    preset, changed = trained_like(other, TORCHVISION, params)
    assert preset == TORCHVISION
    assert changed == params.with_values("resize", min_size=640)
