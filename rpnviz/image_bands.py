"""Large PNG and TIFF files in bands of rows, so that the whole image need not lie in memory.

A band is cut out as a small file of the same kind, which OpenCV decodes as it would have decoded the whole: its colours
are those of the whole file to the bit. Files of rarer kinds are not cut; whoever reads them decodes them whole.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

BAND = 256
"""Rows of a band, about; 15 MB of RGB at a width of 20,000 px."""
PNG_START = b"\x89PNG\r\n\x1a\n"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_PIECE = 2**20
"""Bytes of a PNG file that are read at a time."""
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Samples of a pixel by colour type; palettes (3) are not cut."""
_STORED_ORDER = {1: [0], 3: [2, 1, 0], 2: [0, 3], 4: [2, 1, 0, 3]}
"""Where the samples of a stored pixel are in OpenCV's BGRA, by their number."""
_TIFF_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANES = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_TIFF_COPIED = (_BITS, _COMPRESSION, _PHOTOMETRIC, 266, _SAMPLES, _PLANES, 317, 338, _SAMPLE_FORMAT, 347, 530, 531, 532)
"""Tags that say how the pixels are stored, besides those of the size and the places."""
_PLAIN, _JPEG = 1, 7
_TIFF_COMPRESSIONS = (_PLAIN, 5, _JPEG, 8, 32773, 32946)
_MOST_ENTRIES = 4096


class DamagedError(ValueError):
    """The file is not whole; the text says where."""


# ---------------------------------------------------------------------------------------------------------------- PNG


def png_bands(file: BinaryIO, decode: Callable[[bytes], NDArray]) -> Iterator[NDArray] | None:
    """The rows of a PNG file from the top, band by band.

    Args:
        file: stands at its beginning.
        decode: gives the pixels of a small PNG file, (h, W) or (h, W, 3 or 4), with the file's bits and transparency,
            in OpenCV's order of channels.

    Returns:
        What ``decode`` gives of the bands; None: palettes, fewer than 8 bits, interlaced, transparent by colour.

    Raises:
        DamagedError: while it is iterated over; a checksum is wrong, or the file ends too soon.
    """
    file.seek(len(PNG_START))
    head = file.read(25)
    if len(head) < 25 or head[4:8] != b"IHDR":
        return None
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head[8:21])
    if colour not in _PNG_CHANNELS or bits not in (8, 16) or interlaced or not width or not height:
        return None
    if _has_chunk(file, b"tRNS"):
        return None
    return _cut_png(file, (height, width), (bits, colour), decode)


def _has_chunk(file: BinaryIO, wanted: bytes) -> bool:
    """Whether a chunk stands before the pixels; the file stays where it is."""
    place = file.tell()
    try:
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in (wanted, b"IDAT", b"IEND"):
                return kind == wanted
            file.seek(length + 4, 1)
        return False
    finally:
        file.seek(place)


def _cut_png(
    file: BinaryIO, size: tuple[int, int], kind: tuple[int, int], decode: Callable[[bytes], NDArray]
) -> Iterator[NDArray]:
    """A band is decoded below the last row of the one before, of which the filters of its own first row speak."""
    (height, width), (bits, colour) = size, kind
    channels = _PNG_CHANNELS[colour]
    row = 1 + width * channels * bits // 8
    unpack = zlib.decompressobj()
    above = b""
    begun = bytearray()
    pieces = _png_data(file)
    done = 0
    while done < height:
        rows = min(BAND, height - done)
        while len(begun) < rows * row:
            piece = unpack.unconsumed_tail or next(pieces, b"")
            if not piece:
                raise DamagedError(f"Its pixels end after {done + len(begun) // row:,} of {height:,} rows.")
            try:
                begun += unpack.decompress(piece, rows * row - len(begun))
            except zlib.error as error:
                raise DamagedError(f"Its pixels cannot be unpacked: {error}.") from error
        pixels = decode(_small_png(width, rows + bool(above), bits, colour, above + bytes(begun)))
        if above:
            pixels = pixels[1:]
        begun.clear()
        # Row filters work on what is stored: 0 says that this row is not filtered.
        last = pixels[-1].reshape(width, -1)[:, _STORED_ORDER[channels]]
        above = b"\0" + (last.astype(">u2") if bits == 16 else last).tobytes()
        done += rows
        yield pixels
    for _ in pieces:
        pass  # the checksums up to the end


