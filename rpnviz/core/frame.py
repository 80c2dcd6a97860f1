"""From original pixels to the network input: resize, pad, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpnviz.core.conventions import BoxScaling, Conventions, ResizeRounding
from rpnviz.core.params import ResizeMode, ResizeParams
from rpnviz.errors import ShapeError


@dataclass(frozen=True)
class Frame:
    """The two coordinate systems of one image; all sizes are (H, W) in pixels.

    Attributes:
        image_size: the original image.
        resized_size: after resizing, before padding.
        input_size: after padding at the bottom and the right; what the network sees.
    """

    image_size: tuple[int, int]
    resized_size: tuple[int, int]
    input_size: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per original pixel, (y, x)."""
        return self.resized_size[0] / self.image_size[0], self.resized_size[1] / self.image_size[1]

    def to_input(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Original xyxy boxes (N, 4) in input pixels, float64, without any framework's rounding."""
        y, x = self.scale
        return np.asarray(boxes, dtype=np.float64) * np.array([x, y, x, y])

    def to_original(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Input xyxy boxes (N, 4) in original pixels, float64."""
        y, x = self.scale
        return np.asarray(boxes, dtype=np.float64) / np.array([x, y, x, y])


def make_frame(
    image_size: tuple[int, int],
    params: ResizeParams,
    conventions: Conventions,
    padded_size: tuple[int, int] | None = None,
) -> Frame:
    """Sizes of an image after resizing and padding.

    Args:
        image_size: (H, W) of the original.
        params: wanted sides and the multiple for padding.
        conventions: ``resize_rounding``.
        padded_size: (H, W) of the batch's padded tensor; None: this image alone decides.

    Raises:
        ShapeError: ``padded_size`` is smaller than the resized image.

    Convention:
        480 x 640 at 800 / 1333 becomes 800 x 1066 (floor), padded to 800 x 1088.

    Source: torchvision ``models/detection/transform.py: GeneralizedRCNNTransform.resize, batch_images``.
    """
    resized = _resized_size(image_size, params, conventions)
    if padded_size is None:
        multiple = params.pad_multiple
        padded_size = (math.ceil(resized[0] / multiple) * multiple, math.ceil(resized[1] / multiple) * multiple)
    elif padded_size[0] < resized[0] or padded_size[1] < resized[1]:
        raise ShapeError(f"padded_size {padded_size} is smaller than the resized image {resized}.")
    return Frame((image_size[0], image_size[1]), resized, (padded_size[0], padded_size[1]))


def _resized_size(size: tuple[int, int], params: ResizeParams, conventions: Conventions) -> tuple[int, int]:
    if params.mode is ResizeMode.NONE:
        return size
    match conventions.resize_rounding:
        case ResizeRounding.FLOOR:
            scale = min(params.min_size / min(size), params.max_size / max(size))
            # A 1 x 2000 strip would get a side of 0, where torch's interpolate raises; one pixel keeps it visible.
            return max(1, math.floor(size[0] * scale)), max(1, math.floor(size[1] * scale))


def scale_ground_truth(boxes: NDArray[np.float64], frame: Frame, conventions: Conventions) -> NDArray:
    """Original ground-truth boxes (M, 4) as the trainer sees them in input pixels, in its own dtype.

    Source: torchvision ``models/detection/transform.py: resize_boxes``.
    """
    match conventions.box_scaling:
        case BoxScaling.PER_AXIS_FLOAT32:
            y, x = np.array(frame.resized_size, np.float32) / np.array(frame.image_size, np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                return boxes.astype(np.float32) * np.array([x, y, x, y], dtype=np.float32)
