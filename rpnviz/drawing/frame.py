"""How layers are drawn: a photo and outlines as one array of pixels, the same for the canvas and for exports.

>>> view = Viewport(640, 480, scale=0.5)
>>> frame = Photo(rgb).render(view)
>>> paint(frame, make_layers(result, world, options, names), view, Theme.DARK)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.pipeline import Result
from rpnviz.drawing.colouring import level_category
from rpnviz.drawing.coverage import opacity_table
from rpnviz.drawing.density import Density, density_of, draw_density
from rpnviz.drawing.heat import HeatMap, draw_heat, make_heat, ramp
from rpnviz.drawing.options import LayerOptions, World
from rpnviz.drawing.outlines import draw_styled, draw_thin, outer_reach
from rpnviz.drawing.photo import DIM, SATURATION, Photo, blank
from rpnviz.drawing.positions import Grid, grids
from rpnviz.drawing.scene import MAX_OUTLINES, Layer
from rpnviz.drawing.tags import Tag, draw_tags
from rpnviz.drawing.viewport import Viewport, in_view
from rpnviz.imaging import cv2
from rpnviz.palette import CASING, RGB, Role, Theme, category_rgb, parse_colour, rgb

__all__ = [
    "DIM",
    "NO_BACKDROP",
    "SATURATION",
    "Backdrop",
    "Compositor",
    "Photo",
    "Viewport",
    "blank",
    "draw_backdrop",
    "legible_grid",
    "make_backdrop",
    "on_nothing",
    "paint",
    "ramp_swatch",
    "swatch",
]


@dataclass(frozen=True, eq=False)
class Backdrop:
    """What lies between photo and outlines.

    Attributes:
        heat: a heat map, or None.
        grids: positions of levels to mark, the finest first; see :func:`legible_grid`.
    """

    heat: HeatMap | None = None
    grids: tuple[Grid, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether there is anything."""
        return self.heat is not None or bool(self.grids)


NO_BACKDROP = Backdrop()


_MARKS_APART = 8
"""Least distance of marked positions, px."""
_DOTS_APART = 3
"""Least distance of positions that are marked by single pixels."""


def make_backdrop(result: Result, world: World, options: LayerOptions) -> Backdrop:
    """The backdrop that the options of a world ask for."""
    shown: tuple[Grid, ...] = ()
    if options.centres:
        every = grids(result.anchors, result.frame)
        shown = every if options.only.level is None else every[options.only.level : options.only.level + 1]
    return Backdrop(make_heat(result, world, options), shown)


def draw_backdrop(
    rgb_frame: NDArray[np.uint8], backdrop: Backdrop, view: Viewport, theme: Theme, pixel_ratio: float = 1.0
) -> None:
    """Draw a backdrop on a frame, in place."""
    if backdrop.heat is not None:
        draw_heat(rgb_frame, backdrop.heat, view, theme)
    grid = legible_grid(backdrop, view, pixel_ratio)
    if grid is not None:
        _mark_centres(rgb_frame, grid, view, theme, pixel_ratio)


def legible_grid(backdrop: Backdrop, view: Viewport, pixel_ratio: float = 1.0) -> Grid | None:
    """The grid whose positions are marked in a view: the finest whose marks stay apart, else the coarsest if its do."""
    for grid in backdrop.grids:
        if _spacing(grid, view) >= _MARKS_APART * pixel_ratio:
            return grid
    coarsest = backdrop.grids[-1] if backdrop.grids else None
    return coarsest if coarsest is not None and _spacing(coarsest, view) >= _DOTS_APART else None


def _spacing(grid: Grid, view: Viewport) -> float:
    """Device px between neighbouring positions."""
    return min(grid.step[1] * view.scale, grid.step[0] * view.scale_y)


def _mark_centres(frame: NDArray[np.uint8], grid: Grid, view: Viewport, theme: Theme, ratio: float) -> None:
    """A dot at every position, on a rim that keeps it visible on any photo where there is room for one."""
    x = np.floor(grid.x * view.scale + view.dx)
    y = np.floor(grid.y * view.scale_y + view.dy)
    arm = max(1, round(ratio)) if _spacing(grid, view) >= _MARKS_APART * ratio else 0
    for reach, colour in (
        (arm, parse_colour(CASING[theme])),
        (max(arm - 1, 0), category_rgb(level_category(grid.stride), theme)),
    ):
        offsets = np.arange(-reach, reach + 1)
        columns = (x[:, None] + offsets).ravel()
        rows = (y[:, None] + offsets).ravel()
        columns = columns[(columns >= 0) & (columns < view.width)].astype(np.intp)
        rows = rows[(rows >= 0) & (rows < view.height)].astype(np.intp)
        frame[rows[:, None], columns[None]] = colour


