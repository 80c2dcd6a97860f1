"""From a network's outputs to proposals, stage by stage; every dropped box keeps its reason.

Candidates are the boxes that survive the top-k cut; their arrays are ordered by level, then by falling score, or by
score alone where the levels are cut together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import Anchors
from rpnviz.core.boxes import clip_boxes
from rpnviz.core.conventions import (
    ClipRule,
    Conventions,
    NmsGrouping,
    NonFiniteRule,
    ProposalFrame,
    ScoreKind,
    SmallBoxRule,
    TopKScope,
)
from rpnviz.core.deltas import decode
from rpnviz.core.frame import Frame
from rpnviz.core.inputs import RPNOutput, frozen
from rpnviz.core.nms import NmsGroup, by_falling_score, make_groups, suppress
from rpnviz.core.params import CoderParams
from rpnviz.errors import ShapeError

_OFFSET_LIMIT = 1000
"""torchvision 0.28 ``ops/boxes.py: batched_nms``: above 4000 box coordinates on the CPU it runs one NMS per level."""


class Fate(IntEnum):
    """What became of a candidate box."""

    KEPT = 0
    """It is a proposal."""
    SMALL = 1
    """A side is below ``min_size`` after clipping, or not a number."""
    LOW_SCORE = 2
    """Its objectness probability is below ``score_thresh``."""
    SUPPRESSED = 3
    """A better box overlaps it by more than ``nms_thresh``."""
    TOP_N = 4
    """It survived NMS but not the cut to ``post_nms_top_n``."""
    NOT_FINITE = 5
    """The box or its score is infinite or not a number, and the trainer drops such boxes."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """All A boxes that the network proposes, before any cut.

    Attributes:
        objectness: (A,) float32 logits.
        rank: (A,) float32 what the top-k cut goes by: logits or probabilities.
        boxes: (A, 4) float32 xyxy, not clipped, in the frame of ``proposal_frame``.
        boxes_input: (A, 4) float32 the same in input pixels.
    """

    objectness: NDArray[np.float32]
    rank: NDArray[np.float32]
    boxes: NDArray[np.float32]
    boxes_input: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best-scored boxes, clipped to the image.

    Attributes:
        anchor_index: (K,) anchors they come from, by level and falling score.
        levels: (K,) uint8.
        scores: (K,) float32 as the framework reports them: probabilities or logits.
        objectness_prob: (K,) float32 probabilities.
        boxes: (K, 4) float32 xyxy input pixels, clipped.
        nms_boxes: (K, 4) float32 the same in the frame of ``proposal_frame``.
        too_small: anchors dropped for their size before the cut.
        not_finite: (K,) bool, rows dropped before clipping.
    """

    anchor_index: NDArray[np.int64]
    levels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    objectness_prob: NDArray[np.float32]
    boxes: NDArray[np.float32]
    nms_boxes: NDArray[np.float32]
    too_small: NDArray[np.int64]
    not_finite: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Eligible:
    """Candidates that may enter NMS.

    Attributes:
        fate: (K,) uint8, KEPT for those that enter, SMALL or LOW_SCORE for the others.
        rows: (E,) candidate rows that enter.
        groups: their NMS groups, positions refer to ``rows``.
    """

    fate: NDArray[np.uint8]
    rows: NDArray[np.int64]
    groups: tuple[NmsGroup, ...]

    @property
    def pairs(self) -> int | None:
        """Overlapping pairs that are kept, so that another NMS threshold costs little; None: too many to keep."""
        counts = [None if group.starts is None else len(group.iou) for group in self.groups]
        return None if None in counts else sum(count for count in counts if count is not None)


@dataclass(frozen=True, eq=False)
class ProposalStage:
    """One step of the funnel.

    Attributes:
        name: ``all``, ``top_k``, ``clip``, ``min_size``, ``score``, ``nms`` or ``top_n``.
        indices: (n,) anchor indices of the boxes that survive it.
        dropped: (d,) anchor indices of those that it drops.
    """

    name: str
    indices: NDArray[np.int64]
    dropped: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ProposalResult:
    """Proposals of one image and the way of every candidate.

    Attributes:
        stages: the funnel, in order.
        candidates: the K boxes after the top-k cut.
        fate: (K,) uint8 of :class:`Fate`.
        pairs: see :attr:`Eligible.pairs`.
        suppressor: (K,) candidate row that suppressed each, -1 where none did.
        suppressor_iou: (K,) float32 IoU with it.
        kept: (P,) candidate rows of the proposals, best first.
        boxes: (P, 4) float32 xyxy input pixels.
        scores: (P,) float32.
        anchor_index: (P,) anchors they come from.
    """

    stages: tuple[ProposalStage, ...]
    candidates: Candidates
    fate: NDArray[np.uint8]
    pairs: int | None
    suppressor: NDArray[np.int64]
    suppressor_iou: NDArray[np.float32]
    kept: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    anchor_index: NDArray[np.int64]


