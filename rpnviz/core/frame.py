"""From original pixels to the network input: resize, pad, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpnviz.core.conventions import (
    BoxScaling,
    Conventions,
    Enlarging,
    FlipRule,
    Padding,
    ResizeLimit,
    ResizeRounding,
)
from rpnviz.core.params import ResizeMode, ResizeParams
from rpnviz.errors import ShapeError


@dataclass(frozen=True)
class Frame:
    """The two coordinate systems of one image; all sizes are (H, W) in pixels.

    Attributes:
        image_size: the original image.
        resized_size: after resizing, before padding.
        input_size: after padding; what the network sees.
        scale: input pixels per original pixel, (y, x).
        offset: (y, x) input pixels of padding above and to the left of the image.
        own_size: as ``input_size``, but of this image alone where a batch decides the latter.
    """

    image_size: tuple[int, int]
    resized_size: tuple[int, int]
    input_size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[int, int]
    own_size: tuple[int, int]

    def to_input(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Original xyxy boxes (N, 4) in input pixels, float64, without any framework's rounding."""
        (y, x), (top, left) = self.scale, self.offset
        return np.asarray(boxes, dtype=np.float64) * np.array([x, y, x, y]) + np.array([left, top, left, top])

    def to_original(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Input xyxy boxes (N, 4) in original pixels, float64."""
        (y, x), (top, left) = self.scale, self.offset
        return (np.asarray(boxes, dtype=np.float64) - np.array([left, top, left, top])) / np.array([x, y, x, y])

    def x_to_original(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Input x coordinates of any shape in original pixels; each as :meth:`to_original` gives it."""
        return (np.asarray(edges, dtype=np.float64) - self.offset[1]) / self.scale[1]

    def y_to_original(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Input y coordinates of any shape in original pixels; each as :meth:`to_original` gives it."""
        return (np.asarray(edges, dtype=np.float64) - self.offset[0]) / self.scale[0]


def make_frame(
    image_size: tuple[int, int],
    params: ResizeParams,
    conventions: Conventions,
    padded_size: tuple[int, int] | None = None,
    flipped: bool = False,
) -> Frame:
    """Sizes of an image after resizing and padding.

    Args:
        image_size: (H, W) of the original.
        params: wanted sides and the multiple for padding.
        conventions: ``resize_limit``, ``resize_rounding``, ``enlarging``, ``padding``, ``box_scaling``.
        padded_size: (H, W) of the batch's padded tensor; None: this image alone decides.
        flipped: a training view is flipped; where that comes after the padding, an odd pixel of it changes sides.

    Raises:
        ShapeError: ``padded_size`` is smaller than the resized image.

    Convention:
        480 x 640 at 800 / 1333 becomes 800 x 1066 with FLOOR and 800 x 1067 with HALF_UP, padded to 800 x 1088.

    Source: torchvision ``models/detection/transform.py: GeneralizedRCNNTransform``; detectron2 ``ResizeShortestEdge``;
    mmcv ``rescale_size``; Matterport ``utils.resize_image``; py-faster-rcnn ``prep_im_for_blob``; keras-retinanet
    ``compute_resize_scale``.
    """
    size = (image_size[0], image_size[1])
    resized, factor = _resized_size(size, params, conventions)
    if params.mode is ResizeMode.SQUARE:
        own = (max(params.max_size, resized[0]), max(params.max_size, resized[1]))
    else:
        multiple = params.pad_multiple
        own = (math.ceil(resized[0] / multiple) * multiple, math.ceil(resized[1] / multiple) * multiple)
    padded = own if padded_size is None else (padded_size[0], padded_size[1])
    if padded[0] < resized[0] or padded[1] < resized[1]:
        raise ShapeError(f"padded_size {padded} is smaller than the resized image {resized}.")
    offset = (0, 0)
    if conventions.padding is Padding.CENTRED:
        offset = ((padded[0] - resized[0]) // 2, (padded[1] - resized[1]) // 2)
    if flipped and conventions.flip is FlipRule.AFTER_PADDING:
        offset = (offset[0], padded[1] - resized[1] - offset[1])
    if conventions.box_scaling in (BoxScaling.ONE_FACTOR_FLOAT32, BoxScaling.ONE_FACTOR_FLOAT64):
        scale = (factor, factor)
    else:
        scale = (resized[0] / size[0], resized[1] / size[1])
    return Frame(size, resized, padded, scale, offset, own)


def stated_frame(
    image_size: tuple[int, int], resized_size: tuple[int, int], input_size: tuple[int, int], conventions: Conventions
) -> Frame:
    """The frame of an image whose sizes are known, as those of a recording are.

    Raises:
        ShapeError: the padded size is smaller than the resized image.
    """
    size, resized, padded = ((int(h), int(w)) for h, w in (image_size, resized_size, input_size))
    if padded[0] < resized[0] or padded[1] < resized[1]:
        raise ShapeError(f"the input {padded} is smaller than the resized image {resized}.")
    offset = (0, 0)
    if conventions.padding is Padding.CENTRED:
        offset = ((padded[0] - resized[0]) // 2, (padded[1] - resized[1]) // 2)
    return Frame(size, resized, padded, (resized[0] / size[0], resized[1] / size[1]), offset, padded)


def seen_frame(
    image_size: tuple[int, int], padded_size: tuple[int, int] | None, pad_multiple: int, conventions: Conventions
) -> Frame:
    """The frame of an image that is recorded as the network was given it: at scale 1 in its padded batch.

    Args:
        image_size: (H, W) of the image itself.
        padded_size: (H, W) of the batch; None: the image alone.
        pad_multiple: sides that the image alone would be padded to are multiples of this, px.
        conventions: ``padding``.

    Raises:
        ShapeError: the batch is smaller than the image.
    """
    height, width = (math.ceil(side / pad_multiple) * pad_multiple for side in image_size)
    padded = (height, width) if padded_size is None else padded_size
    frame = stated_frame(image_size, image_size, padded, conventions)
    return replace(frame, own_size=(min(height, padded[0]), min(width, padded[1])))


def _resized_size(
    size: tuple[int, int], params: ResizeParams, conventions: Conventions
) -> tuple[tuple[int, int], float]:
    """(H, W) after resizing, and the factor that was asked for."""
    match params.mode:
        case ResizeMode.NONE:
            return size, 1.0
        case ResizeMode.SCALE:
            factor = params.scale
            sides = (size[0] * factor, size[1] * factor)
        case _:
            sides, factor = _wanted_sides(size, params, conventions)
    # A 1 x 2000 strip would get a side of 0, where the trainers raise; one pixel keeps it visible.
    whole = [max(1, _whole(side, conventions.resize_rounding)) for side in sides]
    return (whole[0], whole[1]), factor


def _wanted_sides(
    size: tuple[int, int], params: ResizeParams, conventions: Conventions
) -> tuple[tuple[float, float], float]:
    short, long = min(size), max(size)
    scale = params.min_size / short
    if conventions.enlarging is Enlarging.NEVER_SHRINKS:
        scale = max(1.0, scale)
    scale = max(scale, params.min_scale)
    match conventions.resize_limit:
        case ResizeLimit.SMALLER_SCALE:
            scale = min(scale, params.max_size / long)
        case ResizeLimit.ROUNDED_LONG_SIDE:
            if round(long * scale) > params.max_size:
                scale = params.max_size / long
        case ResizeLimit.LONG_SIDE:
            if long * scale > params.max_size:
                scale = params.max_size / long
        case ResizeLimit.LONG_SIDE_AGAIN:
            # The short side is set, not multiplied: 37 * (800 / 37) need not be 800.
            sides = [float(params.min_size) if side == short else scale * side for side in size]
            if max(sides) > params.max_size:
                again = params.max_size / max(sides)
                sides = [side * again for side in sides]
            return (sides[0], sides[1]), sides[0] / size[0]
    return (size[0] * scale, size[1] * scale), scale


def _whole(side: float, rounding: ResizeRounding) -> int:
    match rounding:
        case ResizeRounding.FLOOR:
            return math.floor(side)
        case ResizeRounding.HALF_UP:
            return int(side + 0.5)
        case ResizeRounding.HALF_EVEN:
            return round(side)


def mirrored(boxes: NDArray, width: float) -> NDArray:
    """xyxy boxes (N, 4) flipped left to right about ``width`` / 2, in their own dtype."""
    turned = boxes.copy()
    turned[:, 0] = width - boxes[:, 2]
    turned[:, 2] = width - boxes[:, 0]
    return turned


def flipped_original(boxes: NDArray, width: int, conventions: Conventions) -> NDArray:
    """Boxes (N, 4) of an image ``width`` px wide as they are on the flipped image, by the framework's pixels."""
    inclusive = conventions.flip is FlipRule.BEFORE_RESIZE_INCLUSIVE
    return mirrored(boxes, width - 1 if inclusive else width)


def scale_ground_truth(
    boxes: NDArray[np.float64], frame: Frame, conventions: Conventions, flipped: bool = False
) -> NDArray:
    """Original ground-truth boxes (M, 4) as the trainer sees them in input pixels, in its own dtype, not clipped.

    Args:
        boxes: xyxy, original pixels; those before the flip.
        frame: sizes of the image; of the flipped view where it is flipped.
        conventions: ``box_scaling``, ``flip``.
        flipped: whether the trainer flips the image, before or after it is resized as ``conventions.flip`` says.

    Source: torchvision ``transform.py: resize_boxes``; detectron2 ``ResizeTransform.apply_coords``; mmdet
    ``Resize._resize_bboxes``; Matterport ``utils.resize_mask, extract_bboxes``; py-faster-rcnn ``roi_data_layer``.
    """
    before = conventions.flip in (FlipRule.BEFORE_RESIZE, FlipRule.BEFORE_RESIZE_INCLUSIVE)
    source: NDArray = boxes
    with np.errstate(over="ignore", invalid="ignore"):
        if conventions.box_scaling is BoxScaling.PER_AXIS_FLOAT32:
            source = boxes.astype(np.float32)
        if flipped and before:
            source = flipped_original(source, frame.image_size[1], conventions)
        match conventions.box_scaling:
            case BoxScaling.PER_AXIS_FLOAT32:
                y, x = np.array(frame.resized_size, np.float32) / np.array(frame.image_size, np.float32)
                scaled = source * np.array([x, y, x, y], dtype=np.float32)
            case BoxScaling.PER_AXIS_FLOAT64 | BoxScaling.ONE_FACTOR_FLOAT32 | BoxScaling.ONE_FACTOR_FLOAT64:
                scaled = frame.to_input(source)
            case BoxScaling.MASKS:
                scaled = _through_masks(source, frame)
        if flipped and not before:
            scaled = mirrored(scaled, 2 * frame.offset[1] + frame.resized_size[1])
        if conventions.box_scaling in (BoxScaling.PER_AXIS_FLOAT64, BoxScaling.ONE_FACTOR_FLOAT32):
            return scaled.astype(np.float32)
        return scaled


def _through_masks(boxes: NDArray[np.float64], frame: Frame) -> NDArray[np.float64]:
    """Rectangles as masks of whole pixels, zoomed by nearest neighbour and boxed again; vanished ones are all 0.

    Convention:
        Pixel i of n zoomed pixels shows pixel floor(i * (m - 1) / (n - 1) + 0.5) of m, as ``scipy.ndimage.zoom`` of
        order 0 does. The end of a box is exclusive.
    """
    result = np.full(boxes.shape, np.nan)
    for row, box in enumerate(boxes):
        if not np.isfinite(box).all():
            continue
        edges = []
        for axis in (0, 1):
            side, zoomed = frame.image_size[1 - axis], frame.resized_size[1 - axis]
            low, high = (int(np.clip(np.rint(box[axis + end]), 0, side)) for end in (0, 2))
            step = (side - 1) / (zoomed - 1) if zoomed > 1 else 1.0
            source = np.floor(np.arange(zoomed) * step + 0.5)
            inside = np.flatnonzero((source >= low) & (source < high))
            edges.append((int(inside[0]), int(inside[-1]) + 1) if len(inside) else None)
        if edges[0] is None or edges[1] is None:
            result[row] = 0
        else:
            top, left = frame.offset
            result[row] = (edges[0][0] + left, edges[1][0] + top, edges[0][1] + left, edges[1][1] + top)
    return result
