"""The photo behind the boxes: scaled without aliasing, dimmed towards the ground, at the cost of what is in view."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
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
_PREPARED = 3
"""Halvings: the smallest copy that a window of 1,000 px needs of a side of 8,000 to 16,000."""
_MAX_SIDE = 32_000
"""cv2.warpAffine takes sources of less than 32,768 px per side."""

ReadWhole = Callable[[Callable[[float], None]], NDArray[np.uint8]]
"""Gives an original, (H, W, 3) uint8; it is given what is told of the progress, from 0 to 1."""


class Photo:
    """An image that can be drawn at any scale; of a large one there may be a smaller copy alone.

    Halved copies are made when they are first needed: shrinking an 8000 x 6000 image to a window costs 25 ms, shrinking
    its half a quarter of that.
    """

    def __init__(
        self,
        rgb: NDArray[np.uint8],
        size: tuple[int, int] | None = None,
        read_whole: ReadWhole | None = None,
    ) -> None:
        """Nothing is copied yet.

        Args:
            rgb: (h, w, 3) uint8, must not change afterwards.
            size: (H, W) of the original where ``rgb`` is 2, 4 or 8 times smaller; None: ``rgb`` is the original.
            read_whole: gives the original then, for :meth:`sharpen`.
        """
        self._size = (rgb.shape[0], rgb.shape[1]) if size is None else size
        halved = round(math.log2(self._size[1] / rgb.shape[1])) if self._size != rgb.shape[:2] else 0
        # By how often they are halved. It is replaced, or grows, while another thread draws: draw from one look at it.
        self._levels = {halved: np.ascontiguousarray(rgb)}
        self._read_whole = read_whole
        self._lock = threading.Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the original, px."""
        return self._size

    @property
    def reduction(self) -> int:
        """1 where the original is there; 2, 4 or 8 where there is a copy alone, so many times smaller."""
        return 2 ** min(self._levels)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8: the original, or the copy that is there."""
        levels = self._levels
        return levels[min(levels)]

    def is_sharp(self, scale: float) -> bool:
        """Whether the original would look no better at ``scale``, device px per original pixel."""
        return scale * self.reduction <= 1 or self.reduction == 1

    def sharpen(self, progress: Callable[[float], None] = lambda _fraction: None) -> None:
        """Read the original where only a copy is there; takes seconds, so not in the thread that paints.

        Args:
            progress: told from 0 to 1 where the kind of the file allows; what it raises ends the reading.

        Raises:
            ImageFileError: the file cannot be read any more.
        """
        with self._lock:
            if self.reduction > 1 and self._read_whole is not None:
                levels = dict(self._levels)
                levels[0] = np.ascontiguousarray(self._read_whole(progress))
                for level in range(1, min(self._levels)):
                    levels[level] = _halved(levels[level - 1])
                self._levels = levels

    def prepare(self) -> None:
        """Make the halved copies that painting the whole photo in a window takes."""
        with self._lock:
            self._level(self._levels, _PREPARED)

    def whole(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, the original; read now if it is not there, see :meth:`sharpen`."""
        self.sharpen()
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
            source = self._source(view.scale)
            shrinks = view.scale < 1 and self.is_sharp(view.scale)
            make = self._shrink if shrinks else self._enlarge
            frame[y1:y2, x1:x2] = _tone(make(source, view, x1, y1, x2, y2), dim, saturation, theme)
        return frame

    def _source(self, scale: float) -> NDArray[np.uint8]:
        """The smallest copy that has all that is seen at a scale, or the largest there is."""
        halvings = max(0, math.floor(-math.log2(scale) + 1e-9)) if scale > 0 else 0
        return self._level(self._levels, min(halvings, 30))

    def _scales(self, source: NDArray[np.uint8], view: Viewport) -> tuple[float, float]:
        """Device px per pixel of a copy along x and y; odd sides are not halved exactly, hence one for each axis."""
        (height, width), (full_height, full_width) = source.shape[:2], self._size
        return view.scale * (full_width / width), view.scale * (full_height / height)

    def _shrink(
        self, source: NDArray[np.uint8], view: Viewport, x1: int, y1: int, x2: int, y2: int
    ) -> NDArray[np.uint8]:
        """Device pixels [x1, x2) by [y1, y2) at a scale below 1."""
        height, width = source.shape[:2]
        scale_x, scale_y = self._scales(source, view)
        # Whole source pixels under them; their place is off by less than half a device pixel.
        left, right = _source_range(x1, x2, view.dx, scale_x, width)
        top, bottom = _source_range(y1, y2, view.dy, scale_y, height)
        part = source[top:bottom, left:right]
        return _pixels(cv2.resize(part, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA))

    def _enlarge(
        self, source: NDArray[np.uint8], view: Viewport, x1: int, y1: int, x2: int, y2: int
    ) -> NDArray[np.uint8]:
        """Device pixels [x1, x2) by [y1, y2) at a scale of at least 1 of ``source``."""
        height, width = source.shape[:2]
        scale_x, scale_y = self._scales(source, view)
        left = max(0, min(width - 1, _floor((x1 - view.dx) / scale_x) - 1))
        top = max(0, min(height - 1, _floor((y1 - view.dy) / scale_y) - 1))
        part = source[top : top + _MAX_SIDE, left : left + _MAX_SIDE]
        nearest = view.scale >= _NEAREST_FROM and source.shape[:2] == self._size
        # The centre of device pixel u lies at (u + 0.5 - dx) / scale of the source, whose pixel k has its centre at
        # k + 0.5; cv2 counts from centre to centre.
        to_source = np.array(
            [
                [1 / scale_x, 0, (x1 + 0.5 - view.dx) / scale_x - 0.5 - left],
                [0, 1 / scale_y, (y1 + 0.5 - view.dy) / scale_y - 0.5 - top],
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

    @staticmethod
    def _level(levels: dict[int, NDArray[np.uint8]], level: int) -> NDArray[np.uint8]:
        """The photo halved ``level`` times, less often if a side would vanish; the largest there is if that is smaller.

        The copies on the way are kept in ``levels``.
        """
        nearest = max((there for there in list(levels) if there <= level), default=min(levels))
        for missing in range(nearest + 1, level + 1):
            levels[missing] = _halved(levels[missing - 1])
        return levels[max(nearest, level)]


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
    return _pixels(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA))


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
