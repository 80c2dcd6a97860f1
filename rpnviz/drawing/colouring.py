"""What the colour of an outline says where it is not the label: level, IoU, score or ground truth.

Dash and mark stay those of the label, so that both can be read.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import level_name
from rpnviz.core.boxes import best_cover
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Fate
from rpnviz.drawing.filtering import best_iou_of
from rpnviz.drawing.options import ColourBy
from rpnviz.palette import CATEGORIES, RGB, Theme, category_rgb, step_rgb

IOU_STEPS = (0.3, 0.5, 0.7, 0.85)
"""Best IoUs at which the colour changes."""
SCORE_STEPS = (0.05, 0.3, 0.6, 0.9)
"""Objectness probabilities at which the colour changes."""
LOSS_STEPS = (0.25, 1.0, 2.0, 4.0)
"""Losses at which the colour changes, in means over the mini-batch."""
_LOSS_TEXTS = ("loss < ¼ mean", "¼ to 1", "1 to 2", "2 to 4", "≥ 4")
_FATES = {
    Fate.KEPT: "kept",
    Fate.SUPPRESSED: "suppressed",
    Fate.TOP_N: "top-n",
    Fate.LOW_SCORE: "low score",
    Fate.SMALL: "small",
    Fate.NOT_FINITE: "NaN",
    None: "top-k",
}
"""What became of a box, in as few letters as the key has room for; None: the top-k cut dropped it."""
_CATEGORIES = len(CATEGORIES[Theme.DARK])


@dataclass(frozen=True)
class Shade:
    """One colour of a scale.

    Attributes:
        number: of the step or category.
        ordered: whether it is a step of a quantity.
        text: what it stands for.
    """

    number: int
    ordered: bool
    text: str

    def rgb(self, theme: Theme) -> RGB:
        """On the ground of a theme."""
        return step_rgb(self.number, theme) if self.ordered else category_rgb(self.number, theme)


def shades(result: Result, colour_by: ColourBy) -> tuple[Shade, ...]:
    """The scale of a kind of colouring, in order; empty where the colours are those of the labels."""
    match colour_by:
        case ColourBy.LABEL:
            return ()
        case ColourBy.SCORE | ColourBy.FATE if result.decoded is None:
            return ()
        case ColourBy.LOSS:
            if result.inputs.losses is None:
                return ()
            return tuple(Shade(i, True, text) for i, text in enumerate(_LOSS_TEXTS))
        case ColourBy.FATE:
            return tuple(Shade(number, False, text) for number, text in enumerate(_FATES.values()))
        case ColourBy.IOU:
            return tuple(Shade(i, True, f"IoU {text}") for i, text in enumerate(_steps(IOU_STEPS)))
        case ColourBy.SCORE:
            return tuple(Shade(i, True, f"score {text}") for i, text in enumerate(_steps(SCORE_STEPS)))
        case ColourBy.LEVEL:
            strides = result.params.anchors.strides
            numbered = enumerate(strides)
            return tuple(Shade(level_category(s), False, level_name(s, number)) for number, s in numbered)
        case ColourBy.GT:
            count = len(result.inputs.gt_boxes)
            return tuple(Shade(i, False, _every(i, count)) for i in range(min(count, _CATEGORIES)))


def level_category(stride: float) -> int:
    """Number of the colour of a level: a stride has the same under every trainer."""
    return max(0, round(math.log2(max(stride, 1))) - 2)


def _steps(edges: tuple[float, ...]) -> list[str]:
    inner = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)]
    return [f"below {edges[0]:g}", *inner, f"from {edges[-1]:g}"]


def _every(first: int, count: int) -> str:
    """``GT 3``, or ``GT 3, 10, …`` where colours are used again."""
    members = list(range(first, count, _CATEGORIES))
    return f"GT {', '.join(map(str, members[:2]))}{', …' if len(members) > 2 else ''}"


def colour_groups(
    result: Result,
    colour_by: ColourBy,
    ids: NDArray[np.int64],
    scores: NDArray[np.float32] | None,
    boxes: NDArray | None = None,
) -> list[tuple[Shade | None, NDArray[np.intp]]]:
    """Boxes by colour: shade and places in ``ids``, only shades that occur; a shade of None is the label's own colour.

    Args:
        result: of the boxes.
        colour_by: the kind.
        ids: (K,) anchor indices of the boxes.
        scores: (K,) objectness probabilities; None: the boxes have none.
        boxes: (K, 4) the boxes at the input if they are not the anchors themselves; IoU and box are then theirs.
    """
    scale = shades(result, colour_by)
    match colour_by:
        case ColourBy.IOU:
            numbers = _step_of(IOU_STEPS, best_iou_of(result, ids, boxes))
        case ColourBy.SCORE if scores is not None and scale:
            numbers = _step_of(SCORE_STEPS, scores)
        case ColourBy.LEVEL:
            numbers = result.anchors.levels[ids].astype(np.intp)
        case ColourBy.LOSS if scale:
            numbers = _step_of(LOSS_STEPS, _relative_loss(result, ids))
        case ColourBy.FATE if scale:
            numbers = _fate_of(result, ids)
        case ColourBy.GT:
            gt = _gt_of(result, ids, boxes)
            numbers = np.where(gt >= 0, gt % _CATEGORIES, -1)
        case _:
            return [(None, np.arange(len(ids)))]
    present = np.unique(numbers).tolist()
    return [(scale[number] if number >= 0 else None, np.flatnonzero(numbers == number)) for number in present]


def _step_of(edges: tuple[float, ...], values: NDArray) -> NDArray[np.intp]:
    """Step of every value, -1 for one that is no number."""
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))


def _relative_loss(result: Result, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Recorded losses of anchors (K,) over their mean; NaN where an anchor was not sampled, or its loss is none."""
    losses = result.inputs.losses
    if losses is None or len(losses) != len(result.anchors):
        return np.full(len(ids), np.nan)
    finite = losses[np.isfinite(losses)]
    mean = float(finite.mean()) if len(finite) else 0.0
    return losses[ids] / mean if mean > 0 else np.full(len(ids), np.nan)


def _fate_of(result: Result, ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """What became of the boxes of anchors (K,): the places of :data:`_FATES`."""
    places = {fate: place for place, fate in enumerate(_FATES)}
    fates = np.full(len(result.anchors), places[None], np.intp)
    if result.proposals is not None:
        table = np.array([places[fate] for fate in Fate], np.intp)
        fates[result.proposals.candidates.anchor_index] = table[result.proposals.fate]
    return fates[ids]


def _gt_of(result: Result, ids: NDArray[np.int64], boxes: NDArray | None) -> NDArray[np.int64]:
    """(K,) ground truth that each box belongs to or covers most, -1 for what touches none."""
    if boxes is None:
        # An anchor that touches no box has the first as its nearest, by the order alone.
        return np.where(result.match.best_iou[ids] > 0, result.match.matched_gt[ids], -1)
    trained = result.gt.trained
    row = best_cover(boxes, result.gt.boxes[trained])[1]
    return np.where(row >= 0, trained[row], -1) if len(trained) else row
