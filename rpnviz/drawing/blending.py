"""Blending colours over a frame by tables: what a pixel's value is decides colour and opacity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.compiled import kernels
from rpnviz.imaging import cv2


def blend_table(
    frame: NDArray[np.uint8],
    values: NDArray[np.uint8],
    opacity: NDArray[np.uint8],
    colours: NDArray[np.integer],
    corner: tuple[int, int] = (0, 0),
) -> None:
    """Blend a colour over the pixels of a part of a frame.

    Args:
        frame: (H, W, 3) uint8, changed in place.
        values: (h, w) uint8, number of an entry of the tables.
        opacity: (256,) uint8.
        colours: (256, 3) 0 to 255.
        corner: (left, top) of the part, px of the frame.

    Convention:
        ``round(pixel * (255 - opacity) / 255) + round(colour * opacity / 255)``, whichever way is taken.
    """
    if not values.size:
        return
    added = np.round(opacity[:, None] / 255 * colours).astype(np.uint8)
    remains = 255 - opacity
    left, top = corner
    loops = kernels()
    if loops is not None and frame.flags.c_contiguous:
        flat = frame.reshape(frame.shape[0], -1)
        loops.blend(flat, top, 3 * left, np.ascontiguousarray(values), remains.astype(np.uint16), added)
        return
    part = frame[top : top + values.shape[0], left : left + values.shape[1]]
    keeps = cv2.LUT(values, remains)
    cv2.multiply(part, cv2.merge([keeps, keeps, keeps]), dst=part, scale=1 / 255)
    cv2.add(part, cv2.applyColorMap(values, added.reshape(256, 1, 3)), dst=part)
