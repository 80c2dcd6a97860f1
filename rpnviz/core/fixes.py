"""Changes of the parameters that let a ground-truth box fare better, each checked by running the pipeline.

A few single changes are chosen in closed form from the cause; what they do is not estimated but computed, for the box
and for all others of the image. Those that do not raise the box's rank are dropped.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import pipeline
from rpnviz.core.anchors import level_name
from rpnviz.core.conventions import OffsetUnit, RatioMeaning
from rpnviz.core.explain import Cause, Explanation, LeftOutBy, explain
from rpnviz.core.matching import WEAK_IOU, Rank
from rpnviz.core.params import Params, ResizeMode, differences
from rpnviz.core.pipeline import Result
from rpnviz.core.rules import plain
from rpnviz.errors import ParamsError

MOST = 5
"""Changes that are tried for one box."""

_MOST_SECONDS = 3
"""Second changes that are tried after each first one."""

_LARGEST_STEP = 3.0
"""An input is enlarged by at most this: nine times the memory and time."""

_MOST_ANCHORS = 600_000
"""Positions come only so much closer that their level has at most this many anchors: memory and time."""

_LEAST_THRESHOLD = 0.3
"""A lower positive IoU than this is nothing to advise: it makes anchors positive that miss the box."""


@dataclass(frozen=True)
class ViewsAfter:
    """In how many training views a box is matched after a change, of those that show it."""

    matched: int
    views: int

    @property
    def all(self) -> bool:
        """Whether none is left."""
        return self.matched == self.views


@dataclass(frozen=True)
class Fix:
    """A change, and what it does in this image; where all training views are asked for, in the worst of them.

    Attributes:
        params: all parameters with the change.
        patch: the same as a JSON merge patch of the Params document.
        text: what is changed, in words.
        rank_after, positives_after, best_iou_after: of the box.
        anchors_added: in this image, negative where there are fewer.
        gained, lost: other boxes of the image whose rank rises or falls (that are matched in more or fewer views), by
            their index.
        views_after: where all training views are asked for, in how many the box is matched; else None.
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
    views_after: ViewsAfter | None = None


@dataclass(frozen=True)
class Change:
    """A change before it is tried.

    Attributes:
        text: in words.
        params: all parameters with it.
        kind: what made it; two of one kind are no pair.
    """

    text: str
    params: Params
    kind: str = ""


@dataclass(frozen=True)
class Closest:
    """Where no change helps: the one that came closest.

    Attributes:
        text: what was changed, in words.
        best_iou: of the box after it.
        needed: what raises its rank.
        views: where all training views are asked for, in how many the box is matched then; else None.
    """

    text: str
    best_iou: float
    needed: float
    views: ViewsAfter | None = None


@dataclass(frozen=True)
class Search:
    """What was found for one box.

    Attributes:
        fixes: changes that raise its rank, the cheapest first.
        closest: where there are none; None also where no change came closer than the present parameters.
        attempts: what was run.
        views_before: where all training views are asked for, in how many the box is matched without any change.
    """

    fixes: tuple[Fix, ...]
    closest: Closest | None
    attempts: tuple[_Attempt, ...] = field(default=(), repr=False, compare=False)
    views_before: ViewsAfter | None = None


def find_fixes(
    result: Result, gt: int, found: Explanation | None = None, check: Callable[[], None] = lambda: None
) -> Search:
    """Single changes that raise the rank of a box, the cheapest first.

    Args:
        result: of the image.
        gt: index of the box in ``Inputs``.
        found: its explanation, if that is there already.
        check: called before every run; what it raises ends the search.

    Returns:
        At most :data:`MOST`; none for a box that is matched or not trained on.
    """
    found = explain(result, gt) if found is None else found
    attempts = []
    for change in itertools.islice(_new(changes_for(result, found), {result.params}), MOST):
        check()
        attempts.append(_attempt(result, change))
    return _search(result, gt, attempts)


