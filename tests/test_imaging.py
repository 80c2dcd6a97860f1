"""OpenCV's one door: no side effects on import, images of every kind, damaged files, PNG out."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_images import UPRIGHT, encode, exif_block, png_chunk, with_exif, with_png_chunk

from rpnviz.errors import ImageFileError
from rpnviz.imaging import cv2, image_size, read_image, write_png

VARIABLES = ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR", "LD_LIBRARY_PATH")

# ------------------------------------------------------------------------------------------------------------- helpers


@pytest.fixture
def picture():
    """(40, 60, 3) RGB, smooth, different in every corner and channel."""
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y], axis=2).astype(np.uint8)


def error_of(path, **options) -> ImageFileError:
    with pytest.raises(ImageFileError) as caught:
        read_image(path, **options)
    assert caught.value.where
    assert caught.value.what.endswith(".")
    return caught.value


# --------------------------------------------------------------------------------------------------------- environment


def run_fresh(code: str, **extra: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter whose environment has none of the three variables but ``extra``."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | extra
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "own",
    [{}, dict.fromkeys(VARIABLES, "/set/by/the/user")],
    ids=["nothing set", "set by the user"],
)
def test_import_leaves_the_environment_as_it_was(own):
    done = run_fresh(
        """
        import os, subprocess, sys
        before = dict(os.environ)
        import rpnviz.imaging
        assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
        # What a child inherits is the C library's environment, which Python only mirrors.
        child = subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True)
        inherited = eval(child.stdout)
        names = ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR", "LD_LIBRARY_PATH")
        assert [inherited.get(name) for name in names] == [before.get(name) for name in names]
        """,
        **own,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_opencv_alone_would_change_it():
    """If this fails, OpenCV has mended its ways and the restoring can go."""
    done = run_fresh("import os, cv2; print(*os.environ)")
    assert "QT_QPA_PLATFORM_PLUGIN_PATH" in done.stdout


ORDERS = {
    "opencv first": "import rpnviz.imaging; from PySide6.QtWidgets import QApplication, QLabel; app = QApplication([])",
    "qt first": "from PySide6.QtWidgets import QApplication, QLabel; import rpnviz.imaging; app = QApplication([])",
    "application first": (
        "from PySide6.QtWidgets import QApplication, QLabel; app = QApplication([]); import rpnviz.imaging"
    ),
}
SHOW = """
label = QLabel("text"); label.resize(80, 40); label.show(); app.processEvents()
image = label.grab().toImage()
assert image.width() >= 80
import numpy, rpnviz.imaging
assert rpnviz.imaging.cv2.resize(numpy.zeros((4, 4, 3), numpy.uint8), (2, 2)).shape == (2, 2, 3)
print(app.platformName())
"""


@pytest.mark.parametrize("order", ORDERS)
def test_beside_pyside_offscreen(order):
    done = run_fresh(ORDERS[order] + SHOW, QT_QPA_PLATFORM="offscreen")
    assert (done.returncode, done.stdout.strip()) == (0, "offscreen"), done.stderr


@pytest.fixture(scope="module")
def screen():
    """The name of a virtual X display."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed")
    ready, tell = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(tell), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=(tell,),
        stderr=subprocess.DEVNULL,
    )
    os.close(tell)
    with os.fdopen(ready) as answer:
        number = answer.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait(timeout=30)


@pytest.mark.parametrize("order", ORDERS)
def test_beside_pyside_on_x11(order, screen):
    done = run_fresh(ORDERS[order] + SHOW, QT_QPA_PLATFORM="xcb", DISPLAY=screen)
    assert (done.returncode, done.stdout.strip()) == (0, "xcb"), done.stderr


# ------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm", ".webp", ".jpg"])
def test_colours_come_as_rgb(tmp_path, picture, suffix):
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(encode(suffix, picture))
    pixels = read_image(path)
    assert (pixels.shape, pixels.dtype) == ((40, 60, 3), np.uint8)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    tolerance = 12 if suffix in (".jpg", ".webp") else 0
    assert np.abs(pixels.astype(int) - picture).max() <= tolerance


