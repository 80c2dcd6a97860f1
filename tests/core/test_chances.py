"""The chance of being drawn: the closed form against binomial coefficients, and against the trainer's own generator."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpnviz.core import pipeline, presets
from rpnviz.core.chances import chance_of, chances_of, missed_by_all, simulate_steps
from rpnviz.core.conventions import DrawRule
from rpnviz.core.explain import NoteKind, explain
from rpnviz.core.sampling import draw_positives, sample_anchors

PRESET = presets.load("torchvision")
STEPS = 400


@given(st.integers(0, 400), st.data())
def test_it_is_the_quotient_of_binomial_coefficients(total, data):
    mine, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    exact = math.comb(total - mine, drawn) / math.comb(total, drawn)
    assert missed_by_all(total, mine, drawn) == pytest.approx(exact, rel=1e-10, abs=1e-300)
    assert missed_by_all(total, drawn, mine) == missed_by_all(total, mine, drawn)


def test_known_values():
    assert missed_by_all(130, 1, 128) == pytest.approx(2 / 130)
    assert missed_by_all(128, 1, 128) == 0.0
    assert missed_by_all(0, 0, 0) == 1.0
    assert 0 < missed_by_all(200_000, 150_000, 128) < 1e-70


def crowded(draw, batch=32, fraction=0.5):
    """Some dozens of positives for three boxes, of which 16 are drawn."""
    boxes = np.array([[20.0, 20, 90, 90], [30, 24, 100, 96], [200, 120, 206, 124], [150, 30, 150, 60]])
    params = PRESET.params.with_values("resize", mode="none").with_values("match", fg_iou_thresh=0.4)
    params = params.with_values("sample", batch_size_per_image=batch, positive_fraction=fraction)
    conventions = dataclasses.replace(PRESET.conventions, draw=draw)
    return pipeline.run(pipeline.Inputs((160, 240), boxes), params, conventions)


@pytest.mark.parametrize("draw", [rule for rule in DrawRule if rule is not DrawRule.NONE])
def test_many_steps_agree_with_the_closed_form(draw):
    result = crowded(draw)
    assert len(result.match.positives) > len(result.sample.positive) == 16
    steps = simulate_steps(result, STEPS)
    for gt, chance in enumerate(chances_of(result)):
        # Four standard deviations of a fixed draw; of the seeds 0 to 399 it holds or it does not.
        spread = 4 * math.sqrt(max(chance.seen * chance.missed, 1e-9) * STEPS) + 1e-6
        assert abs(steps.seen[gt] - STEPS * chance.seen) <= spread
        assert steps.drawn[gt] == pytest.approx(STEPS * chance.expected, rel=0.15, abs=20)
    assert steps.drawn.sum() == STEPS * 16


@pytest.mark.parametrize("draw", list(DrawRule))
def test_a_step_of_the_simulation_is_the_trainers_mini_batch(draw):
    result = crowded(draw)
    for seed in range(5):
        params = dataclasses.replace(result.params.sample, seed=seed)
        sample = sample_anchors(result.match.labels, params, result.conventions)
        rows = draw_positives(len(result.match.positives), params, result.conventions, seed)
        np.testing.assert_array_equal(result.match.positives[rows], sample.positive)


def test_where_all_positives_fit_each_box_is_seen():
    result = crowded(DrawRule.TORCH_ALWAYS, batch=100_000)
    for gt, chance in enumerate(chances_of(result)):
        mine = int(result.match.gt_positives[gt])
        assert (chance.drawn, chance.expected) == (mine, mine)
        assert chance.seen == (1.0 if mine else 0.0)


def test_without_a_mini_batch_all_are_trained_on():
    result = crowded(DrawRule.NONE)
    for gt, chance in enumerate(chances_of(result)):
        assert chance.expected == chance.drawn == result.match.gt_positives[gt]
    steps = simulate_steps(result, 7)
    assert steps.seen.tolist() == [7 if mine else 0 for mine in result.match.gt_positives.tolist()]


@pytest.mark.parametrize("draw", list(DrawRule))
def test_one_by_one_and_all_at_once(draw):
    result = crowded(draw)
    assert chances_of(result) == tuple(chance_of(result, gt) for gt in range(4))
    assert explain(result, 0).chance == chance_of(result, 0)
    assert explain(result, 3).chance.seen == 0.0, "it is not trained on"


def test_the_note_tells_the_same_probability():
    result = crowded(DrawRule.TORCH_ALWAYS, batch=2)
    notes = {gt: note for gt in range(3) for note in explain(result, gt).notes if note.kind is NoteKind.NOT_SAMPLED}
    assert notes
    for gt, note in notes.items():
        assert note.value == chance_of(result, gt).missed


def test_without_boxes_there_is_nothing_to_draw():
    result = pipeline.run(pipeline.Inputs((64, 64), np.zeros((0, 4))), PRESET.params, PRESET.conventions)
    assert chances_of(result) == ()
    assert simulate_steps(result, 3).seen.tolist() == []


def test_what_check_raises_ends_it():
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_steps(crowded(DrawRule.TORCH_ALWAYS), 3, check)
