"""A case is shared through the window, opened elsewhere, and refused where it is not what it says."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
from PySide6.QtWidgets import QFileDialog
from support import open_image, settled

from rpnviz.app.case import is_case, unpack_case
from rpnviz.app.viewing import Selection
from rpnviz.drawing.options import World
from rpnviz.errors import SessionError
from rpnviz.ui.application import make_window
from rpnviz.ui.dialogs.share import ShareDialog


def share(window, qtbot, path, monkeypatch, part=False):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    window.do_share_case()
    (dialog,) = window.findChildren(ShareDialog)
    (dialog.part if part else dialog.whole).click()
    dialog.accept()
    qtbot.waitUntil(lambda: path.exists() and settled(window), timeout=30000)
    assert "Wrote" in window.banner.text.text()


def opened(qtbot, path):
    window = make_window()
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    window.open_paths([path])
    qtbot.waitUntil(lambda: window.state.record is not None and settled(window), timeout=60000)
    return window


def test_the_whole_image_opens_with_all_that_belongs_to_it(window, qtbot, tmp_path, monkeypatch):
    open_image(window, qtbot, "coins.png")
    state = window.state
    state.set_preset("mmdetection")
    state.update("match", fg_iou_thresh=0.6)
    qtbot.waitUntil(lambda: settled(window))
    state.select(Selection(gt=3))
    window.canvas.look_at(2.0, 100.0, 100.0)
    path = tmp_path / "coins_case.zip"
    share(window, qtbot, path, monkeypatch)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        text = archive.read("findings.txt").decode()
        everything = b"".join(archive.read(name) for name in names if name.endswith((".json", ".txt")))
    assert names == {"coins.png", "annotations.json", "session.rpnviz.json", "picture.png", "findings.txt"}
    assert "match.fg_iou_thresh: 0.6 (default 0.7)" in text
    assert text.count("GT ") >= 24
    assert str(state.record.path.parent).encode() not in everything
    assert is_case(path)

    fresh = opened(qtbot, path)
    assert np.array_equal(fresh.state.loaded.pixels, state.loaded.pixels)
    assert np.array_equal(fresh.state.record.gt.boxes, state.record.gt.boxes)
    assert np.array_equal(fresh.state.shown.training.match.state, state.shown.training.match.state)
    assert (fresh.state.preset.name, fresh.state.params) == (state.preset.name, state.params)
    assert fresh.state.gt_names == state.gt_names
    assert fresh.state.selection.gt == 3
    assert fresh.canvas.place == pytest.approx((2.0, 100.0, 100.0))
    assert "cases" not in fresh.settings.last_folder
    fresh.close()


def test_the_models_outputs_go_along(window, qtbot, tmp_path, monkeypatch):
    open_image(window, qtbot, "nested.png")
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    path = tmp_path / "m.zip"
    share(window, qtbot, path, monkeypatch)
    fresh = opened(qtbot, path)
    qtbot.waitUntil(lambda: fresh.state.result is not None and settled(fresh), timeout=60000)
    assert fresh.state.world is World.MODEL
    assert np.array_equal(fresh.state.result.proposals.boxes, window.state.result.proposals.boxes)
    fresh.close()


def test_a_part_is_cut_out(window, qtbot, tmp_path, monkeypatch):
    open_image(window, qtbot, "coins.png")
    window.canvas.look_at(8.0, 200.0, 150.0)
    x1, y1, x2, y2 = window.canvas.visible_region()
    path = tmp_path / "part.zip"
    share(window, qtbot, path, monkeypatch, part=True)
    fresh = opened(qtbot, path)
    height, width = fresh.state.loaded.size
    left, top = int(np.floor(x1)), int(np.floor(y1))
    assert (height, width) == (int(np.ceil(y2)) - top, int(np.ceil(x2)) - left)
    part = window.state.loaded.pixels[top : top + height, left : left + width]
    assert np.array_equal(fresh.state.loaded.pixels, part)
    assert 0 < len(fresh.state.record.gt) < 24
    boxes = fresh.state.record.gt.boxes
    assert (boxes >= 0).all()
    assert (boxes[:, 2] <= width).all()
    fresh.close()


def changed(path, target, change):
    """A copy of a zip with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def test_what_is_no_case_is_refused(window, qtbot, tmp_path, monkeypatch):
    open_image(window, qtbot, "nested.png")
    path = tmp_path / "a.zip"
    share(window, qtbot, path, monkeypatch)
    for name in ("../evil.txt", "/etc/evil", "sub/evil.txt", "..", ".hidden"):
        bad = changed(path, tmp_path / "bad.zip", lambda members, name=name: members.update({name: b"x"}))
        with pytest.raises(SessionError, match="plain files"):
            unpack_case(bad)
    many = changed(path, tmp_path / "many.zip", lambda members: members.update({f"f{k}": b"" for k in range(30)}))
    with pytest.raises(SessionError, match="at most 20"):
        unpack_case(many)
    bomb = changed(path, tmp_path / "bomb.zip", lambda members: members.update({"picture.png": b"\0" * 1000}))
    data = bytearray(bomb.read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(b"picture.png"))
    data[place + 24 : place + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    bomb.write_bytes(data)
    with pytest.raises(SessionError, match="at most 20"):
        unpack_case(bomb)
    cut = tmp_path / "cut.zip"
    cut.write_bytes(path.read_bytes()[:2000])
    assert not is_case(cut)
    wrong = changed(path, tmp_path / "wrong.zip", lambda members: members.update({"session.rpnviz.json": b"{}"}))
    before = window.state.record
    window.open_paths([wrong])
    qtbot.waitUntil(lambda: "Could not open the case" in window.banner.text.text(), timeout=10000)
    assert window.state.record is before


def test_a_session_in_a_case_cannot_reach_outside(window, qtbot, tmp_path, monkeypatch):
    open_image(window, qtbot, "nested.png")
    path = tmp_path / "a.zip"
    share(window, qtbot, path, monkeypatch)

    def point_out(members):
        document = json.loads(members["session.rpnviz.json"])
        document["paths"] = ["../../../nowhere.png"]
        members["session.rpnviz.json"] = json.dumps(document).encode()

    bad = changed(path, tmp_path / "out.zip", point_out)
    with pytest.raises(SessionError, match="outside"):
        unpack_case(bad)


def test_the_image_must_still_be_there(window, qtbot, tmp_path, monkeypatch):
    copy = tmp_path / "picture.png"
    open_image(window, qtbot, "nested.png")
    shutil.copy(window.state.record.path, copy)
    window.open_paths([copy])
    qtbot.waitUntil(lambda: window.state.record.path == copy and settled(window))
    path = tmp_path / "a.zip"
    share(window, qtbot, path, monkeypatch)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("image_picture.png") == copy.read_bytes()
    copy.unlink()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "b.zip"), ""))
    window.do_share_case()
    window.findChildren(ShareDialog)[-1].accept()
    qtbot.waitUntil(lambda: "cannot be read any more" in window.banner.text.text(), timeout=10000)
    assert not (tmp_path / "b.zip").exists()