def find_pairs(result: Result, gt: int, singles: Search, check: Callable[[], None] = lambda: None) -> Search:
    """The best two changes that together raise the rank of a box that no single one helps; one fix at most.

    The second answers the cause that is left after the first.

    Args:
        result, gt: as for :func:`find_fixes`.
        singles: what that found.
        check: called before every run; what it raises ends the search.
    """
    tried = {result.params, *(single.change.params for single in singles.attempts)}
    pairs = []
    for first in singles.attempts:
        left = explain(first.after, gt)
        dense = {_add_level.__name__, _finer_stride.__name__} if len(first.after.anchors) > _MOST_ANCHORS else set()
        barred = {first.change.kind, *dense}
        others = (change for change in changes_for(first.after, left) if change.kind not in barred)
        for second in itertools.islice(_new(others, tried), _MOST_SECONDS):
            text = f"{first.change.text} and {second.text[0].lower()}{second.text[1:]}"
            check()
            pairs.append(_attempt(result, Change(text, second.params)))
    search = _search(result, gt, pairs)
    if search.fixes:
        return Search(search.fixes[:1], None, search.attempts)
    return _search(result, gt, [*singles.attempts, *pairs])


def search_fixes(result: Result, gt: int, found: Explanation | None = None) -> Search:
    """Single changes, and where none helps, a pair."""
    singles = find_fixes(result, gt, found)
    return singles if singles.fixes else find_pairs(result, gt, singles)


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A change that was run."""

    change: Change
    after: Result


def _new(changes: Iterator[Change], tried: set[Params]) -> Iterator[Change]:
    """Without those that give parameters which were tried; what is given is tried from then on."""
    for change in changes:
        if change.params not in tried:
            tried.add(change.params)
            yield change


def _attempt(result: Result, change: Change) -> _Attempt:
    return _Attempt(change, pipeline.run(result.inputs, change.params, result.conventions, result))


def _search(result: Result, gt: int, attempts: Sequence[_Attempt]) -> Search:
    """What of some attempts raises the rank of a box, else what came closest."""
    fixes = [fix for attempt in attempts if (fix := _fix(result, gt, attempt)) is not None]
    if fixes or not attempts:
        return Search(tuple(sorted(fixes, key=cost_of)), None, tuple(attempts))
    present, _ = _short_of(result, gt)
    gaps = [(attempt.change.text, *_short_of(attempt.after, gt)) for attempt in attempts]
    text, best, needed = min(gaps, key=lambda gap: gap[2] - gap[1])
    return Search((), Closest(text, best, needed) if best > present else None, tuple(attempts))


def _short_of(result: Result, gt: int) -> tuple[float, float]:
    """Best IoU that counts for the next rank of a box, and what that rank needs."""
    found = explain(result, gt)
    reach = 0.0
    if found.budget is not None:
        reach = found.budget.allowed if found.rank is Rank.NONE else found.budget.own or 0.0
    for needed in (found.needed, found.threshold):
        if reach < needed:
            return reach, needed
    return 0.0, found.threshold  # what fits it is trained towards others: none of it counts


def cost_of(fix: Fix) -> tuple[float, ...]:
    """Few fields first; a box that then trains on poor fits is little better off; then rank, others lost, anchors.

    Moving the whole grid for one box comes after all else that helps it: it moves for every other box too.
    """
    fields = sum(len(group) for group in fix.patch.values())
    poor = fix.best_iou_after < WEAK_IOU
    moves_all = "offset" in fix.patch.get("anchors", {})
    return poor, fields, moves_all, -fix.rank_after.height, len(fix.lost), fix.anchors_added


def _fix(result: Result, gt: int, attempt: _Attempt) -> Fix | None:
    """What a change does; None if the box's rank does not rise."""
    change, after = attempt.change, attempt.after
    before_ranks, ranks = result.match.ranks, after.match.ranks
    if ranks[gt].height <= before_ranks[gt].height:
        return None
    steps = [new.height - old.height for old, new in zip(before_ranks, ranks, strict=True)]
    return Fix(
        change.params,
        patch_of(result.params, change.params),
        change.text,
        ranks[gt],
        int(after.match.gt_positives[gt]),
        float(after.match.gt_best_iou[gt]),
        len(after.anchors) - len(result.anchors),
        tuple(other for other, step in enumerate(steps) if step > 0 and other != gt),
        tuple(other for other, step in enumerate(steps) if step < 0 and other != gt),
    )


