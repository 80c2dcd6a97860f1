"""Large PNG and TIFF files in bands: the same pixels as decoded at once, and nothing else of damaged or rare files."""

from __future__ import annotations

import struct
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_images import UPRIGHT, encode, exif_block, png_chunk, with_exif, with_png_chunk

from rpnviz import image_bands, imaging
from rpnviz.errors import ImageFileError
from rpnviz.image_bands import read_bands, tiff_size
from rpnviz.imaging import cv2, image_size, read_image, read_reduced, reduction_of

HEIGHT, WIDTH = 50, 37


@pytest.fixture
def large(monkeypatch):
    """Small images count as large, and a band has 8 rows."""
    monkeypatch.setattr(imaging, "LARGE", 100)
    monkeypatch.setattr(imaging, "_COPY", 500)
    monkeypatch.setattr(image_bands, "BAND", 8)


def noise(channels: int, dtype: type = np.uint8) -> np.ndarray:
    """(50, 37) or (50, 37, channels), smooth with some noise, so that PNG filters of all kinds are chosen."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rough = np.random.default_rng(0).integers(0, 8, (HEIGHT, WIDTH, channels))
    values = (np.stack([y * 3 + x, x * 5, y * 4 - x + 40, 255 - x * 6], axis=2)[..., :channels] + rough) % 256
    values = values.astype(dtype) * (257 if dtype is np.uint16 else 1) - (3 if dtype is np.uint16 else 0)
    return values[..., 0] if channels == 1 else values


def shown(pixels: np.ndarray) -> np.ndarray:
    """What :func:`read_image` makes of RGB or grey."""
    values = np.rint(pixels / 257) if pixels.dtype == np.uint16 else pixels
    rgb = values[..., :3] if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    return rgb.astype(np.uint8)


def png_of(rows: np.ndarray, colour: int, bits: int = 8, width: int = WIDTH, interlaced: int = 0) -> bytes:
    """A PNG of rows of bytes, each stored as its difference from the one above, in chunks of 100 bytes."""
    filtered = b"".join(
        b"\2" + (row - above).tobytes() for row, above in zip(rows, [np.zeros_like(rows[0]), *rows], strict=False)
    )
    packed = zlib.compress(filtered)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, interlaced))
    data = b"".join(png_chunk(b"IDAT", packed[at : at + 100]) for at in range(0, len(packed), 100))
    return b"\x89PNG\r\n\x1a\n" + head + data + png_chunk(b"IEND", b"")


def tiff_of(
    pixels: np.ndarray,
    order: str = "<",
    big: bool = False,
    rows: int = HEIGHT,
    tile: tuple[int, int] | None = None,
    **tags: int,
) -> bytes:
    """A TIFF or BigTIFF file in strips of ``rows`` or in tiles, packed by zlib unless ``t259=1`` says otherwise."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    stored = pixels.astype(pixels.dtype.newbyteorder(order))
    if tile:
        high, wide = tile
        pad = [(0, -height % high), (0, -width % wide), *[(0, 0)] * (pixels.ndim - 2)]
        stored = np.pad(stored, pad)
        parts = [stored[y : y + high, x : x + wide] for y in range(0, height, high) for x in range(0, width, wide)]
    else:
        parts = [stored[y : y + rows] for y in range(0, height, rows)]
    data = [part.tobytes() if tags.get("t259") == 1 else zlib.compress(part.tobytes()) for part in parts]
    places = np.cumsum([16, *map(len, data)])
    long = (16, "Q") if big else (4, "I")
    entries = {256: [width], 257: [height], 258: [pixels.itemsize * 8] * samples, 259: [8], 277: [samples]}
    entries |= {262: [2 if samples > 1 else 1], 284: [1], **({338: [2]} if samples == 4 else {})}
    if tile:
        entries |= {322: [tile[1]], 323: [tile[0]], 324: places[:-1].tolist(), 325: [*map(len, data)]}
    else:
        entries |= {278: [rows], 273: places[:-1].tolist(), 279: [*map(len, data)]}
    entries |= {int(name[1:]): [value] for name, value in tags.items()}
    room, outside, directory = (8 if big else 4), b"", b""
    after = int(places[-1]) + (8 if big else 2) + len(entries) * (20 if big else 12) + room
    for tag, values in sorted(entries.items()):
        kind, letter = long if tag in (273, 279, 324, 325) else (3, "H")
        field = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(field) > room:
            outside, field = outside + field, struct.pack(order + long[1], after + len(outside))
        directory += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values)) + field.ljust(room, b"\0")
    end = int(places[-1])
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HHHQ", 43, 8, 0, end) if big else struct.pack(order + "HI", 42, end)
    counted = struct.pack(order + ("Q" if big else "H"), len(entries))
    return (mark + start).ljust(16, b"\0") + b"".join(data) + counted + directory + bytes(room) + outside


def is_cut(path: Path) -> bool:
    """Whether a file is read in bands."""
    return read_bands(path) is not None


