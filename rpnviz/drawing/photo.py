"""The photo behind the boxes: scaled without aliasing, dimmed towards the ground, at the cost of what is in view."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.frame import Frame
from rpnviz.drawing.viewport import Viewport
from rpnviz.imaging import cv2
from rpnviz.palette import RGB, Theme, background

DIM = 0.35
"""How far the photo is moved towards the ground, so that outlines stand out."""
SATURATION = 0.5
"""How much of the photo's colour is left, so that the outlines' colours are the only strong ones."""

_NEAREST_FROM = 4.0
_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 weights of R, G, B."""
_HATCH = 12
"""Input px from one stripe of the padding to the next."""
_MAX_SIDE = 32_000
"""cv2.warpAffine takes sources of less than 32,768 px per side."""


class Photo:
    """An image that can be drawn at any scale.

    Halved copies are made when they are first needed: shrinking an 8000 x 6000 image to a window costs 25 ms, shrinking
    its half a quarter of that.
    """

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        """``rgb`` is (H, W, 3) uint8 and must not change afterwards."""
        self._levels = [np.ascontiguousarray(rgb)]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the original, px."""
        height, width = self._levels[0].shape[:2]
        return height, width

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, the original."""
        return self._levels[0]

    def render(
        self,
        view: Viewport,
        dim: float = DIM,
        saturation: float = SATURATION,
        theme: Theme = Theme.DARK,
    ) -> NDArray[np.uint8]:
        """The part of the photo that the frame shows.

        Args:
            view: frame and scale.
            dim: 0 shows the photo as it is, 1 the ground alone.
            saturation: 0 is grey, 1 the photo's own colours.
            theme: ground around the photo and under its dimmed pixels.

        Returns:
            (height, width, 3) uint8, a new array.

        Convention:
            Shrunk by averaging over areas, enlarged linearly, from 4 device px per pixel on with sharp pixels.
        """
        frame = blank(view.height, view.width, background(theme))
        height, width = self.size
        # Whole device pixels that the photo touches.
        x1, y1 = max(0, _floor(view.dx)), max(0, _floor(view.dy))
        x2 = min(view.width, _ceil(view.dx + width * view.scale))
        y2 = min(view.height, _ceil(view.dy + height * view.scale))
        if x1 < x2 and y1 < y2:
            make = self._shrink if view.scale < 1 else self._enlarge
            frame[y1:y2, x1:x2] = _tone(make(view, x1, y1, x2, y2), dim, saturation, theme)
        return frame

    def _shrink(self, view: Viewport, x1: int, y1: int, x2: int, y2: int) -> NDArray[np.uint8]:
        """Device pixels [x1, x2) by [y1, y2) at a scale below 1."""
        level = max(0, math.floor(-math.log2(view.scale) + 1e-9)) if view.scale > 0 else 0
        source = self._level(min(level, 30))
        height, width = source.shape[:2]
        full_height, full_width = self.size
        # Whole source pixels under them; their place is off by less than half a device pixel. Odd sides are not
        # halved exactly, hence the scale of each axis.
        left, right = _source_range(x1, x2, view.dx, view.scale * full_width / width, width)
        top, bottom = _source_range(y1, y2, view.dy, view.scale * full_height / height, height)
        part = source[top:bottom, left:right]
        return _pixels(cv2.resize(part, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA))

    def _enlarge(self, view: Viewport, x1: int, y1: int, x2: int, y2: int) -> NDArray[np.uint8]:
        """Device pixels [x1, x2) by [y1, y2) at a scale of at least 1."""
        source = self._levels[0]
        height, width = source.shape[:2]
        left = max(0, min(width - 1, _floor((x1 - view.dx) / view.scale) - 1))
        top = max(0, min(height - 1, _floor((y1 - view.dy) / view.scale) - 1))
        part = source[top : top + _MAX_SIDE, left : left + _MAX_SIDE]
        nearest = view.scale >= _NEAREST_FROM
        # The centre of device pixel u lies at (u + 0.5 - dx) / scale of the original, whose pixel k has its centre at
        # k + 0.5; cv2 counts from centre to centre.
        step = 1 / view.scale
        to_source = np.array(
            [
                [step, 0, (x1 + 0.5 - view.dx) * step - 0.5 - left],
                [0, step, (y1 + 0.5 - view.dy) * step - 0.5 - top],
            ]
        )
        enlarged = cv2.warpAffine(
            part,
            to_source,
            (x2 - x1, y2 - y1),
            flags=(cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return _pixels(enlarged)

    def _level(self, level: int) -> NDArray[np.uint8]:
        """The photo halved ``level`` times; less often if a side would vanish."""
        while len(self._levels) <= level:
            last = self._levels[-1]
            height, width = last.shape[:2]
            half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
            self._levels.append(_pixels(cv2.resize(last, half, interpolation=cv2.INTER_AREA)))
        return self._levels[level]


def network_input(rgb: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """What the network is given: the image resized and padded.

    Args:
        rgb: (H, W, 3) uint8, the original.
        frame: its sizes.

    Returns:
        (h, w, 3) uint8 of ``frame.input_size``.

    Convention:
        Resized linearly, as torchvision, detectron2 and mmdetection do. Padding is 0 after the trainer's
        normalisation; here it is hatched, so that it is not taken for a dark part of the photo.
    """
    height, width = frame.resized_size
    resized = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=cv2.INTER_LINEAR)
    full_height, full_width = frame.input_size
    top, left = frame.offset
    stripes = (np.arange(full_width)[None] + np.arange(full_height)[:, None]) % _HATCH < _HATCH // 4
    content = np.where(stripes[..., None], np.uint8(150), np.uint8(110)).repeat(3, axis=2)
    content[top : top + height, left : left + width] = resized
    return content


def blank(height: int, width: int, colour: RGB) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 of one colour; a row at a time, which is ten times faster than pixel by pixel."""
    row = np.tile(np.array(colour, np.uint8), width).reshape(1, width, 3)
    return np.repeat(row, height, axis=0)


def _source_range(start: int, stop: int, shift: float, scale: float, size: int) -> tuple[int, int]:
    """Source pixels [first, last) under the device pixels [start, stop); at least one."""
    first = round((start - shift) / scale)
    last = round((stop - shift) / scale)
    first = min(max(first, 0), size - 1)
    return first, min(max(last, first + 1), size)


def _tone(rgb: NDArray[np.uint8], dim: float, saturation: float, theme: Theme) -> NDArray[np.uint8]:
    """Towards grey by ``1 - saturation``, then towards the ground by ``dim``."""
    if dim <= 0 and saturation >= 1:
        return rgb
    mix = (1 - dim) * (saturation * np.eye(3) + (1 - saturation) * _LUMA)
    shift = dim * np.array(background(theme), np.float64)
    return _pixels(cv2.transform(rgb, np.column_stack([mix, shift])))


def _pixels(result: object) -> NDArray[np.uint8]:
    """What cv2 returned; its own types leave the kind of number open."""
    return cast("NDArray[np.uint8]", result)


def _floor(value: float) -> int:
    return math.floor(min(max(value, -1e9), 1e9))


def _ceil(value: float) -> int:
    return math.ceil(min(max(value, -1e9), 1e9))
