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
        scale: device px per original pixel along x.
        dx, dy: device position of the original's top left corner.
        aspect: scale along y per scale along x; the network input's sides are rounded, so it may differ from 1 there.
    """

    width: int
    height: int
    scale: float
    dx: float = 0.0
    dy: float = 0.0
    aspect: float = 1.0

    @property
    def scale_y(self) -> float:
        """Device px per original pixel along y."""
        return self.scale * self.aspect


def device_edges(edges: NDArray, scale: float, shift: float, limit: int) -> NDArray[np.int32]:
    """The pixels of edges along one axis: ``floor(original * scale + shift)``; any shape, int32.

    Args:
        edges: original pixels.
        scale, shift: device px per original pixel, and the device position of the original's 0.
        limit: width or height of the frame, device px.

    Convention:
        An edge that falls on the first pixel beyond the frame is drawn on its last one: at scale 1 a box that ends at
        the image's border would lose that side. Infinite and very large coordinates are cut to :data:`MARGIN` outside
        the frame; NaN is left to the caller.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        device = np.asarray(edges, np.float64) * scale
        device += shift
        np.floor(device, out=device)
        np.clip(device, -MARGIN, limit + MARGIN, out=device)
        device[device == limit] -= 1
        return device.astype(np.int32)


def device_boxes(boxes: NDArray, view: Viewport) -> NDArray[np.int32]:
    """The pixels of the edges of boxes (N, 4), original xyxy; (N, 4) int32.

    Convention:
        As :func:`device_edges` for all four edges. Corners in the wrong order are exchanged, so that a box of negative
        width is still seen where it is. A box with a NaN ends up outside of the frame as a whole.
    """
    pixels = np.empty((len(boxes), 4), np.int32)
    pixels[:, 0::2] = device_edges(boxes[:, 0::2], view.scale, view.dx, view.width)
    pixels[:, 1::2] = device_edges(boxes[:, 1::2], view.scale_y, view.dy, view.height)
    if boxes.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            # One sum per box finds the NaNs; infinities of both signs, which also give one, are looked at again.
            doubtful = np.flatnonzero(np.isnan(boxes.sum(axis=1)))
        pixels[doubtful[np.isnan(boxes[doubtful]).any(axis=1)]] = -MARGIN
    swapped = (pixels[:, 2] < pixels[:, 0]) | (pixels[:, 3] < pixels[:, 1])
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
