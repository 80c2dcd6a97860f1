"""A recorded step against what the pipeline makes of the same images: anchors, labels, mini-batch and targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import pipeline
from rpnviz.core.conventions import DrawRule
from rpnviz.core.deltas import encode
from rpnviz.core.params import SampleParams
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset
from rpnviz.core.recording import RecordedImage, RecordedStep

SAME_ANCHOR_PX = 1e-3
"""Anchors are the same up to this; float32 has about this step at 10,000 px."""
SAME_DELTA = 1e-4
"""Targets are the same up to this: absolute below 1, relative above."""


@dataclass(frozen=True, eq=False)
class AnchorCheck:
    """Own anchors against the recorded ones.

    Attributes:
        recorded, own: how many.
        differ: (D,) indices of those further apart than :data:`SAME_ANCHOR_PX`; empty where the numbers differ.
        largest: greatest difference of a coordinate, px; NaN where the numbers differ.
        reordered: the same boxes in another order.
    """

    recorded: int
    own: int
    differ: NDArray[np.int64]
    largest: float
    reordered: bool

    @property
    def same(self) -> bool:
        """Whether every anchor is its counterpart."""
        return self.recorded == self.own and not len(self.differ)


@dataclass(frozen=True, eq=False)
class SampleCheck:
    """Whether the recorded mini-batch can be what the labels and parameters allow; the draw itself is the trainer's.

    Attributes:
        positive, negative: how many were drawn.
        expected_positive, expected_negative: how many the parameters draw from the labels.
        wrong: (W,) drawn anchors whose label is another.
        labelled: positives and negatives that there are to draw from; None where that is not recorded.
    """

    positive: int
    negative: int
    expected_positive: int
    expected_negative: int
    wrong: NDArray[np.int64]
    labelled: tuple[int, int] | None = None

    @property
    def fits(self) -> bool:
        """Whether nothing contradicts it."""
        return (
            self.positive == self.expected_positive and self.negative == self.expected_negative and not len(self.wrong)
        )


@dataclass(frozen=True, eq=False)
class ImageReplay:
    """One image of a step.

    Attributes:
        result: what the pipeline makes of it, on the recorded anchors if ``on_recorded``.
        on_recorded: the own anchors are not as many as the recorded ones, so labels are compared on those.
        anchors: None where they are not recorded.
        comparable: whether the labels belong to as many anchors as the result has.
        trainer: (A,) the recorded labels; of a trainer that only says what it drew, those of the drawn, else 2.
        labels_differ: (D,) anchors whose label is another.
        targets_differ: (T,) positives of both that are trained towards something else.
        target_error: greatest difference of a target's delta among the positives of both; NaN without any.
        sample: None where it is not recorded.
    """

    result: Result
    on_recorded: bool
    anchors: AnchorCheck | None
    comparable: bool
    trainer: NDArray[np.int8]
    labels_differ: NDArray[np.int64]
    targets_differ: NDArray[np.int64]
    target_error: float
    sample: SampleCheck | None

    def count(self, label: int) -> tuple[int, int]:
        """How many anchors have a label, at the trainer and here."""
        return int((self.trainer == label).sum()), int((self.result.match.labels == label).sum())

    @property
    def tells(self) -> bool:
        """Whether the recording tells anything of labels or targets that can be compared."""
        return bool((self.trainer != UNKNOWN).any()) or not np.isnan(self.target_error)

    @property
    def reproduced(self) -> bool:
        """Whether nothing differs and nothing contradicts the mini-batch; of what is recorded."""
        return not self.distance and (self.sample is None or self.sample.fits)

    @property
    def distance(self) -> int:
        """Anchors, labels and targets that differ, counted; the mini-batch is apart."""
        if not self.comparable:
            return 10 * max(len(self.result.anchors), len(self.trainer))
        anchors = 0
        if self.anchors is not None and not self.anchors.same:
            anchors = len(self.anchors.differ) if not self.on_recorded else 10 * self.anchors.recorded
        return anchors + len(self.labels_differ) + len(self.targets_differ)


UNKNOWN = 2
"""Stands for the label of an anchor that the trainer did not tell."""


def replay_image(step: RecordedStep, number: int, preset: Preset, previous: Result | None = None) -> ImageReplay:
    """Run the pipeline on one recorded image and compare.

    Args:
        step: the recording.
        number: of the image.
        preset: trainer, parameters and conventions.
        previous: any earlier result; only saves time.

    Raises:
        ShapeError: the recorded anchors do not stand on the recorded grids.
    """
    result = pipeline.run(step.inputs(number), preset.params, preset.conventions, previous)
    return compare_image(step, number, result)


def compare_image(step: RecordedStep, number: int, result: Result) -> ImageReplay:
    """As :func:`replay_image`, of an image that was run already, on its own anchors.

    Raises:
        ShapeError: the recorded anchors do not stand on the recorded grids.
    """
    image = step.images[number]
    anchors = None if image.anchors is None else _check_anchors(image.anchors, result.anchors.boxes)
    on_recorded = anchors is not None and anchors.recorded != anchors.own
    if on_recorded:
        inputs = step.inputs(number, own_anchors=False)
        result = pipeline.run(inputs, result.params, result.conventions)
    trainer = _labels_of(image, len(result.anchors))
    comparable = len(trainer) == len(result.anchors)
    nothing = np.zeros(0, np.int64)
    if not comparable:
        return ImageReplay(result, on_recorded, anchors, False, trainer, nothing, nothing, np.nan, None)
    known = trainer != UNKNOWN
    differ = np.flatnonzero(known & (trainer != result.match.labels))
    targets_differ, error = _check_targets(image, result)
    sample = _check_sample(image, trainer, result)
    return ImageReplay(result, on_recorded, anchors, True, trainer, differ, targets_differ, error, sample)


def replay(step: RecordedStep, preset: Preset) -> tuple[ImageReplay, ...]:
    """Every image of a step; see :func:`replay_image`."""
    return tuple(replay_image(step, number, preset) for number in range(len(step.images)))


def _labels_of(image: RecordedImage, anchors: int) -> NDArray[np.int8]:
    if image.labels is not None:
        return image.labels
    count = image.anchor_count
    labels = np.full(anchors if count is None else count, UNKNOWN, np.int8)
    for indices, label in ((image.sampled_positive, 1), (image.sampled_negative, 0)):
        if indices is not None:
            labels[indices[indices < len(labels)]] = label
    return labels


def _check_anchors(recorded: NDArray, own: NDArray) -> AnchorCheck:
    if len(recorded) != len(own):
        return AnchorCheck(len(recorded), len(own), np.zeros(0, np.int64), np.nan, False)
    if np.array_equal(recorded, own):
        return AnchorCheck(len(recorded), len(own), np.zeros(0, np.int64), 0.0, False)
    apart = np.abs(recorded.astype(np.float64) - own.astype(np.float64)).max(axis=1)
    differ = np.flatnonzero(~(apart <= SAME_ANCHOR_PX))
    reordered = False
    if len(differ):
        sorted_pair = [np.round(boxes[np.lexsort(np.round(boxes, 2).T)], 2) for boxes in (recorded, own)]
        reordered = bool(np.abs(sorted_pair[0] - sorted_pair[1]).max() <= 0.011)
    return AnchorCheck(len(recorded), len(own), differ, float(apart.max(initial=0.0)), reordered)


def _check_targets(image: RecordedImage, result: Result) -> tuple[NDArray[np.int64], float]:
    nothing = np.zeros(0, np.int64), np.nan
    recorded = image.target_deltas if image.target_deltas is not None else image.target_boxes
    if image.target_anchor is None or recorded is None:
        return nothing
    both = result.match.labels[image.target_anchor] == 1
    anchors = image.target_anchor[both]
    if not len(anchors):
        return nothing
    own = result.gt.boxes[result.match.matched_gt[anchors]]
    if image.target_deltas is not None:
        own = encode(result.anchors.boxes[anchors], own, result.params.coder, result.conventions)
    theirs = recorded[both].astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(own - theirs)
        apart[own == theirs] = 0  # both infinite
        apart[np.isnan(own) & np.isnan(theirs)] = 0
        wrong = ~(apart <= SAME_DELTA * np.maximum(1, np.abs(theirs))).all(axis=1)
    finite = apart[np.isfinite(apart)]
    return anchors[wrong], float(finite.max(initial=0.0))


def _check_sample(image: RecordedImage, trainer: NDArray[np.int8], result: Result) -> SampleCheck | None:
    if image.sampled_positive is None or image.sampled_negative is None:
        return None
    positive, negative = image.sampled_positive, image.sampled_negative
    wrong = np.concatenate([positive[trainer[positive] != 1], negative[trainer[negative] != 0]])
    if result.conventions.draw is DrawRule.NONE or image.labels is None:
        return SampleCheck(len(positive), len(negative), len(positive), len(negative), np.sort(wrong))
    params = result.params.sample
    labelled = int((trainer == 1).sum()), int((trainer == 0).sum())
    wanted = drawn_numbers(*labelled, params)
    return SampleCheck(len(positive), len(negative), *wanted, np.sort(wrong), labelled)


def drawn_numbers(positive: int, negative: int, params: SampleParams) -> tuple[int, int]:
    """How many positives and negatives a mini-batch has, of so many."""
    wanted = min(positive, int(params.batch_size_per_image * params.positive_fraction))
    return wanted, min(negative, params.batch_size_per_image - wanted)


def sentence(images: tuple[ImageReplay, ...] | list[ImageReplay]) -> str:
    """``trainer 131 positive, rpnviz 131, 0 differ``, and what else is not the same."""
    bad = [number for number, image in enumerate(images) if not image.comparable]
    if bad:
        image = images[bad[0]]
        return (
            f"labels of {len(image.trainer):,} anchors are recorded, but rpnviz makes {len(image.result.anchors):,}: "
            "the anchors' parameters are not the trainer's"
        )
    counts = [image.count(1) for image in images]
    theirs, ours = sum(count[0] for count in counts), sum(count[1] for count in counts)
    differ = sum(len(image.labels_differ) for image in images)
    if not any(image.tells for image in images):
        parts = ["no label is compared: the capture holds neither labels nor a mini-batch"]
    elif any((image.trainer == UNKNOWN).any() for image in images):
        known = sum(int((image.trainer != UNKNOWN).sum()) for image in images)
        parts = [f"of {known:,} anchors that the trainer tells the label of, {differ:,} differ"]
    else:
        parts = [f"trainer {theirs:,} positive, rpnviz {ours:,}, {differ:,} differ"]
    targets = sum(len(image.targets_differ) for image in images)
    if targets:
        parts.append(f"{targets:,} of them towards another target" if not differ else f"{targets:,} other targets")
    checks = [image.anchors for image in images if image.anchors is not None and not image.anchors.same]
    if checks:
        check = checks[0]
        if check.recorded != check.own:
            parts.append(f"the trainer has {check.recorded:,} anchors, rpnviz {check.own:,}; compared on the trainer's")
        elif check.reordered:
            parts.append("the anchors are the same in another order")
        else:
            count = sum(len(check.differ) for check in checks)
            parts.append(f"{count:,} anchors stand elsewhere, by up to {max(c.largest for c in checks):.3g} px")
    wrong = [image.sample for image in images if image.sample is not None and not image.sample.fits]
    if wrong:
        drawn = sum(check.positive for check in wrong), sum(check.negative for check in wrong)
        wanted = sum(check.expected_positive for check in wrong), sum(check.expected_negative for check in wrong)
        if drawn != wanted:
            parts.append(f"{drawn[0]:,} + {drawn[1]:,} drawn where {wanted[0]:,} + {wanted[1]:,} are expected")
        if any(len(check.wrong) for check in wrong):
            parts.append(f"{sum(len(check.wrong) for check in wrong):,} drawn with another label")
    return "; ".join(parts)
