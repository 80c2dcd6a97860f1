"""Pixels meet the stated size: the EXIF rule, and sizes that do not fit."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rpnviz import imaging
from rpnviz.datasets import coco
from rpnviz.datasets.base import GroundTruth, ImageRecord, load_image
from rpnviz.errors import ImageFileError, ShapeError
from rpnviz.imaging import cv2, read_image


@pytest.fixture
def turned(tmp_path):
    """A JPEG stored as 60 x 40 px that its EXIF orientation, 6, shows as 40 x 60."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:10, :15, 2] = 255  # a red top left corner, BGR
    data = cv2.imencode(".jpg", stored)[1].tobytes()
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    return path


@pytest.fixture
def large(monkeypatch):
    """Small images count as large: 60 x 40 px are shown at a quarter."""
    monkeypatch.setattr(imaging, "LARGE", 1000)
    monkeypatch.setattr(imaging, "_COPY", 200)


@pytest.mark.parametrize("stated", [None, (60, 40), (40, 60), (100, 200), (60, 41)])
def test_a_large_image_is_that_of_its_header(turned, large, monkeypatch, stated):
    box = np.array([[1.0, 2, 39, 55], [30, 30, 90, 35]])
    gt = GroundTruth(box, np.zeros(2, np.int64), np.zeros(2, bool), (1, 2))
    record = ImageRecord("a.jpg", turned, stated, gt)
    loaded = load_image(record)
    height, width = loaded.size
    assert loaded.pixels.shape == (height // 4, width // 4, 3)
    assert not loaded.pixels.flags.writeable
    whole = loaded.whole()
    assert not whole.flags.writeable
    assert loaded.whole() is whole
    monkeypatch.setattr(imaging, "LARGE", 10**6)
    plain = load_image(record)
    assert (loaded.size, loaded.findings) == (plain.size, plain.findings)
    np.testing.assert_array_equal(whole, plain.pixels)
    assert plain.whole() is plain.pixels


def test_a_large_image_that_was_exchanged(turned, large):
    loaded = load_image(ImageRecord("a.jpg", turned))
    turned.write_bytes(cv2.imencode(".png", np.zeros((50, 60, 3), np.uint8))[1].tobytes())
    with pytest.raises(ImageFileError, match="60 x 50 px now, it had 40 x 60"):
        loaded.whole()
    turned.unlink()
    with pytest.raises(ImageFileError, match="does not exist"):
        loaded.whole()


def test_a_large_image_that_is_damaged(turned, large):
    data = turned.read_bytes()
    turned.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageFileError, match="truncated or damaged"):
        load_image(ImageRecord("a.jpg", turned))


def test_plain_image_is_upright(turned):
    loaded = load_image(ImageRecord("a.jpg", turned))
    assert (loaded.size, loaded.pixels.shape, loaded.findings) == ((60, 40), (60, 40, 3), ())
    assert loaded.pixels[5, 35, 0] > 200  # the red corner is at the top right
    assert not loaded.pixels.flags.writeable


def test_stated_upright_size(turned):
    loaded = load_image(ImageRecord("a.jpg", turned, (60, 40)))
    assert (loaded.size, loaded.findings) == ((60, 40), ())


def test_stated_stored_size_shows_the_image_unrotated(turned):
    loaded = load_image(ImageRecord("a.jpg", turned, (40, 60)))
    assert loaded.size == (40, 60)
    assert loaded.pixels[5, 5, 0] > 200
    (finding,) = loaded.findings
    assert finding.severity == "warning"
    assert "annotations were drawn on the unrotated image" in finding.what
    assert "60 x 40" in finding.what
    assert "40 x 60" in finding.what
    assert finding.where == "a.jpg"


def test_stated_size_that_fits_neither(turned):
    box = np.array([[1.0, 2, 3, 4]])
    gt = GroundTruth(box, np.zeros(1, np.int64), np.zeros(1, bool), (1,))
    loaded = load_image(ImageRecord("a.jpg", turned, (100, 200), gt))
    assert loaded.size == (60, 40)
    (finding,) = loaded.findings
    assert "200 x 100" in finding.what
    assert "40 x 60" in finding.what
    assert "kept" in finding.what


def test_a_square_image_is_upright(tmp_path, turned):
    data = cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    start = turned.read_bytes()
    exif_end = 4 + struct.unpack(">H", start[4:6])[0]
    turned.write_bytes(start[:exif_end] + data[2:])
    assert load_image(ImageRecord("a.jpg", turned, (40, 40))).findings == ()


def test_boxes_are_judged_by_the_true_size_if_none_is_stated(read_coco):
    boxes = [(5, 5, 10, 10), (50, 5, 20, 10), (500, 5, 20, 10), None]
    annotations = [{"id": k, "image_id": 1, "category_id": 7, "bbox": box} for k, box in enumerate(boxes)]
    dataset = read_coco(annotations, [{"id": 1, "file_name": "a.png"}])
    assert [finding.kind for finding in dataset.findings] == ["bbox"]
    findings = load_image(dataset.images[0]).findings
    assert [finding.severity for finding in findings] == ["warning", "note"]
    assert "GT 2 lies outside the image of 60 x 40 px" in findings[0].what
    assert "GT 1" in findings[1].what


def test_missing_and_damaged_images_raise_when_shown(write_coco, make_image, tmp_path):
    dataset = coco.read(write_coco())
    with pytest.raises(ImageFileError, match=r"a\.png.*does not exist"):
        load_image(dataset.images[0])
    path = make_image()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ImageFileError, match=r"a\.png.*truncated"):
        load_image(dataset.images[0])


def test_pixels_are_those_of_the_file(make_image):
    path = make_image()
    assert np.array_equal(load_image(ImageRecord("a.png", path)).pixels, read_image(path))


def test_ground_truth_checks_its_shapes():
    with pytest.raises(ShapeError, match="labels"):
        GroundTruth(np.zeros((1, 4)), np.zeros(2, np.int64), np.zeros(1, bool), (1,))
    with pytest.raises(ShapeError, match="boxes"):
        GroundTruth(np.zeros((1, 5)), np.zeros(1, np.int64), np.zeros(1, bool), (1,))
    assert len(GroundTruth.empty()) == 0
