"""The one door to OpenCV: imports it without side effects, reads images and writes PNG files.

Every other module writes ``from rpnviz.imaging import cv2``.
"""

from __future__ import annotations

import math
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rpnviz.errors import ImageFileError
from rpnviz.files import check_target, write_whole
from rpnviz.image_bands import PNG_START, TIFF_STARTS, DamagedError, read_bands, tiff_size


def _restore_environment(before: dict[str, str]) -> None:
    """Undo every change of the environment since ``before`` was taken."""
    for name in set(os.environ) - set(before):
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


# opencv-python points QT_QPA_PLATFORM_PLUGIN_PATH, QT_QPA_FONTDIR and LD_LIBRARY_PATH at its own Qt 5. Left in place
# they reach PySide6's Qt 6 and every child process, and a failing xcb platform is then blamed on a folder of cv2.
_before = dict(os.environ)
try:
    import cv2
finally:
    _restore_environment(_before)
del _before

# A file that cannot be decoded is reported as an ImageFileError; the same on stderr, without a name, helps nobody.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = [
    "cv2",
    "encode_jpeg",
    "encode_png",
    "image_size",
    "read_image",
    "read_reduced",
    "read_small",
    "reduction_of",
    "shrink",
    "write_png",
]

LARGE = 64_000_000
"""Pixels above which an image is first shown from a smaller copy, and PNG and TIFF are decoded in bands."""
_REDUCTIONS = (2, 4, 8)
_MOST = 2**30
"""OpenCV reads no more."""
_COPY = 32_000_000
"""Pixels of that copy, at most, unless the image is larger than 8 times its sides."""
_JPEG_START = b"\xff\xd8\xff"
_PNG_CHUNKS_FOR_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}
# OpenCV's own choice is quick but makes drawings and labelled photos twice as large.
_PNG_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS]
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_ROWS = 64
"""Rows that are converted at a time: 4 MB at a width of 20,000 px, which a processor keeps at hand."""
_EXIF_ORIENTATION = 0x0112
_ORIENTATIONS_ON_THEIR_SIDE = (5, 6, 7, 8)
_KNOWN_KINDS = "JPEG, PNG, BMP, TIFF, WebP, GIF, PNM, AVIF, JPEG 2000 and HDR files can be shown."


def _no_progress(fraction: float) -> None:
    """Nobody waits."""


