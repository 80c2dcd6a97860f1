"""Image files for tests, with what OpenCV does not write: EXIF blocks and chunks of any kind."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from rpnviz.imaging import cv2

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
"""By EXIF orientation: what shows a stored array as it should be seen."""


def encode(suffix: str, pixels: np.ndarray) -> bytes:
    """Image file of ``pixels``: (H, W), RGB or RGBA."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def exif_block(orientation: int, order: str = ">") -> bytes:
    """A TIFF header and one directory with Make (to be skipped) and Orientation."""
    entries = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    mark = b"MM" if order == ">" else b"II"
    return mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", 2) + entries + b"\0\0\0\0"


def with_exif(jpeg: bytes, orientation: int, order: str = ">") -> bytes:
    """The same JPEG with an EXIF segment behind its start."""
    body = b"Exif\0\0" + exif_block(orientation, order)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_png_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """The same PNG with a chunk behind IHDR."""
    return png[:33] + png_chunk(kind, body) + png[33:]
