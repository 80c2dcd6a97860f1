"""The bundled samples are whole, without a finding, and show what they are there for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rpnviz.core import pipeline, presets
from rpnviz.core.boxes import box_iou
from rpnviz.core.matching import Rank
from rpnviz.datasets.base import load_image
from rpnviz.datasets.registry import sample_dataset
from rpnviz.imaging import read_image
from rpnviz.paths import sample_images
from tools import make_samples

COUNTS = {
    "astronaut.jpg": 6,
    "camera.png": 5,
    "chelsea.png": 4,
    "coffee.jpg": 3,
    "coins.png": 24,
    "rocket.jpg": 12,
    "shapes_1024.png": 27,
    "tiny_objects.png": 42,
    "elongated.png": 9,
    "nested.png": 10,
    "crowd.png": 10,
    "empty.png": 0,
}
SCENES = {make().file_name: make() for make in make_samples.SCENES}


@pytest.fixture(scope="module")
def samples():
    return {record.file_name: record for record in sample_dataset().images}


def sides(record):
    """(M, 2) width and height."""
    return record.gt.boxes[:, 2:] - record.gt.boxes[:, :2]


def ranks(record):
    preset = presets.load("torchvision")
    inputs = pipeline.Inputs(record.size, record.gt.boxes, record.gt.labels, record.gt.ignore)
    return pipeline.run(inputs, preset.params, preset.conventions).match.ranks


def test_counts_and_no_finding(samples):
    dataset = sample_dataset()
    assert {record.file_name: len(record.gt) for record in dataset.images} == COUNTS
    assert dataset.findings == ()
    assert len(dataset.categories) == 26
    assert sum(COUNTS[name] for name in list(COUNTS)[:6]) == 54


@pytest.mark.parametrize("name", COUNTS)
def test_every_image_has_the_stated_size(samples, name):
    loaded = load_image(samples[name])
    assert (loaded.size, loaded.findings) == (samples[name].size, ())


def test_no_file_is_left_over_or_large():
    files = {path.name: path.stat().st_size for path in sample_images().iterdir()}
    assert set(files) == {*COUNTS, "instances.json", "LICENSES.md"}
    assert max(size for name, size in files.items() if name in SCENES) < 200_000


def test_every_image_has_a_licence():
    text = (sample_images() / "LICENSES.md").read_text(encoding="utf-8")
    assert all(name in text for name in COUNTS)


def test_scenes_are_those_of_the_script():
    """Run ``python tools/make_samples.py`` if this fails."""
    document = json.loads((sample_images() / "instances.json").read_text(encoding="utf-8"))
    assert make_samples.with_scenes(document, list(SCENES.values())) == document


@pytest.mark.parametrize("name", SCENES)
def test_pictures_are_those_of_the_script(name):
    drawn = SCENES[name].draw().astype(int)
    assert np.abs(drawn - read_image(sample_images() / name)).max() <= 2  # another OpenCV may round otherwise


@pytest.mark.parametrize("name", ["shapes_1024.png", "tiny_objects.png", "elongated.png"])
def test_boxes_are_exact(name):
    scene = SCENES[name]
    for shape in scene.shapes:
        cover = make_samples.coverage(shape, (0, 0), scene.size)
        rows, columns = np.nonzero(cover)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        if shape.category == "rectangle":
            assert found.tolist() == list(shape.box)
            assert cover[rows, columns].min() == 1
        else:  # the tip of a triangle or of a turned bar hardly covers its last pixel
            assert np.abs(found - shape.box).max() < 1.01, (shape.category, shape.box, found)


def test_shapes_1024_has_boxes_of_every_rank_and_size(samples):
    record = samples["shapes_1024.png"]
    assert record.size == (1024, 1024)
    assert {Rank.FORCED, Rank.MATCHED} <= set(ranks(record))
    areas = np.sqrt(sides(record).prod(axis=1))
    assert areas.min() < 10
    assert areas.max() > 300
    aspect = sides(record)[:, 1] / sides(record)[:, 0]
    assert aspect.min() < 0.2
    assert aspect.max() > 5
    overlaps = box_iou(record.gt.boxes, record.gt.boxes)
    assert overlaps[~np.eye(len(overlaps), dtype=bool)].max() == 0


def test_tiny_objects_are_tiny(samples):
    record = samples["tiny_objects.png"]
    assert (sides(record).min(), sides(record).max()) == (3, 12)


def test_elongated_bars(samples):
    width, height = sides(samples["elongated.png"]).T
    assert 1 / 15 in width / height
    assert 1 / 10 in width / height
    assert 15 in width / height
    assert 10 in width / height


def test_nested_pairs(samples):
    boxes = samples["nested.png"].gt.boxes
    overlaps = box_iou(boxes, boxes)
    assert all(overlaps[k, k + 1] > 0.7 for k in (0, 2, 4, 6))
    inside = (boxes[0, :2] < boxes[1, :2]).all() and (boxes[1, 2:] < boxes[0, 2:]).all()
    assert inside


def test_crowd_region(samples):
    record = samples["crowd.png"]
    assert record.gt.ignore.tolist() == [False] * 9 + [True]
    assert sample_dataset().categories[record.gt.labels[-1]] == "crowd"
    overlaps = box_iou(record.gt.boxes, record.gt.boxes)
    assert (overlaps[~np.eye(10, dtype=bool)] > 0).sum() >= 16


def test_some_boxes_have_no_anchor_above_the_threshold(samples):
    for name in ("tiny_objects.png", "elongated.png"):
        assert sum(rank != Rank.MATCHED for rank in ranks(samples[name])) >= 5
