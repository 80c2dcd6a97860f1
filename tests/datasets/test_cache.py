"""Columns of large files are kept, found again, and made again when anything is wrong with them."""

from __future__ import annotations

import os

import numpy as np
import pytest

from rpnviz import paths
from rpnviz.datasets import cache, coco
from rpnviz.datasets.columns import Records


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch):
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1)


@pytest.fixture
def parse_counts(monkeypatch):
    """How often a file was parsed."""
    calls = []
    original = coco._parse
    monkeypatch.setattr(coco, "_parse", lambda *arguments: calls.append(1) or original(*arguments))
    return calls


ANNOTATIONS = [
    {"id": 5, "image_id": 1, "category_id": 7, "bbox": [10, 5, 20, 10], "iscrowd": 1},
    {"id": 6, "image_id": 1, "category_id": 9, "bbox": [10, 5, -1, 10]},
    {"image_id": 1, "category_id": 7, "bbox": [100, 5, 20, 10]},
]


def entries():
    return list((paths.cache_folder() / "datasets").glob("*"))


def told(dataset):
    assert isinstance(dataset.images, Records)
    columns = dataset.images.columns
    arrays = [getattr(columns, name).tolist() for name in cache._ARRAYS]
    return arrays, list(columns.file_names), dataset.categories, dataset.findings, columns.place


def test_the_second_time_is_as_the_first(write_coco, make_image, parse_counts):
    make_image()
    path = write_coco(ANNOTATIONS)
    first = coco.read(path)
    again = coco.read(path)
    assert len(parse_counts) == 1
    assert told(again) == told(first)
    assert len(first.findings) == 3
    assert again.images[0].gt.ids == (5, 6, None)
    with pytest.raises(ValueError, match="read-only"):
        again.images[0].gt.boxes[0, 0] = 1


def test_images_are_looked_for_again(write_coco, make_image, parse_counts):
    path = write_coco(ANNOTATIONS)
    assert "missing image" in {finding.kind for finding in coco.read(path).findings}
    make_image()
    assert "missing image" not in {finding.kind for finding in coco.read(path).findings}
    assert len(parse_counts) == 1


def test_a_changed_file_is_read_again(write_coco, make_image, parse_counts):
    make_image()
    path = write_coco(ANNOTATIONS)
    coco.read(path)
    os.utime(path, ns=(0, 0))
    coco.read(path)
    write_coco(ANNOTATIONS[:1])
    assert len(coco.read(path).images[0].gt) == 1
    assert len(parse_counts) == 3


def test_another_version_of_the_reader_reads_again(write_coco, make_image, parse_counts, monkeypatch):
    make_image()
    path = write_coco(ANNOTATIONS)
    coco.read(path)
    monkeypatch.setattr(coco, "VERSION", coco.VERSION + 1)
    coco.read(path)
    assert len(parse_counts) == 2


@pytest.mark.parametrize("at", [0, 1, 100, 1000, -100, -1])
def test_a_truncated_entry_is_made_again(write_coco, make_image, parse_counts, at):
    make_image()
    path = write_coco(ANNOTATIONS)
    first = coco.read(path)
    (entry,) = entries()
    entry.write_bytes(entry.read_bytes()[:at])
    assert told(coco.read(path)) == told(first)
    assert told(coco.read(path)) == told(first)
    assert len(parse_counts) == 2


def test_damaged_entries_never_hurt(write_coco, make_image):
    make_image()
    path = write_coco(ANNOTATIONS)
    first = coco.read(path)
    (entry,) = entries()
    sound = entry.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(sound)
        for place in rng.integers(0, len(sound), 3).tolist():
            broken[place] = int(rng.integers(256))
        entry.write_bytes(broken)
        dataset = coco.read(path)
        assert [record.gt.boxes.shape for record in dataset.images] == [(3, 4)]
        assert dataset.categories == first.categories


def test_columns_that_do_not_fit_are_not_used(write_coco, make_image, parse_counts):
    make_image()
    path = write_coco(ANNOTATIONS)
    coco.read(path)
    (entry,) = entries()
    with np.load(entry) as file:
        arrays = dict(file)
    for name, wrong in {"labels": np.array([0, 99, 0]), "starts": np.array([0, 7]), "boxes": np.zeros((2, 4))}.items():
        with entry.open("wb") as out:
            np.savez(out, **(arrays | {name: wrong}))
        assert len(coco.read(path).images[0].gt) == 3
    assert len(parse_counts) == 4


def test_the_folder_is_bounded(write_coco, make_image, monkeypatch):
    make_image()
    coco.read(write_coco(ANNOTATIONS, name="0.json"))
    (entry,) = entries()
    size = entry.stat().st_size
    monkeypatch.setattr(cache, "MAX_BYTES", int(3.5 * size))
    for number in range(1, 8):
        coco.read(write_coco(ANNOTATIONS, name=f"{number}.json"))
    assert sum(entry.stat().st_size for entry in entries()) <= 3.5 * size
    assert len(entries()) == 3


def test_small_files_and_full_disks_are_no_matter(write_coco, make_image, monkeypatch):
    make_image()
    monkeypatch.setattr(cache, "WORTH_KEEPING", 10_000_000)
    coco.read(write_coco(ANNOTATIONS))
    assert entries() == []
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert len(coco.read(write_coco(ANNOTATIONS)).images) == 1
    assert entries() == []
