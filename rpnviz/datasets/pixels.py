"""How the formats write boxes, and the one place where they become corners in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Order(Enum):
    """What the four numbers of a box are, in the order in which a format has them."""

    CORNERS = ("x1", "y1", "x2", "y2")
    CORNER_SIZE = ("x", "y", "width", "height")
    CENTRE_SIZE = ("centre x", "centre y", "width", "height")
    SPANS = ("x1", "x2", "y1", "y2")


@dataclass(frozen=True)
class PixelConvention:
    """How a format writes boxes.

    Attributes:
        order: what the numbers are.
        first: 0 or 1, what the left edge of the image, or its first pixel, is called.
        inclusive: the far corner names the last pixel of the box, so that its edge lies one further.
        normalised: the numbers are shares of width and height of the image.
        word: what the format calls a box, for messages.
    """

    order: Order
    first: int = 0
    inclusive: bool = False
    normalised: bool = False
    word: str = "box"

    def to_boxes(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes (N, 4) to x1, y1, x2, y2: pixels from 0 with the edges as ends, or shares if ``normalised``.

        Convention:
            COCO 10, 5, 20, 10 (corner and size) ends at 30, 15. VOC 1, 1, 20, 10 (from 1, inclusive) is 0, 0, 20, 10.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # 1e308 + 1e308 and inf - inf are findings, not warnings
            if self.order is Order.CORNER_SIZE:
                return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)
            if self.order is Order.CENTRE_SIZE:
                half = numbers[:, 2:] / 2
                return np.concatenate([numbers[:, :2] - half, numbers[:, :2] + half], axis=1)
            boxes = numbers[:, [0, 2, 1, 3]] if self.order is Order.SPANS else numbers
            end = self.inclusive - self.first
            return boxes + np.array([-self.first, -self.first, end, end], np.float64)


def around_rotated(centre: tuple[float, float], size: tuple[float, float], degrees: float) -> list[float]:
    """The upright box x1, y1, x2, y2 around a box of that centre and size, turned about its centre."""
    (x, y), (width, height) = centre, size
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    half_width, half_height = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    return [x - half_width, y - half_height, x + half_width, y + half_height]
