"""Strides, sizes and ratios read off the anchors that a trainer recorded; told only where they make those anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import grid_shapes, make_anchors
from rpnviz.core.conventions import CellOrder, RatioMeaning
from rpnviz.core.diff import Switch
from rpnviz.core.params import AnchorParams
from rpnviz.core.presets import Preset
from rpnviz.core.recording import RecordedStep
from rpnviz.core.replay import SAME_ANCHOR_PX
from rpnviz.errors import RpnvizError

_USUAL_RATIOS = (0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5, 2 / 3, 0.75, 0.8, 1.0, 1.25, 4 / 3, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
_POWER_OF_TWO = -1
"""Stands for rounding to a power of two, as sizes usually are."""
_NEAR = 0.15
"""Where corners are rounded a ratio is read off with this error at most: that of a side of about 16 px."""


def anchors_switch(step: RecordedStep, preset: Preset) -> Switch | None:
    """The change of ``anchors.*`` that makes the recorded anchors under the preset's conventions.

    Returns:
        None where no anchors are recorded, the present parameters make them, or none that was read off does.
    """
    recorded = step.images[0].anchors
    if recorded is None or not len(recorded):
        return None
    here = preset.params.anchors
    grids = step.grids or _likely_grids(step, here, len(recorded))
    if not grids:
        return None
    firsts = _first_cells(recorded, grids)
    strides = _strides(recorded, grids, here)
    for params in _candidates(firsts, strides, preset):
        if _makes(recorded, step, grids, params, preset):
            values = tuple(
                (f"anchors.{name}", getattr(here, name), getattr(params, name))
                for name in ("strides", "sizes", "aspect_ratios", "base_sizes", "scales")
                if getattr(here, name) != getattr(params, name)
            )
            return Switch(", ".join(name for name, _, _ in values), values) if values else None
    return None


def _likely_grids(step: RecordedStep, params: AnchorParams, anchors: int) -> tuple[tuple[int, int, int], ...]:
    """The grids of the present strides with as many cells as the number of anchors gives; none if it does not."""
    shapes = grid_shapes(step.input_size, params)
    positions = sum(height * width for height, width in shapes)
    cells, rest = divmod(anchors, positions)
    return () if rest else tuple((cells, height, width) for height, width in shapes)


def _first_cells(boxes: NDArray, grids: Sequence[tuple[int, int, int]]) -> list[NDArray]:
    """(C, 4) of the first position of every level."""
    starts = np.cumsum([0, *(cells * height * width for cells, height, width in grids)])
    return [boxes[start : start + grid[0]].astype(np.float64) for start, grid in zip(starts, grids, strict=False)]


def _strides(boxes: NDArray, grids: Sequence[tuple[int, int, int]], params: AnchorParams) -> tuple[int, ...]:
    """Between the first two positions of a row; of a level with one column, what is set, or twice the finer one."""
    found: list[int] = []
    start = 0
    for level, (cells, height, width) in enumerate(grids):
        stride = params.strides[level] if level < len(params.strides) else 2 * found[-1]
        if width > 1:
            apart = round(float(boxes[start + cells, 0] - boxes[start, 0]))
            # torchvision's strides are whole parts of the padded size: the nominal one explains a slightly lower one.
            stride = stride if level < len(params.strides) and apart <= stride < 1.2 * apart else max(apart, 1)
        found.append(stride)
        start += cells * height * width
    return tuple(found)


def _candidates(firsts: list[NDArray], strides: tuple[int, ...], preset: Preset) -> list[AnchorParams]:
    """Parameters whose first cells look like the recorded ones; the roundest first."""
    here, conventions = preset.params.anchors, preset.conventions
    extra = conventions.anchor_pixels.extra
    cells = len(firsts[0])
    found: list[AnchorParams] = []
    for number in (count for count in range(1, cells + 1) if not cells % count):
        levels = []
        for boxes in firsts:
            wide, high = boxes[:, 2] - boxes[:, 0] + extra, boxes[:, 3] - boxes[:, 1] + extra
            if len(boxes) != cells or not ((wide > 0) & (high > 0)).all():
                return []
            along = high / wide if conventions.ratio_meaning is RatioMeaning.HEIGHT_OVER_WIDTH else wide / high
            first = conventions.cell_order is CellOrder.RATIO_SIZE
            shape = (number, -1) if first else (-1, number)
            logs = [np.log(values).reshape(shape) for values in (along, np.sqrt(wide * high))]
            ratio, size = (logs[0].mean(1), logs[1].mean(0)) if first else (logs[0].mean(0), logs[1].mean(1))
            levels.append((np.exp(ratio), np.exp(size)))
        # Rounding tells least of the largest anchors, and levels mostly share their ratios.
        largest = max(levels, key=lambda level: float(level[1].max()))[0]
        for near, shared in product((True, False), (True, False)):
            ratios = tuple(tuple(_ratio(v, near) for v in (largest if shared else ratio)) for ratio, _ in levels)
            for digits in (_POWER_OF_TWO, 0, 1, 3):
                sizes = tuple(tuple(_size(value, digits) for value in size.tolist()) for _, size in levels)
                made = _params(here, strides, sizes, ratios)
                if made is not None and made not in found:
                    found.append(made)
    return found


def _size(value: float, digits: int) -> float:
    return 2.0 ** round(math.log2(value)) if digits == _POWER_OF_TWO else round(value, digits)


def _ratio(value: float, near: bool) -> float:
    usual = min(_USUAL_RATIOS, key=lambda other: abs(np.log(other / value)))
    return usual if near and abs(np.log(usual / value)) < _NEAR else round(float(value), 4)


def _params(here: AnchorParams, strides: tuple[int, ...], sizes: Any, ratios: Any) -> AnchorParams | None:
    """The parameters with them, in the way in which they are given at present; None where that is not allowed."""
    changes: dict[str, Any] = {"strides": strides, "aspect_ratios": ratios, "sizes": sizes}
    if isinstance(here.base_sizes, tuple):
        bases = here.base_sizes if len(here.base_sizes) == len(strides) else tuple(float(stride) for stride in strides)
        scales = tuple(round(size / bases[0], 4) for size in sizes[0])
        changes |= {"sizes": -1, "base_sizes": bases, "scales": scales}
    try:
        return replace(here, **changes)
    except RpnvizError:
        return None


def _makes(boxes: NDArray, step: RecordedStep, grids: Any, params: AnchorParams, preset: Preset) -> bool:
    """Whether the parameters make the recorded anchors."""
    shapes = grid_shapes(step.input_size, params)
    if len(shapes) != len(grids) or any(shape != tuple(grid[1:]) for shape, grid in zip(shapes, grids, strict=True)):
        return False
    own = make_anchors(step.input_size, params, preset.conventions).boxes
    return own.shape == boxes.shape and bool(
        np.abs(own.astype(np.float64) - boxes.astype(np.float64)).max(initial=0.0) <= SAME_ANCHOR_PX
    )
