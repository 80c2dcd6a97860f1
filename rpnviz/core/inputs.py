"""What adapters hand to the core: an image's size, its ground truth, and a network's outputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from rpnviz.core.conventions import Conventions
from rpnviz.core.params import AnchorParams, CoderParams, Params, ProposalParams, ResizeParams
from rpnviz.errors import ShapeError


def frozen(array: NDArray) -> NDArray:
    """The same array, read-only; results and inputs are shared between threads and must not change."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class LevelOutput:
    """A network's outputs on one feature map.

    Attributes:
        objectness: logits, (A, H, W) float32 with A anchors per position.
        deltas: (A, 4, H, W) float32, dx dy dw dh.
    """

    objectness: NDArray[np.float32]
    deltas: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.objectness.ndim != 3 or self.deltas.shape != (
            self.objectness.shape[0],
            4,
            *self.objectness.shape[1:],
        ):
            raise ShapeError(
                f"objectness has shape {self.objectness.shape} and deltas {self.deltas.shape}, "
                "expected (A, H, W) and (A, 4, H, W)."
            )
        frozen(self.objectness)
        frozen(self.deltas)


_BUILT_IN = (
    "resize_limit",
    "resize_rounding",
    "enlarging",
    "padding",
    "ratio_meaning",
    "anchor_formula",
    "base_rounding",
    "anchor_pixels",
    "stride_source",
    "offset_unit",
    "cell_order",
    "codec",
    "coder_pixels",
    "coder_weights",
    "end_corner",
    "decode_clamp",
    "proposal_frame",
)
"""Conventions of image size, anchors and coder, which a network has learnt."""


def built_in(conventions: Conventions) -> dict[str, Any]:
    """Those conventions that a network has learnt, by name."""
    return {name: getattr(conventions, name) for name in _BUILT_IN}


@dataclass(frozen=True)
class ModelSettings:
    """What a network was built with and a user cannot turn while looking at its outputs."""

    resize: ResizeParams
    anchors: AnchorParams
    coder: CoderParams
    conventions: Conventions
    proposals: ProposalParams | None = None
    """The thresholds and top-n that come with it, where the file has them; a user may turn them."""
    preset: str = ""
    """Name of the trainer whose rules belong to it; empty: unknown."""
    shapes_known: bool = True
    """Whether sizes and ratios are the anchors' own; those of a recording with anchors only count them."""

    def applied_to(self, params: Params, conventions: Conventions) -> tuple[Params, Conventions]:
        """``params`` and ``conventions`` with what was built in: those under which the outputs mean something."""
        return (
            replace(params, resize=self.resize, anchors=self.anchors, coder=self.coder),
            replace(conventions, **built_in(self.conventions)),
        )


@dataclass(frozen=True, eq=False)
class RPNOutput:
    """All levels of one image, and the frame in which they were computed.

    Attributes:
        levels: finest first.
        resized_size: (H, W) of the image after resizing, before padding.
        input_size: (H, W) after padding.
        settings: the anchors, resize and coder that the network was built with.
        source: name of the model, shown to the user.
        stated: the sizes are those of a recording: they hold whatever the settings would make of the image.
        anchors: (A, 4) input pixels, those of a recording that has them; None: the settings make them.
    """

    levels: tuple[LevelOutput, ...]
    resized_size: tuple[int, int]
    input_size: tuple[int, int]
    settings: ModelSettings
    source: str
    stated: bool = False
    anchors: NDArray | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class RecordedAnchors:
    """Anchors as a trainer recorded them.

    Attributes:
        boxes: (A, 4) xyxy input pixels by level, row, column and cell.
        shapes: (cells, H, W) of every level.
        strides: (y, x) input pixels between positions of every level.
    """

    boxes: NDArray
    shapes: tuple[tuple[int, int, int], ...]
    strides: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Inputs:
    """One image as the pipeline needs it.

    Attributes:
        image_size: (H, W) in original pixels.
        gt_boxes: (M, 4) float64 xyxy, original pixels; broken boxes stay in, the pipeline says what happens to them.
        gt_labels: (M,) int64 category index, or None.
        gt_ignore: (M,) bool, crowd or ignore region; None means none is.
        gt_difficult: what ``gt_ignore`` marks are objects that Pascal VOC calls difficult, no regions.
        padded_size: (H, W) of the batch's padded tensor; None: the image alone.
        outputs: the network's outputs, or None.
        as_seen: the image is what a network was given, recorded: it is not resized, and ``padded_size`` holds. Outputs
            that are not of the recording have a frame of their own.
        anchors: those that the trainer recorded; None: the parameters make them.
        drawn: ascending indices of the positives and of the negatives in the mini-batch that the trainer recorded;
            None: the parameters draw one.
        losses: (A,) share of the recorded loss that each sampled anchor has, NaN for the others; None: unknown.
        flipped_from: (M, 4) the boxes of a flipped training view before the flip, of which the trainer makes its own;
            ``gt_boxes`` are then those of the flipped image; None: nothing is flipped.
    """

    image_size: tuple[int, int]
    gt_boxes: NDArray[np.float64]
    gt_labels: NDArray[np.int64] | None = None
    gt_ignore: NDArray[np.bool_] | None = None
    padded_size: tuple[int, int] | None = None
    outputs: RPNOutput | None = field(default=None, repr=False)
    as_seen: bool = False
    anchors: RecordedAnchors | None = field(default=None, repr=False)
    drawn: tuple[NDArray[np.int64], NDArray[np.int64]] | None = field(default=None, repr=False)
    losses: NDArray[np.float64] | None = field(default=None, repr=False)
    flipped_from: NDArray[np.float64] | None = field(default=None, repr=False)
    gt_difficult: bool = False

    def __post_init__(self) -> None:
        boxes = _owned(self.gt_boxes, np.float64)
        if boxes.size == 0:
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ShapeError(f"gt_boxes has shape {boxes.shape}, expected (M, 4): x1, y1, x2, y2 per box.")
        if min(self.image_size) < 1:
            raise ShapeError(f"image_size is {self.image_size}, expected a height and width of at least 1.")
        object.__setattr__(self, "gt_boxes", frozen(boxes))
        if self.flipped_from is not None:
            before = np.array(self.flipped_from, dtype=np.float64)
            if before.shape != boxes.shape:
                raise ShapeError(f"flipped_from has shape {before.shape}, expected {boxes.shape}: as gt_boxes.")
            object.__setattr__(self, "flipped_from", frozen(before))
        for name, dtype in (("gt_labels", np.int64), ("gt_ignore", np.bool_)):
            value = getattr(self, name)
            if value is not None:
                array = _owned(value, dtype)
                if array.shape != (len(boxes),):
                    raise ShapeError(f"{name} has shape {array.shape}, expected ({len(boxes)},): one per box.")
                object.__setattr__(self, name, frozen(array))


def _owned(values: ArrayLike, dtype: DTypeLike) -> NDArray:
    """A copy that nobody else can write to; the array itself if that holds already.

    Stages know their inputs by identity: ``dataclasses.replace`` of other fields must not make them run again.
    """
    if isinstance(values, np.ndarray) and values.dtype == dtype and values.base is None and not values.flags.writeable:
        return values
    return np.array(values, dtype=dtype)
