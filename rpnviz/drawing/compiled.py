"""The two loops of counting, compiled where numba is installed; NumPy does the same without it, to the last count."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rpnviz.core import compiled


class Kernels(NamedTuple):
    """Compiled loops; see the plain functions below."""

    enter: Callable[..., None]
    total: Callable[..., None]


_warm = False


@lru_cache(maxsize=1)
def _kernels() -> Kernels | None:
    njit = compiled.compiler()
    return None if njit is None else Kernels(njit(enter), njit(total))


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
