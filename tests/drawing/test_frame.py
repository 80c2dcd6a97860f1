"""What reaches the pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rpnviz.drawing.coverage import Coverage, opacity_table
from rpnviz.drawing.frame import Photo, Viewport, blank, paint, swatch
from rpnviz.drawing.outlines import outer_reach
from rpnviz.drawing.population import Population
from rpnviz.drawing.scene import LAYERS, Layer, LayerKey, LayerOptions, World, default_options, make_layers
from rpnviz.drawing.viewport import device_boxes
from rpnviz.palette import CASING, Role, Theme, background, parse_colour, rgb

pytestmark = pytest.mark.usefixtures("both_ways")

GROUND = (90, 90, 90)


def layer(boxes, role=Role.POSITIVE, *, key=LayerKey.POSITIVE, dense=False, labels=None, opacity=1.0):
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    rows, count = np.arange(len(boxes)), len(boxes)
    return Layer(key, role, "", Population(boxes), rows, rows, count, count, dense, labels=labels, opacity=opacity)


def count_outlines(boxes, width=200, height=120):
    return Coverage().count(height, width, device_boxes(np.asarray(boxes), Viewport(width, height, 1.0))).copy()


def painted(*layers, width=200, height=120, scale=1.0, theme=Theme.DARK, ratio=1.0):
    frame = blank(height, width, GROUND)
    paint(frame, layers, Viewport(width, height, scale), theme, ratio)
    return frame


def has(frame, colour):
    """(H, W) where the frame has a colour."""
    return (frame == np.array(colour)).all(axis=2)


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("role", Role)
def test_an_outline_has_its_colour_and_a_casing(role, theme):
    frame = painted(layer([[40, 30, 150, 90]], role), theme=theme)
    line, casing = has(frame, rgb(role, theme)), has(frame, parse_colour(CASING[theme]))
    assert line[30, 40:151].mean() > 0.3
    assert line[30:91, 150].mean() > 0.3
    assert casing[28:33].any()
    inside = frame[45:75, 55:135]
    assert (inside == GROUND).all(), "nothing covers what is in the box"


def test_solid_lines_are_whole_and_dashes_are_not():
    solid = has(painted(layer([[40, 30, 150, 90]], Role.GT)), rgb(Role.GT, Theme.DARK))
    assert solid[30, 40:151].all()
    assert solid[30:91, 40].all()
    dashed = has(painted(layer([[40, 30, 150, 90]], Role.SUPPRESSED)), rgb(Role.SUPPRESSED, Theme.DARK))
    assert 0.3 < dashed[30, 40:151].mean() < 0.5


def test_dashes_belong_to_the_screen():
    """Two boxes of the same role that share an edge stay dashed there."""
    one = has(painted(layer([[40, 30, 150, 90]], Role.NEUTRAL)), rgb(Role.NEUTRAL, Theme.DARK))
    two = has(painted(layer([[40, 30, 150, 90], [47, 30, 140, 60]], Role.NEUTRAL)), rgb(Role.NEUTRAL, Theme.DARK))
    np.testing.assert_array_equal(one[30, 60:130], two[30, 60:130])
    assert not two[30, 60:130].all()


def test_marks_tell_roles_apart_in_the_corner():
    corners = {}
    for role in (Role.FORCED, Role.LEFT_OUT, Role.GT, Role.PROPOSAL, Role.POSITIVE):
        line = has(painted(layer([[40, 30, 150, 90]], role)), rgb(role, Theme.DARK))
        corners[role] = line[26:44, 36:54].tobytes()
    assert len(set(corners.values())) == len(corners)


def test_proposals_have_round_corners():
    line = has(painted(layer([[40, 30, 150, 90]], Role.PROPOSAL)), rgb(Role.PROPOSAL, Theme.DARK))
    assert not line[30, 40]
    assert line[30, 60]
    assert line[50, 40]


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0, 3.0])
def test_lines_grow_with_the_pixel_ratio(ratio):
    line = has(painted(layer([[60, 40, 150, 90]], Role.GT_PROBLEM), ratio=ratio), rgb(Role.GT_PROBLEM, Theme.DARK))
    assert np.count_nonzero(line[20:60, 105]) == pytest.approx(3 * ratio, abs=0.8)


@pytest.mark.parametrize("side", [0, 1, 2, 5, 9, 14])
@pytest.mark.parametrize("role", Role)
def test_small_boxes_do_not_hide_what_they_hold(role, side):
    frame = painted(layer([[100, 60, 100 + side, 60 + side]], role))
    assert (frame != GROUND).any()
    if side >= 5:
        middle = 100 + side // 2, 60 + side // 2
        assert (frame[middle[1], middle[0]] == GROUND).all()


def test_opacity_blends():
    full = painted(layer([[40, 30, 150, 90]], Role.GT))
    faint = painted(layer([[40, 30, 150, 90]], Role.GT, opacity=0.35))
    expected = np.array(GROUND) + 0.35 * (full.astype(float) - GROUND)
    np.testing.assert_allclose(faint, expected, atol=1)


def test_density_follows_the_tone_map():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 100, (400, 2))
    dense = layer(np.concatenate([corners, corners + rng.integers(5, 60, (400, 2))], axis=1), Role.NEGATIVE, dense=True)
    frame = painted(dense)
    counts = np.minimum(count_outlines(dense.boxes), 255).astype(np.uint8)
    alpha = opacity_table(counts)[counts][..., None] / 255
    expected = np.array(GROUND) * (1 - alpha) + np.array(rgb(Role.NEGATIVE, Theme.DARK)) * alpha
    np.testing.assert_allclose(frame, expected, atol=2)


@pytest.mark.parametrize("number", [301, 5001])
def test_many_outlines_are_thin_lines(number):
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 100, (number, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 60, (number, 2))], axis=1)
    line = has(painted(layer(boxes)), rgb(Role.POSITIVE, Theme.DARK))
    np.testing.assert_array_equal(line, count_outlines(boxes) > 0)


def test_zooming_in_on_a_few_of_many_gives_them_style():
    boxes = np.array([[x, y, x + 20, y + 20] for x in range(0, 2000, 40) for y in range(0, 2000, 40)], float)
    frame = painted(layer(boxes), scale=1.0)
    assert has(frame, parse_colour(CASING[Theme.DARK])).any()


def test_layers_are_drawn_back_to_front():
    below, above = layer([[40, 30, 150, 90]], Role.POSITIVE), layer([[40, 30, 150, 90]], Role.GT)
    assert (painted(below, above)[30, 90] == rgb(Role.GT, Theme.DARK)).all()
    assert (painted(above, below)[30, 90] == rgb(Role.POSITIVE, Theme.DARK)).all()


def test_a_box_as_large_as_the_image_is_seen_on_all_sides():
    line = has(painted(layer([[0, 0, 200, 120]], Role.GT)), rgb(Role.GT, Theme.DARK))
    assert line[0].all()
    assert line[-1].all()
    assert line[:, 0].all()
    assert line[:, -1].all()


BAD = [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e9, -1e9, 0.0, -0.0, 5.0]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("role", [Role.GT_PROBLEM, Role.FORCED, Role.PROPOSAL, Role.LEFT_OUT, Role.NEUTRAL])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_no_coordinate_is_too_bad(dense, role, scale):
    corners = list(itertools.product(BAD, repeat=2))
    boxes = [[*a, *b] for a, b in zip(corners, reversed(corners), strict=True)]
    labels = tuple(f"{number} name" for number in range(len(boxes)))
    painted(layer(boxes, role, dense=dense, labels=None if dense else labels), scale=scale)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2)])
def test_frames_of_a_few_pixels(size, proposed):
    for world in World:
        options = LayerOptions(frozenset(spec.key for spec in LAYERS[world]), everything=True)
        frame = blank(*size, GROUND)
        paint(frame, make_layers(proposed, world, options, ("x",) * 4), Viewport(size[1], size[0], 0.3), Theme.DARK)


@pytest.mark.parametrize("world", World)
@pytest.mark.parametrize("theme", Theme)
def test_whole_scenes(proposed, world, theme):
    rng = np.random.default_rng(0)
    photo = Photo(rng.integers(0, 256, (128, 160, 3), np.uint8))
    view = Viewport(400, 300, 2.2, 20, 8)
    base = photo.render(view, theme=theme)
    frame = base.copy()
    paint(frame, make_layers(proposed, world, default_options(world), ("coin",) * 4), view, theme)
    changed = (frame != base).any(axis=2)
    assert 0.01 < changed.mean() < 0.7
    assert has(frame, rgb(Role.GT, theme)).any()


def test_painting_twice_gives_the_same(proposed):
    options = LayerOptions(frozenset(spec.key for spec in LAYERS[World.MODEL]), everything=True)
    layers = make_layers(proposed, World.MODEL, options, ("coin",) * 4)
    view = Viewport(400, 300, 2.2, 20, 8)
    first, second = blank(300, 400, GROUND), blank(300, 400, GROUND)
    paint(first, layers, view, Theme.DARK)
    paint(second, layers, view, Theme.DARK)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("scale", [1, 2])
def test_swatches_look_like_what_they_stand_for(theme, scale):
    seen = set()
    for role in Role:
        sample = swatch(role, theme, 30, 16, scale)
        assert sample.shape == (16 * scale, 30 * scale, 4)
        assert sample.dtype == np.uint8
        opaque = sample[..., 3] == 255
        assert has(sample[..., :3], rgb(role, theme))[opaque].any()
        assert (sample[8 * scale, 15 * scale, 3] == 0).all(), "empty inside"
        seen.add(sample.tobytes())
    assert len(seen) == len(Role)


def test_a_swatch_over_the_ground_is_what_paint_draws():
    sample = swatch(Role.SUPPRESSED, Theme.DARK, 30, 16).astype(float)
    alpha = sample[..., 3:] / 255
    over = sample[..., :3] * alpha + np.array(background(Theme.DARK)) * (1 - alpha)
    frame = blank(16, 30, background(Theme.DARK))
    edge = outer_reach(Role.SUPPRESSED, 1)
    paint(frame, [layer([[edge, edge, 29 - edge, 15 - edge]], Role.SUPPRESSED)], Viewport(30, 16, 1.0), Theme.DARK)
    np.testing.assert_allclose(over, frame, atol=1)


def test_a_dense_swatch_is_a_ramp():
    sample = swatch(Role.NEGATIVE, Theme.DARK, 30, 16, dense=True)
    strength = sample[8, :, 3].astype(int)
    assert (np.diff(strength) >= 0).all()
    assert strength[-1] > strength[3] > 0