def patch_of(before: Params, after: Params) -> dict[str, Any]:
    """The fields that differ, by group; arrays whole."""
    patch: dict[str, Any] = {}
    for where, _, value in differences(before, after):
        group, _, name = where.partition(".")
        if name:
            patch.setdefault(group, {})[name] = plain(value)
        else:
            patch[group] = plain(value)
    return patch


def changes_for(result: Result, found: Explanation) -> Iterator[Change]:
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
            _shift_grid,
            _enlarge_input,
            _finer_stride,
            _lower_threshold,
            _allow_low_quality,
        ),
        Cause.LEFT_OUT: (_allow_border, _allow_ignored, _lower_threshold, _allow_low_quality, _add_size),
        Cause.STOLEN: (
            _allow_border,
            _allow_ignored,
            _add_size,
            _add_size_on_finer_level,
            _add_ratio,
            _enlarge_input,
            _lower_threshold,
        ),
    }
    if found.cause not in makers:
        return
    for maker in makers[found.cause]:
        try:
            change = maker(result, found)
        except ParamsError:
            continue
        if change is not None:
            yield dataclasses.replace(change, kind=maker.__name__)


def _sides(result: Result, found: Explanation) -> tuple[float, float]:
    """Width and height of the box at the input, at least a hundredth of a pixel."""
    x1, y1, x2, y2 = result.gt.boxes[found.gt].astype(np.float64).tolist()
    return max(x2 - x1, 0.01), max(y2 - y1, 0.01)


def _lower_threshold(result: Result, found: Explanation) -> Change | None:
    """The threshold that keeps the box down, just low enough; in hundredths."""
    params, match = result.params, result.params.match
    assert found.budget is not None
    if found.rank is Rank.NONE and match.allow_low_quality_matches:
        best = math.floor(found.budget.allowed * 100) / 100
        if not 0 < best < match.min_pos_iou:
            return None
        lower = params.with_values("match", min_pos_iou=best)
        return Change(f"Let the low-quality rule take anchors from IoU {best:.2f} on", lower)
    reach = found.budget.allowed if found.budget.own is None else found.budget.own
    best = math.floor(reach * 100) / 100
    if not _LEAST_THRESHOLD <= best < match.fg_iou_thresh:
        return None
    low = min(match.bg_iou_thresh, best)
    also = f" and the negative IoU to {low:.2f}" if low < match.bg_iou_thresh else ""
    values = {"fg_iou_thresh": best, "bg_iou_thresh": low}
    return Change(f"Lower the positive IoU to {best:.2f}{also}", params.with_values("match", **values))


def _allow_low_quality(result: Result, found: Explanation) -> Change | None:
    if result.params.match.allow_low_quality_matches:
        return None
    params = result.params.with_values("match", allow_low_quality_matches=True)
    return Change("Let the best anchor of an object be positive", params)


def _barred(found: Explanation, rule: LeftOutBy) -> bool:
    """Whether a rule keeps better anchors from the box; none is the cause where others take what is left."""
    budget = found.budget
    taken = found.cause is Cause.STOLEN and budget is not None and budget.allowed < budget.grid
    return found.left_out_by is rule or taken


def _allow_border(result: Result, found: Explanation) -> Change | None:
    if not _barred(found, LeftOutBy.BORDER) or result.params.match.border_thresh < 0:
        return None
    return Change("Let anchors beyond the border take part", result.params.with_values("match", border_thresh=-1.0))


