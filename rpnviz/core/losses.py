"""The RPN's loss, anchor by anchor, as each framework weights and normalises it.

Every number is a share of the logged loss: the shares of a step add up to what the trainer logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.recording import RecordedImage, RecordedStep


class Normaliser(StrEnum):
    """What the sum over the sampled anchors of all images of a batch is divided by."""

    SAMPLED = "sampled"
    """The number of sampled anchors. TV, MP (objectness), PY."""
    SAMPLED_AT_LEAST_ONE = "sampled_at_least_one"
    """The same, but every image counts at least one positive and one negative. MM ``SamplingResult.avg_factor``."""
    WANTED = "wanted"
    """``batch_size_per_image`` times the number of images, however many were sampled. D2."""
    POSITIVE_COORDINATES = "positive_coordinates"
    """Four times the number of sampled positives: the mean over their coordinates. MP (boxes)."""


@dataclass(frozen=True)
class LossRule:
    """How a framework makes its two losses.

    Attributes:
        objectness_name, box_name: as its logs call them; the first that a log has is taken.
        beta: of the smooth L1 loss: quadratic below, linear above; 0 is plain L1.
        objectness_by, box_by: normalisers.
    """

    objectness_name: tuple[str, ...]
    box_name: tuple[str, ...]
    beta: float
    objectness_by: Normaliser
    box_by: Normaliser


_MATTERPORT = LossRule(
    ("rpn_class_loss",), ("rpn_bbox_loss",), 1.0, Normaliser.SAMPLED, Normaliser.POSITIVE_COORDINATES
)
RULES = {
    "torchvision": LossRule(("loss_objectness",), ("loss_rpn_box_reg",), 1 / 9, Normaliser.SAMPLED, Normaliser.SAMPLED),
    "detectron2": LossRule(("loss_rpn_cls",), ("loss_rpn_loc",), 0.0, Normaliser.WANTED, Normaliser.WANTED),
    "mmdetection": LossRule(
        ("loss_rpn_cls", "loss_cls"),
        ("loss_rpn_bbox", "loss_bbox"),
        0.0,
        Normaliser.SAMPLED_AT_LEAST_ONE,
        Normaliser.SAMPLED_AT_LEAST_ONE,
    ),
    "matterport": _MATTERPORT,
    "matterport-old": _MATTERPORT,
    "py-faster-rcnn": LossRule(
        ("rpn_cls_loss", "rpn_loss_cls"), ("rpn_loss_bbox",), 1 / 9, Normaliser.SAMPLED, Normaliser.SAMPLED
    ),
}
"""By preset; keras-retinanet has no RPN.