def test_non_ascii_name(tmp_path, picture):
    path = tmp_path / "Größe 写真 ☂.png"
    path.write_bytes(encode(".png", picture))
    assert np.array_equal(read_image(str(path)), picture)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".pgm"])
def test_grey_is_repeated(tmp_path, picture, suffix):
    path = tmp_path / f"grey{suffix}"
    path.write_bytes(encode(suffix, picture[..., 0]))
    pixels = read_image(path)
    assert pixels.shape == (40, 60, 3)
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_alpha_is_dropped_not_blended(tmp_path, picture):
    path = tmp_path / "alpha.png"
    alpha = np.zeros((40, 60, 1), np.uint8)
    path.write_bytes(encode(".png", np.concatenate([picture, alpha], axis=2)))
    assert np.array_equal(read_image(path), picture)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_is_scaled_by_the_full_range(tmp_path, suffix, channels):
    values = np.linspace(0, 65535, 40 * 60).round().astype(np.uint16).reshape(40, 60)
    deep = values if channels == 1 else np.repeat(values[..., None], channels, axis=2)
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(encode(suffix, deep))
    pixels = read_image(path)
    assert pixels.shape == (40, 60, 3)
    assert np.array_equal(pixels[..., 1], np.rint(values / 257).astype(np.uint8))
    assert (pixels.min(), pixels.max()) == (0, 255)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint16), (".tiff", np.uint16), (".tiff", np.float32)],
    ids=["16-bit PNG", "16-bit TIFF", "float TIFF"],
)
def test_deep_colours_come_as_rgb(tmp_path, picture, suffix, dtype):
    """OpenCV 5.0.0 answers IMREAD_COLOR_RGB with zeros for 16-bit TIFF files."""
    picture[0, 0], picture[0, 1] = 0, 255  # the full range, so that stretching changes nothing
    deep = picture.astype(np.uint16) * 257 if dtype is np.uint16 else picture.astype(np.float32)
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(encode(suffix, deep))
    assert np.array_equal(read_image(path), picture)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (40, 60, 4)], ids=["grey", "colour", "alpha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_values_without_a_full_range_are_stretched(tmp_path, dtype, shape):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype) - 1000
    if values.dtype.kind == "f":
        values[0, 1] = np.nan
    path = tmp_path / "values.tiff"
    path.write_bytes(cv2.imencode(".tiff", values)[1].tobytes())
    pixels = read_image(path)
    assert (pixels.shape, pixels.dtype) == ((40, 60, 3), np.uint8)
    assert pixels[0, 0].max() <= 1
    assert pixels[-1, -1].max() >= 254
    assert pixels[0, 1].max() <= 1
    assert np.all(np.diff(pixels[1:, :, 0].astype(int).ravel()) >= 0)


def test_palette_and_one_bit_png(tmp_path):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 2, 1, 3, 0, 0, 0))
    palette = png_chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    rows = png_chunk(b"IDAT", zlib.compress(b"\0\x0f\0\xf0"))
    path = tmp_path / "palette.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + palette + rows + png_chunk(b"IEND", b""))
    pixels = read_image(path)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[1, 0].tolist() == [0, 0, 255]
    assert image_size(path) == ((2, 8), (2, 8))


# ---------------------------------------------------------------------------------------------------------------- EXIF