def _allow_ignored(result: Result, found: Explanation) -> Change | None:
    if not _barred(found, LeftOutBy.IGNORE) or result.params.match.ignore_iof_thresh < 0:
        return None
    return Change("Let anchors in ignore regions take part", result.params.with_values("match", ignore_iof_thresh=-1.0))


def _add_ratio(result: Result, found: Explanation) -> Change | None:
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
    return Change(f"Add ratio {ratio:g}", result.params.with_values("anchors", aspect_ratios=longer))


def _digits(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def _level_for(result: Result, found: Explanation) -> tuple[int, float]:
    """The level whose stride suits the box, and the box's size in whole px."""
    size = max(1.0, float(round(math.sqrt(math.prod(_sides(result, found))))))
    strides = result.params.anchors.strides
    level = min(range(len(strides)), key=lambda number: abs(math.log(size / 8 / strides[number])))
    return level, size


def _add_size(result: Result, found: Explanation) -> Change | None:
    """The box's own size on the level that suits it."""
    level, size = _level_for(result, found)
    return _with_size(result, level, size)


def _add_size_and_ratio(result: Result, found: Explanation) -> Change | None:
    """Both, where neither is enough alone."""
    first = _add_size(result, found)
    if first is None:
        return None
    second = _add_ratio(dataclasses.replace(result, params=first.params), found)
    if second is None:
        return None
    return Change(f"{first.text} and {second.text[0].lower()}{second.text[1:]}", second.params)


def _add_size_on_finer_level(result: Result, found: Explanation) -> Change | None:
    """The box's own size where positions lie closer."""
    level, size = _level_for(result, found)
    return _with_size(result, level - 1, size) if level > 0 else None


def _with_size(result: Result, level: int, size: float) -> Change | None:
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
        return Change(f"Add scale {factor:g} (size {factor * anchors.base_sizes[level]:g} on {name})", params)
    sizes = list(anchors.level_sizes)
    sizes[level] = (*sizes[level], size)
    return Change(f"Add size {size:g} on {name}", result.params.with_values("anchors", sizes=tuple(sizes)))


def _add_level(result: Result, found: Explanation) -> Change | None:
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
    return Change(f"Add a level of stride {stride} with size {size:g}", params)


def _finer_stride(result: Result, found: Explanation) -> Change | None:
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
        return Change(f"Use stride {stride}", finer)
    return Change(f"Use stride {stride} and {sized.text[0].lower()}{sized.text[1:]}", sized.params)


def _shift_grid(result: Result, found: Explanation) -> Change | None:
    """All positions moved so that one of the level with the best shape comes nearest to the box's centre; tenths."""
    anchors, best = result.params.anchors, found.shape
    if best is None:
        return None
    level = result.anchors.lattice[best.level]
    x1, y1, x2, y2 = result.gt.boxes[found.gt].astype(np.float64).tolist()
    unit = float(anchors.strides[best.level])
    if result.conventions.offset_unit is OffsetUnit.BASE and isinstance(anchors.base_sizes, tuple):
        unit = float(anchors.base_sizes[best.level])

    def off(low: NDArray, high: NDArray, middle: float, offset: float) -> float:
        moved = (low[0] + high[0]) / 2 + (offset - anchors.offset) * unit
        return float(np.abs(moved - middle).min())

    def farther(offset: float) -> float:
        return max(off(level.x1, level.x2, (x1 + x2) / 2, offset), off(level.y1, level.y2, (y1 + y2) / 2, offset))

    offset = min((tenth / 10 for tenth in range(10)), key=farther)
    if farther(offset) >= farther(anchors.offset):
        return None
    return Change(f"Set the offset of the grid to {offset:g}", result.params.with_values("anchors", offset=offset))


def _enlarge_input(result: Result, found: Explanation) -> Change | None:
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
    return Change(f"Enlarge the input to {what} of {side:,} px", result.params.with_values("resize", **larger))