Source: torchvision ``rpn.py: compute_loss``; detectron2 ``rpn.py: RPN.losses``, ``defaults.py: RPN.SMOOTH_L1_BETA``;
mmdet ``anchor_head.py: loss_by_feat_single``, ``faster-rcnn_r50_fpn.py``; Matterport ``rpn_class_loss_graph,
rpn_bbox_loss_graph``; py-faster-rcnn ``anchor_target_layer.py`` (outside weights), ``smooth_L1_loss_layer.cpp`` with
sigma 3, which is beta 1/9.
"""


@dataclass(frozen=True, eq=False)
class ImageLosses:
    """The sampled anchors of one image, S of them.

    Attributes:
        anchor: (S,) their indices: the positives, then the negatives.
        positive: (S,) bool.
        objectness: (S,) share of the objectness loss.
        box: (S,) share of the box loss; 0 for negatives.
    """

    anchor: NDArray[np.int64]
    positive: NDArray[np.bool_]
    objectness: NDArray[np.float64]
    box: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """(S,) both together."""
        return self.objectness + self.box


@dataclass(frozen=True, eq=False)
class StepLosses:
    """The losses of a batch.

    Attributes:
        images: anchor by anchor.
        objectness, box: their sums over the batch.
        logged_objectness, logged_box: what the trainer logged; None where it did not.
    """

    images: tuple[ImageLosses, ...]
    objectness: float
    box: float
    logged_objectness: float | None
    logged_box: float | None


def step_losses(step: RecordedStep, rule: LossRule, batch_size_per_image: int) -> StepLosses | None:
    """The loss of every sampled anchor of a recorded step.

    Args:
        step: with its mini-batch, outputs and targets; None is returned where an image lacks one of them.
        rule: of the framework.
        batch_size_per_image: anchors wanted per image.

    Convention:
        Objectness: binary cross entropy of the logit. A softmax over two logits is that of their difference,
        foreground less background.
    """
    sampled = [_sampled(image) for image in step.images]
    if any(part is None for part in sampled) or not sampled:
        return None
    parts = [part for part in sampled if part is not None]
    positives = [int(part.positive.sum()) for part in parts]
    counts = [len(part.anchor) for part in parts]

    def divisor(by: Normaliser) -> float:
        match by:
            case Normaliser.SAMPLED:
                return sum(counts)
            case Normaliser.SAMPLED_AT_LEAST_ONE:
                return sum(max(p, 1) + max(n - p, 1) for p, n in zip(positives, counts, strict=True))
            case Normaliser.WANTED:
                return batch_size_per_image * len(parts)
            case Normaliser.POSITIVE_COORDINATES:
                return 4 * sum(positives)

    by_objectness, by_box = max(divisor(rule.objectness_by), 1), max(divisor(rule.box_by), 1)
    images = tuple(
        ImageLosses(
            part.anchor,
            part.positive,
            cross_entropy(part.logits, part.positive) / by_objectness,
            _box_losses(part, rule.beta) / by_box,
        )
        for part in parts
    )
    logged = [
        next((step.losses[name] for name in names if name in step.losses), None)
        for names in (rule.objectness_name, rule.box_name)
    ]
    objectness, box = (
        float(sum(part.sum() for part in parts))
        for parts in ([image.objectness for image in images], [image.box for image in images])
    )
    return StepLosses(images, objectness, box, logged[0], logged[1])


@dataclass(frozen=True, eq=False)
class _Sampled:
    anchor: NDArray[np.int64]
    positive: NDArray[np.bool_]
    logits: NDArray[np.float64]
    errors: NDArray[np.float64]


def _sampled(image: RecordedImage) -> _Sampled | None:
    """The sampled anchors with their logits and, for the positives, (P, 4) deltas less targets."""
    anchor = image.sampled
    if anchor is None or image.objectness is None or image.deltas is None or image.sampled_positive is None:
        return None
    positive = np.arange(len(anchor)) < len(image.sampled_positive)
    errors = np.zeros((0, 4))
    if len(image.sampled_positive):
        if image.target_anchor is None or image.target_deltas is None or not len(image.target_anchor):
            return None
        order = np.argsort(image.target_anchor, kind="stable")
        place = np.searchsorted(image.target_anchor[order], image.sampled_positive)
        rows = order[np.minimum(place, len(order) - 1)]
        if not np.array_equal(image.target_anchor[rows], image.sampled_positive):
            return None
        with np.errstate(invalid="ignore"):
            given = image.deltas[image.sampled_positive].astype(np.float64)
            errors = given - image.target_deltas[rows].astype(np.float64)
    return _Sampled(anchor, positive, image.objectness[anchor].astype(np.float64), errors)


def cross_entropy(logits: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Binary cross entropy of logits (S,) with their labels, without overflow."""
    with np.errstate(invalid="ignore"):
        return np.maximum(logits, 0) - logits * positive + np.log1p(np.exp(-np.abs(logits)))


def smooth_l1(errors: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    """0.5 x^2 / beta below ``beta``, |x| - beta / 2 above; |x| at ``beta`` 0."""
    size = np.abs(errors)
    if beta == 0:
        return size
    with np.errstate(over="ignore"):
        return np.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


def _box_losses(part: _Sampled, beta: float) -> NDArray[np.float64]:
    """(S,) sums over the coordinates."""
    losses = np.zeros(len(part.anchor))
    losses[part.positive] = smooth_l1(part.errors, beta).sum(axis=1)
    return losses
