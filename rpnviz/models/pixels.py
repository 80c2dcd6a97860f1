"""How the bytes of an image become the numbers that a network takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.frame import Frame

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""RGB, 0 to 255."""
UNIT_MEAN, UNIT_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The same, 0 to 1, as torchvision states it: not the same floats."""
MATTERPORT_MEAN = (123.7, 116.8, 103.9)
"""RGB; mrcnn ``config.py``."""


@dataclass(frozen=True)
class Pixels:
    """How pixels 0 to 255 become numbers.

    Attributes:
        mean, std: by colour, in the order of ``bgr``; of pixels 0 to 1 where ``resample`` is ``torch``.
        bgr: whether blue comes first.
        resample: ``torch`` (bilinear after normalisation, as torchvision), or before it, to bytes: ``pil`` (bilinear
            with averaging where it shrinks), ``cv2`` (bilinear) or ``skimage`` (bilinear, cut off, padded with black).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool
    resample: str


def prepared(image: NDArray[np.uint8], frame: Frame, pixels: Pixels, device: str = "cpu") -> Any:
    """An image resized, normalised and padded.

    Args:
        image: (H, W, 3) RGB.
        frame: sizes after resizing and padding.
        pixels: the rule.
        device: of torch.

    Returns:
        (1, 3, H, W) float32 tensor as the framework gives it to its network.
    """
    import torch
    from torch.nn import functional

    size = frame.resized_size
    colours: NDArray[Any] = np.array(image[:, :, ::-1] if pixels.bgr else image, order="C")
    if pixels.resample == "cv2":
        from rpnviz.imaging import cv2

        if image.shape[:2] != size:
            colours = cv2.resize(colours, size[::-1], interpolation=cv2.INTER_LINEAR)
    batch = torch.from_numpy(colours).to(device).permute(2, 0, 1)[None].float().contiguous()
    if pixels.resample == "pil" and image.shape[:2] != size:
        batch = functional.interpolate(batch, size, mode="bilinear", align_corners=False, antialias=True)
        batch = batch.round().clamp(0, 255)
    top, left = frame.offset
    bottom, right = (a - b for a, b in zip(frame.input_size, size, strict=True))
    room = (left, right - left, top, bottom - top)
    if pixels.resample == "skimage":
        if image.shape[:2] != size:
            batch = functional.interpolate(batch, size, mode="bilinear", align_corners=False).floor()
        batch, room = functional.pad(batch, room), (0, 0, 0, 0)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (pixels.mean, pixels.std))
    if pixels.resample == "torch":
        batch = (batch / 255 - mean) / std
        if image.shape[:2] != size:
            batch = functional.interpolate(batch, size, mode="bilinear", align_corners=False)
    else:
        batch = (batch - mean) / std
    return functional.pad(batch, room)
