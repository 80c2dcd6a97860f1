"""How layers are drawn: a photo and outlines as one array of pixels, the same for the canvas and for exports.

>>> view = Viewport(640, 480, scale=0.5)
>>> frame = Photo(rgb).render(view)
>>> paint(frame, make_layers(result, world, options, names), view, Theme.DARK)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.coverage import opacity_table
from rpnviz.drawing.density import density_of
from rpnviz.drawing.outlines import draw_density, draw_styled, draw_thin, outer_reach
from rpnviz.drawing.photo import DIM, SATURATION, Photo, blank
from rpnviz.drawing.scene import MAX_OUTLINES, Layer
from rpnviz.drawing.tags import Tag, draw_tags
from rpnviz.drawing.viewport import Viewport, in_view
from rpnviz.imaging import cv2
from rpnviz.palette import Role, Theme, rgb

__all__ = ["DIM", "SATURATION", "Compositor", "Photo", "Viewport", "blank", "paint", "swatch"]


class Compositor:
    """Photo and layers as one frame; densities at its back that are the same as last time are not drawn again."""

    def __init__(self) -> None:
        self._last: list[tuple[object, ...]] = []
        self._kept: list[tuple[object, ...]] = []
        self._under = np.zeros((0, 0, 3), np.uint8)

    def compose(
        self,
        photo: NDArray[np.uint8],
        layers: Sequence[Layer],
        view: Viewport,
        theme: Theme,
        pixel_ratio: float = 1.0,
    ) -> NDArray[np.uint8]:
        """A new frame, (height, width, 3) uint8 RGB: as :func:`paint` on a copy of ``photo``.

        Args:
            photo: as :meth:`Photo.render` gives it for ``view``; the same array while it is the same photo.
            layers, view, theme, pixel_ratio: as for :func:`paint`.
        """
        dense = list(itertools.takewhile(lambda layer: layer.dense, layers))
        # The arrays themselves are held, so that no other array can take their identity.
        keys: list[tuple[object, ...]] = [
            (
                _Same(photo),
                view,
                theme,
                layer.role,
                layer.shade,
                layer.opacity,
                _Same(layer.population),
                _Same(layer.rows),
            )
            for layer in dense
        ]
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(keys, self._last, strict=False)))
        self._last = keys
        if same and self._kept[:same] != keys[:same]:
            self._under = photo.copy()
            paint(self._under, layers[:same], view, theme, pixel_ratio)
            self._kept = keys[:same]
        known = len(self._kept) if self._kept and self._kept == keys[: len(self._kept)] else 0
        frame = (self._under if known else photo).copy()
        paint(frame, layers[known:], view, theme, pixel_ratio)
        return frame


class _Same:
    """An object that equals itself alone."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


def paint(
    rgb_frame: NDArray[np.uint8], layers: Sequence[Layer], view: Viewport, theme: Theme, pixel_ratio: float = 1.0
) -> None:
    """Draw layers on a frame, in place and back to front; labels come last.

    Args:
        rgb_frame: (height, width, 3) uint8 RGB, contiguous, as :meth:`Photo.render` gives it for ``view``.
        layers: back to front, see :func:`rpnviz.drawing.scene.make_layers`.
        view: the frame.
        theme: ground.
        pixel_ratio: device px per px of line widths and text.

    Convention:
        Up to 300 outlines in view have width, casing and marks; more are lines of 1 px. NaN, infinite and huge
        coordinates are drawn as far as they make sense.
    """
    tags: list[Tag] = []
    for layer in layers:
        if not len(layer):
            continue
        if layer.dense:
            density = density_of(layer.population, layer.rows, view)
            draw_density(density.part_of(rgb_frame), density.counts, density.table, layer.rgb(theme), layer.opacity)
            continue
        device = layer.population.device(layer.rows, view)
        seen = np.flatnonzero(in_view(device, view, outer_reach(layer.role, pixel_ratio)))
        few = len(seen) <= MAX_OUTLINES
        draw = draw_styled if few else draw_thin
        target = rgb_frame if layer.opacity >= 1 else rgb_frame.copy()
        draw(target, device[seen], layer.role, theme, pixel_ratio, colour=layer.rgb(theme))
        if target is not rgb_frame:
            cv2.addWeighted(target, layer.opacity, rgb_frame, 1 - layer.opacity, 0, dst=rgb_frame)
        if layer.labels is not None:
            tags += [
                Tag((x1, y1, x2, y2), layer.labels[row], layer.role, layer.opacity)
                for row, (x1, y1, x2, y2) in zip(seen.tolist(), device[seen].tolist(), strict=True)
            ]
    if tags:
        draw_tags(rgb_frame, tags, theme, pixel_ratio)


def swatch(role: Role, theme: Theme, width: int, height: int, scale: int = 1, dense: bool = False) -> NDArray[np.uint8]:
    """A sample of a role for a key: a small box with its line, dash and mark on nothing.

    Args:
        role: what to show.
        theme: ground.
        width, height: px of the sample.
        scale: pixels per px.
        dense: a density instead of an outline.

    Returns:
        (height * scale, width * scale, 4) uint8 RGBA, not premultiplied.
    """
    shape = (height * scale, width * scale)
    on_black, on_white = blank(*shape, (0, 0, 0)), blank(*shape, (255, 255, 255))
    for frame in (on_black, on_white):
        if dense:
            ramp = np.linspace(0, 60, shape[1]).astype(np.uint8)
            inside = np.zeros(shape, np.uint8)
            inside[2 * scale : -2 * scale] = ramp
            draw_density(frame, inside, opacity_table(inside), rgb(role, theme))
        else:
            edge = outer_reach(role, scale)
            box = np.array([[edge, edge, shape[1] - 1 - edge, shape[0] - 1 - edge]], np.int32)
            draw_styled(frame, box, role, theme, scale, keep_marks=True)
    # What differs between black and white shines through.
    through = np.clip(on_white.astype(np.int16) - on_black, 0, 255).max(axis=2)
    alpha = (255 - through).astype(np.uint8)
    colour = on_black.astype(np.float32) * 255 / np.maximum(alpha, 1)[..., None]
    return np.dstack([np.clip(np.round(colour), 0, 255).astype(np.uint8), alpha])