# --------------------------------------------------------------------------------------------------- the same pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_bands_are_the_whole(tmp_path, large, suffix, channels, dtype):
    pixels = noise(channels, dtype)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        bgr = pixels if channels == 1 else pixels[..., [2, 1, 0, 3][:channels]]
        options = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS]
        data = cv2.imencode(".png", np.ascontiguousarray(bgr), options)[1].tobytes()
    else:
        data = encode(suffix, pixels)
    path.write_bytes(data)
    assert is_cut(path)
    told: list[float] = []
    found = read_image(path, progress=told.append)
    assert (found.dtype, found.flags.c_contiguous, found.flags.writeable) == (np.uint8, True, True)
    np.testing.assert_array_equal(found, shown(pixels))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 3


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_with_alpha(tmp_path, large, bits):
    both = noise(2, np.uint8 if bits == 8 else np.uint16)
    rows = both.astype(">u2" if bits == 16 else np.uint8).reshape(HEIGHT, -1).view(np.uint8)
    data = png_of(rows, 4, bits)
    (tmp_path / "a.png").write_bytes(data)
    assert is_cut(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), shown(both[..., 0]))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773, 32946])
def test_tiff_compressions(tmp_path, large, compression):
    pixels = noise(3)
    data = cv2.imencode(".tiff", pixels[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes()
    (tmp_path / "a.tiff").write_bytes(data)
    assert is_cut(tmp_path / "a.tiff")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tiff"), pixels)


def test_jpeg_in_tiff_has_the_colours_that_it_has_at_once(tmp_path, large, monkeypatch):
    data = cv2.imencode(".tiff", noise(3), [cv2.IMWRITE_TIFF_COMPRESSION, 7])[1].tobytes()
    (tmp_path / "a.tiff").write_bytes(data)
    assert is_cut(tmp_path / "a.tiff")
    cut = read_image(tmp_path / "a.tiff")
    monkeypatch.setattr(imaging, "LARGE", 10**9)
    np.testing.assert_array_equal(cut, read_image(tmp_path / "a.tiff"))


@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "layout",
    [
        {"rows": HEIGHT, "t259": 1},  # one strip that is not packed: cut within
        {"rows": 16, "t259": 1},
        {"rows": 12, "t259": 1},  # longer than a band and no multiple of it: left as they are
        {"rows": 3},
        {"rows": HEIGHT},
        {"tile": (16, 16)},
        {"tile": (16, 48)},
    ],
    ids=str,
)
def test_tiff_layouts(tmp_path, large, layout, dtype, order, big):
    pixels = noise(3, dtype)
    data = tiff_of(pixels, order, big, **layout)
    (tmp_path / "a.tiff").write_bytes(data)
    assert is_cut(tmp_path / "a.tiff")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tiff"), shown(pixels))
    assert image_size(tmp_path / "a.tiff") == ((HEIGHT, WIDTH),) * 2


# --------------------------------------------------------------------------------------------------- what is not cut


def test_rare_kinds_are_what_they_are_at_once(tmp_path, large, monkeypatch):
    grey = noise(1)
    palette = png_of(grey % 4, 3)
    at = palette.index(b"IDAT") - 4
    kinds = {
        "palette.png": palette[:at] + png_chunk(b"PLTE", bytes(range(12))) + palette[at:],
        "one bit.png": png_of(np.packbits(grey > 99, axis=1), 0, 1),
        "transparent.png": with_png_chunk(png_of(grey, 0), b"tRNS", b"\0\5"),
        "float.tiff": encode(".tiff", grey.astype(np.float32)),
        "turned.tiff": tiff_of(grey, t274=3),
        "white is 0.tiff": tiff_of(grey, t262=0),
        "signed.tiff": tiff_of(grey.astype(np.int16), t339=2),
    }
    for name, data in kinds.items():
        path = tmp_path / name
        path.write_bytes(data)
        cut = read_image(path)
        assert read_reduced(path, 4).shape == (13, 10, 3)
        with monkeypatch.context() as patch:
            patch.setattr(imaging, "LARGE", 10**9)
            np.testing.assert_array_equal(cut, read_image(path), name)
    assert not is_cut(tmp_path / "float.tiff")
    assert not is_cut(tmp_path / "signed.tiff")


def test_size_of_a_tiff_needs_the_header_only(tmp_path):
    data = tiff_of(noise(3, np.uint16), ">", True)
    place = data.index(zlib.compress(noise(3, np.uint16).astype(">u2").tobytes()))
    (tmp_path / "a.tiff").write_bytes(data[:place] + b"\0" * 50 + data[place + 50 :])
    assert image_size(tmp_path / "a.tiff") == ((HEIGHT, WIDTH),) * 2
    with pytest.raises(ImageFileError):
        read_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("cut", [4, 8, 15, 16, 17, 60, 200])
def test_broken_tiff_headers(tmp_path, cut, capfd):
    (tmp_path / "a.tiff").write_bytes(tiff_of(noise(1), t259=1)[:cut])
    assert tiff_size(tmp_path / "a.tiff") is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(200))
