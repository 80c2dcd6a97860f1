"""What the canvas remembers changes no pixel: any combination of layers, thresholds, filters, colours and views."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rpnviz.drawing import density
from rpnviz.drawing.frame import Compositor, Photo, Viewport, draw_backdrop, make_backdrop, paint
from rpnviz.drawing.options import LAYERS, BoxFilter, ColourBy, Heat, LayerOptions, World
from rpnviz.drawing.scene import _choices, make_layers
from rpnviz.palette import Theme

pytestmark = pytest.mark.usefixtures("both_ways")

VIEWS = [Viewport(150, 110, 0.9, 4.3, -2.0), Viewport(130, 90, 3.0, -90.5, -60.25)]


def fresh(photo, result, world, options, view, theme):
    """A frame with nothing remembered."""
    _choices.clear()
    density._memory.densities.clear()
    density._memory.product = None
    frame = photo.copy()
    draw_backdrop(frame, make_backdrop(result, world, options), view, theme)
    paint(frame, make_layers(result, world, options), view, theme)
    return frame


def random_options(rng, world, before):
    """One step of a user: most of it stays as it was."""
    keys = [spec.key for spec in LAYERS[world]]
    visible, show_all, everything, only, colour_by, heat, gt, centres = before
    match int(rng.integers(9)):
        case 0 | 1:
            visible = visible ^ {keys[int(rng.integers(len(keys)))]}
        case 2:
            show_all = show_all ^ {keys[int(rng.integers(len(keys)))]}
        case 3:
            everything = not everything
        case 4:
            only = [
                BoxFilter(),
                BoxFilter(level=1),
                BoxFilter(shape=0),
                BoxFilter(sampled=True),
                BoxFilter(iou=(0.1, 0.6)),
                BoxFilter(position=(0, 3, 5)),
                BoxFilter(size=(20, 90)),
            ][int(rng.integers(7))]
        case 5:
            colour_by = list(ColourBy)[int(rng.integers(len(ColourBy)))]
        case 6:
            heat = [Heat.NONE, Heat.NONE, Heat.BEST_IOU, Heat.NEGATIVE][int(rng.integers(4))]
        case 7:
            gt = [None, None, 0, 1][int(rng.integers(4))]
        case _:
            centres = not centres
    return visible, show_all, everything, only, colour_by, heat, gt, centres


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("world", World)
def test_no_pixel_depends_on_what_was_shown_before(run, proposed, seed, world):
    rng = np.random.default_rng(seed)
    results = [proposed]
    if world is World.TRAINING:
        results += [run(fg_iou_thresh=0.5), run(fg_iou_thresh=0.45, bg_iou_thresh=0.2), run()]
    image = Photo(rng.integers(0, 256, (128, 160, 3)).astype(np.uint8))
    compositor, shown = (
        Compositor(),
        (frozenset(), frozenset(), True, BoxFilter(), ColourBy.LABEL, Heat.NONE, None, False),
    )
    view, theme = VIEWS[0], Theme.DARK
    photo = image.render(view, theme=theme)
    for step in range(40):
        if step % 9 == 8:
            view, theme = VIEWS[int(rng.integers(2))], list(Theme)[int(rng.integers(2))]
            photo = image.render(view, theme=theme)
        shown = random_options(rng, world, shown)
        visible, show_all, everything, only, colour_by, heat, gt, centres = shown
        options = LayerOptions(visible, show_all, gt, everything, only, colour_by, heat, centres)
        result = results[int(rng.integers(len(results)))]
        layers, backdrop = make_layers(result, world, options), make_backdrop(result, world, options)
        frame = compositor.compose(photo, layers, view, theme, 1.0, backdrop)
        again = compositor.compose(photo, layers, view, theme, 1.0, backdrop)
        np.testing.assert_array_equal(frame, again)
        np.testing.assert_array_equal(frame, fresh(photo, result, world, options, view, theme), err_msg=str(options))


def test_the_densities_at_the_back_are_drawn_once(result, monkeypatch):
    from rpnviz.drawing import frame as frames

    drawn = []
    real = frames.draw_density
    monkeypatch.setattr(frames, "draw_density", lambda *given: drawn.append(1) or real(*given))
    keys = frozenset(spec.key for spec in LAYERS[World.TRAINING])
    layers = make_layers(result, World.TRAINING, LayerOptions(keys, everything=True))
    back = sum(1 for _ in itertools.takewhile(lambda layer: layer.dense, layers))
    others = sum(layer.dense for layer in layers) - back
    assert back == 2
    compositor, photo = Compositor(), Photo(np.zeros((128, 160, 3), np.uint8)).render(VIEWS[0])
    for _ in range(5):
        compositor.compose(photo, layers, VIEWS[0], Theme.DARK)
    assert len(drawn) == 2 * back + 5 * others, "once as they come, once to remember them"
