"""One box followed through every stage: an anchor in training, a box of the model, what finds a ground-truth box."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.boxes import box_iou
from rpnviz.core.conventions import DrawRule, MatchOrder, ScoreKind, TieOrder, TieRule, TopKScope
from rpnviz.core.matching import AnchorState
from rpnviz.core.overlaps import overlaps_of, pair_iou
from rpnviz.core.pipeline import Result
from rpnviz.core.proposals import Decoded, Fate, ProposalResult, candidate_row, clipped_boxes, sigmoid

LOSS_THAT_COUNTS = 0.05
"""A stage has lost a ground-truth box when the best IoU with it falls by at least so much."""


class Rule(StrEnum):
    """What gave an anchor its state."""

    REACHES = "reaches"
    """Its best IoU reaches ``fg_iou_thresh``."""
    FORCED = "forced"
    """It is the best anchor of a box, or touches nothing under a rule that then takes every anchor."""
    BELOW = "below"
    """Its best IoU is on the negative side of ``bg_iou_thresh``."""
    TAKEN_BACK = "taken_back"
    """It was the best anchor of a box, but negatives are set last."""
    BETWEEN = "between"
    """Its best IoU is between the thresholds."""
    TOUCHES_CROWD = "touches_crowd"
    """It would be negative, but touches a crowd region."""
    BORDER = "border"
    """It reaches beyond the image."""
    PADDING = "padding"
    """It stands on the padding."""
    CENTRE = "centre"
    """Its centre lies outside the image."""
    IGNORE = "ignore"
    """Too much of it lies in an ignore region."""
    NO_GROUND_TRUTH = "no_ground_truth"
    """No box is trained on: everything is negative."""
    SKIPPED = "skipped"
    """The trainer does not train on this image."""


@dataclass(frozen=True, eq=False)
class AnchorTrace:
    """An anchor's way through training.

    Attributes:
        anchor: its index.
        gts, ious: (N,) trained boxes it touches, best first, and its IoU with each.
        state: its state.
        rule: what gave it.
        forced_by: boxes whose best anchor it is under the low-quality rule.
        target: the box it is trained towards; None unless it is positive.
        deltas: (4,) to its target; None unless it is positive.
        probability: of being drawn into a mini-batch; 1 where there is none, 0 for what is never drawn.
        drawn: whether this mini-batch has it.
    """

    anchor: int
    gts: NDArray[np.int64]
    ious: NDArray
    state: AnchorState
    rule: Rule
    forced_by: tuple[int, ...]
    target: int | None
    deltas: NDArray | None
    probability: float
    drawn: bool


def trace_anchor(result: Result, anchor: int) -> AnchorTrace:
    """Follow one anchor through matching, sampling and targets.

    Raises:
        IndexError: there is no such anchor.
    """
    if not 0 <= anchor < len(result.anchors):
        raise IndexError(f"anchor {anchor} of {len(result.anchors)}")
    match, trained = result.match, result.gt.trained
    boxes = result.gt.boxes[trained]
    own = np.repeat(result.anchors.boxes[anchor : anchor + 1], len(trained), axis=0)
    iou = pair_iou(own, boxes, result.conventions)
    state = AnchorState(match.state[anchor])
    forced_by = _forced_by(result, anchor, iou)
    order = np.argsort(-iou, kind="stable")
    order = order[iou[order] > 0]
    positive = state in (AnchorState.POSITIVE, AnchorState.FORCED)
    deltas = None
    if positive:
        deltas = result.targets.deltas[np.searchsorted(result.targets.anchor_index, anchor)]
    return AnchorTrace(
        anchor,
        trained[order],
        iou[order],
        state,
        _rule(result, anchor, state, forced_by),
        forced_by,
        int(match.matched_gt[anchor]) if positive else None,
        deltas,
        _probability(result, state),
        result.sample.has(anchor),
    )


def _forced_by(result: Result, anchor: int, iou: NDArray) -> tuple[int, ...]:
    """Trained boxes that force an anchor, of its IoUs (K,) with them."""
    match, params = result.match, result.params.match
    trained, allowed = result.gt.trained, result.barred.allowed
    if not params.allow_low_quality_matches or not len(trained) or (allowed is not None and not allowed[anchor]):
        return ()
    best = match.gt_best_iou[trained]
    least = np.dtype(result.conventions.threshold_dtype.value).type(params.min_pos_iou)
    found = (iou == best) & (best > 0) & (best >= least)
    if result.conventions.tie_rule is TieRule.FIRST:
        for row in np.flatnonzero(found).tolist():
            index, values = overlaps_of(result.anchors, result.gt.boxes[trained[row]], result.conventions)
            seen = slice(None) if allowed is None else allowed[index]
            found[row] = index[seen][np.argmax(values[seen])] == anchor
        # A box that touches nothing ties with all at 0, and takes the first.
        first = 0 if allowed is None else int(np.argmax(allowed))
        found |= (best == 0) & (least <= 0) & (anchor == first)
    return tuple(sorted({*trained[found].tolist(), *match.everything_positive.tolist()}))


def _rule(result: Result, anchor: int, state: AnchorState, forced_by: tuple[int, ...]) -> Rule:
    barred = result.barred
    if result.gt.image_skipped:
        return Rule.SKIPPED
    if state is AnchorState.LEFT_OUT_IGNORE:
        return Rule.IGNORE
    if state is AnchorState.LEFT_OUT_BORDER:
        # The last that acts is what the trainer leaves it out by.
        for part, rule in ((barred.centre, Rule.CENTRE), (barred.border_after, Rule.BORDER)):
            if part is not None and part[anchor]:
                return rule
        border = barred.border_before
        return Rule.BORDER if border is not None and border[anchor] else Rule.PADDING
    if not len(result.gt.trained):
        return Rule.NO_GROUND_TRUTH
    if state is AnchorState.POSITIVE:
        return Rule.REACHES
    if state is AnchorState.FORCED:
        return Rule.FORCED
    if state is AnchorState.NEGATIVE:
        last = result.conventions.match_order is MatchOrder.NEGATIVES_LAST
        return Rule.TAKEN_BACK if last and forced_by else Rule.BELOW
    crowd = barred.not_negative
    below = result.match.best_iou[anchor] < result.params.match.bg_iou_thresh
    return Rule.TOUCHES_CROWD if crowd is not None and crowd[anchor] and below else Rule.BETWEEN


def _probability(result: Result, state: AnchorState) -> float:
    counts, sample = result.match.counts, result.sample
    if state in (AnchorState.POSITIVE, AnchorState.FORCED):
        drawn, total = len(sample.positive), counts[AnchorState.POSITIVE] + counts[AnchorState.FORCED]
    elif state is AnchorState.NEGATIVE:
        drawn, total = len(sample.negative), counts[AnchorState.NEGATIVE]
    else:
        return 0.0
    return 1.0 if result.conventions.draw is DrawRule.NONE else drawn / max(total, 1)


@dataclass(frozen=True)
class Suppression:
    """Two boxes of NMS.

    Attributes:
        anchor: of the other box.
        iou: between the two, as NMS compared it.
    """

    anchor: int
    iou: float


@dataclass(frozen=True, eq=False)
class ProposalTrace:
    """A model's box on its way to the proposals.

    Attributes:
        anchor: index of the anchor it comes from.
        logit, probability: its objectness.
        decoded, clipped: (4,) input pixels, before and after it is cut to the image.
        moved: how far its centre is from the anchor's, input pixels.
        growth: its width and height over the anchor's.
        rank, ranked, limit: its place by score, 1 the best, among how many of its level (or of the image), and how
            many of them pass; rank is None for a box dropped before the ranking.
        stages: names of the stages it survives, in order.
        dropped: name of the stage that drops it; None for a proposal.
        fate: what became of it; None if it is no candidate.
        suppressed_by: the better box that suppresses it.
        number: its place among the proposals, 1 the best.
        cluster: the boxes that it suppresses, best first.
    """

    anchor: int
    logit: float
    probability: float
    decoded: NDArray[np.float32]
    clipped: NDArray[np.float32]
    moved: float
    growth: tuple[float, float]
    rank: int | None
    ranked: int
    limit: int
    stages: tuple[str, ...]
    dropped: str | None
    fate: Fate | None
    suppressed_by: Suppression | None
    number: int | None
    cluster: tuple[Suppression, ...]


def trace_proposal(result: Result, anchor: int) -> ProposalTrace:
    """Follow one box of the model from its anchor to the proposals.

    Raises:
        IndexError: there is no such anchor.
        ValueError: the result has no proposals.
    """
    proposals, decoded = _of_model(result)
    if not 0 <= anchor < len(result.anchors):
        raise IndexError(f"anchor {anchor} of {len(result.anchors)}")
    row = candidate_row(proposals, anchor)
    stages, dropped = [], None
    for stage in proposals.stages:
        if np.any(stage.dropped == anchor):
            dropped = stage.name
            break
        stages.append(stage.name)
    rank, ranked = _rank(result, proposals, decoded, anchor)
    box, base = decoded.boxes_input[anchor].astype(np.float64), result.anchors.boxes[anchor].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        middle = (box[:2] + box[2:]) / 2 - (base[:2] + base[2:]) / 2
        width, height = ((box[2:] - box[:2]) / (base[2:] - base[:2])).tolist()
    by_probability = result.conventions.score is ScoreKind.PROBABILITY
    logit = decoded.objectness[anchor : anchor + 1]
    place = np.flatnonzero(proposals.kept == (-1 if row is None else row))
    return ProposalTrace(
        anchor=anchor,
        logit=float(logit[0]),
        probability=float(decoded.rank[anchor] if by_probability else sigmoid(logit)[0]),
        decoded=decoded.boxes_input[anchor],
        clipped=clipped_boxes(decoded.boxes[anchor : anchor + 1], result.frame, result.conventions)[0],
        moved=float(np.hypot(*middle)),
        growth=(width, height),
        rank=rank,
        ranked=ranked,
        limit=result.params.proposals.pre_nms,
        stages=tuple(stages),
        dropped=dropped,
        fate=None if row is None else Fate(proposals.fate[row]),
        suppressed_by=None if row is None else _suppressor(proposals, row),
        number=int(place[0]) + 1 if len(place) else None,
        cluster=() if row is None else _cluster(proposals, row),
    )


def _of_model(result: Result) -> tuple[ProposalResult, Decoded]:
    if result.proposals is None or result.decoded is None:
        raise ValueError("the result has no proposals: it was computed without a network's outputs")
    return result.proposals, result.decoded


def _suppressor(proposals: ProposalResult, row: int) -> Suppression | None:
    by = int(proposals.suppressor[row])
    if by < 0:
        return None
    return Suppression(int(proposals.candidates.anchor_index[by]), float(proposals.suppressor_iou[row]))


def _cluster(proposals: ProposalResult, row: int) -> tuple[Suppression, ...]:
    rows = np.flatnonzero(proposals.suppressor == row)
    scores = proposals.candidates.objectness_prob[rows]
    rows = rows[np.argsort(-np.where(np.isnan(scores), np.inf, scores), kind="stable")]  # NaN ranks highest
    anchors, ious = proposals.candidates.anchor_index[rows].tolist(), proposals.suppressor_iou[rows].tolist()
    return tuple(Suppression(anchor, iou) for anchor, iou in zip(anchors, ious, strict=True))


def _rank(result: Result, proposals: ProposalResult, decoded: Decoded, anchor: int) -> tuple[int | None, int]:
    """Place of a box by score among those that the top-k cut compares it with, and how many these are."""
    span = slice(0, len(result.anchors))
    if result.conventions.top_k is not TopKScope.JOINT:
        level = result.anchors.lattice[result.anchors.place(anchor).level]
        span = slice(level.start, level.stop)
    keys = np.where(np.isnan(decoded.rank[span]), np.inf, decoded.rank[span])
    small = proposals.candidates.too_small
    open_to_all = np.ones(len(keys), bool)
    open_to_all[small[(small >= span.start) & (small < span.stop)] - span.start] = False
    ranked, here = int(np.count_nonzero(open_to_all)), anchor - span.start
    if not open_to_all[here]:
        return None, ranked
    equal = open_to_all & (keys == keys[here])
    higher = result.conventions.tie_order is TieOrder.HIGHER_INDEX
    before = equal[here + 1 :] if higher else equal[:here]
    return 1 + int(np.count_nonzero(open_to_all & (keys > keys[here]))) + int(np.count_nonzero(before)), ranked


@dataclass(frozen=True)
class Cover:
    """The box that covers a ground-truth box best at a stage.

    Attributes:
        stage: its name.
        anchor: of the box; None if none touches it.
        iou: with the ground-truth box, of the box as cut to the image.
    """

    stage: str
    anchor: int | None
    iou: float


@dataclass(frozen=True, eq=False)
class CoverTrace:
    """What finds a ground-truth box, stage by stage.

    Attributes:
        gt: its index in ``Inputs``.
        covers: the best box at every stage.
        lost_at: position in ``covers`` of the stage at which the best IoU falls most, by at least
            :data:`LOSS_THAT_COUNTS`; None where none does.
        lost: the way of the best box before that stage.
        by_iou: where NMS dropped it, the IoU of its suppressor with the ground-truth box.
    """

    gt: int
    covers: tuple[Cover, ...]
    lost_at: int | None
    lost: ProposalTrace | None
    by_iou: float | None


def trace_cover(result: Result, gt: int) -> CoverTrace:
    """Find the best boxes of the model for one ground-truth box, before and after every cut.

    IoUs are those of the boxes as cut to the image, at every stage, so that they can only fall.

    Raises:
        IndexError: there is no such box.
        ValueError: the result has no proposals.
    """
    proposals, decoded = _of_model(result)
    if not 0 <= gt < len(result.gt.boxes):
        raise IndexError(f"ground-truth box {gt} of {len(result.gt.boxes)}")
    boxes = clipped_boxes(decoded.boxes, result.frame, result.conventions)
    wanted = result.gt.boxes[gt : gt + 1].astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        iou = np.nan_to_num(box_iou(boxes, wanted)[:, 0])
    covers = []
    for stage in proposals.stages:
        best = int(stage.indices[np.argmax(iou[stage.indices])]) if len(stage.indices) else None
        value = 0.0 if best is None else float(iou[best])
        covers.append(Cover(stage.name, best if value > 0 else None, value))
    falls = [before.iou - after.iou for before, after in pairwise(covers)]
    if not falls or max(falls) < LOSS_THAT_COUNTS:
        return CoverTrace(gt, tuple(covers), None, None, None)
    at = falls.index(max(falls)) + 1
    anchor = covers[at - 1].anchor
    assert anchor is not None
    lost = trace_proposal(result, anchor)
    by = lost.suppressed_by
    return CoverTrace(gt, tuple(covers), at, lost, None if by is None else float(iou[by.anchor]))


def ranked_anchors(result: Result, gt: int, most: int) -> tuple[NDArray[np.int64], NDArray]:
    """The anchors that fit a ground-truth box best.

    Returns:
        (N,) anchor indices and (N,) IoUs with the box, best first, at most ``most``; equal ones by index.
    """
    index, iou = overlaps_of(result.anchors, result.gt.boxes[gt], result.conventions)
    best = np.argsort(-iou, kind="stable")[:most]
    return index[best], iou[best]
