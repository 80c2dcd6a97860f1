"""Large PNG and TIFF files in bands of rows, so that the whole image need not lie in memory: libvips decodes them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BAND = 256
"""Rows of a band, about; 15 MB of RGB at a width of 20,000 px."""
PNG_START = b"\x89PNG\r\n\x1a\n"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_FORMATS = ("uchar", "ushort")
_COLOURS = ("b-w", "grey16", "srgb", "rgb16")
"""What libvips calls grey and RGB; what else there is, others decode."""


class DamagedError(ValueError):
    """The file is not whole; the text says how."""


def read_bands(path: Path) -> Iterator[NDArray] | None:
    """The rows of a PNG or TIFF file from the top, band by band.

    Returns:
        (h, W, 1 or 3) uint8 or uint16 grey or RGB, without transparency; None: neither, or of another kind of numbers
        or colours.

    Raises:
        DamagedError: also while it is iterated over.
        OSError: the file cannot be read.
    """
    image = _opened(path)
    if image is None or image.format not in _FORMATS or image.interpretation not in _COLOURS:
        return None
    colours = 1 if image.bands < 3 else 3
    return _cut(image[0:colours] if image.bands > colours else image, colours)


def tiff_size(path: Path) -> tuple[int, int] | None:
    """(H, W) of a TIFF file from its header; None if it is turned, or the header is not as expected."""
    try:
        image = _opened(path)
    except DamagedError:
        return None
    turned = image is None or (image.get_typeof("orientation") and image.get("orientation") != 1)
    return None if turned else (image.height, image.width)


def _cut(image: Any, colours: int) -> Iterator[NDArray]:
    pyvips = _library()
    dtype = np.uint16 if image.format == "ushort" else np.uint8
    try:
        region = pyvips.Region.new(image)  # what it has decoded below a band is kept for the next, unlike by crops
        for top in range(0, image.height, BAND):
            rows = region.fetch(0, top, image.width, min(BAND, image.height - top))
            yield np.frombuffer(rows, dtype).reshape(-1, image.width, colours)
    except pyvips.Error as error:
        raise _damaged(error) from error


def _opened(path: Path) -> Any:
    """The image, of which the header has been read; None if it is neither PNG nor TIFF."""
    with path.open("rb") as file:
        start = file.read(len(PNG_START))
    pyvips = _library()
    load = pyvips.Image.pngload if start == PNG_START else pyvips.Image.tiffload if start[:4] in TIFF_STARTS else None
    if load is None:
        return None
    try:
        return load(os.fspath(path), access="sequential", fail_on="error")
    except pyvips.Error as error:
        raise _damaged(error) from error


def _library() -> Any:
    """libvips; imported when the first large image comes, since few sessions have one."""
    import pyvips

    # Damage is an error of its own; what the library says besides, without a name, helps nobody.
    logging.getLogger("pyvips").setLevel(logging.CRITICAL)
    pyvips.cache_set_max(0)  # a file that was opened once must not stay open, nor be taken for the one that replaced it
    return pyvips


def _damaged(error: Exception) -> DamagedError:
    lines = [line.strip() for line in str(getattr(error, "detail", "") or error).splitlines() if line.strip()]
    return DamagedError(f"libvips says: {lines[0] if lines else 'it cannot be decoded'}.")