@pytest.mark.parametrize("order", [">", "<"], ids=["big-endian", "little-endian"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_of_a_jpeg(tmp_path, picture, orientation, order):
    path = tmp_path / "turned.jpg"
    plain = encode(".jpg", picture)
    path.write_bytes(with_exif(plain, orientation, order))
    stored = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(read_image(path, upright=False), stored)
    upright = read_image(path)
    assert np.array_equal(upright, UPRIGHT[orientation](stored))
    assert image_size(path) == ((40, 60), upright.shape[:2])


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_exif_orientation_that_does_not_exist(tmp_path, picture, orientation):
    path = tmp_path / "odd.jpg"
    path.write_bytes(with_exif(encode(".jpg", picture), orientation))
    assert read_image(path).shape == (40, 60, 3)
    assert image_size(path) == ((40, 60), (40, 60))


def test_exif_orientation_of_a_png(tmp_path, picture):
    path = tmp_path / "turned.png"
    path.write_bytes(with_png_chunk(encode(".png", picture), b"eXIf", exif_block(6)))
    assert np.array_equal(read_image(path, upright=False), picture)
    assert np.array_equal(read_image(path), UPRIGHT[6](picture))
    assert image_size(path) == ((40, 60), (60, 40))


@pytest.mark.parametrize(
    "block",
    [b"", b"II", b"XX*\0\0\0\0\x08", exif_block(6)[:12], b"MM\0*\xff\xff\xff\xf0", b"II*\0\x08\0\0\0\xff\xff"],
)
def test_broken_exif_is_no_orientation(tmp_path, picture, block):
    path = tmp_path / "broken.jpg"
    plain = encode(".jpg", picture)
    body = b"Exif\0\0" + block
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:])
    assert image_size(path) == ((40, 60), (40, 60))
    assert read_image(path).shape == (40, 60, 3)


# ---------------------------------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_size_of_every_kind(tmp_path, picture, suffix):
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(encode(suffix, picture))
    assert image_size(path) == ((40, 60), (40, 60))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_size_needs_the_header_only(tmp_path, picture, suffix):
    """A data set of 100,000 images is asked for sizes; none is decoded for that."""
    path = tmp_path / f"cut{suffix}"
    data = encode(suffix, picture)
    path.write_bytes(data[: len(data) - 30])
    assert image_size(path)[0] == (40, 60)
    error_of(path)


def test_size_of_a_progressive_jpeg_with_fill_bytes(tmp_path, picture):
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    path = tmp_path / "progressive.jpg"
    path.write_bytes(data[:2] + b"\xff\xff" + data[2:])
    assert image_size(path) == ((40, 60), (40, 60))


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0", b"\x89PNG\r\n\x1a\n", b"text", b"\xff\xd8\xff\xda"]
)
def test_size_of_no_image(tmp_path, data):
    path = tmp_path / "broken"
    path.write_bytes(data)
    with pytest.raises(ImageFileError):
        image_size(path)


# -------------------------------------------------------------------------------------------------------------- damage


def test_missing_file(tmp_path):
    error = error_of(tmp_path / "nowhere.png")
    assert "does not exist" in error.what
    assert str(tmp_path / "nowhere.png") in str(error)
    assert error.way_out


def test_folder(tmp_path):
    assert "folder" in error_of(tmp_path).what


def test_empty_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    assert "empty" in error_of(path).what


def test_file_beneath_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "cannot be read" in error_of(tmp_path / "file" / "x.png").what


@pytest.mark.parametrize("name", ["nul\0byte.png", "half \ud800.png", "x" * 5000])
def test_impossible_names(tmp_path, name):
    error_of(tmp_path / name)


def test_forbidden_file(tmp_path, picture, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(encode(".png", picture))

    def refuse(*arguments, **options):  # root, as whom tests may run, is refused nothing
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "fromfile", refuse)
    error = error_of(path)
    assert "Permission denied" in error.what
    assert "permissions" in error.way_out


