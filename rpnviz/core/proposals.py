"""From a network's outputs to proposals, stage by stage; every dropped box keeps its reason.

Candidates are the boxes that survive the top-k cut; their arrays are ordered by level, then by falling logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import Anchors
from rpnviz.core.boxes import clip_boxes
from rpnviz.core.conventions import Conventions, NmsGrouping
from rpnviz.core.deltas import decode
from rpnviz.core.inputs import RPNOutput, frozen
from rpnviz.core.nms import NmsGroup, make_groups, suppress
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


@dataclass(frozen=True, eq=False)
class Decoded:
    """All A boxes that the network proposes, before any cut.

    Attributes:
        logits: (A,) float32 objectness.
        boxes: (A, 4) float32 xyxy input pixels, not clipped.
    """

    logits: NDArray[np.float32]
    boxes: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best-scored boxes of every level, clipped to the image.

    Attributes:
        anchor_index: (K,) anchors they come from.
        levels: (K,) uint8.
        scores: (K,) float32 objectness probability.
        boxes: (K, 4) float32 xyxy input pixels, clipped.
    """

    anchor_index: NDArray[np.int64]
    levels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]


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


def decode_outputs(anchors: Anchors, outputs: RPNOutput, params: CoderParams) -> Decoded:
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
    logits, deltas = [], []
    for number, (output, level) in enumerate(zip(outputs.levels, anchors.lattice, strict=True)):
        expected = (level.cells, *level.grid)
        if output.objectness.shape != expected:
            raise ShapeError(
                f"objectness of level {number} has shape {output.objectness.shape}, expected {expected}: {level.cells} "
                f"anchors per cell on the grid of stride {level.stride[0]:g}. "
                "Check that 'strides', 'sizes', 'aspect_ratios' and the input size are those the model ran with."
            )
        logits.append(output.objectness.transpose(1, 2, 0).reshape(-1))
        deltas.append(output.deltas.transpose(2, 3, 0, 1).reshape(-1, 4))
    boxes = decode(anchors.boxes, np.concatenate(deltas), params)
    return Decoded(frozen(np.concatenate(logits)), frozen(boxes))


def pick_candidates(decoded: Decoded, anchors: Anchors, size: tuple[int, int], pre_nms_top_n: int) -> Candidates:
    """The best ``pre_nms_top_n`` boxes of every level by logit, clipped to the resized image ``size`` (H, W).

    Convention:
        Equal logits: the lower anchor index first. A NaN logit ranks highest, as in ``torch.topk``.

    Source: torchvision ``models/detection/rpn.py: _get_top_n_idx``, ``filter_proposals``.
    """
    picked = []
    for level in anchors.lattice:
        keys = -decoded.logits[level.start : level.stop]
        keys = np.where(np.isnan(keys), -np.inf, keys)
        if pre_nms_top_n < len(keys):
            # Only the best need sorting; everything up to the k-th value stays in, so that ties keep index order.
            bound = np.partition(keys, pre_nms_top_n - 1)[pre_nms_top_n - 1]
            near = np.flatnonzero(keys <= bound)
        else:
            near = np.arange(len(keys))
        best = near[np.argsort(keys[near], kind="stable")][:pre_nms_top_n]
        picked.append(best + level.start)
    index = np.concatenate(picked)
    return Candidates(
        frozen(index),
        anchors.levels[index],
        frozen(sigmoid(decoded.logits[index])),
        frozen(clip_boxes(decoded.boxes[index], size)),
    )


def select_eligible(candidates: Candidates, min_size: float, score_thresh: float, conventions: Conventions) -> Eligible:
    """Drop small, undefined and low-scored candidates, and prepare NMS for the others.

    Source: torchvision ``ops/boxes.py: remove_small_boxes, batched_nms``, ``models/detection/rpn.py``.
    """
    boxes = candidates.boxes
    with np.errstate(invalid="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        large = (sides >= np.float32(min_size)).all(axis=1)
    fate = np.full(len(boxes), Fate.KEPT, np.uint8)
    fate[~(candidates.scores >= np.float32(score_thresh))] = Fate.LOW_SCORE
    fate[~large] = Fate.SMALL
    rows = np.flatnonzero(fate == Fate.KEPT)
    shift = None
    match conventions.nms_grouping:
        case NmsGrouping.OFFSET_UP_TO_1000:
            if 0 < len(rows) <= _OFFSET_LIMIT:
                step = boxes[rows].max() + np.float32(1)
                shift = candidates.levels[rows].astype(np.float32) * step
    groups = make_groups(boxes[rows], candidates.scores[rows], candidates.levels[rows], shift)
    return Eligible(frozen(fate), frozen(rows), groups)


def finish_proposals(
    anchors: Anchors, candidates: Candidates, eligible: Eligible, nms_thresh: float, post_nms_top_n: int
) -> ProposalResult:
    """NMS, the final cut, and the funnel.

    Convention:
        Proposals are ordered by falling score over all levels; equal scores by candidate row.

    Source: torchvision ``models/detection/rpn.py: filter_proposals``.
    """
    rows = eligible.rows
    nms = suppress(eligible.groups, len(rows), nms_thresh)
    fate = eligible.fate.copy()
    fate[rows[~nms.kept]] = Fate.SUPPRESSED
    suppressor = np.full(len(fate), -1, np.int64)
    suppressor_iou = np.zeros(len(fate), np.float32)
    gone = np.flatnonzero(~nms.kept)
    suppressor[rows[gone]] = rows[nms.suppressor[gone]]
    suppressor_iou[rows[gone]] = nms.suppressor_iou[gone]
    survivors = rows[nms.kept]
    survivors = survivors[np.argsort(-candidates.scores[survivors], kind="stable")]
    kept = survivors[:post_nms_top_n]
    fate[survivors[post_nms_top_n:]] = Fate.TOP_N
    index = candidates.anchor_index
    outside = np.ones(len(anchors), bool)
    outside[index] = False
    none = np.zeros(0, np.int64)

    def step(name: str, fates: tuple[Fate, ...], lost: Fate) -> ProposalStage:
        return ProposalStage(name, frozen(index[np.isin(fate, fates)]), frozen(index[fate == lost]))

    after_nms = (Fate.KEPT, Fate.TOP_N)
    after_score = (*after_nms, Fate.SUPPRESSED)
    stages = (
        ProposalStage("all", frozen(np.arange(len(anchors))), none),
        ProposalStage("top_k", index, frozen(np.flatnonzero(outside))),
        ProposalStage("clip", index, none),
        step("min_size", (*after_score, Fate.LOW_SCORE), Fate.SMALL),
        step("score", after_score, Fate.LOW_SCORE),
        step("nms", after_nms, Fate.SUPPRESSED),
        ProposalStage("top_n", frozen(index[kept]), frozen(index[fate == Fate.TOP_N])),
    )
    return ProposalResult(
        stages=stages,
        candidates=candidates,
        fate=frozen(fate),
        suppressor=frozen(suppressor),
        suppressor_iou=frozen(suppressor_iou),
        kept=frozen(kept),
        boxes=frozen(candidates.boxes[kept]),
        scores=frozen(candidates.scores[kept]),
        anchor_index=frozen(index[kept]),
    )
