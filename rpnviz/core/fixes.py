"""Changes of the parameters that let a ground-truth box fare better, each checked by running the pipeline.

A few single changes are chosen in closed form from the cause; what they do is not estimated but computed, for the box
and for all others of the image. Those that do not raise the box's rank are dropped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rpnviz.core import pipeline
from rpnviz.core.anchors import level_name
from rpnviz.core.conventions import RatioMeaning
from rpnviz.core.explain import Cause, Explanation, LeftOutBy, explain
from rpnviz.core.matching import WEAK_IOU, Rank
from rpnviz.core.params import Params, ResizeMode, differences
from rpnviz.core.pipeline import Result
from rpnviz.core.rules import plain
from rpnviz.errors import ParamsError

MOST = 5
"""Changes that are tried for one box."""

_LARGEST_STEP = 3.0
"""An input is enlarged by at most this: nine times the memory and time."""

_MOST_ANCHORS = 600_000
"""Positions come only so much closer that their level has at most this many anchors: memory and time."""

_LEAST_THRESHOLD = 0.3
"""A lower positive IoU than this is nothing to advise: it makes anchors positive that miss the box."""


@dataclass(frozen=True)
class Fix:
    """A change, and what it does in this image.

    Attributes:
        params: all parameters with the change.
        patch: the same as a JSON merge patch of the Params document.
        text: what is changed, in words.
        rank_after, positives_after, best_iou_after: of the box.
        anchors_added: in this image, negative where there are fewer.
        gained, lost: other boxes of the image whose rank rises or falls, by their index.
    """

    params: Params
    patch: dict[str, Any]
    text: str
    rank_after: Rank
    positives_after: int
    best_iou_after: float
    anchors_added: int
    gained: tuple[int, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True)
class _Change:
    """A change before it is tried."""

    text: str
    params: Params


def find_fixes(result: Result, gt: int, found: Explanation | None = None) -> tuple[Fix, ...]:
    """Changes that raise the rank of a box, the cheapest first: single ones, then those that take two fields.

    Args:
        result: of the image.
        gt: index of the box in ``Inputs``.
        found: its explanation, if that is there already.

    Returns:
        At most :data:`MOST`; none for a box that is matched or not trained on.
    """
    found = explain(result, gt) if found is None else found
    if found.rank not in (Rank.NONE, Rank.FORCED):
        return ()
    fixes = []
    tried: set[Params] = {result.params}
    for change in _changes(result, found):
        if len(tried) > MOST:
            break
        if change.params in tried:
            continue
        tried.add(change.params)
        fix = _try(result, gt, change)
        if fix is not None:
            fixes.append(fix)
    return tuple(sorted(fixes, key=_cost))


def _cost(fix: Fix) -> tuple[float, ...]:
    """Few fields first; a box that then trains on poor fits is little better off; then rank, others lost, anchors."""
    fields = sum(len(group) for group in fix.patch.values())
    poor = fix.best_iou_after < WEAK_IOU
    return poor, fields, -fix.rank_after.height, len(fix.lost), fix.anchors_added


def _try(result: Result, gt: int, change: _Change) -> Fix | None:
    """What a change does; None if the box's rank does not rise."""
    after = pipeline.run(result.inputs, change.params, result.conventions, result)
    before_ranks, ranks = result.match.ranks, after.match.ranks
    if ranks[gt].height <= before_ranks[gt].height:
        return None
    steps = [new.height - old.height for old, new in zip(before_ranks, ranks, strict=True)]
    return Fix(
        change.params,
        _patch(result.params, change.params),
        change.text,
        ranks[gt],
        int(after.match.gt_positives[gt]),
        float(after.match.gt_best_iou[gt]),
        len(after.anchors) - len(result.anchors),
        tuple(other for other, step in enumerate(steps) if step > 0 and other != gt),
        tuple(other for other, step in enumerate(steps) if step < 0 and other != gt),
    )


def _patch(before: Params, after: Params) -> dict[str, Any]:
    """The fields that differ, by group; arrays whole."""
    patch: dict[str, Any] = {}
    for where, _, value in differences(before, after):
        group, name = where.split(".")
        patch.setdefault(group, {})[name] = plain(value)
    return patch


