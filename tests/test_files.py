"""Files are whole or not there; more errors are tested where they are told, in test_imaging.py and export/."""

from __future__ import annotations

import pytest

from rpnviz.errors import ExportError, ImageFileError
from rpnviz.files import check_target, write_whole


def test_a_file_is_made_and_replaced(tmp_path):
    path = tmp_path / "Größe 硬币.bin"
    for data in (b"first", b""):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_parts_make_one_file(tmp_path):
    path = tmp_path / "a"
    write_whole(path, (part for part in (b"one ", memoryview(b"two"))))
    assert path.read_bytes() == b"one two"

    def stopping():
        yield b"three"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, stopping())
    assert path.read_bytes() == b"one two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("kind", [ExportError, ImageFileError])
@pytest.mark.parametrize("name", ["", "no/such/file", "nul\0character"])
def test_what_cannot_be_written_is_told_as_the_caller_asks(tmp_path, kind, name):
    with pytest.raises(kind) as error:
        check_target(f"{tmp_path}/{name}", kind)
    assert error.value.way_out
    with pytest.raises(kind):
        write_whole(f"{tmp_path}/{name}", b"x", kind)


def test_whatever_stops_the_writing_leaves_nothing_beside(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def stop(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("rpnviz.files.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
