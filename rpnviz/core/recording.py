"""What a trainer recorded of one step of its training: the batch as the network saw it, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.inputs import Inputs, RecordedAnchors, frozen
from rpnviz.errors import ShapeError


@dataclass(frozen=True, eq=False)
class RecordedImage:
    """One image of a batch; boxes are xyxy px of the network input, indices those of its A anchors.

    Attributes:
        size: (H, W) of the image itself, px.
        boxes: (M, 4) its ground truth as the network's head was given it.
        classes: (M,) category index, or None.
        ignore: (M,) crowd or ignore regions, or None.
        anchors: (A, 4), or None.
        labels: (A,) int8, 1 positive, 0 negative, -1 neither; None where the trainer only says what it drew.
        sampled_positive, sampled_negative: the mini-batch, ascending; None where it is not recorded.
        target_anchor: (P,) the anchors that have targets, or None.
        target_deltas, target_boxes: (P, 4) each, or None.
        objectness: (A,) logits, or None.
        deltas: (A, 4) what the network gave, dx dy dw dh, or None.
        bad_pixels: how many values of its pixels are not finite.
        file_name: empty where it is not recorded.
    """

    size: tuple[int, int]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64] | None = None
    ignore: NDArray[np.bool_] | None = None
    anchors: NDArray | None = None
    labels: NDArray[np.int8] | None = None
    sampled_positive: NDArray[np.int64] | None = None
    sampled_negative: NDArray[np.int64] | None = None
    target_anchor: NDArray[np.int64] | None = None
    target_deltas: NDArray | None = None
    target_boxes: NDArray | None = None
    objectness: NDArray[np.float32] | None = None
    deltas: NDArray[np.float32] | None = None
    bad_pixels: int = 0
    file_name: str = ""

    @property
    def anchor_count(self) -> int | None:
        """A, where any of its arrays tells."""
        for array in (self.labels, self.anchors, self.objectness, self.deltas):
            if array is not None:
                return len(array)
        return None

    @property
    def sampled(self) -> NDArray[np.int64] | None:
        """The whole mini-batch: positives, then negatives."""
        if self.sampled_positive is None or self.sampled_negative is None:
            return None
        return np.concatenate([self.sampled_positive, self.sampled_negative])

    @property
    def drawn(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The mini-batch as :class:`Inputs` has it."""
        if self.sampled_positive is None or self.sampled_negative is None:
            return None
        return frozen(self.sampled_positive), frozen(self.sampled_negative)

    def __post_init__(self) -> None:
        count = self.anchor_count
        wanted = {
            "classes": (len(self.boxes),),
            "ignore": (len(self.boxes),),
            "anchors": (count, 4),
            "labels": (count,),
            "objectness": (count,),
            "deltas": (count, 4),
        }
        if self.target_anchor is not None:
            wanted |= {"target_deltas": (len(self.target_anchor), 4), "target_boxes": (len(self.target_anchor), 4)}
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ShapeError(f"{name} has shape {array.shape}, expected {shape}.")
        for name in ("boxes", "classes", "ignore"):
            array = getattr(self, name)
            if array is not None:
                frozen(array)  # every run of the pipeline shares them
        for name in ("sampled_positive", "sampled_negative", "target_anchor"):
            array = getattr(self, name)
            if array is not None and (array.ndim != 1 or array.dtype.kind not in "iu"):
                raise ShapeError(f"{name} has shape {array.shape} and type {array.dtype}, expected whole numbers (N,).")
            if array is not None and len(array) and (array.min() < 0 or (count is not None and array.max() >= count)):
                raise ShapeError(f"{name} holds {array.min()} to {array.max()}, but there are {count} anchors.")
        if self.labels is not None and not np.isin(self.labels, (-1, 0, 1)).all():
            found = sorted(set(self.labels.tolist()))[:5]
            raise ShapeError(f"labels are {found}, expected 1 positive, 0 negative, -1 neither.")


@dataclass(frozen=True, eq=False)
class RecordedStep:
    """One step.

    Attributes:
        step: its number in the training.
        framework: name of the preset that belongs to the trainer; empty where it is not recorded.
        input_size: (H, W) of the padded batch, px.
        images: of the batch.
        losses: by the trainer's own names.
        grids: (cells, rows, columns) of every level; empty where it is not recorded.
        strides: (y, x) px between positions of every level, as ``grids``.
        run: of which training it is; empty where it is not recorded.
        stated_framework: what the recording calls its trainer, where no preset is called so; else empty.
    """

    step: int
    framework: str
    input_size: tuple[int, int]
    images: tuple[RecordedImage, ...]
    losses: Mapping[str, float]
    grids: tuple[tuple[int, int, int], ...] = ()
    strides: tuple[tuple[float, float], ...] = ()
    run: str = ""
    stated_framework: str = ""

    def __post_init__(self) -> None:
        total = sum(math.prod(grid) for grid in self.grids)
        for number, image in enumerate(self.images):
            if self.grids and image.anchor_count not in (None, total):
                raise ShapeError(f"image {number} has {image.anchor_count:,} anchors, but its grids hold {total:,}.")
            if image.size[0] > self.input_size[0] or image.size[1] > self.input_size[1]:
                raise ShapeError(f"image {number} of {image.size} is larger than its batch of {self.input_size}.")

    @property
    def finite(self) -> bool:
        """Whether every loss is a finite number."""
        return all(math.isfinite(value) for value in self.losses.values())

    def inputs(self, number: int, *, own_anchors: bool = True) -> Inputs:
        """What the pipeline needs of an image: at scale 1, in its batch.

        Args:
            number: of the image.
            own_anchors: whether the parameters make the anchors; False: the recorded ones are taken.
        """
        image = self.images[number]
        return Inputs(
            image.size,
            image.boxes,
            image.classes,
            image.ignore,
            padded_size=self.input_size,
            as_seen=True,
            anchors=None if own_anchors else self.anchors(number),
            drawn=image.drawn,
        )

    def anchors(self, number: int) -> RecordedAnchors | None:
        """The recorded anchors of an image on their grids, else as one position; None where they are not recorded."""
        boxes = self.images[number].anchors
        if boxes is None:
            return None
        if not self.grids:
            return RecordedAnchors(boxes, ((len(boxes), 1, 1),), ((0.0, 0.0),))
        return RecordedAnchors(boxes, self.grids, self._strides)

    @property
    def _strides(self) -> tuple[tuple[float, float], ...]:
        if self.strides:
            return self.strides
        height, width = self.input_size
        return tuple((height / rows, width / columns) for _, rows, columns in self.grids)