def sigmoid(logits: NDArray) -> NDArray[np.float32]:
    """Probability of a logit, computed in float64 and rounded to float32."""
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def decode_outputs(
    anchors: Anchors, outputs: RPNOutput, frame: Frame, params: CoderParams, conventions: Conventions
) -> Decoded:
    """Decode every box of the network.

    Raises:
        ShapeError: a level of the outputs has another number of cells or another grid than the anchors.

    Source: torchvision ``models/detection/rpn.py: concat_box_prediction_layers``.
    """
    if len(outputs.levels) != len(anchors.lattice):
        raise ShapeError(
            f"the outputs of {outputs.source} have {len(outputs.levels)} levels, expected {len(anchors.lattice)}. "
            "Check that 'strides' are those the model was built with."
        )
    objectness, deltas = [], []
    for number, (output, level) in enumerate(zip(outputs.levels, anchors.lattice, strict=True)):
        expected = (level.cells, *level.grid)
        if output.objectness.shape != expected:
            raise ShapeError(
                f"objectness of level {number} has shape {output.objectness.shape}, expected {expected}: {level.cells} "
                f"anchors per cell on the grid of stride {level.stride[0]:g}. "
                "Check that 'strides', 'sizes', 'aspect_ratios' and the input size are those the model ran with."
            )
        objectness.append(output.objectness.transpose(1, 2, 0).reshape(-1))
        deltas.append(output.deltas.transpose(2, 3, 0, 1).reshape(-1, 4))
    return decode_flat(anchors, np.concatenate(objectness), np.concatenate(deltas), frame, params, conventions)


def decode_flat(
    anchors: Anchors,
    objectness: NDArray[np.float32],
    deltas: NDArray[np.float32],
    frame: Frame,
    params: CoderParams,
    conventions: Conventions,
    probabilities: NDArray[np.float32] | None = None,
) -> Decoded:
    """Decode logits (A,) and deltas (A, 4) in the order of the anchors.

    Args:
        probabilities: (A,) where the framework's head gives them; None: the sigmoid of the logits.

    Convention:
        NORMALISED: anchors and boxes are (box - [0, 0, 1, 1]) / [W - 1, H - 1, W - 1, H - 1] of the padded input.

    Source: Matterport ``utils.norm_boxes``, ``model.py: ProposalLayer``.
    """
    rank = objectness
    if conventions.score is ScoreKind.PROBABILITY:
        rank = sigmoid(objectness) if probabilities is None else probabilities
    if conventions.proposal_frame is ProposalFrame.NORMALISED:
        scale, shift = _normal_frame(frame)
        boxes = decode(((anchors.boxes - shift) / scale).astype(np.float32), deltas, params, conventions)
        boxes_input = _to_pixels(boxes, frame)
    else:
        boxes = boxes_input = decode(anchors.boxes, deltas, params, conventions)
    return Decoded(frozen(objectness), frozen(rank), frozen(boxes), frozen(boxes_input))


