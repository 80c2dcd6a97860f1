"""From original pixels to the pixels of a frame: one rule for photo, outlines, density and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 256
"""Coordinates are cut this far outside the frame, in px: beyond the width of every line and mark."""


@dataclass(frozen=True)
class Viewport:
    """The part of an image that a frame shows.

    Attributes:
        width, height: of the frame, device px.
        scale: device px per original pixel.
        dx, dy: device position of the original's top left corner.
    """

    width: int
    height: int
    scale: float
    dx: float = 0.0
    dy: float = 0.0


def device_boxes(boxes: NDArray, view: Viewport) -> NDArray[np.int32]:
    """The pixels of the edges of boxes (N, 4), original xyxy; (N, 4) int32.

    Convention:
        ``floor(original * scale + d)`` for all four edges. An edge that falls on the first pixel beyond the frame is
        drawn on its last one: at scale 1 a box that ends at the image's border would lose that side. Corners in the
        wrong order are exchanged, so that a box of negative width is still seen where it is. Infinite and very large
        coordinates are cut to :data:`MARGIN` outside the frame; a box with a NaN ends up outside of it as a whole.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        device = boxes * view.scale
        device += np.array([view.dx, view.dy, view.dx, view.dy])
        np.floor(device, out=device)
        limits = np.array([view.width, view.height, view.width, view.height])
        np.clip(device, -MARGIN, limits + MARGIN, out=device)
        broken = np.isnan(device)
        if broken.any():
            device[broken.any(axis=1)] = -MARGIN
        np.subtract(device, 1, out=device, where=device == limits)
    pixels = device.astype(np.int32)
    swapped = (pixels[:, 2:] < pixels[:, :2]).any(axis=1)
    if swapped.any():
        corners = pixels[swapped].reshape(-1, 2, 2)
        pixels[swapped] = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return pixels


def in_view(device: NDArray[np.int32], view: Viewport, margin: int = 0) -> NDArray[np.bool_]:
    """(N,) whether anything of the outlines (N, 4) device px lies in the frame.

    Args:
        device: edges in device px.
        view: the frame.
        margin: how far lines and marks reach beyond the edges, px.
    """
    x1, y1, x2, y2 = device.T
    touches = (x2 >= -margin) & (y2 >= -margin) & (x1 < view.width + margin) & (y1 < view.height + margin)
    around = (x1 < -margin) & (y1 < -margin) & (x2 >= view.width + margin) & (y2 >= view.height + margin)
    return touches & ~around
