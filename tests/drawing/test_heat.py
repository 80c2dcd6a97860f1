"""Heat maps against a loop over pixels and positions."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from rpnviz.core.proposals import sigmoid
from rpnviz.drawing.filtering import passing
from rpnviz.drawing.frame import blank
from rpnviz.drawing.heat import draw_heat, heat_tables, heat_text, make_heat, ramp, value_at
from rpnviz.drawing.options import STATES, BoxFilter, Heat, LayerKey, LayerOptions, World
from rpnviz.drawing.positions import grids
from rpnviz.drawing.viewport import Viewport
from rpnviz.palette import STEPS, Theme, parse_colour

VIEW = Viewport(90, 70, 0.5, 5.0, 2.0)


def options(heat, **only):
    return LayerOptions(frozenset(), heat=heat, only=BoxFilter(**only))


def by_hand(result, asked, x, y):
    """The value at a point: every anchor of the position of every level, one by one."""
    total = []
    allowed = passing(result, asked.only, np.arange(len(result.anchors)))
    for grid, level in zip(grids(result.anchors, result.frame), result.anchors.lattice, strict=True):
        column = math.floor((x - grid.x[0]) / grid.step[1] + 0.5)
        row = math.floor((y - grid.y[0]) / grid.step[0] + 0.5)
        if not (0 <= column < level.grid[1] and 0 <= row < level.grid[0]):
            continue
        for cell in range(level.cells):
            anchor = result.anchors.index(grid.level, row, column, cell)
            if allowed[anchor]:
                if asked.heat is Heat.BEST_IOU:
                    total.append(float(result.match.best_iou[anchor]))
                elif asked.heat is Heat.OBJECTNESS:
                    total.append(float(sigmoid(result.decoded.objectness[anchor : anchor + 1])[0]))
                else:
                    total.append(float(result.match.state[anchor] in STATES[LayerKey(asked.heat.value)]))
    counts = asked.heat not in (Heat.BEST_IOU, Heat.OBJECTNESS)
    return sum(total) if counts else max(total, default=0.0)


@pytest.mark.parametrize("heat", [h for h in Heat if h is not Heat.NONE])
@pytest.mark.parametrize("only", [{}, {"level": 1}, {"shape": 2}, {"level": 0, "shape": 1}, {"iou": (0.2, 0.6)}])
def test_every_pixel_shows_the_value_of_its_position(proposed, heat, only):
    asked = options(heat, **only)
    made = make_heat(proposed, World.TRAINING, asked)
    frame = blank(VIEW.height, VIEW.width, (0, 0, 0))
    draw_heat(frame, made, VIEW, Theme.DARK)
    opacity, colours = heat_tables(made, Theme.DARK)
    rng = np.random.default_rng(0)
    for _ in range(60):
        column, row = int(rng.integers(VIEW.width)), int(rng.integers(VIEW.height))
        x, y = (column + 0.5 - VIEW.dx) / VIEW.scale, (row + 0.5 - VIEW.dy) / VIEW.scale
        value = by_hand(proposed, asked, x, y)
        assert value_at(made, x, y) == pytest.approx(value, abs=1e-6)
        byte = round(value) if made.counts else round(value * 254) + 1 if value > 0 else 0
        wanted = np.round(opacity[byte] / 255 * colours[byte].astype(float))
        assert np.abs(frame[row, column] - wanted).max() <= 3 + 2 * (not made.counts)


def test_nothing_to_show(result, proposed):
    assert make_heat(result, World.TRAINING, options(Heat.NONE)) is None
    assert make_heat(result, World.TRAINING, options(Heat.OBJECTNESS)) is None, "no model was run"
    assert make_heat(proposed, World.MODEL, options(Heat.OBJECTNESS)) is not None


def test_the_text_says_what_the_strongest_colour_means(result):
    assert heat_text(make_heat(result, World.TRAINING, options(Heat.BEST_IOU))) == "Best IoU per position, 0 to 1"
    negatives = make_heat(result, World.TRAINING, options(Heat.NEGATIVE))
    assert heat_text(negatives) == "Negative anchors per position, 0 to 15"
    assert make_heat(result, World.TRAINING, options(Heat.NEGATIVE, level=0)).high == 3


@pytest.mark.parametrize("theme", Theme)
def test_the_ramp_goes_through_the_steps(theme):
    colours = ramp(theme)
    assert colours.shape == (256, 3)
    assert tuple(colours[0]) == parse_colour(STEPS[theme][0])
    assert tuple(colours[-1]) == parse_colour(STEPS[theme][-1])


def test_broken_values_are_drawn_as_nothing(result):
    made = make_heat(result, World.TRAINING, options(Heat.BEST_IOU))
    grid, values = made.parts[0]
    broken = dataclasses.replace(made, parts=((grid, np.full_like(values, np.nan)),))
    frame = blank(VIEW.height, VIEW.width, (9, 9, 9))
    draw_heat(frame, broken, VIEW, Theme.DARK)
    assert (frame == 9).all()


def test_a_shape_without_a_score_does_not_hide_the_others(proposed):
    objectness = proposed.decoded.objectness.copy()
    level = proposed.anchors.lattice[0]
    objectness[level.start : level.stop : level.cells] = np.nan
    decoded = dataclasses.replace(proposed.decoded, objectness=objectness)
    made = make_heat(dataclasses.replace(proposed, decoded=decoded), World.MODEL, options(Heat.OBJECTNESS, level=0))
    assert np.isfinite(made.parts[0][1]).all()


def test_sizes_of_a_model_are_those_of_its_boxes(proposed):
    asked = options(Heat.OBJECTNESS, level=0, size=(40.0, math.inf))
    shown = make_heat(proposed, World.MODEL, asked).parts[0][1] > 0
    boxes = proposed.decoded.boxes_input[: proposed.anchors.lattice[0].count]
    large = np.sqrt(np.clip((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 0, None)) >= 40
    np.testing.assert_array_equal(shown, large.reshape(*shown.shape, -1).any(axis=2))


def test_more_anchors_at_a_place_than_a_byte_counts(result):
    made = make_heat(result, World.TRAINING, options(Heat.NEGATIVE))
    grid, values = made.parts[0]
    crowd = dataclasses.replace(made, high=1500.0, parts=((grid, np.full_like(values, 600)),))
    assert heat_text(crowd) == "Negative anchors per position, 0 to 255 and more"
    opacity, _ = heat_tables(crowd, Theme.DARK)
    assert opacity[255] == opacity.max() == round(0.8 * 255)