def _small_png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"".join([PNG_START, *(part for kind, body in chunks for part in _chunk(kind, body))])


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _png_data(file: BinaryIO) -> Iterator[bytes]:
    """The compressed pixels behind the header, a piece at a time; checks what every reader must understand."""
    while True:
        place = file.tell()
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        check = zlib.crc32(kind)
        for begin in range(0, length, _PIECE):
            piece = file.read(min(_PIECE, length - begin))
            if not piece:
                break
            check = zlib.crc32(piece, check)
            if kind == b"IDAT":
                yield piece
        said = file.read(4)
        if not kind or len(said) < 4:
            raise DamagedError(f"It ends after {file.tell():,} bytes in the middle of the image.")
        if kind[:1].isupper() and check != int.from_bytes(said, "big"):
            raise DamagedError(f"The checksum of the part at byte {place:,} is wrong.")
        if kind == b"IEND":
            return


# --------------------------------------------------------------------------------------------------------------- TIFF


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory of a TIFF file says.

    Attributes:
        order: ``<`` or ``>``, as in :mod:`struct`.
        values: numbers by tag; text and fractions are left out.
        stored: type, count and bytes of the same and other tags.
    """

    order: str
    values: dict[int, NDArray]
    stored: dict[int, tuple[int, int, bytes]]

    def one(self, tag: int, otherwise: int = 0) -> int:
        """The first number of a tag."""
        found = self.values.get(tag)
        return otherwise if found is None or not len(found) else int(found[0])

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in px; 0 where it is not said."""
        return self.one(_HEIGHT), self.one(_WIDTH)

    @property
    def orientation(self) -> int:
        """1 to 8, as in EXIF; 1 where it is not said."""
        return self.one(_ORIENTATION, 1)


def tiff_header(file: BinaryIO) -> TiffHeader | None:
    """The first directory of a TIFF or BigTIFF file; None if it is not as expected."""
    file.seek(0, 2)
    end = file.tell()
    file.seek(0)
    start = file.read(16)
    if start[:4] not in TIFF_STARTS or len(start) < 16:
        return None
    order = "<" if start[:1] == b"I" else ">"
    big = 43 in start[2:4]
    place = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)[0]
    length, head, room = (20, order + "HHQ", 8) if big else (12, order + "HHI", 4)
    file.seek(place)
    counted = file.read(8 if big else 2)
    if len(counted) < (8 if big else 2):
        return None
    count = struct.unpack(order + ("Q" if big else "H"), counted)[0]
    if count > _MOST_ENTRIES:
        return None
    directory = file.read(count * length)
    if len(directory) < count * length:
        return None
    values: dict[int, NDArray] = {}
    stored: dict[int, tuple[int, int, bytes]] = {}
    for entry in range(0, len(directory), length):
        tag, kind, number = struct.unpack_from(head, directory, entry)
        size = _TIFF_SIZES.get(kind, 0) * number
        field = directory[entry + length - room : entry + length]
        if size > room:
            file.seek(min(struct.unpack(order + ("Q" if big else "I"), field)[0], end))
            if size > end - file.tell():
                continue  # a broken tag; whoever needs it will miss it
            field = file.read(size)
        stored[tag] = kind, number, field[:size]
        if kind in _TIFF_TYPES:
            values[tag] = np.frombuffer(field[:size], order + _TIFF_TYPES[kind])
    return TiffHeader(order, values, stored)


def tiff_bands(file: BinaryIO, decode: Callable[[bytes], NDArray]) -> Iterator[NDArray] | None:
    """The rows of a TIFF file from the top, band by band.

    Args:
        file: of any size.
        decode: gives the pixels of a small TIFF file.

    Returns:
        What ``decode`` gives of the bands; None: not 1, 3 or 4 samples of 8 or 16 bits, palettes, planes apart, turned,
        or an unusual compression.

    Raises:
        DamagedError: the file ends too soon.
    """
    header = tiff_header(file)
    if header is None or not _can_be_cut(header):
        return None
    places = _tile_rows(header) if _TILES in header.values else _strips(header)
    if places is None:
        return None
    file.seek(0, 2)
    rows, offsets, lengths = places
    if min(offsets.min(), lengths.min()) < 0 or (offsets > file.tell() - lengths).any():
        raise DamagedError(f"It has {file.tell():,} bytes, and its pixels should lie beyond.")
    return _cut_tiff(file, header, rows, offsets, lengths, decode)


def _can_be_cut(header: TiffHeader) -> bool:
    samples, bits = header.one(_SAMPLES, 1), header.values.get(_BITS)
    formats = header.values.get(_SAMPLE_FORMAT, np.ones(1))
    compression, photometric = header.one(_COMPRESSION, _PLAIN), header.one(_PHOTOMETRIC, -1)
    return (
        min(header.size) > 0
        and header.orientation == 1
        and header.one(_PLANES, 1) == 1
        and samples in (1, 3, 4)
        and bits is not None
        and bits.tolist() in ([8] * samples, [16] * samples)
        and set(formats.tolist()) == {1}
        and compression in _TIFF_COMPRESSIONS
        and (photometric in (0, 1, 2) or (photometric == 6 and compression == _JPEG))
    )


