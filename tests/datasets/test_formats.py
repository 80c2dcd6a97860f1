"""Every format, written by programs of others: found by itself, and read to the same boxes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from rpnviz.datasets import formats
from rpnviz.datasets.base import load_image
from rpnviz.datasets.registry import open_dataset

EXAMPLES = Path(__file__).parent.parent / "data" / "formats"
BOXES = {
    "a": [("cat", 10, 5, 30, 15), ("dog", 0, 0, 60, 40), ("cat", 20.5, 8.25, 25, 20)],
    "b": [("dog", 4, 6, 28, 44)],
}
"""As ``tools/make_format_examples.py`` gave them to the programs."""

NAMES = {
    "crowdhuman": "CrowdHuman",
    "detectron2": "detectron2 dicts",
    "globox_coco": "COCO JSON",
    "globox_cvat": "CVAT XML",
    "globox_labelme": "LabelMe JSON",
    "globox_openimages": "Open Images CSV",
    "globox_voc": "Pascal VOC XML",
    "globox_yolo": "YOLO",
    "kitti": "KITTI",
    "retinanet": "CSV",
    "supervision_coco": "COCO JSON",
    "supervision_voc": "Pascal VOC XML",
    "supervision_yolo": "YOLO",
}
TOLERANCE = {"supervision_yolo": 1e-3, "globox_yolo": 1e-9}
"""supervision writes five digits."""


def expected(example, stem):
    boxes = np.array([box[1:] for box in BOXES[stem]], float)
    if example == "globox_voc":
        boxes[:, :2] -= 1  # globox writes what it has, which is 1 px off by VOC's convention
    if example == "supervision_voc":
        boxes[:, :2] = np.floor(boxes[:, :2] + 1) - 1  # and supervision adds the 1, then cuts
        boxes = boxes if stem == "b" else np.array([*boxes[:2], [21, 8, 25, 20]])
    return boxes


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.iterdir()} == set(NAMES)


@pytest.mark.parametrize("example", NAMES)
def test_the_same_boxes_come_out_of_every_format(example):
    dataset = open_dataset([EXAMPLES / example])
    assert dataset.format == NAMES[example]
    assert [Path(record.file_name).stem for record in dataset.images] == ["a", "b"]
    assert dataset.box_counts().tolist() == [record.box_count for record in dataset.images]
    for record in dataset.images:
        stem = record.path.stem
        own = ~record.gt.ignore
        np.testing.assert_allclose(
            record.gt.boxes[own], expected(example, stem), rtol=0, atol=TOLERANCE.get(example, 0)
        )
        if example not in ("crowdhuman", "detectron2", "globox_yolo"):  # these know numbers, or persons
            names = [
                name.lower()
                for name, ignored in zip(dataset.names_of(record), record.gt.ignore, strict=True)
                if not ignored
            ]
            assert names == [box[0] for box in BOXES[stem]]
        assert load_image(record).size == {"a": (40, 60), "b": (48, 32)}[stem]


@pytest.mark.parametrize("example", ["kitti", "crowdhuman"])
def test_ignore_regions(example):
    for record in open_dataset([EXAMPLES / example]).images:
        assert record.gt.ignore.tolist() == [False] * len(BOXES[record.path.stem]) + [True]
        assert record.gt.boxes[-1].tolist() == [1, 2, 9, 8]


@pytest.mark.parametrize("example", [name for name in NAMES if name != "globox_voc"])
def test_sound_examples_have_no_finding(example):
    assert open_dataset([EXAMPLES / example]).findings == ()


def test_voc_without_the_one_is_noticed():
    """globox's own files count from 0."""
    kinds = [finding.kind for finding in open_dataset([EXAMPLES / "globox_voc"]).findings]
    assert kinds == ["counts from 0", "reaches beyond the image"]


@pytest.mark.parametrize(
    ("example", "file"),
    [
        ("supervision_yolo", "data.yaml"),
        ("globox_cvat", "annotations.xml"),
        ("globox_openimages", "boxes.csv"),
        ("retinanet", "train.csv"),
        ("crowdhuman", "annotation_train.odgt"),
        ("detectron2", "dicts.json"),
        ("globox_coco", "instances.json"),
        ("globox_voc", "Annotations/a.xml"),
        ("globox_labelme", "a.json"),
    ],
)
def test_the_file_itself_can_be_named(example, file):
    alone = open_dataset([EXAMPLES / example / file])
    whole = open_dataset([EXAMPLES / example])
    assert alone.format == whole.format
    assert alone.images[0].gt.boxes.tolist() == whole.images[0].gt.boxes.tolist()


@pytest.mark.parametrize(
    ("example", "folder"),
    [
        ("supervision_yolo", "images"),
        ("supervision_voc", "JPEGImages"),
        ("supervision_coco", "images"),
        ("globox_cvat", "images"),
        ("kitti", "training/image_2"),
        ("kitti", "training"),
        ("kitti", "training/label_2"),
        ("retinanet", "images"),
        ("supervision_voc", "Annotations"),
    ],
)
def test_the_folder_of_images_finds_the_annotations_beside_it(example, folder):
    dataset = open_dataset([EXAMPLES / example / folder])
    assert dataset.format == NAMES[example]
    assert dataset.box_counts().tolist() == open_dataset([EXAMPLES / example]).box_counts().tolist()