def _normal_frame(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = frame.input_size
    last = np.maximum(np.array([width, height, width, height], np.float64) - 1, 1)
    return last, np.array([0.0, 0.0, 1.0, 1.0])


def _to_pixels(boxes: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    scale, shift = _normal_frame(frame)
    with np.errstate(over="ignore", invalid="ignore"):
        return (boxes * scale + shift).astype(np.float32)


def pick_candidates(
    decoded: Decoded, anchors: Anchors, frame: Frame, pre_nms_top_n: int, min_size: float, conventions: Conventions
) -> Candidates:
    """The best ``pre_nms_top_n`` boxes, of every level or of all, clipped.

    Convention:
        Equal scores: as ``tie_order`` says. A NaN score ranks highest, as in ``torch.topk``. py-faster-rcnn drops
        small boxes before the cut, the others after it (:func:`select_eligible`).

    Source: torchvision ``rpn.py: _get_top_n_idx``, ``filter_proposals``; detectron2 ``find_top_rpn_proposals``; mmdet
    ``RPNHead._predict_by_feat_single``; Matterport ``ProposalLayer``; py-faster-rcnn ``proposal_layer.py``.
    """
    total = len(anchors)
    open_to_all = np.ones(total, bool)
    if conventions.small_box is SmallBoxRule.INCLUSIVE_SCALED_FIRST:
        clipped = _clipped(decoded.boxes, frame, conventions)
        open_to_all = large_enough(clipped, min_size * frame.scale[0], conventions)
    joint = conventions.top_k is TopKScope.JOINT
    spans = [(0, total)] if joint else [(level.start, level.stop) for level in anchors.lattice]
    picked = []
    for start, stop in spans:
        near = np.flatnonzero(open_to_all[start:stop])
        keys = np.where(np.isnan(decoded.rank[start:stop]), np.inf, decoded.rank[start:stop])[near]
        if pre_nms_top_n < len(near):
            # Only the best need sorting; everything down to the k-th value stays in, so that ties keep their order.
            bound = np.partition(keys, len(keys) - pre_nms_top_n)[len(keys) - pre_nms_top_n]
            best = keys >= bound
            near, keys = near[best], keys[best]
        picked.append(near[by_falling_score(keys, conventions)][:pre_nms_top_n] + start)
    index = np.concatenate(picked)
    rank, unclipped = decoded.rank[index], decoded.boxes[index]
    not_finite = np.zeros(len(index), bool)
    if conventions.non_finite is NonFiniteRule.DROPPED:
        not_finite = np.asarray(~(np.isfinite(unclipped).all(axis=1) & np.isfinite(rank)))
    boxes = _clipped(unclipped, frame, conventions)
    prob = rank if conventions.score is ScoreKind.PROBABILITY else sigmoid(rank)
    in_pixels = _to_pixels(boxes, frame) if conventions.proposal_frame is ProposalFrame.NORMALISED else boxes
    return Candidates(
        anchor_index=frozen(index),
        levels=frozen(anchors.levels[index]),
        scores=frozen(rank if conventions.score is ScoreKind.LOGIT else prob),
        objectness_prob=frozen(prob),
        boxes=frozen(in_pixels),
        nms_boxes=frozen(boxes),
        too_small=frozen(np.flatnonzero(~open_to_all)),
        not_finite=frozen(not_finite),
    )


def large_enough(boxes: NDArray[np.float32], min_size: float, conventions: Conventions) -> NDArray[np.bool_]:
    """(N,) whether both sides of a box (N, 4) pass the size test of ``small_box``; a NaN does not.

    ``min_size`` is in the pixels of the boxes.

    Source: torchvision ``ops/boxes.py: remove_small_boxes``; detectron2 ``Boxes.nonempty``; py-faster-rcnn
    ``proposal_layer.py: _filter_boxes``.
    """
    with np.errstate(invalid="ignore"):
        sides, least = boxes[:, 2:] - boxes[:, :2], np.float32(min_size)
        match conventions.small_box:
            case SmallBoxRule.AT_LEAST:
                passes = sides >= least
            case SmallBoxRule.ABOVE:
                passes = sides > least
            case SmallBoxRule.INCLUSIVE_SCALED_FIRST:
                passes = sides + np.float32(1) >= least
            case SmallBoxRule.NONE:
                return np.ones(len(boxes), bool)
    return np.asarray(passes.all(axis=1))


def _clipped(boxes: NDArray[np.float32], frame: Frame, conventions: Conventions) -> NDArray[np.float32]:
    height, width = frame.resized_size
    match conventions.clip:
        case ClipRule.RESIZED:
            return clip_boxes(boxes, (height, width))
        case ClipRule.LAST_PIXEL:
            return clip_boxes(boxes, (height - 1, width - 1))
        case ClipRule.PADDED:
            normalised = conventions.proposal_frame is ProposalFrame.NORMALISED
            return clip_boxes(boxes, (1, 1) if normalised else frame.input_size)


def clipped_boxes(boxes: NDArray[np.float32], frame: Frame, conventions: Conventions) -> NDArray[np.float32]:
    """``Decoded.boxes`` or some of them (N, 4) cut to the image as the trainer cuts its candidates, input pixels."""
    boxes = _clipped(boxes, frame, conventions)
    return _to_pixels(boxes, frame) if conventions.proposal_frame is ProposalFrame.NORMALISED else boxes


def candidate_row(proposals: ProposalResult, anchor: int) -> int | None:
    """The candidate that comes from an anchor; None if the top-k cut has dropped it."""
    rows = np.flatnonzero(proposals.candidates.anchor_index == anchor)
    return int(rows[0]) if len(rows) else None


def select_eligible(candidates: Candidates, min_size: float, score_thresh: float, conventions: Conventions) -> Eligible:
    """Drop small, undefined and low-scored candidates, and prepare NMS for the others.

    Source: torchvision ``ops/boxes.py: remove_small_boxes, batched_nms``, ``models/detection/rpn.py``; mmcv
    ``ops/nms.py: batched_nms``.
    """
    boxes = candidates.nms_boxes
    fate = np.full(len(boxes), Fate.KEPT, np.uint8)
    # Only torchvision asks at a threshold of 0 too, where a NaN fails.
    if score_thresh > 0 or conventions.score is ScoreKind.LOGIT_THEN_SIGMOID:
        fate[~(candidates.objectness_prob >= np.float32(score_thresh))] = Fate.LOW_SCORE
    if conventions.small_box is not SmallBoxRule.INCLUSIVE_SCALED_FIRST:
        fate[~large_enough(boxes, min_size, conventions)] = Fate.SMALL
    fate[candidates.not_finite] = Fate.NOT_FINITE
    rows = np.flatnonzero(fate == Fate.KEPT)
    groups, shift = candidates.levels[rows], None
    match conventions.nms_grouping:
        case NmsGrouping.JOINT:
            groups = np.zeros(len(rows), np.uint8)
        case NmsGrouping.OFFSET | NmsGrouping.OFFSET_UP_TO_1000:
            always = conventions.nms_grouping is NmsGrouping.OFFSET
            if len(rows) and (always or len(rows) <= _OFFSET_LIMIT):
                step = boxes[rows].max() + np.float32(1)
                shift = groups.astype(np.float32) * step
    made = make_groups(boxes[rows], candidates.scores[rows], groups, conventions, shift)
    return Eligible(frozen(fate), frozen(rows), made)


def finish_proposals(
    anchors: Anchors,
    candidates: Candidates,
    eligible: Eligible,
    nms_thresh: float,
    post_nms_top_n: int,
    conventions: Conventions,
) -> ProposalResult:
    """NMS, the final cut, and the funnel.

    Convention:
        Proposals are ordered by falling score over all levels; equal scores as ``tie_order`` says.

    Source: torchvision ``models/detection/rpn.py: filter_proposals``.
    """
    rows = eligible.rows
    nms = suppress(eligible.groups, len(rows), nms_thresh, conventions)
    fate = eligible.fate.copy()
    fate[rows[~nms.kept]] = Fate.SUPPRESSED
    suppressor = np.full(len(fate), -1, np.int64)
    suppressor_iou = np.zeros(len(fate), np.float32)
    gone = np.flatnonzero(~nms.kept)
    suppressor[rows[gone]] = rows[nms.suppressor[gone]]
    suppressor_iou[rows[gone]] = nms.suppressor_iou[gone]
    survivors = rows[nms.kept]
    survivors = survivors[by_falling_score(candidates.scores[survivors], conventions)]
    kept = survivors[:post_nms_top_n]
    fate[survivors[post_nms_top_n:]] = Fate.TOP_N
    return ProposalResult(
        stages=_funnel(anchors, candidates, fate, kept, conventions),
        candidates=candidates,
        fate=frozen(fate),
        pairs=eligible.pairs,
        suppressor=frozen(suppressor),
        suppressor_iou=frozen(suppressor_iou),
        kept=frozen(kept),
        boxes=frozen(candidates.boxes[kept]),
        scores=frozen(candidates.scores[kept]),
        anchor_index=frozen(candidates.anchor_index[kept]),
    )


def _funnel(
    anchors: Anchors,
    candidates: Candidates,
    fate: NDArray[np.uint8],
    kept: NDArray[np.int64],
    conventions: Conventions,
) -> tuple[ProposalStage, ...]:
    """The steps in the framework's order; small boxes go before the cut or after it."""
    index, none = candidates.anchor_index, np.zeros(0, np.int64)
    everything = np.arange(len(anchors))
    outside = np.ones(len(anchors), bool)
    outside[index] = False

    def step(name: str, fates: tuple[Fate, ...], *lost: Fate) -> ProposalStage:
        return ProposalStage(name, frozen(index[np.isin(fate, fates)]), frozen(index[np.isin(fate, lost)]))

    after_nms = (Fate.KEPT, Fate.TOP_N)
    after_score = (*after_nms, Fate.SUPPRESSED)
    last = (
        step("score", after_score, Fate.LOW_SCORE),
        step("nms", after_nms, Fate.SUPPRESSED),
        ProposalStage("top_n", frozen(index[kept]), frozen(index[fate == Fate.TOP_N])),
    )
    first = ProposalStage("all", frozen(everything), none)
    if conventions.small_box is SmallBoxRule.INCLUSIVE_SCALED_FIRST:
        small = candidates.too_small
        large = np.setdiff1d(everything, small, assume_unique=True)
        outside[small] = False
        return (
            first,
            ProposalStage("clip", frozen(everything), none),
            ProposalStage("min_size", frozen(large), small),
            ProposalStage("top_k", index, frozen(np.flatnonzero(outside))),
            *last,
        )
    return (
        first,
        ProposalStage("top_k", index, frozen(np.flatnonzero(outside))),
        step("clip", (*after_score, Fate.LOW_SCORE, Fate.SMALL), Fate.NOT_FINITE),
        step("min_size", (*after_score, Fate.LOW_SCORE), Fate.SMALL),
        *last,
    )