class Compositor:
    """Photo and layers as one frame; densities at its back that are the same as last time are not drawn again."""

    def __init__(self) -> None:
        self._last: list[tuple[object, ...]] = []
        self._kept: list[tuple[object, ...]] = []
        self._under = np.zeros((0, 0, 3), np.uint8)
        self._backdrop: tuple[object, ...] = ()
        self._photo = self._under

    def compose(
        self,
        photo: NDArray[np.uint8],
        layers: Sequence[Layer],
        view: Viewport,
        theme: Theme,
        pixel_ratio: float = 1.0,
        backdrop: Backdrop = NO_BACKDROP,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """A frame, (height, width, 3) uint8 RGB: as :func:`paint` on a copy of ``photo``.

        Args:
            photo: as :meth:`Photo.render` gives it for ``view``; the same array while it is the same photo.
            layers, view, theme, pixel_ratio: as for :func:`paint`.
            backdrop: between the two.
            out: an old frame of the same size that is overwritten; None: a new one is made.
        """
        if backdrop.shown:
            photo = self._with_backdrop(photo, backdrop, view, theme, pixel_ratio)
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
        source = self._under if known else photo
        if out is None:
            frame = source.copy()
        else:
            frame = out
            np.copyto(frame, source)
        paint(frame, layers[known:], view, theme, pixel_ratio)
        return frame

    def _with_backdrop(
        self, photo: NDArray[np.uint8], backdrop: Backdrop, view: Viewport, theme: Theme, pixel_ratio: float
    ) -> NDArray[np.uint8]:
        """The photo with a backdrop; the same array while both are the same."""
        asked = (_Same(photo), _Same(backdrop), view, theme, pixel_ratio)
        if self._backdrop != asked:
            self._photo = photo.copy()
            draw_backdrop(self._photo, backdrop, view, theme, pixel_ratio)
            self._backdrop = asked
        return self._photo


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
            draw_density(rgb_frame, density, layer.rgb(theme), layer.opacity)
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


def ramp_swatch(theme: Theme, width: int, height: int, scale: int = 1) -> NDArray[np.uint8]:
    """The colours of a heat map from little to much, (height * scale, width * scale, 4) uint8 RGBA."""
    colours = ramp(theme)[np.linspace(0, 255, width * scale).astype(np.intp)]
    sample = np.full((height * scale, width * scale, 4), 255, np.uint8)
    sample[..., :3] = colours
    sample[: 2 * scale, :, 3] = sample[-2 * scale :, :, 3] = 0
    return sample


def swatch(
    role: Role,
    theme: Theme,
    width: int,
    height: int,
    scale: int = 1,
    dense: bool = False,
    colour: RGB | None = None,
) -> NDArray[np.uint8]:
    """A sample of a role for a key: a small box with its line, dash and mark on nothing.

    Args:
        role: what to show.
        theme: ground.
        width, height: px of the sample.
        scale: pixels per px.
        dense: a density instead of an outline.
        colour: instead of the role's.

    Returns:
        (height * scale, width * scale, 4) uint8 RGBA, not premultiplied.
    """
    shape, ink = (height * scale, width * scale), rgb(role, theme) if colour is None else colour

    def draw(frame: NDArray[np.uint8]) -> None:
        if dense:
            ramp_of_counts = np.linspace(0, 60, shape[1]).astype(np.uint8)
            inside = np.zeros(shape, np.uint8)
            inside[2 * scale : -2 * scale] = ramp_of_counts
            draw_density(frame, Density(0, 0, inside, opacity_table(inside)), ink)
        else:
            edge = outer_reach(role, scale)
            box = np.array([[edge, edge, shape[1] - 1 - edge, shape[0] - 1 - edge]], np.int32)
            draw_styled(frame, box, role, theme, scale, keep_marks=True, colour=ink)

    return on_nothing(*shape, draw)


def on_nothing(height: int, width: int, draw: Callable[[NDArray[np.uint8]], None]) -> NDArray[np.uint8]:
    """What a function draws, without any ground: what differs between black and white shines through.

    Args:
        height, width: px.
        draw: draws on a (height, width, 3) uint8 RGB frame, in place, the same on every ground.

    Returns:
        (height, width, 4) uint8 RGBA, not premultiplied.
    """
    on_black, on_white = blank(height, width, (0, 0, 0)), blank(height, width, (255, 255, 255))
    for frame in (on_black, on_white):
        draw(frame)
    rgba = np.empty((height, width, 4), np.uint8)
    # In bands, because the steps between hold some 30 bytes per pixel.
    rows = max(1, 4_000_000 // max(width, 1))
    for top in range(0, height, rows):
        dark, light = on_black[top : top + rows], on_white[top : top + rows]
        through = np.clip(light.astype(np.int16) - dark, 0, 255).max(axis=2)
        alpha = (255 - through).astype(np.uint8)
        colour = dark.astype(np.float32) * 255 / np.maximum(alpha, 1)[..., None]
        rgba[top : top + rows, :, :3] = np.clip(np.round(colour), 0, 255).astype(np.uint8)
        rgba[top : top + rows, :, 3] = alpha
    return rgba
