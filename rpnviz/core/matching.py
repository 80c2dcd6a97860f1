"""Labels of the anchors: positive, negative or neutral, why, and what that means for every ground-truth box."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.anchors import Anchors
from rpnviz.core.barring import Barred
from rpnviz.core.conventions import Conventions, EmptyImageRule, ForcedTarget, MatchOrder, NegativeTest, TieRule
from rpnviz.core.ground_truth import GroundTruth
from rpnviz.core.inputs import frozen
from rpnviz.core.overlaps import Overlaps, pair_iou
from rpnviz.core.params import MatchParams
from rpnviz.errors import NoGroundTruthError


class AnchorState(IntEnum):
    """Label of an anchor and its reason; the states of an image partition its anchors."""

    POSITIVE = 0
    """Best IoU reaches ``fg_iou_thresh``."""
    FORCED = 1
    """Below it, but the best anchor of some ground-truth box."""
    NEGATIVE = 2
    """Below ``bg_iou_thresh``."""
    NEUTRAL = 3
    """Between the thresholds: not trained on."""
    LEFT_OUT_BORDER = 4
    """Left out by the border, padding or centre rule."""
    LEFT_OUT_IGNORE = 5
    """Left out by a crowd or ignore region."""


WEAK_IOU = 0.5
"""A forced box whose best IoU is below this is a problem."""

_LABEL_OF_STATE = np.array([1, 1, 0, -1, -1, -1], np.int8)


class Rank(StrEnum):
    """How a ground-truth box fares (DESIGN section 7)."""

    NONE = "none"
    """No positive anchor has it as its target."""
    FORCED = "forced"
    """It has positives, but none whose IoU with it reaches ``fg_iou_thresh``."""
    MATCHED = "matched"
    """At least one positive for it reaches the threshold with it."""
    NOT_TRAINED = "not_trained"
    """The trainer leaves the box out."""

    @property
    def height(self) -> int:
        """How well a box fares: higher is better, and not being trained on is worst."""
        return _HEIGHTS.index(self)


_HEIGHTS = (Rank.NOT_TRAINED, Rank.NONE, Rank.FORCED, Rank.MATCHED)


@dataclass(frozen=True, eq=False)
class MatchResult:
    """Labels of all anchors; indices of ground truth refer to ``Inputs``.

    Attributes:
        labels: (A,) int8, 1 positive, 0 negative, -1 neutral or left out.
        state: (A,) uint8 of :class:`AnchorState`.
        positives: ascending indices of the positive anchors, forced ones included.
        matched_gt: (A,) int64, the regression target of a positive, else the box with the best IoU; -1 without any.
        best_iou: (A,) best IoU with any trained box.
        gt_best_iou: (M,) best IoU over the anchors; NaN if the box is not trained on.
        gt_positives: (M,) positives whose target is the box, forced ones included.
        gt_forced: (M,) those of them whose IoU with the box is below ``fg_iou_thresh``.
        gt_trained: (M,) bool.
        everything_positive: (E,) boxes that touch no anchor, under a rule that then makes every anchor positive.
    """

    labels: NDArray[np.int8]
    state: NDArray[np.uint8]
    positives: NDArray[np.int64]
    matched_gt: NDArray[np.int64]
    best_iou: NDArray
    gt_best_iou: NDArray
    gt_positives: NDArray[np.int64]
    gt_forced: NDArray[np.int64]
    gt_trained: NDArray[np.bool_]
    everything_positive: NDArray[np.int64]

    @cached_property
    def counts(self) -> dict[AnchorState, int]:
        """Anchors per state; sums to A."""
        numbers = np.bincount(self.state, minlength=len(AnchorState))
        return {state: int(numbers[state]) for state in AnchorState}

    @cached_property
    def ranks(self) -> tuple[Rank, ...]:
        """How each of the M ground-truth boxes fares."""
        return tuple(
            Rank.NOT_TRAINED
            if not trained
            else Rank.NONE
            if positives == 0
            else Rank.FORCED
            if positives == forced
            else Rank.MATCHED
            for trained, positives, forced in zip(
                self.gt_trained.tolist(), self.gt_positives.tolist(), self.gt_forced.tolist(), strict=True
            )
        )

    def problems(self, weak_iou: float = WEAK_IOU) -> list[int]:
        """Ground-truth boxes with a problem, worst first: no positive, then forced at a best IoU below ``weak_iou``."""
        found = [
            (rank is not Rank.NONE, best, gt)
            for gt, (rank, best) in enumerate(zip(self.ranks, self.gt_best_iou.tolist(), strict=True))
            if rank is Rank.NONE or (rank is Rank.FORCED and best < weak_iou)
        ]
        return [gt for _, _, gt in sorted(found)]

    def positives_of(self, gt: int) -> NDArray[np.int64]:
        """Ascending indices of the positive anchors whose target is ground-truth box ``gt``."""
        return self.positives[self.matched_gt[self.positives] == gt]


def label_nothing(overlaps: Overlaps, ground_truth: GroundTruth) -> MatchResult:
    """The result for an image that the trainer skips: every anchor neutral, no box trained on."""
    total, wanted = len(overlaps.best_iou), len(ground_truth.not_trained)
    state = np.full(total, AnchorState.NEUTRAL, np.uint8)
    return MatchResult(
        labels=frozen(_LABEL_OF_STATE[state]),
        state=frozen(state),
        positives=frozen(np.zeros(0, np.int64)),
        matched_gt=frozen(np.full(total, -1, np.int64)),
        best_iou=overlaps.best_iou,
        gt_best_iou=frozen(np.full(wanted, np.nan, overlaps.best_iou.dtype)),
        gt_positives=frozen(np.zeros(wanted, np.int64)),
        gt_forced=frozen(np.zeros(wanted, np.int64)),
        gt_trained=frozen(np.zeros(wanted, bool)),
        everything_positive=frozen(np.zeros(0, np.int64)),
    )


def match_anchors(
    overlaps: Overlaps,
    barred: Barred,
    anchors: Anchors,
    ground_truth: GroundTruth,
    params: MatchParams,
    conventions: Conventions,
) -> MatchResult:
    """Label every anchor by its best IoU with the trained ground truth.

    Args:
        overlaps: of the K trained boxes, K = ``len(ground_truth.trained)``, with the anchors that take part.
        barred: anchors that are kept out, or may not be negative.
        anchors: to tell, where a box claims an anchor, how well they fit.
        ground_truth: which boxes of ``Inputs`` those are.
        params: ``fg_iou_thresh`` is inclusive, ``bg_iou_thresh`` as ``negative_test`` says.
        conventions: ``threshold_dtype``, ``negative_test``, ``tie_rule``, ``forced_target``, ``match_order``.

    Convention:
        No trained box: all negative. IoU 0.70 at
        ``fg_iou_thresh=0.7`` is positive. A box that no anchor touches ties with every anchor at IoU 0: at
        ``min_pos_iou=0`` all turn positive (each towards its own best box, or towards the claiming one);
        ``everything_positive`` names the box.

    Raises:
        NoGroundTruthError: no box is trained on, where the trainer refuses such an image.

    Source: Faster R-CNN, section 3.1.2, (i) and (ii); torchvision ``models/detection/_utils.py: Matcher``; detectron2
    ``modeling/matcher.py``; mmdet ``max_iou_assigner.py``; Matterport ``build_rpn_targets``; py-faster-rcnn
    ``anchor_target_layer.py``; keras-retinanet ``compute_gt_annotations``.
    """
    total, wanted = len(overlaps.best_iou), len(ground_truth.not_trained)
    trained = ground_truth.trained
    kind = np.dtype(conventions.threshold_dtype.value).type
    high, low = kind(params.fg_iou_thresh), kind(params.bg_iou_thresh)
    everything = np.zeros(0, np.int64)
    state = np.full(total, AnchorState.NEUTRAL, np.uint8)
    if len(trained) == 0:
        matched_gt = np.full(total, -1, np.int64)
    elif len(trained) == wanted:  # rows are indices
        matched_gt = overlaps.best_gt.astype(np.int64)
    else:
        matched_gt = trained[overlaps.best_gt]
    if len(trained):
        negative = (
            overlaps.best_iou <= low if conventions.negative_test is NegativeTest.AT_MOST else overlaps.best_iou < low
        )
        if barred.not_negative is not None:
            negative &= ~barred.not_negative
        if conventions.match_order is MatchOrder.NEGATIVES_FIRST:
            state[negative] = AnchorState.NEGATIVE
        if params.allow_low_quality_matches:
            everything = _force(state, matched_gt, overlaps, trained, kind(params.min_pos_iou), barred, conventions)
        state[overlaps.best_iou >= high] = AnchorState.POSITIVE
        if conventions.match_order is MatchOrder.NEGATIVES_LAST:
            state[negative] = AnchorState.NEGATIVE
    elif conventions.empty_image is EmptyImageRule.REFUSES:
        raise NoGroundTruthError(
            "there is no ground truth to match with, and the trainer refuses such an image.",
            way_out="pipeline.run reports it as image_skipped instead.",
        )
    else:
        state[:] = AnchorState.NEGATIVE  # whatever the thresholds: there is nothing to compare with
    for part, left_out in (
        (barred.ignore, AnchorState.LEFT_OUT_IGNORE),
        (barred.padding, AnchorState.LEFT_OUT_BORDER),
        (barred.border_before, AnchorState.LEFT_OUT_BORDER),
        (barred.border_after, AnchorState.LEFT_OUT_BORDER),
        (barred.centre, AnchorState.LEFT_OUT_BORDER),
    ):
        if part is not None:
            state[part] = left_out
    labels = np.take(_LABEL_OF_STATE, state)
    positives = np.flatnonzero(state <= AnchorState.FORCED)
    targets = matched_gt[positives]
    if conventions.forced_target is ForcedTarget.CLAIMING:
        fits = pair_iou(anchors.boxes[positives], ground_truth.boxes[targets], conventions) >= high
    else:
        # A positive's target is its argmax box, so its IoU with the target is its best IoU, and the state tells.
        fits = state[positives] == AnchorState.POSITIVE
    gt_best = np.full(wanted, np.nan, overlaps.gt_best_iou.dtype)
    gt_best[trained] = overlaps.gt_best_iou
    gt_trained = np.zeros(wanted, bool)
    gt_trained[trained] = True
    return MatchResult(
        labels=frozen(labels),
        state=frozen(state),
        positives=frozen(positives),
        matched_gt=frozen(matched_gt),
        best_iou=overlaps.best_iou,
        gt_best_iou=frozen(gt_best),
        gt_positives=frozen(np.bincount(targets, minlength=wanted)),
        gt_forced=frozen(np.bincount(targets[~fits], minlength=wanted)),
        gt_trained=frozen(gt_trained),
        everything_positive=frozen(trained[everything]),
    )


def _force(
    state: NDArray[np.uint8],
    matched_gt: NDArray[np.int64],
    overlaps: Overlaps,
    trained: NDArray[np.int64],
    min_pos_iou: np.floating,
    barred: Barred,
    conventions: Conventions,
) -> NDArray[np.int64]:
    """Mark the best anchors of every box as forced, in place, and let boxes claim them where they do.

    Returns:
        Rows of the boxes that force every anchor.
    """
    everything = []
    claims = conventions.forced_target is ForcedTarget.CLAIMING
    allowed = barred.allowed
    for k, best in enumerate(overlaps.gt_best_anchors):
        if overlaps.gt_best_iou[k] < min_pos_iou:
            continue
        chosen: slice | NDArray[np.int64]
        if best is None:
            chosen = slice(None) if allowed is None else np.flatnonzero(allowed)
            if conventions.tie_rule is TieRule.ALL:
                everything.append(k)
            else:
                chosen = slice(0, 1) if allowed is None else np.flatnonzero(allowed)[:1]
        else:
            chosen = best if conventions.tie_rule is TieRule.ALL else best[:1]
        state[chosen] = AnchorState.FORCED
        if claims:
            matched_gt[chosen] = trained[k]
    return np.array(everything, np.int64)