def _strips(header: TiffHeader) -> tuple[int, NDArray, NDArray] | None:
    """Rows of a strip, and where the strips are: offsets and bytes, (strips, 1) each."""
    height, width = header.size
    rows = min(header.one(_ROWS_PER_STRIP, height), height)
    offsets, lengths = header.values.get(_STRIPS), header.values.get(_STRIP_BYTES)
    if rows < 1 or offsets is None or lengths is None or not len(offsets) == len(lengths) == -(-height // rows):
        return None
    offsets, lengths = offsets.astype(np.int64), lengths.astype(np.int64)
    row = width * header.one(_SAMPLES, 1) * header.one(_BITS) // 8
    plain = header.one(_COMPRESSION, _PLAIN) == _PLAIN
    if plain and rows > BAND and (len(offsets) == 1 or rows % BAND == 0):
        # Rows that are stored as they are can be cut anywhere; some programs write all of them as one strip.
        tops = np.arange(0, height, BAND)
        if lengths.tolist() == [row * min(rows, height - top) for top in range(0, height, rows)]:
            offsets = offsets[tops // rows] + row * (tops % rows)
            lengths = row * np.minimum(BAND, height - tops)
            rows = BAND
    return rows, offsets[:, None], lengths[:, None]


def _tile_rows(header: TiffHeader) -> tuple[int, NDArray, NDArray] | None:
    """Rows of a tile, and where the tiles are: offsets and bytes, (rows of tiles, tiles of a row) each."""
    height, width = header.size
    rows, columns = header.one(_TILE_HEIGHT), header.one(_TILE_WIDTH)
    offsets, lengths = header.values.get(_TILES), header.values.get(_TILE_BYTES)
    if rows < 1 or columns < 1 or offsets is None or lengths is None:
        return None
    shape = -(-height // rows), -(-width // columns)
    if not len(offsets) == len(lengths) == shape[0] * shape[1]:
        return None
    return rows, offsets.astype(np.int64).reshape(shape), lengths.astype(np.int64).reshape(shape)


def _cut_tiff(
    file: BinaryIO,
    header: TiffHeader,
    rows: int,
    offsets: NDArray,
    lengths: NDArray,
    decode: Callable[[bytes], NDArray],
) -> Iterator[NDArray]:
    height, _ = header.size
    together = max(1, math.ceil(BAND / rows))
    for first in range(0, len(offsets), together):
        part = slice(first, first + together)
        parts = []
        for offset, length in zip(offsets[part].ravel().tolist(), lengths[part].ravel().tolist(), strict=True):
            file.seek(offset)
            parts.append(file.read(length))
        yield decode(_small_tiff(header, min(together * rows, height - first * rows), rows, parts))


def _small_tiff(header: TiffHeader, height: int, rows: int, parts: list[bytes]) -> bytes:
    """A file of the given strips or tiles alone."""
    order, tiled = header.order, _TILES in header.values
    places = np.cumsum([8, *(len(part) for part in parts)])
    own = {
        _WIDTH: [header.size[1]],
        _HEIGHT: [height],
        (_TILES if tiled else _STRIPS): places[:-1].tolist(),
        (_TILE_BYTES if tiled else _STRIP_BYTES): [len(part) for part in parts],
    }
    if tiled:
        own |= {_TILE_WIDTH: [header.one(_TILE_WIDTH)], _TILE_HEIGHT: [rows]}
    else:
        own[_ROWS_PER_STRIP] = [rows]
    entries = {tag: (4, len(values), struct.pack(f"{order}{len(values)}I", *values)) for tag, values in own.items()}
    entries |= {tag: header.stored[tag] for tag in _TIFF_COPIED if tag in header.stored}
    directory, outside = [], []
    beyond = int(places[-1]) + 2 + 12 * len(entries) + 4
    for tag, (kind, count, field) in sorted(entries.items()):
        if len(field) > 4:
            outside.append(field)
            field, beyond = struct.pack(order + "I", beyond), beyond + len(field)
        directory.append(struct.pack(order + "HHI", tag, kind, count) + field.ljust(4, b"\0"))
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", int(places[-1]))
    counted = struct.pack(order + "H", len(entries))
    return b"".join([start, *parts, counted, *directory, b"\0\0\0\0", *outside])
