"""The cause of a step that is not finite is the first array that is not, in the order in which they are made."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from test_replay import recorded, with_image

from rpnviz.core.finite import find_cause

NAN = {"loss_objectness": 0.4, "loss_rpn_box_reg": math.nan}


BEHIND = {"loss_classifier": math.nan, "loss_objectness": 1.0}


def test_a_finite_step_has_none():
    assert find_cause(recorded()) is None


def spoilt(name, number=0, row=5, value=np.nan, column=0):
    array = getattr(recorded().images[number], name).copy()
    array[(row, column) if array.ndim == 2 else row] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"bad_pixels": 12}, "image", "image 0 has 12 values that are not finite"),
        (spoilt("boxes", row=1, value=30.0, column=2), "ground truth", "GT 1 of image 0 (30, 28, 30, 80) has width 0"),
        (spoilt("boxes", row=1, value=20.0, column=3), "ground truth", "has height -8: its dh target is NaN"),
        (spoilt("boxes", row=2, value=np.inf, column=1), "ground truth", "GT 2 of image 0 is not finite"),
        (spoilt("anchors", row=9), "anchors", "1 anchors of image 0 are not finite, anchor 9 first"),
        (spoilt("target_deltas", row=0, value=-np.inf, column=2), "targets", "1 targets of image 0 are not finite"),
        (spoilt("objectness", row=77), "logits", "1 of 720 logits of image 0 are not finite, anchor 77 first"),
        (spoilt("deltas", row=8, value=np.inf), "deltas", "1 of 720 deltas of image 0 are not finite, anchor 8"),
        (spoilt("deltas", row=8, value=90.0, column=2), "deltas", "dw or dh of anchor 8 in image 0 is 90"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_array_is_named_with_box_or_anchor(changes, where, words):
    cause = find_cause(with_image(recorded(losses=NAN), 0, **changes))
    assert cause.where == where
    assert words in cause.text
    assert cause.text.startswith("loss_rpn_box_reg is NaN: ")
    assert cause.image == 0


def test_the_earliest_is_the_cause():
    step = with_image(recorded(losses=NAN), 0, **spoilt("objectness"), **spoilt("target_deltas", row=0))
    step = with_image(step, 1, **spoilt("boxes", number=1, row=0, value=8.0, column=2))
    cause = find_cause(step)
    assert (cause.where, cause.image, cause.gt) == ("ground truth", 1, 0)


def test_an_ignored_box_is_no_cause():
    step = with_image(recorded(losses=NAN), 0, **spoilt("boxes", row=1, value=30.0, column=2))
    step = with_image(step, 0, ignore=np.array([False, True, False]))
    assert find_cause(step).where == "losses"


def test_a_loss_behind_the_rpn_is_told_apart():
    cause = find_cause(recorded(losses=BEHIND))
    assert cause.where == "losses"
    assert "it arises after the RPN" in cause.text
    assert "the loss itself overflowed" in find_cause(recorded(losses={"loss_rpn_cls": math.inf})).text


def test_what_is_not_recorded_is_not_said_to_be_finite():
    step = recorded(losses={"loss_rpn_cls": math.nan})
    for number in (0, 1):
        step = with_image(step, number, objectness=None, deltas=None)
    text = find_cause(step).text
    assert text.endswith("but logits and deltas are not recorded, so where it arises is not known.")
    step = with_image(step, 1, target_deltas=None, target_anchor=None)
    assert "targets, logits and deltas are not recorded" in find_cause(step).text
    assert "arises after the RPN" in find_cause(dataclasses.replace(step, losses=BEHIND)).text
    assert "not known" in find_cause(dataclasses.replace(step, losses={"loss": math.nan})).text
    assert "or the loss itself" in find_cause(recorded(losses={"loss": math.nan})).text


def test_losses_that_ran_away_before_are_told():
    earlier = [recorded(step=0, losses={"loss": 0.5}), recorded(step=100, losses={"loss": 9e8})]
    step = with_image(recorded(step=200, losses=NAN), 0, **spoilt("objectness"))
    text = find_cause(step, earlier).text
    assert "together 0.5 at step 0, 9e+08 at step 100; the learning rate is too high" in text
    assert "its update made the weights" in find_cause(step, [recorded(step=199)]).text
    assert "The last step recorded before, 120, was finite" in find_cause(step, [recorded(step=120)]).text


def test_what_is_broken_in_a_step_with_finite_losses_is_told_too():
    cause = find_cause(with_image(recorded(), 1, **spoilt("deltas", number=1)))
    assert (cause.where, cause.image) == ("deltas", 1)
    assert cause.text.startswith("1 of 720 deltas")


def test_the_steps_of_another_run_tell_nothing():
    step = with_image(recorded(step=200, losses=NAN, run="b"), 0, **spoilt("objectness"))
    broken = recorded(step=100, losses=NAN, run="a")
    assert "not finite already" not in find_cause(step, [broken]).text
    assert "not finite already" in find_cause(step, [dataclasses.replace(broken, run="b")]).text
    assert "Step" not in find_cause(step, [recorded(step=199, run="a")]).text
