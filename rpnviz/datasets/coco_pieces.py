"""Splits the text of a large COCO file into pieces of some megabytes, each a list of annotations of its own.

Decoding a piece at once takes half the time of finding every record first and decoding it then. Where a text is split
is a guess that is proven afterwards: if the text without the inside of the list is JSON whose ``annotations`` are
empty, and each piece between ``[`` and ``]`` is a JSON list, the whole is that JSON with these lists in a row.
Otherwise the file is read in the slow way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WORTH_SPLITTING = 4_000_000
PIECE = 4_000_000
"""Bytes."""

_OTHER_KEYS = (b'"images"', b'"categories"', b'"info"', b'"licenses"', b'"type"')
_TAILS = (1 << 20, 64_000_000)
"""Other keys are looked for in so many bytes at the end: categories that follow the annotations take less than the
first, images less than the second."""
_RECORD = 1 << 16
"""Bytes at the end of the annotations, of which one record takes fewer."""
_OPENING = re.compile(rb'"annotations"\s*:\s*\[')
_BETWEEN = re.compile(rb"\}\s*,\s*\{")


class NoSplit(Exception):
    """A piece is no JSON list: the text was split at a wrong place, or is broken there."""


@dataclass(frozen=True)
class Pieces:
    """A text and where its list of annotations begins and ends."""

    text: bytes
    start: int
    stop: int

    @property
    def rest(self) -> bytes:
        """The text with an empty list of annotations."""
        return self.text[: self.start] + self.text[self.stop :]

    def __iter__(self) -> Iterator[tuple[bytes, float]]:
        """The pieces as JSON lists, and how far each begins, from 0 to 1."""
        here, view = self.start, memoryview(self.text)
        while here < self.stop:
            between = _BETWEEN.search(self.text, min(here + PIECE, self.stop), self.stop)
            end, following = (self.stop, self.stop) if between is None else (between.start() + 1, between.end() - 1)
            yield b"".join((b"[", view[here:end], b"]")), (here - self.start) / (self.stop - self.start)
            here = following


def split_annotations(text: bytes) -> Pieces | None:
    """Where the list of annotations of a large file seems to be; None for small files and those without one."""
    opening = _OPENING.search(text) if len(text) >= WORTH_SPLITTING else None
    if opening is None:
        return None
    start = opening.end()
    stop = -1
    for size in _TAILS:
        tail = max(start, len(text) - size)
        following = [found for key in _OTHER_KEYS if (found := text.rfind(key, tail)) >= 0]
        stop = text.rfind(b"]", start, min(following, default=len(text)))
        if stop >= 0 and text.find(b'"image_id"', max(start, stop - _RECORD), stop) >= 0:
            break  # an image's record has none: this is no other list
    return Pieces(text, start, stop) if stop >= 0 else None
