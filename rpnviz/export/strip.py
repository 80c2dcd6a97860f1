"""The strip below an exported picture: samples and text, wrapped to its width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz import __version__
from rpnviz.drawing.colouring import Shade
from rpnviz.drawing.frame import blank, ramp_swatch, swatch
from rpnviz.drawing.text import BOLD, REGULAR, draw_text, fit_text, measure
from rpnviz.palette import MUTED_TEXT, RGB, TEXT, Role, Theme, background, parse_colour

MIN_WIDTH = 560
"""Of the strip, px: a smaller image stands in the middle above it."""

_FONT = 13
_PAD = 12
_GAP_X, _GAP_Y = 18, 5
_SWATCH = (28, 16)


@dataclass(frozen=True)
class Piece:
    """Words that stay together, if they fit into a line.

    Attributes:
        text: what to write.
        role: whose line the sample in front shows; None: no sample, unless it is a ramp.
        dense: the sample is a density.
        shade: colour of the sample instead of the role's.
        ramp: the sample shows the colours of a heat map.
        bold: written in bold.
        muted: of less importance.
        elide: a text that is too long for a line is cut in its middle instead of wrapped.
    """

    text: str
    role: Role | None = None
    dense: bool = False
    shade: Shade | None = None
    ramp: bool = False
    bold: bool = False
    muted: bool = False
    elide: bool = False

    @property
    def has_sample(self) -> bool:
        """Whether a sample stands in front."""
        return self.role is not None or self.ramp

    def sample(self, theme: Theme, width: int, height: int, scale: int) -> NDArray[np.uint8]:
        """The sample, (height * scale, width * scale, 4) uint8 RGBA."""
        if self.role is None:
            return ramp_swatch(theme, width, height, scale)
        colour = None if self.shade is None else self.shade.rgb(theme)
        return swatch(self.role, theme, width, height, scale, self.dense, colour)


@dataclass(frozen=True)
class Words:
    """A placed text.

    Attributes:
        text: one line.
        left, baseline: where it starts, px of the strip.
        width: px that it takes.
        weight: of the font.
        muted: of less importance.
    """

    text: str
    left: int
    baseline: int
    width: int
    weight: int
    muted: bool

    def colour(self, theme: Theme) -> RGB:
        """On the ground of a theme."""
        return parse_colour((MUTED_TEXT if self.muted else TEXT)[theme])


@dataclass(frozen=True)
class Sample:
    """A placed sample of a piece: (left, top, width, height) px of the strip, drawn at a whole ``scale``."""

    piece: Piece
    left: int
    top: int
    width: int
    height: int
    scale: int


@dataclass(frozen=True)
class StripLayout:
    """A strip before it is drawn, in whatever format.

    Attributes:
        width, height: px.
        font: size of all texts, px.
        words, samples: what stands on it.
    """

    width: int
    height: int
    font: int
    words: tuple[Words, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class _Placed:
    piece: Piece
    text: str
    left: int
    line: int
    first: bool


def lay_out_strip(paragraphs: Sequence[Sequence[Piece]], width: int, ratio: float = 1.0) -> StripLayout:
    """Place everything.

    Args:
        paragraphs: each begins on a new line.
        width: wanted, px; at least :data:`MIN_WIDTH` is taken.
        ratio: px per px of the text.

    Returns:
        As high as the text needs.
    """
    width = max(width, MIN_WIDTH)
    version = f"rpnviz {__version__}"
    size, pad = round(_FONT * ratio), round(_PAD * ratio)
    version_width = measure(version, size).width
    # The version stands at the right end of the first line, which is that much shorter.
    placed = _place(paragraphs, width - 2 * pad, version_width + round(_GAP_X * ratio), ratio)
    step = measure("", size).height + round(_GAP_Y * ratio)
    lines = max((item.line for item in placed), default=0) + 1
    height = 2 * pad - round(_GAP_Y * ratio) + lines * step
    ascent = measure("", size).ascent
    # Samples are drawn at a whole scale, so that their lines are as sharp as those of the picture.
    scale = max(1, round(ratio))
    wide, high = _SWATCH[0] * scale, _SWATCH[1] * scale
    words, samples = [], []
    for item in placed:
        piece = item.piece
        left, baseline = pad + item.left, pad + item.line * step + ascent
        if item.first and piece.has_sample:
            top = baseline - round(0.36 * _FONT * ratio) - high // 2
            samples.append(Sample(piece, left, top, wide, high, scale))
            left += _sample_room(ratio)
        weight = BOLD if piece.bold else REGULAR
        words.append(Words(item.text, left, baseline, measure(item.text, size, weight).width, weight, piece.muted))
    words.append(Words(version, width - pad - version_width, pad + ascent, version_width, REGULAR, True))
    return StripLayout(width, height, size, tuple(words), tuple(samples))


def draw_strip(layout: StripLayout, theme: Theme) -> NDArray[np.uint8]:
    """The strip on the ground of a theme, (height, width, 3) uint8 RGB."""
    strip = blank(layout.height, layout.width, background(theme))
    for sample in layout.samples:
        _draw_sample(strip, sample, theme)
    for words in layout.words:
        draw_text(strip, words.text, words.left, words.baseline, layout.font, words.colour(theme), words.weight)
    return strip


def _draw_sample(strip: NDArray[np.uint8], sample: Sample, theme: Theme) -> None:
    pixels = sample.piece.sample(theme, *_SWATCH, sample.scale)
    part = strip[max(sample.top, 0) : sample.top + sample.height, sample.left : sample.left + sample.width]
    pixels = pixels[max(-sample.top, 0) :][: part.shape[0], : part.shape[1]]
    alpha = pixels[..., 3:].astype(np.float32) / 255
    part[:] = np.round(part + (pixels[..., :3] - part.astype(np.float32)) * alpha).astype(np.uint8)


def _sample_room(ratio: float) -> int:
    return _SWATCH[0] * max(1, round(ratio)) + round(7 * ratio)


def _place(paragraphs: Sequence[Sequence[Piece]], width: int, less_in_first: int, ratio: float) -> list[_Placed]:
    """Line and left end of every piece, or of the parts of pieces that are wider than a line."""
    size, gap = round(_FONT * ratio), round(_GAP_X * ratio)
    placed: list[_Placed] = []
    line = -1
    for paragraph in paragraphs:
        if not paragraph:
            continue
        line += 1
        x = 0
        for piece in paragraph:
            weight = BOLD if piece.bold else REGULAR
            sample = _sample_room(ratio) if piece.has_sample else 0
            room = width - (less_in_first if line == 0 else 0)
            if x and x + sample + measure(piece.text, size, weight).width > room:
                line, x = line + 1, 0
                room = width
            parts = _parts(piece, room - sample, size, weight)
            for number, text in enumerate(parts):
                if number:
                    line, x = line + 1, 0
                first_sample = sample if number == 0 else 0
                placed.append(_Placed(piece, text, x, line, number == 0))
                x += first_sample + measure(text, size, weight).width + gap
    return placed


def _parts(piece: Piece, width: int, size: int, weight: int) -> list[str]:
    """The lines that a piece takes; words that are wider than a line are cut in their middle."""
    if measure(piece.text, size, weight).width <= width:
        return [piece.text]
    if piece.elide:
        return [fit_text(piece.text, width, size, weight)]
    parts = [""]
    for word in piece.text.split(" "):
        word = fit_text(word, width, size, weight)
        longer = f"{parts[-1]} {word}".strip()
        if measure(longer, size, weight).width <= width:
            parts[-1] = longer
        else:
            parts.append(word)
    return [part for part in parts if part]