def test_flipped_bytes_in_a_tiff_directory_raise_no_other_error(tmp_path, large, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(tiff_of(noise(3), "<>"[seed % 2], bool(seed % 3), rows=5))
    directory = struct.unpack("<>"[seed % 2] + ("Q" if seed % 3 else "I"), data[8:16] if seed % 3 else data[4:8])[0]
    for place in rng.integers(directory, len(data), 3):
        data[place] = rng.integers(256)
    (tmp_path / "a.tiff").write_bytes(data)
    with suppress(ImageFileError):
        assert read_image(tmp_path / "a.tiff").ndim == 3


# ------------------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("data", [encode(".png", noise(3)), tiff_of(noise(3), rows=5)], ids=["PNG", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("read", [read_image, lambda path: read_reduced(path, 4)], ids=["whole", "reduced"])
def test_truncated(tmp_path, large, capfd, data, share, read):
    path = tmp_path / "cut.png"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageFileError, match="truncated or damaged"):
        read(path)
    assert capfd.readouterr() == ("", "")


def test_flipped_byte_and_missing_rows_in_a_png(tmp_path, large, capfd):
    data = bytearray(encode(".png", noise(3)))
    data[len(data) // 2] ^= 0x55
    path = tmp_path / "flipped.png"
    path.write_bytes(data)
    with pytest.raises(ImageFileError, match="truncated or damaged"):
        read_image(path)
    few = png_of(noise(1)[:20], 0)
    size = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    path.write_bytes(few[:8] + png_chunk(b"IHDR", size) + few[33:])
    with pytest.raises(ImageFileError, match="truncated or damaged"):
        read_image(path)
    path.write_bytes(png_of(noise(1), 0).replace(b"\x78", b"\x79", 1))
    with pytest.raises(ImageFileError):
        read_image(path)
    assert capfd.readouterr() == ("", "")


# ----------------------------------------------------------------------------------------------------- smaller copies


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_reduced_is_the_average(tmp_path, large, suffix, factor):
    pixels = noise(3)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode(suffix, pixels))
    found = read_reduced(path, factor)
    assert found.shape == (-(-HEIGHT // factor), -(-WIDTH // factor), 3)
    rows, columns = HEIGHT // factor, WIDTH // factor
    squares = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    assert np.abs(found[:rows, :columns] - squares.mean(axis=(1, 3))).max() <= 1


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_reduced_jpeg(tmp_path, large, orientation, factor):
    path = tmp_path / "a.jpg"
    smooth = np.zeros((48, 64, 3), np.uint8)
    smooth[:24, :32], smooth[24:, 32:] = (250, 10, 10), (10, 10, 250)
    path.write_bytes(with_exif(encode(".jpg", smooth), orientation))
    upright = UPRIGHT[orientation](smooth)
    assert image_size(path) == ((48, 64), upright.shape[:2])
    for turned, expected in ((True, upright), (False, smooth)):
        found = read_reduced(path, factor, upright=turned)
        assert np.abs(found[1::3, 1::3].astype(int) - expected[::factor, ::factor][1::3, 1::3]).max() <= 12


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_turned_png(tmp_path, large, orientation):
    pixels = noise(3)
    path = tmp_path / "a.png"
    path.write_bytes(with_png_chunk(encode(".png", pixels), b"eXIf", exif_block(orientation)))
    upright = UPRIGHT[orientation](pixels)
    np.testing.assert_array_equal(read_image(path), upright)
    assert read_image(path).flags.c_contiguous
    np.testing.assert_array_equal(read_image(path, upright=False), pixels)
    stored = read_reduced(path, 4, upright=False)
    np.testing.assert_array_equal(read_reduced(path, 4), UPRIGHT[orientation](stored))
    assert image_size(path) == (pixels.shape[:2], upright.shape[:2])


def test_which_images_are_reduced(tmp_path, monkeypatch):
    path, other = tmp_path / "a.png", tmp_path / "a.bmp"
    path.write_bytes(encode(".png", noise(3)))
    other.write_bytes(encode(".bmp", noise(3)))
    count = HEIGHT * WIDTH
    assert reduction_of(path) == 1
    monkeypatch.setattr(imaging, "LARGE", count)
    assert reduction_of(path) == 1
    monkeypatch.setattr(imaging, "LARGE", count - 1)
    for copy, factor in ((count // 4 + 1, 2), (count // 4 - 1, 4), (count // 16 + 1, 4), (count // 99, 8)):
        monkeypatch.setattr(imaging, "_COPY", copy)
        assert reduction_of(path) == factor
    assert reduction_of(other) == 1  # its header is not known


def test_every_16_bit_value(tmp_path, monkeypatch):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    (tmp_path / "a.png").write_bytes(encode(".png", values))
    expected = np.rint(values / 257).astype(np.uint8)
    for large in (10**9, 100):
        monkeypatch.setattr(imaging, "LARGE", large)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 1], expected)