def _changes(result: Result, found: Explanation) -> Iterator[_Change]:
    """Changes worth trying, the most telling of the cause first; one that is not allowed is left out."""
    makers = {
        Cause.SHAPE: (
            _add_ratio,
            _add_size,
            _add_size_and_ratio,
            _enlarge_input,
            _lower_threshold,
            _allow_low_quality,
            _add_level,
            _finer_stride,
        ),
        Cause.GRID: (
            _add_size_on_finer_level,
            _add_size,
            _enlarge_input,
            _finer_stride,
            _lower_threshold,
            _allow_low_quality,
        ),
        Cause.LEFT_OUT: (_allow_border, _allow_ignored, _lower_threshold, _allow_low_quality, _add_size),
        Cause.STOLEN: (_add_size, _add_size_on_finer_level, _add_ratio, _enlarge_input, _lower_threshold),
    }
    if found.cause not in makers:
        return
    for maker in makers[found.cause]:
        try:
            change = maker(result, found)
        except ParamsError:
            continue
        if change is not None:
            yield change


def _sides(result: Result, found: Explanation) -> tuple[float, float]:
    """Width and height of the box at the input, at least a hundredth of a pixel."""
    x1, y1, x2, y2 = result.gt.boxes[found.gt].astype(np.float64).tolist()
    return max(x2 - x1, 0.01), max(y2 - y1, 0.01)


def _lower_threshold(result: Result, found: Explanation) -> _Change | None:
    """The threshold that keeps the box down, just low enough; in hundredths."""
    params, match = result.params, result.params.match
    assert found.budget is not None
    if found.rank is Rank.NONE and match.allow_low_quality_matches:
        best = math.floor(found.budget.allowed * 100) / 100
        if not 0 < best < match.min_pos_iou:
            return None
        lower = params.with_values("match", min_pos_iou=best)
        return _Change(f"Let the low-quality rule take anchors from IoU {best:.2f} on", lower)
    reach = found.budget.allowed if found.budget.own is None else found.budget.own
    best = math.floor(reach * 100) / 100
    if not _LEAST_THRESHOLD <= best < match.fg_iou_thresh:
        return None
    low = min(match.bg_iou_thresh, best)
    also = f" and the negative IoU to {low:.2f}" if low < match.bg_iou_thresh else ""
    values = {"fg_iou_thresh": best, "bg_iou_thresh": low}
    return _Change(f"Lower the positive IoU to {best:.2f}{also}", params.with_values("match", **values))


def _allow_low_quality(result: Result, found: Explanation) -> _Change | None:
    if result.params.match.allow_low_quality_matches:
        return None
    params = result.params.with_values("match", allow_low_quality_matches=True)
    return _Change("Let the best anchor of an object be positive", params)


def _allow_border(result: Result, found: Explanation) -> _Change | None:
    if found.left_out_by is not LeftOutBy.BORDER:
        return None
    return _Change("Let anchors beyond the border take part", result.params.with_values("match", border_thresh=-1.0))


def _allow_ignored(result: Result, found: Explanation) -> _Change | None:
    if found.left_out_by is not LeftOutBy.IGNORE:
        return None
    return _Change(
        "Let anchors in ignore regions take part", result.params.with_values("match", ignore_iof_thresh=-1.0)
    )


def _add_ratio(result: Result, found: Explanation) -> _Change | None:
    """The box's own aspect ratio, two digits, on every level."""
    anchors = result.params.anchors
    width, height = _sides(result, found)
    ratio = height / width
    if result.conventions.ratio_meaning is RatioMeaning.WIDTH_OVER_HEIGHT:
        ratio = 1 / ratio
    ratio = _digits(ratio)
    if any(ratio in level for level in anchors.aspect_ratios):
        return None
    longer = tuple((*level, ratio) for level in anchors.aspect_ratios)
    return _Change(f"Add ratio {ratio:g}", result.params.with_values("anchors", aspect_ratios=longer))


