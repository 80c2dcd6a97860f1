"""Many selected boxes in a few numbers, and the selection as rows of a table; plain text, no widget."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from rpnviz.app import texts
from rpnviz.app.viewing import Many, Selection
from rpnviz.core.boxes import best_cover
from rpnviz.core.matching import AnchorState, Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Candidates, Fate
from rpnviz.core.terms import terms
from rpnviz.drawing.scene import FINDS_IOU, MAX_OUTLINES, RANK_TEXT, World

_GT_NAMED = 4
_UNRANKED = "Cut before NMS"


@dataclass(frozen=True)
class Summary:
    """What the panel says about many boxes, from large to small print."""

    title: str
    verdict: str
    size: str
    lines: tuple[str, ...]


def summarise(result: Result, training: Result, world: World, many: Many) -> Summary:
    """Counts, sizes, IoUs and ground truth of many boxes.

    Args:
        result: of the world.
        training: of the Training world, which knows how ground truth fares.
        world: which of the two.
        many: at least one box.
    """
    model = world is World.MODEL and result.proposals is not None
    noun = "boxes" if model else "anchors"
    counts = [f"{len(many.gts):,} GT"] * bool(len(many.gts)) + [f"{len(many.anchors):,} {noun}"] * bool(
        len(many.anchors)
    )
    lines = []
    if len(many.gts):
        ranks = Counter(training.match.ranks[gt] for gt in many.gts.tolist())
        words = [f"{ranks[rank]:,} {RANK_TEXT[rank].lower()}" for rank in Rank if ranks[rank]]
        lines.append(f"GT: {', '.join(words)}.")
    if len(many.anchors):
        lines += _model_lines(result, many.anchors) if model else _training_lines(result, many.anchors)
    if len(many) > MAX_OUTLINES:
        lines.append(f"Outlines are drawn for up to {MAX_OUTLINES}.")
    return Summary(f"{len(many):,} boxes", " · ".join(counts), _sizes(result, world, many), tuple(lines))


def _training_lines(result: Result, anchors: NDArray[np.int64]) -> list[str]:
    match = result.match
    numbers = np.bincount(match.state[anchors], minlength=len(AnchorState))
    words = [f"{numbers[state]:,} {text}" for state, text in texts.SHORT_STATE.items() if numbers[state]]
    lines = [f"Anchors: {', '.join(words)}."]
    owner = match.matched_gt[anchors]
    if len(result.gt.trained):
        lines.append(f"Best IoU {_spread(match.best_iou[anchors])}.")
        positive = match.state[anchors] <= AnchorState.FORCED
        if positive.any():
            lines.append(f"The positives belong to {_named(owner[positive])}.")
        else:
            # What touches no box has the first as its nearest, by the order alone.
            lines.append(f"Nearest to {_named(owner[match.best_iou[anchors] > 0])}.")
    if terms(result.conventions).draws:
        drawn_positive = int(np.isin(result.sample.positive, anchors).sum())
        drawn_negative = int(np.isin(result.sample.negative, anchors).sum())
        lines.append(
            f"{drawn_positive + drawn_negative:,} drawn into this mini-batch "
            f"({drawn_positive:,} positive + {drawn_negative:,} negative)."
        )
    return lines


def _model_lines(result: Result, anchors: NDArray[np.int64]) -> list[str]:
    proposals = result.proposals
    assert proposals is not None
    candidates = proposals.candidates
    rows = np.flatnonzero(np.isin(candidates.anchor_index, anchors))
    fates = np.bincount(proposals.fate[rows], minlength=len(Fate))
    words = [f"{fates[fate]:,} {text[0].lower()}{text[1:]}" for fate, text in texts.FATE_TEXT.items() if fates[fate]]
    if len(anchors) > len(rows):
        words.append(f"{len(anchors) - len(rows):,} cut before NMS")
    lines = [f"Boxes: {', '.join(words)}."]
    if not len(rows):
        return lines
    lines.append(f"Objectness {_spread(candidates.objectness_prob[rows])}.")
    if len(result.gt.trained):
        best, owner = _overlap(result, rows)
        lines.append(f"IoU with the GT they cover most {_spread(best)}.")
        covering = best >= FINDS_IOU
        if covering.any():
            lines.append(f"{int(covering.sum()):,} cover {_named(owner[covering])} by at least {FINDS_IOU:g}.")
    return lines


def _overlap(result: Result, rows: NDArray[np.int64]) -> tuple[NDArray, NDArray[np.int64]]:
    """Best IoU of candidate rows (N,) with a trained box, and its index, -1 without any."""
    assert result.proposals is not None
    trained = result.gt.trained
    best, row = best_cover(result.proposals.candidates.boxes[rows], result.gt.boxes[trained])
    return best, np.where(row >= 0, trained[row], -1) if len(trained) else row


def _spread(values: NDArray) -> str:
    """``0.12 to 0.83, median 0.45``."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "unknown"
    low, high, middle = float(values.min()), float(values.max()), float(np.median(values))
    return f"{low:.2f} to {high:.2f}, median {middle:.2f}"


def _named(owner: NDArray[np.int64]) -> str:
    """``GT 3 (12), GT 5 (3) and 4 more``, the most frequent first."""
    found, numbers = np.unique(owner[owner >= 0], return_counts=True)
    order = np.argsort(-numbers, kind="stable")
    parts = [f"GT {found[k]} ({numbers[k]:,})" for k in order[:_GT_NAMED].tolist()]
    more = len(found) - len(parts)
    return ", ".join(parts) + (f" and {more:,} more" if more else "") if parts else "no GT"


