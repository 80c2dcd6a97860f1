"""Where a step that is not finite broke: its arrays in the order in which the trainer makes them.

image -> ground truth -> anchors -> targets -> logits and deltas -> losses. The first that is not finite is the cause.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.recording import RecordedImage, RecordedStep

_EXP_OVERFLOW = math.log(float(np.finfo(np.float32).max))
"""exp of more than this is infinite in float32: 88.7."""
_EXPLAINING = {"targets": ("target_deltas", "target_boxes"), "logits": ("objectness",), "deltas": ("deltas",)}
"""What the losses are made of; of targets either will do."""
_GROWN = 1000.0
"""Times its earlier value from which on a loss is said to have run away."""


@dataclass(frozen=True)
class Cause:
    """Why a step is not finite, or soon will not be.

    Attributes:
        where: ``image``, ``ground truth``, ``anchors``, ``targets``, ``logits``, ``deltas``, ``losses``.
        text: one sentence, with image, box or anchor, and numbers.
        image: index in the batch; None where it concerns all.
        gt: index of the box, or None.
        anchor: index of the anchor, or None.
    """

    where: str
    text: str
    image: int | None = None
    gt: int | None = None
    anchor: int | None = None


def find_cause(step: RecordedStep, earlier: Sequence[RecordedStep] = ()) -> Cause | None:
    """The first array of a step that is not finite; None if every loss and every array is.

    Args:
        step: which.
        earlier: recorded steps before it, in order: those of its own run tell whether the losses ran away.
    """
    broken = [name for name, value in step.losses.items() if not math.isfinite(value)]
    head = ""
    if broken:
        # The RPN's own first: those are what the arrays can explain.
        first = next((name for name in broken if _of_rpn(name)), broken[0])
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        head = f"{first} is {_spelt(step.losses[first])}{more}: "
    arrays = _first_broken(step)
    if arrays is None and not broken:
        return None
    if arrays is None:
        return Cause("losses", f"{head}{_where_else(step, broken)}{_ran_away(step, earlier)}")
    text = f"{head}{arrays.text}"
    if arrays.where in ("logits", "deltas"):
        text += " Image and boxes are finite: the weights are not, or a layer overflowed."
        text += _ran_away(step, earlier)
    return Cause(arrays.where, text, arrays.image, arrays.gt, arrays.anchor)


def _where_else(step: RecordedStep, broken: Sequence[str]) -> str:
    """Where a loss that is not finite arises, as far as the arrays that are recorded, all finite, tell."""
    missing = [
        name
        for name, fields in _EXPLAINING.items()
        if any(all(getattr(image, field) is None for field in fields) for image in step.images)
    ]
    told = [name for name in step.losses if _of_rpn(name)]
    if told and not any(_of_rpn(name) for name in broken):
        return "the losses of the RPN are finite, so it arises after the RPN, which this recording does not hold."
    if missing:
        lacks = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
        return f"what is recorded of the RPN is finite, but {lacks} are not recorded, so where it arises is not known."
    if not told:
        return "every array of the RPN is finite, so it arises after the RPN, or the loss itself overflowed."
    return "every array of the RPN is finite, so the loss itself overflowed."


def _of_rpn(name: str) -> bool:
    return "rpn" in name or "objectness" in name


def _spelt(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


def _first_broken(step: RecordedStep) -> Cause | None:
    for number, image in enumerate(step.images):
        if image.bad_pixels:
            text = f"image {number} has {image.bad_pixels:,} values that are not finite before the network sees it."
            return Cause("image", text, number)
    for number, image in enumerate(step.images):
        found = _bad_box(number, image)
        if found is not None:
            return found
    for number, image in enumerate(step.images):
        rows = _not_finite(image.anchors)
        if len(rows):
            text = f"{len(rows):,} anchors of image {number} are not finite, anchor {rows[0]:,} first."
            return Cause("anchors", text, number, anchor=int(rows[0]))
    for number, image in enumerate(step.images):
        rows = _not_finite(image.target_deltas)
        if len(rows) and image.target_anchor is not None:
            anchor = int(image.target_anchor[rows[0]])
            text = f"{len(rows):,} targets of image {number} are not finite, that of anchor {anchor:,} first."
            return Cause("targets", text, number, anchor=anchor)
    for name in ("logits", "deltas"):
        for number, image in enumerate(step.images):
            found = _bad_output(name, number, image)
            if found is not None:
                return found
    return None


def _bad_box(number: int, image: RecordedImage) -> Cause | None:
    """A box that is not finite, or whose empty side makes an infinite target: log of 0."""
    kept = np.ones(len(image.boxes), bool) if image.ignore is None else ~image.ignore
    with np.errstate(invalid="ignore"):
        sides = image.boxes[:, 2:] - image.boxes[:, :2]
        wrong = np.flatnonzero(kept & ~((sides > 0) & np.isfinite(sides)).all(axis=1))
    if not len(wrong):
        return None
    gt = int(wrong[0])
    box = ", ".join(f"{value:g}" for value in image.boxes[gt])
    width, height = sides[gt]
    more = f" ({len(wrong):,} such boxes)" if len(wrong) > 1 else ""
    if not np.isfinite(image.boxes[gt]).all():
        return Cause("ground truth", f"GT {gt} of image {number} is not finite: ({box}){more}.", number, gt)
    side, value, delta = ("width", width, "dw") if not width > 0 else ("height", height, "dh")
    anchors = 0
    targets = image.target_boxes
    if targets is not None:
        anchors = int((np.abs(targets - image.boxes[gt]) < 1e-3).all(axis=1).sum())
    towards = f", which {anchors:,} positive anchors are trained towards" if anchors else ""
    makes, log = ("infinite", "log(0) is minus infinity") if value == 0 else ("NaN", f"log({value:g}) is no number")
    text = (
        f"GT {gt} of image {number} ({box}) has {side} {value:g}{more}: its {delta} target is {makes}{towards}; {log}."
    )
    return Cause("ground truth", text, number, gt)


def _bad_output(name: str, number: int, image: RecordedImage) -> Cause | None:
    array = image.objectness if name == "logits" else image.deltas
    if array is None:
        return None
    rows = _not_finite(array)
    if len(rows):
        share = f"{len(rows):,} of {len(array):,}"
        text = f"{share} {name} of image {number} are not finite, anchor {rows[0]:,} first."
        return Cause(name, text, number, anchor=int(rows[0]))
    if name == "deltas" and len(array) and float(array[:, 2:].max()) > _EXP_OVERFLOW:
        anchor = int(array[:, 2:].max(axis=1).argmax())
        value = float(array[anchor, 2:].max())
        text = (
            f"dw or dh of anchor {anchor:,} in image {number} is {value:.4g}: above {_EXP_OVERFLOW:.1f} its "
            "exponential overflows float32 where the trainer does not clip it."
        )
        return Cause(name, text, number, anchor=anchor)
    return None


def _not_finite(array: NDArray | None) -> NDArray[np.int64]:
    """Rows of which a number is not finite."""
    if array is None:
        return np.zeros(0, np.int64)
    return np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))


def _ran_away(step: RecordedStep, earlier: Sequence[RecordedStep]) -> str:
    """What the recorded losses before the step say: they had grown beyond all measure, or were as usual."""
    before = [other for other in earlier if other.run == step.run and other.step < step.step and other.losses]
    broken = [other.step for other in before if not other.finite]
    if broken:
        return f" Step {broken[0]:,} was not finite already: what broke the weights is told there."
    sums = [(other.step, sum(other.losses.values())) for other in before]
    if not sums:
        return ""
    (first, low), (last, high) = min(sums, key=lambda pair: pair[1]), sums[-1]
    if last > first and high >= _GROWN * max(low, 1e-12):
        return (
            f" The losses had run away before: together {low:.3g} at step {first:,}, {high:.3g} at step {last:,}; "
            "the learning rate is too high, or a gradient is not clipped."
        )
    if last == step.step - 1:
        return (
            f" Step {last:,} was finite with losses of {high:.3g} together, so its update made the weights what they "
            "are: the learning rate is too high, or a gradient was not finite."
        )
    return f" The last step recorded before, {last:,}, was finite with losses of {high:.3g} together."