def _digits(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def _level_for(result: Result, found: Explanation) -> tuple[int, float]:
    """The level whose stride suits the box, and the box's size in whole px."""
    size = max(1.0, float(round(math.sqrt(math.prod(_sides(result, found))))))
    strides = result.params.anchors.strides
    level = min(range(len(strides)), key=lambda number: abs(math.log(size / 8 / strides[number])))
    return level, size


def _add_size(result: Result, found: Explanation) -> _Change | None:
    """The box's own size on the level that suits it."""
    level, size = _level_for(result, found)
    return _with_size(result, level, size)


def _add_size_and_ratio(result: Result, found: Explanation) -> _Change | None:
    """Both, where neither is enough alone."""
    first = _add_size(result, found)
    if first is None:
        return None
    second = _add_ratio(dataclasses.replace(result, params=first.params), found)
    if second is None:
        return None
    return _Change(f"{first.text} and {second.text[0].lower()}{second.text[1:]}", second.params)


def _add_size_on_finer_level(result: Result, found: Explanation) -> _Change | None:
    """The box's own size where positions lie closer."""
    level, size = _level_for(result, found)
    return _with_size(result, level - 1, size) if level > 0 else None


def _with_size(result: Result, level: int, size: float) -> _Change | None:
    anchors = result.params.anchors
    if size in anchors.level_sizes[level]:
        return None
    name = level_name(anchors.strides[level], level)
    if isinstance(anchors.base_sizes, tuple):
        # Sizes come from factors that all levels share.
        factor = _digits(size / anchors.base_sizes[level])
        if factor in anchors.scales:
            return None
        params = result.params.with_values("anchors", scales=(*anchors.scales, factor))
        return _Change(f"Add scale {factor:g} (size {factor * anchors.base_sizes[level]:g} on {name})", params)
    sizes = list(anchors.level_sizes)
    sizes[level] = (*sizes[level], size)
    return _Change(f"Add size {size:g} on {name}", result.params.with_values("anchors", sizes=tuple(sizes)))


def _add_level(result: Result, found: Explanation) -> _Change | None:
    """A finer level, where the box is smaller than all that the present ones have."""
    anchors = result.params.anchors
    stride = anchors.strides[0] // 2
    _, size = _level_for(result, found)
    if stride < 1 or size / 8 >= anchors.strides[0] or isinstance(anchors.base_sizes, tuple):
        return None
    params = result.params.with_values(
        "anchors",
        strides=(stride, *anchors.strides),
        sizes=((size,), *anchors.level_sizes),
        aspect_ratios=(anchors.aspect_ratios[0], *anchors.aspect_ratios),
    )
    return _Change(f"Add a level of stride {stride} with size {size:g}", params)


def _finer_stride(result: Result, found: Explanation) -> _Change | None:
    """The first level's positions closer, and the box's own size there, where all levels share their scales."""
    anchors = result.params.anchors
    _, size = _level_for(result, found)
    stride = 2 ** math.floor(math.log2(max(size / 4, 1)))
    while result.anchors.lattice[0].count * (anchors.strides[0] / stride) ** 2 > _MOST_ANCHORS:
        stride *= 2
    if not isinstance(anchors.base_sizes, tuple) or stride >= anchors.strides[0]:
        return None
    finer = result.params.with_values("anchors", strides=(stride, *anchors.strides[1:]))
    sized = _with_size(dataclasses.replace(result, params=finer), 0, size)
    if sized is None:
        return _Change(f"Use stride {stride}", finer)
    return _Change(f"Use stride {stride} and {sized.text[0].lower()}{sized.text[1:]}", sized.params)


def _enlarge_input(result: Result, found: Explanation) -> _Change | None:
    """An input half as large again, or as much larger as a box smaller than every anchor needs."""
    resize = result.params.resize
    if resize.mode not in (ResizeMode.SHORTEST_EDGE, ResizeMode.SQUARE):
        return None
    smallest = min(min(sizes) for sizes in result.params.anchors.level_sizes)
    size = math.sqrt(math.prod(_sides(result, found)))
    if found.cause is Cause.SHAPE and size >= smallest:
        return None  # its shape stays what it is
    factor = min(max(1.5, smallest / size), _LARGEST_STEP)
    larger = {"min_size": round(resize.min_size * factor), "max_size": round(resize.max_size * factor)}
    side = larger["min_size"] if resize.mode is ResizeMode.SHORTEST_EDGE else larger["max_size"]
    what = "a short side" if resize.mode is ResizeMode.SHORTEST_EDGE else "sides"
    return _Change(f"Enlarge the input to {what} of {side:,} px", result.params.with_values("resize", **larger))