def read_image(
    path: str | Path, *, upright: bool = True, progress: Callable[[float], None] = _no_progress
) -> NDArray[np.uint8]:
    """Read an image file as a trainer would: three channels, 8 bit, without transparency.

    Args:
        path: the file; its name may hold any character.
        upright: turn the image as its EXIF orientation says; False gives the stored rows and columns.
        progress: told from 0 to 1 while a large PNG or TIFF is read; what it raises ends the reading.

    Returns:
        (H, W, 3) uint8 RGB, contiguous and writable.

    Raises:
        ImageFileError: the file is missing, no image, empty, truncated or otherwise damaged, or may not be read.

    Convention:
        Grey is repeated in all channels. Alpha is dropped and not blended, as ``cv2.imread`` and Pillow's
        ``convert("RGB")`` do. 16 bit is scaled by the full range: 65535 is shown as 255. Images of float, signed or
        32-bit values have no full range; they are stretched from their smallest to their largest finite value.
    """
    path = Path(path)
    _check_readable(path)
    with _explained(path):
        found = _read_in_bands(path, upright, 1, progress)
        return _read_at_once(path, upright) if found is None else found


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What decoding raises, as an ImageFileError."""
    try:
        yield
    except MemoryError as error:
        raise ImageFileError(
            "the image is too large for the free memory.", where=str(path), way_out="Make a smaller copy of it."
        ) from error
    except cv2.error as error:
        raise _damaged(path, f"OpenCV says: {error.err}.") from error
    except DamagedError as error:
        raise _damaged(path, str(error)) from error


def _read_at_once(path: Path, upright: bool) -> NDArray[np.uint8]:
    data = _bytes_of(path)
    if data[: len(PNG_START)].tobytes() == PNG_START:
        data = np.frombuffer(_png_for_decoding(path, data.tobytes()), np.uint8)
    # Not IMREAD_COLOR_RGB: OpenCV 5.0.0 answers it with an array of zeros for TIFF files of 16 bit.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    if not upright:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(data, flags)
    if pixels is None:
        # TIFF files of float or 32-bit grey decode in no other way. This one knows no orientation; they have none.
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise _not_decoded(path, data)
    return _rgb(path, _to_8_bit(pixels))


def _bytes_of(path: Path) -> NDArray[np.uint8]:
    try:
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise _cannot_read(path, error) from error


def _rgb(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of what OpenCV decoded; the same memory where that has three channels."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels == 3:
        for top in range(0, len(pixels), _ROWS):  # a second array would be as large as the image
            part = pixels[top : top + _ROWS]
            part[:] = cv2.cvtColor(part, cv2.COLOR_BGR2RGB)
        return pixels
    to_rgb = {1: cv2.COLOR_GRAY2RGB, 4: cv2.COLOR_BGRA2RGB}.get(channels)
    if to_rgb is None:
        raise ImageFileError(
            f"the image has {channels} channels, expected 1, 3 or 4.",
            where=str(path),
            way_out="Make a copy of it with red, green and blue alone.",
        )
    return cv2.cvtColor(pixels, to_rgb).astype(np.uint8, copy=False)


def _read_in_bands(
    path: Path, upright: bool, factor: int, progress: Callable[[float], None]
) -> NDArray[np.uint8] | None:
    """A large PNG or TIFF, each side ``factor`` times smaller by averaging; None: small, or of another kind."""
    try:
        header = _header(path)
        if header is None or not LARGE < math.prod(header[0]) <= _MOST:
            return None
        bands = read_bands(path)
    except OSError as error:
        raise _cannot_read(path, error) from error
    if bands is None:
        return None
    (height, width), orientation = header
    stored, turned = _room((-(-height // factor), -(-width // factor)), orientation if upright else 1)
    top, begun = 0, 0
    left_over: list[NDArray] = []
    for band in bands:
        begun += len(band)
        rows = np.broadcast_to(_to_8_bit(band), (*band.shape[:2], 3))
        if factor > 1:
            rows = np.concatenate([*left_over, rows])
            whole = len(rows) if begun == height else len(rows) // factor * factor
            left_over = [rows[whole:].copy()]
            rows = _averaged(rows[:whole], factor)
        stored[top : top + len(rows)] = rows
        top += len(rows)
        progress(begun / height)
    return turned


def _averaged(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(ceil(H / factor), ceil(W / factor), 3): the means of squares; those at the end may be cut."""
    height, width = pixels.shape[:2]
    missing = -height % factor, -width % factor
    if any(missing):
        pixels = cv2.copyMakeBorder(pixels, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE).astype(
            np.uint8, copy=False
        )
    size = pixels.shape[1] // factor, pixels.shape[0] // factor
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _room(size: tuple[int, int], orientation: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Memory for an image of stored (H, W), seen in two ways: as it is stored, and turned by its EXIF orientation."""
    height, width = size
    on_its_side = orientation in _ORIENTATIONS_ON_THEIR_SIDE
    turned = np.empty((width, height, 3) if on_its_side else (height, width, 3), np.uint8)
    stored = turned.transpose(1, 0, 2) if on_its_side else turned
    if orientation in (3, 4, 6, 7):
        stored = stored[::-1]
    if orientation in (2, 3, 7, 8):
        stored = stored[:, ::-1]
    return stored, turned


def reduction_of(path: str | Path) -> int:
    """How many times smaller each side of an image is shown at first: 2, 4 or 8 for large ones, else 1.

    Raises:
        ImageFileError: as :func:`read_image`; damage behind the header is not noticed.
    """
    header = _checked_header(Path(path))
    pixels = 0 if header is None else math.prod(header[0])
    if not LARGE < pixels <= _MOST:
        return 1
    return next((factor for factor in _REDUCTIONS if pixels <= _COPY * factor**2), _REDUCTIONS[-1])


def read_reduced(
    path: str | Path, factor: int, *, upright: bool = True, progress: Callable[[float], None] = _no_progress
) -> NDArray[np.uint8]:
    """An image file, each side ``factor`` times smaller by averaging, in less memory than the whole takes.

    Args:
        path: the file.
        factor: 2, 4 or 8.
        upright, progress: as :func:`read_image`.

    Returns:
        (ceil(H / factor), ceil(W / factor), 3) uint8 RGB. A JPEG is decoded at that size, so its colours are not those
        of the averaged whole to the bit.

    Raises:
        ImageFileError: as :func:`read_image`.
    """
    path = Path(path)
    _check_readable(path)
    with _explained(path):
        if _is_jpeg(path):
            data = _bytes_of(path)
            pixels = cv2.imdecode(data, _REDUCED[factor] | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION))
            if pixels is None:
                raise _not_decoded(path, data)
            return _rgb(path, pixels.astype(np.uint8, copy=False))
        found = _read_in_bands(path, upright, factor, progress)
        return _averaged(_read_at_once(path, upright), factor) if found is None else found


def _is_jpeg(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_JPEG_START)) == _JPEG_START
    except OSError as error:
        raise _cannot_read(path, error) from error


def read_small(path: str | Path, side: int) -> NDArray[np.uint8]:
    """An image file at a small size; of a JPEG only as much is decoded as that takes.

    Args:
        path: the file.
        side: its longest side becomes at most this, px.

    Returns:
        (h, w, 3) uint8 RGB, upright.

    Raises:
        ImageFileError: as :func:`read_image`.
    """
    path = Path(path)
    (height, width), _ = image_size(path)
    longer, shorter = max(height, width), min(height, width)
    factor = next((factor for factor in (8, 4, 2) if longer >= factor * side and shorter >= 8 * factor), 1)
    if factor > 1 and (height * width > LARGE or _is_jpeg(path)):
        return shrink(read_reduced(path, factor), side)
    return shrink(read_image(path), side)


def shrink(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) averaged so that the longest side is at most ``side``; a new array if they were larger."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def encode_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a JPEG file of (H, W, 3) uint8 RGB."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return encoded.tobytes()


def image_size(path: str | Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size of an image file, from its header alone where it is a JPEG, a PNG or a TIFF that is not turned.

    Returns:
        ``(raw, upright)``, each (H, W) in pixels: as stored, and turned as its EXIF orientation says.

    Raises:
        ImageFileError: as :func:`read_image`; damage behind the header is not noticed.
    """
    header = _checked_header(Path(path))
    if header is None:
        return read_image(path, upright=False).shape[:2], read_image(path).shape[:2]
    (height, width), orientation = header
    on_its_side = orientation in _ORIENTATIONS_ON_THEIR_SIDE
    return (height, width), ((width, height) if on_its_side else (height, width))


def _checked_header(path: Path) -> tuple[tuple[int, int], int] | None:
    """As :func:`_header`; whatever keeps the file from being read is told."""
    _check_readable(path)
    try:
        return _header(path)
    except OSError as error:
        raise _cannot_read(path, error) from error


def _header(path: Path) -> tuple[tuple[int, int], int] | None:
    """Stored (H, W) and EXIF orientation; None if the header is not as expected, or of another kind."""
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(_JPEG_START):
            return _jpeg_header(file)
        if start == PNG_START:
            return _png_header(file)
    # What OpenCV does with turned TIFF files is its own matter: their size is taken from what it decodes.
    size = tiff_size(path) if start[:4] in TIFF_STARTS else None
    return None if size is None else (size, 1)


def write_png(path: str | Path, pixels: NDArray[np.uint8]) -> None:
    """Write a PNG file; an older file of that name stays whole until the new one is complete.

    Args:
        path: the file to make or replace; its folder must exist.
        pixels: (H, W, 3) uint8 RGB, or (H, W, 4) RGBA, not premultiplied.

    Raises:
        ImageFileError: the target cannot be written; what stood there before is untouched.
    """
    check_target(path, ImageFileError)  # before the work of encoding
    write_whole(path, encode_png(pixels), ImageFileError)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file.

    Args:
        pixels: (H, W, 3) uint8 RGB, or (H, W, 4) RGBA, not premultiplied.
    """
    # cv2 encodes into memory, not into the file: it would not say why a file could not be written.
    to_bgr = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, to_bgr), _PNG_OPTIONS)
    return encoded.tobytes()


def _check_readable(path: Path) -> None:
    """Name the reason before OpenCV answers all of them with nothing."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ImageFileError(
            "the image file does not exist.", where=str(path), way_out="Check its name and folder."
        ) from error
    except OSError as error:
        raise _cannot_read(path, error) from error
    except ValueError as error:  # a NUL character or half a surrogate pair: no system has such a name
        raise ImageFileError(
            "no file can have this name.", where=repr(str(path)), way_out="Check the name in the annotation file."
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageFileError(
            "this is a folder, expected an image file.", where=str(path), way_out="Open the folder itself instead."
        )
    if not stat.S_ISREG(status.st_mode):
        raise ImageFileError("this is no regular file, expected an image file.", where=str(path))
    if status.st_size == 0:
        raise ImageFileError(
            "the image file is empty (0 bytes).", where=str(path), way_out="Copy it again from where it came from."
        )


def _cannot_read(path: Path, error: OSError) -> ImageFileError:
    return ImageFileError(
        f"the image file cannot be read: {error.strerror or error}.",
        where=str(path),
        way_out="Check the file's permissions.",
    )


def _damaged(path: Path, how: str) -> ImageFileError:
    return ImageFileError(
        f"the image file is truncated or damaged. {how}",
        where=str(path),
        way_out="Copy it again from where it came from.",
    )


_ARCHIVE_STARTS = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ")
"""Of zip, gzip, 7z, rar, bzip2 and xz."""


def _not_decoded(path: Path, data: NDArray[np.uint8]) -> ImageFileError:
    """Tell a damaged image from something that never was one."""
    if data[:3].tobytes() == _JPEG_START or _has_decoder(data):
        return _damaged(path, f"Its {len(data):,} bytes begin as an image but cannot be decoded.")
    what, way_out = f"this is no image that can be read ({len(data):,} bytes).", _KNOWN_KINDS
    if path.suffix.lower() in (".xlsx", ".xls", ".ods"):
        what, way_out = "this is a spreadsheet.", "Save its table as CSV, and open that."
    elif data[:8].tobytes().startswith(_ARCHIVE_STARTS):
        what, way_out = "this is an archive.", "Unpack it, and open the folder."
    return ImageFileError(what, where=str(path), way_out=way_out)


def _has_decoder(data: NDArray[np.uint8]) -> bool:
    """Whether the first bytes are those of a format that OpenCV reads."""
    start = data[:16].tobytes()
    return (
        start.startswith((PNG_START, b"BM", b"II*\0", b"MM\0*", b"GIF8", b"\0\0\0\x0cjP  ", b"#?R"))
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis"))
        or (start[:1] == b"P" and start[1:2] in tuple(b"%d" % kind for kind in range(1, 8)) and start[2:3].isspace())
    )


def _to_8_bit(pixels: NDArray) -> NDArray[np.uint8]:
    """Pixels of any numeric dtype to uint8; see :func:`read_image` for the rules."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        scaled = np.empty(pixels.shape, np.uint8)
        for top in range(0, len(pixels), _ROWS):  # numbers of 32 bit for all of it would take twice its memory
            # The nearest to value / 257, for each of the 65,536 values.
            scaled[top : top + _ROWS] = (pixels[top : top + _ROWS].astype(np.uint32) * 255 + 32895) >> 16
        return scaled
    values = pixels.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    stretched = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
    return np.rint(stretched * 255).astype(np.uint8)


def _png_for_decoding(path: Path, data: bytes) -> bytes:
    """The chunks that make the pixels, checked.

    libpng writes its complaints to stderr past every log level: errors on damaged files, and a warning on each of the
    many files with a slightly wrong colour profile. So damage is found here, and chunks that it may dislike but that
    change no pixel stay out.
    """
    kept = [PNG_START]
    position = len(PNG_START)
    while True:
        head = data[position : position + 8]
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        end = position + 12 + length
        if not kind or end > len(data):
            raise _damaged(path, f"It ends after {len(data):,} bytes in the middle of the image.")
        # An upper-case letter marks what a reader must understand; a damaged name is no reason to pass it over.
        if kind in _PNG_CHUNKS_FOR_PIXELS or kind[:1].isupper():
            if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise _damaged(path, f"The checksum of the part at byte {position:,} is wrong.")
            kept.append(data[position:end])
        if kind == b"IEND":
            return b"".join(kept)
        position = end


def _png_header(file: BinaryIO) -> tuple[tuple[int, int], int] | None:
    """(H, W) and EXIF orientation; None if the header is not as expected. The file stands behind the 8-byte start."""
    size = None
    orientation = 1
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
            size = (height, width)
            file.seek(length - 8 + 4, os.SEEK_CUR)
        elif kind == b"eXIf":
            orientation = _exif_orientation(file.read(length))
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return (size, orientation) if size and min(size) > 0 else None


def _jpeg_header(file: BinaryIO) -> tuple[tuple[int, int], int] | None:
    """(H, W) and EXIF orientation; None if the header is not as expected."""
    orientation: int | None = None
    for marker, length in _jpeg_segments(file):
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">xHH", file.read(5).ljust(5, b"\0"))
            return ((height, width), orientation or 1) if min(height, width) > 0 else None
        if marker == 0xE1 and orientation is None:
            body = file.read(length)
            if body.startswith(b"Exif\0\0"):
                orientation = _exif_orientation(body[6:])
    return None


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Marker and body length of each segment before the pixels; the file stands at the body while it is handled."""
    file.seek(2)
    while True:
        byte = file.read(1)
        while byte == b"\xff":  # any number of fill bytes may stand before a marker
            byte = file.read(1)
        if not byte or byte[0] in (0xD9, 0xDA):
            return
        marker = byte[0]
        if marker in _JPEG_WITHOUT_LENGTH:
            continue
        field = file.read(2)
        if len(field) < 2:
            return
        length = int.from_bytes(field, "big") - 2
        body = file.tell()
        yield marker, length
        file.seek(body + max(length, 0))


def _exif_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, in an EXIF block (which is a small TIFF file); 1 if there is none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    if first + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, first)
    for entry in range(first + 2, min(first + 2 + 12 * count, len(tiff) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _EXIF_ORIENTATION:
            return value if 1 <= value <= 8 else 1
    return 1