def test_no_regular_file(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever
    assert "no regular file" in error_of(tmp_path / "pipe.png").what


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif", ".ppm", ".jp2"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_truncated_file(tmp_path, picture, suffix, share, capfd):
    path = tmp_path / f"cut{suffix}"
    data = encode(suffix, picture)
    path.write_bytes(data[: int(len(data) * share)])
    error = error_of(path)
    assert "truncated or damaged" in error.what
    assert path.name in str(error)
    assert capfd.readouterr() == ("", "")  # OpenCV and its libraries must not write past us


def test_flipped_bytes_in_a_png(tmp_path, picture, capfd):
    data = bytearray(encode(".png", picture))
    data[len(data) // 2] ^= 0x55
    path = tmp_path / "flipped.png"
    path.write_bytes(data)
    assert "checksum" in error_of(path).what
    assert capfd.readouterr() == ("", "")


def test_png_with_a_bad_colour_profile_is_read_in_silence(tmp_path, picture, capfd):
    path = tmp_path / "profile.png"
    path.write_bytes(with_png_chunk(encode(".png", picture), b"iCCP", b"bad\0\0" + zlib.compress(b"no profile")))
    assert np.array_equal(read_image(path), picture)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("data", [b"not an image at all", b"{}", b"\0" * 5000, b"\x80\x02}q\0."])
def test_no_image(tmp_path, data, capfd):
    path = tmp_path / "other.jpg"
    path.write_bytes(data)
    error = error_of(path)
    assert "no image" in error.what
    assert "JPEG, PNG" in error.way_out
    assert capfd.readouterr() == ("", "")


def test_five_channels(tmp_path, picture, monkeypatch):
    path = tmp_path / "satellite.tiff"
    path.write_bytes(encode(".tiff", picture))
    # OpenCV reads such files but writes none.
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: np.zeros((8, 8, 5), np.uint8))
    assert "5 channels" in error_of(path).what


def test_absurd_size_is_an_error_not_a_crash(tmp_path):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2**30, 2**30, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b""))
    error_of(path)


# ------------------------------------------------------------------------------------------------------------- writing


def test_written_png_is_read_back(tmp_path, picture):
    path = tmp_path / "Ausgabe für 写真.png"
    write_png(path, picture)
    assert np.array_equal(read_image(path), picture)
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_write_replaces_a_file(tmp_path, picture):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    write_png(str(path), picture)
    assert np.array_equal(read_image(path), picture)


def test_write_through_a_link_keeps_the_link(tmp_path, picture):
    target, link = tmp_path / "target.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_png(link, picture)
    assert link.is_symlink()
    assert np.array_equal(read_image(target), picture)


def write_error(path, picture) -> ImageFileError:
    with pytest.raises(ImageFileError) as caught:
        write_png(path, picture)
    assert str(path) in str(caught.value)
    assert caught.value.way_out
    return caught.value


def test_write_to_a_folder(tmp_path, picture):
    assert "folder" in write_error(tmp_path, picture).what


def test_write_to_a_missing_folder(tmp_path, picture):
    error = write_error(tmp_path / "missing" / "out.png", picture)
    assert str(tmp_path / "missing") in error.what


def test_write_to_a_device_leaves_it(picture):
    if not os.path.exists("/dev/null"):
        pytest.skip("no /dev/null here")
    write_error("/dev/null", picture)
    assert not os.path.isfile("/dev/null")


def test_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path, picture, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")

    def refuse(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert "No space left" in write_error(path, picture).what
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_protected_file(tmp_path, picture, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "write-protected" in write_error(path, picture).what
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "start", "says"),
    [
        ("set.zip", b"PK\x03\x04", "this is an archive. Unpack it, and open the folder"),
        ("set.tar.gz", b"\x1f\x8b\x08", "this is an archive. Unpack it, and open the folder"),
        ("boxes.xlsx", b"PK\x03\x04", "this is a spreadsheet. Save its table as CSV"),
    ],
)
def test_an_archive_says_what_to_do_with_it(tmp_path, name, start, says):
    (tmp_path / name).write_bytes(start + bytes(500))
    for look in (read_image, image_size):
        with pytest.raises(ImageFileError, match=says):
            look(tmp_path / name)
