"""Sentences and short names that the window and its panels share; plain text, no widget."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rpnviz.app.viewing import Shown
from rpnviz.core.anchors import level_name
from rpnviz.core.boxes import best_cover
from rpnviz.core.ground_truth import Reaction
from rpnviz.core.inputs import ModelSettings
from rpnviz.core.matching import AnchorState, Rank
from rpnviz.core.params import AnchorParams, Params
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Fate, candidate_row
from rpnviz.core.terms import terms
from rpnviz.drawing.scene import RANK_TEXT, World
from rpnviz.export.proposals import RECALL_AT, stage_recall

STATE_TEXT = {
    AnchorState.POSITIVE: "Positive",
    AnchorState.FORCED: "Forced positive",
    AnchorState.NEGATIVE: "Negative",
    AnchorState.NEUTRAL: "Neutral (not trained on)",
    AnchorState.LEFT_OUT_BORDER: "Left out (border, padding)",
    AnchorState.LEFT_OUT_IGNORE: "Left out (crowd)",
}

SHORT_STATE = {
    AnchorState.POSITIVE: "positive",
    AnchorState.FORCED: "forced",
    AnchorState.NEUTRAL: "neutral",
    AnchorState.NEGATIVE: "negative",
    AnchorState.LEFT_OUT_BORDER: "left out (border, padding)",
    AnchorState.LEFT_OUT_IGNORE: "left out (crowd)",
}

FATE_TEXT = {
    Fate.KEPT: "Kept",
    Fate.SMALL: "Dropped: too small",
    Fate.LOW_SCORE: "Dropped: score too low",
    Fate.SUPPRESSED: "Suppressed by NMS",
    Fate.TOP_N: "Cut after NMS: not among the best",
    Fate.NOT_FINITE: "Dropped: not a number",
}


def anchors_against(model: ModelSettings, params: Params, trainer: str) -> str:
    """How the anchors a model was built with differ from those of the settings; empty if they do not.

    Recorded anchors have no sizes and ratios to compare: their number per cell and the strides are.
    """
    own, here = model.anchors, params.anchors
    if (own.strides, own.level_sizes, own.aspect_ratios) == (here.strides, here.level_sizes, here.aspect_ratios):
        return ""
    if (own.cells, own.strides) != (here.cells, here.strides):
        return f"It was built with {_anchors_words(own)}; {trainer} is set here to {_anchors_words(here)}."
    if not model.shapes_known:
        return ""
    what = [
        words
        for words, differ in (
            (f"sizes ({_sizes_words(own)} px, here {_sizes_words(here)} px)", own.level_sizes != here.level_sizes),
            ("aspect ratios", own.aspect_ratios != here.aspect_ratios),
        )
        if differ
    ]
    return f"It was built with other anchor {' and '.join(what)} than {trainer} is set to here."


def _anchors_words(anchors: AnchorParams) -> str:
    cells = sorted(set(anchors.cells))
    count = f"{cells[0]}" if len(cells) == 1 else f"{cells[0]} to {cells[-1]}"
    levels = "level" if len(anchors.strides) == 1 else "levels"
    strides = ", ".join(map(str, anchors.strides))
    return f"{count} anchors per cell on {len(anchors.strides)} {levels} (strides {strides})"


def _sizes_words(anchors: AnchorParams) -> str:
    sizes = [size for level in anchors.level_sizes for size in level]
    return f"{min(sizes):g} to {max(sizes):g}" if len(sizes) > 1 else f"{sizes[0]:g}"


def anchor_text(result: Result, index: int) -> str:
    """Level, position and shape of an anchor: ``P3 row 4 col 7 · 64 x 64``, in input pixels."""
    place = result.anchors.place(index)
    name = level_name(result.params.anchors.strides[place.level], place.level)
    return f"{name} row {place.row} col {place.column} · {_shape(result.anchors.boxes[index])}"


def anchor_line(result: Result, index: int) -> str:
    """Two lines for the hover: level, cell and shape; state, IoU and its ground truth."""
    state = STATE_TEXT[AnchorState(result.match.state[index])]
    return f"{anchor_text(result, index)}\n{state} · {_anchor_fit(result, index)}"


def anchor_brief(result: Result, index: int) -> str:
    """One line for a list whose heading says the state."""
    return f"{anchor_text(result, index)} · {_anchor_fit(result, index)}"


def _anchor_fit(result: Result, index: int) -> str:
    """``IoU 0.58 with GT 7 · drawn``."""
    match = result.match
    gt = int(match.matched_gt[index])
    best = f"IoU {float(match.best_iou[index]):.2f} with GT {gt}" if match.best_iou[index] > 0 else "touches no box"
    drawn = " · drawn" if terms(result.conventions).draws and result.sample.has(index) else ""
    return f"{best}{drawn}"


def proposal_line(result: Result, index: int) -> str:
    """Two lines for the hover over a proposal: fate, score and shape; where it comes from and what it covers."""
    row = None if result.proposals is None else candidate_row(result.proposals, index)
    if row is None:
        return anchor_line(result, index)
    assert result.proposals is not None
    score, source = _proposal_parts(result, index, row)
    return f"{FATE_TEXT[Fate(result.proposals.fate[row])]} · {score}\n{source}"


def proposal_brief(result: Result, index: int) -> str:
    """One line for a list whose heading says the fate."""
    row = None if result.proposals is None else candidate_row(result.proposals, index)
    return anchor_brief(result, index) if row is None else " · ".join(_proposal_parts(result, index, row))


def _proposal_parts(result: Result, index: int, row: int) -> tuple[str, str]:
    """``score 0.983 · 60 x 61`` and ``from P4 row 3 col 21 · IoU 0.72 with GT 5``."""
    assert result.proposals is not None
    candidates = result.proposals.candidates
    box = candidates.boxes[row]
    covers = ""
    best, gt = covered_gt(result, box)
    if gt is not None:
        covers = f" · IoU {best:.2f} with GT {gt}"
    place = result.anchors.place(index)
    source = level_name(result.params.anchors.strides[place.level], place.level)
    return (
        f"score {float(candidates.objectness_prob[row]):.3f} · {_shape(box)}",
        f"from {source} row {place.row} col {place.column}{covers}",
    )


def covered_gt(result: Result, box: NDArray) -> tuple[float, int | None]:
    """IoU of a box (4,), input pixels, with the trained ground truth that it covers most, and its index, if any."""
    best, row = best_cover(box[None], result.gt.boxes[result.gt.trained])
    return float(best[0]), int(result.gt.trained[row[0]]) if row[0] >= 0 else None


def _shape(box: NDArray) -> str:
    width, height = float(box[2]) - float(box[0]), float(box[3]) - float(box[1])
    return " x ".join(f"{side:.0f}" if math.isfinite(side) else "?" for side in (width, height))


def gt_line(result: Result, gt: int, name: str) -> str:
    """Two lines for the hover over a ground-truth box."""
    return f"GT {gt} {name}\n{verdict(result, gt)}"


def verdict(result: Result, gt: int) -> str:
    """How a ground-truth box fares, in the words of the table."""
    match = result.match
    rank = match.ranks[gt]
    if rank is Rank.NOT_TRAINED:
        return RANK_TEXT[rank]
    best, fg = iou_pair(float(match.gt_best_iou[gt]), result.params.match.fg_iou_thresh)
    return f"{RANK_TEXT[rank]}, best IoU {best} / {fg}"


def iou_pair(iou: float, threshold: float) -> tuple[str, str]:
    """An IoU and a threshold with as many digits as it takes to tell them apart, at least 2: 0.6975 and 0.7000."""
    for digits in range(2, 7):
        texts = f"{iou:.{digits}f}", f"{threshold:.{digits}f}"
        if iou == threshold or texts[0] != texts[1]:
            break
    return texts


def iou_beside(iou: float, *thresholds: float) -> str:
    """An IoU with as many digits as it takes to tell it from all of some thresholds, at least 2."""
    return max((iou_pair(iou, threshold)[0] for threshold in thresholds), key=len)


def objectness_text(probability: float) -> str:
    """``0.983``; small ones keep a digit that counts: ``3.4e-04``."""
    return f"{probability:.3f}" if not 0 < probability < 0.001 else f"{probability:.1e}"


def image_sentence(result: Result) -> str:
    """What the trainer does with the whole image where it is unusual; empty if it simply trains."""
    if result.gt.reaction is Reaction.RAISES:
        boxes = ", ".join(str(gt) for gt in result.gt.raised_by[:5].tolist())
        verb = "has" if len(result.gt.raised_by) == 1 else "have"
        return f"The trainer stops with an error here: GT {boxes} {verb} no positive width and height."
    if result.gt.reaction is Reaction.SKIPS:
        return "The trainer skips this image: it has no ground truth."
    if not len(result.gt.boxes):
        return "No boxes: every anchor is negative here."
    if not len(result.gt.trained):
        return "No box is trained on: every anchor is negative here."
    if len(result.match.everything_positive):
        return "Every anchor is positive: a box touches no anchor, and the low-quality rule then takes them all."
    return ""


DRAWN = "drawn for this step"
"""What the funnel says of the mini-batch, before its size."""


def funnel(result: Result) -> list[tuple[str, str, str]]:
    """Cells of the funnel of training: (count, words, what it means)."""
    match, sample = result.match, result.sample
    total, positives = len(result.anchors), len(match.positives)
    if terms(result.conventions).draws:
        words = f"{DRAWN} of {result.params.sample.batch_size_per_image}"
        meaning = "Positives and negatives of the mini-batch; the others take no part in this step"
    else:
        words = "trained on, no mini-batch"
        meaning = "Positives and negatives: all of them train in every step"
    return [
        (f"{total:,}", "anchors", "All anchors of all levels"),
        (f"{positives:,}", "positive", "Anchors that learn a box, forced ones included"),
        (f"{len(sample.positive):,} + {len(sample.negative):,}", words, meaning),
    ]


def _stage_texts(result: Result) -> dict[str, tuple[str, str]]:
    """Words and meaning of every stage of the proposals."""
    means = terms(result.conventions)
    nms = {"above": "more than", "at least": "at least"}[means.nms.words]
    return {
        "all": ("boxes", "One box per anchor, before any cut"),
        "top_k": ("best-scored", f"The best-scored, {means.pre_nms_scope} (pre_nms_top_n)"),
        "clip": ("clipped", "Cut to the image"),
        "min_size": (
            "large enough",
            f"Both sides {means.side.words} min_size" if means.side is not None else "No box is too small",
        ),
        "score": ("before NMS", "Large enough, and their objectness probability is at least score_thresh"),
        "nms": ("after NMS", f"No better box overlaps them by {nms} nms_thresh"),
        "top_n": ("kept", "The best of the image (post_nms_top_n)"),
    }


def stage_words(result: Result, name: str) -> str:
    """What a stage of the proposals is called, as the first word of a line."""
    words = _stage_texts(result)[name][0]
    return words[0].upper() + words[1:]


def proposal_funnel(result: Result) -> list[tuple[str, str, str]]:
    """Cells of the funnel of proposals; a stage that drops nothing is left out, except the first and the last."""
    assert result.proposals is not None
    cells, texts, levels = [], _stage_texts(result), len(result.anchors.lattice)
    for stage, recall in zip(result.proposals.stages, stage_recall(result), strict=True):
        words, meaning = texts[stage.name]
        if stage.name in ("all", "score", "nms", "top_n") or len(stage.dropped):
            numbers = np.bincount(result.anchors.levels[stage.indices], minlength=levels).tolist()
            strides = result.params.anchors.strides
            parts = [f"{level_name(stride, k)} {numbers[k]:,}" for k, stride in enumerate(strides)]
            lines = [meaning, f"Per level: {', '.join(parts)}"]
            if recall[0] is not None:
                of = "anchors" if stage.name == "all" else "boxes"
                shares = [f"{share:.0%} at IoU {iou:g}" for iou, share in zip(RECALL_AT, recall, strict=True)]
                lines.append(f"Ground truth that these {of} find: {', '.join(shares)}")
            cells.append((f"{len(stage.indices):,}", words, "\n".join(lines)))
    return cells


def change_text(before: Shown, after: Shown, world: World) -> str:
    """What a parameter change did: ``positives 142 → 165 · GT at threshold 26 → 31``; empty if no count moved.

    Of the world on the screen: the other one has numbers of its own.
    """
    parts = []

    def compare(name: str, old: int, new: int) -> None:
        if old != new:
            parts.append(f"{name} {old:,} → {new:,}")

    if world is World.TRAINING:
        a, b = before.training.match, after.training.match
        compare("positives", len(a.positives), len(b.positives))
        compare("GT at threshold", a.ranks.count(Rank.MATCHED), b.ranks.count(Rank.MATCHED))
        compare("GT with no positive", a.ranks.count(Rank.NONE), b.ranks.count(Rank.NONE))
        compare("forced", a.counts[AnchorState.FORCED], b.counts[AnchorState.FORCED])
        compare("neutral", a.counts[AnchorState.NEUTRAL], b.counts[AnchorState.NEUTRAL])
        compare("anchors", len(before.training.anchors), len(after.training.anchors))
        return " · ".join(parts)
    old = before.model.proposals if before.model is not None else None
    new = after.model.proposals if after.model is not None else None
    if old is not None and new is not None:
        compare("before NMS", len(old.stages[-3].indices), len(new.stages[-3].indices))
        compare("after NMS", len(old.stages[-2].indices), len(new.stages[-2].indices))
        compare("kept", len(old.scores), len(new.scores))
    return " · ".join(parts)
