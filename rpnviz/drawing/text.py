"""Anti-aliased Unicode text on pixel arrays, with the font that OpenCV carries: no Qt and no system font is needed."""

from __future__ import annotations

import threading
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rpnviz.imaging import cv2
from rpnviz.palette import RGB

REGULAR, MEDIUM, BOLD = 400, 500, 650
"""Weights of the variable font."""

_ELLIPSIS = "…"
_font_lock = threading.Lock()


@dataclass(frozen=True)
class TextSize:
    """Room that a line of text takes, in px.

    Attributes:
        width: from its left end to where the next text would continue.
        ascent, descent: above and below the baseline; the same for every text of a size.
    """

    width: int
    ascent: int
    descent: int

    @property
    def height(self) -> int:
        """Of the line."""
        return self.ascent + self.descent


def measure(text: str, size: int, weight: int = REGULAR) -> TextSize:
    """Room that ``text`` takes in a font of ``size`` px."""
    return TextSize(_ink(printable(text), size, weight).shape[1], _ascent(size), _descent(size))


def draw_text(
    image: NDArray[np.uint8],
    text: str,
    left: int,
    baseline: int,
    size: int,
    colour: RGB,
    weight: int = REGULAR,
    opacity: float = 1.0,
) -> int:
    """Draw one line in place; what lies outside the image is cut off.

    Args:
        image: (H, W, 3) uint8 RGB.
        text: any Unicode; characters that the font lacks become question marks, line breaks become spaces.
        left, baseline: where it starts, px.
        size: of the font, px.
        colour: of the text.
        weight: 100 to 1000.
        opacity: 0 to 1.

    Returns:
        Where the next text would continue, px.
    """
    ink = _ink(printable(text), size, weight)
    top = baseline - _ascent(size)
    height, width = image.shape[:2]
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + ink.shape[1], width), min(top + ink.shape[0], height)
    if x1 < x2 and y1 < y2:
        alpha = ink[y1 - top : y2 - top, x1 - left : x2 - left, None].astype(np.float32) * (opacity / 255)
        part = image[y1:y2, x1:x2]
        part[:] = np.round(part + (np.array(colour, np.float32) - part) * alpha).astype(np.uint8)
    return left + ink.shape[1]


def fit_text(text: str, width: int, size: int, weight: int = REGULAR) -> str:
    """The text, or its beginning and end around an ellipsis, so that it is at most ``width`` px wide.

    The end of a file name tells more than its middle. Empty if not even the ellipsis fits.
    """
    if measure(text, size, weight).width <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        if measure(_shortened(text, kept), size, weight).width <= width:
            low = kept
        else:
            high = kept - 1
    shortened = _shortened(text, low)
    return shortened if measure(shortened, size, weight).width <= width else ""


def _shortened(text: str, kept: int) -> str:
    head = (kept + 1) // 2
    return text[:head] + _ELLIPSIS + text[len(text) - (kept - head) :]


def printable(text: str) -> str:
    """One line without control characters, and without the halves of characters that file names may hold."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in whole)


def _ascent(size: int) -> int:
    return round(size * 1.05)


def _descent(size: int) -> int:
    return round(size * 0.35)


@lru_cache(maxsize=1)
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


@lru_cache(maxsize=4096)
def _ink(text: str, size: int, weight: int) -> NDArray[np.uint8]:
    """Opacity of the pixels of a line, (ascent + descent, width) uint8.

    Kept, because the same words are drawn again in every frame, and because the font may serve one thread at a time.
    """
    if not text:
        return np.zeros((_ascent(size) + _descent(size), 0), np.uint8)
    margin = size
    with _font_lock:
        x, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _font(), size, weight)
        room = np.zeros((_ascent(size) + _descent(size), margin + max(x, 0) + width + 2 * margin, 3), np.uint8)
        end, _ = cv2.putText(room, text, (margin, _ascent(size)), (255, 255, 255), _font(), size, weight)
    ink = np.ascontiguousarray(room[:, margin : max(end[0], margin + x + width), 0])
    ink.flags.writeable = False
    return ink