def test_images_with_annotations_of_another_format():
    example = EXAMPLES / "globox_cvat"
    dataset = open_dataset([example / "images" / "b.png"], example / "annotations.xml")
    assert [record.gt.boxes.tolist() for record in dataset.images] == [[[4, 6, 28, 44]]]
    dataset = open_dataset([EXAMPLES / "supervision_voc" / "JPEGImages"], EXAMPLES / "supervision_voc" / "Annotations")
    assert dataset.format == "Pascal VOC XML"


def test_annotations_beside_a_folder_are_not_taken_for_strangers(tmp_path):
    shutil.copytree(EXAMPLES / "globox_cvat", tmp_path / "set")
    for name in ("a", "b"):
        (tmp_path / "set" / "images" / f"{name}.png").rename(tmp_path / "set" / "images" / f"other_{name}.png")
    dataset = open_dataset([tmp_path / "set" / "images"])
    assert dataset.format == ""
    assert len(dataset.images) == 2
    (finding,) = dataset.findings
    assert finding.kind == "not used"
    assert "none of its images" in finding.what


def test_what_else_could_be_opened_is_said(tmp_path):
    shutil.copytree(EXAMPLES / "supervision_yolo", tmp_path / "set")
    shutil.copy(EXAMPLES / "supervision_coco" / "annotations.json", tmp_path / "set")
    dataset = open_dataset([tmp_path / "set"])
    assert dataset.format == "COCO JSON"
    (finding,) = [finding for finding in dataset.findings if finding.kind == "choice"]
    assert (finding.severity, "data.yaml (YOLO)" in finding.what) == ("note", True)
    assert "--annotations" in finding.way_out
    assert open_dataset([tmp_path / "set"], tmp_path / "set" / "data.yaml").format == "YOLO"


def test_annotations_whose_images_are_elsewhere_come_last(tmp_path):
    shutil.copytree(EXAMPLES / "supervision_yolo", tmp_path / "set")
    text = (EXAMPLES / "supervision_coco" / "annotations.json").read_text()
    (tmp_path / "set" / "annotations.json").write_text(text.replace(".png", "_elsewhere.png"))
    dataset = open_dataset([tmp_path / "set"])
    assert dataset.format == "YOLO"
    assert [(finding.kind, finding.where) for finding in dataset.findings] == [("not used", "annotations.json")]


def test_no_image_is_opened_to_read_yolo(tmp_path):
    """100,000 headers take minutes on a server: they are read when an image is looked at."""
    shutil.copytree(EXAMPLES / "supervision_yolo", tmp_path / "set")
    (tmp_path / "set" / "images" / "b.png").write_bytes(b"no image")
    dataset = open_dataset([tmp_path / "set"])
    assert dataset.box_counts().tolist() == [3, 1]
    assert np.isnan(dataset.images[1].gt.boxes).all()
    assert dataset.images[0].gt is dataset.images[0].gt


def test_records_are_made_once():
    images = open_dataset([EXAMPLES / "globox_coco"]).images
    assert images[0] is images[0]
    assert images[-1] is images[1]
    assert list(images)[1] is images[1]
    assert images[0:1] == (images[0],)
    with pytest.raises(IndexError):
        images[2]


# ------------------------------------------------------------------------------------------------------------- plug-ins


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Installs a package with a format of its own, made of a module's text."""

    def install(code):
        place = tmp_path / "site"
        (place / "strange-1.0.dist-info").mkdir(parents=True)
        (place / "strange-1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n"
        )
        (place / "strange-1.0.dist-info" / "entry_points.txt").write_text(
            "[rpnviz.datasets]\nstrange = strange_format\n"
        )
        (place / "strange_format.py").write_text(code)
        monkeypatch.syspath_prepend(place)
        formats._plugins.cache_clear()

    yield install
    formats._plugins.cache_clear()
    sys.modules.pop("strange_format", None)


def test_a_format_of_another_package(plugin, tmp_path, make_image):
    plugin(
        "from rpnviz.datasets.base import Claim\n"
        "from rpnviz.datasets.collector import Collector\n"
        "from rpnviz.datasets.pixels import Order, PixelConvention\n"
        "def claims(path):\n    return [Claim(path, 'suffix')] if path.suffix == '.strange' else []\n"
        "def read(path, images=None, progress=None):\n"
        "    collector = Collector(path, PixelConvention(Order.CORNERS), 'line')\n"
        "    image = collector.image('a.png', path=str(path.parent / 'a.png'))\n"
        "    collector.box(image, [1, 2, 3, 4], 0, 1)\n"
        "    return collector.dataset(['x'], 'Strange')\n"
    )
    make_image()
    (tmp_path / "boxes.strange").write_text("")
    dataset = open_dataset([tmp_path / "boxes.strange"])
    assert dataset.format == "Strange"
    assert dataset.images[0].gt.boxes.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("code", ["import no_such_module", "def claims(path):\n    1 / 0\n"])
def test_a_broken_plugin_stops_nothing(plugin, code, tmp_path):
    plugin(code)
    shutil.copytree(EXAMPLES / "globox_coco", tmp_path / "set")
    dataset = open_dataset([tmp_path / "set"])
    assert len(dataset.images) == 2
    (finding,) = dataset.findings
    assert (finding.kind, "strange" in finding.what) == ("plug-in", True)
