"""The loops of counting, compiled where numba is installed; NumPy does the same without it, to the last count."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rpnviz.core import compiled
from rpnviz.core.inputs import frozen


class Kernels(NamedTuple):
    """Compiled loops; see the plain functions below."""

    enter: Callable[..., None]
    total: Callable[..., None]
    profiles: Callable[..., None]
    product: Callable[..., None]
    place: Callable[..., None]
    dashed: Callable[..., None]
    blend: Callable[..., None]


_warm = False


@lru_cache(maxsize=1)
def _kernels() -> Kernels | None:
    njit = compiled.compiler()
    return (
        None
        if njit is None
        else Kernels(*(njit(loop) for loop in (enter, total, profiles, product, place, dashed, blend)))
    )


def kernels() -> Kernels | None:
    """The compiled loops; None until :func:`warm_up` has made them, or where numba is not installed."""
    return _kernels() if _warm else None


def warm_up() -> None:
    """Compile, or load from the cache, before somebody waits for it."""
    found = _kernels()
    if found is None:
        return
    sums, base, out = np.zeros((2, 2), np.int32), np.zeros((2, 2), np.int32), np.zeros((2, 2), np.uint8)
    found.enter(sums, np.zeros((1, 4), np.int32), 1)
    # A frame, a part of a frame, and one as wide as the frame are arrays of different kinds.
    found.total(np.zeros((3, 3), np.int32), None, out)
    found.total(np.zeros((3, 3), np.int32), base, out)
    found.total(np.zeros((3, 2), np.int32), base[:, :1], out[:, :1])
    edges, profile = np.zeros(1, np.int32), np.zeros((2, 2), np.int32)
    found.profiles(edges, edges, 1, profile[0], profile[1])
    found.product(profile, profile, base)
    ink, frame = np.zeros(3, np.uint8), np.zeros((2, 2, 3), np.uint8)
    found.dashed(frame, np.zeros((1, 4), np.int32), 0, 1, ink, out[0], out[0])
    found.blend(frame.reshape(2, 6), 0, 0, out, np.zeros(256, np.uint16), np.zeros((256, 3), np.uint8))
    one, row, pixels = np.ones(4), np.zeros(1, np.int64), np.zeros((1, 4), np.int32)
    for dtype in (np.float32, np.float64):
        boxes = np.zeros((1, 4), dtype)
        for given in (boxes, frozen(boxes.copy())):
            for rows in (row, frozen(row.copy())):
                found.place(given, rows, one, one, one, one, one, 256, pixels)
    global _warm
    _warm = True


def enter(sums, boxes, sign):  # type: ignore[no-untyped-def]
    """Enter boxes (N, 4) and, with the other sign, their insides into a difference array (H + 1, W + 1)."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    for i in range(len(boxes)):
        for inset in range(2):
            left, right = max(boxes[i, 0] + inset, 0), min(boxes[i, 2] - inset, width - 1) + 1
            top, bottom = max(boxes[i, 1] + inset, 0), min(boxes[i, 3] - inset, height - 1) + 1
            if left < right and top < bottom:
                value = sign - 2 * sign * inset
                sums[top, left] += value
                sums[top, right] -= value
                sums[bottom, left] -= value
                sums[bottom, right] += value


def total(sums, base, out):  # type: ignore[no-untyped-def]
    """Sum a difference array (H + 1, W + 1) along both axes, add ``base`` (H, W), and cut at 255.

    Args:
        sums: read.
        base: added; None: nothing.
        out: (H, W) uint8, written.
    """
    height, width = out.shape
    column = np.zeros(width, np.int32)
    for y in range(height):
        along = 0
        for x in range(width):
            along += sums[y, x]
            column[x] += along
            count = column[x]
            if base is not None:
                count += base[y, x]
            out[y, x] = min(count, 255)


def profiles(first, last, inset, edges, spans):  # type: ignore[no-untyped-def]
    """Add, for boxes [first, last] along one axis, the edges on each pixel and the boxes it lies in.

    Args:
        first, last: (n,) pixels, first <= last.
        inset: px by which the boxes are smaller for ``spans``.
        edges: (size,) edges; both of a box are one where they are the same pixel.
        spans: (size,) boxes that each pixel lies in.
    """
    size = len(edges)
    for i in range(len(first)):
        a, b = first[i], last[i]
        if 0 <= a < size:
            edges[a] += 1
        if b > a and 0 <= b < size:
            edges[b] += 1
        start, stop = max(a + inset, 0), min(b - inset + 1, size)
        if start < stop:
            spans[start] += 1
            if stop < size:
                spans[stop] -= 1
    for x in range(1, size):
        spans[x] += spans[x - 1]