def _sizes(result: Result, world: World, many: Many) -> str:
    """``24–80 x 20–66 px (input 64–213 x 53–176)``."""
    boxes = _boxes(result, world, many.anchors)
    frame = result.frame
    original = np.concatenate([frame.to_original(boxes), result.inputs.gt_boxes[many.gts]])
    at_input = np.concatenate([boxes, frame.to_input(result.inputs.gt_boxes[many.gts])])
    return f"{_sides(original)} px (input {_sides(at_input)})"


def _boxes(result: Result, world: World, anchors: NDArray[np.int64]) -> NDArray:
    """(N, 4) input px of anchors, or of the boxes they became: clipped as they enter NMS, or as decoded."""
    if world is not World.MODEL or result.decoded is None:
        return result.anchors.boxes[anchors]
    boxes = result.decoded.boxes_input[anchors]
    if result.proposals is not None:
        at, found = _candidates(result.proposals.candidates, anchors)
        boxes[at] = result.proposals.candidates.boxes[found]
    return boxes


def _candidates(candidates: Candidates, anchors: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in ascending anchors (N,) of those that enter NMS, and their candidate rows."""
    found = np.flatnonzero(np.isin(candidates.anchor_index, anchors))
    return np.searchsorted(anchors, candidates.anchor_index[found]), found


def _sides(boxes: NDArray) -> str:
    parts = []
    with np.errstate(invalid="ignore"):
        widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    usable = np.isfinite(widths) & np.isfinite(heights)
    if not usable.any():
        return "?"
    for sides in (widths[usable], heights[usable]):
        low, high = f"{float(sides.min()):,.0f}", f"{float(sides.max()):,.0f}"
        parts.append(low if low == high else f"{low}–{high}")
    return " x ".join(parts)


def rows(result: Result, training: Result, world: World, selection: Selection) -> list[list[str]]:
    """The selection as a table with its heading; only the heading if nothing is selected.

    Columns: index of the anchor, level, row, column, shape in input pixels, state, IoU, ground truth; in the Model
    world the box is the proposal, and its score stands before the IoU. Ground truth has no anchor and no place.
    """
    model = world is World.MODEL and result.proposals is not None
    heading = ["index", "level", "row", "column", "shape", "state", *["score"] * model, "IoU", "GT"]
    table = [heading]
    many = selection.many
    if many is None:
        one = [selection.anchor if selection.anchor is not None else selection.gt]
        chosen, none = np.array([index for index in one if index is not None], np.int64), np.zeros(0, np.int64)
        many = Many(none, chosen) if selection.anchor is not None else Many(chosen, none)
    for gt in many.gts.tolist():
        shape = _shapes(training.gt.boxes[gt : gt + 1])[0]
        iou = _digits(float(training.match.gt_best_iou[gt]))
        rank = RANK_TEXT[training.match.ranks[gt]]
        table.append(["", "", "", "", shape, rank, *[""] * model, iou, str(gt)])
    anchors, match = many.anchors, result.match
    columns = [[str(index) for index in anchors.tolist()], *_places(result, anchors)]
    if model and result.proposals is not None:
        candidates = result.proposals.candidates
        at, found = _candidates(candidates, anchors)
        states = [_UNRANKED] * len(anchors)
        scores, ious, owners = ([""] * len(anchors) for _ in range(3))
        best, owner = _overlap(result, found) if len(result.gt.trained) else (np.zeros(len(found)), found)
        for number, row, iou, gt in zip(at.tolist(), found.tolist(), best.tolist(), owner.tolist(), strict=True):
            states[number] = texts.FATE_TEXT[Fate(result.proposals.fate[row])]
            scores[number] = _digits(float(candidates.objectness_prob[row]))
            if iou > 0:
                ious[number], owners[number] = _digits(iou), str(gt)
        columns += [_shapes(_boxes(result, world, anchors)), states, scores, ious, owners]
    else:
        names = [texts.STATE_TEXT[state] for state in AnchorState]
        gts = match.matched_gt[anchors].tolist()
        best_iou = match.best_iou[anchors].tolist()
        ious = [_digits(iou) if gt >= 0 else "" for iou, gt in zip(best_iou, gts, strict=True)]
        columns += [_shapes(result.anchors.boxes[anchors]), [names[state] for state in match.state[anchors].tolist()]]
        columns += [ious, [str(gt) if gt >= 0 else "" for gt in gts]]
    table += map(list, zip(*columns, strict=True))
    return table


def _places(result: Result, anchors: NDArray[np.int64]) -> tuple[list[str], list[str], list[str]]:
    """Level, row and column of ascending anchors (N,)."""
    levels: list[str] = []
    rows: list[str] = []
    columns: list[str] = []
    for number, (part, stride) in enumerate(zip(result.anchors.lattice, result.params.anchors.strides, strict=True)):
        low, high = np.searchsorted(anchors, (part.start, part.stop))
        row, column = np.divmod((anchors[low:high] - part.start) // part.cells, part.grid[1])
        levels += [texts.level_name(stride, number)] * int(high - low)
        rows += map(str, row.tolist())
        columns += map(str, column.tolist())
    return levels, rows, columns


def _shapes(boxes: NDArray) -> list[str]:
    """``64 x 90`` of every box (N, 4)."""
    with np.errstate(invalid="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
    return [
        f"{width:.0f} x {height:.0f}" if isfinite(width) and isfinite(height) else "?"
        for width, height in sides.tolist()
    ]


def _digits(value: float) -> str:
    return f"{value:.4f}" if isfinite(value) else ""
