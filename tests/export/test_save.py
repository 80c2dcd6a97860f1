"""Files of pictures: their formats, and that nothing is ever half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made import subject

from rpnviz.errors import ExportError
from rpnviz.export.look import Look
from rpnviz.export.picture import render_picture
from rpnviz.export.save import Format, format_of, save_picture
from rpnviz.imaging import cv2, read_image

STARTS = {Format.PNG: b"\x89PNG", Format.SVG: b"<?xml", Format.PDF: b"%PDF"}


@pytest.fixture(params=list(Format))
def kind(request, qapp):
    return request.param


@pytest.mark.parametrize("name", ["Größe 硬币", "a & b <c>", "with 'quotes\""])
def test_a_picture_is_written_under_any_name(tmp_path, kind, name):
    path = tmp_path / f"{name}.{kind.upper()}"
    save_picture(path, subject((60, 80), [[10, 10, 50, 50]], file_name=f"{name}.jpg"), Look())
    assert path.read_bytes().startswith(STARTS[kind])
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_png_is_the_picture(tmp_path):
    made = subject((60, 80), [[10, 10, 50, 50]])
    save_picture(tmp_path / "a.png", made, Look())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), render_picture(made, Look()))


def test_a_png_overlay_keeps_its_transparency(tmp_path):
    made = subject((60, 80), [[10, 10, 50, 50]])
    save_picture(tmp_path / "a.png", made, Look(overlay=True))
    stored = cv2.imdecode(np.fromfile(tmp_path / "a.png", np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored[..., [2, 1, 0, 3]], render_picture(made, Look(overlay=True)))


@pytest.mark.parametrize("name", ["picture.jpg", "picture", "picture.png.bak", "picture.tiff"])
def test_other_formats_are_named(tmp_path, name):
    with pytest.raises(ExportError, match=r"PNG, SVG or PDF") as error:
        save_picture(tmp_path / name, subject((3, 3)), Look())
    assert name in str(error.value)
    assert list(tmp_path.iterdir()) == []
    assert format_of("x.SvG") is Format.SVG


def test_a_folder_that_does_not_exist_is_named(tmp_path, kind):
    with pytest.raises(ExportError, match="nowhere"):
        save_picture(tmp_path / "nowhere" / f"picture.{kind}", subject((3, 3)), Look())


def test_a_folder_that_may_not_be_written(tmp_path, kind):
    # Nobody may write to /proc, root included; elsewhere a folder without the right to write does it.
    folder = Path("/proc") if sys.platform == "linux" else tmp_path
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match="cannot be written"):
        save_picture(folder / f"picture.{kind}", subject((3, 3)), Look())
    tmp_path.chmod(0o700)


def test_a_failed_save_keeps_the_old_picture(tmp_path, monkeypatch, kind):
    path = tmp_path / f"picture.{kind}"
    path.write_bytes(b"old")

    def refuse(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rpnviz.files.os.replace", refuse)
    with pytest.raises(ExportError, match="No space left"):
        save_picture(path, subject((9, 9)), Look())
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_stop_in_the_middle_leaves_nothing(tmp_path, monkeypatch, kind):
    path = tmp_path / f"picture.{kind}"
    path.write_bytes(b"old")

    def stop(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("rpnviz.files.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save_picture(path, subject((9, 9)), Look())
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_picture_that_cannot_be_drawn_leaves_the_old_one(tmp_path, kind):
    path = tmp_path / f"picture.{kind}"
    path.write_bytes(b"old")
    with pytest.raises(ExportError, match="outside"):
        save_picture(path, subject((9, 9)), Look(crop=(50, 50, 60, 60)))
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(("kind", "loads_qt"), [("png", False), ("svg", False), ("pdf", True)])
def test_only_pdf_loads_qt_and_it_needs_no_display(tmp_path, kind, loads_qt):
    code = (
        "import sys\nfrom made import subject\nfrom rpnviz.export.look import Look\n"
        "from rpnviz.export.save import save_picture\n"
        f"save_picture({str(tmp_path / 'a')!r} + '.{kind}', subject((60, 80), [[10, 10, 50, 50]]), Look())\n"
        "print('PySide6' in sys.modules, 'torch' in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    env.update(QT_QPA_PLATFORM="xcb", PYTHONPATH=path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(loads_qt), "False"]
    assert (tmp_path / f"a.{kind}").stat().st_size > 1000
    assert done.stderr == ""