def product(down, along, out):  # type: ignore[no-untyped-def]
    """Write the matrix product of ``down`` (k, H), transposed, and ``along`` (k, W) into ``out`` (H, W)."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = 0
        for i in range(len(down)):
            times = down[i, y]
            if times != 0:
                for x in range(width):
                    out[y, x] += times * along[i, x]


def place(boxes, rows, corner, ratio, scale, shift, limit, margin, out):  # type: ignore[no-untyped-def]
    """The pixels of boxes, as ``device_boxes`` gives them for their original coordinates: the same operations.

    Args:
        boxes: (N, 4) xyxy; rows: (K,) which of them.
        corner, ratio: (4,) where the original's corner lies, and pixels per original pixel.
        scale, shift, limit: (4,) of the view, and the frame's sides.
        margin: px beyond the frame at which coordinates are cut.
        out: (K, 4) int32, written.
    """
    for i in range(len(rows)):
        row, broken = rows[i], False
        for k in range(4):
            value = (np.float64(boxes[row, k]) - corner[k]) / ratio[k] * scale[k] + shift[k]
            if np.isnan(value):
                # Infinity less infinity is no number, but the coordinate was one.
                broken = broken or np.isnan(boxes[row, k])
                value = -np.float64(margin)
            value = min(max(np.floor(value), -margin), limit[k] + margin)
            if value == limit[k]:
                value -= 1
            out[i, k] = np.int32(value)
        if broken:
            for k in range(4):
                out[i, k] = -margin
        for k in range(2):
            if out[i, k + 2] < out[i, k]:
                out[i, k], out[i, k + 2] = out[i, k + 2], out[i, k]


def dashed(frame, boxes, first, stop, ink, shows_x, shows_y):  # type: ignore[no-untyped-def]
    """Draw dashed lines of 1 px around boxes.

    Args:
        frame: (H, W, 3) uint8, drawn on.
        boxes: (N, 4) px.
        first, stop: the boxes are grown by every number of px from ``first`` to ``stop - 1``.
        ink: (3,) uint8.
        shows_x, shows_y: (W,) and (H,) uint8, 1 where a dash is.
    """
    height, width = len(shows_y), len(shows_x)
    for i in range(len(boxes)):
        for ring in range(first, stop):
            x1, y1, x2, y2 = boxes[i, 0] - ring, boxes[i, 1] - ring, boxes[i, 2] + ring, boxes[i, 3] + ring
            for y in (y1, y2):
                if 0 <= y < height:
                    for x in range(max(x1, 0), min(x2, width - 1) + 1):
                        if shows_x[x]:
                            frame[y, x, 0], frame[y, x, 1], frame[y, x, 2] = ink[0], ink[1], ink[2]
            for x in (x1, x2):
                if 0 <= x < width:
                    for y in range(max(y1, 0), min(y2, height - 1) + 1):
                        if shows_y[y]:
                            frame[y, x, 0], frame[y, x, 1], frame[y, x, 2] = ink[0], ink[1], ink[2]


def blend(frame, top, left, values, keeps, added):  # type: ignore[no-untyped-def]
    """Replace each pixel by ``round(pixel * keeps / 255) + added``, as its value says.

    Args:
        frame: (H, 3 * W) uint8, changed.
        top, left: of the part, rows and thrice the pixels.
        values: (h, w) uint8, numbers of entries.
        keeps: (256,) uint16; added: (256, 3) uint8.
    """
    height, width = values.shape
    # Tables are read pixel by pixel, the arithmetic then goes through many at once.
    keep, add = np.empty(3 * width, np.uint16), np.empty(3 * width, np.uint8)
    for y in range(height):
        for x in range(width):
            value = values[y, x]
            keep[3 * x] = keep[3 * x + 1] = keep[3 * x + 2] = keeps[value]
            add[3 * x], add[3 * x + 1], add[3 * x + 2] = added[value, 0], added[value, 1], added[value, 2]
        row = frame[top + y, left : left + 3 * width]
        for x in range(3 * width):
            # Exactly the rounded quotient by 255, for products up to 255 * 255.
            product = np.uint16(np.uint16(row[x]) * keep[x] + np.uint16(128))
            row[x] = np.uint8(np.uint16(np.uint16(product + (product >> np.uint16(8))) >> np.uint16(8)) + add[x])
