"""Thumbnails: made of what is in view, kept on disk, never of what has been scrolled past."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rpnviz.app.thumbnails import SIDE, Thumbnails, thumbnail
from rpnviz.datasets.base import Dataset, ImageRecord
from rpnviz.imaging import cv2, read_image, read_small, shrink, write_png


def dataset(folder, count):
    records = []
    for number in range(count):
        path = folder / f"{number}.png"
        write_png(path, np.full((60, 90, 3), 10 * number, np.uint8))
        records.append(ImageRecord(path.name, path))
    return Dataset("set", folder, tuple(records))


def test_what_is_wanted_is_made_in_its_order(jobs, qtbot, tmp_path):
    thumbnails = Thumbnails(jobs, tmp_path / "cache")
    found = dataset(tmp_path, 5)
    thumbnails.show_dataset(found)
    made = []
    thumbnails.ready.connect(made.append)
    thumbnails.want([3, 1, 2])
    qtbot.waitUntil(lambda: made == [3, 1, 2], timeout=20000)
    assert thumbnails.of(0) is None
    assert thumbnails.of(3).shape == (32, 48, 3)
    assert abs(int(thumbnails.of(3)[0, 0, 0]) - 30) <= 2  # JPEG
    thumbnails.want([0, 1])
    qtbot.waitUntil(lambda: made == [3, 1, 2, 0], timeout=20000)


def test_another_data_set_has_none_of_the_last(jobs, qtbot, tmp_path):
    thumbnails = Thumbnails(jobs, tmp_path / "cache")
    thumbnails.show_dataset(dataset(tmp_path, 2))
    with qtbot.waitSignal(thumbnails.ready, timeout=20000):
        thumbnails.want([0])
    thumbnails.show_dataset(None)
    assert thumbnails.of(0) is None


def test_they_come_from_disk_the_second_time_and_follow_the_file(tmp_path):
    (record,) = dataset(tmp_path, 1).images
    cache = tmp_path / "cache"
    thumbnail(record, cache)
    (kept,) = cache.rglob("*.jpg")
    cv2.imwrite(str(kept), np.full((8, 8, 3), 200, np.uint8))
    assert thumbnail(record, cache).shape == (8, 8, 3)
    write_png(record.path, np.full((30, 30, 3), 7, np.uint8))
    assert thumbnail(record, cache).shape == (30, 30, 3)


def test_what_cannot_be_read_has_none(tmp_path):
    assert thumbnail(ImageRecord("none.png", tmp_path / "none.png"), tmp_path) is None
    (tmp_path / "text.png").write_text("no image")
    assert thumbnail(ImageRecord("text.png", tmp_path / "text.png"), tmp_path) is None


def test_an_image_in_memory_is_not_kept_on_disk(tmp_path):
    pixels = np.zeros((100, 50, 3), np.uint8)
    record = ImageRecord("step", Path("step"), (100, 50), read=lambda: pixels)
    assert thumbnail(record, tmp_path).shape == (48, 24, 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("height", "width"), [(40, 30), (100, 100), (200, 333), (1000, 800), (3, 4000)])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_small_is_like_the_whole_shrunk(tmp_path, height, width, suffix):
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=2).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), pixels[..., ::-1])
    small, whole = read_small(path, SIDE), shrink(read_image(path), SIDE)
    assert small.shape == whole.shape
    assert max(small.shape[:2]) == min(SIDE, max(height, width))
    assert np.abs(small.astype(int) - whole).mean() < 4
