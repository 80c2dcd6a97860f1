"""A layer of many boxes as one array of counts: counted exactly, in the cheapest way, and remembered.

Of every lattice that a layer holds more than half of, all boxes are counted by the product and the missing ones taken
off again; what is left over is counted by prefix sums. Both are exact, so it does not matter which way was taken.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.blending import blend_table
from rpnviz.drawing.coverage import Coverage, Lattice, count_lattices, opacity_table
from rpnviz.drawing.population import Population
from rpnviz.drawing.viewport import Viewport
from rpnviz.imaging import cv2
from rpnviz.palette import RGB

_BAND_PIXELS = 8_000_000
"""Counting takes 8 bytes per pixel: an export of 48 megapixels is counted in bands, every window at once."""
_REMEMBER_UP_TO = 16_000_000
"""Pixels of a frame; exports may be larger than any screen and are drawn once."""
_REMEMBERED = 6
_MANY = 20_000
"""Boxes that hardly leave a part of the frame untouched; finding it costs more than it saves."""
_FEW = 2_000
"""Boxes that are not worth a product."""


@dataclass(frozen=True, eq=False)
class Density:
    """Outlines per pixel of a part of a frame.

    Attributes:
        left, top: of the part, px of the frame.
        counts: (h, w) uint8, cut at 255.
        table: (256,) uint8 opacity of every count.
    """

    left: int
    top: int
    counts: NDArray[np.uint8]
    table: NDArray[np.uint8]


class _Memory(threading.local):
    """Buffers, and what was counted last in this thread."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.coverage = Coverage()
        self.densities: OrderedDict[tuple[int, int, Viewport], tuple[object, object, Density]] = OrderedDict()
        self.product: tuple[Population, Viewport, bytes, NDArray[np.int32]] | None = None


_memory = _Memory()


def forget() -> None:
    """Give back what this thread remembers and its buffers; for threads that draw now and then."""
    _memory.clear()


def density_of(population: Population, rows: NDArray[np.int64], view: Viewport) -> Density:
    """Counts of the outlines of some boxes in a frame.

    Args:
        population: all boxes.
        rows: (K,) ascending; the same array in the same view is counted once.
        view: the frame.
    """
    key = id(population), id(rows), view
    found = _memory.densities.get(key)
    if found is not None and found[0] is population and found[1] is rows:
        _memory.densities.move_to_end(key)
        return found[2]
    density = _count(population, rows, view)
    if view.width * view.height <= _REMEMBER_UP_TO:
        # The arrays are held with their counts, so that no other array can take their identity.
        _memory.densities[key] = population, rows, density
        while len(_memory.densities) > _REMEMBERED:
            _memory.densities.popitem(last=False)
    return density


def _count(population: Population, rows: NDArray[np.int64], view: Viewport) -> Density:
    lattices, plus, minus = _split(population, rows, view)
    boxes, less = population.device(plus, view), population.device(minus, view)
    if lattices:
        left, top, right, bottom = 0, 0, view.width, view.height
    else:
        left, top, right, bottom = _extent(boxes, view.width, view.height)
    counts = np.zeros((bottom - top, right - left), np.uint8)
    step = max(1, _BAND_PIXELS // max(right - left, 1))
    for start in range(0, bottom - top, step):
        band = counts[start : start + step]
        _count_band(population, lattices, boxes, less, view, (left, top + start), band)
    return Density(left, top, counts, opacity_table(counts))


def _split(
    population: Population, rows: NDArray[np.int64], view: Viewport
) -> tuple[list[tuple[int, int]], NDArray[np.int64], NDArray[np.int64]]:
    """(level, cell) of the lattices that are counted whole, rows to add, and rows to take off; both ascending."""
    none = np.zeros(0, np.int64)
    if not population.levels or len(rows) <= _FEW:
        return [], rows, none
    if len(rows) == len(population):
        every = [(number, cell) for number, level in enumerate(population.levels) for cell in range(level.cells)]
        return every, none, none
    chosen = np.zeros(len(population), bool)
    chosen[rows] = True
    whole: list[tuple[int, int]] = []
    odd = chosen.copy()
    starts = np.searchsorted(rows, [level.start for level in population.levels] + [len(population)])
    for number, (level, held) in enumerate(zip(population.levels, np.diff(starts).tolist(), strict=True)):
        part, half = odd[level.start : level.stop], level.count / level.cells / 2
        if level.count - held < half:
            np.logical_not(part, out=part)  # no shape can miss half of its anchors
            whole += [(number, cell) for cell in range(level.cells)]
        elif held > half:
            shapes = part.reshape(-1, level.cells)
            most = np.count_nonzero(shapes, axis=0) > half
            shapes ^= most
            whole += [(number, cell) for cell in np.flatnonzero(most).tolist()]
    rest = np.flatnonzero(odd)
    taken = chosen[rest]
    return whole, rest[taken], rest[~taken]


def _extent(boxes: NDArray[np.int32], width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a frame that boxes may touch: left, top, right, bottom, the latter two exclusive."""
    if not len(boxes):
        return 0, 0, 0, 0
    if len(boxes) > _MANY:
        return 0, 0, width, height
    left, top = np.maximum(boxes[:, :2].min(axis=0), 0).tolist()
    right, bottom = np.minimum(boxes[:, 2:].max(axis=0) + 1, (width, height)).tolist()
    return (left, top, right, bottom) if left < right and top < bottom else (0, 0, 0, 0)


def _count_band(
    population: Population,
    lattices: list[tuple[int, int]],
    boxes: NDArray[np.int32],
    less: NDArray[np.int32],
    view: Viewport,
    corner: tuple[int, int],
    out: NDArray[np.uint8],
) -> None:
    """Counts of the part of the frame that begins at ``corner`` (left, top), into ``out``."""
    left, top = corner
    height, width = out.shape
    shift = np.array([left, top, left, top], np.int32)
    boxes, less = boxes - shift, less - shift
    if not lattices:
        _memory.coverage.cut(out, boxes)
        return
    whole = _product(population, lattices, view, top, height)
    cv2.convertScaleAbs(whole, dst=out)
    x1, y1, x2, y2 = _extent(np.concatenate([boxes, less]), width, height)
    if x1 < x2:
        shift = np.array([x1, y1, x1, y1], np.int32)
        _memory.coverage.cut(out[y1:y2, x1:x2], boxes - shift, less - shift, whole[y1:y2, x1:x2])


def _product(
    population: Population, lattices: list[tuple[int, int]], view: Viewport, top: int, height: int
) -> NDArray[np.int32]:
    """(height, width) counts of whole lattices; those of a whole frame are kept for the next threshold."""
    name = np.array(lattices).tobytes()
    kept = _memory.product
    if kept is not None and height == view.height and kept[:3] == (population, view, name):
        return kept[3]
    every = population.lattices(view)
    chosen = [every[level][cell] for level, cell in lattices]
    if top:
        chosen = [Lattice(x1, x2, y1 - top, y2 - top) for x1, x2, y1, y2 in chosen]
    # What is kept is of no use any more, but its memory is.
    old = kept[3] if kept is not None and kept[3].shape == (height, view.width) else None
    _memory.product = None
    counts = count_lattices(height, view.width, chosen, old)
    if height == view.height and counts.size <= _REMEMBER_UP_TO:
        _memory.product = population, view, name, counts
    return counts


def draw_density(frame: NDArray[np.uint8], density: Density, colour: RGB, opacity: float = 1.0) -> None:
    """Blend ``colour`` over a frame (H, W, 3), in place, the stronger the more outlines cross a pixel.

    Args:
        frame: of the view that the density was counted for.
        density: see :func:`density_of`.
        colour: of the density.
        opacity: 0 to 1.
    """
    table = np.round(density.table * opacity).astype(np.uint8)
    blend_table(frame, density.counts, table, np.tile(np.array(colour), (256, 1)), (density.left, density.top))
